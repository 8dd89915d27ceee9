//! From logits to a token: the chain of filters and the seeded draw.

mod chain;
mod params;
mod sampler;
mod stats;

pub use params::{InvalidSampling, PRESET_NAMES, SamplingParams};
pub use sampler::{Draw, Sampler, distribution, fresh_seed, most_probable};
pub use stats::{LogSoftmaxStats, log_softmax_stats, not_numbers, rank_of};

use crate::TokenId;
use serde::{Deserialize, Serialize};

/// The filter that removed a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// Not among the k most probable.
    TopK,
    /// Too far from the typical surprise.
    TypicalP,
    /// Outside the nucleus.
    TopP,
    /// Too improbable beside the best.
    MinP,
}

impl Filter {
    /// Its name as the sampling panel and the flags spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TopK => "top-k",
            Self::TypicalP => "typical",
            Self::TopP => "top-p",
            Self::MinP => "min-p",
        }
    }
}

/// A token that might come next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The token.
    pub token: TokenId,
    /// Its text, lossy where it is part of a character.
    pub text: String,
    /// Probability in the model's own distribution.
    pub before: f32,
    /// Probability after penalties, filters and temperature; 0 where cut.
    pub after: f32,
    /// What cut it.
    pub cut_by: Option<Filter>,
}

/// The next token's distribution under some filters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Entropy before the filters, in nats.
    pub entropy: f32,
    /// Mass of the model's own distribution that the filters keep, 0 to 1.
    pub kept_mass: f32,
    /// Most probable first.
    pub candidates: Vec<Candidate>,
}
