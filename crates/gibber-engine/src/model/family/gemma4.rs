//! The text part of Gemma 4 (Google DeepMind 2026): heads of two sizes, scores that are not scaled, values that are normalized,
//! keys and values that late layers share, and what each layer is told of a token beside the residual stream.

use serde_json::Value;

use super::{Family, experts, gemma2, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    AttentionConfig, DenseConfig, ExpertsConfig, FeedForwardConfig, HeadSizes, LayerConfig, ModelConfig, NormConfig,
    NormKind, Part, PerLayerConfig, Piece, QkNorm, RopeConfig, RopeScaling, RopeStyle, RouterConfig,
    SharedExpertConfig, Sizes, Slice, Slot, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Gemma4;

/// Every so many layers one sees all that came before, where nothing else is said.
const USUAL_PERIOD: usize = 6;
/// How many positions a window has, where nothing else is said.
const USUAL_WINDOW: usize = 512;
/// Width of a head in layers without a window, where nothing else is said.
const USUAL_GLOBAL_HEAD: usize = 512;
/// Bases of the frequencies in layers without a window and with one, where nothing else is said.
const USUAL_THETAS: [f64; 2] = [1e6, 10_000.0];
/// The share of pairs that are turned in layers without a window, where nothing is said of the rotation.
const USUAL_SHARE: f64 = 0.25;

/// What is said of the layers, beside the sizes.
struct Shape {
    sizes: Sizes,
    /// Of each layer, the window.
    windows: Vec<Option<usize>>,
    /// Of each layer.
    heads: Vec<HeadSizes>,
    /// Of each layer, the width of its feed-forward part.
    n_ff: Vec<usize>,
    /// How many layers at the end use the keys and values of others.
    n_shared: usize,
    /// Whether the values of layers without a window are their keys.
    values_are_keys: bool,
    /// Those beside the feed-forward part, if there are any: how many, how many of them are chosen, and how wide they are.
    experts: Option<[usize; 3]>,
    /// Whether each layer ends with a number of its own.
    has_scale: bool,
}

impl Family for Gemma4 {
    fn name(&self) -> &'static str {
        "gemma4"
    }

    fn is_called(&self, name: &str) -> bool {
        name == "gemma4_text"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        json.require_one_of("hidden_activation", &["gelu_pytorch_tanh"])?;
        json.require_one_of("use_bidirectional_attention", &["vision"])?;
        json.require_bool("attention_bias", false)?;
        let shape = Shape::from_json(json)?;
        let width = json.size("hidden_size_per_layer_input")?.unwrap_or(256);
        let rows = json.size("vocab_size_per_layer_input")?.unwrap_or(262_144);
        let told = Some(PerLayerConfig { width, vocab_size: rows }).filter(|told| told.width > 0);
        let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-6) as f32;
        let config = ModelConfig {
            ropes: ropes_from_json(json, shape.sizes.trained_context)?.into(),
            logits_softcap: gemma2::cap_from_json(json, "final_logit_softcapping", None)?,
            tied: json.bool("tie_word_embeddings")?.unwrap_or(true),
            ..ModelConfig::plain(&Self, &shape.sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        };
        shape.config(json.path(), config, told)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let shape = Shape::from_gguf(keys)?;
        let width = keys.optional_size("embedding_length_per_layer_input")?.unwrap_or(0);
        let rows =
            |_| Ok::<_, EngineError>(keys.weights().find(PER_LAYER_TABLE)?.shape().first().copied().unwrap_or(0));
        let told = Some(width).filter(|&width| width > 0);
        let told = told.map(|width| Ok::<_, EngineError>(PerLayerConfig { width, vocab_size: rows(width)? }));
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        let global = shape.heads.iter().zip(&shape.windows).find(|(_, window)| window.is_none());
        let global = global.map_or(shape.sizes.head_dim, |(heads, _)| heads.head_dim);
        let local = keys.number("rope.freq_base_swa", Bound::AboveZero)?.unwrap_or(USUAL_THETAS[1]) as f32;
        let config = ModelConfig {
            ropes: vec![
                rope::from_gguf(keys, global, self.gguf_rope_style())?,
                RopeConfig::plain(local, self.gguf_rope_style()),
            ],
            logits_softcap: keys
                .number("final_logit_softcapping", Bound::Zero)?
                .filter(|&cap| cap > 0.0)
                .map(|cap| cap as f32),
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &shape.sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        };
        shape.config(keys.path(), config, told.transpose()?)
    }

    fn is_left_over(&self, config: &ModelConfig, name: &str) -> bool {
        is_unused_projection(config, name)
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        layer_tensors(config, index)
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        put_gguf_keys(writer, config);
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        matches!(scaling, RopeScaling::Proportional { .. })
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        if config.attentions().all(|attention| attention.window.is_none()) {
            return Some("that no layer has a window (`layer_types`)");
        }
        if config.logits_softcap.is_none() {
            return Some("that logits are not capped (`final_logit_softcapping`)");
        }
        if config.per_layer_input.is_some_and(|told| told.vocab_size != config.vocab_size) {
            return Some("another vocabulary for what layers are told (`vocab_size_per_layer_input`)");
        }
        // llama.cpp asks for the tensor that says so.
        let is_known = |rope: &RopeConfig| matches!(rope.scaling, RopeScaling::Proportional { .. });
        if !config.ropes.first().is_none_or(is_known) {
            return Some("how the rotation of the layers without a window is scaled, unless it is `proportional`");
        }
        let is_plain = |rope: &RopeConfig| rope.scaling == RopeScaling::None;
        let is_plain = config.ropes.get(1).is_none_or(is_plain);
        (!is_plain).then_some("how the rotation of the layers with a window is scaled")
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        random_e2b().map(|config| ("gemma4-e2b", config)).into_iter().collect()
    }
}

