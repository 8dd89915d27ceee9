//! What is known of models beside what their files say: which sampling is recommended for them.

use anyhow::Result;
use gibber_engine::load::{self, ModelFiles};
use gibber_engine::sampling::{FileValue, KnownModel, Parameter, Recommended, SamplingValues};
use gibber_hub::{CatalogueEntry, RecommendedSampling};
use serde::Deserialize;

use super::{Context, models};
use crate::hub::catalogue;
use crate::settings::Think;
use crate::settings::layers::LayeredSampling;
use crate::store::Paths;

/// Of the default model.
const DEFAULT_MODEL: &str = include_str!("../../assets/models/SmolLM2-135M-Instruct.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    names: Vec<String>,
    sampling: SamplingValues,
}

/// The models of which something is known: from the person's own catalogue, of the default model, from the program's
/// catalogue. The first of them counts.
pub(super) fn known(paths: &Paths) -> Vec<KnownModel> {
    // What is wrong with a catalogue of the person's own, `gibber pull` says; a test reads the program's.
    let entries = catalogue::load(paths).or_else(|_| catalogue::built_in()).unwrap_or_default().entries;
    let (own, built_in): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| catalogue::is_own(entry));
    let default = toml::from_str::<Entry>(DEFAULT_MODEL).map(of_gibber);
    let known = own.into_iter().map(of_catalogue).chain(default).chain(built_in.into_iter().map(of_catalogue));
    known.filter(|known| !known.recommended.is_empty() || !known.recommended.notes.is_empty()).collect()
}

/// What an entry recommends. What no parameter can be is noted and left out.
fn of_catalogue(entry: &CatalogueEntry) -> KnownModel {
    let mut recommended =
        Recommended { source: format!("the catalogue's {}", entry.full_name()), ..Recommended::default() };
    recommended.values = taken(entry, entry.sampling, &mut recommended.notes);
    recommended.thinking = taken(entry, entry.thinking, &mut recommended.notes);
    KnownModel { names: vec![entry.repository.as_str().to_owned()], recommended }
}

/// What of an entry's sampling can be.
fn taken(entry: &CatalogueEntry, said: Option<RecommendedSampling>, notes: &mut Vec<String>) -> SamplingValues {
    let mut values = SamplingValues::default();
    let said = said.and_then(|said| serde_json::to_value(said).ok());
    for (key, value) in said.iter().filter_map(|said| said.as_object()).flatten() {
        let (Some(parameter), Ok(value)) = (Parameter::of_key(key), serde_json::from_value::<FileValue>(value.clone()))
        else {
            continue;
        };
        match parameter.spec().read(&value) {
            Ok(read) => values.set(parameter, read),
            Err(error) => {
                let place = &entry.place;
                notes.push(format!("{}:{}: `{key}` is ignored: {error}", place.path.display(), place.line));
            }
        }
    }
    values
}

/// What is recommended for a model, from its files and from what is known beside.
pub(super) fn of_files(files: &ModelFiles, paths: &Paths) -> Recommended {
    let of_files = files.recommended.clone();
    match KnownModel::find(&known(paths), &files.path, &files.name, &files.aliases) {
        Some(known) => of_files.beside(&known.recommended),
        None => of_files,
    }
}

/// Gives the sampling what is recommended for the model of the settings, as it thinks or does not where nothing else is said
/// than in the settings.
///
/// # Errors
/// Where that model is not there, or cannot be read.
pub(super) fn of_settings(context: &Context, sampling: &mut LayeredSampling) -> Result<()> {
    let files = load::open(&models::resolve(&context.settings.model.name, &context.paths)?)?;
    let recommended = of_files(&files, &context.paths);
    let thinks = recommended.has_modes() && context.settings.chat.think == Think::On;
    sampling.on_model(recommended);
    sampling.on_thinking(thinks);
    Ok(())
}

fn of_gibber(entry: Entry) -> KnownModel {
    let recommended =
        Recommended { values: entry.sampling, source: "measured for gibber".to_owned(), ..Recommended::default() };
    KnownModel { names: entry.names, recommended }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn named(known: &[KnownModel], name: &str) -> Recommended {
        KnownModel::find(known, Path::new(""), name, &[]).map(|known| known.recommended.clone()).unwrap_or_default()
    }

    #[test]
    fn something_is_known_of_the_default_model_and_of_those_of_the_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let known = known(&Paths::at(folder.path()));
        assert_eq!(named(&known, "SmolLM2-135M-Instruct").values.to_string(), "repeat-penalty 1.10");
        let qwen = named(&known, "Qwen3-0.6B");
        assert_eq!(qwen.values.to_string(), "temperature 0.70 · top-k 20 · top-p 0.80 · min-p 0.00");
        assert_eq!(qwen.thinking.to_string(), "temperature 0.60 · top-k 20 · top-p 0.95 · min-p 0.00");
        assert!(known.iter().all(|known| known.recommended.notes.is_empty()), "{known:?}");
    }

    #[test]
    fn a_catalogue_of_ones_own_comes_first_and_what_cannot_be_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[[family]]\nname = \"mine\"\narchitecture = \"qwen3\"\nlicence = \"MIT\"\ncontext = 4096\ngood_at = \"a\"\n\
            sampling = { temperature = 0.1, top_p = 7.0 }\n[[family.model]]\ntag = \"a\"\nrepository = \"Qwen/Qwen3-0.6B\"\nbytes = 1\n";
        std::fs::write(folder.path().join("catalogue.toml"), text).unwrap();
        let mine = named(&known(&Paths::at(folder.path())), "Qwen3-0.6B");
        assert_eq!(mine.values.to_string(), "temperature 0.10");
        let [note] = &mine.notes[..] else { panic!("{:?}", mine.notes) };
        assert!(note.contains("catalogue.toml:8: `top_p` is ignored: top_p = 7 is out of range"), "{note}");
    }
}
