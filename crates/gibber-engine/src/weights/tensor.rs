//! One named tensor: a shape, a format and the bytes of its values.

use std::ops::Range;

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
        Ok(Self { name, shape, dtype, storage, range })
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
                Self::new(self.name.clone(), shape.to_vec(), self.dtype, self.storage.clone(), range)
            }
            _ => Err(EngineError::Invalid(format!("tensor `{}` has no part {index} of {of}", self.name))),
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
        dequantize::to_f32(self.dtype, self.bytes()).ok_or_else(|| {
            EngineError::Invalid(format!("tensor `{}`: the format {} cannot be read", self.name, self.dtype))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
