//! How configurations of either kind say that positions turn queries and keys.

use serde_json::Value;

use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{ModelConfig, RopeConfig, RopeScaling, RopeStyle};
use crate::weights::{DType, Storage, Tensor, Weights};

/// The base of the frequencies where none is given.
pub(super) const USUAL_THETA: f64 = 10_000.0;
/// What the frequencies are divided by, one for each pair of a head: a tensor of GGUF files.
pub const FACTORS: &str = "rope_freqs.weight";

/// The rotation of a model for `trained_context` tokens: `rope_theta` and `rope_scaling`, or `rope_parameters` since
/// transformers 5.
///
/// # Errors
/// Where a number is missing or is none, or the kind of scaling is not computed here.
pub fn from_json(json: &JsonFile, trained_context: usize) -> Result<RopeConfig, EngineError> {
    from_json_or(json, trained_context, USUAL_THETA)
}

/// As [`from_json`], of a family whose frequencies have the base `usual_theta` where none is given.
///
/// # Errors
/// Those of [`from_json`].
pub fn from_json_or(json: &JsonFile, trained_context: usize, usual_theta: f64) -> Result<RopeConfig, EngineError> {
    let mut rope = Reading { theta: json.number("rope_theta", Bound::AboveZero)?, scaling: RopeScaling::None };
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(value) = json.get(key) else { continue };
        rope.take(&Parameters::new(json, key.to_owned(), value)?, trained_context)?;
    }
    Ok(rope.done(usual_theta))
}

/// The rotation of the layers of one kind, such as `sliding_attention`: by the object under that name in `rope_parameters`;
/// where there is none, the plain one of the base `usual_theta`.
///
/// # Errors
/// Those of [`from_json`].
pub fn of_layer_type(
    json: &JsonFile,
    kind: &str,
    usual_theta: f64,
    trained_context: usize,
) -> Result<RopeConfig, EngineError> {
    let mut rope = Reading { theta: None, scaling: RopeScaling::None };
    if let Some(value) = json.get("rope_parameters").and_then(|parameters| parameters.get(kind)) {
        rope.take(&Parameters::new(json, format!("rope_parameters.{kind}"), value)?, trained_context)?;
    }
    Ok(rope.done(usual_theta))
}

/// What was read so far.
struct Reading {
    theta: Option<f64>,
    scaling: RopeScaling,
}

impl Reading {
    fn take(&mut self, parameters: &Parameters<'_>, trained_context: usize) -> Result<(), EngineError> {
        // What the object says goes before what stands beside it, as in transformers.
        self.theta = parameters.positive_if_given("rope_theta")?.or(self.theta);
        if let Some(scaling) = parameters.scaling(trained_context)? {
            self.scaling = scaling;
        }
        Ok(())
    }

    fn done(self, usual_theta: f64) -> RopeConfig {
        let theta = self.theta.unwrap_or(usual_theta) as f32;
        RopeConfig { theta, style: RopeStyle::Half, scaling: self.scaling }
    }
}

/// An object of `config.json` with the numbers of a rotation.
struct Parameters<'a> {
    json: &'a JsonFile,
    /// Where it stands.
    key: String,
    value: &'a Value,
}

impl<'a> Parameters<'a> {
    fn new(json: &'a JsonFile, key: String, value: &'a Value) -> Result<Self, EngineError> {
        if value.as_object().is_none_or(|object| object.values().any(Value::is_object)) {
            return Err(json.unsupported(&key, &value.to_string(), "one object of numbers, for all layers"));
        }
        Ok(Self { json, key, value })
    }

    /// How it scales; `None` where it does not say it, or says, as the newer of two objects, no more than the older.
    fn scaling(&self, trained_context: usize) -> Result<Option<RopeScaling>, EngineError> {
        let (key, is_newer) = (&self.key, self.key != "rope_scaling");
        if self.float("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            let value = self.value.to_string();
            return Err(self.json.unsupported(&format!("{key}.partial_rotary_factor"), &value, "1"));
        }
        let kind = self.value.get("rope_type").or_else(|| self.value.get("type"));
        Ok(match kind.map(Value::as_str) {
            None if is_newer && self.value.get("factor").is_none() => None,
            Some(Some("default")) => None,
            Some(Some("linear")) => Some(RopeScaling::Linear { factor: self.positive("factor")? }),
            Some(Some("llama3")) => Some(self.llama3()?),
            Some(Some("yarn")) => Some(self.yarn(trained_context)?),
            _ => {
                let kind = kind.map_or_else(|| "missing".to_owned(), Value::to_string);
                let supported = "default, linear, llama3 or yarn";
                return Err(self.json.unsupported(&format!("{key}.rope_type"), &kind, supported));
            }
        })
    }

