use std::ffi::OsString;
use std::fs;
use std::path::Path;

use gibber_hub::{Cancel, HubEnvironment, Limits};

use super::*;
use crate::store::Paths;
use testing::TestHub;

#[allow(dead_code, unreachable_pub, clippy::expect_used, reason = "it serves the tests of several crates")]
#[path = "../../../crates/gibber-hub/testing/hub/mod.rs"]
mod testing;

const REPOSITORY: &str = "maker/Tiny-GGUF";

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// A person with a hub: folders of their own, and what the environment says.
struct Stage {
    server: TestHub,
    folder: tempfile::TempDir,
    hub: ModelHub,
}

impl Stage {
    fn new() -> Self {
        Self::with_catalogue("")
    }

    fn with_catalogue(text: &str) -> Self {
        let (server, folder) = (TestHub::start(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("catalogue.toml"), text).unwrap();
        let hub = hub_of(&server, folder.path(), false);
        Self { server, folder, hub }
    }

    fn offline(&self) -> ModelHub {
        hub_of(&self.server, self.folder.path(), true)
    }

    fn offer(&self, name: &str) -> Result<Offer> {
        self.hub.offer(name, &self.hub.reference(name)?)
    }

    fn error(&self, name: &str) -> String {
        self.offer(name).unwrap_err().to_string()
    }

    /// Bytes of GGUF files that were asked for.
    fn bytes_asked(&self) -> u64 {
        let asked = self.server.asked_for(".gguf");
        asked
            .iter()
            .filter_map(|one| one.range())
            .map(|(first, last)| last.map_or(u64::MAX, |last| last + 1 - first))
            .sum()
    }
}

fn hub_of(server: &TestHub, folder: &Path, offline: bool) -> ModelHub {
    let url = server.url();
    let variable = |name: &str| match name {
        "HF_ENDPOINT" => Some(OsString::from(url.clone())),
        "HF_HOME" => Some(folder.join("hf").into_os_string()),
        "HF_HUB_OFFLINE" => offline.then(|| OsString::from("1")),
        _ => None,
    };
    let environment = HubEnvironment::with(Some(folder), variable).unwrap();
    ModelHub::with_environment(&Paths::at(folder), &environment).unwrap()
}

/// Types of one small model, the larger ones made longer than any header.
fn commit_types(server: &TestHub) {
    let padded = |name: &str, size: usize| {
        let mut bytes = fixture(name);
        bytes.resize(size, 0);
        bytes
    };
    server.commit(
        REPOSITORY,
        &[
            ("README.md", b"# Tiny"),
            ("Tiny-F32.gguf", &padded("tiny-llama.F32.gguf", 9_000_000)),
            ("Tiny-Q8_0.gguf", &padded("tiny-llama.Q8_0.gguf", 5_000_000)),
            ("Tiny-Q4_1.gguf", &padded("tiny-llama.Q4_1.gguf", 3_000_000)),
            ("Tiny-PQ2_0.gguf", &padded("tiny-llama.Q4_1.gguf", 2_000_000)),
            ("mmproj-Tiny-F16.gguf", b"GGUF"),
        ],
    );
}

#[test]
fn of_a_repository_the_best_type_is_offered_and_only_a_header_is_fetched() {
    let stage = Stage::new();
    commit_types(&stage.server);
    let offer = stage.offer(REPOSITORY).unwrap();
    let OfferSource::Repository(plan) = &offer.source else { panic!() };
    assert_eq!(plan.model.to_str(), Some("Tiny-Q8_0.gguf"));
    assert_eq!((offer.total, offer.here, offer.is_floats, offer.cannot_run.clone()), (5_000_000, 0, false, None));
    assert!(offer.sentence.contains("maker/Tiny-GGUF/Tiny-Q8_0.gguf (5.0 MB); Q8_0: "), "{}", offer.sentence);
    let choices: Vec<(&str, Option<bool>)> = offer.choices.iter().map(|one| (one.name.as_str(), one.fits)).collect();
    let expected = [("F32", true), ("Q8_0", true), ("Q4_1", true), ("PQ2_0", false)];
    assert_eq!(choices.len(), expected.len());
    for ((name, fits), (kind, expected)) in choices.into_iter().zip(expected) {
        assert_eq!((name, fits), (format!("{REPOSITORY}:{kind}").as_str(), Some(expected)));
    }
    assert!(offer.choices[3].note.contains("cannot be run yet"), "{:?}", offer.choices[3]);
    assert!(stage.bytes_asked() <= 256 << 10, "{}", stage.bytes_asked());
}

#[test]
fn a_type_or_a_file_that_is_named_is_that_one() {
    let stage = Stage::new();
    commit_types(&stage.server);
    for name in ["maker/Tiny-GGUF:q4_1", "hf.co/maker/Tiny-GGUF:Tiny-Q4_1.gguf", "maker/Tiny-GGUF:Q4_1@main"] {
        assert_eq!(stage.offer(name).unwrap().total, 3_000_000, "{name}");
    }
    let address = format!("{}/{REPOSITORY}/resolve/main/Tiny-Q4_1.gguf", stage.server.url());
    let OfferSource::Repository(plan) = stage.offer(&address).unwrap().source else {
        panic!("it is a file of the hub")
    };
    assert_eq!(plan.listing.repository.as_str(), REPOSITORY);
    let none = stage.error("maker/Tiny-GGUF:Q6_K");
    assert!(none.contains("has no 'Q6_K'") && none.contains("Q4_1, Q8_0"), "{none}");
    let unfit = stage.offer("maker/Tiny-GGUF:PQ2_0").unwrap();
    assert!(unfit.cannot_run.is_some_and(|why| why.contains("PQ2_0")), "it can be had, and that is said");
}

const OWN: &str = r#"
[[family]]
name = "tiny"
default = "1m"
architecture = "llama"
licence = "MIT"
context = 256
good_at = "tests"
[[family.model]]
tag = "1m"
repository = "maker/Tiny-GGUF"
file = "Tiny-{type}.gguf"
type = "Q4_1"
bytes = 3_000_000
kv = 100
[[family.model]]
tag = "gone"
repository = "maker/Gone-GGUF"
file = "Gone-{type}.gguf"
type = "Q8_0"
bytes = 9
[[family.model]]
tag = "empty"
repository = "maker/Empty"
bytes = 9
"#;

#[test]
fn a_short_name_takes_the_type_of_its_entry_without_looking_at_a_header() {
    let stage = Stage::with_catalogue(OWN);
    commit_types(&stage.server);
    let offer = stage.offer("Tiny:1M").unwrap();
    assert_eq!(offer.total, 3_000_000);
    assert!(offer.sentence.contains("MIT licence") && offer.sentence.contains("Q4_1: "), "{}", offer.sentence);
    assert_eq!(stage.bytes_asked(), 0);
    assert_eq!(offer.choices[1].name, "tiny:1m-q8_0");
    assert_eq!(stage.offer("tiny:1m-q8_0").unwrap().total, 5_000_000);
}

#[test]
fn a_family_alone_lists_what_there_is() {
    let stage = Stage::with_catalogue(OWN);
    let said = stage.error("tiny");
    assert!(said.contains("tiny:1m (3.0 MB), tiny:gone (9 B), tiny:empty"), "{said}");
    let reference = stage.hub.reference("tiny").unwrap();
    let names: Vec<String> = stage.hub.choices("tiny", &reference).unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["tiny:1m", "tiny:gone", "tiny:empty"]);
    assert!(stage.error("tiny:7b").contains("write one of tiny:1m"));
    stage.server.forget_asked();
    assert_eq!(stage.hub.here(&stage.hub.reference("gpt5").unwrap()), None);
    assert!(stage.server.asked().is_empty(), "who asks what is here asks nobody else");
    assert!(stage.hub.knows("Tiny") && stage.hub.knows("qwen3") && !stage.hub.knows("gpt5"));
}

