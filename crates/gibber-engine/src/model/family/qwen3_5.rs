//! Qwen3.5, Qwen3.6 and Qwen3-Next (Qwen Team 2025, 2026): gated delta nets, with attention in every fourth layer that has an
//! output gate and turns a part of each head; dense, or with experts and one beside them that every token goes through.
//!
//! Most see as well: of their repositories the text part alone is read. What predicts several tokens at once (`mtp`) is not
//! used.

use serde_json::Value;

use super::{Family, experts, gguf, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    AttentionConfig, DeltaNetConfig, DenseConfig, ExpertsConfig, FeedForwardConfig, HeadOrder, LayerConfig,
    MixerConfig, ModelConfig, NormConfig, NormKind, Part, QkNorm, RopeConfig, RopeStyle, RouterConfig, Sizes, Slot,
    Stored, TensorList, TensorSpec,
};

/// Dense; see the [module](self).
pub(super) struct Qwen35;
/// With experts.
pub(super) struct Qwen35Moe;
/// With experts, and matrices of the delta nets that are packed head by head.
pub(super) struct Qwen3Next;

/// Every so many layers one has attention, where nothing else is said.
const USUAL_PERIOD: usize = 4;
/// The share of a head that is turned, where nothing else is said.
const USUAL_SHARE: f64 = 0.25;
/// What differs between the three where a configuration says nothing.
struct Usual {
    sizes: Sizes,
    /// How many experts, how many of them a token goes through, how wide they are and how wide the shared one is.
    experts: Option<[usize; 4]>,
}

impl Family for Qwen35 {
    fn name(&self) -> &'static str {
        "qwen3_5"
    }

    fn is_called(&self, name: &str) -> bool {
        matches!(name, "qwen3_5" | "qwen3_5_text")
    }

    fn gguf_name(&self) -> &'static str {
        "qwen35"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = usual_sizes([32, 16, 4, 4096, 12_288, 248_320]);
        config_from_json(&Self, json, &Usual { sizes, experts: None }, false)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        gguf::refuse_experts(keys)?;
        config_from_gguf(&Self, keys, false)
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        layer_tensors(config, index, delta_net_tensors)
    }

    fn is_left_over(&self, config: &ModelConfig, name: &str) -> bool {
        is_left_over(config, name)
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        put_gguf_keys(writer, config);
        put_rope_sections(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        gguf_lacks(config)
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        // Layers, heads, heads of keys and values, width, width of the feed-forward part; heads of keys and of values of the
        // delta nets.
        let shapes = [
            ("qwen3.5-0.8b", [24, 8, 2, 1024, 3584], [16, 16]),
            ("qwen3.5-2b", [24, 8, 2, 2048, 6144], [16, 16]),
            ("qwen3.5-4b", [32, 16, 4, 2560, 9216], [16, 32]),
            ("qwen3.5-9b", [32, 16, 4, 4096, 12_288], [16, 32]),
        ];
        let random = |[n_layer, n_head, n_kv_head, n_embd, n_ff]: [usize; 5], heads: [usize; 2]| {
            let sizes = usual_sizes([n_layer, n_head, n_kv_head, n_embd, n_ff, 248_320]);
            ModelConfig { tied: n_embd < 4096, ..synthetic(&Self, &sizes, heads, None) }
        };
        shapes.map(|(name, shape, heads)| (name, random(shape, heads))).into()
    }
}

impl Family for Qwen35Moe {
    fn name(&self) -> &'static str {
        "qwen3_5_moe"
    }

    fn is_called(&self, name: &str) -> bool {
        matches!(name, "qwen3_5_moe" | "qwen3_5_moe_text")
    }

    fn gguf_name(&self) -> &'static str {
        "qwen35moe"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = usual_sizes([40, 16, 2, 2048, 512, 248_320]);
        config_from_json(&Self, json, &Usual { sizes, experts: Some([256, 8, 512, 512]) }, false)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        config_from_gguf(&Self, keys, false)
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        layer_tensors(config, index, delta_net_tensors)
    }

    fn is_left_over(&self, config: &ModelConfig, name: &str) -> bool {
        is_left_over(config, name)
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
        put_rope_sections(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        experts::gguf_lacks(config, true).or_else(|| gguf_lacks(config))
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = usual_sizes([40, 16, 2, 2048, 512, 248_320]);
        vec![("qwen3.5-35b-a3b", synthetic(&Self, &sizes, [16, 32], Some(with_shared(256, 8, 512, 512, true))))]
    }
}

