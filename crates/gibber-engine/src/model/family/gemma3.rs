//! The text part of Gemma 3 (Gemma Team 2025): norms after attention and the feed-forward part as well as before, two
//! rotations, a window in all layers but some, embeddings that are scaled, GELU in the gate.

use super::{Family, gemma2, gguf, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    AttentionConfig, LayerConfig, ModelConfig, NormConfig, NormKind, QkNorm, RopeConfig, RopeScaling, RopeStyle, Sizes,
    Slot, Stored, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Gemma3;

/// Every so many layers one sees all that came before, where nothing else is said.
const USUAL_PERIOD: usize = 6;
/// The base of the frequencies in the layers that have a window, where nothing else is said.
pub(super) const USUAL_LOCAL_THETA: f64 = 10_000.0;
/// And in the others.
const USUAL_GLOBAL_THETA: f64 = 1e6;
/// What the score of a query and a key is divided by the root of, where nothing else is said.
const USUAL_SCALAR: f64 = 256.0;
/// Published sizes, and the window: layers, heads, key-value heads, width, width of the feed-forward part, vocabulary, context.
const SHAPES: [(&str, [usize; 7], usize); 3] = [
    ("gemma3-270m", [18, 4, 1, 640, 2048, 262_144, 32_768], 512),
    ("gemma3-1b", [26, 4, 1, 1152, 6912, 262_144, 32_768], 512),
    ("gemma3-4b", [34, 8, 4, 2560, 10_240, 262_208, 131_072], 1024),
];
/// Layers of the largest, whose scores are not divided by the root of the width of a head (GGUF files do not say it).
const LAYERS_OF_27B: usize = 62;

impl Family for Gemma3 {
    fn name(&self) -> &'static str {
        "gemma3"
    }

    fn is_called(&self, name: &str) -> bool {
        name == "gemma3_text"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        json.require_one_of("hidden_activation", &["gelu_pytorch_tanh"])?;
        json.require_bool("attention_bias", false)?;
        json.require_bool("use_bidirectional_attention", false)?;
        let sizes = sizes_from_json(json)?;
        // What came before `layer_types`.
        let period = json.size("sliding_window_pattern")?.unwrap_or(USUAL_PERIOD).max(1);
        let windows = layer_types::windows(json, sizes.n_layer, Some(4096), |layer| is_local(layer, period))?;
        let scalar = json.number("query_pre_attn_scalar", Bound::AboveZero)?.unwrap_or(USUAL_SCALAR) as f32;
        let ropes = ropes_from_json(json, sizes.trained_context)?;
        let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-6) as f32;
        let layers = sizes.layers(json.path(), |index| layer(&sizes, windows(index), scalar.sqrt().recip()))?;
        let tied = json.bool("tie_word_embeddings")?.unwrap_or(true);
        let logits_softcap = gemma2::cap_from_json(json, "final_logit_softcapping", None)?;
        Ok(ModelConfig { logits_softcap, ..config(&sizes, ropes, layers, eps, tied) })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        let window = keys.window()?;
        let period = keys.optional_size("attention.sliding_window_pattern")?.unwrap_or(USUAL_PERIOD);
        let scale = keys.number("attention.scale", Bound::AboveZero)?;
        let scale = scale.map_or_else(|| usual_scale(&sizes), |scale| scale as f32);
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        let local = keys.number("rope.freq_base_swa", Bound::AboveZero)?.unwrap_or(USUAL_LOCAL_THETA);
        let ropes =
            [rope::from_gguf(keys, sizes.head_dim, RopeStyle::Half)?, RopeConfig::plain(local as f32, RopeStyle::Half)];
        let window_of = |layer| window.filter(|_| is_local(layer, period));
        let layers = sizes.layers(keys.path(), |index| layer(&sizes, window_of(index), scale))?;
        let logits_softcap = keys.number("final_logit_softcapping", Bound::Zero)?.filter(|&cap| cap > 0.0);
        let logits_softcap = logits_softcap.map(|cap| cap as f32);
        Ok(ModelConfig { logits_softcap, ..config(&sizes, ropes, layers, eps, keys.is_tied()) })
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        gemma2::global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut list = TensorList::layer_tensors("layers", index);
        let head_dim = config.layers[index].attention().map_or(0, |attention| attention.heads.head_dim);
        gemma2::norms(&mut list, config.n_embd);
        for (slot, hugging_face, gguf) in
            [(Slot::QueryNorm, "self_attn.q_norm", "attn_q_norm"), (Slot::KeyNorm, "self_attn.k_norm", "attn_k_norm")]
        {
            list.weight(slot, hugging_face, gguf, &[head_dim]).stored(Stored::LessOne);
        }
        llama::matrices(&mut list, config, index);
        list.done()
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        writer.number("rope.freq_base_swa", config.ropes[1].theta);
        if let Some(attention) = config.attentions().next() {
            writer.number("attention.scale", attention.scale);
        }
        writer.sizes(&[("attention.sliding_window_pattern", period(config))]);
        if let Some(cap) = config.logits_softcap {
            writer.number("final_logit_softcapping", cap);
        }
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let period = period(config);
        let mut layers = config.layers.iter().enumerate();
        let is_consistent = layers.all(|(index, layer)| layer.window().is_some() == is_local(index, period));
        if !is_consistent {
            return Some("which layers have a window (`layer_types`)");
        }
        let is_plain = config.ropes.get(1).is_none_or(|local| local.scaling == RopeScaling::None);
        (!is_plain).then_some("how the rotation of the layers with a window is scaled")
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        SHAPES.map(|(name, shape, window)| (name, random(shape, window))).into()
    }
}

