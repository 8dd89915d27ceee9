//! The promises, while a reply is paused.

use super::*;
use gibber::worker::protocol::{Replay, Steer, Stepping};

/// A reply that begins paused.
pub(super) fn stepping(seed: u64, max_tokens: usize) -> GenerationParams {
    GenerationParams { stepping: Stepping::FromStart, candidates: 3, ..open(seed, max_tokens) }
}

impl Client {
    /// Events up to the first that is wanted.
    pub(super) fn until(&self, wanted: fn(&EngineEvent) -> bool) -> Vec<EngineEvent> {
        let mut events = vec![self.event()];
        while !wanted(&events[events.len() - 1]) {
            events.push(self.event());
        }
        events
    }

    pub(super) fn until_paused(&self) -> Vec<EngineEvent> {
        self.until(|event| matches!(event, EngineEvent::Paused { .. }))
    }

    pub(super) fn steer(&self, id: RequestId, steer: Steer) -> Vec<EngineEvent> {
        self.worker.send(EngineCommand::Steer { id, steer });
        self.until_paused()
    }

    fn go_on(&self, id: RequestId) -> Reply {
        self.worker.send(EngineCommand::Resume { id });
        gather(&self.until(EngineEvent::is_closing))
    }
}

pub(super) fn tops(events: &[EngineEvent]) -> Vec<TokenId> {
    let Some(EngineEvent::Paused { distribution, .. }) = events.last() else { panic!("{events:?}") };
    distribution.candidates.iter().map(|candidate| candidate.token).collect()
}

fn emitted(events: &[EngineEvent]) -> Vec<(TokenId, bool)> {
    let token = |event: &EngineEvent| match event {
        EngineEvent::Token { trace, .. } => Some((trace.token, trace.picked)),
        _ => None,
    };
    events.iter().filter_map(token).collect()
}

#[test]
fn tokens_are_drawn_picked_and_taken_back_and_the_logs_replay_it() {
    let mut client = Client::tiny();
    let play = |client: &mut Client| {
        let id = client.send_generate(raw("Hello"), stepping(4, 8));
        let first = tops(&client.until_paused());
        let events = client.steer(id, Steer::Draw);
        assert_eq!(emitted(&events).len(), 1);
        assert!(!emitted(&events)[0].1);
        let second = tops(&events);
        let events = client.steer(id, Steer::Pick(second[1]));
        assert_eq!(emitted(&events), [(second[1], true)]);
        for (left, expected) in [(1, &second), (0, &first)] {
            let events = client.steer(id, Steer::TakeBack);
            assert!(matches!(events[0], EngineEvent::TakenBack { tokens, .. } if tokens == left), "{events:?}");
            assert_eq!(&tops(&events), expected, "the distribution steps back as well");
        }
        let events = client.steer(id, Steer::TakeBack);
        assert!(matches!(events[..], [EngineEvent::Paused { .. }]), "there is no token before the first: {events:?}");
        client.steer(id, Steer::Pick(first[0]));
        client.go_on(id)
    };
    let reply = play(&mut client);
    assert_eq!(reply.stats.completion_tokens, 8);
    let log = &reply.stats.steer_log;
    let back = Steer::TakeBack;
    assert!(matches!(log[..], [(1, Steer::Pick(_)), (2, b), (2, c), (2, Steer::Pick(_))] if b == back && c == back));
    assert_eq!(reply.stats.picked_tokens, 1);
    // The prompt, and the reply but for its last token, which nobody has computed.
    assert_eq!(reply.context_used, 5 + 8 - 1);
    let again = play(&mut client);
    assert_eq!((again.tokens, again.stats.steer_log), (reply.tokens, reply.stats.steer_log));
}

