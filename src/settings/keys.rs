//! `[keys]`: the person's own keys, as they are written; the table of bindings says what they mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The keys of each action that has keys of the person's own, by the action's name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeySettings(BTreeMap<String, KeyEntry>);

/// What stands behind a name in `[keys]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum KeyEntry {
    /// The name was an action's.
    Keys(Vec<String>),
    /// It was a part of the screen's: `[keys.PART]`.
    Part(BTreeMap<String, Vec<String>>),
}

/// A line of `[keys]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeySetting<'a> {
    /// The part of the screen in whose table it stands, if in any.
    pub part: Option<&'a str>,
    /// The action's name.
    pub action: &'a str,
    /// The keys, as they are written.
    pub keys: &'a [String],
}

impl KeySetting<'_> {
    /// The names that lead to it in config.toml.
    pub fn path(&self) -> Vec<String> {
        [Some("keys"), self.part, Some(self.action)].into_iter().flatten().map(str::to_owned).collect()
    }
}

impl KeySettings {
    /// Each line.
    pub fn iter(&self) -> impl Iterator<Item = KeySetting<'_>> {
        self.0.iter().flat_map(|(name, entry)| match entry {
            KeyEntry::Keys(keys) => vec![KeySetting { part: None, action: name, keys }],
            KeyEntry::Part(table) => {
                table.iter().map(|(action, keys)| KeySetting { part: Some(name), action, keys }).collect()
            }
        })
    }
}
