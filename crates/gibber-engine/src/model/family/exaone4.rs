//! EXAONE 4 (LG AI Research 2025): norms behind what they normalize, and of each head's queries and keys. Where some layers have
//! a window, those alone are turned by positions.

use super::{Family, gguf, layer_types, llama, norms_behind, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, JsonFile};
use crate::model::{
    AttentionConfig, LayerConfig, ModelConfig, NormConfig, NormKind, QkNorm, RopeScaling, Sizes, TensorSpec,
};

/// See the [module](self).
pub(super) struct Exaone4;

/// Every so many layers one sees all that came before, where nothing else is said.
const USUAL_PERIOD: usize = 4;
/// How many positions a window has, where nothing else is said.
const USUAL_WINDOW: usize = 4096;
/// Layers of the one published with windows: llama.cpp goes by it.
const LAYERS_OF_32B: usize = 64;

impl Family for Exaone4 {
    fn name(&self) -> &'static str {
        "exaone4"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(32), None)?;
        let period = period(json)?;
        let windows = layer_types::windows(json, sizes.n_layer, Some(USUAL_WINDOW), |layer| is_local(layer, period))?;
        let is_mixed = !json.is_null("sliding_window");
        let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-5) as f32;
        Ok(ModelConfig {
            ropes: vec![rope::from_json(json, sizes.trained_context)?],
            layers: sizes.layers(json.path(), |index| layer(&sizes, windows(index), is_mixed))?,
            tied: json.bool("tie_word_embeddings")?.unwrap_or(false),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        let window = keys.window()?.filter(|_| sizes.n_layer == LAYERS_OF_32B);
        let window_of = |index| window.filter(|_| is_local(index, USUAL_PERIOD));
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        Ok(ModelConfig {
            ropes: vec![rope::from_gguf(keys, sizes.head_dim, self.gguf_rope_style())?],
            layers: sizes.layers(keys.path(), |index| layer(&sizes, window_of(index), window.is_some()))?,
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        norms_behind::layer_tensors(config, index)
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        matches!(scaling, RopeScaling::Llama3 { .. })
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        if config.attentions().any(|attention| attention.heads.q_width() != config.n_embd) {
            return Some("heads that are together wider or narrower than the embedding (`head_dim`)");
        }
        let mut layers = config.layers.iter().enumerate();
        let is_32b = config.n_layer() == LAYERS_OF_32B;
        let is_usual =
            layers.all(|(index, layer)| layer.window().is_some() == (is_32b && is_local(index, USUAL_PERIOD)));
        let turns = |attention: &AttentionConfig| attention.rope.is_some() == (attention.window.is_some() || !is_32b);
        let is_usual = is_usual && config.attentions().all(turns);
        (!is_usual).then_some("which layers have a window and a rotation, unless it has 64 layers as the 32B")
    }
}

/// Every so many layers one has no window: a number, or a letter for each of a group.
fn period(json: &JsonFile) -> Result<usize, EngineError> {
    match json.get("sliding_window_pattern") {
        Some(pattern) if pattern.is_string() => Ok(pattern.as_str().map_or(USUAL_PERIOD, str::len).max(1)),
        _ => Ok(json.size("sliding_window_pattern")?.unwrap_or(USUAL_PERIOD).max(1)),
    }
}

/// `is_mixed` says that some layers have a window.
fn layer(sizes: &Sizes, window: Option<usize>, is_mixed: bool) -> LayerConfig {
    let attention = llama::attention(sizes);
    let rope = attention.rope.filter(|_| window.is_some() || !is_mixed);
    norms_behind::layer(sizes, AttentionConfig { window, rope, qk_norm: Some(QkNorm::Head), ..attention })
}

fn is_local(layer: usize, period: usize) -> bool {
    !(layer + 1).is_multiple_of(period)
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_parity, assert_same, fixture};

    #[test]
    fn norms_behind_and_of_each_head_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-exaone4");
    }

    #[test]
    fn layers_with_a_window_alone_are_turned() {
        assert_same("variant-exaone4-window", &fixture("variant-exaone4-window"));
    }
}
