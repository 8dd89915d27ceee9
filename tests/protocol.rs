//! The promises of `worker::protocol`, kept by the real engine's thread: on a tiny model of random weights, and on the
//! default one where words matter. (A panic needs a fault inside: see `src/worker/thread/tests.rs`.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "protocol/eager_prefill.rs"]
mod eager_prefill;
#[path = "protocol/recurrent.rs"]
mod recurrent;
#[path = "protocol/steer.rs"]
mod steer;
#[path = "protocol/variants.rs"]
mod variants;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use gibber::chat::template::Sandbox;
use gibber::chat::{Message, Role};
use gibber::worker::protocol::{
    Candidate, ContextParts, Distribution, EngineCommand, EngineEvent, FinishReason, GenerationParams, GenerationStats,
    LoadParams, ModelPlace, Prompt, PromptLookup, ReplyRef, RequestId, TemplateChoice,
};
use gibber::worker::{Resources, WorkerHandle};
use gibber_engine::load::{MemoryProbe, ModelInfo, ModelSource};
use gibber_engine::{SamplingParams, TokenId};

const PATIENCE: Duration = Duration::from_secs(120);

/// A worker, and the ids of its requests.
struct Client {
    worker: WorkerHandle,
    next: u64,
}

/// A reply, as it was told.
#[derive(Debug)]
struct Reply {
    of: ReplyRef,
    /// The candidates of its last token.
    last: Vec<Candidate>,
    text: String,
    tokens: Vec<TokenId>,
    prefill: Vec<(usize, usize, usize)>,
    dropped: Vec<Vec<usize>>,
    reason: FinishReason,
    stats: GenerationStats,
    context_used: usize,
}

fn sandbox() -> Sandbox {
    Sandbox::of(env!("CARGO_BIN_EXE_gibber"))
}

impl Client {
    fn new(place: ModelPlace, params: LoadParams) -> Self {
        Self::on(sandbox(), place, params)
    }

    fn on(resources: impl Into<Resources>, place: ModelPlace, params: LoadParams) -> Self {
        let mut client = Self { worker: WorkerHandle::spawn(resources), next: 1 };
        client.load(place, params).unwrap();
        client
    }

    fn tiny() -> Self {
        let params = LoadParams { threads: Some(1), ..LoadParams::default() };
        Self::new(ModelPlace::Synthetic("tiny".into()), params)
    }

    fn smollm2(context: Option<usize>) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models/SmolLM2-135M-Instruct.Q4_1.gguf");
        Self::new(ModelPlace::Path(path), LoadParams { context, ..LoadParams::default() })
    }

    fn id(&mut self) -> RequestId {
        self.next += 1;
        RequestId(self.next)
    }

    fn load(&mut self, place: ModelPlace, params: LoadParams) -> Result<Box<ModelInfo>, String> {
        let id = self.id();
        match self.ask(EngineCommand::Load { id, place, params }).pop() {
            Some(EngineEvent::Loaded { model, .. }) => Ok(model),
            Some(EngineEvent::Failed { error, .. }) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    fn event(&self) -> EngineEvent {
        let event = self.worker.events().recv_timeout(PATIENCE).expect("an event");
        // Plain data: nothing of it is lost on a wire.
        let wire = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<EngineEvent>(&wire).unwrap(), event);
        event
    }

    fn send(&self, command: EngineCommand) {
        let wire = serde_json::to_string(&command).unwrap();
        let command_again = serde_json::from_str(&wire).unwrap();
        assert_eq!(command, command_again);
        self.worker.send(command_again);
    }

    fn cancel(&self, id: RequestId) {
        self.send(EngineCommand::Cancel { id });
    }

    /// Sends a command and collects its events, the closing one last.
    fn ask(&self, command: EngineCommand) -> Vec<EngineEvent> {
        self.send(command);
        let mut events = vec![self.event()];
        while !events.last().unwrap().is_closing() {
            events.push(self.event());
        }
        assert!(events.iter().all(|event| event.request() == events[0].request()), "{events:?}");
        events
    }

    fn send_generate(&mut self, prompt: Prompt, params: GenerationParams) -> RequestId {
        let id = self.id();
        self.send(EngineCommand::Generate { id, prompt, params });
        id
    }

    fn reply(&mut self, prompt: Prompt, params: GenerationParams) -> Reply {
        let id = self.id();
        let events = self.ask(EngineCommand::Generate { id, prompt, params });
        gather(&events)
    }

    fn count(&mut self, prompt: Prompt) -> Vec<TokenId> {
        let id = self.id();
        match self.ask(EngineCommand::Count { id, prompt, max_tokens: None }).pop() {
            Some(EngineEvent::Counted { tokens, .. }) => tokens,
            other => panic!("{other:?}"),
        }
    }

    /// How many tokens the cache holds of this text, which is no more than it should hold.
    fn held(&mut self, text: &str) -> usize {
        let more = self.prefill(raw(&format!("{text}\n\nAnd")));
        more.0
    }
}

