//! Floats to blocks, the reverse of the sibling `dequantize`, which has the layouts.
//!
//! Blocks of 32 values are rounded exactly as ggml's reference does it (`quantize_row_q4_0_ref` and its siblings in
//! `ggml-quants.c`), so that the same floats give the same file everywhere. For the K-quants, scales and minimums are
//! searched for (the sibling module `search`).

mod k_quants;
mod low_bits;
mod search;

use half::{bf16, f16};

use super::DType;

/// Values in a block of the formats that are not K-quants.
const BLOCK: usize = 32;

/// Whether floats can be packed into this format: it is computed with, needs no search through a codebook,
/// and no second scale beside the tensor.
pub const fn is_written(dtype: DType) -> bool {
    use DType::*;
    match dtype {
        F32 | F16 | BF16 | Q8_0 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q2_K | Q3_K | Q4_K | Q5_K | Q6_K => true,
        IQ4_NL | IQ4_XS | TQ1_0 | TQ2_0 | MXFP4 | Q1_0 | Q2_0 => true,
        Q8_1 | Q8_K | NVFP4 | IQ2_XXS | IQ2_XS | IQ2_S | IQ3_XXS | IQ3_S | IQ1_S | IQ1_M => false,
        F64 | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64 | Bool | F8_E4M3 | F8_E5M2 => false,
    }
}

/// Packs `values`, whole blocks of finite floats, into `out`; `None` for a format that cannot be written, or where a
/// length does not fit.
pub fn from_f32(dtype: DType, values: &[f32], out: &mut [u8]) -> Option<()> {
    if !is_written(dtype) || dtype.bytes_of(&[values.len()]) != Some(out.len()) {
        return None;
    }
    let blocks = values.chunks_exact(dtype.block_size()).zip(out.chunks_exact_mut(dtype.block_bytes()));
    match dtype {
        DType::F32 => blocks.for_each(|(x, out)| out.copy_from_slice(&x[0].to_le_bytes())),
        DType::F16 => blocks.for_each(|(x, out)| out.copy_from_slice(&f16::from_f32(x[0]).to_le_bytes())),
        DType::BF16 => blocks.for_each(|(x, out)| out.copy_from_slice(&bf16::from_f32(x[0]).to_le_bytes())),
        DType::Q8_0 => blocks.for_each(|(x, out)| q8_0(x, out)),
        DType::Q4_0 => blocks.for_each(|(x, out)| {
            let (scale, codes) = by_largest(x, 8);
            out[..2].copy_from_slice(&scale);
            put_nibbles(&codes, &mut out[2..]);
        }),
        DType::Q4_1 => blocks.for_each(|(x, out)| {
            let (scale, minimum, codes) = by_range(x, 15);
            out[..2].copy_from_slice(&scale);
            out[2..4].copy_from_slice(&minimum);
            put_nibbles(&codes, &mut out[4..]);
        }),
        DType::Q5_0 => blocks.for_each(|(x, out)| {
            let (scale, codes) = by_largest(x, 16);
            out[..2].copy_from_slice(&scale);
            put_fifth_bits(&codes, &mut out[2..6]);
            put_nibbles(&codes, &mut out[6..]);
        }),
        DType::Q5_1 => blocks.for_each(|(x, out)| {
            let (scale, minimum, codes) = by_range(x, 31);
            out[..2].copy_from_slice(&scale);
            out[2..4].copy_from_slice(&minimum);
            put_fifth_bits(&codes, &mut out[4..8]);
            put_nibbles(&codes, &mut out[8..]);
        }),
        _ => {
            for (x, out) in blocks {
                if low_bits::pack(dtype, x, out).is_none() {
                    k_quants::pack(dtype, x.first_chunk()?, out);
                }
            }
        }
    }
    Some(())
}

/// The largest magnitude becomes 127.
fn q8_0(x: &[f32], out: &mut [u8]) {
    let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = inverse(scale);
    out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (out, x) in out[2..].iter_mut().zip(x) {
        *out = ((x * inverse).round() as i8).cast_unsigned();
    }
}

/// Scale and codes from 0 to `2 * half - 1`, of which `half` stands for 0: the value of the largest magnitude (the first
/// of several) becomes code 0.
fn by_largest(x: &[f32], half: u8) -> ([u8; 2], [u8; BLOCK]) {
    let largest = x.iter().fold(0.0f32, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
    let half = f32::from(half);
    let scale = largest / -half;
    let inverse = inverse(scale);
    let mut codes = [0; BLOCK];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = ((x * inverse + (half + 0.5)) as u8).min(2 * half as u8 - 1);
    }
    (f16::from_f32(scale).to_le_bytes(), codes)
}

/// Scale, minimum and codes from 0 (the smallest value) to `most` (the largest).
fn by_range(x: &[f32], most: u8) -> ([u8; 2], [u8; 2], [u8; BLOCK]) {
    let (least, largest) =
        x.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, largest), &x| (least.min(x), largest.max(x)));
    let scale = (largest - least) / f32::from(most);
    let inverse = inverse(scale);
    let mut codes = [0; BLOCK];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = (((x - least) * inverse + 0.5) as u8).min(most);
    }
    (f16::from_f32(scale).to_le_bytes(), f16::from_f32(least).to_le_bytes(), codes)
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// The first 16 codes in the low halves, the last 16 in the high ones; only their lowest four bits.
fn put_nibbles(codes: &[u8; BLOCK], out: &mut [u8]) {
    let (low, high) = codes.split_at(BLOCK / 2);
    for (out, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
        *out = low & 15 | high << 4;
    }
}

/// The fifth bits, in the order of the values.
fn put_fifth_bits(codes: &[u8; BLOCK], out: &mut [u8]) {
    let bits = codes.iter().enumerate().fold(0u32, |bits, (i, code)| bits | u32::from(code >> 4 & 1) << i);
    out.copy_from_slice(&bits.to_le_bytes());
}

#[cfg(test)]
mod tests;