#[test]
fn an_entry_that_is_wrong_is_told_with_its_line() {
    let stage = Stage::with_catalogue(OWN);
    stage.server.commit("maker/Empty", &[("README.md", b"nothing")]);
    let place = |line: usize| format!("{}:{line}", stage.folder.path().join("catalogue.toml").display());
    let gone = stage.error("tiny:gone");
    assert!(gone.contains("maker/Gone-GGUF") && gone.contains(&place(16)), "{gone}");
    let empty = stage.error("tiny:empty");
    assert!(empty.contains("neither a GGUF model") && empty.contains(&place(22)), "{empty}");
}

#[test]
fn where_there_is_no_model_conversions_of_it_are_named() {
    let stage = Stage::new();
    stage.server.commit("maker/Tiny", &[("pytorch_model.bin", b"pickle")]);
    commit_types(&stage.server);
    let said = stage.error("maker/Tiny");
    assert!(said.contains("pickles") && said.contains("near it are maker/Tiny-GGUF"), "{said}");
    let unknown = stage.error("tiny-gguf");
    assert!(unknown.contains("short name") && unknown.contains(REPOSITORY), "{unknown}");
}

#[test]
fn of_floats_what_is_read_is_offered_and_a_type_proposed() {
    let stage = Stage::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    stage.server.commit_folder("maker/Tiny", &folder).unwrap();
    let offer = stage.offer("maker/Tiny").unwrap();
    assert!(offer.is_floats && offer.sentence.contains("best quantized on arrival; as Q8_0: "), "{}", offer.sentence);
    let OfferSource::Repository(plan) = &offer.source else { panic!() };
    assert_eq!((plan.files.len(), plan.is_folder()), (5, true));
    let [row] = &offer.choices[..] else { panic!("{:?}", offer.choices) };
    assert_eq!((row.name.as_str(), row.bytes), ("maker/Tiny", Some(offer.total)));
    assert!(row.note.starts_with("safetensors; --quantize q8_0 makes it about "), "{}", row.note);
}

