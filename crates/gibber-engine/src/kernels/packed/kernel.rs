//! What the kernels for instruction sets have in common, written once over [`Registers`]: how a packed block is taken apart in
//! registers, and what becomes of its products.
#![allow(unsafe_code)]

use super::expand::HALF_OF_TWO_TO_120;
use super::format::{Codes, Quant, ROWS, Scales, VECTOR, low_bits, quants_at};
use crate::kernels::activation::{BLOCK, Block, STEP, STEPS};
use crate::kernels::registers::{Registers, prefetch};

/// How an instruction set multiplies the quants of a block, which is where they differ.
pub(super) trait Multiplier: Registers {
    /// How far ahead of the multiplication weights are fetched into the cache, in bytes: the processor's own prefetcher
    /// stops at each page.
    const PREFETCH_BYTES: usize;
    /// Whether bytes are multiplied as numbers with a sign: quants of eight bits are 128 less then.
    const SIGNED: bool;

    /// The whole-number products of a block, of `T` tokens and `R` registers of rows: for the first sixteen columns and
    /// for the last where those have scales of their own, otherwise all in the first.
    ///
    /// # Safety
    /// As [`take_step`], for each of the registers.
    unsafe fn products<F: Quant, const T: usize, const R: usize>(
        self,
        quants: *const u8,
        x: [&Block; T],
    ) -> [[[Self::Integers; R]; T]; 2];
}

/// `T` tokens times the rows in `R` registers of a group, from row `row` on. What a token gets does not depend on `T` or
/// `R`.
///
/// # Safety
/// The group has as many blocks as each of `x`, and as many rows from `row` on.
#[inline(always)]
pub(super) unsafe fn multiply<I: Multiplier, F: Quant, const T: usize, const R: usize>(
    isa: I,
    group: &[u8],
    x: [&[Block]; T],
    row: usize,
) -> [[I::Floats; R]; T] {
    let mut acc = [[isa.splat_float(0.0); R]; T];
    let mut acc_minimums = [[isa.splat_float(0.0); R]; T];
    let blocks = x[0].len();
    let (share, quants_at) = (group.len() / blocks.max(1), quants_at(F::SCALES, blocks));
    for block in 0..blocks {
        prefetch(group.as_ptr().wrapping_add(I::PREFETCH_BYTES + block * share), share);
        let x: [&Block; T] = std::array::from_fn(|token| &x[token][block]);
        // SAFETY: block `block` and the rows are in the group, as the caller promises.
        let products = unsafe {
            let quants = group.as_ptr().add(quants_at + block * F::QUANT_BYTES + row * STEP);
            isa.products::<F, T, R>(quants, x)
        };
        for r in 0..R {
            // SAFETY: as above.
            let (scales, minimums) = unsafe { take_scales::<I, F>(isa, group.as_ptr(), block, row + r * I::WIDTH) };
            for t in 0..T {
                let [first, second] = x[t].sums;
                let sums = if F::SCALES.has_halves() { [first, second] } else { [first + second, 0] };
                for half in 0..1 + usize::from(F::SCALES.has_halves()) {
                    let mut product = products[half][t][r];
                    if const { offset::<I, F>() != 0 } {
                        product = isa.sub(product, isa.splat(offset::<I, F>() * sums[half]));
                    }
                    let scale = isa.mul_floats(scales[half], isa.splat_float(x[t].scale));
                    acc[t][r] = isa.mul_add(isa.to_floats(product), scale, acc[t][r]);
                    if F::SCALES.has_minimum() {
                        let sum = isa.splat_float(x[t].scale * sums[half] as f32);
                        acc_minimums[t][r] = isa.mul_add(minimums[half], sum, acc_minimums[t][r]);
                    }
                }
            }
        }
    }
    for t in 0..T {
        for r in 0..R {
            acc[t][r] = isa.add_floats(acc[t][r], acc_minimums[t][r]);
        }
    }
    acc
}

/// How much less quants are as the instructions see them.
const fn sign<I: Multiplier, F: Quant>() -> u8 {
    if I::SIGNED && F::QUANT_BITS == 8 { 128 } else { 0 }
}

/// What is taken from the quants as the instructions see them.
const fn offset<I: Multiplier, F: Quant>() -> i32 {
    F::OFFSET - sign::<I, F>() as i32
}

/// What the codes of a format stand for, as the instructions see it; zeros where they stand for themselves.
const fn table<I: Multiplier, F: Quant>() -> [u8; 16] {
    let mut bytes = [0; 16];
    if let Codes::Table(table, _) = F::CODES {
        let mut code = 0;
        while code < bytes.len() {
            bytes[code] = table[code] ^ sign::<I, F>();
            code += 1;
        }
    }
    bytes
}

