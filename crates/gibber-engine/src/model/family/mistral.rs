//! Mistral (Jiang et al. 2023): Llama whose tokens attend to a window of those before them. GGUF calls both the same.

use super::{Family, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{GgufKeys, JsonFile};
use crate::model::{AttentionConfig, ModelConfig, RopeScaling, RopeStyle};

/// See the [module](self).
pub(super) struct Mistral;

impl Family for Mistral {
    fn name(&self) -> &'static str {
        "mistral"
    }

    fn gguf_name(&self) -> &'static str {
        "llama"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(8), None)?;
        let windows = layer_types::windows(json, sizes.n_layer, Some(4096), |_| true)?;
        llama::config_from_json(&Self, json, &sizes, |index| {
            let attention = AttentionConfig { window: windows(index), ..llama::attention(&sizes) };
            llama::layer(&sizes, attention, false)
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_from_gguf(&Self, keys)
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        rope::divides_as_llama(scaling)
    }

    fn gguf_rope_style(&self) -> RopeStyle {
        RopeStyle::Interleaved
    }
}
