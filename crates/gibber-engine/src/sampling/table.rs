//! The tables of the filters and of the parameters. Settings, flags, commands, panels, completion and the chain itself come
//! from them: a new sampler is a row here, its function in [`filters`] and its test.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Samplers;
use super::chain::Act;
use super::filters;
use super::params::{Field, ParameterKind, ParameterSpec, Slider};

macro_rules! filters {
    ($($(#[$doc:meta])* $variant:ident { name: $name:literal, aliases: $aliases:expr, letter: $letter:literal,
        label: $label:literal, act: $act:expr })*) => {
        /// A filter of the chain.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Filter {
            $($(#[$doc])* $variant,)*
        }

        impl Filter {
            /// Every filter, in the order in which they act where nobody has chosen another one.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name in a list of samplers.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Its letter in llama.cpp's short form of such a list.
            pub fn letter(self) -> char {
                match self { $(Self::$variant => $letter),* }
            }

            /// Its name as the panels spell it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label),* }
            }

            /// Other names of it.
            fn aliases(self) -> &'static [&'static str] {
                match self { $(Self::$variant => $aliases),* }
            }

            /// What it does.
            pub(super) fn act(self) -> Act {
                match self { $(Self::$variant => $act),* }
            }
        }
    };
}

filters! {
    /// Makes what was said less likely.
    Penalties { name: "penalties", aliases: &[], letter: 'e', label: "penalties", act: Act::Changes(filters::penalties) }
    /// Too far below the best logit, in standard deviations.
    TopNSigma {
        name: "top_n_sigma", aliases: &["top_nsigma"], letter: 's', label: "n-sigma",
        act: Act::Cuts(filters::top_n_sigma)
    }
    /// Not among the k most probable.
    TopK { name: "top_k", aliases: &["topk"], letter: 'k', label: "top-k", act: Act::Cuts(filters::top_k) }
    /// Too far from the typical surprise.
    TypicalP {
        name: "typ_p", aliases: &["typical", "typical_p", "typ"], letter: 'y', label: "typical",
        act: Act::Cuts(filters::typical_p)
    }
    /// Outside the nucleus.
    TopP { name: "top_p", aliases: &["topp", "nucleus"], letter: 'p', label: "top-p", act: Act::Cuts(filters::top_p) }
    /// Too improbable beside the best.
    MinP { name: "min_p", aliases: &["minp"], letter: 'm', label: "min-p", act: Act::Cuts(filters::min_p) }
    /// Flattens the distribution, or sharpens it.
    Temperature {
        name: "temperature", aliases: &["temp"], letter: 't', label: "temperature",
        act: Act::Changes(filters::temperature)
    }
}

impl Filter {
    /// The filter of this name; dashes count as underscores.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|filter| filter.names().any(|known| known == name))
    }

    /// Its name and the other ones that are understood, underscores between the words.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name()).chain(self.aliases().iter().copied())
    }

    /// The filter of this letter.
    pub fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.letter() == letter)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| serde::de::Error::custom(format!("there is no sampler `{name}`")))
    }
}

