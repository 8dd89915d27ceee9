//! Where the tokenizer of a Hugging Face folder is, and what the configuration says about its special tokens.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::keys::JsonFile;
use crate::tokenizer::{self, AddedTokenSpec, EosTokens, Tokenizer, VocabAndMerges};
use crate::{EngineError, TokenId};

/// What GPT-2's tokenizer takes for its special token where nothing else is said.
const GPT2_SPECIAL: &str = "<|endoftext|>";

/// The files of a tokenizer, and what the configuration says about its special tokens.
#[derive(Debug, Clone)]
pub(super) struct TokenizerFiles {
    files: Files,
    eos: EosTokens,
}

#[derive(Debug, Clone)]
enum Files {
    Json(PathBuf),
    VocabAndMerges(VocabAndMerges),
}

impl TokenizerFiles {
    pub(super) fn find(
        folder: &Path,
        config: &JsonFile,
        tokenizer_config: Option<&JsonFile>,
        generation_config: Option<&JsonFile>,
    ) -> Result<Self, EngineError> {
        let mut eos = EosTokens { ids: ids(config, "eos_token_id")?, texts: Vec::new() };
        // Of a text model that is wrapped.
        if let Some(text) = config.section("text_config")? {
            eos.ids.extend(ids(&text, "eos_token_id")?);
        }
        if let Some(generation) = generation_config {
            eos.ids.extend(ids(generation, "eos_token_id")?);
        }
        if let Some(json) = tokenizer_config
            && let Some(text) = json.get("eos_token").and_then(token_text)
        {
            eos.texts.push((text, place(json, "eos_token")));
        }
        Ok(Self { files: Files::find(folder, tokenizer_config)?, eos })
    }

    /// The file that errors are about.
    pub(super) fn path(&self) -> &Path {
        match &self.files {
            Files::Json(path) | Files::VocabAndMerges(VocabAndMerges { vocab: path, .. }) => path,
        }
    }

    /// What [`Self::build`] would refuse, without building it.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        match &self.files {
            Files::Json(path) => tokenizer::check_json(path),
            Files::VocabAndMerges(files) => tokenizer::check_vocab_and_merges(files),
        }
    }

    pub(super) fn build(&self) -> Result<Tokenizer, EngineError> {
        match &self.files {
            Files::Json(path) => tokenizer::from_json(path, &self.eos),
            Files::VocabAndMerges(files) => tokenizer::from_vocab_and_merges(files, &self.eos),
        }
    }
}

impl Files {
    fn find(folder: &Path, tokenizer_config: Option<&JsonFile>) -> Result<Self, EngineError> {
        let json = folder.join("tokenizer.json");
        if json.exists() {
            return Ok(Self::Json(json));
        }
        // The second pair is what OpenAI called them.
        for (vocab, merges) in [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")] {
            let (vocab, merges) = (folder.join(vocab), folder.join(merges));
            if vocab.exists() && merges.exists() {
                return Ok(Self::VocabAndMerges(vocab_and_merges(folder, vocab, merges, tokenizer_config)?));
            }
        }
        let sentencepiece = folder.join("tokenizer.model");
        if sentencepiece.exists() {
            let what = "a SentencePiece file by itself is not read: put the tokenizer.json of the same model beside it";
            return Err(EngineError::unsupported(sentencepiece, what));
        }
        let reason = "there is no tokenizer in this folder: tokenizer.json, or vocab.json with merges.txt";
        Err(EngineError::format(folder, reason))
    }
}

/// What the configuration says about a vocabulary and its merges; a `tokenizer.json` says these things itself.
fn vocab_and_merges(
    folder: &Path,
    vocab: PathBuf,
    merges: PathBuf,
    tokenizer_config: Option<&JsonFile>,
) -> Result<VocabAndMerges, EngineError> {
    let token = |key: &str| tokenizer_config.and_then(|json| json.get(key)).and_then(token_text);
    let switch = |key: &str| tokenizer_config.map(|json| json.bool(key)).transpose().map(Option::flatten);
    if let Some(json) = tokenizer_config
        && switch("add_prefix_space")? == Some(true)
    {
        let what = "`add_prefix_space` is true, which is not supported beside vocab.json: a tokenizer.json is";
        return Err(EngineError::unsupported(json.path(), what));
    }
    let adds_bos = switch("add_bos_token")? == Some(true);
    Ok(VocabAndMerges {
        vocab,
        merges,
        as_qwen2: is_qwen2(tokenizer_config)?,
        added_tokens: added_tokens(folder, tokenizer_config)?,
        bos: adds_bos.then(|| token("bos_token").unwrap_or_else(|| GPT2_SPECIAL.to_owned())),
    })
}

