//! The keys of a model's configuration, from either kind of file, read with errors that name the file, the key and what is
//! wrong with its value.

mod bound;
mod gguf;
mod json;

use std::path::Path;

pub use bound::Bound;
pub use gguf::{GgufKeys, GgufWriter};
pub use json::JsonFile;

use crate::EngineError;

/// Width of a head where `n_head` of them share an embedding evenly.
///
/// # Errors
/// Where they cannot; `path` is named.
pub fn share(path: &Path, n_embd: usize, n_head: usize) -> Result<usize, EngineError> {
    if n_head == 0 || !n_embd.is_multiple_of(n_head) {
        let reason = format!("embeddings of {n_embd} values cannot be split over {n_head} heads");
        return Err(EngineError::format(path, reason));
    }
    Ok(n_embd / n_head)
}
