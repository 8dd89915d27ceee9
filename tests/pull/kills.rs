//! The program itself, killed at any moment of a pull: the next one goes on where it was.

use super::support::catalogue::family;
use super::*;
use std::ops::Range;
use std::time::Duration;

use rangemap::RangeSet;
use rustix::process::Signal;

/// How often it is killed.
const KILLS: usize = 20;
/// What a kill may lose of each connection: a request.
const REQUEST: u64 = 1 << 20;
/// Connections at most.
const CONNECTIONS: u64 = 8;
/// Bytes a second and connection: slow enough to be killed in the middle.
const RATE: u64 = 2 << 20;
const FILE: &str = "big.Q8_0.gguf";

/// Ranges of the file that a run has asked for; its token says which run it was.
fn ranges_of(machine: &Machine, token: &str) -> Vec<Range<u64>> {
    let is_meant =
        |asked: &hub::Asked| asked.method == "GET" && asked.header("authorization") == Some(&format!("Bearer {token}"));
    let range = |asked: hub::Asked| {
        let (first, last) = asked.range()?;
        Some(first..last.unwrap() + 1)
    };
    machine.hub.asked_for(FILE).into_iter().filter(is_meant).filter_map(range).collect()
}

/// Bytes of `ranges` that are in `before`, too.
fn again(ranges: &[Range<u64>], before: &RangeSet<u64>) -> u64 {
    let overlaps = |range: &Range<u64>| -> u64 {
        before.overlapping(range).map(|part| part.end.min(range.end) - part.start.max(range.start)).sum()
    };
    ranges.iter().map(overlaps).sum()
}

/// Pulls the model, killed until `kills` have been: in the end it is here, and has the right bytes.
fn pulled_in_spite_of_kills(bytes: &[u8], kills: &mut usize, random: &mut fastrand::Rng) {
    let machine = Machine::new();
    machine.hub.commit("org/big-GGUF", &[(FILE, bytes)]);
    machine.hub.behave(|manners| manners.bytes_per_second = Some(RATE));
    // What keys and values take is in it, so that no header is read before the file.
    let catalogue = family("big", "1b", "org/big-GGUF", "big.{type}.gguf", "Q8_0", bytes.len());
    fs::write(machine.path("catalogue.toml"), catalogue).unwrap();
    let mut runs = Vec::new();
    let output = loop {
        let run = format!("run-{}", runs.len());
        let child = Running::start(machine.command(&["pull", "big:1b", "--json"]).env("HF_TOKEN", &run));
        runs.push(run.clone());
        if *kills >= KILLS {
            break child.ended();
        }
        wait_until("the first request", || !ranges_of(&machine, &run).is_empty());
        std::thread::sleep(Duration::from_millis(random.u64(0..300)));
        child.signal(Signal::KILL);
        let output = child.ended();
        if output.status.success() {
            break output;
        }
        *kills += 1;
    };
    let events: Vec<Value> = stdout_of(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let path = events.last().unwrap()["path"].as_str().unwrap().to_owned();
    assert!(fs::read(&path).unwrap() == bytes, "other bytes after {kills} kills");
    let blobs = files_below(&machine.repository("org/big-GGUF").join("blobs"));
    assert_eq!(blobs.len(), 1, "nothing is left but the file: {blobs:?}");
    // Only now, since a request may reach the server's list after the one who asked was killed.
    let mut before = RangeSet::new();
    for run in runs {
        let ranges = ranges_of(&machine, &run);
        let twice = again(&ranges, &before);
        assert!(twice <= CONNECTIONS * REQUEST, "{run}: {twice} bytes were asked for again: {ranges:?}");
        before.extend(ranges);
    }
}

#[test]
fn killed_twenty_times_it_goes_on_where_it_was() {
    let seed = std::env::var("GIBBER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("GIBBER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = fixture("tiny-llama.Q8_0.gguf");
    let model = bytes.len();
    bytes.resize(24 << 20, 0);
    random.fill(&mut bytes[model..]);
    let mut kills = 0;
    while kills < KILLS {
        pulled_in_spite_of_kills(&bytes, &mut kills, &mut random);
    }
}
