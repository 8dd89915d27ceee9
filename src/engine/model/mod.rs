//! The architectures: load and forward, nothing else.
//!
//! The weights of a model are shared and never change; what a run changes (the KV cache, the activations on their way) is
//! its [`RunState`]. A forward pass appends tokens to the cache and leaves their final hidden states behind; logits are
//! computed from those on demand, because most positions of a prompt need none.

mod config;
mod gpt2;
mod kv_cache;
mod llama;
mod rope;
mod run_state;

use std::sync::Arc;

pub use config::{
    Activation, Architecture, AttentionScale, Extras, ModelConfig, RopeConfig, RopeScaling, RopeStyle, SlidingWindow,
};
pub use gpt2::Gpt2;
pub use kv_cache::KvCache;
pub use llama::Llama;
pub use run_state::RunState;

use super::kernels::attention::CacheTypes;
use super::kernels::{Packer, ThreadPool};
use super::weights::Weights;
use super::{EngineError, TokenId};

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

    /// A state to run it with: a context of `context` tokens, whose keys and values are kept as `types` says, computed by
    /// `pool`.
    ///
    /// # Errors
    /// Those of [`KvCache::new`].
    pub fn new_state(&self, types: CacheTypes, context: usize, pool: Arc<ThreadPool>) -> Result<RunState, EngineError> {
        RunState::new(self.config(), types, context, pool)
    }

    /// Appends `tokens` to the cache and leaves their final hidden states in the state.
    ///
    /// # Panics
    /// Where the cache has no room for them, or an id is outside the vocabulary: the caller checks both.
    pub fn forward(&self, state: &mut RunState, tokens: &[TokenId]) {
        match self {
            Self::Gpt2(model) => model.forward(state, tokens),
            Self::Llama(model) => model.forward(state, tokens),
        }
    }

    /// The logits of the tokens `first..first + count` of the last [`Self::forward`], into `out` `(count, vocab_size)`.
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
