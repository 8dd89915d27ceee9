//! From a file on disk (or the embedded bytes) to a model that can run.

use std::path::PathBuf;

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A GGUF file, or a Hugging Face folder (`config.json`, `model.safetensors`, a tokenizer).
    Path(PathBuf),
    /// The bytes of a GGUF file that were put into the executable.
    Embedded {
        /// What it is called.
        name: &'static str,
        /// The file.
        bytes: &'static [u8],
    },
    /// Random weights of a known shape, for measuring: `gpt2`, `gpt2-medium`, …
    Synthetic(String),
}

/// How a model is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads that compute; `None` is one for each core this process may use.
    pub threads: Option<usize>,
    /// Tokens the context holds; `None` is the model's own length, at most 8192.
    pub context: Option<usize>,
    /// Prompt tokens computed in one pass.
    pub batch: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { threads: None, context: None, batch: 512 }
    }
}

/// What a loaded model is.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// What people call it, such as `SmolLM2-135M-Instruct`.
    pub name: String,
    /// `llama` or `gpt2`.
    pub architecture: String,
    /// The format of most of its weights: `Q4_1`, `Q8_0`, `F32`, …
    pub format: String,
    /// How many weights it has.
    pub parameters: u64,
    /// Bytes of its weights in memory.
    pub weight_bytes: u64,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Tokens the context holds in this run.
    pub context: usize,
    /// Tokens the model was trained for.
    pub trained_context: usize,
    /// Threads in use.
    pub threads: usize,
    /// Whether it brings a chat template of its own.
    pub has_chat_template: bool,
    /// Time the load took.
    pub load_time: std::time::Duration,
}
