//! Llama (Touvron et al. 2023): rotary positions, RMSNorm, a gated feed-forward part, query heads that share keys and
//! values. A family that is built like it starts from the functions here and says what differs.

use super::{Family, experts, gguf, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile, share};
use crate::model::{
    AttentionConfig, DenseConfig, FeedForwardConfig, LayerConfig, MixerConfig, ModelConfig, NormConfig, NormKind,
    QkNorm, RopeConfig, RopeScaling, RopeStyle, Sizes, Slot, Stored, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Llama;

/// Published sizes.
const SHAPES: [(&str, [usize; 7]); 5] = [
    ("smollm2-135m", [30, 9, 3, 576, 1536, 49_152, 8192]),
    ("smollm2-360m", [32, 15, 5, 960, 2560, 49_152, 8192]),
    ("llama3.2-1b", [16, 32, 8, 2048, 8192, 128_256, 131_072]),
    ("llama3.2-3b", [28, 24, 8, 3072, 8192, 128_256, 131_072]),
    ("tinyllama-1.1b", [22, 32, 4, 2048, 5632, 32_000, 2048]),
];

impl Family for Llama {
    fn name(&self) -> &'static str {
        "llama"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = sizes_from_json(json, None, None)?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let mlp_bias = json.bool("mlp_bias")?.unwrap_or(false);
        let attention = AttentionConfig { qkv_bias: bias, out_bias: bias, ..attention(&sizes) };
        config_from_json(&Self, json, &sizes, |_| layer(&sizes, attention, mlp_bias))
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        // Mixtral's files say the same name.
        config_with_experts(&Self, keys, true, QkNorm::Head)
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        rope::divides_as_llama(scaling)
    }

    fn gguf_rope_style(&self) -> RopeStyle {
        RopeStyle::Interleaved
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let random = |shape| {
            let sizes = Sizes::of(shape);
            let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
            let layers = (0..sizes.n_layer).map(|_| layer(&sizes, attention(&sizes), false)).collect();
            let ropes = vec![RopeConfig::plain(10_000.0, self.gguf_rope_style())];
            ModelConfig { ropes, layers, tied: true, ..ModelConfig::plain(&Self, &sizes, norm) }
        };
        SHAPES.map(|(name, shape)| (name, random(shape))).into()
    }
}

/// The sizes, and what is refused of all that is built like Llama; `usual_kv_heads` and `usual_head_dim` are those of the
/// family where the configuration does not say it.
pub(super) fn sizes_from_json(
    json: &JsonFile,
    usual_kv_heads: Option<usize>,
    usual_head_dim: Option<usize>,
) -> Result<Sizes, EngineError> {
    json.require_one_of("hidden_act", &["silu"])?;
    json.require_bool("rope_interleaved", false)?;
    let (n_embd, n_head) = (json.required("hidden_size")?, json.required("num_attention_heads")?);
    // Null stands for as many as there are query heads, whatever is usual.
    let usual_kv_heads = usual_kv_heads.filter(|_| !json.is_null("num_key_value_heads"));
    Ok(Sizes {
        n_layer: json.required("num_hidden_layers")?,
        n_head,
        n_kv_head: json.size("num_key_value_heads")?.or(usual_kv_heads).unwrap_or(n_head),
        head_dim: match json.size("head_dim")?.or(usual_head_dim) {
            Some(width) => width,
            None => share(json.path(), n_embd, n_head)?,
        },
        n_embd,
        n_ff: json.required("intermediate_size")?,
        vocab_size: json.required("vocab_size")?,
        trained_context: json.required("max_position_embeddings")?,
    })
}

/// What is usual in a family where its configurations leave it out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    /// The base of the frequencies.
    pub(super) theta: f64,
    /// What is added to the variance.
    pub(super) eps: f64,
}

/// What is usual in most.
pub(super) const USUAL: Usual = Usual { theta: rope::USUAL_THETA, eps: 1e-6 };

/// The configuration whose layers are as `layer` says.
pub(super) fn config_from_json(
    family: &'static dyn Family,
    json: &JsonFile,
    sizes: &Sizes,
    layer: impl FnMut(usize) -> LayerConfig,
) -> Result<ModelConfig, EngineError> {
    config_from_json_or(family, json, sizes, USUAL, layer)
}

