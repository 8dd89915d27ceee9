use super::super::OnScreen;
use super::*;
use crate::app::{App, Start};
use crate::store::StoreOp;
use crate::worker::fake::sample_model;
use crate::worker::protocol::{GenerationParams, GenerationStats};

struct Machine {
    app: App,
    now: Moment,
}

impl Machine {
    /// A question that has an answer.
    fn new() -> Self {
        let now = Moment::now();
        let mut app = App::new(Start { seed: 7, ..Start::default() }, now);
        let Some(Effect::LoadModel { id, .. }) = app.start().pop() else { panic!("no model is asked for") };
        app.on_event(EngineEvent::Loaded { id, model: Box::new(sample_model()) }, now);
        let question = app.chat.session.transcript.append(Message::new(Role::User, "q"), MessageState::Complete);
        app.chat.session.transcript.append_to(
            Some(question),
            Message::new(Role::Assistant, "a"),
            MessageState::Complete,
        );
        Self { app, now }
    }

    fn act(&mut self, action: crate::app::Action) -> Vec<Effect> {
        self.app.handle(action, self.now)
    }

    fn enter(&mut self, line: &str) -> Vec<Effect> {
        self.act(crate::app::Action::Enter(line.to_owned()))
    }

    fn feed(&mut self, event: impl FnOnce(RequestId) -> EngineEvent) -> Vec<Effect> {
        self.now.at += std::time::Duration::from_millis(10);
        let id = self.app.comparison().expect("lanes").id;
        self.app.on_event(event(id), self.now)
    }

    /// A token whose id is its text's length.
    fn token(&mut self, variant: usize, text: &str) -> Vec<Effect> {
        let trace = TokenTrace {
            token: text.len() as u32,
            text: text.to_owned(),
            picked: false,
            logprob: -1.0,
            entropy: 1.0,
            rank: 0,
            kept_mass: 1.0,
            candidates: Vec::new(),
        };
        self.feed(|id| EngineEvent::VariantToken { id, variant, trace, context_used: 10 })
    }

    fn end(&mut self, variant: usize, reason: FinishReason) -> Vec<Effect> {
        self.feed(|id| EngineEvent::VariantFinished { id, variant, reason, stats: GenerationStats::default() })
    }

    fn compared(&mut self) -> Vec<Effect> {
        self.feed(|id| EngineEvent::Compared { id, context_used: 12 })
    }

    fn path(&self) -> Vec<&str> {
        self.app.transcript().path().iter().map(|node| node.message.content.as_str()).collect()
    }

    fn last_note(&self) -> &str {
        self.app.notes().last().map_or("", |note| &note.text)
    }
}

fn asked(effects: &[Effect]) -> (&Prompt, &[GenerationParams]) {
    let command = effects.iter().find_map(|effect| match effect {
        Effect::Submit(EngineCommand::Compare { prompt, variants, .. }) => Some((prompt, variants.as_slice())),
        _ => None,
    });
    command.expect("lanes are asked for")
}

