//! `gibber models info` of what is not here: the header is read where it is, and nothing else is fetched.

use super::*;
use hub::TestHub;

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
#[path = "../../crates/gibber-hub/testing/hub/mod.rs"]
mod hub;

#[path = "../support/catalogue.rs"]
mod catalogue;

/// A short name of the model.
fn names() -> String {
    catalogue::family("tiny", "1m", "maker/Tiny-GGUF", "Tiny-{type}.gguf", "Q8_0", 5_000_000)
}

/// A hub with a model of five million bytes, of which only the first few are anything.
fn stage() -> (TestHub, Gibber) {
    let (server, gibber) = (TestHub::start(), Gibber::new());
    let mut bytes = fs::read(format!("{}/tests/fixtures/tiny-llama.Q8_0.gguf", env!("CARGO_MANIFEST_DIR"))).unwrap();
    bytes.resize(5_000_000, 0);
    server.commit("maker/Tiny-GGUF", &[("Tiny-Q8_0.gguf", &bytes), ("README.md", b"x")]);
    gibber.write("catalogue.toml", names());
    (server, gibber)
}

fn info(server: &TestHub, gibber: &Gibber, arguments: &[&str]) -> Output {
    let mut command = gibber.command(&[&["models", "info"], arguments].concat());
    for variable in ["HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    command.env("HF_ENDPOINT", server.url()).env("HF_HOME", gibber.path("hf")).output().unwrap()
}

#[test]
fn a_model_that_is_not_here_is_described_by_its_header_alone() {
    let (server, gibber) = stage();
    for name in ["maker/Tiny-GGUF", "maker/Tiny-GGUF:Q8_0", "tiny", "tiny:1m"] {
        server.forget_asked();
        let said = stdout_of(info(&server, &gibber, &[name]));
        for what in ["architecture   llama", "tensors        ", " Q8_0", "memory         ", "end tokens     "] {
            assert!(said.contains(what), "{name}: {what}: {said}");
        }
        assert!(said.contains(&format!("`gibber pull {name}` fetches it (5.0 MB)")), "{said}");
        let ranges: Vec<_> = server.asked_for(".gguf").iter().filter_map(hub::Asked::range).collect();
        assert!(
            !ranges.is_empty() && ranges.iter().all(|(_, last)| last.is_some_and(|last| last < 256 << 10)),
            "{ranges:?}"
        );
    }
    let long = stdout_of(info(&server, &gibber, &["tiny", "-v"]));
    assert!(long.contains("\ntokenizer      ") && long.contains("\ngeneral.architecture = llama\n"), "{long}");
    assert!(!gibber.path("hf").exists(), "nothing is put anywhere");
}

#[test]
fn for_programs_it_says_that_it_is_not_here() {
    let (server, gibber) = stage();
    let row: Value = serde_json::from_str(&stdout_of(info(&server, &gibber, &["tiny:1m", "--json"]))).unwrap();
    assert_eq!(
        (&row["here"], &row["fetch"], &row["fetch_bytes"]),
        (&false.into(), &"gibber pull tiny:1m".into(), &5_000_000.into())
    );
    assert_eq!((&row["runnable"], &row["format"]), (&true.into(), &"Q8_0".into()));
    assert!(row["memory_bytes"].as_u64() > row["bytes"].as_u64() && row["tensors"].as_u64() > Some(5));
    assert_eq!(row["metadata"]["general.architecture"], "llama");
    assert!(row["path"].as_str().unwrap().ends_with("/maker/Tiny-GGUF/Tiny-Q8_0.gguf"), "{row}");
    let local = format!("{}/tests/fixtures/tiny-llama.Q8_0.gguf", env!("CARGO_MANIFEST_DIR"));
    let here: Value = serde_json::from_str(&stdout_of(info(&server, &gibber, &[&local, "--json"]))).unwrap();
    assert_eq!((&here["here"], here.get("fetch")), (&true.into(), None));
    assert_eq!(here["tensor_formats"], row["tensor_formats"]);
}

#[test]
fn what_cannot_be_looked_at_is_a_sentence() {
    let (server, gibber) = stage();
    server.commit("maker/Web-GGUF", &[("web-Q8_0.gguf", b"<!DOCTYPE html><html></html>")]);
    let web = failure(&info(&server, &gibber, &["maker/Web-GGUF"]), 1);
    assert!(web.contains("maker/Web-GGUF/web-Q8_0.gguf") && web.contains("HTML"), "{web}");
    let gone = failure(&info(&server, &gibber, &["maker/Gone"]), 1);
    assert!(gone.contains("maker/Gone"), "{gone}");
    let unknown = failure(&info(&server, &gibber, &["gpt5"]), 1);
    assert!(unknown.contains("no model `gpt5`"), "{unknown}");
    gibber.write("catalogue.toml", names().replace("kv = 64", "kw = 64"));
    let broken = failure(&info(&server, &gibber, &["tiny:1m"]), 1);
    assert!(broken.contains("catalogue.toml:14: unknown field `kw`"), "{broken}");
}
