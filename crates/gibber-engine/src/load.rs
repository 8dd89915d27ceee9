//! From a file on disk (or the embedded bytes) to a model that can run.
//!
//! [`open`] reads what a model is (its shape, its tensors by name, where its tokenizer is) without touching a weight;
//! [`load`] makes it run. What a file asks for and the engine does not do is an error that names it: nothing is guessed.

mod cancel;
mod gguf;
mod hugging_face;
mod memory;
mod progress;
#[cfg(test)]
mod tests;
mod tokenizer_files;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::inference::Inference;
use super::kernels::ThreadPool;
use super::kernels::attention::CacheTypes;
use super::kernels::pool::{default_threads, useful_threads};
use super::model::{Model, ModelConfig};
use super::tokenizer::{self, Tokenizer};
use super::weights::gguf::parts::PartName;
use super::weights::{DType, Storage, Weights};
use super::{EngineError, FileType, TokenId, convert, synthetic};
pub use cancel::CancelFlag;
pub use memory::MemoryProbe;
use progress::Progress;

/// The context where nobody asks for one: longer ones cost memory that few chats use.
pub const DEFAULT_CONTEXT: usize = 8192;
/// Between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(20);

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
    /// The format that weights are quantized to where they are floats; `None` leaves them as they are.
    pub quantize: Option<FileType>,
    /// The folder where quantized weights are kept for the next time; `None` keeps them in memory alone.
    pub quantized_folder: Option<PathBuf>,
    /// How keys and values are kept.
    pub cache: CacheTypes,
    /// Who knows how much memory there is.
    pub memory: MemoryProbe,
    /// Stops the load.
    pub cancel: CancelFlag,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            threads: None,
            context: None,
            batch: 512,
            quantize: None,
            quantized_folder: None,
            cache: CacheTypes::default(),
            memory: MemoryProbe::default(),
            cancel: CancelFlag::default(),
        }
    }
}

/// What came of [`LoadOptions::quantize`], for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantized {
    /// A sentence.
    pub text: String,
    /// Whether it is worth saying unasked: it took time, or is not what was asked for.
    pub is_news: bool,
}

/// What a loaded model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// What people call it, such as `SmolLM2-135M-Instruct`.
    pub name: String,
    /// The name of its family, such as `llama`.
    pub architecture: String,
    /// The format of most of its weights: `Q4_1`, `Q8_0`, `F32`, …
    pub format: String,
    /// How many weights it has.
    pub parameters: u64,
    /// Bytes of its weights in memory.
    pub weight_bytes: u64,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// The tokens that end a reply, in ascending order.
    pub end_tokens: Vec<TokenId>,
    /// What is odd about its files but in nobody's way, a sentence each.
    pub notes: Vec<String>,
    /// Tokens the context holds in this run.
    pub context: usize,
    /// Tokens the model was trained for.
    pub trained_context: usize,
    /// How keys and values are kept.
    pub cache: CacheTypes,
    /// Bytes that they take where the context is full. What is not used takes no memory.
    pub cache_bytes: u64,
    /// Threads in use.
    pub threads: usize,
    /// Whether it brings a chat template of its own.
    pub has_chat_template: bool,
    /// Time the load took.
    pub load_time: std::time::Duration,
    /// What came of the wish to have its weights quantized.
    pub quantized: Option<Quantized>,
}

/// What the files of a model say, before any of it is computed with.
#[derive(Debug)]
pub struct ModelFiles {
    /// What people call it.
    pub name: String,
    /// The file or the folder.
    pub path: PathBuf,
    /// Its shape.
    pub config: ModelConfig,
    /// Its tensors, those that only training uses left out.
    pub weights: Weights,
    /// Its own chat template (Jinja).
    pub chat_template: Option<String>,
    /// The text of its begin token, for the template.
    pub bos_token: Option<String>,
    /// The text of its end token, for the template.
    pub eos_token: Option<String>,
    tokenizer: TokenizerFiles,
}

/// Where the tokenizer is to come from.
#[derive(Debug, Clone)]
enum TokenizerFiles {
    /// The metadata of a GGUF file.
    Gguf(Storage),
    /// A folder's.
    HuggingFace(tokenizer_files::TokenizerFiles),
    /// No text, only bytes: for models of random weights.
    Bytes,
}

impl ModelFiles {
    /// Builds the tokenizer, which takes a moment: tens of thousands of merges.
    ///
    /// # Errors
    /// Where it is broken or unsupported.
    pub fn tokenizer(&self) -> Result<Tokenizer, EngineError> {
        let tokenizer = match &self.tokenizer {
            TokenizerFiles::Gguf(storage) => gguf::tokenizer(&self.path, storage)?,
            TokenizerFiles::HuggingFace(files) => files.build()?,
            TokenizerFiles::Bytes => tokenizer::of_bytes(self.config.vocab_size)?,
        };
        Ok(tokenizer.limited_to(self.config.vocab_size, self.tokenizer_path()))
    }

