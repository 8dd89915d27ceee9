//! Alternating updates (Baykal et al. 2023): the residual stream is several, of which a layer computes one and predicts the
//! others (Gemma 3n).

use super::buffer::sized;
use super::config::{AltUpConfig, MAX_STREAMS, ModelConfig};
use super::linear::{Group, Norm, read};
use super::run_state::RunState;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::{WeightMatrix, Workspace, vector};

/// The least mean square that is divided by.
const LEAST_SQUARE: f32 = 1e-5;

/// Where the streams come from, and how they become one again.
#[derive(Debug)]
pub(super) struct Streams {
    config: AltUpConfig,
    /// From the embedding to each stream but the first, `[n_embd, n_embd]`.
    enter: Vec<WeightMatrix>,
    /// And back.
    leave: Vec<WeightMatrix>,
}

impl Streams {
    /// What `of` asks for, of the tensors in `group`.
    pub(super) fn load(config: &ModelConfig, of: AltUpConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let shape = [config.n_embd; 2];
        let matrices = |slot| {
            let matrix = |index| Ok(group.of_expert(index).matrix(slot, shape)?.with_16_bit_activations());
            (0..of.n - 1).map(matrix).collect::<Result<_, EngineError>>()
        };
        Ok(Self { config: of, enter: matrices(Slot::StreamIn)?, leave: matrices(Slot::StreamOut)? })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.enter.iter().chain(&self.leave).map(WeightMatrix::bytes).sum()
    }

    /// Begins the streams of `n` tokens, whose embeddings are in `state.residual`: `state.streams`, `(n, streams, n_embd)`.
    pub(super) fn begin(&self, state: &mut RunState, n: usize) {
        let width = state.residual.len() / n.max(1);
        let all = self.config.n * width;
        let streams = sized(&mut state.streams, n, all);
        let made = sized(&mut state.hidden, n, width);
        for (streams, x) in streams.chunks_exact_mut(all).zip(state.residual.chunks_exact(width)) {
            streams[..width].copy_from_slice(x);
        }
        for (index, matrix) in self.enter.iter().enumerate() {
            matrix.multiply(&mut state.workspace, &state.residual, n, made);
            for (token, row) in made.chunks_exact_mut(width).enumerate() {
                let like = &state.residual[token * width..][..width];
                vector::scale(row, magnitude_ratio(like, row));
                streams[token * all + (index + 1) * width..][..width].copy_from_slice(row);
            }
        }
    }

    /// Leaves what becomes of the streams of `n` tokens in `state.residual`.
    pub(super) fn end(&self, state: &mut RunState, n: usize) {
        let width = state.residual.len() / n.max(1);
        let (all, share) = (self.config.n * width, (self.config.n as f32).recip());
        for (streams, x) in state.streams.chunks_exact(all).zip(state.residual.chunks_exact_mut(width)) {
            x.copy_from_slice(&streams[..width]);
            vector::scale(x, share);
        }
        let (one, made) = (sized(&mut state.normed, n, width), sized(&mut state.hidden, n, width));
        for (index, matrix) in self.leave.iter().enumerate() {
            for (streams, one) in state.streams.chunks_exact(all).zip(one.chunks_exact_mut(width)) {
                one.copy_from_slice(&streams[(index + 1) * width..][..width]);
            }
            matrix.multiply(&mut state.workspace, one, n, made);
            for (token, x) in state.residual.chunks_exact_mut(width).enumerate() {
                let (first, row) = (&state.streams[token * all..][..width], &made[token * width..][..width]);
                vector::axpy(share * magnitude_ratio(first, row), row, x);
            }
        }
    }
}

/// What `row` is multiplied with to be as large as `like`, by their mean squares.
fn magnitude_ratio(like: &[f32], row: &[f32]) -> f32 {
    let square = |x: &[f32]| vector::dot(x, x) / x.len().max(1) as f32;
    square(like).sqrt() / square(row).max(LEAST_SQUARE).sqrt()
}

/// What a layer does to the streams.
#[derive(Debug)]
pub(super) struct AltUp {
    config: AltUpConfig,
    /// What a stream is multiplied with to tell of what kind it is, `(streams, n_embd)`.
    router: Vec<f32>,
    eps: f32,
    /// `(streams, streams, streams)`: to each stream, from each, by each kind.
    prediction: Vec<f32>,
    /// `(streams, streams)`: of each stream, by each kind.
    correction: Vec<f32>,
    /// `(n_embd)`
    out_scale: Option<Vec<f32>>,
}

impl AltUp {
    /// What `of` asks for, of the tensors in `group`.
    pub(super) fn load(config: &ModelConfig, of: AltUpConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let (width, mut router) = (config.n_embd, group.vector(Slot::AltUpRouter)?);
        let norm = group.norm_weight(Slot::AltUpRouterNorm)?;
        for row in router.chunks_exact_mut(width) {
            row.iter_mut().zip(&norm).for_each(|(weight, norm)| *weight *= norm / width as f32);
        }
        Ok(Self {
            config: of,
            router,
            eps: config.norm.eps,
            prediction: group.vector(Slot::AltUpPrediction)?,
            correction: group.vector(Slot::AltUpCorrection)?,
            out_scale: of.scales_out.then(|| group.norm_weight(Slot::AltUpScale)).transpose()?,
        })
    }

