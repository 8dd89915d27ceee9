//! What a model's files recommend for the sampling. A value that cannot be taken is no reason not to run the model: it is
//! noted and left out.

use std::path::Path;

use gibber_files::quoted;
use serde_json::Value as Json;

use crate::keys::JsonFile;
use crate::sampling::{FileValue, PARAMETERS, Parameter, ParameterValue, Recommended};
use crate::weights::gguf::{Metadata, Value};

/// Keys of a GGUF file that ask for samplers which are not here, where they are not 0.
const GGUF_OTHERS: [&str; 2] = ["general.sampling.xtc_probability", "general.sampling.mirostat"];

/// Parameters that mean nothing to a reply that takes the likeliest token each time.
const OF_DRAWS: [Parameter; 5] =
    [Parameter::Temperature, Parameter::TopK, Parameter::TopP, Parameter::MinP, Parameter::Typical];

/// What `generation_config.json` says (`GenerationConfig` in transformers).
///
/// `do_sample: false` is greedy, whatever stands beside it; where the key is missing, what stands beside it counts, although
/// transformers itself would be greedy then: files that name a temperature mean it.
pub(super) fn of_generation_config(json: &JsonFile) -> Recommended {
    let mut reading = Reading::new(json.path(), "generation_config.json");
    let is_greedy = json.get("do_sample") == Some(&Json::Bool(false));
    for spec in PARAMETERS.iter().filter(|spec| !is_greedy || !OF_DRAWS.contains(&spec.parameter)) {
        let Some((key, value)) = spec.generation_config.and_then(|key| Some((key, json.get(key)?))) else { continue };
        let read = serde_json::from_value(value.clone()).map_err(|_| value.to_string());
        reading.take(spec.parameter, key, read);
    }
    if is_greedy {
        reading.recommended.values.set(Parameter::Temperature, ParameterValue::Number(0.0));
    }
    reading.recommended
}

/// What the keys `general.sampling.…` of a GGUF file say.
pub(super) fn of_gguf(path: &Path, metadata: &Metadata<'_>) -> Recommended {
    let mut reading = Reading::new(path, "general.sampling");
    for spec in &PARAMETERS {
        let Some(key) = spec.gguf_key() else { continue };
        if let Some(value) = metadata.get(&key) {
            reading.take(spec.parameter, &key, file_value(value));
        }
    }
    for key in GGUF_OTHERS {
        match metadata.get(key).map(file_value) {
            None | Some(Ok(FileValue::Integer(0))) => {}
            Some(Ok(FileValue::Number(0.0))) => {}
            Some(value) => {
                let value = value.map_or_else(|text| text, |value| value.to_string());
                reading.note(key, &value, "that sampler is not here");
            }
        }
    }
    reading.recommended
}

fn file_value(value: &Value<'_>) -> Result<FileValue, String> {
    Ok(match value {
        Value::Unsigned(number) => i64::try_from(*number).map_or(FileValue::Unsigned(*number), FileValue::Integer),
        Value::Signed(number) => FileValue::Integer(*number),
        Value::Float(number) => FileValue::Number(*number),
        Value::String(text) => FileValue::Text((*text).to_owned()),
        Value::Bool(truth) => return Err(truth.to_string()),
        Value::BrokenString(_) => return Err("a string that is not UTF-8".to_owned()),
        Value::Array(_) => return Err("an array".to_owned()),
    })
}

/// What is read from a file.
struct Reading<'a> {
    path: &'a Path,
    recommended: Recommended,
}

impl<'a> Reading<'a> {
    fn new(path: &'a Path, source: &str) -> Self {
        Self { path, recommended: Recommended { source: source.to_owned(), ..Recommended::default() } }
    }

    /// Takes a value; an error is the text of one that is none.
    fn take(&mut self, parameter: Parameter, key: &str, value: Result<FileValue, String>) {
        let value = match value {
            // The way of these files to keep every token.
            Ok(FileValue::Integer(-1)) if parameter == Parameter::TopK => FileValue::Integer(0),
            Ok(value) => value,
            Err(text) => return self.note(key, &text, &format!("it has to be {}", parameter.spec().kind.wanted())),
        };
        match parameter.spec().read(&value) {
            Ok(read) => self.recommended.values.set(parameter, read),
            Err(error) => self.note(key, &value.to_string(), &error.to_string()),
        }
    }

