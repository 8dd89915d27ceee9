//! Models fetched by the real binary from a hub on loopback, one that behaves and one that does not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, unreachable_pub, missing_docs)]
#[path = "../crates/gibber-hub/testing/hub/mod.rs"]
mod hub;
#[allow(dead_code, reason = "each of the test binaries uses a part of it")]
mod support;

#[path = "pull/cache.rs"]
mod cache;
#[path = "pull/faults.rs"]
mod faults;
#[path = "pull/kills.rs"]
mod kills;
#[path = "pull/names.rs"]
mod names;
#[path = "pull/terminal.rs"]
mod terminal;
#[path = "pull/update.rs"]
mod update;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use hub::TestHub;
use portable_pty::CommandBuilder;
use serde_json::Value;
use support::pty::Terminal;
use tempfile::TempDir;

/// A secret that must not be seen anywhere.
const TOKEN: &str = "hf_thisIsASecretThatNobodyIsToSee";

/// A person's machine: a home folder with nothing in it, and a hub.
struct Machine {
    home: TempDir,
    hub: TestHub,
}

impl Machine {
    /// With a hub that has `org/tiny-GGUF` in several types, `org/tiny` in floats and `org/split`.
    fn new() -> Self {
        let hub = TestHub::start();
        let (q8, q4, f32) =
            (fixture("tiny-llama.Q8_0.gguf"), fixture("tiny-llama.Q4_1.gguf"), fixture("tiny-llama.F32.gguf"));
        hub.commit(
            "org/tiny-GGUF",
            &[("README.md", b"# Tiny"), ("tiny.Q8_0.gguf", &q8), ("tiny.Q4_1.gguf", &q4), ("tiny.F32.gguf", &f32)],
        );
        hub.commit_folder("org/tiny", &fixtures().join("tiny-llama")).unwrap();
        Self { home: tempfile::tempdir().unwrap(), hub }
    }

    /// The address of a model that is of no repository, `mine`, with its checksum.
    fn plain_address(&self) -> String {
        let bytes = fixture("tiny-llama.Q4_1.gguf");
        self.hub.put("/some/where/else/mine.gguf", &bytes);
        format!("{}/some/where/else/mine.gguf#sha256={}", self.hub.url(), sha256(&bytes))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let home = self.home.path().to_str().unwrap().to_owned();
        vec![
            ("HOME", home.clone()),
            ("GIBBER_CONFIG_DIR", home),
            ("HF_ENDPOINT", self.hub.url()),
            ("HF_HOME", self.path("hf").to_str().unwrap().to_owned()),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "1".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
        ]
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let others = std::env::vars_os().map(|(name, _)| name);
        let others = others.filter(|name| {
            let name = name.to_string_lossy().to_ascii_uppercase();
            ["HF_", "XDG_", "GIBBER_", "OLLAMA", "HUGGING", "TRANSFORMERS", "SSL_"]
                .iter()
                .any(|start| name.starts_with(start))
                || name.ends_with("_PROXY")
        });
        others.for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.environment());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Stdout of a run that succeeds.
    fn stdout(&self, arguments: &[&str]) -> String {
        stdout_of(&self.run(arguments))
    }

