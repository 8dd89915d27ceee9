//! A packed block taken apart: its quants as bytes, its scales as floats. What the plain kernels compute with, and what the
//! products of many tokens prepare once for all of them.
#![allow(unsafe_code)]

use super::PackedFormat;
use super::format::{Codes, ROWS, Scales, VECTOR, low_bits, quants_at};
use crate::kernels::activation::{STEP, STEPS};
use crate::kernels::vector::{compiled_per_isa, fma};

/// Four columns of sixteen rows: a word a row, its lowest byte the first column.
pub(in crate::kernels) type Step = [u32; ROWS];
/// A value for each row.
pub(in crate::kernels) type Lanes = [f32; ROWS];

/// Scale and minimum of the rows of a block, for its first sixteen columns and its last: `weight = scale · (q - offset) +
/// minimum`.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockScales {
    pub(super) scales: [Lanes; 2],
    pub(super) minimums: [Lanes; 2],
}

#[inline(always)]
fn halves(bytes: &[u8]) -> Lanes {
    std::array::from_fn(|lane| widen(u16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]])))
}

/// A half-precision number as a float, in steps that the compiler does for all lanes at once: moved into a float's place,
/// the exponent is 112 too small, also where the number is subnormal.
#[inline(always)]
fn widen(half: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = u32::from(half & 0x7fff) << 13;
    let finite = (f32::from_bits(magnitude) * TWO_TO_112).to_bits();
    let bits = if magnitude >= 0x7c00 << 13 { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(bits | u32::from(half & 0x8000) << 16)
}

#[inline(always)]
fn bytes_at(bytes: &[u8], value: impl Fn(u8) -> f32) -> Lanes {
    std::array::from_fn(|lane| value(bytes[lane]))
}

#[inline(always)]
fn times(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|lane| a[lane] * b[lane])
}

#[inline(always)]
fn negative(a: Lanes) -> Lanes {
    a.map(|a| -a)
}

/// The scales of block `block`, read from those of its group.
#[inline(always)]
pub(super) fn block_scales(kind: Scales, scales: &[u8], block: usize) -> BlockScales {
    let (half_at, bytes_from) = kind.offsets(block);
    let first_half = || halves(&scales[half_at..]);
    let second_half = || halves(&scales[half_at + 2 * ROWS..]);
    let (first, second) = (&scales[bytes_from..], &scales[(bytes_from + ROWS).min(scales.len() - ROWS)..]);
    let zero = [0.0; ROWS];
    match kind {
        Scales::Half(_) => BlockScales { scales: [first_half(); 2], minimums: [zero; 2] },
        Scales::F16Minimum => BlockScales { scales: [first_half(); 2], minimums: [second_half(); 2] },
        Scales::SuperMinimum => BlockScales {
            scales: [times(first_half(), bytes_at(first, f32::from)); 2],
            minimums: [negative(times(second_half(), bytes_at(second, f32::from))); 2],
        },
        Scales::Super(divisor) => {
            let scale = divided(first_half(), divisor);
            BlockScales { scales: [times(scale, bytes_at(first, signed)); 2], minimums: [zero; 2] }
        }
        Scales::SuperHalves(divisor) => {
            let scale = divided(first_half(), divisor);
            let scales = [first, second].map(|bytes| times(scale, bytes_at(bytes, signed)));
            BlockScales { scales, minimums: [zero; 2] }
        }
        Scales::SuperHalvesMinimum => {
            let (scale, minimum) = (first_half(), second_half());
            BlockScales {
                scales: [first, second].map(|bytes| times(scale, bytes_at(bytes, |b| f32::from(b & 15)))),
                minimums: [first, second].map(|bytes| negative(times(minimum, bytes_at(bytes, |b| f32::from(b >> 4))))),
            }
        }
        Scales::Exponent => BlockScales { scales: [bytes_at(first, half_power_of_two); 2], minimums: [zero; 2] },
        Scales::Float8Halves => {
            BlockScales { scales: [first, second].map(|bytes| bytes_at(bytes, half_of_float8)), minimums: [zero; 2] }
        }
    }
}

/// By a power of two, so that nothing is lost.
#[inline(always)]
fn divided(a: Lanes, divisor: u8) -> Lanes {
    a.map(|a| a * f32::from(divisor).recip())
}

/// Half of a float of eight bits (E4M3): moved into a float's place, the exponent is 120 too small, also where the number is
/// subnormal.
#[inline(always)]
fn half_of_float8(byte: u8) -> f32 {
    f32::from_bits(u32::from(byte) << 20) * HALF_OF_TWO_TO_120
}

pub(super) const HALF_OF_TWO_TO_120: f32 = f32::from_bits((127 + 119) << 23);

fn signed(byte: u8) -> f32 {
    f32::from(byte as i8)
}

/// 2^(exponent - 128), as the product of two numbers in the middle of the range: the least two are subnormal, which no
/// number is whose bits are only the exponent.
#[inline(always)]
fn half_power_of_two(exponent: u8) -> f32 {
    let power = |exponent: u32| f32::from_bits((exponent + 63) << 23);
    let exponent = u32::from(exponent);
    power(exponent / 2) * power(exponent.div_ceil(2))
}

/// The quants of a packed block, a byte each, in the order of their columns.
#[inline(always)]
pub(super) fn expand_block(format: PackedFormat, codes: &[u8]) -> [Step; STEPS] {
    let mut steps = match format.codes() {
        Codes::Planes => expand_planes(codes),
        Codes::Numbers | Codes::Doubled | Codes::Table(..) => expand_codes(format.bits(), codes),
    };
    match format.codes() {
        Codes::Numbers | Codes::Planes => {}
        Codes::Doubled => steps.as_flattened_mut().iter_mut().for_each(|word| *word <<= 1),
        Codes::Table(table, _) => steps.as_flattened_mut().iter_mut().for_each(|word| {
            *word = u32::from_le_bytes(word.to_le_bytes().map(|code| table[usize::from(code & 15)]));
        }),
    }
    steps
}