/// Invariants 1, 3 and 6: waiting for a person is no reason to be late.
#[test]
fn a_cancel_closes_a_paused_reply_and_what_was_chosen_stays() {
    let mut client = Client::tiny();
    let letters = client.count(raw("ab"));
    let id = client.send_generate(raw("Hello"), stepping(4, 50));
    client.until_paused();
    let mut kept = Vec::new();
    for letter in letters {
        kept.extend(emitted(&client.steer(id, Steer::Pick(letter))));
    }
    assert_eq!(kept.len(), 2);
    client.steer(id, Steer::TakeBack);
    client.cancel(id);
    let reply = gather(&client.until(EngineEvent::is_closing));
    assert_eq!((reply.reason, reply.stats.completion_tokens), (FinishReason::Cancelled, 1));
    assert_eq!((client.held("Helloa"), reply.context_used), (6, 6), "the cache is cut to what the reply holds");
    // What still comes for it has no effect, and the next reply is not touched.
    for command in
        [EngineCommand::Pause { id }, EngineCommand::Resume { id }, EngineCommand::Steer { id, steer: Steer::Draw }]
    {
        client.worker.send(command);
    }
    assert_eq!(client.reply(raw("Hello"), open(4, 5)).tokens.len(), 5);
}

/// A client that leaves joins the thread: that would take for ever.
#[test]
fn leaving_while_a_reply_is_paused_ends_the_thread() {
    let mut client = Client::tiny();
    let id = client.send_generate(raw("Hello"), stepping(4, 50));
    client.until_paused();
    client.steer(id, Steer::Draw);
    let waiting = client.id();
    client.worker.send(EngineCommand::Score { id: waiting, text: "later".into() });
    let events = client.worker.events().clone();
    drop(client);
    let closed: Vec<_> = events.iter().filter(EngineEvent::is_closing).collect();
    let [EngineEvent::Finished { reason: FinishReason::Cancelled, .. }, EngineEvent::Failed { id, .. }] = &closed[..]
    else {
        panic!("{closed:?}")
    };
    assert_eq!(*id, waiting);
}

#[test]
fn sampling_preview_and_count_act_at_once_while_it_is_paused() {
    let mut client = Client::tiny();
    let id = client.send_generate(raw("Hello"), stepping(4, 3));
    client.until_paused();
    let sampling = SamplingParams { top_k: 1, ..open(4, 3).sampling };
    client.worker.send(EngineCommand::SetSampling { id, sampling: sampling.clone(), open: vec![] });
    let events = client.until_paused();
    let Some(EngineEvent::Paused { distribution, .. }) = events.last() else { panic!("{events:?}") };
    assert!(distribution.candidates[1].cut_by.is_some() && events.len() == 1, "{events:?}");
    let (preview, of) = (client.id(), ReplyRef { request: id, variant: 0 });
    let wide = SamplingParams { top_k: 2, ..sampling.clone() };
    let answer = client.ask(EngineCommand::Preview { id: preview, of, sampling: wide, candidates: 3 });
    let [EngineEvent::Distribution { distribution, .. }] = &answer[..] else { panic!("{answer:?}") };
    assert!(distribution.candidates[1].cut_by.is_none() && distribution.candidates[2].cut_by.is_some());
    let refused = SamplingParams { top_p: 7.0, ..sampling.clone() };
    let id_refused = client.id();
    let answer = client.ask(EngineCommand::Preview { id: id_refused, of, sampling: refused, candidates: 3 });
    assert!(matches!(answer[..], [EngineEvent::Failed { .. }]), "{answer:?}");
    assert_eq!(client.count(raw("Hello")).len(), 5);
    let reply = client.go_on(id);
    assert_eq!(reply.stats.sampling_log[1], (0, sampling));
    assert_eq!(reply.tokens.len(), 3);
}

#[test]
fn a_running_reply_is_paused_before_its_next_token_and_drafts_do_not_show() {
    let mut client = Client::smollm2(None);
    let text =
        "one two three four five six seven eight nine ten. one two three four five six seven eight nine ten. one";
    let mut whole = greedy(40);
    whole.lookup = PromptLookup::On;
    let plain = client.reply(raw(text), whole.clone());
    assert!(plain.stats.accepted_tokens > 5, "{:?}", plain.stats);
    whole.stepping = Stepping::OnDemand;
    let id = client.send_generate(raw(text), whole);
    client.worker.send(EngineCommand::Pause { id });
    let mut tokens: Vec<TokenId> = emitted(&client.until_paused()).iter().map(|token| token.0).collect();
    // Step by step through what was drafted, each time one back and on again.
    for _ in 0..6 {
        tokens.extend(emitted(&client.steer(id, Steer::Draw)).iter().map(|token| token.0));
        let after = client.steer(id, Steer::TakeBack);
        assert_eq!(tops(&after)[0], tokens[tokens.len() - 1], "greedy: the first of the list is what was drawn");
        client.steer(id, Steer::Draw);
    }
    assert_eq!(tokens, plain.tokens[..tokens.len()]);
    assert_eq!(client.go_on(id).tokens, plain.tokens[tokens.len()..]);
}

