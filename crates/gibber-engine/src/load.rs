//! From what is on disk ([`open`]) to a model that can run ([`load`]).

mod cancel;
mod progress;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use super::convert::Quantized;
use super::inference::Inference;
use super::kernels::ThreadPool;
use super::kernels::attention::CacheTypes;
use super::kernels::isa::Isa;
use super::kernels::pool::{default_threads, useful_threads};
use super::model::{Model, ModelConfig};
use super::sampling::{KnownModel, Recommended};
pub use super::source::memory::{MemoryNeed, RunShape};
pub use super::source::{MemoryProbe, ModelFiles, ModelSource, open};
use super::tokenizer::Tokenizer;
use super::{EngineError, FileType, TokenId, convert};
pub use cancel::CancelFlag;
use progress::Progress;

/// The context where nobody asks for one: longer ones cost memory that few chats use.
pub const DEFAULT_CONTEXT: usize = 8192;
/// Between two reports of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(20);

/// How a model is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads that compute; `None` is one for each core this process may use.
    pub threads: Option<usize>,
    /// Tokens the context holds; `None` is the model's own length, at most 8192.
    pub context: Option<usize>,
    /// Whether a context that nobody has named becomes shorter where there is no memory for it.
    pub may_shrink: bool,
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
            batch: RunShape::default().batch,
            may_shrink: true,
            quantize: None,
            quantized_folder: None,
            cache: CacheTypes::default(),
            memory: MemoryProbe::default(),
            cancel: CancelFlag::default(),
        }
    }
}

impl LoadOptions {
    /// How the model is to run, as far as memory goes.
    pub fn run_shape(&self) -> RunShape {
        RunShape { cache: self.cache, batch: self.batch }
    }

    /// What a model of this shape takes with `weights` bytes of weights; the context is the one asked for, at most the one that
    /// it was trained for.
    pub fn need(&self, config: &ModelConfig, weights: u64) -> MemoryNeed {
        let context = self.context.unwrap_or(DEFAULT_CONTEXT).min(config.trained_context);
        MemoryNeed::of(config, weights, context, self.run_shape())
    }
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
    /// A hash of its weights, in the format they are computed with, and of what its files say beside them.
    pub hash: String,
    /// The file or the folder that it is in.
    pub path: PathBuf,
    /// The instruction set of the inner loops.
    pub isa: String,
    /// Prompt tokens computed in one pass.
    pub batch: usize,
    /// How many weights it has.
    pub parameters: u64,
    /// Bytes of its weights in memory.
    pub weight_bytes: u64,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// The tokens that end a reply, in ascending order.
    pub eos_tokens: Vec<TokenId>,
    /// What of its repository is not read: what sees, of a model that wraps a text model.
    pub unread: Option<String>,
    /// What is odd about its files but in nobody's way, a sentence each.
    pub notes: Vec<String>,
    /// Tokens the context holds in this run.
    pub context: usize,
    /// Tokens it would hold, were there the memory for them.
    pub unshrunk_context: usize,
    /// Bytes of memory that all of it takes once the context is full, about.
    pub memory_bytes: u64,
    /// Tokens the model was trained for.
    pub trained_context: usize,
    /// How keys and values are kept.
    pub cache: CacheTypes,
    /// Bytes that they take where the context is full, with the states of recurrent layers and the snapshots of those. What is
    /// not used takes no memory.
    pub cache_bytes: u64,
    /// Threads in use.
    pub threads: usize,
    /// Whether it brings a chat template of its own.
    pub has_chat_template: bool,
    /// Time the load took.
    pub load_time: std::time::Duration,
    /// What came of the wish to have its weights quantized.
    pub quantized: Option<Quantized>,
    /// The sampling that is recommended for it.
    pub recommended: Recommended,
    /// Other names of it that its files tell.
    pub aliases: Vec<String>,
}

impl ModelInfo {
    /// What is to be said of a context that has become shorter, since there is no memory for more.
    pub fn shrunk(&self) -> Option<String> {
        let (context, wanted) = (self.context, self.unshrunk_context);
        (context < wanted).then(|| {
            format!(
                "the context holds {context} tokens instead of {wanted}: there is no memory for more (-c/--ctx-size asks for a number)"
            )
        })
    }

