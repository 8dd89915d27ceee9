//! What a run changes.

use std::sync::Arc;

use super::config::ModelConfig;
use super::kv_cache::KvCache;
use super::rope::Rope;
use crate::engine::EngineError;
use crate::engine::kernels::attention::CacheTypes;
use crate::engine::kernels::{ThreadPool, Workspace, vector};

/// The KV cache, and the activations on their way through the layers; each buffer grows to the largest chunk seen and is
/// used again.
#[derive(Debug)]
pub struct RunState {
    /// Keys and values so far.
    pub(super) cache: KvCache,
    /// The rotations of the positions (all but GPT-2).
    pub(super) rope: Option<Rope>,
    /// Threads and scratch memory.
    pub(super) workspace: Workspace,
    /// Final hidden states of the last forward pass, `(n, n_embd)`.
    pub(super) hidden: Vec<f32>,
    /// The residual stream, `(n, n_embd)`.
    pub(super) residual: Vec<f32>,
    /// Queries, keys and values, `(n, (n_head + 2 · n_kv_head) · head_dim)`.
    pub(super) qkv: Vec<f32>,
    /// What the heads read, `(n, n_head · head_dim)`.
    pub(super) attended: Vec<f32>,
    /// Inside the feed-forward part: `(n, n_ff)`, or `(n, 2 · n_ff)` where there is a gate.
    pub(super) feed: Vec<f32>,
    /// After the gate, `(n, n_ff)`.
    pub(super) gated: Vec<f32>,
}

impl RunState {
    /// An empty state with a context of `context` tokens.
    ///
    /// # Errors
    /// Those of [`KvCache::new`].
    pub(super) fn new(
        config: &ModelConfig,
        types: CacheTypes,
        context: usize,
        pool: Arc<ThreadPool>,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            cache: KvCache::new(config, types, context)?,
            rope: config.architecture.rotates().then(|| Rope::new(config, context)),
            workspace: Workspace::new(pool),
            hidden: Vec::new(),
            residual: Vec::new(),
            qkv: Vec::new(),
            attended: Vec::new(),
            feed: Vec::new(),
            gated: Vec::new(),
        })
    }

    /// Another state of the same model with a copy of the first `tokens` tokens of the cache.
    ///
    /// # Errors
    /// Those of [`KvCache::new`].
    pub(in crate::engine) fn fork(&self, config: &ModelConfig, tokens: usize) -> Result<Self, EngineError> {
        let (types, context) = (self.cache.types(), self.cache.capacity());
        let mut fork = Self::new(config, types, context, self.workspace.shared_pool())?;
        fork.cache.copy_from(&self.cache, tokens);
        Ok(fork)
    }

    /// The KV cache.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// See [`Workspace::set_exact`].
    pub fn set_exact(&mut self, exact: bool) {
        self.workspace.set_exact(exact);
    }

    /// Forgets all but the first `tokens` tokens.
    pub fn truncate(&mut self, tokens: usize) {
        self.cache.truncate(tokens);
    }

    /// The threads.
    pub fn pool(&self) -> &ThreadPool {
        self.workspace.pool()
    }
}

/// `buffer` as `n` rows of `width`; what was in it is of no use any more.
pub(super) fn sized(buffer: &mut Vec<f32>, n: usize, width: usize) -> &mut [f32] {
    buffer.resize(n * width, 0.0);
    buffer
}

/// Adds `bias` to each row of `rows`, spread over the threads.
pub(super) fn add_bias(workspace: &Workspace, rows: &mut [f32], bias: &[f32]) {
    workspace.pool().for_each_part(rows, bias.len(), &|_, _, row| vector::add(row, bias));
}

/// `y += x`, both rows of `width`, spread over the threads.
pub(super) fn add_rows(workspace: &Workspace, y: &mut [f32], x: &[f32], width: usize) {
    workspace.pool().for_each_part(y, width, &|_, row, y| vector::add(y, &x[row * width..][..width]));
}
