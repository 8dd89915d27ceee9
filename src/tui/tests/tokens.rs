//! The conversation as tokens.

use super::stage::Stage;
use crate::chat::provenance::Passage;
use crate::chat::{Message, MessageState, Provenance, Role, Transcript};
use crate::store::{SessionId, SessionRecord};
use crate::worker::fake::{FakeWorker, Step, sample_model};
use crate::worker::protocol::{EngineCommand, EngineEvent, Prompt};
use gibber_engine::SamplingParams;

/// The last message of the prompt that was asked to be gone on with.
fn gone_on_with(stage: &Stage) -> String {
    let asked = stage.asked();
    let text = |command: &EngineCommand| match command {
        EngineCommand::Generate { prompt: Prompt::Chat { messages, .. }, .. } => {
            messages.last().map(|message| message.content.clone())
        }
        _ => None,
    };
    asked.iter().find_map(text).unwrap_or_else(|| panic!("{asked:?}"))
}

fn answered(width: u16, height: u16, script: FakeWorker) -> Stage {
    let mut stage = Stage::new(width, height, script);
    stage.keys("What is it?<Enter>");
    stage.pump_to_end();
    stage.asked();
    stage
}

fn words() -> FakeWorker {
    FakeWorker::new().reply([Step::text("one two three")]).reply([Step::text(" more")]).reply([Step::text(" yet")])
}

/// A chat of an earlier run, opened.
fn opened(script: FakeWorker) -> Stage {
    let mut stage = Stage::new(100, 40, script);
    let mut transcript = Transcript::default();
    transcript.append(Message::new(Role::User, "And of Italy?"), MessageState::Complete);
    transcript.append(Message::new(Role::Assistant, "It is Rome."), MessageState::Complete);
    let (id, head) = (SessionId(1), transcript.head());
    let record = SessionRecord {
        id,
        title: "Capitals".to_owned(),
        model: "m".to_owned(),
        system: "Be brief.".to_owned(),
        head,
        created: 0,
        ..SessionRecord::default()
    };
    stage.memory.sessions = vec![(record, transcript)];
    stage.keys("<Ctrl-O><Enter>");
    stage
}

#[test]
fn a_stored_reply_says_the_sampling_that_is_kept_with_it() {
    let mut stage = Stage::new(100, 40, FakeWorker::new());
    let mut transcript = Transcript::default();
    transcript.append(Message::new(Role::User, "And of Italy?"), MessageState::Complete);
    let reply = transcript.append(Message::new(Role::Assistant, "It is Rome."), MessageState::Complete);
    let sampling = SamplingParams { temperature: 1.25, ..SamplingParams::default() };
    let passage = Passage { sampling: vec![(0, (&sampling).into())], ..Passage::default() };
    transcript.set_provenance(reply, Provenance { passages: vec![passage], ..Provenance::default() });
    let record = SessionRecord { id: SessionId(1), head: transcript.head(), ..SessionRecord::default() };
    stage.memory.sessions = vec![(record, transcript)];
    stage.keys("<Ctrl-O><Enter><Ctrl-T><Enter>");
    stage.pump_to_end();
    stage.keys("<End>");
    let shown = stage.draw();
    assert!(shown.contains("scored, not drawn: drawn before with temperature 1.25"), "{shown}");
}

#[test]
fn an_empty_chat_has_no_tokens() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.keys("<Ctrl-T><Left><Right><Tab><Enter><PgUp><Home>");
    assert!(stage.draw().contains("Nothing has been said yet."));
    stage.keys("<Esc>hello");
    assert_eq!(stage.screen.composer.text(), "hello");
}

#[test]
fn the_tokens_of_a_reply_at_100x30() {
    let mut stage = answered(100, 30, words());
    stage.keys("<Ctrl-T><Left><Down>");
    insta::assert_snapshot!(stage.draw());
    for (width, height) in [(80, 24), (40, 10), (30, 8)] {
        stage.resize(width, height);
        let shown = stage.draw();
        assert!(shown.contains("Token 2 of 3") && shown.contains("rank"), "{width}x{height}:\n{shown}");
    }
}