/// Whether `name` is a projection of a layer that uses those of another: published files have them.
pub(super) fn is_unused_projection(config: &ModelConfig, name: &str) -> bool {
    let layers = ["layers.", "blk."];
    let rest = layers.iter().find_map(|layers| name.strip_prefix(layers)).and_then(|rest| rest.split_once('.'));
    let Some((index, part)) = rest else { return false };
    let layer = index.parse().ok().and_then(|index: usize| config.layers.get(index)?.attention());
    let is_shared = layer.is_some_and(|attention| attention.shares.is_some());
    let part = part.trim_start_matches("self_attn.").trim_end_matches(".weight");
    let unused = ["k_proj", "v_proj", "k_norm", "v_norm", "attn_k", "attn_v", "attn_k_norm"];
    is_shared && unused.contains(&part)
}

/// The tensors that are there once.
pub(super) fn global_tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let mut specs = llama::global_tensors(config);
    if let Some(told) = config.per_layer_input {
        let all = config.n_layer() * told.width;
        let mut list = TensorList::global_tensors();
        let (table, projection) = ("embed_tokens_per_layer", "per_layer_model_projection");
        list.weight(Slot::PerLayerEmbedding, table, "per_layer_token_embd", &[told.vocab_size, all]);
        list.weight(Slot::PerLayerProjection, projection, "per_layer_model_proj", &[all, config.n_embd]);
        let norm = ("per_layer_projection_norm", "per_layer_proj_norm");
        list.weight(Slot::PerLayerProjectionNorm, norm.0, norm.1, &[told.width]);
        specs.extend(list.done());
    }
    specs
}

