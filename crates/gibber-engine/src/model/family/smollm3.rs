//! SmolLM3 (Bakouch et al. 2025): Llama without a rotation in every fourth layer.

use serde_json::Value;

use super::{Family, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{GgufKeys, JsonFile};
use crate::model::{AttentionConfig, MixerConfig, ModelConfig, RopeStyle};

/// See the [module](self).
pub(super) struct SmolLm3;

/// Every so many layers one has no rotation, where nothing else is said. GGUF has no key for it.
const USUAL_PERIOD: usize = 4;
/// The base of the frequencies, where nothing else is said.
const USUAL_THETA: f64 = 2e6;

impl Family for SmolLm3 {
    fn name(&self) -> &'static str {
        "smollm3"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(4), None)?;
        let turns = layers_that_turn(json, sizes.n_layer)?;
        // A list of layers with a window counts whether windows are switched on or not, as in transformers.
        let is_switched_on = json.bool("use_sliding_window")?.unwrap_or(false);
        let is_windowed = json.get("sliding_window").is_some() && (is_switched_on || json.get("layer_types").is_some());
        let windows = layer_types::windows(json, sizes.n_layer, is_windowed.then_some(1), |layer| !turns(layer))?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let mlp_bias = json.bool("mlp_bias")?.unwrap_or(false);
        let config = llama::config_from_json(&Self, json, &sizes, |index| {
            let attention = llama::attention(&sizes);
            let rope = attention.rope.filter(|_| turns(index));
            let window = windows(index);
            llama::layer(
                &sizes,
                AttentionConfig { window, rope, qkv_bias: bias, out_bias: bias, ..attention },
                mlp_bias,
            )
        })?;
        let ropes = vec![rope::from_json_or(json, sizes.trained_context, USUAL_THETA)?];
        let tied = json.bool("tie_word_embeddings")?.unwrap_or(true);
        Ok(ModelConfig { ropes, tied, ..config })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let mut config = llama::config_from_gguf(&Self, keys)?;
        for (index, layer) in config.layers.iter_mut().enumerate() {
            if let MixerConfig::Attention(attention) = &mut layer.mixer {
                attention.rope = attention.rope.filter(|_| turns_by_default(index, USUAL_PERIOD));
            }
        }
        Ok(config)
    }

    fn gguf_rope_style(&self) -> RopeStyle {
        RopeStyle::Interleaved
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let mut layers = config.attentions().enumerate();
        let is_usual =
            layers.all(|(index, attention)| attention.rope.is_some() == turns_by_default(index, USUAL_PERIOD));
        let odd = (!is_usual).then_some("which layers have no rotation (`no_rope_layers`)");
        odd.or_else(|| llama::gguf_lacks_biases(config)).or_else(|| llama::gguf_lacks(config))
    }
}

fn turns_by_default(layer: usize, period: usize) -> bool {
    !(layer + 1).is_multiple_of(period)
}

/// Which layers turn queries and keys: those with a 1 in `no_rope_layers`, which is called after the others.
fn layers_that_turn(json: &JsonFile, n_layer: usize) -> Result<impl Fn(usize) -> bool, EngineError> {
    let period = json.size("no_rope_layer_interval")?.unwrap_or(USUAL_PERIOD);
    if period == 0 {
        return Err(json.unsupported("no_rope_layer_interval", "0", "1 or more"));
    }
    let listed = match json.get("no_rope_layers") {
        None => None,
        Some(value) => {
            let turns = |entry: &Value| entry.as_u64().filter(|&turns| turns <= 1).map(|turns| turns == 1);
            let list = value.as_array().and_then(|list| list.iter().map(turns).collect::<Option<Vec<_>>>());
            let supported = format!("0 or 1 for each of {n_layer} layers");
            let list = list.filter(|list| list.len() >= n_layer);
            Some(list.ok_or_else(|| json.unsupported("no_rope_layers", &value.to_string(), &supported))?)
        }
    };
    Ok(move |layer: usize| match &listed {
        Some(list) => list.get(layer) == Some(&true),
        None => turns_by_default(layer, period),
    })
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn layers_without_a_rotation_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-smollm3");
    }
}