    /// What [`Self::tokenizer`] would refuse, as far as that is known without building it.
    ///
    /// # Errors
    /// Those of [`Self::tokenizer`].
    fn check_tokenizer(&self) -> Result<(), EngineError> {
        match &self.tokenizer {
            TokenizerFiles::Gguf(storage) => gguf::check_tokenizer(&self.path, storage),
            TokenizerFiles::HuggingFace(files) => files.check(),
            TokenizerFiles::Bytes => Ok(()),
        }
    }

    /// The file that the tokenizer is in.
    pub(crate) fn tokenizer_path(&self) -> &Path {
        match &self.tokenizer {
            TokenizerFiles::HuggingFace(files) => files.path(),
            TokenizerFiles::Gguf(_) | TokenizerFiles::Bytes => &self.path,
        }
    }

    /// Refuses tensors that nobody has asked for: the model would compute something else with them.
    pub(crate) fn refuse_untaken(&self) -> Result<(), EngineError> {
        let Some(&name) = self.weights.untaken().first() else { return Ok(()) };
        let architecture = self.config.family.name();
        let what = format!("tensor `{name}` is not part of a {architecture} model as this engine computes it");
        Err(EngineError::unsupported(self.weights.path(), what))
    }

    /// What [`load`] would refuse, without reading the weights or building the tokenizer.
    ///
    /// # Errors
    /// Those of [`load`].
    pub fn check(&self, memory: MemoryProbe) -> Result<(), EngineError> {
        memory::check(&self.path, self.weights.total_bytes(), memory)?;
        self.check_parts()?;
        self.refuse_untaken()
    }

    /// Whether all is there that its configuration asks for.
    pub(crate) fn check_parts(&self) -> Result<(), EngineError> {
        Model::check(self.config.clone(), &self.weights)?;
        self.check_tokenizer()
    }

    /// How many weights there are.
    pub fn parameters(&self) -> u64 {
        self.weights.iter().map(|tensor| tensor.len() as u64).sum()
    }

    /// The format that most weights are stored in.
    pub fn format(&self) -> DType {
        let values_in = |dtype| self.weights.iter().filter(|t| t.dtype() == dtype).map(|t| t.len()).sum::<usize>();
        DType::ALL.iter().copied().max_by_key(|&dtype| values_in(dtype)).unwrap_or(DType::F32)
    }
}

/// A model that can run, with all that belongs to it.
#[derive(Debug)]
pub struct LoadedModel {
    /// The model with an empty context.
    pub inference: Inference,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// What it is.
    pub info: ModelInfo,
    /// Its own chat template (Jinja).
    pub chat_template: Option<String>,
    /// The text of its begin token, for the template.
    pub bos_token: Option<String>,
    /// The text of its end token, for the template.
    pub eos_token: Option<String>,
}

/// Reads what the model at `source` is.
///
/// # Errors
/// [`EngineError::Io`] and [`EngineError::Format`] for files that cannot be read or are broken,
/// [`EngineError::Unsupported`] for what the engine does not do; each names the file and what it is about.
pub fn open(source: &ModelSource) -> Result<ModelFiles, EngineError> {
    let files = match source {
        ModelSource::Path(path) if path.is_dir() => hugging_face::open(path)?,
        ModelSource::Path(path) => gguf::open(path, &display_name(path), Storage::open(path)?)?,
        ModelSource::Embedded { name, bytes } => {
            let path = PathBuf::from(format!("{name} (embedded)"));
            gguf::open(&path, &display_name(Path::new(name)), Storage::from_static(bytes))?
        }
        ModelSource::Synthetic(spec) => {
            let (config, weights) = synthetic::build(spec)?;
            ModelFiles {
                name: format!("{spec} (random weights)"),
                path: PathBuf::from(spec),
                config,
                weights,
                chat_template: None,
                bos_token: None,
                eos_token: None,
                tokenizer: TokenizerFiles::Bytes,
            }
        }
    };
    files.config.check(&files.path)?;
    Ok(files)
}

