//! Rows that are looked up and never multiplied: embeddings of tokens and of positions.

use super::floats::FloatFormat;
use super::matrix::{WeightMatrix, matrix_shape};
use super::packed::Packer;
use crate::EngineError;
use crate::weights::{Tensor, dequantize};

/// A matrix `[rows, width]`. Floats stay where they are, in the file's map, so that only rows that are used take memory.
#[derive(Debug)]
pub struct Table {
    width: usize,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Mapped(Tensor, FloatFormat),
    /// Quantized, and read from the file's map row by row.
    Quantized(Tensor),
    Packed(WeightMatrix),
}

impl Table {
    /// From a tensor `[rows, width]`.
    ///
    /// # Errors
    /// Those of [`WeightMatrix::from_rows`].
    pub fn new(tensor: &Tensor, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let [_, width] = matrix_shape(tensor)?;
        let rows = match FloatFormat::of(tensor.dtype()) {
            Some(format) => Rows::Mapped(tensor.clone(), format),
            None => Rows::Packed(WeightMatrix::from_rows(tensor, packer)?),
        };
        Ok(Self { width, rows })
    }

    /// The same of a table so large that its rows are better read from the file than held, whatever their format.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the format cannot be read.
    pub fn of_file(tensor: &Tensor) -> Result<Self, EngineError> {
        let [_, width] = matrix_shape(tensor)?;
        let rows = match FloatFormat::of(tensor.dtype()) {
            Some(format) => Rows::Mapped(tensor.clone(), format),
            None if dequantize::to_f32(tensor.dtype(), &[]).is_some() => Rows::Quantized(tensor.clone()),
            None => {
                let (name, dtype) = (tensor.name(), tensor.dtype());
                let what = format!("tensor `{name}` has the format {dtype}, whose rows cannot be read");
                return Err(EngineError::Invalid(what));
            }
        };
        Ok(Self { width, rows })
    }

    /// Row `row`, into `out` `(width)`.
    ///
    /// # Panics
    /// Where there is no such row or `out` has another length.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.width, "a row of another width");
        match &self.rows {
            Rows::Mapped(tensor, format) => {
                let bytes = self.width * format.size();
                format.widen(&tensor.bytes()[row * bytes..][..bytes], out);
            }
            Rows::Quantized(tensor) => {
                let bytes = tensor.dtype().bytes_of(&[self.width]).unwrap_or(0);
                let values = dequantize::to_f32(tensor.dtype(), &tensor.bytes()[row * bytes..][..bytes]);
                out.copy_from_slice(&values.unwrap_or_default());
            }
            Rows::Packed(packed) => packed.row(row, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::kernels::ThreadPool;
    use crate::weights::{DType, Storage};

    #[test]
    fn rows_of_every_kind_are_the_files_values() {
        let pool = ThreadPool::new(1);
        let packer = Packer::new(&pool);
        let values: Vec<f32> = (0..96).map(|i| i as f32 * 0.25 - 7.0).collect();
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::Q8_0] {
            let bytes: Vec<u8> = match dtype {
                DType::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
                DType::BF16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
                DType::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                _ => (0..3).flat_map(|block| [vec![0, 0x3c], (block..block + 32).collect()].concat()).collect(),
            };
            let len = bytes.len();
            // At an odd address no float is aligned.
            let storage = Storage::from_vec([vec![0], bytes].concat());
            let tensor = Tensor::new("t".into(), vec![3, 32], dtype, storage, 1..1 + len).unwrap();
            let (table, expected) = (Table::new(&tensor, &packer).unwrap(), tensor.to_f32().unwrap());
            for row in [2, 0, 1] {
                let mut out = [f32::NAN; 32];
                table.row(row, &mut out);
                assert_eq!(out, expected[32 * row..][..32], "{dtype}");
                Table::of_file(&tensor).unwrap().row(row, &mut out);
                assert_eq!(out, expected[32 * row..][..32], "{dtype}, from the file");
            }
        }
    }
}