/// The tensors of layer `index`.
pub(super) fn layer_tensors(config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
    let mut list = TensorList::layer_tensors("layers", index);
    let (layer, embd) = (&config.layers[index], config.n_embd);
    for (slot, hugging_face, gguf) in [
        (Slot::AttentionNorm, "input_layernorm", "attn_norm"),
        (Slot::AttentionPostNorm, "post_attention_layernorm", "post_attention_norm"),
        (Slot::FeedForwardNorm, "pre_feedforward_layernorm", "ffn_norm"),
        (Slot::FeedForwardPostNorm, "post_feedforward_layernorm", "post_ffw_norm"),
    ] {
        list.weight(slot, hugging_face, gguf, &[embd]);
    }
    if let Some(attention) = layer.attention() {
        attention_tensors(&mut list, attention, embd);
    }
    match &layer.feed_forward {
        FeedForwardConfig::Dense(dense) => llama::feed_forward_steps(&mut list, dense, embd),
        FeedForwardConfig::Experts(experts) => expert_tensors(&mut list, experts, embd),
    }
    if let Some(told) = config.per_layer_input {
        list.weight(Slot::PerLayerGate, "per_layer_input_gate", "inp_gate", &[told.width, embd]);
        list.weight(Slot::PerLayerOut, "per_layer_projection", "proj", &[embd, told.width]);
        list.weight(Slot::PerLayerPostNorm, "post_per_layer_input_norm", "post_norm", &[embd]);
    }
    if layer.has_scale {
        list.weight(Slot::LayerScale, "layer_scalar", "layer_output_scale", &[1]).bare();
    }
    list.done()
}

/// Writes the keys of a GGUF file.
pub(super) fn put_gguf_keys(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    let of_layers = |of: fn(&LayerConfig) -> usize| config.layers.iter().map(of).collect::<Vec<_>>();
    let width_of = |has_window: bool| {
        let mut attentions = config.attentions().filter(|attention| attention.window.is_some() == has_window);
        attentions.next().or(config.attentions().next()).map_or(0, |attention| attention.heads.head_dim)
    };
    writer.sizes(&[
        ("block_count", config.n_layer()),
        ("context_length", config.trained_context),
        ("embedding_length", config.n_embd),
        ("attention.head_count", config.first_heads().map_or(0, |heads| heads.n_head)),
        ("attention.key_length", width_of(false)),
        ("attention.value_length", width_of(false)),
        ("attention.key_length_swa", width_of(true)),
        ("attention.value_length_swa", width_of(true)),
        ("rope.dimension_count", width_of(false)),
        ("rope.dimension_count_swa", width_of(true)),
        ("attention.sliding_window", config.attentions().find_map(|attention| attention.window).unwrap_or(0)),
        ("attention.shared_kv_layers", config.attentions().filter(|attention| attention.shares.is_some()).count()),
        ("embedding_length_per_layer_input", config.per_layer_input.map_or(0, |told| told.width)),
        ("vocab_size", config.vocab_size),
    ]);
    writer.size_list("feed_forward_length", &of_layers(|layer| dense_width(&layer.feed_forward)));
    experts::put_sizes(writer, config);
    let kv = of_layers(|layer| layer.attention().map_or(0, |attention| attention.heads.n_kv_head));
    writer.size_list("attention.head_count_kv", &kv);
    let windows: Vec<bool> = config.layers.iter().map(|layer| layer.window().is_some()).collect();
    writer.layer_bools("attention.sliding_window_pattern", &windows);
    for (rope, key) in config.ropes.iter().zip(["rope.freq_base", "rope.freq_base_swa"]) {
        writer.number(key, rope.theta);
    }
    writer.number("attention.layer_norm_rms_epsilon", config.norm.eps);
    if let Some(cap) = config.logits_softcap {
        writer.number("final_logit_softcapping", cap);
    }
}

/// The shape of E2B. The table of what layers are told has fewer rows than the vocabulary, which changes nothing of the speed:
/// a token reads one.
fn random_e2b() -> Option<ModelConfig> {
    let sizes = Sizes { head_dim: 256, ..Sizes::of([35, 8, 1, 1536, 6144, 262_144, 131_072]) };
    let windows: Vec<_> =
        (0..sizes.n_layer).map(|layer| Some(512).filter(|_| !(layer + 1).is_multiple_of(5))).collect();
    let heads = windows.iter().map(|window| match window {
        Some(_) => sizes.heads(),
        None => HeadSizes { head_dim: USUAL_GLOBAL_HEAD, ..sizes.heads() },
    });
    let n_ff = (0..sizes.n_layer).map(|layer| if layer < 15 { sizes.n_ff } else { 2 * sizes.n_ff });
    let (heads, n_ff) = (heads.collect(), n_ff.collect());
    let shape =
        Shape { sizes, windows, heads, n_ff, n_shared: 20, values_are_keys: false, experts: None, has_scale: true };
    let scaling = RopeScaling::Proportional { share: USUAL_SHARE, factor: 1.0 };
    let [full, local] = USUAL_THETAS.map(|theta| RopeConfig::plain(theta as f32, RopeStyle::Half));
    let config = ModelConfig {
        ropes: vec![RopeConfig { scaling, ..full }, local],
        logits_softcap: Some(30.0),
        tied: true,
        ..ModelConfig::plain(&Gemma4, &sizes, NormConfig { kind: NormKind::RmsNorm, eps: 1e-6 })
    };
    shape.config(std::path::Path::new("gemma4-e2b"), config, Some(PerLayerConfig { width: 256, vocab_size: 4096 })).ok()
}

