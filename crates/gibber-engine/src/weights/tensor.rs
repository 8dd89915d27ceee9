//! One named tensor: a shape, a format and the bytes of its values.

use std::ops::Range;
use std::sync::Arc;

use zerocopy::FromBytes;

use super::{DType, Storage, dequantize};
use crate::EngineError;

/// A tensor of a file. Holds on to the file's storage; cloning it copies no values.
#[derive(Debug, Clone)]
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    dtype: DType,
    storage: Storage,
    range: Range<usize>,
    /// What all values are multiplied with: one number, or one for each part of the first axis. Where there is none, 1.
    factors: Option<Arc<[f32]>>,
}

impl Tensor {
    /// The tensor `name` of `shape` (row-major: `[rows, cols]`) whose values are `storage[range]`.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the range is not in the storage or not as long as shape and format ask for.
    pub fn new(
        name: String,
        shape: Vec<usize>,
        dtype: DType,
        storage: Storage,
        range: Range<usize>,
    ) -> Result<Self, EngineError> {
        let Some(expected) = dtype.bytes_of(&shape) else {
            return Err(EngineError::Invalid(format!(
                "tensor `{name}`: rows of the shape {shape:?} are not whole blocks of {} values ({dtype})",
                dtype.block_size()
            )));
        };
        let found = storage.bytes().get(range.clone()).map(<[u8]>::len);
        if found != Some(expected) {
            return Err(EngineError::Invalid(format!(
                "tensor `{name}` of the shape {shape:?} in {dtype} takes {expected} bytes, bytes {range:?} of {} were given",
                storage.bytes().len()
            )));
        }
        Ok(Self { name, shape, dtype, storage, range, factors: None })
    }

    /// Part `index` of `of` along its first axis, which has that many: a tensor with an axis less.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where there is no such part.
    pub(crate) fn part(&self, index: usize, of: usize) -> Result<Self, EngineError> {
        match self.shape.split_first() {
            Some((&parts, shape)) if parts == of && index < of => {
                let bytes = self.range.len() / of;
                let start = self.range.start + index * bytes;
                let range = start..start + bytes;
                let part = Self::new(self.name.clone(), shape.to_vec(), self.dtype, self.storage.clone(), range)?;
                let factors = self.factors.as_deref().map(|factors| match factors {
                    [_] => factors.into(),
                    _ => factors[index..=index].into(),
                });
                Ok(Self { factors, ..part })
            }
            _ => Err(EngineError::Invalid(format!("tensor `{}` has no part {index} of {of}", self.name))),
        }
    }

    /// The same values in another shape.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where that has another number of them.
    pub(crate) fn reshaped(self, shape: Vec<usize>) -> Result<Self, EngineError> {
        let made = Self::new(self.name.clone(), shape, self.dtype, self.storage.clone(), self.range.clone())?;
        self.multiplied_alike(made)
    }

    /// A copy of these rows, in this order.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where there is no such row.
    pub(crate) fn with_rows(&self, rows: &[usize]) -> Result<Self, EngineError> {
        let count = self.shape.first().copied().unwrap_or(0);
        let width = self.range.len() / count.max(1);
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        self.gathered(shape, width, rows.iter().copied())
    }

    /// A copy of these columns of a matrix of floats, in this order.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where there is no such column, and where values share a block.
    pub(crate) fn with_columns(&self, columns: &[usize]) -> Result<Self, EngineError> {
        match (&self.shape[..], self.dtype.block_size()) {
            (&[rows, width], 1) if columns.iter().all(|&column| column < width) => {
                let values = (0..rows).flat_map(|row| columns.iter().map(move |column| row * width + column));
                self.gathered(vec![rows, columns.len()], self.dtype.block_bytes(), values)
            }
            _ => Err(EngineError::Invalid(format!(
                "the columns of tensor `{}` ({} of the shape {:?}) cannot be put in order",
                self.name, self.dtype, self.shape
            ))),
        }
    }

    /// A tensor of these `parts` of the values, each of `width` bytes.
    fn gathered(
        &self,
        shape: Vec<usize>,
        width: usize,
        parts: impl Iterator<Item = usize>,
    ) -> Result<Self, EngineError> {
        let bytes = self.bytes();
        let mut out = Vec::with_capacity(bytes.len());
        for part in parts {
            let Some(part) = bytes.get(part * width..(part + 1) * width) else {
                return Err(EngineError::Invalid(format!("tensor `{}` has no row {part}", self.name)));
            };
            out.extend_from_slice(part);
        }
        self.remade(shape, out)
    }

    /// The `count` rows from `first` on, `step` apart. They are copied where others stand between them.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where it has no such rows.
    pub(crate) fn rows(&self, first: usize, step: usize, count: usize) -> Result<Self, EngineError> {
        let Some((&rows, columns)) = self.shape.split_first().filter(|&(&rows, _)| picks(rows, first, step, count))
        else {
            return Err(self.lacks("rows", first, step, count));
        };
        let row = self.range.len() / rows.max(1);
        let shape = [&[count][..], columns].concat();
        if step == 1 {
            let start = self.range.start + first * row;
            let range = start..start + count * row;
            let made = Self::new(self.name.clone(), shape, self.dtype, self.storage.clone(), range)?;
            return self.multiplied_alike(made);
        }
        let picked = self.bytes().chunks_exact(row.max(1)).skip(first).step_by(step).take(count);
        self.remade(shape, picked.flatten().copied().collect())
    }

