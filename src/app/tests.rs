//! The state machine alone: actions and events in, effects and state out; no worker, no terminal, no clock.

use std::time::{Duration, Instant};

use super::*;
use crate::app::parameters::ParameterValue;
use crate::chat::{MessageState, Role};
use crate::settings::Settings;
use crate::store::SessionSummary;
use crate::store::StoreOp;
use crate::worker::fake::sample_model;
use crate::worker::protocol::{
    ContextParts, EngineCommand, FinishReason, GenerationStats, Prompt, PromptLookup, TokenTrace,
};

mod late_answers;
mod own_settings;
mod pulls;

struct Machine {
    app: App,
    now: Moment,
}

impl Machine {
    /// With a model that is loaded.
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let now = Moment { at: Instant::now(), unix: 1_790_000_000 };
        let mut app = App::new(Start { settings, seed: 7, ..Start::default() }, now);
        let Some(Effect::LoadModel { id, .. }) = app.start().pop() else { panic!("no model is asked for") };
        app.on_event(EngineEvent::Loaded { id, model: Box::new(sample_model()) }, now);
        Self { app, now }
    }

    fn enter(&mut self, line: &str) -> Vec<Effect> {
        self.app.handle(Action::Enter(line.to_owned()), self.now)
    }

    fn id(&self) -> RequestId {
        self.app.generation().expect("a reply runs").id
    }

    /// A token, this long after what came before it.
    fn token(&mut self, text: &str, after: u64) -> Vec<Effect> {
        self.now.at += Duration::from_millis(after);
        let trace = TokenTrace {
            token: 1,
            text: text.to_owned(),
            logprob: -1.0,
            entropy: 1.0,
            rank: 0,
            kept_mass: 1.0,
            candidates: Vec::new(),
            picked: false,
        };
        let event = EngineEvent::Token { id: self.id(), trace, context_used: 10 };
        self.app.on_event(event, self.now)
    }

    fn finish(&mut self, reason: FinishReason) -> Vec<Effect> {
        let event =
            EngineEvent::Finished { id: self.id(), reason, stats: GenerationStats::default(), context_used: 10 };
        self.app.on_event(event, self.now)
    }

    fn say(&mut self, question: &str, answer: &str) {
        self.enter(question);
        self.token(answer, 10);
        self.finish(FinishReason::EndOfTurn);
    }

    fn last_note(&self) -> &str {
        self.app.notes().last().map_or("", |note| &note.text)
    }

    fn path(&self) -> Vec<&str> {
        self.app.transcript().path().iter().map(|node| node.message.content.as_str()).collect()
    }
}

