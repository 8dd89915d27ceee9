//! The log-probability and rank of each token of a text.

use std::ops::ControlFlow;

use super::inference::Inference;
use super::sampling::log_softmax_stats;
use super::{EngineError, TokenId};

/// A token of a scored text.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredToken {
    /// The token.
    pub token: TokenId,
    /// Its text (lossy where a character is split).
    pub text: String,
    /// Natural logarithm of its probability given all before it; `None` for the first.
    pub logprob: Option<f32>,
    /// How many tokens were more probable; `None` for the first.
    pub rank: Option<u32>,
}

/// Scores each token given those before it; `text_of` gives a token's text.
///
/// A text longer than the context is read in windows, each half of which overlaps the one before: every token but those
/// of the first window is scored with half a context or more in front of it.
///
/// `on_progress(done)` is called after each token; where it breaks, the tokens scored so far are returned.
///
/// # Errors
/// Those of [`Inference::logits_of_all`]; [`EngineError::Invalid`] for a context of one token, which predicts nothing.
pub fn score(
    inference: &mut Inference,
    tokens: &[TokenId],
    text_of: impl Fn(TokenId) -> String,
    on_progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<ScoredToken>, EngineError> {
    let mut scored: Vec<ScoredToken> = Vec::with_capacity(tokens.len());
    let Some(&first) = tokens.first() else { return Ok(scored) };
    scored.push(ScoredToken { token: first, text: text_of(first), logprob: None, rank: None });
    let context = inference.context();
    if context < 2 {
        return Err(EngineError::Invalid(format!(
            "a context of {context} token is too short to score a text (-c/--ctx-size)"
        )));
    }
    let step = context / 2;
    let mut start = 0;
    let mut flow = ControlFlow::Continue(());
    while scored.len() < tokens.len() && flow.is_continue() {
        let window = &tokens[start..tokens.len().min(start + context)];
        inference.logits_of_all(window, &mut |i, logits| {
            let position = start + i + 1;
            if position >= scored.len() && position < start + window.len() {
                let token = tokens[position];
                let (logprob, rank) = rate(logits, token);
                scored.push(ScoredToken { token, text: text_of(token), logprob: Some(logprob), rank: Some(rank) });
            }
            flow = on_progress(scored.len());
            flow
        })?;
        start += step;
    }
    Ok(scored)
}

/// Log-probability and rank of `token`.
fn rate(logits: &[f32], token: TokenId) -> (f32, u32) {
    let logit = logits[token as usize];
    let rank = logits.iter().map(|&other| u32::from(other > logit)).sum();
    (log_softmax_stats(logits).log_probability(logit), rank)
}
