//! A comparison: its lanes grow side by side, part, and one is kept.

use ratatui::style::Modifier;

use super::stage::Stage;
use crate::app::keymap::{BINDINGS, Context, KeyPress};
use crate::chat::MessageState;
use crate::store::StoreOp;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{EngineCommand, EngineEvent, FinishReason};

const VARIANTS: [&str; 3] = [
    "The capital of France is Paris, on the Seine.",
    "The capital of France is Paris, as everybody knows.",
    "The heart of France beats in Paris.",
];

fn script() -> FakeWorker {
    let variants = VARIANTS.map(|text| vec![Step::text(text)]);
    FakeWorker::new().reply([Step::text("Paris.")]).variants(variants)
}

/// A question that was answered, and is being compared.
fn comparing(width: u16, height: u16, command: &str) -> Stage {
    let mut stage = Stage::new(width, height, script());
    stage.keys("What is the capital of France?<Enter>");
    stage.pump_to_end();
    stage.keys(&format!("{command}<Enter>"));
    stage.asked();
    stage
}

fn pump_variant_tokens(stage: &mut Stage, count: usize) {
    for _ in 0..count {
        stage.pump(|event| matches!(event, EngineEvent::VariantToken { .. }));
    }
}

fn path(stage: &Stage) -> Vec<&str> {
    stage.app.transcript().path().iter().map(|node| node.message.content.as_str()).collect()
}

#[test]
fn variants_grow_side_by_side() {
    let mut stage = comparing(120, 20, "/compare");
    pump_variant_tokens(&mut stage, 14);
    insta::assert_snapshot!(stage.draw());
}

#[test]
fn every_key_that_is_bound_in_a_comparison_does_something_there() {
    for row in BINDINGS.iter().filter(|row| row.context == Context::Lanes) {
        let mut stage = comparing(120, 20, "/compare");
        stage.pump_to_end();
        let press = KeyPress::parse(row.keys[0]).unwrap();
        let (screen, now) = (&mut stage.screen, stage.now);
        assert!(screen.compare(&mut stage.app, row.action, press, now).is_some(), "{:?}", row.action);
    }
}

#[test]
fn variants_that_have_ended_at_120x24_and_80x24() {
    for (name, width) in [("wide", 120), ("narrow", 80)] {
        let mut stage = comparing(width, 24, "/compare");
        stage.pump_to_end();
        insta::assert_snapshot!(format!("variants_that_have_ended_{name}"), stage.draw());
    }
}

#[test]
fn one_variant_at_a_time_where_the_screen_is_small() {
    let mut stage = comparing(40, 10, "/compare precise temp=1.2");
    stage.pump_to_end();
    insta::assert_snapshot!(stage.draw());
    stage.keys("<Right>");
    assert!(stage.draw().contains("▸2 temperature 1.20"));
}

#[test]
fn four_variants_stand_in_two_rows_on_a_narrow_screen() {
    let mut stage = comparing(80, 24, "/compare 4");
    stage.pump_to_end();
    let shown = stage.draw();
    let rows: Vec<&str> = shown.lines().filter(|row| row.contains(" seed ")).collect();
    assert!(rows.len() == 2 && rows[0].contains("1 seed") && rows[0].contains("2 seed"), "{shown}");
    for (width, height) in [(30, 8), (31, 40), (200, 9), (52, 13), (60, 60)] {
        stage.resize(width, height);
        stage.draw();
    }
}

