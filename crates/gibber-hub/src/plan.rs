//! Which files of a repository are needed.
//!
//! Everything here is a pure function of a [`Listing`]: nothing is asked of anybody. What cannot be known from the names of
//! files alone is a question ([`Offer::Types`], [`Offer::Index`]) that whoever knows more answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::gguf_name::GgufName;
use crate::{HubError, Listing, RemoteFile, Result, WeightType};

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the repository has.
    pub listing: Listing,
    /// What is fetched of it: all parts of a split GGUF; or weights, configuration, tokenizer and chat template.
    pub files: Vec<RemoteFile>,
    /// Within the snapshot: the GGUF file (its first part), or empty for the folder itself.
    pub model: PathBuf,
}

impl Plan {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// Whether it is a folder of floats, as training programs keep them, and no GGUF file.
    pub fn is_folder(&self) -> bool {
        self.model.as_os_str().is_empty()
    }

    /// The weights of `model`, whole.
    pub fn of_gguf(listing: &Listing, model: &GgufModel) -> Self {
        let files = model.files.clone();
        let first = files.first().map(|file| file.path.clone()).unwrap_or_default();
        Self { listing: listing.clone(), files, model: first.into() }
    }
}

/// A model of a GGUF repository: one file, or the parts of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufModel {
    /// Its type, where the name says one.
    pub weight_type: Option<WeightType>,
    /// Its parts in order.
    pub files: Vec<RemoteFile>,
    /// Bytes of all parts.
    pub bytes: u64,
    /// The path without number and ending: `Q4_K_M/Model-Q4_K_M`.
    pub stem: String,
}

impl GgufModel {
    /// The path of its first part.
    pub fn path(&self) -> &str {
        self.files.first().map_or("", |file| &file.path)
    }

    /// Its type or, where its name says none, the name.
    pub fn label(&self) -> &str {
        let name = self.path().rsplit('/').next().unwrap_or_default();
        self.weight_type.as_ref().map_or(name, WeightType::as_str)
    }
}

/// What a repository of floats has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floats {
    /// `model.safetensors`, or the index that says in which files the tensors are.
    weights: RemoteFile,
    /// Configuration, tokenizer, chat template.
    small: Vec<RemoteFile>,
}

/// The one file of weights.
const WEIGHTS: &str = "model.safetensors";
/// The list of several.
const INDEX: &str = "model.safetensors.index.json";
/// Parts of weights that an index may name; more would be a mistake.
const MAX_PARTS: usize = 10_000;
/// The ending that says floats where a repository has both.
const SAFETENSORS: &str = "safetensors";

/// What the engine reads beside the weights: configuration and template.
const SMALL: [&str; 7] = [
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
];
/// What it reads a tokenizer from: the first of these sets that is complete. Of the last it says what to do.
const TOKENIZERS: [&[&str]; 4] =
    [&["tokenizer.json"], &["vocab.json", "merges.txt"], &["encoder.json", "vocab.bpe"], &["tokenizer.model"]];

/// What a listing offers for what was asked.
#[derive(Debug, Clone)]
pub enum Offer {
    /// These files and no others.
    Plan(Plan),
    /// Any of these, the largest first: which one, depends on the machine.
    Types(Vec<GgufModel>),
    /// Floats in several files: their index, a file of the listing, says in which ([`Floats::plan`]).
    Index(Floats),
}

/// The models of a GGUF repository, the largest first. Parts of which one is missing are no model; what lies beside models
/// (for pictures, from measurements) is left out.
pub fn gguf_models(listing: &Listing) -> Vec<GgufModel> {
    let mut by_stem = BTreeMap::<(String, usize), BTreeMap<usize, RemoteFile>>::new();
    for file in &listing.files {
        let (folder, name) =
            file.path.rsplit_once('/').map_or(("", file.path.as_str()), |(folder, name)| (folder, name));
        let Some(name) = GgufName::new(name).filter(|name| !name.is_companion()) else { continue };
        let stem = if folder.is_empty() { name.stem().to_owned() } else { format!("{folder}/{}", name.stem()) };
        let (number, count) = name.part().map_or((1, 1), |part| (part.number, part.count));
        by_stem.entry((stem, count)).or_default().insert(number, file.clone());
    }
    let complete = by_stem.into_iter().filter(|((_, count), parts)| parts.len() == *count);
    let mut models: Vec<GgufModel> = complete
        .map(|((stem, _), parts)| {
            let files: Vec<RemoteFile> = parts.into_values().collect();
            let weight_type = files.first().and_then(|file| WeightType::of_path(&file.path));
            let bytes = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
            GgufModel { weight_type, files, bytes, stem }
        })
        .collect();
    models.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.stem.cmp(&b.stem)));
    models
}

