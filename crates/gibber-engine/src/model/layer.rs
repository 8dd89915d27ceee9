//! A layer of a model: attention, then a feed-forward part, each added to the residual stream.

use std::mem;

use super::buffer::sized;
use super::config::{AttentionConfig, FeedForwardConfig, LayerConfig, ModelConfig};
use super::dense::Dense;
use super::experts::Experts;
use super::linear::{Group, Linear, Norm};
use super::pass::Pass;
use super::rope::Rope;
use super::run_state::RunState;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::attention::{AttentionShape, attend};
use crate::kernels::{ThreadPool, Workspace, vector};

/// The weights of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    attention_norm: Option<Norm>,
    /// Queries, keys and values from one input.
    qkv: Linear,
    heads: Heads,
    attention_out: Linear,
    attention_post_norm: Option<Norm>,
    feed_forward_norm: Option<Norm>,
    feed_forward: FeedForward,
    feed_forward_post_norm: Option<Norm>,
    residual_scale: f32,
}

/// What happens to queries and keys between the matrices.
#[derive(Debug)]
struct Heads {
    shape: AttentionShape,
    /// Of the queries and of the keys, each as wide as what is normalized as one.
    norms: Option<[Vec<f32>; 2]>,
    norm_eps: f32,
    /// Which of the state's rotations turns them.
    rope: Option<usize>,
}

/// What follows attention.
#[derive(Debug)]
enum FeedForward {
    Dense(Dense),
    Experts(Experts),
}