/// What GGUF files call the table of what layers are told.
pub(super) const PER_LAYER_TABLE: &str = "per_layer_token_embd.weight";

/// Width of the part that every token goes through.
fn dense_width(feed_forward: &FeedForwardConfig) -> usize {
    match feed_forward {
        FeedForwardConfig::Dense(dense) => dense.n_ff,
        FeedForwardConfig::Experts(experts) => experts.shared.map_or(0, |shared| shared.dense.n_ff),
    }
}

/// What every token goes through, beside it experts, and their norms.
fn expert_tensors(list: &mut TensorList, experts: &ExpertsConfig, embd: usize) {
    let ExpertsConfig { n_expert, expert: DenseConfig { n_ff, .. }, shared, .. } = *experts;
    for (slot, hugging_face, gguf) in [
        (Slot::ExpertsNorm, "pre_feedforward_layernorm_2", "pre_ffw_norm_2"),
        (Slot::SharedExpertPostNorm, "post_feedforward_layernorm_1", "post_ffw_norm_1"),
        (Slot::ExpertsPostNorm, "post_feedforward_layernorm_2", "post_ffw_norm_2"),
    ] {
        list.weight(slot, hugging_face, gguf, &[embd]);
    }
    list.weight(Slot::Router, "router.proj", "ffn_gate_inp", &[n_expert, embd]);
    let named = |list: &mut TensorList, slot, names: [&str; 2], size| {
        list.named(slot, Part::Weight, names, &[size]);
    };
    named(list, Slot::RouterNorm, ["router.scale", "ffn_gate_inp.scale"], embd);
    named(list, Slot::ExpertScale, ["router.per_expert_scale", "ffn_down_exps.scale"], n_expert);
    for index in 0..n_expert {
        let slice = Slice { index, of: n_expert };
        for (slot, fused, gguf, shape) in [
            (Slot::FeedForwardIn, "experts.gate_up_proj", "ffn_gate_up_exps", [2 * n_ff, embd]),
            (Slot::FeedForwardOut, "experts.down_proj", "ffn_down_exps", [embd, n_ff]),
        ] {
            let piece = Piece { slice, first: 0, step: 1, times: 1, is_transposed: false };
            let one = format!("experts.{index}.{}", fused.trim_start_matches("experts."));
            list.weight(slot, &one, gguf, &shape).slice(index, n_expert).otherwise((fused, None), Some(piece));
        }
    }
    let Some(SharedExpertConfig { dense, .. }) = shared else { return };
    for (slot, hugging_face, gguf, shape) in [
        (Slot::SharedExpertIn, "mlp.gate_proj", "ffn_gate", [dense.n_ff, embd]),
        (Slot::SharedExpertIn, "mlp.up_proj", "ffn_up", [dense.n_ff, embd]),
        (Slot::SharedExpertOut, "mlp.down_proj", "ffn_down", [embd, dense.n_ff]),
    ] {
        list.weight(slot, hugging_face, gguf, &shape);
    }
}