/// A finished generation from its events.
fn gather(events: &[EngineEvent]) -> Reply {
    let Some(EngineEvent::Finished { reason, stats, context_used, .. }) = events.last() else {
        panic!("no reply: {:?}", events.last())
    };
    let (reason, stats, context_used) = (reason.clone(), stats.clone(), *context_used);
    let (text, tokens, last) = (String::new(), Vec::new(), Vec::new());
    let of = ReplyRef { request: events[0].request().expect("a request"), variant: 0 };
    let mut reply = Reply { of, last, text, tokens, prefill: vec![], dropped: vec![], reason, stats, context_used };
    for event in events {
        match event {
            EngineEvent::Token { trace, .. } => {
                reply.text.push_str(&trace.text);
                reply.tokens.push(trace.token);
                reply.last.clone_from(&trace.candidates);
            }
            EngineEvent::PrefillProgress { reused, done, total, .. } => reply.prefill.push((*reused, *done, *total)),
            EngineEvent::TurnsDropped { messages, .. } => reply.dropped.push(messages.clone()),
            _ => {}
        }
    }
    reply
}

fn raw(text: &str) -> Prompt {
    Prompt::Raw(text.into())
}

fn chat(messages: &[(Role, &str)]) -> Prompt {
    let messages = messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    Prompt::Chat { messages, template: TemplateChoice::Model, thinking: None }
}

/// Nothing filtered, a fixed seed, no alternatives listed.
fn open(seed: u64, max_tokens: usize) -> GenerationParams {
    let sampling = SamplingParams {
        temperature: 1.5,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: Some(seed),
        ..SamplingParams::default()
    };
    GenerationParams {
        sampling,
        max_tokens: Some(max_tokens),
        stop: Vec::new(),
        candidates: 0,
        lookup: PromptLookup::Off,
        ..GenerationParams::default()
    }
}

fn greedy(max_tokens: usize) -> GenerationParams {
    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    GenerationParams { sampling, max_tokens: Some(max_tokens), ..GenerationParams::default() }
}

