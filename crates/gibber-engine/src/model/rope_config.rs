//! How positions turn queries and keys.

use std::f64::consts::PI;

/// Which two values of a head the rotary embedding turns together. The weights decide it: GGUF files of Llama models
/// have the rows of their query and key projections reordered for the first kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Neighbours: `(0, 1), (2, 3), …` (GGUF, Su et al. 2021).
    Interleaved,
    /// One of each half: `(0, d/2), (1, d/2 + 1), …` (Hugging Face).
    Half,
}

/// How positions turn queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f32,
    /// Which values are turned together.
    pub style: RopeStyle,
    /// How many of a head's values are turned, the first of them; `None` is all.
    pub width: Option<usize>,
    /// How the frequencies were changed for longer contexts.
    pub scaling: RopeScaling,
}

impl RopeConfig {
    /// The plain rotation.
    pub fn plain(theta: f32, style: RopeStyle) -> Self {
        Self { theta, style, width: None, scaling: RopeScaling::None }
    }

    /// How many values are turned of a head of `head_dim`.
    pub fn turned(&self, head_dim: usize) -> usize {
        self.width.unwrap_or(head_dim)
    }

    /// The length from which on a text is turned by [`Self::long_frequencies`], where there are any.
    pub fn long_from(&self) -> Option<usize> {
        match self.scaling {
            RopeScaling::LongRope { original_context, .. } => Some(original_context as usize + 1),
            RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Yarn { .. }
            | RopeScaling::Proportional { .. }
            | RopeScaling::Divided(_) => None,
        }
    }

    /// As [`Self::frequencies`], of all positions of a text that goes beyond the first context, where that makes a difference.
    pub fn long_frequencies(&self, head_dim: usize) -> Option<(Vec<f64>, f64)> {
        let RopeScaling::LongRope { long, attention_factor, .. } = &self.scaling else { return None };
        let plain = Self { scaling: RopeScaling::None, ..self.clone() }.frequencies(head_dim).0;
        Some((plain.iter().zip(long).map(|(frequency, &by)| frequency / f64::from(by)).collect(), *attention_factor))
    }

    /// Radians a position for each pair that is turned of a head of `head_dim` values, and what queries and keys are multiplied with: as
    /// `modeling_rope_utils.py` of transformers computes them.
    pub fn frequencies(&self, head_dim: usize) -> (Vec<f64>, f64) {
        let dim = self.turned(head_dim);
        let theta = f64::from(self.theta);
        let plain = (0..dim / 2).map(|pair| theta.powf(-2.0 * pair as f64 / dim as f64));
        match self.scaling {
            RopeScaling::None => (plain.collect(), 1.0),
            RopeScaling::Linear { factor } => (plain.map(|frequency| frequency / factor).collect(), 1.0),
            RopeScaling::Divided(ref by) => {
                (plain.zip(by).map(|(frequency, &by)| frequency / f64::from(by)).collect(), 1.0)
            }
            RopeScaling::Proportional { share, factor } => {
                // Rounded down, as in Python.
                let turned = (share * dim as f64 / 2.0).floor() as usize;
                let stays = move |(pair, frequency)| if pair < turned { frequency / factor } else { 0.0 };
                (plain.enumerate().map(stays).collect(), 1.0)
            }
            RopeScaling::LongRope { ref short, attention_factor, .. } => {
                let divided = plain.zip(short).map(|(frequency, &by)| frequency / f64::from(by));
                (divided.collect(), attention_factor)
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let scaled = |frequency: f64| {
                    let turns = original_context * frequency / (2.0 * PI);
                    let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                    frequency * (kept + (1.0 - kept) / factor)
                };
                (plain.map(scaled).collect(), 1.0)
            }
            RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, truncate, attention_factor } => {
                // The pair that turns so often within the first context.
                let pair_of =
                    |turns: f64| dim as f64 * (original_context / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
                let (mut low, mut high) = (pair_of(beta_fast), pair_of(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, high) = (low.max(0.0), high.min(dim as f64 - 1.0));
                let width = if low == high { 0.001 } else { high - low };
                let blended = |(pair, frequency): (usize, f64)| {
                    let divided = ((pair as f64 - low) / width).clamp(0.0, 1.0);
                    frequency * (1.0 - divided + divided / factor)
                };
                (plain.enumerate().map(blended).collect(), attention_factor)
            }
        }
    }
}

/// How the frequencies of the rotation were changed so that a model reads longer texts than it was first trained on.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// They were not.
    None,
    /// Positions are divided by the factor (Chen et al. 2023).
    Linear {
        /// How many times as long texts are.
        factor: f64,
    },
    /// Llama 3.1: slow frequencies are divided, quick ones stay, those between are blended.
    Llama3 {
        /// How many times as long texts are.
        factor: f64,
        /// Turns within the first context below which a frequency is slow.
        low_freq_factor: f64,
        /// Turns from which on it is quick.
        high_freq_factor: f64,
        /// Tokens of the first context.
        original_context: f64,
    },
    /// YaRN (Peng et al. 2023).
    Yarn {
        /// How many times as long texts are.
        factor: f64,
        /// Tokens of the first context.
        original_context: f64,
        /// Turns within the first context from which on a frequency stays.
        beta_fast: f64,
        /// Turns below which it is divided.
        beta_slow: f64,
        /// Whether the pairs between which frequencies are blended are whole ones.
        truncate: bool,
        /// What queries and keys are multiplied with.
        attention_factor: f64,
    },
    /// Of each head's pairs the first are turned, a share of all, as if there were no others; the rest stays (Gemma 4).
    Proportional {
        /// How many of the pairs.
        share: f64,
        /// How many times as long texts are.
        factor: f64,
    },
    /// LongRoPE (Ding et al. 2024): each pair's frequency is divided by a number of its own, which is another in texts beyond
    /// the first context, for all of their positions.
    LongRope {
        /// What is divided by in texts within the first context, one number a pair.
        short: Vec<f32>,
        /// And in longer ones.
        long: Vec<f32>,
        /// Tokens of the first context.
        original_context: f64,
        /// What queries and keys are multiplied with, in both.
        attention_factor: f64,
    },
    /// Each pair's frequency is divided by its own number (`rope_freqs.weight` of a GGUF file).
    Divided(Vec<f32>),
}
