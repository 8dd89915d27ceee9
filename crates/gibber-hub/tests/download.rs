//! Pulls from a server that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use common::hub::{Fault, Rule, TestHub};
use common::{MIB, MODEL, Machine, REPOSITORY, check_progress, files, noise, total};
use gibber_hub::{Cache, Cancel, HubError, Limits, PullEvent, Pulled, Repository, Result, pull_address};

const RESOLVE: &str = "/resolve/";

fn limits(connections: usize) -> Limits {
    Limits { connections, ..Limits::default() }
}

/// What was told and may be told again, in words.
fn told(events: &[PullEvent]) -> Vec<&str> {
    let word = |event: &PullEvent| match event {
        PullEvent::Planned { .. } => Some("planned"),
        PullEvent::Waiting { .. } => Some("waiting"),
        PullEvent::Verified { .. } => Some("verified"),
        PullEvent::Done { .. } => Some("done"),
        PullEvent::Retrying { .. } | PullEvent::Progress { .. } => None,
    };
    events.iter().filter_map(word).collect()
}

fn retries(events: &[PullEvent]) -> usize {
    events.iter().filter(|event| matches!(event, PullEvent::Retrying { .. })).count()
}

#[test]
fn a_model_comes_in_ranges_and_stands_where_others_look() {
    let bytes = noise(13 * MIB + 5, 1);
    let machine = Machine::with_model(&bytes);
    let (pulled, events) = machine.pull_files(&[MODEL, "config.json"], &limits(4), &Cancel::new(), |_| ());
    let pulled = pulled.unwrap();
    assert_eq!(fs::read(&pulled.path).unwrap(), bytes);
    assert_eq!(told(&events), ["planned", "verified", "done", "verified", "done"]);
    let size = bytes.len() as u64 + 2;
    assert!(matches!(events.last(), Some(PullEvent::Done { path, .. }) if path == MODEL), "{events:?}");
    assert_eq!((pulled.bytes_fetched, pulled.bytes_here, pulled.unverified), (size, 0, None));
    let ranges = machine.ranges();
    assert_eq!(total(&ranges), bytes.len() as u64, "each byte once");
    assert!(ranges.len() == 14 && ranges.iter().all(|range| range.end - range.start <= MIB as u64), "{ranges:?}");
    let repository = machine.cache().repository(&Repository::new(REPOSITORY).unwrap());
    let commit = fs::read_to_string(repository.join("refs/main")).unwrap();
    assert_eq!(pulled.path, repository.join("snapshots").join(&commit).join(MODEL));
    assert!(fs::read_link(&pulled.path).unwrap().starts_with("../../blobs"));
    assert_eq!(machine.blobs().len(), 2, "nothing else is left");

    machine.hub.forget_asked();
    let (again, events) = machine.pull_files(&[MODEL, "config.json"], &limits(4), &Cancel::new(), |_| ());
    let again = again.unwrap();
    assert_eq!((again.path, again.bytes_fetched, again.bytes_here), (pulled.path, 0, size));
    assert_eq!(told(&events), ["planned"]);
    assert_eq!(machine.hub.asked_for(RESOLVE), []);
}

#[test]
fn a_file_of_no_bytes_and_one_in_a_folder() {
    let machine = Machine::new();
    machine.hub.commit(REPOSITORY, &[("empty", b""), ("deep/er/small.json", b"{}"), ("same.json", b"{}")]);
    let paths = ["deep/er/small.json", "empty", "same.json"];
    let (pulled, _) = machine.pull_files(&paths, &limits(4), &Cancel::new(), |_| ());
    let small = pulled.unwrap().path;
    assert_eq!(fs::read(&small).unwrap(), b"{}");
    let snapshot = small.ancestors().nth(3).unwrap();
    assert_eq!(fs::read(snapshot.join("empty")).unwrap(), b"");
    assert_eq!(fs::read(snapshot.join("same.json")).unwrap(), b"{}");
    assert_eq!(machine.blobs().len(), 2, "the same bytes once");
}

