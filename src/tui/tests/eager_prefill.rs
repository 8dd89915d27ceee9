//! What is done while a message is being written: read ahead, counted, and shown.

use super::stage::Stage;
use crate::app::Start;
use crate::chat::{Message, MessageState, Role, Transcript};
use crate::settings::Settings;
use crate::store::{SessionId, SessionRecord};
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step, sample_model};
use crate::worker::protocol::{EngineCommand, EngineEvent, Prompt};
use gibber_engine::load::ModelInfo;

/// The last words of each prompt that is to be computed ahead.
fn computed(commands: &[EngineCommand]) -> Vec<String> {
    let last = |prompt: &Prompt| match prompt {
        Prompt::Chat { messages, .. } => messages.last().map_or_else(String::new, |message| message.content.clone()),
        Prompt::Raw(text) => text.clone(),
    };
    let commands = commands.iter().filter_map(|command| match command {
        EngineCommand::Prefill { prompt, .. } => Some(last(prompt)),
        _ => None,
    });
    commands.collect()
}

fn asks_nothing(stage: &mut Stage) {
    stage.pass(10_000);
    assert_eq!(stage.app.deadline(), None, "nothing is due");
}

/// A stage that has looked at its empty chat.
fn settled(script: FakeWorker) -> Stage {
    let mut stage = Stage::new(120, 30, script);
    stage.pass(200);
    stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
    stage.asked();
    stage
}

#[test]
fn a_draft_is_read_ahead_once_after_a_pause_and_an_idle_screen_asks_nothing() {
    let mut stage = settled(FakeWorker::new());
    asks_nothing(&mut stage);
    stage.keys("Hello ");
    stage.pass(100);
    stage.keys("there");
    stage.pass(100);
    assert!(stage.app.deadline().is_some(), "it waits for a pause");
    stage.pass(200);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    assert_eq!(computed(&stage.asked()), ["Hello there"]);
    asks_nothing(&mut stage);
    assert!(stage.draw().contains(" 2 tok · read "), "{}", stage.draw());
}

#[test]
fn a_command_and_blanks_are_not_read_ahead() {
    let mut stage = settled(FakeWorker::new());
    for text in ["/set top-k 2", "<Ctrl-U>   "] {
        stage.keys(text);
        asks_nothing(&mut stage);
        assert!(!stage.draw().contains(" tok "), "{}", stage.draw());
    }
    stage.keys("x");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    assert_eq!(computed(&stage.asked()), ["   x"]);
}

#[test]
fn sending_cancels_what_is_read_ahead() {
    let mut stage = settled(FakeWorker::new().slow_prefill().reply([Step::text("Yes.")]));
    stage.keys("Is it?");
    stage.pass(1000);
    let mut commands = stage.asked();
    while computed(&commands).is_empty() {
        commands.extend(stage.asked());
    }
    let Some(EngineCommand::Prefill { id, .. }) = commands.last() else { panic!("{commands:?}") };
    stage.keys("<Enter>");
    let asked = stage.asked();
    assert!(matches!(&asked[..], [EngineCommand::Cancel { id: of }, ..] if of == id), "at once: {asked:?}");
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    assert!(stage.draw().contains("Yes."));
}

#[test]
fn it_can_be_switched_off_and_waits_where_a_seed_is_set() {
    let mut settings = Settings::default();
    settings.chat.prefill_ahead = false;
    let start = Start { settings, seed: 1, ..Start::default() };
    let mut off = Stage::with_start(120, 30, FakeWorker::new(), Theme::new(true), start);
    off.start();
    let mut seeded = settled(FakeWorker::new());
    seeded.keys("/set seed 7<Enter>");
    for mut stage in [off, seeded] {
        stage.keys("A question");
        stage.pass(1000);
        stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
        assert_eq!(computed(&stage.asked()), Vec::<String>::new());
        assert!(stage.draw().contains(" 2 tok "), "it is counted all the same");
    }
}

#[test]
fn a_chat_that_is_opened_is_read_ahead() {
    let mut stage = settled(FakeWorker::new());
    let mut transcript = Transcript::default();
    transcript.append(Message::new(Role::User, "Q"), MessageState::Complete);
    transcript.append(Message::new(Role::Assistant, "the answer"), MessageState::Complete);
    let record = SessionRecord {
        id: SessionId(4),
        title: "old".into(),
        model: String::new(),
        system: String::new(),
        head: transcript.head(),
        created: 0,
        ..SessionRecord::default()
    };
    stage.memory.sessions.push((record, transcript));
    stage.keys("<Ctrl-O><Enter>");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    assert_eq!(computed(&stage.asked()), ["the answer"]);
    asks_nothing(&mut stage);
}