impl Family for Qwen3Next {
    fn name(&self) -> &'static str {
        "qwen3_next"
    }

    fn gguf_name(&self) -> &'static str {
        "qwen3next"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = usual_sizes([48, 16, 2, 2048, 5632, 151_936]);
        config_from_json(&Self, json, &Usual { sizes, experts: Some([512, 10, 512, 512]) }, true)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        config_from_gguf(&Self, keys, true)
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        layer_tensors(config, index, packed_tensors)
    }

    fn is_left_over(&self, config: &ModelConfig, name: &str) -> bool {
        is_left_over(config, name)
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        experts::gguf_lacks(config, true).or_else(|| gguf_lacks(config))
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = usual_sizes([48, 16, 2, 2048, 5632, 151_936]);
        let config = synthetic(&Self, &sizes, [16, 32], Some(with_shared(512, 10, 512, 512, true)));
        vec![("qwen3-next-80b-a3b", config)]
    }
}

/// Layers, heads, heads of keys and values, width, width of the feed-forward part, vocabulary; the rest is the same for all.
const fn usual_sizes([n_layer, n_head, n_kv_head, n_embd, n_ff, vocab_size]: [usize; 6]) -> Sizes {
    Sizes { n_layer, n_head, n_kv_head, head_dim: 256, n_embd, n_ff, vocab_size, trained_context: 32_768 }
}

fn sizes_from_json(json: &JsonFile, usual: &Sizes) -> Result<Sizes, EngineError> {
    json.require_one_of("hidden_act", &["silu"])?;
    let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
    Ok(Sizes {
        n_layer: size("num_hidden_layers", usual.n_layer)?,
        n_head: size("num_attention_heads", usual.n_head)?,
        n_kv_head: size("num_key_value_heads", usual.n_kv_head)?,
        head_dim: size("head_dim", usual.head_dim)?,
        n_embd: size("hidden_size", usual.n_embd)?,
        n_ff: size("intermediate_size", usual.n_ff)?,
        vocab_size: size("vocab_size", usual.vocab_size)?,
        trained_context: size("max_position_embeddings", usual.trained_context)?,
    })
}

/// The configuration; with experts, where it is usual to have some; the delta nets `by_key_head`, or apart.
fn config_from_json(
    family: &'static dyn Family,
    json: &JsonFile,
    usual: &Usual,
    by_key_head: bool,
) -> Result<ModelConfig, EngineError> {
    let sizes = sizes_from_json(json, &usual.sizes)?;
    let bias = json.bool("attention_bias")?.unwrap_or(false);
    let attention = AttentionConfig { qkv_bias: bias, out_bias: bias, ..attention(&sizes) };
    let net = delta_net_from_json(json, by_key_head)?;
    let has_attention = attention_from_json(json, sizes.n_layer)?;
    let experts = usual.experts.map(|usual| experts_from_json(json, usual, by_key_head)).transpose()?;
    let is_sparse = experts::layers_from_json(json)?;
    let layers = sizes.layers(json.path(), |index| {
        let experts = experts.filter(|_| !by_key_head || is_sparse(index));
        layer(&sizes, if has_attention(index) { MixerConfig::Attention(attention) } else { net.clone() }, experts)
    })?;
    let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-6) as f32;
    let rope = rope::Usual {
        trained_context: sizes.trained_context,
        theta: 10_000.0,
        partial: Some(rope::Partial { head_dim: sizes.head_dim, share: USUAL_SHARE }),
        original_context: None,
    };
    Ok(ModelConfig {
        ropes: vec![rope::from_json_as(json, &rope)?],
        layers,
        tied: json.bool("tie_word_embeddings")?.unwrap_or(false),
        ..ModelConfig::plain(family, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
    })
}

