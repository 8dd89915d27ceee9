//! The lanes of a comparison as a person writes them: `precise temperature=0.2,top-k=10 seed=7 3`.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

use super::parameters::{PARAMETERS, Parameter};
use super::setup::Setup;
use crate::settings::layers::LayeredSampling;
use gibber_engine::SamplingParams;

/// The most lanes of a comparison.
const MOST_VARIANTS: usize = 4;

/// Seeds that are drawn for lanes are below this: short enough to be read and typed again.
const SEEDS: u64 = 100_000;

/// What ends the lanes: a question follows.
const QUESTION: &str = "--";

/// A lane as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VariantSetting {
    /// What it is called.
    pub(super) label: String,
    /// The filters, with the seed that it draws with.
    pub(super) sampling: SamplingParams,
    /// Those of them that are the model's.
    pub(super) open: Vec<Parameter>,
    has_own_seed: bool,
}

impl VariantSetting {
    fn of(sampling: &LayeredSampling, label: String, has_own_seed: bool) -> Self {
        Self { label, sampling: sampling.in_force().clone(), open: sampling.open(), has_own_seed }
    }
}

/// The words of the lanes, and the question after `--`.
pub(super) fn split_question(argument: &str) -> (&str, Option<&str>) {
    let at = argument.match_indices(QUESTION).map(|(at, _)| at).find(|&at| {
        let (before, after) = (&argument[..at], &argument[at + QUESTION.len()..]);
        let ends = after.is_empty() || after.starts_with(char::is_whitespace);
        (before.is_empty() || before.ends_with(char::is_whitespace)) && ends
    });
    match at {
        Some(at) => (argument[..at].trim_end(), Some(argument[at + QUESTION.len()..].trim())),
        None => (argument, None),
    }
}

impl Setup {
    /// The lanes that `words` ask for; without any, the present filters beside two presets.
    pub(super) fn variant_settings(&self, words: &str, random: &mut Pcg64Mcg) -> Result<Vec<VariantSetting>, String> {
        let mut variants = Vec::new();
        for word in words.split_whitespace() {
            match count(word) {
                Some(0) => return Err(format!("`{word}` asks for no lane: a number of fresh seeds is 1 or more")),
                Some(count) => {
                    let variant = VariantSetting { has_own_seed: false, ..self.present_variant() };
                    let fresh = SamplingParams { seed: None, ..variant.sampling.clone() };
                    // One more than is allowed is enough to be refused.
                    let count = count.min(MOST_VARIANTS + 1);
                    variants.extend(vec![VariantSetting { label: String::new(), sampling: fresh, ..variant }; count]);
                }
                None => variants.push(self.variant_of(word)?),
            }
        }
        match variants.len() {
            0 => variants = self.usual_variants(),
            1 => variants.insert(0, self.present_variant()),
            _ => {}
        }
        if variants.len() > MOST_VARIANTS {
            return Err(format!("/compare makes 2 to {MOST_VARIANTS} lanes, and `{words}` asks for more"));
        }
        give_seeds(&mut variants, random.next_u64() % SEEDS);
        refuse_twins(&variants)?;
        Ok(variants)
    }

    /// The filters in force as a lane.
    fn present_variant(&self) -> VariantSetting {
        let label = self.preset().unwrap_or("present").to_owned();
        VariantSetting::of(&self.sampling, label, false)
    }

    fn usual_variants(&self) -> Vec<VariantSetting> {
        let present = self.present_variant();
        let others = ["precise", "creative", "balanced"].into_iter().filter(|name| present.label != *name).take(2);
        let others: Vec<VariantSetting> = others.filter_map(|name| self.variant_of(name).ok()).collect();
        std::iter::once(present).chain(others).collect()
    }

    /// A lane from a preset and parameters, `creative,top-k=10`.
    fn variant_of(&self, word: &str) -> Result<VariantSetting, String> {
        let (mut sampling, mut has_own_seed) = (self.sampling.clone(), false);
        let (mut labels, mut set) = (Vec::new(), Vec::new());
        if word.starts_with(QUESTION) {
            return Err(format!("`{word}`: a space belongs behind {QUESTION}, and then the question"));
        }
        if word.split(',').any(str::is_empty) {
            return Err(format!(
                "`{word}` has a comma with nothing beside it: a lane is written without spaces, such as creative,top-k=10"
            ));
        }
        for part in word.split(',') {
            match part.split_once('=') {
                Some((name, value)) => {
                    let parameter = Parameter::named(name).ok_or_else(|| self.no_such_variant(part))?;
                    if set.contains(&parameter) {
                        let name = parameter.spec().name;
                        return Err(format!("`{word}` sets {name} twice: a space between them makes two lanes"));
                    }
                    set.push(parameter);
                    let value = parameter.spec().parse(value).map_err(|error| error.to_string())?;
                    sampling.set(parameter, value);
                    has_own_seed |= parameter == Parameter::Seed && sampling.in_force().seed.is_some();
                    labels.push(format!("{} {}", parameter.spec().name, parameter.display(sampling.in_force())));
                }
                None => {
                    let preset = self.preset_named(part).ok_or_else(|| self.no_such_variant(part))?;
                    if !labels.is_empty() {
                        return Err(format!(
                            "`{word}`: the preset {part} would undo what stands before it; it comes first, and one lane has one"
                        ));
                    }
                    sampling.choose_preset(&preset);
                    labels.push(part.to_owned());
                }
            }
        }
        Ok(VariantSetting::of(&sampling, labels.join(" · "), has_own_seed))
    }