/// The floats of a repository, where it has such.
pub fn floats(listing: &Listing) -> Option<Floats> {
    let file = |path: &str| listing.files.iter().find(|file| file.path == path).cloned();
    let weights = file(WEIGHTS).or_else(|| file(INDEX))?;
    let complete = |set: &&&[&str]| set.iter().all(|path| file(path).is_some());
    let tokenizer = TOKENIZERS.iter().find(complete).copied().unwrap_or_default();
    let small = SMALL.iter().chain(tokenizer).filter_map(|path| file(path)).collect();
    Some(Floats { weights, small })
}

impl Floats {
    /// The index that has to be read first; none where all weights are in one file.
    pub fn index(&self) -> Option<&RemoteFile> {
        Some(&self.weights).filter(|file| file.path == INDEX)
    }

    /// What is fetched, the parts being those that `index` names; `index` is the text of [`Floats::index`], where there is one.
    ///
    /// # Errors
    /// [`HubError::Repository`] where the index is none, or names a file that is not there.
    pub fn plan(&self, listing: &Listing, index: Option<&[u8]>) -> Result<Plan> {
        let mut files = self.small.clone();
        files.push(self.weights.clone());
        if let Some(index) = index {
            files.extend(parts(listing, index)?);
        }
        Ok(Plan { listing: listing.clone(), files, model: PathBuf::new() })
    }
}

/// The files that an index names.
fn parts(listing: &Listing, index: &[u8]) -> Result<Vec<RemoteFile>> {
    let broken = |what: String| unusable(listing, format!("its {INDEX} {what}"));
    let index: Value = serde_json::from_slice(index).map_err(|error| broken(format!("cannot be read: {error}")))?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| broken("has no `weight_map`".to_owned()))?;
    let mut names = BTreeSet::new();
    for name in map.values() {
        names.insert(name.as_str().ok_or_else(|| broken(format!("names {name} as a file")))?);
    }
    if names.is_empty() || names.len() > MAX_PARTS {
        return Err(broken(format!("names {} files", names.len())));
    }
    let file = |name: &&str| {
        let found = listing.files.iter().find(|file| file.path == *name && !name.contains('/'));
        found.cloned().ok_or_else(|| broken(format!("names {name:?}, which the repository does not have")))
    };
    names.iter().map(file).collect()
}

/// What of `listing` is meant where `pick` was asked for: the path of a file, its name, a type, a folder, or
/// `safetensors`. Without one, all GGUF models are, and floats where there are none. `pattern` (`Model-{type}.gguf`) leaves
/// out other models of the same repository, if there are any that fit it.
///
/// # Errors
/// [`HubError::Repository`] where the repository has no such file, or no model at all.
pub fn offer(listing: &Listing, pick: Option<&str>, pattern: Option<&str>) -> Result<Offer> {
    let all = gguf_models(listing);
    let models = fitting(&all, pattern);
    let floats_of = floats(listing);
    let Some(pick) = pick.filter(|pick| !pick.eq_ignore_ascii_case("latest")) else {
        return match (models.is_empty(), floats_of) {
            (false, _) => Ok(types(listing, models)),
            (true, Some(floats)) => of_floats(listing, floats),
            (true, None) => Err(no_model(listing)),
        };
    };
    let wants_floats = pick.eq_ignore_ascii_case(SAFETENSORS)
        || [WEIGHTS, INDEX].contains(&pick)
        // `-f16` of a repository that has nothing but floats.
        || (all.is_empty() && WeightType::new(pick).is_some_and(|wanted| wanted.is_float()));
    if let Some(floats) = floats_of.clone().filter(|_| wants_floats) {
        return of_floats(listing, floats);
    }
    if let Some(model) = all.iter().find(|model| is_file_of(model, pick)) {
        return Ok(Offer::Plan(Plan::of_gguf(listing, model)));
    }
    let of_type = |models: &[GgufModel]| -> Vec<GgufModel> {
        let Some(wanted) = WeightType::new(pick) else { return Vec::new() };
        let exact = models.iter().filter(|model| model.weight_type.as_ref() == Some(&wanted));
        let exact: Vec<GgufModel> = exact.cloned().collect();
        if !exact.is_empty() {
            return exact;
        }
        models
            .iter()
            .filter(|model| model.weight_type.as_ref().is_some_and(|own| own.is_called(&wanted)))
            .cloned()
            .collect()
    };
    let folder = format!("{}/", pick.trim_end_matches('/'));
    let in_folder = || all.iter().filter(|model| model.stem.starts_with(&folder)).cloned().collect();
    let found = [of_type(&models), of_type(&all), in_folder()].into_iter().find(|found| !found.is_empty());
    match found {
        Some(found) => Ok(types(listing, found)),
        None if all.is_empty() && floats_of.is_some() => Err(no_pick_of_floats(listing, pick)),
        None if all.is_empty() => Err(no_model(listing)),
        None => Err(no_pick(listing, &all, pick)),
    }
}

