//! How configurations of either kind say that positions turn queries and keys.

use serde_json::Value;

use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{ModelConfig, RopeConfig, RopeScaling, RopeStyle};
use crate::weights::{DType, Storage, Tensor, Weights};

/// What says how much of a head is turned.
const SHARE: &str = "partial_rotary_factor";
/// What says how long the texts of the first training were.
const ORIGINAL: &str = "original_max_position_embeddings";
/// The base of the frequencies where none is given.
pub(super) const USUAL_THETA: f64 = 10_000.0;
/// What the frequencies are divided by, one for each pair of a head: a tensor of GGUF files.
const FACTORS: &str = "rope_freqs.weight";
/// What is divided by where a pair stays: as llama.cpp's files have it.
const STAYS: f32 = 1e30;
/// And where they depend on the length of the text.
const SHORT_FACTORS: &str = "rope_factors_short.weight";
const LONG_FACTORS: &str = "rope_factors_long.weight";

/// What a family says of its rotation, where its configuration says nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Usual {
    /// Tokens the model was trained for.
    pub trained_context: usize,
    /// The base of the frequencies.
    pub theta: f64,
    /// Of a family that may turn a part of each head.
    pub partial: Option<Partial>,
    /// Tokens of the first context, of a family whose configuration says it beside the rotation and has a default for it.
    pub original_context: Option<usize>,
}

/// How much of a head is turned.
#[derive(Debug, Clone, Copy)]
pub struct Partial {
    /// Values of a head.
    pub head_dim: usize,
    /// The share of them that is turned where nothing else is said; `partial_rotary_factor` says it.
    pub share: f64,
}

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
    from_json_as(json, &Usual { trained_context, theta: usual_theta, partial: None, original_context: None })
}

/// As [`from_json`], of a family that says what is `usual`.
///
/// # Errors
/// Those of [`from_json`].
pub fn from_json_as(json: &JsonFile, usual: &Usual) -> Result<RopeConfig, EngineError> {
    let share = json.number(SHARE, Bound::AboveZero)?;
    let mut rope = Reading {
        theta: json.number("rope_theta", Bound::AboveZero)?,
        share: share.map(|share| (share, SHARE.to_owned())),
        scaling: RopeScaling::None,
    };
    if let Some((key, value)) = said(json) {
        rope.take(&Parameters::new(json, key.to_owned(), value)?, usual)?;
    }
    rope.done(json, usual)
}

/// The object that says how positions turn, with its key: the older one where there are both, as in transformers.
pub(super) fn said(json: &JsonFile) -> Option<(&'static str, &Value)> {
    let is_empty = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
    let of = |key| json.get(key).filter(|value| !is_empty(value)).map(|value| (key, value));
    of("rope_scaling").or_else(|| of("rope_parameters"))
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
    of_layer_type_as(json, kind, &Usual { trained_context, theta: usual_theta, partial: None, original_context: None })
}

/// Refuses `rope_scaling` beside `rope_parameters` that are by kinds of layers.
///
/// # Errors
/// Where both are there.
pub(super) fn refuse_both_spellings(json: &JsonFile) -> Result<(), EngineError> {
    match json.get("rope_scaling") {
        None => Ok(()),
        Some(value) => Err(json.unsupported("rope_scaling", &value.to_string(), "none beside `rope_parameters`")),
    }
}

/// As [`of_layer_type`], of a family that says what is `usual`.
///
/// # Errors
/// Those of [`from_json`].
pub fn of_layer_type_as(json: &JsonFile, kind: &str, usual: &Usual) -> Result<RopeConfig, EngineError> {
    let mut rope = Reading { theta: None, share: None, scaling: RopeScaling::None };
    if let Some(value) = json.get("rope_parameters").and_then(|parameters| parameters.get(kind)) {
        rope.take(&Parameters::new(json, format!("rope_parameters.{kind}"), value)?, usual)?;
    }
    rope.done(json, usual)
}

/// What was read so far.
struct Reading {
    theta: Option<f64>,
    /// Of a head's values, which is turned; and where that stands.
    share: Option<(f64, String)>,
    scaling: RopeScaling,
}

impl Reading {
    fn take(&mut self, parameters: &Parameters<'_>, usual: &Usual) -> Result<(), EngineError> {
        // What the object says goes before what stands beside it, as in transformers.
        self.theta = parameters.positive_if_given("rope_theta")?.or(self.theta);
        if let Some(share) = parameters.positive_if_given(SHARE)? {
            self.share = Some((share, format!("{}.{SHARE}", parameters.key)));
        }
        if let Some(scaling) = parameters.scaling(usual)? {
            self.scaling = scaling;
        }
        Ok(())
    }

