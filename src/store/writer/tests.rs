use super::*;
use crate::chat::document::Document;
use crate::chat::provenance::ViewPlace;
use crate::chat::{Message, MessageState, Node, Role};
use crate::store::{SessionRecord, To};

const SESSION: SessionId = SessionId(5);

fn session() -> StoreOp {
    StoreOp::PutSession(SessionRecord {
        id: SESSION,
        title: "t".into(),
        model: "m".into(),
        system: String::new(),
        head: Some(MessageId(0)),
        created: 1,
        ..SessionRecord::default()
    })
}

fn node(content: &str) -> Node {
    let message = Message::new(Role::Assistant, content);
    Node { id: MessageId(0), parent: None, message, state: MessageState::Complete, provenance: None }
}

fn message(content: &str, state: MessageState) -> StoreOp {
    StoreOp::PutMessage { session: SESSION, node: Node { state, ..node(content) } }
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

/// What comes next, which comes by itself.
fn next(writer: &StoreWriter) -> StoreNews {
    writer.news().recv_timeout(Duration::from_secs(60)).unwrap()
}

#[test]
fn an_error_is_told_once_and_so_is_its_end_which_comes_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("config");
    std::fs::write(&in_the_way, "a file where the directory should be").unwrap();
    let paths = Paths::at(&in_the_way);
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    let StoreNews::Failed(error) = next(&writer) else { panic!("it cannot be saved") };
    assert!(error.contains(&*in_the_way.to_string_lossy()), "{error}");
    writer.send(StoreOp::AppendHistory("asked".into()));
    writer.send(message("kept", MessageState::Complete));
    std::fs::remove_file(&in_the_way).unwrap();
    assert_eq!(next(&writer), StoreNews::Saved);
    assert_eq!(content(&paths), "kept");
    assert_eq!(history::load(&paths.history()).unwrap(), ["asked"]);
    assert!(writer.finish().is_empty());
}

#[test]
fn a_damaged_database_is_reported_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    std::fs::write(paths.database(), "no database ".repeat(400)).unwrap();
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    let news = writer.finish();
    assert!(matches!(&news[..], [.., StoreNews::Lost(error)] if error.contains("is damaged")), "{news:?}");
    assert!(!directory.path().join("unsaved-5.json").exists(), "nothing was said in it");
    assert!(std::fs::read_to_string(paths.database()).unwrap().starts_with("no database "));
}

fn locked(paths: &Paths) -> rusqlite::Connection {
    drop(Database::open(&paths.database()).unwrap());
    let other = rusqlite::Connection::open(paths.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    other
}

#[test]
fn a_locked_database_is_reported_and_written_when_it_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let other = locked(&paths);
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    writer.send(message("waited", MessageState::Complete));
    let news = next(&writer);
    assert!(matches!(&news, StoreNews::Failed(error) if error.contains("in use by another program")), "{news:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(next(&writer), StoreNews::Saved);
    assert_eq!(content(&paths), "waited");
}

#[test]
fn the_end_waits_a_while_for_who_holds_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let other = locked(&paths);
    let mut writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(session());
    writer.send(message("last words", MessageState::Complete));
    let mut said = Vec::new();
    writer.close(|news| {
        said.push(news);
        // The other program ends as soon as it is known to be in the way.
        let _ = other.execute_batch("ROLLBACK");
    });
    assert!(matches!(&said[..], [StoreNews::Failed(_), StoreNews::Saved]), "{said:?}");
    assert_eq!(content(&paths), "last words");
}

#[test]
fn a_database_that_was_moved_away_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let mut worker = Worker::new(paths.clone(), unbounded().0);
    worker.keep(session());
    worker.write();
    std::fs::rename(paths.database(), directory.path().join("old.db")).unwrap();
    worker.keep(session());
    worker.keep(message("new", MessageState::Complete));
    worker.write();
    assert_eq!(content(&paths), "new");
}

#[test]
fn what_is_not_saved_at_the_end_is_in_a_file_that_can_be_imported() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let mut database = Database::open(&paths.database()).unwrap();
    let question = Node {
        id: MessageId(0),
        parent: None,
        message: Message::new(Role::User, "saved"),
        state: MessageState::Complete,
        provenance: None,
    };
    let StoreOp::PutSession(record) = session() else { panic!("a session") };
    database.put(&record, &Transcript::from_parts(vec![question], None)).unwrap();
    let answer = Node { id: MessageId(1), parent: Some(MessageId(0)), ..node("not saved") };
    let pending = [
        StoreOp::PutSession(SessionRecord { head: Some(MessageId(1)), ..record }),
        StoreOp::PutMessage { session: SESSION, node: answer },
    ];
    let files = rescue(&paths, &Held::default(), &pending);
    assert_eq!(files, [directory.path().join("unsaved-5.json")]);
    let document = Document::from_json(&std::fs::read_to_string(&files[0]).unwrap()).unwrap();
    let said: Vec<&str> = document.transcript.path().iter().map(|node| node.message.content.as_str()).collect();
    assert_eq!((document.title.as_str(), said), ("t", vec!["saved", "not saved"]));
    assert!(rescue(&paths, &Held::default(), &[StoreOp::DeleteSession(SESSION)]).is_empty());
}