fn attention_tensors(list: &mut TensorList, attention: &AttentionConfig, embd: usize) {
    let (heads, own) = (attention.heads, attention.shares.is_none());
    let (q, kv) = (heads.q_width(), heads.kv_width());
    list.weight(Slot::QueryNorm, "self_attn.q_norm", "attn_q_norm", &[heads.head_dim]);
    if own {
        list.weight(Slot::KeyNorm, "self_attn.k_norm", "attn_k_norm", &[heads.head_dim]);
    }
    list.weight(Slot::QueriesKeysValues, "self_attn.q_proj", "attn_q", &[q, embd]);
    if own {
        list.weight(Slot::QueriesKeysValues, "self_attn.k_proj", "attn_k", &[kv, embd]);
    }
    if own && !attention.values_are_keys {
        list.weight(Slot::QueriesKeysValues, "self_attn.v_proj", "attn_v", &[kv, embd]);
    }
    list.weight(Slot::AttentionOut, "self_attn.o_proj", "attn_output", &[embd, q]);
}

impl Shape {
    fn from_json(json: &JsonFile) -> Result<Self, EngineError> {
        let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
        let sizes = Sizes {
            n_layer: size("num_hidden_layers", 30)?,
            n_head: size("num_attention_heads", 8)?,
            n_kv_head: size("num_key_value_heads", 4)?,
            head_dim: size("head_dim", 256)?,
            n_embd: size("hidden_size", 2304)?,
            n_ff: size("intermediate_size", 9216)?,
            vocab_size: size("vocab_size", 262_144)?,
            trained_context: size("max_position_embeddings", 131_072)?,
        };
        let is_local = |layer: usize| !(layer + 1).is_multiple_of(USUAL_PERIOD);
        let windows = layer_types::windows(json, sizes.n_layer, Some(USUAL_WINDOW), is_local)?;
        // The last one sees everything, whatever is said.
        let window = |layer| if layer + 1 == sizes.n_layer { None } else { windows(layer) };
        sizes.bounded(json.path())?;
        let windows: Vec<_> = (0..sizes.n_layer).map(window).collect();
        let values_are_keys = json.bool("attention_k_eq_v")?.unwrap_or(false);
        let n_shared = size("num_kv_shared_layers", 0)?;
        let is_double = json.bool("use_double_wide_mlp")?.unwrap_or(false);
        let first_shared = sizes.n_layer.saturating_sub(n_shared);
        let n_ff = (0..sizes.n_layer).map(|layer| match is_double && layer >= first_shared {
            true => sizes.n_ff.saturating_mul(2),
            false => sizes.n_ff,
        });
        let experts = json.bool("enable_moe_block")?.unwrap_or(false).then(|| {
            let count = |key| json.required(key);
            Ok::<_, EngineError>([count("num_experts")?, count("top_k_experts")?, count("moe_intermediate_size")?])
        });
        Ok(Self {
            experts: experts.transpose()?,
            has_scale: true,
            heads: heads_from_json(json, &sizes, &windows, values_are_keys)?,
            n_ff: n_ff.collect(),
            sizes,
            windows,
            n_shared,
            values_are_keys,
        })
    }

