//! Weights that were quantized while a model was loaded, kept for the next time.
//!
//! A kept file is a GGUF file with nothing but the tensors and a stamp: which files they come from, with their sizes and
//! times. Behind it stands a checksum of all of it. A file whose stamp or checksum does not fit is made anew; its name
//! follows from the model's path and the format, so that a stale file is replaced and does not pile up.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::Quantized;
use super::file_type::FileType;
use super::tensors::{OutTensor, RowOrder};
use super::{Out, bytes_after, hugging_face, planned, put_table, shape_of, write, write_error};
use crate::EngineError;
use crate::kernels::ThreadPool;
use crate::model::Model;
use crate::model::family::rope;
use crate::source::{ModelFiles, ModelSource};
use crate::weights::gguf::{Gguf, Header, parts};
use crate::weights::{Storage, Weights};
use gibber_files::private;
use tempfile::TempPath;

/// To be counted up whenever the same source would be quantized to other bytes.
const VERSION: u32 = 1;
/// The key of the stamp.
const STAMP: &str = "gibber.stamp";
/// Stands before the checksum, which has 8 bytes more.
const TRAILER: [u8; 8] = *b"checksum";
/// Bytes whose checksum one thread computes at a time.
const SUMMED: usize = 1 << 20;
/// While a model is quantized into the folder, this file is locked: two programs do not do the same work side by side.
const LOCK: &str = "lock";
/// What a folder's model is read from.
const MODEL_FILES: [&str; 5] = ["json", "safetensors", "txt", "bpe", "jinja"];