fn saved(effects: &[Effect]) -> Vec<(&str, MessageState)> {
    let message = |effect| match effect {
        &Effect::Store(StoreOp::PutMessage { ref node, .. }) => Some((node.message.content.as_str(), node.state)),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

#[test]
fn variants_become_siblings_and_the_kept_one_is_the_reply() {
    let mut machine = Machine::new();
    let effects = machine.enter("/compare precise creative");
    let (prompt, variants) = asked(&effects);
    assert!(matches!(prompt, Prompt::Chat { messages, .. } if messages.len() == 1), "the last question, unanswered");
    let temperatures: Vec<f32> = variants.iter().map(|variant| variant.sampling.temperature).collect();
    assert_eq!(temperatures, [0.2, 1.1]);
    assert_eq!(machine.app.refusal().as_deref(), Some("a comparison is running: stop it first (Esc)"));
    assert_eq!(saved(&machine.token(0, "one")), [("one", MessageState::Streaming)]);
    machine.token(1, "other");
    machine.token(0, " more");
    let effects = machine.end(0, FinishReason::EndOfTurn);
    assert_eq!(saved(&effects), [("one more", MessageState::Complete)]);
    machine.end(1, FinishReason::Length);
    machine.compared();
    assert_eq!(machine.path(), ["q", "one more"], "the first one, until another is chosen");
    machine.act(crate::app::Action::ChooseVariant(1));
    assert_eq!(machine.path(), ["q", "other"]);
    let effects = machine.act(crate::app::Action::KeepLane);
    let head = machine.app.transcript().head();
    assert!(matches!(&effects[..], [Effect::Store(StoreOp::PutSession(record))] if record.head == head));
    assert!(machine.app.comparison().is_none());
    assert_eq!(machine.last_note(), "lane 2 (creative) is kept; /branch 2 shows another");
    assert_eq!(machine.app.transcript().branch_position(head.unwrap()), (3, 3), "beside the former answer");
    machine.enter("/branch 2");
    assert_eq!(machine.path(), ["q", "one more"]);
    let variant = machine.app.transcript().head().unwrap();
    assert_eq!(machine.app.tokens_of(variant).map(<[_]>::len), Some(2), "its tokens can be walked");
    let summary = machine.app.summary(variant).unwrap();
    assert!(summary.perplexity.is_some(), "its footer is that of any reply");
}

#[test]
fn a_question_comes_with_the_command_and_begins_as_it_was_told_to() {
    let mut machine = Machine::new();
    machine.enter("/begin Well,");
    let effects = machine.enter("/compare 2 -- What is it?");
    let (prompt, variants) = asked(&effects);
    let Prompt::Chat { messages, .. } = prompt else { panic!("{prompt:?}") };
    let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(texts, ["q", "a", "What is it?", "Well,"]);
    assert_ne!(variants[0].sampling.seed, variants[1].sampling.seed);
    assert!(variants.iter().all(|variant| variant.sampling.seed.is_some()));
    machine.token(0, " one");
    assert_eq!(machine.path(), ["q", "a", "What is it?", "Well, one"]);
}

#[test]
fn what_cannot_be_compared_is_told_and_given_back() {
    let mut machine = Machine::new();
    let effects = machine.enter("/compare presise");
    assert!(machine.last_note().starts_with("`presise` is no lane"), "{}", machine.last_note());
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Screen(OnScreen::Compose(text)) if text == "/compare presise"))
    );
    machine.enter("/new");
    machine.enter("/compare");
    assert_eq!(machine.last_note(), "there is no question to answer yet: /compare … -- TEXT asks one");
}

#[test]
fn stopping_cuts_every_variant_and_leaving_keeps_them_all() {
    let mut machine = Machine::new();
    machine.enter("/compare 2");
    machine.token(0, "one");
    machine.token(1, "two");
    let effects = machine.act(crate::app::Action::Stop);
    assert_eq!(
        effects.iter().filter(|effect| matches!(effect, Effect::Submit(EngineCommand::Cancel { .. }))).count(),
        1
    );
    machine.end(0, FinishReason::Cancelled);
    let effects = machine.end(1, FinishReason::Cancelled);
    assert_eq!(saved(&effects), [("two", MessageState::Cut)]);
    machine.compared();
    assert!(machine.app.comparison().is_some_and(|comparison| !comparison.is_running()), "to choose from");
    machine.act(crate::app::Action::Stop);
    assert!(machine.app.comparison().is_none());
    assert_eq!(machine.path(), ["q", "one"]);
    assert_eq!(machine.app.transcript().nodes().len(), 4);
}

#[test]
fn a_variant_that_is_kept_on_the_way_goes_on_alone() {
    let mut machine = Machine::new();
    machine.enter("/compare 3");
    assert!(machine.act(crate::app::Action::KeepLane).is_empty(), "there is nothing to keep yet");
    for variant in 0..3 {
        machine.token(variant, "x");
    }
    machine.act(crate::app::Action::ChooseVariant(1));
    let effects = machine.act(crate::app::Action::KeepLane);
    assert_eq!(effects.len(), 2, "the others are stopped: {effects:?}");
    machine.end(0, FinishReason::Cancelled);
    machine.token(1, " and on");
    machine.end(2, FinishReason::Cancelled);
    machine.end(1, FinishReason::EndOfTurn);
    machine.compared();
    assert!(machine.app.comparison().is_none());
    assert_eq!(machine.path(), ["q", "x and on"]);
}

