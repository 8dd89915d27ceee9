//! The sampling parameters as a person turns them: names, ranges, steps, and values that are typed.
//!
//! The sampling panel, `/set`, the direct forms (`/temperature 0.7`) and the line REPL all come here, so that they take
//! and refuse the same.

use gibber_engine::SamplingParams;
use gibber_engine::sampling::PRESET_NAMES;

/// A parameter that can be turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// [`SamplingParams::temperature`]
    Temperature,
    /// [`SamplingParams::top_k`]
    TopK,
    /// [`SamplingParams::top_p`]
    TopP,
    /// [`SamplingParams::min_p`]
    MinP,
    /// [`SamplingParams::typical_p`]
    Typical,
    /// [`SamplingParams::repeat_penalty`]
    RepeatPenalty,
    /// [`SamplingParams::repeat_last_n`]
    RepeatLastN,
    /// [`SamplingParams::presence_penalty`]
    PresencePenalty,
    /// [`SamplingParams::frequency_penalty`]
    FrequencyPenalty,
    /// [`SamplingParams::seed`]
    Seed,
}

/// What is known of a parameter.
#[derive(Debug)]
pub struct ParameterSpec {
    /// Which one.
    pub parameter: Parameter,
    /// Its name, as the flags spell it.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// Its name in the panel.
    pub label: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// What the two ends of its slider stand for; values beyond them can be typed.
    pub slider: (f64, f64),
    /// How far an arrow key moves it.
    pub step: f64,
    /// How far Shift and an arrow key move it.
    pub large_step: f64,
    /// How many digits follow its point.
    pub decimals: usize,
    /// The value that leaves the distribution as it is.
    pub neutral: f64,
}

/// Every parameter, in the order of the panel.
pub const PARAMETERS: [ParameterSpec; 10] = [
    ParameterSpec {
        parameter: Parameter::Temperature,
        name: "temperature",
        aliases: &["temp"],
        label: "temperature",
        help: "divides the logits: low is cautious, high is bold, 0 always takes the likeliest token",
        slider: (0.0, 2.0),
        step: 0.05,
        large_step: 0.25,
        decimals: 2,
        neutral: 1.0,
    },
    ParameterSpec {
        parameter: Parameter::TopK,
        name: "top-k",
        aliases: &["top_k", "topk"],
        label: "top-k",
        help: "keeps the k likeliest tokens; 0 keeps all",
        slider: (0.0, 200.0),
        step: 1.0,
        large_step: 10.0,
        decimals: 0,
        neutral: 0.0,
    },
    ParameterSpec {
        parameter: Parameter::TopP,
        name: "top-p",
        aliases: &["top_p", "topp"],
        label: "top-p",
        help: "keeps the likeliest tokens up to this share of the probability; 1 keeps all",
        slider: (0.0, 1.0),
        step: 0.01,
        large_step: 0.05,
        decimals: 2,
        neutral: 1.0,
    },
    ParameterSpec {
        parameter: Parameter::MinP,
        name: "min-p",
        aliases: &["min_p", "minp"],
        label: "min-p",
        help: "keeps tokens at least this many times as likely as the best; 0 keeps all",
        slider: (0.0, 1.0),
        step: 0.01,
        large_step: 0.05,
        decimals: 2,
        neutral: 0.0,
    },
    ParameterSpec {
        parameter: Parameter::RepeatPenalty,
        name: "repeat-penalty",
        aliases: &["repeat_penalty", "repeat"],
        label: "repeat",
        help: "makes tokens that were said less likely; 1 is off",
        slider: (1.0, 2.0),
        step: 0.01,
        large_step: 0.1,
        decimals: 2,
        neutral: 1.0,
    },
    ParameterSpec {
        parameter: Parameter::Seed,
        name: "seed",
        aliases: &[],
        label: "seed",
        help: "makes replies repeatable; `random` draws a fresh one for each",
        slider: (0.0, 100.0),
        step: 1.0,
        large_step: 10.0,
        decimals: 0,
        neutral: 0.0,
    },
    ParameterSpec {
        parameter: Parameter::Typical,
        name: "typical",
        aliases: &["typical-p", "typical_p"],
        label: "typical",
        help: "keeps the tokens whose surprise is nearest the expected one, up to this share; 1 keeps all",
        slider: (0.0, 1.0),
        step: 0.01,
        large_step: 0.05,
        decimals: 2,
        neutral: 1.0,
    },
    ParameterSpec {
        parameter: Parameter::RepeatLastN,
        name: "repeat-last-n",
        aliases: &["repeat_last_n"],
        label: "repeat over",
        help: "how many of the last tokens the penalties look at; -1 is the whole context",
        slider: (0.0, 512.0),
        step: 8.0,
        large_step: 64.0,
        decimals: 0,
        neutral: 0.0,
    },
    ParameterSpec {
        parameter: Parameter::PresencePenalty,
        name: "presence-penalty",
        aliases: &["presence_penalty", "presence"],
        label: "presence",
        help: "taken from the logit of each token that was said; 0 is off",
        slider: (-2.0, 2.0),
        step: 0.05,
        large_step: 0.25,
        decimals: 2,
        neutral: 0.0,
    },
    ParameterSpec {
        parameter: Parameter::FrequencyPenalty,
        name: "frequency-penalty",
        aliases: &["frequency_penalty", "frequency"],
        label: "frequency",
        help: "taken from the logit once for each time the token was said; 0 is off",
        slider: (-2.0, 2.0),
        step: 0.05,
        large_step: 0.25,
        decimals: 2,
        neutral: 0.0,
    },
];

