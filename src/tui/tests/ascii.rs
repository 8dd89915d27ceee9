//! The screen in ASCII: nothing else is left on it, whatever is open.

use super::stage::Stage;
use crate::app::Start;
use crate::settings::Settings;
use crate::tui::ascii::Charset;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};

fn stage(width: u16, height: u16) -> Stage {
    let script = FakeWorker::new()
        .reply([Step::Prefill { reused: 0, done: 31, total: 31 }, Step::text("The capital of France is Paris.")])
        .reply([Step::text("<think>Let me see.</think>Now, the"), Step::Hold, Step::text(" rest.")]);
    let mut settings = Settings::default();
    settings.ui.ascii = true;
    let start = Start { seed: 1, settings, ..Start::default() };
    let mut stage = Stage::with_start(width, height, script, Theme::new(true), start);
    stage.start();
    stage.keys("What is the capital of France?<Enter>");
    stage.pump_to_end();
    stage
}

fn assert_ascii(stage: &mut Stage, what: &str) {
    let buffer = stage.buffer();
    let other: Vec<&str> =
        buffer.content.iter().map(|cell| cell.symbol()).filter(|symbol| !symbol.is_ascii()).collect();
    assert!(other.is_empty(), "{what}: {other:?}\n{}", stage.draw());
}

#[test]
fn nothing_but_ascii_is_on_a_full_screen_whatever_is_open() {
    for (width, height) in [(120, 36), (80, 24), (40, 10)] {
        let mut stage = stage(width, height);
        assert_ascii(&mut stage, "a reply");
        stage.keys("/nosuch<Enter><Ctrl-U>/temp 9<Enter>/stats<Enter>");
        assert_ascii(&mut stage, "notes");
        for keys in ["<F1>", "<Ctrl-P>", "<Ctrl-R>", "<Ctrl-T>", "<Ctrl-O>", "/theme<Enter>"] {
            stage.keys(keys);
            assert_ascii(&mut stage, keys);
            stage.keys("<Esc>");
        }
        stage.keys("<Tab>1.2");
        assert_ascii(&mut stage, "a value that is typed");
        stage.keys("<Enter><Tab><PgUp><PgUp>");
        assert_ascii(&mut stage, "the focus on the conversation");
        stage.keys("<Esc>/");
        assert_ascii(&mut stage, "the list of commands");
        stage.keys("<Esc><Ctrl-U>And Italy's?<Enter>");
        stage.pump_tokens(4);
        assert_ascii(&mut stage, "while tokens come");
        stage.keys("<Alt-T>");
        assert_ascii(&mut stage, "a thought");
        stage.release();
        stage.pump_to_end();
        stage.keys("<Ctrl-C>");
        assert_ascii(&mut stage, "a hint");
    }
}

#[test]
fn what_a_message_says_is_replaced_only_where_the_terminal_cannot_show_it() {
    let mut stage = stage(80, 24);
    stage.keys("naïve 日本?");
    assert!(stage.draw().contains("naïve 日本?"));
    stage.screen.charset = Charset::Ascii;
    assert!(stage.draw().contains("na?ve ? ? ?"));
    assert_ascii(&mut stage, "a terminal that is not UTF-8");
}