#[test]
fn the_end_of_the_program_and_of_the_engine_cut_the_variants() {
    for die in [false, true] {
        let mut machine = Machine::new();
        machine.enter("/compare 2");
        machine.token(0, "one");
        machine.token(1, "two");
        let effects = match die {
            true => machine.app.on_event(EngineEvent::WorkerDied { error: "gone".to_owned() }, machine.now),
            false => machine.act(crate::app::Action::Quit),
        };
        assert_eq!(saved(&effects), [("one", MessageState::Cut), ("two", MessageState::Cut)]);
    }
    let mut machine = Machine::new();
    machine.enter("/compare 2");
    machine.feed(|id| EngineEvent::Failed { id, error: "too long".to_owned() });
    assert_eq!((machine.path(), machine.last_note()), (vec!["q", "a"], "too long"));
}

#[test]
fn variants_that_say_nothing_leave_the_chat_as_it_was() {
    let mut machine = Machine::new();
    machine.enter("/compare 2");
    machine.end(0, FinishReason::EndOfTurn);
    machine.end(1, FinishReason::EndOfTurn);
    machine.compared();
    assert!(machine.app.comparison().is_none());
    assert_eq!(machine.path(), ["q", "a"]);
}

#[test]
fn variants_that_grow_are_saved_every_half_second() {
    let mut machine = Machine::new();
    machine.enter("/compare 2");
    machine.token(0, "one");
    machine.token(1, "two");
    let deadline = machine.app.deadline().expect("to be saved");
    machine.token(0, " more");
    let due = Moment { at: deadline, ..machine.now };
    assert_eq!(
        saved(&machine.app.tick(due)),
        [("one more", MessageState::Streaming), ("two", MessageState::Streaming)]
    );
    assert_eq!(saved(&machine.app.tick(due)), []);
}

#[test]
fn variants_part_at_the_first_token_that_differs() {
    let mut machine = Machine::new();
    machine.enter("/compare 3");
    for (variant, texts) in [(0, ["a", "bb", "ccc"]), (1, ["a", "bb", "dddd"]), (2, ["a", "eeeee", "ccc"])] {
        texts.into_iter().for_each(|text| drop(machine.token(variant, text)));
    }
    let token = |machine: &Machine, variant: usize| -> Vec<Option<usize>> {
        machine.app.divergences(variant).into_iter().map(|divergence| divergence.token).collect()
    };
    assert_eq!(token(&machine, 0), [Some(2), Some(1)]);
    assert_eq!(token(&machine, 2), [Some(1), Some(1)]);
    let mut machine = Machine::new();
    machine.enter("/compare 2");
    machine.token(0, "a");
    machine.token(1, "a");
    machine.token(1, "bb");
    assert_eq!(token(&machine, 0), [None], "the first lane may say the same yet");
    machine.end(0, FinishReason::EndOfTurn);
    assert_eq!(token(&machine, 0), [Some(1)], "now it has ended where the other goes on");
}

#[test]
fn the_statistics_of_a_kept_variant_are_its_own() {
    let mut machine = Machine::new();
    machine.enter("/compare precise creative");
    let trace = |text: &str| TokenTrace {
        token: 1,
        text: text.to_owned(),
        picked: false,
        logprob: -1.0,
        entropy: 1.0,
        rank: 0,
        kept_mass: 1.0,
        candidates: Vec::new(),
    };
    for (variant, context_used) in [(0, 20), (1, 20), (1, 31)] {
        machine.feed(|id| EngineEvent::VariantToken { id, variant, trace: trace("x"), context_used });
    }
    machine.end(0, FinishReason::EndOfTurn);
    machine.end(1, FinishReason::EndOfTurn);
    machine.feed(|id| EngineEvent::Compared { id, context_used: 20 });
    assert_eq!(machine.app.context().0, 20);
    machine.act(crate::app::Action::ChooseVariant(1));
    assert_eq!(machine.app.context().0, 31, "of the lane that is looked at");
    machine.act(crate::app::Action::KeepLane);
    assert_eq!(machine.app.context().0, 31);
    machine.enter("/stats");
    assert!(machine.last_note().contains("context     31 / 8192"), "{}", machine.last_note());
}

#[test]
fn two_dashes_without_a_question_ask_nothing() {
    let mut machine = Machine::new();
    for line in ["/compare 2 --", "/compare --", "/compare ,", "/compare 0"] {
        let effects = machine.enter(line);
        assert!(matches!(&effects[..], [.., Effect::Screen(OnScreen::Compose(text))] if text == line), "{effects:?}");
        assert!(machine.app.comparison().is_none());
    }
    assert!(machine.app.notes()[0].text.contains("no question behind --"), "{:?}", machine.app.notes());
}
