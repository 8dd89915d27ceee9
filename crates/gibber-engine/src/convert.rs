//! Models written as GGUF files, their weights in another format.
//!
//! [`Conversion`] is the file that `gibber models quantize` writes and that llama.cpp reads as well; `cache` keeps what
//! a model was quantized to while it was loaded. The sibling modules say which format each tensor gets (`file_type`),
//! where its rows come from (`tensors`), and what a Hugging Face model is in GGUF's terms (`hugging_face`).

pub(super) mod cache;
mod file_type;
mod hugging_face;
mod tensors;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EngineError;
use super::kernels::ThreadPool;
use super::model::family::gguf_has_output;
use super::source::{self, ModelFiles, ModelSource};
use super::weights::gguf::{Gguf, Header, Metadata, padding, parts};
use super::weights::{DType, Storage, Tensor};
use tensors::{ModelShape, OutTensor, RowOrder, Target};

pub use file_type::FileType;

/// Keys of a file that are no longer true of its copy.
const NOT_COPIED: [&str; 6] = [
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
    "split.count",
    "split.no",
    "split.tensors.count",
];

/// What came of [`crate::load::LoadOptions::quantize`], for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantized {
    /// A sentence.
    pub text: String,
    /// Whether it is worth saying unasked: it took time, or is not what was asked for.
    pub is_news: bool,
}

/// What people call the format of a model's weights: the mix that its file says it is in, where weights bear that out, or
/// else the format that most are stored in (of `Q4_K_M` that may be `Q5_0`, whose rows have lengths of any kind).
pub fn format_name(files: &ModelFiles) -> String {
    let most = files.format();
    let said = FileType::all().find(|kind| Some(u64::from(kind.number())) == files.file_type);
    let is_so = |kind: &FileType| match kind.base() {
        base @ (DType::F32 | DType::F16 | DType::BF16) => most == base,
        base => files.weights.iter().any(|tensor| tensor.dtype() == base),
    };
    said.filter(is_so).map_or_else(|| most.to_string(), |kind| kind.name().to_owned())
}

/// A tensor that was written, and how far the whole is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// Its name in GGUF.
    pub name: &'a str,
    /// The format it was read in.
    pub from: DType,
    /// The format it was written in.
    pub to: DType,
    /// Bytes read so far, this tensor's included.
    pub done: u64,
    /// Bytes to be read.
    pub total: u64,
}

/// Told of each tensor once it is written; may stop the whole.
pub type OnStep<'a> = dyn FnMut(&Step<'_>) -> ControlFlow<()> + 'a;

/// Tensors whose rows are no whole blocks of the format they should have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// The format they should have had.
    pub wanted: DType,
    /// The one they have.
    pub used: DType,
    /// How many they are.
    pub tensors: usize,
}

/// A file that is to be written.
#[derive(Debug)]
pub struct Conversion {
    source: PathBuf,
    header: Header,
    tensors: Vec<OutTensor>,
    /// Recommended sampling that GGUF has no key for.
    unwritten: Vec<&'static str>,
}

impl Conversion {
    /// The model at `source` as a GGUF file in the format `kind`: the keys of a GGUF file are kept; those of a Hugging Face
    /// model follow from its configuration, its tokenizer and its chat template.
    ///
    /// # Errors
    /// Those of [`source::open`] for a Hugging Face folder; for a GGUF file, of any architecture, where it cannot be read, is
    /// damaged or lacks a part; [`EngineError::Unsupported`] for a tokenizer that GGUF has no name for.
    pub fn new(source: &ModelSource, kind: FileType) -> Result<Self, EngineError> {
        Self::to(source, kind.into())
    }

    /// The same with each matrix in the format that it has; of a GGUF file, whose parts come together, nothing else changes.
    ///
    /// # Errors
    /// Those of [`Conversion::new`].
    pub fn as_it_is(source: &ModelSource) -> Result<Self, EngineError> {
        Self::to(source, Target::AsItIs)
    }

    fn to(source: &ModelSource, kind: Target) -> Result<Self, EngineError> {
        match source {
            ModelSource::Path(path) if !path.is_dir() => {
                refuse_incomplete(source)?;
                Self::of_gguf(path, &Storage::open(path)?, kind)
            }
            ModelSource::Embedded { name, bytes } => {
                refuse_incomplete(source)?;
                Self::of_gguf(Path::new(name), &Storage::from_static(bytes), kind)
            }
            ModelSource::Path(_) | ModelSource::Synthetic(_) => Self::of_files(&source::open(source)?, kind),
        }
    }

