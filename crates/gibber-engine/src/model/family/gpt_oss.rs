//! gpt-oss (OpenAI 2025): experts with a clamped gate, a sink in the softmax of each head, a window in every other layer,
//! biases everywhere, YaRN without rounding.

use super::{Family, experts, gguf, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    Activation, AttentionConfig, DenseConfig, ExpertsConfig, FeedForwardConfig, LayerConfig, ModelConfig, NormConfig,
    NormKind, Part, Piece, RopeConfig, RopeScaling, RopeStyle, RouterConfig, Sizes, Slice, Slot, TensorList,
    TensorSpec,
};

/// See the [module](self).
pub(super) struct GptOss;

const USUAL: llama::Usual = llama::Usual { theta: 150_000.0, eps: 1e-5 };
const USUAL_WINDOW: usize = 128;
const USUAL_ALPHA: f64 = 1.702;
const USUAL_LIMIT: f64 = 7.0;
/// Tokens of the context that it was first trained on.
const FIRST_CONTEXT: f64 = 4096.0;
const USUAL_FACTOR: f64 = 32.0;

impl Family for GptOss {
    fn name(&self) -> &'static str {
        "gpt_oss"
    }

    fn gguf_name(&self) -> &'static str {
        "gpt-oss"
    }

    fn reads_quantized(&self, method: &str) -> bool {
        method == "mxfp4"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = sizes_from_json(json)?;
        let number = |key, usual| Ok::<_, EngineError>(json.number(key, Bound::AboveZero)?.unwrap_or(usual) as f32);
        let clamp = Activation::ClampedSwish {
            alpha: number("swiglu_alpha", USUAL_ALPHA)?,
            limit: number("swiglu_limit", USUAL_LIMIT)?,
        };
        let n_expert = json.size("num_local_experts")?.or(json.size("num_experts")?).unwrap_or(128);
        let n_used = json.size("num_experts_per_tok")?.or(json.size("experts_per_token")?).unwrap_or(4);
        let experts = experts_of(n_expert, n_used, sizes.n_ff, clamp);
        let bias = json.bool("attention_bias")?.unwrap_or(true);
        let windows = layer_types::windows(json, sizes.n_layer, Some(USUAL_WINDOW), is_local)?;
        let mut config = llama::config_from_json_or(&Self, json, &sizes, USUAL, |index| {
            layer(&sizes, windows(index), bias, experts)
        })?;
        if rope::said(json).is_none() {
            config.ropes.iter_mut().for_each(|rope| rope.scaling = usual_scaling());
        }
        Ok(config)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes(keys)?;
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        let window = keys.window()?;
        let n_ff = keys.optional_size("expert_feed_forward_length")?.unwrap_or(sizes.n_ff);
        // Files say nothing of the gate.
        let clamp = Activation::ClampedSwish { alpha: USUAL_ALPHA as f32, limit: USUAL_LIMIT as f32 };
        let experts = experts_of(keys.size("expert_count")?, keys.size("expert_used_count")?, n_ff, clamp);
        let bias = keys.layers_have("attn_q.bias");
        let rope = rope::from_gguf(keys, sizes.head_dim, self.gguf_rope_style())?;
        let layer = |index| layer(&sizes, window.filter(|_| is_local(index)), bias, experts);
        Ok(ModelConfig {
            ropes: vec![rope],
            layers: sizes.layers(keys.path(), layer)?,
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut list = TensorList::layer_tensors("layers", index);
        let (layer, embd) = (&config.layers[index], config.n_embd);
        list.weight(Slot::AttentionNorm, "input_layernorm", "attn_norm", &[embd]);
        list.weight(Slot::FeedForwardNorm, "post_attention_layernorm", "post_attention_norm", &[embd]);
        if let Some(attention) = layer.attention() {
            llama::attention_matrices(&mut list, config, attention);
            let names = ["self_attn.sinks", "attn_sinks.weight"];
            list.named(Slot::AttentionSinks, Part::Weight, names, &[attention.heads.n_head]);
        }
        if let Some(experts) = layer.feed_forward.experts() {
            list.weight(Slot::Router, "mlp.router", "ffn_gate_inp", &[experts.n_expert, embd]).bias(true);
            for index in 0..experts.n_expert {
                expert(&mut list, experts.expert.n_ff, embd, Slice { index, of: experts.n_expert });
            }
        }
        list.done()
    }

    fn gguf_rounds_yarn(&self) -> bool {
        false
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let mut windows = config.attentions().map(|attention| attention.window).enumerate();
        let first = config.attentions().next()?.window;
        if !windows.all(|(index, window)| window == first.filter(|_| is_local(index))) || first.is_none() {
            return Some("which layers have a window (`layer_types`)");
        }
        let usual = Activation::ClampedSwish { alpha: USUAL_ALPHA as f32, limit: USUAL_LIMIT as f32 };
        if config.layers.iter().any(|layer| layer.feed_forward.unit().activation != usual) {
            return Some("another gate (`swiglu_alpha`, `swiglu_limit`)");
        }
        if config.attentions().any(|attention| !attention.qkv_bias) {
            return Some("that attention has no biases (`attention_bias`)");
        }
        None
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes {
            n_layer: 24,
            n_head: 64,
            n_kv_head: 8,
            head_dim: 64,
            n_embd: 2880,
            n_ff: 2880,
            vocab_size: 201_088,
            trained_context: 131_072,
        };
        let clamp = Activation::ClampedSwish { alpha: USUAL_ALPHA as f32, limit: USUAL_LIMIT as f32 };
        let experts = experts_of(32, 4, sizes.n_ff, clamp);
        let window = |index| Some(USUAL_WINDOW).filter(|_| is_local(index));
        let rope =
            RopeConfig { theta: USUAL.theta as f32, style: RopeStyle::Half, width: None, scaling: usual_scaling() };
        let config = ModelConfig {
            ropes: vec![rope],
            layers: (0..sizes.n_layer).map(|index| layer(&sizes, window(index), true, experts)).collect(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps: USUAL.eps as f32 })
        };
        vec![("gpt-oss-20b", config)]
    }
}