#[test]
fn where_a_variant_parts_is_seen_without_colours_and_what_all_say_is_faint() {
    let mut stage = Stage::unloaded(120, 24, script(), Theme::new(false));
    let effects = stage.app.start();
    stage.carry_out(effects);
    stage.pump_to_end();
    stage.keys("What is the capital of France?<Enter>");
    stage.pump_to_end();
    stage.keys("/compare<Enter>");
    stage.pump_to_end();
    let buffer = stage.buffer();
    let shown = stage.draw();
    assert!(shown.contains("The▸capital of France is Paris,▸on"), "{shown}");
    assert!(shown.contains("The▸heart"), "{shown}");
    assert!(shown.contains("parts at token 2 from 3, at token"), "{shown}");
    let modifier_at = |text: &str, within: usize| {
        let (y, row) = shown.lines().enumerate().find(|(_, row)| row.contains(text)).unwrap();
        let column = row[..row.find(text).unwrap()].chars().count() - 1 + within;
        buffer[(column as u16, y as u16)].modifier
    };
    assert!(modifier_at("The▸capital", 0).contains(Modifier::DIM));
    assert!(modifier_at("▸capital of", 1).contains(Modifier::REVERSED));
    assert!(!modifier_at("France is Paris", 0).intersects(Modifier::DIM | Modifier::REVERSED));
}

#[test]
fn a_variant_is_chosen_by_arrows_or_by_number_and_kept_by_enter() {
    let mut stage = comparing(120, 24, "/compare");
    stage.pump_to_end();
    let question = "What is the capital of France?";
    stage.keys("<Right>");
    assert_eq!(path(&stage), [question, VARIANTS[1]]);
    stage.keys("<Left><Left>");
    assert_eq!(path(&stage), [question, VARIANTS[2]], "round the end");
    stage.keys("1");
    assert!(stage.draw().contains("▸1 balanced"));
    stage.keys("9x<Ctrl-N>");
    assert!(stage.app.comparison().is_some() && stage.screen.composer.is_empty(), "other keys do nothing");
    stage.keys("2<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("lane 2 (precise) is kept") && shown.contains("branch 3/4"), "{shown}");
    assert!(shown.contains("as everybody knows.") && !shown.contains("parts at"), "{shown}");
    let saved = stage.memory.stored.iter().rev().find_map(|op| match op {
        StoreOp::PutSession(record) => Some(record.head),
        _ => None,
    });
    assert_eq!(saved, Some(stage.app.transcript().head()));
    stage.keys("<Ctrl-T>");
    assert!(stage.draw().contains("Token 9 of 9"), "the tokens of the lane that was kept");
}

#[test]
fn escape_stops_every_variant_and_then_leaves_with_all_of_them_kept() {
    let held = [vec![Step::text("one"), Step::Hold], vec![Step::text("two"), Step::Hold]];
    let mut stage = Stage::new(80, 24, FakeWorker::new().variants(held));
    stage.keys("/compare precise creative -- A question<Enter>");
    pump_variant_tokens(&mut stage, 2);
    stage.keys("<Esc>");
    assert!(stage.draw().contains("stopping"));
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("stop: stopped") && shown.contains("Esc leave"), "{shown}");
    stage.keys("<Esc>");
    assert_eq!(path(&stage), ["A question", "one"]);
    let nodes = stage.app.transcript().nodes();
    assert!(nodes[1..].iter().all(|node| node.state == MessageState::Cut) && nodes.len() == 3);
    stage.keys("/branch 2<Enter>");
    assert!(stage.draw().contains("two"));
}

#[test]
fn enter_on_the_way_lets_the_variant_go_on_alone() {
    let variants = [vec![Step::text("one"), Step::Hold], vec![Step::text("two"), Step::Hold, Step::text(" and more")]];
    let mut stage = Stage::new(100, 24, FakeWorker::new().variants(variants));
    stage.keys("/compare 2 -- A question<Enter>");
    pump_variant_tokens(&mut stage, 2);
    stage.keys("2<Enter>");
    assert!(stage.draw().contains("lane 2 goes on alone and is kept"));
    // The first lane may take one of them before it sees that it is to stop.
    stage.release();
    stage.release();
    stage.pump_to_end();
    assert!(stage.app.comparison().is_none());
    assert_eq!(path(&stage), ["A question", "two and more"]);
}

