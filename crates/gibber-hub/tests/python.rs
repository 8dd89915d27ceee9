//! The real `huggingface_hub`: what gibber pulled it finds, what it downloaded gibber finds, and they wait for each other.
//!
//! `GIBBER_PYTHON` names a Python that has it (`scripts/python.sh` makes one). Without it nothing is shown, which is said;
//! `.ci/run` sets `GIBBER_CI`, and there it is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{MIB, MODEL, Machine, noise, total};
use gibber_hub::{Cancel, Limits, PullEvent};

/// The Python of the tests, if there is one.
fn python() -> Option<String> {
    let named = std::env::var("GIBBER_PYTHON").ok().filter(|path| !path.is_empty());
    if named.is_none() {
        assert!(std::env::var_os("GIBBER_CI").is_none(), "GIBBER_PYTHON names no Python with huggingface_hub");
        println!("GIBBER_PYTHON is not set: huggingface_hub was not tried");
    }
    named
}

/// A script on the machine, with the hub that it names.
fn start(python: &str, machine: &Machine, script: &str) -> Child {
    Command::new(python)
        .args(["-c", script])
        .envs(machine.variables())
        .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// The lines that a script prints.
fn run(python: &str, machine: &Machine, script: &str) -> Vec<String> {
    let output = start(python, machine, script).wait_with_output().unwrap();
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Two large files and two small ones.
fn machine(bytes: &[u8]) -> Machine {
    let machine = Machine::new();
    let files: [(&str, &[u8]); 4] =
        [("config.json", b"{}"), (MODEL, bytes), ("deep/tokenizer.json", b"[]"), ("deep/same.bin", bytes)];
    machine.hub.commit(common::REPOSITORY, &files);
    machine
}

#[test]
fn what_gibber_pulled_huggingface_hub_finds_offline() {
    let Some(python) = python() else { return };
    let bytes = noise(3 * MIB, 1);
    let machine = machine(&bytes);
    let paths = [MODEL, "config.json", "deep/tokenizer.json", "deep/same.bin"];
    let (pulled, _) = machine.pull_files(&paths, &Limits::default(), &Cancel::new(), |_| ());
    let path = pulled.unwrap().path;
    let offline = r#"
import os
os.environ["HF_HUB_OFFLINE"] = "1"
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache
print(snapshot_download("maker/model", local_files_only=True))
print(snapshot_download("maker/model"))
print(try_to_load_from_cache("maker/model", "model.gguf"))
print(try_to_load_from_cache("maker/model", "missing.gguf"))
print(open(hf_hub_download("maker/model", "deep/tokenizer.json")).read())
cache = scan_cache_dir()
print(len(cache.warnings), sorted(file.file_name for repo in cache.repos for rev in repo.revisions for file in rev.files))
"#;
    let snapshot = path.parent().unwrap().to_str().unwrap().to_owned();
    let lines = run(&python, &machine, offline);
    let path = path.to_str().unwrap().to_owned();
    let files = "0 ['config.json', 'model.gguf', 'same.bin', 'tokenizer.json']".to_owned();
    assert_eq!(lines, [snapshot.clone(), snapshot, path, "None".to_owned(), "[]".to_owned(), files]);
    // With the hub at hand it fetches nothing that is here.
    machine.hub.forget_asked();
    run(&python, &machine, "import huggingface_hub; huggingface_hub.snapshot_download('maker/model')");
    let fetched = machine.hub.asked_for("/resolve/").into_iter().filter(|asked| asked.method == "GET").count();
    assert_eq!(fetched, 0);
}

#[test]
fn what_huggingface_hub_downloaded_gibber_finds() {
    let Some(python) = python() else { return };
    let bytes = noise(3 * MIB, 2);
    let machine = machine(&bytes);
    let lines =
        run(&python, &machine, "import huggingface_hub; print(huggingface_hub.snapshot_download('maker/model'))");
    machine.hub.forget_asked();
    let paths = [MODEL, "config.json", "deep/tokenizer.json", "deep/same.bin"];
    let (pulled, _) = machine.pull_files(&paths, &Limits::default(), &Cancel::new(), |_| ());
    let pulled = pulled.unwrap();
    assert_eq!((pulled.path.to_str().unwrap(), pulled.bytes_fetched), (format!("{}/{MODEL}", lines[0]).as_str(), 0));
    assert_eq!(machine.hub.asked_for("/resolve/"), []);
    // Offline the list that it keeps says what there is.
    let mut environment = machine.client().environment().clone();
    environment.offline = Some("HF_HUB_OFFLINE".to_owned());
    let offline = gibber_hub::Hub::new(&environment).unwrap();
    let repository = gibber_hub::Repository::new(common::REPOSITORY).unwrap();
    let listing = gibber_hub::list(&offline, &machine.cache(), &repository, "main").unwrap();
    assert_eq!(listing.files.len(), 4);
}

#[test]
fn gibber_waits_for_huggingface_hub() {
    let Some(python) = python() else { return };
    let bytes = noise(2 * MIB, 3);
    let machine = machine(&bytes);
    let plan = machine.plan(&machine.client(), &[MODEL]);
    let lock = machine.cache().lock(&plan.listing.repository, &plan.files[0].oid);
    let script = format!(
        r#"
import os, sys
from huggingface_hub.utils import WeakFileLock
os.makedirs(os.path.dirname({lock:?}), exist_ok=True)
with WeakFileLock({lock:?}):
    print("held", flush=True)
    sys.stdin.readline()
"#
    );
    let mut holder = start(&python, &machine, &script);
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    // Whoever waits can be stopped.
    let cancel = Cancel::new();
    let stop = |event: &PullEvent| {
        if matches!(event, PullEvent::Waiting { .. }) {
            cancel.cancel();
        }
    };
    let (stopped, _) = machine.pull_files(&[MODEL], &Limits::default(), &cancel, stop);
    assert!(matches!(stopped, Err(gibber_hub::HubError::Cancelled)), "{stopped:?}");
    assert_eq!(machine.ranges(), []);
    let mut input = holder.stdin.take().unwrap();
    let input = std::cell::RefCell::new(&mut input);
    let release = |event: &PullEvent| {
        if matches!(event, PullEvent::Waiting { .. }) {
            input.borrow_mut().write_all(b"\n").unwrap();
        }
    };
    let (pulled, events) = machine.pull_files(&[MODEL], &Limits::default(), &Cancel::new(), release);
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    assert_eq!(events.iter().filter(|event| matches!(event, PullEvent::Waiting { .. })).count(), 1);
    assert!(holder.wait().unwrap().success());
}

#[test]
fn huggingface_hub_waits_for_gibber() {
    let Some(python) = python() else { return };
    let bytes = noise(4 * MIB, 4);
    let machine = machine(&bytes);
    machine.hub.behave(|manners| manners.bytes_per_second = Some(MIB as u64));
    let download = "import huggingface_hub; print(huggingface_hub.hf_hub_download('maker/model', 'model.gguf'))";
    thread::scope(|scope| {
        let puller = scope.spawn(|| {
            let limits = Limits { connections: 1, bytes_per_second: None };
            machine.pull(&limits).0.unwrap().path
        });
        while machine.ranges().is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        let output = start(&python, &machine, download).wait_with_output().unwrap();
        let path = puller.join().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), path.to_str().unwrap());
        assert_eq!(fs::read(path).unwrap(), bytes);
        assert!(output.status.success());
    });
    assert_eq!(total(&machine.ranges()), bytes.len() as u64, "only gibber fetched it");
    let whole =
        machine.hub.asked_for(MODEL).into_iter().filter(|asked| asked.method == "GET" && asked.range().is_none());
    assert_eq!(whole.count(), 0);
}
