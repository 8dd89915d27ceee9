use std::time::Duration;

use super::*;
use crate::chat::{Message, MessageState, Node, Role};
use crate::store::SessionRecord;

const SESSION: SessionId = SessionId(5);

fn session() -> StoreOp {
    StoreOp::PutSession(SessionRecord {
        id: SESSION,
        title: "t".into(),
        model: "m".into(),
        system: String::new(),
        head: Some(MessageId(0)),
        created: 1,
    })
}

fn message(content: &str, state: MessageState) -> StoreOp {
    let message = Message::new(Role::Assistant, content);
    StoreOp::PutMessage { session: SESSION, node: Node { id: MessageId(0), parent: None, message, state } }
}

fn content(paths: &Paths) -> String {
    let loaded = Database::open(&paths.database()).unwrap().load(SESSION).unwrap();
    loaded.transcript.nodes()[0].message.content.clone()
}

#[test]
fn everything_is_written_before_it_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path().join("made"));
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(StoreOp::AppendHistory("two\nlines".into()));
    writer.send(session());
    for length in 0..500 {
        writer.send(message(&"x".repeat(length), MessageState::Streaming));
    }
    writer.send(message("whole", MessageState::Complete));
    assert!(writer.finish().is_empty());
    assert_eq!(content(&paths), "whole");
    assert_eq!(history::load(&paths.history()).unwrap(), ["two\nlines"]);
}

#[test]
fn a_write_is_on_disk_without_a_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    writer.send(message("on screen", MessageState::Streaming));
    let database = loop {
        // The file is there a little later; a reader of its own sees what is committed.
        match Database::open(&paths.database()).and_then(|database| database.load(SESSION)) {
            Ok(loaded) if !loaded.transcript.nodes().is_empty() => break loaded,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert_eq!(database.transcript.nodes()[0].message.content, "on screen");
    std::mem::forget(writer);
}

#[test]
fn an_error_is_told_once_and_the_chat_is_saved_when_it_has_passed() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("config");
    std::fs::write(&in_the_way, "a file where the directory should be").unwrap();
    let paths = Paths::at(&in_the_way);
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    let error = writer.failures().recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(error.contains(&*in_the_way.to_string_lossy()), "{error}");
    writer.send(message("first", MessageState::Streaming));
    std::fs::remove_file(&in_the_way).unwrap();
    writer.send(message("kept", MessageState::Complete));
    assert!(writer.finish().len() <= 1);
    assert_eq!(content(&paths), "kept");
}

#[test]
fn a_damaged_database_is_reported_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    std::fs::write(paths.database(), "no database ".repeat(400)).unwrap();
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    let errors = writer.finish();
    assert!(errors[0].contains("is damaged"), "{errors:?}");
    assert!(std::fs::read_to_string(paths.database()).unwrap().starts_with("no database "));
}

#[test]
fn a_locked_database_is_reported_and_written_when_it_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    drop(Database::open(&paths.database()).unwrap());
    let other = rusqlite::Connection::open(paths.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    writer.send(message("waited", MessageState::Complete));
    let error = writer.failures().recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(error.contains("in use by another program"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert!(writer.finish().is_empty());
    assert_eq!(content(&paths), "waited");
}
