//! The feed-forward part of a layer: one for all tokens, or experts.

/// The feed-forward part of a layer.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedForwardConfig {
    /// Every token goes through all of it.
    Dense(DenseConfig),
    /// Every token goes through a few of many.
    Experts(ExpertsConfig),
}

/// A feed-forward part of experts, of which a router chooses a few for each token (Shazeer et al. 2017).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertsConfig {
    /// How many there are.
    pub n_expert: usize,
    /// How many a token goes through.
    pub n_used: usize,
    /// Each of them.
    pub expert: DenseConfig,
    /// Who chooses them.
    pub router: RouterConfig,
    /// What every token goes through beside the chosen ones.
    pub shared: Option<SharedExpertConfig>,
    /// Whether the router and the chosen read the residual stream by norms of their own, and what the chosen and what the
    /// shared one make is normalized before it is added up (Gemma 4).
    pub has_norms: bool,
}

/// How the outputs of a router become a choice, and weights of the chosen experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterConfig {
    /// How they become scores.
    pub scoring: Scoring,
    /// Whether they have biases.
    pub bias: bool,
    /// Whether a bias is added to the scores for the choice alone.
    pub choice_bias: bool,
    /// Where the scores of the chosen are divided by their sum: what is added to that first.
    pub normalized: Option<f32>,
    /// What the weights are multiplied with in the end.
    pub scale: f32,
    /// Whether each expert has a number beside that.
    pub expert_scales: bool,
}

/// How the outputs of a router become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// By the softmax over all experts. Where the scores of the chosen are divided by their sum, it is the softmax over those.
    Softmax,
    /// Each by itself.
    Sigmoid,
}

/// An expert that every token goes through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharedExpertConfig {
    /// What it is.
    pub dense: DenseConfig,
    /// Whether its output is multiplied with a sigmoid, of a product of the token with a vector.
    pub is_gated: bool,
}

/// A feed-forward part of two steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DenseConfig {
    /// Width between them.
    pub n_ff: usize,
    /// What stands between them.
    pub activation: Activation,
    /// Whether the first step has twice the outputs, of which the activated first half is multiplied with the second
    /// (Shazeer 2020).
    pub is_gated: bool,
    /// Whether both steps have biases.
    pub bias: bool,
}

/// What stands between the two steps of a feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// GELU in the tanh form (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// GELU by the error function (`gelu`).
    Gelu,
    /// What is below zero becomes zero.
    Relu,
    /// `x · sigmoid(x)`.
    Silu,
    /// GELU in the tanh form of what is above the row's mean by so many standard deviations; what is not is zero (Gemma 3n).
    SparseGeluTanh {
        /// How many.
        deviations: f32,
    },
    /// `x · sigmoid(alpha · x)` of `x` up to `limit`; what it gates is held between `-limit` and `limit`, and has one added.
    ClampedSwish {
        /// What `x` is multiplied with inside the sigmoid.
        alpha: f32,
        /// Above zero.
        limit: f32,
    },
}

impl RouterConfig {
    /// The softmax over all experts, or over the chosen ones.
    pub fn softmax(of_chosen: bool) -> Self {
        let normalized = of_chosen.then_some(0.0);
        Self {
            scoring: Scoring::Softmax,
            bias: false,
            choice_bias: false,
            normalized,
            scale: 1.0,
            expert_scales: false,
        }
    }
}

impl DenseConfig {
    /// Two steps that SiLU gates (Shazeer 2020).
    pub fn swiglu(n_ff: usize, bias: bool) -> Self {
        Self { n_ff, activation: Activation::Silu, is_gated: true, bias }
    }
}

impl FeedForwardConfig {
    /// Through how many of its experts a token goes; a dense part counts as one.
    pub fn used_experts(&self) -> usize {
        match self {
            Self::Dense(_) => 1,
            Self::Experts(experts) => experts.n_used,
        }
    }

    /// The part, or each of its experts.
    pub fn unit(&self) -> &DenseConfig {
        match self {
            Self::Dense(dense) => dense,
            Self::Experts(experts) => &experts.expert,
        }
    }

    /// The part, or its experts of every kind.
    pub(super) fn units(&self) -> impl Iterator<Item = &DenseConfig> {
        std::iter::once(self.unit())
            .chain(self.experts().and_then(|experts| experts.shared.as_ref()).map(|it| &it.dense))
    }

    /// The experts, where there are any.
    pub fn experts(&self) -> Option<&ExpertsConfig> {
        match self {
            Self::Dense(_) => None,
            Self::Experts(experts) => Some(experts),
        }
    }

    /// The floats that a token of a pass takes inside, for rows of `n_embd` values.
    pub fn values_a_token(&self, n_embd: usize) -> usize {
        let inside = |unit: &DenseConfig| unit.n_ff.saturating_mul(if unit.is_gated { 3 } else { 2 });
        match self {
            Self::Dense(dense) => inside(dense),
            Self::Experts(ExpertsConfig { n_expert, expert, shared, .. }) => {
                let shared = shared.map_or(0, |shared| inside(&shared.dense));
                // What goes in, comes out and is added up. Not all chosen experts of a long pass are computed at once.
                inside(expert).saturating_add(n_embd.saturating_mul(3)).saturating_add(*n_expert).max(shared)
            }
        }
    }
}