    fn no_such_variant(&self, word: &str) -> String {
        let presets = self.preset_names().join(", ");
        format!(
            "`{word}` is no lane: a lane is a preset ({presets}), NAME=VALUE of parameters or a number of fresh seeds; a question comes after {QUESTION}"
        )
    }

    /// What a lane can be made of, each with a word on it.
    pub(super) fn variant_words(&self) -> Vec<(String, String)> {
        let presets = self.preset_names().into_iter().map(|name| (name, "a preset".to_owned()));
        let counts = (2..=MOST_VARIANTS).map(|count| (count.to_string(), "as many fresh seeds".to_owned()));
        let parameters = PARAMETERS.iter().map(|spec| (format!("{}=", spec.name), spec.help.to_owned()));
        presets.chain(counts).chain(parameters).collect()
    }
}

/// A number of lanes; what is too large to be counted is as many as can be.
fn count(word: &str) -> Option<usize> {
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| word.parse().unwrap_or(usize::MAX))
}

/// Lanes that would say the same are no comparison.
///
/// # Errors
/// Which two they are, and why.
fn refuse_twins(variants: &[VariantSetting]) -> Result<(), String> {
    for (at, variant) in variants.iter().enumerate() {
        let seedless = |params: &SamplingParams| SamplingParams { seed: None, ..params.clone() };
        let is_twin = |other: &VariantSetting| match variant.sampling.is_greedy() {
            true => seedless(&other.sampling) == seedless(&variant.sampling),
            false => other.sampling == variant.sampling,
        };
        if let Some(other) = variants[..at].iter().position(is_twin) {
            let why = if variant.sampling.is_greedy() { ": at temperature 0 no seed changes anything" } else { "" };
            return Err(format!("lanes {} and {} would say the same{why}", other + 1, at + 1));
        }
    }
    Ok(())
}

/// Lanes without a seed of their own draw with the same one, so that what differs is the setting; where the setting is the
/// same too, with the next one.
fn give_seeds(variants: &mut [VariantSetting], drawn: u64) {
    for at in 0..variants.len() {
        let (before, rest) = variants.split_at_mut(at);
        let variant = &mut rest[0];
        if variant.has_own_seed {
            continue;
        }
        variant.sampling.seed = variant.sampling.seed.or(Some(drawn));
        while before.iter().any(|other| other.sampling == variant.sampling) {
            variant.sampling.seed = variant.sampling.seed.map(|seed| seed.wrapping_add(1));
        }
        if variant.label.is_empty() {
            variant.label = format!("seed {}", variant.sampling.seed.unwrap_or(drawn));
        }
    }
}

/// `temperature 0.20 · top-k 10`: those parameters of `sampling` in which any of `others` differs.
pub(super) fn differences<'a>(
    sampling: &SamplingParams,
    others: impl Iterator<Item = &'a SamplingParams> + Clone,
) -> String {
    let differs = |parameter: &Parameter| {
        let value = parameter.get(sampling);
        others.clone().any(|other| parameter.get(other) != value)
    };
    let parameters = PARAMETERS.iter().map(|spec| spec.parameter).filter(differs);
    let texts: Vec<String> =
        parameters.map(|parameter| format!("{} {}", parameter.spec().name, parameter.display(sampling))).collect();
    texts.join(" · ")
}

#[cfg(test)]
mod tests {
    use rand_pcg::rand_core::SeedableRng;

    use super::*;
    use crate::app::parameters::ParameterValue;
    use crate::settings::Settings;
    use crate::settings::layers::Given;

    fn setup() -> Setup {
        Setup::new(Settings::default(), Given::default())
    }

    fn variants(words: &str) -> Result<Vec<VariantSetting>, String> {
        setup().variant_settings(words, &mut Pcg64Mcg::seed_from_u64(7))
    }

    fn labels(variants: Vec<VariantSetting>) -> Vec<String> {
        variants.into_iter().map(|variant| variant.label).collect()
    }

