//! The tensors of a file that is to be written: where their rows come from, in which format they go out.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::file_type::{FileType, Part, TensorPlace, fitting};
use crate::EngineError;
use crate::kernels::ThreadPool;
use crate::model::LaterTensor;
use crate::weights::{DType, Tensor, quantize};

/// About as many values are widened and packed at a time: they stay in a thread's cache.
const PIECE: usize = 1 << 14;

/// Parts of names of matrices that are no weights of a product, or too delicate for few bits; llama.cpp keeps them as
/// they are as well (`tensor_allows_quantization` in `llama-quant.cpp`).
const KEPT: [&str; 11] = [
    "_norm.",
    "ffn_gate_inp.",
    "position_embd.",
    "token_types.",
    "attn_rel_b.",
    "ssm_conv1d.",
    "shortconv.conv.",
    "time_mix_",
    "altup",
    "laurel",
    "per_layer_model_proj",
];

/// How the rows of a tensor that is written follow from one that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// As they are.
    Same,
    /// The columns become rows: GPT-2's Conv1D layers are stored `[in, out]`.
    Transposed,
    /// Of each of `heads` heads, the rows of the second half come between those of the first: the order that GGUF's
    /// rotation of neighbours needs (`permute` in `convert_hf_to_gguf.py`).
    Interleaved {
        /// How many heads the rows are of.
        heads: usize,
    },
}

/// Where the values of a tensor that is written come from: a tensor, or several of one shape and format that become one,
/// along a new first axis.
#[derive(Debug)]
pub(super) struct Source {
    first: SourcePart,
    others: Vec<SourcePart>,
}

/// A tensor that values come from.
#[derive(Debug)]
pub(super) enum SourcePart {
    /// In a file.
    Stored(Tensor),
    /// Put together while it is written.
    Later(Box<LaterTensor>),
}

impl SourcePart {
    fn name(&self) -> &str {
        match self {
            Self::Stored(tensor) => tensor.name(),
            Self::Later(later) => later.name(),
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Stored(tensor) => tensor.shape(),
            Self::Later(later) => later.shape(),
        }
    }

    fn dtype(&self) -> DType {
        match self {
            Self::Stored(tensor) => tensor.dtype(),
            Self::Later(later) => later.dtype(),
        }
    }

    fn tensor(&self) -> Result<Tensor, EngineError> {
        match self {
            Self::Stored(tensor) => Ok(tensor.clone()),
            Self::Later(later) => later.make(),
        }
    }
}

impl Source {
    /// Puts `part` behind those that are there.
    ///
    /// # Errors
    /// Where it is of another shape or format.
    pub(super) fn push(&mut self, part: SourcePart) -> Result<(), EngineError> {
        if (part.shape(), part.dtype()) != (self.first.shape(), self.first.dtype()) {
            let (name, first) = (part.name(), self.first.name());
            let what = format!("tensor `{name}` has another shape or format than `{first}`, with which it becomes one");
            return Err(EngineError::Invalid(what));
        }
        self.others.push(part);
        Ok(())
    }

    fn parts(&self) -> impl Iterator<Item = &SourcePart> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The name of the first.
    pub(super) fn name(&self) -> &str {
        self.first.name()
    }

    /// The format of all.
    pub(super) fn dtype(&self) -> DType {
        self.first.dtype()
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Bytes of them.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.dtype().bytes_of(self.first.shape()).unwrap_or(0);
        (bytes as u64) * self.parts().count() as u64
    }

    /// Row-major.
    fn shape(&self) -> Vec<usize> {
        let axis = Some(1 + self.others.len()).filter(|&parts| parts > 1);
        axis.into_iter().chain(self.first.shape().iter().copied()).collect()
    }

    /// The tensors, in memory where they are in no file.
    fn tensors(&self) -> Result<Vec<Tensor>, EngineError> {
        self.parts().map(SourcePart::tensor).collect()
    }
}

impl From<Tensor> for Source {
    fn from(first: Tensor) -> Self {
        SourcePart::Stored(first).into()
    }
}

