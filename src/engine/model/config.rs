//! The shape of a model, whatever file it came from.

/// Which family of computations a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, GELU.
    Gpt2,
    /// Llama (Touvron et al. 2023): rotary positions, RMSNorm, SwiGLU, grouped-query attention.
    Llama,
}

impl Architecture {
    /// The name that GGUF and Hugging Face configurations use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Llama => "llama",
        }
    }
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
    /// Base of the rotary frequencies (Llama).
    pub rope_theta: f32,
    /// Which values the rotation pairs (Llama).
    pub rope_style: RopeStyle,
}