#[test]
fn what_was_being_written_and_the_question_stay() {
    let mut stage = comparing(80, 24, "/compare precise creative");
    stage.pump_to_end();
    stage.keys("<F1>");
    assert!(stage.draw().contains("Keys and commands"));
    stage.keys("<Esc>");
    assert!(stage.app.comparison().is_some(), "Esc was for the list of keys");
    stage.keys("<Enter>and on");
    assert_eq!(stage.screen.composer.text(), "and on");
}

#[test]
fn a_variant_is_scrolled_by_itself() {
    let long = (0..80).map(|at| format!("word{at} ")).collect::<String>();
    let variants = [vec![Step::text(long.as_str())], vec![Step::text(long.as_str())]];
    let mut stage = Stage::new(60, 14, FakeWorker::new().variants(variants));
    stage.keys("/compare 2 -- A question<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("word79") && !stage.draw().contains("word0 "));
    stage.keys("<Home>");
    let shown = stage.draw();
    assert!(shown.contains("word0 ") && shown.contains("word79") && shown.contains("more"), "{shown}");
    stage.keys("<Down><PgDn><End>");
    assert!(!stage.draw().contains("word0 "));
}

#[test]
fn variants_are_asked_for_from_one_prompt() {
    let mut stage = Stage::new(80, 24, script());
    stage.keys("/compare<Enter>");
    assert!(stage.draw().contains("there is no question to answer yet"));
    stage.keys("/compare presise -- Hi<Enter>");
    assert!(stage.draw().contains("`presise` is no lane"));
    assert_eq!(stage.screen.composer.text(), "/compare presise -- Hi", "to be put right");
    stage.keys("<Ctrl-U>/compare cr");
    assert!(stage.draw().contains("creative"), "presets are completed");
    stage.keys("eative -- Hi<Enter>");
    let asked = stage.asked();
    let Some(EngineCommand::Compare { variants, .. }) = asked.last() else { panic!("{asked:?}") };
    assert_eq!(variants.iter().map(|variant| variant.sampling.temperature).collect::<Vec<_>>(), [0.8, 1.1]);
    stage.pump(|event| matches!(event, EngineEvent::VariantFinished { reason: FinishReason::EndOfTurn, .. }));
}

#[test]
fn what_variants_say_is_markdown_and_their_thoughts_are_folded() {
    let variants = [
        vec![Step::text("<think>\nShort or long?\n</think>\nA **bold** word\n\n- an item")],
        vec![Step::text("A `code` word")],
    ];
    let mut stage = Stage::new(100, 20, FakeWorker::new().variants(variants));
    stage.keys("/compare 2 -- A question<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("bold") && !shown.contains("**") && shown.contains("• an item"), "{shown}");
    assert!(shown.contains("▸ thought for 3 words") && !shown.contains("Short or long?"), "{shown}");
    stage.keys("<F4>");
    assert!(stage.draw().contains("A **bold** word"));
    stage.keys("<F4><Alt-T>");
    assert!(stage.draw().contains("│ Short or long?"), "{}", stage.draw());
}

#[test]
fn what_a_variant_has_said_is_not_rendered_again() {
    let mut work = Vec::new();
    for paragraphs in [20, 80] {
        let variant = || (0..paragraphs).map(|at| Step::Token(format!("Paragraph {at} is **here**.\n\n")));
        let variants = [variant().collect::<Vec<_>>(), variant().collect()];
        let mut stage = Stage::new(100, 20, FakeWorker::new().variants(variants));
        stage.keys("/compare 2 -- A question<Enter>");
        while stage.app.comparison().unwrap().is_running() {
            stage.pump(|_| true);
            stage.draw();
        }
        let former = stage.screen.variants.work();
        stage.draw();
        assert_eq!(stage.screen.variants.work(), former, "a frame without news renders nothing");
        work.push(former);
    }
    // A token lays out the block that it is in, and at most the one before.
    assert!(work[1] <= 4 * work[0] + 8 && work[0] >= 40, "{work:?}");
}
