//! A reply that is paused, and chosen token by token.

use super::stage::Stage;
use crate::app::Start;
use crate::chat::MessageState;
use crate::settings::Settings;
use crate::store::StoreOp;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{EngineCommand, EngineEvent, Steer};

const IS_PAUSED: fn(&EngineEvent) -> bool = |event| matches!(event, EngineEvent::Paused { .. });

fn two_words() -> FakeWorker {
    FakeWorker::new().reply([Step::text("one two"), Step::Hold, Step::text(" three four")])
}

/// Paused behind "one two".
fn paused(width: u16, height: u16) -> Stage {
    paused_in(width, height, two_words())
}

fn paused_in(width: u16, height: u16, script: FakeWorker) -> Stage {
    let mut stage = Stage::new(width, height, script);
    stage.keys("Q<Enter>");
    stage.pump_tokens(2);
    stage.keys("<F5>");
    stage.release();
    stage.pump(IS_PAUSED);
    stage
}

fn last_message(stage: &Stage) -> (String, MessageState) {
    let last = stage.memory.stored.iter().rev().find_map(|op| match op {
        StoreOp::PutMessage { node, .. } => Some((node.message.content.clone(), node.state)),
        _ => None,
    });
    last.unwrap()
}

#[test]
fn the_reply_is_paused_and_goes_on() {
    let mut stage = paused(120, 30);
    let shown = stage.draw();
    assert!(shown.contains("PAUSED · 1-9 pick · Space draw · Backspace undo · Enter go on · Esc stop"), "{shown}");
    assert!(shown.contains("Next · paused") && shown.contains("1 60.0   60.0"), "{shown}");
    assert!(!shown.contains("◂"), "nothing is chosen yet: {shown}");
    stage.keys("<F5>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("one two three four") && !shown.contains("PAUSED"), "{shown}");
    // Once more, by the command, and on by Enter.
    let mut stage = Stage::new(120, 30, two_words());
    stage.keys("Q<Enter>");
    stage.pump_tokens(2);
    stage.keys("/pause<Enter>");
    assert!(stage.draw().contains("pausing"));
    stage.release();
    stage.pump(IS_PAUSED);
    stage.keys("<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("one two three four"));
}

#[test]
fn a_number_picks_that_candidate_also_one_that_was_cut() {
    let mut stage = paused(120, 30);
    stage.keys("/top-k 1<Enter>");
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("3 10.0  top-k"), "reshaped at once: {shown}");
    stage.asked();
    stage.keys("3");
    assert!(matches!(stage.asked()[..], [EngineCommand::Steer { steer: Steer::Pick(2), .. }]));
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("one two banks") && shown.contains("1 picked"), "{shown}");
    stage.keys("9");
    assert!(stage.draw().contains("there is no candidate 9"));
    stage.keys("<F5>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("one two banks three four"), "{shown}");
    assert!(stage.app.last_summary().unwrap().line().contains("1 picked"));
    stage.keys("<Ctrl-T><Left><Left>");
    let shown = stage.draw();
    assert!(shown.contains("◂ picked") && shown.contains("picked · "), "{shown}");
    stage.keys("<Left>");
    assert!(!stage.draw().contains("picked"));
}

#[test]
fn space_draws_one_token_and_backspace_takes_it_back() {
    let mut stage = paused(120, 30);
    stage.keys(" ");
    stage.pump(IS_PAUSED);
    assert!(stage.draw().contains("one two three"));
    assert_eq!(stage.app.context().0, 6);
    stage.keys("<Backspace>");
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("one two▌") && !shown.contains("three"), "{shown}");
    assert_eq!(stage.app.context().0, 5);
    // Another of the same length, before anything is drawn; of a list that is about to go nothing is picked.
    stage.keys("<Backspace>3");
    assert!(stage.draw().contains("the next candidates are still being computed"));
    stage.pump(IS_PAUSED);
    assert!(!stage.draw().contains("the next candidates are still being computed"));
    stage.keys("2");
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("one river") && !shown.contains("two"), "{shown}");
    let message = stage.app.generation().unwrap().message.unwrap();
    let texts: Vec<&str> =
        stage.app.tokens_of(message).unwrap().iter().map(|token| token.trace.text.as_str()).collect();
    assert_eq!(texts, ["one", " river"]);
    // No further back than to the start.
    stage.keys("<Backspace><Backspace><Backspace>");
    for _ in 0..3 {
        stage.pump(IS_PAUSED);
    }
    assert_eq!(stage.app.generation().unwrap().tokens, 0);
    stage.keys("1");
    stage.pump(IS_PAUSED);
    stage.keys("<Esc>");
    stage.pump_to_end();
    assert_eq!(last_message(&stage), (" Seine".to_owned(), MessageState::Cut));
    stage.keys("<Backspace> <F5>");
    assert!(stage.draw().contains("no reply is running"), "the reply is over: keys write again");
    assert_eq!(stage.screen.composer.text(), " ");
}

