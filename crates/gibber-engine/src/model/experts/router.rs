//! Which experts a token goes through, and what their outputs are multiplied with.

use crate::EngineError;
use crate::kernels::{Workspace, vector};
use crate::model::buffer::sized;
use crate::model::feed_forward_config::{ExpertsConfig, RouterConfig, Scoring};
use crate::model::linear::{Group, Linear};
use crate::model::tensors::Slot;

/// Below all numbers in their total order: nobody is chosen twice, whatever the scores.
const CHOSEN: f32 = f32::from_bits(u32::MAX);

/// Who chooses.
#[derive(Debug)]
pub(super) struct Router {
    config: RouterConfig,
    n_used: usize,
    /// `[n_expert, n_embd]`
    scores: Linear,
    /// What is added to the scores for the choice, `(n_expert)`.
    choice_bias: Option<Vec<f32>>,
    /// What the weight of each expert is multiplied with, `(n_expert)`.
    expert_scales: Option<Vec<f32>>,
}

/// That a token goes through an expert.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) expert: usize,
    pub(super) token: usize,
    /// What the expert's output is multiplied with.
    pub(super) weight: f32,
}

/// What a router computes in.
#[derive(Debug, Default)]
pub(super) struct RouterBuffers {
    /// `(n, n_expert)`
    scores: Vec<f32>,
    /// What a token's choice goes by, `(n_expert)`.
    keys: Vec<f32>,
    /// `n · n_used` of them, expert after expert, each one's in the order of the tokens.
    pub(super) routes: Vec<Route>,
}

impl Router {
    pub(super) fn load(embd: usize, config: &ExpertsConfig, group: &Group<'_>) -> Result<Self, EngineError> {
        let &ExpertsConfig { n_expert, n_used, router, .. } = config;
        Ok(Self {
            config: router,
            n_used,
            scores: group.linear(Slot::Router, [n_expert, embd], router.bias)?.with_16_bit_activations(),
            choice_bias: router.choice_bias.then(|| group.vector(Slot::ChoiceBias)).transpose()?,
            expert_scales: router.expert_scales.then(|| group.vector(Slot::ExpertScale)).transpose()?,
        })
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        self.scores.weight.bytes()
    }

    /// Values of a row that it reads.
    pub(super) fn in_features(&self) -> usize {
        self.scores.weight.in_features()
    }

    /// How many experts a token goes through.
    pub(super) fn n_used(&self) -> usize {
        self.n_used
    }

    /// Chooses the experts of each of the `n` rows of `x`.
    pub(super) fn route(&self, workspace: &mut Workspace, x: &[f32], n: usize, buffers: &mut RouterBuffers) {
        let n_expert = self.scores.weight.out_features();
        let RouterBuffers { scores, keys, routes } = buffers;
        let scores = sized(scores, n, n_expert);
        self.scores.apply(workspace, x, n, scores);
        routes.clear();
        for (token, scores) in scores.chunks_exact_mut(n_expert).enumerate() {
            let first = routes.len();
            self.choose(scores, keys, |expert, weight| routes.push(Route { expert, token, weight }));
            self.config.weigh(&mut routes[first..]);
            if let Some(scales) = &self.expert_scales {
                routes[first..].iter_mut().for_each(|route| route.weight *= scales[route.expert]);
            }
        }
        routes.sort_unstable_by_key(|route| (route.expert, route.token));
    }

    /// Tells the experts with the highest keys, the first of equals first, each with its score.
    fn choose(&self, scores: &mut [f32], keys: &mut Vec<f32>, mut tell: impl FnMut(usize, f32)) {
        match self.config.scoring {
            Scoring::Softmax => vector::softmax(scores),
            Scoring::Sigmoid => scores.iter_mut().for_each(|score| *score = sigmoid(*score)),
        }
        keys.clear();
        keys.extend_from_slice(scores);
        if let Some(bias) = &self.choice_bias {
            vector::add(keys, bias);
        }
        for _ in 0..self.n_used {
            let best = (0..keys.len()).rev().max_by(|&a, &b| keys[a].total_cmp(&keys[b])).unwrap_or(0);
            keys[best] = CHOSEN;
            tell(best, scores[best]);
        }
    }
}

