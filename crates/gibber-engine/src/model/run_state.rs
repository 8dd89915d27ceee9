//! What a forward pass is computed in.

use std::sync::Arc;

use super::config::ModelConfig;
use super::rope::Rope;
use crate::kernels::{ThreadPool, Workspace, vector};

/// The activations on their way through the layers, each token's in a row of its own; each buffer grows to the largest
/// pass seen and is used again. Nothing of it belongs to a sequence: what that is, its cache says.
#[derive(Debug)]
pub struct RunState {
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
    /// The first of the first `rows` final hidden states of the last forward pass, of `width` values each, in which something
    /// is not a finite number.
    pub fn first_not_finite(&self, rows: usize, width: usize) -> Option<usize> {
        self.hidden.chunks_exact(width).take(rows).position(|row| !vector::are_finite(row))
    }

    /// A state for positions below `context`.
    pub(super) fn new(config: &ModelConfig, context: usize, pool: Arc<ThreadPool>) -> Self {
        Self {
            rope: config.architecture.rotates().then(|| Rope::new(config, context)),
            workspace: Workspace::new(pool),
            hidden: Vec::new(),
            residual: Vec::new(),
            qkv: Vec::new(),
            attended: Vec::new(),
            feed: Vec::new(),
            gated: Vec::new(),
        }
    }

    /// See [`Workspace::set_exact`].
    pub fn set_exact(&mut self, exact: bool) {
        self.workspace.set_exact(exact);
    }

    /// The threads.
    pub fn pool(&self) -> &ThreadPool {
        self.workspace.pool()
    }

    /// The threads, for another state.
    pub fn shared_pool(&self) -> Arc<ThreadPool> {
        self.workspace.shared_pool()
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
