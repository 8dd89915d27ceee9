//! The process itself: whose child it is, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// The fields of /proc/PID/stat behind the name: state, parent, process group.
fn stat(pid: i32) -> Option<(String, i32, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The processes that render templates for `parent`, dead ones included.
fn helpers(parent: u32) -> Vec<i32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_helper = |pid: i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "gibber-template" && stat(pid).is_some_and(|(_, of, _)| i64::from(of) == i64::from(parent))
    };
    numbers.filter(|&pid| is_helper(pid)).collect()
}

fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The program with a template that never ends, and the process that runs it.
fn hanging() -> (tempfile::TempDir, Child, i32) {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("endless.jinja");
    fs::write(&template, format!("{ENDLESS}{{{{ ns.a == ns.b }}}}")).unwrap();
    let program = Command::new(BINARY)
        .args(["run", "--config-dir"])
        .arg(directory.path())
        .arg("--chat-template")
        .arg(&template)
        .arg("Hi")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = wait_for("the process is started", || helpers(program.id()).first().copied());
    (directory, program, pid)
}

#[test]
fn it_is_out_of_the_terminals_reach() {
    let (_directory, mut program, pid) = hanging();
    assert_eq!(stat(pid).unwrap().2, pid, "a group of its own");
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn it_ends_with_the_program_also_while_it_is_at_work() {
    let (_directory, mut program, pid) = hanging();
    program.kill().unwrap();
    program.wait().unwrap();
    wait_for("the process has ended", || stat(pid).is_none_or(|(state, ..)| state == "Z").then_some(()));
}

#[test]
fn one_that_was_killed_while_it_waited_leaves_no_zombie_and_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("plain.jinja");
    fs::write(&template, "{% for m in messages %}{{ m.content }}{% endfor %}").unwrap();
    let mut program = Command::new(BINARY)
        .args(["repl", "-n", "2", "--config-dir"])
        .arg(directory.path())
        .arg("--chat-template")
        .arg(&template)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(b"Hi\n").unwrap();
    let mut stdout = BufReader::new(program.stdout.take().unwrap());
    let mut said = String::new();
    // With the figures of the first reply, the process has nothing to do.
    while !said.contains("tok/s") {
        assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let pid = wait_for("the process is started", || helpers(program.id()).first().copied());
    send(pid, Signal::KILL);
    wait_for("it is reaped", || stat(pid).is_none().then_some(()));
    stdin.write_all(b"/regen\n/prompt\n").unwrap();
    drop(stdin);
    stdout.read_to_string(&mut said).unwrap();
    assert!(program.wait().unwrap().success(), "{said}");
    assert!(said.contains("\"Hi\""), "{said}");
}