/// Loads the model at `source`. `on_progress(done, total)` is told the bytes of weights prepared so far.
///
/// # Errors
/// Those of [`open`], [`Model::load`] and [`ModelFiles::tokenizer`], and [`EngineError::Invalid`] for options the model
/// cannot be run with.
pub fn load(
    source: &ModelSource,
    options: &LoadOptions,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<LoadedModel, EngineError> {
    let started = Instant::now();
    let mut files = open(source)?;
    let context = context_length(options, &files.config)?;
    let threads = threads(options)?;
    let pool = Arc::new(ThreadPool::new(threads));
    let mut progress = Progress { total: files.weights.total_bytes(), before: 0, cancel: &options.cancel, on_progress };
    let needed = match options.quantize {
        Some(kind) => convert::cache::bytes(&files, kind, options.quantized_folder.is_some())?,
        None => files.weights.total_bytes(),
    };
    memory::check(&files.path, needed, options.memory)?;
    let quantized = match options.quantize {
        Some(kind) => progress.quantize(&mut files, source, kind, options.quantized_folder.as_deref(), &pool)?,
        None => None,
    };
    let (model, tokenizer) = load_parts(&files, &pool, &options.cancel, &mut |done, total| progress.load(done, total))?;
    files.refuse_untaken()?;
    let inference = Inference::new(model, options.cache, context, options.batch, pool)?.of_file(&files.path);
    let info = ModelInfo {
        architecture: files.config.family.name().to_owned(),
        format: files.format().to_string(),
        parameters: files.parameters(),
        weight_bytes: files.weights.total_bytes(),
        vocabulary: files.config.vocab_size,
        end_tokens: tokenizer.end_tokens().to_vec(),
        notes: tokenizer.notes().to_vec(),
        context,
        trained_context: files.config.trained_context,
        cache: options.cache,
        cache_bytes: inference.cache().bytes(context) as u64,
        threads,
        has_chat_template: files.chat_template.as_deref().is_some_and(|template| !template.trim().is_empty()),
        load_time: started.elapsed(),
        quantized,
        name: files.name,
    };
    Ok(LoadedModel {
        inference,
        tokenizer: Arc::new(tokenizer),
        info,
        chat_template: files.chat_template,
        bos_token: files.bos_token,
        eos_token: files.eos_token,
    })
}

/// Prepares weights and tokenizer side by side: together they are most of the time until the first token.
fn load_parts(
    files: &ModelFiles,
    pool: &ThreadPool,
    cancel: &CancelFlag,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<(Model, Tokenizer), EngineError> {
    if cancel.is_set() {
        return Err(EngineError::Cancelled);
    }
    let died = |what: &str| EngineError::Invalid(format!("{}: preparing the {what} failed", files.path.display()));
    let total = files.weights.total_bytes();
    let (waiting, done) = (thread::current(), AtomicBool::new(false));
    thread::scope(|scope| {
        let tokenizer = scope.spawn(|| files.tokenizer());
        let model = scope.spawn(|| {
            let model = Model::load(files.config.clone(), &files.weights, pool);
            done.store(true, Ordering::Release);
            waiting.unpark();
            model
        });
        let mut reported = None;
        // A thread that panics finishes without saying that it is done.
        while !done.load(Ordering::Acquire) && !model.is_finished() {
            if cancel.is_set() {
                files.weights.give_no_more();
            }
            let taken = files.weights.taken_bytes();
            if reported != Some(taken) {
                on_progress(taken, total);
                reported = Some(taken);
            }
            thread::park_timeout(PROGRESS_INTERVAL);
        }
        let model = model.join().map_err(|_| died("weights"))??;
        let tokenizer = tokenizer.join().map_err(|_| died("tokenizer"))??;
        on_progress(total, total);
        Ok((model, tokenizer))
    })
}

fn context_length(options: &LoadOptions, config: &ModelConfig) -> Result<usize, EngineError> {
    let trained = config.trained_context;
    match options.context {
        None => Ok(trained.min(DEFAULT_CONTEXT)),
        Some(0) => Err(EngineError::Invalid("a context of 0 tokens holds nothing (-c/--ctx-size)".into())),
        Some(context) if context > trained => Err(EngineError::Invalid(format!(
            "a context of {context} tokens is more than the {trained} the model was trained for (-c/--ctx-size)"
        ))),
        Some(context) => Ok(context),
    }
}

fn threads(options: &LoadOptions) -> Result<usize, EngineError> {
    match options.threads {
        None => Ok(default_threads()),
        Some(0) => Err(EngineError::Invalid("0 threads cannot compute: at least one can (-t/--threads)".into())),
        Some(threads) => Ok(useful_threads(threads)),
    }
}

/// The name of a file or folder without its ending and without the name of a weight format:
/// `SmolLM2-135M-Instruct.Q4_1.gguf` is `SmolLM2-135M-Instruct`.
fn display_name(path: &Path) -> String {
    let resolved = path.file_name().is_none().then(|| path.canonicalize().ok()).flatten();
    let path = resolved.as_deref().unwrap_or(path);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let part = PartName::of(Path::new(&*name));
    let name = part.as_ref().map_or_else(|| name.strip_suffix(".gguf").unwrap_or(&name), PartName::stem);
    match name.rsplit_once(['.', '-']) {
        Some((stem, format)) if !stem.is_empty() && is_format_name(format) => stem.to_owned(),
        _ => name.to_owned(),
    }
}

/// Whether `text` names a weight format, such as `Q4_1`, `f16` or `Q4_K_M`.
fn is_format_name(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let base = ["_S", "_M", "_L"].iter().find_map(|size| text.strip_suffix(size)).unwrap_or(&text);
    DType::ALL.iter().any(|dtype| dtype.name() == base || dtype.name() == text)
}
