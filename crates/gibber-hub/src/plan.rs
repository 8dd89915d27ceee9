//! Which files of a repository are needed.

use std::path::PathBuf;

use crate::{Listing, RemoteFile};

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