    /// Stderr of a run that ends with this code.
    fn failure(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let error = stderr_of(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        error
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        self.stdout(arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn terminal(&self, arguments: &[&str], size: (u16, u16)) -> Terminal {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(arguments);
        command.env_clear();
        command.env("PATH", std::env::var("PATH").unwrap());
        self.environment().into_iter().for_each(|(name, value)| command.env(name, value));
        command.env("TERM", "xterm-256color");
        Terminal::start(command, size)
    }

    /// The folder of a repository in the cache.
    fn repository(&self, name: &str) -> PathBuf {
        self.path("hf/hub").join(format!("models--{}", name.replace('/', "--")))
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(name)).unwrap()
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout_of(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status, stderr_of(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The files below a folder, by their names from there.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path()).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// A child that is killed where a test ends before it.
struct Running(Option<Child>);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    fn id(&self) -> i32 {
        self.0.as_ref().unwrap().id().cast_signed()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_raw(self.id()).unwrap();
        rustix::process::kill_process(process, signal).unwrap();
    }

    fn ended(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until `wanted` is so; a guard against hanging, never part of a test's own time.
fn wait_until(what: &str, wanted: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + support::pty::PATIENCE;
    while !wanted() {
        assert!(std::time::Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_model_comes_is_listed_checked_runs_and_goes() {
    let machine = Machine::new();
    let output = machine.run(&["pull", "org/tiny-GGUF:Q8_0"]);
    let (said, told) = (stdout_of(&output), stderr_of(&output));
    assert!(said.contains("org/tiny-GGUF:Q8_0 is here (82 kB fetched): gibber -m "), "{said}");
    assert!(told.contains("org/tiny-GGUF/tiny.Q8_0.gguf (82 kB); Q8_0: ") && told.contains("1 file, 82 kB"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains('\r'), "no terminal, no drawing: {told:?}");
    let name = said.trim().rsplit(' ').next().unwrap();

    let listed = machine.stdout(&["models", "list"]);
    assert!(listed.contains(name) && listed.contains("Hugging Face cache, pulled: "), "{listed}");
    for model in [name, "org/tiny-GGUF:Q8_0", "org/tiny-GGUF"] {
        assert!(machine.stdout(&["models", "info", "-m", model]).contains("Q8_0"), "{model}");
        let reply = machine.stdout(&["run", "--offline", "--raw", "-m", model, "-n", "4", "Once"]);
        assert!(!reply.is_empty(), "{model}");
    }
    let verified = machine.stdout(&["models", "verify", "-m", name]);
    assert!(verified.starts_with("ok ") && verified.contains("is sound, and loads"), "{verified}");

    let removed = machine.run(&["models", "remove", "-m", name, "--yes"]);
    assert!(stderr_of(&removed).contains("other programs that use it"), "{}", stderr_of(&removed));
    assert!(stdout_of(&removed).contains("82 kB freed"));
    assert!(!machine.repository("org/tiny-GGUF").exists());
    for name in ["org/tiny-GGUF:Q8_0", "org/tiny-GGUF:tiny.Q8_0.gguf", "qwen3:0.6b", "https://host/mine.gguf"] {
        let error = machine.failure(&["run", "-m", name, "hi"], 1);
        assert!(error.contains(&format!("`gibber pull {name}` fetches it")), "{error}");
    }
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let machine = Machine::new();
    machine.stdout(&["models", "pull", "org/tiny-GGUF:q8_0"]);
    let said = machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    assert!(said.contains("was here already"), "{said}");
    assert!(machine.stdout(&["pull", "org/tiny-GGUF:Q8_0", "--offline"]).contains("was here already"));
}

#[test]
fn llama_cpps_flag_fetches_without_a_question_and_runs() {
    let machine = Machine::new();
    for flags in [&["-hf", "org/tiny-GGUF:Q4_1"][..], &["--hf-repo", "org/tiny-GGUF", "-hff", "tiny.Q4_1.gguf"]] {
        let arguments = [&["run", "--raw", "-n", "4"][..], flags, &["Once"]].concat();
        assert!(!machine.stdout(&arguments).is_empty());
    }
    assert_eq!(
        files_below(&machine.repository("org/tiny-GGUF").join("blobs")).len(),
        1,
        "once, and only what was named"
    );
    let error = machine.failure(&["run", "--hf-token", TOKEN, "-hf", "org/tiny-GGUF", "hi"], 2);
    assert!(error.contains("HF_TOKEN") && !error.contains(TOKEN), "{error}");
}

#[test]
fn events_are_json_lines_and_the_last_says_what_to_type() {
    let machine = Machine::new();
    let output = machine.run(&["pull", "org/tiny", "--json"]);
    assert_eq!(stderr_of(&output), "");
    let events: Vec<Value> = stdout_of(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds.last()), ("planned", Some(&"pulled")), "{kinds:?}");
    assert!(kinds.contains(&"done") && kinds.contains(&"verified"), "{kinds:?}");
    let done: Vec<u64> = events.iter().filter_map(|event| event["done"].as_u64()).collect();
    assert!(done.is_sorted(), "{done:?}");
    let last = events.last().unwrap();
    assert_eq!(last["name"], "org/tiny");
    assert!(Path::new(last["path"].as_str().unwrap()).join("model.safetensors").exists());
    assert_eq!(last["bytes_fetched"], events[0]["total"]);
}

#[test]
fn a_dry_run_says_what_would_come_and_fetches_nothing() {
    let machine = Machine::new();
    let said = machine.stdout(&["pull", "org/tiny", "--dry-run"]);
    assert!(said.contains("model.safetensors") && said.contains("would fetch 267 kB"), "{said}");
    let offer = &machine.json(&["pull", "org/tiny-GGUF:Q4_1", "--dry-run", "--json"])[0];
    assert_eq!((offer["type"].as_str(), offer["total"].as_u64()), (Some("offer"), Some(53728)));
    assert_eq!(offer["files"][0]["path"], "tiny.Q4_1.gguf");
    assert!(!machine.path("hf").exists());
}

#[test]
fn the_types_of_a_repository_and_the_catalogue_are_listed() {
    let machine = Machine::new();
    let listed = machine.stdout(&["pull", "org/tiny-GGUF", "--list"]);
    for kind in ["Q8_0", "Q4_1", "F32"] {
        assert!(listed.contains(&format!("org/tiny-GGUF:{kind}")), "{listed}");
    }
    let floats = machine.stdout(&["pull", "org/tiny", "--list"]);
    assert!(floats.contains("org/tiny ") && floats.contains("--quantize q8_0"), "{floats}");
    let asked = machine.hub.asked().len();
    let catalogue = machine.stdout(&["pull", "--list", "--offline"]);
    assert!(catalogue.contains("qwen3:0.6b") && catalogue.contains("gpt2:"), "{catalogue}");
    let unfit = catalogue.lines().find(|line| line.contains("cannot be run yet")).unwrap();
    assert!(!unfit.contains("memory"), "that is not what is missing: {unfit}");
    assert!(machine.json(&["pull", "qwen3", "--list", "--json"]).len() > 3);
    assert_eq!(machine.hub.asked().len(), asked, "nobody was asked");
}

#[test]
fn floats_are_quantized_on_arrival_where_a_flag_says_so() {
    let machine = Machine::new();
    let output = machine.run(&["pull", "org/tiny"]);
    assert!(stderr_of(&output).contains("`gibber pull org/tiny --quantize q8_0`"), "{}", stderr_of(&output));
    let output = machine.run(&["pull", "org/tiny", "--quantize", "q8_0"]);
    let said = stdout_of(&output);
    assert!(said.contains("gibber -m org/tiny-Q8_0"), "{said}");
    assert!(stderr_of(&output).contains("the floats stay here as well"), "{}", stderr_of(&output));
    assert!(machine.stdout(&["models", "info", "-m", "org/tiny-Q8_0"]).contains("Q8_0"));
    let error = machine.failure(&["pull", "org/tiny-GGUF:Q8_0", "--quantize", "q4_0"], 1);
    assert!(error.contains("is quantized already"), "{error}");
    let error = machine.failure(&["pull", "org/tiny", "--quantize", "f16"], 2);
    assert!(error.contains("would leave the weights floats"), "{error}");
    // What was made here is gibber's to remove.
    assert!(machine.stdout(&["models", "remove", "org/tiny-Q8_0", "--yes"]).contains("removed"));
}

#[test]
fn a_split_model_comes_and_goes_whole() {
    let machine = Machine::new();
    let parts: Vec<(String, Vec<u8>)> = (1..=3)
        .map(|number| {
            let name = format!("tiny-llama-split.Q8_0-{number:05}-of-00003.gguf");
            let bytes = fixture(&name);
            (name, bytes)
        })
        .collect();
    let files: Vec<(&str, &[u8])> = parts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    machine.hub.commit("org/split", &files);
    assert!(machine.stdout(&["pull", "org/split"]).contains("is here"));
    assert!(!machine.stdout(&["run", "--raw", "-m", "org/split", "-n", "4", "Once"]).is_empty());
    assert_eq!(machine.json(&["models", "verify", "org/split", "--json"]).len(), 4);
    machine.stdout(&["models", "remove", "org/split", "-y"]);
    assert_eq!(files_below(&machine.repository("org/split")), Vec::<String>::new());
}

#[test]
fn a_split_model_at_an_address_comes_whole_and_goes_on() {
    let (machine, elsewhere) = (Machine::new(), TestHub::start());
    let name = |number: usize| format!("tiny-llama-split.Q8_0-{number:05}-of-00003.gguf");
    (1..=3).for_each(|number| elsewhere.put(&format!("/files/{}", name(number)), &fixture(&name(number))));
    elsewhere.rule(hub::Rule::on(&name(3)).method("GET").fault(hub::Fault::status(404)));
    let address = |number| format!("{}/files/{}", elsewhere.url(), name(number));
    let first = format!("{}#sha256={}", address(1), sha256(&fixture(&name(1))));
    assert!(machine.failure(&["pull", &first], 1).contains(&name(3)));
    elsewhere.forget_rules();
    let output = machine.run(&["pull", &first]);
    assert!(stderr_of(&output).contains("a model in 3 files, "), "{}", stderr_of(&output));
    let said = stdout_of(&output);
    assert!(said.contains("gibber -m tiny-llama-split.Q8_0"), "{said}");
    let model = said.trim().rsplit(' ').next().unwrap();
    assert!(!machine.stdout(&["run", "--raw", "-m", model, "-n", "4", "Once"]).is_empty());
    assert_eq!(machine.json(&["models", "verify", model, "--json"]).len(), 4);
    // Whichever part is named, the model is the same.
    assert!(machine.stdout(&["pull", &address(2)]).contains("was here already"));
    machine.stdout(&["models", "remove", model, "-y"]);
    let left = files_below(&machine.path("models"));
    assert!(left.iter().all(|file| !file.ends_with(".gguf")), "{left:?}");
}

#[test]
fn a_stopped_pull_of_an_address_is_listed_and_can_be_removed() {
    let machine = Machine::new();
    let address = machine.plain_address();
    let file = hub::Rule::on("mine.gguf").method("GET").numbers(2..=usize::MAX);
    machine.hub.rule(file.fault(hub::Fault::StallAfter(30_000)));
    let child = Running::start(&mut machine.command(&["pull", &address]));
    wait_until("some bytes", || {
        machine.path("models/mine.gguf.gibber-part").metadata().is_ok_and(|part| part.len() > 0)
    });
    child.signal(rustix::process::Signal::INT);
    assert_eq!(child.ended().status.code(), Some(130));
    let listed = machine.stdout(&["models", "list"]);
    assert!(listed.contains(&format!("`gibber pull {address}` goes on with it")), "{listed}");
    assert!(listed.contains(" of 54 kB"), "{listed}");
    let removed = machine.stdout(&["models", "remove", &address, "--yes"]);
    assert!(removed.contains("what a pull of "), "{removed}");
    assert!(!machine.stdout(&["models", "list"]).contains("begun: "));
    assert!(!files_below(&machine.path("models")).iter().any(|file| file.contains("gibber-part")));
}

#[test]
fn an_address_with_its_checksum_is_a_model_too() {
    let machine = Machine::new();
    let bytes = fixture("tiny-llama.Q4_1.gguf");
    let sum = sha256(&bytes);
    machine.hub.put("/some/where/else/mine.gguf", &bytes);
    let address = format!("{}/some/where/else/mine.gguf", machine.hub.url());
    let said = machine.stdout(&["pull", &format!("{address}#sha256={sum}")]);
    assert!(said.contains("gibber -m mine"), "{said}");
    let verified = machine.json(&["models", "verify", "mine", "--json"]);
    assert_eq!((&verified[0]["result"], &verified[0]["expected"]), (&Value::from("ok"), &Value::from(sum.clone())));
    machine.stdout(&["models", "remove", "mine", "--yes"]);
    let wrong = "0".repeat(64);
    let error = machine.failure(&["pull", &format!("{address}#sha256={wrong}")], 1);
    assert!(error.contains(&wrong) && error.contains(&sum), "both values: {error}");
}

#[test]
fn what_cannot_be_run_is_fetched_only_where_that_is_said() {
    let machine = Machine::new();
    machine.hub.commit("org/odd-GGUF", &[("odd.PQ2_0.gguf", &fixture("tiny-llama.Q8_0.gguf"))]);
    let error = machine.failure(&["pull", "org/odd-GGUF"], 1);
    assert!(error.contains("cannot be run by this version") && error.contains("--yes"), "{error}");
    assert!(!machine.path("hf").exists());
    machine.stdout(&["pull", "org/odd-GGUF", "--yes"]);
    assert!(machine.repository("org/odd-GGUF").exists());
}

#[test]
fn wrong_usage_is_told_before_anybody_is_asked() {
    let machine = Machine::new();
    for (arguments, said) in [
        (&["pull"][..], "say what is to be fetched"),
        (&["pull", "org/../x"], "cannot be used"),
        (&["pull", "ftp://host/x"], "only https:// addresses"),
        (&["pull", "org/name", "--limit-rate", "fast"], "such as 500k or 2M"),
        (&["pull", "org/name", "--list", "--update"], "cannot be used with"),
        (&["models", "remove"], "NAME-OR-PATH"),
        (&["run", "-hff", "x.gguf", "hi"], "--hf-repo"),
        (&["run", "-hf", "org/name", "-m", "x", "hi"], "cannot be used with"),
    ] {
        let error = machine.failure(arguments, 2);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    assert_eq!(machine.hub.asked().len(), 0);
}
