//! Saved chats: their names, their files, the search in them, and questions asked in other words.

use super::stage::Stage;
use crate::chat::{Message, MessageState, Role, Transcript};
use crate::store::{SessionId, SessionRecord, StoreOp};
use crate::worker::fake::{FakeWorker, Step};

#[test]
fn a_chat_is_renamed_deleted_and_brought_back() {
    let mut stage = Stage::new(100, 24, FakeWorker::new().reply([Step::text("Answer")]));
    stage.keys("/delete<Enter>");
    assert!(stage.draw().contains("there is nothing to delete"));
    stage.keys("Question<Enter>");
    stage.pump_to_end();
    stage.keys("/rename My  chat<Enter>");
    assert!(stage.draw().lines().next().unwrap().contains("My chat"));
    stage.memory.stored.clear();
    stage.keys("/delete<Enter>");
    let deleted = stage.memory.stored.iter().find_map(|op| match op {
        StoreOp::DeleteSession(id) => Some(*id),
        _ => None,
    });
    let id = deleted.expect("it is taken from the store");
    let shown = stage.draw();
    assert!(shown.contains("/undo brings it back") && !shown.contains("Answer"), "{shown}");
    stage.memory.stored.clear();
    stage.keys("/undo<Enter>");
    assert!(stage.draw().contains("Answer"));
    let again = stage.memory.stored.iter().find_map(|op| match op {
        StoreOp::Restore { record, nodes } => Some((record.id, record.title.as_str(), nodes.len())),
        _ => None,
    });
    assert_eq!(again, Some((id, "My chat", 2)), "{:?}", stage.memory.stored);
}

#[test]
fn a_chat_is_exported_and_imported_with_its_branches() {
    let script = FakeWorker::new().reply([Step::text("first")]).reply([Step::text("second")]);
    let mut stage = Stage::new(100, 24, script);
    stage.keys("Question<Enter>");
    stage.pump_to_end();
    stage.keys("/regen<Enter>");
    stage.pump_to_end();
    stage.keys("/export chat.pdf<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("names no format: it must be .json"), "{shown}");
    stage.keys("/export chat.json<Enter>/export chat.md<Enter>");
    assert!(stage.draw().contains("/home/me/chat.json is written"));
    assert!(stage.memory.files["chat.json"].contains("first") && !stage.memory.files["chat.md"].contains("first"));
    stage.keys("/new<Enter>/import chat.json<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("branch 2/2") && shown.contains("second") && shown.contains("from chat.json"), "{shown}");
    stage.keys("/branch<Enter>");
    assert!(stage.draw().contains("first"));
    stage.keys("/import gone.json<Enter>");
    assert!(stage.draw().contains("cannot read gone.json"));
}

#[test]
fn an_earlier_question_is_edited_and_becomes_a_branch() {
    let script =
        ["a1", "a2", "b1"].into_iter().fold(FakeWorker::new(), |script, text| script.reply([Step::text(text)]));
    let mut stage = Stage::new(100, 30, script);
    for question in ["One", "Two"] {
        stage.keys(&format!("{question}<Enter>"));
        stage.pump_to_end();
    }
    stage.keys("/edit 3<Enter>");
    assert!(stage.draw().contains("there is no question 3: this chat has 2 of them"));
    stage.keys("/edit 1<Enter>");
    assert!(stage.draw().contains("> One"));
    stage.keys(" more<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(
        shown.contains("One more") && shown.contains("b1") && shown.contains("2/2") && !shown.contains("a2"),
        "{shown}"
    );
}

#[test]
fn a_file_is_put_into_the_question_and_chats_are_searched() {
    let mut stage = Stage::new(100, 30, FakeWorker::new().reply([Step::text("Answer")]));
    stage.memory.files.insert("notes.txt".into(), "line one\n```\nline two".into());
    stage.keys("/read notes.txt<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("notes.txt:") && shown.contains("````") && shown.contains("line two"), "{shown}");
    stage.keys("<Ctrl-C>");
    stage.memory.sessions.push(saved(7, "Rivers", "The Seine is a river"));
    stage.keys("/search nothing<Enter>");
    assert!(stage.draw().contains("no chat has that in it"));
    stage.keys("/search Seine<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("Rivers") && shown.contains("user: The Seine is a river"), "{shown}");
    stage.keys("<Enter>");
    assert!(stage.draw().contains("The Seine is a river"));
}

#[test]
fn titles_are_completed_and_a_whole_one_opens_its_chat() {
    let mut stage = Stage::new(100, 30, FakeWorker::new());
    stage.memory.sessions = vec![
        saved(1, "Rivers of France", "The Seine"),
        saved(2, "Rivers of Spain", "The Ebro"),
        saved(3, "Twice", "first"),
        saved(4, "Twice", "second"),
    ];
    stage.keys("/open fra");
    let shown = stage.draw();
    assert!(shown.contains("▸ Rivers of France") && !shown.contains("Spain"), "{shown}");
    stage.keys("<Tab>");
    assert_eq!(stage.screen.composer.text(), "/open Rivers of France");
    stage.keys("<Enter>");
    assert!(stage.draw().contains("The Seine"), "{}", stage.draw());
    assert!(stage.app.saved().is_none());
    // Two that are called the same are listed, and so is what a search finds by its title alone.
    for (command, listed) in [("/open tw<Tab><Enter>", 2), ("/search Rivers of S<Tab><Enter>", 1)] {
        stage.keys(command);
        assert_eq!(stage.app.saved().map(|saved| saved.found().count()), Some(listed), "{command}");
        stage.keys("<Esc>");
    }
    stage.keys("/open<Enter>");
    assert_eq!(stage.app.saved().map(|saved| saved.found().count()), Some(4));
}

/// A saved chat of one question.
fn saved(id: i64, title: &str, question: &str) -> (SessionRecord, Transcript) {
    let mut transcript = Transcript::default();
    transcript.append(Message::new(Role::User, question), MessageState::Complete);
    let (title, model, system) = (title.to_owned(), String::new(), String::new());
    let record = SessionRecord {
        id: SessionId(id),
        title,
        model,
        system,
        head: transcript.head(),
        created: 0,
        ..SessionRecord::default()
    };
    (record, transcript)
}