/// Why a typed value was not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// The text is not a number of the kind that is wanted.
    #[error("{name} wants {wanted}, not `{text}`")]
    NotAValue {
        /// The parameter.
        name: &'static str,
        /// What it takes.
        wanted: &'static str,
        /// What was typed.
        text: String,
    },
    /// The number is outside its range.
    #[error("{0}")]
    OutOfRange(#[from] gibber_engine::sampling::InvalidSampling),
}

impl Parameter {
    /// What is known of it.
    pub fn spec(self) -> &'static ParameterSpec {
        PARAMETERS.iter().find(|spec| spec.parameter == self).unwrap_or(&PARAMETERS[0])
    }

    /// The parameter of this exact name or alias.
    pub fn named(name: &str) -> Option<Self> {
        PARAMETERS.iter().find(|spec| spec.name == name || spec.aliases.contains(&name)).map(|spec| spec.parameter)
    }

    /// Its value; `None` for a random seed.
    pub fn value(self, params: &SamplingParams) -> Option<f64> {
        let value = match self {
            Self::Temperature => params.temperature,
            Self::TopK => return Some(f64::from(params.top_k)),
            Self::TopP => params.top_p,
            Self::MinP => params.min_p,
            Self::Typical => params.typical_p,
            Self::RepeatPenalty => params.repeat_penalty,
            Self::RepeatLastN => return Some(f64::from(params.repeat_last_n)),
            Self::PresencePenalty => params.presence_penalty,
            Self::FrequencyPenalty => params.frequency_penalty,
            Self::Seed => return params.seed.map(|seed| seed as f64),
        };
        Some(f64::from(value))
    }

    /// Its value as a person reads it.
    pub fn display(self, params: &SamplingParams) -> String {
        match self {
            Self::Seed => params.seed.map_or_else(|| "random".to_owned(), |seed| seed.to_string()),
            _ => format!("{:.*}", self.spec().decimals, self.value(params).unwrap_or(0.0)),
        }
    }

    /// Where its slider stands, 0 to 1; `None` for the seed, which has none.
    pub fn fraction(self, params: &SamplingParams) -> Option<f64> {
        if self == Self::Seed {
            return None;
        }
        let (least, most) = self.spec().slider;
        self.value(params).map(|value| ((value - least) / (most - least)).clamp(0.0, 1.0))
    }

    /// Sets it from a text.
    ///
    /// # Errors
    /// [`ParameterError`] where the text is not a number or out of range; `params` is then unchanged.
    pub fn parse_into(self, params: &mut SamplingParams, text: &str) -> Result<(), ParameterError> {
        let mut changed = params.clone();
        let text = text.trim();
        match self {
            Self::Temperature => changed.temperature = self.float(text)?,
            Self::TopK => changed.top_k = self.whole(text, "a whole number from 0 on")?,
            Self::TopP => changed.top_p = self.float(text)?,
            Self::MinP => changed.min_p = self.float(text)?,
            Self::Typical => changed.typical_p = self.float(text)?,
            Self::RepeatPenalty => changed.repeat_penalty = self.float(text)?,
            Self::RepeatLastN => changed.repeat_last_n = self.whole(text, "a whole number from -1 on")?,
            Self::PresencePenalty => changed.presence_penalty = self.float(text)?,
            Self::FrequencyPenalty => changed.frequency_penalty = self.float(text)?,
            Self::Seed => {
                changed.seed = match text {
                    "random" | "-1" => None,
                    _ => Some(self.whole(text, "a whole number from 0 on, or `random`")?),
                }
            }
        }
        changed.validate()?;
        *params = changed;
        Ok(())
    }

    /// Moves it by `steps` (large ones where `large`), as far as its range goes.
    pub fn nudge(self, params: &mut SamplingParams, steps: i32, large: bool) {
        if self == Self::Seed {
            return nudge_seed(params, i64::from(steps) * if large { 10 } else { 1 });
        }
        let spec = self.spec();
        let step = if large { spec.large_step } else { spec.step };
        let value = self.value(params).unwrap_or(spec.neutral);
        // On the step's own raster, so that 0.83 goes to 0.85 and not to 0.88.
        let raster = value / step;
        let nearest = if steps > 0 { (raster + 1e-6).floor() } else { (raster - 1e-6).ceil() };
        let wanted = (nearest + f64::from(steps)) * step;
        let (least, most) = self.range();
        let text = format!("{:.*}", spec.decimals, wanted.clamp(least, most));
        // The text is a number in range by its making.
        let _ = self.parse_into(params, &text);
    }

    /// Puts it where its slider stands at `place`, 0 to 1, on the raster of its steps; the seed has no slider.
    pub fn slide(self, params: &mut SamplingParams, place: f64) {
        if self == Self::Seed {
            return;
        }
        let spec = self.spec();
        let (least, most) = spec.slider;
        let wanted = least + place.clamp(0.0, 1.0) * (most - least);
        let value = ((wanted / spec.step).round() * spec.step).clamp(least, most);
        // The text is a number in range by its making.
        let _ = self.parse_into(params, &format!("{value:.*}", spec.decimals));
    }

    /// Puts it back to what the `balanced` preset has.
    pub fn reset(self, params: &mut SamplingParams) {
        let text = self.display(&SamplingParams::default());
        let _ = self.parse_into(params, &text);
    }

    /// How far the arrow keys go; the ends are [`SamplingParams::validate`]'s, but for counts, which it leaves open.
    fn range(self) -> (f64, f64) {
        match self {
            Self::Temperature => (0.0, 5.0),
            Self::TopK => (0.0, 1000.0),
            Self::TopP | Self::MinP | Self::Typical => (0.0, 1.0),
            Self::RepeatPenalty => (0.1, 10.0),
            Self::RepeatLastN => (-1.0, 8192.0),
            Self::PresencePenalty | Self::FrequencyPenalty => (-2.0, 2.0),
            Self::Seed => (0.0, f64::MAX),
        }
    }

    fn float(self, text: &str) -> Result<f32, ParameterError> {
        // A decimal comma is what many keyboards give.
        match text.replace(',', ".").parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.not_a_value(text, "a number")),
        }
    }

    fn whole<T: std::str::FromStr>(self, text: &str, wanted: &'static str) -> Result<T, ParameterError> {
        text.parse().map_err(|_| self.not_a_value(text, wanted))
    }

    fn not_a_value(self, text: &str, wanted: &'static str) -> ParameterError {
        ParameterError::NotAValue { name: self.spec().name, wanted, text: text.to_owned() }
    }
}