fn delta_net_from_json(json: &JsonFile, by_key_head: bool) -> Result<MixerConfig, EngineError> {
    let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
    Ok(MixerConfig::DeltaNet(DeltaNetConfig {
        n_key_head: size("linear_num_key_heads", 16)?,
        n_value_head: size("linear_num_value_heads", 32)?,
        key_dim: size("linear_key_head_dim", 128)?,
        value_dim: size("linear_value_head_dim", 128)?,
        kernel: size("linear_conv_kernel_dim", 4)?,
        is_tiled: !by_key_head,
        gates_by_key_head: by_key_head,
    }))
}

/// Which layers have attention: those of `layer_types`, or one of `full_attention_interval`.
fn attention_from_json(json: &JsonFile, n_layer: usize) -> Result<impl Fn(usize) -> bool, EngineError> {
    let period = json.size("full_attention_interval")?.unwrap_or(USUAL_PERIOD);
    if period == 0 {
        return Err(json.unsupported("full_attention_interval", "0", "1 or more"));
    }
    let kind = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Some(true),
        Some("linear_attention") => Some(false),
        _ => None,
    };
    let listed = match json.get("layer_types") {
        None => None,
        Some(value) => {
            let list = value.as_array().and_then(|list| list.iter().map(kind).collect::<Option<Vec<_>>>());
            let supported = format!("linear_attention or full_attention for each of {n_layer} layers");
            let list = list.filter(|list| list.len() == n_layer);
            Some(list.ok_or_else(|| json.unsupported("layer_types", &value.to_string(), &supported))?)
        }
    };
    Ok(move |layer: usize| match &listed {
        Some(list) => list.get(layer) == Some(&true),
        None => (layer + 1).is_multiple_of(period),
    })
}

fn experts_from_json(json: &JsonFile, usual: [usize; 4], may_not_add_up: bool) -> Result<ExpertsConfig, EngineError> {
    let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
    let [n_expert, n_used, n_ff, n_shared] = usual;
    let adds_up = if may_not_add_up { json.bool("norm_topk_prob")?.unwrap_or(true) } else { true };
    Ok(with_shared(
        size("num_experts", n_expert)?,
        size("num_experts_per_tok", n_used)?,
        size("moe_intermediate_size", n_ff)?,
        size("shared_expert_intermediate_size", n_shared)?,
        adds_up,
    ))
}

fn with_shared(n_expert: usize, n_used: usize, n_ff: usize, n_shared: usize, adds_up: bool) -> ExpertsConfig {
    let router = RouterConfig::softmax(adds_up);
    ExpertsConfig { shared: Some(experts::gated(n_shared)), ..experts::plain(n_expert, n_used, n_ff, router) }
}

fn attention(sizes: &Sizes) -> AttentionConfig {
    AttentionConfig { qk_norm: Some(QkNorm::Head), has_gate: true, ..llama::attention(sizes) }
}

fn layer(sizes: &Sizes, mixer: MixerConfig, experts: Option<ExpertsConfig>) -> LayerConfig {
    let layer = LayerConfig::mixed_by(mixer, FeedForwardConfig::Dense(DenseConfig::swiglu(sizes.n_ff, false)));
    match experts {
        Some(experts) => experts::with(layer, experts),
        None => layer,
    }
}

fn synthetic(
    family: &'static dyn Family,
    sizes: &Sizes,
    [n_key_head, n_value_head]: [usize; 2],
    experts: Option<ExpertsConfig>,
) -> ModelConfig {
    let by_key_head = family.name() == Qwen3Next.name();
    let net = DeltaNetConfig {
        n_key_head,
        n_value_head,
        key_dim: 128,
        value_dim: 128,
        kernel: 4,
        is_tiled: !by_key_head,
        gates_by_key_head: by_key_head,
    };
    let mixer = |index: usize| match (index + 1).is_multiple_of(USUAL_PERIOD) {
        true => MixerConfig::Attention(attention(sizes)),
        false => MixerConfig::DeltaNet(net),
    };
    let layers = (0..sizes.n_layer).map(|index| layer(sizes, mixer(index), experts)).collect();
    let width = (sizes.head_dim as f64 * USUAL_SHARE) as usize;
    let rope = RopeConfig { width: Some(width), ..RopeConfig::plain(1e7, RopeStyle::Half) };
    let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-6 };
    ModelConfig { ropes: vec![rope], layers, ..ModelConfig::plain(family, sizes, norm) }
}

