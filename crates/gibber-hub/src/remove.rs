//! Files of a model taken away, without what others still use.
//!
//! In the cache a file's name is a link in a snapshot, and its bytes are a blob: the blob goes with the last link to it. A
//! file that has another name elsewhere (a hard link), or is a link to somewhere else, loses this name alone. Folders that
//! are empty then go too, and refs that lead nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::journal::{self, Identity};
use crate::lock::FileLock;
use crate::plain::address_of;
use crate::{HubError, Result};

/// Folders within a folder that are looked into.
const DEPTH: usize = 10;
/// Bytes of a ref that are read; a commit has 40.
const REF: u64 = 1 << 10;
/// What the names of files begin with, behind the blob's, that a pull leaves for the next one.
const PARTIAL: &str = ".gibber-part";

/// What is to be deleted, and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// The names that go: links, or files themselves.
    pub names: Vec<PathBuf>,
    /// The blobs that nothing else leads to.
    pub blobs: Vec<PathBuf>,
    /// Bytes that nobody uses, because of which there is less room.
    pub frees: u64,
    /// What stays on the disk though its name goes.
    pub kept: Vec<KeptFile>,
}

/// A file that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// The bytes' own place.
    pub path: PathBuf,
    /// How many they are.
    pub bytes: u64,
    /// Because of whom.
    pub user: User,
}

/// Who uses a file as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// Another snapshot has a link to it.
    Snapshot(PathBuf),
    /// It has so many more names on this disk.
    HardLinks(u64),
    /// It lies outside, and the name was a link to it.
    Elsewhere,
}

impl Removal {
    /// What deleting `files` comes to, each the name of a file or a link.
    ///
    /// # Errors
    /// Where one of them cannot be looked at.
    pub fn of(files: &[PathBuf]) -> Result<Self> {
        let mut removal = Self::default();
        let names: BTreeSet<&PathBuf> = files.iter().collect();
        let mut seen = BTreeSet::new();
        for name in &names {
            removal.names.push((*name).clone());
            let metadata = name.symlink_metadata().map_err(|source| HubError::Io { path: (*name).clone(), source })?;
            // A link that leads nowhere has nothing to free.
            let Ok(bytes) = name.canonicalize() else { continue };
            if !seen.insert(bytes.clone()) {
                continue;
            }
            if !metadata.is_symlink() {
                removal.add(bytes, None);
                continue;
            }
            match repository_of(name).filter(|repository| is_blob_of(&bytes, repository)) {
                Some(repository) => {
                    let user = links_to(&bytes, &repository).into_iter().find(|link| !names.contains(link));
                    if user.is_none() {
                        removal.blobs.push(bytes.clone());
                    }
                    removal.add(bytes, user.map(User::Snapshot));
                }
                None => removal.add(bytes, Some(User::Elsewhere)),
            }
        }
        Ok(removal)
    }

    /// Counts the bytes at `path`, which stay where somebody uses them.
    fn add(&mut self, path: PathBuf, user: Option<User>) {
        let Ok(metadata) = path.metadata() else { return };
        let others = metadata.nlink().saturating_sub(1);
        let user = user.or((others > 0).then_some(User::HardLinks(others)));
        match user {
            Some(user) => self.kept.push(KeptFile { path, bytes: metadata.len(), user }),
            None => self.frees += metadata.len(),
        }
    }

    /// Deletes the files, and the folders below `root` that are empty then. Of what is gone already nothing is said.
    ///
    /// # Errors
    /// Where a file cannot be deleted; those before it are.
    pub fn carry_out(&self, root: &Path) -> Result<()> {
        for path in self.names.iter().chain(&self.blobs) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(HubError::Io { path: path.clone(), source: error });
                }
                _ => {}
            }
        }
        let repositories: BTreeSet<PathBuf> = self.names.iter().filter_map(|name| repository_of(name)).collect();
        for name in &self.names {
            remove_empty_folders(name, root);
        }
        // What is left over harms nobody: it is cleared away as far as that goes.
        repositories.iter().for_each(|repository| tidy(repository));
        Ok(())
    }
}

/// The folder of the repository in whose snapshots `path` lies.
fn repository_of(path: &Path) -> Option<PathBuf> {
    let snapshots = path.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "snapshots"))?;
    let repository = snapshots.parent()?;
    let name = repository.file_name()?.to_str()?;
    name.starts_with("models--").then(|| repository.to_owned())
}

fn is_blob_of(path: &Path, repository: &Path) -> bool {
    let blobs = repository.join("blobs").canonicalize();
    blobs.is_ok_and(|blobs| path.parent() == Some(&blobs))
}

