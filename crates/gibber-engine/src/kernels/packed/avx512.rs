//! Products of packed weights for x86-64 with AVX-512 and VNNI: all rows of a group in a register, four products a lane in
//! one instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::expand::Lanes;
use super::format::{self, Quant, ROWS};
use super::kernel::{self, Multiplier, broadcast_step, four_bytes, take_step, to_lanes};
use super::product::Product;
use super::{PackedFormat, TOKENS, for_each_step, for_format};
use crate::kernels::activation::{Block, STEPS};
use crate::kernels::isa::Avx512;
use crate::kernels::registers::Registers;
use crate::kernels::tiles::TILE;

/// See [`super::multiply_groups`].
///
/// # Panics
/// Where the groups are not as many as the outputs, each with as many blocks as `x`.
pub(super) fn multiply_groups(isa: Avx512, format: PackedFormat, groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    assert_eq!(groups.len(), out.len() * format.group_bytes(x.len()), "groups of another width");
    // SAFETY: the `Avx512` shows that the processor has these features; the groups were counted by the assertion above.
    unsafe { for_format!(format => groups_of_one_token(isa, groups, x, out)) }
}

/// # Safety
/// The groups are as many as the outputs, each with as many blocks as `x`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn groups_of_one_token<F: Quant>(isa: Avx512, groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    let each = groups.len() / out.len().max(1);
    for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
        // SAFETY: the caller's promise, for each group.
        let [values] = unsafe { multiply::<F, 1>(isa, group, [x]) };
        *out = values;
    }
}

/// See [`super::multiply_group`].
///
/// # Panics
/// Where the group has not as many blocks as `x`.
pub(super) fn multiply_group(isa: Avx512, format: PackedFormat, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    for x in x {
        assert_eq!(group.len(), format.group_bytes(x.len()), "a group of another width");
    }
    for (x, out) in x.chunks(TOKENS).zip(out.chunks_mut(TOKENS)) {
        // SAFETY: the `Avx512` shows that the processor has these features; the blocks of each input were counted above.
        unsafe { for_format!(format => few_tokens(isa, group, x, out)) };
    }
}

/// Up to [`TOKENS`] tokens, for which the weights are unpacked once.
///
/// # Safety
/// As [`multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn few_tokens<F: Quant>(isa: Avx512, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    // SAFETY: the caller's promise.
    unsafe {
        match *x {
            [a, b, c, d] => out[..4].copy_from_slice(&multiply::<F, 4>(isa, group, [a, b, c, d])),
            [a, b, c] => out[..3].copy_from_slice(&multiply::<F, 3>(isa, group, [a, b, c])),
            [a, b] => out[..2].copy_from_slice(&multiply::<F, 2>(isa, group, [a, b])),
            [a] => out[..1].copy_from_slice(&multiply::<F, 1>(isa, group, [a])),
            _ => {}
        }
    }
}

/// Never inlined: within the loop over groups Q8_0 took a sixth longer, with the same instructions.
///
/// # Safety
/// As [`kernel::multiply`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply<F: Quant, const T: usize>(isa: Avx512, group: &[u8], x: [&[Block]; T]) -> [Lanes; T] {
    // SAFETY: the caller's promise; a register has all rows.
    let registers = unsafe { kernel::multiply::<_, F, T, 1>(isa, group, x, 0) };
    let mut out = [[0.0; ROWS]; T];
    for t in 0..T {
        out[t] = to_lanes(isa, registers[t]);
    }
    out
}

