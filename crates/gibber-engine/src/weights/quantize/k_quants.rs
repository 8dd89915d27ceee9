//! The K-quants: what the search found, in the places where the sibling `dequantize` looks for it.

use super::search::{MAX_SUBS, SUPER_BLOCK, Symmetric, WithMinimums, symmetric, with_minimums};
use crate::weights::DType;

/// Codes that are written to one stretch of bytes: low bits first, then the next ones of the same bytes.
const STRETCH: usize = 32;

/// Packs a block; `out` is as long as a block of `dtype`.
pub(super) fn pack(dtype: DType, x: &[f32; SUPER_BLOCK], out: &mut [u8]) {
    out.fill(0);
    match dtype {
        DType::Q2_K => q2_k(&with_minimums::<16>(x, 3, 15), out),
        DType::Q3_K => q3_k(&symmetric::<16>(x, (-4, 3), (-32, 31)), out),
        DType::Q4_K => q4_k(&with_minimums::<32>(x, 15, 63), out),
        DType::Q5_K => q5_k(&with_minimums::<32>(x, 31, 63), out),
        DType::Q6_K => q6_k(&symmetric::<16>(x, (-32, 31), (-128, 127)), out),
        _ => unreachable!("{dtype} is no K-quant"),
    }
}

fn q2_k(block: &WithMinimums, out: &mut [u8]) {
    for (j, out) in out[..MAX_SUBS].iter_mut().enumerate() {
        *out = block.scales[j] | block.minimums[j] << 4;
    }
    put_two_bits(&block.codes, &mut out[16..80]);
    out[80..82].copy_from_slice(&block.d.to_le_bytes());
    out[82..84].copy_from_slice(&block.dmin.to_le_bytes());
}

fn q3_k(block: &Symmetric, out: &mut [u8]) {
    let codes = block.codes.map(|code| (code + 4).cast_unsigned());
    put_one_bit(&codes.map(|code| code >> 2), &mut out[..32]);
    put_two_bits(&codes.map(|code| code & 3), &mut out[32..96]);
    for (j, scale) in block.scales.iter().enumerate() {
        let scale = (scale + 32).cast_unsigned();
        out[96 + j % 8] |= (scale & 15) << (j / 8 * 4);
        out[104 + j % 4] |= scale >> 4 << (j / 4 * 2);
    }
    out[108..110].copy_from_slice(&block.d.to_le_bytes());
}

fn q4_k(block: &WithMinimums, out: &mut [u8]) {
    put_f16_and_scales(block, &mut out[..16]);
    put_four_bits(&block.codes, &mut out[16..]);
}

fn q5_k(block: &WithMinimums, out: &mut [u8]) {
    put_f16_and_scales(block, &mut out[..16]);
    put_one_bit(&block.codes.map(|code| code >> 4), &mut out[16..48]);
    put_four_bits(&block.codes.map(|code| code & 15), &mut out[48..]);
}

fn q6_k(block: &Symmetric, out: &mut [u8]) {
    let codes = block.codes.map(|code| (code + 32).cast_unsigned());
    for (i, code) in codes.iter().enumerate() {
        let (part, within) = (i / 128, i % 128);
        out[64 * part + within % 64] |= (code & 15) << (within / 64 * 4);
    }
    put_two_bits(&codes.map(|code| code >> 4), &mut out[128..192]);
    for (out, scale) in out[192..208].iter_mut().zip(block.scales) {
        *out = scale.cast_unsigned();
    }
    out[208..210].copy_from_slice(&block.d.to_le_bytes());
}

/// `d`, `dmin`, then 8 scales and 8 minimums of six bits: those of the first 4 sub-blocks in a byte each, those of the
/// others in the last 4 bytes and the upper two bits of the first 8.
fn put_f16_and_scales(block: &WithMinimums, out: &mut [u8]) {
    out[..2].copy_from_slice(&block.d.to_le_bytes());
    out[2..4].copy_from_slice(&block.dmin.to_le_bytes());
    let packed = &mut out[4..16];
    for j in 0..4 {
        let (scale, minimum) = (block.scales[j + 4], block.minimums[j + 4]);
        packed[j] = block.scales[j] | scale >> 4 << 6;
        packed[j + 4] = block.minimums[j] | minimum >> 4 << 6;
        packed[j + 8] = scale & 15 | minimum << 4;
    }
}

fn put_two_bits(codes: &[u8; SUPER_BLOCK], out: &mut [u8]) {
    for (i, code) in codes.iter().enumerate() {
        out[i / 128 * STRETCH + i % STRETCH] |= code << (i % 128 / STRETCH * 2);
    }
}

fn put_four_bits(codes: &[u8; SUPER_BLOCK], out: &mut [u8]) {
    for (i, code) in codes.iter().enumerate() {
        out[i / 64 * STRETCH + i % STRETCH] |= code << (i % 64 / STRETCH * 4);
    }
}

fn put_one_bit(bits: &[u8; SUPER_BLOCK], out: &mut [u8]) {
    for (i, bit) in bits.iter().enumerate() {
        out[i % STRETCH] |= bit << (i / STRETCH);
    }
}