/// Invariant 1: of many requests of every kind, good, bad and cancelled, all sent at once, each is closed exactly once,
/// and nothing about it follows.
#[test]
fn every_request_is_closed_exactly_once() {
    let mut client = Client::tiny();
    let mut expected = HashSet::new();
    let wrong = GenerationParams {
        sampling: SamplingParams { temperature: -1.0, ..SamplingParams::default() },
        ..GenerationParams::default()
    };
    expected.insert(client.send_generate(raw("abc"), open(1, 30)));
    let cancelled = client.send_generate(raw("abc"), open(1, 30));
    client.cancel(cancelled);
    expected.insert(cancelled);
    expected.insert(client.send_generate(raw(""), open(1, 30)));
    expected.insert(client.send_generate(raw(&"too long".repeat(99)), open(1, 30)));
    expected.insert(client.send_generate(raw("abc"), wrong));
    let template = TemplateChoice::Builtin("none such".into());
    let messages = vec![Message::new(Role::User, "x")];
    expected.insert(client.send_generate(Prompt::Chat { messages, template, thinking: None }, open(1, 5)));
    let commands: [fn(RequestId) -> EngineCommand; 11] = [
        |id| EngineCommand::Compare { id, prompt: Prompt::Raw("abc".into()), variants: vec![open(1, 4), open(2, 3)] },
        |id| EngineCommand::Compare { id, prompt: Prompt::Raw("abc".into()), variants: vec![] },
        |id| EngineCommand::Prefill { id, prompt: Prompt::Raw("ahead".into()), max_tokens: None },
        |id| EngineCommand::Measure { id, prompt: Prompt::Raw("count me".into()), draft: true, max_tokens: None },
        |id| EngineCommand::Score { id, text: "some text".into() },
        |id| EngineCommand::ScorePrompt { id, prompt: Prompt::Raw("some text".into()), from: 0, candidates: 2 },
        |id| EngineCommand::Preview {
            id,
            of: ReplyRef { request: RequestId(3), variant: 0 },
            sampling: SamplingParams::default(),
            candidates: 3,
        },
        |id| EngineCommand::Count { id, prompt: Prompt::Raw("count me".into()), max_tokens: None },
        |id| EngineCommand::Load {
            id,
            place: ModelPlace::Path("/no/such/model.gguf".into()),
            params: LoadParams::default(),
        },
        |id| EngineCommand::SetSampling {
            id: RequestId(id.0 + 1000),
            sampling: SamplingParams::default(),
            open: vec![],
        },
        |id| EngineCommand::Generate {
            id,
            prompt: Prompt::Raw("the old model is still there".into()),
            params: open(2, 5),
        },
    ];
    let mut last = RequestId(0);
    for command in commands {
        last = client.id();
        let command = command(last);
        if !matches!(command, EngineCommand::SetSampling { .. }) {
            expected.insert(last);
        }
        client.worker.send(command);
    }
    let mut closed = HashMap::new();
    while !closed.contains_key(&last) {
        let event = client.event();
        let id = event.request().expect("the worker lives");
        assert!(expected.contains(&id), "{event:?}");
        assert!(!closed.contains_key(&id), "after its close: {event:?}");
        if event.is_closing() {
            closed.insert(id, event);
        }
    }
    assert_eq!(closed.keys().copied().collect::<HashSet<_>>(), expected);
    assert_eq!(closed.values().filter(|event| matches!(event, EngineEvent::Failed { .. })).count(), 5, "{closed:#?}");
}

/// Invariant 2, on the model that people talk to: characters of several tokens, and the tokens' own decoding.
#[test]
fn the_texts_joined_are_the_decoded_reply() {
    let mut client = Client::smollm2(None);
    let mut hot = open(11, 60);
    hot.sampling.temperature = 2.0;
    let reply = client.reply(raw("Emoji: 😀🎉漢字"), hot);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let tokenizer = gibber_engine::load::open(&ModelSource::Path(path)).unwrap().tokenizer().unwrap();
    assert_eq!(reply.text, tokenizer.decode(&reply.tokens));
    assert_eq!(reply.stats.completion_tokens, reply.tokens.len());
}

/// Invariant 3: a cancel stops its own request, at once where that has not begun, and none that follows.
#[test]
fn a_cancel_hits_its_request_and_no_other() {
    let mut client = Client::tiny();
    // At work, and stopped before the one that counts has begun.
    client.send(EngineCommand::Score { id: RequestId(1000), text: "some text ".repeat(12) });
    let one = client.send_generate(raw("abc"), open(1, 20));
    client.cancel(one);
    // One that is closed, one that will never be.
    client.cancel(RequestId(1));
    client.cancel(RequestId(u64::MAX));
    let two = client.send_generate(raw("abc"), open(1, 20));
    let mut events: HashMap<RequestId, Vec<EngineEvent>> = HashMap::new();
    while !events.get(&two).is_some_and(|events| events.last().is_some_and(EngineEvent::is_closing)) {
        let event = client.event();
        events.entry(event.request().unwrap()).or_default().push(event);
    }
    let cancelled = gather(&events[&one]);
    assert_eq!((cancelled.reason, cancelled.tokens.len(), cancelled.prefill), (FinishReason::Cancelled, 0, vec![]));
    let whole = gather(&events[&two]);
    assert_eq!((whole.reason, whole.tokens.len()), (FinishReason::Length, 20));
}

