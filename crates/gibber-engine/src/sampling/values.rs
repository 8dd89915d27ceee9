//! Some of the parameters with a value each: what one source says of the sampling, and is silent about the rest.

use std::collections::BTreeMap;
use std::fmt;

use gibber_files::quoted;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::params::{ParameterError, ParameterKind, ParameterSpec, ParameterValue};
use super::{PARAMETERS, Parameter, SamplingParams};

/// Values of some parameters. As data it is a table of their keys in config.toml.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplingValues(BTreeMap<Parameter, ParameterValue>);

impl SamplingValues {
    /// What a built-in preset says, by its name, one of [`PRESET_NAMES`](super::PRESET_NAMES).
    pub fn preset(name: &str) -> Option<Self> {
        let (temperature, top_k, top_p, min_p) = match name {
            "precise" => (0.2, 20, 0.9, 0.1),
            "balanced" => {
                let balanced = SamplingParams::default();
                (balanced.temperature, balanced.top_k, balanced.top_p, balanced.min_p)
            }
            "creative" => (1.1, 0, 0.98, 0.03),
            _ => return None,
        };
        let mut values = Self::default();
        values.set(Parameter::Temperature, ParameterValue::Number(temperature));
        values.set(Parameter::TopK, ParameterValue::Integer(i64::from(top_k)));
        values.set(Parameter::TopP, ParameterValue::Number(top_p));
        values.set(Parameter::MinP, ParameterValue::Number(min_p));
        Some(values)
    }

    /// Every parameter of `params`.
    pub fn all(params: &SamplingParams) -> Self {
        Self(PARAMETERS.iter().map(|spec| (spec.parameter, spec.parameter.get(params))).collect())
    }

    /// The parameters of `params` that are not the program's defaults.
    pub fn differing(params: &SamplingParams) -> Self {
        let defaults = SamplingParams::default();
        let mut values = Self::all(params);
        values.0.retain(|parameter, value| *value != parameter.get(&defaults));
        values
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is said of a parameter.
    pub fn get(&self, parameter: Parameter) -> Option<&ParameterValue> {
        self.0.get(&parameter)
    }

    /// Whether something is said of a parameter.
    pub fn has(&self, parameter: Parameter) -> bool {
        self.0.contains_key(&parameter)
    }

    /// Says this of a parameter.
    pub fn set(&mut self, parameter: Parameter, value: ParameterValue) {
        self.0.insert(parameter, value);
    }

    /// Says nothing of a parameter any more; returns what was said.
    pub fn remove(&mut self, parameter: Parameter) -> Option<ParameterValue> {
        self.0.remove(&parameter)
    }

    /// Each parameter of which something is said, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (Parameter, &ParameterValue)> {
        self.0.iter().map(|(parameter, value)| (*parameter, value))
    }

    /// What `others` say comes over what is said here.
    pub fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().map(|(parameter, value)| (*parameter, value.clone())));
    }

    /// `params` with what is said here in the place of what they have.
    #[must_use]
    pub fn over(&self, params: &SamplingParams) -> SamplingParams {
        let mut params = params.clone();
        self.iter().for_each(|(parameter, value)| parameter.set(&mut params, value.clone()));
        params
    }
}

impl SamplingParams {
    /// A built-in preset by its name, one of [`PRESET_NAMES`](super::PRESET_NAMES), over the defaults. It leaves the seed open.
    pub fn preset(name: &str) -> Option<Self> {
        SamplingValues::preset(name).map(|values| values.over(&Self::default()))
    }
}

/// `temperature 0.60 · top-k 20`, as the panel calls them.
impl fmt::Display for SamplingValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = self.over(&SamplingParams::default());
        for (at, (parameter, _)) in self.iter().enumerate() {
            let separator = if at == 0 { "" } else { " · " };
            write!(f, "{separator}{} {}", parameter.spec().name, parameter.display(&params))?;
        }
        Ok(())
    }
}

/// A value as a file has it, before anybody knows what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FileValue {
    /// A whole number.
    Integer(i64),
    /// One beyond those.
    Unsigned(u64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
}

impl fmt::Display for FileValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", quoted::shortened(text)),
            Self::Texts(texts) => write!(f, "{}", quoted::shortened(&texts.join(";"))),
        }
    }
}