impl From<SourcePart> for Source {
    fn from(first: SourcePart) -> Self {
        Self { first, others: Vec::new() }
    }
}

/// A tensor to be written.
#[derive(Debug)]
pub(super) struct OutTensor {
    /// Its name in GGUF.
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) order: RowOrder,
    pub(super) dtype: DType,
    /// The format it should have had, had its rows been whole blocks of it.
    pub(super) wanted: DType,
}

/// What the mixes have to know of the whole model.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelShape {
    pub(super) n_layer: usize,
    /// Query heads that share a key-value head.
    pub(super) n_gqa: usize,
    /// Whether the output projection is a tensor of its own.
    pub(super) has_output: bool,
}

/// What a model is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// This format, where a matrix can have it.
    Kind(FileType),
    /// The format that each matrix has.
    AsItIs,
}

impl From<FileType> for Target {
    fn from(kind: FileType) -> Self {
        Self::Kind(kind)
    }
}

impl OutTensor {
    pub(super) fn new(name: String, source: Source, order: RowOrder, kind: Target, model: ModelShape) -> Self {
        let shape = shape_of(&source, order);
        let wanted = if !source.dtype().is_computable() {
            // Integers, or a format that only has a name here: it is copied, or refused by [`Self::bytes`].
            source.dtype()
        } else if is_quantized(&name, &shape) {
            let layer = layer_of(&name).unwrap_or(0);
            let part = Part::of(&name, model.has_output);
            match kind {
                Target::Kind(kind) => {
                    kind.format_of(TensorPlace { part, layer, n_layer: model.n_layer, n_gqa: model.n_gqa })
                }
                Target::AsItIs => source.dtype(),
            }
        } else {
            DType::F32
        };
        let dtype = if shape.last().is_some_and(|cols| cols.is_multiple_of(wanted.block_size())) || shape.is_empty() {
            wanted
        } else {
            fitting(wanted, shape.last().copied().unwrap_or(1))
        };
        Self { name, source, order, dtype, wanted }
    }

    /// Row-major, as it is written.
    pub(super) fn shape(&self) -> Vec<usize> {
        shape_of(&self.source, self.order)
    }

    /// Whether it is written in another format than it is read.
    pub(super) fn changes(&self) -> bool {
        self.dtype != self.source.dtype()
    }

    /// Its values as they are written, each thread of `pool` a part of the rows.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the format cannot be read, or a value is no number.
    pub(super) fn bytes(&self, pool: &ThreadPool) -> Result<Vec<u8>, EngineError> {
        let is_float = matches!(self.dtype, DType::F32 | DType::F16 | DType::BF16);
        let tensors = self.source.tensors()?;
        if !self.changes() && self.order == RowOrder::Same && !is_float {
            return Ok(tensors.iter().flat_map(Tensor::bytes).copied().collect());
        }
        let largest = self.largest();
        let shape = self.shape();
        let cols = shape.last().copied().unwrap_or(1);
        let rows = Rows::of(&tensors, self.order)?;
        let (Some(size), Some(row_bytes)) = (self.dtype.bytes_of(&shape), self.dtype.bytes_of(&[cols])) else {
            return Err(self.refused("does not fit into its format"));
        };
        let mut out = vec![0; size];
        let rows_a_piece = (PIECE / cols.max(1)).max(1);
        let (unreadable, not_finite, too_large) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        pool.for_each_part(&mut out, rows_a_piece * row_bytes, &|_, piece, out| {
            let first = piece * rows_a_piece;
            let Some(values) = rows.widened(first..first + out.len() / row_bytes) else {
                return unreadable.store(true, Ordering::Relaxed);
            };
            if !values.iter().all(|value| value.is_finite()) {
                not_finite.store(true, Ordering::Relaxed);
            } else if !values.iter().all(|value| value.abs() <= largest) {
                too_large.store(true, Ordering::Relaxed);
            }
            if quantize::from_f32(self.dtype, &values, out).is_none() {
                unreadable.store(true, Ordering::Relaxed);
            }
        });
        if unreadable.into_inner() {
            return Err(self.refused(&format!("has the format {}, which cannot be converted", self.source.dtype())));
        }
        if not_finite.into_inner() {
            return Err(self.refused("has values that are infinite or no numbers: the file is damaged"));
        }
        if too_large.into_inner() {
            let why = format!("has values beyond {largest}, which {} cannot hold: the file is damaged", self.dtype);
            return Err(self.refused(&why));
        }
        Ok(out)
    }

