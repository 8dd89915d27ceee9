//! Scores of a prompt, as the engine's thread gives them.

use super::*;
use crate::chat::{Message, Role};
use crate::worker::protocol::TemplateChoice;
use std::path::Path;

const REPLY: RequestId = RequestId(20);

fn loaded(place: ModelPlace, context: Option<usize>) -> WorkerHandle {
    let worker = WorkerHandle::spawn(sandbox());
    let params = LoadParams { context, ..LoadParams::default() };
    let events = request(&worker, EngineCommand::Load { id: RequestId(1), place, params });
    assert!(matches!(events.last(), Some(EngineEvent::Loaded { .. })), "{events:?}");
    worker
}

fn smollm2() -> WorkerHandle {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    loaded(ModelPlace::Path(path), Some(512))
}

fn chat(messages: &[(Role, &str)]) -> Prompt {
    let messages = messages.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    Prompt::Chat { messages, template: TemplateChoice::Model, thinking: None }
}

fn score(worker: &WorkerHandle, prompt: Prompt, from: usize) -> (Vec<PromptToken>, usize) {
    let id = RequestId(30);
    let mut events = request(worker, EngineCommand::ScorePrompt { id, prompt, from, candidates: 3 });
    match events.pop() {
        Some(EngineEvent::PromptScored { tokens, context_used, .. }) => (tokens, context_used),
        other => panic!("{other:?}"),
    }
}

fn reply(worker: &WorkerHandle, prompt: Prompt) -> (Vec<TokenTrace>, usize) {
    let sampling = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let params = GenerationParams { sampling, max_tokens: Some(12), ..GenerationParams::default() };
    let events = request(worker, EngineCommand::Generate { id: REPLY, prompt, params });
    let Some(EngineEvent::Finished { stats, .. }) = events.last() else { panic!("{events:?}") };
    let reused = stats.reused_tokens;
    let traces = events.into_iter().filter_map(|event| match event {
        EngineEvent::Token { trace, .. } => Some(trace),
        _ => None,
    });
    (traces.collect(), reused)
}

fn text_of(tokens: &[PromptToken], message: usize) -> String {
    let of = |token: &&PromptToken| token.content.as_ref().is_some_and(|(at, _)| *at == message);
    tokens.iter().filter(of).map(|token| token.text.as_str()).collect()
}

/// Each token is of the message that it is part of, a reply is as probable as when it was drawn, and the next turn finds
/// the prompt in the cache.
#[test]
fn a_chat_is_scored_as_the_model_sees_it_and_stays_in_the_cache() {
    let worker = smollm2();
    let question = "Write 😀 and 漢字, then say what the capital of France is.";
    let mut messages = vec![(Role::System, "Be brief."), (Role::User, question)];
    let (traces, _) = reply(&worker, chat(&messages));
    let said: String = traces.iter().map(|trace| trace.text.as_str()).collect();
    messages.push((Role::Assistant, &said));
    let (tokens, used) = score(&worker, chat(&messages), 0);
    assert_eq!(tokens.len(), used);
    for (at, (_, text)) in messages.iter().enumerate() {
        assert_eq!(text_of(&tokens, at), *text);
    }
    assert!(tokens[0].score.is_none() && tokens[1..].iter().all(|token| token.score.is_some()));
    assert_eq!((tokens[0].text.as_str(), &tokens[0].content), ("<|im_start|>", &None));
    let place = tokens.iter().find(|token| token.text.contains('漢')).and_then(|token| token.content.clone());
    let (message, range) = place.expect("a place");
    assert_eq!((message, &question[range]), (1, "漢"));

    let scored = &tokens[tokens.len() - traces.len()..];
    for (trace, token) in traces.iter().zip(scored) {
        let score = token.score.as_ref().unwrap();
        assert_eq!(trace.token, token.token);
        assert!((trace.logprob - score.logprob).abs() < 0.3, "{trace:?} {score:?}");
        assert_eq!((score.rank, score.candidates.len()), (0, 3), "the most probable one was drawn: {score:?}");
    }

    messages.push((Role::User, "Go on."));
    let (_, reused) = reply(&worker, chat(&messages));
    assert!(reused >= used - 1, "{reused} of {used}");
    let (rest, all) = score(&worker, chat(&messages), 3);
    assert_eq!(text_of(&rest, 3), "Go on.");
    assert_eq!(rest.first().map(|token| token.text.as_str()), Some("<|im_end|>"), "the end of the reply before it");
    assert!(all > used && rest.iter().all(|token| token.score.is_some()));
}

#[test]
fn turns_that_were_dropped_are_not_scored() {
    let worker = loaded(ModelPlace::Synthetic("tiny".into()), None);
    let long = "x".repeat(30);
    let mut messages = vec![(Role::System, "sys")];
    for _ in 0..4 {
        messages.extend([(Role::User, long.as_str()), (Role::Assistant, " ok")]);
    }
    messages.push((Role::User, "and now?"));
    let (tokens, used) = score(&worker, chat(&messages), 0);
    assert!(used <= 128 && tokens.len() == used);
    assert_eq!((text_of(&tokens, 0), text_of(&tokens, 1)), ("sys".to_owned(), String::new()));
    assert_eq!(text_of(&tokens, 9), "and now?");
}

#[test]
fn scoring_is_stopped_and_the_next_request_is_served() {
    let worker = smollm2();
    let id = RequestId(30);
    let messages = [(Role::User, "word ".repeat(300))].map(|(role, text)| Message::new(role, text)).to_vec();
    let prompt = Prompt::Chat { messages, template: TemplateChoice::Model, thinking: None };
    worker.send(EngineCommand::ScorePrompt { id, prompt: prompt.clone(), from: 0, candidates: 3 });
    worker.send(EngineCommand::Cancel { id });
    let mut events = std::iter::from_fn(|| worker.events().recv_timeout(Duration::from_secs(60)).ok());
    let Some(EngineEvent::Failed { error, .. }) = events.find(EngineEvent::is_closing) else { panic!("no end") };
    assert!(error.contains("stopped"), "{error}");
    let (traces, _) = reply(&worker, prompt.clone());
    let again = reply(&smollm2(), prompt).0;
    let ids = |traces: &[TokenTrace]| traces.iter().map(|trace| trace.token).collect::<Vec<_>>();
    assert_eq!(ids(&traces), ids(&again));
}
