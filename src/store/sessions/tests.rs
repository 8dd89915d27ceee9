use super::*;
use crate::chat::{Message, MessageState, Role};

fn record(id: i64, title: &str) -> SessionRecord {
    SessionRecord {
        id: SessionId(id),
        title: title.into(),
        model: "SmolLM2".into(),
        created: 100,
        ..SessionRecord::default()
    }
}

fn node(id: u32, parent: Option<u32>, role: Role, content: &str, state: MessageState) -> Node {
    Node {
        id: MessageId(id),
        parent: parent.map(MessageId),
        message: Message::new(role, content),
        state,
        provenance: None,
    }
}

fn put(database: &mut Database, record: &SessionRecord, nodes: &[Node], now: i64) {
    database
        .in_transaction(|writes| {
            writes.put_session(record, now)?;
            nodes.iter().try_for_each(|node| writes.put_message(record.id, node, now))
        })
        .unwrap();
}

#[test]
fn a_chat_comes_back_as_it_was_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/chats.db");
    let nodes = [
        node(0, None, Role::User, "Hello \u{1b}[31m\nthere", MessageState::Complete),
        node(1, Some(0), Role::Assistant, "Hi", MessageState::Complete),
        node(2, Some(0), Role::Assistant, "Hey", MessageState::Cut),
    ];
    let saved = SessionRecord { head: Some(MessageId(2)), system: "Be brief.".into(), ..record(i64::MAX, "Hello") };
    put(&mut Database::open(&path).unwrap(), &saved, &nodes, 101);
    let loaded = Database::open(&path).unwrap().load(SessionId(i64::MAX)).unwrap();
    assert_eq!(loaded.record, saved);
    assert_eq!(loaded.transcript, Transcript::from_parts(nodes.to_vec(), Some(MessageId(2))));
}

#[test]
fn a_message_that_was_streaming_is_cut_when_it_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let mut database = Database::open(&directory.path().join("chats.db")).unwrap();
    put(&mut database, &record(1, ""), &[node(0, None, Role::Assistant, "The ca", MessageState::Streaming)], 1);
    let loaded = database.load(SessionId(1)).unwrap();
    assert_eq!(loaded.transcript.nodes()[0].state, MessageState::Cut);
    assert_eq!(loaded.transcript.nodes()[0].message.content, "The ca");
}

#[test]
fn a_second_write_replaces_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut database = Database::open(&directory.path().join("chats.db")).unwrap();
    put(&mut database, &record(1, "a"), &[node(0, None, Role::User, "x", MessageState::Streaming)], 1);
    put(&mut database, &record(1, "b"), &[node(0, None, Role::User, "xy", MessageState::Complete)], 2);
    let list = database.list().unwrap();
    assert_eq!((list.len(), list[0].record.title.as_str(), list[0].messages, list[0].updated), (1, "b", 1, 2));
    assert_eq!(database.load(SessionId(1)).unwrap().transcript.nodes()[0].message.content, "xy");
}

#[test]
fn the_list_begins_with_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let mut database = Database::open(&directory.path().join("chats.db")).unwrap();
    put(&mut database, &record(1, "old"), &[], 1);
    put(&mut database, &record(2, "new"), &[], 3);
    put(&mut database, &record(3, "middle"), &[], 2);
    let titles: Vec<String> = database.list().unwrap().into_iter().map(|line| line.record.title).collect();
    assert_eq!(titles, ["new", "middle", "old"]);
}

#[test]
fn a_chat_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("chats.db")).unwrap();
    let error = database.load(SessionId(7)).unwrap_err().to_string();
    assert!(error.ends_with("chats.db has no chat with the number 7"), "{error}");
}

#[test]
fn what_is_no_database_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chats.db");
    let text = "not a database at all, but long enough to have a header of its own".repeat(20);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(Database::open(&path), Err(StoreError::Corrupt { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_database_of_a_later_version_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chats.db");
    let database = Database::open(&path).unwrap();
    database.opened.connection.pragma_update(None, "user_version", 99).unwrap();
    let error = Database::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, known: 2, .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn all_files_are_for_the_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let mut database = Database::open(&directory.path().join("chats.db")).unwrap();
    put(&mut database, &record(1, "a"), &[], 1);
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() > 1, "the write-ahead log is beside the database");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}
