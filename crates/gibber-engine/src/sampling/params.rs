//! What a person can turn while the model speaks.

use serde::{Deserialize, Serialize};

/// How the next token is chosen from the model's distribution.
///
/// The filters act in this order: penalties, top-k, typical-p, top-p, min-p, temperature. The defaults are those of the
/// `balanced` preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Divides the logits before the draw; 0 always takes the most probable token (greedy). 0 to 5.
    pub temperature: f32,
    /// Keeps the k most probable tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the smallest set of most probable tokens whose mass reaches p (Holtzman et al. 2019); 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this many times as probable as the best one; 0 keeps all.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest the entropy, up to this mass (Meister et al. 2022); 1 keeps all.
    pub typical_p: f32,
    /// Divides (positive) or multiplies (negative) the logit of a token that was seen (Keskar et al. 2019); 1 is off.
    pub repeat_penalty: f32,
    /// How many of the last tokens the penalties look at; 0 none, -1 the whole context.
    pub repeat_last_n: i32,
    /// Subtracted from the logit of each token that was seen; 0 is off. -2 to 2.
    pub presence_penalty: f32,
    /// Subtracted from the logit once for each time the token was seen; 0 is off. -2 to 2.
    pub frequency_penalty: f32,
    /// Makes the draws repeatable; `None` takes a fresh seed for each reply.
    pub seed: Option<u64>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
        }
    }
}

/// The built-in presets, most cautious first; `balanced` is the default.
pub const PRESET_NAMES: [&str; 3] = ["precise", "balanced", "creative"];

impl SamplingParams {
    /// A built-in preset by its name, one of [`PRESET_NAMES`]. It leaves the seed open.
    pub fn preset(name: &str) -> Option<Self> {
        let balanced = Self::default();
        match name {
            "precise" => Some(Self { temperature: 0.2, top_k: 20, top_p: 0.9, min_p: 0.1, ..balanced }),
            "balanced" => Some(balanced),
            "creative" => Some(Self { temperature: 1.1, top_k: 0, top_p: 0.98, min_p: 0.03, ..balanced }),
            _ => None,
        }
    }

    /// Checks every parameter against its range.
    ///
    /// # Errors
    /// [`InvalidSampling`] of the first one that is outside, or not a number.
    pub fn validate(&self) -> Result<(), InvalidSampling> {
        // Every top-k means something; a repeat_last_n of any size does, from -1 on.
        let ranges = [
            ("temperature", self.temperature, 0.0, 5.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("typical_p", self.typical_p, 0.0, 1.0),
            ("repeat_penalty", self.repeat_penalty, 0.1, 10.0),
            ("repeat_last_n", self.repeat_last_n as f32, -1.0, i32::MAX as f32),
            ("presence_penalty", self.presence_penalty, -2.0, 2.0),
            ("frequency_penalty", self.frequency_penalty, -2.0, 2.0),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(InvalidSampling { name, value, least, most });
            }
        }
        Ok(())
    }
}

/// A sampling parameter outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name} = {value} is out of range: it must be from {least} to {most}")]
pub struct InvalidSampling {
    /// Which one, as config.toml spells it.
    pub name: &'static str,
    /// What it was.
    pub value: f32,
    /// The least allowed.
    pub least: f32,
    /// The most allowed.
    pub most: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_the_default_is_balanced() {
        for name in PRESET_NAMES {
            let preset = SamplingParams::preset(name).unwrap();
            assert_eq!(preset.validate(), Ok(()), "{name}");
            assert_eq!(preset.seed, None, "{name}");
        }
        assert_eq!(SamplingParams::preset("balanced"), Some(SamplingParams::default()));
        assert_eq!(SamplingParams::preset("Balanced"), None);
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_range() {
        let wrong = SamplingParams { temperature: 7.5, ..SamplingParams::default() };
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "temperature = 7.5 is out of range: it must be from 0 to 5"
        );
        let wrong = SamplingParams { repeat_last_n: -2, ..SamplingParams::default() };
        assert!(wrong.validate().unwrap_err().to_string().starts_with("repeat_last_n = -2 is out of range"));
    }

    #[test]
    fn every_float_refuses_what_is_not_a_number() {
        type Field = fn(&mut SamplingParams) -> &mut f32;
        let fields: [Field; 7] = [
            |p| &mut p.temperature,
            |p| &mut p.top_p,
            |p| &mut p.min_p,
            |p| &mut p.typical_p,
            |p| &mut p.repeat_penalty,
            |p| &mut p.presence_penalty,
            |p| &mut p.frequency_penalty,
        ];
        for (i, field) in fields.iter().enumerate() {
            for bad in [f32::NAN, f32::INFINITY, -3.0, 11.0] {
                let mut params = SamplingParams::default();
                *field(&mut params) = bad;
                assert!(params.validate().is_err(), "field {i} took {bad}");
            }
        }
    }

    #[test]
    fn the_ends_of_a_range_are_inside() {
        let low =
            SamplingParams { repeat_penalty: 0.1, presence_penalty: -2.0, temperature: 0.0, ..Default::default() };
        assert_eq!(low.validate(), Ok(()));
        let high = SamplingParams { top_k: u32::MAX, repeat_last_n: i32::MAX, temperature: 5.0, ..Default::default() };
        assert_eq!(high.validate(), Ok(()));
    }
}
