//! Whether there is memory for a model: a system that runs out of it kills somebody, or swaps until nothing moves.

use std::path::Path;

use serde::Serialize;

use crate::EngineError;
use crate::inference::Inference;
use crate::kernels::attention::CacheTypes;
use crate::memory::MemoryProbe;
use crate::model::{ModelConfig, SequenceState};

/// Tokens that a context holds at least where it becomes shorter by itself: with fewer, hardly a question and its answer fit.
const LEAST_CONTEXT: usize = 512;
/// By so many tokens it becomes shorter.
const CONTEXT_STEP: usize = 256;

/// How a model is to run, as far as memory goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunShape {
    /// How keys and values are kept.
    pub cache: CacheTypes,
    /// Prompt tokens computed in one pass.
    pub batch: usize,
}

impl Default for RunShape {
    fn default() -> Self {
        Self { cache: CacheTypes::default(), batch: 512 }
    }
}

/// What a model takes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MemoryNeed {
    /// Bytes of the weights.
    pub weights: u64,
    /// Bytes of keys and values, and of other states, once the context is full.
    pub cache: u64,
    /// Bytes that a pass is computed in, about.
    pub scratch: u64,
}

impl MemoryNeed {
    /// What a model of this shape takes with `weights` bytes of weights and a context of `context` tokens.
    pub fn of(config: &ModelConfig, weights: u64, context: usize, run: RunShape) -> Self {
        Self {
            weights,
            cache: SequenceState::bytes_for(config, run.cache, context) as u64,
            scratch: Inference::scratch_bytes(config, run.batch) as u64,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.scratch)
    }
}

/// A model that is to be held: the weights are laid out anew for the processor as they are loaded, and the file's own pages
/// are given back as that goes on, so that about one copy of them is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a Path,
    pub(crate) config: &'a ModelConfig,
    /// Bytes of its weights.
    pub(crate) weights: u64,
    pub(crate) run: RunShape,
}

impl Wanted<'_> {
    /// The context that there is memory for: `context` where that fits, or else, where it `may_shrink`, the longest that does.
    ///
    /// # Errors
    /// [`EngineError::NoMemory`] where none does.
    pub(crate) fn context(&self, context: usize, may_shrink: bool, probe: MemoryProbe) -> Result<usize, EngineError> {
        let Some(available) = (probe.0)() else { return Ok(context) };
        let fits = |context: usize| self.need(context).total() <= available;
        if fits(context) {
            return Ok(context);
        }
        let least = if may_shrink { context.min(LEAST_CONTEXT) } else { context };
        if !fits(least) {
            let MemoryNeed { weights, .. } = self.need(least);
            let (path, needed) = (self.path.to_owned(), self.need(least).total());
            return Err(EngineError::NoMemory { path, needed, available, weights, context: least });
        }
        // The steps above the least one that fit, of which the last is looked for.
        let steps: Vec<usize> = (least..context).step_by(CONTEXT_STEP).collect();
        let fitting = steps.partition_point(|context| fits(*context));
        Ok(steps[fitting.saturating_sub(1)])
    }

    /// Refuses what does not fit with the shortest context that it would be given.
    ///
    /// # Errors
    /// [`EngineError::NoMemory`].
    pub(crate) fn check(&self, probe: MemoryProbe) -> Result<(), EngineError> {
        self.context(self.config.trained_context.min(LEAST_CONTEXT), false, probe).map(drop)
    }

    /// What it takes with so many tokens.
    pub(crate) fn need(&self, context: usize) -> MemoryNeed {
        MemoryNeed::of(self.config, self.weights, context, self.run)
    }
}
