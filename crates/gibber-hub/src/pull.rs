//! A plan carried out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::{make_folder_of, oid_of_blob};
use crate::download::{self, Means, Source, Wanted};
use crate::journal::{self, Identity};
use crate::lock::FileLock;
use crate::meter::{Bytes, Meter};
use crate::throttle::Throttle;
use crate::{Cache, Cancel, Hub, HubError, LedgerFile, Listing, Oid, Plan, RemoteFile, Repository, Result};

/// Files that an error names at most.
const NAMED: usize = 3;
/// How another folder for the cache is named.
const ELSEWHERE: &str = ", or set HF_HOME to a folder on a larger disk";

/// What a pull may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Ranges of one file that are fetched at once.
    pub connections: usize,
    /// For all of them together; none means as fast as it comes.
    pub bytes_per_second: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 8, bytes_per_second: None }
    }
}

/// What a pull ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What `-m` takes.
    pub path: PathBuf,
    /// Bytes that came over the line.
    pub bytes_fetched: u64,
    /// Bytes that were here before.
    pub bytes_here: u64,
    /// The SHA-256 of a file that has nothing to be compared with.
    pub unverified: Option<String>,
    /// The files of an address, with their SHA-256; of a repository its list says them.
    pub parts: Vec<LedgerFile>,
}

/// What a pull says while it runs: the contract of `gibber pull --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PullEvent {
    /// What is going to be fetched.
    Planned {
        /// How many files.
        files: usize,
        /// Bytes of all of them.
        total: u64,
        /// Bytes that are here already.
        here: u64,
    },
    /// Something else has to end first: another program that fetches the same file.
    Waiting {
        /// The file.
        path: String,
        /// For what.
        what: String,
    },
    /// How far it is. `done` never becomes smaller.
    Progress {
        /// Bytes.
        done: u64,
        /// Bytes; more than planned where something has to be fetched twice.
        total: u64,
        /// Over the last seconds.
        bytes_per_second: f64,
        /// None until it can be told.
        seconds_left: Option<f64>,
    },
    /// Something failed and is tried again.
    Retrying {
        /// The file.
        path: String,
        /// What happened.
        reason: String,
        /// From 1 on.
        attempt: u32,
        /// Before it is tried.
        wait_seconds: f64,
    },
    /// A file has the hash that it is to have.
    Verified {
        /// The file.
        path: String,
        /// 64 hexadecimal digits.
        sha256: String,
    },
    /// A file is in its place.
    Done {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
}

/// Fetches the files of `plan` into `cache`; what is there already is not fetched again.
///
/// # Errors
/// What the network and the disk do; a file whose hash is wrong twice; [`HubError::Offline`]; [`HubError::Cancelled`]. What
/// was fetched by then stays, and the next pull goes on from it.
pub fn pull(
    hub: &Hub,
    cache: &Cache,
    plan: &Plan,
    limits: &Limits,
    progress: &dyn Fn(PullEvent),
    cancel: &Cancel,
) -> Result<Pulled> {
    Cache::check(&plan.listing, &plan.files)?;
    let files = needed(cache, plan);
    let total = files.iter().map(|file| file.file.size).sum();
    let here = files.iter().map(|file| file.here).sum();
    progress(PullEvent::Planned { files: plan.files.len(), total, here });
    let throttle = Throttle::new(limits.bytes_per_second);
    let meter = Meter::new(progress, here, total);
    let means = Means { limits, throttle: &throttle, meter: &meter, cancel };
    let missing: Vec<_> = files.iter().filter(|file| !file.is_complete).collect();
    if !missing.is_empty() {
        refuse_offline(hub, plan, &missing)?;
        let repository = plan.listing.repository.as_str();
        refuse_without_room(repository, &cache.repository(&plan.listing.repository), total - here, ELSEWHERE)?;
        cache.prepare()?;
    }
    let fetched = fetch_missing(hub, cache, plan, &missing, &means)?;
    // Names come last, and the ref behind them: what is half here is not taken for a model.
    for file in &plan.files {
        cache.link(&plan.listing, file, fetched.contains(&file.oid))?;
    }
    match cache.write_ref(&plan.listing) {
        // A cache that is only read has all that was asked for.
        Err(error) if missing.is_empty() => tracing::debug!(%error, "the ref is not written"),
        written => written?,
    }
    files.iter().filter(|file| file.is_complete).for_each(|file| remove_leftovers(cache, &plan.listing, file.file));
    let snapshot = cache.snapshot(&plan.listing.repository, &plan.listing.commit);
    let path = if plan.model.as_os_str().is_empty() { snapshot } else { snapshot.join(&plan.model) };
    Ok(Pulled { path, bytes_fetched: meter.fetched(), bytes_here: here, unverified: None, parts: Vec::new() })
}

