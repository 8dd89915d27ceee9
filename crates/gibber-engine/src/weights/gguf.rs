//! GGUF files, versions 2 and 3 (the specification: `docs/gguf.md` in ggml).
//!
//! A file is a header, typed metadata, a table of tensors, padding, and the values. Nothing is copied: strings and
//! arrays are slices of the file. A file may be truncated, corrupt or hostile: each length and count is held against the
//! bytes that are left before anything is read or allocated by it.

mod metadata;
pub mod parts;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use super::{DType, Storage, Tensor, disguise};
use crate::EngineError;

pub use metadata::{Array, Metadata, Value};
use reader::{Corrupt, Reader};
pub use writer::{Header, padding};

const MAGIC: &[u8; 4] = b"GGUF";
/// Padding before the values where the metadata does not say otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;
/// More would be no alignment but a mistake.
const MAX_ALIGNMENT: u64 = 1 << 16;
/// As in ggml (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;
/// The least that an entry of the tensor table takes: a name's length, dimensions, format, offset.
const MIN_TENSOR_BYTES: usize = 8 + 4 + 4 + 8;

/// What a GGUF file says: its metadata, borrowed from the file's bytes, and its tensors, which share the storage.
#[derive(Debug)]
pub struct Gguf<'a> {
    /// The typed keys and values.
    pub metadata: Metadata<'a>,
    /// The tensors in the order of the file.
    pub tensors: Vec<Tensor>,
}

impl<'a> Gguf<'a> {
    /// Whether `bytes` begin as a GGUF file does.
    pub fn is_gguf(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Where the table of tensors ends in a file that begins with `bytes`; `None` where it does not end in them, or cannot.
    pub fn header_length(bytes: &[u8]) -> Option<usize> {
        let path = Path::new("");
        let mut reader = Reader::new(bytes);
        let (n_tensors, n_keys) = read_header(path, &mut reader).ok()?;
        Metadata::read(path, &mut reader, n_keys).ok()?;
        read_table(&mut reader, n_tensors).ok()?;
        Some(reader.position())
    }

    /// Reads the metadata and the table of tensors of the file in `storage`; `path` is named in errors.
    ///
    /// # Errors
    /// [`EngineError::Format`] where the file is no GGUF, truncated or corrupt; [`EngineError::Unsupported`] for another
    /// version and for a tensor format nobody here has a name for.
    pub fn parse(path: &'a Path, storage: &'a Storage) -> Result<Self, EngineError> {
        let mut reader = Reader::new(storage.bytes());
        let (n_tensors, n_keys) = read_header(path, &mut reader)?;
        let corrupt = |error: Corrupt| EngineError::format(path, error.to_string());
        let metadata = Metadata::read(path, &mut reader, n_keys).map_err(corrupt)?;
        let entries = read_table(&mut reader, n_tensors).map_err(corrupt)?;
        let alignment = alignment(path, &metadata)?;
        let data_start = (reader.position() as u64).next_multiple_of(alignment);
        let mut names = HashSet::with_capacity(entries.len());
        let mut tensors = Vec::with_capacity(entries.len());
        for entry in entries {
            if !names.insert(entry.name) {
                return Err(EngineError::format(path, format!("tensor `{}` is there twice", entry.name)));
            }
            if !entry.offset.is_multiple_of(alignment) {
                let reason =
                    format!("tensor `{}` begins at {}, not at a multiple of {alignment}", entry.name, entry.offset);
                return Err(EngineError::format(path, reason));
            }
            tensors.push(entry.into_tensor(path, storage, data_start)?);
        }
        check_places(path, &tensors, alignment)?;
        Ok(Self { metadata, tensors })
    }
}

/// Checks magic and version; returns the counts of tensors and of metadata keys.
fn read_header(path: &Path, reader: &mut Reader<'_>) -> Result<(u64, u64), EngineError> {
    let corrupt = |error: Corrupt| EngineError::format(path, error.to_string());
    if reader.bytes(4, "the magic number").map_err(corrupt)? != MAGIC {
        return Err(disguise::mistaken(path, reader.all(), "a GGUF file: it does not begin with `GGUF`"));
    }
    let version = reader.u32("the version").map_err(corrupt)?;
    if version.swap_bytes() <= 3 && version > 0 {
        return Err(EngineError::unsupported(path, "a big-endian GGUF file: convert it to little-endian"));
    }
    if !(2..=3).contains(&version) {
        return Err(EngineError::unsupported(path, format!("GGUF version {version}: versions 2 and 3 are supported")));
    }
    let n_tensors = reader.u64("the number of tensors").map_err(corrupt)?;
    let n_keys = reader.u64("the number of metadata keys").map_err(corrupt)?;
    Ok((n_tensors, n_keys))
}

/// Refuses tensors that share bytes (one of the two has lost its own), and blocks with more behind them than padding: they
/// are of another size than here, as in files of a fork that gives a number to a format of its own.
fn check_places(path: &Path, tensors: &[Tensor], alignment: u64) -> Result<(), EngineError> {
    let mut in_order: Vec<&Tensor> = tensors.iter().filter(|tensor| !tensor.range().is_empty()).collect();
    in_order.sort_by_key(|tensor| tensor.range().start);
    for pair in in_order.windows(2) {
        let [first, second] = [pair[0], pair[1]].map(|tensor| (tensor.name(), tensor.range()));
        let is_block = pair[0].dtype().block_size() > 1;
        let places = || {
            let range = |(name, range): (&str, &Range<usize>)| format!("`{name}` (bytes {range:?})");
            format!("{} and {}", range(first), range(second))
        };
        if second.1.start < first.1.end {
            let fork = if is_block { other_numbers(pair[0].dtype()) } else { String::new() };
            let reason =
                format!("tensors {} lie upon each other: the file is corrupt, download it again{fork}", places());
            return Err(EngineError::format(path, reason));
        }
        if is_block && (second.1.start - first.1.end) as u64 >= alignment {
            let reason = format!(
                "between tensors {} are bytes that belong to neither: the file is corrupt{}",
                places(),
                other_numbers(pair[0].dtype())
            );
            return Err(EngineError::format(path, reason));
        }
    }
    Ok(())
}

/// What else tensors in the wrong places can come from.
fn other_numbers(dtype: DType) -> String {
    let number = dtype.ggml_type().unwrap_or_default();
    format!(
        ", or from a fork of llama.cpp in which format number {number} is not {dtype}: then convert it anew with llama.cpp"
    )
}

fn alignment(path: &Path, metadata: &Metadata<'_>) -> Result<u64, EngineError> {
    let alignment = metadata.unsigned("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > MAX_ALIGNMENT {
        return Err(EngineError::format(path, format!("`general.alignment` is {alignment}, which is no alignment")));
    }
    Ok(alignment)
}

/// A line of the tensor table.
struct TensorEntry<'a> {
    name: &'a str,
    /// Fastest-running dimension first.
    dims: Vec<u64>,
    ggml_type: u32,
    /// From the beginning of the values.
    offset: u64,
}

