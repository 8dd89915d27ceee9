//! What can be had in a chat where no model, or another one, is on this machine.

use super::models;
use crate::app::{ModelOffer, OfferedModel};
use crate::hub::{ModelHub, Obtainable};
use crate::store::Paths;

/// The models that can be pulled, those that can be run first. Where the environment cannot be used there are none; a pull
/// says why.
pub(super) fn offered(paths: &Paths) -> Vec<OfferedModel> {
    // No hub is asked.
    let hub = ModelHub::new(paths, true).or_else(|_| ModelHub::with_own_names_left_out(paths));
    hub.map_or_else(|_| Vec::new(), |hub| hub.obtainable().into_iter().map(offered_model).collect())
}

fn offered_model(model: Obtainable) -> OfferedModel {
    let gated = model.is_gated.then(|| "gated: its makers want you to agree first".to_owned());
    let cannot_run = model.cannot_run.clone();
    let about: Vec<String> = model.cannot_run.into_iter().chain([model.good_at, model.licence]).chain(gated).collect();
    OfferedModel { name: model.name, bytes: Some(model.bytes), about: about.join(" · "), cannot_run }
}

/// What is wrong with the person's own short names, for the first thing that the chat says.
pub(super) fn problem(paths: &Paths) -> Option<String> {
    let error = crate::hub::catalogue::load(paths).err()?;
    Some(format!("{error}; until that is mended the program's own names are offered alone"))
}

/// What can be had where nothing is under a name.
pub(super) fn offer_for(name: &str, paths: &Paths) -> Option<ModelOffer> {
    if name.is_empty() {
        return Some(ModelOffer::Any);
    }
    let hub = ModelHub::new(paths, true).ok()?;
    let reference = hub.reference(name).ok()?;
    let can_be_had = models::can_be_fetched(&hub, name, &reference);
    let bytes = hub.bytes_of(&reference);
    can_be_had
        .then(|| ModelOffer::One(OfferedModel { name: name.to_owned(), bytes, about: String::new(), cannot_run: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_meant_for_a_hub_is_offered_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::at(directory.path());
        for name in ["qwen3:0.6b", "gpt2", "maker/model", "maker/model:Q8_0", "https://host.example/model.gguf"] {
            assert!(matches!(offer_for(name, &paths), Some(ModelOffer::One(model)) if model.name == name), "{name}");
        }
        for name in ["nosuchmodel", "./models/x.gguf", "/tmp/x.gguf", "models/x.gguf", "~/x", "a\u{1b}b"] {
            assert_eq!(offer_for(name, &paths), None, "{name:?}");
        }
    }

    #[test]
    fn a_broken_catalogue_of_ones_own_takes_nothing_but_itself() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::at(directory.path());
        assert_eq!(problem(&paths), None);
        let whole = offered(&paths).len();
        std::fs::write(directory.path().join("catalogue.toml"), "[[family]]\nname = 5\n").unwrap();
        assert!(whole > 10 && offered(&paths).len() == whole);
        assert!(problem(&paths).is_some_and(|said| said.contains("catalogue.toml:2: ")), "{:?}", problem(&paths));
    }

    #[test]
    fn what_cannot_be_run_or_is_gated_says_so() {
        let model = |cannot_run: Option<&str>, is_gated| {
            offered_model(Obtainable {
                name: "a:b".to_owned(),
                bytes: 1,
                good_at: "being small".to_owned(),
                licence: "MIT".to_owned(),
                is_gated,
                cannot_run: cannot_run.map(str::to_owned),
            })
            .about
        };
        assert_eq!(model(None, false), "being small · MIT");
        assert!(model(Some("it cannot be run yet"), true).starts_with("it cannot be run yet · being small"));
        assert!(model(None, true).contains("gated"));
    }
}
