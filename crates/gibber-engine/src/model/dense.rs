//! A feed-forward part of two steps, which a whole layer may have, or an expert.

use super::buffer::sized;
use super::feed_forward_config::DenseConfig;
use super::linear::{Group, Linear};
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::Workspace;

/// Its weights.
#[derive(Debug)]
pub(super) struct Dense {
    config: DenseConfig,
    /// The gate and what it is multiplied with, or one matrix alone.
    enter: Linear,
    leave: Linear,
}

/// What stands between the two steps.
#[derive(Debug, Default)]
pub(super) struct DenseBuffers {
    /// `(n, n_ff)`, or `(n, 2 · n_ff)` where there is a gate.
    pub(super) entered: Vec<f32>,
    /// After the activation, `(n, n_ff)`.
    pub(super) inner: Vec<f32>,
}

impl Dense {
    /// The part that `config` describes, of the tensors of `group` that are in `slots`: of the first step and of the second.
    pub(super) fn load(
        embd: usize,
        config: DenseConfig,
        group: &Group<'_>,
        slots: [Slot; 2],
    ) -> Result<Self, EngineError> {
        let DenseConfig { n_ff, is_gated, bias, .. } = config;
        let entered = if is_gated { 2 * n_ff } else { n_ff };
        let enter = group.linear(slots[0], [entered, embd], bias)?;
        Ok(Self { config, enter, leave: group.linear(slots[1], [embd, n_ff], bias)? })
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        self.enter.weight.bytes() + self.leave.weight.bytes()
    }

    /// The first step.
    pub(super) fn enter(&self) -> &Linear {
        &self.enter
    }

    /// The second.
    pub(super) fn leave(&self) -> &Linear {
        &self.leave
    }

    /// What stands between the steps, of what a token has `entered`.
    pub(super) fn activate(&self, entered: &[f32], inner: &mut [f32]) {
        let DenseConfig { n_ff, activation, is_gated, .. } = self.config;
        if is_gated {
            let (gate, up) = entered.split_at(n_ff);
            activation.gate(gate, up, inner);
        } else {
            inner.copy_from_slice(entered);
            activation.in_place(inner);
        }
    }

    /// The first step, of the `n` rows of `x`: what stands between the two, `(n, n_ff)`, in one of the buffers.
    pub(super) fn inner<'a>(
        &self,
        workspace: &mut Workspace,
        x: &[f32],
        n: usize,
        buffers: &'a mut DenseBuffers,
    ) -> &'a [f32] {
        let (n_ff, width) = (self.config.n_ff, self.enter.weight.out_features());
        let entered = sized(&mut buffers.entered, n, width);
        self.enter.apply(workspace, x, n, entered);
        let (entered, inner) = (&*entered, sized(&mut buffers.inner, n, n_ff));
        workspace.pool().for_each_part(inner, n_ff, &|_, row, out| {
            self.activate(&entered[row * width..][..width], out);
        });
        inner
    }
}
