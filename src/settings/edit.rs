//! Writing settings back into the text of config.toml: comments, order and everything that is not changed stay.

use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::schema::{self, Section, ValueKind};
use super::{Settings, SettingsError};
use gibber_engine::sampling::SamplingValues;

/// `text`, the content of the file that errors call `path`, changed so that it reads as `settings`. Only keys whose value
/// differs from what the text says now are touched; presets are added and changed, never removed.
///
/// # Errors
/// [`SettingsError::Invalid`] where `text` is not a valid config.toml, or `settings` holds what cannot be written.
pub fn updated(text: &str, path: &Path, settings: &Settings) -> Result<String, SettingsError> {
    let unwritable = |what: String| SettingsError::Unwritable { path: path.into(), what };
    let now = values_of(&Settings::parse(text, path)?).map_err(unwritable)?;
    let wanted = values_of(settings).map_err(unwritable)?;
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| unwritable(error.to_string()))?;
    let sections_before: Vec<String> = document.iter().map(|(name, _)| name.to_owned()).collect();
    let root = document.as_table_mut();
    for section in &schema::SECTIONS {
        write_changes(root, section.name, section, now.get(section.name), wanted.get(section.name));
    }
    if let Some(presets) = wanted.get(schema::PRESETS).and_then(Item::as_table_like).filter(|table| !table.is_empty()) {
        let old = now.get(schema::PRESETS);
        let target = root.entry(schema::PRESETS).or_insert_with(new_table);
        if let Some(target) = target.as_table_like_mut() {
            for (name, preset) in presets.iter() {
                write_changes(target, name, &schema::SAMPLING, old.and_then(|old| old.get(name)), Some(preset));
            }
        }
    }
    keep_trailing_text(&mut document, &sections_before);
    Ok(document.to_string())
}

/// `text`, the content of the file that errors call `path`, with this preset in it, or without where there are no `values`.
///
/// # Errors
/// As [`updated`].
pub fn with_preset(
    text: &str,
    path: &Path,
    name: &str,
    values: Option<&SamplingValues>,
) -> Result<String, SettingsError> {
    let mut settings = Settings::parse(text, path)?;
    if let Some(values) = values {
        settings.presets.insert(name.to_owned(), values.clone());
        return updated(text, path, &settings);
    }
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| SettingsError::Unwritable {
        path: path.into(),
        what: error.to_string(),
    })?;
    if let Some(presets) = document.get_mut(schema::PRESETS).and_then(Item::as_table_like_mut) {
        presets.remove(name);
    }
    Ok(document.to_string())
}

/// The comments at the end of the file stay above the sections that are new.
fn keep_trailing_text(document: &mut DocumentMut, sections_before: &[String]) {
    let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
    let is_new = |name: &str| !sections_before.iter().any(|before| before == name);
    let Some(name) = document.iter().map(|(name, _)| name.to_owned()).find(|name| is_new(name)) else { return };
    if !trailing.is_empty()
        && let Some(table) = document.get_mut(&name).and_then(first_with_a_header)
    {
        table.decor_mut().set_prefix(format!("{trailing}\n"));
        document.set_trailing("");
    }
}

/// The table whose `[header]` is written first: `[presets]` itself has none.
fn first_with_a_header(item: &mut Item) -> Option<&mut Table> {
    let table = item.as_table_mut()?;
    if table.is_implicit() && table.iter().all(|(_, item)| item.is_table()) {
        return table.iter_mut().next().and_then(|(_, item)| first_with_a_header(item));
    }
    Some(table)
}

/// The settings as a document with every key that has a value.
fn values_of(settings: &Settings) -> Result<DocumentMut, String> {
    let text = toml::to_string(settings).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: toml_edit::TomlError| error.to_string())
}

/// A table that is written only once it has keys of its own.
fn new_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn write_changes(root: &mut dyn TableLike, name: &str, section: &Section, old: Option<&Item>, new: Option<&Item>) {
    for key in section.keys {
        let (old, new) = (value_of(old, key.name), value_of(new, key.name));
        if same(old, new) {
            continue;
        }
        let value = match new {
            Some(value) => value.clone(),
            // Only a seed can be absent, and that is a fresh one each time.
            None if key.kind == ValueKind::Seed => Value::from(-1),
            None => continue,
        };
        let target = root.entry(name).or_insert_with(new_table);
        if let Some(table) = target.as_table_like_mut() {
            set(table, key.name, value);
        }
    }
}

fn value_of<'a>(section: Option<&'a Item>, key: &str) -> Option<&'a Value> {
    section?.get(key)?.as_value()
}

fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let text = |value: Option<&Value>| value.map(|value| value.to_string().trim().to_owned());
    text(a) == text(b)
}

/// Keeps the spaces around the old value and the comment behind it.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            value.decor_mut().clear();
            table.insert(key, Item::Value(value));
        }
    }
}