/// Invariant 3 and 6: a reply without an end is stopped while it runs; what was said stays, in the events and in the
/// cache, and nothing else does.
#[test]
fn a_cancelled_reply_keeps_its_text_and_the_cache_fits_it() {
    let mut client = Client::smollm2(None);
    let prompt = "Once upon a time, there was a";
    let prompt_tokens = client.count(raw(prompt)).len();
    let mut params = greedy(100_000);
    params.max_tokens = None;
    let id = client.send_generate(raw(prompt), params);
    let mut events = Vec::new();
    let mut is_cancelled = false;
    while !events.last().is_some_and(EngineEvent::is_closing) {
        let event = client.event();
        if matches!(event, EngineEvent::Token { .. }) && !is_cancelled {
            is_cancelled = true;
            client.cancel(id);
        }
        events.push(event);
    }
    let reply = gather(&events);
    assert_eq!(reply.reason, FinishReason::Cancelled);
    assert!(" small town nestled in the heart of a bustling".starts_with(&reply.text) || reply.tokens.len() > 8);
    assert!(reply.context_used < 8192, "the cancel came with the first token, not with the end of the context");
    // Whether the last token was computed already depends on the moment of the cancel.
    let held = client.held(&format!("{prompt}{}", reply.text));
    assert_eq!(held, reply.context_used);
    assert!((prompt_tokens + reply.tokens.len() - 1..=prompt_tokens + reply.tokens.len()).contains(&held), "{held}");
}

/// Invariant 4: a change that comes while it speaks is in the log, and seed and log tell the same reply again.
#[test]
fn a_change_of_sampling_acts_during_the_reply_and_is_in_the_log() {
    let mut client = Client::smollm2(None);
    let params = open(5, 40);
    let cold = SamplingParams { temperature: 0.0, ..params.sampling.clone() };
    let id = client.send_generate(raw("My favourite colour is"), params.clone());
    // It waits in the queue before the first token, behind the command that it is about.
    client.worker.send(EngineCommand::SetSampling { id, sampling: cold.clone(), open: vec![] });
    let mut events = vec![client.event()];
    while !events.last().unwrap().is_closing() {
        events.push(client.event());
    }
    let changed = gather(&events);
    let log = &changed.stats.sampling_log;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!((&log[0], &log[1].1), (&(0, params.sampling), &cold));
    assert_eq!(changed.stats.seed, 5);
    if log[1].0 == 0 {
        let all_cold = client.reply(raw("My favourite colour is"), greedy(40));
        assert_eq!(changed.tokens, all_cold.tokens, "the change came before the first token");
    }
}

/// Invariant 5: the second turn of a chat computes what was added to the first, and no more.
#[test]
fn a_turn_computes_only_what_is_new() {
    let mut client = Client::smollm2(None);
    let first = chat(&[(Role::User, "What is the capital of France?")]);
    let reply = client.reply(first.clone(), greedy(30));
    assert_eq!((reply.text.as_str(), &reply.reason), ("The capital of France is Paris.", &FinishReason::EndOfTurn));
    assert_eq!(reply.stats.reused_tokens, 0);
    let held = [client.count(first), reply.tokens.clone()].concat();
    let second = chat(&[
        (Role::User, "What is the capital of France?"),
        (Role::Assistant, &reply.text),
        (Role::User, "And of Italy?"),
    ]);
    let tokens = client.count(second.clone());
    let shared = held.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
    assert_eq!(shared, held.len(), "the reply is read as it was said");
    let next = client.reply(second, greedy(5));
    assert_eq!((next.stats.prompt_tokens, next.stats.reused_tokens), (tokens.len(), shared));
    assert_eq!(next.prefill.first(), Some(&(shared, shared, tokens.len())));
}

