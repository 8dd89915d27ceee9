//! A family for tests alone, built as Gemma 3 (Gemma Team 2025) is: norms after attention and the feed-forward part as well
//! as before, two rotations, a window in all layers but some, embeddings that are scaled, GELU in the gate.

use super::{Family, gguf, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    Activation, AttentionConfig, DenseConfig, FeedForwardConfig, LayerConfig, ModelConfig, NormConfig, NormKind,
    QkNorm, RopeConfig, RopeStyle, Sizes, Slot, Stored, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct TwoRotations;

/// Every so many layers one sees all that came before, where nothing else is said.
const USUAL_PERIOD: usize = 6;
/// The base of the frequencies in the layers that have a window, where nothing else is said.
const USUAL_LOCAL_THETA: f64 = 10_000.0;
/// And in the others.
const USUAL_GLOBAL_THETA: f64 = 1e6;

impl Family for TwoRotations {
    fn name(&self) -> &'static str {
        "gemma3_text"
    }

    fn gguf_name(&self) -> &'static str {
        "two-rotations"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        json.require_one_of("hidden_activation", &["gelu_pytorch_tanh"])?;
        let sizes = llama::sizes_from_json(json, Some(4), Some(256))?;
        let windows = layer_types::windows(json, sizes.n_layer, Some(4096), |layer| is_local(layer, USUAL_PERIOD))?;
        let scalar = json.number("query_pre_attn_scalar", Bound::AboveZero)?.unwrap_or(256.0) as f32;
        let rotation = |kind, theta| rope::of_layer_type(json, kind, theta, sizes.trained_context);
        let ropes =
            [rotation("full_attention", USUAL_GLOBAL_THETA)?, rotation("sliding_attention", USUAL_LOCAL_THETA)?];
        let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-6) as f32;
        let layers = sizes.layers(json.path(), |index| layer(&sizes, windows(index), scalar.sqrt().recip()))?;
        Ok(config(&sizes, ropes, layers, eps, json.bool("tie_word_embeddings")?.unwrap_or(true)))
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        let window = keys.window()?;
        let period = keys.optional_size("attention.sliding_window_pattern")?.unwrap_or(USUAL_PERIOD);
        let scale = keys.required_number("attention.scale", Bound::AboveZero)? as f32;
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        let local = keys.number("rope.freq_base_swa", Bound::AboveZero)?.unwrap_or(USUAL_LOCAL_THETA);
        let ropes =
            [rope::from_gguf(keys, sizes.head_dim, RopeStyle::Half)?, RopeConfig::plain(local as f32, RopeStyle::Half)];
        let window_of = |layer| window.filter(|_| is_local(layer, period));
        let layers = sizes.layers(keys.path(), |index| layer(&sizes, window_of(index), scale))?;
        Ok(config(&sizes, ropes, layers, eps, keys.is_tied()))
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        let mut specs = llama::global_tensors(config);
        let norms = specs.iter_mut().filter(|spec| spec.slot == Slot::OutputNorm);
        norms.for_each(|norm| norm.stored = Stored::LessOne);
        specs
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut list = TensorList::layer_tensors("layers", index);
        for (slot, hugging_face, gguf, width) in [
            (Slot::AttentionNorm, "input_layernorm", "attn_norm", config.n_embd),
            (Slot::AttentionPostNorm, "post_attention_layernorm", "post_attention_norm", config.n_embd),
            (Slot::FeedForwardNorm, "pre_feedforward_layernorm", "ffn_norm", config.n_embd),
            (Slot::FeedForwardPostNorm, "post_feedforward_layernorm", "post_ffw_norm", config.n_embd),
            (Slot::QueryNorm, "self_attn.q_norm", "attn_q_norm", config.head_dim),
            (Slot::KeyNorm, "self_attn.k_norm", "attn_k_norm", config.head_dim),
        ] {
            list.weight(slot, hugging_face, gguf, &[width]).stored(Stored::LessOne);
        }
        llama::matrices(&mut list, config, index);
        list.done()
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        writer.number("rope.freq_base_swa", config.ropes[1].theta);
        writer.number("attention.scale", config.layers[0].attention.scale);
        writer.sizes(&[("attention.sliding_window_pattern", period(config))]);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let period = period(config);
        let mut layers = config.layers.iter().enumerate();
        let is_consistent = layers.all(|(index, layer)| layer.attention.window.is_some() == is_local(index, period));
        (!is_consistent).then_some("which layers have a window (`layer_types`)")
    }
}

/// Whether a layer has a window, where one in `period` has none.
fn is_local(layer: usize, period: usize) -> bool {
    !(layer + 1).is_multiple_of(period)
}

/// Up to which layer the first without a window is.
fn period(config: &ModelConfig) -> usize {
    let first = config.layers.iter().position(|layer| layer.attention.window.is_none());
    first.unwrap_or(config.n_layer()) + 1
}

/// `ropes` are those of the layers without a window and with one.
fn config(sizes: &Sizes, ropes: [RopeConfig; 2], layers: Vec<LayerConfig>, eps: f32, tied: bool) -> ModelConfig {
    let norm = NormConfig { kind: NormKind::RmsNorm, eps };
    let plain = ModelConfig::plain(&TwoRotations, sizes, norm);
    ModelConfig { embedding_scale: (sizes.n_embd as f32).sqrt(), ropes: ropes.into(), layers, tied, ..plain }
}

fn layer(sizes: &Sizes, window: Option<usize>, scale: f32) -> LayerConfig {
    let rope = Some(usize::from(window.is_some()));
    let attention = AttentionConfig { window, rope, scale, qk_norm: Some(QkNorm::Head), ..llama::attention(sizes) };
    let dense = DenseConfig { n_ff: sizes.n_ff, activation: Activation::GeluTanh, is_gated: true, bias: false };
    LayerConfig { norm_after: true, ..LayerConfig::pre_norm(attention, FeedForwardConfig::Dense(dense)) }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn post_norms_and_two_rotations_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-two-rotations");
    }
}