#[test]
fn what_is_written_goes_to_the_composer_and_then_digits_do_too() {
    let mut stage = paused(120, 30);
    stage.asked();
    stage.keys("a1 2<Backspace>");
    assert_eq!(stage.screen.composer.text(), "a1 ");
    assert!(stage.draw().contains("PAUSED · picking waits for what is written (Ctrl-U) · F5 go on"));
    stage.keys("<Ctrl-U><Tab><Right>");
    match &stage.asked()[..] {
        [EngineCommand::SetSampling { sampling, .. }] => assert_eq!(sampling.temperature, 0.85),
        other => panic!("{other:?}"),
    }
    stage.pump(IS_PAUSED);
    assert!(stage.draw().contains("PAUSED · Space draw · ←/→ turn · Shift-Tab back to picking · Esc stop"));
    // In the panel a digit begins a value, and the bar draws.
    stage.keys("1<Esc> ");
    assert!(matches!(stage.asked()[..], [EngineCommand::Steer { steer: Steer::Draw, .. }]));
    stage.pump(IS_PAUSED);
    stage.keys("<Esc>");
    stage.pump_to_end();
}

#[test]
fn each_reply_begins_paused_where_that_is_wanted() {
    let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::text("one two")]));
    stage.keys("/step on<Enter>Q<Enter>");
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("PAUSED") && shown.contains("paused before the first token"), "{shown}");
    stage.keys("  ");
    stage.pump_tokens(2);
    stage.pump(IS_PAUSED);
    stage.keys("<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("one two"));
    stage.keys("/step perhaps<Enter>");
    assert!(stage.draw().contains("/step takes `on` or `off`, not `perhaps`"));
    stage.keys("/step<Enter>");
    assert!(stage.draw().contains("replies run by themselves"));
}

#[test]
fn without_panels_the_candidates_are_over_the_composer() {
    let mut stage = paused(80, 24);
    insta::assert_snapshot!(stage.draw());
    stage.keys("/top-k 2<Enter>");
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("1 60.0→66.7  Seine") && shown.contains("3 10.0→top-k  banks"), "{shown}");
    for (width, height) in [(40, 10), (30, 8), (99, 50)] {
        stage.resize(width, height);
        let shown = stage.draw();
        assert!(shown.contains("PAUSED") && shown.contains("1 ") && shown.contains("Seine"), "{shown}");
    }
    stage.keys("<Esc>");
    stage.pump_to_end();
    assert!(!stage.draw().contains("banks"));
}

#[test]
fn a_reply_that_is_paused_is_stopped_at_once_and_kept() {
    for key in ["<Esc>", "<Ctrl-C>"] {
        let mut stage = paused(80, 24);
        stage.keys(key);
        stage.pump_to_end();
        assert!(stage.draw().contains("stopped"));
        assert_eq!(last_message(&stage), ("one two".to_owned(), MessageState::Cut));
    }
    let mut stage = paused(80, 24);
    stage.keys("<Ctrl-D>");
    assert_eq!(last_message(&stage), ("one two".to_owned(), MessageState::Cut), "also by leaving");
}

#[test]
fn a_change_is_told_from_the_token_that_it_acts_on_after_a_take_back() {
    let mut stage = paused(120, 30);
    stage.keys("/temp 0.3<Enter><Backspace>");
    stage.pump(IS_PAUSED);
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("temperature 0.30 from token 2"), "{shown}");
    stage.keys("<Esc>");
    stage.pump_to_end();
}

#[test]
fn the_statistics_show_where_the_time_went() {
    let mut stage = Stage::new(80, 40, FakeWorker::new().reply([Step::text("one two three"), Step::Hold]));
    stage.keys("/stats<Enter>");
    assert!(stage.draw().contains("there was no reply yet"));
    stage.keys("Q<Enter>");
    stage.pump_tokens(3);
    stage.app.on_drawn(std::time::Duration::from_millis(7));
    stage.release();
    stage.pump_to_end();
    stage.keys("/stats<Enter>");
    insta::assert_snapshot!(stage.draw());
    stage.resize(40, 40);
    let shown = stage.draw();
    assert!(shown.contains("decode         18 ms") && shown.contains("20.0 %"), "{shown}");
}