fn read_table<'a>(reader: &mut Reader<'a>, count: u64) -> Result<Vec<TensorEntry<'a>>, Corrupt> {
    let count = reader.count(count, MIN_TENSOR_BYTES, "tensors")?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let name = reader.string("the name of a tensor")?;
        let n_dims = reader.u32("the number of dimensions")?;
        if n_dims > MAX_DIMS {
            return Err(Corrupt::new(format!(
                "tensor `{name}` has {n_dims} dimensions: at most {MAX_DIMS} are possible"
            )));
        }
        let dims = (0..n_dims).map(|_| reader.u64("a dimension")).collect::<Result<_, _>>()?;
        let ggml_type = reader.u32("the format of a tensor")?;
        let offset = reader.u64("the offset of a tensor")?;
        entries.push(TensorEntry { name, dims, ggml_type, offset });
    }
    Ok(entries)
}

impl TensorEntry<'_> {
    fn into_tensor(self, path: &Path, storage: &Storage, data_start: u64) -> Result<Tensor, EngineError> {
        let Self { name, dims, ggml_type, offset } = self;
        let Some(dtype) = DType::from_ggml_type(ggml_type) else {
            let what = format!(
                "tensor `{name}` has the format number {ggml_type}, which llama.cpp does not use for weights, or a later one does: convert it anew with llama.cpp"
            );
            return Err(EngineError::unsupported(path, what));
        };
        let shape = dims.iter().rev().map(|&dim| usize::try_from(dim).ok()).collect::<Option<Vec<_>>>();
        let Some((shape, bytes)) = shape.and_then(|shape| dtype.bytes_of(&shape).map(|bytes| (shape, bytes))) else {
            let reason = format!("tensor `{name}` cannot have the dimensions {dims:?} in {dtype}");
            return Err(EngineError::format(path, reason));
        };
        let size = storage.bytes().len();
        let range = data_start.checked_add(offset).and_then(|start| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(bytes)?;
            (end <= size).then_some(start..end)
        });
        let Some(range) = range else {
            let reason = format!(
                "tensor `{name}` ({bytes} bytes at {data_start} + {offset}) lies outside the file, which has {size} bytes: it is truncated or corrupt"
            );
            return Err(EngineError::format(path, reason));
        };
        Tensor::new(name.to_owned(), shape, dtype, storage.clone(), range)
    }
}