/// A program of its own with the chat open.
fn opened(paths: &Paths) -> Worker {
    let mut worker = Worker::new(paths.clone(), unbounded().0);
    let stored = Database::open_to_read(&paths.database()).unwrap().unwrap().load(SESSION).unwrap();
    worker.on(Order::Read(Box::new(stored)));
    worker.keep(StoreOp::Opened(SESSION));
    worker
}

fn answer(id: u32, parent: u32, content: &str) -> StoreOp {
    let node = Node { id: MessageId(id), parent: Some(MessageId(parent)), ..node(content) };
    StoreOp::PutMessage { session: SESSION, node }
}

fn write(worker: &mut Worker, operations: impl IntoIterator<Item = StoreOp>) {
    operations.into_iter().for_each(|operation| worker.keep(operation));
    worker.write();
    assert!(worker.pending.is_empty());
}

/// Each message with what it answers, by their texts.
fn tree(paths: &Paths) -> Vec<(String, Option<String>)> {
    let loaded = Database::open(&paths.database()).unwrap().load(SESSION).unwrap();
    let text = |id: MessageId| loaded.transcript.node(id).unwrap().message.content.clone();
    loaded.transcript.nodes().iter().map(|node| (text(node.id), node.parent.map(text))).collect()
}

fn stored() -> (tempfile::TempDir, Paths) {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let mut worker = Worker::new(paths.clone(), unbounded().0);
    write(&mut worker, [session(), message("root", MessageState::Complete)]);
    (directory, paths)
}

#[test]
fn messages_of_two_programs_that_are_called_alike_stand_side_by_side() {
    let (_directory, paths) = stored();
    let (mut one, mut two) = (opened(&paths), opened(&paths));
    write(&mut one, [answer(1, 0, "of one"), answer(2, 1, "below one")]);
    write(&mut two, [answer(1, 0, "of two"), answer(2, 1, "below two"), answer(2, 1, "below two, and more")]);
    write(&mut one, [answer(2, 1, "below one, and more")]);
    let pair = |text: &str, parent: Option<&str>| (text.to_owned(), parent.map(str::to_owned));
    assert_eq!(
        tree(&paths),
        [
            pair("root", None),
            pair("of one", Some("root")),
            pair("below one, and more", Some("of one")),
            pair("of two", Some("root")),
            pair("below two, and more", Some("of two")),
        ]
    );
}

#[test]
fn one_message_that_two_programs_go_on_with_becomes_two() {
    let (_directory, paths) = stored();
    let (mut one, mut two) = (opened(&paths), opened(&paths));
    write(&mut one, [message("root of one", MessageState::Complete)]);
    write(&mut two, [message("root of two", MessageState::Complete), answer(1, 0, "below two")]);
    let texts: Vec<(String, Option<String>)> = tree(&paths);
    let expected = [("root of one", None), ("root of two", None), ("below two", Some("root of two"))];
    assert_eq!(texts, expected.map(|(text, parent)| (text.to_owned(), parent.map(str::to_owned))));
}

#[test]
fn a_title_of_another_program_is_not_taken_back() {
    let (_directory, paths) = stored();
    let (mut one, mut two) = (opened(&paths), opened(&paths));
    let StoreOp::PutSession(record) = session() else { panic!("a session") };
    write(&mut one, [StoreOp::PutSession(SessionRecord { title: "of one".into(), ..record.clone() })]);
    write(&mut two, [StoreOp::PutSession(SessionRecord { system: "of two".into(), ..record })]);
    let record = Database::open(&paths.database()).unwrap().load(SESSION).unwrap().record;
    assert_eq!((record.title.as_str(), record.system.as_str()), ("of one", "of two"));
}

