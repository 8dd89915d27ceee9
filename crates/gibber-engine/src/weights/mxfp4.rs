//! MXFP4 as Hugging Face stores it (gpt-oss), in the blocks of GGUF.
//!
//! There a matrix is two tensors of bytes: codes, in each byte one value and the next one, low half first, and scales. GGUF
//! has the scale of 32 values before their codes, and in each byte a value and the one 16 further.

use super::{DType, Storage, Tensor};
use crate::EngineError;

/// Bytes of the codes of a block.
pub const CODES: usize = 16;

/// What stands behind the name of a matrix for each of the two tensors.
pub const BLOCKS: &str = "_blocks";
/// See [`BLOCKS`].
pub const SCALES: &str = "_scales";

/// In which format the weights of a tensor are, and how many there are: two codes are one byte, and scales are no weights.
pub fn weights_in(tensor: &Tensor) -> (DType, usize) {
    match tensor.dtype() {
        DType::U8 if tensor.name().ends_with(BLOCKS) => (DType::MXFP4, 2 * tensor.len()),
        DType::U8 if tensor.name().ends_with(SCALES) => (DType::MXFP4, 0),
        dtype => (dtype, tensor.len()),
    }
}

/// The matrix, or matrices, `name` from `blocks`, bytes of the shape `[.., rows, cols / 32, 16]`, and `scales`, bytes of the
/// shape `[.., rows, cols / 32]`: a tensor `[.., rows, cols]` in [`DType::MXFP4`], in memory of its own. The memory of
/// `blocks` and `scales` goes back to the system.
///
/// # Errors
/// [`EngineError::Invalid`] where the two are no bytes, or of other shapes.
pub fn join(name: String, blocks: &Tensor, scales: &Tensor) -> Result<Tensor, EngineError> {
    let fits = blocks.dtype() == DType::U8
        && scales.dtype() == DType::U8
        && blocks.shape().split_last() == Some((&CODES, scales.shape()));
    let (true, Some((&blocks_each, rows))) = (fits, scales.shape().split_last()) else {
        let what = |tensor: &Tensor| format!("`{}` is {:?} in {}", tensor.name(), tensor.shape(), tensor.dtype());
        return Err(EngineError::Invalid(format!(
            "`{name}` cannot be put together of codes and scales: {}, {}; [.., 16] in U8 and as much without the last are meant",
            what(blocks),
            what(scales)
        )));
    };
    let mut bytes = Vec::with_capacity(scales.len() * DType::MXFP4.block_bytes());
    for (codes, &scale) in blocks.bytes().as_chunks::<CODES>().0.iter().zip(scales.bytes()) {
        bytes.push(scale);
        bytes.extend_from_slice(&in_halves(codes));
    }
    blocks.release();
    scales.release();
    let len = bytes.len();
    let shape = [rows, &[blocks_each * DType::MXFP4.block_size()]].concat();
    Tensor::new(name, shape, DType::MXFP4, Storage::from_vec(bytes), 0..len)
}

/// Codes that lie two neighbours a byte, with those 16 apart in a byte.
fn in_halves(codes: &[u8; CODES]) -> [u8; CODES] {
    let code = |i: usize| codes[i / 2] >> (i % 2 * 4) & 15;
    std::array::from_fn(|i| code(i) | code(CODES + i) << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(shape: &[usize], value: impl Fn(usize) -> u8) -> Tensor {
        let bytes: Vec<u8> = (0..shape.iter().product()).map(value).collect();
        let len = bytes.len();
        Tensor::new("t".into(), shape.to_vec(), DType::U8, Storage::from_vec(bytes), 0..len).unwrap()
    }

    #[test]
    fn codes_and_scales_are_the_values_that_they_stand_for() {
        const VALUES: [f32; 16] =
            [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
        let (codes, scales) = (bytes(&[2, 3, 5, 16], |i| (i * 37) as u8), bytes(&[2, 3, 5], |i| 120 + i as u8));
        let joined = join("w".into(), &codes, &scales).unwrap();
        assert_eq!((joined.name(), joined.shape(), joined.dtype()), ("w", &[2, 3, 160][..], DType::MXFP4));
        for (i, found) in joined.to_f32().unwrap().into_iter().enumerate() {
            let code = codes.bytes()[i / 2] >> (i % 2 * 4) & 15;
            let scale = 2f32.powi(i32::from(scales.bytes()[i / 32]) - 127);
            assert_eq!(found, VALUES[usize::from(code)] * scale, "value {i}");
        }
    }

    #[test]
    fn two_codes_are_a_byte_and_scales_are_no_weights() {
        let named = |name: &str, dtype: DType| {
            let storage = Storage::from_vec(vec![0; 16]);
            let shape = vec![16 / dtype.block_bytes()];
            weights_in(&Tensor::new(name.into(), shape, dtype, storage, 0..16).unwrap())
        };
        assert_eq!(named("experts.down_proj_blocks", DType::U8), (DType::MXFP4, 32));
        assert_eq!(named("experts.down_proj_scales", DType::U8), (DType::MXFP4, 0));
        assert_eq!(named("experts.down_proj_bias", DType::F32), (DType::F32, 4));
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let scales = bytes(&[3, 5], |_| 127);
        for codes in [bytes(&[3, 5, 8], |_| 0), bytes(&[3, 4, 16], |_| 0), bytes(&[16], |_| 0)] {
            let error = join("w".into(), &codes, &scales).unwrap_err().to_string();
            assert!(error.contains("`w`") && error.contains("[3, 5]"), "{error}");
        }
        let none = bytes(&[], |_| 0);
        assert!(join("w".into(), &bytes(&[16], |_| 0), &none).is_err());
    }
}
