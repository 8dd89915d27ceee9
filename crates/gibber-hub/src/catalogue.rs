//! Short names for models: a catalogue that comes with the program, and one of the person's own.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{HubError, Repository, Result, WeightType};

/// Names near one that is not known, at most.
const NEAR: usize = 6;
/// How alike two names have to be, from 0 to 1, for one to be near the other.
const ALIKE: f64 = 0.84;
/// Words of Ollama's tags that every entry is meant by: all of them are for conversations.
const SAYS_NOTHING: [&str; 5] = ["instruct", "it", "chat", "text", "preview"];
/// What Ollama calls the tag that is meant where none is given.
const LATEST: &str = "latest";

/// All short names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalogue {
    /// In the order of the files, the entries of a family together.
    pub entries: Vec<CatalogueEntry>,
}

/// What a short name stands for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CatalogueEntry {
    /// As it is typed: `qwen3`, in lower case.
    pub name: String,
    /// What stands behind the colon: `0.6b`, in lower case.
    pub tag: String,
    /// Whether it is the one of its family that is offered first: a size for a laptop.
    pub is_default: bool,
    /// Other names of the family.
    pub aliases: Vec<String>,
    /// Where its files are.
    pub repository: Repository,
    /// A branch, tag or commit; none is `main`.
    pub revision: Option<String>,
    /// How the files of a GGUF repository are called: `Qwen3-4B-{type}.gguf`. None for a repository of floats.
    pub file: Option<String>,
    /// The type that is taken where memory allows it; with [`Self::file`].
    #[serde(rename = "type")]
    pub weight_type: Option<WeightType>,
    /// What GGUF calls its architecture, or config.json, where it has floats.
    pub architecture: String,
    /// The name of its licence.
    pub licence: String,
    /// Whether its makers let in only who agreed to something.
    pub gated: bool,
    /// Whether it answers; otherwise it goes on with a text.
    pub chats: bool,
    /// Bytes of the file of [`Self::weight_type`], or of all floats.
    pub bytes: u64,
    /// Tokens that it was trained for.
    pub context: usize,
    /// Bytes that the keys and values of a token take at F16.
    pub kv: Option<u64>,
    /// What it is good at, in five words.
    pub good_at: String,
    /// The sampling that its makers recommend.
    pub sampling: Option<RecommendedSampling>,
    /// The same while it thinks, where that differs.
    pub thinking: Option<RecommendedSampling>,
    /// Where it stands.
    pub place: CataloguePlace,
}

/// Where an entry stands, for errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CataloguePlace {
    /// The file.
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
}

/// What makers recommend, under the keys of config.toml. What is absent is the program's own to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is called as in config.toml")]
pub struct RecommendedSampling {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
}

