//! Named tensors in files: GGUF and safetensors behind one view, memory-mapped and never copied.
//!
//! A [`Storage`] holds the bytes of a file; [`gguf`] and [`safetensors`] read its table of tensors; [`Weights`] is what
//! the models load from. Every length and offset in a file is checked against the file's size before it is used.

pub(crate) mod codebook;
pub mod dequantize;
pub(crate) mod disguise;
mod dtype;
mod fingerprint;
pub mod gguf;
pub mod mxfp4;
mod nvfp4;
pub mod quantize;
pub mod safetensors;
pub mod shards;
mod storage;
mod tensor;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use dtype::DType;
pub use storage::Storage;
pub use tensor::Tensor;

use super::EngineError;

/// The tensors of a model by name, seen from a prefix: `weights.pp("h").pp(3).tensor("ln_1.weight", &[768])`.
///
/// Cheap to clone: all views share one table and one storage.
#[derive(Debug, Clone)]
pub struct Weights {
    table: Arc<Table>,
    prefix: String,
}

#[derive(Debug)]
struct Table {
    path: PathBuf,
    tensors: HashMap<String, TensorEntry>,
    /// No tensor is given out any more.
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct TensorEntry {
    tensor: Tensor,
    /// A model has asked for it.
    taken: AtomicBool,
}

impl Weights {
    /// A view of `tensors`, which come from `path` (named in errors).
    pub fn new(path: impl Into<PathBuf>, tensors: impl IntoIterator<Item = Tensor>) -> Self {
        let entry = |tensor: Tensor| (tensor.name().to_owned(), TensorEntry { tensor, taken: AtomicBool::new(false) });
        let mut tensors = tensors.into_iter().map(entry).collect();
        nvfp4::take_scales(&mut tensors);
        Self {
            table: Arc::new(Table { path: path.into(), tensors, is_closed: AtomicBool::new(false) }),
            prefix: String::new(),
        }
    }

    /// The same tensors, with `segment` and a dot put before each name that is asked for.
    pub fn pp(&self, segment: impl fmt::Display) -> Self {
        Self { table: Arc::clone(&self.table), prefix: format!("{}{segment}.", self.prefix) }
    }

    /// Whether there is a tensor of this name under the prefix.
    pub fn contains(&self, name: &str) -> bool {
        self.table.tensors.contains_key(&self.full_name(name))
    }