    /// The `count` columns from `first` on, `step` apart, as rows. They are copied.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where it is no matrix of single values, or has no such columns.
    pub(crate) fn columns(&self, first: usize, step: usize, count: usize) -> Result<Self, EngineError> {
        let (&[rows, columns], 1) = (&self.shape[..], self.dtype.block_size()) else {
            return Err(EngineError::Invalid(format!(
                "tensor `{}` is stored in columns, which a matrix in {} cannot be",
                self.name, self.dtype
            )));
        };
        if !picks(columns, first, step, count) {
            return Err(self.lacks("columns", first, step, count));
        }
        let (size, bytes) = (self.dtype.block_bytes(), self.bytes());
        let mut picked = vec![0; count * rows * size];
        // Some columns at a time: a line of the cache holds a value of each.
        for from in (0..count).step_by(COLUMNS) {
            for row in 0..rows {
                for column in from..count.min(from + COLUMNS) {
                    let (to, at) = (column * rows + row, row * columns + first + column * step);
                    picked[to * size..][..size].copy_from_slice(&bytes[at * size..][..size]);
                }
            }
        }
        self.remade(vec![count, rows], picked)
    }

    /// A tensor of the same name with other values.
    fn remade(&self, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self, EngineError> {
        let range = 0..bytes.len();
        self.multiplied_alike(Self::new(self.name.clone(), shape, self.dtype, Storage::from_vec(bytes), range)?)
    }

    /// `made` of the same values, multiplied with what these are.
    fn multiplied_alike(&self, made: Self) -> Result<Self, EngineError> {
        match self.factors.as_deref() {
            Some(factors) if factors.len() > 1 => Err(EngineError::Invalid(format!(
                "tensor `{}` has a scale for each part, and cannot be put in another order",
                self.name
            ))),
            _ => Ok(Self { factors: self.factors.clone(), ..made }),
        }
    }

    fn lacks(&self, what: &str, first: usize, step: usize, count: usize) -> EngineError {
        let (name, shape) = (&self.name, &self.shape);
        EngineError::Invalid(format!(
            "tensor `{name}` of the shape {shape:?} has no {count} {what}, {step} apart from {first}"
        ))
    }

    /// The same with all values multiplied by one of `factors`: by the only one, or part by part along the first axis.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where there are neither one nor as many as parts.
    pub(super) fn times(self, factors: Vec<f32>) -> Result<Self, EngineError> {
        let parts = self.shape.first().copied().unwrap_or(1);
        if factors.len() != 1 && factors.len() != parts {
            let Self { name, shape, .. } = self;
            let what = format!("tensor `{name}` of the shape {shape:?} has {} scales beside it", factors.len());
            return Err(EngineError::Invalid(what));
        }
        Ok(Self { factors: Some(factors.into()), ..self })
    }

    /// What all values of a matrix are multiplied with: [`Self::bytes`] is without it.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where not all have the same.
    pub(crate) fn factor(&self) -> Result<f32, EngineError> {
        match self.factors.as_deref() {
            None => Ok(1.0),
            Some(&[factor]) => Ok(factor),
            Some(_) => Err(EngineError::Invalid(format!("tensor `{}` has more scales than one", self.name))),
        }
    }

    /// Its full name in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its dimensions in row-major order: `[rows, cols]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The format of its values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its values as they are stored: rows one after another, each in whole blocks, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.storage.bytes()[self.range.clone()]
    }

    /// Where in the storage they are.
    pub(super) fn range(&self) -> &Range<usize> {
        &self.range
    }

    /// Gives the memory of its values back to the system, for a tensor that was copied into another form; they can still be
    /// read, from the file.
    pub fn release(&self) {
        self.storage.release(self.range.clone());
    }

    /// As [`Self::release`], of these of its bytes alone.
    pub(super) fn release_part(&self, part: Range<usize>) {
        self.storage.release(self.range.start + part.start..self.range.start + part.end);
    }

    /// What stands before it in its file.
    pub(super) fn before(&self) -> &[u8] {
        &self.storage.bytes()[..self.range.start]
    }

    /// Its values without a copy, where they are [`DType::F32`] and lie on a boundary of 4 bytes.
    pub fn f32s(&self) -> Option<&[f32]> {
        if self.dtype != DType::F32 || cfg!(target_endian = "big") {
            return None;
        }
        <[f32]>::ref_from_bytes(self.bytes()).ok()
    }

    /// Its values as floats: the plain reference that kernels are tested against.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the engine cannot compute with its format.
    pub fn to_f32(&self) -> Result<Vec<f32>, EngineError> {
        self.widened(0..self.bytes().len()).ok_or_else(|| {
            EngineError::Invalid(format!("tensor `{}`: the format {} cannot be read", self.name, self.dtype))
        })
    }

