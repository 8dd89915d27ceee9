//! Repositories that wrap a text model beside something that sees or hears: of them the text model is read, and people are
//! told what is not.

use crate::EngineError;
use crate::keys::JsonFile;

/// What `model_type` calls them, the kind of the text model where it does not say it, and whether its output projection is the
/// embedding where nobody says it.
const WRAPPERS: &[(&str, &str, bool)] = &[
    ("gemma3", "gemma3_text", true),
    ("gemma3n", "gemma3n_text", true),
    ("gemma4", "gemma4_text", true),
    ("lfm2_vl", "lfm2", true),
    ("mistral3", "mistral", true),
    ("qwen3_5", "qwen3_5_text", false),
    ("qwen3_5_moe", "qwen3_5_moe_text", false),
];
/// How the names of tensors begin that are not of the text model, without what stands before all names.
const OTHER_PARTS: &[&str] =
    &["vision_tower.", "audio_tower.", "multi_modal_projector.", "embed_vision.", "embed_audio.", "visual."];
const BEFORE_NAMES: &[&str] = &["", "model."];

/// What says that the output projection is the embedding. A projection that is there is used all the same.
const TIED: &str = "tie_word_embeddings";

/// The text model of a repository.
#[derive(Debug)]
pub(super) struct Wrapped {
    /// Its configuration.
    pub(super) text: JsonFile,
    /// Its kind.
    pub(super) kind: String,
    /// What of the repository is not read, for people.
    pub(super) unread: String,
}

/// What `json`, whose `model_type` is `name`, wraps; `None` where it is the text model itself.
///
/// # Errors
/// Where a part is no object.
pub(super) fn text_model(json: &JsonFile, name: &str) -> Result<Option<Wrapped>, EngineError> {
    let Some(&(_, usual_kind, usually_tied)) = WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name) else {
        return Ok(None);
    };
    let Some(mut text) = json.section("text_config")? else { return Ok(None) };
    let kind = text.string("model_type")?.unwrap_or(usual_kind).to_owned();
    // What stands outside counts, as in transformers; inside alone it is said where the weights are nowhere else.
    let tied = json.bool(TIED)?.unwrap_or(usually_tied) || text.bool(TIED)?.unwrap_or(false);
    text.set(TIED, tied.into());
    // What is said of all weights may stand outside.
    if let Some(value) = json.get("quantization_config").filter(|_| text.get("quantization_config").is_none()) {
        text.set("quantization_config", value.clone());
    }
    let is_there = |key: &str| json.get(key).is_some();
    let what = match (is_there("vision_config"), is_there("audio_config")) {
        (true, true) => "pictures and sound are not read",
        (false, true) => "sound is not read",
        (true, false) | (false, false) => "pictures are not read",
    };
    let unread = format!("{what}: of this model (`{name}`) the part that reads and writes text is used");
    Ok(Some(Wrapped { text, kind, unread }))
}

/// Whether the tensor `name` of such a repository is of what sees or hears.
pub fn is_other_part(name: &str) -> bool {
    let parts = || BEFORE_NAMES.iter().flat_map(|before| OTHER_PARTS.iter().map(move |part| (before, part)));
    parts().any(|(before, part)| name.strip_prefix(before).is_some_and(|name| name.starts_with(part)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::keys::JsonFile;
    use crate::load::{ModelSource, open};
    use crate::model::family::tests::{assert_same, fixture, tensors_of, write_tensors};

    /// The fixture `name` as the text model of a repository of the kind `wrapper`, with `body` and `head` before its names.
    fn wrapped(name: &str, wrapper: &str, [body, head, tower]: [&str; 3]) -> tempfile::TempDir {
        let (source, folder) = (fixture(name), tempfile::tempdir().unwrap());
        for name in ["vocab.json", "merges.txt"] {
            std::fs::copy(source.join(name), folder.path().join(name)).unwrap();
        }
        let renamed = tensors_of(name).into_iter().map(|(name, shape, bytes)| {
            let inner = name.strip_prefix("model.").map(|name| format!("{body}{name}"));
            (inner.unwrap_or_else(|| format!("{head}{name}")), shape, bytes)
        });
        let seeing = (format!("{tower}patches.weight"), vec![2, 2], vec![0; 16]);
        write_tensors(&folder.path().join("model.safetensors"), &renamed.chain([seeing]).collect::<Vec<_>>());
        let text: Value = serde_json::from_slice(&std::fs::read(source.join("config.json")).unwrap()).unwrap();
        let outer = json!({"model_type": wrapper, "vision_config": {"hidden_size": 2}, "text_config": text});
        std::fs::write(folder.path().join("config.json"), outer.to_string()).unwrap();
        folder
    }

    #[test]
    fn of_a_model_that_sees_the_text_part_is_read_and_that_is_said() {
        for (name, wrapper) in [
            ("variant-gemma3", "gemma3"),
            ("variant-mistral", "mistral3"),
            ("variant-ministral3", "mistral3"),
            ("variant-gemma4", "gemma4"),
        ] {
            for names in [
                ["language_model.model.", "language_model.", "vision_tower."],
                ["model.language_model.", "", "model.vision_tower."],
            ] {
                let folder = wrapped(name, wrapper, names);
                assert_same(name, folder.path());
                let files = open(&ModelSource::Path(folder.path().to_owned())).unwrap();
                let unread = files.unread.unwrap();
                assert!(unread.starts_with("pictures are not read") && unread.contains(wrapper), "{unread}");
            }
        }
        assert!(open(&ModelSource::Path(fixture("variant-gemma3"))).unwrap().unread.is_none());
    }

    #[test]
    fn whether_the_output_projection_is_the_embedding_is_said_outside() {
        for (outside, inside, expected) in [
            (Value::Null, json!(false), true),
            (json!(true), json!(false), true),
            (json!(false), json!(true), true),
            (json!(false), Value::Null, false),
            (json!(false), json!(false), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config.json");
            let inner = json!({"model_type": "ministral3", "tie_word_embeddings": inside});
            let outer = json!({"model_type": "mistral3", "tie_word_embeddings": outside, "text_config": inner});
            std::fs::write(&path, outer.to_string()).unwrap();
            let json = JsonFile::read(path).unwrap().unwrap();
            let text = super::text_model(&json, "mistral3").unwrap().unwrap().text;
            assert_eq!(text.bool(super::TIED).unwrap(), Some(expected), "{outside} {inside}");
        }
    }

    #[test]
    fn what_is_said_outside_of_all_weights_counts() {
        let folder = wrapped("variant-mistral", "mistral3", ["model.language_model.", "", "model.vision_tower."]);
        let path = folder.path().join("config.json");
        let mut outer: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        outer["quantization_config"] = json!({"quant_method": "fp8"});
        std::fs::write(&path, outer.to_string()).unwrap();
        let error = open(&ModelSource::Path(folder.path().to_owned())).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("quantization_config"), "{error}");
    }
}
