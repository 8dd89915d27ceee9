//! Long conversations: what is not in view costs nothing, and scrolling finds every row.

use super::stage::Stage;
use crate::chat::{Message, MessageState, Role, Transcript};
use crate::store::{SessionId, SessionRecord};
use crate::worker::fake::{FakeWorker, Step};

const MESSAGES: usize = 5000;

fn opened(script: FakeWorker) -> Stage {
    let mut stage = Stage::new(120, 36, script);
    let mut transcript = Transcript::default();
    for at in 0..MESSAGES {
        let (role, text) = match at % 2 {
            0 => (Role::User, format!("question {at}")),
            _ => (Role::Assistant, format!("answer {at}\n\n- one\n- two\n\nand **more** of it")),
        };
        transcript.append(Message::new(role, text), MessageState::Complete);
    }
    let record = SessionRecord {
        id: SessionId(1),
        title: "Long".to_owned(),
        model: "m".to_owned(),
        system: String::new(),
        head: transcript.head(),
        created: 0,
        ..SessionRecord::default()
    };
    stage.memory.sessions = vec![(record, transcript)];
    stage.keys("<Ctrl-O><Enter>");
    stage
}

#[test]
fn opening_lays_out_what_is_in_view_and_a_token_one_block() {
    let mut stage = opened(FakeWorker::new().reply([Step::text("One **two** three four"), Step::Hold]));
    stage.draw();
    let opened = stage.screen.conversation.work();
    assert!((1..30).contains(&opened), "{opened} blocks for a page");
    stage.draw();
    assert_eq!(stage.screen.conversation.work(), opened, "a frame without a change lays out nothing");
    stage.keys("Go on<Enter>");
    stage.pump_tokens(1);
    stage.draw();
    for _ in 0..3 {
        let before = stage.screen.conversation.work();
        stage.pump_tokens(1);
        stage.draw();
        assert_eq!(stage.screen.conversation.work(), before + 1);
    }
    let before = stage.screen.conversation.work();
    stage.keys("<PgUp>");
    stage.draw();
    assert!(stage.screen.conversation.work() < before + 30, "a page lays out a page");
    stage.release();
}

#[test]
fn every_row_is_found_by_scrolling_up_and_down() {
    let mut stage = opened(FakeWorker::new());
    assert!(stage.draw().contains("answer 4999"));
    stage.keys("<Ctrl-Home>");
    let top = stage.draw();
    assert!(top.contains("question 0") && top.contains("more "), "{top}");
    let mut seen = 0;
    for _ in 0..20 {
        let shown = stage.draw();
        while shown.contains(&format!("question {seen} ")) || shown.contains(&format!("answer {seen} ")) {
            seen += 1;
        }
        stage.keys("<PgDn>");
    }
    assert!(seen > 100, "no message was passed over: {seen}");
    for _ in 0..20 {
        stage.keys("<PgUp>");
        stage.draw();
    }
    assert_eq!(stage.draw(), top);
    stage.keys("<PgUp>");
    assert_eq!(stage.draw(), top, "there is nothing above");
    stage.keys("<Ctrl-End>");
    assert!(stage.draw().contains("answer 4999"));
}

#[test]
fn the_view_stays_with_its_message_when_notes_come_and_the_width_changes() {
    let mut stage = opened(FakeWorker::new());
    stage.draw();
    stage.keys("<Ctrl-Home><PgDn>");
    let first = |shown: &str| shown.lines().skip(1).find(|line| line.contains("question")).unwrap().trim().to_owned();
    let before = first(&stage.draw());
    stage.keys("/stats<Enter>");
    stage.draw();
    stage.keys("<Ctrl-Home><PgDn>");
    assert_eq!(first(&stage.draw()), before);
    stage.resize(70, 36);
    let narrow = stage.draw();
    let number = |row: &str| row.split_whitespace().find_map(|word| word.parse::<usize>().ok());
    assert_eq!(number(&first(&narrow)), number(&before));
}
