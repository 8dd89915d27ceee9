//! From a file's rows to the packed form.

use super::format::{Codes, PackedFormat, ROWS, VECTOR, low_bits, quants_at};
use crate::kernels::activation::{BLOCK, STEP};
use crate::weights::codebook;
use crate::weights::dequantize::{UE4M3_NAN, iq4_xs_scale, three_values};

/// Writes up to [`ROWS`] rows of a file, `row_bytes` each in the file's own blocks, into a group.
pub(super) fn pack_group(format: PackedFormat, rows: &[u8], row_bytes: usize, group: &mut [u8]) {
    let (file_block, blocks_each) = (format.dtype().block_bytes(), format.dtype().block_size() / BLOCK);
    let blocks = row_bytes / file_block * blocks_each;
    let (scales, quants) = group.split_at_mut(quants_at(format.scales(), blocks));
    for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
        for (index, file) in row.chunks_exact(file_block).enumerate() {
            for sub in 0..blocks_each {
                write_scales(format, file, index * blocks_each + sub, sub, lane, scales);
            }
        }
    }
    let quant_bytes = format.bits() * VECTOR;
    match format {
        // The bytes of the file already are what the packed form takes: they only change places.
        PackedFormat::Q4_0 | PackedFormat::IQ4_NL => copy_steps::<4>(rows, row_bytes, file_block, 2, 0, quants),
        PackedFormat::MXFP4 => copy_steps::<4>(rows, row_bytes, file_block, 1, 0, quants),
        PackedFormat::Q4_1 => copy_steps::<4>(rows, row_bytes, file_block, 4, 0, quants),
        PackedFormat::Q8_0 => copy_steps::<8>(rows, row_bytes, file_block, 2, 0x8080_8080, quants),
        PackedFormat::Q5_0
        | PackedFormat::Q5_1
        | PackedFormat::Q2_K
        | PackedFormat::Q3_K
        | PackedFormat::Q4_K
        | PackedFormat::Q5_K
        | PackedFormat::Q6_K
        | PackedFormat::IQ4_XS
        | PackedFormat::TQ1_0
        | PackedFormat::TQ2_0
        | PackedFormat::Q1_0
        | PackedFormat::Q2_0
        | PackedFormat::NVFP4
        | PackedFormat::IQ2_XXS
        | PackedFormat::IQ2_XS
        | PackedFormat::IQ2_S
        | PackedFormat::IQ3_XXS
        | PackedFormat::IQ3_S
        | PackedFormat::IQ1_S
        | PackedFormat::IQ1_M => {
            for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
                for (index, file) in row.chunks_exact(file_block).enumerate() {
                    for sub in 0..blocks_each {
                        let block = index * blocks_each + sub;
                        let quants = &mut quants[block * quant_bytes..][..quant_bytes];
                        write_codes(format, &read_quants(format, file, sub), lane, quants);
                    }
                }
            }
        }
    }
}

/// Block after block, the `STEPS` words that each row has from `skip` on: a word of each row side by side. `flip` turns
/// their bits.
fn copy_steps<const STEPS: usize>(
    rows: &[u8],
    row_bytes: usize,
    file_block: usize,
    skip: usize,
    flip: u32,
    quants: &mut [u8],
) {
    for (block, quants) in quants.chunks_exact_mut(STEPS * VECTOR).enumerate() {
        let mut words = [[0_u32; ROWS]; STEPS];
        for (lane, row) in rows.chunks_exact(row_bytes).enumerate().take(ROWS) {
            let (steps, _) = row[block * file_block + skip..][..STEPS * STEP].as_chunks::<STEP>();
            for (words, step) in words.iter_mut().zip(steps) {
                words[lane] = u32::from_ne_bytes(*step) ^ flip;
            }
        }
        quants.copy_from_slice(zerocopy::IntoBytes::as_bytes(&words));
    }
}

