//! Models that are pulled in a chat, from a hub on loopback.

use std::path::Path;

use portable_pty::CommandBuilder;
use tempfile::TempDir;

use super::{ANSWER, QUESTION, USUAL, WIDE, flowing};
use crate::hub::{Fault, Rule, TestHub};
use crate::support::catalogue::family;
use crate::support::pty::{Terminal, key};

const REPOSITORY: &str = "small-models/tiny-llama-GGUF";
const FILE: &str = "tiny-llama.Q8_0.gguf";

/// What is called so in the person's own catalogue.
const SHORT: &str = "tiny:llama";

/// A hub that has one small model.
fn hub() -> TestHub {
    let hub = TestHub::start();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(FILE);
    hub.commit(REPOSITORY, &[(FILE, &std::fs::read(fixture).unwrap())]);
    hub
}

/// A hub whose line dies behind the first bytes of the model, once its header was read.
fn dead_hub() -> TestHub {
    let hub = hub();
    hub.rule(Rule::on(FILE).method("GET").numbers(2..=usize::MAX).fault(Fault::StallAfter(1000)));
    hub
}

/// The line lives again: whoever waited on it finds it cut.
fn mend(hub: &TestHub) {
    hub.forget_rules();
    hub.cut();
}

/// The program, which knows this hub and no other, and keeps everything in `home`.
fn start(hub: &TestHub, home: &TempDir, size: (u16, u16), arguments: &[&str]) -> Terminal {
    start_as(hub, home, size, arguments, "is ready")
}

/// The same, with what it says once it can be used.
fn start_as(hub: &TestHub, home: &TempDir, size: (u16, u16), arguments: &[&str], ready: &str) -> Terminal {
    start_with(hub, home, size, arguments, ready, &[])
}

/// The same with variables of its own.
fn start_with(
    hub: &TestHub,
    home: &TempDir,
    size: (u16, u16),
    arguments: &[&str],
    ready: &str,
    variables: &[(&str, std::path::PathBuf)],
) -> Terminal {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
    command.args(arguments);
    command.env("GIBBER_CONFIG_DIR", home.path());
    command.env("HF_HOME", home.path().join("hf"));
    command.env("HF_ENDPOINT", hub.url());
    command.env("TERM", "xterm-256color");
    command.env("LANG", "C.UTF-8");
    for variable in ["GIBBER_MODEL", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "NO_COLOR", "LC_ALL", "LC_CTYPE"] {
        command.env_remove(variable);
    }
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(variable);
    }
    for (name, value) in variables {
        command.env(name, value);
    }
    let terminal = Terminal::start(command, size);
    wait(&terminal, ready);
    terminal
}

/// Waits for words, wherever the lines are broken.
fn wait(terminal: &Terminal, words: &str) -> String {
    terminal.wait_for_screen(&format!("{words:?}"), |screen| flowing(screen).contains(words))
}

fn say(terminal: &Terminal, line: &str) {
    terminal.press(line);
    let beginning: String = line.chars().take(20).collect();
    terminal.wait_for_text(&beginning);
    terminal.press(key::ENTER);
}

fn quit(terminal: &mut Terminal) {
    terminal.press(key::CTRL_D);
    assert!(terminal.wait_for_end().success());
    terminal.assert_restored();
}

/// A catalogue of the person's own in which the model has a short name.
fn write_catalogue(home: &TempDir) {
    let text = family("tiny", "llama", REPOSITORY, "tiny-llama.{type}.gguf", "Q8_0", 81_504);
    std::fs::write(home.path().join("catalogue.toml"), text).unwrap();
}

#[test]
fn the_chat_goes_on_while_a_model_comes_and_a_cut_line_is_mended() {
    let (hub, home) = (dead_hub(), tempfile::tempdir().unwrap());
    let mut terminal = start(&hub, &home, USUAL, &["--temp", "0"]);
    say(&terminal, &format!("/pull {REPOSITORY}"));
    wait(&terminal, "↓ small-models/tiny-llama-GGUF");
    wait(&terminal, "of 82 kB");
    say(&terminal, QUESTION);
    let shown = wait(&terminal, ANSWER);
    assert!(shown.contains("↓ small-models"), "it goes on beside the reply:\n{shown}");
    wait(&terminal, "stop: end of turn");
    terminal.press(key::ESC);
    mend(&hub);
    // The chat has gone on: it keeps its model.
    let shown = wait(&terminal, "is here: /model small-models/tiny-llama-GGUF loads it");
    assert!(!shown.contains("↓ small-models"), "{shown}");
    say(&terminal, &format!("/model {REPOSITORY}"));
    wait(&terminal, "is loaded, in");
    quit(&mut terminal);
}

