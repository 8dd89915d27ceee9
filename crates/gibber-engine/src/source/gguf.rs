//! What a GGUF file says about its model.

use std::path::Path;

use super::{ModelFiles, TokenizerFiles, recommended};
use crate::EngineError;
use crate::keys::GgufKeys;
use crate::model::{ModelConfig, family};
use crate::tokenizer::{self, Tokenizer};
use crate::weights::gguf::{Gguf, Metadata, Value, parts};
use crate::weights::{Storage, Weights, disguise};

/// The keys that say what the model is called and where it is from.
const ALIASES: [&str; 4] =
    ["general.name", "general.repo_url", "general.source.repo_url", "general.source.huggingface.repository"];

/// Opens the file in `storage`, whose name is `path`.
pub(super) fn open(path: &Path, name: &str, storage: Storage) -> Result<ModelFiles, EngineError> {
    if !Gguf::is_gguf(storage.bytes()) {
        let expected = "a GGUF file (it does not begin with `GGUF`); of a Hugging Face model, give the folder";
        return Err(disguise::mistaken(path, storage.bytes(), expected));
    }
    let parts::Complete { first: (path, storage), tensors } = parts::open(path, storage)?;
    let weights = Weights::new(&path, tensors);
    let metadata = Gguf::parse(&path, &storage)?.metadata;
    let Keys { config, chat_template, bos_token, eos_token } = Keys::read(&path, &metadata, &weights)?;
    // A name that is none is no reason not to run a model.
    let alias = |key: &&str| metadata.string(key).ok().flatten().map(str::to_owned);
    let aliases = ALIASES.iter().filter_map(alias).collect();
    let own_name = metadata.string("general.name").ok().flatten().filter(|_| is_blob(&path));
    Ok(ModelFiles {
        name: own_name.unwrap_or(name).to_owned(),
        config,
        unread: None,
        weights,
        chat_template,
        bos_token,
        eos_token,
        recommended: recommended::of_gguf(&path, &metadata),
        file_type: metadata.unsigned("general.file_type").ok().flatten(),
        aliases,
        tokenizer: TokenizerFiles::Gguf(storage.clone()),
        path,
    })
}

/// Whether the file has a checksum for a name, as in Ollama's store.
fn is_blob(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sha256-"))
}

/// The tokenizer of the file in `storage`.
pub(super) fn tokenizer(path: &Path, storage: &Storage) -> Result<Tokenizer, EngineError> {
    tokenizer::from_gguf(path, &Gguf::parse(path, storage)?.metadata)
}

/// What is wrong with it, without building it.
pub(super) fn check_tokenizer(path: &Path, storage: &Storage) -> Result<(), EngineError> {
    tokenizer::check_gguf(path, &Gguf::parse(path, storage)?.metadata)
}

/// The longest text of the metadata that is shown whole.
const SHOWN: usize = 200;

/// The metadata for people. A file that is broken has none.
pub(super) fn shown_metadata(path: &Path, storage: &Storage) -> Vec<(String, String)> {
    let Ok(gguf) = Gguf::parse(path, storage) else { return Vec::new() };
    let shown = |value: &Value<'_>| match value {
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::String(text) if text.len() <= SHOWN => (*text).to_owned(),
        Value::String(text) => format!("({} bytes of text)", text.len()),
        Value::BrokenString(bytes) => format!("({} bytes that are no text)", bytes.len()),
        Value::Array(array) => format!("({} values)", array.len()),
    };
    gguf.metadata.raw().filter_map(|(key, _)| Some((key.to_owned(), shown(gguf.metadata.get(key)?)))).collect()
}

/// What is read from the metadata.
struct Keys {
    config: ModelConfig,
    chat_template: Option<String>,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl Keys {
    fn read(path: &Path, metadata: &Metadata<'_>, weights: &Weights) -> Result<Self, EngineError> {
        let tokens = metadata.strings("tokenizer.ggml.tokens")?.unwrap_or_default();
        let token = |key: &str| -> Result<Option<String>, EngineError> {
            let id = metadata.unsigned(key)?.and_then(|id| usize::try_from(id).ok());
            Ok(id.and_then(|id| tokens.get(id)).map(|&token| token.to_owned()))
        };
        Ok(Self {
            config: family::config_from_gguf(&GgufKeys::new(path, metadata, weights)?)?,
            chat_template: metadata.string("tokenizer.chat_template")?.map(str::to_owned),
            bos_token: token("tokenizer.ggml.bos_token_id")?,
            eos_token: token("tokenizer.ggml.eos_token_id")?,
        })
    }
}