    #[test]
    fn variants_are_presets_parameters_and_seeds() {
        let variants = variants("temp=0.2,top-k=10 creative,top_p=0.5 seed=7").unwrap();
        let said: Vec<&str> = variants.iter().map(|variant| variant.label.as_str()).collect();
        assert_eq!(said, ["temperature 0.20 · top-k 10", "creative · top-p 0.50", "seed 7"]);
        assert_eq!((variants[0].sampling.temperature, variants[0].sampling.top_k), (0.2, 10));
        assert_eq!((variants[1].sampling.temperature, variants[1].sampling.top_p), (1.1, 0.5));
        assert_eq!(variants[2].sampling, SamplingParams { seed: Some(7), ..SamplingParams::default() });
        assert_eq!(variants[0].sampling.seed, variants[1].sampling.seed, "the setting differs, not the luck");
    }

    #[test]
    fn what_is_not_said_is_the_present_sampling_and_two_presets() {
        assert_eq!(labels(variants("").unwrap()), ["balanced", "precise", "creative"]);
        assert_eq!(labels(variants("precise").unwrap()), ["balanced", "precise"]);
        let mut setup = setup();
        setup.sampling.choose_preset(&setup.preset_named("precise").unwrap());
        assert_eq!(
            labels(setup.variant_settings("", &mut Pcg64Mcg::seed_from_u64(7)).unwrap()),
            ["precise", "creative", "balanced"]
        );
    }

    #[test]
    fn a_number_is_as_many_fresh_seeds() {
        let mut setup = setup();
        setup.sampling.set(Parameter::Seed, ParameterValue::Seed(Some(5)));
        let variants = setup.variant_settings("3", &mut Pcg64Mcg::seed_from_u64(7)).unwrap();
        let seeds: Vec<u64> = variants.iter().filter_map(|variant| variant.sampling.seed).collect();
        assert!(seeds.len() == 3 && seeds[0] != seeds[1] && seeds[1] != seeds[2] && !seeds.contains(&5), "{seeds:?}");
        assert_eq!(variants[2].label, format!("seed {}", seeds[2]));
        let same = setup.variant_settings("creative creative", &mut Pcg64Mcg::seed_from_u64(7)).unwrap();
        assert_ne!(same[0].sampling.seed, same[1].sampling.seed, "two of the same would say the same");
    }

    #[test]
    fn what_is_no_variant_is_told_in_a_sentence() {
        for (words, part) in [
            ("presise creative", "`presise` is no lane: a lane is a preset (precise, balanced, creative, model)"),
            ("warmth=3", "`warmth=3` is no lane"),
            ("temp=9", "temperature = 9 is out of range: it must be from 0 to 5"),
            ("top-k=x", "top-k wants a whole number"),
            ("5", "/compare makes 2 to 4 lanes, and `5` asks for more"),
            ("3 precise creative", "asks for more"),
            ("99999999999999999999999999", "asks for more"),
            ("0", "`0` asks for no lane: a number of fresh seeds is 1 or more"),
            ("precise 0", "`0` asks for no lane"),
            (",", "`,` has a comma with nothing beside it"),
            ("temp=0.5, top-k=3", "`temp=0.5,` has a comma with nothing beside it"),
            ("creative,,temp=1", "a lane is written without spaces, such as creative,top-k=10"),
            ("temp=0.5,temp=0.6", "`temp=0.5,temp=0.6` sets temperature twice: a space between them makes two lanes"),
            ("temp=0.5,temperature=0.6", "sets temperature twice"),
            ("temp=0.2,creative", "the preset creative would undo what stands before it"),
            ("precise,creative", "the preset creative would undo what stands before it"),
            ("seed=7 seed=7", "lanes 1 and 2 would say the same"),
            ("temp=0,top-k=3 temp=0,top-k=3", "at temperature 0 no seed changes anything"),
            ("--What?", "`--What?`: a space belongs behind --"),
            ("=3", "`=3` is no lane"),
            ("-1", "`-1` is no lane"),
        ] {
            let error = super::tests::variants(words).unwrap_err();
            assert!(error.contains(part), "{words}: {error}");
        }
    }

    #[test]
    fn a_question_comes_after_two_dashes() {
        assert_eq!(split_question("precise 2 -- What -- and why?\nNow"), ("precise 2", Some("What -- and why?\nNow")));
        assert_eq!(split_question("-- What?"), ("", Some("What?")));
        assert_eq!(split_question("presence-penalty=-1"), ("presence-penalty=-1", None));
        assert_eq!(split_question(""), ("", None));
        assert_eq!(split_question("2 --"), ("2", Some("")));
        assert_eq!(split_question("--"), ("", Some("")));
    }

    #[test]
    fn only_what_differs_is_told() {
        let (one, two) = (SamplingParams::default(), SamplingParams { top_k: 3, ..SamplingParams::default() });
        assert_eq!(differences(&one, [&two].into_iter()), "top-k 40");
        assert_eq!(differences(&one, [&one].into_iter()), "");
    }
}
