//! OLMoE (Muennighoff et al. 2024): experts, norms of queries and keys over all heads of a token.

use super::{Family, experts, llama};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{AttentionConfig, ModelConfig, QkNorm, RouterConfig};

/// See the [module](self).
pub(super) struct Olmoe;

impl Family for Olmoe {
    fn name(&self) -> &'static str {
        "olmoe"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, None, None)?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let experts = experts::plain(
            json.size("num_experts")?.or(json.size("num_local_experts")?).unwrap_or(64),
            json.size("num_experts_per_tok")?.unwrap_or(8),
            sizes.n_ff,
            RouterConfig::softmax(json.bool("norm_topk_prob")?.unwrap_or(false)),
        );
        let attention = AttentionConfig {
            qk_norm: Some(QkNorm::Token),
            qkv_bias: bias,
            out_bias: bias,
            clip: json.number("clip_qkv", Bound::AboveZero)?.map(|limit| limit as f32),
            ..llama::attention(&sizes)
        };
        let layer = experts::with(llama::layer(&sizes, attention, false), experts);
        let usual = llama::Usual { eps: 1e-5, ..llama::USUAL };
        llama::config_from_json_or(&Self, json, &sizes, usual, |_| layer.clone())
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_with_experts(&Self, keys, false, QkNorm::Token)
    }

    fn gguf_shares_output(&self) -> bool {
        false
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        if config.attentions().any(|attention| attention.clip.is_some()) {
            // There is a key, which llama.cpp does not read for this architecture.
            return Some("that queries, keys and values are clipped (`clip_qkv`)");
        }
        experts::gguf_lacks(config, false)
            .or_else(|| llama::gguf_lacks_biases(config))
            .or_else(|| llama::gguf_lacks(config))
    }
}

#[cfg(test)]
mod tests {
    use crate::load::{ModelSource, open};
    use crate::model::FeedForwardConfig;
    use crate::model::family::tests::{assert_gguf_refused, assert_parity, assert_same, fixture};

    #[test]
    fn norms_over_all_heads_of_a_token_and_experts() {
        assert_parity("variant-olmoe");
    }

    #[test]
    fn gguf_has_no_key_for_weights_that_are_normalized_where_those_of_others_are_not() {
        let mut config = open(&ModelSource::Path(fixture("variant-olmoe"))).unwrap().config;
        assert_eq!(config.family.gguf_lacks(&config), None);
        for layer in &mut config.layers {
            if let FeedForwardConfig::Experts(experts) = &mut layer.feed_forward {
                experts.router.normalized = Some(0.0);
            }
        }
        assert!(config.family.gguf_lacks(&config).unwrap().contains("add up to one"));
    }

    #[test]
    fn weights_that_add_up_to_one_and_clipped_queries_keys_and_values() {
        assert_same("variant-olmoe-normalized", &fixture("variant-olmoe-normalized"));
        assert_gguf_refused("variant-olmoe-normalized", "are clipped");
    }
}