#[test]
fn a_header_is_enough_to_know_a_model() {
    let stage = Stage::new();
    commit_types(&stage.server);
    let reference = stage.hub.reference("maker/Tiny-GGUF:Q8_0").unwrap();
    let remote = stage.hub.header(&reference).unwrap();
    let files = remote.header.files.as_ref().unwrap();
    assert_eq!((files.format().to_string().as_str(), remote.bytes), ("Q8_0", 5_000_000));
    assert!(files.tokenizer().is_ok() && !files.metadata().is_empty());
    assert!(remote.header.fetched <= 256 << 10 && remote.place.ends_with("/maker/Tiny-GGUF/Tiny-Q8_0.gguf"));
}

#[test]
fn a_split_model_and_a_folder_of_floats_have_headers_too() {
    let stage = Stage::new();
    let part = |number: usize| format!("tiny-llama-split.Q8_0-0000{number}-of-00003.gguf");
    let parts: Vec<(String, Vec<u8>)> = (1..=3).map(|number| (part(number), fixture(&part(number)))).collect();
    let files: Vec<(&str, &[u8])> = parts.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    stage.server.commit("maker/Split-GGUF", &files);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    stage.server.commit_folder("maker/Tiny", &folder).unwrap();
    for name in ["maker/Split-GGUF", "maker/Tiny"] {
        let remote = stage.hub.header(&stage.hub.reference(name).unwrap()).unwrap();
        assert!(remote.header.files.as_ref().unwrap().tokenizer().is_ok(), "{name}");
    }
}

#[test]
fn what_is_no_model_behind_its_name_is_told_by_its_name_there() {
    let stage = Stage::new();
    stage.server.commit("maker/Web-GGUF", &[("web-Q8_0.gguf", b"<!DOCTYPE html><html></html>")]);
    let remote = stage.hub.header(&stage.hub.reference("maker/Web-GGUF").unwrap()).unwrap();
    let why = remote.header.files.unwrap_err();
    assert!(why.starts_with("maker/Web-GGUF/web-Q8_0.gguf: ") && why.contains("HTML"), "{why}");
}

