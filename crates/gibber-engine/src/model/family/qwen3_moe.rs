//! Qwen3 (Yang et al. 2025) with experts in place of the feed-forward part.

use super::{Family, experts, llama};
use crate::EngineError;
use crate::keys::{GgufKeys, GgufWriter, JsonFile};
use crate::model::{AttentionConfig, ModelConfig, NormConfig, NormKind, QkNorm, RopeConfig, RouterConfig, Sizes};

/// See the [module](self).
pub(super) struct Qwen3Moe;

impl Family for Qwen3Moe {
    fn name(&self) -> &'static str {
        "qwen3_moe"
    }

    fn gguf_name(&self) -> &'static str {
        "qwen3moe"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(4), None)?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let experts = experts::plain(
            json.size("num_experts")?.or(json.size("num_local_experts")?).unwrap_or(128),
            json.size("num_experts_per_tok")?.unwrap_or(8),
            json.size("moe_intermediate_size")?.unwrap_or(768),
            RouterConfig::softmax(json.bool("norm_topk_prob")?.unwrap_or(false)),
        );
        let is_sparse = experts::layers_from_json(json)?;
        let attention = AttentionConfig {
            window: llama::switched_window(json)?,
            qk_norm: Some(QkNorm::Head),
            qkv_bias: bias,
            out_bias: bias,
            ..llama::attention(&sizes)
        };
        llama::config_from_json(&Self, json, &sizes, |index| {
            let layer = llama::layer(&sizes, attention, false);
            if is_sparse(index) { experts::with(layer, experts) } else { layer }
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_with_experts(&Self, keys, true, QkNorm::Head)
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        experts::gguf_lacks(config, true)
            .or_else(|| llama::gguf_lacks_biases(config))
            .or_else(|| llama::gguf_lacks(config))
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes {
            n_layer: 48,
            n_head: 32,
            n_kv_head: 4,
            head_dim: 128,
            n_embd: 2048,
            n_ff: 6144,
            vocab_size: 151_936,
            trained_context: 40_960,
        };
        let attention = AttentionConfig { qk_norm: Some(QkNorm::Head), ..llama::attention(&sizes) };
        let experts = experts::plain(128, 8, 768, RouterConfig::softmax(true));
        let layer = experts::with(llama::layer(&sizes, attention, false), experts);
        let config = ModelConfig {
            ropes: vec![RopeConfig::plain(1e6, self.gguf_rope_style())],
            layers: vec![layer; sizes.n_layer],
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps: 1e-6 })
        };
        vec![("qwen3-30b-a3b", config)]
    }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_gguf_refused, assert_parity, assert_same, fixture};

    #[test]
    fn experts_of_either_kind_of_file_with_heads_of_an_odd_width() {
        assert_parity("variant-qwen3-moe");
    }

    #[test]
    fn layers_without_experts_and_weights_that_are_not_normalized() {
        assert_same("variant-experts", &fixture("variant-experts"));
        assert_gguf_refused("variant-experts", "which layers have no experts");
    }
}
