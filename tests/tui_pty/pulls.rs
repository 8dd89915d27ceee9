//! Models that are pulled in a chat, from a hub on loopback.

use std::path::Path;

use portable_pty::CommandBuilder;
use tempfile::TempDir;

use super::{ANSWER, QUESTION, USUAL, WIDE, flowing};
use crate::hub::{Fault, Rule, TestHub};
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
    let text = format!(
        "[[family]]\nname = \"tiny\"\narchitecture = \"llama\"\nlicence = \"MIT\"\ncontext = 512\n\
         good_at = \"being small for a test\"\n\n[[family.model]]\ntag = \"llama\"\nrepository = \"{REPOSITORY}\"\n\
         file = \"tiny-llama.{{type}}.gguf\"\ntype = \"Q8_0\"\nbytes = 81_504\nkv = 64\n"
    );
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

#[test]
fn lines_from_a_pipe_wait_for_the_model_that_they_pull() {
    let (hub, home) = (hub(), tempfile::tempdir().unwrap());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gibber"));
    command.arg("repl").env("GIBBER_CONFIG_DIR", home.path()).env("HF_HOME", home.path().join("hf"));
    command.env("HF_ENDPOINT", hub.url()).env_remove("GIBBER_MODEL").env_remove("HF_HUB_OFFLINE");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let lines = format!("/pull {REPOSITORY}\n/show\n");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let model = stdout.lines().find(|line| line.starts_with("model ")).unwrap_or_default();
    assert!(model.contains("Q8_0"), "what was pulled is loaded: {stdout}{stderr}");
}