impl RouterConfig {
    /// Makes weights of the scores of a token's experts.
    fn weigh(&self, routes: &mut [Route]) {
        let sum = self.normalized.map_or(1.0, |epsilon| routes.iter().map(|route| route.weight).sum::<f32>() + epsilon);
        routes.iter_mut().for_each(|route| route.weight = route.weight / sum * self.scale);
    }
}

/// Of what is between minus and plus infinity, something between 0 and 1.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kernels::{Packer, ThreadPool, WeightMatrix};
    use crate::weights::{DType, Storage, Tensor};

    /// What is chosen where the router's outputs are `outputs`, each with its weight.
    fn routed(
        config: RouterConfig,
        choice_bias: Option<Vec<f32>>,
        n_used: usize,
        outputs: &[f32],
    ) -> Vec<(usize, f32)> {
        let pool = Arc::new(ThreadPool::new(1));
        let bytes: Vec<u8> = outputs.iter().flat_map(|x| x.to_le_bytes()).collect();
        let (shape, len) = (vec![outputs.len(), 1], bytes.len());
        let tensor = Tensor::new("router".into(), shape, DType::F32, Storage::from_vec(bytes), 0..len).unwrap();
        let scores = Linear::without_bias(WeightMatrix::from_rows(&tensor, &Packer::new(&pool)).unwrap());
        let router = Router { config, n_used, scores, choice_bias, expert_scales: None };
        let mut buffers = RouterBuffers::default();
        router.route(&mut Workspace::new(pool), &[1.0], 1, &mut buffers);
        buffers.routes.iter().map(|route| (route.expert, route.weight)).collect()
    }

    fn assert_routed(found: &[(usize, f32)], expected: &[(usize, f32)]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-6, "{found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn the_likeliest_experts_are_chosen_once_each_and_equals_in_order() {
        let outputs = [0.0, 3.0, 1.0, 3.0].map(|x: f32| x.ln());
        let of_all = RouterConfig::softmax(false);
        assert_routed(&routed(of_all, None, 3, &outputs), &[(1, 3.0 / 7.0), (2, 1.0 / 7.0), (3, 3.0 / 7.0)]);
        assert_routed(&routed(of_all, None, 1, &outputs), &[(1, 3.0 / 7.0)]);
        let all: Vec<_> = routed(of_all, None, 3, &[f32::NAN; 3]).into_iter().map(|(expert, _)| expert).collect();
        assert_eq!(all, [0, 1, 2], "whatever the numbers, a choice is made");
    }

    #[test]
    fn weights_of_the_chosen_add_up_to_one_where_that_is_asked_for() {
        let outputs = [0.0, 3.0, 1.0, 3.0].map(|x: f32| x.ln());
        let found = routed(RouterConfig::softmax(true), None, 3, &outputs);
        assert_routed(&found, &[(1, 3.0 / 7.0), (2, 1.0 / 7.0), (3, 3.0 / 7.0)]);
        assert_routed(&routed(RouterConfig::softmax(true), None, 2, &outputs), &[(1, 0.5), (3, 0.5)]);
    }

    #[test]
    fn a_bias_moves_the_choice_and_not_the_weights() {
        let outputs = [-1.0, 0.0, 1.0];
        let config = RouterConfig {
            scoring: Scoring::Sigmoid,
            choice_bias: true,
            normalized: Some(0.5),
            scale: 2.0,
            ..RouterConfig::softmax(false)
        };
        let [a, c] = [sigmoid(-1.0), sigmoid(1.0)];
        let sum = a + c + 0.5;
        let found = routed(config, Some(vec![1.0, -1.0, 0.0]), 2, &outputs);
        assert_routed(&found, &[(0, 2.0 * a / sum), (2, 2.0 * c / sum)]);
    }
}