/// Fetches what is missing; what of it came from here.
fn fetch_missing<'a>(
    hub: &Hub,
    cache: &Cache,
    plan: &Plan,
    missing: &[&Needed<'a>],
    means: &Means<'_>,
) -> Result<HashSet<&'a Oid>> {
    let mut fetched = HashSet::new();
    for file in missing {
        // Others call a repository without this folder broken, however much of a file is there.
        let snapshot = cache.snapshot(&plan.listing.repository, &plan.listing.commit);
        std::fs::create_dir_all(&snapshot).map_err(|source| HubError::Io { path: snapshot.clone(), source })?;
        match fetch_file(hub, cache, &plan.listing, file, means) {
            Ok(true) => drop(fetched.insert(&file.file.oid)),
            Ok(false) => {}
            Err(error) => {
                remove_where_nothing_came(cache, plan);
                return Err(error);
            }
        }
    }
    Ok(fetched)
}

/// Removes the folders of a repository in which no file is; of another program's, none is empty.
fn remove_where_nothing_came(cache: &Cache, plan: &Plan) {
    let repository = cache.repository(&plan.listing.repository);
    let blobs = repository.join("blobs");
    let is_empty = |folder: &Path| std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty(&blobs) {
        return;
    }
    // Each goes where it is empty alone.
    let snapshot = cache.snapshot(&plan.listing.repository, &plan.listing.commit);
    for folder in [snapshot, repository.join("snapshots"), blobs, repository] {
        if let Err(error) = std::fs::remove_dir(&folder) {
            tracing::debug!(%error, folder = %folder.display(), "it stays");
        }
    }
}

/// The files of `repository` at `revision`: the hub's list, or what is known here where nothing is to be fetched.
///
/// # Errors
/// Those of [`Hub::list`]; [`HubError::Offline`] where nothing of it is here.
pub fn list(hub: &Hub, cache: &Cache, repository: &Repository, revision: &str) -> Result<Listing> {
    let Some(variable) = hub.environment().offline.clone() else { return hub.list(repository, revision) };
    let what = format!("{repository} at {revision}");
    cache.listing(repository, revision).ok_or(HubError::Offline { what, variable })
}

/// The first `most` bytes of a small file of a listing: from the cache where it is there, else the hub's.
///
/// # Errors
/// Those of [`Hub::range`].
pub fn read_file(hub: &Hub, cache: Option<&Cache>, listing: &Listing, file: &RemoteFile, most: u64) -> Result<Vec<u8>> {
    let here = cache.and_then(|cache| cache.find(listing, file)).filter(|_| file.size <= most);
    match here.and_then(|path| gibber_files::read(&path, most).ok()) {
        Some(bytes) => Ok(bytes),
        None => hub.range(listing, &file.path, 0..file.size.min(most)),
    }
}

/// How many bytes of a plan's files are here: those of complete files, and of what an interrupted pull left.
pub fn bytes_here(cache: &Cache, plan: &Plan) -> u64 {
    needed(cache, plan).iter().map(|file| file.here).sum()
}

/// A file of a plan.
#[derive(Debug)]
struct Needed<'a> {
    file: &'a RemoteFile,
    is_complete: bool,
    /// How many of its bytes are here.
    here: u64,
}

/// The files of a plan, each content once; small ones first, so that what is wrong shows before the large ones.
fn needed<'a>(cache: &Cache, plan: &'a Plan) -> Vec<Needed<'a>> {
    let mut seen = HashSet::new();
    let mut files: Vec<_> = plan.files.iter().filter(|file| is_new(&mut seen, file)).collect();
    files.sort_by_key(|file| file.size);
    let state = |file: &'a RemoteFile| {
        let is_complete = cache.find(&plan.listing, file).is_some();
        let blob = cache.blob(&plan.listing.repository, &file.oid);
        let here = if is_complete { file.size } else { journal::promised_bytes(&blob, &identity(file)) };
        Needed { file, is_complete, here }
    };
    files.into_iter().map(state).collect()
}

/// Whether no file before had the same bytes. Those that are known by no name are each their own.
fn is_new<'a>(seen: &mut HashSet<&'a str>, file: &'a RemoteFile) -> bool {
    file.oid.as_str().is_empty() || seen.insert(file.oid.as_str())
}

fn identity(file: &RemoteFile) -> Identity {
    Identity::new(&file.path, file.size, file.oid.as_str())
}