/// The texts of the messages that are saved.
fn saved(effects: &[Effect]) -> Vec<(&str, MessageState)> {
    let message = |effect| match effect {
        &Effect::Store(StoreOp::PutMessage { ref node, .. }) => Some((node.message.content.as_str(), node.state)),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

fn messages(effects: &[Effect]) -> Vec<(Role, &str)> {
    for effect in effects {
        if let Effect::Submit(EngineCommand::Generate { prompt: Prompt::Chat { messages, .. }, .. }) = effect {
            return messages.iter().map(|message| (message.role, message.content.as_str())).collect();
        }
    }
    panic!("nothing is generated: {effects:?}")
}

#[test]
fn a_question_is_saved_before_it_is_asked() {
    let mut machine = Machine::new();
    let effects = machine.enter("What is the capital of France?\nIn one word.");
    let kinds: Vec<&str> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Store(StoreOp::AppendHistory(_)) => "history",
            Effect::Store(StoreOp::PutSession(record)) => {
                assert_eq!((record.title.as_str(), record.created), ("What is the capital of France?", 1_790_000_000));
                "session"
            }
            Effect::Store(StoreOp::PutMessage { .. }) => "message",
            Effect::Submit(EngineCommand::Generate { .. }) => "generate",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["history", "session", "message", "generate"]);
}

#[test]
fn a_reply_that_grows_is_saved_twice_a_second_and_at_its_end() {
    let mut machine = Machine::new();
    machine.enter("Q");
    assert_eq!(saved(&machine.token("a", 30)), [("a", MessageState::Streaming)]);
    let mut saves = 0;
    for _ in 0..100 {
        saves += saved(&machine.token("b", 20)).len();
    }
    assert_eq!(saves, 4, "two seconds");
    let whole = format!("a{}", "b".repeat(100));
    assert_eq!(saved(&machine.finish(FinishReason::EndOfTurn)), [(whole.as_str(), MessageState::Complete)]);
    assert_eq!(machine.app.deadline(), None);
}

#[test]
fn what_came_before_a_pause_is_saved_without_waiting_for_the_next_token() {
    let mut machine = Machine::new();
    machine.enter("Q");
    machine.token("a", 10);
    machine.token("b", 10);
    let deadline = machine.app.deadline().expect("something is not saved yet");
    assert!(deadline.duration_since(machine.now.at) < Duration::from_millis(500));
    assert!(machine.app.tick(machine.now).is_empty());
    machine.now.at = deadline;
    assert_eq!(saved(&machine.app.tick(machine.now)), [("ab", MessageState::Streaming)]);
    assert_eq!(machine.app.deadline(), None);
}

#[test]
fn events_of_another_request_change_nothing() {
    let mut machine = Machine::new();
    machine.say("Q", "A");
    machine.enter("R");
    let stale = RequestId(machine.id().0 - 1);
    let trace = TokenTrace {
        token: 1,
        text: "stale".into(),
        logprob: 0.0,
        entropy: 0.0,
        rank: 0,
        kept_mass: 1.0,
        candidates: Vec::new(),
        picked: false,
    };
    machine.app.on_event(EngineEvent::Token { id: stale, trace, context_used: 99 }, machine.now);
    machine.app.on_event(EngineEvent::Failed { id: stale, error: "stale".into() }, machine.now);
    assert_eq!(machine.path(), ["Q", "A", "R"]);
    assert!(machine.app.generation().is_some());
    assert!(machine.app.notes().is_empty());
}

#[test]
fn regenerating_makes_a_branch_and_undo_takes_the_turn_back() {
    let mut machine = Machine::new();
    machine.say("Q", "first");
    let effects = machine.enter("/regen");
    assert_eq!(messages(&effects), [(Role::User, "Q")]);
    machine.token("second", 10);
    machine.finish(FinishReason::EndOfTurn);
    assert_eq!(machine.path(), ["Q", "second"]);
    machine.enter("/branch 1");
    assert_eq!(machine.path(), ["Q", "first"]);
    machine.enter("/branch 3");
    assert_eq!(machine.last_note(), "/branch wants a number from 1 to 2, not `3`");
    let effects = machine.enter("/undo");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Screen(OnScreen::Compose(text)) if text == "Q")));
    assert!(machine.path().is_empty());
    assert_eq!(machine.app.transcript().nodes().len(), 3);
}

#[test]
fn regenerating_that_is_stopped_before_a_token_brings_the_former_answer_back() {
    let mut machine = Machine::new();
    machine.say("Q", "A");
    machine.enter("/regen");
    assert_eq!(machine.path(), ["Q"]);
    let effects = machine.app.handle(Action::Stop, machine.now);
    assert!(matches!(&effects[..], [Effect::Submit(EngineCommand::Cancel { .. })]));
    machine.finish(FinishReason::Cancelled);
    assert_eq!(machine.path(), ["Q", "A"]);
}

#[test]
fn a_reply_that_was_cut_is_continued_in_place() {
    let mut machine = Machine::new();
    machine.enter("Q");
    machine.token("one", 10);
    machine.finish(FinishReason::Length);
    let effects = machine.enter("/continue");
    assert_eq!(messages(&effects), [(Role::User, "Q"), (Role::Assistant, "one")]);
    machine.token(" two", 10);
    machine.finish(FinishReason::EndOfTurn);
    assert_eq!(machine.path(), ["Q", "one two"]);
    assert_eq!(machine.app.transcript().nodes().len(), 2);
}

#[test]
fn the_system_message_goes_first_and_stays_for_the_next_chat() {
    let mut machine = Machine::new();
    machine.enter("/system Be brief.");
    assert_eq!(messages(&machine.enter("Q")), [(Role::System, "Be brief."), (Role::User, "Q")]);
    machine.finish(FinishReason::EndOfTurn);
    let former = machine.app.session().id;
    machine.enter("/new");
    assert_ne!(machine.app.session().id, former);
    assert_eq!(messages(&machine.enter("R")), [(Role::System, "Be brief."), (Role::User, "R")]);
    machine.finish(FinishReason::EndOfTurn);
    machine.enter("/system -");
    assert_eq!(machine.app.system(), "");
}