    /// The largest magnitude that the format holds. The scales of quantized ones are half-precision numbers; weights of a
    /// model are far from them.
    fn largest(&self) -> f32 {
        match self.dtype {
            DType::F32 | DType::BF16 => f32::MAX,
            _ => half::f16::MAX.to_f32(),
        }
    }

    fn refused(&self, why: &str) -> EngineError {
        EngineError::Invalid(format!("tensor `{}` {why}", self.source.name()))
    }
}

/// Matrices of weights are; what is added or scaled by is not.
fn is_quantized(name: &str, shape: &[usize]) -> bool {
    shape.len() > 1 && name.ends_with("weight") && !KEPT.iter().any(|kept| name.contains(kept))
}

fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

fn shape_of(source: &Source, order: RowOrder) -> Vec<usize> {
    let mut shape = source.shape();
    if order == RowOrder::Transposed {
        shape.reverse();
    }
    shape
}

/// The rows of a tensor in the order in which they are written.
enum Rows<'a> {
    Stored {
        tensors: &'a [Tensor],
        row_bytes: usize,
        /// Rows of each of the tensors.
        rows_each: usize,
        heads: Option<usize>,
    },
    /// `[rows, cols]`
    Transposed { values: Vec<f32>, rows: usize, cols: usize },
}

impl<'a> Rows<'a> {
    /// Of tensors of one shape and format.
    fn of(tensors: &'a [Tensor], order: RowOrder) -> Result<Self, EngineError> {
        let Some(first) = tensors.first() else {
            return Err(EngineError::Invalid("a tensor that is made of none".into()));
        };
        let cols = first.shape().last().copied().unwrap_or(1);
        let rows_each = first.len() / cols.max(1);
        let row_bytes = first.dtype().bytes_of(&[cols]).unwrap_or(0);
        let stored = |heads| Self::Stored { tensors, row_bytes, rows_each, heads };
        match order {
            RowOrder::Transposed => Ok(Self::Transposed { values: first.to_f32()?, rows: rows_each, cols }),
            RowOrder::Same => Ok(stored(None)),
            RowOrder::Interleaved { heads } => Ok(stored(Some(heads))),
        }
    }

    /// The values of some rows; `None` where their format cannot be read.
    fn widened(&self, range: Range<usize>) -> Option<Vec<f32>> {
        match self {
            Self::Stored { tensors: [one], row_bytes, heads: None, .. } => {
                one.widened(range.start * row_bytes..range.end * row_bytes)
            }
            Self::Stored { tensors, row_bytes, rows_each, heads } => {
                let per_head = heads.map(|heads| tensors.len() * rows_each / heads);
                let mut values = Vec::new();
                for row in range {
                    let from = per_head.map_or(row, |per_head| interleaved(row, per_head));
                    let tensor = tensors.get(from / rows_each)?;
                    let start = from % rows_each * row_bytes;
                    values.extend(tensor.widened(start..start + row_bytes)?);
                }
                Some(values)
            }
            Self::Transposed { values, rows, cols } => {
                let mut columns = Vec::with_capacity(range.len() * rows);
                for column in range {
                    columns.extend(values[column..].iter().step_by(*cols));
                }
                Some(columns)
            }
        }
    }
}