#[test]
fn a_stop_text_cuts_the_reply_and_continuing_goes_on_behind_it() {
    let mut client = Client::smollm2(None);
    let question = (Role::User, "What is the capital of France?");
    let mut params = greedy(30);
    params.stop = vec![" is Paris".into()];
    let reply = client.reply(chat(&[question]), params);
    assert_eq!(reply.reason, FinishReason::StopString(" is Paris".into()));
    assert_eq!(reply.text, "The capital of France");
    let rest = client.reply(chat(&[question, (Role::Assistant, &reply.text)]), greedy(30));
    assert_eq!(rest.text, " is Paris.");
    // All that is left of the reply, but for the token whose logits are wanted again.
    assert_eq!(rest.stats.reused_tokens, reply.context_used - 1);
}

#[test]
fn a_preview_reshapes_the_last_token_of_any_reply_without_computing() {
    let mut client = Client::smollm2(None);
    let mut params = greedy(30);
    params.candidates = 5;
    let first = client.reply(chat(&[(Role::User, "What is the capital of France?")]), params.clone());
    assert_eq!(first.reason, FinishReason::EndOfTurn);
    // Cut by a limit, with drafts, and by a stop text: the last token is chosen in other ways each time.
    params.max_tokens = Some(4);
    let cut = client.reply(chat(&[(Role::User, "What is the capital of Italy?")]), params.clone());
    params.lookup = PromptLookup::On;
    params.max_tokens = Some(24);
    let drafted =
        client.reply(raw("one two three four five six. one two three four five six. one two"), params.clone());
    assert!(drafted.stats.accepted_tokens > 0, "{:?}", drafted.stats);
    params.stop = vec![" Paris".to_owned()];
    let stopped = client.reply(chat(&[(Role::User, "What is the capital of France?")]), params);
    assert_eq!(stopped.reason, FinishReason::StopString(" Paris".to_owned()));
    let preview = |client: &mut Client, of, sampling| {
        let id = client.id();
        match client.ask(EngineCommand::Preview { id, of, sampling, candidates: 5 }).pop() {
            Some(EngineEvent::Distribution { distribution, .. }) => distribution,
            other => panic!("{other:?}"),
        }
    };
    for reply in [&first, &cut, &drafted, &stopped, &first] {
        let same = preview(&mut client, reply.of, greedy(1).sampling);
        assert_eq!(same.candidates, reply.last, "as it was drawn: {}", reply.text);
        let narrow = preview(&mut client, reply.of, SamplingParams { top_k: 1, ..SamplingParams::default() });
        assert!(narrow.candidates[1..].iter().all(|candidate| candidate.cut_by.is_some()));
    }
    let question = (Role::User, "What is the capital of France?");
    let (reused, ..) =
        client.prefill(chat(&[question, (Role::Assistant, &stopped.text), (Role::User, "And of Italy?")]));
    assert_eq!(reused, stopped.context_used, "the cache holds what it held");
    let (id, nobody) = (client.id(), ReplyRef { request: RequestId(0), variant: 0 });
    let answer = client.ask(EngineCommand::Preview { id, of: nobody, sampling: greedy(1).sampling, candidates: 5 });
    assert!(matches!(answer[..], [EngineEvent::Failed { .. }]), "{answer:?}");
}

