//! Qwen3 (Yang et al. 2025): Qwen2 with norms on each head's queries and keys in place of the biases.

use super::{Family, llama, qwen2};
use crate::EngineError;
use crate::keys::{GgufKeys, JsonFile};
use crate::model::{AttentionConfig, ModelConfig, QkNorm};

/// See the [module](self).
pub(super) struct Qwen3;

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

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_from_gguf(&Self, keys)
    }
}
