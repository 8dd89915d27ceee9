//! Products of packed weights for x86-64 with AVX2, FMA and F16C: half of a group's rows in a register.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::expand::Lanes;
use super::format::{self, Quant, ROWS, VECTOR};
use super::kernel::{self, Multiplier, broadcast_step, four_bytes, load, take_step, to_lanes};
use super::product::Product;
use super::{PackedFormat, for_each_step, for_format};
use crate::kernels::activation::{BLOCK, Block, STEPS};
use crate::kernels::isa::Avx2;
use crate::kernels::registers::Registers;
use crate::kernels::tiles::TILE;

/// Rows in a register.
const HALF: usize = ROWS / 2;
/// Bytes that a register takes of a vector of steps.
const HALF_VECTOR: usize = VECTOR / 2;

/// See [`super::multiply_groups`].
///
/// # Panics
/// Where the groups are not as many as the outputs, each with as many blocks as `x`.
pub(super) fn multiply_groups(isa: Avx2, format: PackedFormat, groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    assert_eq!(groups.len(), out.len() * format.group_bytes(x.len()), "groups of another width");
    // SAFETY: the `Avx2` shows that the processor has these features; the groups were counted by the assertion above.
    unsafe { for_format!(format => groups_of_one_token(isa, groups, x, out)) }
}

/// # Safety
/// The groups are as many as the outputs, each with as many blocks as `x`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn groups_of_one_token<F: Quant>(isa: Avx2, groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    let each = groups.len() / out.len().max(1);
    for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
        // SAFETY: the caller's promise, for each group.
        let [registers] = unsafe { multiply::<F, 1, 2>(isa, group, [x], 0) };
        *out = to_lanes(isa, registers);
    }
}

/// See [`super::multiply_group`].
///
/// # Panics
/// Where the group has not as many blocks as `x`.
pub(super) fn multiply_group(isa: Avx2, format: PackedFormat, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    for x in x {
        assert_eq!(group.len(), format.group_bytes(x.len()), "a group of another width");
    }
    let mut out = out.iter_mut();
    let mut pairs = x.chunks_exact(2);
    for pair in &mut pairs {
        let (Some(a), Some(b)) = (out.next(), out.next()) else { return };
        // SAFETY: the `Avx2` shows that the processor has these features; the blocks of each input were counted above.
        let values = unsafe { for_format!(format => two_tokens(isa, group, [pair[0], pair[1]])) };
        [*a, *b] = values;
    }
    if let ([x], Some(out)) = (pairs.remainder(), out.next()) {
        // SAFETY: as above.
        *out = unsafe { for_format!(format => one_token(isa, group, x)) };
    }
}

/// # Safety
/// The group has as many blocks as `x`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn one_token<F: Quant>(isa: Avx2, group: &[u8], x: &[Block]) -> Lanes {
    // SAFETY: the caller's promise.
    let [registers] = unsafe { multiply::<F, 1, 2>(isa, group, [x], 0) };
    to_lanes(isa, registers)
}

/// Two tokens would need twice the registers for all rows: they take one half of them after the other.
///
/// # Safety
/// As [`one_token`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn two_tokens<F: Quant>(isa: Avx2, group: &[u8], x: [&[Block]; 2]) -> [Lanes; 2] {
    // SAFETY: the caller's promise.
    let ([[a], [b]], [[c], [d]]) =
        unsafe { (multiply::<F, 2, 1>(isa, group, x, 0), multiply::<F, 2, 1>(isa, group, x, HALF)) };
    [to_lanes(isa, [a, c]), to_lanes(isa, [b, d])]
}

/// Never inlined: within the loop over groups Q8_0 took a sixth longer, with the same instructions.
///
/// # Safety
/// As [`kernel::multiply`].
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply<F: Quant, const T: usize, const R: usize>(
    isa: Avx2,
    group: &[u8],
    x: [&[Block]; T],
    row: usize,
) -> [[__m256; R]; T] {
    // SAFETY: the caller's promise.
    unsafe { kernel::multiply::<_, F, T, R>(isa, group, x, row) }
}

