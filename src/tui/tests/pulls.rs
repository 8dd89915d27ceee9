//! Models that are pulled: the list that offers them, the line that shows how far one is, and the chat meanwhile.

use super::stage::Stage;
use crate::app::Start;
use crate::hub::news::{PullEnd, PullProgress, PullStep};
use crate::tui::ascii::Charset;
use crate::tui::theme::{Colors, Theme};
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::EngineCommand;

const MODEL: &str = "qwen3:0.6b";

fn stage(width: u16, height: u16) -> Stage {
    Stage::new(width, height, FakeWorker::new().reply([Step::text("Paris.")]))
}

fn progress(done: u64, total: u64) -> PullStep {
    let (bytes_per_second, seconds_left) = (Some(12.3e6), Some(30));
    PullStep::Progress(PullProgress { done, total, bytes_per_second, seconds_left })
}

fn here() -> PullStep {
    PullStep::Ended(PullEnd::Here { model: MODEL.to_owned(), note: None, floats: None })
}

/// The row that shows how far the pull is.
fn gauge(stage: &mut Stage) -> String {
    let shown = stage.draw();
    shown.lines().find(|row| row.contains('↓')).unwrap_or_else(|| panic!("{shown}")).to_owned()
}

fn loaded(stage: &Stage) -> Vec<String> {
    let loads = stage.asked().into_iter().filter_map(|command| match command {
        EngineCommand::Load { place, .. } => Some(format!("{place:?}")),
        _ => None,
    });
    loads.collect()
}

#[test]
fn the_list_shows_what_is_here_and_below_it_what_can_be_had() {
    for (width, height) in [(120, 36), (80, 24), (40, 10)] {
        let mut stage = stage(width, height);
        stage.keys("<F7>");
        let shown = stage.draw();
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text}: {shown}"));
        assert!(at("smollm2 *") < at("── can be had"), "{shown}");
        stage.keys("<End>");
        let shown = stage.draw();
        assert!(shown.contains("▸ gemma3:1b") && shown.contains("gated"), "{shown}");
        stage.keys("0.6");
        let shown = stage.draw();
        assert!(shown.contains("▸ qwen3:0.6b") && shown.contains("── can be had"), "{shown}");
        assert!(!shown.contains("smollm2 *") && !shown.contains("gemma3"), "{shown}");
    }
}

#[test]
fn enter_pulls_what_is_not_here_and_loads_it_once_it_is() {
    let mut stage = stage(80, 24);
    stage.keys("<F7>0.6<Enter>");
    assert_eq!(stage.memory.pulls.len(), 1);
    assert_eq!(stage.memory.pulls[0].1, MODEL);
    assert!(gauge(&mut stage).contains("qwen3:0.6b"));
    stage.pull_tells(progress(120_000_000, 484_000_000));
    let row = gauge(&mut stage);
    assert!(row.contains("██░░░░░░░░ 24 % · 120 of 484 MB · 12.3 MB/s · 30 s left"), "{row}");
    stage.pull_tells(here());
    assert!(loaded(&stage)[0].contains(MODEL));
    let shown = stage.draw();
    assert!(!shown.contains('↓'), "{shown}");
}

#[test]
fn the_chat_goes_on_while_a_model_comes_and_keeps_its_own() {
    let mut stage = stage(80, 24);
    stage.keys("/pull qwen3:0.6b<Enter>");
    stage.pull_tells(progress(1, 100));
    stage.keys("capital of France?<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("Paris.") && shown.contains('↓'), "{shown}");
    stage.asked();
    stage.pull_tells(here());
    stage.asked_nothing();
    let shown = stage.draw();
    assert!(shown.contains("qwen3:0.6b is here: /model qwen3:0.6b loads it"), "{shown}");
}

#[test]
fn esc_does_not_stop_a_pull_and_the_command_and_the_palette_do() {
    let mut stage = stage(80, 24);
    stage.keys("/pull qwen3:0.6b<Enter><Esc><Esc>");
    assert!(stage.memory.cancelled.is_empty());
    assert!(gauge(&mut stage).contains("/pull stop"));
    stage.keys("<Ctrl-P>stop pulling<Enter>");
    assert_eq!(stage.memory.cancelled.len(), 1);
    assert!(gauge(&mut stage).contains("stopping"));
    stage.pull_tells(PullStep::Ended(PullEnd::Stopped));
    let shown = stage.draw();
    assert!(
        !shown.contains('↓') && shown.contains("qwen3:0.6b is stopped; /pull qwen3:0.6b goes on with it"),
        "{shown}"
    );
}

#[test]
fn the_line_has_room_on_every_screen_and_needs_no_colour_and_no_unicode() {
    for (width, height) in [(120, 36), (80, 24), (40, 10)] {
        let mut stage = stage(width, height);
        stage.keys("/pull qwen3:0.6b<Enter>");
        stage.pull_tells(progress(1_200_000_000, 4_840_000_000));
        let row = gauge(&mut stage);
        assert!(row.contains("qwen3:0.6b") && row.contains("24 %") && row.contains("30 s left"), "{row}");
        stage.screen.charset = Charset::Ascii;
        stage.screen.theme = Theme::in_colors(Colors::None);
        let shown = stage.draw();
        assert!(shown.is_ascii() || !shown.contains(['↓', '█', '░', '·']), "{shown}");
        assert!(shown.contains("qwen3:0.6b") && shown.contains("24 %"), "{shown}");
    }
}

#[test]
fn a_failure_is_a_sentence_and_the_chat_goes_on() {
    let mut stage = stage(80, 24);
    stage.keys("/pull qwen3:0.6b<Enter>");
    stage.pull_tells(PullStep::Ended(PullEnd::Failed("the hub does not answer: try again later".to_owned())));
    let shown = stage.draw();
    assert!(shown.contains("the hub does not answer: try again later") && !shown.contains('↓'), "{shown}");
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("Paris."));
}

#[test]
fn a_model_that_is_not_here_is_offered_and_enter_takes_it() {
    let mut stage = stage(80, 24);
    stage.keys("/model qwen3:0.6b<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("qwen3:0.6b is not here: /pull qwen3:0.6b gets it, 639 MB, and loads it"), "{shown}");
    assert!(shown.contains("> /pull qwen3:0.6b"), "{shown}");
    stage.keys("<Enter>");
    assert_eq!(stage.memory.pulls.len(), 1);
}

#[test]
fn a_first_start_without_any_model_offers_those_that_can_be_had() {
    let start = Start { seed: 1, is_first_run: true, ..Start::default() };
    let script = FakeWorker::new().reply([Step::text("Paris.")]);
    let mut stage = Stage::with_start(80, 24, script, Theme::new(true), start);
    stage.memory.is_bare = true;
    let effects = stage.app.start();
    stage.carry_out(effects);
    let shown = stage.draw();
    assert!(shown.contains("▸ qwen3:0.6b") && !shown.contains("nothing matches"), "{shown}");
    stage.keys("<Enter>");
    assert!(stage.draw().contains("no model is here yet"));
    stage.memory.is_bare = false;
    stage.pull_tells(here());
    assert!(loaded(&stage)[0].contains(MODEL));
}

#[test]
fn the_first_screen_says_which_key_leads_to_a_larger_model() {
    let start = Start { seed: 1, is_first_run: true, ..Start::default() };
    let mut stage = Stage::with_start(80, 24, FakeWorker::new(), Theme::new(true), start);
    stage.start();
    let shown = stage.draw();
    assert!(shown.contains("F7 gets a larger one"), "{shown}");
}
