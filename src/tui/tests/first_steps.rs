//! What a person who is here for the first time is told, and nobody else.

use super::stage::Stage;
use crate::app::Start;
use crate::settings::Settings;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};

fn stage(is_first_run: bool, settings: Settings) -> Stage {
    let script = (0..3).fold(FakeWorker::new(), |script, _| script.reply([Step::text("Well.")]));
    let start = Start { seed: 1, settings, is_first_run, ..Start::default() };
    let mut stage = Stage::with_start(80, 24, script, Theme::new(true), start);
    stage.start();
    stage
}

fn ask(stage: &mut Stage) -> String {
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.draw()
}

#[test]
fn the_first_start_says_what_to_try_and_the_first_replies_what_comes_next() {
    let mut stage = stage(true, Settings::default());
    let shown = stage.draw();
    for line in ["Enter sends what you write", "Tab goes to the sliders", "Ctrl-T shows a reply", "F1 lists the keys"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let shown = ask(&mut stage);
    assert!(shown.contains(" Ctrl-T shows how each token of this reply was chosen"), "{shown}");
    assert!(!shown.contains("Tab goes to the sliders"), "{shown}");
    let shown = ask(&mut stage);
    assert!(shown.contains("/regen answers anew"), "{shown}");
    assert!(!shown.contains("Ctrl-T shows"), "each is said once: {shown}");
    let shown = ask(&mut stage);
    assert!(shown.contains("Enter send · / commands"), "{shown}");
}

#[test]
fn the_keys_are_those_in_force() {
    let keys = toml::from_str("help = [\"F10\"]\ntokens = []").unwrap();
    let settings = Settings { keys, ..Settings::default() };
    let mut stage = stage(true, settings);
    let shown = stage.draw();
    assert!(shown.contains("F10 lists the keys") && !shown.contains("shows a reply token by token"), "{shown}");
    let shown = ask(&mut stage);
    assert!(shown.contains("Enter send · / commands"), "nothing is said of what no key does: {shown}");
}

#[test]
fn who_was_here_before_or_wants_no_hints_gets_none() {
    let mut quiet = Settings::default();
    quiet.ui.hints = false;
    for (is_first_run, settings) in [(false, Settings::default()), (true, quiet)] {
        let mut stage = stage(is_first_run, settings);
        assert!(!stage.draw().contains("F1 lists the keys"));
        assert!(ask(&mut stage).contains("Enter send · / commands"));
    }
}