#[test]
fn parameters_are_set_by_every_form_and_refused_with_their_range() {
    let mut machine = Machine::new();
    for line in ["/set temperature 0.5", "/set parameter temperature 0.5", "/temperature 0.5", "/temp 0,5"] {
        machine.app.setup.sampling.set(Parameter::Temperature, ParameterValue::Number(1.0));
        assert_eq!(machine.enter(line).len(), 1, "only the history is written");
        assert_eq!(machine.app.sampling().temperature, 0.5, "{line}");
    }
    machine.enter("/top-k -2");
    assert_eq!(machine.last_note(), "top-k wants a whole number from -1 on, not `-2`");
    machine.enter("/set tempo 1");
    assert!(machine.last_note().starts_with("there is no parameter `tempo` (did you mean `temp`?): it must be"));
    machine.enter("/set top_nsigma 2");
    assert_eq!(machine.app.sampling().top_n_sigma, 2.0);
    for limit in ["-1", "0", "-2"] {
        machine.enter("/set max-tokens 5");
        machine.enter(&format!("/set max-tokens {limit}"));
        assert_eq!(
            (machine.app.settings().chat.max_tokens, machine.last_note()),
            (0, "max-tokens: replies have no limit")
        );
    }
    machine.enter("/set max-tokens -3");
    let refusal = "max-tokens wants a whole number: 1 or more, or -1 (also 0) for no limit, not `-3`";
    assert_eq!(machine.last_note(), refusal);
    machine.enter("/set max-tokens 20");
    assert_eq!(machine.app.settings().chat.max_tokens, 20);
    machine.enter("/seed 42");
    machine.enter("/preset creative");
    assert_eq!((machine.app.sampling().seed, machine.app.preset()), (Some(42), Some("creative")));
    machine.enter("/preset none");
    assert_eq!(machine.last_note(), "there is no preset `none`: it must be precise, balanced, creative, model");
}

#[test]
fn lookup_is_set_for_the_next_reply_and_what_came_of_it_is_told() {
    let mut machine = Machine::new();
    machine.enter("/set lookup sometimes");
    assert_eq!(machine.last_note(), "lookup wants off, on, auto, not `sometimes`");
    machine.enter("/set lookup on");
    assert_eq!(machine.last_note(), "lookup = on, from the next reply on");
    machine.enter("/show");
    assert!(machine.last_note().contains("\nlookup            on"), "{}", machine.last_note());
    let asked = machine.enter("Say it again");
    let lookup_of = |effect: &Effect| match effect {
        Effect::Submit(EngineCommand::Generate { params, .. }) => Some(params.lookup),
        _ => None,
    };
    assert_eq!(asked.iter().find_map(lookup_of), Some(PromptLookup::On));
    machine.token("Again", 10);
    let stats =
        GenerationStats { completion_tokens: 9, drafted_tokens: 8, accepted_tokens: 5, ..GenerationStats::default() };
    let (id, reason) = (machine.id(), FinishReason::EndOfTurn);
    machine.app.on_event(EngineEvent::Finished { id, reason, stats, context_used: 10 }, machine.now);
    let line = machine.app.last_summary().unwrap().line();
    assert_eq!(line, "9 tok · first token 0 ms · perplexity 2.7 · lookup 5 of 8 · stop: end of turn");
}

#[test]
fn a_change_that_changes_nothing_is_not_sent() {
    let mut machine = Machine::new();
    machine.enter("Q");
    let parameter = Parameter::MinP;
    let change = |steps| Action::Nudge { parameter, steps, large: false };
    let effects = machine.app.handle(change(-100), machine.now);
    let [Effect::Submit(EngineCommand::SetSampling { .. }), Effect::Store(_)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert!(machine.app.handle(change(-1), machine.now).is_empty(), "it is at its end already");
}

#[test]
fn the_prompt_and_tokens_are_counted_by_the_engine() {
    let mut machine = Machine::new();
    let effects = machine.enter("/tokens ab c");
    let Some(Effect::Submit(EngineCommand::Count { id, prompt, .. })) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(prompt, &Prompt::Raw("ab c".to_owned()));
    machine.app.on_event(
        EngineEvent::Counted {
            id: *id,
            text: "ab c".into(),
            tokens: vec![5, 6],
            pieces: vec!["\"ab\"".into(), "\" c\"".into()],
            dropped: Vec::new(),
        },
        machine.now,
    );
    assert_eq!(machine.last_note(), "2 tokens: 5 \"ab\"  6 \" c\"");
    let effects = machine.enter("/prompt");
    let Some(Effect::Submit(EngineCommand::Count { id, .. })) = effects.last() else { panic!("{effects:?}") };
    machine.app.on_event(EngineEvent::Failed { id: *id, error: "no".into() }, machine.now);
    assert_eq!(machine.last_note(), "no");
}

#[test]
fn a_dead_worker_ends_the_reply_and_later_questions_are_kept() {
    let mut machine = Machine::new();
    machine.enter("Q");
    machine.token("half", 10);
    let effects = machine.app.on_event(EngineEvent::WorkerDied { error: "a crash".into() }, machine.now);
    assert_eq!(saved(&effects), [("half", MessageState::Cut)]);
    assert!(machine.last_note().contains("a crash"));
    let effects = machine.enter("again");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Screen(OnScreen::Compose(text)) if text == "again")));
    assert_eq!(machine.path(), ["Q", "half"]);
}

