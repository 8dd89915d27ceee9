//! OLMo 3 (Team Olmo 2025): OLMo 2 with a window in three of four layers; the rotation of the others alone is changed for
//! longer texts.

use super::{Family, gguf, layer_types, llama, norms_behind, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, JsonFile};
use crate::model::{
    AttentionConfig, LayerConfig, ModelConfig, NormConfig, NormKind, RopeConfig, RopeScaling, RopeStyle, Sizes,
    TensorSpec,
};

/// See the [module](self). GGUF calls it as OLMo 2, which reads such files.
pub(super) struct Olmo3;

/// Every so many layers one sees all that came before, where nothing else is said.
const PERIOD: usize = 4;
/// The base of the frequencies, where nothing else is said.
const USUAL_THETA: f64 = 500_000.0;
/// How many positions a window has, where nothing else is said.
const USUAL_WINDOW: usize = 4096;

impl Family for Olmo3 {
    fn name(&self) -> &'static str {
        "olmo3"
    }

    fn gguf_name(&self) -> &'static str {
        "olmo2"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, None, None)?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let windows = layer_types::windows(json, sizes.n_layer, Some(USUAL_WINDOW), is_local)?;
        let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-5) as f32;
        Ok(ModelConfig {
            ropes: ropes_from_json(json, sizes.trained_context)?.into(),
            layers: sizes.layers(json.path(), |index| layer(&sizes, bias, windows(index)))?,
            tied: json.bool("tie_word_embeddings")?.unwrap_or(false),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        let window = keys.window()?;
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        let full = rope::from_gguf(keys, sizes.head_dim, self.gguf_rope_style())?;
        let local = RopeConfig { scaling: RopeScaling::None, ..full.clone() };
        let bias = keys.layers_have("attn_q.bias");
        let window_of = |index| window.filter(|_| is_local(index));
        Ok(ModelConfig {
            ropes: vec![full, local],
            layers: sizes.layers(keys.path(), |index| layer(&sizes, bias, window_of(index)))?,
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        norms_behind::layer_tensors(config, index)
    }

    fn gguf_shares_output(&self) -> bool {
        false
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let mut layers = config.layers.iter().enumerate();
        if !layers.all(|(index, layer)| layer.window().is_some() == is_local(index)) {
            return Some("which layers have a window (`layer_types`)");
        }
        if let Some(biases) = llama::gguf_lacks_biases(config) {
            return Some(biases);
        }
        let [full, local] = &config.ropes[..] else { return None };
        let is_usual = local.theta == full.theta && local.scaling == RopeScaling::None;
        (!is_usual)
            .then_some("a rotation of its own for the layers with a window (`rope_parameters.sliding_attention`)")
    }
}

/// The rotations of the layers without a window and with one: by kinds of layers, or, before transformers 5, one for both of
/// which the first is scaled.
fn ropes_from_json(json: &JsonFile, trained_context: usize) -> Result<[RopeConfig; 2], EngineError> {
    if json.get("rope_parameters").is_some() {
        rope::refuse_both_spellings(json)?;
        let usual = json.number("rope_theta", Bound::AboveZero)?.unwrap_or(USUAL_THETA);
        let rotation = |kind, theta| rope::of_layer_type(json, kind, theta, trained_context);
        return Ok([rotation("full_attention", usual)?, rotation("sliding_attention", USUAL_THETA)?]);
    }
    // As in transformers 5, which gives what older configurations say to layers without a window alone.
    let full = rope::from_json_or(json, trained_context, USUAL_THETA)?;
    Ok([full, RopeConfig::plain(USUAL_THETA as f32, RopeStyle::Half)])
}

fn layer(sizes: &Sizes, bias: bool, window: Option<usize>) -> LayerConfig {
    let rope = Some(usize::from(window.is_some()));
    norms_behind::olmo(sizes, bias, |attention| AttentionConfig { window, rope, ..attention })
}

/// Whether a layer has a window.
fn is_local(layer: usize) -> bool {
    !(layer + 1).is_multiple_of(PERIOD)
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn windows_and_a_rotation_that_is_scaled_in_full_layers_alone() {
        assert_parity("variant-olmo3");
    }
}