#[test]
fn what_fails_is_asked_for_again_by_range() {
    let bytes = noise(6 * MIB, 2);
    for fault in [
        Fault::CutAfter(300_000),
        Fault::Close,
        Fault::Reset,
        Fault::status(503),
        Fault::status_with(429, "Retry-After", "0"),
        Fault::StallAfter(100_000),
        Fault::Length(-1000),
    ] {
        let machine = Machine::with_model(&bytes);
        machine.hub.rule(Rule::on(RESOLVE).numbers(3..=4).fault(fault.clone()));
        let (pulled, events) = machine.pull(&limits(2));
        assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes, "{fault:?}");
        assert!(retries(&events) > 0, "{fault:?}: {events:?}");
        let twice = total(&machine.ranges()) - bytes.len() as u64;
        assert!(twice <= 2 * MIB as u64, "{fault:?}: {twice} bytes twice");
    }
}

#[test]
fn a_server_that_stays_away_ends_it_and_what_came_is_kept() {
    let bytes = noise(4 * MIB, 3);
    let machine = Machine::with_model(&bytes);
    machine.hub.rule(Rule::on(RESOLVE).numbers(3..=usize::MAX).fault(Fault::Close));
    let (failed, events) = machine.pull(&limits(1));
    let error = failed.unwrap_err();
    assert!(retries(&events) >= 2, "{events:?}");
    assert!(error.to_string().len() > 20, "{error}");
    machine.hub.forget_rules();
    machine.hub.forget_asked();
    let (pulled, _) = machine.pull(&limits(1));
    let pulled = pulled.unwrap();
    assert_eq!(fs::read(&pulled.path).unwrap(), bytes);
    assert_eq!((pulled.bytes_here, total(&machine.ranges())), (2 * MIB as u64, 2 * MIB as u64));
}

#[test]
fn a_server_without_ranges_is_read_from_the_front() {
    let bytes = noise(5 * MIB + 1, 4);
    let machine = Machine::with_model(&bytes);
    machine.hub.rule(Rule::on(RESOLVE).numbers(1..=1).fault(Fault::NoRanges).fault(Fault::CutAfter(2_500_000)));
    machine.hub.rule(Rule::on(RESOLVE).fault(Fault::NoRanges));
    let (pulled, events) = machine.pull(&limits(4));
    let pulled = pulled.unwrap();
    assert_eq!(fs::read(&pulled.path).unwrap(), bytes);
    assert_eq!(machine.ranges().len(), 2, "one connection, and once more behind the cut");
    assert!(retries(&events) == 1 && pulled.bytes_fetched > bytes.len() as u64, "{pulled:?}");
}

#[test]
fn one_that_forgets_its_ranges_is_read_from_the_front() {
    let bytes = noise(24 * MIB, 5);
    let machine = Machine::with_model(&bytes);
    machine.hub.rule(Rule::on(RESOLVE).numbers(3..=usize::MAX).fault(Fault::NoRanges));
    let (pulled, _) = machine.pull(&limits(2));
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    // Those that were on their way on two connections, and the one from the front: not the 24 of a server that has ranges.
    let ranges = machine.ranges();
    assert!(ranges.len() <= 8, "{ranges:?}");
}

#[test]
fn a_wrong_byte_is_fetched_once_more_from_nothing() {
    let bytes = noise(3 * MIB, 6);
    let machine = Machine::with_model(&bytes);
    machine.hub.rule(Rule::on(RESOLVE).numbers(1..=3).fault(Fault::WrongByte(1_500_000)));
    let (pulled, events) = machine.pull(&limits(1));
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    assert_eq!(total(&machine.ranges()), 2 * bytes.len() as u64);
    let size = bytes.len() as u64;
    assert!(
        matches!(events.iter().rev().nth(2), Some(PullEvent::Progress { done, total, .. })
        if (*done, *total) == (2 * size, 2 * size)),
        "{events:?}"
    );
}

