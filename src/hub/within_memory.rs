//! The short names that are worth offering on this machine. No hub is asked.

use gibber_engine::load::MemoryProbe;
use gibber_hub::{CatalogueEntry, Reference};

use super::ModelHub;
use super::catalogue::{cannot_run, good_at, in_order};
use super::fit::Shape;

/// A model of the catalogue that this machine has the memory for, and that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obtainable {
    /// `qwen3:0.6b`
    pub name: String,
    /// Bytes to be fetched.
    pub bytes: u64,
    /// What it is good at, in a few words, and whether it answers.
    pub good_at: String,
    /// Its licence.
    pub licence: String,
    /// Whether its makers let in only who agreed to something.
    pub is_gated: bool,
    /// Why the engine cannot run it, if so.
    pub cannot_run: Option<String>,
}

impl ModelHub {
    /// What can be had, in the order of all lists.
    pub fn obtainable(&self) -> Vec<Obtainable> {
        let available = (MemoryProbe::default().0)();
        in_order(&self.names().entries)
            .into_iter()
            .filter(|entry| available.is_none_or(|available| shape(entry).need(entry.bytes).total() <= available))
            .filter(|entry| self.here(&reference(entry)).is_none())
            .map(obtainable)
            .collect()
    }

    /// Bytes of what a short name stands for.
    pub fn bytes_of(&self, reference: &Reference) -> Option<u64> {
        let Reference::Catalogue { name, tag } = reference else { return None };
        match self.names().find(name, tag.as_deref()) {
            gibber_hub::Found::One(entry, None) => Some(entry.bytes),
            // Of another type nobody knows the size.
            gibber_hub::Found::One(_, Some(_))
            | gibber_hub::Found::Family(_)
            | gibber_hub::Found::NoTag(_)
            | gibber_hub::Found::Nothing(_) => None,
        }
    }
}

fn shape(entry: &CatalogueEntry) -> Shape {
    entry.kv.map_or(Shape::Unknown, |kv| Shape::Catalogue { kv, context: entry.context })
}

fn reference(entry: &CatalogueEntry) -> Reference {
    Reference::Catalogue { name: entry.name.clone(), tag: Some(entry.tag.clone()) }
}

fn obtainable(entry: &CatalogueEntry) -> Obtainable {
    Obtainable {
        name: entry.full_name(),
        bytes: entry.bytes,
        good_at: good_at(entry),
        licence: entry.licence.clone(),
        is_gated: entry.gated,
        cannot_run: cannot_run(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Paths;

    #[test]
    fn what_this_machine_has_no_memory_for_is_not_offered() {
        let directory = tempfile::tempdir().unwrap();
        let text = "[[family]]\nname = \"tiny\"\narchitecture = \"llama\"\nlicence = \"MIT\"\ncontext = 512\n\
            good_at = \"being small\"\n[[family.model]]\ntag = \"small\"\nrepository = \"a/b\"\nbytes = 1000\nkv = 64\n\
            [[family.model]]\ntag = \"huge\"\nrepository = \"a/c\"\nbytes = 4_000_000_000_000_000\nkv = 64\n\
            [[family.model]]\ntag = \"odd\"\nrepository = \"a/d\"\nbytes = 1000\nkv = 64\n\
            architecture = \"no-such-thing\"\ngated = true\n";
        std::fs::write(directory.path().join("catalogue.toml"), text).unwrap();
        let hub = ModelHub::new(&Paths::at(directory.path()), true).unwrap();
        let found = hub.obtainable();
        let found: Vec<_> = found.iter().filter(|model| model.name.starts_with("tiny:")).collect();
        let names: Vec<_> = found.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["tiny:small", "tiny:odd"]);
        assert!(found[0].cannot_run.is_none() && !found[0].is_gated);
        assert!(found[1].cannot_run.is_some() && found[1].is_gated);
        assert_eq!(hub.bytes_of(&hub.reference("tiny:small").unwrap()), Some(1000));
    }
}
