//! How each instruction set multiplies the quants of a block.

use std::arch::aarch64::*;

use super::super::for_each_step;
use super::super::format::Quant;
use super::super::kernel::{Multiplier, broadcast_step, take_step};
use super::REGISTER;
use super::instructions::{sdot, usdot, usmmla};
use crate::kernels::activation::{BLOCK, Block};
use crate::kernels::isa::{DotProd, I8mm, Neon};
use crate::kernels::registers::Registers;

/// How far ahead of the multiplication weights are fetched into the cache, in bytes.
const PREFETCH_BYTES: usize = 1024;

/// Products of a block: of its first sixteen columns and of its last where those have scales of their own, otherwise all in
/// the first.
type Products<const T: usize, const R: usize> = [[[int32x4_t; R]; T]; 2];

/// Sixteen activations, from the columns `16 · half` on.
#[inline]
#[target_feature(enable = "neon")]
fn sixteen(x: &[i8; BLOCK], half: usize) -> int8x16_t {
    let halves: &[[i8; BLOCK / 2]; 2] = zerocopy::transmute_ref!(x);
    // SAFETY: there are sixteen.
    unsafe { vld1q_s8(halves[half].as_ptr()) }
}

/// The quants as numbers with a sign, 128 less; those of a table already are.
#[inline]
#[target_feature(enable = "neon")]
fn signed<F: Quant>(w: int32x4_t) -> int32x4_t {
    if F::BITS != 8 {
        return w;
    }
    veorq_s32(w, vdupq_n_s32(i32::from_ne_bytes([0x80; 4])))
}

/// An instruction set with dot products of four bytes.
pub(super) trait DotProducts: Multiplier<Integers = int32x4_t> {
    /// Adds to each lane the products of its four bytes in `w` with the four bytes in lane `LANE` of `x`.
    fn dot<const LANE: usize>(self, sums: int32x4_t, w: int32x4_t, x: int8x16_t) -> int32x4_t;
}

impl DotProducts for DotProd {
    #[inline(always)]
    fn dot<const LANE: usize>(self, sums: int32x4_t, w: int32x4_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: `self` shows that the processor has the instruction.
        unsafe { sdot::<LANE>(sums, w, x) }
    }
}

impl DotProducts for I8mm {
    #[inline(always)]
    fn dot<const LANE: usize>(self, sums: int32x4_t, w: int32x4_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: `self` shows that the processor has the instruction.
        unsafe { usdot::<LANE>(sums, w, x) }
    }
}

/// By dot products.
///
/// # Safety
/// As [`Multiplier::products`].
#[inline(always)]
unsafe fn by_dot_products<I: DotProducts, F: Quant, const T: usize, const R: usize>(
    isa: I,
    quants: *const u8,
    x: [&Block; T],
) -> Products<T, R> {
    let zero = isa.splat(0);
    let halved = F::SCALES.has_halves();
    let (mut high, mut low) = ([[[zero; R]; T]; 2], [[[zero; R]; T]; 2]);
    for_each_step!(S => {
        for r in 0..R {
            // SAFETY: the caller's promise; register `r` is within the same vectors.
            let (first, second) = unsafe { take_step::<_, F, S>(isa, quants.add(r * REGISTER)) };
            for half in 0..2 {
                let w = if half == 0 { first } else { second };
                // SAFETY: every 64-bit ARM has NEON.
                let w = if I::SIGNED { unsafe { signed::<F>(w) } } else { w };
                let into = if halved { half } else { 0 };
                for t in 0..T {
                    // SAFETY: as above.
                    let (high_x, low_x) = unsafe { (sixteen(&x[t].high, half), sixteen(&x[t].low, half)) };
                    high[into][t][r] = isa.dot::<S>(high[into][t][r], w, high_x);
                    low[into][t][r] = isa.dot::<S>(low[into][t][r], w, low_x);
                }
            }
        }
    });
    joined(isa, high, low, halved)
}

