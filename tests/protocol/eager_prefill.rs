//! Prompts that are computed, and measured, before their reply is asked for.

use super::*;

impl Client {
    pub(super) fn prefill(&mut self, prompt: Prompt) -> (usize, usize, usize) {
        let id = self.id();
        let command = EngineCommand::Prefill { id, prompt, max_tokens: None };
        prefilled(self.ask(command).last())
    }

    fn measure(&mut self, prompt: Prompt, draft: bool) -> ContextParts {
        let id = self.id();
        match self.ask(EngineCommand::Measure { id, prompt, draft, max_tokens: None }).pop() {
            Some(EngineEvent::Measured { parts, .. }) => parts,
            other => panic!("{other:?}"),
        }
    }

    fn preview(&mut self, of: ReplyRef) -> Distribution {
        let id = self.id();
        let sampling = SamplingParams { repeat_penalty: 1.5, ..SamplingParams::default() };
        match self.ask(EngineCommand::Preview { id, of, sampling, candidates: 10 }).pop() {
            Some(EngineEvent::Distribution { distribution, .. }) => distribution,
            other => panic!("{other:?}"),
        }
    }
}

fn prefilled(event: Option<&EngineEvent>) -> (usize, usize, usize) {
    match event {
        Some(EngineEvent::Prefilled { reused, done, total, .. }) => (*reused, *done, *total),
        other => panic!("{other:?}"),
    }
}

const CAPITALS: [(Role, &str); 3] = [
    (Role::User, "What is the capital of France?"),
    (Role::Assistant, "The capital of France is Paris."),
    (Role::User, "And what is the capital of Italy?"),
];

#[test]
fn a_prompt_computed_ahead_leaves_one_token_to_compute_and_the_same_reply() {
    let expected = Client::smollm2(None).reply(chat(&CAPITALS), greedy(12));
    let mut client = Client::smollm2(None);
    let tokens = client.count(chat(&CAPITALS)).len();
    assert_eq!(client.prefill(chat(&CAPITALS)), (0, tokens - 1, tokens - 1));
    // What is typed on: only what differs is computed.
    let mut longer = CAPITALS;
    longer[2].1 = "And what is the capital of Italy, please?";
    let (reused, done, total) = client.prefill(chat(&longer));
    assert!(reused > tokens - 12 && done == total, "{reused} of {total}");
    assert!(client.prefill(chat(&CAPITALS)).0 > tokens - 12);
    let reply = client.reply(chat(&CAPITALS), greedy(12));
    assert_eq!((reply.text, reply.stats.reused_tokens), (expected.text, tokens - 1));
    assert_eq!(reply.prefill[0], (tokens - 1, tokens - 1, tokens));
}

/// A command that follows is never kept waiting for the rest of the prompt.
#[test]
fn computing_ahead_gives_way_to_what_comes_after_it() {
    let story = "It was a dark and stormy night; the rain fell in torrents. ".repeat(20);
    let mut client = Client::smollm2(None);
    let id = client.id();
    client.send(EngineCommand::Prefill { id, prompt: raw(&story), max_tokens: None });
    // It is at work once this is answered.
    let measure = client.id();
    client.worker.send(EngineCommand::Measure { id: measure, prompt: raw("x"), draft: true, max_tokens: None });
    assert!(matches!(client.event(), EngineEvent::Measured { id, .. } if id == measure));
    let question = raw("The capital of France is");
    client.send_generate(question.clone(), greedy(6));
    let (_, done, total) = prefilled(Some(&client.event()));
    assert!(done < total, "{done} of {total}");
    let mut events = vec![client.event()];
    while !events.last().unwrap().is_closing() {
        events.push(client.event());
    }
    assert_eq!(gather(&events).text, Client::smollm2(None).reply(question, greedy(6)).text);

    // At work while the other comes and is cancelled.
    let counted = client.id();
    client.send(EngineCommand::Score { id: counted, text: story.clone() });
    let id = client.id();
    client.send(EngineCommand::Prefill { id, prompt: raw(&story), max_tokens: None });
    client.cancel(id);
    assert!(matches!(client.event(), EngineEvent::Scored { id, .. } if id == counted));
    assert_eq!(prefilled(Some(&client.event())), (0, 0, 0), "cancelled before it began");
}

#[test]
fn a_preview_is_of_its_reply_while_the_next_prompt_is_computed() {
    let mut client = Client::tiny();
    let reply = client.reply(raw("the quick brown fox"), open(3, 8));
    let before = client.preview(reply.of);
    let mut next = format!("the quick brown fox{}", reply.text);
    next.push_str(" and then");
    let (_, done, _) = client.prefill(raw(&next));
    assert!(done > reply.context_used, "{done}");
    assert_eq!(client.preview(reply.of), before);
    client.prefill(raw("something else"));
    assert_eq!(client.preview(reply.of), before);
    let other = client.reply(raw("another"), open(4, 3));
    assert_ne!(client.preview(other.of), before);
    assert_eq!(client.preview(reply.of), before);
}