    fn note(&mut self, key: &str, value: &str, why: &str) {
        let (path, value) = (self.path.display(), quoted::shortened(value));
        self.recommended.notes.push(format!("{path}: `{key}` = {value} is ignored: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Storage;
    use crate::weights::gguf::{Gguf, Header};

    fn of_json(text: &str) -> Recommended {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation_config.json");
        std::fs::write(&path, text).unwrap();
        of_generation_config(&JsonFile::read(path).unwrap().unwrap())
    }

    fn json(recommended: &Recommended) -> String {
        serde_json::to_string(&recommended.values).unwrap()
    }

    #[test]
    fn each_key_of_a_generation_config_is_read_and_others_are_not() {
        let read = of_json(
            r#"{"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.9,
                "repetition_penalty": 1.05, "eos_token_id": [1], "max_new_tokens": 7}"#,
        );
        let expected =
            r#"{"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0.01,"repeat_penalty":1.05,"typical_p":0.9}"#;
        assert_eq!((json(&read), read.notes.len()), (expected.to_owned(), 0));
        assert!(of_json(r#"{"temperature": null}"#).is_empty());
        assert_eq!(json(&of_json(r#"{"top_k": -1}"#)), r#"{"top_k":0}"#);
    }

    #[test]
    fn without_draws_the_likeliest_token_is_taken_and_a_penalty_stays() {
        let read = of_json(r#"{"do_sample": false, "temperature": 0.6, "top_p": 9, "repetition_penalty": 1.1}"#);
        assert_eq!((json(&read), read.notes.len()), (r#"{"temperature":0.0,"repeat_penalty":1.1}"#.to_owned(), 0));
        assert_eq!(json(&of_json(r#"{"temperature": 0.6}"#)), r#"{"temperature":0.6}"#);
    }

    #[test]
    fn what_cannot_be_is_ignored_and_named_with_file_and_value() {
        let read = of_json(r#"{"temperature": 70, "top_k": "many", "top_p": true, "min_p": 0.1, "typical_p": -1}"#);
        assert_eq!(json(&read), r#"{"min_p":0.1}"#);
        assert_eq!(read.notes.len(), 4, "{:?}", read.notes);
        let expected = "generation_config.json: `temperature` = 70 is ignored: temperature = 70 is out of range: it must be from 0 to 5";
        assert!(read.notes[0].ends_with(expected), "{}", read.notes[0]);
        assert!(read.notes[1].contains("`top_k` = many is ignored: top-k wants a whole number"), "{}", read.notes[1]);
        assert!(read.notes[2].contains("`top_p` = true is ignored"), "{}", read.notes[2]);
    }

    #[test]
    fn each_key_of_a_gguf_file_is_read_and_what_is_not_here_is_noted() {
        let mut header = Header::new();
        header.f32("general.sampling.temp", 0.6);
        header.u32("general.sampling.top_k", 20);
        header.f32("general.sampling.top_p", 0.95);
        header.f32("general.sampling.min_p", 2.0);
        header.f32("general.sampling.penalty_repeat", 1.1);
        header.u32("general.sampling.penalty_last_n", 128);
        header.string("general.sampling.sequence", "penalties;dry;top_k;top_p;temperature");
        header.f32("general.sampling.xtc_probability", 0.5);
        header.u32("general.sampling.mirostat", 0);
        let folder = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(folder.path().join("a.gguf")).unwrap();
        header.write_to(&mut file).unwrap();
        let storage = Storage::open(&folder.path().join("a.gguf")).unwrap();
        let gguf = Gguf::parse(Path::new("a.gguf"), &storage).unwrap();
        let read = of_gguf(Path::new("a.gguf"), &gguf.metadata);
        let expected = r#"{"temperature":0.6,"top_k":20,"top_p":0.95,"repeat_penalty":1.1,"repeat_last_n":128,"samplers":"penalties;top_k;top_p;temperature"}"#;
        assert_eq!(json(&read), expected);
        let [min_p, xtc] = &read.notes[..] else { panic!("{:?}", read.notes) };
        assert!(
            min_p.starts_with("a.gguf: `general.sampling.min_p` = 2 is ignored: min_p = 2 is out of range"),
            "{min_p}"
        );
        assert_eq!(xtc, "a.gguf: `general.sampling.xtc_probability` = 0.5 is ignored: that sampler is not here");
    }
}