/// The configuration of a GGUF file. Which layers have attention, their tensors say; the last layers may be what predicts
/// several tokens at once.
fn config_from_gguf(
    family: &'static dyn Family,
    keys: &GgufKeys<'_>,
    by_key_head: bool,
) -> Result<ModelConfig, EngineError> {
    let predicting = keys.optional_size("nextn_predict_layers")?.unwrap_or(0);
    // Files of models that have experts alone say nothing of a width without them.
    let sizes = gguf::sizes_of_partial(keys)?;
    let sizes = Sizes { n_layer: sizes.n_layer.saturating_sub(predicting), ..sizes };
    let experts = experts::from_gguf(keys, sizes.n_ff, true)?;
    let net = delta_net_from_gguf(keys, by_key_head)?;
    let layers = sizes.layers(keys.path(), |index| {
        let is_recurrent = keys.weights().contains(&format!("blk.{index}.ssm_conv1d.weight"));
        let experts = experts.filter(|_| experts::layer_has(keys, index));
        layer(&sizes, if is_recurrent { net.clone() } else { MixerConfig::Attention(attention(&sizes)) }, experts)
    })?;
    let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
    Ok(ModelConfig {
        ropes: vec![rope::from_gguf(keys, sizes.head_dim, RopeStyle::Half)?],
        layers,
        tied: keys.is_tied(),
        ..ModelConfig::plain(family, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
    })
}

fn delta_net_from_gguf(keys: &GgufKeys<'_>, by_key_head: bool) -> Result<MixerConfig, EngineError> {
    let (n_value_head, inner) = (keys.size("ssm.time_step_rank")?, keys.size("ssm.inner_size")?);
    Ok(MixerConfig::DeltaNet(DeltaNetConfig {
        n_key_head: keys.size("ssm.group_count")?,
        n_value_head,
        key_dim: keys.size("ssm.state_size")?,
        value_dim: crate::keys::share(keys.path(), inner, n_value_head)?,
        kernel: keys.size("ssm.conv_kernel")?,
        is_tiled: !by_key_head,
        gates_by_key_head: by_key_head,
    }))
}

fn global_tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let mut specs = llama::global_tensors(config);
    let norms = specs.iter_mut().filter(|spec| spec.slot == Slot::OutputNorm);
    norms.for_each(|norm| norm.stored = Stored::LessOne);
    specs
}

fn layer_tensors(
    config: &ModelConfig,
    index: usize,
    delta_net: fn(&mut TensorList, &DeltaNetConfig, usize),
) -> Vec<TensorSpec> {
    let mut list = TensorList::layer_tensors("layers", index);
    let embd = config.n_embd;
    let mut norm = |slot, hugging_face, gguf, width: usize| {
        list.weight(slot, hugging_face, gguf, &[width]).stored(Stored::LessOne);
    };
    norm(Slot::AttentionNorm, "input_layernorm", "attn_norm", embd);
    norm(Slot::FeedForwardNorm, "post_attention_layernorm", "post_attention_norm", embd);
    match &config.layers[index].mixer {
        MixerConfig::Attention(attention) => {
            norm(Slot::QueryNorm, "self_attn.q_norm", "attn_q_norm", attention.heads.head_dim);
            norm(Slot::KeyNorm, "self_attn.k_norm", "attn_k_norm", attention.heads.head_dim);
        }
        MixerConfig::DeltaNet(net) => {
            delta_net(&mut list, net, embd);
            delta_net_rest(&mut list, net, embd);
        }
        MixerConfig::ShortConv(_) => {}
    }
    llama::matrices(&mut list, config, index);
    list.done()
}

/// How the heads of values stand in Hugging Face's files behind the first `kept` of `of` rows: those that share a head of keys
/// together, where GGUF goes round.
fn tiled(net: &DeltaNetConfig, of: usize, kept: usize) -> Option<HeadOrder> {
    let members = net.n_value_head.checked_div(net.n_key_head).filter(|&members| members > 1 && net.is_tiled)?;
    Some(HeadOrder::tiled(of, kept, net.n_key_head, members))
}

