//! What is on screen.

use ratatui::style::Color;

use super::stage::Stage;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{Adaptation, EngineCommand, FinishReason, PromptFault};

const ANSWER: &str =
    "The capital of France is Paris. It lies on the Seine, and has done so for a good two thousand years.";

fn answering() -> FakeWorker {
    FakeWorker::new().reply([Step::Prefill { reused: 0, done: 31, total: 31 }, Step::text(ANSWER)])
}

fn asked(width: u16, height: u16) -> Stage {
    let mut stage = Stage::new(width, height, answering());
    stage.keys("What is the capital of France?<Enter>");
    stage.pump_to_end();
    stage
}

#[test]
fn the_first_frame_is_drawn_before_the_model_is_there() {
    let mut stage = Stage::unloaded(80, 24, FakeWorker::new(), Theme::new(true));
    assert!(stage.draw().contains("No model is loaded"));
    let effects = stage.app.start();
    stage.carry_out(effects);
    stage.keys("typed meanwhile");
    insta::assert_snapshot!(stage.draw());
}

#[test]
fn a_reply_at_80x24() {
    insta::assert_snapshot!(asked(80, 24).draw());
}

#[test]
fn a_reply_at_120x30() {
    insta::assert_snapshot!(asked(120, 30).draw());
}

#[test]
fn a_reply_at_40x10() {
    insta::assert_snapshot!(asked(40, 10).draw());
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    insta::assert_snapshot!(asked(28, 6).draw());
    for (width, height) in [(1, 1), (3, 2), (29, 40), (200, 7)] {
        let mut stage = asked(width, height);
        let shown = stage.draw();
        assert!(shown.contains(&"gibber needs 30x8"[..usize::from(width.min(6)) - 1]), "{shown}");
    }
}

#[test]
fn every_size_from_the_smallest_on_can_be_drawn() {
    let mut stage = asked(120, 30);
    for width in 30..130 {
        for height in [8, 9, 10, 15, 24, 50] {
            stage.resize(width, height);
            let shown = stage.draw();
            assert!(shown.contains("Sample"), "{width}x{height}:\n{shown}");
        }
    }
}

#[test]
fn while_tokens_come_at_120x30() {
    let script = FakeWorker::new().reply([
        Step::Prefill { reused: 0, done: 31, total: 31 },
        Step::text("The capital of France is"),
        Step::Hold,
        Step::text(" Paris."),
    ]);
    let mut stage = Stage::new(120, 30, script);
    stage.keys("What is the capital of France?<Enter>");
    stage.pump_tokens(5);
    insta::assert_snapshot!(stage.draw());
    stage.release();
    stage.pump_to_end();
}

#[test]
fn the_prompt_is_being_read() {
    let script = FakeWorker::new().reply([Step::Prefill { reused: 0, done: 512, total: 2048 }, Step::Hold]);
    let mut stage = Stage::new(80, 24, script);
    stage.keys("A long one<Enter>");
    stage.pump(|_| true);
    let shown = stage.draw();
    assert!(shown.contains("reading the prompt: 512 of 2048 tokens"), "{shown}");
    assert!(shown.contains("Esc stop"), "{shown}");
    stage.release();
}

#[test]
fn an_error_is_shown_and_the_program_lives_on() {
    let script = FakeWorker::new().reply([Step::text("Half a"), Step::Fail("the engine failed: out of luck".into())]);
    let mut stage = Stage::new(80, 24, script);
    stage.keys("Say something<Enter>");
    stage.pump_to_end();
    insta::assert_snapshot!(stage.draw());
}

#[test]
fn the_list_of_keys_and_commands() {
    let mut stage = asked(120, 30);
    stage.keys("<F1>");
    insta::assert_snapshot!(stage.draw());
    stage.keys("<End>");
    assert!(stage.draw().contains("/samplers [VALUE]"), "its end can be reached");
    stage.keys("<Esc>");
    assert!(!stage.draw().contains("Keys and commands"));
}

#[test]
fn commands_are_listed_while_one_is_typed() {
    let mut stage = asked(80, 24);
    stage.keys("/re");
    insta::assert_snapshot!(stage.draw());
}

#[test]
fn the_focused_slider_is_marked_without_colour() {
    let mut stage = asked(120, 30);
    stage.keys("<Tab><Down>");
    let shown = stage.draw();
    assert!(shown.contains("▸top-k"), "{shown}");
    stage.resize(80, 24);
    let shown = stage.draw();
    assert!(shown.contains("◂k 40▸"), "{shown}");
}

