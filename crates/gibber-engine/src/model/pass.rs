//! What a forward pass appends.

use std::ops::Range;

use super::kv_cache::KvCache;
use crate::TokenId;
use crate::kernels::matrix::MAX_TOKENS_ONE_BY_ONE;

/// The most sequences that a pass appends to: with a token each, as many as are computed with the same sums as one token
/// alone.
pub const MAX_RUNS: usize = MAX_TOKENS_ONE_BY_ONE;

/// Tokens that go to the end of one sequence.
#[derive(Debug)]
pub struct Run<'a> {
    /// The keys and values of the sequence so far.
    pub cache: &'a mut KvCache,
    /// What comes behind them.
    pub tokens: &'a [TokenId],
}

/// The tokens of a forward pass: those of one sequence, or of some sequences that know nothing of each other. Each token
/// is a row of the activations, run after run; only its position, and what it attends to, depend on the run.
///
/// It lies on the stack: a pass asks for no memory.
#[derive(Debug)]
pub struct Pass<'a> {
    runs: [Option<Run<'a>>; MAX_RUNS],
}

impl<'a> Pass<'a> {
    /// `tokens` behind those in `cache`.
    pub fn new(cache: &'a mut KvCache, tokens: &'a [TokenId]) -> Self {
        Self::together(std::iter::once(Run { cache, tokens }))
    }

    /// Every one of `runs`, of which the first [`MAX_RUNS`] are taken.
    pub fn together(runs: impl Iterator<Item = Run<'a>>) -> Self {
        let mut runs = runs.fuse();
        Self { runs: std::array::from_fn(|_| runs.next()) }
    }

    /// Its tokens.
    pub fn len(&self) -> usize {
        self.runs().map(|run| run.tokens.len()).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn runs(&self) -> impl Iterator<Item = &Run<'a>> {
        self.runs.iter().flatten()
    }

    /// Each token with its position, row after row.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (usize, TokenId)> {
        self.runs().flat_map(|run| (run.cache.len()..).zip(run.tokens.iter().copied()))
    }

    /// The position behind the last of any run.
    pub(super) fn end(&self) -> usize {
        self.runs().map(|run| run.cache.len() + run.tokens.len()).max().unwrap_or(0)
    }

    /// The rows of each run, and the cache that they go to.
    pub(super) fn caches(&mut self) -> impl Iterator<Item = (Range<usize>, &mut KvCache)> {
        let mut end = 0;
        self.runs.iter_mut().flatten().map(move |run| {
            let start = end;
            end += run.tokens.len();
            (start..end, &mut *run.cache)
        })
    }

    /// Counts the tokens in their caches; they were written in every layer.
    pub(super) fn advance(&mut self) {
        self.runs.iter_mut().flatten().for_each(|run| run.cache.advance(run.tokens.len()));
    }
}
