//! `gibber models remove`: a model deleted, with what is said of that before and after.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, anyhow};
use gibber_hub::{Cancel, KeptFile, LedgerEntry, Removal, User};
use serde::Serialize;

use super::args::Remove;
use super::output::Output;
use super::question::{ask, can_ask};
use super::{Context, Usage, models};
use crate::chat::one_line;
use crate::hub::{ModelHub, bytes_text, files_of};
use crate::store::ModelStores;
use crate::store::models::StorePlace;
use gibber_engine::load::ModelSource;

pub(super) fn run(context: &Context, arguments: &Remove) -> Result<()> {
    let name = arguments.name.as_ref().or(arguments.model.as_ref()).map_or("", String::as_str);
    let hub = context.hub()?;
    let model = match models::resolve(name, &context.paths) {
        Ok(model) => model,
        Err(not_here) => return remove_begun(&hub, name, arguments, not_here),
    };
    let ledger = hub.ledger();
    let target = Target::find(context, name, model, &ledger.entries()?)?;
    let wanted = target.wanted(arguments.force)?;
    let removal = Removal::of(&wanted)?;
    let was_settings = target.is_of_settings(context);
    if !arguments.json {
        say_before(&target, &removal, was_settings);
    }
    let path = target.path.display().to_string();
    let what = format!("{} ({path}), which frees {}", target.name, bytes_text(removal.frees));
    if is_agreed(&what, arguments)? {
        removal.carry_out(&target.root)?;
        ledger.forget(|entry| is_gone(entry, &wanted), &Cancel::new())?;
    }
    let row = RemovedRow::new(&target, &removal, was_settings);
    let done = format!("{}: {} freed ({})", one_line(&target.name), bytes_text(removal.frees), one_line(&path));
    say_after(row, &done, arguments)
}

/// What was removed, or would be.
fn say_after(row: RemovedRow, done: &str, arguments: &Remove) -> Result<()> {
    let mut output = Output::stdout();
    if arguments.json {
        return output.json(&RemovedRow { dry_run: arguments.dry_run, ..row });
    }
    let Some(paths) = arguments.dry_run.then_some(&row.removed) else {
        return output.line(&format!("removed {done}"));
    };
    output.line(&format!("would remove {done}"))?;
    paths.iter().try_for_each(|path| output.line(&format!("  {}", one_line(path))))
}

/// Whether nothing is left of an entry of which something was removed.
fn is_gone(entry: &LedgerEntry, removed: &[PathBuf]) -> bool {
    let files = files_of_entry(entry);
    files.iter().any(|file| removed.contains(file)) && files.iter().all(|file| file.symlink_metadata().is_err())
}

/// Of a model that is not here there may be what a pull that was stopped has left.
fn remove_begun(hub: &ModelHub, name: &str, arguments: &Remove, not_here: anyhow::Error) -> Result<()> {
    let begun = hub.reference(name).ok().and_then(|reference| hub.begun(&reference));
    let Some((folder, begun)) = begun else { return Err(not_here) };
    let freed = begun.iter().map(|part| part.bytes).sum();
    let (place, bytes) = (folder.display().to_string(), bytes_text(freed));
    if is_agreed(&format!("what a pull of {name} had begun ({place}), which frees {bytes}"), arguments)? {
        gibber_hub::remove_begun(&folder, &begun);
    }
    let row = RemovedRow { name: name.to_owned(), freed, ..RemovedRow::default() };
    say_after(
        row,
        &format!("what a pull of {} had begun: {bytes} freed ({})", one_line(name), one_line(&place)),
        arguments,
    )
}

/// Whether it is to be done: the flags say so, or the person, who is asked. False is for what would be done alone.
///
/// # Errors
/// [`Usage`] where nobody can be asked; the end of the program where the answer is no.
fn is_agreed(what: &str, arguments: &Remove) -> Result<bool> {
    if arguments.dry_run || arguments.yes {
        return Ok(!arguments.dry_run);
    }
    if arguments.json || !can_ask() {
        return Err(Usage("nothing was deleted: --yes says that there is to be no question".into()).into());
    }
    if ask(&format!("remove {what}?"), false)? {
        return Ok(true);
    }
    tell!("nothing was deleted");
    Err(super::Exit(1).into())
}

/// A model that is to go.
struct Target {
    /// What it is called here.
    name: String,
    path: PathBuf,
    /// The folder in which it lies with others, which stays.
    root: PathBuf,
    store: Option<StorePlace>,
    /// Its names, in each snapshot of its repository, and whether gibber has fetched them.
    names: Vec<(PathBuf, bool)>,
}

impl Target {
    /// # Errors
    /// Where it is no file that could be deleted.
    fn find(context: &Context, name: &str, source: ModelSource, ledger: &[LedgerEntry]) -> Result<Self> {
        let ModelSource::Path(path) = source else {
            return Err(anyhow!("{} is inside the program, and cannot be removed", models::DEFAULT_NAME));
        };
        let is_included =
            models::default_model(&context.paths).is_ok_and(|default| default == ModelSource::Path(path.clone()));
        if is_included {
            return Err(anyhow!(
                "{} comes with the program and is what it runs without other models: {} stays",
                models::DEFAULT_NAME,
                path.display()
            ));
        }
        let path = std::path::absolute(&path).unwrap_or(path);
        let stores = ModelStores::new(&context.paths);
        let found = stores.models().into_iter().find(|model| model.path == path);
        let folder = stores.folders().find(|folder| path.starts_with(folder));
        let root = folder.or(path.parent()).unwrap_or(Path::new("/")).to_owned();
        let names = names_of(&path, ledger);
        let shown = found.as_ref().map_or_else(|| name.to_owned(), |model| model.name.clone());
        Ok(Self { name: shown, path, root, store: found.map(|model| model.place), names })
    }

