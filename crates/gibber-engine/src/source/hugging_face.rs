//! What a Hugging Face folder says about its model.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ModelFiles, display_name, recommended, tokenizer_files};
use crate::EngineError;
use crate::keys::JsonFile;
use crate::model::family::{self, Described, wrapped::is_other_part};
use crate::model::{Leftovers, ModelConfig, Slot, TensorSpec};
use crate::weights::{Storage, Tensor, Weights, disguise, safetensors, shards};

/// Opens the folder.
pub(super) fn open(folder: &Path) -> Result<ModelFiles, EngineError> {
    let Some(config_json) = JsonFile::read(folder.join("config.json"))? else {
        let reason = "there is no config.json in this folder: it is no Hugging Face model (of a GGUF, give the file)";
        return Err(EngineError::format(folder, reason));
    };
    let Described { mut config, unread } = family::config_from_json(&config_json)?;
    let weights_path = weights_path(folder)?;
    let tensors = if weights_path.ends_with(shards::INDEX) {
        shards::open(&weights_path)?
    } else {
        safetensors::parse(&weights_path, &Storage::open(&weights_path)?)?
    };
    config.tied = config.tied && !has_output_of_its_own(&config, &tensors);
    let leftovers = Leftovers::of(&config);
    let is_unread = |name: &str| unread.is_some() && is_other_part(name);
    let tensors = tensors.into_iter().filter(|tensor| !leftovers.contains(tensor.name()) && !is_unread(tensor.name()));
    let weights = Weights::new(&weights_path, tensors);
    let tokenizer_config = JsonFile::read(folder.join("tokenizer_config.json"))?;
    let token =
        |key: &str| tokenizer_config.as_ref().and_then(|json| json.get(key)).and_then(tokenizer_files::token_text);
    let generation = JsonFile::read(folder.join("generation_config.json"))?;
    Ok(ModelFiles {
        name: display_name(folder),
        path: folder.to_owned(),
        config,
        unread,
        weights,
        chat_template: chat_template(folder, tokenizer_config.as_ref())?,
        bos_token: token("bos_token"),
        eos_token: token("eos_token"),
        recommended: generation.as_ref().map(recommended::of_generation_config).unwrap_or_default(),
        file_type: None,
        aliases: Vec::new(),
        tokenizer: super::TokenizerFiles::HuggingFace(tokenizer_files::TokenizerFiles::find(
            folder,
            &config_json,
            tokenizer_config.as_ref(),
            generation.as_ref(),
        )?),
    })
}

/// Whether there is an output projection that is not the embedding, to which the configuration ties it: what the tensors say
/// goes before that, as in transformers.
fn has_output_of_its_own(config: &ModelConfig, tensors: &[Tensor]) -> bool {
    let untied = ModelConfig { tied: false, ..config.clone() };
    let specs = config.family.global_tensors(&untied);
    let in_slot = |slot| specs.iter().find(|spec: &&TensorSpec| spec.slot == slot);
    let (Some(embedding), Some(output)) = (in_slot(Slot::Embedding), in_slot(Slot::Output)) else { return false };
    let called = |name: String| tensors.iter().find(|tensor| tensor.name() == name);
    config.family.prefixes().iter().any(|prefix| {
        let embedding = called(format!("{}{}", prefix.body, embedding.hugging_face));
        let output = called(format!("{}{}", prefix.head, output.hugging_face));
        embedding.zip(output).is_some_and(|(embedding, output)| embedding.bytes() != output.bytes())
    })
}

fn weights_path(folder: &Path) -> Result<PathBuf, EngineError> {
    for name in ["model.safetensors", shards::INDEX] {
        let path = folder.join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    let others = [
        ("pytorch_model.bin", "its weights are a pickle, which is not read: convert them to model.safetensors"),
        (
            "pytorch_model.bin.index.json",
            "its weights are pickles, which are not read: convert them to model.safetensors",
        ),
    ];
    match others.into_iter().find(|(name, _)| folder.join(name).exists()) {
        Some((name, what)) => Err(EngineError::unsupported(folder.join(name), what)),
        None => Err(EngineError::format(folder, "there is no model.safetensors in this folder")),
    }
}

/// `chat_template.jinja`, or where that is not there or has no tag in it, the key of `tokenizer_config.json`.
fn chat_template(folder: &Path, tokenizer_config: Option<&JsonFile>) -> Result<Option<String>, EngineError> {
    let path = folder.join("chat_template.jinja");
    let file = match gibber_files::read_text(&path, gibber_files::SMALL) {
        Ok(template) => {
            // An empty one is no accident of a download: it says nothing.
            if !template.trim().is_empty() {
                disguise::refuse(&path, template.as_bytes())?;
            }
            Some(template)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(EngineError::Io { path, source }),
    };
    match file {
        Some(template) if template.contains("{{") || template.contains("{%") => Ok(Some(template)),
        other => Ok(configured_template(tokenizer_config)?.or(other)),
    }
}

/// The key of `tokenizer_config.json`; of several named ones the default, or the first where none is called so.
fn configured_template(tokenizer_config: Option<&JsonFile>) -> Result<Option<String>, EngineError> {
    let Some(json) = tokenizer_config else { return Ok(None) };
    match json.get("chat_template") {
        None => Ok(None),
        Some(Value::String(template)) => Ok(Some(template.clone())),
        Some(Value::Array(named)) => {
            let default = named.iter().find(|one| one.get("name").and_then(Value::as_str) == Some("default"));
            let chosen = default.or_else(|| named.first());
            Ok(chosen.and_then(|one| one.get("template")?.as_str()).map(str::to_owned))
        }
        Some(Value::Object(named)) => {
            let chosen = named.get("default").or_else(|| named.values().next());
            Ok(chosen.and_then(Value::as_str).map(str::to_owned))
        }
        Some(_) => Err(EngineError::format(json.path(), "`chat_template` has to be a string or a list of named ones")),
    }
}
