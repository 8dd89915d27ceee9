//! What a person can turn while the model speaks.

use serde::{Deserialize, Serialize};

/// How the next token is chosen from the model's distribution.
///
/// The filters act in this order: penalties, top-k, typical-p, top-p, min-p, temperature. The defaults are those of the
/// `balanced` preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Divides the logits before the draw; 0 always takes the most probable token (greedy). 0 to 5.
    pub temperature: f32,
    /// Keeps the k most probable tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the smallest set of most probable tokens whose mass reaches p (Holtzman et al. 2019); 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this many times as probable as the best one; 0 keeps all.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest the entropy, up to this mass (Meister et al. 2022); 1 keeps all.
    pub typical_p: f32,
    /// Divides (positive) or multiplies (negative) the logit of a token that was seen (Keskar et al. 2019); 1 is off.
    pub repeat_penalty: f32,
    /// How many of the last tokens the penalties look at; 0 none, -1 the whole context.
    pub repeat_last_n: i32,
    /// Subtracted from the logit of each token that was seen; 0 is off. -2 to 2.
    pub presence_penalty: f32,
    /// Subtracted from the logit once for each time the token was seen; 0 is off. -2 to 2.
    pub frequency_penalty: f32,
    /// Makes the draws repeatable; `None` takes a fresh seed for each reply.
    pub seed: Option<u64>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
        }
    }
}
