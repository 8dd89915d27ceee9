//! The cache that `huggingface_hub` and gibber share: blobs, snapshots, refs and locks.
//!
//! A repository has a folder `models--ORGANIZATION--NAME`. Its `blobs` are files called by what names their bytes, its
//! `snapshots/COMMIT` have the files of a commit by their own names, as links to blobs, and `refs/REVISION` says which commit
//! a branch or tag was when it was last asked for. Whoever fetches a blob holds `.locks/models--…/BLOB.lock`.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use gibber_files::scratch_beside;
use serde::Deserialize;

use crate::journal::{self, Identity};
use crate::{HubEnvironment, HubError, Listing, Oid, RemoteFile, Repository, Result};

/// Bytes of a ref that are read; a commit has 40.
const REF: u64 = 1 << 10;
/// Folders within a snapshot that are looked into.
const DEPTH: usize = 8;
/// What says to programs that make backups that a folder can be fetched again; the first line is the standard's.
const TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Models that can be fetched again from where they came.\n";

/// The folder of all repositories.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    links: bool,
}

impl Cache {
    /// The one in `folder`, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), links: true }
    }

    /// The one that an environment names, if it names one.
    pub fn of(environment: &HubEnvironment) -> Option<Self> {
        Some(Self { folder: environment.cache.clone()?, links: environment.links })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a repository.
    pub fn repository(&self, repository: &Repository) -> PathBuf {
        self.folder.join(folder_name(repository))
    }

    /// The repositories that have a folder, in the order of their names.
    pub fn repositories(&self) -> Vec<Repository> {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut found: Vec<_> = names.filter_map(|name| repository_of_folder(&name)).collect();
        found.sort();
        found
    }

    /// Where the bytes that `oid` names are, or will be.
    pub fn blob(&self, repository: &Repository, oid: &Oid) -> PathBuf {
        self.repository(repository).join("blobs").join(oid.as_str())
    }

    /// What is locked while that is written, by `huggingface_hub` too.
    pub fn lock(&self, repository: &Repository, oid: &Oid) -> PathBuf {
        self.folder.join(".locks").join(folder_name(repository)).join(format!("{}.lock", oid.as_str()))
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, repository: &Repository, commit: &str) -> PathBuf {
        self.repository(repository).join("snapshots").join(commit)
    }

    /// The commit that `revision` stands for here: what its ref says, or itself.
    pub fn commit(&self, repository: &Repository, revision: &str) -> Option<String> {
        let named = relative(revision).ok().and_then(|revision| {
            gibber_files::read_text(&self.repository(repository).join("refs").join(revision), REF).ok()
        });
        named.as_deref().map(str::trim).or(Some(revision)).filter(|commit| is_commit(commit)).map(str::to_owned)
    }

    /// Where the file of a listing is, if all of its bytes are here: in its snapshot or as a blob.
    pub fn find(&self, listing: &Listing, file: &RemoteFile) -> Option<PathBuf> {
        let has_it = |path: &PathBuf| path.metadata().is_ok_and(|found| found.is_file() && found.len() == file.size);
        let path = relative(&file.path).ok()?;
        let in_snapshot = is_commit(&listing.commit)
            .then(|| self.snapshot(&listing.repository, &listing.commit).join(path))
            .filter(has_it);
        in_snapshot.or_else(|| Some(self.blob(&listing.repository, &file.oid)).filter(has_it))
    }

    /// The first bytes of a file whose pull was begun, as many as are proven to be here, up to about `most`.
    pub fn front(&self, listing: &Listing, file: &RemoteFile, most: u64) -> Vec<u8> {
        let identity = Identity::new(&file.path, file.size, file.oid.as_str());
        journal::front(&self.blob(&listing.repository, &file.oid), &identity, most)
    }

    /// What is known here of a repository at a revision without asking the hub: all of its files where
    /// `huggingface_hub` kept the hub's listing, else those that are here. None where there is nothing.
    pub fn listing(&self, repository: &Repository, revision: &str) -> Option<Listing> {
        let commit = self.commit(repository, revision)?;
        let files = self.kept_tree(repository, &commit).unwrap_or_else(|| self.files_here(repository, &commit));
        let (repository, revision) = (repository.clone(), revision.to_owned());
        (!files.is_empty()).then_some(Listing { repository, revision, commit, files, gated: false })
    }

    /// The listing of a commit that `huggingface_hub` keeps in `trees`.
    fn kept_tree(&self, repository: &Repository, commit: &str) -> Option<Vec<RemoteFile>> {
        let path = self.repository(repository).join("trees").join(format!("{commit}.json"));
        let tree: Tree = serde_json::from_slice(&gibber_files::read(&path, gibber_files::LARGE).ok()?).ok()?;
        let files = tree.files.into_iter().map(|(path, file)| file.named(path));
        (tree.format_version == 1).then(|| files.collect()).flatten()
    }

    /// The files of a snapshot, called by the blobs that they are links to.
    fn files_here(&self, repository: &Repository, commit: &str) -> Vec<RemoteFile> {
        let snapshot = self.snapshot(repository, commit);
        let mut paths = Vec::new();
        files_below(&snapshot, "", DEPTH, &mut paths);
        let of_path = |path: String| {
            let (link, found) = (snapshot.join(&path), snapshot.join(&path).metadata().ok()?);
            let blob = fs::read_link(link).ok();
            let blob = blob.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).and_then(oid_of_blob);
            // A file that is no link is known by no name, and is here in any case.
            let oid = blob.unwrap_or(Oid::GitBlob(String::new()));
            found.is_file().then_some(RemoteFile { path, size: found.len(), oid })
        };
        paths.into_iter().filter_map(of_path).collect()
    }

    /// Whether a listing's commit and paths can be part of a path of this machine.
    pub(crate) fn check(listing: &Listing, files: &[RemoteFile]) -> Result<()> {
        let wrong = |name: &str, why: &str| HubError::Name { name: name.to_owned(), why: why.to_owned() };
        if !is_commit(&listing.commit) {
            return Err(wrong(
                &listing.commit,
                "the server calls this a commit, and a commit is 40 hexadecimal digits",
            ));
        }
        relative(&listing.revision)
            .map_err(|()| wrong(&listing.revision, "a revision is a branch, a tag or a commit, without '..'"))?;
        for file in files {
            relative(&file.path).map_err(|()| {
                wrong(&file.path, "the server lists this as a file, and it would lie outside its folder")
            })?;
            // Files that are here and no links have no name.
            if !file.oid.as_str().is_empty() && oid_of_blob(file.oid.as_str()).as_ref() != Some(&file.oid) {
                return Err(wrong(file.oid.as_str(), "the server calls this a hash, and it is none"));
            }
        }
        Ok(())
    }

    /// Gives the blob of `file` its name in the snapshot: by a link, or where there are none by moving it there. One that is
    /// not `new` may be what others are links to, and is copied.
    pub(crate) fn link(&self, listing: &Listing, file: &RemoteFile, new: bool) -> Result<()> {
        let Ok(path) = relative(&file.path) else { return Ok(()) };
        let snapshot = self.snapshot(&listing.repository, &listing.commit);
        let (name, blob) = (snapshot.join(path), self.blob(&listing.repository, &file.oid));
        if name.metadata().is_ok_and(|there| there.is_file() && there.len() == file.size) {
            return Ok(());
        }
        make_folder_of(&name)?;
        let up = "../".repeat(path.components().count() + 1);
        let target = PathBuf::from(format!("{up}blobs/{}", file.oid.as_str()));
        let linked = if self.links { link(&target, &name) } else { Err(ErrorKind::Unsupported.into()) };
        match linked {
            Err(error) if knows_no_links(&error) => place(&blob, &name, new),
            linked => linked,
        }
        .map_err(|source| HubError::Io { path: name, source })
    }

    /// Says that the listing's revision is its commit, once all that was asked for is there.
    pub(crate) fn write_ref(&self, listing: &Listing) -> Result<()> {
        if listing.revision == listing.commit {
            return Ok(());
        }
        let Ok(revision) = relative(&listing.revision) else { return Ok(()) };
        let path = self.repository(&listing.repository).join("refs").join(revision);
        if gibber_files::read_text(&path, REF).is_ok_and(|commit| commit == listing.commit) {
            return Ok(());
        }
        make_folder_of(&path)?;
        replace(&path, listing.commit.as_bytes()).map_err(|source| HubError::Io { path, source })
    }

    /// Makes the folder, and marks it as one that need not be in a backup.
    pub(crate) fn prepare(&self) -> Result<()> {
        let tag = self.folder.join("CACHEDIR.TAG");
        make_folder_of(&tag)?;
        if !tag.exists() {
            // It helps others; a cache works without it.
            let _ = fs::write(tag, TAG);
        }
        Ok(())
    }
}

