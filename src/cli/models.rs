//! Which models there are, and where: `gibber models`, and what -m stands for.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::chat::one_line;
use crate::hub::ModelHub;
use crate::store::models::{self, Match};
use crate::store::{ModelStores, Paths};
use crate::worker::protocol::ModelPlace;
use gibber_engine::load::{ModelInfo, ModelSource};
use gibber_files::quoted;
use gibber_hub::{Found, Reference};

/// The name of the default model.
pub(super) const DEFAULT_NAME: &str = "smollm2";
/// The most names that an error lists.
const NAMES_SHOWN: usize = 12;
const DEFAULT_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The bytes of that file, in a build that carries them.
#[cfg(feature = "embed-model")]
static EMBEDDED: &[u8] = include_bytes!("../../assets/models/SmolLM2-135M-Instruct.Q4_1.gguf");

/// A model in a line.
pub(super) fn headline(info: &ModelInfo) -> String {
    format!(
        "{} · {} · {} · {:.0} MB · context {} (KV cache {}, up to {:.1} MB) · {} threads · loaded in {:.2} s",
        one_line(&info.name),
        info.architecture,
        info.format,
        info.weight_bytes as f64 / 1e6,
        info.context,
        info.cache,
        info.cache_bytes as f64 / 1e6,
        info.threads,
        info.load_time.as_secs_f64()
    )
}

/// Says on stderr what is to be said of a model unasked: what of it is not read, that its context has become shorter, and what
/// came of the wish to have the weights quantized (what is no news only to those who want to hear more).
pub(super) fn say_news(info: &ModelInfo, verbose: bool) {
    info.unread.iter().chain(&info.shrunk()).for_each(|text| tell!("note: {text}"));
    if let Some(quantized) = info.quantized.as_ref().filter(|quantized| quantized.is_news || verbose) {
        tell!("{}", quantized.text);
    }
}

/// The names that [`resolve`] knows.
pub(super) fn names(paths: &Paths) -> Vec<String> {
    let default = default_model(paths).is_ok().then(|| DEFAULT_NAME.to_owned());
    default.into_iter().chain(ModelStores::new(paths).models().into_iter().map(|model| model.name)).collect()
}

/// The model that a name or a path stands for; empty is the default model. A path that is there comes before a name.
///
/// # Errors
/// A sentence that says what was looked for, where, and what there is.
pub(super) fn resolve(name: &str, paths: &Paths) -> Result<ModelSource> {
    if name.is_empty() || name == DEFAULT_NAME {
        return default_model(paths);
    }
    let path = expanded(name);
    if path.exists() {
        return Ok(ModelSource::Path(path));
    }
    let stores = ModelStores::new(paths);
    match find_in_stores(name, paths) {
        Match::One(model) => Ok(ModelSource::Path(model.path)),
        Match::Several(names) => Err(anyhow!(
            "`{name}` is short for several models: write {}. Names are looked up in {}",
            names.join(" or "),
            places(&stores)
        )),
        Match::None(near) => match fetched_before(name, paths) {
            Some(path) => Ok(ModelSource::Path(path)),
            None => Err(anyhow!(not_there(name, &near, &stores, paths))),
        },
    }
}

/// [`resolve`], as the engine's thread is told it.
pub(super) fn place(name: &str, paths: &Paths) -> Result<ModelPlace> {
    Ok(match resolve(name, paths)? {
        ModelSource::Path(path) => ModelPlace::Path(path),
        ModelSource::Embedded { .. } => ModelPlace::Embedded,
        ModelSource::Synthetic(shape) => ModelPlace::Synthetic(shape),
    })
}

/// The default model, where it is in the executable.
pub(super) fn embedded() -> Option<ModelSource> {
    #[cfg(feature = "embed-model")]
    return Some(ModelSource::Embedded { name: DEFAULT_FILE, bytes: EMBEDDED });
    #[cfg(not(feature = "embed-model"))]
    None
}

/// Whether a model of this name is on this machine, or several are that it could mean.
pub(super) fn is_here(name: &str, paths: &Paths) -> bool {
    if name.is_empty() || name == DEFAULT_NAME || expanded(name).exists() {
        return true;
    }
    !matches!(find_in_stores(name, paths), Match::None(_)) || fetched_before(name, paths).is_some()
}