#[test]
fn the_cursor_walks_over_the_whole_chat_and_what_is_unknown_is_scored_on_enter() {
    let mut stage = answered(100, 40, words());
    stage.keys("<Ctrl-T><Home><Left>");
    let shown = stage.draw();
    assert!(shown.contains("── you · not scored ──") && shown.contains("Enter scores it"), "{shown}");
    assert!(shown.contains("as it was drawn"), "{shown}");
    stage.keys("<Enter>");
    match &stage.asked()[..] {
        [EngineCommand::ScorePrompt { prompt: Prompt::Chat { messages, .. }, from: 0, candidates: 10, .. }] => {
            assert_eq!(messages.len(), 2, "{messages:?}");
        }
        other => panic!("{other:?}"),
    }
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("Token 1 of 3 · you") && shown.contains("scored, not drawn: your words"), "{shown}");
    assert!(shown.contains("rank 12 ·") && shown.contains("  chance") && !shown.contains("after"), "{shown}");
    stage.keys("<Enter>");
    assert!(stage.draw().contains("these are your words: only a reply can go on from here"));
    stage.keys("<Left>");
    let shown = stage.draw();
    assert!(shown.contains("Template, before you") && shown.contains("\"<|user|>\" · the first of all"), "{shown}");
    stage.keys("<Tab>");
    let shown = stage.draw();
    assert!(shown.contains("Token 1 of 3 · Sample"), "{shown}");
    assert!(shown.contains("temperature 0.80") && shown.contains("before   after"), "as it was drawn:\n{shown}");
    stage.keys("<Left>");
    assert!(stage.draw().contains("Template, before Sample"));
    stage.keys("s");
    assert!(stage.draw().contains("every token is scored already"));
    stage.keys("<Shift-Tab>");
    assert!(stage.draw().contains("Token 1 of 3 · you"));

    // The next turn: only what is new is asked for.
    stage.keys("<Esc>Go on<Enter>");
    stage.pump_to_end();
    stage.asked();
    stage.keys("<Ctrl-T>s");
    match &stage.asked()[..] {
        [EngineCommand::ScorePrompt { from: 2, .. }] => {}
        other => panic!("{other:?}"),
    }
    stage.pump_to_end();
}