/// What a name of the catalogue stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'a> {
    /// One entry, and the type that was named behind its tag (`0.6b-q8_0`).
    One(&'a CatalogueEntry, Option<WeightType>),
    /// A family: all of it, the default one among them.
    Family(Vec<&'a CatalogueEntry>),
    /// A tag that the family does not have; what it has.
    NoTag(Vec<&'a CatalogueEntry>),
    /// Nothing; names near it, `NAME:TAG` or `NAME`.
    Nothing(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    #[serde(default)]
    family: Vec<Spanned<FamilyTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyTable {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    default: Option<String>,
    architecture: Option<String>,
    licence: Option<String>,
    context: Option<usize>,
    good_at: Option<String>,
    chats: Option<bool>,
    sampling: Option<RecommendedSampling>,
    thinking: Option<RecommendedSampling>,
    model: Vec<Spanned<ModelTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelTable {
    tag: String,
    repository: String,
    revision: Option<String>,
    #[serde(default)]
    gated: bool,
    file: Option<String>,
    r#type: Option<String>,
    bytes: Option<u64>,
    kv: Option<u64>,
    architecture: Option<String>,
    licence: Option<String>,
    context: Option<usize>,
    good_at: Option<String>,
    chats: Option<bool>,
    sampling: Option<RecommendedSampling>,
    thinking: Option<RecommendedSampling>,
}

impl Catalogue {
    /// What `text`, which stands in the file `path`, says.
    ///
    /// # Errors
    /// [`HubError::Catalogue`] with the line where something in it cannot be used.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let error = |at: Option<Range<usize>>, why: String| HubError::Catalogue {
            path: path.to_owned(),
            line: line_of(text, at.map_or(0, |at| at.start)),
            why,
        };
        let file: CatalogueFile =
            toml::from_str(text).map_err(|wrong| error(wrong.span(), wrong.message().replace('\n', " ")))?;
        let mut entries: Vec<CatalogueEntry> = Vec::new();
        for family in &file.family {
            for model in &family.get_ref().model {
                let place = CataloguePlace { path: path.to_owned(), line: line_of(text, model.span().start) };
                let entry =
                    entry(family.get_ref(), model.get_ref(), place).map_err(|why| error(Some(model.span()), why))?;
                if let Some(twice) = entries.iter().find(|known| known.same_name(&entry)) {
                    let why = format!("{} is there already, in line {}", entry.full_name(), twice.place.line);
                    return Err(error(Some(model.span()), why));
                }
                entries.push(entry);
            }
            check_default(family.get_ref()).map_err(|why| error(Some(family.span()), why))?;
        }
        Ok(Self { entries })
    }

    /// The same with what `own` has: an entry that is called alike takes the place of the one here, and a default of its own
    /// the default here.
    #[must_use]
    pub fn with(mut self, own: Self) -> Self {
        for entry in own.entries {
            if entry.is_default {
                self.entries
                    .iter_mut()
                    .filter(|known| known.name == entry.name)
                    .for_each(|known| known.is_default = false);
            }
            let position = self.entries.iter().position(|known| known.same_name(&entry));
            let end_of_family = self.entries.iter().rposition(|known| known.name == entry.name);
            match (position, end_of_family) {
                (Some(at), _) => self.entries[at] = entry,
                (None, Some(last)) => self.entries.insert(last + 1, entry),
                (None, None) => self.entries.push(entry),
            }
        }
        self
    }

    /// The entries of the family that is called `name`, in any case of letters, or by another of its names.
    pub fn family(&self, name: &str) -> Vec<&CatalogueEntry> {
        let of = |called: &dyn Fn(&CatalogueEntry) -> bool| -> Vec<&CatalogueEntry> {
            self.entries.iter().filter(|entry| called(entry)).collect()
        };
        let own = of(&|entry| entry.name.eq_ignore_ascii_case(name));
        let by_alias = || of(&|entry| entry.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name)));
        if own.is_empty() { by_alias() } else { own }
    }

    /// What `name[:tag]` stands for. A tag may have a type behind it, as Ollama writes it (`0.6b-q8_0`,
    /// `1b-instruct-q4_K_M`), and may stand behind a dash (`gpt2-medium`).
    pub fn find(&self, name: &str, tag: Option<&str>) -> Found<'_> {
        let family = self.family(name);
        let latest = tag.is_some_and(|tag| tag.eq_ignore_ascii_case(LATEST));
        if let Some(default) = family.iter().find(|entry| latest && entry.is_default) {
            return Found::One(default, None);
        }
        let Some(tag) = tag.filter(|_| !latest) else {
            return match &family[..] {
                [] => self.find_behind_dash(name),
                [only] => Found::One(only, None),
                _ => Found::Family(family),
            };
        };
        if family.is_empty() {
            return Found::Nothing(self.near(name));
        }
        match of_tag(&family, tag) {
            Some((entry, weight_type)) => Found::One(entry, weight_type),
            None => Found::NoTag(family),
        }
    }

    /// `qwen3-0.6b`: the longest name of a family that is followed by a dash and one of its tags.
    fn find_behind_dash(&self, name: &str) -> Found<'_> {
        let split = name.match_indices('-').rev().find_map(|(at, _)| {
            let (family, tag) = (self.family(&name[..at]), &name[at + 1..]);
            of_tag(&family, tag)
        });
        match split {
            Some((entry, weight_type)) => Found::One(entry, weight_type),
            None => Found::Nothing(self.near(name)),
        }
    }

    /// Names of families that are like `name`, the nearest first.
    fn near(&self, name: &str) -> Vec<String> {
        let wanted = name.to_ascii_lowercase();
        let mut near: Vec<(f64, &str)> = Vec::new();
        for entry in &self.entries {
            let alike = std::iter::once(&entry.name)
                .chain(&entry.aliases)
                .map(|known| if is_beginning(known, &wanted) { 1.0 } else { strsim::jaro_winkler(known, &wanted) })
                .fold(0.0, f64::max);
            if alike >= ALIKE && !near.iter().any(|(_, known)| *known == entry.name) {
                near.push((alike, &entry.name));
            }
        }
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        near.into_iter().take(NEAR).map(|(_, name)| name.to_owned()).collect()
    }
}

fn is_beginning(known: &str, wanted: &str) -> bool {
    wanted.len() >= 3 && (known.starts_with(wanted) || wanted.starts_with(known))
}

