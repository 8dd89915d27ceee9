//! Attention (Vaswani et al. 2017): each token looks back at the keys and values of those before it.

use super::buffer::sized;
use super::config::{AttentionConfig, HeadSizes, ModelConfig, Temperature};
use super::linear::{Group, Linear, Norm, read};
use super::pass::Pass;
use super::rope::Rope;
use super::run_state::RunState;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::attention::{AttentionShape, Request, attend};
use crate::kernels::recurrence;
use crate::kernels::{ThreadPool, vector};

/// The attention of a layer.
#[derive(Debug)]
pub(super) struct Attention {
    /// Queries, keys and values from one input; where there is a gate, beside the queries of each head.
    qkv: Linear,
    has_gate: bool,
    /// The layer whose keys and values they are, where they are not its own.
    shares: Option<usize>,
    heads: Heads,
    out: Linear,
}

/// What happens to queries and keys between the matrices.
#[derive(Debug)]
struct Heads {
    shape: AttentionShape,
    /// Of the queries and of the keys, each as wide as what is normalized as one.
    norms: Option<[Vec<f32>; 2]>,
    /// Ones, as many as a head has values, where values are normalized.
    v_norm: Option<Vec<f32>>,
    /// Whether queries are all there is: keys and values are another layer's.
    has_queries_alone: bool,
    norm_eps: f32,
    /// Of each query head.
    sinks: Option<Vec<f32>>,
    /// How far from zero queries, keys and values may be.
    clip: Option<f32>,
    /// Which of the state's rotations turns them.
    rope: Option<usize>,
    /// What queries are multiplied with afterwards, by their position.
    temperature: Option<Temperature>,
}

