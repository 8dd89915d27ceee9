//! What gibber fetched, so that it knows what it may remove.

use std::path::PathBuf;

/// The list of what was fetched, in a file of the data folder.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Its file.
    pub path: PathBuf,
}
