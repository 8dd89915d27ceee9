//! What a forward pass is computed in.

use std::sync::Arc;

use super::config::{AttentionConfig, LayerConfig, MixerConfig, ModelConfig};
use super::dense::DenseBuffers;
use super::experts::ExpertBuffers;
use super::rope::Rope;
use crate::kernels::{ThreadPool, Workspace, vector};

/// The activations on their way through the layers, each token's in a row of its own; each buffer grows to the largest
/// pass seen and is used again. Nothing of it belongs to a sequence: what that is, its cache says.
#[derive(Debug)]
pub struct RunState {
    /// The rotations of the positions, as many as the model has.
    pub(super) ropes: Vec<Rope>,
    /// Threads and scratch memory.
    pub(super) workspace: Workspace,
    /// Final hidden states of the last forward pass, `(n, n_embd)`.
    pub(super) hidden: Vec<f32>,
    /// The residual stream, `(n, n_embd)`.
    pub(super) residual: Vec<f32>,
    /// What is added to it, where that is normalized, `(n, n_embd)`.
    pub(super) normed: Vec<f32>,
    /// Queries, keys and values, `(n, (n_head + 2 · n_kv_head) · head_dim)` of a layer.
    pub(super) qkv: Vec<f32>,
    /// What decides how much of that counts, of each value its own, where there is a gate.
    pub(super) gates: Vec<f32>,
    /// What the heads read, `(n, n_head · head_dim)`.
    pub(super) attended: Vec<f32>,
    /// What each layer is told of the tokens beside the residual stream, `(n, n_layer · width)`, where it is.
    pub(super) told: Vec<f32>,
    /// All residual streams, where there are several, `(n, streams, n_embd)`.
    pub(super) streams: Vec<f32>,
    /// What a product beside attention makes, `(n, n_embd)`.
    pub(super) laurel: Vec<f32>,
    /// What a recurrent mixer reads of the tokens, and what it reads again of those that were there before.
    pub(super) recurrent: RecurrentBuffers,
    /// Inside a feed-forward part.
    pub(super) dense: DenseBuffers,
    /// Inside one of experts.
    pub(super) experts: ExpertBuffers,
}

/// What recurrent mixers compute in.
#[derive(Debug, Default)]
pub(super) struct RecurrentBuffers {
    /// After the convolution, a row a token.
    pub(super) mixed: Vec<f32>,
    /// What is read on the way and not wanted.
    pub(super) unread: Vec<f32>,
}

/// The floats that a token of a pass takes in a mixer.
fn mixer_values(mixer: &MixerConfig, n_embd: usize) -> usize {
    match mixer {
        MixerConfig::Attention(AttentionConfig { heads, has_gate, .. }) => {
            2 * (heads.q_width() + heads.kv_width()) + if *has_gate { 2 * heads.q_width() } else { 0 }
        }
        // In, after the convolution, and read.
        MixerConfig::DeltaNet(net) => 2 * (net.conv_width() + 2 * net.n_value_head) + 3 * net.value_width(),
        MixerConfig::ShortConv(_) => 4 * n_embd,
    }
}

impl RunState {
    /// The first of the first `rows` final hidden states of the last forward pass, of `width` values each, in which something
    /// is not a finite number.
    pub fn first_not_finite(&self, rows: usize, width: usize) -> Option<usize> {
        self.hidden.chunks_exact(width).take(rows).position(|row| !vector::are_finite(row))
    }

    /// About the bytes that it takes in passes of `rows` tokens, with the logits that are computed after them for `kept`
    /// positions.
    pub fn bytes_for(config: &ModelConfig, rows: usize, kept: usize) -> usize {
        let heads = config.layers.iter().map(|layer| mixer_values(&layer.mixer, config.n_embd)).max().unwrap_or(0);
        let feed_forward = |layer: &LayerConfig| layer.feed_forward.values_a_token(config.n_embd);
        let widest = config.layers.iter().map(feed_forward).max().unwrap_or(0);
        let told = config.per_layer_input.map_or(0, |told| told.width.saturating_mul(config.n_layer()));
        let streams = config.streams.map_or(0, |streams| (streams.n + 1).saturating_mul(config.n_embd));
        let row = config
            .n_embd
            .saturating_mul(3)
            .saturating_add(told)
            .saturating_add(streams)
            .saturating_add(heads)
            .saturating_add(widest);
        let values = row.saturating_mul(rows).saturating_add(config.vocab_size.saturating_mul(kept));
        values.saturating_mul(size_of::<f32>())
    }

    /// A state for positions below `context`.
    pub(super) fn new(config: &ModelConfig, context: usize, pool: Arc<ThreadPool>) -> Self {
        let ropes = config.ropes.iter().enumerate();
        let ropes = ropes.map(|(index, rope)| Rope::new(rope, config.rope_width(index), context));
        Self {
            ropes: ropes.collect(),
            workspace: Workspace::new(pool),
            hidden: Vec::new(),
            residual: Vec::new(),
            normed: Vec::new(),
            qkv: Vec::new(),
            gates: Vec::new(),
            attended: Vec::new(),
            told: Vec::new(),
            streams: Vec::new(),
            laurel: Vec::new(),
            recurrent: RecurrentBuffers::default(),
            dense: DenseBuffers::default(),
            experts: ExpertBuffers::default(),
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
