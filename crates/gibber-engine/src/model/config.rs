//! The shape of a model, whatever file it came from.

use std::f64::consts::PI;

/// Which family of computations a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, GELU.
    Gpt2,
    /// Llama (Touvron et al. 2023): rotary positions, RMSNorm, SwiGLU, grouped-query attention.
    Llama,
    /// Mistral (Jiang et al. 2023): Llama whose tokens attend to a window of those before them.
    Mistral,
    /// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on queries, keys and values.
    Qwen2,
    /// Qwen3 (Yang et al. 2025): Llama with norms on each head's queries and keys.
    Qwen3,
}

impl Architecture {
    /// The name that Hugging Face configurations use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The name that GGUF files use: Mistral's are those of a Llama model.
    pub fn gguf_name(self) -> &'static str {
        match self {
            Self::Mistral => "llama",
            other => other.as_str(),
        }
    }

    /// Whether positions are rotations, as everywhere but in GPT-2.
    pub fn rotates(self) -> bool {
        self != Self::Gpt2
    }

    /// Which pairs the rotation turns in a GGUF file. The weights of Llama models are reordered for it, the others' are not.
    pub fn gguf_rope_style(self) -> RopeStyle {
        match self {
            Self::Llama | Self::Mistral => RopeStyle::Interleaved,
            Self::Gpt2 | Self::Qwen2 | Self::Qwen3 => RopeStyle::Half,
        }
    }
}

/// What stands between the two layers of the feed-forward part of GPT-2; Llama's is always gated by SiLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU in the tanh form (`gelu_new`).
    GeluTanh,
    /// GELU by the error function (`gelu`).
    Gelu,
    /// What is below zero becomes zero.
    Relu,
}

/// Which two values of a head the rotary embedding turns together. The weights decide it: GGUF files of Llama models
/// have the rows of their query and key projections reordered for the first kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeStyle {
    /// Neighbours: `(0, 1), (2, 3), …` (GGUF, Su et al. 2021).
    Interleaved,
    /// One of each half: `(0, d/2), (1, d/2 + 1), …` (Hugging Face).
    Half,
}

/// The shape of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Which computations.
    pub architecture: Architecture,
    /// Transformer blocks.
    pub n_layer: usize,
    /// Query heads a block.
    pub n_head: usize,
    /// Key and value heads a block; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Width inside the feed-forward part.
    pub n_ff: usize,
    /// Entries of the vocabulary (rows of the embedding).
    pub vocab_size: usize,
    /// Tokens the model was trained for.
    pub trained_context: usize,
    /// Added to the variance in the norms.
    pub norm_eps: f32,
    /// Of the feed-forward part (GPT-2).
    pub activation: Activation,
    /// What the scores of attention are multiplied with (GPT-2).
    pub attention_scale: AttentionScale,
    /// How positions turn queries and keys (all but GPT-2).
    pub rope: RopeConfig,
    /// How far back tokens look.
    pub window: Option<SlidingWindow>,
    /// Which layers have a bias, and whether queries and keys have norms (all but GPT-2).
    pub extras: Extras,
}

impl ModelConfig {
    /// What layer `layer` multiplies the scores of attention with.
    pub fn score_scale(&self, layer: usize) -> f32 {
        let by_width = if self.attention_scale.by_width { (self.head_dim as f32).sqrt().recip() } else { 1.0 };
        if self.attention_scale.by_layer { by_width / (layer + 1) as f32 } else { by_width }
    }

    /// How many positions, its own counted in, a token of layer `layer` attends to; `None` is all of them.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        self.window.filter(|window| layer >= window.first_layer).map(|window| window.positions)
    }
}

/// What the scores of attention are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionScale {
    /// `1 / sqrt(head_dim)` (`scale_attn_weights`).
    pub by_width: bool,
    /// `1 / (layer + 1)` as well (`scale_attn_by_inverse_layer_idx`).
    pub by_layer: bool,
}

impl AttentionScale {
    /// That of the Transformer (Vaswani et al. 2017).
    pub const USUAL: Self = Self { by_width: true, by_layer: false };
}

/// How far back tokens look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindow {
    /// Positions, the token's own counted in.
    pub positions: usize,
    /// The layers before it look back all the way.
    pub first_layer: usize,
}

/// Parts that only some models of the Llama kind have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// Queries, keys and values have biases.
    pub qkv_bias: bool,
    /// The output of attention has one.
    pub o_bias: bool,
    /// The feed-forward part has them.
    pub mlp_bias: bool,
    /// Each head's queries and keys go through an RMSNorm.
    pub qk_norm: bool,
}

/// How positions turn queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f32,
    /// Which values are turned together.
    pub style: RopeStyle,
    /// How the frequencies were changed for longer contexts.
    pub scaling: RopeScaling,
}

impl RopeConfig {
    /// The plain rotation.
    pub fn plain(theta: f32, style: RopeStyle) -> Self {
        Self { theta, style, scaling: RopeScaling::None }
    }

    /// Radians a position for each pair of a head of `dim` values, and what queries and keys are multiplied with: as
    /// `modeling_rope_utils.py` of transformers computes them.
    pub fn frequencies(&self, dim: usize) -> (Vec<f64>, f64) {
        let theta = f64::from(self.theta);
        let plain = (0..dim / 2).map(|pair| theta.powf(-2.0 * pair as f64 / dim as f64));
        match self.scaling {
            RopeScaling::None => (plain.collect(), 1.0),
            RopeScaling::Linear { factor } => (plain.map(|frequency| frequency / factor).collect(), 1.0),
            RopeScaling::Divided(ref by) => {
                (plain.zip(by).map(|(frequency, &by)| frequency / f64::from(by)).collect(), 1.0)
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
    /// Each pair's frequency is divided by its own number (`rope_freqs.weight` of a GGUF file).
    Divided(Vec<f32>),
}