    /// Takes in what is known of it beside its files.
    pub fn recommend(&mut self, known: &[KnownModel]) {
        if let Some(known) = KnownModel::find(known, &self.path, &self.name, &self.aliases) {
            self.recommended = std::mem::take(&mut self.recommended).beside(&known.recommended);
        }
    }
}

/// A model that can run, with all that belongs to it.
#[derive(Debug)]
pub struct LoadedModel {
    /// The model with an empty context.
    pub inference: Inference,
    /// Limited to the tokens that the model has embeddings for.
    pub tokenizer: Arc<Tokenizer>,
    /// What is shown of it to people.
    pub info: ModelInfo,
    /// Its own chat template (Jinja).
    pub chat_template: Option<String>,
    /// The text of its begin token, for the template.
    pub bos_token: Option<String>,
    /// The text of its end token, for the template.
    pub eos_token: Option<String>,
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
    let wanted = context_length(options, &files.config)?;
    let threads = threads(options)?;
    let pool = Arc::new(ThreadPool::new(threads));
    let mut progress = Progress { total: files.weights.total_bytes(), before: 0, cancel: &options.cancel, on_progress };
    let needed = match options.quantize {
        Some(kind) => convert::cache::bytes(&files, kind, options.quantized_folder.is_some())?,
        None => files.held_bytes(),
    };
    let may_shrink = options.context.is_none() && options.may_shrink;
    let held = files.wanted(needed, options.run_shape());
    let context = held.context(wanted, may_shrink, options.memory)?;
    let memory_bytes = held.need(context).total();
    let quantized = match options.quantize {
        Some(kind) => progress.quantize(&mut files, source, kind, options.quantized_folder.as_deref(), &pool)?,
        None => None,
    };
    let Parts { model, tokenizer, hash } =
        load_parts(&files, &pool, &options.cancel, &mut |done, total| progress.load(done, total))?;
    files.refuse_untaken()?;
    let inference = Inference::new(model, options.cache, context, options.batch, pool)?.of_file(&files.path);
    let info = ModelInfo {
        architecture: files.config.family.name().to_owned(),
        format: convert::format_name(&files),
        hash,
        path: std::path::absolute(&files.path).unwrap_or_else(|_| files.path.clone()),
        isa: Isa::active().as_str().to_owned(),
        batch: options.batch.max(1),
        parameters: files.parameters(),
        weight_bytes: files.weights.total_bytes(),
        vocabulary: files.config.vocab_size,
        eos_tokens: tokenizer.eos_tokens().to_vec(),
        unread: files.unread,
        notes: tokenizer.notes().to_vec(),
        context,
        unshrunk_context: wanted,
        memory_bytes,
        trained_context: files.config.trained_context,
        cache: options.cache,
        cache_bytes: inference.cache().bytes(context) as u64,
        threads,
        has_chat_template: files.chat_template.as_deref().is_some_and(|template| !template.trim().is_empty()),
        load_time: started.elapsed(),
        quantized,
        recommended: files.recommended,
        aliases: files.aliases,
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

/// What is made of a model's files.
struct Parts {
    model: Model,
    tokenizer: Tokenizer,
    hash: String,
}

/// Prepares weights and tokenizer side by side: together they are most of the time until the first token. Beside them the
/// files are hashed.
fn load_parts(
    files: &ModelFiles,
    pool: &ThreadPool,
    cancel: &CancelFlag,
    on_progress: &mut dyn FnMut(u64, u64),
) -> Result<Parts, EngineError> {
    if cancel.is_set() {
        return Err(EngineError::Cancelled);
    }
    let died = |what: &str| EngineError::Invalid(format!("{}: preparing the {what} failed", files.path.display()));
    let total = files.weights.total_bytes();
    let (waiting, done) = (thread::current(), AtomicBool::new(false));
    thread::scope(|scope| {
        let tokenizer = scope.spawn(|| files.tokenizer());
        let hash = scope.spawn(|| files.hash());
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
        let hash = hash.join().map_err(|_| died("hash"))?;
        on_progress(total, total);
        Ok(Parts { model, tokenizer, hash })
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
