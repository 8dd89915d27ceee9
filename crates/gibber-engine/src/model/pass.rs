//! What a forward pass appends.

use std::ops::Range;

use super::kv_cache::KvCache;
use super::recurrent::Recurrent;
use super::sequence_state::SequenceState;
use crate::TokenId;
use crate::kernels::matrix::MAX_TOKENS_ONE_BY_ONE;

/// The most sequences that a pass appends to: with a token each, as many as are computed with the same sums as one token
/// alone.
pub const MAX_RUNS: usize = MAX_TOKENS_ONE_BY_ONE;

/// Tokens that go to the end of one sequence.
#[derive(Debug)]
pub struct Run<'a> {
    /// What the sequence so far has left.
    pub cache: &'a mut SequenceState,
    /// What comes behind it.
    pub tokens: &'a [TokenId],
    /// How many of them are part of the sequence: those behind are computed along and leave nothing.
    pub counted: usize,
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
    pub fn new(cache: &'a mut SequenceState, tokens: &'a [TokenId]) -> Self {
        Self::counting(cache, tokens, tokens.len())
    }

    /// The same, of which the first `counted` are part of the sequence.
    pub fn counting(cache: &'a mut SequenceState, tokens: &'a [TokenId], counted: usize) -> Self {
        Self::together(std::iter::once(Run { cache, tokens, counted }))
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

    /// The position behind the last of any run whose text stays within a rotation's first context, or, with `is_far`, of any
    /// that goes beyond it.
    pub(super) fn end(&self, is_far: bool) -> usize {
        let runs = self.runs().filter(|run| run.cache.is_far() == is_far);
        runs.map(|run| run.cache.len() + run.tokens.len()).max().unwrap_or(0)
    }

    /// Each run with its rows.
    fn rows(&mut self) -> impl Iterator<Item = (Range<usize>, &mut Run<'a>)> {
        let mut end = 0;
        self.runs.iter_mut().flatten().map(move |run| {
            let start = end;
            end += run.tokens.len();
            (start..end, run)
        })
    }

    /// The rows of each run, and the keys and values that they go to.
    pub(super) fn caches(&mut self) -> impl Iterator<Item = (Range<usize>, &mut KvCache)> {
        self.rows().map(|(rows, run)| (rows, run.cache.kv()))
    }

    /// The rows of each run that count, and the recurrent state that is to be after them.
    pub(super) fn recurrents(&mut self) -> impl Iterator<Item = (Range<usize>, &mut Recurrent)> {
        self.rows().filter_map(|(rows, run)| Some((rows.start..rows.start + run.counted, run.cache.recurrent()?)))
    }

    /// Tells the sequences that their layers are about to take up the tokens.
    pub(super) fn begin(&mut self) {
        self.runs.iter_mut().flatten().for_each(|run| run.cache.begin());
    }

    /// Counts the tokens in their sequences; they were written in every layer.
    pub(super) fn advance(&mut self) {
        self.runs.iter_mut().flatten().for_each(|run| run.cache.advance(run.counted));
    }
}