#[test]
fn scoring_tells_how_far_it_is_and_esc_stops_it() {
    let mut stage = answered(100, 30, words().hold_scoring());
    stage.keys("<Ctrl-T><Shift-Tab><Enter>");
    stage.pump(|event| matches!(event, EngineEvent::PrefillProgress { .. }));
    let shown = stage.draw();
    assert!(shown.contains("scoring 4 of 8 tokens · Esc stops"), "{shown}");
    stage.keys("<Esc>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("not scored yet: Enter") && !shown.contains("scoring 4"), "{shown}");
    stage.keys("<Enter>");
    stage.release();
    stage.pump_to_end();
    assert!(stage.draw().contains("your words"));
    assert!(stage.app.notes().is_empty(), "{:?}", stage.app.notes());
}

#[test]
fn a_question_does_not_wait_for_the_scoring() {
    let mut stage = answered(100, 30, words().hold_scoring());
    stage.keys("<Ctrl-T>s");
    stage.pump(|event| matches!(event, EngineEvent::PrefillProgress { .. }));
    stage.keys("q<Esc>");
    stage.pump_to_end();
    assert!(stage.app.scoring().is_none(), "Esc stops it from anywhere");
    stage.keys("<Ctrl-T>s");
    stage.pump(|event| matches!(event, EngineEvent::PrefillProgress { .. }));
    stage.keys("qNext<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    assert!(stage.draw().contains("more"));
}

#[test]
fn what_was_chosen_counts_when_an_earlier_token_is_changed_after_it() {
    let mut stage = answered(100, 30, words());
    stage.keys("<Ctrl-T><Left><Enter>");
    assert_eq!(gone_on_with(&stage), "one Seine");
    stage.pump_to_end();
    stage.keys("<Ctrl-T>");
    let shown = stage.draw();
    assert!(shown.contains("Token 3 of 3") && shown.contains("one Seine more"), "{shown}");
    stage.keys("<Left><Down><Enter>");
    assert_eq!(gone_on_with(&stage), "one river");
    stage.pump_to_end();
    assert!(stage.draw().contains("one river yet"));
    stage.keys("<Ctrl-T><Home><Enter>");
    assert_eq!(gone_on_with(&stage), " Seine");
    stage.pump_to_end();
}

#[test]
fn a_thought_before_the_token_stays_as_it_is() {
    let steps = ["<think>\n", "hm", "\n</think>\n\n", "Four", "."].map(|text| Step::Token(text.into()));
    let mut stage = answered(100, 30, FakeWorker::new().reply(steps));
    stage.keys("<Ctrl-T><Left><Enter>");
    assert_eq!(gone_on_with(&stage), "<think>\nhm\n</think>\n\n Seine");
    stage.pump_to_end();
}

#[test]
fn a_token_inside_a_character_cannot_be_gone_on_from() {
    let steps = ["Hi ", "", "", "😀", " ok"].map(|text| Step::Token(text.into()));
    let mut stage = answered(100, 30, FakeWorker::new().reply(steps));
    stage.keys("<Ctrl-T><Left>");
    assert!(stage.draw().contains("\"😀\""));
    stage.keys("<Enter>");
    assert!(stage.draw().contains("this token is inside a character"));
    stage.keys("<Ctrl-T><Left><Left><Left>");
    let shown = stage.draw();
    assert!(shown.contains("Token 2 of 5") && shown.contains("\"\" ·"), "{shown}");
    stage.keys("<Enter>");
    assert_eq!(gone_on_with(&stage), "Hi  Seine", "before its first token nothing of it is there");
    stage.pump_to_end();
}

#[test]
fn an_alternative_that_ends_the_reply_ends_it_there() {
    let model = gibber_engine::load::ModelInfo { eos_tokens: vec![1], ..sample_model() };
    let mut stage = answered(100, 30, words().load(Ok(model)));
    stage.keys("<Ctrl-T><Down>");
    let shown = stage.draw();
    assert!(shown.contains("river") && shown.contains("■ ends the reply"), "{shown}");
    stage.keys("<Enter>");
    assert!(stage.app.generation().is_none());
    let head = stage.app.transcript().head_node().unwrap();
    assert_eq!((head.message.content.as_str(), head.state), ("one two", MessageState::Complete));
}

#[test]
fn a_reply_of_an_earlier_run_is_scored_and_gone_on_from() {
    let mut stage = opened(FakeWorker::new().reply([Step::text(" Milan.")]));
    stage.keys("<Ctrl-T>");
    let shown = stage.draw();
    assert!(shown.contains("── system · not scored ──") && shown.contains("Enter scores it"), "{shown}");
    stage.keys("<Enter>");
    stage.pump_to_end();
    stage.keys("<End>");
    let shown = stage.draw();
    assert!(shown.contains("Token 3 of 3 · m ─"), "who wrote it stays: {shown}");
    assert!(shown.contains("scored, not drawn: of a reply whose sampling is not known"), "{shown}");
    stage.asked();
    stage.keys("<Down><Enter>");
    assert_eq!(gone_on_with(&stage), "It is river");
    stage.pump_to_end();
    stage.keys("<Ctrl-T>");
    let shown = stage.draw();
    assert!(shown.contains("It is river Milan.") && shown.contains("scored, its end as it was drawn"), "{shown}");
}

#[test]
fn scores_that_come_late_are_not_shown_in_another_chat() {
    let mut stage = opened(FakeWorker::new().hold_scoring());
    let mut transcript = Transcript::default();
    transcript.append(Message::new(Role::User, "Hi"), MessageState::Complete);
    let record = SessionRecord { id: SessionId(2), title: "Short".to_owned(), ..SessionRecord::default() };
    stage.memory.sessions.push((record, transcript));
    stage.keys("<Ctrl-T>s");
    stage.pump(|event| matches!(event, EngineEvent::PrefillProgress { .. }));
    stage.keys("q<Ctrl-O>Short<Enter>");
    stage.release();
    stage.pump_to_end();
    stage.keys("<Ctrl-T>");
    let shown = stage.draw();
    assert!(shown.contains("not scored yet: Enter") && !shown.contains("Italy"), "{shown}");
    assert!(stage.app.notes().is_empty(), "{:?}", stage.app.notes());
}

#[test]
fn other_settings_make_the_scores_void() {
    let mut stage = opened(FakeWorker::new());
    stage.keys("<Ctrl-T><Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("scored, not drawn"));
    stage.keys("q/template chatml<Enter><Ctrl-T>");
    assert!(stage.draw().contains("not scored yet"), "{}", stage.draw());
}

#[test]
fn without_a_model_it_says_so() {
    let mut stage = Stage::unloaded(100, 30, FakeWorker::new(), crate::tui::theme::Theme::new(true));
    stage.keys("/system Be brief.<Enter><Ctrl-T><Enter>");
    assert!(stage.draw().contains("no model is loaded"), "{}", stage.draw());
}