/// The quants of block `sub` of a file's block, without their sign: what [`super::format::Quant::OFFSET`] is taken from.
fn read_quants(format: PackedFormat, file: &[u8], sub: usize) -> [u8; BLOCK] {
    match format {
        PackedFormat::Q4_0 => nibbles(&file[2..]),
        PackedFormat::Q4_1 => nibbles(&file[4..]),
        PackedFormat::Q8_0 => std::array::from_fn(|i| file[2 + i] ^ 0x80),
        PackedFormat::Q5_0 => with_fifth_bits(nibbles(&file[6..]), &file[2..6]),
        PackedFormat::Q5_1 => with_fifth_bits(nibbles(&file[8..]), &file[4..8]),
        PackedFormat::Q4_K => half_bytes(&file[16..], sub),
        PackedFormat::Q5_K => {
            let low = half_bytes(&file[48..], sub);
            std::array::from_fn(|i| low[i] | (file[16 + i] >> sub & 1) << 4)
        }
        PackedFormat::Q6_K => {
            // 128 values to 64 bytes of low bits and 32 of high ones.
            let (chunk, part) = (sub / 4, sub % 4);
            let (low, high) = (&file[64 * chunk + 32 * (part % 2)..], &file[128 + 32 * chunk..]);
            std::array::from_fn(|i| low[i] >> (4 * (part / 2)) & 15 | (high[i] >> (2 * part) & 3) << 4)
        }
        PackedFormat::Q2_K => two_bits(&file[16..], sub),
        PackedFormat::IQ4_NL => nibbles(&file[2..]),
        PackedFormat::MXFP4 => nibbles(&file[1..]),
        PackedFormat::NVFP4 => {
            // 16 values to 8 bytes.
            let codes = &file[4 + BLOCK / 2 * sub..];
            std::array::from_fn(|i| codes[i / 16 * 8 + i % 8] >> (4 * (i / 8 % 2)) & 15)
        }
        PackedFormat::IQ2_XXS | PackedFormat::IQ2_XS | PackedFormat::IQ2_S | PackedFormat::IQ3_XXS => {
            codebook::part(format.dtype(), file, sub).codes
        }
        PackedFormat::IQ3_S | PackedFormat::IQ1_S | PackedFormat::IQ1_M => {
            codebook::part(format.dtype(), file, sub).codes
        }
        PackedFormat::IQ4_XS => nibbles(&file[8 + BLOCK / 2 * sub..]),
        PackedFormat::TQ1_0 => std::array::from_fn(|i| three_values(file, BLOCK * sub + i)),
        PackedFormat::TQ2_0 => two_bits(file, sub),
        PackedFormat::Q1_0 => std::array::from_fn(|i| file[2 + 4 * sub + i / 8] >> (i % 8) & 1),
        PackedFormat::Q2_0 => std::array::from_fn(|i| file[2 + 8 * sub + i / 4] >> (i % 4 * 2) & 3),
        PackedFormat::Q3_K => {
            let low = two_bits(&file[32..], sub);
            std::array::from_fn(|i| low[i] | (file[i] >> sub & 1) << 2)
        }
    }
}

/// The low halves of sixteen bytes, then the high ones.
fn nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| if i < BLOCK / 2 { bytes[i] & 15 } else { bytes[i - BLOCK / 2] >> 4 })
}

fn with_fifth_bits(low: [u8; BLOCK], bits: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| low[i] | (bits[i / 8] >> (i % 8) & 1) << 4)
}

/// Of Q4_K and Q5_K: 32 bytes hold two blocks, the first in their low halves.
fn half_bytes(bytes: &[u8], sub: usize) -> [u8; BLOCK] {
    std::array::from_fn(|i| bytes[BLOCK * (sub / 2) + i] >> (4 * (sub % 2)) & 15)
}

/// Of Q2_K, Q3_K and TQ2_0: 32 bytes hold four blocks.
fn two_bits(bytes: &[u8], sub: usize) -> [u8; BLOCK] {
    std::array::from_fn(|i| bytes[BLOCK * (sub / 4) + i] >> (2 * (sub % 4)) & 3)
}

/// Puts the codes of a block where the packed form has them.
fn write_codes(format: PackedFormat, codes: &[u8; BLOCK], lane: usize, packed: &mut [u8]) {
    if format.codes() == Codes::Planes {
        let (low, high) = packed.split_at_mut(VECTOR);
        write_quants(1, &codes.map(|code| code & 1), lane, low);
        write_quants(1, &codes.map(|code| code >> 1), lane, high);
    } else {
        write_quants(format.bits(), codes, lane, packed);
    }
}

/// Puts the quants of a block into the planes of a packed block; see [`super`] for which bit goes where.
fn write_quants(bits: usize, quants: &[u8; BLOCK], lane: usize, packed: &mut [u8]) {
    let low_bits = low_bits(bits);
    let word = |step: usize| u32::from_le_bytes(std::array::from_fn(|i| quants[STEP * step + i]));
    let (low, high) = packed.split_at_mut(low_bits * VECTOR);
    let put = |plane: &mut [u8], vector: usize, word: u32| {
        let at = &mut plane[vector * VECTOR + STEP * lane..][..STEP];
        let old = u32::from_le_bytes([at[0], at[1], at[2], at[3]]);
        at.copy_from_slice(&(old | word).to_le_bytes());
    };
    for step in 0..4 {
        let (first, second) = (word(step), word(4 + step));
        match low_bits {
            0 => {}
            2 => put(low, step / 2, (first & TWO | (second & TWO) << 2) << (4 * (step % 2))),
            4 => put(low, step, first & FOUR | (second & FOUR) << 4),
            _ => {
                put(low, step, first);
                put(low, 4 + step, second);
            }
        }
        let (first, second) = (first >> low_bits.min(7), second >> low_bits.min(7));
        match bits - low_bits {
            1 => put(high, 0, (first & ONE) << step | (second & ONE) << (4 + step)),
            2 => put(high, step / 2, (first & TWO | (second & TWO) << 2) << (4 * (step % 2))),
            _ => {}
        }
    }
}

/// Masks of the low bits of each byte of a word.
const ONE: u32 = 0x0101_0101;
const TWO: u32 = 0x0303_0303;
const FOUR: u32 = 0x0f0f_0f0f;