/// Whether the tokenizer is Qwen2's: otherwise it is GPT-2's.
fn is_qwen2(tokenizer_config: Option<&JsonFile>) -> Result<bool, EngineError> {
    let Some(json) = tokenizer_config else { return Ok(false) };
    match json.string("tokenizer_class")?.map(|class| class.trim_end_matches("Fast")) {
        None | Some("GPT2Tokenizer") => Ok(false),
        Some("Qwen2Tokenizer") => Ok(true),
        Some(class) => {
            let what = format!(
                "`tokenizer_class` is {class}: with vocab.json and merges.txt, GPT2Tokenizer and Qwen2Tokenizer are supported (any with a tokenizer.json)"
            );
            Err(EngineError::unsupported(json.path(), what))
        }
    }
}

/// The text of a special token: written as a string, or as an object with its `content`.
pub(super) fn token_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

/// The added tokens: by id, or special ones by their spelling alone.
fn added_tokens(folder: &Path, tokenizer_config: Option<&JsonFile>) -> Result<Vec<AddedTokenSpec>, EngineError> {
    let special_map = JsonFile::read(folder.join("special_tokens_map.json"))?;
    let mut specials = vec![GPT2_SPECIAL.to_owned()];
    for json in tokenizer_config.into_iter().chain(&special_map) {
        for key in ["bos_token", "eos_token", "unk_token", "pad_token"] {
            specials.extend(json.get(key).and_then(token_text));
        }
        let more = json.get("additional_special_tokens").and_then(Value::as_array);
        specials.extend(more.into_iter().flatten().filter_map(token_text));
    }
    let mut added_tokens: Vec<AddedTokenSpec> = Vec::new();
    if let Some(json) = tokenizer_config
        && let Some(Value::Object(by_id)) = json.get("added_tokens_decoder")
    {
        for (id, token) in by_id {
            let (Ok(id), Some(text)) = (id.parse(), token_text(token)) else {
                let reason = format!("`added_tokens_decoder` has {id}: {token}, which is no token with its id");
                return Err(EngineError::format(json.path(), reason));
            };
            let special = token.get("special").and_then(Value::as_bool) == Some(true) || specials.contains(&text);
            added_tokens.push(AddedTokenSpec { text, id: Some(id), special });
        }
    }
    if let Some(json) = JsonFile::read(folder.join("added_tokens.json"))? {
        for (text, id) in json.entries() {
            let Some(id) = id.as_u64().and_then(|id| TokenId::try_from(id).ok()) else {
                let reason = format!("the id of `{text}` is {id}, which is none");
                return Err(EngineError::format(json.path(), reason));
            };
            if !added_tokens.iter().any(|token| token.text == *text) {
                added_tokens.push(AddedTokenSpec {
                    text: text.clone(),
                    id: Some(id),
                    special: specials.contains(text),
                });
            }
        }
    }
    specials.retain(|text| !added_tokens.iter().any(|token| token.text == *text));
    added_tokens.extend(specials.into_iter().map(|text| AddedTokenSpec { text, id: None, special: true }));
    Ok(added_tokens)
}

/// One id or a list of them, each with where it stands. One that cannot be an id, such as -1, is none of the vocabulary.
fn ids(json: &JsonFile, key: &str) -> Result<Vec<(i64, String)>, EngineError> {
    let ids = match json.get(key) {
        None => Some(vec![]),
        Some(Value::Array(list)) => list.iter().map(Value::as_i64).collect(),
        Some(value) => value.as_i64().map(|id| vec![id]),
    };
    let ids: Vec<i64> =
        ids.ok_or_else(|| EngineError::format(json.path(), format!("`{key}` has to be a token id or a list of them")))?;
    Ok(ids.into_iter().map(|id| (id, place(json, key))).collect())
}

/// A key, for people.
fn place(json: &JsonFile, key: &str) -> String {
    format!("{}: `{key}`", json.path().display())
}
