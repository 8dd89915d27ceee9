//! The catalogue as the program has it: its own entries and the person's, with what this engine makes of each.

use std::path::Path;

use gibber_hub::{Catalogue, CatalogueEntry, HubError, Result};

use super::fit::{self, TypeMark};
use crate::store::Paths;
use gibber_engine::model::family;

/// What comes with the program.
const BUILT_IN: &str = include_str!("../../assets/catalogue.toml");
/// Its name in errors.
const BUILT_IN_PATH: &str = "assets/catalogue.toml";
/// The person's own, beside config.toml.
const OWN: &str = "catalogue.toml";

/// All short names: what comes with the program, and the person's own before them.
///
/// # Errors
/// Where one cannot be read, with file and line.
pub fn load(paths: &Paths) -> Result<Catalogue> {
    let built_in = built_in()?;
    let path = paths.directory().join(OWN);
    match gibber_files::read_text(&path, gibber_files::SMALL) {
        Ok(text) => Ok(built_in.with(Catalogue::parse(&text, &path)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(built_in),
        Err(source) => Err(HubError::Io { path, source }),
    }
}

/// What comes with the program alone.
///
/// # Errors
/// None: a test reads it.
pub fn built_in() -> Result<Catalogue> {
    Catalogue::parse(BUILT_IN, Path::new(BUILT_IN_PATH))
}

/// Whether an entry is the person's own.
pub fn is_own(entry: &CatalogueEntry) -> bool {
    entry.place.path != Path::new(BUILT_IN_PATH)
}

/// Entries in the order in which all lists have them: what answers, what goes on with a text, and at last what cannot be run
/// yet; in each the order of the catalogue.
pub fn in_order<'a>(entries: impl IntoIterator<Item = &'a CatalogueEntry>) -> Vec<&'a CatalogueEntry> {
    let mut entries: Vec<&CatalogueEntry> = entries.into_iter().collect();
    entries.sort_by_key(|entry| (cannot_run(entry).is_some(), !entry.chats));
    entries
}

/// What an entry is good at, and whether it answers.
pub fn good_at(entry: &CatalogueEntry) -> String {
    if entry.chats { entry.good_at.clone() } else { format!("{}, no chat", entry.good_at) }
}

/// Why this engine cannot run an entry; `None` where it can, as far as the catalogue tells.
pub fn cannot_run(entry: &CatalogueEntry) -> Option<String> {
    cannot_run_architecture(entry).or_else(|| {
        let kind = entry.weight_type.as_ref()?;
        let is_computed = fit::mark(Some(kind)) != TypeMark::NotComputed;
        (!is_computed).then(|| format!("weights of the type {kind} cannot be run yet"))
    })
}

/// The same of its architecture alone: the type can be another one.
pub fn cannot_run_architecture(entry: &CatalogueEntry) -> Option<String> {
    let is_known = if entry.is_floats() {
        family::all().any(|family| family.is_called(&entry.architecture))
    } else {
        family::of_gguf(&entry.architecture).is_some()
    };
    (!is_known).then(|| format!("models of the architecture {} cannot be run yet", entry.architecture))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gibber_hub::{Found, WeightType};

    fn shipped() -> Catalogue {
        load(&Paths::at(tempfile::tempdir().unwrap().path())).unwrap()
    }

    fn entry(name: &str, tag: &str) -> CatalogueEntry {
        match shipped().find(name, Some(tag)) {
            Found::One(entry, _) => entry.clone(),
            other => panic!("{name}:{tag}: {other:?}"),
        }
    }

    #[test]
    fn what_the_engine_cannot_run_is_told_from_its_families_and_types() {
        for (name, tag) in [
            ("gpt2", "small"),
            ("qwen3", "0.6b"),
            ("qwen2.5", "7b"),
            ("llama3.2", "1b"),
            ("smollm2", "135m"),
            ("smollm3", "3b"),
            ("gemma3", "4b"),
            ("olmo2", "1b"),
            ("bonsai", "8b"),
        ] {
            assert_eq!(cannot_run(&entry(name, tag)), None, "{name}:{tag}");
        }
        let mut entry = entry("bonsai", "8b");
        entry.architecture = "no-such-thing".to_owned();
        let of_architecture = cannot_run(&entry).unwrap();
        assert!(of_architecture.contains("no-such-thing"), "{of_architecture}");
        entry.architecture = "qwen3".to_owned();
        entry.weight_type = WeightType::new("PQ2_0");
        let of_type = cannot_run(&entry).unwrap();
        assert!(of_type.contains("PQ2_0"), "{of_type}");
    }

    #[test]
    fn what_answers_comes_first_and_what_cannot_be_run_last() {
        let catalogue = shipped();
        let ordered = in_order(&catalogue.entries);
        let rank = |entry: &&CatalogueEntry| (cannot_run(entry).is_some(), !entry.chats);
        assert!(ordered.is_sorted_by_key(rank) && ordered.len() == catalogue.entries.len());
        let place = |name: &str| ordered.iter().position(|entry| entry.full_name() == name).unwrap();
        assert!(place("smollm2:135m") < place("qwen3:0.6b") && place("qwen3:0.6b") < place("gpt2:small"));
        assert!(ordered[0].chats && good_at(ordered[place("gpt2:small")]) == "going on with a text, no chat");
    }

    #[test]
    fn a_catalogue_of_ones_own_comes_first_and_its_faults_have_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::at(folder.path());
        let own = folder.path().join("catalogue.toml");
        let text = "[[family]]\nname = \"qwen3\"\narchitecture = \"llama\"\nlicence = \"x\"\ncontext = 9\ngood_at = \"y\"\n\
                    [[family.model]]\ntag = \"0.6b\"\nrepository = \"me/mine\"\nbytes = 1\n";
        std::fs::write(&own, text).unwrap();
        let catalogue = load(&paths).unwrap();
        let Found::One(entry, _) = catalogue.find("qwen3", Some("0.6b")) else { panic!() };
        assert_eq!((entry.repository.as_str(), entry.place.path.as_path()), ("me/mine", own.as_path()));
        assert!(matches!(catalogue.find("qwen3", Some("8b")), Found::One(..)), "the rest is there as well");
        std::fs::write(&own, text.replace("bytes = 1", "byte = 1")).unwrap();
        let error = load(&paths).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:10: ", own.display())), "{error}");
    }
}
