//! Several replies to one prompt, side by side: the prompt is computed once, then one forward pass gives each lane a token.
//!
//! A lane has a cache of its own, into which the prompt's keys and values are copied; the weights are read once for all
//! lanes. A pass of so few tokens computes each with the same sums as one token alone, so what a lane says is what
//! [`generate`](super::generate) says with the same options, bit by bit. Nothing is drafted in passes that are shared.

use std::time::Instant;

use super::{Control, EngineError, FinishReason, GenerateOptions, Inference, Reply, TokenId, Tokenizer, lap};

/// One of the replies.
#[derive(Debug)]
pub struct Variant<C> {
    /// How it is generated.
    pub options: GenerateOptions,
    /// What is told of it.
    pub control: C,
}

/// Generates a reply to `prompt` for each of `variants`; each is told its end by [`Control::on_end`]. Prefill is told to the
/// first lane. Afterwards `inference` holds no more than the prompt and the reply of the first lane; those of the others
/// are returned, to go on from any of them.
///
/// # Errors
/// As [`generate`](super::generate), of any lane, and where there is no memory for a lane's cache. Tokens that were told
/// stay told.
pub fn generate_variants<C: Control>(
    inference: &mut Inference,
    tokenizer: &Tokenizer,
    prompt: Vec<TokenId>,
    variants: &mut [Variant<C>],
) -> Result<Vec<Inference>, EngineError> {
    let Some((first, others)) = variants.split_first_mut() else { return Ok(Vec::new()) };
    let mut forks = Vec::with_capacity(others.len());
    let mut leader = Reply::new(inference, tokenizer, prompt.clone(), &first.options, &mut first.control);
    let end = leader.start()?;
    for _ in 0..others.len() {
        forks.push(leader.inference.fork()?);
    }
    let (prefill_time, reused_tokens) = (leader.stats.prefill_time, leader.stats.reused_tokens);
    let passes = leader.stats.passes.clone();
    let mut replies = vec![leader];
    for (variant, fork) in others.iter_mut().zip(&mut forks) {
        let mut reply = Reply::new(fork, tokenizer, prompt.clone(), &variant.options, &mut variant.control);
        (reply.stats.prefill_time, reply.stats.reused_tokens) = (prefill_time, reused_tokens);
        reply.stats.passes = passes.clone();
        reply.control.on_start(&reply.stats);
        replies.push(reply);
    }
    let outcome = match end {
        Some(reason) => {
            replies.drain(..).for_each(|reply| end_of(reply, reason.clone()));
            Ok(())
        }
        None => go_on_together(&mut replies),
    };
    replies.iter_mut().for_each(Reply::finish);
    drop(replies);
    outcome.map(|()| forks)
}

/// A token of each after the other, until all have ended. Those of a round share a forward pass; the last lane that is
/// left goes on as any reply does, with drafts.
fn go_on_together(replies: &mut Vec<Reply<'_>>) -> Result<(), EngineError> {
    while replies.len() > 1 {
        each(replies, Reply::make_ready)?;
        share_pass(replies)?;
        each(replies, |reply| {
            // What the lanes before it took to choose is no time of its own.
            reply.lap = Instant::now();
            reply.go_on()
        })?;
    }
    while !replies.is_empty() {
        each(replies, Reply::step)?;
    }
    Ok(())
}

/// The logits that the lanes choose from next. All of them wait for the pass: its time counts for each.
fn share_pass(replies: &mut [Reply<'_>]) -> Result<(), EngineError> {
    let mut started = Instant::now();
    let due = replies.iter_mut().filter_map(|reply| {
        let last = reply.due()?;
        Some((&mut *reply.inference, last))
    });
    Inference::push_together(due)?;
    let time = lap(&mut started);
    replies.iter_mut().for_each(|reply| reply.stats.forward_time += time);
    Ok(())
}

/// Has each lane do something, in order; those that end by it leave.
fn each<'a>(
    replies: &mut Vec<Reply<'a>>,
    mut task: impl FnMut(&mut Reply<'a>) -> Result<Option<FinishReason>, EngineError>,
) -> Result<(), EngineError> {
    let mut at = 0;
    while let Some(reply) = replies.get_mut(at) {
        match task(reply)? {
            None => at += 1,
            Some(reason) => end_of(replies.remove(at), reason),
        }
    }
    Ok(())
}

fn end_of(mut reply: Reply<'_>, reason: FinishReason) {
    reply.finish();
    let stats = std::mem::take(&mut reply.stats);
    reply.control.on_end(reason, stats);
}
