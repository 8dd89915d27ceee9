//! An answer that comes once its chat is no longer open finds nobody.

use super::super::Outcome;
use super::*;
use crate::chat::{Message, Transcript};
use crate::worker::protocol::{ContextParts, Distribution, PromptToken};

/// A chat as the store gives it; ids of messages begin at 0 in each.
fn saved_chat(id: i64, texts: &[&str]) -> (SessionRecord, Transcript) {
    let mut transcript = Transcript::default();
    for (at, text) in texts.iter().enumerate() {
        let role = if at % 2 == 0 { Role::User } else { Role::Assistant };
        transcript.append(Message::new(role, *text), MessageState::Complete);
    }
    (SessionRecord { id: SessionId(id), head: transcript.head(), ..SessionRecord::default() }, transcript)
}

fn open(machine: &mut Machine, chat: (SessionRecord, Transcript)) -> Vec<Effect> {
    machine.app.on_outcome(Outcome::SessionOpened(Ok(chat)), machine.now)
}

/// The request that the effects open last.
fn request(effects: &[Effect]) -> RequestId {
    let mut ids = effects.iter().filter_map(|effect| match effect {
        Effect::Submit(command) => command.request(),
        _ => None,
    });
    ids.next_back().unwrap_or_else(|| panic!("nothing is asked: {effects:?}"))
}

fn scores(id: RequestId, words: &[&str]) -> EngineEvent {
    let mut start = 0;
    let token = |(at, word): (usize, &&str)| {
        let range = start..start + word.len();
        start = range.end;
        PromptToken { token: at as u32, text: (*word).to_owned(), score: None, content: Some((0, range)) }
    };
    EngineEvent::PromptScored { id, tokens: words.iter().enumerate().map(token).collect(), context_used: 77 }
}

#[test]
fn scores_of_a_chat_that_was_left_are_not_filed_under_another() {
    let mut machine = Machine::new();
    open(&mut machine, saved_chat(1, &["a long one", "its answer"]));
    let id = request(&machine.enter("/score"));
    assert!(machine.app.scoring().is_some());
    let effects = open(&mut machine, saved_chat(2, &["short", "yes"]));
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Submit(EngineCommand::Cancel { .. }))),
        "the engine need not go on: {effects:?}"
    );
    assert!(machine.app.scoring().is_none());
    machine.app.on_event(scores(id, &["a", " long", " one"]), machine.now);
    let sections = machine.app.sections();
    assert!(sections.iter().all(|section| section.tokens.is_empty() && !section.is_known), "{sections:?}");
    assert_eq!(machine.app.context().0, 0);
    // Those of the chat that is open are its own.
    let id = request(&machine.enter("/score"));
    machine.app.on_event(scores(id, &["short"]), machine.now);
    assert_eq!(machine.app.sections()[0].tokens.len(), 1);
}

#[test]
fn no_late_answer_changes_the_chat_that_is_open() {
    let leave: [fn(&mut Machine) -> Vec<Effect>; 3] = [
        |machine| machine.enter("/new"),
        |machine| machine.enter("/delete"),
        |machine| open(machine, saved_chat(2, &["short", "yes"])),
    ];
    for leave in leave {
        let mut machine = Machine::new();
        machine.say("Q", "A");
        let prompt = request(&machine.enter("/prompt"));
        let tokens = request(&machine.enter("/tokens x"));
        let preview = request(&machine.enter("/top-k 3"));
        machine.app.on_draft("a draft", machine.now);
        machine.now.at += Duration::from_secs(1);
        let effects = machine.app.tick(machine.now);
        let prefilling: Vec<RequestId> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Submit(command) => command.request(),
                _ => None,
            })
            .collect();
        assert_eq!(prefilling.len(), 2, "{effects:?}");
        let effects = leave(&mut machine);
        assert!(
            effects.iter().any(|effect| matches!(effect, Effect::Submit(EngineCommand::Cancel { .. }))),
            "the draft is read no further"
        );
        let notes = machine.app.notes().len();
        let counted = |id| EngineEvent::Counted {
            id,
            text: "late".to_owned(),
            tokens: vec![1],
            pieces: vec!["late".to_owned()],
            dropped: Vec::new(),
        };
        let distribution = Distribution { entropy: 1.0, kept_mass: 1.0, candidates: Vec::new() };
        let parts = ContextParts { system: 3, turns: 40, context: 8192, ..ContextParts::default() };
        for event in [
            counted(prompt),
            counted(tokens),
            EngineEvent::Distribution { id: preview, distribution },
            EngineEvent::Measured { id: prefilling[0], parts },
            EngineEvent::Prefilled { id: prefilling[1], reused: 0, done: 9, total: 9 },
            EngineEvent::Failed { id: prompt, error: "twice".to_owned() },
        ] {
            machine.app.on_event(event, machine.now);
        }
        assert_eq!(machine.app.notes().len(), notes, "{:?}", machine.app.notes());
        let used = machine.app.context_use();
        assert_eq!((used.system, used.turns, machine.app.next_token()), (0, 0, None));
        // The chat that is open is looked at as any is.
        machine.app.on_draft("a draft", machine.now);
        machine.now.at += Duration::from_secs(1);
        assert!(!machine.app.tick(machine.now).is_empty());
    }
}

