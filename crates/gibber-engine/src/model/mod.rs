//! The architectures: load and forward, nothing else.
//!
//! The weights of a model are shared and never change. What changes is apart: the [`KvCache`] of each sequence, and the
//! [`RunState`] that a pass is computed in. A forward pass appends tokens to one cache or to several and leaves their
//! final hidden states behind; logits are computed from those on demand, because most positions of a prompt need none.

mod config;
mod gpt2;
mod kv_cache;
mod llama;
mod pass;
mod rope;
mod run_state;

use std::sync::Arc;

pub use config::{
    Activation, Architecture, AttentionScale, Extras, ModelConfig, RopeConfig, RopeScaling, RopeStyle, SlidingWindow,
};
pub use gpt2::Gpt2;
pub use kv_cache::KvCache;
pub use llama::Llama;
pub use pass::{MAX_RUNS, Pass, Run};
pub use run_state::RunState;

use super::EngineError;
use super::kernels::{Packer, ThreadPool};
use super::weights::Weights;

/// A loaded model of any architecture.
#[derive(Debug)]
pub enum Model {
    /// GPT-2.
    Gpt2(Gpt2),
    /// Llama, and what is built like it: Mistral, Qwen.
    Llama(Llama),
}

impl Model {
    /// Loads the weights that `config` asks for.
    ///
    /// # Errors
    /// Those of [`Weights::tensor`]: a tensor is missing, has another shape, or a format without kernels.
    pub fn load(config: ModelConfig, weights: &Weights, pool: &ThreadPool) -> Result<Self, EngineError> {
        Self::with_packer(config, weights, &Packer::new(pool))
    }

    /// What [`Self::load`] would refuse, without reading the weights.
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn check(config: ModelConfig, weights: &Weights) -> Result<(), EngineError> {
        Self::with_packer(config, weights, &Packer::dry(&ThreadPool::new(1))).map(|_| ())
    }

    fn with_packer(config: ModelConfig, weights: &Weights, packer: &Packer<'_>) -> Result<Self, EngineError> {
        Ok(match config.architecture {
            Architecture::Gpt2 => Self::Gpt2(Gpt2::load(config, weights, packer)?),
            Architecture::Llama | Architecture::Mistral | Architecture::Qwen2 | Architecture::Qwen3 => {
                Self::Llama(Llama::load(config, weights, packer)?)
            }
        })
    }

    /// Its shape.
    pub fn config(&self) -> &ModelConfig {
        match self {
            Self::Gpt2(model) => model.config(),
            Self::Llama(model) => model.config(),
        }
    }

    /// A state to run it in, for positions below `context`, computed by `pool`.
    pub fn new_state(&self, context: usize, pool: Arc<ThreadPool>) -> RunState {
        RunState::new(self.config(), context, pool)
    }

    /// Appends the tokens of `pass` to their caches and leaves their final hidden states in `state`, row after row.
    ///
    /// # Panics
    /// Where a cache has no room for them, or an id is outside the vocabulary: the caller checks both.
    pub fn forward(&self, state: &mut RunState, pass: &mut Pass<'_>) {
        match self {
            Self::Gpt2(model) => model.forward(state, pass),
            Self::Llama(model) => model.forward(state, pass),
        }
    }

    /// The logits of the rows `first..first + count` of the last [`Self::forward`], into `out` `(count, vocab_size)`.
    ///
    /// # Panics
    /// Where the last forward pass had not as many tokens, or `out` has another length.
    pub fn logits(&self, state: &mut RunState, first: usize, count: usize, out: &mut [f32]) {
        let head = match self {
            Self::Gpt2(model) => model.lm_head(),
            Self::Llama(model) => model.lm_head(),
        };
        let width = head.in_features();
        head.multiply(&mut state.workspace, &state.hidden[first * width..(first + count) * width], count, out);
    }

    /// Bytes of weights that one token has to read.
    pub fn bytes_per_token(&self) -> usize {
        match self {
            Self::Gpt2(model) => model.bytes_per_token(),
            Self::Llama(model) => model.bytes_per_token(),
        }
    }
}