impl Multiplier for Avx512 {
    const PREFETCH_BYTES: usize = 2048;
    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn products<F: Quant, const T: usize, const R: usize>(
        self,
        quants: *const u8,
        x: [&Block; T],
    ) -> [[[__m512i; R]; T]; 2] {
        const { assert!(R == 1, "a register has all rows") };
        // SAFETY: `self` shows that the processor has AVX-512 and VNNI; the quants are the caller's promise.
        unsafe {
            // Sums of the first columns and of the last, apart where those have scales of their own (and with one token, so that
            // no sum waits for the other).
            let halved = F::SCALES.has_halves();
            let apart = halved || T == 1;
            let mut high = [[_mm512_setzero_si512(); T]; 2];
            let mut low = [[_mm512_setzero_si512(); T]; 2];
            for_each_step!(S => {
                let (first, second) = take_step::<_, F, S>(self, quants);
                for half in 0..2 {
                    let w = if half == 0 { first } else { second };
                    let (into, at) = (if apart { half } else { 0 }, 4 * half + S);
                    for t in 0..T {
                        high[into][t] = _mm512_dpbusd_epi32(high[into][t], w, broadcast_step(self, &x[t].high, at));
                        low[into][t] = _mm512_dpbusd_epi32(low[into][t], w, broadcast_step(self, &x[t].low, at));
                    }
                }
            });
            let mut products = [[[_mm512_setzero_si512(); R]; T]; 2];
            for t in 0..T {
                let [first, second] = [self.join_bytes(high[0][t], low[0][t]), self.join_bytes(high[1][t], low[1][t])];
                products[0][t] = [if halved { first } else { _mm512_add_epi32(first, second) }; R];
                products[1][t] = [second; R];
            }
            products
        }
    }
}

/// A panel times the tokens of a tile.
pub(super) fn multiply_tile(isa: Avx512, product: Product<'_>) -> [Lanes; TILE] {
    // SAFETY: the `Avx512` shows that the processor has these features; `Product` that panel and tile fit, and how.
    unsafe {
        match (product.each(), product.has_two_bytes()) {
            (1, false) => tile::<1, false>(isa, product),
            (1, true) => tile::<1, true>(isa, product),
            (_, false) => tile::<2, false>(isa, product),
            (_, true) => tile::<2, true>(isa, product),
        }
    }
}

/// With `EACH` scales a block, and activations of two bytes or one.
///
/// # Safety
/// The product is one of `EACH` scales a block, and has two bytes where `ACTIVATIONS_HAVE_16_BITS`.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const EACH: usize, const ACTIVATIONS_HAVE_16_BITS: bool>(
    isa: Avx512,
    product: Product<'_>,
) -> [Lanes; TILE] {
    let (panel, x) = (product.panel(), product.tile());
    let mut acc = [_mm512_setzero_ps(); TILE];
    for (index, block) in x.blocks.iter().enumerate() {
        for half in 0..EACH {
            let (part, steps) = (index * EACH + half, STEPS / EACH);
            let mut high = [_mm512_setzero_si512(); TILE];
            let mut low = [_mm512_setzero_si512(); TILE];
            for step in half * steps..(half + 1) * steps {
                // SAFETY: the panel has all steps of each block, as `Product` looked.
                let w = unsafe { _mm512_loadu_si512(panel.steps.as_ptr().add(index * STEPS + step).cast()) };
                for (sum, &bytes) in high.iter_mut().zip(&block.high[step]) {
                    *sum = _mm512_dpbusd_epi32(*sum, w, four_bytes(isa, bytes));
                }
                if ACTIVATIONS_HAVE_16_BITS {
                    // SAFETY: there are low bytes for each block, as `Product` looked and the caller promises.
                    let block = unsafe { x.low.get_unchecked(index) };
                    for (sum, &bytes) in low.iter_mut().zip(&block[step]) {
                        *sum = _mm512_dpbusd_epi32(*sum, w, four_bytes(isa, bytes));
                    }
                }
            }
            // SAFETY: there are `EACH` for each block, sixteen floats each, as `Product` looked and the caller promises.
            let (scales, minimums) = unsafe {
                (
                    _mm512_loadu_ps(panel.scales.as_ptr().add(part).cast()),
                    _mm512_loadu_ps(panel.minimums.as_ptr().add(part).cast()),
                )
            };
            let sums = &block.sums[if EACH == 1 { 2 } else { half }];
            for t in 0..TILE {
                let product = if ACTIVATIONS_HAVE_16_BITS { isa.join_bytes(high[t], low[t]) } else { high[t] };
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(block.scales[t]));
                acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), scale, acc[t]);
                acc[t] = _mm512_fmadd_ps(minimums, _mm512_set1_ps(sums[t]), acc[t]);
            }
        }
    }
    let mut out = [[0.0; ROWS]; TILE];
    for t in 0..TILE {
        out[t] = to_lanes(isa, [acc[t]]);
    }
    out
}