#[test]
fn an_end_of_turn_that_is_picked_ends_the_reply() {
    let mut client = Client::smollm2(None);
    let params = GenerationParams { stepping: Stepping::FromStart, ..greedy(30) };
    let id = client.send_generate(chat(&[(Role::User, "What is the capital of France?")]), params);
    client.until_paused();
    client.steer(id, Steer::Draw);
    // <|im_end|>, which was not to come yet.
    client.worker.send(EngineCommand::Steer { id, steer: Steer::Pick(2) });
    let reply = gather(&client.until(EngineEvent::is_closing));
    assert_eq!((reply.reason, reply.tokens.len()), (FinishReason::EndOfTurn, 0));
    assert_eq!((reply.stats.completion_tokens, reply.stats.steer_log.clone()), (1, vec![(1, Steer::Pick(2))]));
}

#[test]
fn without_stepping_nothing_can_be_paused() {
    let mut client = Client::tiny();
    let id = client.send_generate(raw("Hello"), open(4, 20));
    client.worker.send(EngineCommand::Pause { id });
    let events = client.until(EngineEvent::is_closing);
    assert!(!events.iter().any(|event| matches!(event, EngineEvent::Paused { .. })));
    assert_eq!(gather(&events).tokens.len(), 20);
}

/// The tokens that are part of the reply in the end.
fn kept(events: &[EngineEvent]) -> Vec<TokenId> {
    let mut kept = Vec::new();
    for event in events {
        match event {
            EngineEvent::Token { trace, .. } => kept.push(trace.token),
            EngineEvent::TakenBack { tokens, .. } => kept.truncate(*tokens),
            _ => {}
        }
    }
    kept
}

/// Invariant 4, as a request of its own: from an empty cache, whatever came before.
#[test]
fn a_reply_is_computed_again_from_its_logs() {
    let mut client = Client::tiny();
    let prompt = || raw("Hello to all the foxes, dogs, cats, birds and trees of this world");
    // The prompt is partly there, computed token by token, when the reply is asked for.
    client.reply(raw("Hello to all"), open(9, 12));
    let id = client.send_generate(prompt(), stepping(4, 9));
    let mut events = client.until_paused();
    events.extend(client.steer(id, Steer::Pick(tops(&events)[2])));
    let sampling = SamplingParams { temperature: 1.7, top_k: 3, ..open(4, 9).sampling };
    client.worker.send(EngineCommand::SetSampling { id, sampling, open: vec![] });
    events.extend(client.until_paused());
    for steer in [Steer::Draw, Steer::Draw, Steer::TakeBack, Steer::TakeBack, Steer::Draw] {
        events.extend(client.steer(id, steer));
    }
    client.worker.send(EngineCommand::Resume { id });
    events.extend(client.until(EngineEvent::is_closing));
    let (tokens, Reply { reason, stats, .. }) = (kept(&events), gather(&events));
    assert_eq!(tokens.len(), stats.completion_tokens);
    client.reply(raw("Something else"), open(1, 5));
    let mut again = |ends, tokens| {
        let (sampling, steps) = (stats.sampling_log.clone(), stats.steer_log.clone());
        let replay = Replay { sampling, steps, passes: stats.passes.clone(), tokens: vec![0; tokens], ends };
        let params = GenerationParams { replay: Some(Box::new(replay)), ..open(4, 9) };
        client.send_generate(prompt(), params);
        let events = client.until(EngineEvent::is_closing);
        (kept(&events), gather(&events))
    };
    let (found, reply) = again(true, tokens.len());
    assert_eq!((found, &reply.reason), (tokens.clone(), &reason));
    assert_eq!((&reply.stats.steer_log, &reply.stats.sampling_log), (&stats.steer_log, &stats.sampling_log));
    assert_eq!((reply.stats.prompt_hash, &reply.stats.passes), (stats.prompt_hash, &stats.passes));
    let (found, reply) = again(false, 4);
    assert_eq!((&found[..4], reply.reason), (&tokens[..4], FinishReason::Cancelled), "it is stopped there again");
}
