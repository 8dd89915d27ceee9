//! What a person can turn while the model speaks: the set of all parameters, and what is known of each.
//!
//! Struct, names and ranges are written once, in [`table`](super::table).

use gibber_files::quoted;

use super::table::PARAMETERS;
use super::{Filter, InvalidSamplers, Parameter, Samplers, SamplingParams};

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    /// Of a [`ParameterKind::Number`].
    Number(f32),
    /// Of a [`ParameterKind::Integer`].
    Integer(i64),
    /// Of the seed; `None` is a fresh one for each reply.
    Seed(Option<u64>),
    /// Of the order of the filters.
    Samplers(Samplers),
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParameterKind {
    /// A float within a range.
    Number {
        /// The least allowed.
        least: f32,
        /// The most allowed.
        most: f32,
    },
    /// A whole number.
    Integer {
        /// The least allowed.
        least: i64,
        /// The most allowed.
        most: i64,
    },
    /// A seed, or none.
    Seed,
    /// The names of filters, in order.
    Samplers,
}

/// How arrow keys and a mouse move a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slider {
    /// What its two ends stand for; values beyond them can be typed.
    pub ends: (f64, f64),
    /// How far an arrow key moves it.
    pub step: f64,
    /// How far Shift and an arrow key move it.
    pub large_step: f64,
    /// How far the arrow keys go.
    pub reach: (f64, f64),
}

/// What is known of a parameter: a row of [`PARAMETERS`].
#[derive(Debug)]
pub struct ParameterSpec {
    /// Which one.
    pub parameter: Parameter,
    /// Its key in config.toml, and the name of its field.
    pub key: &'static str,
    /// Its name in commands.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// Its flag, without the two dashes.
    pub flag: &'static str,
    /// The letter of its short flag.
    pub letter: Option<char>,
    /// What the value of its flag is called in the help.
    pub value_name: &'static str,
    /// Its name in the panel.
    pub label: &'static str,
    /// Its name where there is little room.
    pub short_label: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// What it takes.
    pub kind: ParameterKind,
    /// How many digits follow its point.
    pub decimals: usize,
    /// How it is moved; `None` where it can only be typed.
    pub slider: Option<Slider>,
    /// The number that leaves the distribution as it is.
    pub neutral: f64,
    /// Its key in the `generation_config.json` of a Hugging Face folder.
    pub generation_config: Option<&'static str>,
    /// Its key in a GGUF file, behind `general.sampling.`.
    pub gguf: Option<&'static str>,
    /// The filter that it is a parameter of; without that one in the order it does nothing.
    pub filter: Option<Filter>,
    /// Reads it.
    pub(super) get: fn(&SamplingParams) -> ParameterValue,
    /// Writes it; a value of another kind is passed over.
    pub(super) set: fn(&mut SamplingParams, ParameterValue),
}

/// The built-in presets, most cautious first; `balanced` is the default.
pub const PRESET_NAMES: [&str; 3] = ["precise", "balanced", "creative"];

impl SamplingParams {
    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`InvalidSampling`] of the first one that is outside, or not a number.
    pub fn validate(&self) -> Result<(), InvalidSampling> {
        PARAMETERS.iter().try_for_each(|spec| spec.check(&(spec.get)(self)))
    }

    /// Whether the most probable token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 && self.samplers.has(Filter::Temperature)
    }
}

/// What stands before the keys of a GGUF file that recommend a sampling (`src/llama-arch.cpp` in llama.cpp has the list).
const GGUF_PREFIX: &str = "general.sampling.";

impl ParameterSpec {
    /// Its key in a GGUF file.
    pub fn gguf_key(&self) -> Option<String> {
        self.gguf.map(|key| format!("{GGUF_PREFIX}{key}"))
    }