    fn done(self, json: &JsonFile, usual: &Usual) -> Result<RopeConfig, EngineError> {
        let theta = self.theta.unwrap_or(usual.theta) as f32;
        let is_proportional = matches!(self.scaling, RopeScaling::Proportional { .. });
        let width = match (self.share.filter(|_| !is_proportional), usual.partial.filter(|_| !is_proportional)) {
            (share, Some(partial)) => {
                let share = share.map_or(partial.share, |(share, _)| share);
                // Rounded down, as in Python.
                let width = (partial.head_dim as f64 * share) as usize;
                Some(width).filter(|&width| width != partial.head_dim)
            }
            (None, None) => None,
            (Some((1.0, _)), None) => None,
            (Some((share, key)), None) => return Err(json.unsupported(&key, &share.to_string(), "1")),
        };
        Ok(RopeConfig { theta, style: RopeStyle::Half, width, scaling: self.scaling })
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

    /// How it scales; `None` where it does not, or, as the newer object may, says nothing of it.
    fn scaling(&self, usual: &Usual) -> Result<Option<RopeScaling>, EngineError> {
        let (key, is_newer) = (&self.key, self.key != "rope_scaling");
        let kind = self.value.get("rope_type").or_else(|| self.value.get("type"));
        Ok(match kind.map(Value::as_str) {
            None if is_newer && self.value.get("factor").is_none() => None,
            Some(Some("default")) => None,
            Some(Some("linear")) => Some(RopeScaling::Linear { factor: self.positive("factor")? }),
            Some(Some("llama3")) => Some(self.llama3()?),
            // As the first configurations of Phi-3 called what has factors of its own for each pair.
            Some(Some("yarn")) if self.value.get("short_factor").is_some() => Some(self.longrope(usual)?),
            Some(Some("yarn")) => Some(self.yarn(usual)?),
            Some(Some("proportional")) => Some(RopeScaling::Proportional {
                share: self.positive_if_given(SHARE)?.unwrap_or(1.0),
                factor: self.positive_if_given("factor")?.unwrap_or(1.0),
            }),
            // The second is what it was called at first.
            Some(Some("longrope" | "su")) => Some(self.longrope(usual)?),
            _ => {
                let kind = kind.map_or_else(|| "missing".to_owned(), Value::to_string);
                let supported = "default, linear, llama3, yarn or longrope";
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
            original_context: match self.json.number(ORIGINAL, Bound::AboveZero)? {
                Some(length) => length,
                None => self.positive(ORIGINAL)?,
            },
        };
        match scaling {
            RopeScaling::Llama3 { low_freq_factor, high_freq_factor, .. } if high_freq_factor <= low_freq_factor => {
                Err(self.error("high_freq_factor", "has to be above `low_freq_factor`"))
            }
            scaling => Ok(scaling),
        }
    }

    /// Tokens of the first context: what stands beside the rotation goes before what it says itself, as in transformers.
    fn original_context(&self, usual: &Usual) -> Result<f64, EngineError> {
        let beside =
            self.json.number(ORIGINAL, Bound::AboveZero)?.or(usual.original_context.map(|length| length as f64));
        let own = self.positive_if_given(ORIGINAL)?;
        Ok(beside.or(own).unwrap_or(usual.trained_context as f64))
    }

    /// Numbers above zero.
    fn factors(&self, key: &str) -> Result<Vec<f32>, EngineError> {
        let Some(value) = self.value.get(key) else { return Err(self.error(key, "is missing")) };
        let factor = |value: &Value| value.as_f64().filter(|&factor| Bound::AboveZero.holds(factor));
        let factors = value.as_array().and_then(|factors| factors.iter().map(factor).collect::<Option<Vec<_>>>());
        let factors =
            factors.ok_or_else(|| self.error(key, &format!("has to be a list of numbers, each {}", Bound::AboveZero)));
        Ok(factors?.into_iter().map(|factor| factor as f32).collect())
    }

    fn longrope(&self, usual: &Usual) -> Result<RopeScaling, EngineError> {
        let original_context = self.original_context(usual)?;
        let factor = self.positive_if_given("factor")?.unwrap_or(usual.trained_context as f64 / original_context);
        Ok(RopeScaling::LongRope {
            short: self.factors("short_factor")?,
            long: self.factors("long_factor")?,
            original_context,
            attention_factor: match self.positive_if_given("attention_factor")? {
                Some(factor) => factor,
                None => longrope_magnitude(factor, original_context),
            },
        })
    }

    fn yarn(&self, usual: &Usual) -> Result<RopeScaling, EngineError> {
        let trained_context = usual.trained_context;
        let original_context = self.original_context(usual)?;
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
    let width = keys.optional_size("rope.dimension_count")?.filter(|&width| width != head_dim);
    let pairs = width.unwrap_or(head_dim) / 2;
    let scaling = match (divided(keys.weights(), pairs)?, gguf_longrope(keys, pairs)?) {
        (_, Some(longrope)) => longrope,
        (Some(divided), None) => divided,
        (None, None) => gguf_scaling(keys)?,
    };
    Ok(RopeConfig { theta, style, width, scaling })
}

/// What each frequency is divided by, where the file has a tensor for it (Llama 3).
fn divided(weights: &Weights, pairs: usize) -> Result<Option<RopeScaling>, EngineError> {
    Ok(factors_in(weights, FACTORS, pairs)?.map(RopeScaling::Divided))
}

/// The numbers in the tensor `name`, one for each of `pairs`, where there is such a tensor.
fn factors_in(weights: &Weights, name: &str, pairs: usize) -> Result<Option<Vec<f32>>, EngineError> {
    if !weights.contains(name) {
        return Ok(None);
    }
    let factors = weights.tensor(name, &[pairs])?.to_f32()?;
    match factors.iter().find(|&&factor| !Bound::AboveZero.holds(f64::from(factor))) {
        Some(factor) => {
            let reason = format!("tensor `{name}` has the factor {factor}, it has to be {}", Bound::AboveZero);
            Err(EngineError::format(weights.path(), reason))
        }
        None => Ok(Some(factors)),
    }
}

/// LongRoPE, whose factors are two tensors.
fn gguf_longrope(keys: &GgufKeys<'_>, pairs: usize) -> Result<Option<RopeScaling>, EngineError> {
    let of = |name| factors_in(keys.weights(), name, pairs);
    let (Some(short), Some(long)) = (of(SHORT_FACTORS)?, of(LONG_FACTORS)?) else { return Ok(None) };
    let trained = keys.size("context_length")?;
    let original = keys.optional_size("rope.scaling.original_context_length")?.unwrap_or(trained) as f64;
    let attention_factor = match keys.number("rope.scaling.attn_factor", Bound::AboveZero)? {
        Some(factor) => factor,
        None => longrope_magnitude(trained as f64 / original, original),
    };
    Ok(Some(RopeScaling::LongRope { short, long, original_context: original, attention_factor }))
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
    let scale_of_all = keys.number("rope.scaling.yarn_log_multiplier", Bound::Zero)?.unwrap_or(0.0);
    Ok(RopeScaling::Yarn {
        factor,
        original_context: original as f64,
        beta_fast: number("rope.scaling.yarn_beta_fast", 32.0)?,
        beta_slow: number("rope.scaling.yarn_beta_slow", 1.0)?,
        truncate: super::of_gguf(keys.architecture()).is_none_or(|family| family.gguf_rounds_yarn()),
        // As in llama.cpp, whose `attn_factor` comes on top of what the factor asks for.
        attention_factor: yarn_magnitude(factor, 1.0) / yarn_magnitude(factor, scale_of_all)
            * number("rope.scaling.attn_factor", 1.0)?,
    })
}

/// What YaRN multiplies queries and keys with where nobody says it.
pub(super) fn yarn_magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

/// What LongRoPE multiplies queries and keys with where nobody says it.
fn longrope_magnitude(factor: f64, original_context: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original_context.ln()).sqrt() }
}

/// Writes the key of a rotation's base.
pub fn put_theta(writer: &mut GgufWriter<'_>, rope: &RopeConfig) {
    writer.number("rope.freq_base", rope.theta);
}

/// Writes the keys of a rotation for longer contexts; what Llama 3 does to it is a tensor ([`factors`]).
pub fn put_scaling(writer: &mut GgufWriter<'_>, rope: &RopeConfig) {
    match rope.scaling {
        RopeScaling::None | RopeScaling::Llama3 { .. } | RopeScaling::Proportional { .. } | RopeScaling::Divided(_) => {
        }
        // The factors are tensors.
        RopeScaling::LongRope { original_context, attention_factor, .. } => {
            writer.string("rope.scaling.type", "longrope");
            writer.sizes(&[("rope.scaling.original_context_length", original_context as usize)]);
            writer.number("rope.scaling.attn_factor", attention_factor as f32);
        }
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

/// What of the rotations GGUF has no key for.
pub(super) fn gguf_lacks(config: &ModelConfig) -> Option<&'static str> {
    let rounds = config.family.gguf_rounds_yarn();
    config.ropes.iter().find_map(|RopeConfig { scaling, .. }| match scaling {
        RopeScaling::Yarn { truncate, .. } if *truncate != rounds => {
            Some("whether YaRN blends between whole pairs (`truncate`)")
        }
        RopeScaling::None | RopeScaling::Linear { .. } | RopeScaling::Yarn { .. } | RopeScaling::Divided(_) => None,
        RopeScaling::Llama3 { .. } | RopeScaling::LongRope { .. } | RopeScaling::Proportional { .. } => {
            let what = "that the rotation is scaled pair by pair, in files of this architecture (`rope_type`)";
            (!config.family.gguf_divides(scaling)).then_some(what)
        }
    })
}

/// Whether llama.cpp reads the tensors of [`factors`] for a rotation scaled in this way in files of Llama, and of what is built
/// like it.
pub(super) fn divides_as_llama(scaling: &RopeScaling) -> bool {
    matches!(scaling, RopeScaling::Llama3 { .. } | RopeScaling::LongRope { .. })
}

/// The tensors that say what the frequencies are divided by, where GGUF has no keys for it (Llama 3, LongRoPE).
///
/// # Errors
/// Never for a model that was checked.
pub fn factors(config: &ModelConfig) -> Result<Vec<Tensor>, EngineError> {
    let mut tensors = Vec::new();
    for (index, rope) in config.ropes.iter().enumerate() {
        match &rope.scaling {
            RopeScaling::Llama3 { .. } => {
                let plain = RopeConfig { scaling: RopeScaling::None, ..rope.clone() };
                let width = config.rope_width(index);
                let ((plain, _), (scaled, _)) = (plain.frequencies(width), rope.frequencies(width));
                let factors: Vec<f32> =
                    plain.iter().zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect();
                tensors.push(vector(FACTORS, &factors)?);
            }
            RopeScaling::Proportional { factor, .. } => {
                let frequencies = rope.frequencies(config.rope_width(index)).0;
                let by = |&frequency: &f64| if frequency > 0.0 { *factor as f32 } else { STAYS };
                tensors.push(vector(FACTORS, &frequencies.iter().map(by).collect::<Vec<_>>())?);
            }
            RopeScaling::LongRope { short, long, .. } => {
                tensors.extend([vector(LONG_FACTORS, long)?, vector(SHORT_FACTORS, short)?]);
            }
            RopeScaling::None | RopeScaling::Linear { .. } | RopeScaling::Yarn { .. } | RopeScaling::Divided(_) => {}
        }
    }
    Ok(tensors)
}

fn vector(name: &str, values: &[f32]) -> Result<Tensor, EngineError> {
    let bytes: Vec<u8> = values.iter().copied().flat_map(f32::to_le_bytes).collect();
    let len = bytes.len();
    Tensor::new(name.to_owned(), vec![values.len()], DType::F32, Storage::from_vec(bytes), 0..len)
}

/// From now on `config` is that of the same model with the weights of a GGUF file, which has the tensors of [`factors`].
///
/// # Errors
/// Where one of them is broken.
pub fn become_gguf(config: &mut ModelConfig, weights: &Weights) -> Result<(), EngineError> {
    let pairs: Vec<_> = (0..config.ropes.len()).map(|index| config.rope_width(index)).collect();
    let style = config.family.gguf_rope_style();
    for (rope, head_dim) in config.ropes.iter_mut().zip(pairs) {
        rope.style = style;
        let pairs = rope.turned(head_dim) / 2;
        match &mut rope.scaling {
            RopeScaling::Llama3 { .. } | RopeScaling::Proportional { .. } | RopeScaling::Divided(_) => {
                if let Some(divided) = divided(weights, pairs)? {
                    rope.scaling = divided;
                }
            }
            RopeScaling::LongRope { short, long, .. } => {
                for (factors, name) in [(short, SHORT_FACTORS), (long, LONG_FACTORS)] {
                    *factors = factors_in(weights, name, pairs)?.unwrap_or_else(|| std::mem::take(factors));
                }
            }
            RopeScaling::None | RopeScaling::Linear { .. } | RopeScaling::Yarn { .. } => {}
        }
    }
    Ok(())
}