/// The first and the second quants of step `S`, a byte each; those of eight bits that have no table keep theirs, whatever
/// the instructions make of it.
///
/// # Safety
/// The quants of a block of the format must be readable from `quants` on, but for those of the rows before.
#[inline(always)]
pub(super) unsafe fn take_step<I: Multiplier, F: Quant, const S: usize>(
    isa: I,
    quants: *const u8,
) -> (I::Integers, I::Integers) {
    let (s, odd) = (S as i32, 4 * (S as i32 % 2));
    if let Codes::Planes = F::CODES {
        // SAFETY: the two vectors of a block are there, as the caller promises.
        let (low, high) = unsafe { (load(isa, quants, 0), load(isa, quants, 1)) };
        let first = isa.or(shifted(isa, low, -s, 1), shifted(isa, high, 1 - s, 2));
        return (first, isa.or(shifted(isa, low, -4 - s, 1), shifted(isa, high, -3 - s, 2)));
    }
    // SAFETY: the vectors of a block are as many as the format says, and the caller promises that they are there.
    let (mut first, mut second) = unsafe {
        match low_bits(F::BITS) {
            0 => (isa.splat(0), isa.splat(0)),
            2 => {
                let both = load(isa, quants, S / 2);
                (shifted(isa, both, -odd, 3), shifted(isa, both, -odd - 2, 3))
            }
            4 => {
                let both = load(isa, quants, S);
                (isa.and(both, bytes(isa, 15)), shifted(isa, both, -4, 15))
            }
            _ => (load(isa, quants, S), load(isa, quants, 4 + S)),
        }
    };
    if F::BITS == 1 || F::BITS == 3 || F::BITS == 5 {
        // SAFETY: as above.
        let bits = unsafe { load(isa, quants, F::LOW_VECTORS) };
        let place = low_bits(F::BITS) as i32 + i32::from(matches!(F::CODES, Codes::Doubled));
        first = isa.or(first, shifted(isa, bits, place - s, 1 << place));
        second = isa.or(second, shifted(isa, bits, place - 4 - s, 1 << place));
    }
    if F::BITS == 6 {
        // SAFETY: as above.
        let bits = unsafe { load(isa, quants, F::LOW_VECTORS + S / 2) };
        first = isa.or(first, shifted(isa, bits, 4 - odd, 0x30));
        second = isa.or(second, shifted(isa, bits, 2 - odd, 0x30));
    }
    if let Codes::Table(..) = F::CODES {
        // SAFETY: the table has the 16 bytes that are read.
        let table = unsafe { isa.load_table(const { &table::<I, F>() }.as_ptr()) };
        (first, second) = (isa.look_up(table, first), isa.look_up(table, second));
    }
    (first, second)
}

/// Vector `vector`, or the register of its rows that `quants` begins with.
///
/// # Safety
/// It must be readable.
#[inline(always)]
pub(super) unsafe fn load<I: Registers>(isa: I, quants: *const u8, vector: usize) -> I::Integers {
    // SAFETY: the caller's promise.
    unsafe { isa.load(quants.add(vector * VECTOR)) }
}

/// `byte` in every byte.
#[inline(always)]
fn bytes<I: Registers>(isa: I, byte: u8) -> I::Integers {
    isa.splat(i32::from_ne_bytes([byte; 4]))
}

/// Each byte shifted to the left by `left` bits (to the right where that is negative), the bits of `mask` kept.
#[inline(always)]
fn shifted<I: Registers>(isa: I, a: I::Integers, left: i32, mask: u8) -> I::Integers {
    isa.shift_bytes(a, left, mask)
}

/// The same four bytes in every lane.
#[inline(always)]
pub(super) fn four_bytes<I: Registers>(isa: I, bytes: [i8; STEP]) -> I::Integers {
    isa.splat(i32::from_le_bytes(zerocopy::transmute!(bytes)))
}

/// The four bytes of step `step` in every lane.
#[inline(always)]
pub(super) fn broadcast_step<I: Registers>(isa: I, x: &[i8; BLOCK], step: usize) -> I::Integers {
    let steps: &[[i8; STEP]; STEPS] = zerocopy::transmute_ref!(x);
    four_bytes(isa, steps[step])
}

