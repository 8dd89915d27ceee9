//! Stored values to floats, the plain way: the reference that the kernels are tested against.
//!
//! The layouts are ggml's (`ggml-common.h`): a block is a half-precision scale `d`, for some a minimum `m`, then the
//! codes; of 4-bit codes the low halves of the bytes are the first 16 values, the high halves the last 16.

use half::{bf16, f16};

use super::DType;

/// The values of `bytes`; `None` for a format without a kernel.
pub(super) fn to_f32(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
    let mut values = Vec::with_capacity(bytes.len() / dtype.block_bytes() * dtype.block_size());
    let blocks = bytes.chunks_exact(dtype.block_bytes());
    match dtype {
        DType::F32 => values.extend(blocks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
        DType::F16 => values.extend(blocks.map(half)),
        DType::BF16 => values.extend(blocks.map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())),
        DType::Q8_0 => blocks.for_each(|b| {
            let d = half(b);
            values.extend(b[2..].iter().map(|&code| f32::from(code.cast_signed()) * d));
        }),
        DType::Q4_0 => blocks.for_each(|b| {
            let d = half(b);
            values.extend(nibbles(&b[2..]).map(|code| (code - 8.0) * d));
        }),
        DType::Q4_1 => blocks.for_each(|b| {
            let (d, m) = (half(b), half(&b[2..]));
            values.extend(nibbles(&b[4..]).map(|code| code * d + m));
        }),
        _ => return None,
    }
    Some(values)
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// All low halves, then all high halves.
fn nibbles(codes: &[u8]) -> impl Iterator<Item = f32> {
    let low = codes.iter().map(|code| f32::from(code & 15));
    low.chain(codes.iter().map(|code| f32::from(code >> 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_formats_are_widened() {
        let halves: Vec<u8> = [1.5f32, -0.25].iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        assert_eq!(to_f32(DType::F16, &halves).unwrap(), [1.5, -0.25]);
        let brains: Vec<u8> = [3.0f32, -2.5].iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        assert_eq!(to_f32(DType::BF16, &brains).unwrap(), [3.0, -2.5]);
    }

    #[test]
    fn blocks_are_scaled_and_shifted() {
        let scale = f16::from_f32(0.5).to_le_bytes();
        let minimum = f16::from_f32(-1.0).to_le_bytes();
        // Code i in the low half, 15 - i in the high half.
        let codes: Vec<u8> = (0..16u8).map(|i| i | ((15 - i) << 4)).collect();

        let q4_0 = to_f32(DType::Q4_0, &[&scale[..], &codes].concat()).unwrap();
        assert_eq!((q4_0[0], q4_0[15], q4_0[16], q4_0[31]), (-4.0, 3.5, 3.5, -4.0));

        let q4_1 = to_f32(DType::Q4_1, &[&scale[..], &minimum, &codes].concat()).unwrap();
        assert_eq!((q4_1[0], q4_1[15], q4_1[16], q4_1[31]), (-1.0, 6.5, 6.5, -1.0));

        let codes: Vec<u8> = (0..32).map(|i: i8| (i - 16).cast_unsigned()).collect();
        let q8_0 = to_f32(DType::Q8_0, &[&scale[..], &codes].concat()).unwrap();
        assert_eq!((q8_0[0], q8_0[31]), (-8.0, 7.5));
    }

    #[test]
    fn formats_without_kernels_are_refused() {
        assert_eq!(to_f32(DType::Q4_K, &[0; 144]), None);
    }
}