/// What `huggingface_hub` keeps of a hub's listing.
#[derive(Deserialize)]
struct Tree {
    format_version: u32,
    files: std::collections::BTreeMap<String, TreeFile>,
}

#[derive(Deserialize)]
struct TreeFile {
    size: u64,
    blob_id: String,
    lfs_sha256: Option<String>,
    lfs_size: Option<u64>,
}

impl TreeFile {
    fn named(self, path: String) -> Option<RemoteFile> {
        let (name, size) = match self.lfs_sha256 {
            Some(sha256) => (sha256, self.lfs_size.unwrap_or(self.size)),
            None => (self.blob_id, self.size),
        };
        relative(&path).ok()?;
        Some(RemoteFile { oid: oid_of_blob(&name)?, path, size })
    }
}

fn folder_name(repository: &Repository) -> String {
    format!("models--{}", repository.as_str().replace('/', "--"))
}

fn repository_of_folder(name: &str) -> Option<Repository> {
    Repository::new(&name.strip_prefix("models--")?.replace("--", "/")).ok()
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hexadecimal(text)
}

/// What a blob's name says.
pub(crate) fn oid_of_blob(name: &str) -> Option<Oid> {
    match name.len() {
        64 if is_hexadecimal(name) => Some(Oid::Sha256(name.to_owned())),
        40 if is_hexadecimal(name) => Some(Oid::GitBlob(name.to_owned())),
        _ => None,
    }
}