/// A full context: the oldest turns go, the person is told which, and the reply goes on; at last nothing is left to drop.
#[test]
fn turns_are_dropped_in_the_middle_of_a_reply() {
    let mut client = Client::tiny();
    let (question, answer) = ("aaaaaaaaaaaa", " bbbbbbbbbb");
    let messages = [
        (Role::System, "sys"),
        (Role::User, question),
        (Role::Assistant, answer),
        (Role::User, question),
        (Role::Assistant, answer),
        (Role::User, "ccc"),
    ];
    let prompt_tokens = client.count(chat(&messages)).len();
    assert!(prompt_tokens < 112, "it fits at the start: {prompt_tokens}");
    let mut params = open(1, 0);
    params.max_tokens = None;
    let reply = client.reply(chat(&messages), params);
    assert_eq!(reply.dropped.last(), Some(&vec![1, 2, 3, 4]), "never the system message nor the question");
    assert_eq!(reply.reason, FinishReason::Context);
    assert!(prompt_tokens + reply.tokens.len() > 128, "it went on: {}", reply.tokens.len());
    assert!(reply.context_used <= 128);
}

#[test]
fn turns_are_dropped_before_a_reply_and_stay_dropped() {
    let mut client = Client::tiny();
    let long = "x".repeat(30);
    let mut messages = vec![(Role::System, "sys")];
    for _ in 0..4 {
        messages.extend([(Role::User, long.as_str()), (Role::Assistant, " ok")]);
    }
    messages.push((Role::User, "and now?"));
    let first = client.reply(chat(&messages), open(1, 3));
    let dropped = first.dropped.last().expect("it is too long").clone();
    assert!(dropped.starts_with(&[1, 2]) && !dropped.contains(&0) && !dropped.contains(&9), "{dropped:?}");
    assert_eq!(first.reason, FinishReason::Length);
    messages.extend([(Role::Assistant, " so"), (Role::User, "go on")]);
    let second = client.reply(chat(&messages), open(1, 3));
    assert_eq!(second.dropped.last(), Some(&dropped), "the same ones, so that the cache fits");
    assert!(second.stats.reused_tokens > 30, "{:?}", second.stats);

    // One message that is too long by itself is an error that says so.
    let id = client.id();
    let prompt = chat(&[(Role::User, &"y".repeat(200))]);
    let events = client.ask(EngineCommand::Generate { id, prompt, params: open(1, 3) });
    let Some(EngineEvent::Failed { error, .. }) = events.last() else { panic!("{events:?}") };
    assert!(error.contains("the context holds 128"), "{error}");
}

/// Each lane of a comparison is the reply that its parameters and seed give alone, turns that are dropped included.
#[test]
fn variants_say_what_each_would_say_alone() {
    let mut client = Client::tiny();
    let filler = "x".repeat(20);
    let long = [(Role::User, "first"), (Role::Assistant, filler.as_str()), (Role::User, "go on")];
    for (prompt, lengths) in [(chat(&[(Role::User, "hi")]), [12, 30]), (chat(&long), [90, 10])] {
        let params = vec![open(1, lengths[0]), greedy(lengths[1])];
        let (id, variants) = (client.id(), params.clone());
        let events = client.ask(EngineCommand::Compare { id, prompt: prompt.clone(), variants });
        assert!(matches!(events.last(), Some(EngineEvent::Compared { .. })), "{events:?}");
        for (at, params) in params.into_iter().enumerate() {
            let tokens = events.iter().filter_map(|event| match event {
                EngineEvent::VariantToken { variant, trace, .. } if *variant == at => Some(trace.token),
                _ => None,
            });
            let end = events.iter().find_map(|event| match event {
                EngineEvent::VariantFinished { variant, reason, stats, .. } if *variant == at => {
                    Some((reason, stats.seed))
                }
                _ => None,
            });
            let mut fresh = Client::tiny();
            let alone = fresh.reply(prompt.clone(), params);
            assert_eq!(tokens.collect::<Vec<_>>(), alone.tokens, "lane {at}");
            assert_eq!(end.map(|(reason, _)| reason), Some(&alone.reason));
            assert!(at > 0 || end.map(|(_, seed)| seed) == Some(1), "a lane has the seed that it was given");
        }
    }
}

