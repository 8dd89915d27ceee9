//! Keys of the person's own, and a search through all of them.

use super::stage::Stage;
use crate::app::Start;
use crate::settings::Settings;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::EngineEvent;

fn stage(keys: &str) -> Stage {
    let settings = Settings { keys: toml::from_str(keys).unwrap(), ..Settings::default() };
    let reply = [Step::text("<think>Hm.</think>Yes indeed"), Step::Hold, Step::text(" so")];
    let script = FakeWorker::new().reply(reply);
    let start = Start { seed: 1, settings, ..Start::default() };
    let mut stage = Stage::with_start(120, 30, script, Theme::new(true), start);
    stage.start();
    stage
}

#[test]
fn own_keys_do_what_they_should_and_the_old_ones_nothing() {
    let mut stage = stage("send = [\"Ctrl-S\"]\nnew-line = [\"Enter\"]\nhelp = [\"F10\"]\n[transcript]\ntop = [\"g\"]");
    stage.keys("one<Enter>two");
    assert_eq!(stage.screen.composer.text(), "one\ntwo");
    stage.keys("<F1>");
    assert!(!stage.draw().contains("Keys and commands"));
    stage.keys("<F10>");
    assert!(stage.draw().contains("Keys and commands"));
    stage.keys("<F10>");
    assert!(!stage.draw().contains("Keys and commands"), "the same key closes it");
    stage.keys("<Ctrl-S>");
    assert!(stage.app.generation().is_some());
    stage.release();
    stage.pump_to_end();
}

#[test]
fn the_hints_and_the_list_show_the_keys_in_force() {
    let mut stage =
        stage("stop = [\"F9\"]\nhelp = [\"F10\"]\npalette = []\ntoggle-thoughts = [\"Alt-X\"]\nnext-focus = [\"F6\"]");
    let shown = stage.draw();
    assert!(shown.contains("Enter send · / commands · F10 help · F6 panels"), "{shown}");
    assert!(!shown.contains("palette"), "{shown}");
    stage.keys("Why?<Enter>");
    stage.pump_tokens(2);
    let shown = stage.draw();
    assert!(shown.contains("F9 stop · 2 tokens · F6 panels"), "{shown}");
    assert!(shown.contains("Alt-X shows it"), "{shown}");
    stage.keys("another<Enter>");
    assert!(stage.draw().contains("stop it first (F9)"));
    stage.keys("<F10>");
    let shown = stage.draw();
    assert!(shown.contains("F9 ") && !shown.contains("Ctrl-P"), "{shown}");
    stage.release();
    stage.pump_to_end();
}

#[test]
fn the_list_of_keys_is_searched_by_typing() {
    let mut stage = stage("");
    stage.keys("<F1>word left");
    let shown = stage.draw();
    assert!(shown.contains("> word left▏") && shown.contains("Alt-B") && !shown.contains("/temperature"), "{shown}");
    stage.keys("<Esc>toggle-mouse");
    let shown = stage.draw();
    assert!(shown.contains("F3"), "names of config.toml are found too: {shown}");
    stage.keys("<Esc>zzz");
    assert!(stage.draw().contains("nothing matches"));
    stage.keys("<Esc>");
    assert!(stage.draw().contains("Enter"), "Esc takes the search back first");
    stage.keys("<Esc>");
    assert!(!stage.draw().contains("Keys and commands"));
}

#[test]
fn each_part_of_the_screen_says_what_its_keys_do() {
    let mut stage = stage("");
    stage.keys("<Tab>");
    let shown = stage.draw();
    let hints =
        "←/→ turn · Shift-←/Shift-→ large steps · ↑/↓ choose · digits type a value · Del default · p preset · Tab next";
    assert!(shown.contains(hints), "{shown}");
    stage.keys("<Tab>");
    let shown = stage.draw();
    let hints = "↑/↓ scroll · [ ] mark · c copy · b code · e edit · r again · ←/→ versions";
    assert!(shown.contains(hints) && shown.contains("Tab next · Esc write"), "{shown}");
}

#[test]
fn keys_in_lists_are_ones_own_too() {
    let mut stage =
        stage("[list]\nselect-down = [\"Ctrl-F\"]\nchoose = [\"Alt-C\"]\n[tokens]\nprevious-token = [\"h\"]");
    stage.keys("/preset<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("Alt-C chooses") && shown.contains("▸ balanced *"), "{shown}");
    stage.keys("<Down><Enter>");
    assert!(stage.draw().contains("▸ balanced *"), "the keys of the table are free");
    stage.keys("<Ctrl-F>");
    assert!(stage.draw().contains("▸ creative"));
    stage.keys("<Alt-C>");
    assert!(stage.draw().contains("[creative]"));
    stage.keys("Why?<Enter>");
    stage.pump_tokens(2);
    stage.release();
    stage.pump_to_end();
    stage.keys("<Ctrl-T>");
    let shown = stage.draw();
    assert!(shown.contains("h/→ walk"), "{shown}");
    let token = |shown: &str| shown.split("Token ").nth(1).map(|rest| rest[..1].to_owned());
    let before = token(&shown);
    stage.keys("<Left>");
    assert_eq!(token(&stage.draw()), before);
    stage.keys("h");
    assert_ne!(token(&stage.draw()), before);
}

#[test]
fn the_palette_has_what_can_be_done_now() {
    let mut stage = stage("");
    stage.keys("<Ctrl-P>the next lane");
    assert!(!stage.draw().contains("(Comparison)"));
    stage.keys("<Esc><Ctrl-P>draw one token");
    assert!(!stage.draw().contains("Space"), "no reply is paused");
    stage.keys("<Esc>Why?<Enter>");
    stage.pump_tokens(2);
    stage.keys("<F5>");
    stage.release();
    stage.pump(|event| matches!(event, EngineEvent::Paused { .. }));
    stage.keys("<Ctrl-P>draw one token");
    assert!(stage.draw().contains("Space"));
    stage.keys("<Esc><Esc>");
    stage.pump_to_end();
}
