//! What a comparison leaves behind.

use super::*;

const PROMPT: &str = "Once upon a time, there was a";

/// What each lane has said.
fn compare(client: &mut Client, variants: &[GenerationParams]) -> Vec<String> {
    let (id, params) = (client.id(), variants.to_vec());
    let events = client.ask(EngineCommand::Compare { id, prompt: raw(PROMPT), variants: params });
    let said = |at: usize| {
        let traces = events.iter().filter_map(move |event| match event {
            EngineEvent::VariantToken { variant, trace, .. } if *variant == at => Some(trace.text.as_str()),
            _ => None,
        });
        traces.collect()
    };
    (0..variants.len()).map(said).collect()
}

/// Whichever lane the conversation goes on from, as much is computed already as if there had been no other, and what comes
/// is the same; the others are there until a reply is asked for.
#[test]
fn the_variant_that_is_kept_is_computed_already() {
    let variants = [greedy(12), open(7, 12), open(8, 12)];
    let mut client = Client::smollm2(None);
    let said = compare(&mut client, &variants);
    let next: Vec<Prompt> = said.iter().map(|said| raw(&format!("{PROMPT}{said} and then"))).collect();
    let alone = |at: usize| {
        let mut client = Client::smollm2(None);
        assert_eq!(client.reply(raw(PROMPT), variants[at].clone()).text, said[at]);
        client.reply(next[at].clone(), greedy(6))
    };
    let expected: Vec<Reply> = (0..variants.len()).map(alone).collect();
    let prompt = client.count(raw(PROMPT)).len();
    for at in [2, 0, 1, 2] {
        let (reused, ..) = client.prefill(next[at].clone());
        assert!(reused >= expected[at].stats.reused_tokens && reused > prompt + 4, "{reused} of lane {at}");
    }
    let kept = client.reply(next[1].clone(), greedy(6));
    assert!(kept.stats.reused_tokens >= expected[1].stats.reused_tokens, "{:?}", kept.stats);
    assert_eq!(kept.text, expected[1].text);
    for other in [0, 2] {
        let (reused, ..) = client.prefill(next[other].clone());
        assert!(reused <= prompt + 1, "{reused}: the others are given up with the next reply");
    }
}

#[test]
fn the_kept_variant_need_not_be_computed_ahead() {
    let variants = [greedy(12), open(7, 12)];
    let mut client = Client::smollm2(None);
    let said = compare(&mut client, &variants);
    let next = raw(&format!("{PROMPT}{} and then", said[1]));
    let mut alone = Client::smollm2(None);
    alone.reply(raw(PROMPT), variants[1].clone());
    let (expected, kept) = (alone.reply(next.clone(), greedy(6)), client.reply(next, greedy(6)));
    assert_eq!((kept.stats.reused_tokens, kept.text), (expected.stats.reused_tokens, expected.text));
}

#[test]
fn the_last_token_of_each_variant_can_be_reshaped() {
    let mut client = Client::smollm2(None);
    let params = [open(7, 6), open(8, 6)].map(|params| GenerationParams { candidates: 4, ..params });
    let (id, variants) = (client.id(), params.to_vec());
    let events = client.ask(EngineCommand::Compare { id, prompt: raw(PROMPT), variants });
    for (at, params) in params.into_iter().enumerate() {
        let drawn = events.iter().rev().find_map(|event| match event {
            EngineEvent::VariantToken { variant, trace, .. } if *variant == at => Some(trace.candidates.clone()),
            _ => None,
        });
        let (id, of) = (client.id(), ReplyRef { request: id, variant: at });
        match client.ask(EngineCommand::Preview { id, of, sampling: params.sampling, candidates: 4 }).pop() {
            Some(EngineEvent::Distribution { distribution, .. }) => assert_eq!(Some(distribution.candidates), drawn),
            other => panic!("{other:?}"),
        }
    }
}