/// Those whose files are called as the pattern says; all where none is.
fn fitting(models: &[GgufModel], pattern: Option<&str>) -> Vec<GgufModel> {
    let fits = |model: &&GgufModel| {
        let name = model.stem.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let (before, after) = pattern?.split_once("{type}")?;
        let after = after.to_ascii_lowercase();
        let kind = name.strip_prefix(&before.to_ascii_lowercase())?.strip_suffix(after.strip_suffix(".gguf")?)?;
        WeightType::new(kind)
    };
    let fitting: Vec<GgufModel> = models.iter().filter(|model| fits(model).is_some()).cloned().collect();
    if fitting.is_empty() { models.to_vec() } else { fitting }
}

fn types(listing: &Listing, models: Vec<GgufModel>) -> Offer {
    match &models[..] {
        [only] => Offer::Plan(Plan::of_gguf(listing, only)),
        _ => Offer::Types(models),
    }
}

fn of_floats(listing: &Listing, floats: Floats) -> Result<Offer> {
    match floats.index() {
        Some(_) => Ok(Offer::Index(floats)),
        None => Ok(Offer::Plan(floats.plan(listing, None)?)),
    }
}

/// Whether `pick` is the path or the name of a file of it, or that without number and ending.
fn is_file_of(model: &GgufModel, pick: &str) -> bool {
    let called = |path: &str| path.eq_ignore_ascii_case(pick);
    let name = |path: &str| path.rsplit('/').next().is_some_and(called);
    model.files.iter().any(|file| called(&file.path) || name(&file.path)) || called(&model.stem) || name(&model.stem)
}

fn unusable(listing: &Listing, why: String) -> HubError {
    HubError::Repository { repository: listing.repository.to_string(), why }
}

fn no_pick(listing: &Listing, models: &[GgufModel], pick: &str) -> HubError {
    let known: BTreeSet<&str> = models.iter().map(GgufModel::label).collect();
    let known: Vec<&str> = known.into_iter().take(40).collect();
    let name = listing.repository.as_str();
    unusable(listing, format!("it has no '{pick}': write {name}:TYPE with one of {}", known.join(", ")))
}

/// Floats have no types, and their files come together.
fn no_pick_of_floats(listing: &Listing, pick: &str) -> HubError {
    let name = listing.repository.as_str();
    let is_there = listing.files.iter().any(|file| file.path == pick);
    let why = match WeightType::new(pick) {
        Some(kind) => {
            let kind = kind.to_string().to_ascii_lowercase();
            format!("its weights are floats: `gibber pull {name} --quantize {kind}` makes {pick} of them")
        }
        None if is_there => format!("'{pick}' is no model file of its own: `gibber pull {name}` fetches its floats"),
        None => format!("it has no '{pick}': `gibber pull {name}` fetches its floats"),
    };
    unusable(listing, why)
}

fn no_model(listing: &Listing) -> HubError {
    let has = |ending: &str| {
        listing
            .files
            .iter()
            .any(|file| file.path.rsplit_once('.').is_some_and(|(_, own)| own.eq_ignore_ascii_case(ending)))
    };
    let others: Vec<String> = [
        ("bin", "pickles (.bin)"),
        ("pt", "pickles (.pt)"),
        ("pth", "pickles (.pth)"),
        ("onnx", "ONNX"),
        ("mlx", "MLX"),
        ("litertlm", "LiteRT"),
        ("tflite", "LiteRT"),
        ("gguf", "GGUF files of which parts are missing"),
        ("safetensors", "safetensors that are not called model.safetensors"),
    ]
    .into_iter()
    .filter(|(ending, _)| has(ending))
    .map(|(_, what)| what.to_owned())
    .collect();
    let what = if others.is_empty() { String::new() } else { format!("; it has {}", others.join(", ")) };
    unusable(listing, format!("it has neither a GGUF model nor model.safetensors{what}"))
}

#[cfg(test)]
mod tests;