#[test]
fn bytes_that_are_wrong_twice_are_refused_with_both_hashes() {
    for size in [3 * MIB, 900] {
        // The smaller one has Git's hash.
        let machine = Machine::with_model(&noise(size, 7));
        machine.hub.rule(Rule::on(RESOLVE).fault(Fault::WrongByte(100)));
        let (refused, events) = machine.pull(&limits(2));
        match refused {
            Err(HubError::WrongHash { path, expected, actual }) => {
                assert_eq!((path.as_str(), expected.len()), (MODEL, actual.len()));
                assert_ne!(expected, actual);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(retries(&events), 1);
        let is_of_the_second_time =
            |event: &PullEvent| matches!(event, PullEvent::Retrying { reason, .. } if reason.contains("second time"));
        assert!(!events.iter().any(is_of_the_second_time), "{events:?}");
        assert_eq!(machine.blobs(), [] as [std::path::PathBuf; 0], "nothing of it is kept");
        let snapshots = machine.cache().repository(&Repository::new(REPOSITORY).unwrap()).join("snapshots");
        assert!(files(&snapshots).is_empty());
    }
}

#[test]
fn a_file_of_another_size_is_refused_with_both_sizes() {
    let bytes = noise(3 * MIB, 8);
    let size = bytes.len();
    for (fault, actual) in [
        (Fault::header("Content-Range", &format!("bytes 0-1048575/{}", size + 7)), size as u64 + 7),
        (Fault::Body(noise(2000, 1)), 2000),
    ] {
        let machine = Machine::with_model(&bytes);
        machine.hub.rule(Rule::on(RESOLVE).fault(fault));
        let (refused, _) = machine.pull(&limits(1));
        match refused {
            Err(HubError::WrongSize { expected, actual: told, .. }) => {
                assert_eq!((expected, told), (size as u64, actual))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_stops_it_finds_it_where_it_was() {
    let bytes = noise(8 * MIB, 9);
    let machine = Machine::with_model(&bytes);
    // The rest would never come.
    machine.hub.rule(Rule::on(RESOLVE).numbers(5..=usize::MAX).fault(Fault::StallAfter(1000)));
    let cancel = Cancel::new();
    let stop = |event: &PullEvent| {
        if matches!(event, PullEvent::Progress { done, .. } if *done >= 4 * MIB as u64) {
            cancel.cancel();
        }
    };
    let mut limits = limits(1);
    limits.bytes_per_second = Some(16 * MIB as u64);
    let start = Instant::now();
    let (stopped, _) = machine.pull_files(&[MODEL], &limits, &cancel, stop);
    assert!(matches!(stopped, Err(HubError::Cancelled)), "{stopped:?}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let listing = machine.plan(&machine.client(), &[MODEL]).listing;
    let file = listing.files.iter().find(|file| file.path == MODEL).unwrap();
    let front = machine.cache().front(&listing, file, 2 * MIB as u64);
    assert!(front.len() >= 2 * MIB && bytes.starts_with(&front), "{}", front.len());
    machine.hub.forget_rules();
    machine.hub.forget_asked();
    let (pulled, events) = machine.pull(&limits);
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    assert!(total(&machine.ranges()) <= 4 * MIB as u64, "{:?}", machine.ranges());
    assert!(matches!(&events[0], PullEvent::Planned { here, .. } if *here >= 4 * MIB as u64), "{:?}", events[0]);
}

#[test]
fn what_an_earlier_run_left_is_proven_before_it_counts() {
    let bytes = noise(4 * MIB, 10);
    let machine = Machine::with_model(&bytes);
    machine.hub.rule(Rule::on(RESOLVE).numbers(4..=usize::MAX).fault(Fault::Close));
    machine.pull(&limits(1)).0.unwrap_err();
    machine.hub.forget_rules();
    machine.hub.forget_asked();
    // As after a loss of power: the journal reached the disk, and some of the bytes did not.
    let part = machine.blobs().into_iter().find(|path| path.to_str().unwrap().ends_with("-part")).unwrap();
    let file = fs::File::options().write(true).open(part).unwrap();
    file.write_all_at(&[0; 5000], MIB as u64 + 100).unwrap();
    let (pulled, events) = machine.pull(&limits(1));
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    assert_eq!(retries(&events), 0, "the hash was right the first time");
    let again = total(&machine.ranges()) - MIB as u64;
    assert!(again > 0 && again <= MIB as u64 / 2, "{again} bytes again");
}

#[test]
fn an_unfinished_file_of_an_earlier_commit_goes() {
    let machine = Machine::with_model(&noise(3 * MIB, 11));
    machine.hub.rule(Rule::on(RESOLVE).numbers(2..=usize::MAX).fault(Fault::Close));
    machine.pull(&limits(1)).0.unwrap_err();
    machine.hub.forget_rules();
    let newer = noise(2 * MIB, 12);
    machine.hub.commit(REPOSITORY, &[(MODEL, &newer)]);
    let (pulled, _) = machine.pull(&limits(1));
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), newer);
    assert_eq!(machine.blobs().len(), 1, "{:?}", machine.blobs());
}

#[test]
fn the_hub_is_asked_once_where_another_host_has_the_bytes() {
    let bytes = noise(6 * MIB, 20);
    let machine = Machine::with_model(&bytes);
    let second = TestHub::start();
    machine.hub.send_on_to(&second);
    // What is signed for a while is refused then.
    second.rule(Rule::on("/blob/").numbers(4..=4).fault(Fault::status(403)));
    let (pulled, events) = machine.pull(&limits(1));
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    let asked = machine.hub.asked_for(RESOLVE).into_iter().filter(|asked| asked.method == "GET").count();
    assert_eq!((asked, second.asked().len(), retries(&events)), (2, 7, 0));
}

#[test]
fn one_of_several_hosts_sends_it_whatever_the_others_call_it() {
    let bytes = noise(3 * MIB, 23);
    let machine = Machine::new();
    machine.hub.put("/tiny.gguf", &bytes);
    machine.hub.rule(Rule::on("/tiny").method("HEAD").fault(Fault::header("ETag", "\"of another\"")));
    let (pulled, events) = pull_url(&machine, "/tiny.gguf", None);
    assert_eq!((fs::read(pulled.unwrap().path).unwrap(), retries(&events)), (bytes.clone(), 0));
}

#[test]
fn a_file_that_changes_while_it_comes_begins_anew() {
    let (bytes, newer) = (noise(3 * MIB, 24), noise(4 * MIB, 25));
    let machine = Machine::new();
    machine.hub.put("/other.gguf", &bytes);
    machine.hub.rule(Rule::on("/other").method("GET").numbers(1..=2).fault(Fault::header("ETag", "\"before\"")));
    let (pulled, events) = pull_url(&machine, "/other.gguf", None);
    assert_eq!((fs::read(pulled.unwrap().path).unwrap(), retries(&events)), (bytes, 1));
    // Also where it has another size by then.
    machine.hub.put("/more.gguf", &newer);
    let shorter = Fault::header("Content-Length", &(3 * MIB).to_string());
    machine.hub.rule(Rule::on("/more").method("HEAD").once().fault(shorter));
    let (pulled, events) = pull_url(&machine, "/more.gguf", None);
    assert_eq!((fs::read(pulled.unwrap().path).unwrap(), retries(&events)), (newer.clone(), 1));
    // And one that is another one each time is refused.
    machine.hub.put("/never.gguf", &newer);
    for number in 1..100 {
        let other = Fault::header("ETag", &format!("\"{number}\""));
        machine.hub.rule(Rule::on("/never").method("GET").once().fault(other));
    }
    let (refused, _) = pull_url(&machine, "/never.gguf", None);
    assert!(matches!(refused, Err(HubError::Changed { .. })), "{refused:?}");
    assert_eq!(files(&machine.home.path().join("models")).len(), 3, "two files and the folder of locks");
}

#[test]
fn a_journal_that_outlived_its_file_goes() {
    let machine = Machine::with_model(&noise(MIB, 21));
    let path = machine.pull(&limits(2)).0.unwrap().path;
    let blob = path.canonicalize().unwrap();
    fs::write(format!("{}.gibber-part.journal", blob.display()), "{").unwrap();
    machine.pull(&limits(2)).0.unwrap();
    assert_eq!(machine.blobs(), [blob]);
}

#[test]
fn a_cache_that_is_only_read_has_what_is_here() {
    let machine = Machine::with_model(&noise(1000, 22));
    let path = machine.pull(&limits(2)).0.unwrap().path;
    let repository = machine.cache().repository(&Repository::new(REPOSITORY).unwrap());
    // The ref leads to a commit before, and cannot be written anew, whoever tries.
    fs::remove_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs"), "").unwrap();
    assert_eq!(machine.pull(&limits(2)).0.unwrap().path, path);
}

#[test]
fn a_limit_of_the_rate_is_for_all_connections() {
    let bytes = noise(2 * MIB, 13);
    let machine = Machine::with_model(&bytes);
    let start = Instant::now();
    let limits = Limits { connections: 4, bytes_per_second: Some(4 * MIB as u64) };
    let (pulled, _) = machine.pull(&limits);
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
}

#[test]
fn without_links_the_files_stand_in_the_snapshot() {
    let bytes = noise(MIB, 14);
    let machine = Machine::with_model(&bytes);
    let client = machine.client();
    let mut environment = client.environment().clone();
    environment.links = false;
    let cache = Cache::of(&environment).unwrap();
    let plan = machine.plan(&client, &[MODEL]);
    let pulled = gibber_hub::pull(&client, &cache, &plan, &limits(2), &|_| (), &Cancel::new()).unwrap();
    assert!(fs::symlink_metadata(&pulled.path).unwrap().is_file());
    let again = gibber_hub::pull(&client, &cache, &plan, &limits(2), &|_| (), &Cancel::new()).unwrap();
    assert_eq!((again.path, again.bytes_fetched), (pulled.path, 0));
}

#[test]
fn offline_what_is_here_is_used_and_what_is_missing_is_named() {
    let bytes = noise(MIB, 15);
    let machine = Machine::with_model(&bytes);
    let (online, plan) = (machine.client(), machine.plan(&machine.client(), &[MODEL]));
    let mut environment = online.environment().clone();
    environment.offline = Some("HF_HUB_OFFLINE".to_owned());
    let offline = gibber_hub::Hub::new(&environment).unwrap();
    let pull = |client| gibber_hub::pull(client, &machine.cache(), &plan, &limits(2), &|_| (), &Cancel::new());
    match pull(&offline) {
        Err(HubError::Offline { what, variable }) => {
            assert_eq!((what.as_str(), variable.as_str()), ("model.gguf of maker/model", "HF_HUB_OFFLINE"));
        }
        other => panic!("{other:?}"),
    }
    let path = pull(&online).unwrap().path;
    let listing = gibber_hub::list(&offline, &machine.cache(), &plan.listing.repository, "main").unwrap();
    assert_eq!(listing.files, plan.files, "what is known of it here");
    let read = |client, most| gibber_hub::read_file(client, Some(&machine.cache()), &listing, &listing.files[0], most);
    assert_eq!(read(&offline, MIB as u64).unwrap(), bytes);
    assert!(matches!(read(&offline, 100), Err(HubError::Offline { .. })), "it is longer than what is read");
    assert_eq!(read(&online, 100).unwrap(), bytes[..100]);
    assert_eq!(pull(&offline).unwrap().path, path);
}

fn pull_url(machine: &Machine, name: &str, sha256: Option<&str>) -> (Result<Pulled>, Vec<PullEvent>) {
    let events = std::cell::RefCell::new(Vec::new());
    let folder = machine.home.path().join("models");
    let url = format!("{}{name}", machine.hub.url());
    let tell = |event| events.borrow_mut().push(event);
    let pulled = pull_address(&machine.client(), &url, sha256, &folder, &limits(2), &tell, &Cancel::new());
    let events = events.into_inner();
    check_progress(&events);
    (pulled, events)
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_file_of_an_address_is_checked_where_its_hash_is_known() {
    let bytes = noise(3 * MIB, 16);
    let (right, wrong) = (sha256(&bytes), "a".repeat(64));
    let machine = Machine::new();
    machine.hub.put("/files/Tiny-Q8_0.gguf", &bytes);
    let (refused, _) = pull_url(&machine, "/files/Tiny-Q8_0.gguf", Some(&wrong));
    assert!(matches!(refused, Err(HubError::WrongHash { .. })), "{refused:?}");
    let (pulled, events) = pull_url(&machine, "/files/Tiny-Q8_0.gguf?key=1", Some(&right));
    let pulled = pulled.unwrap();
    assert!(pulled.path.ends_with("models/Tiny-Q8_0.gguf"), "{pulled:?}");
    assert_eq!((fs::read(&pulled.path).unwrap(), &pulled.unverified), (bytes, &None));
    assert_eq!(told(&events), ["planned", "verified", "done"]);
    machine.hub.forget_asked();
    let (again, _) = pull_url(&machine, "/files/Tiny-Q8_0.gguf", Some(&right));
    assert_eq!((again.unwrap().bytes_fetched, machine.hub.asked().len()), (0, 0));
    let (other, _) = pull_url(&machine, "/files/Tiny-Q8_0.gguf", Some(&wrong));
    assert!(matches!(other, Err(HubError::Occupied { .. })), "{other:?}");
}

#[test]
fn a_file_of_an_address_without_a_hash_is_said_to_be_unverified() {
    let bytes = noise(2 * MIB, 17);
    let machine = Machine::new();
    machine.hub.put("/tiny.gguf", &bytes);
    machine.hub.rule(Rule::on("/tiny").method("GET").once().fault(Fault::status(503)));
    let (pulled, events) = pull_url(&machine, "/tiny.gguf", None);
    let pulled = pulled.unwrap();
    assert_eq!((fs::read(&pulled.path).unwrap(), pulled.unverified), (bytes.clone(), Some(sha256(&bytes))));
    assert_eq!(told(&events), ["planned", "done"]);
    let again = pull_url(&machine, "/tiny.gguf", None).0.unwrap();
    assert_eq!((again.bytes_fetched, again.unverified), (0, Some(sha256(&bytes))));
    let (folder, url) = (machine.home.path().join("models"), format!("{}/tiny.gguf", machine.hub.url()));
    let mut environment = machine.client().environment().clone();
    environment.offline = Some("HF_HUB_OFFLINE".to_owned());
    let offline = gibber_hub::Hub::new(&environment).unwrap();
    let here = pull_address(&offline, &url, None, &folder, &limits(2), &|_| (), &Cancel::new()).unwrap();
    assert_eq!((here.bytes_here, here.unverified), (bytes.len() as u64, Some(sha256(&bytes))));
    machine.hub.put("/tiny.gguf", &noise(MIB, 18));
    let (other, _) = pull_url(&machine, "/tiny.gguf", None);
    assert!(matches!(other, Err(HubError::Occupied { .. })), "{other:?}");
    machine.hub.put("/page", b"<!DOCTYPE html>");
    match pull_url(&machine, "/page", None).0 {
        Err(HubError::NotGguf { begins, .. }) => assert_eq!(begins, "'<!DO'"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_in_parts_at_an_address_comes_whole_and_goes_on() {
    let machine = Machine::new();
    let parts: Vec<Vec<u8>> = (0..3).map(|number| noise(MIB, 30 + number)).collect();
    let path = |number: usize| format!("/files/big-0000{number}-of-00003.gguf");
    parts.iter().zip(1..).for_each(|(bytes, number)| machine.hub.put(&path(number), bytes));
    machine.hub.rule(Rule::on(&path(2)).method("GET").numbers(2..=usize::MAX).fault(Fault::status(404)));
    let (stopped, _) = pull_url(&machine, &path(1), None);
    assert!(stopped.unwrap_err().to_string().contains("big-00002-of-00003.gguf"));
    machine.hub.forget_rules();
    machine.hub.forget_asked();
    // Whichever part is named.
    let sum = sha256(&parts[1]);
    let (pulled, events) = pull_url(&machine, &format!("{}?key=1", path(2)), Some(&sum));
    let pulled = pulled.unwrap();
    assert!(pulled.path.ends_with("models/big-00001-of-00003.gguf"), "{pulled:?}");
    for (part, bytes) in pulled.parts.iter().zip(&parts) {
        assert_eq!((part.size, &part.blob), (bytes.len() as u64, &sha256(bytes)));
        assert_eq!(&fs::read(pulled.path.with_file_name(&part.path)).unwrap(), bytes);
    }
    assert!(machine.hub.asked_for(&path(1)).iter().all(|asked| asked.range().is_none()), "the first part was here");
    assert_eq!(told(&events), ["planned", "verified", "done", "done"]);
    assert!(matches!(events[0], PullEvent::Planned { files: 3, .. }), "{:?}", events[0]);
    let wrong = pull_url(&machine, &path(2), Some(&"a".repeat(64))).0;
    assert!(matches!(wrong, Err(HubError::Occupied { .. })), "{wrong:?}");
}

#[test]
fn a_file_that_changes_on_its_server_begins_anew() {
    let bytes = noise(4 * MIB, 19);
    let machine = Machine::new();
    machine.hub.put("/tiny.gguf", &bytes);
    let old = |rule: Rule| rule.method("GET").fault(Fault::header("ETag", "\"old\"")).fault(Fault::WrongByte(20));
    machine.hub.rule(Rule::on("/tiny").method("HEAD").once().fault(Fault::header("ETag", "\"old\"")));
    machine.hub.rule(old(Rule::on("/tiny").numbers(1..=3)));
    machine.hub.rule(Rule::on("/tiny").method("GET").numbers(1..=8).fault(Fault::Close));
    pull_url(&machine, "/tiny.gguf", None).0.unwrap_err();
    machine.hub.forget_rules();
    let (pulled, _) = pull_url(&machine, "/tiny.gguf", None);
    assert_eq!(fs::read(pulled.unwrap().path).unwrap(), bytes);
}

#[test]
fn a_pull_that_ends_early_leaves_a_cache_that_others_can_read() {
    let bytes = noise(MIB, 16);
    let machine = Machine::with_model(&bytes);
    let repository = machine.cache().repository(&Repository::new(REPOSITORY).unwrap());
    machine.hub.rule(Rule::on("/resolve/").fault(Fault::status(403)));
    machine.pull(&limits(2)).0.unwrap_err();
    assert!(!repository.exists(), "nothing came of it");
    machine.hub.forget_rules();
    let cancel = Cancel::new();
    machine.hub.behave(|manners| manners.bytes_per_second = Some(200_000));
    let stop = |event: &PullEvent| {
        if matches!(event, PullEvent::Progress { done, .. } if *done > 0) {
            cancel.cancel();
        }
    };
    machine.pull_files(&[MODEL], &limits(2), &cancel, stop).0.unwrap_err();
    let snapshots = repository.join("snapshots");
    assert_eq!(common::files(&snapshots).len(), 1, "the folder of the commit is there");
}
