//! The mouse: what it selects, what a click does.

use std::time::Duration;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::style::Modifier;

use super::stage::Stage;
use crate::app::Moment;
use crate::app::keymap::Context;
use crate::tui::screen::Request;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::EngineEvent;

const REPLY: &str = "Some **bold** words that are long enough to be broken over more than a row of this narrow screen.\n\n\
    - one item\n\n```\n\tcode();\n```";

fn answered() -> Stage {
    let mut stage = Stage::new(60, 30, FakeWorker::new().reply([Step::text(REPLY)]));
    stage.keys("the question<Enter>");
    stage.pump_to_end();
    stage
}

/// Where a text is on screen.
fn place(stage: &mut Stage, text: &str) -> (u16, u16) {
    let shown = stage.draw();
    let find = |(y, row): (usize, &str)| {
        let row = &row[1..];
        let at = row.find(text)?;
        Some((row[..at].chars().count() as u16, y as u16))
    };
    // The title has the question too.
    shown.lines().enumerate().skip(1).find_map(find).unwrap_or_else(|| panic!("{text} in {shown}"))
}

fn mouse(stage: &mut Stage, kind: MouseEventKind, (column, row): (u16, u16), after: u64) {
    let at = std::time::Instant::now() + Duration::from_secs(after);
    let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let (effects, requests) = stage.screen.on_mouse(&mut stage.app, event, Moment { at, unix: 0 });
    stage.carry_out(effects);
    stage.requests.extend(requests);
}

fn drag(stage: &mut Stage, from: &str, to: &str) {
    let (from, mut end) = (place(stage, from), place(stage, to));
    end.0 += to.chars().count() as u16 - 1;
    mouse(stage, MouseEventKind::Down(MouseButton::Left), from, 0);
    mouse(stage, MouseEventKind::Drag(MouseButton::Left), end, 0);
    let buffer = stage.buffer();
    assert!(buffer[from].modifier.contains(Modifier::REVERSED), "what is selected is seen");
    mouse(stage, MouseEventKind::Up(MouseButton::Left), end, 0);
}

#[test]
fn a_drag_copies_what_is_seen_as_the_source_has_it() {
    let mut stage = answered();
    drag(&mut stage, "Some", "screen.");
    let whole = "Some bold words that are long enough to be broken over more than a row of this narrow screen.";
    assert_eq!(stage.requests, [Request::Copy(whole.to_owned())], "without the breaks of the screen");
    drag(&mut stage, "• one", "code();");
    assert_eq!(stage.requests[1], Request::Copy("- one item\n\n\tcode();".to_owned()), "with its own marks and tabs");
    drag(&mut stage, "question", "bold");
    assert_eq!(stage.requests[2], Request::Copy("question\n\nSome bold".to_owned()));
}

#[test]
fn a_double_click_selects_a_word_and_a_click_marks_a_message() {
    let mut stage = answered();
    let mut at = place(&mut stage, "enough");
    at.0 += 2;
    for _ in 0..2 {
        mouse(&mut stage, MouseEventKind::Down(MouseButton::Left), at, 0);
        mouse(&mut stage, MouseEventKind::Up(MouseButton::Left), at, 0);
    }
    assert_eq!(stage.requests, [Request::Copy("enough".to_owned())]);
    assert_eq!(stage.screen.focus, Context::Transcript, "the first click marks the message");
    assert!(stage.draw().contains("┃Some") || stage.draw().contains("┃ Some"));
    let at = place(&mut stage, "> Ask");
    mouse(&mut stage, MouseEventKind::Down(MouseButton::Left), (at.0 + 2, at.1), 9);
    assert_eq!(stage.screen.focus, Context::Composer);
    mouse(&mut stage, MouseEventKind::Up(MouseButton::Left), (at.0 + 2, at.1), 9);
    assert_eq!(stage.requests.len(), 1, "a click copies nothing");
}

const PRESS: MouseEventKind = MouseEventKind::Down(MouseButton::Left);
const HOLD: MouseEventKind = MouseEventKind::Drag(MouseButton::Left);
const LEAVE: MouseEventKind = MouseEventKind::Up(MouseButton::Left);

#[test]
fn a_click_chooses_a_parameter_its_slider_is_dragged_and_the_wheel_turns_it() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    let at = place(&mut stage, "top-p");
    mouse(&mut stage, PRESS, at, 0);
    mouse(&mut stage, LEAVE, at, 0);
    assert_eq!(stage.screen.focus, Context::Sampling);
    assert!(stage.draw().contains("▸top-p"));
    stage.keys("<Left>");
    assert_eq!(stage.app.sampling().top_p, 0.94, "the keys turn what was clicked");

    let (x, y) = place(&mut stage, "temperature");
    let track = x - 1 + 19;
    mouse(&mut stage, PRESS, (track, y), 0);
    assert_eq!(stage.app.sampling().temperature, 0.0);
    mouse(&mut stage, HOLD, (track + 3, y + 5), 0);
    assert_eq!(stage.app.sampling().temperature, 0.65, "on the raster, wherever the mouse is");
    mouse(&mut stage, HOLD, (track + 99, y), 0);
    assert_eq!(stage.app.sampling().temperature, 2.0, "beyond the end it is the end's");
    mouse(&mut stage, LEAVE, (track, y), 0);
    mouse(&mut stage, HOLD, (track, y), 0);
    assert_eq!(stage.app.sampling().temperature, 2.0, "the button was released");
    assert!(stage.app.notes().is_empty(), "the panel shows it");

    let before = stage.app.sampling().top_k;
    let at = place(&mut stage, "top-k");
    mouse(&mut stage, MouseEventKind::ScrollUp, at, 0);
    assert_eq!(stage.app.sampling().top_k, before + 1);
    mouse(&mut stage, MouseEventKind::ScrollDown, at, 0);
    mouse(&mut stage, MouseEventKind::ScrollDown, at, 0);
    assert_eq!(stage.app.sampling().top_k, before - 1);
    let at = place(&mut stage, "seed");
    mouse(&mut stage, PRESS, (at.0 + 20, at.1), 0);
    assert_eq!(stage.app.sampling().seed, None, "it has no slider");
}