/// What the delta nets of Qwen3.5 read, a matrix for each purpose.
fn delta_net_tensors(list: &mut TensorList, net: &DeltaNetConfig, embd: usize) {
    let (conv, values, heads) = (net.conv_width(), net.value_width(), net.n_value_head);
    for (hugging_face, gguf, rows, kept) in [
        ("linear_attn.in_proj_qkv", "attn_qkv", conv, conv - values),
        ("linear_attn.in_proj_b", "ssm_beta", heads, 0),
        ("linear_attn.in_proj_a", "ssm_alpha", heads, 0),
        ("linear_attn.in_proj_z", "attn_gate", values, 0),
    ] {
        list.weight(Slot::RecurrentIn, hugging_face, gguf, &[rows, embd]).order(tiled(net, rows, kept));
    }
}

/// The same of Qwen3-Next: what one head of keys reads stands together.
fn packed_tensors(list: &mut TensorList, net: &DeltaNetConfig, embd: usize) {
    let (conv, values, key_dim) = (net.conv_width(), net.value_width(), net.key_dim);
    // Of a head of keys.
    let members = values / net.n_key_head.max(1);
    let part = |pieces: &[(usize, usize)]| {
        let (of, heads, pieces) = (conv + values, net.n_key_head, pieces.to_vec());
        Some(HeadOrder { of, are_columns: false, kept: 0, heads, pieces })
    };
    let mixed = [(0, key_dim), (key_dim, key_dim), (2 * key_dim, members)];
    let packed = "linear_attn.in_proj_qkvz";
    list.weight(Slot::RecurrentIn, packed, "attn_qkv", &[conv, embd]).order(part(&mixed));
    list.weight(Slot::RecurrentIn, "linear_attn.in_proj_ba", "ssm_ba", &[2 * net.n_value_head, embd]);
    let gate = [(2 * key_dim + members, members)];
    list.weight(Slot::RecurrentIn, packed, "attn_gate", &[values, embd]).order(part(&gate));
}

/// What is alike.
fn delta_net_rest(list: &mut TensorList, net: &DeltaNetConfig, embd: usize) {
    let (conv, values, heads) = (net.conv_width(), net.value_width(), net.n_value_head);
    list.weight(Slot::Convolution, "linear_attn.conv1d", "ssm_conv1d", &[conv, net.kernel]);
    list.stored(Stored::Convolution).order(tiled(net, conv, conv - values));
    list.named(Slot::Decay, Part::Weight, ["linear_attn.A_log", "ssm_a"], &[heads]);
    list.stored(Stored::Logarithm).order(tiled(net, heads, 0));
    list.named(Slot::DecayBias, Part::Bias, ["linear_attn.dt_bias", "ssm_dt.bias"], &[heads]);
    list.order(tiled(net, heads, 0));
    list.weight(Slot::RecurrentNorm, "linear_attn.norm", "ssm_norm", &[net.value_dim]);
    let columns = tiled(net, values, 0).map(|order| HeadOrder { are_columns: true, ..order });
    list.weight(Slot::RecurrentOut, "linear_attn.out_proj", "ssm_out", &[embd, values]).order(columns);
}

fn is_left_over(config: &ModelConfig, name: &str) -> bool {
    // What predicts several tokens at once: in GGUF it is the layers behind the last.
    let layer = name.strip_prefix("blk.").and_then(|name| name.split('.').next()?.parse::<usize>().ok());
    layer.is_some_and(|layer| layer >= config.n_layer())
        || name.starts_with("mtp.")
        || name.ends_with(".rotary_emb.inv_freq")
}

/// The keys of a GGUF file.
fn put_gguf_keys(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    llama::put_gguf_keys(writer, config);
    if let Some(net) = net_of(config) {
        writer.sizes(&[
            ("ssm.conv_kernel", net.kernel),
            ("ssm.state_size", net.key_dim),
            ("ssm.group_count", net.n_key_head),
            ("ssm.time_step_rank", net.n_value_head),
            ("ssm.inner_size", net.value_width()),
            ("full_attention_interval", period(config)),
        ]);
    }
}

/// How many pairs of a head turn by time, height and width of a picture: of a text all three are its position, but llama.cpp
/// wants them said. Those of the published ones are 11, 11 and 10.
fn put_rope_sections(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    let pairs = config.ropes.first().map_or(0, |rope| rope.turned(config.rope_width(0))) / 2;
    let (height, width) = ((pairs + 1) / 3, pairs / 3);
    writer.size_list("rope.dimension_sections", &[pairs - height - width, height, width, 0]);
}

