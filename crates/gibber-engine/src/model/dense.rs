//! A feed-forward part of two steps, which a whole layer may have, or an expert.

use super::buffer::sized;
use super::config::DenseConfig;
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
    entered: Vec<f32>,
    /// After the gate, `(n, n_ff)`.
    gated: Vec<f32>,
}

impl Dense {
    /// The part that `config` describes, of the tensors in `group`.
    pub(super) fn load(embd: usize, config: DenseConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let DenseConfig { n_ff, is_gated, bias, .. } = config;
        let entered = if is_gated { 2 * n_ff } else { n_ff };
        let enter = group.linear(Slot::FeedForwardIn, [entered, embd], bias)?;
        Ok(Self { config, enter, leave: group.linear(Slot::FeedForwardOut, [embd, n_ff], bias)? })
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        self.enter.weight.bytes() + self.leave.weight.bytes()
    }

    /// The first step, of the `n` rows of `x`: what stands between the two, `(n, n_ff)`, in one of the buffers.
    pub(super) fn inner<'a>(
        &self,
        workspace: &mut Workspace,
        x: &[f32],
        n: usize,
        buffers: &'a mut DenseBuffers,
    ) -> &'a [f32] {
        let DenseConfig { n_ff, activation, is_gated, .. } = self.config;
        let entered = sized(&mut buffers.entered, n, self.enter.weight.out_features());
        self.enter.apply(workspace, x, n, entered);
        let pool = workspace.pool();
        if !is_gated {
            let activate = activation.in_place();
            pool.for_each_part(entered, n_ff, &|_, _, row| activate(row));
            return entered;
        }
        let (entered, gated, activate) = (&*entered, sized(&mut buffers.gated, n, n_ff), activation.gate());
        pool.for_each_part(gated, n_ff, &|_, token, out| {
            let (gate, up) = entered[token * 2 * n_ff..][..2 * n_ff].split_at(n_ff);
            activate(gate, up, out);
        });
        gated
    }

    /// The second step, of the `n` rows of `inner`.
    pub(super) fn leave(&self, workspace: &mut Workspace, inner: &[f32], n: usize, out: &mut [f32]) {
        self.leave.apply(workspace, inner, n, out);
    }
}