#[test]
fn a_value_that_is_being_typed_counts_when_something_is_clicked() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    stage.keys("<Tab>1.3");
    let at = place(&mut stage, "top-p");
    mouse(&mut stage, PRESS, at, 0);
    assert_eq!(stage.app.sampling().temperature, 1.3);
}

#[test]
fn a_parameter_of_the_folded_panels_is_clicked_and_turned() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    let at = place(&mut stage, "temp ");
    mouse(&mut stage, MouseEventKind::ScrollDown, at, 0);
    assert_eq!(stage.app.sampling().temperature, 0.75);
    mouse(&mut stage, PRESS, at, 0);
    assert_eq!(stage.screen.focus, Context::Sampling);
}

#[test]
fn a_candidate_is_picked_by_a_click_while_the_reply_is_paused() {
    for width in [120, 80] {
        let mut stage = Stage::new(width, 30, FakeWorker::new().reply([Step::text("one two")]));
        stage.keys("/step on<Enter>Q<Enter>");
        stage.pump(|event| matches!(event, EngineEvent::Paused { .. }));
        let at = place(&mut stage, "river");
        mouse(&mut stage, PRESS, at, 0);
        mouse(&mut stage, LEAVE, at, 0);
        stage.pump(|event| matches!(event, EngineEvent::Paused { .. }));
        let message = stage.app.generation().unwrap().message.unwrap();
        assert_eq!(stage.app.transcript().node(message).unwrap().message.content, " river");
        stage.keys("<Esc>");
        stage.pump_to_end();
        // Of a reply that is over nothing is picked.
        mouse(&mut stage, PRESS, at, 0);
        assert!(stage.app.generation().is_none());
    }
}

#[test]
fn a_click_puts_the_cursor_into_what_is_written() {
    let mut stage = Stage::new(60, 20, FakeWorker::new());
    stage.keys("first words<Ctrl-J>second<Tab>");
    let at = place(&mut stage, "words");
    mouse(&mut stage, PRESS, at, 0);
    mouse(&mut stage, LEAVE, at, 0);
    stage.keys("new ");
    assert_eq!(stage.screen.composer.text(), "first new words\nsecond");
}

#[test]
fn a_click_chooses_a_variant_and_the_wheel_scrolls_the_one_under_it() {
    let long = (0..200).map(|at| format!("word{at} ")).collect::<String>();
    let variants = [vec![Step::text(long.as_str())], vec![Step::text(long.as_str())]];
    let mut stage = Stage::new(100, 20, FakeWorker::new().variants(variants));
    stage.keys("/compare 2 -- A question<Enter>");
    stage.pump_to_end();
    stage.draw();
    for _ in 0..100 {
        mouse(&mut stage, MouseEventKind::ScrollUp, (70, 10), 0);
    }
    let shown = stage.draw();
    assert_eq!(shown.matches("word0 ").count(), 1, "{shown}");
    assert_eq!(stage.app.comparison().unwrap().chosen, 0);
    mouse(&mut stage, PRESS, (70, 10), 0);
    assert_eq!(stage.app.comparison().unwrap().chosen, 1);
}

#[test]
fn the_wheel_walks_a_list() {
    let mut stage = answered();
    stage.keys("/theme<Enter>");
    let before = stage.draw();
    mouse(&mut stage, MouseEventKind::ScrollDown, (10, 10), 0);
    assert_ne!(stage.draw(), before);
}

#[test]
fn the_first_use_of_the_mouse_says_once_how_to_give_it_back() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    assert!(stage.screen.mouse, "it is taken from the start");
    let shown = |stage: &mut Stage| stage.draw().contains("F3 leaves the mouse to the terminal · with Shift held");
    assert!(!shown(&mut stage));
    mouse(&mut stage, MouseEventKind::ScrollUp, (10, 10), 0);
    assert!(shown(&mut stage));
    stage.keys("a");
    mouse(&mut stage, PRESS, (10, 10), 0);
    assert!(!shown(&mut stage));
}

#[test]
fn the_wheel_leaves_the_draft_alone() {
    let mut stage = answered();
    stage.keys("a draft");
    for kind in [MouseEventKind::ScrollUp, MouseEventKind::ScrollDown] {
        mouse(&mut stage, kind, (10, 10), 0);
        mouse(&mut stage, kind, (10, 28), 0);
    }
    assert_eq!(stage.screen.composer.text(), "a draft");
}