/// Where the model is that was fetched under this name, which none of the stores knows: `qwen3:0.6b`, `org/name:Q8_0`.
fn fetched_before(name: &str, paths: &Paths) -> Option<PathBuf> {
    let hub = ModelHub::new(paths, true).ok()?;
    hub.find(name, &hub.reference(name).ok()?)
}

/// What the model at `path` is called here.
pub(super) fn name_of(path: &Path, paths: &Paths) -> Option<String> {
    let models = ModelStores::new(paths).models();
    let real = path.canonicalize().ok()?;
    let found = models.iter().find(|model| model.path == path);
    let found = found.or_else(|| models.iter().find(|model| model.path.canonicalize().is_ok_and(|path| path == real)));
    found.map(|model| model.name.clone())
}

fn find_in_stores(name: &str, paths: &Paths) -> Match {
    models::find(&ModelStores::new(paths).models(), name.strip_suffix(".gguf").unwrap_or(name))
}

fn not_there(name: &str, near: &[String], stores: &ModelStores, paths: &Paths) -> String {
    let known = if near.is_empty() { names(paths) } else { near.to_vec() };
    let is_path = is_path(name);
    let name = quoted::shortened(name);
    let shown = known.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if is_path {
        return format!(
            "there is no file or folder {name}, and no model of that name; models that have a name: {shown}"
        );
    }
    let hub = ModelHub::new(paths, true).ok();
    let reference = hub.as_ref().and_then(|hub| hub.reference(&name).ok());
    if let Some(which) = hub.as_ref().zip(reference.as_ref()).and_then(|(hub, reference)| which_of(hub, reference)) {
        return which;
    }
    if hub.zip(reference).is_some_and(|(hub, reference)| can_be_fetched(&hub, &name, &reference)) {
        let near = if near.is_empty() { String::new() } else { format!(" Near it are {shown}.") };
        return format!(
            "{name} is not on this machine: `gibber pull {name}` fetches it.{near} Names are looked up in {}",
            places(stores)
        );
    }
    let what = if near.is_empty() { "the names are" } else { "near it are" };
    format!(
        "there is no model `{name}`: {what} {shown}; -m also takes the path of a GGUF file or of a Hugging Face folder. Names are looked up in {}",
        places(stores)
    )
}

/// Of a short name that says no size, or one that there is not: what to write.
fn which_of(hub: &ModelHub, reference: &Reference) -> Option<String> {
    let Reference::Catalogue { name, tag } = reference else { return None };
    let (what, entries) = match hub.names().find(name, tag.as_deref()) {
        Found::Family(entries) => (format!("{name} is a family of models"), entries),
        Found::NoTag(entries) => {
            (format!("{reference} is not on this machine, and {name} has no such size or type"), entries)
        }
        Found::One(..) | Found::Nothing(_) => return None,
    };
    let names: Vec<String> = entries.iter().map(|entry| entry.full_name()).collect();
    let first = names.first()?;
    Some(format!("{what}: write one of {}; `gibber pull {first}` fetches that one", names.join(", ")))
}

/// Whether something that is not here may be meant for a hub: a word alone is only where the catalogue has it.
pub(super) fn can_be_fetched(hub: &ModelHub, name: &str, reference: &Reference) -> bool {
    match reference {
        Reference::Address { .. } => true,
        // `models/mine.gguf` is a path, and so is a folder that is there.
        Reference::Hub { .. } => {
            !is_path(name) && !name.split('/').next().is_some_and(|first| Path::new(first).is_dir())
        }
        Reference::Catalogue { name, tag } => !matches!(hub.names().find(name, tag.as_deref()), Found::Nothing(_)),
    }
}