/// Down from 0 is `random`, up from `random` is 0.
fn nudge_seed(params: &mut SamplingParams, by: i64) {
    params.seed = match params.seed {
        None if by > 0 => Some(0),
        None => None,
        Some(seed) => seed.checked_add_signed(by),
    };
}

/// The built-in preset that `params` is, whatever its seed.
pub fn preset_of(params: &SamplingParams) -> Option<&'static str> {
    let seedless = SamplingParams { seed: None, ..params.clone() };
    PRESET_NAMES.into_iter().find(|name| SamplingParams::preset(name).as_ref() == Some(&seedless))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default() -> SamplingParams {
        SamplingParams::default()
    }

    #[test]
    fn names_match_exactly() {
        assert_eq!(Parameter::named("temp"), Some(Parameter::Temperature));
        assert_eq!(Parameter::named("top_k"), Some(Parameter::TopK));
        assert_eq!(Parameter::named("te"), None);
        assert_eq!(Parameter::named("Temperature"), None);
    }

    #[test]
    fn typed_values_are_checked_and_a_refused_one_changes_nothing() {
        let mut params = default();
        Parameter::Temperature.parse_into(&mut params, "0,7").unwrap();
        assert_eq!(params.temperature, 0.7);
        let error = Parameter::Temperature.parse_into(&mut params, "9").unwrap_err();
        assert_eq!(error.to_string(), "temperature = 9 is out of range: it must be from 0 to 5");
        let error = Parameter::TopK.parse_into(&mut params, "1.5").unwrap_err();
        assert_eq!(error.to_string(), "top-k wants a whole number from 0 on, not `1.5`");
        for text in ["nan", "inf", "", "x"] {
            assert!(Parameter::MinP.parse_into(&mut params, text).is_err(), "{text}");
        }
        assert_eq!(params, SamplingParams { temperature: 0.7, ..default() });
    }

    #[test]
    fn arrows_keep_to_the_raster_and_stop_at_the_ends() {
        let mut params = SamplingParams { temperature: 0.83, ..default() };
        Parameter::Temperature.nudge(&mut params, 1, false);
        assert_eq!(params.temperature, 0.85);
        Parameter::Temperature.nudge(&mut params, -1, true);
        assert_eq!(params.temperature, 0.75);
        for _ in 0..100 {
            Parameter::Temperature.nudge(&mut params, -1, false);
        }
        assert_eq!(params.temperature, 0.0);
        for _ in 0..3 {
            Parameter::TopP.nudge(&mut params, 1, true);
        }
        assert_eq!(params.top_p, 1.0);
    }

    #[test]
    fn every_parameter_moves_both_ways_within_its_range() {
        for spec in &PARAMETERS {
            for large in [false, true] {
                let mut params = default();
                for _ in 0..3000 {
                    spec.parameter.nudge(&mut params, -1, large);
                    assert_eq!(params.validate(), Ok(()), "{}", spec.name);
                }
                let low = spec.parameter.value(&params);
                for _ in 0..3 {
                    spec.parameter.nudge(&mut params, 1, large);
                }
                assert_ne!(spec.parameter.value(&params), low, "{}", spec.name);
                assert_eq!(params.validate(), Ok(()), "{}", spec.name);
            }
        }
    }

    #[test]
    fn the_seed_goes_down_to_random() {
        let mut params = default();
        Parameter::Seed.nudge(&mut params, 1, false);
        assert_eq!(params.seed, Some(0));
        Parameter::Seed.nudge(&mut params, -1, false);
        assert_eq!(params.seed, None);
        Parameter::Seed.parse_into(&mut params, "18446744073709551615").unwrap();
        assert_eq!(Parameter::Seed.display(&params), "18446744073709551615");
        Parameter::Seed.parse_into(&mut params, "random").unwrap();
        assert_eq!(Parameter::Seed.display(&params), "random");
    }

    #[test]
    fn a_preset_is_known_whatever_the_seed() {
        let params = SamplingParams { seed: Some(3), ..SamplingParams::preset("creative").unwrap() };
        assert_eq!(preset_of(&params), Some("creative"));
        assert_eq!(preset_of(&SamplingParams { top_k: 41, ..default() }), None);
    }
}