#[test]
fn no_color_leaves_out_every_colour_and_nothing_else() {
    let mut plain = Stage::unloaded(120, 30, answering(), Theme::new(false));
    plain.start();
    plain.keys("What is the capital of France?<Enter>");
    plain.pump_to_end();
    let buffer = plain.buffer();
    assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert_eq!(plain.draw(), asked(120, 30).draw());
}

#[test]
fn what_a_model_says_cannot_steer_the_terminal() {
    let hostile = "red \x1b[31m title \x1b]0;pwned\x07 bell \x07 clear \x1bc up \x1b[9A nul \0 c1 \u{9b}2J \u{202e}txt";
    let script = FakeWorker::new().reply([Step::Token(hostile.into()), Step::Fail(format!("error {hostile}"))]);
    let mut stage = Stage::new(80, 24, script);
    stage.paste(hostile);
    stage.keys("<Enter>");
    stage.pump_to_end();
    let mut buffer = stage.buffer();
    for cell in buffer.content() {
        assert!(!cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}'), "{:?}", cell.symbol());
    }
    stage.keys("<Up>");
    buffer = stage.buffer();
    assert!(buffer.content().iter().all(|cell| !cell.symbol().contains('\x1b')));
    let shown = stage.draw();
    assert!(shown.contains("␛[31m") && shown.contains("␇"), "{shown}");
}

#[test]
fn turns_that_were_dropped_are_told_and_marked() {
    let script = FakeWorker::new()
        .reply([Step::text("one")])
        .reply([Step::text("two")])
        .reply([Step::DropTurns(vec![0, 1, 2, 3]), Step::text("three")]);
    let mut stage = Stage::new(80, 30, script);
    for question in ["a", "b", "c"] {
        stage.keys(question);
        stage.keys("<Enter>");
        stage.pump_to_end();
    }
    let shown = stage.draw();
    assert!(shown.contains("the first 2 turns are no longer seen by the model"), "{shown}");
    assert_eq!(shown.matches("· no longer seen by the model").count(), 4, "{shown}");
}

