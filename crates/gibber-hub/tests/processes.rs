//! Pulls in processes of their own: killed at any moment, several at once, on a disk that is full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::hub::{Fault, Rule};
use common::{MIB, MODEL, Machine, REPOSITORY, files, noise, total};
use gibber_hub::{Limits, Repository};
use rangemap::RangeSet;

/// Nothing here takes so long, on any machine.
const LONGEST: Duration = Duration::from_secs(120);

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONGEST, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What a process says until it ends: whether it was well, its lines, its errors.
fn end(mut child: Child) -> (bool, String, String) {
    let (mut lines, mut errors) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut lines).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (child.wait().unwrap().success(), lines, errors)
}

fn path_of(lines: &str) -> String {
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    last["path"].as_str().unwrap().to_owned()
}

/// Bytes of `ranges` that are in `before`, too.
fn again(ranges: &[std::ops::Range<u64>], before: &RangeSet<u64>) -> u64 {
    let overlaps = |range: &std::ops::Range<u64>| {
        let parts = before.overlapping(range).map(|part| part.end.min(range.end) - part.start.max(range.start));
        parts.sum::<u64>()
    };
    ranges.iter().map(overlaps).sum()
}

#[test]
fn killed_twenty_times_it_asks_for_a_mebibyte_a_range_again() {
    const KILLS: usize = 20;
    const CONNECTIONS: u64 = 2;
    let seed =
        std::env::var("GIBBER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("GIBBER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let bytes = noise(24 * MIB + 77, seed);
    let mut kills = 0;
    while kills < KILLS {
        let machine = Machine::with_model(&bytes);
        machine.hub.behave(|manners| manners.bytes_per_second = Some(5 * MIB as u64));
        let mut runs = Vec::new();
        let path = loop {
            let name = format!("run-{}", runs.len());
            let mut child = machine.process_as(&name, &["--connections", "2"]);
            let has_begun =
                |child: &mut Child| !machine.ranges_of(&name).is_empty() || child.try_wait().unwrap().is_some();
            wait_until("the first request", || has_begun(&mut child));
            runs.push(name);
            if kills < KILLS {
                thread::sleep(Duration::from_millis(random.u64(0..500)));
                // It may have ended by then.
                let _ = child.kill();
            }
            let (is_well, lines, errors) = end(child);
            assert!(errors.is_empty(), "{errors}");
            if is_well {
                break path_of(&lines);
            }
            kills += 1;
        };
        assert!(fs::read(path).unwrap() == bytes, "other bytes after {kills} kills");
        assert_eq!(machine.blobs().len(), 1, "{:?}", machine.blobs());
        // Only now, since a request may reach the server's list after the one who asked was killed.
        let mut before = RangeSet::new();
        for run in runs {
            let ranges = machine.ranges_of(&run);
            assert!(ranges.iter().all(|range| range.end - range.start <= MIB as u64), "{ranges:?}");
            let twice = again(&ranges, &before);
            assert!(twice <= CONNECTIONS * MIB as u64, "{run}: {twice} bytes were asked for again: {ranges:?}");
            before.extend(ranges);
        }
    }
}

/// Reads until a process says that it waits; what it says afterwards.
fn waiting(child: &mut Child) -> impl Iterator<Item = String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let waits = lines.by_ref().find(|line| line.contains(r#""type":"waiting""#));
    assert!(waits.is_some_and(|line| line.contains(MODEL)));
    lines
}

/// A process that hangs in the middle of the file, until the line is cut or it is killed.
fn hanging(machine: &Machine) -> Child {
    machine.hub.rule(Rule::on("/resolve/").numbers(4..=4).fault(Fault::StallAfter(1000)));
    let child = machine.process(&["--connections", "1"]);
    wait_until("the request that hangs", || machine.ranges().len() == 4);
    child
}

#[test]
fn two_at_once_fetch_a_file_once() {
    let bytes = noise(6 * MIB, 2);
    let machine = Machine::with_model(&bytes);
    let first = hanging(&machine);
    let mut second = machine.process(&["--connections", "1"]);
    let rest = waiting(&mut second);
    machine.hub.cut();
    let (is_well, lines, errors) = end(first);
    assert!(is_well && !lines.contains(r#""type":"waiting""#), "{errors}");
    let last = rest.last().unwrap();
    assert!(second.wait().unwrap().success());
    assert_eq!(path_of(&lines), path_of(&last));
    assert!(last.contains(r#""fetched":0"#), "{last}");
    assert_eq!(fs::read(path_of(&last)).unwrap(), bytes);
    let twice = total(&machine.ranges()) - bytes.len() as u64;
    assert!(twice <= MIB as u64, "{twice}");
}

#[test]
fn one_that_waits_goes_on_where_a_killed_one_ended() {
    let bytes = noise(6 * MIB, 3);
    let machine = Machine::with_model(&bytes);
    let mut first = hanging(&machine);
    let mut second = machine.process(&["--connections", "1"]);
    let rest = waiting(&mut second);
    first.kill().unwrap();
    end(first);
    let last = rest.last().unwrap();
    assert!(second.wait().unwrap().success());
    assert_eq!(fs::read(path_of(&last)).unwrap(), bytes);
    let twice = total(&machine.ranges()) - bytes.len() as u64;
    assert!(twice <= MIB as u64, "{twice}");
}

#[test]
fn a_disk_that_is_full_is_told_and_the_rest_comes_later() {
    let bytes = noise(4 * MIB, 4);
    let machine = Machine::with_model(&bytes);
    // As a file system or a quota that takes no more: 2 MiB of a file.
    let program = env!("CARGO_BIN_EXE_gibber-hub-pull");
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh", program, REPOSITORY, MODEL])
        .envs(machine.variables())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (is_well, _, errors) = end(child);
    assert!(!is_well && errors.contains("make room, and the same command goes on from there"), "{errors}");
    machine.hub.forget_asked();
    let (pulled, _) = machine.pull(&Limits::default());
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    let rest = total(&machine.ranges());
    assert!(rest >= 2 * MIB as u64 && rest < 4 * MIB as u64, "{rest}");
    let locks = machine.cache().folder().join(".locks/models--maker--model");
    assert_eq!(files(&locks).len(), 1);
    assert!(machine.cache().commit(&Repository::new(REPOSITORY).unwrap(), "main").is_some());
}
