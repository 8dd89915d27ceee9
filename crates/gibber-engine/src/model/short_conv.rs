//! Short convolutions along the sequence, and the mixer that is little else (LFM2): one gate lets in, another lets out.

use super::buffer::sized;
use super::config::ShortConvConfig;
use super::linear::{Group, Linear, Norm, read};
use super::pass::Pass;
use super::recurrent::Inputs;
use super::run_state::RunState;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::{recurrence, vector};

/// A convolution of each channel by itself, over a token and those right before it.
#[derive(Debug)]
pub(super) struct Convolution {
    /// `(tokens, channels)`, that of the token itself first.
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    kernel: usize,
}

impl Convolution {
    /// Over `kernel` tokens, of the tensor in `group`, `[channels, tokens]`, that of the token itself last.
    pub(super) fn load(kernel: usize, has_bias: bool, group: &Group<'_>) -> Result<Self, EngineError> {
        let values = group.vector(Slot::Convolution)?;
        let weights = (0..kernel).rev().flat_map(|token| values.iter().skip(token).step_by(kernel).copied());
        let bias = has_bias.then(|| group.bias(Slot::Convolution)).transpose()?;
        Ok(Self { weights: weights.collect(), bias, kernel })
    }

    /// What comes of the `token`th of `inputs`, of the first channels, as many as `out` has.
    pub(super) fn apply(&self, inputs: &Inputs<'_>, token: usize, out: &mut [f32]) {
        match &self.bias {
            Some(bias) => out.copy_from_slice(bias),
            None => out.fill(0.0),
        }
        for (back, weights) in self.weights.chunks_exact(self.weights.len() / self.kernel).enumerate() {
            recurrence::multiply_add(weights, inputs.row(token, back), out);
        }
    }
}

/// The mixer of a layer.
#[derive(Debug)]
pub(super) struct ShortConv {
    /// What lets in, what lets out, and what they let through.
    input: Linear,
    convolution: Convolution,
    out: Linear,
}

impl ShortConv {
    /// The mixer that `conv` describes, of the tensors in `group`, for rows of `embd` values.
    pub(super) fn load(embd: usize, conv: &ShortConvConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        Ok(Self {
            input: group.linear(Slot::RecurrentIn, [3 * embd, embd], conv.bias)?.with_16_bit_activations(),
            convolution: Convolution::load(conv.kernel, conv.bias, group)?,
            out: group.linear(Slot::RecurrentOut, [embd, embd], conv.bias)?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.input.weight.bytes() + self.out.weight.bytes()
    }

    /// What it computes from the residual stream of the `n` tokens of `pass`, normalized by `norm`, in `state.hidden`. The
    /// last tokens that count are kept in the state of layer `index`.
    pub(super) fn forward(
        &self,
        norm: Option<&Norm>,
        state: &mut RunState,
        index: usize,
        pass: &mut Pass<'_>,
        n: usize,
    ) {
        let embd = self.out.weight.in_features();
        let stride = 3 * embd;
        let x = read(norm, &state.workspace, &state.residual, &mut state.hidden);
        let projected = sized(&mut state.qkv, n, stride);
        self.input.apply(&mut state.workspace, x, n, projected);
        let pool = state.workspace.pool();
        pool.for_each_part(projected, stride, &|_, _, row| {
            let (gate, rest) = row.split_at_mut(embd);
            vector::multiply(gate, &rest[embd..]);
        });
        let (projected, attended) = (&*projected, sized(&mut state.attended, n, embd));
        attended.fill(0.0);
        for (rows, recurrent) in pass.recurrents() {
            let inputs = &projected[rows.start * stride..rows.end * stride];
            let attended = &mut attended[rows.start * embd..rows.end * embd];
            recurrent.advance_layer(index, Inputs::new(inputs, stride, embd), &mut |_, inputs, range, _| {
                let out = &mut attended[range.start * embd..range.end * embd];
                pool.for_each_part(out, embd, &|_, at, row| self.convolution.apply(inputs, range.start + at, row));
            });
        }
        pool.for_each_part(attended, embd, &|_, token, row| {
            vector::multiply(row, &projected[token * stride + embd..][..embd]);
        });
        let attended = &*attended;
        let out = sized(&mut state.hidden, n, embd);
        self.out.apply(&mut state.workspace, attended, n, out);
    }
}
