//! Settings as text, each with a word on where it comes from.

use toml_edit::{DocumentMut, Item};

use super::Settings;
use super::layers::{LayeredSampling, Origin};
use super::schema::{self, PRESETS, SECTIONS};
use gibber_engine::sampling::{FileValue, PARAMETERS, ParameterSpec};

/// The settings after one more source has had its say, and what that source is called.
#[derive(Debug)]
pub struct Stage<'a> {
    /// For people: `config.toml`.
    pub source: &'a str,
    /// With what it says.
    pub settings: Settings,
}

/// The settings after the last of `stages` as a config.toml, with the source of each value behind it. What is recommended
/// for the model is a comment: who puts the text into config.toml leaves it to the model.
///
/// # Errors
/// A sentence, where TOML cannot hold them.
pub fn text_with_origins(stages: &[Stage<'_>], sampling: &LayeredSampling) -> Result<String, String> {
    let read = |settings: &Settings| -> Result<DocumentMut, String> {
        let text = toml::to_string(settings).map_err(|error| error.to_string())?;
        text.parse().map_err(|error: toml_edit::TomlError| error.to_string())
    };
    let before = read(&Settings::default())?;
    let stages: Vec<(&str, DocumentMut)> =
        stages.iter().map(|stage| Ok((stage.source, read(&stage.settings)?))).collect::<Result<_, String>>()?;
    let last = stages.last().map_or(&before, |(_, document)| document);
    let mut text = String::new();
    for section in &SECTIONS {
        text.push_str(&format!("[{}]\n", section.name));
        if section.name == schema::SAMPLING.name {
            PARAMETERS.iter().for_each(|spec| text.push_str(&parameter_line(spec, sampling)));
            let recommended = sampling.recommended();
            if recommended.has_modes() && !sampling.is_of_thinking() {
                text.push_str(&format!("# while the model thinks: {}\n", recommended.thinking));
            }
        } else {
            for key in section.keys {
                let value = |document: &DocumentMut| document.get(section.name)?.get(key.name).map(shown);
                let source =
                    source_of(value(&before), stages.iter().map(|(source, settings)| (*source, value(settings))));
                let value = value(last).unwrap_or_default();
                text.push_str(&format!("{} = {value} # {source}\n", key.name));
            }
        }
        text.push('\n');
    }
    // Nobody but config.toml has any of these.
    for name in [PRESETS, schema::KEYS] {
        let mut rest = DocumentMut::new();
        if let Some(item) = last.get(name).filter(|item| item.as_table_like().is_some_and(|table| !table.is_empty())) {
            rest.insert(name, item.clone());
            text.push_str(&format!("{}\n", rest.to_string().trim()));
        }
    }
    Ok(format!("{}\n", text.trim_end()))
}

/// The last source that has changed a value.
fn source_of<'a>(default: Option<String>, stages: impl Iterator<Item = (&'a str, Option<String>)>) -> &'a str {
    let mut source = "default";
    let mut value = default;
    for (next, said) in stages {
        if said != value {
            (source, value) = (next, said);
        }
    }
    source
}

fn shown(item: &Item) -> String {
    item.to_string().trim().to_owned()
}

fn parameter_line(spec: &ParameterSpec, sampling: &LayeredSampling) -> String {
    let value = match FileValue::from(&spec.parameter.get(sampling.in_force())) {
        FileValue::Number(number) => format!("{number:?}"),
        FileValue::Text(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    let key = spec.key;
    match sampling.origin(spec.parameter) {
        Origin::Model => {
            let thinking = if sampling.is_of_thinking() { ", while it thinks" } else { "" };
            let source = &sampling.recommended().source;
            format!("# {key} = {value} # {}{thinking} ({source})\n", Origin::Model)
        }
        Origin::Config => format!("{key} = {value} # config.toml\n"),
        origin @ (Origin::Program | Origin::Chat | Origin::Flag | Origin::Set) => {
            format!("{key} = {value} # {origin}\n")
        }
    }
}

/// The keys of `[sampling]` that stand in `text`, a valid config.toml, at the program's default, and so count as unset.
pub fn without_effect(text: &str) -> Vec<&'static str> {
    let Ok(document) = text.parse::<DocumentMut>() else { return Vec::new() };
    let Some(written) = document.get(schema::SAMPLING.name).and_then(Item::as_table_like) else { return Vec::new() };
    let default = gibber_engine::SamplingParams::default();
    let is_default = |spec: &&ParameterSpec| {
        let value =
            written.get(spec.key).and_then(|item| toml::from_str::<Written>(&format!("value = {}", shown(item))).ok());
        let value = value.and_then(|written| spec.read(&written.value).ok());
        value.is_some_and(|value| value == spec.parameter.get(&default))
    };
    PARAMETERS.iter().filter(is_default).map(|spec| spec.key).collect()
}

#[derive(serde::Deserialize)]
struct Written {
    value: FileValue,
}