#[test]
fn enter_in_the_list_pulls_a_model_and_loads_it() {
    let (hub, home) = (hub(), tempfile::tempdir().unwrap());
    write_catalogue(&home);
    let mut terminal = start(&hub, &home, USUAL, &[]);
    wait(&terminal, "F7 gets a larger one");
    // F7
    terminal.press("\x1b[18~");
    wait(&terminal, "can be had");
    terminal.press("tiny:l");
    wait(&terminal, &format!("▸ {SHORT}"));
    wait(&terminal, "being small for a test");
    terminal.press(key::ENTER);
    wait(&terminal, "is loaded, in");
    quit(&mut terminal);
    // It is here now.
    let mut terminal = start(&hub, &home, USUAL, &["-m", REPOSITORY]);
    wait(&terminal, "Q8_0");
    quit(&mut terminal);
}

/// A machine without any model: none beside the program, in a folder for models or in another program's.
fn without_models(home: &TempDir) -> Vec<(&'static str, std::path::PathBuf)> {
    vec![("GIBBER_MODELS", home.path().join("models")), ("HOME", home.path().to_owned())]
}

#[test]
fn a_first_start_without_any_model_offers_those_that_can_be_had() {
    let (hub, home) = (hub(), tempfile::tempdir().unwrap());
    write_catalogue(&home);
    let mut terminal = start_with(&hub, &home, USUAL, &["--temp", "0"], "can be had", &without_models(&home));
    terminal.press("tiny:l");
    wait(&terminal, &format!("▸ {SHORT}"));
    terminal.press(key::ENTER);
    let shown = wait(&terminal, "is ready");
    assert!(flowing(&shown).contains("no model is here yet"), "{shown}");
    say(&terminal, QUESTION);
    wait(&terminal, "stop: ");
    quit(&mut terminal);
    assert!(home.path().join("hf").exists() && !home.path().join("models").exists());
}

#[test]
fn lines_from_a_pipe_get_the_first_model_themselves_or_are_told_that_there_is_none() {
    let (hub, home) = (hub(), tempfile::tempdir().unwrap());
    let (code, stdout, stderr) = fed(&hub, &home, "Hello\n/pull x\n", &without_models(&home));
    assert!(code == Some(1) && stdout.contains("These can be had:"), "{code:?} {stdout}{stderr}");
    assert!(!stdout.contains("is being pulled"), "the first line ends it: {stdout}");
    assert!(stderr.contains("no model is here yet: /pull NAME gets one"), "{stderr}");
    let lines = format!("/pull {REPOSITORY}\nOnce upon\n");
    let (code, stdout, stderr) = fed(&hub, &home, &lines, &without_models(&home));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.contains(" tok/s"), "it answers: {stdout}{stderr}");
}

/// A hub that has a model in floats.
fn hub_of_floats() -> TestHub {
    let hub = TestHub::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    hub.commit_folder("small-models/floats", &folder).unwrap();
    hub
}

#[test]
fn floats_are_quantized_on_arrival_where_enter_says_so() {
    let (hub, home) = (hub_of_floats(), tempfile::tempdir().unwrap());
    hub.rule(Rule::on("model.safetensors").method("GET").numbers(1..=usize::MAX).fault(Fault::StallAfter(1000)));
    let mut terminal = start(&hub, &home, USUAL, &[]);
    say(&terminal, "/pull small-models/floats");
    wait(&terminal, "quantize them to Q8_0 once they are here");
    wait(&terminal, "/pull quantize");
    terminal.press(key::ENTER);
    wait(&terminal, "are quantized to Q8_0 once they are here");
    mend(&hub);
    let shown = wait(&terminal, "is loaded, in");
    assert!(shown.contains("floats (Q8_0) is loaded"), "{shown}");
    assert!(flowing(&shown).contains("its floats stay here as well"), "{shown}");
    quit(&mut terminal);
    let mut terminal = start(&hub, &home, USUAL, &["-m", "small-models/floats-Q8_0"]);
    wait(&terminal, "Q8_0");
    quit(&mut terminal);
}

