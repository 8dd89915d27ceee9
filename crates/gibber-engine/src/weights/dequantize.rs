//! Stored values to floats, the plain way: the reference that the kernels are tested against.
//!
//! The layouts are ggml's (`ggml-common.h`, and `ggml-quants.c` for the order of the codes). A block of 32 values is a
//! half-precision scale `d`, for some a minimum `m`, then the codes; of 4-bit codes the low halves of the bytes are the
//! first 16 values, the high halves the last 16, and a fifth bit stands in a word of 32 bits, one a value. A block of 256
//! values (a K-quant) has a scale, for some a minimum, of a few bits for each 16 or 32 of its values, and one or two
//! halves that those are multiplied by.

use half::{bf16, f16};

use super::{DType, codebook};

/// Values in a block of a K-quant.
const SUPER_BLOCK: usize = 256;
/// Codes that are read from one stretch of bytes: low bits first, then the next ones of the same bytes.
const STRETCH: usize = 32;

/// What the codes of IQ4_NL and IQ4_XS stand for: steps that grow with their distance from 0 (`kvalues_iq4nl` in ggml).
pub(crate) const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice what the codes of MXFP4 stand for, floats with two bits of exponent and one of mantissa (E2M1, `kvalues_mxfp4` in
/// ggml): doubled they are whole numbers.
pub(crate) const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The values of `bytes`; `None` for a format that is only a name here.
pub fn to_f32(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
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
            values.extend(nibbles(&b[2..]).map(|code| (f32::from(code) - 8.0) * d));
        }),
        DType::Q4_1 => blocks.for_each(|b| {
            let (d, m) = (half(b), half(&b[2..]));
            values.extend(nibbles(&b[4..]).map(|code| f32::from(code) * d + m));
        }),
        DType::Q5_0 => blocks.for_each(|b| {
            let d = half(b);
            values.extend(five_bits(&b[2..6], &b[6..]).map(|code| (f32::from(code) - 16.0) * d));
        }),
        DType::Q5_1 => blocks.for_each(|b| {
            let (d, m) = (half(b), half(&b[2..]));
            values.extend(five_bits(&b[4..8], &b[8..]).map(|code| f32::from(code) * d + m));
        }),
        DType::Q2_K => blocks.for_each(|b| q2_k(b, &mut values)),
        DType::Q3_K => blocks.for_each(|b| q3_k(b, &mut values)),
        DType::Q4_K => blocks.for_each(|b| q4_k(b, &mut values)),
        DType::Q5_K => blocks.for_each(|b| q5_k(b, &mut values)),
        DType::Q6_K => blocks.for_each(|b| q6_k(b, &mut values)),
        DType::IQ4_NL => blocks.for_each(|b| {
            let d = half(b);
            values.extend(nibbles(&b[2..]).map(|code| f32::from(IQ4_VALUES[usize::from(code)]) * d));
        }),
        DType::IQ4_XS => blocks.for_each(|b| iq4_xs(b, &mut values)),
        DType::TQ1_0 => blocks.for_each(|b| {
            let d = half(&b[52..]);
            values.extend((0..SUPER_BLOCK).map(|i| (f32::from(three_values(b, i)) - 1.0) * d));
        }),
        DType::TQ2_0 => blocks.for_each(|b| {
            let d = half(&b[64..]);
            values.extend((0..SUPER_BLOCK).map(|i| (f32::from(two_bits(b, i)) - 1.0) * d));
        }),
        DType::Q1_0 => blocks.for_each(|b| {
            let d = half(b);
            values.extend((0..128).map(|i| if b[2 + i / 8] >> (i % 8) & 1 == 1 { d } else { -d }));
        }),
        DType::Q2_0 => blocks.for_each(|b| {
            let d = half(b);
            values.extend((0..64).map(|i| (f32::from(b[2 + i / 4] >> (i % 4 * 2) & 3) - 1.0) * d));
        }),
        DType::MXFP4 => blocks.for_each(|b| {
            let d = half_power_of_two(b[0]);
            values.extend(nibbles(&b[1..]).map(|code| f32::from(E2M1_DOUBLED[usize::from(code)]) * d));
        }),
        DType::NVFP4 => blocks.for_each(|b| nvfp4(b, &mut values)),
        DType::IQ1_S | DType::IQ1_M | DType::IQ3_XXS | DType::IQ3_S => codebook::to_f32(dtype, blocks, &mut values)?,
        DType::IQ2_XXS | DType::IQ2_XS | DType::IQ2_S => codebook::to_f32(dtype, blocks, &mut values)?,
        _ => return None,
    }
    Some(values)
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Half of the power of two that a scale of MXFP4 stands for (E8M0: an exponent with a bias of 127): 2^(exponent - 128),
/// the least two of which are subnormal numbers.
pub(super) fn half_power_of_two(exponent: u8) -> f32 {
    match exponent {
        0 | 1 => f32::from_bits(0x0020_0000 << exponent),
        _ => f32::from_bits(u32::from(exponent - 1) << 23),
    }
}