#[test]
fn the_distribution_on_screen_stays_and_is_reshaped_while_one_writes() {
    let mut stage = settled(FakeWorker::new().reply([Step::text("Paris")]));
    stage.keys("Where?<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    stage.keys("And then");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    assert!(stage.draw().contains("river"));
    stage.keys("<Tab><Down><Shift-Left>");
    stage.pump(|event| matches!(event, EngineEvent::Distribution { .. }));
    assert!(stage.draw().contains("river"));
}

#[test]
fn the_context_is_shown_in_parts_with_what_sending_would_drop() {
    let mut stage = settled(FakeWorker::new().context(40).reply([Step::text("one two three four five six seven")]));
    stage.keys("/system be brief<Enter>a b c d e f g<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    stage.keys("more");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    let shown = stage.draw();
    for part in ["░ system 4", "█ chat 18", "▒ draft  3", "· free 15", " 1 tok ", "context 22+3 / 40"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    stage.keys(" and a good deal more than there is any room for in this small window now");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    let shown = stage.draw();
    assert!(shown.contains("! sending drops 1 turn") && shown.contains("sending drops 1 turn ─"), "{shown}");
    stage.resize(80, 24);
    assert!(stage.draw().contains("−1 turn"), "{}", stage.draw());
    stage.keys(&" word".repeat(40));
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
    assert!(stage.draw().contains("too many to be sent"), "{}", stage.draw());
}

#[test]
fn a_draft_is_counted_while_a_reply_runs() {
    let mut stage = settled(FakeWorker::new().reply([Step::text("one"), Step::Hold, Step::text(" two")]));
    stage.keys("Q<Enter>");
    stage.pump_tokens(1);
    stage.keys("my next question");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
    assert!(stage.app.generation().is_some());
    assert!(stage.draw().contains(" 3 tok "), "{}", stage.draw());
    assert_eq!(computed(&stage.asked()), Vec::<String>::new());
    stage.release();
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
}

#[test]
fn the_context_does_not_fall_back_when_a_reply_ends() {
    let mut stage = settled(FakeWorker::new().reply([Step::text("one two three"), Step::Hold, Step::text(" four")]));
    stage.keys("Q<Enter>");
    stage.pump_tokens(3);
    // Something is measured in the middle of it.
    stage.keys("next");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
    stage.keys("<Ctrl-U>");
    stage.pass(1);
    stage.release();
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    let used = |stage: &Stage| stage.app.context_use().system + stage.app.context_use().turns;
    assert_eq!(used(&stage), 7, "question and reply");
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
    assert!(used(&stage) >= 7);
}

#[test]
fn the_prompt_that_is_shown_is_what_the_model_sees() {
    let long = "a b c d e f g h i j k l m n";
    let script = FakeWorker::new()
        .load(Ok(ModelInfo { context: 40, ..sample_model() }))
        .context(40)
        .reply([Step::text("first")])
        .reply([Step::DropTurns(vec![0, 1]), Step::text("second")]);
    let mut stage = Stage::new(120, 40, script);
    for _ in 0..2 {
        stage.keys(&format!("{long}<Enter>"));
        stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    }
    stage.keys("more of it, and still more<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    stage.keys("/prompt<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Counted { .. }));
    let note = stage.app.notes().last().unwrap().text.clone();
    assert!(note.contains("the model sees (without 2 messages that the context has no room for)"), "{note}");
    assert_eq!(note.matches(long).count(), 1, "{note}");
}

#[test]
fn a_mark_is_taken_back_with_the_next_measure_and_the_next_reply() {
    let dropping = || [Step::DropTurns(vec![0, 1]), Step::text("second")];
    let script = FakeWorker::new().reply([Step::text("first")]).reply(dropping()).reply([Step::text("third")]);
    let mut stage = Stage::new(120, 30, script);
    for _ in 0..2 {
        stage.keys("Q<Enter>");
        stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    }
    let marks = |stage: &mut Stage| stage.draw().matches("no longer seen by the model").count();
    // The note says it as well.
    assert_eq!(marks(&mut stage), 3);
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Measured { .. }));
    assert_eq!(marks(&mut stage), 1, "all of it fits");
    stage.keys("Q<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    assert_eq!(marks(&mut stage), 1, "nothing was left out of the last prompt");
}

/// A stage with a file, that has looked at its empty chat.
fn with_notes() -> Stage {
    let mut stage = settled(FakeWorker::new().reply([Step::text("Yes.")]));
    stage.memory.files.insert("notes.txt".to_owned(), "one two three four\n".to_owned());
    stage
}

const NOTES: &str = "See @notes.txt\n\nnotes.txt:\n```\none two three four\n```";

#[test]
fn a_file_that_the_draft_names_is_read_ahead_and_counted() {
    let mut stage = with_notes();
    stage.keys("See @notes.txt<Esc>");
    stage.pass(200);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    assert_eq!(computed(&stage.asked()), [NOTES]);
    asks_nothing(&mut stage);
    assert!(stage.draw().contains(" 9 tok · read "), "{}", stage.draw());
    stage.keys("<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Finished { .. }));
    assert_eq!(stage.app.transcript().nodes()[0].message.content, NOTES, "it is what is sent");
}

#[test]
fn a_slow_file_keeps_nothing_waiting_and_is_counted_once_it_has_come() {
    let mut stage = with_notes();
    stage.memory.is_slow = true;
    stage.keys("See @notes.txt<Esc>");
    stage.pass(200);
    assert_eq!(stage.memory.drafts, ["See @notes.txt"]);
    stage.pass(1000);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    assert_eq!(computed(&stage.asked()), ["See @notes.txt"], "what is there is read");
    asks_nothing(&mut stage);
    assert_eq!(stage.memory.drafts.len(), 1, "it is asked for once");
    stage.read_drafts();
    stage.pass(200);
    stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
    assert_eq!(computed(&stage.asked()), [NOTES]);
    assert!(stage.draw().contains(" 9 tok · read "), "{}", stage.draw());
}

#[test]
fn a_file_that_cannot_be_sent_is_not_read_ahead() {
    let mut stage = with_notes();
    stage.memory.files.insert("big.txt".to_owned(), "x".repeat(1 << 20));
    stage.memory.files.insert("picture.png".to_owned(), "\0".to_owned());
    for draft in ["See @big.txt", "See @picture.png"] {
        stage.keys(&format!("<Ctrl-U>{draft}<Esc>"));
        stage.pass(200);
        stage.pump(|event| matches!(event, EngineEvent::Prefilled { .. }));
        assert_eq!(computed(&stage.asked()), [draft]);
    }
}