/// Scales of the first and the last sixteen columns, and minimums, of a register of rows from `row` on, of block `block`.
///
/// # Safety
/// The scales of a group must be readable from `scales` on, and have as many rows from `row` on.
#[inline(always)]
unsafe fn take_scales<I: Registers, F: Quant>(
    isa: I,
    scales: *const u8,
    block: usize,
    row: usize,
) -> ([I::Floats; 2], [I::Floats; 2]) {
    let (halves, bytes) = F::SCALES.offsets(block);
    let zero = isa.splat_float(0.0);
    // SAFETY: `offsets` stays within the scales of the group; what is read at each place is what the kind of scales has
    // there.
    unsafe {
        let halves = scales.add(halves + 2 * row);
        let bytes = scales.add(bytes + row);
        match F::SCALES {
            Scales::Half(_) => ([isa.load_f16(halves); 2], [zero; 2]),
            Scales::F16Minimum => ([isa.load_f16(halves); 2], [isa.load_f16(halves.add(2 * ROWS)); 2]),
            Scales::SuperMinimum => {
                let (scale, minimum) = (isa.load_f16(halves), isa.load_f16(halves.add(2 * ROWS)));
                let scale = times(isa, scale, isa.widen_u8(isa.load_bytes(bytes)));
                let minimum = times(isa, minimum, isa.widen_u8(isa.load_bytes(bytes.add(ROWS))));
                ([scale; 2], [isa.sub_floats(zero, minimum); 2])
            }
            Scales::Super(divisor) => {
                let scale = divided(isa, isa.load_f16(halves), divisor);
                ([times(isa, scale, isa.widen_i8(isa.load_bytes(bytes))); 2], [zero; 2])
            }
            Scales::SuperHalves(divisor) => {
                let scale = divided(isa, isa.load_f16(halves), divisor);
                let (first, second) = (isa.load_bytes(bytes), isa.load_bytes(bytes.add(ROWS)));
                ([times(isa, scale, isa.widen_i8(first)), times(isa, scale, isa.widen_i8(second))], [zero; 2])
            }
            Scales::SuperHalvesMinimum => {
                let scale = isa.load_f16(halves);
                let minimum = isa.sub_floats(zero, isa.load_f16(halves.add(2 * ROWS)));
                let (first, second) = (isa.load_bytes(bytes), isa.load_bytes(bytes.add(ROWS)));
                (
                    [times(isa, scale, low_nibbles(isa, first)), times(isa, scale, low_nibbles(isa, second))],
                    [times(isa, minimum, high_nibbles(isa, first)), times(isa, minimum, high_nibbles(isa, second))],
                )
            }
            Scales::Exponent => ([half_power_of_two(isa, isa.load_bytes(bytes)); 2], [zero; 2]),
            Scales::Float8Halves => {
                let (first, second) = (isa.load_bytes(bytes), isa.load_bytes(bytes.add(ROWS)));
                ([half_of_float8(isa, first), half_of_float8(isa, second)], [zero; 2])
            }
        }
    }
}

/// By a power of two, so that nothing is lost.
#[inline(always)]
fn divided<I: Registers>(isa: I, a: I::Floats, divisor: u8) -> I::Floats {
    if divisor == 1 { a } else { isa.mul_floats(a, isa.splat_float(f32::from(divisor).recip())) }
}

/// Half of a float of eight bits (E4M3) in each lane, as the plain twin does it.
#[inline(always)]
fn half_of_float8<I: Registers>(isa: I, bytes: I::Bytes) -> I::Floats {
    let moved = isa.as_floats(isa.shift_left_32(isa.widen_u8(bytes), 20));
    isa.mul_floats(moved, isa.splat_float(HALF_OF_TWO_TO_120))
}

/// 2^(exponent - 128) in each lane, as the product of two numbers in the middle of the range: the least two are subnormal,
/// which no number is whose bits are only the exponent.
#[inline(always)]
fn half_power_of_two<I: Registers>(isa: I, exponents: I::Bytes) -> I::Floats {
    let exponents = isa.widen_u8(exponents);
    let middle = isa.splat(63);
    let power = |exponents| isa.as_floats(isa.shift_left_32(isa.add(exponents, middle), 23));
    // Numbers of 8 bits: half of one is in reach of a shift of 16 bits.
    let half = isa.shift_right_16(exponents, 1);
    isa.mul_floats(power(half), power(isa.sub(exponents, half)))
}

#[inline(always)]
fn times<I: Registers>(isa: I, by: I::Floats, whole: I::Integers) -> I::Floats {
    isa.mul_floats(by, isa.to_floats(whole))
}

#[inline(always)]
fn low_nibbles<I: Registers>(isa: I, bytes: I::Bytes) -> I::Integers {
    isa.and(isa.widen_u8(bytes), isa.splat(15))
}

#[inline(always)]
fn high_nibbles<I: Registers>(isa: I, bytes: I::Bytes) -> I::Integers {
    isa.shift_right_16(isa.widen_u8(bytes), 4)
}

/// The rows of `R` registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn to_lanes<I: Registers, const R: usize>(isa: I, registers: [I::Floats; R]) -> super::expand::Lanes {
    const { assert!(R * I::WIDTH == ROWS) };
    let mut out = [0.0; ROWS];
    for (r, &register) in registers.iter().enumerate() {
        // SAFETY: `out` has room for all of them, as was asserted.
        unsafe { isa.store(register, out.as_mut_ptr().add(r * I::WIDTH)) };
    }
    out
}
