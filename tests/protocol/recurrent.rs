//! What a reply can be asked for on models whose layers have a state that cannot be cut: all that others can.

use super::steer::{stepping, tops};
use super::*;
use gibber::worker::protocol::Steer;

const MODELS: [&str; 3] = ["variant-qwen3-5", "variant-qwen3-next", "variant-lfm2"];
/// Few tokens, so that they are computed with the same sums however many go together.
const PROMPT: &str = "the work";

fn client(model: &str) -> Client {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(model);
    Client::new(ModelPlace::Path(path), LoadParams { threads: Some(1), ..LoadParams::default() })
}

#[test]
fn a_reply_comes_again_behind_a_shared_beginning_and_with_drafts() {
    for model in MODELS {
        let mut client = client(model);
        assert!(client.count(raw(PROMPT)).len() <= 8);
        let expected = client.reply(raw(PROMPT), open(7, 70)).tokens;
        assert_eq!(expected.len(), 70);
        let again = client.reply(raw(PROMPT), open(7, 70));
        assert_eq!(again.tokens, expected, "{model}: asked for again");
        assert!(again.stats.reused_tokens > 0, "{model}: its prompt is there already");
        client.reply(raw("the worst"), open(3, 30));
        assert_eq!(client.reply(raw(PROMPT), open(7, 70)).tokens, expected, "{model}: behind another");
        let drafted = GenerationParams { lookup: PromptLookup::On, ..open(7, 70) };
        assert_eq!(client.reply(raw(PROMPT), drafted).tokens, expected, "{model}: with drafts");
        client.prefill(raw("the work of"));
        client.prefill(raw("the work"));
        assert_eq!(client.reply(raw(PROMPT), open(7, 70)).tokens, expected, "{model}: computed ahead");
    }
}

#[test]
fn compared_replies_are_those_that_each_is_alone() {
    for model in MODELS {
        let mut client = client(model);
        let variants = [open(1, 40), open(2, 25), greedy(40)];
        let id = client.id();
        let command = EngineCommand::Compare { id, prompt: raw(PROMPT), variants: variants.to_vec() };
        let events = client.ask(command);
        for (at, params) in variants.into_iter().enumerate() {
            let said = events.iter().filter_map(|event| match event {
                EngineEvent::VariantToken { variant, trace, .. } if *variant == at => Some(trace.token),
                _ => None,
            });
            let said: Vec<_> = said.collect();
            assert_eq!(said, client.reply(raw(PROMPT), params).tokens, "{model}, variant {at}");
        }
    }
}

/// The likeliest or the second, of those that end no reply.
fn picked(seen: &[Vec<TokenId>], step: usize) -> TokenId {
    seen[step].iter().copied().filter(|&token| token > 2).nth(step % 2).unwrap()
}

/// Back by more tokens than are kept for that, one by one, and on again.
#[test]
fn tokens_are_taken_back_step_by_step_and_the_distributions_with_them() {
    for model in MODELS {
        let mut client = client(model);
        let id = client.send_generate(raw(PROMPT), stepping(4, 60));
        let mut seen = vec![tops(&client.until_paused())];
        for step in 0..45 {
            let events = client.steer(id, Steer::Pick(picked(&seen, step)));
            seen.push(tops(&events));
        }
        for step in (5..45).rev() {
            assert_eq!(tops(&client.steer(id, Steer::TakeBack)), seen[step], "{model}: back to {step}");
        }
        for step in 5..30 {
            let events = client.steer(id, Steer::Pick(picked(&seen, step)));
            assert_eq!(tops(&events), seen[step + 1], "{model}: on again from {step}");
        }
        client.cancel(id);
        gather(&client.until(EngineEvent::is_closing));
    }
}