#[test]
fn floats_from_a_pipe_stay_and_a_line_quantizes_them() {
    let (hub, home) = (hub_of_floats(), tempfile::tempdir().unwrap());
    let (stdout, stderr) = piped(&hub, &home, "/pull small-models/floats\n/show\n/pull quantize\n/show\n");
    assert!(stdout.contains("its weights are floats: /pull quantize makes Q8_0 of them"), "{stdout}{stderr}");
    let models: Vec<&str> = stdout.lines().filter(|line| line.starts_with("model ")).collect();
    assert!(models.len() == 2 && models[0].contains("F32") && models[1].contains("Q8_0"), "{stdout}{stderr}");
}

#[test]
fn leaving_does_not_wait_for_a_pull_and_the_next_one_goes_on_with_it() {
    let (hub, home) = (dead_hub(), tempfile::tempdir().unwrap());
    let mut terminal = start(&hub, &home, USUAL, &[]);
    say(&terminal, &format!("/pull {REPOSITORY}"));
    wait(&terminal, "of 82 kB");
    quit(&mut terminal);
    wait(&terminal, "goes on with it");
    mend(&hub);
    let mut terminal = start(&hub, &home, USUAL, &[]);
    say(&terminal, &format!("/pull {REPOSITORY}"));
    wait(&terminal, "is loaded, in");
    quit(&mut terminal);
}

#[test]
fn a_pull_is_stopped_by_its_command_and_not_by_esc() {
    let (hub, home) = (dead_hub(), tempfile::tempdir().unwrap());
    let mut terminal = start(&hub, &home, USUAL, &[]);
    say(&terminal, &format!("/pull {REPOSITORY}"));
    wait(&terminal, "of 82 kB");
    terminal.press(key::ESC);
    say(&terminal, "/pull");
    wait(&terminal, "/pull stop stops it");
    say(&terminal, "/pull stop");
    let shown = wait(&terminal, &format!("/pull {REPOSITORY} goes on with it"));
    assert!(!shown.contains('↓'), "{shown}");
    quit(&mut terminal);
}

#[test]
fn what_goes_wrong_is_a_sentence_and_the_chat_goes_on() {
    let (hub, home) = (hub(), tempfile::tempdir().unwrap());
    hub.rule(Rule::on(REPOSITORY).fault(Fault::status(401)));
    let mut terminal = start(&hub, &home, USUAL, &["--temp", "0"]);
    say(&terminal, "/pull small-models/nothing");
    wait(&terminal, "✗");
    say(&terminal, &format!("/pull {REPOSITORY}"));
    wait(&terminal, &format!("has no repository '{REPOSITORY}'"));
    say(&terminal, QUESTION);
    wait(&terminal, ANSWER);
    quit(&mut terminal);
}

#[test]
fn lines_of_a_pull_come_above_the_line_that_is_typed() {
    let (hub, home) = (dead_hub(), tempfile::tempdir().unwrap());
    let terminal = start_as(&hub, &home, WIDE, &["repl", "--temp", "0"], "Ctrl-D leaves");
    say(&terminal, &format!("/pull {REPOSITORY}"));
    wait(&terminal, "tiny-llama.Q8_0.gguf");
    say(&terminal, QUESTION);
    wait(&terminal, ANSWER);
    terminal.press("half a line");
    wait(&terminal, "> half a line");
    mend(&hub);
    let loads = format!("/model {REPOSITORY} loads it");
    terminal.wait_for_screen("the news above the line", |screen| {
        flowing(screen).contains(&loads) && screen.trim_end().ends_with("> half a line")
    });
}

/// What the line-by-line chat says to lines from a pipe, where that succeeds.
fn piped(hub: &TestHub, home: &TempDir, lines: &str) -> (String, String) {
    let (code, stdout, stderr) = fed(hub, home, lines, &[]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    (stdout, stderr)
}

/// The same, with its exit code and with variables of its own.
fn fed(
    hub: &TestHub,
    home: &TempDir,
    lines: &str,
    variables: &[(&str, std::path::PathBuf)],
) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gibber"));
    command.arg("repl").env("GIBBER_CONFIG_DIR", home.path()).env("HF_HOME", home.path().join("hf"));
    command.env("HF_ENDPOINT", hub.url()).env_remove("GIBBER_MODEL").env_remove("HF_HUB_OFFLINE");
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // It may have ended before it has read them all.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn lines_from_a_pipe_wait_for_the_model_that_they_pull() {
    let (hub, home) = (hub(), tempfile::tempdir().unwrap());
    let (stdout, stderr) = piped(&hub, &home, &format!("/pull {REPOSITORY}\n/show\n"));
    let model = stdout.lines().find(|line| line.starts_with("model ")).unwrap_or_default();
    assert!(model.contains("Q8_0"), "what was pulled is loaded: {stdout}{stderr}");
}