/// `path` if it leads to something below the folder that it is joined to.
fn relative(path: &str) -> std::result::Result<&Path, ()> {
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    let is_below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if is_below && path.split('/').all(is_name) { Ok(Path::new(path)) } else { Err(()) }
}

fn files_below(folder: &Path, prefix: &str, depth: usize, paths: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => files_below(&entry.path(), &path, depth - 1, paths),
            Ok(kind) if !kind.is_dir() => paths.push(path),
            Ok(_) | Err(_) => {}
        }
    }
}

pub(crate) fn make_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|source| HubError::Io { path: folder.to_owned(), source })
}

/// Makes the link `name`, in place of what may be there.
fn link(target: &Path, name: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(target, name) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // Another program may just have made the same, or what is there leads nowhere.
            if fs::read_link(name).is_ok_and(|there| there == target) {
                return Ok(());
            }
            fs::remove_file(name)?;
            std::os::unix::fs::symlink(target, name)
        }
        linked => linked,
    }
}

fn knows_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied)
}

/// Moves or copies a blob to where a link would be, in place of what may be there.
fn place(blob: &Path, name: &Path, new: bool) -> io::Result<()> {
    if new {
        return fs::rename(blob, name);
    }
    let mut scratch = scratch_beside(name, &OpenOptions::new())?;
    io::copy(&mut gibber_files::open(blob)?, scratch.as_file_mut())?;
    scratch.as_file().sync_all()?;
    scratch.persist(name).map_err(|error| error.error)?;
    Ok(())
}

