//! The composer by its keys: selecting, cutting, pasting, the history.

use ratatui::style::Modifier;

use super::stage::Stage;
use crate::app::Start;
use crate::tui::screen::Request;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::EngineEvent;

fn stage() -> Stage {
    Stage::new(100, 30, FakeWorker::new().reply([Step::text("Yes.")]).reply([Step::text("No.")]))
}

/// The reversed cells of the composer's last row.
fn reversed(stage: &mut Stage) -> String {
    let buffer = stage.buffer();
    let y = buffer.area.height - 2;
    let cells = (0..buffer.area.width).map(|x| &buffer[(x, y)]);
    cells.filter(|cell| cell.modifier.contains(Modifier::REVERSED)).map(ratatui::buffer::Cell::symbol).collect()
}

#[test]
fn keys_select_and_typing_replaces_what_is_selected() {
    let mut stage = stage();
    stage.keys("one two three<Shift-Left><Shift-Left>");
    assert_eq!(reversed(&mut stage), "ee");
    stage.keys("<Ctrl-Shift-Left>");
    assert_eq!(reversed(&mut stage), "three");
    stage.keys("3");
    assert_eq!(stage.screen.composer.text(), "one two 3");
    stage.keys("<Shift-Home>");
    assert_eq!(reversed(&mut stage), "one two 3");
    stage.keys("<Esc>");
    assert_eq!(reversed(&mut stage), "", "Esc selects nothing");
    stage.keys("<Home><Shift-End><Backspace>");
    assert!(stage.screen.composer.is_empty());
    stage.keys("<Ctrl-Z>");
    assert_eq!(stage.screen.composer.text(), "one two 3");
    stage.keys("<Ctrl-J>below<Shift-Up><Del>");
    assert_eq!(stage.screen.composer.text(), "one t", "from the column above to the end");
    stage.keys("<Alt-A>x");
    assert_eq!(stage.screen.composer.text(), "x");
}

#[test]
fn what_is_selected_is_copied_and_cut_and_comes_back() {
    let mut stage = stage();
    stage.keys("one two<Ctrl-Shift-Left><Alt-W>");
    assert_eq!(stage.requests, [Request::Copy("two".to_owned())]);
    stage.keys("<Ctrl-C>");
    assert_eq!(stage.requests.len(), 2, "Ctrl-C copies what is selected");
    assert_eq!(stage.screen.composer.text(), "one two", "and does not clear it");
    stage.keys("<End><Ctrl-Shift-Left><Ctrl-X>");
    assert_eq!(stage.screen.composer.text(), "one ");
    assert_eq!(stage.requests.len(), 3);
    stage.keys("<Home><Ctrl-V>");
    assert_eq!(stage.screen.composer.text(), "twoone ");
    stage.keys("<End><Ctrl-W><Ctrl-V><Ctrl-V>");
    assert_eq!(stage.screen.composer.text(), "twoone twoone ", "what Ctrl-W deletes comes back too");
    stage.keys("<Ctrl-C>");
    assert!(stage.screen.composer.is_empty(), "without a selection Ctrl-C clears");
}

#[test]
fn a_large_paste_is_folded_and_sent_whole() {
    let mut stage = stage();
    let paste: String = (1..=120).map(|line| format!("line {line}\r\n")).collect();
    let whole = paste.replace("\r\n", "\n");
    stage.keys("Look: ");
    stage.paste(&paste);
    let shown = stage.draw();
    assert!(shown.contains("> Look: [pasted text #1: 120 lines]"), "{shown}");
    stage.keys("<Ctrl-G>");
    assert_eq!(stage.requests, [Request::Edit(format!("Look: {whole}"))], "the editor has it whole");
    stage.screen.replace_text(&format!("Look here: {whole}"));
    assert_eq!(stage.screen.composer.text(), "Look here: [pasted text #1: 120 lines]");
    stage.keys("<Backspace>");
    assert_eq!(stage.screen.composer.text(), "Look here: ", "it goes in one piece");
    stage.keys("<Ctrl-Z><Alt-E>");
    assert!(stage.screen.composer.text().ends_with("line 120\n"));
    stage.keys("<Ctrl-Z><Enter>");
    assert_eq!(stage.question(), format!("Look here: {}", whole.trim_end()), "its last line end is no part of it");
    stage.keys("<Up>");
    assert_eq!(stage.screen.composer.text(), "Look here: [pasted text #1: 120 lines]");
    assert_eq!(stage.app.history(), [format!("Look here: {whole}")], "the file of the history has it whole");
    stage.keys("<Ctrl-C>");
    stage.paste(&"x".repeat(3000));
    assert_eq!(stage.screen.composer.text(), "[pasted text #2: 3000 characters]");
}

#[test]
fn an_entry_of_several_lines_comes_back_from_the_history_as_it_was() {
    let mut stage = stage();
    stage.keys("one<Ctrl-J>two<Enter>");
    stage.pump_to_end();
    stage.keys("three<Enter>");
    stage.pump_to_end();
    stage.keys("<Up><Up>");
    assert_eq!(stage.screen.composer.text(), "one\ntwo");
    stage.keys("<Up>");
    assert_eq!(stage.screen.composer.text(), "one\ntwo", "first to its first line");
    stage.keys("<Down><Down>");
    assert_eq!(stage.screen.composer.text(), "three");
    stage.keys("<Down><Ctrl-R>tw<Enter>");
    assert_eq!(stage.screen.composer.text(), "one\ntwo");
}

#[test]
fn a_huge_prompt_of_an_earlier_run_comes_back_folded() {
    let huge: String = std::iter::once("Sum up this text, please:\n".to_owned())
        .chain((1..=10_000).map(|line| format!("line {line}\n")))
        .collect();
    let start = Start { seed: 1, history: vec![huge.clone(), "short".to_owned()], ..Start::default() };
    let script = FakeWorker::new().reply([Step::text("Yes.")]);
    let mut stage = Stage::with_start(100, 30, script, Theme::new(true), start);
    stage.start();
    let label = "[Sum up this text, please… #1: 10001 lines]";
    stage.keys("<Up><Up>");
    assert_eq!(stage.screen.composer.text(), label);
    assert_eq!(stage.screen.composer.full_text(), huge);
    stage.keys("<Down><Ctrl-C><Ctrl-R>sum<Enter>");
    assert_eq!(stage.screen.composer.text(), label);
    stage.keys("<Enter>");
    assert_eq!(stage.question(), huge.trim_end(), "it is sent whole");
    let shown = stage.draw();
    assert!(shown.contains("Sum up this text, please:") && shown.contains("▸ … · 9993 lines · "), "{shown}");
    assert!(shown.contains("line 10000") && !shown.contains("line 5000"), "{shown}");
}

#[test]
fn what_is_written_into_the_line_over_the_composer_is_not_cut_by_the_panels_edge() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    stage.keys(&"word ".repeat(9000));
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
    let shown = stage.draw();
    assert!(shown.contains("! 9 001 tok · ") && shown.contains(" too many to be sent"), "{shown}");
}