/// The row of heads of `per_head` rows each that stands at `row` once their halves are interleaved.
pub(super) fn interleaved(row: usize, per_head: usize) -> usize {
    let (head, within) = (row / per_head, row % per_head);
    head * per_head + within % 2 * (per_head / 2) + within / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Storage, dequantize};

    const SHAPE: ModelShape = ModelShape { n_layer: 2, n_gqa: 1, has_output: true };

    fn tensor(name: &str, shape: &[usize]) -> Tensor {
        let values = (0..shape.iter().product()).map(|i: usize| i as f32);
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        let range = 0..bytes.len();
        Tensor::new(name.into(), shape.to_vec(), DType::F32, Storage::from_vec(bytes), range).unwrap()
    }

    fn written(order: RowOrder, shape: &[usize]) -> Vec<f32> {
        let out = OutTensor::new("a.weight".into(), tensor("a", shape).into(), order, FileType::F32.into(), SHAPE);
        dequantize::to_f32(DType::F32, &out.bytes(&ThreadPool::new(2)).unwrap()).unwrap()
    }

    #[test]
    fn rows_are_reordered_as_the_other_format_wants_them() {
        let same: Vec<f32> = (0..6).map(|i| i as f32).collect();
        assert_eq!(written(RowOrder::Same, &[2, 3]), same);
        assert_eq!(written(RowOrder::Transposed, &[2, 3]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        // Two heads of four rows.
        let rows = [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0];
        assert_eq!(written(RowOrder::Interleaved { heads: 2 }, &[8, 1]), rows);
    }

    #[test]
    fn many_pieces_are_one_tensor() {
        let (rows, cols) = (301, 250);
        let expected: Vec<f32> = (0..cols).flat_map(|c| (0..rows).map(move |r| (r * cols + c) as f32)).collect();
        assert_eq!(written(RowOrder::Transposed, &[rows, cols]), expected);
    }

    #[test]
    fn norms_biases_and_vectors_stay_floats_and_odd_rows_get_what_fits() {
        let format = |name: &str, shape: &[usize]| {
            let out =
                OutTensor::new(name.into(), tensor(name, shape).into(), RowOrder::Same, FileType::Q4_K_M.into(), SHAPE);
            (out.dtype, out.wanted)
        };
        assert_eq!(format("blk.1.attn_norm.weight", &[256]).0, DType::F32);
        assert_eq!(format("blk.1.attn_q_norm.weight", &[2, 256]).0, DType::F32);
        assert_eq!(format("blk.1.attn_q.bias", &[256]).0, DType::F32);
        assert_eq!(format("position_embd.weight", &[2, 256]).0, DType::F32);
        assert_eq!(format("blk.1.ffn_up.weight", &[2, 256]), (DType::Q4_K, DType::Q4_K));
        assert_eq!(format("blk.1.ffn_up.weight", &[2, 64]), (DType::Q5_0, DType::Q4_K));
        assert_eq!(format("blk.1.ffn_up.weight", &[2, 65]), (DType::F16, DType::Q4_K));
        assert_eq!(format("output.weight", &[2, 256]).0, DType::Q6_K);
    }

    #[test]
    fn values_that_are_no_numbers_are_refused_by_name() {
        let refused = |name: &str, shape: Vec<usize>, wrong: f32| {
            let bytes: Vec<u8> = [1.0, wrong].iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
            let source = Tensor::new("w".into(), shape, DType::F32, Storage::from_vec(bytes), 0..8).unwrap();
            let out = OutTensor::new(name.into(), source.into(), RowOrder::Same, FileType::F16.into(), SHAPE);
            out.bytes(&ThreadPool::new(1)).unwrap_err().to_string()
        };
        let no_numbers = "tensor `w` has values that are infinite or no numbers";
        assert!(refused("w.weight", vec![1, 2], f32::NAN).contains(no_numbers));
        // What is copied as it is comes into the file too.
        assert!(refused("blk.1.attn_norm.weight", vec![2], f32::INFINITY).contains(no_numbers));
        let error = refused("w.weight", vec![1, 2], 3e38);
        assert!(error.contains("tensor `w` has values beyond 65504, which F16 cannot hold"), "{error}");
    }
}