    /// The values of some of its bytes, whole rows; `None` where they are not there, or the format cannot be read.
    pub(crate) fn widened(&self, bytes: Range<usize>) -> Option<Vec<f32>> {
        let mut values = dequantize::to_f32(self.dtype, self.bytes().get(bytes.clone())?)?;
        if let Some(factors) = &self.factors {
            let first = bytes.start / self.dtype.block_bytes() * self.dtype.block_size();
            let each = self.len() / factors.len();
            for (at, value) in (first..).zip(&mut values) {
                *value *= factors[at / each];
            }
        }
        Some(values)
    }
}

/// Columns that are made rows at a time.
const COLUMNS: usize = 16;

/// Whether among `all` there are `count` from `first` on, `step` apart.
fn picks(all: usize, first: usize, step: usize, count: usize) -> bool {
    step > 0
        && count > 0
        && (count - 1).checked_mul(step).and_then(|last| last.checked_add(first)).is_some_and(|last| last < all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_are_picked_in_steps() {
        let bytes: Vec<u8> = (0..12).flat_map(|value| (value as f32).to_le_bytes()).collect();
        let storage = Storage::from_vec(bytes);
        let tensor = Tensor::new("t".into(), vec![4, 3], DType::F32, storage, 0..48).unwrap();
        let values = |tensor: Result<Tensor, EngineError>| tensor.map(|tensor| tensor.to_f32().unwrap()).ok();
        assert_eq!(values(tensor.rows(1, 1, 2)), Some(vec![3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
        assert_eq!(values(tensor.rows(1, 2, 2)), Some(vec![3.0, 4.0, 5.0, 9.0, 10.0, 11.0]));
        assert_eq!(values(tensor.columns(0, 2, 2)), Some(vec![0.0, 3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 11.0]));
        assert!(values(tensor.rows(2, 2, 2)).is_none() && values(tensor.columns(1, 2, 2)).is_none());
        assert!(values(tensor.rows(0, 0, 2)).is_none() && values(tensor.rows(usize::MAX, 1, 2)).is_none());
        assert!(tensor.columns(3, 1, 1).unwrap_err().to_string().contains("has no 1 columns"));
    }

    #[test]
    fn a_range_has_to_fit_the_shape_and_the_storage() {
        let storage = Storage::from_vec(vec![0; 20]);
        let make =
            |shape: &[usize], dtype, range| Tensor::new("t".into(), shape.to_vec(), dtype, storage.clone(), range);
        assert_eq!(make(&[1, 32], DType::Q4_1, 0..20).unwrap().len(), 32);
        assert!(make(&[1, 33], DType::Q4_1, 0..20).unwrap_err().to_string().contains("whole blocks"));
        assert!(make(&[6], DType::F32, 0..24).unwrap_err().to_string().contains("takes 24 bytes"));
        assert!(make(&[4], DType::F32, 0..20).is_err());
        let reversed = Range { start: 8, end: 4 };
        assert!(make(&[1], DType::F32, reversed).is_err());
    }

    #[test]
    fn rows_and_columns_come_in_the_order_that_is_asked_for() {
        let bytes: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let tensor = Tensor::new("t".into(), vec![3, 2], DType::F32, Storage::from_vec(bytes), 0..24).unwrap();
        let rows = tensor.with_rows(&[2, 0]).unwrap();
        assert_eq!((rows.shape(), rows.to_f32().unwrap()), (&[2, 2][..], vec![4.0, 5.0, 0.0, 1.0]));
        let columns = tensor.with_columns(&[1]).unwrap();
        assert_eq!((columns.shape(), columns.to_f32().unwrap()), (&[3, 1][..], vec![1.0, 3.0, 5.0]));
        assert!(tensor.with_rows(&[3]).is_err() && tensor.with_columns(&[2]).is_err());
        let blocks = Tensor::new("b".into(), vec![1, 32], DType::Q4_1, Storage::from_vec(vec![0; 20]), 0..20).unwrap();
        assert!(blocks.with_columns(&[0]).unwrap_err().to_string().contains("`b` (Q4_1"));
        assert_eq!(tensor.clone().reshaped(vec![6]).unwrap().shape(), [6]);
        assert!(tensor.reshaped(vec![7]).is_err());
    }

    #[test]
    fn floats_are_lent_only_where_they_are_aligned() {
        let bytes: Vec<u8> = [0.0f32, 1.5, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let storage = Storage::from_vec(bytes);
        let offset = storage.bytes().as_ptr().align_offset(4);
        let aligned = Tensor::new("a".into(), vec![2], DType::F32, storage.clone(), offset..offset + 8).unwrap();
        let odd = Tensor::new("b".into(), vec![2], DType::F32, storage, offset + 1..offset + 9).unwrap();
        assert_eq!(aligned.f32s().map(<[f32]>::to_vec), Some(aligned.to_f32().unwrap()));
        assert_eq!(odd.f32s(), None);
        assert_eq!(odd.to_f32().unwrap().len(), 2);
    }
}