#[test]
fn a_prompt_is_counted_as_it_would_be_asked() {
    let long = "x".repeat(30);
    let mut messages = vec![(Role::System, "sys")];
    for _ in 0..4 {
        messages.extend([(Role::User, long.as_str()), (Role::Assistant, " ok")]);
    }
    messages.push((Role::User, "and now?"));
    let mut client = Client::tiny();
    let parts = client.measure(chat(&messages), true);
    let id = client.id();
    match client.ask(EngineCommand::Count { id, prompt: chat(&messages), max_tokens: None }).pop() {
        Some(EngineEvent::Counted { tokens, dropped, text, .. }) => {
            assert_eq!((tokens.len(), &dropped), (parts.total(), &parts.dropped));
            assert!(tokens.len() <= parts.context && !dropped.is_empty() && text.matches(&long).count() < 4, "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_parts_of_the_context_add_up_to_the_prompt() {
    let mut client = Client::smollm2(None);
    let draft = CAPITALS[2].1;
    let parts = client.measure(chat(&CAPITALS), true);
    assert_eq!(parts.total(), client.count(chat(&CAPITALS)).len());
    assert_eq!((parts.draft_text, parts.dropped.len()), (client.count(raw(draft)).len(), 0));
    // The draft, the end of its turn and the opening of the reply.
    let end = client.count(raw("<|im_end|>\n<|im_start|>assistant\n")).len();
    assert_eq!(parts.draft, parts.draft_text + end);
    // The model's own system message, up to where the first question begins.
    let opening = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
                   <|im_start|>user\n";
    assert_eq!(parts.system, client.count(raw(opening)).len());
    assert_eq!(parts.room(), Some(parts.context - parts.total()));
    let path = client.measure(chat(&CAPITALS[..2]), false);
    assert_eq!((path.draft, path.draft_text, path.system), (0, 0, parts.system));
    assert_eq!(path.total(), client.count(chat(&CAPITALS[..2])).len());
    let empty = client.measure(chat(&[]), false);
    assert_eq!((empty.system, empty.total()), (parts.system, parts.system));
    let first = client.measure(chat(&CAPITALS[..1]), true);
    assert_eq!((first.turns, first.draft), (0, first.total() - parts.system));
}

#[test]
fn turns_that_are_said_to_go_are_those_that_go() {
    let long = "x".repeat(30);
    let mut messages = vec![(Role::System, "sys")];
    for _ in 0..4 {
        messages.extend([(Role::User, long.as_str()), (Role::Assistant, " ok")]);
    }
    messages.push((Role::User, "and now?"));
    let mut client = Client::tiny();
    let said = client.measure(chat(&messages), true);
    assert!(!said.dropped.is_empty());
    client.prefill(chat(&messages));
    let reply = client.reply(chat(&messages), open(1, 3));
    assert_eq!(reply.dropped.last(), Some(&said.dropped));
    assert_eq!((reply.stats.prompt_tokens, reply.stats.reused_tokens), (said.total(), said.total() - 1));

    let too_long = "y".repeat(200);
    let parts = client.measure(chat(&[(Role::User, &too_long)]), true);
    assert_eq!((parts.room(), parts.draft_text), (None, 200));
    let id = client.id();
    let prompt = chat(&[(Role::User, &too_long)]);
    let events = client.ask(EngineCommand::Prefill { id, prompt, max_tokens: None });
    assert!(matches!(events.last(), Some(EngineEvent::Failed { .. })), "{events:?}");
}

#[test]
fn a_prompt_is_measured_between_the_tokens_of_a_reply() {
    let mut client = Client::smollm2(None);
    let params = GenerationParams { max_tokens: None, ..greedy(1) };
    let reply = client.send_generate(raw("Once upon a time, there was a"), params);
    while !matches!(client.event(), EngineEvent::Token { .. }) {}
    let id = client.id();
    client.worker.send(EngineCommand::Measure { id, prompt: chat(&CAPITALS), draft: true, max_tokens: None });
    loop {
        match client.event() {
            EngineEvent::Measured { id: of, parts } => {
                assert_eq!((of, parts.draft_text), (id, 8));
                break;
            }
            event => assert!(!event.is_closing(), "the reply goes on: {event:?}"),
        }
    }
    client.cancel(reply);
    let end = loop {
        let event = client.event();
        if event.is_closing() {
            break event;
        }
    };
    assert!(matches!(end, EngineEvent::Finished { id, .. } if id == reply), "{end:?}");
}
