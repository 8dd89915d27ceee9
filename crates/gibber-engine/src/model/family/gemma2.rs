//! Gemma 2 (Gemma Team 2024): norms behind attention and the feed-forward part as well as before, scores and logits within
//! soft caps, a window in every other layer, embeddings that are scaled, GELU in the gate.

use super::{Family, gguf, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    Activation, AttentionConfig, DenseConfig, FeedForwardConfig, LayerConfig, ModelConfig, NormConfig, NormKind,
    RopeConfig, RopeStyle, Sizes, Slot, Stored, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Gemma2;

/// Every so many layers one sees all that came before.
const PERIOD: usize = 2;
/// What the score of a query and a key is divided by the root of, where nothing else is said.
const USUAL_SCALAR: f64 = 256.0;
/// What scores stay within, where nothing else is said, and what logits do.
const USUAL_CAPS: [f64; 2] = [50.0, 30.0];
/// How many positions a window has, where nothing else is said.
const USUAL_WINDOW: usize = 4096;
/// Layers of the largest, whose scores are not divided by the root of the width of a head (GGUF files do not say it).
const LAYERS_OF_27B: usize = 46;

/// Published sizes: layers, heads, key-value heads, width, width of the feed-forward part, vocabulary, context.
const SHAPE_OF_2B: [usize; 7] = [26, 8, 4, 2304, 9216, 256_000, 8192];

impl Family for Gemma2 {
    fn name(&self) -> &'static str {
        "gemma2"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        json.require_one_of("hidden_activation", &["gelu_pytorch_tanh"])?;
        json.require_bool("attention_bias", false)?;
        json.require_bool("use_bidirectional_attention", false)?;
        let sizes = Sizes {
            n_layer: json.size("num_hidden_layers")?.unwrap_or(26),
            n_head: json.size("num_attention_heads")?.unwrap_or(8),
            n_kv_head: json.size("num_key_value_heads")?.unwrap_or(4),
            head_dim: json.size("head_dim")?.unwrap_or(256),
            n_embd: json.size("hidden_size")?.unwrap_or(2304),
            n_ff: json.size("intermediate_size")?.unwrap_or(9216),
            vocab_size: json.size("vocab_size")?.unwrap_or(256_000),
            trained_context: json.size("max_position_embeddings")?.unwrap_or(8192),
        };
        let windows = layer_types::windows(json, sizes.n_layer, Some(USUAL_WINDOW), is_local)?;
        let scalar = json.number("query_pre_attn_scalar", Bound::AboveZero)?.unwrap_or(USUAL_SCALAR) as f32;
        let [softcap, logits_softcap] =
            [("attn_logit_softcapping", USUAL_CAPS[0]), ("final_logit_softcapping", USUAL_CAPS[1])]
                .map(|(key, usual)| cap_from_json(json, key, Some(usual)));
        let of_layer = OfLayer { scale: scalar.sqrt().recip(), softcap: softcap? };
        let layers = sizes.layers(json.path(), |index| of_layer.layer(&sizes, windows(index)))?;
        let norm = NormConfig {
            kind: NormKind::RmsNorm,
            eps: json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-6) as f32,
        };
        Ok(ModelConfig {
            embedding_scale: (sizes.n_embd as f32).sqrt(),
            ropes: vec![rope::from_json(json, sizes.trained_context)?],
            layers,
            logits_softcap: logits_softcap?,
            tied: json.bool("tie_word_embeddings")?.unwrap_or(true),
            ..ModelConfig::plain(&Self, &sizes, norm)
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        let window = keys.optional_size("attention.sliding_window")?.unwrap_or(USUAL_WINDOW);
        let cap = |key, usual| Ok::<_, EngineError>(keys.number(key, Bound::Zero)?.unwrap_or(usual) as f32);
        let is_cap = |cap: &f32| *cap > 0.0;
        let scale = keys.number("attention.scale", Bound::AboveZero)?;
        let scale = scale.map_or_else(|| usual_scale(&sizes), |scale| scale as f32);
        let softcap = Some(cap("attn_logit_softcapping", USUAL_CAPS[0])?).filter(is_cap);
        let of_layer = OfLayer { scale, softcap };
        let window_of = |layer| Some(window).filter(|&window| window > 0 && is_local(layer));
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        Ok(ModelConfig {
            embedding_scale: (sizes.n_embd as f32).sqrt(),
            ropes: vec![rope::from_gguf(keys, sizes.head_dim, self.gguf_rope_style())?],
            layers: sizes.layers(keys.path(), |index| of_layer.layer(&sizes, window_of(index)))?,
            logits_softcap: Some(cap("final_logit_softcapping", USUAL_CAPS[1])?).filter(is_cap),
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut list = TensorList::layer_tensors("layers", index);
        norms(&mut list, config.n_embd);
        llama::matrices(&mut list, config, index);
        list.done()
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        writer.number("final_logit_softcapping", config.logits_softcap.unwrap_or(0.0));
        if let Some(attention) = config.attentions().next() {
            writer.number("attn_logit_softcapping", attention.softcap.unwrap_or(0.0));
            writer.number("attention.scale", attention.scale);
        }
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let mut layers = config.layers.iter().enumerate();
        let is_usual = layers.all(|(index, layer)| layer.window().is_some() == is_local(index));
        if !is_usual {
            return Some("which layers have a window (`layer_types`)");
        }
        // llama.cpp divides by either.
        let is_capped = config.logits_softcap.is_some() && config.attentions().all(|it| it.softcap.is_some());
        (!is_capped)
            .then_some("that nothing is capped (`attn_logit_softcapping` and `final_logit_softcapping` of null)")
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes { head_dim: 256, ..Sizes::of(SHAPE_OF_2B) };
        let of_layer = OfLayer { scale: usual_scale(&sizes), softcap: Some(USUAL_CAPS[0] as f32) };
        let layer = |index| of_layer.layer(&sizes, Some(USUAL_WINDOW).filter(|_| is_local(index)));
        let config = ModelConfig {
            embedding_scale: (sizes.n_embd as f32).sqrt(),
            ropes: vec![RopeConfig::plain(10_000.0, RopeStyle::Half)],
            layers: (0..sizes.n_layer).map(layer).collect(),
            logits_softcap: Some(USUAL_CAPS[1] as f32),
            tied: true,
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps: 1e-6 })
        };
        vec![("gemma2-2b", config)]
    }
}

/// What all layers have in common.
struct OfLayer {
    scale: f32,
    softcap: Option<f32>,
}

impl OfLayer {
    fn layer(&self, sizes: &Sizes, window: Option<usize>) -> LayerConfig {
        let Self { scale, softcap } = *self;
        layer(sizes, AttentionConfig { window, scale, softcap, ..llama::attention(sizes) })
    }
}

/// A layer with norms before and behind, and a feed-forward part that GELU gates.
pub(super) fn layer(sizes: &Sizes, attention: AttentionConfig) -> LayerConfig {
    let dense = DenseConfig { n_ff: sizes.n_ff, activation: Activation::GeluTanh, is_gated: true, bias: false };
    LayerConfig { norm_after: true, ..LayerConfig::pre_norm(attention, FeedForwardConfig::Dense(dense)) }
}

/// What something stays within; none where the key is null, and `usual` where it is absent.
pub(super) fn cap_from_json(json: &JsonFile, key: &str, usual: Option<f64>) -> Result<Option<f32>, EngineError> {
    let usual = usual.filter(|_| !json.is_null(key));
    Ok(json.number(key, Bound::AboveZero)?.or(usual).map(|cap| cap as f32))
}

/// The tensors that are there once, whose norm is stored less one.
pub(super) fn global_tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let mut specs = llama::global_tensors(config);
    let norms = specs.iter_mut().filter(|spec| spec.slot == Slot::OutputNorm);
    norms.for_each(|norm| norm.stored = Stored::LessOne);
    specs
}

/// The norms of a layer, of rows of `width`.
pub(super) fn norms(list: &mut TensorList, width: usize) {
    for (slot, hugging_face, gguf) in [
        (Slot::AttentionNorm, "input_layernorm", "attn_norm"),
        (Slot::AttentionPostNorm, "post_attention_layernorm", "post_attention_norm"),
        (Slot::FeedForwardNorm, "pre_feedforward_layernorm", "ffn_norm"),
        (Slot::FeedForwardPostNorm, "post_feedforward_layernorm", "post_ffw_norm"),
    ] {
        list.weight(slot, hugging_face, gguf, &[width]).stored(Stored::LessOne);
    }
}

/// What scores are multiplied with, where a GGUF file does not say it.
fn usual_scale(sizes: &Sizes) -> f32 {
    let scalar = if sizes.n_layer == LAYERS_OF_27B { sizes.n_embd / sizes.n_head.max(1) } else { sizes.head_dim };
    (scalar as f32).sqrt().recip()
}

/// Whether a layer has a window.
fn is_local(layer: usize) -> bool {
    !(layer + 1).is_multiple_of(PERIOD)
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn soft_caps_and_windows_in_turn_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-gemma2");
    }
}
