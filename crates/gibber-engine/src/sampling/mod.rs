//! From logits to a token: the chain of filters and the seeded draw.
//!
//! What can be set stands in one table, a row a parameter: [`PARAMETERS`].

mod chain;
mod dice;
mod filters;
mod params;
mod recommended;
mod sampler;
mod samplers;
mod stats;
mod table;
mod values;

pub use chain::{Situation, Vocabulary};
pub use dice::Dice;
pub use params::{InvalidSampling, PRESET_NAMES, ParameterError, ParameterKind, ParameterSpec, ParameterValue, Slider};
pub use recommended::{KnownModel, Recommended};
pub use sampler::{Draw, Sampler, distribution, drawn, fresh_seed, most_probable};
pub use samplers::{InvalidSamplers, Samplers};
pub use stats::{LogSoftmaxStats, log_softmax_stats, not_numbers, rank_of};
pub use table::{Filter, PARAMETERS, Parameter, SamplingParams};
pub use values::{FileValue, SamplingValues};

use crate::TokenId;
use serde::{Deserialize, Serialize};

/// A token that might come next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its id in the vocabulary.
    pub token: TokenId,
    /// Its text, lossy where it is part of a character.
    pub text: String,
    /// Probability in the model's own distribution.
    pub before: f32,
    /// Probability after penalties, filters and temperature; 0 where cut.
    pub after: f32,
    /// The filter that left it out; `None` where it could be drawn.
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