/// As [`config_from_json`], of a family where something else is usual.
pub(super) fn config_from_json_or(
    family: &'static dyn Family,
    json: &JsonFile,
    sizes: &Sizes,
    usual: Usual,
    layer: impl FnMut(usize) -> LayerConfig,
) -> Result<ModelConfig, EngineError> {
    let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(usual.eps) as f32;
    Ok(ModelConfig {
        ropes: vec![rope::from_json_or(json, sizes.trained_context, usual.theta)?],
        layers: sizes.layers(json.path(), layer)?,
        tied: json.bool("tie_word_embeddings")?.unwrap_or(false),
        ..ModelConfig::plain(family, sizes, NormConfig { kind: NormKind::RmsNorm, eps })
    })
}

/// The window of all layers, where `use_sliding_window` switches it on.
pub(super) fn switched_window(json: &JsonFile) -> Result<Option<usize>, EngineError> {
    let is_used = json.bool("use_sliding_window")?.unwrap_or(false) && !json.is_null("sliding_window");
    match json.size("sliding_window")? {
        Some(0) if is_used => Err(EngineError::format(json.path(), "`sliding_window` is 0: a token has to see itself")),
        positions => Ok(is_used.then_some(positions.unwrap_or(4096))),
    }
}

/// The configuration of a GGUF file. Which biases and norms there are, its tensors say.
pub(super) fn config_from_gguf(family: &'static dyn Family, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
    gguf::refuse_experts(keys)?;
    config_with_experts(family, keys, true, QkNorm::Head)
}

/// As [`config_from_gguf`], with experts where the file has some. The weights of the chosen are normalized where the
/// architecture `is_normalized`, and queries and keys, where they are, as it says in `qk_norm`.
pub(super) fn config_with_experts(
    family: &'static dyn Family,
    keys: &GgufKeys<'_>,
    is_normalized: bool,
    qk_norm: QkNorm,
) -> Result<ModelConfig, EngineError> {
    let sizes = gguf::sizes(keys)?;
    let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
    let attention = AttentionConfig {
        window: keys.window()?,
        qk_norm: keys.layers_have("attn_q_norm.weight").then_some(qk_norm),
        qkv_bias: keys.layers_have("attn_q.bias"),
        out_bias: keys.layers_have("attn_output.bias"),
        ..attention(&sizes)
    };
    let mlp_bias = keys.layers_have("ffn_down.bias");
    let experts = experts::from_gguf(keys, sizes.n_ff, is_normalized)?;
    let layer = |index| {
        let layer = layer(&sizes, attention, mlp_bias);
        let experts = experts.filter(|_| experts::layer_has(keys, index));
        experts.map_or(layer.clone(), |experts| experts::with(layer, experts))
    };
    Ok(ModelConfig {
        ropes: vec![rope::from_gguf(keys, sizes.head_dim, family.gguf_rope_style())?],
        layers: sizes.layers(keys.path(), layer)?,
        tied: keys.is_tied(),
        ..ModelConfig::plain(family, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
    })
}

/// Attention to all that came before, turned by the model's one rotation.
pub(super) fn attention(sizes: &Sizes) -> AttentionConfig {
    AttentionConfig { rope: Some(0), ..AttentionConfig::full(sizes.heads()) }
}

/// A layer with a feed-forward part that SiLU gates.
pub(super) fn layer(sizes: &Sizes, attention: AttentionConfig, mlp_bias: bool) -> LayerConfig {
    LayerConfig::pre_norm(attention, FeedForwardConfig::Dense(DenseConfig::swiglu(sizes.n_ff, mlp_bias)))
}

/// The tensors that are there once.
pub(super) fn global_tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let &ModelConfig { n_embd, vocab_size, .. } = config;
    let mut list = TensorList::global_tensors();
    list.weight(Slot::Embedding, "embed_tokens", "token_embd", &[vocab_size, n_embd]);
    list.weight(Slot::OutputNorm, "norm", "output_norm", &[n_embd]);
    if !config.tied {
        list.weight(Slot::Output, "lm_head", "output", &[vocab_size, n_embd]);
    }
    list.done()
}

pub(super) fn layer_tensors(config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
    let mut list = TensorList::layer_tensors("layers", index);
    list.weight(Slot::AttentionNorm, "input_layernorm", "attn_norm", &[config.n_embd]);
    list.weight(Slot::FeedForwardNorm, "post_attention_layernorm", "ffn_norm", &[config.n_embd]);
    head_norms(&mut list, config, index);
    matrices(&mut list, config, index);
    list.done()
}

/// The norms of queries and keys, where there are any.
pub(super) fn head_norms(list: &mut TensorList, config: &ModelConfig, index: usize) {
    let Some(attention) = config.layers[index].attention() else { return };
    let [q, k] = match attention.qk_norm {
        None => return,
        Some(QkNorm::Head) => [attention.heads.head_dim; 2],
        Some(QkNorm::Token) => [attention.heads.q_width(), attention.heads.kv_width()],
    };
    list.weight(Slot::QueryNorm, "self_attn.q_norm", "attn_q_norm", &[q]);
    list.weight(Slot::KeyNorm, "self_attn.k_norm", "attn_k_norm", &[k]);
}

