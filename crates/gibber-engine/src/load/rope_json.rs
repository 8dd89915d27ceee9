//! How a Hugging Face configuration says that positions turn queries and keys.

use serde_json::Value;

use super::bound::Bound;
use super::config_json::JsonFile;
use crate::EngineError;
use crate::model::{RopeConfig, RopeScaling, RopeStyle};

/// The rotation of a model for `trained_context` tokens: `rope_theta` and `rope_scaling`, or `rope_parameters` since
/// transformers 5.
///
/// # Errors
/// Where a number is missing or is none, or the kind of scaling is not computed here.
pub(super) fn rope(json: &JsonFile, trained_context: usize) -> Result<RopeConfig, EngineError> {
    let mut theta = json.number("rope_theta", Bound::AboveZero)?;
    let mut scaling = RopeScaling::None;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(value) = json.get(key) else { continue };
        if value.as_object().is_none_or(|object| object.values().any(Value::is_object)) {
            return Err(json.unsupported(key, &value.to_string(), "one object of numbers, for all layers"));
        }
        let parameters = Parameters { json, key, value };
        theta = theta.or(parameters.positive_if_given("rope_theta")?);
        if parameters.float("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
            return Err(json.unsupported(&format!("{key}.partial_rotary_factor"), &value.to_string(), "1"));
        }
        let kind = value.get("rope_type").or_else(|| value.get("type"));
        scaling = match kind.map(Value::as_str) {
            // Of two objects, the older one says how positions are scaled where the newer one does not.
            None if key == "rope_parameters" && value.get("factor").is_none() => scaling,
            Some(Some("default")) if key == "rope_parameters" => scaling,
            Some(Some("default")) => RopeScaling::None,
            Some(Some("linear")) => RopeScaling::Linear { factor: parameters.positive("factor")? },
            Some(Some("llama3")) => parameters.llama3()?,
            Some(Some("yarn")) => parameters.yarn(trained_context)?,
            _ => {
                let kind = kind.map_or_else(|| "missing".to_owned(), Value::to_string);
                let supported = "default, linear, llama3 or yarn";
                return Err(json.unsupported(&format!("{key}.rope_type"), &kind, supported));
            }
        };
    }
    Ok(RopeConfig { theta: theta.unwrap_or(10_000.0) as f32, style: RopeStyle::Half, scaling })
}

/// An object of `config.json` with the numbers of a rotation.
struct Parameters<'a> {
    json: &'a JsonFile,
    key: &'a str,
    value: &'a Value,
}

impl Parameters<'_> {
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
        let magnitude = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
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
