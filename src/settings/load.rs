//! Reading config.toml and the environment against the [`schema`].

use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike, TomlError};

use super::Settings;
use super::schema::{self, Key, Section, ValueKind};
use gibber_engine::FileType;
use gibber_engine::kernels::Isa;
use gibber_engine::sampling::{PARAMETERS, ParameterKind, ParameterValue, Samplers, SamplingParams};
use gibber_files::quoted;

/// What is wrong at one place of config.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong and what is allowed; begins with the key.
    pub what: String,
}

/// Why the settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is there and cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has unknown keys or bad values.
    #[error("{}", InvalidFile(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Each problem, in the order of the file.
        problems: Vec<Problem>,
    },
    /// Settings that TOML cannot hold.
    #[error("the settings cannot be written to {path}: {what}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// An environment variable has a value that is not allowed.
    #[error("the environment variable {name} is \"{}\": it must be {allowed}", quoted::shortened(&value.to_string_lossy()))]
    Environment {
        /// The variable.
        name: &'static str,
        /// As the system has it, in any encoding.
        value: OsString,
        /// What the error says that it must be.
        allowed: ValueKind,
    },
}

struct InvalidFile<'a>(&'a Path, &'a [Problem]);

impl fmt::Display for InvalidFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.1.iter().enumerate() {
            let end_of_former = if i == 0 { "" } else { "\n" };
            write!(f, "{end_of_former}{}:{}: {}", self.0.display(), problem.line, problem.what)?;
        }
        Ok(())
    }
}

impl Settings {
    /// The defaults, changed by the file at `path`; a file that does not exist changes nothing.
    ///
    /// # Errors
    /// [`SettingsError::Read`] and [`SettingsError::Invalid`].
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        match gibber_files::read_text(path, gibber_files::SMALL) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(SettingsError::Read { path: path.into(), source }),
        }
    }

    /// The defaults, changed by `text`, which errors call `path`.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`] with every problem of the text.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let invalid = |problems| SettingsError::Invalid { path: path.into(), problems };
        let document = Document::parse(text).map_err(|error| not_toml(text, path, &error))?;
        let mut check = Check { text, problems: Vec::new() };
        check.root(document.as_table());
        check.problems.sort_by_key(|problem| problem.line);
        if !check.problems.is_empty() {
            return Err(invalid(check.problems));
        }
        let mut document = document.into_mut();
        unify(document.as_table_mut());
        toml::from_str(&document.to_string()).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            invalid(vec![Problem { line: line_of(text, start), what: error.message().to_string() }])
        })
    }

    /// Takes what the environment says: `GIBBER_MODEL` (name or path of the model) and `GIBBER_THREADS`; `GIBBER_ISA` is
    /// for the engine, and only checked. A variable that is empty counts as not set.
    ///
    /// # Errors
    /// [`SettingsError::Environment`].
    pub fn apply_environment(&mut self, variable: impl Fn(&str) -> Option<OsString>) -> Result<(), SettingsError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(value) = set("GIBBER_MODEL") {
            self.model.name = value.into_string().map_err(|value| SettingsError::Environment {
                name: "GIBBER_MODEL",
                value,
                allowed: ValueKind::Text,
            })?;
        }
        if let Some(value) = set("GIBBER_THREADS") {
            let threads = value.to_str().and_then(|text| text.parse().ok()).filter(|n| *n <= 1024);
            let allowed = ValueKind::Integer { least: 0, most: 1024 };
            self.model.threads =
                threads.ok_or(SettingsError::Environment { name: "GIBBER_THREADS", value, allowed })?;
        }
        // The engine reads it by itself, and would pass over what it does not know.
        let sets = Isa::available_names();
        if let Some(value) = set("GIBBER_ISA").filter(|value| !sets.iter().any(|name| value == name)) {
            return Err(SettingsError::Environment { name: "GIBBER_ISA", value, allowed: ValueKind::OneOf(sets) });
        }
        Ok(())
    }
}

/// Puts the one value that the settings hold in the place of the other ways to write it: of what leaves a parameter off or
/// open, and of a reply without a limit.
fn unify(root: &mut dyn TableLike) {
    if let Some(sampling) = root.get_mut(schema::SAMPLING.name) {
        unify_sampling(sampling);
    }
    if let Some(presets) = root.get_mut(schema::PRESETS).and_then(Item::as_table_like_mut) {
        presets.iter_mut().for_each(|(_, preset)| unify_sampling(preset));
    }
    let limit = root.get_mut(schema::CHAT).and_then(|chat| chat.get_mut(schema::MAX_TOKENS));
    if let Some(limit) = limit
        && limit.as_integer().is_some_and(|number| number < 0)
    {
        *limit = toml_edit::value(0);
    }
}

/// Reads the whole numbers and the seed as they are read where they are typed.
fn unify_sampling(item: &mut Item) {
    let Some(table) = item.as_table_like_mut() else { return };
    for spec in &PARAMETERS {
        if !matches!(spec.kind, ParameterKind::Integer { .. } | ParameterKind::Seed) {
            continue;
        }
        let Some(item) = table.get_mut(spec.key) else { continue };
        let text = item.as_integer().map(|number| number.to_string()).or_else(|| item.as_str().map(str::to_owned));
        let mut params = SamplingParams::default();
        if text.is_none_or(|text| spec.parameter.parse_into(&mut params, &text).is_err()) {
            continue;
        }
        match spec.parameter.get(&params) {
            ParameterValue::Integer(number) if item.as_integer() != Some(number) => *item = toml_edit::value(number),
            // In the parameters a fresh seed is one that is absent.
            ParameterValue::Seed(None) => drop(table.remove(spec.key)),
            _ => {}
        }
    }
}

