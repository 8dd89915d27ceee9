//! A model's shape from the `config.json` of a Hugging Face folder.
//!
//! Where a key is absent, the default of transformers' configuration class holds, as there. Keys that change what is
//! computed and that the engine does not know are errors.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::bound::Bound;
use super::rope_json::rope;
use crate::EngineError;
use crate::json;
use crate::model::{
    Activation, Architecture, AttentionScale, Extras, ModelConfig, RopeConfig, RopeStyle, SlidingWindow,
};
use crate::weights::disguise;
use gibber_files::quoted;

/// A JSON file whose top is an object, read key by key with errors that name both.
#[derive(Debug)]
pub(super) struct JsonFile {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl JsonFile {
    /// Reads the file; `None` where there is none.
    pub(super) fn read(path: PathBuf) -> Result<Option<Self>, EngineError> {
        let text = match gibber_files::read(&path, gibber_files::LARGE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(EngineError::Io { path, source }),
        };
        disguise::refuse(&path, &text)?;
        match json::object(&text) {
            Ok(keys) => Ok(Some(Self { path, keys })),
            Err(what) => Err(EngineError::format(path, format!("not a JSON object: {what}"))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of `key`, unless it is null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// Whether `key` is there, and null.
    fn is_null(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(Value::is_null)
    }

    /// All keys with their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.keys.iter()
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, EngineError> {
        self.typed(key, "a whole number", |value| value.as_u64().and_then(|size| usize::try_from(size).ok()))
    }

    /// A number within its bound.
    pub(super) fn number(&self, key: &str, bound: Bound) -> Result<Option<f64>, EngineError> {
        self.typed(key, &bound.to_string(), |value| value.as_f64().filter(|&number| bound.holds(number)))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&str>, EngineError> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, EngineError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        pick: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, EngineError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match pick(value) {
            Some(picked) => Ok(Some(picked)),
            None => {
                let value = value.to_string();
                let value = quoted::shortened(&value);
                Err(EngineError::format(&self.path, format!("`{key}` is {value}, it has to be {expected}")))
            }
        }
    }

    fn required(&self, key: &str) -> Result<usize, EngineError> {
        self.size(key)?.ok_or_else(|| EngineError::format(&self.path, format!("`{key}` is missing")))
    }

    /// Refuses a switch that is not as `supported`, which is also its default.
    fn require_bool(&self, key: &str, supported: bool) -> Result<(), EngineError> {
        match self.bool(key)? {
            Some(value) if value != supported => Err(self.unsupported(key, &value.to_string(), &supported.to_string())),
            _ => Ok(()),
        }
    }

    fn require_one_of(&self, key: &str, supported: &[&str]) -> Result<(), EngineError> {
        match self.string(key)? {
            Some(value) if !supported.contains(&value) => Err(self.unsupported(key, value, &supported.join(" or "))),
            _ => Ok(()),
        }
    }

    pub(super) fn unsupported(&self, key: &str, value: &str, supported: &str) -> EngineError {
        let value = quoted::shortened(value);
        EngineError::unsupported(&self.path, format!("`{key}` is {value}: supported is {supported}"))
    }
}

/// The shape of a model, and whether its output projection is its embedding.
pub(super) struct Shape {
    pub(super) config: ModelConfig,
    pub(super) tied: bool,
}

/// Reads `config.json`.
pub(super) fn shape(json: &JsonFile) -> Result<Shape, EngineError> {
    if json.get("quantization_config").is_some() {
        let what = "`quantization_config` is set: supported are F32, F16 and BF16 weights";
        return Err(EngineError::unsupported(&json.path, what));
    }
    match json.string("model_type")? {
        Some("gpt2") => gpt2(json),
        Some("llama") => llama(json, Architecture::Llama),
        Some("mistral") => llama(json, Architecture::Mistral),
        Some("qwen2") => llama(json, Architecture::Qwen2),
        Some("qwen3") => llama(json, Architecture::Qwen3),
        Some(other) => Err(json.unsupported("model_type", other, "gpt2, llama, mistral, qwen2 or qwen3")),
        None => Err(EngineError::format(&json.path, "`model_type` is missing")),
    }
}

fn gpt2(json: &JsonFile) -> Result<Shape, EngineError> {
    json.require_bool("add_cross_attention", false)?;
    let activation = match json.string("activation_function")? {
        None | Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh") => Activation::GeluTanh,
        Some("gelu" | "gelu_python") => Activation::Gelu,
        Some("relu") => Activation::Relu,
        Some(other) => return Err(json.unsupported("activation_function", other, "gelu_new, gelu or relu")),
    };
    // `reorder_and_upcast_attn` says in which precision to compute; here it is single precision always.
    let (n_embd, n_head) = (json.required("n_embd")?, json.required("n_head")?);
    let config = ModelConfig {
        architecture: Architecture::Gpt2,
        n_layer: json.required("n_layer")?,
        n_head,
        n_kv_head: n_head,
        head_dim: share(json, n_embd, n_head)?,
        n_embd,
        n_ff: json.size("n_inner")?.unwrap_or(n_embd.saturating_mul(4)),
        vocab_size: json.required("vocab_size")?,
        trained_context: match json.size("n_positions")? {
            Some(positions) => positions,
            None => json.required("n_ctx")?,
        },
        norm_eps: json.number("layer_norm_epsilon", Bound::Zero)?.unwrap_or(1e-5) as f32,
        activation,
        attention_scale: AttentionScale {
            by_width: json.bool("scale_attn_weights")?.unwrap_or(true),
            by_layer: json.bool("scale_attn_by_inverse_layer_idx")?.unwrap_or(false),
        },
        // GPT-2 rotates nothing.
        rope: RopeConfig::plain(0.0, RopeStyle::Half),
        window: None,
        extras: Extras::default(),
    };
    Ok(Shape { config, tied: json.bool("tie_word_embeddings")?.unwrap_or(true) })
}

/// Llama, and what is built like it: they differ in what is there by default.
fn llama(json: &JsonFile, architecture: Architecture) -> Result<Shape, EngineError> {
    json.require_one_of("hidden_act", &["silu"])?;
    json.require_bool("rope_interleaved", false)?;
    let (n_embd, n_head) = (json.required("hidden_size")?, json.required("num_attention_heads")?);
    let n_layer = json.required("num_hidden_layers")?;
    let usual_kv_heads = match architecture {
        _ if json.is_null("num_key_value_heads") => n_head,
        Architecture::Mistral => 8,
        Architecture::Qwen2 | Architecture::Qwen3 => 32,
        Architecture::Llama | Architecture::Gpt2 => n_head,
    };
    let trained_context = json.required("max_position_embeddings")?;
    let config = ModelConfig {
        architecture,
        n_layer,
        n_head,
        n_kv_head: json.size("num_key_value_heads")?.unwrap_or(usual_kv_heads),
        head_dim: match json.size("head_dim")? {
            Some(width) => width,
            None if architecture == Architecture::Qwen3 => 128,
            None => share(json, n_embd, n_head)?,
        },
        n_embd,
        n_ff: json.required("intermediate_size")?,
        vocab_size: json.required("vocab_size")?,
        trained_context,
        norm_eps: json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-6) as f32,
        activation: Activation::GeluTanh,
        attention_scale: AttentionScale::USUAL,
        rope: rope(json, trained_context)?,
        window: window(json, architecture, n_layer)?,
        extras: extras(json, architecture)?,
    };
    Ok(Shape { config, tied: json.bool("tie_word_embeddings")?.unwrap_or(false) })
}

fn extras(json: &JsonFile, architecture: Architecture) -> Result<Extras, EngineError> {
    let switch = |key: &str| Ok::<_, EngineError>(json.bool(key)?.unwrap_or(false));
    Ok(match architecture {
        Architecture::Qwen2 => Extras { qkv_bias: true, ..Extras::default() },
        Architecture::Qwen3 => {
            let bias = switch("attention_bias")?;
            Extras { qkv_bias: bias, o_bias: bias, mlp_bias: false, qk_norm: true }
        }
        Architecture::Llama => {
            let bias = switch("attention_bias")?;
            Extras { qkv_bias: bias, o_bias: bias, mlp_bias: switch("mlp_bias")?, qk_norm: false }
        }
        Architecture::Mistral | Architecture::Gpt2 => Extras::default(),
    })
}

/// How far back tokens look: Mistral in every layer, Qwen where it is switched on, in the layers from one on.
fn window(json: &JsonFile, architecture: Architecture, n_layer: usize) -> Result<Option<SlidingWindow>, EngineError> {
    let is_used = match architecture {
        Architecture::Mistral => true,
        Architecture::Qwen2 | Architecture::Qwen3 => json.bool("use_sliding_window")?.unwrap_or(false),
        Architecture::Llama | Architecture::Gpt2 => false,
    };
    if !is_used || json.is_null("sliding_window") {
        return Ok(None);
    }
    let positions = json.size("sliding_window")?.unwrap_or(4096);
    if positions == 0 {
        return Err(EngineError::format(&json.path, "`sliding_window` is 0: a token has to see itself"));
    }
    let from_one_on = match architecture {
        Architecture::Mistral => 0,
        _ => json.size("max_window_layers")?.unwrap_or(28),
    };
    let first_layer = match json.get("layer_types").and_then(Value::as_array) {
        None => from_one_on,
        Some(types) => {
            let is_sliding = |kind: &Value| kind.as_str() == Some("sliding_attention");
            let first = types.iter().position(is_sliding).unwrap_or(n_layer);
            if types.len() != n_layer || !types.iter().skip(first).all(is_sliding) {
                let kinds = Value::Array(types.clone()).to_string();
                return Err(json.unsupported(
                    "layer_types",
                    &kinds,
                    "full_attention, then sliding_attention to the end",
                ));
            }
            first
        }
    };
    Ok((first_layer < n_layer).then_some(SlidingWindow { positions, first_layer }))
}

fn share(json: &JsonFile, n_embd: usize, n_head: usize) -> Result<usize, EngineError> {
    if n_head == 0 || !n_embd.is_multiple_of(n_head) {
        let reason = format!("embeddings of {n_embd} values cannot be split over {n_head} heads");
        return Err(EngineError::format(&json.path, reason));
    }
    Ok(n_embd / n_head)
}