/// The links in a repository's snapshots that lead to `blob`.
fn links_to(blob: &Path, repository: &Path) -> Vec<PathBuf> {
    let mut links = Vec::new();
    names_below(&repository.join("snapshots"), DEPTH, &mut links);
    links.retain(|link| link.canonicalize().is_ok_and(|target| target == blob));
    links
}

/// Everything below a folder that is no folder.
fn names_below(folder: &Path, depth: usize, names: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => names_below(&entry.path(), depth - 1, names),
            Ok(kind) if !kind.is_dir() => names.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Removes the folders that led to `name`, up to one that is not empty or is `root`.
fn remove_empty_folders(name: &Path, root: &Path) {
    let folders = name.ancestors().skip(1).take_while(|folder| folder.starts_with(root) && *folder != root);
    for folder in folders {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// Clears away what is of no snapshot any more: refs and listings of commits that are gone; and of a repository without
/// snapshots what is left of pulls that nobody is at, the locks, and the folders.
fn tidy(repository: &Path) {
    let snapshots = repository.join("snapshots");
    let is_here = |commit: &str| !commit.is_empty() && snapshots.join(commit).is_dir();
    let mut refs = Vec::new();
    names_below(&repository.join("refs"), DEPTH, &mut refs);
    for path in refs {
        let commit = gibber_files::read_text(&path, REF).unwrap_or_default();
        if !is_here(commit.trim()) {
            let _ = fs::remove_file(&path);
            remove_empty_folders(&path, repository);
        }
    }
    for folder in ["trees", ".no_exist"] {
        for entry in fs::read_dir(repository.join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            if !path.file_stem().and_then(|name| name.to_str()).is_some_and(is_here) {
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            }
        }
        let _ = fs::remove_dir(repository.join(folder));
    }
    if fs::read_dir(&snapshots).into_iter().flatten().next().is_some() {
        return;
    }
    remove_partials(repository);
    for folder in ["snapshots", "refs", "blobs"] {
        let _ = fs::remove_dir(repository.join(folder));
    }
    let _ = fs::remove_dir(repository);
}

/// A file of which a pull that was stopped has left a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begun {
    /// Its path in the repository, where that is known.
    pub path: Option<String>,
    /// Bytes of the whole file, where that is known.
    pub size: Option<u64>,
    /// Bytes on the disk.
    pub bytes: u64,
    files: Vec<PathBuf>,
}

/// What pulls have begun in the folder of a repository and nobody is at, in the order of its blobs.
pub fn begun(repository: &Path) -> Vec<Begun> {
    begun_in(&repository.join("blobs"), locks_of(repository).as_deref(), |identity| identity.path.clone())
}

/// The same of addresses, whose files are to be in `folder`: [`Begun::path`] is the address, with its hash where that is
/// known.
pub fn begun_of_addresses(folder: &Path) -> Vec<Begun> {
    begun_in(folder, Some(&folder.join(".locks")), address_of)
}

fn begun_in(folder: &Path, locks: Option<&Path>, name: fn(&Identity) -> String) -> Vec<Begun> {
    let mut found: BTreeMap<String, Begun> = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some((target, _)) = file.split_once(PARTIAL) else { continue };
        let part = found.entry(target.to_owned()).or_default();
        part.bytes += entry.metadata().map_or(0, |metadata| metadata.blocks() * 512);
        if let Some(whole) = journal::becomes(&entry.path()) {
            (part.path, part.size) = (Some(name(&whole)), Some(whole.size));
        }
        part.files.push(entry.path());
    }
    let is_left = |target: &str| locks.is_none_or(|locks| is_free(&locks.join(format!("{target}.lock"))));
    found.into_iter().filter(|(target, _)| is_left(target)).map(|(_, part)| part).collect()
}

/// Removes what was [`begun`] in the folder of a repository, which goes too where nothing is left in it; or what was
/// [begun of addresses](begun_of_addresses).
pub fn remove_begun(folder: &Path, parts: &[Begun]) {
    for file in parts.iter().flat_map(|part| &part.files) {
        let _ = fs::remove_file(file);
    }
    if folder.join("blobs").is_dir() && begun(folder).is_empty() {
        tidy(folder);
    }
}

/// The folder of a repository's locks.
fn locks_of(repository: &Path) -> Option<PathBuf> {
    repository.parent().zip(repository.file_name()).map(|(hub, name)| hub.join(".locks").join(name))
}

/// Removes what pulls have left in `blobs`, with their locks.
fn remove_partials(repository: &Path) {
    for file in begun(repository).iter().flat_map(|part| &part.files) {
        let _ = fs::remove_file(file);
    }
    if let Some(locks) = locks_of(repository) {
        for entry in fs::read_dir(&locks).into_iter().flatten().flatten() {
            if is_free(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_dir(locks);
    }
}

/// Whether no program holds the lock.
fn is_free(lock: &Path) -> bool {
    !lock.exists() || FileLock::try_take(lock).is_ok_and(|lock| lock.is_some())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    struct Hub(tempfile::TempDir);

    impl Hub {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn root(&self) -> PathBuf {
            self.0.path().canonicalize().unwrap().join("hub")
        }

        fn repository(&self) -> PathBuf {
            self.root().join("models--org--name")
        }

        fn put(&self, path: &str, content: &str) -> PathBuf {
            let path = self.repository().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            path
        }

        /// A file of a snapshot, with its blob.
        fn link(&self, commit: &str, name: &str, blob: &str, content: &str) -> PathBuf {
            self.put(&format!("blobs/{blob}"), content);
            let link = self.repository().join("snapshots").join(commit).join(name);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            let up = "../".repeat(name.split('/').count() + 1);
            std::os::unix::fs::symlink(format!("{up}blobs/{blob}"), &link).unwrap();
            link
        }
    }

    #[test]
    fn a_blob_that_another_snapshot_uses_stays_until_that_goes_too() {
        let hub = Hub::new();
        let old = hub.link(ONE, "model.gguf", "aa", "data");
        let new = hub.link(TWO, "model.gguf", "aa", "data");
        hub.put("refs/main", TWO);
        let removal = Removal::of(std::slice::from_ref(&new)).unwrap();
        assert_eq!((removal.frees, removal.blobs.len()), (0, 0));
        assert_eq!(removal.kept[0].user, User::Snapshot(old.clone()));
        removal.carry_out(&hub.root()).unwrap();
        assert!(old.exists() && !new.exists());
        assert!(!hub.repository().join("refs/main").exists(), "it leads nowhere");
        let removal = Removal::of(&[old]).unwrap();
        assert_eq!((removal.frees, removal.kept.len()), (4, 0));
        removal.carry_out(&hub.root()).unwrap();
        assert!(!hub.repository().exists() && hub.root().exists(), "nothing is left of it");
    }

    #[test]
    fn both_at_once_free_what_they_share() {
        let hub = Hub::new();
        let files = [hub.link(ONE, "q/model.gguf", "aa", "data"), hub.link(TWO, "q/model.gguf", "aa", "data")];
        let other = hub.link(ONE, "other.gguf", "bb", "more");
        let removal = Removal::of(&files).unwrap();
        assert_eq!((removal.frees, removal.blobs.len(), removal.kept.len()), (4, 1, 0));
        removal.carry_out(&hub.root()).unwrap();
        assert!(other.exists() && !hub.repository().join("snapshots").join(TWO).exists());
    }

    #[test]
    fn a_file_with_another_name_frees_nothing() {
        let hub = Hub::new();
        let name = hub.link(ONE, "model.gguf", "aa", "data");
        let twin = hub.root().join("twin.gguf");
        fs::hard_link(hub.repository().join("blobs/aa"), &twin).unwrap();
        let removal = Removal::of(&[name]).unwrap();
        assert_eq!((removal.frees, removal.blobs.len()), (0, 1));
        assert_eq!(removal.kept[0].user, User::HardLinks(1));
        removal.carry_out(&hub.root()).unwrap();
        assert_eq!(fs::read(twin).unwrap(), b"data");
    }

    #[test]
    fn what_a_link_leads_to_elsewhere_is_not_touched() {
        let hub = Hub::new();
        fs::create_dir_all(hub.root().join("models/deep")).unwrap();
        let target = hub.0.path().join("mine.gguf");
        fs::write(&target, "data").unwrap();
        let link = hub.root().join("models/deep/link.gguf");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let removal = Removal::of(std::slice::from_ref(&link)).unwrap();
        assert_eq!((removal.frees, &removal.kept[0].user), (0, &User::Elsewhere));
        removal.carry_out(&hub.root().join("models")).unwrap();
        assert!(target.exists() && !link.is_symlink() && !hub.root().join("models/deep").exists());
        assert!(hub.root().join("models").exists());
    }

    #[test]
    fn what_a_pull_that_runs_has_begun_is_left_to_it() {
        let hub = Hub::new();
        let name = hub.link(ONE, "model.gguf", "aa", "data");
        let (running, left) = (hub.put("blobs/bb.gibber-part", "half"), hub.put("blobs/cc.gibber-part", "half"));
        let locks = hub.root().join(".locks/models--org--name");
        fs::create_dir_all(&locks).unwrap();
        let lock = File::create(locks.join("bb.lock")).unwrap();
        File::create(locks.join("cc.lock")).unwrap();
        lock.lock().unwrap();
        Removal::of(&[name]).unwrap().carry_out(&hub.root()).unwrap();
        assert!(running.exists() && !left.exists());
        assert!(locks.join("bb.lock").exists() && !locks.join("cc.lock").exists());
    }
}
