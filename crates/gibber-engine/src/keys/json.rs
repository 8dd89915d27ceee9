//! A configuration in JSON.

use std::path::{Path, PathBuf};

use gibber_files::quoted;
use serde_json::{Map, Value};

use super::Bound;
use crate::EngineError;
use crate::weights::disguise;

/// A JSON file whose top is an object, read key by key with errors that name both.
#[derive(Debug)]
pub struct JsonFile {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl JsonFile {
    /// Reads the file; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or is no JSON object.
    pub fn read(path: PathBuf) -> Result<Option<Self>, EngineError> {
        let text = match gibber_files::read(&path, gibber_files::LARGE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(EngineError::Io { path, source }),
        };
        disguise::refuse(&path, &text)?;
        match crate::json::object(&text) {
            Ok(keys) => Ok(Some(Self { path, keys })),
            Err(what) => Err(EngineError::format(path, format!("not a JSON object: {what}"))),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of `key`, unless it is null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// Whether `key` is there, and null.
    pub fn is_null(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(Value::is_null)
    }

    /// The object under `key` as a configuration of its own, as the text part of a model that also sees has it.
    ///
    /// # Errors
    /// Where the value is no object.
    pub fn section(&self, key: &str) -> Result<Option<Self>, EngineError> {
        let section = self.typed(key, "an object", |value| value.as_object().cloned())?;
        Ok(section.map(|keys| Self { path: self.path.clone(), keys }))
    }

    /// Has `value` stand under `key`, whatever stood there.
    pub fn set(&mut self, key: &str, value: Value) {
        self.keys.insert(key.to_owned(), value);
    }

    /// All keys with their values.
    pub fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.keys.iter()
    }

    /// A size.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn size(&self, key: &str) -> Result<Option<usize>, EngineError> {
        self.typed(key, "a whole number", |value| value.as_u64().and_then(|size| usize::try_from(size).ok()))
    }

    /// A number within its bound.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn number(&self, key: &str, bound: Bound) -> Result<Option<f64>, EngineError> {
        self.typed(key, &bound.to_string(), |value| value.as_f64().filter(|&number| bound.holds(number)))
    }

    /// A text.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn string(&self, key: &str) -> Result<Option<&str>, EngineError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A switch.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, EngineError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        pick: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, EngineError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match pick(value) {
            Some(picked) => Ok(Some(picked)),
            None => {
                let value = value.to_string();
                let value = quoted::shortened(&value);
                Err(EngineError::format(&self.path, format!("`{key}` is {value}, it has to be {expected}")))
            }
        }
    }

    /// A size that has to be there.
    ///
    /// # Errors
    /// Where it is missing or none.
    pub fn required(&self, key: &str) -> Result<usize, EngineError> {
        self.size(key)?.ok_or_else(|| EngineError::format(&self.path, format!("`{key}` is missing")))
    }

    /// Refuses a switch that is not as `supported`, which is also its default.
    ///
    /// # Errors
    /// Where it is otherwise.
    pub fn require_bool(&self, key: &str, supported: bool) -> Result<(), EngineError> {
        match self.bool(key)? {
            Some(value) if value != supported => Err(self.unsupported(key, &value.to_string(), &supported.to_string())),
            _ => Ok(()),
        }
    }

    /// Refuses a text that is not one of `supported`, of which the default is one.
    ///
    /// # Errors
    /// Where it is another.
    pub fn require_one_of(&self, key: &str, supported: &[&str]) -> Result<(), EngineError> {
        match self.string(key)? {
            Some(value) if !supported.contains(&value) => Err(self.unsupported(key, value, &supported.join(" or "))),
            _ => Ok(()),
        }
    }

    /// That `key` has a value that nothing is computed for.
    pub fn unsupported(&self, key: &str, value: &str, supported: &str) -> EngineError {
        let value = quoted::shortened(value);
        EngineError::unsupported(&self.path, format!("`{key}` is {value}: supported is {supported}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_like_a_file_of_its_own_and_named_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, r#"{"text_config": {"n_embd": "wide"}, "vision_config": 3}"#).unwrap();
        let json = JsonFile::read(path).unwrap().unwrap();
        let section = json.section("text_config").unwrap().unwrap();
        let error = section.required("n_embd").unwrap_err().to_string();
        assert!(error.contains("config.json: `n_embd` is \"wide\""), "{error}");
        assert!(json.section("audio_config").unwrap().is_none());
        let error = json.section("vision_config").unwrap_err().to_string();
        assert!(error.contains("`vision_config` is 3, it has to be an object"), "{error}");
    }
}
