//! The cache that `huggingface_hub` and gibber share: blobs, snapshots, refs and locks.

use std::path::{Path, PathBuf};

/// The folder of all repositories.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The one in `folder`, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