#[test]
fn the_statistics_are_of_the_reply_on_screen_and_the_load_counts_once() {
    let script = FakeWorker::new().reply([Step::text("one two")]).reply([Step::text("one two three four")]);
    let mut stage = Stage::new(80, 40, script.reply([Step::text("five six")]));
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.keys("/regen<Enter>");
    stage.pump_to_end();
    let stats = |stage: &mut Stage| {
        stage.keys("/stats<Enter>");
        stage.app.notes().last().unwrap().text.clone()
    };
    let second = stats(&mut stage);
    assert!(second.starts_with("reply       4 tok") && second.contains("context     7 / 8192"), "{second}");
    assert!(!second.contains("load "), "the model was there already: {second}");
    stage.keys("/branch 1<Enter>");
    let first = stats(&mut stage);
    assert!(first.starts_with("reply       2 tok") && first.contains("context     5 / 8192"), "{first}");
    assert!(first.contains("load           42 ms"), "it has waited for it: {first}");
    assert!(stage.draw().contains("100 tok/s"));
    stage.keys("/edit reply<Enter>!<Enter>");
    assert!(stats(&mut stage).contains("nothing is known of what this reply cost"));
    stage.keys("/step on<Enter>/regen<Enter>");
    stage.pump(IS_PAUSED);
    assert!(stats(&mut stage).contains("there was no reply yet"));
    stage.keys(" ");
    stage.pump(IS_PAUSED);
    assert!(stats(&mut stage).contains("the reply is still running"));
    stage.keys("<Esc>");
    stage.pump_to_end();
}

#[test]
fn the_time_of_the_person_is_no_time_of_the_reply() {
    let mut stage = paused(120, 30);
    let rate = |stage: &Stage| stage.app.meter().rate().expect("a rate");
    assert!((rate(&stage) - 100.0).abs() < 1.0, "{}", rate(&stage));
    for _ in 0..2 {
        stage.pass(60_000);
        stage.keys(" ");
        stage.pump(IS_PAUSED);
    }
    // A token every ten milliseconds, or twenty with the event of the pause.
    assert!(rate(&stage) > 40.0, "{}", rate(&stage));
    stage.keys("<Esc>");
    stage.pump_to_end();
    // From the start, the first token is waited for by the engine alone.
    let mut stage = Stage::new(120, 30, two_words());
    stage.keys("/step on<Enter>Q<Enter>");
    stage.pump(IS_PAUSED);
    stage.pass(60_000);
    stage.keys(" ");
    stage.pump(IS_PAUSED);
    let first = stage.app.generation().unwrap().first_token.expect("a token");
    assert!(first < std::time::Duration::from_secs(1), "{first:?}");
    stage.keys("<Esc>");
    stage.pump_to_end();
}

#[test]
fn candidates_are_picked_by_keys_of_ones_own() {
    let keys = toml::from_str("[stepping]\npick-candidate = [\"a\", \"s\", \"d\"]").unwrap();
    let settings = Settings { keys, ..Settings::default() };
    let start = Start { seed: 1, settings, ..Start::default() };
    let mut stage = Stage::with_start(120, 30, two_words(), Theme::new(true), start);
    stage.start();
    stage.keys("/step on<Enter>Q<Enter>");
    stage.pump(IS_PAUSED);
    let shown = stage.draw();
    assert!(shown.contains("PAUSED · a-d pick") && shown.contains("s 30.0"), "{shown}");
    stage.keys("s");
    stage.pump(IS_PAUSED);
    assert!(stage.draw().contains(" river▌"));
    stage.keys("<Esc>");
    stage.pump_to_end();
}

#[test]
fn what_the_template_has_opened_is_no_reply() {
    let opened = [Step::OpenThought("<think>\n".into()), Step::text("one two"), Step::Hold, Step::text(" three")];
    let mut stage = paused_in(100, 24, FakeWorker::new().reply(opened));
    let said = |stage: &Stage| stage.app.transcript().nodes().last().map(|node| node.message.content.clone());
    assert_eq!(said(&stage).as_deref(), Some("<think>\none two"));
    stage.keys("<Backspace><Backspace>");
    stage.pump(IS_PAUSED);
    stage.pump(IS_PAUSED);
    stage.keys("<Esc>");
    stage.pump_to_end();
    assert_eq!(said(&stage).as_deref(), Some("Q"));
}

#[test]
fn a_reply_of_which_every_token_was_taken_back_leaves_the_question_alone() {
    let mut stage = paused_in(100, 24, two_words().reply([Step::text("again")]));
    stage.keys("/temp 0.3<Enter>");
    stage.pump(IS_PAUSED);
    stage.keys("<Backspace><Backspace>");
    stage.pump(IS_PAUSED);
    stage.pump(IS_PAUSED);
    stage.keys("<Esc>");
    stage.pump_to_end();
    let left: Vec<&str> = stage.app.transcript().nodes().iter().map(|node| node.message.content.as_str()).collect();
    assert_eq!(left, ["Q"]);
    let shown = stage.draw();
    assert!(shown.contains("every token was taken back") && shown.contains("temperature = 0.30"), "{shown}");
    let deleted = |op: &StoreOp| matches!(op, StoreOp::DeleteMessage { .. });
    assert!(stage.memory.stored.iter().any(deleted), "{:?}", stage.memory.stored);
    stage.keys("/regen<Enter>");
    stage.pump_tokens(1);
    assert_eq!(stage.app.transcript().nodes().len(), 2);
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("again") && !shown.contains("branch"), "it is the only answer: {shown}");
}
