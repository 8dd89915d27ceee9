//! For tests alone: Qwen3 (Yang et al. 2025) with experts in place of the feed-forward part, in all layers but some.

use serde_json::Value;

use super::{Family, gguf, llama, qwen2};
use crate::EngineError;
use crate::keys::{GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    AttentionConfig, ExpertsConfig, FeedForwardConfig, LayerConfig, ModelConfig, NormConfig, NormKind, QkNorm,
    RouterWeights, Sizes,
};

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
        let windows = qwen2::windows(json, sizes.n_layer)?;
        let is_normed = json.bool("norm_topk_prob")?.unwrap_or(false);
        let experts = experts(
            json.size("num_experts")?.or(json.size("num_local_experts")?).unwrap_or(128),
            json.size("num_experts_per_tok")?.unwrap_or(8),
            json.size("moe_intermediate_size")?.unwrap_or(768),
            is_normed,
        );
        let dense = json.get("mlp_only_layers").and_then(Value::as_array).cloned().unwrap_or_default();
        let step = json.size("decoder_sparse_step")?.unwrap_or(1);
        let is_dense = |index: usize| dense.contains(&index.into()) || !(index + 1).is_multiple_of(step);
        llama::config_from_json(&Self, json, &sizes, |index| {
            layer(&sizes, windows(index), (!is_dense(index)).then_some(experts))
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        let is_normed = keys.bool("expert_weights_norm")?.unwrap_or(true);
        let experts = experts(
            keys.size("expert_count")?,
            keys.size("expert_used_count")?,
            keys.size("expert_feed_forward_length")?,
            is_normed,
        );
        let dense = keys.optional_size("leading_dense_block_count")?.unwrap_or(0);
        let window = keys.window()?;
        let layers = sizes.layers(keys.path(), |index| layer(&sizes, window, (index >= dense).then_some(experts)))?;
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", crate::keys::Bound::Zero)? as f32;
        Ok(ModelConfig {
            ropes: vec![super::rope::from_gguf(keys, sizes.head_dim, self.gguf_rope_style())?],
            layers,
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        let dense = config.layers.iter().take_while(|layer| experts_of(layer).is_none()).count();
        if let Some(experts) = config.layers.get(dense).and_then(experts_of) {
            writer.sizes(&[
                ("expert_count", experts.n_expert),
                ("expert_used_count", experts.n_used),
                ("expert_feed_forward_length", experts.expert.n_ff),
                ("leading_dense_block_count", dense),
            ]);
            writer.bool("expert_weights_norm", experts.weights == RouterWeights::SoftmaxOfChosen);
        }
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let mut behind = config.layers.iter().skip_while(|layer| experts_of(layer).is_none());
        if behind.all(|layer| experts_of(layer).is_some()) {
            llama::gguf_lacks(config)
        } else {
            Some("which layers have no experts (`mlp_only_layers`, `decoder_sparse_step`)")
        }
    }
}

fn experts_of(layer: &LayerConfig) -> Option<&ExpertsConfig> {
    match &layer.feed_forward {
        FeedForwardConfig::Dense(_) => None,
        FeedForwardConfig::Experts(experts) => Some(experts),
    }
}

/// Whose weights may be `is_normed` to add up to one.
fn experts(n_expert: usize, n_used: usize, n_ff: usize, is_normed: bool) -> ExpertsConfig {
    let weights = if is_normed { RouterWeights::SoftmaxOfChosen } else { RouterWeights::SoftmaxOfAll };
    ExpertsConfig { n_expert, n_used, expert: llama::feed_forward(n_ff, false), weights }
}

fn layer(sizes: &Sizes, window: Option<usize>, experts: Option<ExpertsConfig>) -> LayerConfig {
    let attention = AttentionConfig { window, qk_norm: Some(QkNorm::Head), ..llama::attention(sizes) };
    let dense = llama::layer(sizes, attention, false);
    match experts {
        None => dense,
        Some(experts) => LayerConfig { feed_forward: FeedForwardConfig::Experts(experts), ..dense },
    }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn experts_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-experts");
    }
}