impl Attention {
    /// The attention that `attention` describes, of the tensors in `group`.
    pub(super) fn load(
        config: &ModelConfig,
        attention: &AttentionConfig,
        group: &Group<'_>,
    ) -> Result<Self, EngineError> {
        let AttentionConfig { heads, has_gate, qkv_bias, out_bias, values_are_keys, shares, .. } = *attention;
        let (embd, q) = (config.n_embd, heads.q_width());
        let kv = if shares.is_some() { 0 } else { heads.kv_width() };
        let gates = if has_gate { q } else { 0 };
        let shape = [gates + q + 2 * kv, embd];
        Ok(Self {
            qkv: if values_are_keys && shares.is_none() {
                group.with_last_twice(Slot::QueriesKeysValues).linear(Slot::QueriesKeysValues, shape, qkv_bias)?
            } else {
                group.linear(Slot::QueriesKeysValues, shape, qkv_bias)?
            }
            .with_16_bit_activations(),
            has_gate,
            shares,
            heads: Heads::load(config, attention, group)?,
            out: group.linear(Slot::AttentionOut, [embd, q], out_bias)?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.qkv.weight.bytes() + self.out.weight.bytes()
    }

    /// What it computes from the residual stream of the `n` tokens of `pass`, normalized by `norm`, in `state.hidden`. Their
    /// keys and values go to layer `index` of the caches.
    pub(super) fn forward(
        &self,
        norm: Option<&Norm>,
        state: &mut RunState,
        index: usize,
        pass: &mut Pass<'_>,
        n: usize,
    ) {
        let (q, kv) = self.heads.widths();
        let x = read(norm, &state.workspace, &state.residual, &mut state.hidden);
        let stride = self.qkv.weight.out_features();
        let qkv = sized(&mut state.qkv, n, stride);
        self.qkv.apply(&mut state.workspace, x, n, qkv);
        let attended = sized(&mut state.attended, n, q);
        let pool = state.workspace.pool();
        let first = if self.has_gate { self.take_gates(pool, qkv, sized(&mut state.gates, n, q)) } else { 0 };
        for (rows, cache) in pass.caches() {
            let (past, n) = (cache.len(), rows.len());
            let qkv = &mut qkv[rows.start * stride..rows.end * stride];
            self.heads.turn(&state.ropes, pool, past, cache.is_far(), qkv, stride, first);
            let qkv = &qkv[first..];
            if self.shares.is_none() {
                cache.write(pool, index, n, &qkv[q..], &qkv[q + kv..], stride);
            }
            let index = self.shares.unwrap_or(index);
            let attended = &mut attended[rows.start * q..rows.end * q];
            let (shape, sinks) = (&self.heads.shape, self.heads.sinks.as_deref());
            let request = Request { shape, sinks, queries: qkv, stride, cache: cache.layer(index), past };
            attend(&state.workspace, &request, attended);
        }
        if self.has_gate {
            let gates = &state.gates;
            pool.for_each_part(attended, q, &|_, token, row| recurrence::sigmoid_mul(&gates[token * q..][..q], row));
        }
        let out = sized(&mut state.hidden, n, self.out.weight.out_features());
        self.out.apply(&mut state.workspace, attended, n, out);
    }

    /// Moves the gates, each of which stands behind the query of its head, to `gates`, and the queries together before the
    /// keys. Returns where in a row of `qkv` they begin.
    fn take_gates(&self, pool: &ThreadPool, qkv: &mut [f32], gates: &mut [f32]) -> usize {
        let (dim, (q, _)) = (self.heads.shape.head_dim, self.heads.widths());
        let stride = self.qkv.weight.out_features();
        let rows = &*qkv;
        pool.for_each_part(gates, q, &|_, token, gates| {
            let pairs = rows[token * stride..][..2 * q].chunks_exact(2 * dim);
            gates.chunks_exact_mut(dim).zip(pairs).for_each(|(gate, pair)| gate.copy_from_slice(&pair[dim..]));
        });
        // From the last on: none is in the way of one that moves later.
        let gather = |row: &mut [f32]| {
            (0..q / dim).rev().for_each(|head| row.copy_within(2 * head * dim..(2 * head + 1) * dim, q + head * dim));
        };
        pool.for_each_part(qkv, stride, &|_, _, row| gather(row));
        q
    }
}

impl Heads {
    fn load(config: &ModelConfig, attention: &AttentionConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let AttentionConfig {
            heads: HeadSizes { n_head, n_kv_head, head_dim },
            scale,
            softcap,
            window,
            rope,
            temperature,
            qk_norm,
            v_norm,
            shares,
            ..
        } = *attention;
        let key_norm = || if shares.is_some() { Ok(Vec::new()) } else { group.norm_weight(Slot::KeyNorm) };
        let norms = || Ok([group.norm_weight(Slot::QueryNorm)?, key_norm()?]);
        Ok(Self {
            shape: AttentionShape { n_head, n_kv_head, head_dim, scale, softcap, window },
            norms: qk_norm.map(|_| norms()).transpose()?,
            v_norm: (v_norm && shares.is_none()).then(|| vec![1.0; head_dim]),
            has_queries_alone: shares.is_some(),
            norm_eps: config.norm.eps,
            clip: attention.clip,
            sinks: attention.has_sinks.then(|| group.vector(Slot::AttentionSinks)).transpose()?,
            rope,
            temperature,
        })
    }

    /// Values of a token's queries, and of its keys, if it has any of its own here.
    fn widths(&self) -> (usize, usize) {
        let n_kv_head = if self.has_queries_alone { 0 } else { self.shape.n_kv_head };
        (self.shape.n_head * self.shape.head_dim, n_kv_head * self.shape.head_dim)
    }

    /// Normalizes and turns the queries and keys of tokens at `past` and behind it, each from `first` on in a row of `qkv`;
    /// `is_far` says that their text goes beyond a rotation's first context.
    #[expect(clippy::too_many_arguments, reason = "rows, and where in them")]
    fn turn(
        &self,
        ropes: &[Rope],
        pool: &ThreadPool,
        past: usize,
        is_far: bool,
        qkv: &mut [f32],
        stride: usize,
        first: usize,
    ) {
        let rope = self.rope.map(|rope| &ropes[rope]);
        let is_normed = self.norms.is_some() || self.v_norm.is_some() || self.clip.is_some();
        if rope.is_none() && !is_normed && self.temperature.is_none() {
            return;
        }
        let (q, kv) = self.widths();
        let turn = |token: usize, qkv: &mut [f32]| {
            let (heads, values) = qkv[first..first + q + 2 * kv].split_at_mut(q + kv);
            if let Some(ones) = &self.v_norm {
                values.chunks_exact_mut(ones.len()).for_each(|x| vector::rms_norm_in_place(x, ones, self.norm_eps));
            }
            self.normalize(heads, q);
            if let Some(limit) = self.clip {
                let all = heads.iter_mut().chain(values.iter_mut());
                all.for_each(|value| *value = value.clamp(-limit, limit));
            }
            if let Some(rope) = rope {
                rope.rotate(heads, past + token, is_far);
            }
            if let Some(temperature) = self.temperature {
                vector::scale(&mut heads[..q], temperature.at(past + token));
            }
        };
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
                heads
                    .chunks_exact_mut(weight.len().max(1))
                    .for_each(|x| vector::rms_norm_in_place(x, weight, self.norm_eps));
            }
        }
    }
}