    fn of_gguf(path: &Path, storage: &Storage, kind: Target) -> Result<Self, EngineError> {
        let parts::Complete { first: (first, storage), tensors } = parts::open(path, storage.clone())?;
        let metadata = Gguf::parse(&first, &storage)?.metadata;
        let mut header = Header::new();
        for (key, typed_value) in metadata.raw().filter(|(key, _)| !NOT_COPIED.contains(key)) {
            header.raw(key, typed_value);
        }
        let has_output = tensors.iter().any(|tensor| tensor.name() == OUTPUT);
        let model = shape_by_keys(&metadata, has_output);
        refuse_missing_layer(&first, &tensors, model.n_layer)?;
        let named = tensors.into_iter().map(|tensor| (tensor.name().to_owned(), tensor.into(), RowOrder::Same));
        Self::put_together(path, header, planned(named, kind, model), kind)
    }

    fn of_files(files: &ModelFiles, kind: Target) -> Result<Self, EngineError> {
        hugging_face::refuse_unwritable(&files.path, &files.config)?;
        let mut header = Header::new();
        hugging_face::put_model(&mut header, &files.name, &files.config);
        let unwritten = hugging_face::put_sampling(&mut header, &files.recommended.values);
        hugging_face::put_tokenizer(&mut header, files)?;
        let tensors = planned(hugging_face::tensors_of_file(files)?, kind, shape_of(files));
        Ok(Self { unwritten, ..Self::put_together(&files.path, header, tensors, kind)? })
    }

    fn put_together(
        source: &Path,
        mut header: Header,
        tensors: Vec<OutTensor>,
        kind: Target,
    ) -> Result<Self, EngineError> {
        let kind = match kind {
            Target::Kind(kind) => Some(kind),
            // Of a format that no file as a whole is called by, nothing is said.
            Target::AsItIs => FileType::all().find(|kind| Some(kind.base()) == most(&tensors)),
        };
        if let Some(kind) = kind {
            header.u32("general.file_type", kind.number());
        }
        header.u32("general.quantization_version", file_type::QUANTIZATION_VERSION);
        put_table(&mut header, &tensors)?;
        Ok(Self { source: source.to_owned(), header, tensors, unwritten: Vec::new() })
    }

    /// Bytes of the weights as they are.
    pub fn bytes_before(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.source.bytes()).sum()
    }

    /// Bytes of the weights as they will be.
    pub fn bytes_after(&self) -> u64 {
        bytes_after(&self.tensors)
    }

    /// The format of most values before, where that is not floats: what it has lost does not come back.
    pub fn quantized_before(&self) -> Option<DType> {
        most(&self.tensors).filter(|dtype| dtype.block_size() > 1)
    }

    /// The format of most values of the file that is written.
    pub fn format(&self) -> Option<DType> {
        let values = |dtype| -> usize {
            let of_it = self.tensors.iter().filter(|tensor| tensor.dtype == dtype);
            of_it.map(|tensor| tensor.source.len()).sum()
        };
        DType::ALL.iter().copied().max_by_key(|&dtype| values(dtype))
    }

    /// Which formats stand in for others, in the order of the file.
    pub fn fallbacks(&self) -> Vec<Fallback> {
        let mut fallbacks: Vec<Fallback> = Vec::new();
        for tensor in self.tensors.iter().filter(|tensor| tensor.dtype != tensor.wanted) {
            let (wanted, used) = (tensor.wanted, tensor.dtype);
            match fallbacks.iter_mut().find(|known| (known.wanted, known.used) == (wanted, used)) {
                Some(known) => known.tensors += 1,
                None => fallbacks.push(Fallback { wanted, used, tensors: 1 }),
            }
        }
        fallbacks
    }

    /// The keys of the recommended sampling that GGUF has none for, and that the file therefore lacks.
    pub fn unwritten(&self) -> &[&'static str] {
        &self.unwritten
    }

    /// Writes the file beside `path` and renames it when it is whole. [`ControlFlow::Break`] where `on_step` has stopped it;
    /// then nothing is left, as after an error.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where `path` is there already and `replace` is not set, or is a folder;
    /// [`EngineError::Write`]; where a tensor cannot be read.
    pub fn write_file(
        &self,
        path: &Path,
        replace: bool,
        pool: &ThreadPool,
        on_step: &mut OnStep<'_>,
    ) -> Result<ControlFlow<()>, EngineError> {
        let refused = |why: &str| EngineError::Invalid(format!("{} {why}", path.display()));
        if path.is_dir() {
            return Err(refused("is a folder: give the name of a file"));
        }
        // A device, a pipe: the rename would put a file in its place.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(refused("is no regular file: give another name"));
        }
        let taken = || path.exists() && !replace;
        if taken() {
            return Err(refused("is there already: choose another name, or replace it with --force"));
        }
        let cannot = |source| write_error(path, source);
        let mut scratch = gibber_files::scratch_beside(path, &OpenOptions::new()).map_err(cannot)?;
        let mut out = Out { path, source: &self.source, to: scratch.as_file_mut() };
        let flow = write(&self.header, &self.tensors, &mut out, pool, on_step)?;
        if flow.is_continue() {
            scratch.as_file().sync_all().map_err(cannot)?;
            if taken() {
                return Err(refused("was made by somebody else meanwhile"));
            }
            scratch.persist(path).map_err(|failed| cannot(failed.error))?;
        }
        Ok(flow)
    }

    /// The file or folder it comes from.
    pub fn source(&self) -> &Path {
        &self.source
    }
}