#[test]
fn a_chat_begins_with_nothing_of_the_one_before_it() {
    let mut machine = Machine::new();
    machine.say("Q", "A");
    machine.enter("/begin Sure,");
    machine.enter("/regen");
    machine.app.handle(Action::Stop, machine.now);
    machine.finish(FinishReason::Cancelled);
    machine.enter("/undo");
    assert!(machine.app.hint().is_some());
    let numbers: Vec<u64> = machine.app.notes().iter().map(|note| note.number).collect();
    open(&mut machine, saved_chat(2, &["short", "yes"]));
    let app = &machine.app;
    assert!(app.notes().is_empty() && app.hint().is_none() && app.begin().is_none() && app.editing().is_none());
    assert!(app.last_summary().is_none() && app.next_token().is_none() && app.generation().is_none());
    machine.enter("/redo");
    assert_eq!(machine.last_note(), "nothing was taken back that could come again");
    let number = machine.app.notes()[0].number;
    assert!(numbers.iter().all(|before| *before < number), "notes are counted on");
}

#[test]
fn a_model_that_comes_while_another_is_asked_for_is_the_one_there_is() {
    let mut machine = Machine::new();
    let load = |effects: Vec<Effect>| {
        let id = effects.iter().find_map(|effect| match effect {
            Effect::LoadModel { id, .. } => Some(*id),
            _ => None,
        });
        id.expect("a model is asked for")
    };
    let first = load(machine.enter("/model one"));
    let second = load(machine.enter("/model two"));
    let one = gibber_engine::load::ModelInfo { name: "One".to_owned(), ..sample_model() };
    machine.app.on_event(EngineEvent::Loaded { id: first, model: Box::new(one) }, machine.now);
    assert!(machine.app.loading().is_some_and(|loading| loading.name == "two"));
    machine.app.on_event(EngineEvent::Failed { id: second, error: "two is broken".to_owned() }, machine.now);
    assert_eq!(machine.app.model().map(|model| model.name.as_str()), Some("One"), "the engine has it");
    assert!(machine.app.loading().is_none());
}

#[test]
fn a_chat_that_cannot_be_opened_now_shows_nothing_of_another() {
    let mut machine = Machine::new();
    machine.say("Q", "A");
    machine.enter("/undo");
    machine.enter("R");
    machine.app.handle(Action::ChooseFound(SessionId(2), crate::chat::MessageId(1)), machine.now);
    open(&mut machine, saved_chat(2, &["short", "yes"]));
    assert!(machine.app.hint().is_some_and(|hint| hint.contains("a reply is running")));
    assert_eq!((machine.path(), machine.app.revealed()), (vec!["R"], None));
}

#[test]
fn the_context_at_the_end_of_a_reply_is_what_it_was_with_its_last_token() {
    let mut machine = Machine::new();
    machine.enter("Q");
    machine.token("A", 1);
    assert_eq!(machine.app.context().0, 10);
    // The cache does without a token that nothing is drawn after.
    let (id, reason, stats) = (machine.id(), FinishReason::Length, GenerationStats::default());
    machine.app.on_event(EngineEvent::Finished { id, reason, stats, context_used: 9 }, machine.now);
    assert_eq!(machine.app.context().0, 10);
    machine.enter("/stats");
    assert!(machine.last_note().contains(" 10 / "), "{}", machine.last_note());
}

#[test]
fn that_a_reply_is_running_is_said_no_longer_than_it_runs() {
    let mut machine = Machine::new();
    machine.enter("Q");
    for line in ["/new", "another question"] {
        machine.enter(line);
        assert!(machine.app.hint().is_some_and(|hint| hint.contains("a reply is running")), "{line}");
    }
    machine.token("A", 1);
    assert!(machine.app.hint().is_some());
    machine.finish(FinishReason::EndOfTurn);
    assert_eq!(machine.app.hint(), None);
    machine.enter("/undo");
    let said = machine.app.hint().map(str::to_owned);
    assert!(said.is_some_and(|hint| hint.contains("/redo")), "what stays true stays");
}

#[test]
fn esc_stops_what_waits_for_a_template_as_well() {
    let mut machine = Machine::new();
    let asked = machine.enter("/prompt");
    let Some(Effect::Submit(EngineCommand::Count { id, .. })) = asked.last() else { panic!("{asked:?}") };
    let cancels = |effects: &[Effect]| {
        effects.iter().any(|effect| matches!(effect, Effect::Submit(EngineCommand::Cancel { id: of }) if of == id))
    };
    assert!(machine.app.is_counting());
    let effects = machine.app.handle(Action::Interrupt, machine.now);
    assert!(cancels(&effects) && !machine.app.quit_armed(), "{effects:?}");
    assert!(cancels(&machine.app.handle(Action::Stop, machine.now)));
    machine.app.on_event(EngineEvent::Failed { id: *id, error: "stopped".to_owned() }, machine.now);
    assert!(!machine.app.is_counting() && !cancels(&machine.app.handle(Action::Stop, machine.now)));
}
