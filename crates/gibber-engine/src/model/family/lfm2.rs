//! LFM2 and LFM2.5 (Liquid AI 2025): short convolutions that are gated, with attention in some layers.

use serde_json::Value;

use super::{Family, gguf, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile, share};
use crate::model::{
    AttentionConfig, DenseConfig, FeedForwardConfig, LayerConfig, MixerConfig, ModelConfig, NormConfig, NormKind, Part,
    QkNorm, RopeConfig, RopeStyle, ShortConvConfig, Sizes, Slot, Stored, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Lfm2;

/// The base of the frequencies, where nothing else is said.
const USUAL_THETA: f64 = 1e6;

/// Published sizes: layers, heads, heads of keys and values, width, width of the feed-forward part, vocabulary, context; and
/// the layers that have attention.
const SHAPES: [(&str, [usize; 7], &[usize]); 3] = [
    ("lfm2-350m", [16, 16, 8, 1024, 4608, 65_536, 128_000], &[2, 5, 8, 10, 12, 14]),
    ("lfm2-700m", [16, 24, 8, 1536, 6912, 65_536, 128_000], &[2, 5, 8, 10, 12, 14]),
    ("lfm2-1.2b", [16, 32, 8, 2048, 8192, 65_536, 128_000], &[2, 5, 8, 10, 12, 14]),
];

impl Family for Lfm2 {
    fn name(&self) -> &'static str {
        "lfm2"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let n_ff = width_from_json(json)?;
        let sizes = sizes_from_json(json, n_ff, 2560)?;
        let has_attention = attention_from_json(json, sizes.n_layer)?;
        let conv = conv_from_json(json)?;
        let layers = sizes.layers(json.path(), |index| layer(&sizes, has_attention(index), conv))?;
        config_from_json(&Self, json, &sizes, layers)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        gguf::refuse_experts(keys)?;
        config_from_gguf(&Self, keys, |sizes, _, has_attention, conv| layer(sizes, has_attention, conv))
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut list = TensorList::layer_tensors("layers", index);
        mixer_tensors(&mut list, config, index);
        dense_tensors(&mut list, config, index);
        list.done()
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        put_gguf_keys(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        gguf_lacks(config)
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let random = |shape, attention: &[usize]| {
            let sizes = Sizes::of(shape);
            let conv = ShortConvConfig { kernel: 3, bias: false };
            let layers = (0..sizes.n_layer).map(|index| layer(&sizes, attention.contains(&index), conv)).collect();
            let ropes = vec![RopeConfig::plain(USUAL_THETA as f32, RopeStyle::Half)];
            let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
            ModelConfig { ropes, layers, tied: true, ..ModelConfig::plain(&Self, &sizes, norm) }
        };
        SHAPES.map(|(name, shape, attention)| (name, random(shape, attention))).into()
    }
}

/// The width of the feed-forward part, which is not always what is written.
fn width_from_json(json: &JsonFile) -> Result<usize, EngineError> {
    let written = json.size("block_ff_dim")?.or(json.size("intermediate_size")?).unwrap_or(12_288);
    if !json.bool("block_auto_adjust_ff_dim")?.unwrap_or(true) {
        return Ok(written);
    }
    let narrowed = (2.0 * written as f64 / 3.0) as usize;
    if json.is_null("block_ffn_dim_multiplier") {
        return Ok(narrowed);
    }
    let factor = json.number("block_ffn_dim_multiplier", Bound::AboveZero)?.unwrap_or(1.0);
    let multiple = json.size("block_multiple_of")?.unwrap_or(256);
    if multiple == 0 {
        return Err(EngineError::format(json.path(), "`block_multiple_of` is 0: it has to be at least 1"));
    }
    // What does not fit is refused as too large for any model.
    Ok(((factor * narrowed as f64) as usize).checked_next_multiple_of(multiple).unwrap_or(usize::MAX))
}

/// The sizes; where one is absent, that of the configuration classes, which differ in the width.
pub(super) fn sizes_from_json(json: &JsonFile, n_ff: usize, usual_width: usize) -> Result<Sizes, EngineError> {
    let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
    let (n_embd, n_head) = (size("hidden_size", usual_width)?, size("num_attention_heads", 32)?);
    Ok(Sizes {
        n_layer: size("num_hidden_layers", 32)?,
        n_head,
        n_kv_head: size("num_key_value_heads", 8)?,
        head_dim: match json.size("head_dim")? {
            Some(width) => width,
            None => share(json.path(), n_embd, n_head)?,
        },
        n_embd,
        n_ff,
        vocab_size: size("vocab_size", 65_536)?,
        trained_context: size("max_position_embeddings", 128_000)?,
    })
}

/// Which layers have attention: those of `layer_types`, or before there was such a list, of `full_attn_idxs`.
pub(super) fn attention_from_json(json: &JsonFile, n_layer: usize) -> Result<impl Fn(usize) -> bool, EngineError> {
    let list = |key: &str, supported: &str, entry: &dyn Fn(&Value) -> Option<usize>| {
        let Some(value) = json.get(key) else { return Ok(None) };
        let entries = value.as_array().and_then(|list| list.iter().map(entry).collect::<Option<Vec<_>>>());
        entries.map(Some).ok_or_else(|| json.unsupported(key, &value.to_string(), supported))
    };
    let supported = format!("conv or full_attention for each of {n_layer} layers");
    let kind = |kind: &Value| ["conv", "full_attention"].iter().position(|known| kind.as_str() == Some(known));
    let kinds = list("layer_types", &supported, &kind)?;
    if let Some(kinds) = kinds.as_ref().filter(|kinds| kinds.len() != n_layer) {
        return Err(json.unsupported("layer_types", &format!("{} entries", kinds.len()), &supported));
    }
    let indices = list("full_attn_idxs", "a list of layers", &|index| index.as_u64().map(|index| index as usize))?;
    Ok(move |layer: usize| match (&kinds, &indices) {
        (Some(kinds), _) => kinds.get(layer) == Some(&1),
        (None, Some(indices)) => indices.contains(&layer),
        (None, None) => true,
    })
}

pub(super) fn conv_from_json(json: &JsonFile) -> Result<ShortConvConfig, EngineError> {
    let kernel = json.size("conv_L_cache")?.unwrap_or(3);
    Ok(ShortConvConfig { kernel, bias: json.bool("conv_bias")?.unwrap_or(false) })
}

pub(super) fn config_from_json(
    family: &'static dyn Family,
    json: &JsonFile,
    sizes: &Sizes,
    layers: Vec<LayerConfig>,
) -> Result<ModelConfig, EngineError> {
    let eps = json.number("norm_eps", Bound::Zero)?.unwrap_or(1e-5) as f32;
    let tied = json.bool("tie_embedding")?.or(json.bool("tie_word_embeddings")?).unwrap_or(true);
    Ok(ModelConfig {
        ropes: vec![rope::from_json_or(json, sizes.trained_context, USUAL_THETA)?],
        layers,
        tied,
        ..ModelConfig::plain(family, sizes, NormConfig { kind: NormKind::RmsNorm, eps })
    })
}

/// The configuration of a GGUF file, whose layers have attention where they have heads of keys.
pub(super) fn config_from_gguf(
    family: &'static dyn Family,
    keys: &GgufKeys<'_>,
    layer: impl Fn(&Sizes, usize, bool, ShortConvConfig) -> LayerConfig,
) -> Result<ModelConfig, EngineError> {
    let kv_heads = "attention.head_count_kv";
    let n_layer = keys.size("block_count")?;
    let n_kv_heads = keys.optional_sizes(kv_heads, n_layer)?.ok_or_else(|| keys.missing(kv_heads))?;
    let sizes = gguf::sizes_with(keys, n_kv_heads.iter().copied().find(|&heads| heads > 0).unwrap_or(1))?;
    if let Some(odd) = n_kv_heads.iter().find(|&&heads| ![0, sizes.n_kv_head].contains(&heads)) {
        return Err(keys.unsupported(kv_heads, &format!("{} and {odd}", sizes.n_kv_head)));
    }
    let conv = ShortConvConfig { kernel: keys.size("shortconv.l_cache")?, bias: false };
    let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
    let layers = sizes.layers(keys.path(), |index| {
        layer(&sizes, index, n_kv_heads.get(index).is_some_and(|&heads| heads > 0), conv)
    })?;
    Ok(ModelConfig {
        ropes: vec![rope::from_gguf(keys, sizes.head_dim, RopeStyle::Half)?],
        layers,
        tied: keys.is_tied(),
        ..ModelConfig::plain(family, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
    })
}

/// A layer with a dense feed-forward part.
pub(super) fn layer(sizes: &Sizes, has_attention: bool, conv: ShortConvConfig) -> LayerConfig {
    let attention = AttentionConfig { qk_norm: Some(QkNorm::Head), ..llama::attention(sizes) };
    let mixer = if has_attention { MixerConfig::Attention(attention) } else { MixerConfig::ShortConv(conv) };
    LayerConfig::mixed_by(mixer, FeedForwardConfig::Dense(DenseConfig::swiglu(sizes.n_ff, false)))
}

/// The tensors that are there once: the last norm is called by the embedding.
pub(super) fn global_tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let mut list = TensorList::global_tensors();
    let &ModelConfig { n_embd, vocab_size, .. } = config;
    list.weight(Slot::Embedding, "embed_tokens", "token_embd", &[vocab_size, n_embd]);
    list.weight(Slot::OutputNorm, "embedding_norm", "token_embd_norm", &[n_embd]);
    if !config.tied {
        list.weight(Slot::Output, "lm_head", "output", &[vocab_size, n_embd]);
    }
    list.done()
}

/// The norms of a layer, and its mixer.
pub(super) fn mixer_tensors(list: &mut TensorList, config: &ModelConfig, index: usize) {
    let embd = config.n_embd;
    list.weight(Slot::AttentionNorm, "operator_norm", "attn_norm", &[embd]);
    list.weight(Slot::FeedForwardNorm, "ffn_norm", "ffn_norm", &[embd]);
    match &config.layers[index].mixer {
        MixerConfig::Attention(attention) => attention_tensors(list, attention, embd),
        MixerConfig::ShortConv(conv) => conv_tensors(list, conv, embd),
        MixerConfig::DeltaNet(_) => {}
    }
}

/// The feed-forward part of a layer, where it is dense.
pub(super) fn dense_tensors(list: &mut TensorList, config: &ModelConfig, index: usize) {
    let FeedForwardConfig::Dense(dense) = &config.layers[index].feed_forward else { return };
    let (embd, ff) = (config.n_embd, dense.n_ff);
    list.weight(Slot::FeedForwardIn, "feed_forward.w1", "ffn_gate", &[ff, embd]);
    list.weight(Slot::FeedForwardIn, "feed_forward.w3", "ffn_up", &[ff, embd]);
    list.weight(Slot::FeedForwardOut, "feed_forward.w2", "ffn_down", &[embd, ff]);
}

fn attention_tensors(list: &mut TensorList, attention: &AttentionConfig, embd: usize) {
    let heads = attention.heads;
    let (q, kv) = (heads.q_width(), heads.kv_width());
    list.weight(Slot::QueryNorm, "self_attn.q_layernorm", "attn_q_norm", &[heads.head_dim]);
    list.weight(Slot::KeyNorm, "self_attn.k_layernorm", "attn_k_norm", &[heads.head_dim]);
    list.weight(Slot::QueriesKeysValues, "self_attn.q_proj", "attn_q", &[q, embd]);
    list.weight(Slot::QueriesKeysValues, "self_attn.k_proj", "attn_k", &[kv, embd]);
    list.weight(Slot::QueriesKeysValues, "self_attn.v_proj", "attn_v", &[kv, embd]);
    list.weight(Slot::AttentionOut, "self_attn.out_proj", "attn_output", &[embd, q]);
}

fn conv_tensors(list: &mut TensorList, conv: &ShortConvConfig, embd: usize) {
    list.weight(Slot::RecurrentIn, "conv.in_proj", "shortconv.in_proj", &[3 * embd, embd]).bias(conv.bias);
    list.weight(Slot::RecurrentOut, "conv.out_proj", "shortconv.out_proj", &[embd, embd]).bias(conv.bias);
    list.weight(Slot::Convolution, "conv.conv", "shortconv.conv", &[embd, conv.kernel]);
    list.stored(Stored::Convolution);
    if conv.bias {
        let names = ["conv.conv.bias", "shortconv.conv.bias"];
        list.named(Slot::Convolution, Part::Bias, names, &[embd]);
    }
}

/// The keys of a GGUF file.
pub(super) fn put_gguf_keys(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    gguf::put_sizes(writer, config);
    let kv_heads = config.layers.iter().map(|layer| layer.attention().map_or(0, |it| it.heads.n_kv_head));
    writer.size_list("attention.head_count_kv", &kv_heads.collect::<Vec<_>>());
    if let Some(heads) = config.first_heads() {
        writer.sizes(&[("attention.key_length", heads.head_dim), ("attention.value_length", heads.head_dim)]);
        writer.sizes(&[("rope.dimension_count", heads.head_dim)]);
    }
    let kernel = conv_of(config).map_or(0, |conv| conv.kernel);
    writer.sizes(&[("vocab_size", config.vocab_size), ("shortconv.l_cache", kernel)]);
    writer.number("attention.layer_norm_rms_epsilon", config.norm.eps);
    if let Some(rope) = config.ropes.first() {
        rope::put_theta(writer, rope);
        rope::put_scaling(writer, rope);
    }
}

/// What GGUF has no key for.
pub(super) fn gguf_lacks(config: &ModelConfig) -> Option<&'static str> {
    if conv_of(config).is_some_and(|conv| conv.bias) {
        return Some("that convolutions have biases (`conv_bias`)");
    }
    if config.attentions().next().is_none() || conv_of(config).is_none() {
        return Some("that all layers are of one kind (`layer_types`)");
    }
    None
}

fn conv_of(config: &ModelConfig) -> Option<ShortConvConfig> {
    config.layers.iter().find_map(|layer| match layer.mixer {
        MixerConfig::ShortConv(conv) => Some(conv),
        MixerConfig::Attention(_) | MixerConfig::DeltaNet(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_parity, assert_same, fixture};

    #[test]
    fn short_convolutions_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-lfm2");
    }

    #[test]
    fn convolutions_with_biases_and_the_older_keys() {
        assert_same("variant-lfm2-biased", &fixture("variant-lfm2-biased"));
    }
}