#[test]
fn without_a_model_a_question_is_kept_and_the_way_out_named() {
    let now = Moment { at: Instant::now(), unix: 0 };
    let mut app = App::new(Start::default(), now);
    let Some(Effect::LoadModel { id, .. }) = app.start().pop() else { panic!() };
    app.on_event(EngineEvent::Failed { id, error: "cannot read model.gguf".into() }, now);
    assert!(app.notes()[0].text.starts_with("cannot read model.gguf; /model"));
    let effects = app.handle(Action::Enter("Q".into()), now);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Screen(OnScreen::Compose(text)) if text == "Q")));
}

#[test]
fn a_question_during_the_load_is_asked_at_once() {
    let now = Moment { at: Instant::now(), unix: 0 };
    let mut app = App::new(Start::default(), now);
    app.start();
    let effects = app.handle(Action::Enter("Q".into()), now);
    assert_eq!(messages(&effects), [(Role::User, "Q")]);
}

#[test]
fn settings_are_saved_as_they_are_now() {
    let mut machine = Machine::new();
    machine.enter("/temp 0.3");
    machine.enter("/system S");
    machine.enter("/template raw");
    let effects = machine.enter("/save");
    let Some(Effect::SaveSettings(settings)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(
        (settings.sampling.temperature, settings.chat.system.as_str(), settings.model.template.as_str()),
        (0.3, "S", "raw")
    );
}

/// Words were typed to say something: what they would have said is not what the command does without them.
#[test]
fn words_behind_a_command_that_takes_none_are_refused() {
    let mut machine = Machine::new();
    machine.say("Q", "A");
    let lines =
        ["/save mychat", "/quit now", "/exit 1", "/new foo", "/delete 3", "/undo 2", "/redo 1", "/regen warmer"];
    for line in lines.into_iter().chain(["/continue please", "/show system", "/stats 2", "/prompt 1", "/raw on"]) {
        let effects = machine.enter(line);
        let [Effect::Store(StoreOp::AppendHistory(_)), Effect::Screen(OnScreen::Compose(text))] = &effects[..] else {
            panic!("{line}: {effects:?}")
        };
        assert_eq!(text, line, "it can be mended");
        assert!(machine.last_note().starts_with("nothing was done: `"), "{line}: {}", machine.last_note());
        assert_eq!(machine.path(), ["Q", "A"], "{line}");
    }
    machine.enter("/rename");
    assert_eq!(machine.last_note(), "/rename TITLE: give this chat another title");
    machine.enter("/save");
    assert_ne!(machine.last_note(), "nothing was done");
}

#[test]
fn a_parameter_without_its_filter_says_that_it_changes_nothing() {
    let mut machine = Machine::new();
    machine.enter("/set samplers top_p;temperature");
    assert_eq!(machine.last_note(), "samplers = top_p;temperature");
    machine.enter("/top-k 3");
    assert_eq!(machine.last_note(), "top-k = 3 (without effect: `samplers` leaves its filter out)");
    machine.enter("/top-p 0.5");
    assert_eq!(machine.last_note(), "top-p = 0.50");
    machine.enter("/samplers default");
    machine.enter("/samplers top_k;top_q");
    assert!(machine.last_note().starts_with("there is no sampler `top_q`"), "{}", machine.last_note());
    machine.enter("/show");
    let usual = parameters::SamplingParams::default().samplers;
    assert!(
        machine.last_note().contains(&format!("\nsamplers          {usual} (set here)\n")),
        "{}",
        machine.last_note()
    );
}

#[test]
fn the_same_line_twice_is_remembered_once() {
    let mut machine = Machine::new();
    machine.enter("/show");
    machine.enter("/show");
    machine.enter("/stats");
    assert_eq!(machine.app.history(), ["/show", "/stats"]);
}

#[test]
fn whether_the_model_thinks_is_told_to_the_template() {
    let mut machine = Machine::new();
    machine.enter("/think maybe");
    assert_eq!(machine.last_note(), "think wants auto, on, off, show or hide, not `maybe`");
    for (command, expected) in [("/think off", Some(false)), ("/set think", Some(true)), ("/set nothink", Some(false))]
    {
        machine.enter(command);
        assert!(machine.last_note().ends_with("from the next reply on"), "{}", machine.last_note());
        let asked = machine.enter("/prompt");
        let sent = asked.iter().find_map(|effect| match effect {
            Effect::Submit(EngineCommand::Count { prompt: Prompt::Chat { thinking, .. }, .. }) => Some(*thinking),
            _ => None,
        });
        assert_eq!(sent, Some(expected), "{command}");
    }
    machine.enter("/think");
    assert_eq!(machine.last_note(), "think = off; thoughts are folded");
}

#[test]
fn the_prompt_is_shown_with_its_tokens() {
    let mut machine = Machine::new();
    machine.enter("/template raw");
    let asked = machine.enter("/prompt");
    let Some(Effect::Submit(EngineCommand::Count { id, .. })) = asked.last() else { panic!("{asked:?}") };
    let tokens: Vec<u32> = (0..500).collect();
    let pieces = tokens.iter().map(|token| format!("{:?}", format!("t{token}\n"))).collect();
    machine.app.on_event(
        EngineEvent::Counted { id: *id, text: "Hello\n".into(), tokens, pieces, dropped: Vec::new() },
        machine.now,
    );
    let note = machine.last_note();
    assert!(note.starts_with("the next prompt has 500 tokens; the model sees:\nHello\n"), "{note}");
    assert!(note.contains("as these tokens:\n0 \"t0\\n\"  1 \"t1\\n\""), "{note}");
    assert!(note.contains("99 \"t99\\n\"  … 300 more …  400 ") && note.ends_with("499 \"t499\\n\""), "{note}");
}

#[test]
fn the_statistics_have_the_perplexity_of_the_reply() {
    let mut machine = Machine::new();
    machine.enter("Q");
    machine.token("Ans", 10);
    machine.token("wer", 10);
    let (id, reason) = (machine.id(), FinishReason::EndOfTurn);
    let stats = GenerationStats::default();
    machine.app.on_event(EngineEvent::Finished { id, reason, stats, context_used: 10 }, machine.now);
    machine.enter("/stats");
    // Two tokens with a log-probability of -1 each.
    assert!(machine.last_note().contains("\nperplexity  2.72 · seed"), "{}", machine.last_note());
}

#[test]
fn what_does_not_stop_can_be_left() {
    let mut machine = Machine::new();
    let interrupt = |machine: &mut Machine| machine.app.handle(Action::Interrupt, machine.now);
    machine.enter("hello");
    assert!(matches!(interrupt(&mut machine)[..], [Effect::Submit(EngineCommand::Cancel { .. })]));
    assert!(!machine.app.quit_armed());
    // The engine does not react.
    assert!(interrupt(&mut machine).is_empty() && machine.app.quit_armed());
    assert!(matches!(interrupt(&mut machine).last(), Some(Effect::Screen(OnScreen::Quit))));
}

#[test]
fn what_the_store_has_to_say_is_said_once_and_shortly() {
    let mut machine = Machine::new();
    let failed = StoreNews::Failed(format!("{} cannot be written", "x".repeat(50_000)));
    machine.app.on_outcome(Outcome::StoreNews(failed), machine.now);
    machine.app.on_outcome(Outcome::StoreNews(StoreNews::Saved), machine.now);
    let [failed, saved] = machine.app.notes() else { panic!("{:?}", machine.app.notes()) };
    assert!(failed.text.len() < 1100 && failed.text.ends_with("cannot be written"), "{}", failed.text);
    assert_eq!((saved.kind, saved.text.as_str()), (NoteKind::Info, "what could not be saved is saved now"));
}

#[test]
fn a_damaged_chat_of_the_list_is_named_and_an_id_opens_its_chat() {
    let mut machine = Machine::new();
    let record = |id, title: &str| SessionRecord {
        id: SessionId(id),
        title: title.to_owned(),
        model: String::new(),
        system: String::new(),
        head: None,
        created: 1,
        ..SessionRecord::default()
    };
    let line = |record, damage| SessionSummary { record, updated: 1, messages: 1, damage };
    let list =
        vec![line(record(5, "sound"), None), line(record(1 << 62, "hurt"), Some("`title` holds bytes".to_owned()))];
    machine.app.on_outcome(Outcome::SessionsListed(Ok(list.clone())), machine.now);
    let note = machine.app.notes().last().expect("a note");
    assert!(note.text.contains("hurt") && note.text.contains("`title` holds bytes"), "{}", note.text);
    assert_eq!(machine.app.saved().map(|saved| saved.chats.len()), Some(2));
    machine.app.handle(Action::CloseList, machine.now);
    machine.enter("/open 4611686018427387904");
    machine
        .app
        .on_outcome(Outcome::SessionsFound { text: (1_i64 << 62).to_string(), hits: Ok(Vec::new()) }, machine.now);
    let effects = machine.app.on_outcome(Outcome::SessionsListed(Ok(list)), machine.now);
    let opens = |effect: &Effect| matches!(effect, Effect::OpenSession(id) if id.0 == 1 << 62);
    assert!(effects.iter().any(opens), "{effects:?}");
}

#[test]
fn an_imported_chat_has_a_clean_title_and_a_date_and_goes_on() {
    let mut machine = Machine::new();
    let text = r#"{"format":"gibber chat","version":1,"title":"a\nb\u001b[31m","head":4294967295,
        "messages":[{"id":4294967295,"parent":null,"role":"user","content":"x"}]}"#;
    let read = Outcome::FileRead { purpose: FilePurpose::Import, path: "a.json".into(), text: Ok(text.to_owned()) };
    let effects = machine.app.on_outcome(read, machine.now);
    let Effect::Store(StoreOp::PutSession(record)) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!((record.title.as_str(), record.created), ("a b [31m", 1_790_000_000));
    assert_eq!(machine.app.transcript().path().len(), 1);
    machine.say("more", "yes");
    assert_eq!(machine.app.transcript().path().len(), 3);
}

