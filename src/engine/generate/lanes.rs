//! Several replies to one prompt, side by side: the prompt is computed once, then each lane has a token in turn.
//!
//! A lane has a cache of its own, into which the prompt's keys and values are copied; the weights are shared. What it
//! says is what [`generate`](super::generate) says with the same options, bit by bit.

use super::{Control, EngineError, FinishReason, GenerateOptions, Inference, Reply, TokenId, Tokenizer};

/// One of the replies.
#[derive(Debug)]
pub struct Lane<C> {
    /// How it is generated.
    pub options: GenerateOptions,
    /// What is told of it.
    pub control: C,
}

/// Generates a reply to `prompt` for each of `lanes`; each is told its end by [`Control::on_end`]. Prefill is told to the
/// first lane. Afterwards `inference` holds no more than the prompt and the reply of the first lane.
///
/// # Errors
/// As [`generate`](super::generate), of any lane, and where there is no memory for a lane's cache. Tokens that were told
/// stay told.
pub fn generate_lanes<C: Control>(
    inference: &mut Inference,
    tokenizer: &Tokenizer,
    prompt: Vec<TokenId>,
    lanes: &mut [Lane<C>],
) -> Result<(), EngineError> {
    let Some((first, others)) = lanes.split_first_mut() else { return Ok(()) };
    let mut forks = Vec::with_capacity(others.len());
    let mut leader = Reply::new(inference, tokenizer, prompt.clone(), &first.options, &mut first.control);
    let end = leader.start()?;
    for _ in 0..others.len() {
        forks.push(leader.inference.fork()?);
    }
    let (prefill_time, reused_tokens) = (leader.stats.prefill_time, leader.stats.reused_tokens);
    let mut replies = vec![leader];
    for (lane, fork) in others.iter_mut().zip(&mut forks) {
        let mut reply = Reply::new(fork, tokenizer, prompt.clone(), &lane.options, &mut lane.control);
        (reply.stats.prefill_time, reply.stats.reused_tokens) = (prefill_time, reused_tokens);
        replies.push(reply);
    }
    let outcome = match end {
        Some(reason) => {
            replies.drain(..).for_each(|reply| end_of(reply, reason.clone()));
            Ok(())
        }
        None => take_turns(&mut replies),
    };
    replies.iter_mut().for_each(Reply::finish);
    outcome
}

/// A token of each in turn, until all have ended.
fn take_turns(replies: &mut Vec<Reply<'_>>) -> Result<(), EngineError> {
    while !replies.is_empty() {
        let mut at = 0;
        while let Some(reply) = replies.get_mut(at) {
            match reply.step()? {
                None => at += 1,
                Some(reason) => end_of(replies.remove(at), reason),
            }
        }
    }
    Ok(())
}

fn end_of(mut reply: Reply<'_>, reason: FinishReason) {
    reply.finish();
    let stats = std::mem::take(&mut reply.stats);
    reply.control.on_end(reason, stats);
}