/// Four scales, each for 16 values whose codes are the next 8 bytes: low halves, then high ones.
fn nvfp4(block: &[u8], values: &mut Vec<f32>) {
    let (scales, codes) = block.split_at(4);
    for (&scale, codes) in scales.iter().zip(codes.chunks_exact(8)) {
        let d = half_of_ue4m3(scale);
        values.extend(nibbles(codes).map(|code| f32::from(E2M1_DOUBLED[usize::from(code)]) * d));
    }
}

/// Half of what a scale of NVFP4 stands for: a float with four bits of exponent and three of mantissa (E4M3). Its sign does
/// not count, and what stands for no number is 0.
fn half_of_ue4m3(byte: u8) -> f32 {
    if byte == UE4M3_NAN {
        return 0.0;
    }
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    match exponent {
        0 => mantissa * 2f32.powi(-10),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 8),
    }
}

/// The scale of NVFP4 that is no number.
pub(crate) const UE4M3_NAN: u8 = 0x7f;

/// All low halves, then all high halves.
fn nibbles(codes: &[u8]) -> impl Iterator<Item = u8> {
    codes.iter().map(|code| code & 15).chain(codes.iter().map(|code| code >> 4))
}

/// The codes of [`nibbles`] with a fifth bit each, which the 4 bytes of `high` have in the order of the values.
fn five_bits(high: &[u8], codes: &[u8]) -> impl Iterator<Item = u8> {
    nibbles(codes).enumerate().map(|(i, code)| code | (high[i / 8] >> (i % 8) & 1) << 4)
}

/// `scales` (16 bytes: a scale of 4 bits, a minimum of 4 bits, each for 16 values), 2-bit codes (64 bytes), `d`, `dmin`.
fn q2_k(block: &[u8], values: &mut Vec<f32>) {
    let (scales, codes) = block[..80].split_at(16);
    let (d, dmin) = (half(&block[80..]), half(&block[82..]));
    for i in 0..SUPER_BLOCK {
        let (scale, minimum) = (d * f32::from(scales[i / 16] & 15), dmin * f32::from(scales[i / 16] >> 4));
        values.push(scale * f32::from(two_bits(codes, i)) - minimum);
    }
}

/// The third bits of the codes (32 bytes), 2-bit codes (64 bytes), 16 scales of 6 bits (12 bytes), `d`.
fn q3_k(block: &[u8], values: &mut Vec<f32>) {
    let (high, codes, scales, d) = (&block[..32], &block[32..96], &block[96..108], half(&block[108..]));
    for i in 0..SUPER_BLOCK {
        let code = two_bits(codes, i) | one_bit(high, i) << 2;
        let scale = d * f32::from(q3_k_scale(scales, i / 16));
        values.push(scale * (f32::from(code) - 4.0));
    }
}

/// Scale `j` of 16: four bits in the first 8 bytes, low halves before high ones, two bits in the last 4 bytes.
fn q3_k_scale(scales: &[u8], j: usize) -> i8 {
    let low = scales[j % 8] >> (j / 8 * 4) & 15;
    let high = scales[8 + j % 4] >> (j / 4 * 2) & 3;
    (low | high << 4).cast_signed() - 32
}

/// `d`, `dmin`, 8 scales and 8 minimums of 6 bits (12 bytes), 4-bit codes (128 bytes).
fn q4_k(block: &[u8], values: &mut Vec<f32>) {
    let (d, dmin, scales, codes) = (half(block), half(&block[2..]), &block[4..16], &block[16..]);
    for i in 0..SUPER_BLOCK {
        let (scale, minimum) = scale_and_minimum(scales, i / STRETCH);
        values.push(d * f32::from(scale) * f32::from(four_bits(codes, i)) - dmin * f32::from(minimum));
    }
}

/// As [`q4_k`], with the fifth bits of the codes (32 bytes) before the others.
fn q5_k(block: &[u8], values: &mut Vec<f32>) {
    let (d, dmin, scales) = (half(block), half(&block[2..]), &block[4..16]);
    let (high, codes) = block[16..].split_at(32);
    for i in 0..SUPER_BLOCK {
        let (scale, minimum) = scale_and_minimum(scales, i / STRETCH);
        let code = four_bits(codes, i) | one_bit(high, i) << 4;
        values.push(d * f32::from(scale) * f32::from(code) - dmin * f32::from(minimum));
    }
}

