//! Qwen3 (Yang et al. 2025): Qwen2 with norms on each head's queries and keys in place of the biases.

use super::{Family, llama, qwen2};
use crate::EngineError;
use crate::keys::{GgufKeys, JsonFile};
use crate::model::{AttentionConfig, ModelConfig, NormConfig, NormKind, QkNorm, RopeConfig, Sizes};

/// See the [module](self).
pub(super) struct Qwen3;

/// Published sizes: layers, query heads, width, width of the feed-forward part, and whether the output projection is the
/// embedding. All have 8 key-value heads, all heads 128 values.
const SHAPES: [(&str, [usize; 4], bool); 4] = [
    ("qwen3-0.6b", [28, 16, 1024, 3072], true),
    ("qwen3-1.7b", [28, 16, 2048, 6144], true),
    ("qwen3-4b", [36, 32, 2560, 9728], true),
    ("qwen3-8b", [36, 32, 4096, 12_288], false),
];

impl Family for Qwen3 {
    fn name(&self) -> &'static str {
        "qwen3"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(32), Some(128))?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let windows = qwen2::windows(json, sizes.n_layer)?;
        llama::config_from_json(&Self, json, &sizes, |index| {
            let (window, qk_norm) = (windows(index), Some(QkNorm::Head));
            let attention = llama::attention(&sizes);
            let attention = AttentionConfig { window, qk_norm, qkv_bias: bias, out_bias: bias, ..attention };
            llama::layer(&sizes, attention, false)
        })
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        llama::gguf_lacks_biases(config).or_else(|| llama::gguf_lacks(config))
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_from_gguf(&Self, keys)
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let random = |[n_layer, n_head, n_embd, n_ff]: [usize; 4], tied| {
            let (vocab_size, trained_context) = (151_936, 40_960);
            let sizes =
                Sizes { n_layer, n_head, n_kv_head: 8, head_dim: 128, n_embd, n_ff, vocab_size, trained_context };
            let attention = AttentionConfig { qk_norm: Some(QkNorm::Head), ..llama::attention(&sizes) };
            let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-6 };
            let layers = (0..n_layer).map(|_| llama::layer(&sizes, attention, false)).collect();
            let ropes = vec![RopeConfig::plain(1_000_000.0, self.gguf_rope_style())];
            ModelConfig { ropes, layers, tied, ..ModelConfig::plain(&Self, &sizes, norm) }
        };
        SHAPES.map(|(name, shape, tied)| (name, random(shape, tied))).into()
    }
}