#[test]
fn what_others_write_is_told_once_and_where_it_belongs() {
    let (_directory, paths) = stored();
    let (mut one, mut two) = (opened(&paths), opened(&paths));
    let (sender, news) = unbounded();
    one.news = sender;
    one.look();
    assert!(news.try_recv().is_err(), "nothing was written");
    write(&mut one, [answer(1, 0, "mine")]);
    one.look();
    assert!(news.try_recv().is_err(), "what is written here is no news");
    write(&mut two, [answer(1, 0, "theirs"), answer(2, 1, "below")]);
    one.look();
    let Ok(StoreNews::Others(others)) = news.try_recv() else { panic!("others have written") };
    let found: Vec<(To, &str)> =
        others.messages.iter().map(|added| (added.to, added.node.message.content.as_str())).collect();
    assert_eq!(found, [(To::Answer(MessageId(0)), "theirs"), (To::New(MessageId(2)), "below")]);
    one.look();
    assert!(news.try_recv().is_err(), "once");
    let taken = others
        .messages
        .iter()
        .zip(2..)
        .map(|(added, name)| (Node { id: MessageId(name), ..added.node.clone() }, added.node.id));
    one.keep(StoreOp::TakenOver { session: SESSION, messages: taken.collect() });
    write(&mut two, [answer(2, 1, "below, and more")]);
    one.look();
    let Ok(StoreNews::Others(others)) = news.try_recv() else { panic!("it was gone on with") };
    assert_eq!(others.messages.len(), 1);
    assert_eq!(others.messages[0].to, To::Known(MessageId(3)));
}

#[test]
fn a_write_that_fails_leaves_nothing_known_that_is_not_so() {
    let (_directory, paths) = stored();
    let mut worker = opened(&paths);
    write(&mut worker, [answer(1, 0, "first")]);
    let other = locked(&paths);
    worker.keep(answer(2, 1, "second"));
    worker.keep(session());
    worker.write();
    assert_eq!(worker.pending.len(), 2);
    other.execute_batch("ROLLBACK").unwrap();
    write(&mut worker, []);
    assert_eq!(tree(&paths).last().unwrap(), &("second".to_owned(), Some("first".to_owned())));
}

#[test]
fn what_is_restored_is_added_only_where_it_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let StoreOp::PutSession(record) = session() else { panic!() };
    let answer = Node { id: MessageId(1), parent: Some(MessageId(0)), ..node("answer") };
    let nodes = vec![node("question"), answer];
    let put = |writer: &StoreWriter| {
        writer.send(session());
        nodes.iter().for_each(|node| writer.send(StoreOp::PutMessage { session: SESSION, node: node.clone() }));
    };
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    put(&writer);
    writer.send(StoreOp::DeleteSession(SESSION));
    assert!(writer.finish().is_empty());
    // Another program has it under other numbers.
    let other = StoreWriter::spawn(paths.clone()).unwrap();
    other.send(session());
    other.send(StoreOp::PutMessage { session: SESSION, node: node("another question") });
    let moved =
        |node: &Node| Node { id: MessageId(node.id.0 + 1), parent: node.parent.map(|_| MessageId(1)), ..node.clone() };
    nodes.iter().map(moved).for_each(|node| other.send(StoreOp::PutMessage { session: SESSION, node }));
    assert!(other.finish().is_empty());
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    writer.send(StoreOp::Restore { record, nodes: nodes.clone() });
    assert!(writer.finish().is_empty());
    let loaded = Database::open(&paths.database()).unwrap().load(SESSION).unwrap();
    let contents: Vec<&str> = loaded.transcript.nodes().iter().map(|node| node.message.content.as_str()).collect();
    assert_eq!(contents, ["another question", "question", "answer"]);
}

#[test]
fn where_a_view_was_left_is_kept_and_makes_no_chat_newer() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    let StoreOp::PutSession(mut record) = session() else { panic!() };
    record.settings.template = Some("chatml".into());
    writer.send(StoreOp::PutSession(record));
    writer.send(message("said", MessageState::Complete));
    let stored = || Database::open(&paths.database()).unwrap().load(SESSION).unwrap();
    while Database::open(&paths.database()).and_then(|database| database.load(SESSION)).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let view = Some(ViewPlace { message: MessageId(0), row: 3 });
    writer.send(StoreOp::PutView { session: SESSION, view });
    assert!(writer.finish().is_empty());
    let chat = stored();
    assert_eq!((chat.record.settings.view, chat.record.settings.template.as_deref()), (view, Some("chatml")));
    let writer = StoreWriter::spawn(paths.clone()).unwrap();
    let changes = chat.changes;
    writer.was_read(chat);
    writer.send(StoreOp::Opened(SESSION));
    writer.send(StoreOp::PutView { session: SESSION, view: None });
    assert!(writer.finish().is_empty());
    let chat = stored();
    assert_eq!((chat.record.settings.view, chat.changes), (None, changes));
}

#[test]
fn that_prompts_are_not_kept_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::at(directory.path());
    std::fs::create_dir(paths.history()).unwrap();
    let writer = StoreWriter::spawn(paths).unwrap();
    writer.send(StoreOp::AppendHistory("asked".into()));
    let StoreNews::Failed(error) = next(&writer) else { panic!("it cannot be kept") };
    assert!(error.contains("history.jsonl"), "{error}");
    assert_eq!(writer.finish(), []);
}