/// Scale and minimum `j` of 8: the first 4 have six bits of a byte each, the others four bits in the last 4 bytes and
/// two bits over those six.
fn scale_and_minimum(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        return (packed[j] & 63, packed[j + 4] & 63);
    }
    let scale = packed[j + 4] & 15 | packed[j - 4] >> 6 << 4;
    let minimum = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    (scale, minimum)
}

/// The low four bits of the codes (128 bytes), their high two (64 bytes), 16 signed scales (16 bytes), `d`.
fn q6_k(block: &[u8], values: &mut Vec<f32>) {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half(&block[208..]));
    for i in 0..SUPER_BLOCK {
        // Of each 128 values, 64 bytes have the first half of them in their low bits, the other in their high ones.
        let (part, within) = (i / 128, i % 128);
        let nibble = low[64 * part + within % 64] >> (within / 64 * 4) & 15;
        let code = nibble | two_bits(high, i) << 4;
        values.push(d * f32::from(scales[i / 16].cast_signed()) * (f32::from(code) - 32.0));
    }
}

/// `d`, the high two bits of 8 scales (2 bytes), their low four (4 bytes), codes as those of IQ4_NL (128 bytes).
fn iq4_xs(block: &[u8], values: &mut Vec<f32>) {
    let (d, scales, codes) = (half(block), &block[2..8], &block[8..]);
    for (part, codes) in codes.chunks_exact(STRETCH / 2).enumerate() {
        let scale = d * f32::from(iq4_xs_scale(scales, part));
        values.extend(nibbles(codes).map(|code| scale * f32::from(IQ4_VALUES[usize::from(code)])));
    }
}

/// Scale `part` of 8: two bits of each in the first 2 bytes, four in the last 4.
pub(crate) fn iq4_xs_scale(scales: &[u8], part: usize) -> i8 {
    let low = scales[2 + part / 2] >> (part % 2 * 4) & 15;
    let high = scales[part / 4] >> (part % 4 * 2) & 3;
    (low | high << 4).cast_signed() - 32
}

/// Value `i` of a block of TQ1_0, 0 to 2: a byte has five digits to the base of 3 (of the last four bytes: four), as a
/// fraction of 256 that is rounded up, so that each is read by multiplying. 160 values lie in 32 bytes, 80 in 16, 16 in 4:
/// in each, the first digits of all bytes stand before the second ones.
pub(crate) fn three_values(block: &[u8], i: usize) -> u8 {
    let (digit, at) = match i {
        0..160 => (i / 32, i % 32),
        160..240 => ((i - 160) / 16, 32 + (i - 160) % 16),
        _ => ((i - 240) / 4, 48 + (i - 240) % 4),
    };
    let shifted = block[at].wrapping_mul([1, 3, 9, 27, 81][digit]);
    // Below 3 · 256.
    ((u16::from(shifted) * 3) >> 8) as u8
}

/// Code `i`: of each 128, 32 bytes have the first 32 in their lowest bits, and so on upwards.
fn two_bits(codes: &[u8], i: usize) -> u8 {
    codes[i / 128 * STRETCH + i % STRETCH] >> (i % 128 / STRETCH * 2) & 3
}

/// Code `i`: of each 64, 32 bytes have the first 32 in their low halves.
fn four_bits(codes: &[u8], i: usize) -> u8 {
    codes[i / 64 * STRETCH + i % STRETCH] >> (i % 64 / STRETCH * 4) & 15
}

/// Bit `i` of 256: 32 bytes have the first 32 in their lowest bit, and so on upwards.
fn one_bit(bits: &[u8], i: usize) -> u8 {
    bits[i % STRETCH] >> (i / STRETCH) & 1
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Storage, Tensor, safetensors};
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
    fn formats_that_are_only_names_are_refused() {
        assert_eq!(to_f32(DType::Q8_K, &[0; 292]), None);
    }

    #[test]
    fn every_format_that_is_computed_with_is_read_as_the_package_gguf_reads_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/blocks.safetensors");
        let storage = Storage::open(Path::new(path)).unwrap();
        let tensors = safetensors::parse(Path::new(path), &storage).unwrap();
        let bytes = |name: String| tensors.iter().find(|tensor| tensor.name() == name).map(Tensor::bytes);
        let plain = [DType::F32, DType::F16, DType::BF16];
        for dtype in DType::computable().filter(|dtype| !plain.contains(dtype)) {
            let blocks = bytes(format!("{dtype}.blocks")).unwrap_or_else(|| panic!("no blocks of {dtype}"));
            let expected = to_f32(DType::F32, bytes(format!("{dtype}.values")).unwrap()).unwrap();
            assert_eq!(to_f32(dtype, blocks).unwrap(), expected, "{dtype}");
        }
    }
}