/// The sizes, of which the class has a default for each.
fn sizes_from_json(json: &JsonFile) -> Result<Sizes, EngineError> {
    json.require_one_of("hidden_act", &["silu"])?;
    let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
    let (n_embd, n_head) = (size("hidden_size", 2880)?, size("num_attention_heads", 64)?);
    let head_dim = match json.is_null("head_dim") {
        true => crate::keys::share(json.path(), n_embd, n_head)?,
        false => size("head_dim", 64)?,
    };
    let n_kv_head = if json.is_null("num_key_value_heads") { n_head } else { size("num_key_value_heads", 8)? };
    Ok(Sizes {
        n_layer: size("num_hidden_layers", 36)?,
        n_head,
        n_kv_head,
        head_dim,
        n_embd,
        n_ff: size("intermediate_size", 2880)?,
        vocab_size: size("vocab_size", 201_088)?,
        trained_context: size("max_position_embeddings", 131_072)?,
    })
}

/// How frequencies are scaled where nothing is said of it.
fn usual_scaling() -> RopeScaling {
    RopeScaling::Yarn {
        factor: USUAL_FACTOR,
        original_context: FIRST_CONTEXT,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: false,
        attention_factor: rope::yarn_magnitude(USUAL_FACTOR, 1.0),
    }
}

/// Whether a layer has a window, where nothing is said of it.
fn is_local(layer: usize) -> bool {
    layer.is_multiple_of(2)
}

fn experts_of(n_expert: usize, n_used: usize, n_ff: usize, activation: Activation) -> ExpertsConfig {
    let expert = DenseConfig { n_ff, activation, is_gated: true, bias: true };
    let router = RouterConfig { bias: true, ..RouterConfig::softmax(true) };
    ExpertsConfig { n_expert, n_used, expert, router, shared: None, has_norms: false }
}

fn layer(sizes: &Sizes, window: Option<usize>, bias: bool, experts: ExpertsConfig) -> LayerConfig {
    let attention =
        AttentionConfig { window, qkv_bias: bias, out_bias: bias, has_sinks: true, ..llama::attention(sizes) };
    LayerConfig::pre_norm(attention, FeedForwardConfig::Experts(experts))
}

/// The matrices and biases of one expert. Hugging Face has those of all in one tensor, with inputs as rows, and the gate's
/// outputs between those of what it is multiplied with.
fn expert(list: &mut TensorList, n_ff: usize, embd: usize, slice: Slice) {
    for (name, gguf, slot, shape, (first, step)) in [
        ("gate_up_proj", "ffn_gate_exps", Slot::FeedForwardIn, [n_ff, embd], (0, 2)),
        ("gate_up_proj", "ffn_up_exps", Slot::FeedForwardIn, [n_ff, embd], (1, 2)),
        ("down_proj", "ffn_down_exps", Slot::FeedForwardOut, [embd, n_ff], (0, 1)),
    ] {
        let piece = Piece { slice, first, step, times: step, is_transposed: true };
        for (part, ending, gguf, shape) in [
            (Part::Weight, "", format!("{gguf}.weight"), &shape[..]),
            (Part::Bias, "_bias", format!("{gguf}.bias"), &shape[..1]),
        ] {
            let name = format!("mlp.experts.{name}{ending}");
            list.named(slot, part, [&name, &gguf], shape)
                .slice(slice.index, slice.of)
                .otherwise((&name, None), Some(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::load::{ModelSource, open};
    use crate::model::family::tests::{assert_gguf_refused, assert_parity, assert_same, fixture};

    #[test]
    fn sinks_windows_and_a_clamped_gate_from_either_kind_of_file() {
        assert_parity("variant-gpt-oss");
    }

    #[test]
    fn experts_in_codes_and_scales_are_computed_as_what_they_stand_for() {
        let folder = fixture("variant-gpt-oss-mxfp4");
        assert_same("variant-gpt-oss-mxfp4", &folder);
        // Two codes are one byte, and scales are no weights.
        let experts = 2 * 5 * (64 * 32 + 32 * 32);
        assert_eq!(open(&ModelSource::Path(folder)).unwrap().parameters(), experts + 43_698);
    }

    #[test]
    fn windows_as_the_configuration_lists_them() {
        assert_same("variant-gpt-oss-listed", &fixture("variant-gpt-oss-listed"));
        assert_gguf_refused("variant-gpt-oss-listed", "which layers have a window");
    }
}