    /// Whether this value is in range.
    ///
    /// # Errors
    /// [`InvalidSampling`], where it is not.
    pub(super) fn check(&self, value: &ParameterValue) -> Result<(), InvalidSampling> {
        let invalid =
            |value: String, least: String, most: String| Err(InvalidSampling { name: self.key, value, least, most });
        match (self.kind, value) {
            (ParameterKind::Number { least, most }, ParameterValue::Number(value))
                if !(least..=most).contains(value) =>
            {
                invalid(value.to_string(), least.to_string(), most.to_string())
            }
            (ParameterKind::Integer { least, most }, ParameterValue::Integer(value))
                if !(least..=most).contains(value) =>
            {
                invalid(value.to_string(), least.to_string(), most.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Reads a value from a text, as a person types it.
    ///
    /// # Errors
    /// [`ParameterError`] where the text is not of its kind, or out of range.
    pub fn parse(&self, text: &str) -> Result<ParameterValue, ParameterError> {
        let text = text.trim();
        let wrong = || ParameterError::NotAValue {
            name: self.name,
            wanted: self.kind.wanted(),
            text: quoted::shortened(text).into_owned(),
        };
        let value = match self.kind {
            ParameterKind::Number { .. } => {
                // A decimal comma is what many keyboards give.
                let number = text.replace(',', ".").parse::<f32>().ok().filter(|number| number.is_finite());
                ParameterValue::Number(number.ok_or_else(wrong)?)
            }
            ParameterKind::Integer { least, .. } => {
                let number = text.parse().ok().filter(|number| *number >= least);
                ParameterValue::Integer(number.ok_or_else(wrong)?)
            }
            ParameterKind::Seed => ParameterValue::Seed(match text {
                "random" | "-1" => None,
                _ => Some(text.parse().map_err(|_| wrong())?),
            }),
            ParameterKind::Samplers => ParameterValue::Samplers(text.parse()?),
        };
        self.check(&value)?;
        Ok(value)
    }
}

impl ParameterKind {
    /// What is taken, to be read after "wants".
    pub fn wanted(self) -> String {
        match self {
            Self::Number { .. } => "a number, such as 0.7".to_owned(),
            Self::Integer { least, .. } => format!("a whole number from {least} on"),
            Self::Seed => "a whole number from 0 on, or `random` (-1)".to_owned(),
            Self::Samplers => Samplers::wanted(),
        }
    }
}

impl Parameter {
    /// What is known of it.
    pub fn spec(self) -> &'static ParameterSpec {
        &PARAMETERS[self as usize]
    }

    /// The parameter of this exact name or alias.
    pub fn named(name: &str) -> Option<Self> {
        PARAMETERS.iter().find(|spec| spec.name == name || spec.aliases.contains(&name)).map(|spec| spec.parameter)
    }

    /// The parameter of this key of config.toml.
    pub fn of_key(key: &str) -> Option<Self> {
        PARAMETERS.iter().find(|spec| spec.key == key).map(|spec| spec.parameter)
    }

    /// Its value.
    pub fn get(self, params: &SamplingParams) -> ParameterValue {
        (self.spec().get)(params)
    }

    /// Gives it this value, which is one of its own or came from [`ParameterSpec::parse`].
    pub fn set(self, params: &mut SamplingParams, value: ParameterValue) {
        (self.spec().set)(params, value);
    }

    /// Its value as a number; `None` for a random seed, and for what is no number.
    pub fn value(self, params: &SamplingParams) -> Option<f64> {
        match self.get(params) {
            ParameterValue::Number(value) => Some(f64::from(value)),
            ParameterValue::Integer(value) => Some(value as f64),
            ParameterValue::Seed(seed) => seed.map(|seed| seed as f64),
            ParameterValue::Samplers(_) => None,
        }
    }

    /// Whether it changes anything: it is not off, and its filter is among those that act.
    pub fn acts(self, params: &SamplingParams) -> bool {
        let is_on = match self.get(params) {
            ParameterValue::Number(value) => f64::from(value) != self.spec().neutral,
            ParameterValue::Integer(value) => value as f64 != self.spec().neutral,
            ParameterValue::Seed(seed) => seed.is_some(),
            ParameterValue::Samplers(samplers) => samplers != Samplers::default(),
        };
        is_on && self.is_reached(params)
    }

    /// Whether its filter is among those that act, or it has none.
    pub fn is_reached(self, params: &SamplingParams) -> bool {
        self.spec().filter.is_none_or(|filter| params.samplers.has(filter))
    }

    /// Its value as a person reads it.
    pub fn display(self, params: &SamplingParams) -> String {
        match self.get(params) {
            ParameterValue::Number(value) => format!("{:.*}", self.spec().decimals, f64::from(value)),
            ParameterValue::Integer(value) => value.to_string(),
            ParameterValue::Seed(seed) => seed.map_or_else(|| "random".to_owned(), |seed| seed.to_string()),
            ParameterValue::Samplers(samplers) => samplers.to_string(),
        }
    }

    /// Sets it from a text.
    ///
    /// # Errors
    /// [`ParameterError`] where the text is not of its kind, or out of range; `params` is then unchanged.
    pub fn parse_into(self, params: &mut SamplingParams, text: &str) -> Result<(), ParameterError> {
        self.set(params, self.spec().parse(text)?);
        Ok(())
    }

    /// Puts it back to what the `balanced` preset has.
    pub fn reset(self, params: &mut SamplingParams) {
        self.set(params, self.get(&SamplingParams::default()));
    }

    /// Where its slider stands, 0 to 1; `None` where it has none.
    pub fn fraction(self, params: &SamplingParams) -> Option<f64> {
        let (least, most) = self.spec().slider?.ends;
        self.value(params).map(|value| ((value - least) / (most - least)).clamp(0.0, 1.0))
    }

    /// Moves it by `steps` (large ones where `large`), as far as the keys go; what can only be typed stays as it is.
    pub fn nudge(self, params: &mut SamplingParams, steps: i32, large: bool) {
        if let ParameterValue::Seed(seed) = self.get(params) {
            let seed = nudged_seed(seed, i64::from(steps) * if large { 10 } else { 1 });
            return self.set(params, ParameterValue::Seed(seed));
        }
        let (Some(slider), Some(value)) = (self.spec().slider, self.value(params)) else { return };
        let step = if large { slider.large_step } else { slider.step };
        // On the step's own raster, so that 0.83 goes to 0.85 and not to 0.88.
        let raster = value / step;
        let nearest = if steps > 0 { (raster + 1e-6).floor() } else { (raster - 1e-6).ceil() };
        let wanted = (nearest + f64::from(steps)) * step;
        self.put_number(params, wanted.clamp(slider.reach.0, slider.reach.1));
    }

    /// Puts it where its slider stands at `place`, 0 to 1, on the raster of its steps.
    pub fn slide(self, params: &mut SamplingParams, place: f64) {
        let Some(slider) = self.spec().slider else { return };
        let (least, most) = slider.ends;
        let wanted = least + place.clamp(0.0, 1.0) * (most - least);
        self.put_number(params, ((wanted / slider.step).round() * slider.step).clamp(least, most));
    }

    /// Gives it a number, as short as it is shown.
    fn put_number(self, params: &mut SamplingParams, number: f64) {
        // The text is a number in range by its making.
        let _ = self.parse_into(params, &format!("{number:.*}", self.spec().decimals));
    }
}

/// Down from 0 is random, up from random is 0.
fn nudged_seed(seed: Option<u64>, by: i64) -> Option<u64> {
    match seed {
        None => (by > 0).then_some(0),
        Some(seed) => seed.checked_add_signed(by),
    }
}

/// Why a typed value was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// The text is not of the kind that is wanted.
    #[error("{name} wants {wanted}, not `{text}`")]
    NotAValue {
        /// The parameter.
        name: &'static str,
        /// What it takes.
        wanted: String,
        /// What was typed.
        text: String,
    },
    /// It is no list of filters.
    #[error(transparent)]
    NoSamplers(#[from] InvalidSamplers),
    /// The number is outside its range.
    #[error(transparent)]
    OutOfRange(#[from] InvalidSampling),
}

/// A sampling parameter outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} = {value} is out of range: it must be from {least} to {most}")]
pub struct InvalidSampling {
    /// Which one, as config.toml spells it.
    pub name: &'static str,
    /// As it was given.
    pub value: String,
    /// The least allowed.
    pub least: String,
    /// The most allowed.
    pub most: String,
}

/// A field of [`SamplingParams`].
pub(super) trait Field {
    /// Its value.
    fn get(&self) -> ParameterValue;

    /// Takes a value; one of another kind is passed over.
    fn put(&mut self, value: ParameterValue);
}

impl Field for f32 {
    fn get(&self) -> ParameterValue {
        ParameterValue::Number(*self)
    }

    fn put(&mut self, value: ParameterValue) {
        if let ParameterValue::Number(value) = value {
            *self = value;
        }
    }
}

impl Field for u32 {
    fn get(&self) -> ParameterValue {
        ParameterValue::Integer(i64::from(*self))
    }

    fn put(&mut self, value: ParameterValue) {
        if let ParameterValue::Integer(value) = value {
            *self = u32::try_from(value).unwrap_or(if value < 0 { 0 } else { Self::MAX });
        }
    }
}

impl Field for i32 {
    fn get(&self) -> ParameterValue {
        ParameterValue::Integer(i64::from(*self))
    }

    fn put(&mut self, value: ParameterValue) {
        if let ParameterValue::Integer(value) = value {
            *self = i32::try_from(value).unwrap_or(if value < 0 { Self::MIN } else { Self::MAX });
        }
    }
}

impl Field for Option<u64> {
    fn get(&self) -> ParameterValue {
        ParameterValue::Seed(*self)
    }

    fn put(&mut self, value: ParameterValue) {
        if let ParameterValue::Seed(value) = value {
            *self = value;
        }
    }
}

impl Field for Samplers {
    fn get(&self) -> ParameterValue {
        ParameterValue::Samplers(self.clone())
    }

    fn put(&mut self, value: ParameterValue) {
        if let ParameterValue::Samplers(value) = value {
            *self = value;
        }
    }
}

#[cfg(test)]
mod tests;