#[test]
fn turns_that_were_left_out_are_seen_again_in_a_larger_context() {
    let mut machine = Machine::new();
    machine.say("Q", "A");
    machine.enter("R");
    machine.app.on_event(EngineEvent::TurnsDropped { id: machine.id(), messages: vec![0, 1] }, machine.now);
    machine.token("B", 10);
    machine.finish(FinishReason::EndOfTurn);
    let first = machine.app.transcript().path()[0].id;
    assert!(machine.app.is_dropped(first));
    // Of another branch nothing is known, and it is known again where this one comes back.
    machine.enter("/undo");
    assert!(!machine.app.is_dropped(first));
    machine.enter("/redo");
    assert!(machine.app.is_dropped(first));
    let effects = machine.enter("/model larger");
    let Some(Effect::LoadModel { id, .. }) = effects.last() else { panic!("{effects:?}") };
    let model = gibber_engine::load::ModelInfo { context: 32_768, ..sample_model() };
    machine.app.on_event(EngineEvent::Loaded { id: *id, model: Box::new(model) }, machine.now);
    machine.app.on_draft("", machine.now);
    machine.now.at += Duration::from_secs(1);
    let effects = machine.app.tick(machine.now);
    let measure = effects.iter().find_map(|effect| match effect {
        Effect::Submit(EngineCommand::Measure { id, .. }) => Some(*id),
        _ => None,
    });
    let id = measure.unwrap_or_else(|| panic!("{effects:?}"));
    let parts = |dropped| ContextParts { system: 1, turns: 9, dropped, context: 32_768, ..ContextParts::default() };
    machine.app.on_event(EngineEvent::Measured { id, parts: parts(Vec::new()) }, machine.now);
    assert!(!machine.app.is_dropped(first), "there is room for it");
    // Where nobody measures, the next request tells.
    machine.enter("S");
    assert!(machine.app.is_dropped(first), "as far as is known of a request that has not begun");
    let event = EngineEvent::PrefillProgress { id: machine.id(), reused: 0, done: 1, total: 9 };
    machine.app.on_event(event, machine.now);
    assert!(!machine.app.is_dropped(first));
}