    /// Of what kind `x` is: `(streams)`.
    fn kinds(&self, x: &[f32]) -> [f32; MAX_STREAMS] {
        let mut kinds = [0.0; MAX_STREAMS];
        let scale = (vector::dot(x, x) / x.len() as f32 + self.eps).sqrt().recip();
        for (kind, row) in kinds.iter_mut().zip(self.router.chunks_exact(x.len())) {
            *kind = (scale * vector::dot(x, row)).tanh();
        }
        kinds
    }

    /// Makes of the streams of `n` tokens what they are expected to be behind the layer; the one that it computes goes to
    /// `state.residual`.
    pub(super) fn predict(&self, state: &mut RunState, n: usize) {
        let (count, active) = (self.config.n, self.config.active);
        let width = state.residual.len() / n.max(1);
        state.workspace.pool().for_each_part(&mut state.streams, count * width, &|_, _, streams| {
            let kinds = self.kinds(&streams[active * width..][..width]);
            let mut factors = [[0.0; MAX_STREAMS]; MAX_STREAMS];
            for (to, row) in self.prediction.chunks_exact(count * count).enumerate() {
                for (from, by) in row.chunks_exact(count).enumerate() {
                    factors[to][from] = vector::dot(by, &kinds[..count]);
                }
                factors[to][to] += 1.0;
            }
            for at in 0..width {
                let mut before = [0.0; MAX_STREAMS];
                (0..count).for_each(|from| before[from] = streams[from * width + at]);
                for (to, factors) in factors[..count].iter().enumerate() {
                    streams[to * width + at] = factors.iter().zip(&before).map(|(factor, x)| factor * x).sum();
                }
            }
        });
        for (streams, x) in state.streams.chunks_exact(count * width).zip(state.residual.chunks_exact_mut(width)) {
            x.copy_from_slice(&streams[active * width..][..width]);
        }
    }

    /// Moves the streams of `n` tokens by how far what the layer has made, in `state.residual`, is from what was expected.
    /// Leaves in `state.residual` what the layer's last step reads.
    pub(super) fn correct(&self, state: &mut RunState, n: usize) {
        let (count, active) = (self.config.n, self.config.active);
        let width = state.residual.len() / n.max(1);
        let made = &state.residual;
        state.workspace.pool().for_each_part(&mut state.streams, count * width, &|_, token, streams| {
            let made = &made[token * width..][..width];
            let kinds = self.kinds(made);
            let mut factors = [0.0; MAX_STREAMS];
            for (factor, by) in factors.iter_mut().zip(self.correction.chunks_exact(count)) {
                *factor = vector::dot(by, &kinds[..count]) + 1.0;
            }
            for at in 0..width {
                let moved = made[at] - streams[active * width + at];
                (0..count).for_each(|to| streams[to * width + at] += factors[to] * moved);
            }
        });
        for (streams, x) in state.streams.chunks_exact(count * width).zip(state.residual.chunks_exact_mut(width)) {
            x.copy_from_slice(&streams[active * width..][..width]);
            if let Some(scale) = &self.out_scale {
                x.iter_mut().zip(scale).for_each(|(x, scale)| *x *= scale);
            }
        }
    }

    /// Adds the rows of `state.normed`, one for each of the tokens, to all streams but the first.
    pub(super) fn add(&self, state: &mut RunState) {
        let rows = &state.normed;
        let (count, width) = (self.config.n, self.router.len() / self.config.n);
        state.workspace.pool().for_each_part(&mut state.streams, count * width, &|_, token, streams| {
            let row = &rows[token * width..][..width];
            streams[width..].chunks_exact_mut(width).for_each(|stream| vector::add(stream, row));
        });
    }
}

/// A learned augmented residual layer (Menghani et al. 2024): beside attention, a product of two narrow matrices.
#[derive(Debug)]
pub(super) struct Laurel {
    /// `[rank, n_embd]`
    left: WeightMatrix,
    /// `[n_embd, rank]`
    right: WeightMatrix,
    norm: Norm,
}

impl Laurel {
    /// Of the tensors in `group`.
    pub(super) fn load(n_embd: usize, rank: usize, group: &Group<'_>) -> Result<Self, EngineError> {
        Ok(Self {
            left: group.matrix(Slot::LaurelLeft, [rank, n_embd])?.with_16_bit_activations(),
            right: group.matrix(Slot::LaurelRight, [n_embd, rank])?.with_16_bit_activations(),
            norm: group.norm(Slot::LaurelNorm)?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.left.bytes() + self.right.bytes()
    }

    /// Leaves what it makes of the residual stream of `n` tokens, normalized by `norm`, in `state.laurel`.
    pub(super) fn forward(&self, norm: Option<&Norm>, state: &mut RunState, n: usize) {
        let width = self.right.out_features();
        let workspace: &mut Workspace = &mut state.workspace;
        let x = read(norm, workspace, &state.residual, &mut state.hidden);
        let narrow = sized(&mut state.gates, n, self.left.out_features());
        self.left.multiply(workspace, x, n, narrow);
        let made = sized(&mut state.normed, n, width);
        self.right.multiply(workspace, narrow, n, made);
        let laurel = sized(&mut state.laurel, n, width);
        self.norm.apply(workspace, made, laurel);
        vector::add(laurel, x);
    }
}
