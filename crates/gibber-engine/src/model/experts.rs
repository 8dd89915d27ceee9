//! A feed-forward part of experts (Shazeer et al. 2017): a router chooses a few for each token.

use super::buffer::sized;
use super::config::{ExpertsConfig, RouterWeights};
use super::dense::{Dense, DenseBuffers};
use super::linear::Group;
use super::tensors::Slot;
use crate::EngineError;
use crate::kernels::{WeightMatrix, Workspace, vector};

/// The experts of a layer, and who chooses among them.
#[derive(Debug)]
pub(super) struct Experts {
    config: ExpertsConfig,
    /// `[n_expert, n_embd]`
    router: WeightMatrix,
    experts: Vec<Dense>,
}

/// That a token goes through an expert.
#[derive(Debug, Clone, Copy)]
struct Route {
    expert: usize,
    token: usize,
    /// What the expert's output is multiplied with.
    weight: f32,
}

/// What the experts compute in.
#[derive(Debug, Default)]
pub(super) struct ExpertBuffers {
    /// The router's, `(n, n_expert)`.
    scores: Vec<f32>,
    /// `n · n_used` of them, expert after expert.
    routes: Vec<Route>,
    /// What one expert reads, a row for each of its tokens.
    read: Vec<f32>,
    /// What it makes of them.
    made: Vec<f32>,
    /// What all of them make, `(n, n_embd)`.
    pub(super) sum: Vec<f32>,
}

impl Experts {
    /// The experts that `config` describes, of the tensors in `group`.
    pub(super) fn load(embd: usize, config: ExpertsConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let expert = |index| Dense::load(embd, config.expert, &group.of_expert(index));
        Ok(Self {
            config,
            router: group.matrix(Slot::Router, [config.n_expert, embd])?.with_16_bit_activations(),
            experts: (0..config.n_expert).map(expert).collect::<Result<_, _>>()?,
        })
    }

    /// Bytes of weights that one token has to read.
    pub(super) fn bytes(&self) -> usize {
        let all: usize = self.experts.iter().map(Dense::bytes).sum();
        self.router.bytes() + all / self.config.n_expert * self.config.n_used
    }

    /// What the experts make of the `n` rows of `x`, in `buffers.sum`.
    ///
    /// The tokens of an expert are computed together. What a token adds up does not depend on its company: its experts come in
    /// the order of their numbers.
    pub(super) fn forward(
        &self,
        workspace: &mut Workspace,
        x: &[f32],
        n: usize,
        buffers: &mut ExpertBuffers,
        dense: &mut DenseBuffers,
    ) {
        let width = self.router.in_features();
        self.route(workspace, x, n, buffers);
        let ExpertBuffers { routes, read, made, sum, .. } = buffers;
        sized(sum, n, width).fill(0.0);
        for routes in routes.chunk_by(|a, b| a.expert == b.expert) {
            let read = sized(read, routes.len(), width);
            for (route, row) in routes.iter().zip(read.chunks_exact_mut(width)) {
                row.copy_from_slice(&x[route.token * width..][..width]);
            }
            let made = sized(made, routes.len(), width);
            let expert = &self.experts[routes[0].expert];
            let inner = expert.inner(workspace, read, routes.len(), dense);
            expert.leave(workspace, inner, routes.len(), made);
            for (route, row) in routes.iter().zip(made.chunks_exact(width)) {
                vector::axpy(route.weight, row, &mut sum[route.token * width..][..width]);
            }
        }
    }

    /// Chooses the experts of each row of `x`.
    fn route(&self, workspace: &mut Workspace, x: &[f32], n: usize, buffers: &mut ExpertBuffers) {
        let n_expert = self.config.n_expert;
        let scores = sized(&mut buffers.scores, n, n_expert);
        self.router.multiply(workspace, x, n, scores);
        buffers.routes.clear();
        for (token, scores) in scores.chunks_exact_mut(n_expert).enumerate() {
            let first = buffers.routes.len();
            buffers.routes.extend(chosen(scores, self.config.n_used).map(|(expert, weight)| Route {
                expert,
                token,
                weight,
            }));
            if self.config.weights == RouterWeights::SoftmaxOfChosen {
                let routes = &mut buffers.routes[first..];
                let sum: f32 = routes.iter().map(|route| route.weight).sum();
                routes.iter_mut().for_each(|route| route.weight /= sum);
            }
        }
        buffers.routes.sort_unstable_by_key(|route| (route.expert, route.token));
    }
}

/// The `n_used` experts of the highest `scores`, the first of equals first, each with its probability among all.
fn chosen(scores: &mut [f32], n_used: usize) -> impl Iterator<Item = (usize, f32)> {
    vector::softmax(scores);
    (0..n_used).map(|_| {
        let best = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        // Below all probabilities: nobody is chosen twice.
        (best, std::mem::replace(&mut scores[best], -1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_experts_are_chosen_once_each_and_equals_in_order() {
        let mut scores = [0.0, 3.0, 1.0, 3.0].map(|x: f32| x.ln());
        let found: Vec<_> = chosen(&mut scores, 3).collect();
        assert_eq!(found.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(), [1, 3, 2]);
        for ((_, weight), expected) in found.iter().zip([3.0 / 7.0, 3.0 / 7.0, 1.0 / 7.0]) {
            assert!((weight - expected).abs() < 1e-6, "{found:?}");
        }
        let all: Vec<_> = chosen(&mut [f32::NAN; 3], 3).map(|(expert, _)| expert).collect();
        assert_eq!(all.len(), 3, "whatever the numbers, a choice is made");
    }
}