fn places(stores: &ModelStores) -> String {
    stores.folders().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether it can only be meant as a path: `organization/name` is a name, and so is `organization/name:file.gguf`.
fn is_path(name: &str) -> bool {
    let path = Path::new(name);
    let is_file = name.ends_with(".gguf") && !name.contains(':');
    path.is_absolute() || name.starts_with(['.', '~']) || name.ends_with('/') || is_file
}

/// A name that means the same from any directory: a relative path becomes an absolute one.
pub(super) fn lasting_name(name: &str) -> String {
    let path = Path::new(name);
    let absolute = path.exists().then(|| std::path::absolute(path).ok()).flatten();
    absolute.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or_else(|| name.to_owned())
}

/// A leading `~/` that no shell has expanded, as in config.toml and `/model`.
pub(super) fn expanded(name: &str) -> PathBuf {
    let home = directories::BaseDirs::new();
    match (if name == "~" { Some("") } else { name.strip_prefix("~/") }, home) {
        (Some(rest), Some(home)) => home.home_dir().join(rest),
        _ => PathBuf::from(name),
    }
}

/// The default model.
///
/// # Errors
/// Where its file is not there.
pub(super) fn default_model(paths: &Paths) -> Result<ModelSource> {
    #[cfg(feature = "embed-model")]
    {
        let _ = paths;
        embedded().ok_or_else(|| anyhow!("the default model is not inside"))
    }
    #[cfg(not(feature = "embed-model"))]
    {
        let places = default_places(paths);
        match places.iter().find(|path| path.is_file()) {
            Some(path) => Ok(ModelSource::Path(path.clone())),
            None => Err(anyhow!(
                "the default model {DEFAULT_FILE} is not there. Put it into {}, name another model with -m, or fetch one: `gibber pull --list` says which there are",
                ModelStores::new(paths).own_folder().unwrap_or_else(|| paths.directory()).display()
            )),
        }
    }
}

/// Where the default model's file may be: beside an installed executable, in the models folders, and, where no folder for
/// models was named, in the source tree.
#[cfg(not(feature = "embed-model"))]
fn default_places(paths: &Paths) -> Vec<PathBuf> {
    let executable = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    let mut folders = executable.as_deref().map(beside).unwrap_or_default();
    folders.extend(paths.model_folders());
    if !paths.has_named_models() {
        folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models"));
    }
    folders.into_iter().map(|folder| folder.join(DEFAULT_FILE)).collect()
}

/// Where an installed executable has its model: in its own folder, in a folder `models` there, or in the prefix's
/// `share/gibber/models`.
#[cfg(not(feature = "embed-model"))]
fn beside(executable: &Path) -> Vec<PathBuf> {
    let Some(folder) = executable.parent() else { return Vec::new() };
    let shared = folder.parent().map(|prefix| prefix.join("share/gibber/models"));
    [folder.to_owned(), folder.join("models")].into_iter().chain(shared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Paths) {
        let directory = tempfile::tempdir().unwrap();
        let models = directory.path().join("models");
        std::fs::create_dir_all(models.join("tiny")).unwrap();
        std::fs::write(models.join("tiny/config.json"), "{}").unwrap();
        std::fs::write(models.join("small.gguf"), "").unwrap();
        std::fs::write(models.join("notes.txt"), "").unwrap();
        let paths = Paths::at(directory.path());
        (directory, paths)
    }

    #[test]
    fn names_are_found_in_the_models_folder() {
        let (directory, paths) = folder();
        let models = directory.path().join("models");
        assert_eq!(resolve("tiny", &paths).unwrap(), ModelSource::Path(models.join("tiny")));
        assert_eq!(resolve("small", &paths).unwrap(), ModelSource::Path(models.join("small.gguf")));
        assert!(names(&paths).iter().any(|name| name == "small") && !names(&paths).iter().any(|name| name == "notes"));
    }

    #[test]
    fn of_a_family_the_error_says_what_can_be_pulled() {
        let (_directory, paths) = folder();
        for name in ["qwen3", "qwen3:99b"] {
            let error = resolve(name, &paths).unwrap_err().to_string();
            assert!(
                error.contains("write one of qwen3:0.6b, ") && error.contains("`gibber pull qwen3:0.6b`"),
                "{error}"
            );
            assert!(!error.contains(&format!("`gibber pull {name}`")), "{error}");
        }
    }

    #[test]
    fn the_default_model_has_a_name() {
        let (_directory, paths) = folder();
        assert_eq!(resolve("", &paths).unwrap(), resolve(DEFAULT_NAME, &paths).unwrap());
        assert_eq!(names(&paths)[0], DEFAULT_NAME);
    }

    #[test]
    fn a_model_that_is_not_there_is_an_error_that_lists_those_that_are() {
        let (directory, paths) = folder();
        let error = resolve("gpt5", &paths).unwrap_err().to_string();
        assert!(error.contains("no model `gpt5`") && error.contains("smollm2, small, tiny"), "{error}");
        let path = directory.path().join("nowhere.gguf").display().to_string();
        let error = resolve(&path, &paths).unwrap_err().to_string();
        assert!(error.contains(&path), "{error}");
    }
}