/// What GGUF has no key for, or llama.cpp no use.
fn gguf_lacks(config: &ModelConfig) -> Option<&'static str> {
    let period = period(config);
    let is_regular =
        |(index, layer): (usize, &LayerConfig)| layer.attention().is_some() == (index + 1).is_multiple_of(period);
    if net_of(config).is_none() || config.first_heads().is_none() || !config.layers.iter().enumerate().all(is_regular) {
        return Some("which layers have attention (`layer_types`)");
    }
    if net_of(config).is_some_and(|net| net.key_dim != net.value_dim) {
        return Some(
            "that keys and values of delta nets differ in width (`linear_key_head_dim`, `linear_value_head_dim`)",
        );
    }
    if config.attentions().any(|attention| attention.qkv_bias) {
        return Some("that attention has biases (`attention_bias`)");
    }
    None
}

/// Up to which layer the first with attention is.
fn period(config: &ModelConfig) -> usize {
    config.layers.iter().position(|layer| layer.attention().is_some()).unwrap_or(config.n_layer()) + 1
}

fn net_of(config: &ModelConfig) -> Option<DeltaNetConfig> {
    config.layers.iter().find_map(|layer| match layer.mixer {
        MixerConfig::DeltaNet(net) => Some(net),
        MixerConfig::Attention(_) | MixerConfig::ShortConv(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Family, Qwen35};
    use crate::model::family::tests::{assert_gguf_refused, assert_parity, assert_same, fixture};

    #[test]
    fn delta_nets_and_attention_with_gates_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-qwen3-5");
    }

    #[test]
    fn experts_beside_one_that_every_token_goes_through() {
        assert_parity("variant-qwen3-5-moe");
    }

    #[test]
    fn matrices_that_are_packed_by_heads_of_keys() {
        assert_parity("variant-qwen3-next");
    }

    #[test]
    fn what_predicts_several_tokens_is_left_alone_in_either_kind_of_file() {
        let (_, config) = Qwen35.synthetic().swap_remove(0);
        for name in
            ["mtp.layers.0.mlp.up_proj.weight", "mtp.fc.weight", "blk.24.nextn.eh_proj.weight", "blk.24.attn_k.weight"]
        {
            assert!(Qwen35.is_left_over(&config, name), "{name}");
        }
        for name in ["blk.23.attn_k.weight", "blk.2.odd.weight", "blk.x.odd.weight", "layers.0.odd.weight"] {
            assert!(!Qwen35.is_left_over(&config, name), "{name}");
        }
    }

    #[test]
    fn published_configurations_that_say_little_are_as_in_transformers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let text = serde_json::json!({"hidden_size": 2560, "num_hidden_layers": 8, "mtp_num_hidden_layers": 1, "rope_parameters":
            {"mrope_interleaved": true, "mrope_section": [11, 11, 10], "rope_type": "default", "rope_theta": 10_000_000}});
        let outer = serde_json::json!({"model_type": "qwen3_5", "text_config": text, "vision_config": {}});
        std::fs::write(&path, outer.to_string()).unwrap();
        let json = crate::keys::JsonFile::read(path).unwrap().unwrap();
        let described = crate::model::family::config_from_json(&json).unwrap();
        assert!(described.unread.is_some_and(|what| what.starts_with("pictures are not read")));
        let config = described.config;
        assert_eq!((config.ropes[0].width, config.ropes[0].theta, config.vocab_size), (Some(64), 1e7, 248_320));
        let attention = (0..8).filter(|&index| config.layers[index].attention().is_some());
        assert_eq!(attention.collect::<Vec<_>>(), [3, 7]);
        let net = super::net_of(&config).unwrap();
        assert_eq!((net.n_key_head, net.n_value_head, net.key_dim, net.kernel), (16, 32, 128, 4));
    }

    #[test]
    fn widths_that_differ_layers_out_of_order_and_biases() {
        assert_same("variant-qwen3-next-odd", &fixture("variant-qwen3-next-odd"));
        assert_gguf_refused("variant-qwen3-next-odd", "which layers have");
    }
}