    fn error(&self, key: &str, what: &str) -> EngineError {
        EngineError::format(self.json.path(), format!("`{}.{key}` {what}", self.key))
    }

    fn float(&self, key: &str) -> Result<Option<f64>, EngineError> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64().filter(|number| number.is_finite()) {
                Some(number) => Ok(Some(number)),
                None => Err(self.error(key, &format!("is {value}, it has to be a number"))),
            },
        }
    }

    /// A number above zero, if there is one.
    fn positive_if_given(&self, key: &str) -> Result<Option<f64>, EngineError> {
        match self.float(key)? {
            Some(number) if !Bound::AboveZero.holds(number) => {
                Err(self.error(key, &format!("is {number}, it has to be {}", Bound::AboveZero)))
            }
            number => Ok(number),
        }
    }

    /// A number above zero that has to be there.
    fn positive(&self, key: &str) -> Result<f64, EngineError> {
        self.positive_if_given(key)?.ok_or_else(|| self.error(key, "is missing"))
    }

    fn llama3(&self) -> Result<RopeScaling, EngineError> {
        let scaling = RopeScaling::Llama3 {
            factor: self.positive("factor")?,
            low_freq_factor: self.positive("low_freq_factor")?,
            high_freq_factor: self.positive("high_freq_factor")?,
            original_context: self.positive("original_max_position_embeddings")?,
        };
        match scaling {
            RopeScaling::Llama3 { low_freq_factor, high_freq_factor, .. } if high_freq_factor <= low_freq_factor => {
                Err(self.error("high_freq_factor", "has to be above `low_freq_factor`"))
            }
            scaling => Ok(scaling),
        }
    }

    fn yarn(&self, trained_context: usize) -> Result<RopeScaling, EngineError> {
        let original = "original_max_position_embeddings";
        let original_context = self.positive_if_given(original)?.unwrap_or(trained_context as f64);
        let factor = self.positive_if_given("factor")?.unwrap_or(trained_context as f64 / original_context);
        let magnitude = |scale| yarn_magnitude(factor, scale);
        // Zero counts as absent, as in Python.
        let given = |key| match self.float(key)? {
            Some(0.0) => Ok(None),
            _ => self.positive_if_given(key),
        };
        let attention_factor =
            match (self.positive_if_given("attention_factor")?, given("mscale")?, given("mscale_all_dim")?) {
                (Some(factor), ..) => factor,
                (None, Some(scale), Some(all)) => magnitude(scale) / magnitude(all),
                _ => magnitude(1.0),
            };
        let truncate = match self.value.get("truncate") {
            None | Some(Value::Null) => true,
            Some(value) => value.as_bool().ok_or_else(|| self.error("truncate", "has to be true or false"))?,
        };
        Ok(RopeScaling::Yarn {
            factor,
            original_context,
            beta_fast: given("beta_fast")?.unwrap_or(32.0),
            beta_slow: given("beta_slow")?.unwrap_or(1.0),
            truncate,
            attention_factor,
        })
    }
}

/// The rotation as the keys of a GGUF file say it, and the tensor beside them.
///
/// # Errors
/// Where a number is missing or impossible, or the kind of scaling is not computed here.
pub fn from_gguf(keys: &GgufKeys<'_>, head_dim: usize, style: RopeStyle) -> Result<RopeConfig, EngineError> {
    let theta = keys.number("rope.freq_base", Bound::AboveZero)?.unwrap_or(USUAL_THETA) as f32;
    let scaling = match divided(keys.weights(), head_dim)? {
        Some(divided) => divided,
        None => gguf_scaling(keys)?,
    };
    Ok(RopeConfig { theta, style, scaling })
}

/// What each frequency is divided by, where the file has a tensor for it (Llama 3).
fn divided(weights: &Weights, head_dim: usize) -> Result<Option<RopeScaling>, EngineError> {
    if !weights.contains(FACTORS) {
        return Ok(None);
    }
    let factors = weights.tensor(FACTORS, &[head_dim / 2])?.to_f32()?;
    match factors.iter().find(|&&factor| !Bound::AboveZero.holds(f64::from(factor))) {
        Some(factor) => {
            let reason = format!("tensor `{FACTORS}` has the factor {factor}, it has to be {}", Bound::AboveZero);
            Err(EngineError::format(weights.path(), reason))
        }
        None => Ok(Some(RopeScaling::Divided(factors))),
    }
}