macro_rules! parameters {
    ($($(#[$doc:meta])* $variant:ident: $key:ident: $type:ty = $default:expr, { $($row:tt)* })*) => {
        /// How the next token is chosen from the model's distribution. The defaults are those of the `balanced` preset.
        ///
        /// As data it is read with parameters left out: what an earlier version has kept has their defaults, which change
        /// nothing where a parameter is new. One that this version does not know is an error, since without it the tokens
        /// would be others.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct SamplingParams {
            $($(#[$doc])* pub $key: $type,)*
        }

        impl Default for SamplingParams {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        /// A parameter that can be turned.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Parameter {
            $($(#[$doc])* $variant,)*
        }

        /// Every parameter, in the order of the panel.
        pub static PARAMETERS: [ParameterSpec; [$(stringify!($key)),*].len()] = [$(ParameterSpec {
            parameter: Parameter::$variant,
            key: stringify!($key),
            get: |params| params.$key.get(),
            set: |params, value| params.$key.put(value),
            $($row)*
        }),*];
    };
}

/// The slider of a share of the probability.
const SHARE: Slider = Slider { ends: (0.0, 1.0), step: 0.01, large_step: 0.05, reach: (0.0, 1.0) };

/// The slider of what is taken from a logit.
const LOGIT: Slider = Slider { ends: (-2.0, 2.0), step: 0.05, large_step: 0.25, reach: (-2.0, 2.0) };

parameters! {
    /// Divides the logits before the draw; 0 always takes the most probable token (greedy). 0 to 5.
    Temperature: temperature: f32 = 0.8, {
        name: "temperature",
        aliases: &["temp"],
        flag: "temp",
        letter: None,
        value_name: "T",
        label: "temperature",
        short_label: "temp",
        help: "divides the logits: low is cautious, high is bold, 0 always takes the likeliest token",
        kind: ParameterKind::Number { least: 0.0, most: 5.0 },
        decimals: 2,
        slider: Some(Slider { ends: (0.0, 2.0), step: 0.05, large_step: 0.25, reach: (0.0, 5.0) }),
        neutral: 1.0,
        generation_config: Some("temperature"),
        gguf: Some("temp"),
        filter: Some(Filter::Temperature),
    }
    /// Keeps the k most probable tokens; 0 keeps all.
    TopK: top_k: u32 = 40, {
        name: "top-k",
        aliases: &["top_k", "topk"],
        flag: "top-k",
        letter: None,
        value_name: "K",
        label: "top-k",
        short_label: "k",
        help: "keeps the k likeliest tokens; 0 or -1 keeps all",
        kind: ParameterKind::Integer { least: -1, most: u32::MAX as i64 },
        decimals: 0,
        slider: Some(Slider { ends: (0.0, 200.0), step: 1.0, large_step: 10.0, reach: (0.0, 1000.0) }),
        neutral: 0.0,
        generation_config: Some("top_k"),
        gguf: Some("top_k"),
        filter: Some(Filter::TopK),
    }
    /// Keeps the smallest set of most probable tokens whose mass reaches p (Holtzman et al. 2019); 1 keeps all.
    TopP: top_p: f32 = 0.95, {
        name: "top-p",
        aliases: &["top_p", "topp"],
        flag: "top-p",
        letter: None,
        value_name: "P",
        label: "top-p",
        short_label: "p",
        help: "keeps the likeliest tokens up to this share of the probability; 1 keeps all",
        kind: ParameterKind::Number { least: 0.0, most: 1.0 },
        decimals: 2,
        slider: Some(SHARE),
        neutral: 1.0,
        generation_config: Some("top_p"),
        gguf: Some("top_p"),
        filter: Some(Filter::TopP),
    }
    /// Keeps tokens at least this many times as probable as the best one; 0 keeps all.
    MinP: min_p: f32 = 0.05, {
        name: "min-p",
        aliases: &["min_p", "minp"],
        flag: "min-p",
        letter: None,
        value_name: "P",
        label: "min-p",
        short_label: "min-p",
        help: "keeps tokens at least this many times as likely as the best; 0 keeps all",
        kind: ParameterKind::Number { least: 0.0, most: 1.0 },
        decimals: 2,
        slider: Some(SHARE),
        neutral: 0.0,
        generation_config: Some("min_p"),
        gguf: Some("min_p"),
        filter: Some(Filter::MinP),
    }
    /// Divides (positive) or multiplies (negative) the logit of a token that was seen (Keskar et al. 2019); 1 is off.
    RepeatPenalty: repeat_penalty: f32 = 1.0, {
        name: "repeat-penalty",
        aliases: &["repeat_penalty", "repeat"],
        flag: "repeat-penalty",
        letter: None,
        value_name: "R",
        label: "repeat",
        short_label: "repeat",
        help: "makes tokens that were said less likely; 1 is off",
        kind: ParameterKind::Number { least: 0.1, most: 10.0 },
        decimals: 2,
        slider: Some(Slider { ends: (1.0, 2.0), step: 0.01, large_step: 0.1, reach: (0.1, 10.0) }),
        neutral: 1.0,
        generation_config: Some("repetition_penalty"),
        gguf: Some("penalty_repeat"),
        filter: Some(Filter::Penalties),
    }
    /// Makes the draws repeatable; `None` takes a fresh seed for each reply.
    Seed: seed: Option<u64> = None, {
        name: "seed",
        aliases: &[],
        flag: "seed",
        letter: Some('s'),
        value_name: "SEED",
        label: "seed",
        short_label: "seed",
        help: "makes replies repeatable; -1 (`random`) draws a fresh one for each",
        kind: ParameterKind::Seed,
        decimals: 0,
        slider: None,
        neutral: 0.0,
        generation_config: None,
        gguf: None,
        filter: None,
    }
    /// Keeps the tokens whose surprise is nearest the entropy, up to this mass (Meister et al. 2022); 1 keeps all.
    Typical: typical_p: f32 = 1.0, {
        name: "typical",
        aliases: &["typical-p", "typical_p"],
        flag: "typical",
        letter: None,
        value_name: "P",
        label: "typical",
        short_label: "typical",
        help: "keeps the tokens whose surprise is nearest the expected one, up to this share; 1 keeps all",
        kind: ParameterKind::Number { least: 0.0, most: 1.0 },
        decimals: 2,
        slider: Some(SHARE),
        neutral: 1.0,
        generation_config: Some("typical_p"),
        gguf: None,
        filter: Some(Filter::TypicalP),
    }
    /// How many of the last tokens the penalties look at; 0 none, -1 the whole context.
    RepeatLastN: repeat_last_n: i32 = 64, {
        name: "repeat-last-n",
        aliases: &["repeat_last_n"],
        flag: "repeat-last-n",
        letter: None,
        value_name: "N",
        label: "repeat over",
        short_label: "repeat over",
        help: "how many of the last tokens the penalties look at; -1 is the whole context",
        kind: ParameterKind::Integer { least: -1, most: i32::MAX as i64 },
        decimals: 0,
        slider: Some(Slider { ends: (0.0, 512.0), step: 8.0, large_step: 64.0, reach: (-1.0, 8192.0) }),
        neutral: 64.0,
        generation_config: None,
        gguf: Some("penalty_last_n"),
        filter: Some(Filter::Penalties),
    }
    /// Subtracted from the logit of each token that was seen; 0 is off. -2 to 2.
    PresencePenalty: presence_penalty: f32 = 0.0, {
        name: "presence-penalty",
        aliases: &["presence_penalty", "presence"],
        flag: "presence-penalty",
        letter: None,
        value_name: "R",
        label: "presence",
        short_label: "presence",
        help: "taken from the logit of each token that was said; 0 is off",
        kind: ParameterKind::Number { least: -2.0, most: 2.0 },
        decimals: 2,
        slider: Some(LOGIT),
        neutral: 0.0,
        generation_config: None,
        gguf: None,
        filter: Some(Filter::Penalties),
    }
    /// Subtracted from the logit once for each time the token was seen; 0 is off. -2 to 2.
    FrequencyPenalty: frequency_penalty: f32 = 0.0, {
        name: "frequency-penalty",
        aliases: &["frequency_penalty", "frequency"],
        flag: "frequency-penalty",
        letter: None,
        value_name: "R",
        label: "frequency",
        short_label: "frequency",
        help: "taken from the logit once for each time the token was said; 0 is off",
        kind: ParameterKind::Number { least: -2.0, most: 2.0 },
        decimals: 2,
        slider: Some(LOGIT),
        neutral: 0.0,
        generation_config: None,
        gguf: None,
        filter: Some(Filter::Penalties),
    }
    /// Keeps the tokens whose logit is within n standard deviations of the best one (Tang et al. 2024); 0 or less keeps all.
    TopNSigma: top_n_sigma: f32 = 0.0, {
        name: "top-n-sigma",
        aliases: &["top_n_sigma", "top-nsigma", "top_nsigma"],
        flag: "top-nsigma",
        letter: None,
        value_name: "N",
        label: "n-sigma",
        short_label: "n-sigma",
        help: "keeps the tokens whose logit is within n standard deviations of the best; 0 or -1 keeps all",
        kind: ParameterKind::Number { least: -1.0, most: 100.0 },
        decimals: 2,
        slider: Some(Slider { ends: (0.0, 5.0), step: 0.05, large_step: 0.5, reach: (0.0, 100.0) }),
        neutral: 0.0,
        generation_config: None,
        gguf: None,
        filter: Some(Filter::TopNSigma),
    }
    /// The filters that act, in their order.
    Samplers: samplers: Samplers = Samplers::default(), {
        name: "samplers",
        aliases: &["sampler-seq", "sampling-seq"],
        flag: "samplers",
        letter: None,
        value_name: "LIST",
        label: "samplers",
        short_label: "samplers",
        help: "the filters in the order in which they act, with ; between them; those that are left out do nothing",
        kind: ParameterKind::Samplers,
        decimals: 0,
        slider: None,
        neutral: 0.0,
        generation_config: None,
        gguf: Some("sequence"),
        filter: None,
    }
}