/// That `text` is no TOML at all.
pub(super) fn not_toml(text: &str, path: &Path, error: &TomlError) -> SettingsError {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    let what = format!("this is not TOML: {}", error.message().replace('\n', "; "));
    SettingsError::Invalid { path: path.into(), problems: vec![Problem { line, what }] }
}

/// The line of `text`, a valid config.toml, on which the key stands to which these names lead; 1 where it does not stand
/// there.
pub fn line_of_key(text: &str, path: &[String]) -> usize {
    let Ok(document) = Document::parse(text) else { return 1 };
    let Some((last, parents)) = path.split_last() else { return 1 };
    let mut table: Option<&dyn TableLike> = Some(document.as_table());
    for parent in parents {
        table = table.and_then(|table| table.get(parent)).and_then(Item::as_table_like);
    }
    line_of(text, table.and_then(|table| span_of(table, last)).map_or(0, |span| span.start))
}

/// Counted from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// A walk over the document that collects what is wrong.
struct Check<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, span: Option<Range<usize>>, what: String) {
        let line = line_of(self.text, span.map_or(0, |span| span.start));
        self.problems.push(Problem { line, what });
    }

    fn root(&mut self, root: &dyn TableLike) {
        for (name, item) in root.iter() {
            let span = span_of(root, name);
            if name == schema::PRESETS {
                self.presets(item, span);
            } else if name == schema::KEYS {
                self.keys(name, item, span);
            } else if let Some(section) = schema::section(name) {
                self.section(section, name, item, span);
            } else {
                let known = schema::SECTIONS.iter().map(|section| section.name).chain([schema::PRESETS, schema::KEYS]);
                let name = quoted::shortened(name);
                let what = format!("unknown section `{name}`; the sections are {}", list(known));
                self.report(span, what);
            }
        }
    }

    fn presets(&mut self, item: &Item, span: Option<Range<usize>>) {
        let Some(table) = item.as_table_like() else {
            return self.report(span, "`presets` must be tables, [presets.NAME]".into());
        };
        for (name, preset) in table.iter() {
            let path = format!("{}.{name}", schema::PRESETS);
            self.section(&schema::SAMPLING, &path, preset, span_of(table, name));
        }
    }

    /// Only how they are written: which actions there are is for the table of bindings to say.
    fn keys(&mut self, path: &str, item: &Item, span: Option<Range<usize>>) {
        let Some(table) = item.as_table_like() else {
            return self.report(span, format!("`{path}` must be a section, [{path}]"));
        };
        for (name, item) in table.iter() {
            let (path, span) = (format!("{path}.{name}"), span_of(table, name));
            let is_list = item.as_array().is_some_and(|list| list.iter().all(|key| key.is_str()));
            if item.is_table_like() && !path.contains("keys.keys") {
                self.keys(&path, item, span);
            } else if !is_list {
                let found = item.to_string();
                let found = quoted::shortened(found.trim());
                self.report(span, format!("`{path}` is {found}: it must be a list of keys, such as [\"F1\"]"));
            }
        }
    }

    fn section(&mut self, section: &Section, path: &str, item: &Item, span: Option<Range<usize>>) {
        let Some(table) = item.as_table_like() else {
            return self.report(span, format!("`{path}` must be a section, [{path}]"));
        };
        for (name, item) in table.iter() {
            match section.keys.iter().find(|key| key.name == name) {
                Some(key) => self.value(key, path, item, span_of(table, name)),
                None => {
                    let known = list(section.keys.iter().map(|key| key.name));
                    let shown = quoted::shortened(name);
                    self.report(span_of(table, name), format!("unknown key `{path}.{shown}`; [{path}] has {known}"));
                }
            }
        }
    }

    fn value(&mut self, key: &Key, path: &str, item: &Item, span: Option<Range<usize>>) {
        if !is_allowed(key.kind, item) {
            let found = item.to_string();
            let found = quoted::shortened(found.trim());
            self.report(span, format!("`{path}.{}` is {found}: it must be {}", key.name, key.kind));
        }
    }
}

fn is_allowed(kind: ValueKind, item: &Item) -> bool {
    match kind {
        ValueKind::Text => item.is_str(),
        ValueKind::Texts => item
            .as_array()
            .is_some_and(|array| array.iter().all(|value| value.as_str().is_some_and(|text| !text.is_empty()))),
        ValueKind::Switch => item.is_bool(),
        ValueKind::FileType => item.as_str().is_some_and(|name| name.is_empty() || name.parse::<FileType>().is_ok()),
        ValueKind::OneOf(names) => item.as_str().is_some_and(|name| names.contains(&name)),
        ValueKind::Integer { least, most } => item.as_integer().is_some_and(|value| (least..=most).contains(&value)),
        ValueKind::Number { least, most } => {
            let number = item.as_float().or_else(|| item.as_integer().map(|value| value as f64));
            number.is_some_and(|number| (least..=most).contains(&(number as f32)))
        }
        ValueKind::Seed => item.as_integer().is_some_and(|value| value >= -1) || item.as_str() == Some("random"),
        ValueKind::Limit => item.as_integer().is_some_and(|number| super::max_tokens(number).is_some()),
        ValueKind::Samplers => {
            let names = item.as_array().map(|names| names.iter().map(toml_edit::Value::as_str).collect());
            let names = names.unwrap_or_else(|| Some(vec![item.as_str()?]));
            names.is_some_and(|names| names.join(";").parse::<Samplers>().is_ok())
        }
    }
}

pub(super) fn span_of(table: &dyn TableLike, name: &str) -> Option<Range<usize>> {
    let (key, item) = table.get_key_value(name)?;
    key.span().or_else(|| item.span())
}

pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