    fn from_gguf(keys: &GgufKeys<'_>) -> Result<Self, EngineError> {
        let n_layer = keys.size("block_count")?;
        let global = keys.size("attention.key_length")?;
        let sizes = Sizes {
            n_layer,
            n_head: keys.size("attention.head_count")?,
            n_kv_head: 1,
            head_dim: keys.optional_size("attention.key_length_swa")?.unwrap_or(global),
            n_embd: keys.size("embedding_length")?,
            n_ff: 1,
            vocab_size: keys.vocabulary()?,
            trained_context: keys.size("context_length")?,
        };
        sizes.bounded(keys.path())?;
        let window = keys.window()?;
        let pattern = keys.bools("attention.sliding_window_pattern", n_layer)?;
        let is_local = |layer: usize| match &pattern {
            Some(pattern) => pattern[layer],
            None => !(layer + 1).is_multiple_of(USUAL_PERIOD),
        };
        let windows: Vec<_> = (0..n_layer).map(|layer| window.filter(|_| is_local(layer))).collect();
        let missing = |key: &str| keys.missing(key);
        let kv = keys.optional_sizes("attention.head_count_kv", n_layer)?;
        let kv = kv.ok_or_else(|| missing("attention.head_count_kv"))?;
        let n_ff = keys.optional_sizes("feed_forward_length", n_layer)?;
        let heads = windows.iter().zip(kv).map(|(window, n_kv_head)| HeadSizes {
            n_head: sizes.n_head,
            n_kv_head,
            head_dim: if window.is_some() { sizes.head_dim } else { global },
        });
        let count = keys.optional_size("expert_count")?.filter(|&count| count > 0);
        let experts = count.map(|count| {
            Ok::<_, EngineError>([count, keys.size("expert_used_count")?, keys.size("expert_feed_forward_length")?])
        });
        let first_global = windows.iter().position(Option::is_none);
        let has_values = |layer| keys.weights().contains(&format!("blk.{layer}.attn_v.weight"));
        Ok(Self {
            experts: experts.transpose()?,
            has_scale: keys.layers_have("layer_output_scale.weight"),
            heads: heads.collect(),
            n_ff: n_ff.ok_or_else(|| missing("feed_forward_length"))?,
            n_shared: keys.optional_size("attention.shared_kv_layers")?.unwrap_or(0),
            values_are_keys: first_global.is_some_and(|layer| !has_values(layer)),
            sizes,
            windows,
        })
    }

    /// `config`, with the layers.
    fn config(
        &self,
        path: &std::path::Path,
        config: ModelConfig,
        told: Option<PerLayerConfig>,
    ) -> Result<ModelConfig, EngineError> {
        let sources = sources(path, &self.windows, self.n_shared)?;
        let layer = |index: usize| {
            let window = self.windows[index];
            let heads = self.heads[index];
            let attention = AttentionConfig {
                window,
                rope: Some(usize::from(window.is_some())),
                scale: 1.0,
                qk_norm: Some(QkNorm::Head),
                v_norm: true,
                values_are_keys: self.values_are_keys && window.is_none(),
                shares: sources[index],
                ..AttentionConfig::full(heads)
            };
            let sizes = Sizes { n_ff: self.n_ff[index], ..self.sizes };
            let layer = LayerConfig { has_scale: self.has_scale, ..gemma2::layer(&sizes, attention) };
            match self.experts {
                Some(experts) => LayerConfig { feed_forward: beside(*layer.feed_forward.unit(), experts), ..layer },
                None => layer,
            }
        };
        Ok(ModelConfig {
            layers: self.sizes.layers(path, layer)?,
            embedding_scale: (self.sizes.n_embd as f32).sqrt(),
            per_layer_input: told,
            ..config
        })
    }
}

/// Of each layer, the one whose keys and values it uses: of the last `n_shared` that is the last before them of their kind.
///
/// # Errors
/// Where there is none; `path` is named.
pub(super) fn sources(
    path: &std::path::Path,
    windows: &[Option<usize>],
    n_shared: usize,
) -> Result<Vec<Option<usize>>, EngineError> {
    let first_shared = windows.len().saturating_sub(n_shared);
    let source = |layer: usize| {
        if layer < first_shared {
            return Ok(None);
        }
        let is_alike = |other: &usize| windows[*other].is_some() == windows[layer].is_some();
        let found = (0..first_shared).rev().find(is_alike);
        found.map(Some).ok_or_else(|| {
            let reason = format!("of its {n_shared} last layers some have no other of their kind to share with");
            EngineError::format(path, reason)
        })
    };
    (0..windows.len()).map(source).collect()
}

/// What every token goes through, and beside it experts that are chosen.
fn beside(dense: DenseConfig, [n_expert, n_used, n_ff]: [usize; 3]) -> FeedForwardConfig {
    FeedForwardConfig::Experts(ExpertsConfig {
        n_expert,
        n_used,
        expert: DenseConfig { n_ff, ..dense },
        router: RouterConfig { expert_scales: true, ..RouterConfig::softmax(true) },
        shared: Some(SharedExpertConfig { dense, is_gated: false }),
        has_norms: true,
    })
}