impl Layer {
    /// The layer that `layer` describes, of the tensors in `group`.
    pub(super) fn load(config: &ModelConfig, layer: &LayerConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let (embd, q, kv) = (config.n_embd, config.q_width(), config.kv_width());
        let AttentionConfig { qkv_bias, out_bias, .. } = layer.attention;
        let norm = |slot, is_there: bool| is_there.then(|| group.norm(slot)).transpose();
        Ok(Self {
            attention_norm: norm(Slot::AttentionNorm, layer.norm_before)?,
            qkv: group.linear(Slot::QueriesKeysValues, [q + 2 * kv, embd], qkv_bias)?.with_16_bit_activations(),
            heads: Heads::load(config, &layer.attention, group)?,
            attention_out: group.linear(Slot::AttentionOut, [embd, q], out_bias)?,
            attention_post_norm: norm(Slot::AttentionPostNorm, layer.norm_after)?,
            feed_forward_norm: norm(Slot::FeedForwardNorm, layer.norm_before)?,
            feed_forward: FeedForward::load(embd, &layer.feed_forward, group)?,
            feed_forward_post_norm: norm(Slot::FeedForwardPostNorm, layer.norm_after)?,
            residual_scale: layer.residual_scale,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.qkv.weight.bytes() + self.attention_out.weight.bytes() + self.feed_forward.bytes()
    }

    /// Values of a row of the residual stream.
    fn width(&self) -> usize {
        self.attention_out.weight.out_features()
    }

    /// Takes the residual stream of the `n` tokens of `pass` past this layer, which is the model's `index`th: their keys and
    /// values go to the caches.
    pub(super) fn forward(&self, state: &mut RunState, index: usize, pass: &mut Pass<'_>, n: usize) {
        self.attention(state, index, pass, n);
        self.add(state, n, self.attention_post_norm.as_ref());
        self.feed_forward(state, n);
        self.add(state, n, self.feed_forward_post_norm.as_ref());
    }

    /// What attention computes from the residual stream, in `state.hidden`.
    fn attention(&self, state: &mut RunState, index: usize, pass: &mut Pass<'_>, n: usize) {
        let (q, kv) = self.heads.widths();
        let x = read(self.attention_norm.as_ref(), &state.workspace, &state.residual, &mut state.hidden);
        let qkv = sized(&mut state.qkv, n, q + 2 * kv);
        self.qkv.apply(&mut state.workspace, x, n, qkv);
        let attended = sized(&mut state.attended, n, q);
        let (stride, pool) = (q + 2 * kv, state.workspace.pool());
        for (rows, cache) in pass.caches() {
            let (past, n) = (cache.len(), rows.len());
            let qkv = &mut qkv[rows.start * stride..rows.end * stride];
            self.heads.turn(&state.ropes, pool, past, qkv);
            cache.write(pool, index, n, &qkv[q..], &qkv[q + kv..], stride);
            let attended = &mut attended[rows.start * q..rows.end * q];
            attend(&state.workspace, &self.heads.shape, qkv, stride, cache.layer(index), past, attended);
        }
        let out = sized(&mut state.hidden, n, self.width());
        self.attention_out.apply(&mut state.workspace, attended, n, out);
    }

    /// What the feed-forward part computes from the residual stream, in `state.hidden`.
    fn feed_forward(&self, state: &mut RunState, n: usize) {
        let x = read(self.feed_forward_norm.as_ref(), &state.workspace, &state.residual, &mut state.hidden);
        match &self.feed_forward {
            FeedForward::Dense(dense) => {
                let inner = dense.inner(&mut state.workspace, x, n, &mut state.dense);
                let out = sized(&mut state.hidden, n, self.width());
                dense.leave(&mut state.workspace, inner, n, out);
            }
            FeedForward::Experts(experts) => {
                experts.forward(&mut state.workspace, x, n, &mut state.experts, &mut state.dense);
                mem::swap(&mut state.hidden, &mut state.experts.sum);
            }
        }
    }

    /// Adds what is in `state.hidden` to the residual stream, normalized where there is a norm.
    fn add(&self, state: &mut RunState, n: usize, norm: Option<&Norm>) {
        let width = self.width();
        let out = match norm {
            Some(norm) => {
                let normed = sized(&mut state.normed, n, width);
                norm.apply(&state.workspace, &state.hidden, normed);
                &*normed
            }
            None => &state.hidden[..],
        };
        let (pool, scale) = (state.workspace.pool(), self.residual_scale);
        if scale == 1.0 {
            pool.for_each_part(&mut state.residual, width, &|_, row, y| vector::add(y, &out[row * width..][..width]));
        } else {
            let add = |row: usize, y: &mut [f32]| vector::axpy(scale, &out[row * width..][..width], y);
            pool.for_each_part(&mut state.residual, width, &|_, row, y| add(row, y));
        }
    }
}

/// What a part of a layer reads: the residual stream, or where there is a norm what comes of it, in `normed`.
fn read<'a>(norm: Option<&Norm>, workspace: &Workspace, residual: &'a [f32], normed: &'a mut Vec<f32>) -> &'a [f32] {
    let Some(norm) = norm else { return residual };
    normed.resize(residual.len(), 0.0);
    norm.apply(workspace, residual, normed);
    normed
}

impl Heads {
    fn load(config: &ModelConfig, attention: &AttentionConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let &ModelConfig { n_head, n_kv_head, head_dim, .. } = config;
        let AttentionConfig { scale, window, rope, qk_norm, .. } = *attention;
        let norms = || Ok([group.norm_weight(Slot::QueryNorm)?, group.norm_weight(Slot::KeyNorm)?]);
        Ok(Self {
            shape: AttentionShape { n_head, n_kv_head, head_dim, scale, window },
            norms: qk_norm.map(|_| norms()).transpose()?,
            norm_eps: config.norm.eps,
            rope,
        })
    }

    /// Values of a token's queries, and of its keys.
    fn widths(&self) -> (usize, usize) {
        (self.shape.n_head * self.shape.head_dim, self.shape.n_kv_head * self.shape.head_dim)
    }

    /// Normalizes and turns the queries and keys of tokens at `past` and behind it, each in a row of `qkv`.
    fn turn(&self, ropes: &[Rope], pool: &ThreadPool, past: usize, qkv: &mut [f32]) {
        let rope = self.rope.map(|rope| &ropes[rope]);
        if rope.is_none() && self.norms.is_none() {
            return;
        }
        let (q, kv) = self.widths();
        let turn = |token: usize, qkv: &mut [f32]| {
            let heads = &mut qkv[..q + kv];
            self.normalize(heads, q);
            if let Some(rope) = rope {
                rope.rotate(heads, past + token);
            }
        };
        let stride = q + 2 * kv;
        if qkv.len() == stride {
            turn(0, qkv);
        } else {
            pool.for_each_part(qkv, stride, &|_, token, qkv| turn(token, qkv));
        }
    }

    /// Normalizes a token's queries, which are the first `q` values of `heads`, and its keys, which are the others.
    fn normalize(&self, heads: &mut [f32], q: usize) {
        if let Some([q_norm, k_norm]) = &self.norms {
            let (queries, keys) = heads.split_at_mut(q);
            for (heads, weight) in [(queries, q_norm), (keys, k_norm)] {
                heads.chunks_exact_mut(weight.len()).for_each(|x| vector::rms_norm_in_place(x, weight, self.norm_eps));
            }
        }
    }
}

impl FeedForward {
    fn load(embd: usize, config: &FeedForwardConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        Ok(match *config {
            FeedForwardConfig::Dense(config) => Self::Dense(Dense::load(embd, config, group)?),
            FeedForwardConfig::Experts(config) => Self::Experts(Experts::load(embd, config, group)?),
        })
    }

    /// Bytes of weights that one token has to read.
    fn bytes(&self) -> usize {
        match self {
            Self::Dense(dense) => dense.bytes(),
            Self::Experts(experts) => experts.bytes(),
        }
    }
}