/// The matrices of a layer, under the names that most families give them.
pub(super) fn matrices(list: &mut TensorList, config: &ModelConfig, index: usize) {
    let LayerConfig { mixer, feed_forward, .. } = &config.layers[index];
    match mixer {
        MixerConfig::Attention(attention) => attention_matrices(list, config, attention),
        // Their families name what they have.
        MixerConfig::DeltaNet(_) | MixerConfig::ShortConv(_) => {}
    }
    match feed_forward {
        FeedForwardConfig::Dense(dense) => feed_forward_steps(list, dense, config.n_embd),
        FeedForwardConfig::Experts(experts) => {
            experts::tensors(list, experts, config.n_embd, config.family.expert_names());
        }
    }
}

/// The matrices of attention.
pub(super) fn attention_matrices(list: &mut TensorList, config: &ModelConfig, attention: &AttentionConfig) {
    let (embd, heads) = (config.n_embd, attention.heads);
    let (q, kv) = (heads.q_width(), heads.kv_width());
    let turned = |heads| match config.family.gguf_rope_style() {
        RopeStyle::Interleaved => Stored::InHalves { heads },
        RopeStyle::Half => Stored::Same,
    };
    let (queries, keys) = (turned(heads.n_head), turned(heads.n_kv_head));
    let (qkv, out) = (attention.qkv_bias, attention.out_bias);
    let q_and_gates = if attention.has_gate { 2 * q } else { q };
    list.weight(Slot::QueriesKeysValues, "self_attn.q_proj", "attn_q", &[q_and_gates, embd]).stored(queries).bias(qkv);
    list.weight(Slot::QueriesKeysValues, "self_attn.k_proj", "attn_k", &[kv, embd]).stored(keys).bias(qkv);
    list.weight(Slot::QueriesKeysValues, "self_attn.v_proj", "attn_v", &[kv, embd]).bias(qkv);
    list.weight(Slot::AttentionOut, "self_attn.o_proj", "attn_output", &[embd, q]).bias(out);
}

/// The two steps of a feed-forward part.
pub(super) fn feed_forward_steps(list: &mut TensorList, dense: &DenseConfig, embd: usize) {
    let ff = dense.n_ff;
    let [gate, up] = ["gate", "up"].map(|name| (Slot::FeedForwardIn, name, [ff, embd]));
    let down = (Slot::FeedForwardOut, "down", [embd, ff]);
    for (slot, name, shape) in [gate, up, down].into_iter().skip(usize::from(!dense.is_gated)) {
        list.weight(slot, &format!("mlp.{name}_proj"), &format!("ffn_{name}"), &shape).bias(dense.bias);
    }
}

/// The keys of a GGUF file.
pub(super) fn put_gguf_keys(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    gguf::put_sizes(writer, config);
    if let Some(heads) = config.first_heads() {
        writer.sizes(&[
            ("attention.head_count_kv", heads.n_kv_head),
            ("attention.key_length", heads.head_dim),
            ("attention.value_length", heads.head_dim),
            ("rope.dimension_count", config.ropes.first().map_or(heads.head_dim, |rope| rope.turned(heads.head_dim))),
        ]);
    }
    writer.sizes(&[("vocab_size", config.vocab_size)]);
    let window = config.attentions().find_map(|attention| attention.window);
    if let Some(positions) = window {
        writer.sizes(&[("attention.sliding_window", positions)]);
    }
    if let Some(rope) = config.ropes.first() {
        rope::put_theta(writer, rope);
        writer.number("attention.layer_norm_rms_epsilon", config.norm.eps);
        rope::put_scaling(writer, rope);
    }
}

/// Biases, of a family in whose files llama.cpp knows of none.
pub(super) fn gguf_lacks_biases(config: &ModelConfig) -> Option<&'static str> {
    let has_biases = |layer: &LayerConfig| {
        layer.feed_forward.unit().bias || layer.attention().is_some_and(|it| it.qkv_bias || it.out_bias)
    };
    config.layers.iter().any(has_biases).then_some("that matrices have biases (`attention_bias`, `mlp_bias`)")
}

/// What GGUF has no key for.
pub(super) fn gguf_lacks(config: &ModelConfig) -> Option<&'static str> {
    let first = config.attentions().next()?.window;
    let is_mixed = config.attentions().any(|attention| attention.window != first);
    is_mixed.then_some("a sliding window in some layers only (`layer_types`, `max_window_layers`)")
}