#[inline(always)]
fn joined<I: Registers<Integers = int32x4_t>, const T: usize, const R: usize>(
    isa: I,
    high: Products<T, R>,
    low: Products<T, R>,
    halved: bool,
) -> Products<T, R> {
    let mut products = high;
    for half in 0..1 + usize::from(halved) {
        for t in 0..T {
            for r in 0..R {
                products[half][t][r] = isa.join_bytes(high[half][t][r], low[half][t][r]);
            }
        }
    }
    products
}

/// By products of matrices: of two rows and two tokens, eight columns at a time; `T` is even.
///
/// # Safety
/// As [`Multiplier::products`].
#[inline(always)]
unsafe fn by_matrices<F: Quant, const T: usize, const R: usize>(
    isa: I8mm,
    quants: *const u8,
    x: [&Block; T],
) -> Products<T, R> {
    let zero = isa.splat(0);
    let halved = F::SCALES.has_halves();
    // Of the tokens the even ones stand for two: the first two rows of a register with both; the odd ones for the others.
    let (mut high, mut low) = ([[[zero; R]; T]; 2], [[[zero; R]; T]; 2]);
    // SAFETY: the caller's promise; register `r` is within the same vectors. `isa` shows that the processor has `usmmla`.
    unsafe {
        for r in 0..R {
            let quants = quants.add(r * REGISTER);
            let steps = [
                take_step::<_, F, 0>(isa, quants),
                take_step::<_, F, 1>(isa, quants),
                take_step::<_, F, 2>(isa, quants),
                take_step::<_, F, 3>(isa, quants),
            ];
            for eight in 0..4 {
                let (half, pair) = (eight / 2, 2 * (eight % 2));
                let of = |(first, second)| if half == 0 { first } else { second };
                let (a, b) = (of(steps[pair]), of(steps[pair + 1]));
                let rows = [vzip1q_s32(a, b), vzip2q_s32(a, b)];
                let into = if halved { half } else { 0 };
                for t in (0..T).step_by(2) {
                    let high_x = eights(&x[t].high, &x[t + 1].high, eight);
                    let low_x = eights(&x[t].low, &x[t + 1].low, eight);
                    for i in 0..2 {
                        high[into][t + i][r] = usmmla(high[into][t + i][r], rows[i], high_x);
                        low[into][t + i][r] = usmmla(low[into][t + i][r], rows[i], low_x);
                    }
                }
            }
        }
    }
    let mut products = joined(isa, high, low, halved);
    for products in &mut products[..1 + usize::from(halved)] {
        for t in (0..T).step_by(2) {
            for r in 0..R {
                let (first, last) = (products[t][r], products[t + 1][r]);
                // SAFETY: every 64-bit ARM has NEON.
                (products[t][r], products[t + 1][r]) = unsafe { by_token(first, last) };
            }
        }
    }
    products
}

/// From products of two rows with two tokens each to those of four rows with each token.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn by_token(first: int32x4_t, last: int32x4_t) -> (int32x4_t, int32x4_t) {
    (vuzp1q_s32(first, last), vuzp2q_s32(first, last))
}

/// The eight activations from column `8 · eight` on of two tokens.
#[inline]
#[target_feature(enable = "neon")]
fn eights(a: &[i8; BLOCK], b: &[i8; BLOCK], eight: usize) -> int8x16_t {
    let [a, b]: [&[[i8; 8]; BLOCK / 8]; 2] = [zerocopy::transmute_ref!(a), zerocopy::transmute_ref!(b)];
    // SAFETY: there are eight of each.
    unsafe { vcombine_s8(vld1_s8(a[eight].as_ptr()), vld1_s8(b[eight].as_ptr())) }
}

impl Multiplier for DotProd {
    const PREFETCH_BYTES: usize = PREFETCH_BYTES;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn products<F: Quant, const T: usize, const R: usize>(
        self,
        quants: *const u8,
        x: [&Block; T],
    ) -> Products<T, R> {
        // SAFETY: the caller's promise.
        unsafe { by_dot_products::<_, F, T, R>(self, quants, x) }
    }
}