fn write_scales(format: PackedFormat, file: &[u8], block: usize, sub: usize, lane: usize, scales: &mut [u8]) {
    let (halves, bytes) = format.scales().offsets(block);
    for (index, half) in half_precision(format, file).into_iter().enumerate() {
        if let Some(half) = half {
            scales[halves + 2 * (index * ROWS + lane)..][..2].copy_from_slice(&half);
        }
    }
    for (index, byte) in block_scale_bytes(format, file, sub).into_iter().enumerate() {
        if let Some(byte) = byte {
            scales[bytes + index * ROWS + lane] = byte;
        }
    }
}

/// The half-precision numbers of a file's block: scale and minimum.
fn half_precision(format: PackedFormat, file: &[u8]) -> [Option<[u8; 2]>; 2] {
    let half = |at: usize| Some([file[at], file[at + 1]]);
    match format {
        PackedFormat::Q4_0 | PackedFormat::Q5_0 | PackedFormat::Q8_0 => [half(0), None],
        PackedFormat::IQ4_NL | PackedFormat::IQ4_XS | PackedFormat::Q1_0 | PackedFormat::Q2_0 => [half(0), None],
        PackedFormat::Q4_1 | PackedFormat::Q5_1 | PackedFormat::Q4_K | PackedFormat::Q5_K => [half(0), half(2)],
        PackedFormat::Q2_K => [half(80), half(82)],
        PackedFormat::Q3_K => [half(108), None],
        PackedFormat::Q6_K => [half(208), None],
        PackedFormat::TQ1_0 => [half(52), None],
        PackedFormat::TQ2_0 => [half(64), None],
        PackedFormat::MXFP4 | PackedFormat::NVFP4 => [None, None],
        PackedFormat::IQ2_XXS | PackedFormat::IQ2_XS | PackedFormat::IQ2_S | PackedFormat::IQ3_XXS => [half(0), None],
        PackedFormat::IQ3_S | PackedFormat::IQ1_S => [half(0), None],
        PackedFormat::IQ1_M => [Some(codebook::block_scale(format.dtype(), file)), None],
    }
}

/// What block `sub` of a file's block adds to those: a byte, or one for each half or for scale and minimum.
fn block_scale_bytes(format: PackedFormat, file: &[u8], sub: usize) -> [Option<u8>; 2] {
    let both = |[first, second]: [u8; 2]| [Some(first), Some(second)];
    match format {
        PackedFormat::Q4_K | PackedFormat::Q5_K => both(six_bit_pair(&file[4..16], sub)),
        PackedFormat::Q2_K => both([file[2 * sub], file[2 * sub + 1]]),
        PackedFormat::Q3_K => both([0, 1].map(|half| six_bits_of_q3(&file[96..108], 2 * sub + half))),
        PackedFormat::Q6_K => both([file[192 + 2 * sub], file[192 + 2 * sub + 1]]),
        PackedFormat::NVFP4 => both([0, 1].map(|half| without_sign(file[2 * sub + half]))),
        PackedFormat::MXFP4 => [Some(file[0]), None],
        PackedFormat::IQ4_XS => [Some(iq4_xs_scale(&file[2..8], sub).cast_unsigned()), None],
        PackedFormat::IQ2_XS | PackedFormat::IQ2_S | PackedFormat::IQ1_M => {
            both(codebook::part(format.dtype(), file, sub).scales)
        }
        PackedFormat::IQ2_XXS | PackedFormat::IQ3_XXS | PackedFormat::IQ3_S | PackedFormat::IQ1_S => {
            [Some(codebook::part(format.dtype(), file, sub).scales[0]), None]
        }
        PackedFormat::Q4_0 | PackedFormat::Q4_1 | PackedFormat::Q5_0 | PackedFormat::Q5_1 => [None, None],
        PackedFormat::Q8_0 | PackedFormat::IQ4_NL | PackedFormat::TQ1_0 | PackedFormat::TQ2_0 => [None, None],
        PackedFormat::Q1_0 | PackedFormat::Q2_0 => [None, None],
    }
}

/// A scale of NVFP4 without its sign, which does not count; what stands for no number is 0.
fn without_sign(scale: u8) -> u8 {
    if scale == UE4M3_NAN { 0 } else { scale & 127 }
}

/// Scale and minimum of block `sub` of Q4_K or Q5_K, six bits each.
fn six_bit_pair(packed: &[u8], sub: usize) -> [u8; 2] {
    if sub < 4 {
        return [packed[sub] & 63, packed[sub + 4] & 63];
    }
    let (both, high) = (packed[sub + 4], sub - 4);
    [both & 15 | packed[high] >> 6 << 4, both >> 4 | packed[sub] >> 6 << 4]
}

/// Scale `index` of Q3_K, a signed number of six bits.
fn six_bits_of_q3(packed: &[u8], index: usize) -> u8 {
    let low = packed[index % 8] >> (4 * (index / 8)) & 15;
    let high = packed[8 + index % 4] >> (2 * (index / 4)) & 3;
    ((low | high << 4) as i8 - 32) as u8
}
