//! The model's own distribution in three numbers, in two vectorized passes over the logits.

use crate::error::about;
use crate::kernels::vector;
use crate::{EngineError, TokenId};

/// Maximum, normalizer and entropy of `softmax(logits)`. Where a logit is NaN or positive infinity there is no such
/// distribution, and [`Self::are_numbers`] says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogSoftmaxStats {
    /// The greatest logit; negative infinity where none is a number greater than that.
    pub max: f32,
    /// `ln Σ e^logit`: a logit minus this is the log-probability of its token.
    pub log_sum_exp: f32,
    /// Of the distribution, in nats.
    pub entropy: f32,
}

impl LogSoftmaxStats {
    /// Whether all logits were numbers (negative infinity, a probability of 0, is one) and one of them finite. It rides on
    /// the passes that the other numbers take.
    pub fn are_numbers(&self) -> bool {
        self.max.is_finite() && !self.entropy.is_nan()
    }

    /// The log-probability of a token with this logit, in nats.
    pub fn log_probability(&self, logit: f32) -> f32 {
        logit - self.log_sum_exp
    }

    /// The probability of a token with this logit.
    pub fn probability(&self, logit: f32) -> f32 {
        vector::exp_portable(self.log_probability(logit))
    }
}

/// Maximum, normalizer and entropy of `softmax(logits)`, to 1e-5.
pub fn log_softmax_stats(logits: &[f32]) -> LogSoftmaxStats {
    let max = vector::max(logits);
    if max.is_infinite() {
        return LogSoftmaxStats { max, log_sum_exp: max, entropy: 0.0 };
    }
    // With d = logit - max: S = Σ e^d, and the entropy is ln S - Σ d e^d / S.
    let (mass, weighted) = vector::exp_sums(logits, max);
    let log_mass = mass.ln();
    let log_sum_exp = (f64::from(max) + log_mass) as f32;
    // `max` would make a 0 of what is no number.
    let entropy = log_mass - weighted / mass;
    let entropy = if entropy < 0.0 { 0.0 } else { entropy };
    LogSoftmaxStats { max, log_sum_exp, entropy: entropy as f32 }
}

/// The error of `logits` that are no numbers, in the place behind `before` other tokens; `text_of` gives a token's text, and
/// `file` is what the weights were read from, where that is a file.
pub fn not_numbers(logits: &[f32], before: usize, file: &str, text_of: impl Fn(TokenId) -> String) -> EngineError {
    let is_wrong = |logit: &f32| logit.is_nan() || *logit == f32::INFINITY;
    let wrong = logits.iter().filter(|logit| is_wrong(logit)).count();
    let what = match logits.iter().position(is_wrong) {
        Some(first) => {
            let (logit, text) = (logits[first], text_of(first as TokenId));
            format!("the logit of token {first} ({text:?}) is {logit}, as {wrong} of {} are", logits.len())
        }
        None => "all logits are -inf".to_owned(),
    };
    EngineError::Invalid(about(
        file,
        &format!(
            "the model computed no numbers for what follows {before} tokens: {what}. Its weights are damaged, or not what its configuration says: take another copy of it"
        ),
    ))
}

/// How many tokens have a greater logit than `token`: 0 for the most probable.
pub fn rank_of(logits: &[f32], token: TokenId) -> u32 {
    let logit = logits[token as usize];
    logits.iter().map(|&other| u32::from(other > logit)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in f64 with the library's exponential.
    fn reference(logits: &[f32]) -> (f64, f64) {
        let max = logits.iter().fold(f64::NEG_INFINITY, |m, &l| m.max(f64::from(l)));
        let exps: Vec<f64> = logits.iter().map(|&l| (f64::from(l) - max).exp()).collect();
        let mass: f64 = exps.iter().sum();
        let entropy = exps.iter().map(|e| e / mass).filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum();
        (max + mass.ln(), entropy)
    }

    /// Numbers that look like a model's logits: a wide bell and a few that stand out.
    fn logits(n: usize, spread: f32) -> Vec<f32> {
        let mut state = 12345u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..n).map(|_| (uniform() + uniform() + uniform() + uniform() - 2.0) * spread).collect()
    }

    #[test]
    fn agrees_with_f64_at_every_size_and_spread() {
        for n in [1, 2, 15, 16, 17, 1023, 1024, 1025, 49_152, 50_257] {
            for spread in [0.0, 0.1, 3.0, 20.0, 400.0] {
                let logits = logits(n, spread);
                let stats = log_softmax_stats(&logits);
                let (log_sum_exp, entropy) = reference(&logits);
                let tolerance = 1e-5 * log_sum_exp.abs().max(1.0);
                assert!((f64::from(stats.log_sum_exp) - log_sum_exp).abs() < tolerance, "n {n} spread {spread}");
                assert!((f64::from(stats.entropy) - entropy).abs() < 1e-5 * entropy.max(1.0), "n {n} spread {spread}");
            }
        }
    }

    #[test]
    fn negative_infinity_weighs_nothing() {
        let stats = log_softmax_stats(&[1.0, f32::NEG_INFINITY, 1.0]);
        assert!(stats.are_numbers());
        assert_eq!(stats.max, 1.0);
        assert!((stats.log_sum_exp - (1.0 + 2f32.ln())).abs() < 1e-6);
        assert!((stats.entropy - 2f32.ln()).abs() < 1e-6);
        assert_eq!(stats.probability(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn what_is_no_number_is_found_wherever_it_stands() {
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY] {
            for n in [1, 15, 16, 17, 100, 1100] {
                for at in 0..n {
                    let mut logits = logits(n, 20.0);
                    logits[at] = wrong;
                    assert!(!log_softmax_stats(&logits).are_numbers(), "{wrong} at {at} of {n}");
                }
            }
        }
        for none in [&[][..], &[f32::NAN], &[f32::NEG_INFINITY; 40]] {
            assert!(!log_softmax_stats(none).are_numbers());
        }
        assert!(log_softmax_stats(&[f32::MAX, -f32::MAX]).are_numbers());
    }

    #[test]
    fn the_error_names_what_is_known() {
        let text_of = |token: TokenId| format!("<{token}>");
        let error = not_numbers(&[1.0, f32::NAN, f32::INFINITY], 7, "x.gguf", text_of).to_string();
        assert!(error.contains("follows 7 tokens: the logit of token 1 (\"<1>\") is NaN, as 2 of 3 are"), "{error}");
        assert!(not_numbers(&[f32::NEG_INFINITY], 1, "", text_of).to_string().contains("all logits are -inf"));
    }
}