impl Multiplier for Avx2 {
    const PREFETCH_BYTES: usize = 1024;
    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn products<F: Quant, const T: usize, const R: usize>(
        self,
        quants: *const u8,
        x: [&Block; T],
    ) -> [[[__m256i; R]; T]; 2] {
        // SAFETY: `self` shows that the processor has AVX2. The quants are the caller's promise: those of the second register
        // are within the same vectors.
        unsafe {
            let zero = _mm256_setzero_si256();
            let ones = _mm256_set1_epi16(1);
            let halved = F::SCALES.has_halves();
            let mut sums = [[[zero; R]; T]; 2];
            // Sums of pairs of products, 16 bits each: of the high bytes and the low ones.
            let mut high_pairs = [[[zero; R]; T]; 2];
            let mut low_pairs = [[[zero; R]; T]; 2];
            for_each_step!(S => {
                for r in 0..R {
                    let (first, second) = take_step::<_, F, S>(self, quants.add(r * HALF_VECTOR));
                    for half in 0..2 {
                        let w = if half == 0 { first } else { second };
                        let into = if halved { half } else { 0 };
                        let at = 4 * half + S;
                        for t in 0..T {
                            if F::QUANT_BITS == 8 {
                                let products = products_of_bytes(self, w, &x[t].pairs, at);
                                sums[into][t][r] = _mm256_add_epi32(sums[into][t][r], products);
                            } else {
                                let high = _mm256_maddubs_epi16(w, broadcast_step(self, &x[t].high, at));
                                let low = _mm256_maddubs_epi16(w, broadcast_step(self, &x[t].low, at));
                                high_pairs[into][t][r] = _mm256_add_epi16(high_pairs[into][t][r], high);
                                low_pairs[into][t][r] = _mm256_add_epi16(low_pairs[into][t][r], low);
                            }
                        }
                    }
                }
                // Eight pairs of 4-bit quants stay below 2^15, four of 5-bit ones, two of 6-bit ones.
                if F::QUANT_BITS != 8 && (S == 3 || F::QUANT_BITS >= 5 && S == 1) {
                    for half in 0..1 + usize::from(halved) {
                        for t in 0..T {
                            for r in 0..R {
                                let high = _mm256_madd_epi16(high_pairs[half][t][r], ones);
                                let low = _mm256_madd_epi16(low_pairs[half][t][r], ones);
                                sums[half][t][r] = _mm256_add_epi32(sums[half][t][r], self.join_bytes(high, low));
                                (high_pairs[half][t][r], low_pairs[half][t][r]) = (zero, zero);
                            }
                        }
                    }
                }
            });
            sums
        }
    }
}

/// Quants of eight bits times the activations `x` of step `at`. They are too large for pairs of 16 bits: columns of even
/// and of odd number are multiplied with whole activations.
#[inline(always)]
fn products_of_bytes(isa: Avx2, w: __m256i, x: &[i16; BLOCK], at: usize) -> __m256i {
    let pairs: &[[i16; 2]; BLOCK / 2] = zerocopy::transmute_ref!(x);
    let (even, odd) =
        (isa.splat(zerocopy::transmute!(pairs[2 * at])), isa.splat(zerocopy::transmute!(pairs[2 * at + 1])));
    // SAFETY: the `Avx2` shows that the processor has it.
    unsafe {
        let even = _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(255)), even);
        let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(w), odd);
        _mm256_add_epi32(even, odd)
    }
}

/// Tokens of a tile that are multiplied together: as many as there are registers for.
const AT_ONCE: usize = 2;

/// A panel of quants of `bits` bits (at most 5) times the tokens of a tile.
pub(super) fn multiply_tile(isa: Avx2, bits: usize, product: Product<'_>) -> [Lanes; TILE] {
    debug_assert!(bits <= 5);
    let mut out = [[0.0; ROWS]; TILE];
    for (pair, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let first = pair * AT_ONCE;
        // SAFETY: the `Avx2` shows that the processor has these features; `Product` that panel and tile fit, and how.
        *out = unsafe {
            match (bits, product.each(), product.has_two_bytes()) {
                (5, 1, false) => tile::<5, 1, false>(isa, product, first),
                (5, 1, true) => tile::<5, 1, true>(isa, product, first),
                (_, 1, false) => tile::<4, 1, false>(isa, product, first),
                (_, 1, true) => tile::<4, 1, true>(isa, product, first),
                (_, _, false) => tile::<4, 2, false>(isa, product, first),
                (_, _, true) => tile::<4, 2, true>(isa, product, first),
            }
        };
    }
    out
}

