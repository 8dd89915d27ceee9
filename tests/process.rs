//! What surrounds the program: files that are none, work that never ends, signals. The real binary, from outside; every
//! wait has an end.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each of the test binaries uses a part of it")]
mod support;

#[path = "process/endings.rs"]
mod endings;
#[path = "process/jobs.rs"]
mod jobs;
#[allow(dead_code, reason = "each of the test binaries uses a part of it")]
#[path = "cli/parrot.rs"]
mod parrot;
#[path = "process/scripts.rs"]
mod scripts;
#[path = "process/special_files.rs"]
mod special_files;
#[path = "process/stuck.rs"]
mod stuck;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, ExitStatus};
use rustix::process::Signal;
use support::pty::{PATIENCE, Terminal, key};
use tempfile::TempDir;

/// A model that is loaded in no time.
fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama")
}

/// A folder of its own for a test: the program's home and config directory, and the test's files.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A named pipe that nobody writes to.
    fn pipe(&self, name: &str) -> String {
        let path = self.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path.to_str().unwrap().to_owned()
    }

    /// A copy of the tiny model.
    fn model(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        for entry in fs::read_dir(tiny()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        folder
    }

    /// The tiny model with a pipe in the place of one of its files.
    fn model_with_pipe(&self, name: &str, file: &str) -> String {
        let folder = self.model(name);
        let _ = fs::remove_file(folder.join(file));
        self.pipe(&format!("{name}/{file}"));
        folder.to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }

    fn environment(&self) -> [(&'static str, PathBuf); 3] {
        let (home, model) = (self.0.path().to_owned(), tiny());
        [("HOME", home.clone()), ("GIBBER_CONFIG_DIR", home), ("GIBBER_MODEL", model)]
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finished(self.command(arguments).spawn().unwrap())
    }

    /// The error of a run that fails.
    fn failure(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        error
    }

    /// The program on a screen, once it is there.
    fn screen(&self, arguments: &[&str]) -> Terminal {
        let terminal = self.terminal(arguments);
        terminal.wait_for("the full screen", |screen| screen.alternate_screen());
        terminal
    }

    /// The program in a terminal.
    fn terminal(&self, arguments: &[&str]) -> Terminal {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(arguments);
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        Terminal::start(command, (120, 36))
    }
}

/// What came of a program, which is killed where it does not end.
fn finished(child: Child) -> Output {
    let id = child.id();
    let (sender, done) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    done.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let process = rustix::process::Pid::from_raw(id.cast_signed()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        panic!("the program has not ended");
    })
}

/// Waits for the program to end, and checks what it leaves behind.
fn ended(terminal: &mut Terminal) -> ExitStatus {
    let status = terminal.wait_for_end();
    terminal.assert_restored();
    status
}

/// Types a line and enters it, once its end stands on the screen.
fn say(terminal: &Terminal, line: &str) {
    terminal.press(line);
    let end: String = line.chars().skip(line.chars().count().saturating_sub(8)).collect();
    terminal.wait_for_text(&end);
    terminal.press(key::ENTER);
}
