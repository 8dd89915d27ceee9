//! Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on queries, keys and values, and a window in some layers.

use super::{Family, layer_types, llama};
use crate::EngineError;
use crate::keys::{GgufKeys, JsonFile};
use crate::model::{AttentionConfig, ModelConfig};

/// See the [module](self).
pub(super) struct Qwen2;

impl Family for Qwen2 {
    fn name(&self) -> &'static str {
        "qwen2"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(32), None)?;
        let windows = windows(json, sizes.n_layer)?;
        llama::config_from_json(&Self, json, &sizes, |index| {
            let attention = AttentionConfig { window: windows(index), qkv_bias: true, ..llama::attention(&sizes) };
            llama::layer(&sizes, attention, false)
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_from_gguf(&Self, keys)
    }
}

/// The window of each layer: where it is switched on, from layer `max_window_layers` on, unless `layer_types` says otherwise.
pub(super) fn windows(json: &JsonFile, n_layer: usize) -> Result<impl Fn(usize) -> Option<usize>, EngineError> {
    let is_used = json.bool("use_sliding_window")?.unwrap_or(false);
    let first = if is_used { json.size("max_window_layers")?.unwrap_or(28) } else { n_layer };
    layer_types::windows(json, n_layer, is_used.then_some(4096), move |layer| layer >= first)
}