#[test]
fn a_cancel_stops_its_variant_within_a_token_and_no_other() {
    // A tiny model would have filled its context before the cancel comes; this one counts on.
    let mut client = Client::smollm2(None);
    let id = client.id();
    let variants = vec![GenerationParams { max_tokens: None, ..greedy(0) }, greedy(20)];
    client.worker.send(EngineCommand::Compare { id, prompt: raw("1, 2, 3, 4, 5, 6, 7,"), variants });
    while !matches!(client.event(), EngineEvent::VariantToken { .. }) {}
    client.send(EngineCommand::CancelVariant { id, variant: 0 });
    let mut ends = Vec::new();
    loop {
        match client.event() {
            EngineEvent::VariantFinished { variant, reason, .. } => ends.push((variant, reason)),
            event if event.is_closing() => break,
            _ => {}
        }
    }
    // The second lane may have said all before the cancel reaches the first.
    ends.sort_by_key(|&(variant, _)| variant);
    assert_eq!(ends, [(0, FinishReason::Cancelled), (1, FinishReason::Length)]);
}

#[test]
fn without_a_model_every_request_says_so() {
    let mut client = Client { worker: WorkerHandle::spawn(sandbox()), next: 0 };
    let error = client.load(ModelPlace::Path("/no/such/file.gguf".into()), LoadParams::default()).unwrap_err();
    assert!(error.contains("/no/such/file.gguf"), "{error}");
    let id = client.id();
    let events = client.ask(EngineCommand::Count { id, prompt: raw("x"), max_tokens: None });
    assert!(matches!(&events[..], [EngineEvent::Failed { error, .. }] if error.contains("no model is loaded")));
}

/// Dropping the handle in the middle of an endless reply ends the thread soon.
#[test]
fn dropping_the_handle_stops_what_runs() {
    let mut client = Client::smollm2(None);
    let mut params = open(1, 0);
    params.max_tokens = None;
    client.send_generate(raw("Once"), params);
    while !matches!(client.event(), EngineEvent::Token { .. }) {}
    // Joins the thread: without an end to the reply this would take minutes.
    let events = client.worker.events().clone();
    drop(client);
    assert!(events.iter().any(|event| matches!(event, EngineEvent::Finished { reason: FinishReason::Cancelled, .. })));
}

/// A probe of memory that gives these answers in turn, and afterwards says that there is enough.
macro_rules! scripted_memory {
    ($answers:ident, $probe:ident) => {
        static $answers: Mutex<VecDeque<u64>> = Mutex::new(VecDeque::new());
        fn $probe() -> Option<u64> {
            Some($answers.lock().unwrap().pop_front().unwrap_or(u64::MAX))
        }
    };
}

fn on_one_thread() -> LoadParams {
    LoadParams { threads: Some(1), ..LoadParams::default() }
}

fn with_memory(probe: fn() -> Option<u64>) -> Resources {
    Resources { memory: MemoryProbe(probe), ..Resources::from(sandbox()) }
}

#[test]
fn where_two_models_do_not_fit_the_old_one_goes_first_and_comes_back_if_the_new_one_fails() {
    scripted_memory!(ANSWERS, memory);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama.Q8_0.gguf");
    let mut client = Client::on(with_memory(memory), ModelPlace::Synthetic("tiny".into()), on_one_thread());
    // Too little for a second model until the first is gone.
    ANSWERS.lock().unwrap().extend([10]);
    assert_eq!(client.load(ModelPlace::Path(path.clone()), on_one_thread()).unwrap().name, "tiny-llama");
    ANSWERS.lock().unwrap().extend([10, 10]);
    let error = client.load(ModelPlace::Path(path), on_one_thread()).unwrap_err();
    assert!(error.contains("its weights take 0.1 MB, and 0.0 MB of memory are free"), "{error}");
    let params = GenerationParams { max_tokens: Some(3), ..GenerationParams::default() };
    assert_eq!(client.reply(Prompt::Raw("The licence".into()), params).tokens.len(), 3, "the old model is back");
}