/// Fetches one file to its blob, unless another program did meanwhile; whether it did.
fn fetch_file(hub: &Hub, cache: &Cache, listing: &Listing, needed: &Needed<'_>, means: &Means<'_>) -> Result<bool> {
    let file = needed.file;
    means.meter.next_file(needed.here);
    if file.oid.as_str().is_empty() {
        let why = "nothing says what its bytes are: pull it while the hub can be reached".to_owned();
        return Err(HubError::Name { name: file.path.clone(), why });
    }
    let blob = cache.blob(&listing.repository, &file.oid);
    let _lock = lock(&cache.lock(&listing.repository, &file.oid), &file.path, means)?;
    if cache.find(listing, file).is_some() {
        means.meter.file_begins(file.size);
        means.meter.show();
        return Ok(false);
    }
    make_folder_of(&blob)?;
    remove_stale(cache, listing, file, &blob);
    let source = Source::Hub { hub, listing, path: &file.path };
    let wanted = Wanted { source, size: file.size, oid: Some(&file.oid), identity: identity(file) };
    let sha256 = download::fetch(&wanted, &blob, means).inspect_err(|error| {
        // The lock is held: what is not promised here is nobody's, and nothing would go on from it.
        let is_refused = !matches!(error, HubError::Cancelled);
        if is_refused && journal::promised_bytes(&blob, &wanted.identity) == 0 {
            let removed = journal::remove_partial(&blob);
            tracing::debug!(blob = %blob.display(), ?removed, "nothing came of it");
        }
    })?;
    means.meter.tell(PullEvent::Verified { path: file.path.clone(), sha256 });
    means.meter.tell(PullEvent::Done { path: file.path.clone(), bytes: file.size });
    Ok(true)
}

/// Waits until nobody else fetches the file at `path`.
pub(crate) fn lock(lock: &Path, path: &str, means: &Means<'_>) -> Result<FileLock> {
    let what = "another program that fetches it".to_owned();
    FileLock::take(lock, means.cancel, || means.meter.tell(PullEvent::Waiting { path: path.to_owned(), what }))
}

/// Removes what a pull left that was killed between giving a file its name and removing its journal.
fn remove_leftovers(cache: &Cache, listing: &Listing, file: &RemoteFile) {
    let blob = cache.blob(&listing.repository, &file.oid);
    if !journal::has_partial(&blob) {
        return;
    }
    if let Ok(Some(_lock)) = FileLock::try_take(&cache.lock(&listing.repository, &file.oid)) {
        let removed = journal::remove_partial(&blob);
        tracing::debug!(blob = %blob.display(), ?removed, "the journal of a complete file");
    }
}

/// Removes what an interrupted pull left of an earlier content of the same file, unless somebody is at it.
fn remove_stale(cache: &Cache, listing: &Listing, file: &RemoteFile, blob: &Path) {
    let Some(folder) = blob.parent() else { return };
    for (target, identity) in journal::partial_files(folder) {
        let oid = target.file_name().and_then(|name| name.to_str()).and_then(oid_of_blob);
        let Some(oid) = oid.filter(|oid| identity.path == file.path && *oid != file.oid) else { continue };
        if let Ok(Some(_lock)) = FileLock::try_take(&cache.lock(&listing.repository, &oid)) {
            let removed = journal::remove_partial(&target);
            tracing::debug!(target = %target.display(), ?removed, "an unfinished file of an earlier commit");
        }
    }
}

fn refuse_offline(hub: &Hub, plan: &Plan, missing: &[&Needed<'_>]) -> Result<()> {
    let Some(variable) = hub.environment().offline.clone() else { return Ok(()) };
    let mut what: Vec<_> = missing.iter().take(NAMED).map(|needed| needed.file.path.clone()).collect();
    if missing.len() > NAMED {
        what.push(format!("{} more", missing.len() - NAMED));
    }
    let what = format!("{} of {}", what.join(", "), plan.listing.repository);
    Err(HubError::Offline { what, variable })
}

/// Whether `folder`, which need not be there yet, has room for `needed` bytes more.
pub(crate) fn refuse_without_room(what: &str, folder: &Path, needed: u64, elsewhere: &'static str) -> Result<()> {
    let Some(place) = folder.ancestors().find(|place| place.exists()) else { return Ok(()) };
    let Ok(system) = rustix::fs::statvfs(place) else { return Ok(()) };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    // Some file systems do not say how large they are: they show it when it comes to that.
    if system.f_blocks == 0 || free >= needed {
        return Ok(());
    }
    let (needed, free) = (Bytes(needed), Bytes(free));
    Err(HubError::NoRoom { what: what.to_owned(), folder: folder.to_owned(), needed, free, elsewhere })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let hub = folder.path().join("not/yet/there");
        assert!(refuse_without_room("org/name", &hub, 1, ELSEWHERE).is_ok());
        let error = refuse_without_room("org/name", &hub, u64::MAX, ELSEWHERE).unwrap_err().to_string();
        assert!(error.starts_with("org/name needs 18446744073.71 GB more in "), "{error}");
        assert!(error.contains(" are free there: make room, or set HF_HOME"), "{error}");
    }
}
