//! The log-probability and rank of each token of a text.

use super::TokenId;

/// A token of a scored text.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredToken {
    /// The token.
    pub token: TokenId,
    /// Its text (lossy where a character is split).
    pub text: String,
    /// Natural logarithm of its probability given all before it; `None` for the first.
    pub logprob: Option<f32>,
    /// How many tokens were more probable; `None` for the first.
    pub rank: Option<u32>,
}
