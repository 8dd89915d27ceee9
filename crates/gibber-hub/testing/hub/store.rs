//! What the server has.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The bytes of a file: here, or in one.
#[derive(Clone)]
pub(super) enum Bytes {
    Here(Arc<Vec<u8>>),
    File { path: PathBuf, length: u64 },
}

impl Bytes {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self::Here(Arc::new(bytes))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Here(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// At most `most` bytes from `start` on.
    pub(super) fn read(&self, start: u64, most: usize) -> io::Result<Vec<u8>> {
        let count = most.min(usize::try_from(self.length().saturating_sub(start)).unwrap_or(usize::MAX));
        match self {
            Self::Here(bytes) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes[start..start + count].to_vec())
            }
            Self::File { path, .. } => {
                let mut bytes = vec![0; count];
                File::open(path)?.read_exact_at(&mut bytes, start)?;
                Ok(bytes)
            }
        }
    }

    /// Feeds all of them to `hash`.
    fn digest<D: Digest>(&self, mut hash: D) -> String {
        let mut at = 0;
        while let Ok(bytes) = self.read(at, 1 << 20) {
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
            hash.update(&bytes);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A file of a commit.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) bytes: Bytes,
    /// SHA-1 as git has it.
    pub(super) blob: String,
    /// SHA-256, of a large file.
    pub(super) large: Option<String>,
}

impl Entry {
    fn new(bytes: Bytes, large: u64) -> Self {
        let hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.length()));
        let blob = bytes.digest(hash);
        let large = (bytes.length() >= large).then(|| bytes.digest(Sha256::new()));
        Self { bytes, blob, large }
    }

    /// What its ETag is.
    pub(super) fn etag(&self) -> &str {
        self.large.as_ref().unwrap_or(&self.blob)
    }
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) commits: HashMap<String, BTreeMap<String, Entry>>,
    /// Branches and tags.
    pub(super) names: HashMap<String, String>,
    pub(super) private: bool,
    pub(super) gated: bool,
}

impl Repository {
    /// The commit that `revision` is, and its files.
    pub(super) fn at(&self, revision: &str) -> Option<(&str, &BTreeMap<String, Entry>)> {
        let commit = self.names.get(revision).map_or(revision, String::as_str);
        self.commits.get_key_value(commit).map(|(commit, files)| (commit.as_str(), files))
    }
}

#[derive(Default)]
pub(super) struct Store {
    pub(super) repositories: BTreeMap<String, Repository>,
    /// What is no repository's, by its path.
    pub(super) plain: HashMap<String, Bytes>,
}

impl Store {
    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn commit(&mut self, name: &str, files: BTreeMap<String, Bytes>, large: u64) -> String {
        let files: BTreeMap<_, _> = files.into_iter().map(|(path, bytes)| (path, Entry::new(bytes, large))).collect();
        let repository = self.repository(name);
        let mut hash = Sha1::new_with_prefix(format!("{name} {}", repository.commits.len()));
        for (path, entry) in &files {
            hash.update(format!("{path} {}\n", entry.blob));
        }
        let commit: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        repository.commits.insert(commit.clone(), files);
        repository.names.insert("main".to_owned(), commit.clone());
        commit
    }

    pub(super) fn name(&mut self, repository: &str, revision: &str, commit: &str) {
        self.repository(repository).names.insert(revision.to_owned(), commit.to_owned());
    }

    /// All large files, as a second server has them.
    pub(super) fn blobs(&self) -> HashMap<String, Bytes> {
        let files = self.repositories.values().flat_map(|repository| repository.commits.values()).flatten();
        files.filter_map(|(_, entry)| Some((format!("/blob/{}", entry.large.as_ref()?), entry.bytes.clone()))).collect()
    }
}

/// The files below `folder`, with slashes in their names.
pub(super) fn files_of(folder: &Path) -> io::Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let name = format!("{prefix}{name}");
            let metadata = fs::metadata(&path)?;
            if metadata.is_dir() {
                folders.push((path, format!("{name}/")));
            } else {
                files.insert(name, Bytes::File { path, length: metadata.len() });
            }
        }
    }
    Ok(files)
}