impl Multiplier for I8mm {
    const PREFETCH_BYTES: usize = PREFETCH_BYTES;
    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn products<F: Quant, const T: usize, const R: usize>(
        self,
        quants: *const u8,
        x: [&Block; T],
    ) -> Products<T, R> {
        // SAFETY: the caller's promise.
        unsafe {
            if const { T.is_multiple_of(2) } {
                by_matrices::<F, T, R>(self, quants, x)
            } else {
                by_dot_products::<_, F, T, R>(self, quants, x)
            }
        }
    }
}

/// Of the products of a register with a token, those of its first two rows and of its last, in 16 bits.
type Widened = [int16x8_t; 2];

impl Multiplier for Neon {
    const PREFETCH_BYTES: usize = PREFETCH_BYTES;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn products<F: Quant, const T: usize, const R: usize>(
        self,
        quants: *const u8,
        x: [&Block; T],
    ) -> Products<T, R> {
        // SAFETY: the caller's promise; register `r` is within the same vectors. Every 64-bit ARM has NEON.
        unsafe {
            let halved = F::SCALES.has_halves();
            let (zero, zero_16) = (self.splat(0), vdupq_n_s16(0));
            // Sums of pairs of columns, of the high bytes and of the low ones.
            let mut sums = [[[[[zero; 2]; 2]; R]; T]; 2];
            let mut widened: [[[[Widened; 2]; R]; T]; 2] = [[[[[zero_16; 2]; 2]; R]; T]; 2];
            for_each_step!(S => {
                for r in 0..R {
                    let (first, second) = take_step::<_, F, S>(self, quants.add(r * REGISTER));
                    for half in 0..2 {
                        let w = signed::<F>(if half == 0 { first } else { second });
                        let (into, at) = (if halved { half } else { 0 }, 4 * half + S);
                        for t in 0..T {
                            for (byte, x) in [&x[t].high, &x[t].low].into_iter().enumerate() {
                                let to = &mut widened[into][t][r][byte];
                                *to = multiply_add(*to, w, broadcast_step(self, x, at));
                            }
                        }
                    }
                }
                let each = if halved { 1 } else { 2 };
                if S == 3 || (each * (S + 1)).is_multiple_of(const { products_in_16_bits(F::QUANT_BITS) }) {
                    for into in 0..1 + usize::from(halved) {
                        for t in 0..T {
                            for r in 0..R {
                                for byte in 0..2 {
                                    for part in 0..2 {
                                        let sum = &mut sums[into][t][r][byte][part];
                                        *sum = vpadalq_s16(*sum, widened[into][t][r][byte][part]);
                                    }
                                    widened[into][t][r][byte] = [zero_16; 2];
                                }
                            }
                        }
                    }
                }
            });
            let mut products = [[[zero; R]; T]; 2];
            for into in 0..1 + usize::from(halved) {
                for t in 0..T {
                    for r in 0..R {
                        let [high, low] = sums[into][t][r];
                        products[into][t][r] =
                            vpaddq_s32(self.join_bytes(high[0], low[0]), self.join_bytes(high[1], low[1]));
                    }
                }
            }
            products
        }
    }
}

/// How many products of a quant of so many bits with a byte are sure to fit into 16 bits with their sign.
const fn products_in_16_bits(bits: usize) -> usize {
    // Those of eight bits have a sign.
    let largest = if bits == 8 { 128 } else { (1 << bits) - 1 };
    i16::MAX as usize / (largest * 127)
}

/// Adds the products of the bytes in `w` and `x`.
#[inline]
#[target_feature(enable = "neon")]
fn multiply_add(sums: Widened, w: int32x4_t, x: int32x4_t) -> Widened {
    let (w, x) = (vreinterpretq_s8_s32(w), vreinterpretq_s8_s32(x));
    [vmlal_s8(sums[0], vget_low_s8(w), vget_low_s8(x)), vmlal_high_s8(sums[1], w, x)]
}