/// Puts the weights of `files`, which were read from `source`, in the format `kind`, out of `folder` or into it; without
/// a folder, or where it cannot be written, in memory alone. A model that is quantized already is left as it is.
///
/// `on_progress(done, total)` is told the bytes of weights quantized so far, and nothing where they are kept already; where
/// it breaks, the work ends with [`EngineError::Cancelled`] and nothing is left of it.
///
/// # Errors
/// Where a tensor cannot be read; of what has to do with the folder, nothing is an error.
pub(crate) fn quantize(
    files: &mut ModelFiles,
    source: &ModelSource,
    kind: FileType,
    folder: Option<&Path>,
    pool: &ThreadPool,
    on_progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Option<Quantized>, EngineError> {
    let format = files.format();
    if format == kind.base() {
        return Ok(None);
    }
    if format.block_size() > 1 {
        let text = format!(
            "{} is {format} already and stays so: --quantize is for floats (`gibber models quantize` converts it)",
            files.name
        );
        return Ok(Some(Quantized { text, is_news: true }));
    }
    // A model that cannot run is told from itself, not from its copy, and leaves none.
    Model::check(files.config.clone(), &files.weights)?;
    files.refuse_untaken()?;
    let kept = folder.and_then(|folder| Kept::new(folder, source, kind, &files.name));
    if let Some(kept) = &kept
        && let Some(weights) = kept.open(files.weights.path(), pool)
    {
        take(files, weights)?;
        return Ok(Some(Quantized { text: format!("{kind} from {}", kept.path.display()), is_news: false }));
    }
    let started = Instant::now();
    let tensors = tensors(files, kind)?;
    let mut failed = String::new();
    let made = kept.as_ref().and_then(|kept| match kept.make(files, &tensors, pool, on_progress) {
        Ok(weights) => Some(Ok((weights, format!("kept in {}", kept.path.display())))),
        Err(error @ EngineError::Write { .. }) => {
            failed = format!(" ({error})");
            None
        }
        Err(error) => Some(Err(error)),
    });
    let (weights, where_to) = match made {
        Some(made) => made?,
        None => (in_memory(files, &tensors, pool, on_progress)?, format!("in memory only{failed}")),
    };
    take(files, weights)?;
    let text = format!("quantized to {kind} in {:.1} s, {where_to}", started.elapsed().as_secs_f64());
    Ok(Some(Quantized { text, is_news: true }))
}

/// Bytes of memory that the weights of `files` take as [`quantize`] leaves them. Those that are not kept in a file are held
/// twice for a while: as they were quantized, and as they are packed for the processor.
///
/// # Errors
/// Where a tensor is missing, or has another shape.
pub(crate) fn bytes(files: &ModelFiles, kind: FileType, is_kept: bool) -> Result<u64, EngineError> {
    let format = files.format();
    if format == kind.base() || format.block_size() > 1 {
        return Ok(files.weights.total_bytes());
    }
    let once = bytes_after(&tensors(files, kind)?);
    Ok(if is_kept { once } else { once.saturating_mul(2) })
}

/// From now on the model has these weights, under the names and in the order of GGUF.
fn take(files: &mut ModelFiles, weights: Weights) -> Result<(), EngineError> {
    rope::become_gguf(&mut files.config, &weights)?;
    files.weights = weights;
    Ok(())
}

fn tensors(files: &ModelFiles, kind: FileType) -> Result<Vec<OutTensor>, EngineError> {
    let named = if files.weights.contains("token_embd.weight") {
        let mut named: Vec<_> =
            files.weights.iter().map(|t| (t.name().to_owned(), t.clone().into(), RowOrder::Same)).collect();
        named.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        named
    } else {
        hugging_face::tensors(files)?
    };
    Ok(planned(named, kind.into(), shape_of(files)))
}

fn in_memory(
    files: &ModelFiles,
    tensors: &[OutTensor],
    pool: &ThreadPool,
    on_progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Weights, EngineError> {
    let mut header = Header::new();
    put_table(&mut header, tensors)?;
    let mut bytes = Vec::new();
    let mut out = Out { path: &files.path, source: files.weights.path(), to: &mut bytes };
    write_with_progress(&header, tensors, &mut out, pool, on_progress)?;
    let storage = Storage::from_vec(bytes);
    Ok(Weights::new(files.weights.path(), Gguf::parse(&files.path, &storage)?.tensors))
}

fn write_with_progress(
    header: &Header,
    tensors: &[OutTensor],
    out: &mut Out<'_>,
    pool: &ThreadPool,
    on_progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<(), EngineError> {
    match write(header, tensors, out, pool, &mut |step| on_progress(step.done, step.total))? {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(EngineError::Cancelled),
    }
}

/// A file of the cache, whether it is there or not.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    stamp: String,
}

impl Kept {
    /// `None` where the source is no file, or nothing is known of it.
    fn new(folder: &Path, source: &ModelSource, kind: FileType, name: &str) -> Option<Self> {
        let ModelSource::Path(source) = source else { return None };
        let source = source.canonicalize().ok()?;
        let id = checksum(source.as_os_str().as_encoded_bytes(), &ThreadPool::new(1));
        let clean = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = name.chars().map(clean).take(80).collect();
        let path = folder.join(format!("{name}-{kind}-{id:016x}.gguf"));
        Some(Self { path, stamp: stamp(&source, kind).ok()? })
    }

    /// The weights, where the file is whole and of the model as it is now; errors about them are about the model in `source`.
    fn open(&self, source: &Path, pool: &ThreadPool) -> Option<Weights> {
        let storage = Storage::open(&self.path).ok()?;
        let (content, trailer) = storage.bytes().split_last_chunk::<16>()?;
        if *trailer != trailer_of(content, pool) {
            return None;
        }
        let gguf = Gguf::parse(&self.path, &storage).ok()?;
        let stamped = gguf.metadata.string(STAMP).ok()? == Some(&self.stamp);
        stamped.then(|| Weights::new(source, gguf.tensors))
    }

    /// Writes the file and opens it; where somebody else has just done so, opens theirs.
    fn make(
        &self,
        files: &ModelFiles,
        tensors: &[OutTensor],
        pool: &ThreadPool,
        on_progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Weights, EngineError> {
        let cannot = |source| write_error(&self.path, source);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        private::make_directory(folder).map_err(cannot)?;
        let file = |path: &Path| private::options().write(true).create(true).truncate(true).open(path);
        let lock = file(&folder.join(LOCK)).map_err(cannot)?;
        // On a file system without locks the work is done twice at worst, and the last one stays.
        let is_alone = lock.lock().is_ok();
        if let Some(weights) = self.open(files.weights.path(), pool) {
            return Ok(weights);
        }
        let mut header = Header::new();
        header.string("general.architecture", files.config.family.name());
        header.string(STAMP, &self.stamp);
        put_table(&mut header, tensors)?;
        // What a program that was killed has left has this name as well, and is overwritten.
        let (mut file, scratch) = if is_alone {
            let path = TempPath::try_from_path(self.path.with_extension("tmp")).map_err(cannot)?;
            (file(&path).map_err(cannot)?, path)
        } else {
            gibber_files::scratch_beside(&self.path, &private::options()).map_err(cannot)?.into_parts()
        };
        let mut out = Out { path: &self.path, source: files.weights.path(), to: &mut file };
        write_with_progress(&header, tensors, &mut out, pool, on_progress)?;
        let trailer = trailer_of(Storage::open(&scratch)?.bytes(), pool);
        file.write_all(&trailer).and_then(|()| file.sync_all()).map_err(cannot)?;
        scratch.persist(&self.path).map_err(|failed| cannot(failed.error))?;
        let unusable = || cannot(std::io::Error::other("it cannot be read again as it was written"));
        self.open(files.weights.path(), pool).ok_or_else(unusable)
    }
}

/// Everything that the weights depend on.
fn stamp(source: &Path, kind: FileType) -> std::io::Result<String> {
    let mut stamp = format!("{VERSION} {kind}");
    let mut add = |path: &Path| -> std::io::Result<()> {
        let metadata = fs::metadata(path)?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = write!(stamp, " {name}:{}:{}", metadata.len(), modified.map_or(0, |time| time.as_nanos()));
        Ok(())
    };
    if source.is_dir() {
        let entries = fs::read_dir(source)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<std::io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|end| MODEL_FILES.iter().any(|known| end == *known)));
        paths.sort();
        paths.iter().try_for_each(|path| add(path))?;
    } else {
        parts::paths(source).iter().try_for_each(|path| add(path))?;
    }
    Ok(stamp)
}

fn trailer_of(content: &[u8], pool: &ThreadPool) -> [u8; 16] {
    let mut trailer = [0; 16];
    trailer[..8].copy_from_slice(&TRAILER);
    trailer[8..].copy_from_slice(&checksum(content, pool).to_le_bytes());
    trailer
}

/// A sum in which every byte and its place count; no safeguard against somebody who wants to deceive.
fn checksum(bytes: &[u8], pool: &ThreadPool) -> u64 {
    let mut sums = vec![0; bytes.len().div_ceil(SUMMED)];
    pool.for_each_part(&mut sums, 1, &|_, index, sum| {
        let end = bytes.len().min((index + 1) * SUMMED);
        sum[0] = mixed(&bytes[index * SUMMED..end]);
    });
    sums.iter().fold(bytes.len() as u64, |all, &sum| mix(all, sum))
}

/// Four sums side by side, so that a processor has always something to do; then the rest, byte by byte.
fn mixed(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [1u64, 2, 3, 4];
    for chunk in chunks {
        for (lane, word) in lanes.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *lane = mix(*lane, u64::from_le_bytes(*word));
        }
    }
    let rest = rest.iter().map(|&byte| u64::from(byte));
    lanes.into_iter().chain(rest).fold(0, mix)
}

/// A different result for each `sum` and for each `word`.
fn mix(sum: u64, word: u64) -> u64 {
    // An odd number from the fraction of the golden ratio (Knuth, TAOCP 6.4).
    (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}
