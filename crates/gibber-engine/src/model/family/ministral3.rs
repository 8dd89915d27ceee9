//! Ministral 3 (Mistral AI 2025): Llama with YaRN, and queries that grow with their position.

use super::{Family, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    AttentionConfig, MixerConfig, ModelConfig, NormConfig, NormKind, RopeConfig, RopeScaling, RopeStyle, Sizes,
    Temperature,
};

/// See the [module](self).
pub(super) struct Ministral3;

/// What a configuration that says nothing of its rotation has.
const USUAL_THETA: f32 = 1e6;
const USUAL_FACTOR: f64 = 16.0;
const USUAL_ORIGINAL_CONTEXT: f64 = 16_384.0;
const USUAL_BETA: f32 = 0.1;
/// Ministral 3 3B: layers, heads, key-value heads, width, width of the feed-forward part, vocabulary, context.
const SHAPE_OF_3B: [usize; 7] = [26, 32, 8, 3072, 9216, 131_072, 262_144];

impl Family for Ministral3 {
    fn name(&self) -> &'static str {
        "ministral3"
    }

    fn gguf_name(&self) -> &'static str {
        "mistral3"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(8), Some(128))?;
        let attention = AttentionConfig { window: layer_types::window_of_all(json)?, ..llama::attention(&sizes) };
        let mut config = llama::config_from_json(&Self, json, &sizes, |_| llama::layer(&sizes, attention, false))?;
        if rope::said(json).is_none() {
            // Whatever base is said beside.
            config.ropes = vec![usual_rope(RopeStyle::Half)];
            set_temperature(&mut config, USUAL_BETA, USUAL_ORIGINAL_CONTEXT as usize);
        }
        if let Some((beta, original_context)) = temperature_from_json(json)? {
            set_temperature(&mut config, beta, original_context.unwrap_or(sizes.trained_context));
        }
        config.norm.eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-5) as f32;
        Ok(config)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let mut config = llama::config_from_gguf(&Self, keys)?;
        if let Some(beta) = keys.number("attention.temperature_scale", Bound::Zero)?.filter(|&beta| beta > 0.0) {
            let original_context = first_context(&config);
            set_temperature(&mut config, beta as f32, original_context);
        }
        Ok(config)
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        rope::divides_as_llama(scaling)
    }

    fn gguf_rope_style(&self) -> RopeStyle {
        RopeStyle::Interleaved
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        if let Some(temperature) = config.attentions().find_map(|attention| attention.temperature) {
            writer.number("attention.temperature_scale", temperature.beta);
        }
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let first_context = first_context(config);
        let is_other = |attention: &AttentionConfig| {
            attention.temperature.is_some_and(|temperature| temperature.original_context != first_context)
        };
        let other = "beyond which context queries grow, where the rotation is not scaled from it by YaRN";
        config.attentions().any(is_other).then_some(other).or_else(|| llama::gguf_lacks(config))
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes { head_dim: 128, ..Sizes::of(SHAPE_OF_3B) };
        let layers = (0..sizes.n_layer).map(|_| llama::layer(&sizes, llama::attention(&sizes), false)).collect();
        let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
        let ropes = vec![usual_rope(self.gguf_rope_style())];
        let plain = ModelConfig::plain(&Self, &sizes, norm);
        let mut config = ModelConfig { ropes, layers, tied: true, ..plain };
        set_temperature(&mut config, USUAL_BETA, USUAL_ORIGINAL_CONTEXT as usize);
        vec![("ministral3-3b", config)]
    }
}

/// How fast queries grow and beyond which context, which stands among the numbers of the rotation.
fn temperature_from_json(json: &JsonFile) -> Result<Option<(f32, Option<usize>)>, EngineError> {
    let Some(section) = rope::said(json).map(|(key, _)| json.section(key)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some(beta) = section.number("llama_4_scaling_beta", Bound::Zero)? else { return Ok(None) };
    Ok(Some((beta as f32, section.size("original_max_position_embeddings")?)))
}

/// Tokens of the context beyond which the queries of a GGUF file grow.
fn first_context(config: &ModelConfig) -> usize {
    let of_yarn = |rope: &RopeConfig| {
        let RopeScaling::Yarn { original_context, .. } = rope.scaling else { return None };
        Some(original_context)
    };
    let original = config.ropes.iter().find_map(of_yarn);
    original.map_or(config.trained_context, |original| original as usize)
}

/// Has the queries of all layers grow by `beta`, beyond the first context.
fn set_temperature(config: &mut ModelConfig, beta: f32, original_context: usize) {
    for layer in &mut config.layers {
        if let MixerConfig::Attention(attention) = &mut layer.mixer {
            attention.temperature = Some(Temperature { beta, original_context });
        }
    }
}

fn usual_rope(style: RopeStyle) -> RopeConfig {
    let scaling = RopeScaling::Yarn {
        factor: USUAL_FACTOR,
        original_context: USUAL_ORIGINAL_CONTEXT,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: true,
        attention_factor: 1.0,
    };
    RopeConfig { scaling, ..RopeConfig::plain(USUAL_THETA, style) }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn queries_that_grow_with_their_position_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-ministral3");
    }
}