/// The heads of each layer: what `per_layer_config` says of it, or, before that, those of layers without a window.
fn heads_from_json(
    json: &JsonFile,
    sizes: &Sizes,
    windows: &[Option<usize>],
    values_are_keys: bool,
) -> Result<Vec<HeadSizes>, EngineError> {
    let global = json.size("global_head_dim")?.unwrap_or(USUAL_GLOBAL_HEAD);
    let global_kv = json.size("num_global_key_value_heads")?.filter(|_| values_are_keys).unwrap_or(sizes.n_kv_head);
    let overrides = json.section("per_layer_config")?;
    let of_layer = |(index, window): (usize, &Option<usize>)| {
        let Some(overrides) = &overrides else {
            let heads = HeadSizes { head_dim: global, n_kv_head: global_kv, ..sizes.heads() };
            return Ok(if window.is_some() { sizes.heads() } else { heads });
        };
        let Some(own) = overrides.get(&index.to_string()) else { return Ok(sizes.heads()) };
        let number = |key: &str, usual: usize| match own.get(key) {
            None | Some(Value::Null) => Ok(usual),
            Some(value) => value.as_u64().and_then(|size| usize::try_from(size).ok()).ok_or_else(|| {
                let key = format!("per_layer_config.{index}.{key}");
                json.unsupported(&key, &value.to_string(), "a size")
            }),
        };
        Ok(HeadSizes {
            n_head: number("num_attention_heads", sizes.n_head)?,
            n_kv_head: number("num_key_value_heads", sizes.n_kv_head)?,
            head_dim: number("head_dim", sizes.head_dim)?,
        })
    };
    windows.iter().enumerate().map(of_layer).collect()
}

/// The rotations of the layers without a window and with one.
fn ropes_from_json(json: &JsonFile, trained_context: usize) -> Result<[RopeConfig; 2], EngineError> {
    if json.get("rope_parameters").is_none() {
        let scaling = RopeScaling::Proportional { share: USUAL_SHARE, factor: 1.0 };
        let full = RopeConfig { scaling, ..RopeConfig::plain(USUAL_THETAS[0] as f32, RopeStyle::Half) };
        return Ok([full, RopeConfig::plain(USUAL_THETAS[1] as f32, RopeStyle::Half)]);
    }
    let rotation = |kind, theta| rope::of_layer_type(json, kind, theta, trained_context);
    Ok([rotation("full_attention", USUAL_THETAS[0])?, rotation("sliding_attention", USUAL_THETAS[1])?])
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_parity, assert_same, fixture, tensors_of, write_tensors};

    #[test]
    fn two_head_sizes_shared_keys_and_values_and_what_layers_are_told() {
        assert_parity("variant-gemma4");
    }

    #[test]
    fn the_table_of_what_layers_are_told_is_not_held() {
        use crate::load::{ModelSource, open};

        let files = open(&ModelSource::Path(fixture("variant-gemma4"))).unwrap();
        // 512 rows for five layers of six values each.
        assert_eq!(files.weights.total_bytes() - files.held_bytes(), 512 * 5 * 6 * 4);
        let files = open(&ModelSource::Path(fixture("variant-gemma4-keys"))).unwrap();
        assert_eq!(files.weights.total_bytes(), files.held_bytes());
    }

    #[test]
    fn projections_of_layers_that_use_those_of_others_are_left_over() {
        let (name, folder) = ("variant-gemma4", tempfile::tempdir().unwrap());
        for file in ["config.json", "vocab.json", "merges.txt"] {
            std::fs::copy(fixture(name).join(file), folder.path().join(file)).unwrap();
        }
        let mut tensors = tensors_of(name);
        for part in ["k_proj", "v_proj", "k_norm"] {
            tensors.push((format!("model.layers.4.self_attn.{part}.weight"), vec![2], vec![0; 8]));
        }
        write_tensors(&folder.path().join("model.safetensors"), &tensors);
        assert_same(name, folder.path());
    }

    #[test]
    fn experts_beside_what_every_token_goes_through() {
        assert_parity("variant-gemma4-experts");
    }

    #[test]
    fn values_that_are_keys_and_nothing_that_layers_are_told() {
        assert_parity("variant-gemma4-keys");
    }
}
