//! The list of saved chats: found in full text, opened where something was found, renamed, deleted and brought back.

use super::stage::Stage;
use crate::chat::{Message, MessageState, Role, Transcript};
use crate::store::{SessionId, SessionRecord, StoreOp};
use crate::worker::fake::{FakeWorker, Step};

fn stage() -> Stage {
    let mut stage = Stage::new(100, 30, FakeWorker::new());
    let mut rivers = Transcript::default();
    let question = rivers.append(Message::new(Role::User, "Name a river"), MessageState::Complete);
    rivers.append(Message::new(Role::Assistant, "The Seine flows through Paris"), MessageState::Complete);
    rivers.append_to(Some(question), Message::new(Role::Assistant, "The Rhine"), MessageState::Complete);
    let mut towns = Transcript::default();
    towns.append(Message::new(Role::User, "Which town is on the Seine?"), MessageState::Complete);
    for (id, title, transcript) in [(7, "Rivers", rivers), (8, "Towns", towns)] {
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
        stage.memory.sessions.push((record, transcript));
    }
    stage
}

#[test]
fn the_list_is_searched_in_full_text_and_leads_to_the_message() {
    let mut stage = stage();
    stage.keys("<Ctrl-O>");
    let shown = stage.draw();
    assert!(shown.contains("▸ Rivers") && shown.contains("3 messages · 2 hours ago"), "{shown}");
    stage.keys("seine");
    let shown = stage.draw();
    assert!(shown.contains("assistant: The Seine flows") && shown.contains("user: Which town is"), "{shown}");
    stage.keys("<Backspace><Backspace><Backspace><Backspace><Backspace>rhine");
    assert!(!stage.draw().contains("Towns"));
    stage.keys("<Ctrl-C>/search seine<Enter><Down><Enter>");
    let shown = stage.draw();
    assert!(shown.contains("The Seine flows through Paris") && shown.contains("found here"), "{shown}");
    assert!(shown.contains("branch 1/2"), "the branch that it is on: {shown}");
    stage.keys("<Ctrl-O>");
    stage.paste("rhine\n");
    let shown = stage.draw();
    assert!(shown.contains("Rivers") && !shown.contains("Towns"), "a paste is searched for too: {shown}");
    stage.keys("<Esc><Ctrl-O>zzz");
    assert!(stage.draw().contains("no chat has that in it"));
}

#[test]
fn a_chat_of_the_list_is_renamed_deleted_and_brought_back() {
    let mut stage = stage();
    stage.keys("<Ctrl-O><Ctrl-E>");
    assert!(stage.draw().contains("title: Rivers"));
    stage.keys("<Ctrl-U>Waters<Enter>");
    assert!(stage.draw().contains("▸ Waters"));
    let renamed = |op: &StoreOp| matches!(op, StoreOp::Rename { title, .. } if title == "Waters");
    assert!(stage.memory.stored.iter().any(renamed));
    stage.keys("<Del>");
    let shown = stage.draw();
    assert!(!shown.contains("Waters") && shown.contains("▸ Towns"), "{shown}");
    assert!(stage.memory.stored.contains(&StoreOp::DeleteSession(SessionId(7))));
    stage.memory.stored.clear();
    stage.keys("<Ctrl-Z>");
    assert!(stage.draw().contains("Rivers"));
    let [StoreOp::Restore { record, nodes }] = &stage.memory.stored[..] else { panic!("{:?}", stage.memory.stored) };
    assert_eq!((record.id, nodes.len()), (SessionId(7), 3), "all of it is written again");
}

#[test]
fn what_is_said_of_a_deletion_goes_when_the_chat_is_back() {
    let mut stage = Stage::new(100, 30, FakeWorker::new().reply([Step::text("Answer")]));
    stage.keys("Question<Enter>");
    stage.pump_to_end();
    let (record, transcript) = (stage.app.session().clone(), stage.app.transcript().clone());
    stage.memory.sessions.push((record, transcript));
    stage.keys("<Ctrl-O><Del><Esc>");
    assert!(stage.draw().contains("is deleted; /undo brings it back"));
    stage.keys("<Ctrl-O><Ctrl-Z><Esc>");
    assert!(!stage.draw().contains("is deleted"));
}

#[test]
fn hints_are_never_cut_within_a_word() {
    let mut stage = stage();
    stage.resize(40, 12);
    stage.keys("<Ctrl-O>");
    let shown = stage.draw();
    assert!(shown.contains(" Enter opens · Esc closes ") && !shown.contains('…'), "{shown}");
    stage.keys("<Ctrl-E>");
    assert!(stage.draw().contains(" Enter gives it · Esc leaves it "), "{}", stage.draw());
}

#[test]
fn a_chat_is_opened_where_its_view_was_left() {
    let mut stage = stage();
    let (record, transcript) = &mut stage.memory.sessions[0];
    for number in 0..40 {
        transcript.append(Message::new(Role::User, format!("question {number}")), MessageState::Complete);
    }
    record.head = transcript.head();
    stage.keys("/open Rivers<Enter>");
    assert!(stage.draw().contains("question 39"));
    stage.keys("<PgUp><PgUp>");
    let left = stage.draw();
    assert!(!left.contains("question 39"), "{left}");
    stage.memory.stored.clear();
    stage.keys("/open Towns<Enter>");
    assert!(stage.draw().contains("Which town"));
    let views = stage.memory.stored.iter().filter_map(|op| match op {
        StoreOp::PutView { session, view } => Some((*session, *view)),
        _ => None,
    });
    let views: Vec<_> = views.collect();
    let [(SessionId(7), Some(view))] = views[..] else { panic!("{views:?}") };
    assert!(!stage.memory.stored.iter().any(|op| matches!(op, StoreOp::PutSession(_))), "it is no newer");
    stage.memory.sessions[0].0.settings.view = Some(view);
    stage.keys("/open Rivers<Enter>");
    let rows =
        |shown: &str| shown.lines().filter(|line| line.contains("question ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&stage.draw()), rows(&left));
    stage.memory.stored.clear();
    stage.keys("<PgDn><PgDn><PgDn><PgDn>");
    assert!(stage.draw().contains("question 39"));
    stage.keys("/quit<Enter>");
    assert!(stage.memory.stored.contains(&StoreOp::PutView { session: SessionId(7), view: None }), "its end");
}