/// With quants of `BITS` (4 stands for fewer as well), `EACH` scales a block, and activations of two bytes or one: the
/// tokens from `token` on.
///
/// # Safety
/// The product is one of `EACH` scales a block, and has two bytes where `ACTIVATIONS_HAVE_16_BITS`.
///
/// # Panics
/// Where the tile has no such tokens.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const BITS: usize, const EACH: usize, const ACTIVATIONS_HAVE_16_BITS: bool>(
    isa: Avx2,
    product: Product<'_>,
    token: usize,
) -> [Lanes; AT_ONCE] {
    assert!(token + AT_ONCE <= TILE);
    let (panel, x) = (product.panel(), product.tile());
    let zero = _mm256_setzero_si256();
    let ones = _mm256_set1_epi16(1);
    let mut acc = [[_mm256_setzero_ps(); 2]; AT_ONCE];
    let quants: *const u8 = panel.steps.as_ptr().cast();
    let steps_each = STEPS / EACH;
    // As in `products`: eight pairs of 4-bit quants fit, four of 5-bit ones.
    let steps_at_once = if BITS == 5 { 4 } else { steps_each };
    for (part, (scales, minimums)) in panel.scales.iter().zip(&panel.minimums).enumerate() {
        let (index, half) = (part / EACH, part % EACH);
        // SAFETY: the tokens have a block for each of the panel's, as `Product` looked.
        let block = unsafe { x.blocks.get_unchecked(index) };
        let mut sums = [[zero; 2]; AT_ONCE];
        for first in (half * steps_each..(half + 1) * steps_each).step_by(steps_at_once) {
            let mut high = [[zero; 2]; AT_ONCE];
            let mut low = [[zero; 2]; AT_ONCE];
            for step in first..first + steps_at_once {
                let at = index * STEPS + step;
                // SAFETY: the panel has all steps of each block, as `Product` looked.
                let w = unsafe { [load(isa, quants, at), load(isa, quants.add(HALF_VECTOR), at)] };
                for t in 0..AT_ONCE {
                    let four = four_bytes(isa, block.high[step][token + t]);
                    high[t][0] = _mm256_add_epi16(high[t][0], _mm256_maddubs_epi16(w[0], four));
                    high[t][1] = _mm256_add_epi16(high[t][1], _mm256_maddubs_epi16(w[1], four));
                    if ACTIVATIONS_HAVE_16_BITS {
                        // SAFETY: there are low bytes for each block, as `Product` looked and the caller promises.
                        let four = four_bytes(isa, unsafe { x.low.get_unchecked(index) }[step][token + t]);
                        low[t][0] = _mm256_add_epi16(low[t][0], _mm256_maddubs_epi16(w[0], four));
                        low[t][1] = _mm256_add_epi16(low[t][1], _mm256_maddubs_epi16(w[1], four));
                    }
                }
            }
            for t in 0..AT_ONCE {
                for r in 0..2 {
                    let mut product = _mm256_madd_epi16(high[t][r], ones);
                    if ACTIVATIONS_HAVE_16_BITS {
                        product = isa.join_bytes(product, _mm256_madd_epi16(low[t][r], ones));
                    }
                    sums[t][r] = _mm256_add_epi32(sums[t][r], product);
                }
            }
        }
        for t in 0..AT_ONCE {
            let scale = _mm256_set1_ps(block.scales[token + t]);
            let sum = _mm256_set1_ps(block.sums[if EACH == 1 { 2 } else { half }][token + t]);
            for r in 0..2 {
                // SAFETY: there are sixteen scales and minimums.
                let (scales, minimums) = unsafe {
                    (_mm256_loadu_ps(scales.as_ptr().add(r * HALF)), _mm256_loadu_ps(minimums.as_ptr().add(r * HALF)))
                };
                let product = _mm256_cvtepi32_ps(sums[t][r]);
                acc[t][r] = _mm256_fmadd_ps(product, _mm256_mul_ps(scales, scale), acc[t][r]);
                acc[t][r] = _mm256_fmadd_ps(minimums, sum, acc[t][r]);
            }
        }
    }
    let [first, second] = acc;
    [to_lanes(isa, first), to_lanes(isa, second)]
}