fn gguf_scaling(keys: &GgufKeys<'_>) -> Result<RopeScaling, EngineError> {
    let key = "rope.scaling.factor";
    // The second is the key of 2023.
    let factor = match keys.number(key, Bound::AboveZero)? {
        Some(factor) => Some(factor),
        None => keys.number("rope.scale_linear", Bound::AboveZero)?,
    };
    // As in llama.cpp, where a factor without a type is a linear one.
    let kind = keys.string("rope.scaling.type")?.filter(|kind| !kind.is_empty());
    match (kind, factor) {
        (Some("none"), _) | (None, None) => Ok(RopeScaling::None),
        (None | Some("linear"), Some(factor)) => Ok(RopeScaling::Linear { factor }),
        (Some("yarn"), Some(factor)) => gguf_yarn(keys, factor),
        (Some("linear" | "yarn"), None) => Err(keys.missing(key)),
        (Some(scaling), _) => Err(keys.unsupported("rope.scaling.type", scaling)),
    }
}

fn gguf_yarn(keys: &GgufKeys<'_>, factor: f64) -> Result<RopeScaling, EngineError> {
    let original = match keys.optional_size("rope.scaling.original_context_length")? {
        Some(length) => length,
        None => keys.size("context_length")?,
    };
    let number = |key, usual| Ok::<_, EngineError>(keys.number(key, Bound::AboveZero)?.unwrap_or(usual));
    Ok(RopeScaling::Yarn {
        factor,
        original_context: original as f64,
        beta_fast: number("rope.scaling.yarn_beta_fast", 32.0)?,
        beta_slow: number("rope.scaling.yarn_beta_slow", 1.0)?,
        truncate: true,
        // As in llama.cpp, whose `attn_factor` comes on top of what the factor asks for.
        attention_factor: yarn_magnitude(factor, 1.0) * number("rope.scaling.attn_factor", 1.0)?,
    })
}

/// What YaRN multiplies queries and keys with where nobody says it.
pub(super) fn yarn_magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

/// Writes the key of a rotation's base.
pub fn put_theta(writer: &mut GgufWriter<'_>, rope: &RopeConfig) {
    writer.number("rope.freq_base", rope.theta);
}

/// Writes the keys of a rotation for longer contexts; what Llama 3 does to it is a tensor ([`factors`]).
pub fn put_scaling(writer: &mut GgufWriter<'_>, rope: &RopeConfig) {
    match rope.scaling {
        RopeScaling::None | RopeScaling::Llama3 { .. } | RopeScaling::Divided(_) => {}
        RopeScaling::Linear { factor } => {
            writer.string("rope.scaling.type", "linear");
            writer.number("rope.scaling.factor", factor as f32);
        }
        RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, attention_factor, .. } => {
            writer.string("rope.scaling.type", "yarn");
            writer.number("rope.scaling.factor", factor as f32);
            writer.sizes(&[("rope.scaling.original_context_length", original_context as usize)]);
            writer.number("rope.scaling.yarn_beta_fast", beta_fast as f32);
            writer.number("rope.scaling.yarn_beta_slow", beta_slow as f32);
            // On top of what readers derive from the factor.
            writer.number("rope.scaling.attn_factor", (attention_factor / yarn_magnitude(factor, 1.0)) as f32);
        }
    }
}

/// The tensor that says what the frequencies are divided by, where GGUF has no keys for it (Llama 3).
///
/// # Errors
/// Never for a model that was checked.
pub fn factors(config: &ModelConfig) -> Result<Option<Tensor>, EngineError> {
    let is_scaled = |rope: &&RopeConfig| matches!(rope.scaling, RopeScaling::Llama3 { .. });
    let Some(rope) = config.ropes.iter().find(is_scaled) else { return Ok(None) };
    let plain = RopeConfig { scaling: RopeScaling::None, ..rope.clone() };
    let ((plain, _), (scaled, _)) = (plain.frequencies(config.rope_width(0)), rope.frequencies(config.rope_width(0)));
    let factors = plain.iter().zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32);
    let bytes: Vec<u8> = factors.flat_map(f32::to_le_bytes).collect();
    let len = bytes.len();
    Tensor::new(FACTORS.to_owned(), vec![plain.len()], DType::F32, Storage::from_vec(bytes), 0..len).map(Some)
}

/// From now on `config` is that of the same model with the weights of a GGUF file.
///
/// # Errors
/// Where the tensor of factors is broken.
pub fn become_gguf(config: &mut ModelConfig, weights: &Weights) -> Result<(), EngineError> {
    let divided = divided(weights, config.rope_width(0))?;
    for rope in &mut config.ropes {
        rope.style = config.family.gguf_rope_style();
        if let Some(divided) = &divided {
            rope.scaling = divided.clone();
        }
    }
    Ok(())
}