#[test]
fn a_model_that_cannot_come_back_is_said_to_be_lost() {
    scripted_memory!(ANSWERS, memory);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama.Q8_0.gguf");
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone.gguf");
    std::fs::copy(&fixture, &gone).unwrap();
    let mut client = Client::on(with_memory(memory), ModelPlace::Path(gone.clone()), on_one_thread());
    std::fs::remove_file(&gone).unwrap();
    ANSWERS.lock().unwrap().extend([10, 10]);
    let error = client.load(ModelPlace::Path(fixture.clone()), on_one_thread()).unwrap_err();
    assert!(error.contains("of memory are free") && error.contains("cannot be loaded again"), "{error}");
    assert_eq!(client.load(ModelPlace::Path(fixture), on_one_thread()).unwrap().name, "tiny-llama");
}

#[test]
fn a_load_is_cancelled_and_the_former_model_stays() {
    let mut client = Client::tiny();
    let id = client.id();
    client.send(EngineCommand::Load { id, place: ModelPlace::Synthetic("gpt2".into()), params: on_one_thread() });
    client.cancel(id);
    let end = loop {
        let event = client.event();
        if event.is_closing() {
            break event;
        }
    };
    assert!(matches!(&end, EngineEvent::Failed { id: of, error } if *of == id && error.contains("stopped")), "{end:?}");
    assert_eq!(client.reply(raw("abc"), open(1, 3)).tokens.len(), 3);
}

#[test]
fn a_program_without_a_model_inside_says_so() {
    let mut client = Client::tiny();
    let error = client.load(ModelPlace::Embedded, on_one_thread()).unwrap_err();
    assert!(error.contains("no model inside") && error.contains("--model"), "{error}");
}

#[test]
fn a_cancel_stops_a_template_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endless.jinja");
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    std::fs::write(&path, format!("{endless}{{{{ messages[-1].content }}}}")).unwrap();
    let mut client = Client::tiny();
    let prompt = |text: &str| Prompt::Chat {
        messages: vec![Message::new(Role::User, text)],
        template: TemplateChoice::File(path.clone()),
        thinking: None,
    };
    let id = client.send_generate(prompt("one"), GenerationParams::default());
    client.worker.send(EngineCommand::Cancel { id });
    let event = client.event();
    assert!(matches!(event, EngineEvent::Finished { reason: FinishReason::Cancelled, .. }), "{event:?}");
    let id = client.id();
    client.worker.send(EngineCommand::Compare {
        id,
        prompt: prompt("two"),
        variants: vec![GenerationParams::default()],
    });
    client.worker.send(EngineCommand::Cancel { id });
    let event = client.event();
    assert!(matches!(&event, EngineEvent::Failed { error, .. } if error.contains("no longer wanted")), "{event:?}");
    // So are a prompt that is only shown, a draft that is measured, and the question what the template can do.
    type Asks = fn(RequestId, Prompt, TemplateChoice) -> EngineCommand;
    let asks: [Asks; 3] = [
        |id, prompt, _| EngineCommand::Count { id, prompt, max_tokens: None },
        |id, prompt, _| EngineCommand::Measure { id, prompt, draft: true, max_tokens: None },
        |id, _, template| EngineCommand::DescribeTemplate { id, template },
    ];
    for (at, ask) in asks.into_iter().enumerate() {
        let id = client.id();
        client.worker.send(ask(id, prompt(&format!("asked {at}")), TemplateChoice::File(path.clone())));
        client.worker.send(EngineCommand::Cancel { id });
        let event = client.event();
        assert!(matches!(&event, EngineEvent::Failed { error, .. } if error.contains("no longer wanted")), "{event:?}");
    }
    // What else was sent meanwhile is carried out, and a template has a process again.
    let id = client.send_generate(prompt("three"), GenerationParams::default());
    let next = client.send_generate(raw("in a"), open(1, 2));
    client.worker.send(EngineCommand::Cancel { id });
    let mut closed = Vec::new();
    while closed.len() < 2 {
        closed.extend(Some(client.event()).filter(EngineEvent::is_closing).and_then(|event| event.request()));
    }
    assert_eq!(closed, [id, next]);
}