    /// The names that are deleted.
    ///
    /// # Errors
    /// Where gibber has fetched none of them, and nobody says that they are to go all the same.
    fn wanted(&self, force: bool) -> Result<Vec<PathBuf>> {
        let name = one_line(&self.name);
        if self.store == Some(StorePlace::Ollama) {
            return Err(anyhow!("{name} is Ollama's, which keeps account of its files: `ollama rm {name}` removes it"));
        }
        let wanted: Vec<PathBuf> =
            self.names.iter().filter(|(_, is_ours)| force || *is_ours).map(|(path, _)| path.clone()).collect();
        if !wanted.is_empty() {
            return Ok(wanted);
        }
        let place = match self.store {
            Some(StorePlace::HuggingFace) => " (it is in the Hugging Face cache, which other programs use)",
            Some(StorePlace::LmStudio) => " (it is LM Studio's)",
            Some(StorePlace::Own | StorePlace::Ollama) | None => "",
        };
        Err(anyhow!(
            "{name} was not fetched by gibber{place}, and stays: --force removes {} all the same",
            self.path.display()
        ))
    }

    /// Whether the settings name it.
    fn is_of_settings(&self, context: &Context) -> bool {
        let name = &context.settings.model.name;
        !name.is_empty()
            && models::resolve(name, &context.paths).is_ok_and(|source| source == ModelSource::Path(self.path.clone()))
    }
}

/// The names of the model at `path` that are there: of a repository in the cache, in all its snapshots.
fn names_of(path: &Path, ledger: &[LedgerEntry]) -> Vec<(PathBuf, bool)> {
    let of_one = |model: &Path| -> Vec<(PathBuf, bool)> {
        let is_recorded = |file: &Path| ledger.iter().any(|entry| files_of_entry(entry).contains(&file.to_owned()));
        let there =
            files_of(model, ledger).into_iter().map(|file| file.path).filter(|path| path.symlink_metadata().is_ok());
        there.map(|path| (is_recorded(&path), path)).map(|(is_ours, path)| (path, is_ours)).collect()
    };
    let Some((snapshots, within)) = in_snapshot(path) else { return of_one(path) };
    let commits = std::fs::read_dir(snapshots).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut models: Vec<PathBuf> = commits.map(|commit| commit.join(&within)).filter(|path| path.exists()).collect();
    models.sort();
    models.iter().flat_map(|model| of_one(model)).collect()
}

/// The places of an entry's files.
fn files_of_entry(entry: &LedgerEntry) -> Vec<PathBuf> {
    files_of(&entry.model, std::slice::from_ref(entry)).into_iter().map(|file| file.path).collect()
}

/// The folder of snapshots that `path` lies in, and its way from a snapshot on.
fn in_snapshot(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let snapshots = path.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "snapshots"))?;
    let is_repository = snapshots.parent()?.file_name()?.to_str()?.starts_with("models--");
    let mut way = path.strip_prefix(snapshots).ok()?.components();
    let has_commit = matches!(way.next(), Some(Component::Normal(_)));
    (is_repository && has_commit).then(|| (snapshots.to_owned(), way.as_path().to_owned()))
}

/// What a person should know before it is gone.
fn say_before(target: &Target, removal: &Removal, was_settings: bool) {
    for kept in &removal.kept {
        tell!("{}", kept_text(kept));
    }
    let stays = target.names.iter().filter(|(path, _)| !removal.names.contains(path));
    for (path, _) in stays {
        tell!(
            "{} was not fetched by gibber, and stays: --force removes it all the same",
            one_line(&path.display().to_string())
        );
    }
    if target.store == Some(StorePlace::HuggingFace) {
        tell!("it is in the Hugging Face cache: other programs that use it from there will fetch it again");
    }
    if was_settings {
        tell!("it is the model of your settings: without it, `gibber` asks for another one at its next start");
    }
}

fn kept_text(kept: &KeptFile) -> String {
    let path = one_line(&kept.path.display().to_string());
    let bytes = bytes_text(kept.bytes);
    match &kept.user {
        User::Snapshot(link) => {
            format!("{path} ({bytes}) stays: {} uses it as well", one_line(&link.display().to_string()))
        }
        User::HardLinks(1) => format!("{path} ({bytes}) frees nothing: it has another name on this disk (a hard link)"),
        User::HardLinks(count) => {
            format!("{path} ({bytes}) frees nothing: it has {count} more names on this disk (hard links)")
        }
        User::Elsewhere => format!("{path} ({bytes}) stays: what is removed is a link to it"),
    }
}

/// What was removed, as `--json` says it.
#[derive(Default, Serialize)]
#[serde(tag = "type", rename = "removed")]
struct RemovedRow {
    name: String,
    freed: u64,
    removed: Vec<String>,
    kept: Vec<KeptRow>,
    /// Whether the settings name it.
    was_of_settings: bool,
    /// Whether all of that would be, and nothing was.
    dry_run: bool,
}

#[derive(Serialize)]
struct KeptRow {
    path: String,
    bytes: u64,
    reason: String,
}

impl RemovedRow {
    fn new(target: &Target, removal: &Removal, was_of_settings: bool) -> Self {
        let text = |path: &PathBuf| path.display().to_string();
        let kept = |kept: &KeptFile| KeptRow { path: text(&kept.path), bytes: kept.bytes, reason: kept_text(kept) };
        Self {
            name: target.name.clone(),
            freed: removal.frees,
            removed: removal.names.iter().chain(&removal.blobs).map(text).collect(),
            kept: removal.kept.iter().map(kept).collect(),
            was_of_settings,
            dry_run: false,
        }
    }
}
