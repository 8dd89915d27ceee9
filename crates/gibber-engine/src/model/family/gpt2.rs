//! GPT-2 (Radford et al. 2019): learned positions, LayerNorm, one matrix for queries, keys and values, no gate in the
//! feed-forward part.

use super::{Family, gguf};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile, share};
use crate::model::{
    Activation, AttentionConfig, DenseConfig, FeedForwardConfig, LayerConfig, ModelConfig, NormConfig, NormKind,
    Prefix, Sizes, Slot, Stored, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Gpt2;

/// The published sizes, and two small ones.
const SHAPES: [(&str, [usize; 7]); 7] = [
    ("tiny", [2, 4, 4, 64, 256, 512, 128]),
    ("bench", [2, 12, 12, 768, 3072, 8192, 1024]),
    ("distilgpt2", [6, 12, 12, 768, 3072, 50_257, 1024]),
    ("gpt2", [12, 12, 12, 768, 3072, 50_257, 1024]),
    ("gpt2-medium", [24, 16, 16, 1024, 4096, 50_257, 1024]),
    ("gpt2-large", [36, 20, 20, 1280, 5120, 50_257, 1024]),
    ("gpt2-xl", [48, 25, 25, 1600, 6400, 50_257, 1024]),
];

impl Family for Gpt2 {
    fn name(&self) -> &'static str {
        "gpt2"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        json.require_bool("add_cross_attention", false)?;
        let activation = match json.string("activation_function")? {
            None | Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh") => Activation::GeluTanh,
            Some("gelu" | "gelu_python") => Activation::Gelu,
            Some("relu") => Activation::Relu,
            Some(other) => return Err(json.unsupported("activation_function", other, "gelu_new, gelu or relu")),
        };
        // `reorder_and_upcast_attn` says in which precision to compute; here it is single precision always.
        let (n_embd, n_head) = (json.required("n_embd")?, json.required("n_head")?);
        let sizes = Sizes {
            n_layer: json.required("n_layer")?,
            n_head,
            n_kv_head: n_head,
            head_dim: share(json.path(), n_embd, n_head)?,
            n_embd,
            n_ff: json.size("n_inner")?.unwrap_or(n_embd.saturating_mul(4)),
            vocab_size: json.required("vocab_size")?,
            trained_context: match json.size("n_positions")? {
                Some(positions) => positions,
                None => json.required("n_ctx")?,
            },
        };
        let is_by_width = json.bool("scale_attn_weights")?.unwrap_or(true);
        let is_by_layer = json.bool("scale_attn_by_inverse_layer_idx")?.unwrap_or(false);
        let scale = |layer: usize| {
            let by_width = if is_by_width { AttentionConfig::usual_scale(sizes.head_dim) } else { 1.0 };
            if is_by_layer { by_width / (layer + 1) as f32 } else { by_width }
        };
        let layers = sizes.layers(json.path(), |index| layer(&sizes, activation, scale(index)))?;
        let eps = json.number("layer_norm_epsilon", Bound::Zero)?.unwrap_or(1e-5) as f32;
        let tied = json.bool("tie_word_embeddings")?.unwrap_or(true);
        Ok(config(&sizes, layers, eps, tied))
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        gguf::refuse_experts(keys)?;
        if sizes.n_head * sizes.head_dim != sizes.n_embd {
            let reason = format!("embeddings of {} values cannot be split over {} heads", sizes.n_embd, sizes.n_head);
            return Err(EngineError::format(keys.path(), reason));
        }
        let eps = keys.required_number("attention.layer_norm_epsilon", Bound::Zero)? as f32;
        let scale = AttentionConfig::usual_scale(sizes.head_dim);
        let layers = sizes.layers(keys.path(), |_| layer(&sizes, Activation::GeluTanh, scale))?;
        Ok(config(&sizes, layers, eps, keys.is_tied()))
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        let &ModelConfig { n_embd, vocab_size, trained_context, .. } = config;
        let mut list = TensorList::global_tensors();
        list.weight(Slot::Embedding, "wte", "token_embd", &[vocab_size, n_embd]);
        list.weight(Slot::Positions, "wpe", "position_embd", &[trained_context, n_embd]);
        list.weight(Slot::OutputNorm, "ln_f", "output_norm", &[n_embd]).bias(true);
        if !config.tied {
            list.weight(Slot::Output, "lm_head", "output", &[vocab_size, n_embd]);
        }
        list.done()
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let (n_embd, n_ff) = (config.n_embd, config.layers[index].feed_forward.unit().n_ff);
        let mut list = TensorList::layer_tensors("h", index);
        list.weight(Slot::AttentionNorm, "ln_1", "attn_norm", &[n_embd]).bias(true);
        list.weight(Slot::FeedForwardNorm, "ln_2", "ffn_norm", &[n_embd]).bias(true);
        for (slot, hugging_face, gguf, shape) in [
            (Slot::QueriesKeysValues, "attn.c_attn", "attn_qkv", [3 * n_embd, n_embd]),
            (Slot::AttentionOut, "attn.c_proj", "attn_output", [n_embd, n_embd]),
            (Slot::FeedForwardIn, "mlp.c_fc", "ffn_up", [n_ff, n_embd]),
            (Slot::FeedForwardOut, "mlp.c_proj", "ffn_down", [n_embd, n_ff]),
        ] {
            list.weight(slot, hugging_face, gguf, &shape).stored(Stored::Transposed).bias(true);
        }
        list.done()
    }

    fn prefixes(&self) -> &'static [Prefix] {
        &[Prefix { body: "transformer.", head: "" }, Prefix { body: "", head: "" }]
    }

    /// The causal masks are stored as buffers.
    fn is_left_over(&self, _config: &ModelConfig, name: &str) -> bool {
        name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        gguf::put_sizes(writer, config);
        writer.number("attention.layer_norm_epsilon", config.norm.eps);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let is_usual_scale =
            |attention: &AttentionConfig| attention.scale == AttentionConfig::usual_scale(attention.heads.head_dim);
        let is_gelu_tanh = |layer: &LayerConfig| layer.feed_forward.unit().activation == Activation::GeluTanh;
        if !config.layers.iter().all(is_gelu_tanh) {
            Some("its `activation_function`")
        } else if !config.attentions().all(is_usual_scale) {
            Some("how it scales attention (`scale_attn_weights`, `scale_attn_by_inverse_layer_idx`)")
        } else {
            None
        }
    }

    /// It had its pattern before the key had names.
    fn unnamed_pre_tokenizer(&self) -> &'static str {
        "gpt-2"
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let random = |shape| {
            let sizes = Sizes::of(shape);
            let scale = AttentionConfig::usual_scale(sizes.head_dim);
            let layers = (0..sizes.n_layer).map(|_| layer(&sizes, Activation::GeluTanh, scale)).collect();
            config(&sizes, layers, 1e-5, true)
        };
        SHAPES.map(|(name, shape)| (name, random(shape))).into()
    }
}

fn config(sizes: &Sizes, layers: Vec<LayerConfig>, eps: f32, tied: bool) -> ModelConfig {
    let norm = NormConfig { kind: NormKind::LayerNorm, eps };
    ModelConfig { learned_positions: true, layers, tied, ..ModelConfig::plain(&Gpt2, sizes, norm) }
}

fn layer(sizes: &Sizes, activation: Activation, scale: f32) -> LayerConfig {
    let attention = AttentionConfig { scale, qkv_bias: true, out_bias: true, ..AttentionConfig::full(sizes.heads()) };
    let dense = DenseConfig { n_ff: sizes.n_ff, activation, is_gated: false, bias: true };
    LayerConfig::pre_norm(attention, FeedForwardConfig::Dense(dense))
}