/// Codes whose two bits lie in planes of one bit.
#[inline(always)]
fn expand_planes(codes: &[u8]) -> [Step; STEPS] {
    let (low, high) = codes.split_at(VECTOR);
    let (mut steps, high) = (expand_codes(1, low), expand_codes(1, high));
    for (word, high) in steps.as_flattened_mut().iter_mut().zip(high.as_flattened()) {
        *word |= high << 1;
    }
    steps
}

/// The codes of a packed block, a byte each, in the order of their columns.
#[inline(always)]
fn expand_codes(bits: usize, codes: &[u8]) -> [Step; STEPS] {
    let low_bits = low_bits(bits);
    let (low, high) = codes.split_at(low_bits * VECTOR);
    let mut out = [[0; ROWS]; STEPS];
    for step in 0..STEPS / 2 {
        // Two steps lie in one vector of the planes of two bits.
        let odd = 4 * (step as u32 % 2);
        let (first, second) = match low_bits {
            2 => ((step / 2, odd), (step / 2, odd + 2)),
            4 => ((step, 0), (step, 4)),
            _ => ((step, 0), (4 + step, 0)),
        };
        if low_bits > 0 {
            add_plane(&mut out[step], low, first, low_bits, 0);
            add_plane(&mut out[STEPS / 2 + step], low, second, low_bits, 0);
        }
        let (first, second) = match bits - low_bits {
            1 => ((0, step as u32), (0, 4 + step as u32)),
            2 => ((step / 2, odd), (step / 2, odd + 2)),
            _ => continue,
        };
        add_plane(&mut out[step], high, first, bits - low_bits, low_bits as u32);
        add_plane(&mut out[STEPS / 2 + step], high, second, bits - low_bits, low_bits as u32);
    }
    out
}

/// Adds `bits` bits of each byte of a plane, those from `shift` on in its vector `vector`, to `step` at bit `place`.
#[inline(always)]
fn add_plane(step: &mut Step, plane: &[u8], (vector, shift): (usize, u32), bits: usize, place: u32) {
    let mask = 0x0101_0101 * ((1_u32 << bits) - 1);
    let (words, _) = plane[vector * VECTOR..][..VECTOR].as_chunks::<STEP>();
    for (step, word) in step.iter_mut().zip(words) {
        *step |= (u32::from_le_bytes(*word) >> shift & mask) << place;
    }
}

/// A group of rows prepared for products with many tokens, whatever its format was.
#[derive(Debug, Default)]
pub(in crate::kernels) struct Panel {
    /// `(k / 4)`: the quants, as bytes without a sign.
    pub(in crate::kernels) steps: Vec<Step>,
    /// `(blocks)`, or `(blocks, 2)` where the halves of a block differ: the scales.
    pub(in crate::kernels) scales: Vec<Lanes>,
    /// As `scales`: what is added for each unit of activation, the offset of the quants counted in.
    pub(in crate::kernels) minimums: Vec<Lanes>,
}

#[inline(always)]
fn panel_body<const FMA: bool>(format: PackedFormat, group: &[u8], blocks: usize, panel: &mut Panel) {
    let (scales, quants) = group.split_at(quants_at(format.scales(), blocks));
    panel.steps.clear();
    panel.scales.clear();
    panel.minimums.clear();
    let each = if format.scales().has_halves() { 2 } else { 1 };
    for (block, quants) in quants.chunks_exact(format.bits() * VECTOR).enumerate() {
        panel.steps.extend_from_slice(&expand_block(format, quants));
        let BlockScales { scales, minimums } = block_scales(format.scales(), scales, block);
        for (scales, minimums) in scales.into_iter().zip(minimums).take(each) {
            panel.scales.push(scales);
            let with_offset = |lane: usize| minimums[lane] - format.offset() as f32 * scales[lane];
            panel.minimums.push(std::array::from_fn(with_offset));
        }
    }
}

compiled_per_isa! {
    /// Prepares a group of `blocks` blocks.
    pub(super) fn prepare_panel(format: PackedFormat, group: &[u8], blocks: usize, panel: &mut Panel) = panel_body
}

#[inline(always)]
fn columns_body<const FMA: bool>(panel: &Panel, at: usize, width: usize, out: &mut [f32]) {
    let steps_each = panel.steps.len() / panel.scales.len().max(1);
    let scales = panel.scales.iter().zip(&panel.minimums);
    for ((steps, (scales, minimums)), out) in
        panel.steps.chunks_exact(steps_each.max(1)).zip(scales).zip(out.chunks_mut(steps_each.max(1) * STEP * width))
    {
        for (step, out) in steps.iter().zip(out.chunks_mut(STEP * width)) {
            for (column, out) in out.chunks_mut(width).enumerate() {
                let Some(out) = out[at..].first_chunk_mut::<ROWS>() else { return };
                for lane in 0..ROWS {
                    let quant = (step[lane] >> (8 * column) & 255) as i32 as f32;
                    out[lane] = fma::<FMA>(quant, scales[lane], minimums[lane]);
                }
            }
        }
    }
}

compiled_per_isa! {
    /// The rows of a prepared group as floats: the columns `at..` of `out`, which is `(k, width)`.
    pub(super) fn unpack_columns(panel: &Panel, at: usize, width: usize, out: &mut [f32]) = columns_body
}