/// The model of random weights of a published shape.
fn random(shape: [usize; 7], window: usize) -> ModelConfig {
    let sizes = Sizes { head_dim: 256, ..Sizes::of(shape) };
    let window_of = |layer| Some(window).filter(|_| is_local(layer, USUAL_PERIOD));
    let layers = (0..sizes.n_layer).map(|index| layer(&sizes, window_of(index), usual_scale(&sizes))).collect();
    let ropes = [USUAL_GLOBAL_THETA, USUAL_LOCAL_THETA].map(|theta| RopeConfig::plain(theta as f32, RopeStyle::Half));
    config(&sizes, ropes, layers, 1e-6, true)
}

/// The sizes. The configurations of the larger ones say little of them.
fn sizes_from_json(json: &JsonFile) -> Result<Sizes, EngineError> {
    let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
    Ok(Sizes {
        n_layer: size("num_hidden_layers", 26)?,
        n_head: size("num_attention_heads", 8)?,
        n_kv_head: size("num_key_value_heads", 4)?,
        head_dim: size("head_dim", 256)?,
        n_embd: size("hidden_size", 2304)?,
        n_ff: size("intermediate_size", 9216)?,
        vocab_size: size("vocab_size", 262_208)?,
        trained_context: size("max_position_embeddings", 131_072)?,
    })
}

/// The rotations of the layers without a window and with one: by kinds of layers, or, before transformers 5, apart from each
/// other.
pub(super) fn ropes_from_json(json: &JsonFile, trained_context: usize) -> Result<[RopeConfig; 2], EngineError> {
    let local = json.number("rope_local_base_freq", Bound::AboveZero)?.unwrap_or(USUAL_LOCAL_THETA);
    if json.get("rope_parameters").is_some() {
        rope::refuse_both_spellings(json)?;
        let global = json.number("rope_theta", Bound::AboveZero)?.unwrap_or(USUAL_GLOBAL_THETA);
        let rotation = |kind, theta| rope::of_layer_type(json, kind, theta, trained_context);
        return Ok([rotation("full_attention", global)?, rotation("sliding_attention", local)?]);
    }
    let global = rope::from_json_or(json, trained_context, USUAL_GLOBAL_THETA)?;
    Ok([global, RopeConfig::plain(local as f32, RopeStyle::Half)])
}

/// What scores are multiplied with, where a GGUF file does not say it.
fn usual_scale(sizes: &Sizes) -> f32 {
    let scalar = if sizes.n_layer == LAYERS_OF_27B { sizes.n_embd / sizes.n_head.max(1) } else { sizes.head_dim };
    (scalar as f32).sqrt().recip()
}

/// Whether a layer has a window, where one in `period` has none.
fn is_local(layer: usize, period: usize) -> bool {
    !(layer + 1).is_multiple_of(period)
}

/// Up to which layer the first without a window is.
fn period(config: &ModelConfig) -> usize {
    let first = config.layers.iter().position(|layer| layer.window().is_none());
    first.unwrap_or(config.n_layer()) + 1
}

/// `ropes` are those of the layers without a window and with one.
fn config(sizes: &Sizes, ropes: [RopeConfig; 2], layers: Vec<LayerConfig>, eps: f32, tied: bool) -> ModelConfig {
    let norm = NormConfig { kind: NormKind::RmsNorm, eps };
    let plain = ModelConfig::plain(&Gemma3, sizes, norm);
    ModelConfig { embedding_scale: (sizes.n_embd as f32).sqrt(), ropes: ropes.into(), layers, tied, ..plain }
}

fn layer(sizes: &Sizes, window: Option<usize>, scale: f32) -> LayerConfig {
    let rope = Some(usize::from(window.is_some()));
    let attention = AttentionConfig { window, rope, scale, qk_norm: Some(QkNorm::Head), ..llama::attention(sizes) };
    gemma2::layer(sizes, attention)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::model::HeadSizes;
    use crate::model::family::tests::assert_parity;

    #[test]
    fn post_norms_and_two_rotations_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-gemma3");
    }

    #[test]
    fn what_published_configurations_leave_out_is_as_in_transformers() {
        use super::super::config_from_json;
        use crate::keys::JsonFile;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        // As the larger ones say it, with the spelling of before transformers 5.
        let text = json!({"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}});
        std::fs::write(&path, json!({"model_type": "gemma3", "text_config": text}).to_string()).unwrap();
        let config = config_from_json(&JsonFile::read(path).unwrap().unwrap()).unwrap().config;
        let heads = HeadSizes { n_head: 8, n_kv_head: 4, head_dim: 256 };
        assert_eq!((config.first_heads(), config.vocab_size), (Some(heads), 262_208));
        assert_eq!(config.ropes.iter().map(|rope| rope.theta).collect::<Vec<_>>(), [1e6, 1e4]);
        assert!(config.tied && config.attentions().all(|attention| attention.scale == 1.0 / 16.0));
        let full = config.layers.iter().enumerate().filter(|(_, layer)| layer.window().is_none());
        assert_eq!(full.map(|(index, _)| index).collect::<Vec<_>>(), [5, 11, 17, 23, 29]);
    }
}
