//! What is on disk (or embedded): a model's shape, its tensors by name, where its tokenizer is, without touching a weight.
//!
//! What a file asks for and the engine does not do is an error that names it: nothing is guessed.

mod gguf;
mod hugging_face;
pub(crate) mod memory;
mod recommended;
mod tokenizer_files;

use std::path::{Path, PathBuf};

pub use super::memory::MemoryProbe;
use super::model::{Model, ModelConfig, ModelTensors};
use super::sampling::Recommended;
use super::tokenizer::{self, Tokenizer};
use super::weights::gguf::parts::PartName;
use super::weights::{DType, Storage, Weights, mxfp4};
use super::{EngineError, synthetic};

use memory::RunShape;

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

/// What the files of a model say, before any of it is computed with.
#[derive(Debug)]
pub struct ModelFiles {
    /// What people call it.
    pub name: String,
    /// The file or the folder.
    pub path: PathBuf,
    /// Its shape.
    pub config: ModelConfig,
    /// What of its repository is not read, for people: what sees, of a model that wraps a text model.
    pub unread: Option<String>,
    /// Its tensors, those that only training uses left out.
    pub weights: Weights,
    /// Its own chat template (Jinja).
    pub chat_template: Option<String>,
    /// The text of its begin token, for the template.
    pub bos_token: Option<String>,
    /// The text of its end token, for the template.
    pub eos_token: Option<String>,
    /// The sampling that they recommend.
    pub recommended: Recommended,
    /// The number that a GGUF file gives the way its weights are quantized (`general.file_type`).
    pub(crate) file_type: Option<u64>,
    /// Other names of the model that its files tell: its own name, and the addresses where it is from.
    pub aliases: Vec<String>,
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
        let family = self.config.family;
        let untaken = self.weights.untaken();
        let Some(&name) = untaken.iter().find(|name| !family.is_left_over(&self.config, name)) else { return Ok(()) };
        let architecture = family.name();
        let what = format!("tensor `{name}` is not part of a {architecture} model as this engine computes it");
        Err(EngineError::unsupported(self.weights.path(), what))
    }

    /// Bytes of the weights that are held in memory: all but tables whose rows are read from the file.
    pub fn held_bytes(&self) -> u64 {
        let left = ModelTensors::new(&self.config, &self.weights).bytes_left_in_file();
        self.weights.total_bytes().saturating_sub(left)
    }

    /// What [`load`](crate::load::load) would refuse, without reading the weights or building the tokenizer.
    ///
    /// # Errors
    /// Those of [`load`](crate::load::load).
    pub fn check(&self, memory: MemoryProbe) -> Result<(), EngineError> {
        self.wanted(self.held_bytes(), RunShape::default()).check(memory)?;
        self.check_parts()?;
        self.refuse_untaken()
    }

    /// What is to be held of memory, with so many bytes of weights.
    pub(crate) fn wanted(&self, weights: u64, run: RunShape) -> memory::Wanted<'_> {
        memory::Wanted { path: &self.path, config: &self.config, weights, run }
    }

    /// Whether all is there that its configuration asks for.
    pub(crate) fn check_parts(&self) -> Result<(), EngineError> {
        Model::check(self.config.clone(), &self.weights)?;
        self.check_tokenizer()
    }

    /// A hash of the weights and of what is said beside them: the metadata of GGUF, or config.json.
    pub fn hash(&self) -> String {
        let config = gibber_files::read(&self.path.join("config.json"), gibber_files::SMALL).unwrap_or_default();
        self.weights.fingerprint(&config)
    }

    /// What a GGUF file says about itself, in the order of its keys: texts, numbers, and of lists how long they are. Of
    /// other models there is none.
    pub fn metadata(&self) -> Vec<(String, String)> {
        match &self.tokenizer {
            TokenizerFiles::Gguf(storage) => gguf::shown_metadata(&self.path, storage),
            TokenizerFiles::HuggingFace(_) | TokenizerFiles::Bytes => Vec::new(),
        }
    }

    /// How many weights there are.
    pub fn parameters(&self) -> u64 {
        self.weights.iter().map(|tensor| mxfp4::weights_in(tensor).1 as u64).sum()
    }

    /// The format that most weights are stored in.
    pub fn format(&self) -> DType {
        let weights: Vec<_> = self.weights.iter().map(mxfp4::weights_in).collect();
        let values_in =
            |dtype| weights.iter().filter(|weights| weights.0 == dtype).map(|weights| weights.1).sum::<usize>();
        DType::ALL.iter().copied().max_by_key(|&dtype| values_in(dtype)).unwrap_or(DType::F32)
    }
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
                unread: None,
                weights,
                chat_template: None,
                bos_token: None,
                eos_token: None,
                recommended: Recommended::default(),
                file_type: None,
                aliases: Vec::new(),
                tokenizer: TokenizerFiles::Bytes,
            }
        }
    };
    files.config.check(&files.path)?;
    Ok(files)
}

/// The name of a file or folder without its ending and without the name of a weight format:
/// `SmolLM2-135M-Instruct.Q4_1.gguf` is `SmolLM2-135M-Instruct`.
pub(crate) fn display_name(path: &Path) -> String {
    let resolved = path.file_name().is_none().then(|| path.canonicalize().ok()).flatten();
    let path = resolved.as_deref().unwrap_or(path);
    if let Some(repository) = repository_of_snapshot(path) {
        return repository;
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let part = PartName::of(Path::new(&*name));
    let name = part.as_ref().map_or_else(|| name.strip_suffix(".gguf").unwrap_or(&name), PartName::stem);
    match name.rsplit_once(['.', '-']) {
        Some((stem, format)) if !stem.is_empty() && is_format_name(format) => stem.to_owned(),
        _ => name.to_owned(),
    }
}

/// The name of the repository of which a folder is a snapshot: `models--ORGANIZATION--NAME/snapshots/COMMIT` in a cache of
/// huggingface_hub, where the folder's own name says nothing.
fn repository_of_snapshot(folder: &Path) -> Option<String> {
    let text = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let snapshots = folder.parent().filter(|parent| text(parent).as_deref() == Some("snapshots"))?;
    let repository = text(snapshots.parent()?)?;
    let name = repository.strip_prefix("models--")?;
    Some(name.rsplit("--").next().unwrap_or(name).to_owned())
}

/// Whether `text` names a weight format, such as `Q4_1`, `f16` or `Q4_K_M`.
fn is_format_name(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let base = ["_S", "_M", "_L"].iter().find_map(|size| text.strip_suffix(size)).unwrap_or(&text);
    DType::ALL.iter().any(|dtype| dtype.name() == base || dtype.name() == text)
}
