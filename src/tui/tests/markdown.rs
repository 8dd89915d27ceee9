//! Replies in Markdown, on screen.

use std::path::Path;

use ratatui::style::{Color, Modifier};

use super::stage::Stage;
use crate::app::Start;
use crate::settings::Settings;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};

const REPLY: &str = "# Tea\n\nTo make **good** tea, *wait* for the water; `100 °C` is ~~not~~ too hot.\n\n\
    1. Boil the water\n2. Choose leaves:\n   - green\n   - black\n- [x] have a cup\n- [ ] have milk\n\n\
    > Tea is liquid *wisdom*.\n\n\
    | Leaf | Minutes | Note |\n|:-----|--------:|:----:|\n| green | 2 | mild |\n| black | 4 | strong |\n\n\
    ```python\ndef brew(minutes):\n    return \"tea\"  # at last\n```\n\n---\n\nMore [here](https://example.org/tea).";

fn answered(width: u16, height: u16, reply: &str) -> Stage {
    let mut stage = Stage::new(width, height, FakeWorker::new().reply([Step::text(reply)]));
    stage.keys("**How**?<Enter>");
    stage.pump_to_end();
    stage.draw();
    stage
}

#[test]
fn a_reply_in_markdown_at_100x44() {
    insta::assert_snapshot!(answered(100, 44, REPLY).draw());
}

#[test]
fn a_reply_in_markdown_at_40x44() {
    insta::assert_snapshot!(answered(40, 44, REPLY).draw());
}

#[test]
fn a_table_that_is_too_wide_becomes_a_list_of_fields() {
    let table = "| City | Country | River | Inhabitants | Founded |\n|--|--|--|--|--|\n\
        | Paris | France | Seine | two million | before Christ |\n| Rome | Italy | Tiber | three million | 753 BC |";
    insta::assert_snapshot!(answered(34, 30, table).draw());
}

#[test]
fn f4_and_raw_show_what_was_written_and_questions_are_never_changed() {
    let mut stage = answered(80, 44, "a **bold** word");
    let shown = stage.draw();
    assert!(shown.contains("a bold word") && shown.contains("**How**?"), "{shown}");
    stage.keys("<F4>");
    assert!(stage.draw().contains("a **bold** word"));
    stage.keys("<F4>");
    assert!(stage.draw().contains("a bold word"));
    stage.keys("/raw<Enter>");
    assert!(stage.draw().contains("a **bold** word"));
}

#[test]
fn the_setting_leaves_replies_as_they_were_written() {
    let settings = Settings::parse("[ui]\nmarkdown = false\n", Path::new("config.toml")).unwrap();
    let script = FakeWorker::new().reply([Step::text("a **b**")]);
    let mut stage = Stage::with_start(80, 24, script, Theme::new(true), Start { settings, ..Start::default() });
    stage.start();
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("a **b**"));
}

#[test]
fn what_copy_takes_is_the_source() {
    let mut stage = answered(80, 30, REPLY);
    stage.keys("/copy<Enter>");
    assert_eq!(stage.requests, [crate::tui::screen::Request::Copy(REPLY.to_owned())]);
}

#[test]
fn while_it_streams_open_marks_are_not_seen() {
    let script = FakeWorker::new().reply([
        Step::Token("Well, **this".into()),
        Step::Hold,
        Step::Token("** is\n\n```rust\nfn main".into()),
        Step::Hold,
    ]);
    let mut stage = Stage::new(80, 24, script);
    stage.keys("Q<Enter>");
    stage.pump_tokens(1);
    let shown = stage.draw();
    assert!(shown.contains("Well, this▌") && !shown.contains("**"), "{shown}");
    stage.release();
    stage.pump_tokens(1);
    let shown = stage.draw();
    assert!(shown.contains("Well, this is") && shown.contains("┌ rust") && shown.contains("│ fn main▌"), "{shown}");
    stage.release();
    stage.pump_to_end();
}

#[test]
fn code_has_the_colours_of_its_syntax_and_none_where_none_are_wanted() {
    crate::tui::highlight::prepare_now("rust");
    let mut stage = answered(80, 24, "```rust\nfn main() { \"text\" }\n```");
    let style = |stage: &mut Stage, word: &str| {
        let buffer = stage.buffer();
        let width = usize::from(buffer.area.width);
        let text = |row: &[ratatui::buffer::Cell]| row.iter().map(|cell| cell.symbol()).collect::<String>();
        let rows: Vec<_> = buffer.content().chunks(width).collect();
        let (row, at) = rows.iter().find_map(|row| Some((*row, text(row).find(word)?))).unwrap();
        let at = text(row)[..at].chars().count();
        row[at].style()
    };
    let keyword = style(&mut stage, "fn main").fg;
    assert!(keyword.is_some_and(|color| color != Color::Reset), "{keyword:?}");
    assert_ne!(style(&mut stage, "\"text\"").fg, keyword);

    let script = FakeWorker::new().reply([Step::text("```rust\nfn main() {}\n```\n**bold**")]);
    let mut plain = Stage::unloaded(80, 24, script, Theme::new(false));
    plain.start();
    plain.keys("Q<Enter>");
    plain.pump_to_end();
    plain.draw();
    assert_eq!(style(&mut plain, "fn main").fg, Some(Color::Reset));
    assert!(style(&mut plain, "bold").add_modifier.contains(Modifier::BOLD));
}
