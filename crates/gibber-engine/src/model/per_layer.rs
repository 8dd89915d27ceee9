//! What each layer is told of a token beside the residual stream (Gemma 3n, 4).

use super::buffer::sized;
use super::config::{ModelConfig, PerLayerConfig};
use super::linear::{Group, Norm};
use super::pass::Pass;
use super::run_state::RunState;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::{Table, WeightMatrix, vector};

/// What it is made of, for all layers.
#[derive(Debug)]
pub(super) struct PerLayerInputs {
    config: PerLayerConfig,
    /// `(vocab_size, n_layer · width)`, read from the file: a token needs one row of gigabytes.
    table: Table,
    /// `[n_layer · width, n_embd]`
    projection: WeightMatrix,
    /// Of each layer's part of it, `(width)`.
    norm: Vec<f32>,
    eps: f32,
}

impl PerLayerInputs {
    /// What `of` asks for, of the tensors in `group`.
    pub(super) fn load(config: &ModelConfig, of: PerLayerConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let shape = [config.n_layer() * of.width, config.n_embd];
        Ok(Self {
            config: of,
            table: group.table_of_file(Slot::PerLayerEmbedding)?,
            projection: group.matrix(Slot::PerLayerProjection, shape)?.with_16_bit_activations(),
            norm: group.norm_weight(Slot::PerLayerProjectionNorm)?,
            eps: config.norm.eps,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.projection.bytes()
    }

    /// Leaves it in `state.told`, `(n, n_layer · width)`, for the tokens of `pass`, whose embeddings are in `state.residual`.
    pub(super) fn forward(&self, state: &mut RunState, pass: &Pass<'_>, n: usize) {
        let (all, width) = (self.projection.out_features(), self.config.width);
        let told = sized(&mut state.told, n, all);
        self.projection.multiply(&mut state.workspace, &state.residual, n, told);
        let scale = (self.projection.in_features() as f32).sqrt().recip();
        let row = sized(&mut state.hidden, 1, all);
        for ((_, token), told) in pass.tokens().zip(told.chunks_exact_mut(all)) {
            vector::scale(told, scale);
            told.chunks_exact_mut(width).for_each(|part| vector::rms_norm_in_place(part, &self.norm, self.eps));
            // The table may have fewer rows than the vocabulary: what has none is told as the first one is.
            let at = Some(token as usize).filter(|&token| token < self.config.vocab_size);
            self.table.row(at.unwrap_or(0), row);
            vector::axpy((width as f32).sqrt(), row, told);
            vector::scale(told, std::f32::consts::FRAC_1_SQRT_2);
        }
    }
}

/// The step of a layer that it gates.
#[derive(Debug)]
pub(super) struct PerLayerStep {
    /// `[width, n_embd]`
    gate: WeightMatrix,
    /// `[n_embd, width]`
    out: WeightMatrix,
    norm: Norm,
}

impl PerLayerStep {
    /// What `of` asks for, of the tensors in `group`.
    pub(super) fn load(n_embd: usize, of: PerLayerConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        Ok(Self {
            gate: group.matrix(Slot::PerLayerGate, [of.width, n_embd])?.with_16_bit_activations(),
            out: group.matrix(Slot::PerLayerOut, [n_embd, of.width])?.with_16_bit_activations(),
            norm: group.norm(Slot::PerLayerPostNorm)?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.gate.bytes() + self.out.bytes()
    }

    /// Leaves in `state.normed` what this step makes of the residual stream of `n` tokens, in layer `index`.
    pub(super) fn made(&self, state: &mut RunState, index: usize, n: usize) {
        let (width, embd) = (self.gate.out_features(), self.gate.in_features());
        let gates = sized(&mut state.gates, n, width);
        self.gate.multiply(&mut state.workspace, &state.residual, n, gates);
        let (told, all) = (&state.told, state.told.len() / n.max(1));
        state.workspace.pool().for_each_part(gates, width, &|_, token, gates| {
            vector::gelu_tanh(gates);
            let told = &told[token * all + index * width..][..width];
            gates.iter_mut().zip(told).for_each(|(gate, told)| *gate *= told);
        });
        let out = sized(&mut state.hidden, n, embd);
        self.out.multiply(&mut state.workspace, gates, n, out);
        let normed = sized(&mut state.normed, n, embd);
        self.norm.apply(&state.workspace, out, normed);
    }
}