/// Replaces the file at `path` by one with `bytes`: whoever reads it has either, and after a loss of power one is there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut scratch = scratch_beside(path, &OpenOptions::new())?;
    scratch.write_all(bytes)?;
    scratch.as_file().sync_all()?;
    scratch.persist(path).map_err(|error| error.error)?;
    crate::journal::sync_folder(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    fn oid(digit: &str) -> Oid {
        Oid::Sha256(digit.repeat(64))
    }

    fn listing(revision: &str, files: &[(&str, Oid)]) -> Listing {
        let file = |(path, oid): &(&str, Oid)| RemoteFile { path: (*path).to_owned(), size: 4, oid: oid.clone() };
        Listing {
            repository: Repository::new("org/name").unwrap(),
            revision: revision.to_owned(),
            commit: COMMIT.to_owned(),
            files: files.iter().map(file).collect(),
            gated: false,
        }
    }

    fn put_blob(cache: &Cache, listing: &Listing, oid: &Oid) {
        let blob = cache.blob(&listing.repository, oid);
        make_folder_of(&blob).unwrap();
        fs::write(blob, "data").unwrap();
    }

    #[test]
    fn files_are_relative_links_and_the_ref_is_the_commit_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("hub"));
        let listing = listing("refs/pr/1", &[("config.json", oid("a")), ("q4/model.gguf", oid("b"))]);
        for file in &listing.files {
            assert_eq!(cache.find(&listing, file), None);
            put_blob(&cache, &listing, &file.oid);
            assert_eq!(cache.find(&listing, file), Some(cache.blob(&listing.repository, &file.oid)));
            cache.link(&listing, file, true).unwrap();
            cache.link(&listing, file, true).unwrap();
        }
        cache.write_ref(&listing).unwrap();
        let repository = folder.path().join("hub/models--org--name");
        let link = |path: &str| fs::read_link(repository.join("snapshots").join(COMMIT).join(path)).unwrap();
        assert_eq!(link("config.json"), Path::new(&format!("../../blobs/{}", "a".repeat(64))));
        assert_eq!(link("q4/model.gguf"), Path::new(&format!("../../../blobs/{}", "b".repeat(64))));
        assert_eq!(fs::read_to_string(repository.join("refs/refs/pr/1")).unwrap(), COMMIT);
        assert_eq!(cache.listing(&listing.repository, "refs/pr/1"), Some(listing.clone()));
        assert_eq!(cache.commit(&listing.repository, COMMIT).as_deref(), Some(COMMIT));
        assert_eq!(cache.commit(&listing.repository, "main"), None);
        assert_eq!(cache.repositories(), [listing.repository]);
    }

    #[test]
    fn where_there_are_no_links_the_file_stands_there_itself() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { folder: folder.path().to_owned(), links: false };
        let listing = listing("main", &[("model.gguf", oid("a")), ("other.gguf", oid("b"))]);
        for (file, new) in listing.files.iter().zip([true, false]) {
            put_blob(&cache, &listing, &file.oid);
            cache.link(&listing, file, new).unwrap();
            let path = cache.snapshot(&listing.repository, COMMIT).join(&file.path);
            assert!(path.symlink_metadata().unwrap().is_file());
            assert_eq!(cache.find(&listing, file), Some(path));
            assert_eq!(cache.blob(&listing.repository, &file.oid).exists(), !new, "others may be links to it");
            cache.link(&listing, file, new).unwrap();
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let listing = listing("main", &[("model.gguf", oid("a"))]);
        let name = cache.snapshot(&listing.repository, COMMIT).join("model.gguf");
        make_folder_of(&name).unwrap();
        std::os::unix::fs::symlink("../../blobs/gone", &name).unwrap();
        put_blob(&cache, &listing, &listing.files[0].oid);
        cache.link(&listing, &listing.files[0], true).unwrap();
        assert_eq!(fs::read(name).unwrap(), b"data");
    }

    #[test]
    fn a_file_of_another_size_is_not_here() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let mut listing = listing("main", &[("model.gguf", oid("a"))]);
        put_blob(&cache, &listing, &listing.files[0].oid);
        listing.files[0].size = 5;
        assert_eq!(cache.find(&listing, &listing.files[0]), None);
    }

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        for path in ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "a/./b", "a\\..\\b"] {
            let wrong = listing("main", &[(path, oid("a"))]);
            assert!(Cache::check(&wrong, &wrong.files).is_err(), "{path}");
            let wrong = listing(path, &[]);
            assert!(Cache::check(&wrong, &[]).is_err(), "{path}");
        }
        let mut wrong = listing("main", &[]);
        for commit in ["../../x", "", "main", "0123"] {
            wrong.commit = commit.to_owned();
            assert!(Cache::check(&wrong, &[]).is_err(), "{commit}");
        }
        let wrong = listing("main", &[("a", Oid::Sha256("../x".to_owned()))]);
        assert!(Cache::check(&wrong, &wrong.files).is_err());
    }

    #[test]
    fn the_kept_listing_names_what_is_not_here() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let listing = listing("main", &[("model.gguf", oid("a"))]);
        put_blob(&cache, &listing, &oid("a"));
        cache.link(&listing, &listing.files[0], true).unwrap();
        cache.write_ref(&listing).unwrap();
        let tree = cache.repository(&listing.repository).join("trees").join(format!("{COMMIT}.json"));
        make_folder_of(&tree).unwrap();
        let (a, b) = ("a".repeat(64), "b".repeat(40));
        let text = format!(
            r#"{{"format_version": 1, "files": {{"config.json": {{"size": 9, "blob_id": "{b}"}},
            "model.gguf": {{"size": 4, "blob_id": "{b}", "lfs_sha256": "{a}", "lfs_size": 4}}}}}}"#
        );
        fs::write(&tree, text).unwrap();
        let known = cache.listing(&listing.repository, "main").unwrap();
        assert_eq!(known.files.iter().map(|file| file.size).collect::<Vec<_>>(), [9, 4]);
        assert!(cache.find(&known, &known.files[0]).is_none() && cache.find(&known, &known.files[1]).is_some());
        fs::write(&tree, "{").unwrap();
        assert_eq!(cache.listing(&listing.repository, "main"), Some(listing));
    }
}
