//! A model's shape from the `config.json` of a Hugging Face folder.
//!
//! Where a key is absent, the default of transformers' configuration class holds, as there. Keys that change what is
//! computed and that the engine does not know are errors.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::engine::EngineError;
use crate::engine::model::{Architecture, ModelConfig, RopeStyle};

/// A JSON file whose top is an object, read key by key with errors that name both.
#[derive(Debug)]
pub(super) struct JsonFile {
    path: PathBuf,
    keys: Map<String, Value>,
}

impl JsonFile {
    /// Reads the file; `None` where there is none.
    pub(super) fn read(path: PathBuf) -> Result<Option<Self>, EngineError> {
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(EngineError::Io { path, source }),
        };
        match serde_json::from_slice(&text) {
            Ok(keys) => Ok(Some(Self { path, keys })),
            Err(error) => Err(EngineError::format(path, format!("not a JSON object: {error}"))),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of `key`, unless it is null.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// All keys with their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.keys.iter()
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, EngineError> {
        self.typed(key, "a whole number", |value| value.as_u64().and_then(|size| usize::try_from(size).ok()))
    }

    pub(super) fn float(&self, key: &str) -> Result<Option<f64>, EngineError> {
        self.typed(key, "a number", Value::as_f64)
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
            None => Err(EngineError::format(&self.path, format!("`{key}` is {value}, it has to be {expected}"))),
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

    fn unsupported(&self, key: &str, value: &str, supported: &str) -> EngineError {
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
        Some("llama") => llama(json),
        Some(other) => Err(json.unsupported("model_type", other, "gpt2 or llama")),
        None => Err(EngineError::format(&json.path, "`model_type` is missing")),
    }
}

fn gpt2(json: &JsonFile) -> Result<Shape, EngineError> {
    json.require_one_of("activation_function", &["gelu_new", "gelu_pytorch_tanh"])?;
    json.require_bool("scale_attn_weights", true)?;
    json.require_bool("scale_attn_by_inverse_layer_idx", false)?;
    json.require_bool("add_cross_attention", false)?;
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
        norm_eps: json.float("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        // GPT-2 rotates nothing.
        rope_theta: 0.0,
        rope_style: RopeStyle::Half,
    };
    Ok(Shape { config, tied: json.bool("tie_word_embeddings")?.unwrap_or(true) })
}

fn llama(json: &JsonFile) -> Result<Shape, EngineError> {
    json.require_one_of("hidden_act", &["silu"])?;
    for switch in ["attention_bias", "mlp_bias", "rope_interleaved"] {
        json.require_bool(switch, false)?;
    }
    let (n_embd, n_head) = (json.required("hidden_size")?, json.required("num_attention_heads")?);
    let config = ModelConfig {
        architecture: Architecture::Llama,
        n_layer: json.required("num_hidden_layers")?,
        n_head,
        n_kv_head: json.size("num_key_value_heads")?.unwrap_or(n_head),
        head_dim: match json.size("head_dim")? {
            Some(width) => width,
            None => share(json, n_embd, n_head)?,
        },
        n_embd,
        n_ff: json.required("intermediate_size")?,
        vocab_size: json.required("vocab_size")?,
        trained_context: json.required("max_position_embeddings")?,
        norm_eps: json.float("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        rope_theta: rope_theta(json)? as f32,
        rope_style: RopeStyle::Half,
    };
    Ok(Shape { config, tied: json.bool("tie_word_embeddings")?.unwrap_or(false) })
}

/// The base of the rotation: `rope_theta`, or in `rope_parameters` since transformers 5. Anything but the plain rotation
/// is refused.
fn rope_theta(json: &JsonFile) -> Result<f64, EngineError> {
    let mut theta = json.float("rope_theta")?;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(value) = json.get(key) else { continue };
        let kind = value.get("rope_type").or_else(|| value.get("type")).and_then(Value::as_str);
        let plain = kind == Some("default") || (kind.is_none() && key == "rope_parameters");
        if !plain {
            return Err(json.unsupported(key, &value.to_string(), "the plain rotation (`default`)"));
        }
        theta = theta.or_else(|| value.get("rope_theta").and_then(Value::as_f64));
        if value.get("partial_rotary_factor").and_then(Value::as_f64).is_some_and(|factor| factor != 1.0) {
            return Err(json.unsupported("partial_rotary_factor", &value.to_string(), "1"));
        }
    }
    Ok(theta.unwrap_or(10_000.0))
}

fn share(json: &JsonFile, n_embd: usize, n_head: usize) -> Result<usize, EngineError> {
    if n_head == 0 || !n_embd.is_multiple_of(n_head) {
        let reason = format!("embeddings of {n_embd} values cannot be split over {n_head} heads");
        return Err(EngineError::format(&json.path, reason));
    }
    Ok(n_embd / n_head)
}
