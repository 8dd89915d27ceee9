//! The keys of config.toml: the one table that reading, checking, saving and the documentation's test go by.

use std::fmt;

use super::{Heat, Think};
use gibber_engine::sampling::{self, PARAMETERS, Samplers};
use gibber_engine::{CacheType, FileType, PromptLookup};

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueKind {
    /// A string.
    Text,
    /// A list of strings, none of them empty.
    Texts,
    /// `true` or `false`.
    Switch,
    /// A whole number within a range.
    Integer {
        /// The least allowed.
        least: i64,
        /// The most allowed.
        most: i64,
    },
    /// A number within a range.
    Number {
        /// The least allowed.
        least: f32,
        /// The most allowed.
        most: f32,
    },
    /// The name of a [`FileType`], or nothing.
    FileType,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A seed: a whole number, or -1 or `random` for a fresh one for each reply.
    Seed,
    /// The most tokens of a reply: see [`super::max_tokens`].
    Limit,
    /// Names of filters of the sampling, in a string or a list.
    Samplers,
}

impl fmt::Display for ValueKind {
    /// What is allowed, to be read after "must be".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => write!(f, "a string in quotes"),
            Self::Texts => write!(f, "a list of strings that are not empty, such as [\"User:\"]"),
            Self::Switch => write!(f, "true or false"),
            Self::Integer { least, most: i64::MAX } => write!(f, "a whole number, {least} or more"),
            Self::Integer { least, most } => write!(f, "a whole number from {least} to {most}"),
            Self::Number { least, most } => write!(f, "a number from {least} to {most}"),
            Self::FileType => {
                let names: Vec<_> = FileType::all().map(|kind| format!("\"{}\"", kind.flag())).collect();
                write!(f, "one of {}, or \"\" for none", names.join(", "))
            }
            Self::OneOf(names) => {
                let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
                write!(f, "one of {}", names.join(", "))
            }
            Self::Seed => write!(f, "a whole number, 0 or more, or -1 (\"random\") for a fresh seed for each reply"),
            Self::Limit => f.write_str(super::MAX_TOKENS_WANTED),
            Self::Samplers => f.write_str(&Samplers::wanted()),
        }
    }
}

/// A key of a section.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// As it is spelled.
    pub name: &'static str,
    /// What it takes.
    pub kind: ValueKind,
}

/// A `[section]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Section {
    /// As it is spelled.
    pub name: &'static str,
    /// Its keys, in the order of config.example.toml.
    pub keys: &'static [Key],
}

const fn key(name: &'static str, kind: ValueKind) -> Key {
    Key { name, kind }
}

const fn whole(name: &'static str, least: i64, most: i64) -> Key {
    Key { name, kind: ValueKind::Integer { least, most } }
}

/// The section whose tables are the person's own presets: `[presets.NAME]`, each with the keys of `[sampling]`.
pub const PRESETS: &str = "presets";

/// The section of the keyboard: names of actions with their keys, also in tables within it.
pub const KEYS: &str = "keys";

/// The keys of the table of parameters.
static SAMPLING_KEYS: [Key; PARAMETERS.len()] = {
    let mut keys = [key("", ValueKind::Seed); PARAMETERS.len()];
    let mut at = 0;
    while at < keys.len() {
        let kind = match PARAMETERS[at].kind {
            sampling::ParameterKind::Number { least, most } => ValueKind::Number { least, most },
            sampling::ParameterKind::Integer { least, most } => ValueKind::Integer { least, most },
            sampling::ParameterKind::Seed => ValueKind::Seed,
            sampling::ParameterKind::Samplers => ValueKind::Samplers,
        };
        keys[at] = key(PARAMETERS[at].key, kind);
        at += 1;
    }
    keys
};

/// The keys of `[sampling]` and of each preset.
pub static SAMPLING: Section = Section { name: "sampling", keys: &SAMPLING_KEYS };

/// The section of what is said to the model.
pub(super) const CHAT: &str = "chat";

/// The key of the longest reply.
pub(super) const MAX_TOKENS: &str = "max_tokens";

/// A format of the KV cache.
const CACHE_TYPE: ValueKind = ValueKind::OneOf(&CacheType::NAMES);

/// Every section but [`PRESETS`] and [`KEYS`].
pub static SECTIONS: [Section; 4] = [
    Section {
        name: "model",
        keys: &[
            key("name", ValueKind::Text),
            whole("context", 0, i64::MAX),
            whole("threads", 0, 1024),
            whole("batch", 1, 65_536),
            key("quantize", ValueKind::FileType),
            key("cache_type_k", CACHE_TYPE),
            key("cache_type_v", CACHE_TYPE),
            key("template", ValueKind::Text),
            key("lookup", ValueKind::OneOf(&PromptLookup::NAMES)),
        ],
    },
    Section {
        name: CHAT,
        keys: &[
            key("system", ValueKind::Text),
            key(MAX_TOKENS, ValueKind::Limit),
            key("stop", ValueKind::Texts),
            key("think", ValueKind::OneOf(&Think::NAMES)),
            key("prefill_ahead", ValueKind::Switch),
        ],
    },
    Section { name: SAMPLING.name, keys: &SAMPLING_KEYS },
    Section {
        name: "ui",
        keys: &[
            key("mouse", ValueKind::Switch),
            key("panels", ValueKind::Switch),
            key("hints", ValueKind::Switch),
            key("ascii", ValueKind::Switch),
            key("markdown", ValueKind::Switch),
            key("theme", ValueKind::Text),
            key("heat", ValueKind::OneOf(&Heat::NAMES)),
        ],
    },
];

/// The section of that name; [`PRESETS`] and [`KEYS`] are not among them.
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}