/// The entry of `family` that has this tag, or a tag followed by words that say nothing and a type.
fn of_tag<'a>(family: &[&'a CatalogueEntry], tag: &str) -> Option<(&'a CatalogueEntry, Option<WeightType>)> {
    let tag = tag.to_ascii_lowercase();
    let mut candidates: Vec<(&CatalogueEntry, &str)> = family
        .iter()
        .filter_map(|&entry| Some((entry, tag.strip_prefix(&entry.tag)?)))
        .filter(|(_, rest)| rest.is_empty() || rest.starts_with('-'))
        .collect();
    candidates.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.tag.len()));
    let named = candidates.into_iter().find_map(|(entry, rest)| Some((entry, behind_tag(rest)?)));
    // `qwen3:q8_0`: the type of the one that is offered first.
    named.or_else(|| {
        let weight_type = WeightType::new(&tag)?;
        let default = family.iter().find(|entry| entry.is_default)?;
        Some((*default, Some(weight_type)))
    })
}

/// The type in what stands behind a tag, `None` where something in it means something else.
fn behind_tag(rest: &str) -> Option<Option<WeightType>> {
    let mut words = rest.split('-').filter(|word| !word.is_empty() && !SAYS_NOTHING.contains(word));
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Some(None),
        (Some(word), None, _) => WeightType::new(word).map(Some),
        (Some("ud"), Some(word), None) => WeightType::new(&format!("ud-{word}")).map(Some),
        _ => None,
    }
}

impl CatalogueEntry {
    /// `NAME:TAG`.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.name, self.tag)
    }

    /// Whether its files are floats: a folder, to be quantized on arrival.
    pub fn is_floats(&self) -> bool {
        self.file.is_none()
    }

    fn same_name(&self, other: &Self) -> bool {
        (&self.name, &self.tag) == (&other.name, &other.tag)
    }
}

/// The model of a family, with what it does not say itself from the family.
fn entry(
    family: &FamilyTable,
    model: &ModelTable,
    place: CataloguePlace,
) -> std::result::Result<CatalogueEntry, String> {
    let missing = |key: &str| format!("`{key}` is missing: for this model, or for all of its family");
    let text = |own: &Option<String>, family: &Option<String>, key: &str| {
        own.clone().or_else(|| family.clone()).ok_or_else(|| missing(key))
    };
    let name = checked_name("name", &family.name)?;
    let tag = checked_name("tag", &model.tag)?;
    let repository = Repository::new(&model.repository).map_err(|error| error.to_string())?;
    let weight_type = match &model.r#type {
        None => None,
        Some(text) => Some(WeightType::new(text).ok_or_else(|| format!("`type` is {text:?}, which is none"))?),
    };
    match (&model.file, &weight_type) {
        (None, None) => {}
        (Some(file), Some(_)) if file.contains("{type}") && file.ends_with(".gguf") => {}
        (Some(file), Some(_)) => return Err(format!("`file` is {file:?}: write NAME-{{type}}.gguf")),
        _ => return Err("`file` and `type` belong together; a repository of floats has neither".to_owned()),
    }
    Ok(CatalogueEntry {
        is_default: family.default.as_ref().is_some_and(|default| default.eq_ignore_ascii_case(&tag)),
        name,
        tag,
        aliases: family
            .aliases
            .iter()
            .map(|alias| checked_name("aliases", alias))
            .collect::<std::result::Result<_, _>>()?,
        repository,
        revision: model.revision.clone(),
        file: model.file.clone(),
        weight_type,
        architecture: text(&model.architecture, &family.architecture, "architecture")?,
        licence: text(&model.licence, &family.licence, "licence")?,
        gated: model.gated,
        chats: model.chats.or(family.chats).unwrap_or(true),
        bytes: model.bytes.ok_or_else(|| "`bytes` is missing".to_owned())?,
        context: model.context.or(family.context).ok_or_else(|| missing("context"))?,
        kv: model.kv,
        good_at: text(&model.good_at, &family.good_at, "good_at")?,
        sampling: model.sampling.or(family.sampling),
        thinking: model.thinking.or(family.thinking),
        place,
    })
}

fn checked_name(key: &str, name: &str) -> std::result::Result<String, String> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(letters) {
        return Err(format!("`{key}` is {name:?}: letters, digits, '.', '-' and '_' can be typed, up to 64"));
    }
    Ok(name.to_ascii_lowercase())
}

fn check_default(family: &FamilyTable) -> std::result::Result<(), String> {
    let Some(default) = &family.default else { return Ok(()) };
    if family.model.iter().any(|model| model.get_ref().tag.eq_ignore_ascii_case(default)) {
        return Ok(());
    }
    Err(format!("`default` is {default:?}, and {} has no such tag", family.name))
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at.min(text.len())).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
