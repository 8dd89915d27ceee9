//! Granite 3 and the dense ones of Granite 4 (IBM 2024): Llama with multipliers on embeddings, scores, what layers add, and
//! logits.

use super::{Family, gguf, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    AttentionConfig, LayerConfig, ModelConfig, NormConfig, NormKind, RopeConfig, RopeScaling, RopeStyle, Sizes,
};

/// See the [module](self).
pub(super) struct Granite;

/// Granite 4.0 micro: layers, heads, key-value heads, width, width of the feed-forward part, vocabulary, context.
const SHAPE_OF_4_MICRO: [usize; 7] = [40, 40, 8, 2560, 8192, 100_352, 131_072];

/// What is multiplied with.
#[derive(Debug, Clone, Copy)]
struct Multipliers {
    embedding: f32,
    attention: f32,
    residual: f32,
    /// What logits are divided by.
    logits: f32,
}

impl Family for Granite {
    fn name(&self) -> &'static str {
        "granite"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, None, None)?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let mlp_bias = json.bool("mlp_bias")?.unwrap_or(false);
        let number = |key| Ok::<_, EngineError>(json.number(key, Bound::AboveZero)?.unwrap_or(1.0) as f32);
        let by = Multipliers {
            embedding: number("embedding_multiplier")?,
            attention: number("attention_multiplier")?,
            residual: number("residual_multiplier")?,
            logits: number("logits_scaling")?,
        };
        let attention = AttentionConfig { qkv_bias: bias, out_bias: bias, ..llama::attention(&sizes) };
        let config = llama::config_from_json(&Self, json, &sizes, |_| by.layer(&sizes, attention, mlp_bias))?;
        Ok(by.whole(config))
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        gguf::refuse_experts(keys)?;
        let config = llama::config_from_gguf(&Self, keys)?;
        // As in llama.cpp, whose 0 stands for what is usual.
        let number = |key| Ok::<_, EngineError>(keys.number(key, Bound::Zero)?.filter(|&number| number > 0.0));
        let one = |key| Ok::<_, EngineError>(number(key)?.unwrap_or(1.0) as f32);
        let usual = config.attentions().next().map_or(1.0, |attention| attention.scale);
        let by = Multipliers {
            embedding: one("embedding_scale")?,
            attention: number("attention.scale")?.map_or(usual, |scale| scale as f32),
            residual: one("residual_scale")?,
            logits: one("logit_scale")?,
        };
        let layers = config.layers.iter().map(|layer| {
            let Some(&attention) = layer.attention() else { return layer.clone() };
            let attention = AttentionConfig { scale: by.attention, ..attention };
            let feed_forward = layer.feed_forward.clone();
            LayerConfig { residual_scale: by.residual, ..LayerConfig::pre_norm(attention, feed_forward) }
        });
        Ok(by.whole(ModelConfig { layers: layers.collect(), ..config }))
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        rope::divides_as_llama(scaling)
    }

    fn gguf_rope_style(&self) -> RopeStyle {
        RopeStyle::Interleaved
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        writer.number("embedding_scale", config.embedding_scale);
        writer.number("logit_scale", config.logits_scale.recip());
        if let Some((layer, attention)) = config.layers.first().zip(config.attentions().next()) {
            writer.number("residual_scale", layer.residual_scale);
            writer.number("attention.scale", attention.scale);
        }
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes::of(SHAPE_OF_4_MICRO);
        let by = Multipliers { embedding: 12.0, attention: 1.0 / 64.0, residual: 0.22, logits: 10.0 };
        let layers = (0..sizes.n_layer).map(|_| by.layer(&sizes, llama::attention(&sizes), false)).collect();
        let ropes = vec![RopeConfig::plain(1e7, self.gguf_rope_style())];
        let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
        let config = ModelConfig { ropes, layers, tied: true, ..ModelConfig::plain(&Self, &sizes, norm) };
        vec![("granite4-micro", by.whole(config))]
    }
}

impl Multipliers {
    fn layer(&self, sizes: &Sizes, attention: AttentionConfig, mlp_bias: bool) -> LayerConfig {
        let attention = AttentionConfig { scale: self.attention, ..attention };
        LayerConfig { residual_scale: self.residual, ..llama::layer(sizes, attention, mlp_bias) }
    }

    /// What is said of the whole model.
    fn whole(&self, config: ModelConfig) -> ModelConfig {
        ModelConfig { embedding_scale: self.embedding, logits_scale: self.logits.recip(), ..config }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn multipliers_everywhere_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-granite");
    }
}
