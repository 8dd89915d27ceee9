//! The conversation as a heat map.

use ratatui::style::{Color, Modifier, Style};

use super::stage::Stage;
use crate::settings::Heat;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{EngineCommand, EngineEvent, TokenTrace};

fn said() -> FakeWorker {
    FakeWorker::new().reply([Step::text("one two three")])
}

fn asked(width: u16, height: u16, theme: Theme) -> Stage {
    let mut stage = Stage::unloaded(width, height, said(), theme);
    stage.start();
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.asked();
    stage
}

/// What the first cell of a text below the title looks like: its colour and its modifiers.
fn style_of(stage: &mut Stage, text: &str) -> (Color, Modifier) {
    let buffer = stage.buffer();
    let (width, letters) = (usize::from(buffer.area.width), text.chars().map(String::from).collect::<Vec<_>>());
    let reads =
        |cells: &&[ratatui::buffer::Cell]| cells.iter().zip(&letters).all(|(cell, letter)| cell.symbol() == letter);
    let rows = buffer.content().chunks(width).collect::<Vec<_>>();
    let found = rows.iter().skip(1).find_map(|row| row.windows(letters.len()).find(reads));
    look(found.unwrap_or_else(|| panic!("{text} is not on screen"))[0].style())
}

fn look(style: Style) -> (Color, Modifier) {
    (style.fg.unwrap_or_default(), style.add_modifier)
}

fn token(stage: &Stage, text: &str, probability: f32) -> EngineEvent {
    let id = stage.app.generation().unwrap().id;
    let (text, logprob, candidates) = (text.to_owned(), probability.ln(), Vec::new());
    let trace =
        TokenTrace { token: 1, text, logprob, entropy: 1.0, rank: 0, kept_mass: 1.0, candidates, picked: false };
    EngineEvent::Token { id, trace, context_used: 9 }
}

#[test]
fn a_key_goes_from_one_measure_to_the_next_and_a_line_says_what_the_styles_mean() {
    let mut stage = asked(100, 30, Theme::new(true));
    for (legend, name) in [
        ("probability <2% <10% <40% <80% ≥80%", "probability"),
        ("rank >10 6–10 3–5 2 1", "rank"),
        ("entropy >4.0 >2.5 >1.2 >0.4 ≤0.4 nats", "entropy"),
    ] {
        stage.keys("<F6>");
        let shown = stage.draw();
        assert!(shown.contains(legend) && shown.contains(&format!("heat map: {name}")), "{shown}");
        assert!(shown.contains("one two three"), "{shown}");
    }
    stage.keys("<F6>");
    let shown = stage.draw();
    assert!(shown.contains("heat map: off") && !shown.contains("≤0.4 nats"), "{shown}");
    stage.keys("/heat rank<Enter>");
    assert!(stage.draw().contains("rank >10"));
    stage.keys("/heat cold<Enter>");
    assert!(stage.draw().contains("heat wants off, probability, rank, entropy, not `cold`"));
    stage.keys("/save<Enter>");
    assert_eq!(stage.memory.saved.as_ref().map(|settings| settings.ui.heat), Some(Heat::Rank));
}

#[test]
fn each_token_is_drawn_as_sure_as_it_was_while_it_comes_and_afterwards() {
    let theme = Theme::new(true);
    let script = FakeWorker::new().reply([Step::Hold]);
    let mut stage = Stage::unloaded(60, 24, script, theme);
    stage.start();
    stage.keys("<F6>Q<Enter>");
    for (text, probability) in [("sure", 0.9), (" likely", 0.5), (" <so", 0.2), (" rare", 0.05), (" never", 0.001)] {
        let event = token(&stage, text, probability);
        stage.feed(event);
        stage.draw();
    }
    for (text, level) in [("sure", 4), ("likely", 3), ("<so", 2), ("rare", 1), ("never", 0)] {
        assert_eq!(style_of(&mut stage, text), look(theme.sureness(level)), "{text}");
    }
    // Over many rows, too, and without being broken anew.
    for _ in 0..30 {
        let event = token(&stage, " twelve chars", 0.001);
        stage.feed(event);
        stage.draw();
    }
    let event = token(&stage, " end", 0.9);
    stage.feed(event);
    assert_eq!(style_of(&mut stage, "end"), look(theme.sureness(4)));
    assert_eq!(style_of(&mut stage, "twelve"), look(theme.sureness(0)));
    stage.release();
    stage.pump_to_end();
    stage.keys("<F6><F6><F6>");
    assert_eq!(style_of(&mut stage, "twelve"), (Color::Reset, Modifier::empty()));
}

#[test]
fn levels_are_told_apart_without_colours() {
    let theme = Theme::new(false);
    let modifiers: Vec<Modifier> = (0..5).map(|level| theme.sureness(level).add_modifier).collect();
    for (at, one) in modifiers.iter().enumerate() {
        assert!(!modifiers[..at].contains(one), "{modifiers:?}");
    }
    let mut stage = asked(100, 30, theme);
    stage.keys("<F6>");
    assert_eq!(style_of(&mut stage, "three").1, theme.sureness(3).add_modifier, "e^-0.5 of it");
}

#[test]
fn what_is_not_known_is_plain_and_scored_when_asked_for() {
    let mut stage = asked(100, 30, Theme::new(true));
    stage.keys("/heat rank<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("you · not scored: /score rates it"), "{shown}");
    assert_eq!(shown.matches("not scored").count(), 1, "the reply is known");
    stage.keys("/score<Enter>");
    assert!(matches!(stage.asked()[..], [EngineCommand::ScorePrompt { .. }]));
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(!shown.contains("not scored"), "{shown}");
    let theme = stage.screen.theme;
    assert_eq!(style_of(&mut stage, "Q"), look(theme.sureness(0)));
}

#[test]
fn a_thought_is_shown_as_it_was_said() {
    let steps = ["<think>\n", "hm", "\n</think>\n\n", "Four"].map(|text| Step::Token(text.into()));
    let mut stage = Stage::new(100, 30, FakeWorker::new().reply(steps));
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.keys("<F6>");
    let shown = stage.draw();
    assert!(shown.contains("<think>") && shown.contains("hm") && shown.contains("Four"), "{shown}");
}

#[test]
fn it_can_be_on_from_the_start_and_on_any_screen() {
    let mut start = crate::app::Start { seed: 1, ..crate::app::Start::default() };
    start.settings.ui.heat = Heat::Entropy;
    let mut stage = Stage::with_start(40, 10, said(), Theme::new(true), start);
    assert!(stage.draw().contains("entropy >4.0"), "{}", stage.draw());
    stage.start();
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    for (width, height) in [(30, 8), (40, 10), (80, 24), (120, 40)] {
        stage.resize(width, height);
        let shown = stage.draw();
        assert!(height < 10 || shown.contains("one two three"), "{shown}");
    }
}
