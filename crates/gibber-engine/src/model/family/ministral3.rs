//! Ministral 3 (Mistral AI 2025): Llama with YaRN, and queries that grow with their position.

use super::{Family, layer_types, llama};
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
        let has_window = json.get("sliding_window").is_some();
        let windows = layer_types::windows(json, sizes.n_layer, has_window.then_some(1), |_| true)?;
        let mut config = llama::config_from_json(&Self, json, &sizes, |index| {
            let attention = AttentionConfig { window: windows(index), ..llama::attention(&sizes) };
            llama::layer(&sizes, attention, false)
        })?;
        if !["rope_parameters", "rope_scaling", "rope_theta"].iter().any(|key| json.get(key).is_some()) {
            config.ropes = vec![usual_rope(RopeStyle::Half)];
            set_temperature(&mut config, USUAL_BETA);
        }
        if let Some(beta) = beta_from_json(json)? {
            set_temperature(&mut config, beta);
        }
        config.norm.eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-5) as f32;
        Ok(config)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let mut config = llama::config_from_gguf(&Self, keys)?;
        if let Some(beta) = keys.number("attention.temperature_scale", Bound::Zero)?.filter(|&beta| beta > 0.0) {
            set_temperature(&mut config, beta as f32);
        }
        Ok(config)
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

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes { head_dim: 128, ..Sizes::of(SHAPE_OF_3B) };
        let layers = (0..sizes.n_layer).map(|_| llama::layer(&sizes, llama::attention(&sizes), false)).collect();
        let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
        let ropes = vec![usual_rope(self.gguf_rope_style())];
        let plain = ModelConfig::plain(&Self, &sizes, norm);
        let mut config = ModelConfig { ropes, layers, tied: true, ..plain };
        set_temperature(&mut config, USUAL_BETA);
        vec![("ministral3-3b", config)]
    }
}

/// How fast queries grow, which stands among the numbers of the rotation.
fn beta_from_json(json: &JsonFile) -> Result<Option<f32>, EngineError> {
    let mut found = None;
    for key in ["rope_scaling", "rope_parameters"] {
        if let Some(section) = json.section(key)? {
            found = section.number("llama_4_scaling_beta", Bound::Zero)?.or(found);
        }
    }
    Ok(found.map(|beta| beta as f32))
}

/// Has the queries of all layers grow by `beta`, beyond the first context of the rotation.
fn set_temperature(config: &mut ModelConfig, beta: f32) {
    let of_yarn = |rope: &RopeConfig| {
        let RopeScaling::Yarn { original_context, .. } = rope.scaling else { return None };
        Some(original_context)
    };
    let original = config.ropes.iter().find_map(of_yarn);
    let original_context = original.map_or(config.trained_context, |original| original as usize);
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