#[test]
fn a_question_that_the_template_leaves_out_is_told() {
    let fault = PromptFault::QuestionLeftOut { template: "mute".into() };
    let mut stage = Stage::new(100, 24, FakeWorker::new().reply([Step::Fault(fault), Step::text("yes?")]));
    stage.keys("Hi<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("the chat template mute leaves the question out"), "{shown}");
    assert!(shown.contains("yes?"), "{shown}");
}

#[test]
fn long_conversations_scroll_and_stay_where_they_are_while_tokens_come() {
    let lines: String = (0..60).map(|line| format!("line {line}\n")).collect();
    let script = FakeWorker::new().reply([Step::Token(lines), Step::Hold, Step::Token("the end".into())]);
    let mut stage = Stage::new(80, 24, script);
    stage.keys("Go<Enter>");
    stage.pump_tokens(1);
    assert!(stage.draw().contains("line 59"));
    stage.keys("<PgUp><PgUp>");
    let before = stage.draw();
    assert!(!before.contains("line 59") && before.contains("more"), "{before}");
    stage.release();
    stage.pump_to_end();
    let row = |screen: &str| screen.lines().nth(3).unwrap().to_owned();
    assert_eq!(row(&stage.draw()), row(&before));
    stage.keys("<Ctrl-End>");
    assert!(stage.draw().contains("the end"));
    stage.keys("<Home>");
    assert!(stage.draw().contains("Go"));
}

#[test]
fn a_branch_is_named_in_the_title() {
    let script = FakeWorker::new().reply([Step::text("first")]).reply([Step::text("second")]);
    let mut stage = Stage::new(100, 24, script);
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.keys("/regen<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("branch 2/2") && shown.contains("second") && !shown.contains("│ first"), "{shown}");
    stage.keys("<Tab><Tab><Left>");
    assert!(stage.draw().contains("branch 1/2"));
}

#[test]
fn a_thought_is_folded_to_a_line_and_a_key_shows_it() {
    let steps = ["<think>\n", "They ask ", "why. ", "</think>\n\n", "Because."].map(Step::text);
    let mut stage = Stage::new(80, 24, FakeWorker::new().reply(steps));
    stage.keys("Why?<Enter>");
    stage.pump_tokens(3);
    let shown = stage.draw();
    assert!(shown.contains("▸ thinking: 1 word ·") && !shown.contains("They ask"), "{shown}");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("▸ thought for 3 words · Alt-T shows it") && shown.contains("Because."), "{shown}");
    assert!(!shown.contains("They ask") && !shown.contains("think>"), "{shown}");
    stage.keys("<Alt-T>");
    let shown = stage.draw();
    assert!(shown.contains("│ They ask why.") && shown.contains("Because.") && !shown.contains("think>"), "{shown}");
    stage.keys("/think hide<Enter>");
    assert!(!stage.draw().contains("They ask"));
}

#[test]
fn a_thought_that_the_template_opens_is_folded_in_a_chat_and_in_variants() {
    let opened = || Step::OpenThought("<think>\n".into());
    let steps = ["They ask ", "why.\n", "</think>\n\n", "Because."].map(|text| Step::Token(text.into()));
    let script = FakeWorker::new().reply([opened()].into_iter().chain(steps.clone()));
    let script = script.variants([[opened()].into_iter().chain(steps).collect(), vec![Step::text("So.</think>Yes.")]]);
    let mut stage = Stage::new(100, 24, script);
    stage.keys("Why?<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("▸ thought for 3 words · Alt-T shows it") && shown.contains("Because."), "{shown}");
    assert!(!shown.contains("They ask") && !shown.contains("think>"), "{shown}");
    stage.keys("/compare 2<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("▸ thought for 3 words") && shown.contains("Yes."), "{shown}");
    assert!(!shown.contains("think>"), "{shown}");
}

#[test]
fn a_message_that_is_not_in_the_prompt_is_marked_and_a_folded_system_message_told_once() {
    let adapted = |uncounted: &[usize]| Step::Adapt(Adaptation { folds_system: true, uncounted: uncounted.to_vec() });
    let script = FakeWorker::new()
        .reply([Step::Finish(FinishReason::Cancelled)])
        .reply([adapted(&[1]), Step::text("Two.")])
        .reply([adapted(&[1]), Step::text("Three.")])
        .reply([Step::text("Four.")]);
    let mut stage = Stage::new(110, 40, script);
    stage.keys("/system Be brief.<Enter>");
    for question in ["One?", "Two?", "Three?"] {
        stage.keys(&format!("{question}<Enter>"));
        stage.pump_to_end();
    }
    let shown = stage.draw();
    assert_eq!(shown.matches("you · not in the prompt").count(), 1, "{shown}");
    let notes_with = |words: &str| stage.app.notes().iter().filter(|note| note.text.contains(words)).count();
    assert_eq!(notes_with("no place for a system message"), 1);
    assert_eq!(notes_with("a message without an answer is not in the prompt"), 1);
    stage.keys("Four?<Enter>");
    stage.pump_to_end();
    assert!(!stage.draw().contains("you · not in the prompt"), "every prompt is told anew");
}

#[test]
fn an_empty_thought_leaves_no_trace() {
    let script = FakeWorker::new().reply([Step::text("<think>\n\n</think>\n\nFour.")]);
    let mut stage = Stage::new(80, 24, script);
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("Four.") && !shown.contains("thought for") && !shown.contains("think>"), "{shown}");
}

#[test]
fn the_reason_for_the_end_is_told() {
    for (reason, text) in [
        (FinishReason::StopString("###".into()), "stop text \"###\""),
        (FinishReason::Length, "length"),
        (FinishReason::Context, "the context is full"),
    ] {
        let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::text("Well"), Step::Finish(reason)]));
        stage.keys("Q<Enter>");
        stage.pump_to_end();
        let shown = stage.draw();
        assert!(shown.contains(text), "{shown}");
    }
}

#[test]
fn turning_a_parameter_reshapes_the_next_token_after_the_end_without_a_reply() {
    let mut stage = Stage::new(120, 30, FakeWorker::new().reply([Step::text("Paris")]));
    stage.keys("Where?<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("kept 100.0 %") && shown.contains("river"), "{shown}");
    stage.asked();
    stage.keys("/set top-k 2<Enter>");
    match &stage.asked()[..] {
        [EngineCommand::Preview { sampling, .. }] => assert_eq!(sampling.top_k, 2),
        other => panic!("{other:?}"),
    }
    stage.pump_to_end();
    let shown = stage.draw();
    let row = |word: &str| shown.lines().find(|line| line.contains(word)).unwrap().to_owned();
    // What is cut names the filter; what is left shares the mass.
    assert!(row("banks").contains(" 10.0  top-k ░"), "{shown}");
    assert!(row("Seine").contains(" 60.0   66.7 ▇▇▇"), "{shown}");
    assert!(shown.contains("kept 90.0 %"), "{shown}");
}
