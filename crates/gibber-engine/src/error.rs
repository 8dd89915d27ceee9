//! What can go wrong in the engine, with the operands that a person needs to mend it.

use std::path::PathBuf;

/// `what` about a file, which is named before it; about none where `file` is empty.
pub(crate) fn about(file: &str, what: &str) -> String {
    if file.is_empty() { what.to_owned() } else { format!("{file}: {what}") }
}

/// An error of the engine: each message names the file or the value, and what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file could not be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Whoever asked for a model wants it no more.
    #[error("the loading was stopped")]
    Cancelled,
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what its format says.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, where.
        reason: String,
    },
    /// A tensor that the architecture needs is not in the file.
    #[error(
        "{path}: tensor `{name}` is missing: the file is incomplete, or of another architecture than its configuration says"
    )]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{path}: tensor `{name}` has the shape {found:?}, the configuration asks for {expected:?}")]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that was asked for.
        expected: Vec<usize>,
    },
    /// Something the engine does not support, named.
    #[error("{path}: {what}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what is supported.
        what: String,
    },
    /// A prompt is longer than the context.
    #[error(
        "the prompt is {tokens} tokens long and the context holds {context}: shorten it, or start with a larger -c/--ctx-size (the model was trained for {trained})"
    )]
    ContextFull {
        /// Length of the prompt.
        tokens: usize,
        /// Length of the context in use.
        context: usize,
        /// The model's own limit.
        trained: usize,
    },
    /// A text could not be turned into tokens, or back.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A model takes more memory than there is.
    #[error("{}: {}", path.display(), no_memory(*needed, *available, *weights, *context))]
    NoMemory {
        /// The model.
        path: PathBuf,
        /// Bytes of all that it takes with this context.
        needed: u64,
        /// Bytes that may be taken.
        available: u64,
        /// Bytes of its weights.
        weights: u64,
        /// Tokens of the context.
        context: usize,
    },
    /// A parameter is out of its range.
    #[error("{0}")]
    Invalid(String),
}

/// What does not fit, and what to do.
fn no_memory(needed: u64, available: u64, weights: u64, context: usize) -> String {
    let (all, free, of_weights) = (bytes(needed), bytes(available), bytes(weights));
    if weights > available {
        return format!(
            "its weights take {of_weights}, and {free} of memory are free: close other programs, or choose a model that is smaller or has fewer bits"
        );
    }
    format!(
        "it takes {all} with a context of {context} tokens ({of_weights} of that are weights), and {free} of memory are free: close other programs, ask for a shorter context (-c/--ctx-size), or choose a model that is smaller or has fewer bits"
    )
}

/// So many bytes, for people.
fn bytes(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}

impl EngineError {
    /// A [`EngineError::Format`] from its parts.
    pub fn format(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Format { path: path.into(), reason: reason.into() }
    }

    /// A [`EngineError::Unsupported`] from its parts.
    pub fn unsupported(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.into(), what: what.into() }
    }
}