    /// The tensor of this name under the prefix, which has to have the shape `shape` (row-major: `[rows, cols]`).
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] and [`EngineError::Shape`] with the full name; [`EngineError::Unsupported`] where
    /// it is in a format that the engine cannot compute with; [`EngineError::Cancelled`] after [`Self::give_no_more`].
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        self.take(name, shape, DType::is_computable)
    }

    /// The tensor of this name under the prefix, of bytes, as [`Self::tensor`] gives one of weights.
    ///
    /// # Errors
    /// Those of [`Self::tensor`], where it is of anything else as well.
    pub fn codes(&self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        self.take(name, shape, |dtype| dtype == DType::U8)
    }

    fn take(&self, name: &str, shape: &[usize], is_read: impl Fn(DType) -> bool) -> Result<Tensor, EngineError> {
        let TensorEntry { tensor, taken } = self.entry(name)?;
        if tensor.shape() != shape {
            return Err(EngineError::Shape {
                path: self.path().to_owned(),
                name: tensor.name().to_owned(),
                found: tensor.shape().to_vec(),
                expected: shape.to_vec(),
            });
        }
        if !is_read(tensor.dtype()) {
            return Err(self.unsupported_format(tensor));
        }
        if self.is_closed() {
            return Err(EngineError::Cancelled);
        }
        taken.store(true, Ordering::Relaxed);
        Ok(tensor.clone())
    }

    /// The tensor of this name under the prefix, whatever its shape and format.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] with the full name.
    pub fn find(&self, name: &str) -> Result<&Tensor, EngineError> {
        self.entry(name).map(|entry| &entry.tensor)
    }

    /// Whether any tensor of the file has a name that begins so, whatever the prefix.
    pub fn has_any(&self, beginning: &str) -> bool {
        self.table.tensors.keys().any(|name| name.starts_with(beginning))
    }

    /// All tensors of the file, whatever the prefix, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.table.tensors.values().map(|entry| &entry.tensor)
    }

    /// Bytes of all tensors of the file.
    pub fn total_bytes(&self) -> u64 {
        self.iter().map(|tensor| tensor.bytes().len() as u64).sum()
    }

    /// From now on [`Self::tensor`] fails, through whatever view: who loads a model from it stops.
    pub fn give_no_more(&self) {
        self.table.is_closed.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::give_no_more`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.table.is_closed.load(Ordering::Relaxed)
    }

    /// Bytes of the tensors that [`Self::tensor`] has given out, through whatever view: how far a load has come.
    pub fn taken_bytes(&self) -> u64 {
        self.entries_where(true).map(|tensor| tensor.bytes().len() as u64).sum()
    }

    /// The tensors that nobody has asked for, by name in order: after a load, what the model did not use.
    pub fn untaken(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.entries_where(false).map(Tensor::name).collect();
        names.sort_unstable();
        names
    }

    /// The file the tensors are in.
    pub fn path(&self) -> &Path {
        &self.table.path
    }

    fn entry(&self, name: &str) -> Result<&TensorEntry, EngineError> {
        let name = self.full_name(name);
        self.table
            .tensors
            .get(&name)
            .ok_or_else(|| EngineError::MissingTensor { path: self.path().to_owned(), name: name.clone() })
    }

    fn entries_where(&self, taken: bool) -> impl Iterator<Item = &Tensor> {
        let entries = self.table.tensors.values();
        entries.filter(move |entry| entry.taken.load(Ordering::Relaxed) == taken).map(|entry| &entry.tensor)
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn unsupported_format(&self, tensor: &Tensor) -> EngineError {
        let what = format!(
            "tensor `{}` has the format {}, which the engine cannot compute with: use a file in {}",
            tensor.name(),
            tensor.dtype(),
            DType::computable().map(DType::name).collect::<Vec<_>>().join(", ")
        );
        EngineError::unsupported(self.path(), what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Weights {
        let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let storage = Storage::from_vec(bytes);
        let tensor = |name: &str, dtype, shape: &[usize], range| {
            Tensor::new(name.into(), shape.to_vec(), dtype, storage.clone(), range).unwrap()
        };
        Weights::new(
            "m.gguf",
            [tensor("h.0.ln_1.weight", DType::F32, &[2, 3], 0..24), tensor("h.1.ids", DType::I32, &[2], 0..8)],
        )
    }

    #[test]
    fn a_prefix_is_walked_to_a_tensor() {
        let layer = weights().pp("h").pp(0);
        assert!(layer.contains("ln_1.weight"));
        assert!(!layer.contains("ln_2.weight"));
        let tensor = layer.pp("ln_1").tensor("weight", &[2, 3]).unwrap();
        assert_eq!(tensor.to_f32().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn what_was_asked_for_is_remembered() {
        let weights = weights();
        assert_eq!((weights.taken_bytes(), weights.total_bytes()), (0, 32));
        weights.pp("h.0").tensor("ln_1.weight", &[2, 3]).unwrap();
        assert_eq!((weights.taken_bytes(), weights.untaken()), (24, vec!["h.1.ids"]));
    }

    #[test]
    fn a_missing_tensor_is_named_in_full() {
        let error = weights().pp("h").pp(7).tensor("ln_1.weight", &[6]).unwrap_err().to_string();
        assert!(error.starts_with("m.gguf: tensor `h.7.ln_1.weight` is missing"), "{error}");
    }

    #[test]
    fn a_wrong_shape_names_both_shapes() {
        let error = weights().pp("h.0").tensor("ln_1.weight", &[3, 2]).unwrap_err().to_string();
        assert!(error.contains("has the shape [2, 3], the configuration asks for [3, 2]"), "{error}");
    }

    #[test]
    fn a_format_without_kernels_names_itself_and_what_is_supported() {
        let error = weights().pp("h").pp(1).tensor("ids", &[2]).unwrap_err().to_string();
        assert!(error.contains("tensor `h.1.ids` has the format I32"), "{error}");
        assert!(error.contains("Q4_1"), "{error}");
    }
}
