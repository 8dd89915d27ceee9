//! How what is in the cache was computed, and computing it so again.
//!
//! Up to [`MAX_TOKENS_ONE_BY_ONE`] tokens of a pass are each computed as alone. Of more tokens, sums are rounded
//! otherwise, so that the last bits of everything after them depend on how a prompt was cut into passes: by the chunks in
//! which it was computed ahead, by replies that were generated token by token, by a cut of the cache.

use std::ops::{ControlFlow, Range};

use serde::{Deserialize, Serialize};

use super::{Inference, PrefillProgress};
use crate::kernels::matrix::MAX_TOKENS_ONE_BY_ONE;
use crate::model::{Model, Pass, RunState, SequenceState};
use crate::{EngineError, TokenId};

/// The passes that computed the tokens of a sequence, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passes(Vec<(u32, u32)>);

impl Passes {
    /// From what [`Self::runs`] gives.
    pub fn new(runs: Vec<(u32, u32)>) -> Self {
        Self(runs)
    }

    /// Run by run: (tokens that are left, tokens that the pass had). Tokens that were computed as each would be alone are
    /// one run, of passes of 1.
    pub fn runs(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Tokens in all.
    pub fn tokens(&self) -> usize {
        self.0.iter().map(|&(tokens, _)| tokens as usize).sum()
    }

    /// The passes of the tokens behind the first `from`, in order: which tokens, and how many the pass had, which stands for
    /// itself where it is 1. Those that were computed one by one may go together, but never so many that they are computed
    /// otherwise.
    pub(super) fn parts(&self, from: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
        let mut end = 0;
        let runs = self.0.iter().map(move |&(tokens, length)| {
            let start = end;
            end += tokens as usize;
            (start.max(from)..end, length as usize)
        });
        runs.filter(|(run, _)| !run.is_empty()).flat_map(|(run, length)| {
            let step = if length == 1 { MAX_TOKENS_ONE_BY_ONE } else { run.len() };
            let end = run.end;
            run.step_by(step).map(move |start| (start..end.min(start + step), length))
        })
    }

    /// A pass of `length` tokens was computed, and the first `tokens` of it stay.
    pub(super) fn add(&mut self, tokens: usize, length: usize) {
        let length = if length <= MAX_TOKENS_ONE_BY_ONE { 1 } else { length as u32 };
        match self.0.last_mut() {
            Some((count, 1)) if length == 1 => *count += tokens as u32,
            _ => self.0.push((tokens as u32, length)),
        }
    }

    /// Only the first `tokens` tokens stay.
    pub(super) fn truncate(&mut self, tokens: usize) {
        let mut left = tokens;
        self.0.retain_mut(|(count, _)| {
            *count = (*count).min(left as u32);
            left -= *count as usize;
            *count > 0
        });
    }
}

impl Inference {
    /// How the tokens of [`Self::held`] were computed.
    pub fn passes(&self) -> &Passes {
        &self.passes
    }

    /// Makes the cache hold exactly `prompt`, with the logits after it, from nothing and in just these `passes`: with the
    /// same kernels everything is the same bit by bit as when they were noted. Passes that are not of as many tokens as
    /// `prompt` has are those of something else: it is computed as [`Self::prefill`] does.
    ///
    /// # Errors
    /// Those of [`Self::prefill`].
    pub fn prefill_in_passes(
        &mut self,
        prompt: &[TokenId],
        passes: &Passes,
        on_progress: &mut dyn FnMut(PrefillProgress) -> ControlFlow<()>,
    ) -> Result<PrefillProgress, EngineError> {
        self.check(prompt)?;
        self.truncate(0);
        let fits =
            |&(tokens, length): &(u32, u32)| length == 1 || (tokens <= length && length as usize <= self.context());
        if passes.tokens() != prompt.len() || !passes.runs().iter().all(fits) {
            return self.prefill(prompt, on_progress);
        }
        let mut progress = PrefillProgress { reused: 0, done: 0, total: prompt.len() };
        for (part, length) in passes.parts(0) {
            if on_progress(progress).is_break() {
                return Ok(progress);
            }
            let tokens = part.len();
            self.forward_as(&prompt[part], length)?;
            progress.done += tokens;
            if progress.done == prompt.len() {
                self.keep_logits(tokens - 1, 1);
                self.cache.note(prompt.len(), true);
            }
        }
        let _ = on_progress(progress);
        Ok(progress)
    }

    /// Appends tokens that are certain, in a pass as one of `length` tokens was of which they were kept.
    pub(super) fn forward_as(&mut self, tokens: &[TokenId], length: usize) -> Result<(), EngineError> {
        self.forget_all_but_held();
        self.catch_up();
        let length = compute_as(&self.model, &mut self.state, &mut self.cache, tokens, length);
        self.check_computed(tokens)?;
        self.held.extend_from_slice(tokens);
        self.passes.add(tokens.len(), length);
        self.cache.note(self.held.len(), false);
        Ok(())
    }
}

/// Takes `cache` past `tokens` in a pass as one of `length` tokens was of which they were kept, as far as there is room for
/// it. Returns how many it had.
pub(super) fn compute_as(
    model: &Model,
    state: &mut RunState,
    cache: &mut SequenceState,
    tokens: &[TokenId],
    length: usize,
) -> usize {
    if length <= tokens.len() || length > cache.capacity() - cache.len() {
        model.forward(state, &mut Pass::new(cache, tokens));
        return tokens.len();
    }
    // What stood behind them changes nothing for those before it.
    let filled: Vec<TokenId> = tokens.iter().copied().chain(std::iter::repeat(tokens[0])).take(length).collect();
    model.forward(state, &mut Pass::counting(cache, &filled, tokens.len()));
    length
}
