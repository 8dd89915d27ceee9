//! config.toml, the environment and the flags, resolved once into [`Settings`].
//!
//! [`schema`] says which keys there are and what each takes; [`load`] reads the file and the environment against it;
//! [`edit`] writes changed values back into the text of the file without touching the rest. Nothing here writes files.

pub mod edit;
pub mod keys;
pub mod layers;
pub mod load;
pub mod origins;
pub mod schema;
pub mod theme;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use gibber_engine::sampling::SamplingValues;
use gibber_engine::{CacheType, PromptLookup, SamplingParams};

pub use load::{Problem, SettingsError, line_of_key};

/// Everything a person can set: defaults <- config.toml <- environment <- flags. Of the sampling it is what config.toml says;
/// who else says something of it, [`layers`] has.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The model and how it runs.
    pub model: ModelSettings,
    /// What every conversation starts with.
    pub chat: ChatSettings,
    /// The filters that config.toml names.
    pub sampling: SamplingParams,
    /// The person's own presets of sampling, beside the built-in `precise`, `balanced` and `creative`.
    pub presets: BTreeMap<String, SamplingValues>,
    /// The full screen.
    pub ui: UiSettings,
    /// The person's own keys of the full screen.
    pub keys: keys::KeySettings,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// Name or path; empty is the default model.
    pub name: String,
    /// Tokens the context holds; 0 is the model's own length, at most 8192.
    pub context: usize,
    /// Threads that compute; 0 is one for each core this process may use.
    pub threads: usize,
    /// Prompt tokens computed in one pass.
    pub batch: usize,
    /// Format that weights are quantized to as they are loaded, where they are floats; empty leaves them as they are.
    pub quantize: String,
    /// Format of the keys in the KV cache.
    pub cache_type_k: CacheType,
    /// Format of the values in the KV cache.
    pub cache_type_v: CacheType,
    /// Chat template: empty is the model's own, otherwise a built-in name or a file.
    pub template: String,
    /// Whether replies are drafted from what the chat has said already.
    pub lookup: PromptLookup,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            context: 0,
            threads: 0,
            batch: 512,
            quantize: String::new(),
            cache_type_k: CacheType::default(),
            cache_type_v: CacheType::default(),
            template: String::new(),
            lookup: PromptLookup::default(),
        }
    }
}

/// `[chat]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatSettings {
    /// The system message of a new conversation; empty is the template's own.
    pub system: String,
    /// The most tokens of a reply; 0 is no limit.
    pub max_tokens: usize,
    /// Texts that end a reply.
    pub stop: Vec<String>,
    /// Whether a model that can think before it answers does.
    pub think: Think,
    /// Whether the full screen has the model read a message while it is being written.
    pub prefill_ahead: bool,
}

impl Default for ChatSettings {
    fn default() -> Self {
        let (system, stop) = (String::new(), Vec::new());
        Self { system, max_tokens: 0, stop, think: Think::default(), prefill_ahead: true }
    }
}

/// What [`max_tokens`] takes, to be read after "must be".
pub const MAX_TOKENS_WANTED: &str = "a whole number: 1 or more, or -1 (also 0) for no limit";

/// The most tokens of a reply, 0 for no limit, from the number that stands for it on the command line, in a chat and in
/// config.toml: 0, -1, and llama.cpp's -2 (until the context is full, where a reply ends here in any case) are no limit.
pub fn max_tokens(number: i64) -> Option<usize> {
    match number {
        -2..=0 => Some(0),
        _ => usize::try_from(number).ok(),
    }
}

/// Whether a model thinks before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Think {
    /// As its chat template has it.
    #[default]
    Auto,
    /// It does.
    On,
    /// It does not.
    Off,
}

impl Think {
    /// In the order of [`Think::ALL`].
    pub const NAMES: [&str; 3] = ["auto", "on", "off"];
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::On, Self::Off];

    /// The name in config.toml.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The choice of that name; `true` and `false` are names too, as ollama has them.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "true" => Some(Self::On),
            "false" => Some(Self::Off),
            name => Self::ALL.into_iter().find(|choice| choice.name() == name),
        }
    }

    /// What is said where a chat template cannot be told.
    pub fn without_switch(self) -> String {
        format!(
            "the chat template has no switch for thinking: think = {} changes nothing, the model does as it was taught",
            self.name()
        )
    }

    /// What a chat template is told.
    pub fn for_template(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::On => Some(true),
            Self::Off => Some(false),
        }
    }
}

/// What the heat map of the conversation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Heat {
    /// Nothing: the conversation is text.
    #[default]
    Off,
    /// How probable each token was.
    Probability,
    /// How many tokens were more probable.
    Rank,
    /// How undecided the model was.
    Entropy,
}

impl Heat {
    /// In the order of [`Heat::ALL`].
    pub const NAMES: [&str; 4] = ["off", "probability", "rank", "entropy"];
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Off, Self::Probability, Self::Rank, Self::Entropy];

    /// The name in config.toml.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The choice of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name)
    }

    /// The choice after this one, round the end.
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }
}

/// `[ui]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UiSettings {
    /// Whether the mouse scrolls, selects and clicks (and the terminal's own selection needs Shift).
    pub mouse: bool,
    /// Whether the side panels are shown where there is room.
    pub panels: bool,
    /// Whether a person who is here for the first time is told what to try.
    pub hints: bool,
    /// Whether lines, bars and marks are drawn in ASCII.
    pub ascii: bool,
    /// Whether replies are rendered as Markdown.
    pub markdown: bool,
    /// The theme: a built-in one, or the name of a file in the folder of themes.
    pub theme: String,
    /// What the heat map of the conversation shows at the start.
    pub heat: Heat,
}

impl Default for UiSettings {
    fn default() -> Self {
        let (theme, heat) = (theme::DEFAULT.to_owned(), Heat::Off);
        Self { mouse: true, panels: true, hints: true, ascii: false, markdown: true, theme, heat }
    }
}

#[cfg(test)]
mod tests;
