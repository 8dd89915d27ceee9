//! The sampling that a model's makers recommend.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SamplingValues;

/// What is recommended for a model, which takes the place of the program's defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Recommended {
    /// Where nothing else is said.
    pub values: SamplingValues,
    /// What is otherwise while the model thinks before it answers.
    pub thinking: SamplingValues,
    /// Where it stands, for people: `generation_config.json`.
    pub source: String,
    /// What stands there and is not taken, a sentence each, with the file and the value.
    pub notes: Vec<String>,
}

impl Recommended {
    /// For a reply before which the model thinks, or not.
    pub fn of(&self, thinks: bool) -> SamplingValues {
        let mut values = self.values.clone();
        if thinks {
            values.extend(&self.thinking);
        }
        values
    }

    /// Whether it makes a difference that the model thinks.
    pub fn has_modes(&self) -> bool {
        !self.thinking.is_empty()
    }

    /// Whether nothing is recommended.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.thinking.is_empty()
    }

    /// What a model's own files say, together with what is known of it elsewhere. The files come first, since they may
    /// have been changed on purpose; but they know one set for everything, so that where `known` has two, it is those.
    #[must_use]
    pub fn beside(self, known: &Self) -> Self {
        let (mut values, over) = match known.has_modes() {
            true => (self.values.clone(), &known.values),
            false => (known.values.clone(), &self.values),
        };
        values.extend(over);
        let sources = [(&self.source, self.is_empty()), (&known.source, known.is_empty())];
        let sources = sources.into_iter().filter(|(_, is_empty)| !is_empty).map(|(source, _)| source.as_str());
        let source = sources.collect::<Vec<_>>().join(", ");
        Self { values, thinking: known.thinking.clone(), source, notes: [self.notes, known.notes.clone()].concat() }
    }
}

/// A model of which it is known elsewhere than in its files what is recommended for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KnownModel {
    /// What it is called: its repository, `organization/name`, and other names.
    pub names: Vec<String>,
    /// What is recommended.
    pub recommended: Recommended,
}

impl KnownModel {
    /// The one of `known` that is called `name` or has one of the `aliases`, or lies in the folder of its repository in the
    /// cache of Hugging Face. Who has published a file does not count, nor that it is one of GGUF.
    pub fn find<'a>(known: &'a [Self], path: &Path, name: &str, aliases: &[String]) -> Option<&'a Self> {
        let folders = path.components().filter_map(|folder| folder.as_os_str().to_str()?.strip_prefix("models--"));
        let folders = folders.map(|folder| folder.replace("--", "/"));
        let names = folders.chain([name.to_owned()]).chain(aliases.iter().cloned()).map(|name| plain(&name));
        names
            .filter(|name| !name.is_empty())
            .find_map(|name| known.iter().find(|known| known.names.iter().any(|known| plain(known) == name)))
    }
}

/// The last part of a name or an address, letters and digits alone: `qwen306b` of `Qwen/Qwen3-0.6B-GGUF` and of `Qwen3 0.6B`.
fn plain(name: &str) -> String {
    let last = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let letters: String = last.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    letters.strip_suffix("gguf").map_or_else(|| letters.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &str, thinking: &str, source: &str) -> Recommended {
        let read = |json| serde_json::from_str(json).unwrap();
        Recommended { values: read(values), thinking: read(thinking), source: source.into(), notes: vec![] }
    }

    fn json(values: &SamplingValues) -> String {
        serde_json::to_string(values).unwrap()
    }

    #[test]
    fn the_files_of_a_model_come_before_what_is_known_of_it() {
        let both = set(r#"{"top_k":3}"#, "{}", "a.gguf").beside(&set(r#"{"top_k":4,"min_p":0.1}"#, "{}", "catalogue"));
        assert_eq!(
            (json(&both.of(false)), both.source.as_str()),
            (r#"{"top_k":3,"min_p":0.1}"#.into(), "a.gguf, catalogue")
        );
        assert_eq!(both.of(true), both.of(false));
    }

    #[test]
    fn two_sets_come_before_the_one_of_the_files() {
        let files = set(r#"{"temperature":0.6,"top_p":0.95,"top_k":20}"#, "{}", "generation_config.json");
        let known = set(r#"{"temperature":0.7,"top_p":0.8}"#, r#"{"temperature":0.6,"top_p":0.95}"#, "catalogue");
        let both = files.beside(&known);
        assert_eq!(json(&both.of(false)), r#"{"temperature":0.7,"top_k":20,"top_p":0.8}"#);
        assert_eq!(json(&both.of(true)), r#"{"temperature":0.6,"top_k":20,"top_p":0.95}"#);
    }

    #[test]
    fn a_model_is_known_by_its_name_its_aliases_and_its_folder() {
        let known = [KnownModel { names: vec!["Qwen/Qwen3-0.6B".into()], recommended: Recommended::default() }];
        let is_known = |path: &str, name: &str, alias: &str| {
            KnownModel::find(&known, Path::new(path), name, &[alias.to_owned()]).is_some()
        };
        assert!(is_known("/m/qwen3-0.6b.Q8_0.gguf", "qwen3-0.6b", ""));
        assert!(is_known("/m/a.gguf", "a", "Qwen3 0.6B"));
        assert!(is_known("/m/a.gguf", "a", "https://huggingface.co/unsloth/Qwen3-0.6B-GGUF/"));
        assert!(is_known("/c/models--Qwen--Qwen3-0.6B/snapshots/0/", "0", ""));
        assert!(!is_known("/m/a.gguf", "a", "Qwen3 0.6B Base") && !is_known("/m/Qwen3-0.6B/a.gguf", "a", ""));
    }
}
