//! Qwen1.5-MoE and Qwen2-MoE (Yang et al. 2024): Qwen2 with experts, and one beside them that every token goes through.

use super::{Family, experts, layer_types, llama};
use crate::EngineError;
use crate::keys::{GgufKeys, GgufWriter, JsonFile};
use crate::model::{AttentionConfig, ExpertsConfig, ModelConfig, QkNorm, RouterConfig};

/// See the [module](self).
pub(super) struct Qwen2Moe;

impl Family for Qwen2Moe {
    fn name(&self) -> &'static str {
        "qwen2_moe"
    }

    fn gguf_name(&self) -> &'static str {
        "qwen2moe"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(16), None)?;
        let bias = json.bool("qkv_bias")?.unwrap_or(true);
        let experts = ExpertsConfig {
            shared: Some(experts::gated(json.size("shared_expert_intermediate_size")?.unwrap_or(5632))),
            ..experts::plain(
                json.size("num_experts")?.unwrap_or(60),
                json.size("num_experts_per_tok")?.unwrap_or(4),
                json.size("moe_intermediate_size")?.unwrap_or(1408),
                RouterConfig::softmax(json.bool("norm_topk_prob")?.unwrap_or(false)),
            )
        };
        let (is_sparse, windows) = (experts::layers_from_json(json)?, windows(json, sizes.n_layer)?);
        llama::config_from_json(&Self, json, &sizes, |index| {
            let attention = AttentionConfig { window: windows(index), qkv_bias: bias, ..llama::attention(&sizes) };
            let layer = llama::layer(&sizes, attention, false);
            if is_sparse(index) { experts::with(layer, experts) } else { layer }
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_with_experts(&Self, keys, false, QkNorm::Head)
    }

    fn gguf_shares_output(&self) -> bool {
        false
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        experts::gguf_lacks(config, false).or_else(|| llama::gguf_lacks(config))
    }
}

/// The window of each layer, where it is switched on: of every other one below `max_window_layers`, unless `layer_types` says
/// otherwise.
fn windows(json: &JsonFile, n_layer: usize) -> Result<impl Fn(usize) -> Option<usize>, EngineError> {
    let is_used = json.bool("use_sliding_window")?.unwrap_or(false);
    let end = json.size("max_window_layers")?.unwrap_or(28);
    let is_local = move |layer: usize| layer.is_multiple_of(2) && layer < end;
    layer_types::windows(json, n_layer, is_used.then_some(4096), is_local)
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_gguf_refused, assert_parity, assert_same, fixture};

    #[test]
    fn a_shared_expert_counts_as_much_as_its_gate_says() {
        assert_parity("variant-qwen2-moe");
    }

    #[test]
    fn windows_in_every_other_layer_and_experts_too() {
        assert_same("variant-qwen2-moe-sparse", &fixture("variant-qwen2-moe-sparse"));
        assert_gguf_refused("variant-qwen2-moe-sparse", "which layers have no experts");
    }
}
