//! A gated delta net (Yang et al. 2024, as Qwen3-Next and Qwen3.5 have it): a short convolution over queries, keys and values,
//! then the delta rule in each head, whose state a token decays, corrects by its key and value, and reads by its query.

use super::buffer::sized;
use super::config::{DeltaNetConfig, ModelConfig};
use super::linear::{Group, Linear, Norm, read};
use super::pass::Pass;
use super::recurrent::Inputs;
use super::run_state::{RecurrentBuffers, RunState};
use super::short_conv::Convolution;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::recurrence::{self, DeltaShape};
use crate::kernels::{ThreadPool, vector};

/// The mixer of a layer.
#[derive(Debug)]
pub(super) struct DeltaNet {
    config: DeltaNetConfig,
    shape: DeltaShape,
    /// Queries, keys and values before the convolution, what decides of learning and of decay, and the gate of what is read.
    input: Linear,
    convolution: Convolution,
    /// Of each head of values.
    decay: Vec<f32>,
    decay_bias: Vec<f32>,
    /// Of what each head reads.
    norm: Vec<f32>,
    norm_eps: f32,
    out: Linear,
}

impl DeltaNet {
    /// The mixer that `net` describes, of the tensors in `group`.
    pub(super) fn load(config: &ModelConfig, net: &DeltaNetConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let (embd, values) = (config.n_embd, net.value_width());
        let width = net.conv_width() + 2 * net.n_value_head + values;
        Ok(Self {
            config: *net,
            shape: net.shape(),
            input: group.linear(Slot::RecurrentIn, [width, embd], false)?.with_16_bit_activations(),
            convolution: Convolution::load(net.kernel, false, group)?,
            decay: group.vector(Slot::Decay)?,
            decay_bias: group.vector(Slot::DecayBias)?,
            norm: group.vector(Slot::RecurrentNorm)?,
            norm_eps: config.norm.eps,
            out: group.linear(Slot::RecurrentOut, [embd, values], false)?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        self.input.weight.bytes() + self.out.weight.bytes()
    }

    /// What it computes from the residual stream of the `n` tokens of `pass`, normalized by `norm`, in `state.hidden`. Its
    /// states, of layer `index`, are those after the tokens that count.
    pub(super) fn forward(
        &self,
        norm: Option<&Norm>,
        state: &mut RunState,
        index: usize,
        pass: &mut Pass<'_>,
        n: usize,
    ) {
        let (stride, width) = (self.input.weight.out_features(), self.shape.values());
        let x = read(norm, &state.workspace, &state.residual, &mut state.hidden);
        let projected = sized(&mut state.qkv, n, stride);
        self.input.apply(&mut state.workspace, x, n, projected);
        let (projected, attended) = (&*projected, sized(&mut state.attended, n, width));
        let (pool, RecurrentBuffers { mixed, unread }) = (state.workspace.pool(), &mut state.recurrent);
        attended.fill(0.0);
        for (rows, recurrent) in pass.recurrents() {
            let inputs = &projected[rows.start * stride..rows.end * stride];
            let attended = &mut attended[rows.start * width..rows.end * width];
            let inputs = Inputs::new(inputs, stride, stride - width);
            recurrent.advance_layer(index, inputs, &mut |memory, inputs, range, is_wanted| {
                let mixed = sized(mixed, range.len(), self.shape.row());
                self.mix(pool, inputs, range.start, mixed);
                let out = match is_wanted {
                    true => &mut attended[range.start * width..range.end * width],
                    false => sized(unread, range.len(), width),
                };
                recurrence::delta_rule(pool, &self.shape, memory, mixed, out);
            });
        }
        pool.for_each_part(attended, width, &|_, token, row| {
            row.chunks_exact_mut(self.norm.len())
                .for_each(|head| vector::rms_norm_in_place(head, &self.norm, self.norm_eps));
            recurrence::silu_gate(&projected[(token + 1) * stride - width..][..width], row);
        });
        let attended = &*attended;
        let out = sized(&mut state.hidden, n, self.out.weight.out_features());
        self.out.apply(&mut state.workspace, attended, n, out);
    }

    /// What the delta rule reads of the tokens from `first` on, a row each in `mixed`.
    fn mix(&self, pool: &ThreadPool, inputs: &Inputs<'_>, first: usize, mixed: &mut [f32]) {
        let (keys, heads) = (self.shape.keys(), self.shape.n_value_head);
        let conv_width = self.config.conv_width();
        let scale = (self.shape.key_dim as f32).sqrt().recip();
        pool.for_each_part(mixed, self.shape.row(), &|_, at, row| {
            let (conv, gates) = row.split_at_mut(conv_width);
            self.convolution.apply(inputs, first + at, conv);
            recurrence::silu(conv);
            let (queries, rest) = conv.split_at_mut(keys);
            let heads_of = |x: &mut [f32], scale| {
                x.chunks_exact_mut(self.shape.key_dim).for_each(|head| recurrence::l2_normalize(head, scale));
            };
            heads_of(queries, scale);
            heads_of(&mut rest[..keys], 1.0);
            let raw = &inputs.row(first + at, 0)[conv_width..];
            let (decays, rates) = gates.split_at_mut(heads);
            for head in 0..heads {
                let [rate, decay] = self.gates_of(head).map(|at| raw[at]);
                let speed = recurrence::softplus(decay + self.decay_bias[head]);
                decays[head] = (self.decay[head] * speed).exp();
                rates[head] = 1.0 / (1.0 + (-rate).exp());
            }
        });
    }

    /// Where what decides of a head's learning and decay stands behind what the convolution reads.
    fn gates_of(&self, head: usize) -> [usize; 2] {
        let DeltaNetConfig { n_key_head, n_value_head, gates_by_key_head, .. } = self.config;
        if !gates_by_key_head {
            return [head, n_value_head + head];
        }
        let group = n_value_head / n_key_head;
        let rate = head / group * 2 * group + head % group;
        [rate, rate + group]
    }
}