#[test]
fn what_was_pulled_is_here_without_the_hub() {
    let stage = Stage::with_catalogue(OWN);
    commit_types(&stage.server);
    let reference = stage.hub.reference("tiny:1m").unwrap();
    assert_eq!(stage.hub.here(&reference), None);
    let offer = stage.hub.offer("tiny:1m", &reference).unwrap();
    let here = stage.hub.pull(&offer, &Limits::default(), &|_| {}, &Cancel::new()).unwrap();
    let offline = stage.offline();
    for name in ["tiny:1m", "tiny:1m-q4_1", REPOSITORY, "maker/Tiny-GGUF:Q4_1"] {
        let found = offline.here(&offline.reference(name).unwrap());
        assert_eq!(found.as_deref(), Some(here.path.as_path()), "{name}");
    }
    assert_eq!(offline.here(&offline.reference("maker/Tiny-GGUF:Q8_0").unwrap()), None);
    let again = offline.offer("tiny:1m", &reference).unwrap();
    assert_eq!((again.total, again.here), (3_000_000, 3_000_000));
    assert!(offline.offer("maker/Other", &offline.reference("maker/Other").unwrap()).is_err());
}

/// What of a sentence or a note is memory.
fn memory(text: &str) -> &str {
    let amount = text.split(" of memory").next().unwrap();
    let amount = amount.rsplit([';', ',']).next().unwrap().rsplit(": ").next().unwrap();
    amount.split(" of ").next().unwrap().trim()
}

#[test]
fn memory_is_the_same_for_a_file_however_it_is_asked_for() {
    let stage = Stage::new();
    commit_types(&stage.server);
    let notes = |name: &str| -> Vec<String> {
        let offer = stage.offer(name).unwrap();
        offer.choices.iter().map(|choice| memory(&choice.note).to_owned()).collect()
    };
    assert_eq!(notes("maker/Tiny-GGUF:F32"), notes(REPOSITORY));
    let offer = stage.offer("maker/Tiny-GGUF:F32").unwrap();
    assert_eq!(memory(&offer.sentence), notes(REPOSITORY)[0], "{}", offer.sentence);
    stage.hub.pull(&offer, &Limits::default(), &|_| {}, &Cancel::new()).unwrap();
    stage.server.forget_asked();
    let offline = stage.offline();
    let again = offline.offer(REPOSITORY, &offline.reference(REPOSITORY).unwrap()).unwrap();
    assert_eq!(memory(&again.sentence), memory(&offer.sentence), "{}", again.sentence);
    assert!(!again.sentence.contains("about") && stage.server.asked().is_empty());
}

#[test]
fn a_header_that_does_not_come_is_tried_once_and_the_figure_is_about() {
    let stage = Stage::new();
    commit_types(&stage.server);
    stage.server.rule(testing::Rule::on("/resolve/").fault(testing::Fault::status(503)));
    let offer = stage.offer("maker/Tiny-GGUF:Q8_0").unwrap();
    assert!(offer.sentence.contains("Q8_0: about "), "{}", offer.sentence);
    assert!(offer.choices.iter().all(|choice| choice.note.starts_with("about ")));
    assert_eq!(stage.server.asked_for("/resolve/").len(), 1);
}

#[test]
fn one_part_of_a_split_model_at_an_address_stands_for_all_of_them() {
    let stage = Stage::new();
    let other = TestHub::start();
    let part = |number: usize| format!("tiny-llama-split.Q8_0-{number:05}-of-00003.gguf");
    let bytes: Vec<_> = (1..=3).map(|number| fixture(&part(number))).collect();
    bytes.iter().zip(1..).for_each(|(bytes, number)| other.put(&format!("/files/{}", part(number)), bytes));
    let offer = stage.offer(&format!("{}/files/{}", other.url(), part(2))).unwrap();
    assert!(offer.sentence.contains("a model in 3 files, "), "{}", offer.sentence);
    assert_eq!(offer.total, bytes.iter().map(|bytes| bytes.len() as u64).sum::<u64>());
}