impl From<&ParameterValue> for FileValue {
    /// A seed that is drawn afresh is -1.
    fn from(value: &ParameterValue) -> Self {
        match value {
            // By way of its shortest text, so that 0.7 does not become 0.699999988.
            ParameterValue::Number(number) => Self::Number(number.to_string().parse().unwrap_or(f64::from(*number))),
            ParameterValue::Integer(number) => Self::Integer(*number),
            ParameterValue::Seed(None) => Self::Integer(-1),
            ParameterValue::Seed(Some(seed)) => i64::try_from(*seed).map_or(Self::Unsigned(*seed), Self::Integer),
            ParameterValue::Samplers(samplers) => Self::Text(samplers.to_string()),
        }
    }
}

impl ParameterSpec {
    /// What a value of a file says of the parameter.
    ///
    /// # Errors
    /// [`ParameterError`] where it is not of its kind, or out of range.
    pub fn read(&self, value: &FileValue) -> Result<ParameterValue, ParameterError> {
        let wrong = || ParameterError::NotAValue {
            name: self.name,
            wanted: self.kind.wanted(),
            text: quoted::shortened(&value.to_string()).into_owned(),
        };
        let number = match value {
            FileValue::Integer(number) => Some(*number as f64),
            FileValue::Unsigned(number) => Some(*number as f64),
            FileValue::Number(number) => Some(*number),
            FileValue::Text(_) | FileValue::Texts(_) => None,
        };
        let integer = || number.filter(|number| number.fract() == 0.0).map(|number| number as i64);
        let read = match (self.kind, value) {
            (ParameterKind::Number { .. }, _) => ParameterValue::Number(number.ok_or_else(wrong)? as f32),
            (ParameterKind::Integer { .. }, FileValue::Integer(number)) => ParameterValue::Integer(*number),
            (ParameterKind::Integer { .. }, _) => ParameterValue::Integer(integer().ok_or_else(wrong)?),
            (ParameterKind::Seed, FileValue::Integer(-1)) => ParameterValue::Seed(None),
            (ParameterKind::Seed, FileValue::Unsigned(seed)) => ParameterValue::Seed(Some(*seed)),
            (ParameterKind::Seed, FileValue::Integer(seed)) => {
                ParameterValue::Seed(Some(u64::try_from(*seed).map_err(|_| wrong())?))
            }
            (ParameterKind::Samplers, FileValue::Text(names)) => ParameterValue::Samplers(names.parse()?),
            (ParameterKind::Samplers, FileValue::Texts(names)) => ParameterValue::Samplers(names.join(";").parse()?),
            (ParameterKind::Seed | ParameterKind::Samplers, _) => return Err(wrong()),
        };
        self.check(&read)?;
        Ok(read)
    }
}

impl Serialize for SamplingValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (parameter, value) in &self.0 {
            map.serialize_entry(parameter.spec().key, &FileValue::from(value))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SamplingValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Self::default();
        for (key, value) in BTreeMap::<String, FileValue>::deserialize(deserializer)? {
            let unknown = || D::Error::custom(format!("there is no parameter `{}`", quoted::shortened(&key)));
            let parameter = Parameter::of_key(&key).ok_or_else(unknown)?;
            values.set(parameter, parameter.spec().read(&value).map_err(D::Error::custom)?);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_back_from_json_and_the_rest_stays_unsaid() {
        let json = r#"{"temperature":0.7,"top_k":20,"seed":18446744073709551615,"samplers":"top_k;temperature"}"#;
        let values: SamplingValues = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&values).unwrap(), json);
        let params = values.over(&SamplingParams { min_p: 0.3, ..SamplingParams::default() });
        assert_eq!((params.temperature, params.top_k, params.min_p, params.seed), (0.7, 20, 0.3, Some(u64::MAX)));
        assert!(!values.has(Parameter::MinP));
        for wrong in [r#"{"warmth":1}"#, r#"{"top_p":1.5}"#, r#"{"top_k":1.5}"#, r#"{"seed":-2}"#, r#"{"min_p":"x"}"#] {
            assert!(serde_json::from_str::<SamplingValues>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_that_stands_at_the_default_says_nothing() {
        let params = SamplingParams { top_k: 7, ..SamplingParams::default() };
        let values = SamplingValues::differing(&params);
        assert_eq!(values.iter().collect::<Vec<_>>(), [(Parameter::TopK, &ParameterValue::Integer(7))]);
        assert_eq!(SamplingValues::all(&params).iter().count(), PARAMETERS.len());
        assert_eq!(values.to_string(), "top-k 7");
    }
}
