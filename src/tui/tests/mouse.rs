//! The mouse: what it selects, what a click does.

use std::time::Duration;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::style::Modifier;

use super::stage::Stage;
use crate::app::Moment;
use crate::app::keymap::Context;
use crate::tui::screen::Request;
use crate::worker::fake::{FakeWorker, Step};

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
    let requests = stage.screen.on_mouse(&stage.app, event, Moment { at, unix: 0 });
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