/// Refuses a GGUF file that cannot run before anything is written: what lacks a part here lacks it in the copy. What the
/// engine merely does not support is copied all the same.
fn refuse_incomplete(source: &ModelSource) -> Result<(), EngineError> {
    match source::open(source).and_then(|files| files.check_parts()) {
        Ok(()) | Err(EngineError::Unsupported { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Of an architecture that is not known here, all that is sure is that no layer is without tensors.
fn refuse_missing_layer(path: &Path, tensors: &[Tensor], n_layer: usize) -> Result<(), EngineError> {
    let layers: HashSet<&str> =
        tensors.iter().filter_map(|t| t.name().strip_prefix("blk.")?.split('.').next()).collect();
    let is_missing = |layer: &usize| !layers.contains(layer.to_string().as_str());
    match (0..n_layer).find(is_missing).filter(|_| !layers.is_empty()) {
        None => Ok(()),
        Some(layer) => Err(EngineError::MissingTensor { path: path.to_owned(), name: format!("blk.{layer}.*") }),
    }
}

/// The output projection.
const OUTPUT: &str = "output.weight";

fn write_error(path: &Path, source: io::Error) -> EngineError {
    EngineError::Write { path: path.to_owned(), source }
}

/// The format of most values that are read.
fn most(tensors: &[OutTensor]) -> Option<DType> {
    let values = |dtype| -> usize {
        tensors.iter().filter(|tensor| tensor.source.dtype() == dtype).map(|tensor| tensor.source.len()).sum()
    };
    DType::ALL.iter().copied().max_by_key(|&dtype| values(dtype))
}

fn planned(named: impl IntoIterator<Item = hugging_face::Named>, kind: Target, model: ModelShape) -> Vec<OutTensor> {
    let out = |(name, source, order)| OutTensor::new(name, source, order, kind, model);
    named.into_iter().map(out).collect()
}

fn bytes_after(tensors: &[OutTensor]) -> u64 {
    tensors.iter().filter_map(|tensor| tensor.dtype.bytes_of(&tensor.shape())).map(|bytes| bytes as u64).sum()
}

fn shape_of(files: &ModelFiles) -> ModelShape {
    let config = &files.config;
    ModelShape {
        n_layer: config.n_layer(),
        n_gqa: config.first_heads().map_or(1, |heads| heads.n_head / heads.n_kv_head.max(1)),
        has_output: gguf_has_output(config),
    }
}

/// What the mixes go by, for any architecture; where a key is not there or is a list, the mix does without.
fn shape_by_keys(metadata: &Metadata<'_>, has_output: bool) -> ModelShape {
    let architecture = metadata.string("general.architecture").ok().flatten().unwrap_or_default();
    let size = |key: &str| {
        let value = metadata.unsigned(&format!("{architecture}.{key}")).ok().flatten();
        value.and_then(|value| usize::try_from(value).ok())
    };
    let n_gqa = match (size("attention.head_count"), size("attention.head_count_kv")) {
        (Some(heads), Some(shared)) if shared > 0 => heads / shared,
        _ => 1,
    };
    ModelShape { n_layer: size("block_count").unwrap_or(0), n_gqa, has_output }
}

fn put_table(header: &mut Header, tensors: &[OutTensor]) -> Result<(), EngineError> {
    for tensor in tensors {
        let written = header.tensor(&tensor.name, &tensor.shape(), tensor.dtype);
        written.ok_or_else(|| {
            let (name, dtype) = (tensor.source.name(), tensor.dtype);
            EngineError::Invalid(format!("tensor `{name}` in {dtype} has no place in a GGUF file"))
        })?;
    }
    Ok(())
}

/// Where a file is written.
struct Out<'a> {
    to: &'a mut dyn Write,
    /// Named where it cannot be written.
    path: &'a Path,
    /// The model, named where it cannot be read.
    source: &'a Path,
}

/// Writes header and tensors.
fn write(
    header: &Header,
    tensors: &[OutTensor],
    out: &mut Out<'_>,
    pool: &ThreadPool,
    on_step: &mut OnStep<'_>,
) -> Result<ControlFlow<()>, EngineError> {
    let Out { to: out, path, source } = out;
    let cannot = |source| write_error(path, source);
    header.write_to(out).map_err(cannot)?;
    let total = tensors.iter().map(|tensor| tensor.source.bytes()).sum();
    let mut done = 0;
    for tensor in tensors {
        let bytes = tensor.bytes(pool).map_err(|error| EngineError::format(*source, error.to_string()))?;
        out.write_all(&bytes).map_err(cannot)?;
        out.write_all(padding(bytes.len())).map_err(cannot)?;
        done += tensor.source.bytes();
        let step = Step { name: &tensor.name, from: tensor.source.dtype(), to: tensor.dtype, done, total };
        if on_step(&step).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
