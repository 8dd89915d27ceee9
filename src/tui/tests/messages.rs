//! Messages marked in the conversation, and what keys do to them.

use super::stage::Stage;
use crate::app::keymap::Context;
use crate::tui::screen::Request;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::EngineCommand;

const CODE: &str = "One:\n```\nfirst\n```\nand\n```sh\nsecond\n```\n";

/// Two questions and their answers, with the conversation in focus.
fn talked() -> Stage {
    let script =
        FakeWorker::new().reply([Step::text(CODE)]).reply([Step::text("the end")]).reply([Step::text("another")]);
    let mut stage = Stage::new(80, 30, script);
    for question in ["first question<Enter>", "second question<Enter>"] {
        stage.keys(question);
        stage.pump_to_end();
    }
    stage.asked();
    stage.keys("<Tab><Tab>");
    assert_eq!(stage.screen.focus, Context::Transcript);
    stage
}

/// The rows that are marked.
fn marked(stage: &mut Stage) -> Vec<String> {
    let shown = stage.draw();
    let rows = shown.lines().map(|row| row.trim_matches(['"', ' ']).to_owned());
    rows.filter_map(|row| row.strip_prefix('┃').map(|row| row.trim().to_owned())).collect()
}

#[test]
fn a_message_is_marked_and_copied_as_it_was_written() {
    let mut stage = talked();
    assert!(marked(&mut stage).is_empty());
    stage.keys("[");
    assert_eq!(marked(&mut stage)[..2], ["Sample-135M-Instruct", "the end"]);
    stage.keys("<Shift-Up>");
    assert_eq!(marked(&mut stage), ["you", "second question"]);
    stage.keys("[c");
    assert_eq!(stage.requests, [Request::Copy(CODE.to_owned())]);
    stage.keys("bbb");
    let code: Vec<&str> = stage.requests[1..]
        .iter()
        .map(|request| match request {
            Request::Copy(text) => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(code, ["first\n", "second\n", "first\n"], "one after another, and round the end");
    stage.keys("]]]]");
    assert!(marked(&mut stage).is_empty(), "after the last none is marked");
    stage.keys("c");
    assert_eq!(stage.requests.last(), Some(&Request::Copy("the end".to_owned())), "without a mark the last");
    stage.keys("b");
    assert!(stage.draw().contains("this message has no code block"));
    stage.keys("[<Esc>");
    assert!(marked(&mut stage).is_empty(), "the mark is seen where the keys act on it");
}

#[test]
fn a_marked_reply_is_answered_anew_and_its_siblings_are_walked() {
    let mut stage = talked();
    stage.keys("[[[r");
    match &stage.asked()[..] {
        [EngineCommand::Generate { .. }] => {}
        other => panic!("{other:?}"),
    }
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("another") && !shown.contains("second question"), "{shown}");
    stage.keys("[<Left>");
    let shown = stage.draw();
    assert!(shown.contains("second question") && shown.contains("1/2"), "{shown}");
    assert!(marked(&mut stage).iter().any(|row| row.contains("1/2")), "the mark goes along");
    stage.keys("<Right>");
    assert!(stage.draw().contains("another"));
}

#[test]
fn a_marked_message_is_edited() {
    let mut stage = talked();
    stage.keys("[[e");
    assert_eq!(stage.screen.composer.text(), "second question");
    assert_eq!(stage.screen.focus, Context::Composer);
}

#[test]
fn a_mark_out_of_view_is_brought_into_it() {
    let long: String = (0..60).map(|line| format!("line {line}\n")).collect();
    let script = FakeWorker::new().reply([Step::text(long)]).reply([Step::text("short")]);
    let mut stage = Stage::new(80, 24, script);
    for question in ["one<Enter>", "two<Enter>"] {
        stage.keys(question);
        stage.pump_to_end();
    }
    stage.keys("<Tab><Tab>[[[");
    let shown = stage.draw();
    assert!(shown.contains("line 0") && !shown.contains("line 59"), "{shown}");
    stage.keys("]]");
    assert!(stage.draw().contains("short"));
}

#[test]
fn copy_takes_the_number_of_a_message() {
    let mut stage = talked();
    stage.keys("<Esc>/copy 1<Enter>/copy 9<Enter>");
    assert_eq!(stage.requests, [Request::Copy("first question".to_owned())]);
    assert!(stage.draw().contains("the number of a message up to 4, not `9`"));
}
