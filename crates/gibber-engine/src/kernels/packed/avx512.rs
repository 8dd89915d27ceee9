//! Products of packed weights for x86-64 with AVX-512 and VNNI: all rows of a group in a register, four products a lane in
//! one instruction.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::expand::{Lanes, Panel};
use super::format::{self, Quant, ROWS, Scales, VECTOR, low_bits, quants_at};
use super::{PackedFormat, TOKENS, for_each_step, for_format};
use crate::kernels::activation::{BLOCK, Block, HIGH, STEP, STEPS};
use crate::kernels::isa::Avx512;
use crate::kernels::tiles::{TILE, Tile};

/// As in [`super::avx2`].
const AHEAD: usize = 2048;

/// See [`super::multiply_groups`].
///
/// # Panics
/// Where the groups are not as many as the outputs, each with as many blocks as `x`.
pub(super) fn multiply_groups(_: Avx512, format: PackedFormat, groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    assert_eq!(groups.len(), out.len() * format.group_bytes(x.len()), "groups of another width");
    // SAFETY: the `Avx512` shows that the processor has these features, and the assertions above are the rest of the promise.
    unsafe { for_format!(format => groups_of_one_token(groups, x, out)) }
}

/// # Safety
/// The processor has AVX-512 (F, BW, DQ, VL) and VNNI; the groups are as many as the outputs, each with as many blocks as `x`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn groups_of_one_token<F: Quant>(groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    let each = groups.len() / out.len().max(1);
    for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
        // SAFETY: the caller's promise, for each group.
        let [values] = unsafe { multiply::<F, 1>(group, [x]) };
        *out = values;
    }
}

/// See [`super::multiply_group`].
///
/// # Panics
/// Where the group has not as many blocks as `x`.
pub(super) fn multiply_group(_: Avx512, format: PackedFormat, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    for x in x {
        assert_eq!(group.len(), format.group_bytes(x.len()), "a group of another width");
    }
    for (x, out) in x.chunks(TOKENS).zip(out.chunks_mut(TOKENS)) {
        // SAFETY: the `Avx512` shows that the processor has these features, and the assertions above are the rest of the promise.
        unsafe { for_format!(format => few_tokens(group, x, out)) };
    }
}

/// Up to [`TOKENS`] tokens, for which the weights are unpacked once.
///
/// # Safety
/// As [`multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn few_tokens<F: Quant>(group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    // SAFETY: the caller's promise.
    unsafe {
        match *x {
            [a, b, c, d] => out[..4].copy_from_slice(&multiply::<F, 4>(group, [a, b, c, d])),
            [a, b, c] => out[..3].copy_from_slice(&multiply::<F, 3>(group, [a, b, c])),
            [a, b] => out[..2].copy_from_slice(&multiply::<F, 2>(group, [a, b])),
            [a] => out[..1].copy_from_slice(&multiply::<F, 1>(group, [a])),
            _ => {}
        }
    }
}

/// The four bytes of step `step` in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast(x: &[i8; BLOCK], step: usize) -> __m512i {
    let steps: &[[i8; STEP]; STEPS] = zerocopy::transmute_ref!(x);
    four_bytes(steps[step])
}

/// Each byte shifted to the left by `left` bits (to the right where that is negative), the bits of `mask` kept.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shifted(bytes: __m512i, left: i32, mask: i8) -> __m512i {
    let moved = if left >= 0 {
        _mm512_sll_epi16(bytes, _mm_cvtsi32_si128(left))
    } else {
        _mm512_srl_epi16(bytes, _mm_cvtsi32_si128(-left))
    };
    _mm512_and_si512(moved, _mm512_set1_epi8(mask))
}

/// Vector `vector`.
///
/// # Safety
/// It must be readable.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(quants: *const u8, vector: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_si512(quants.add(vector * VECTOR).cast()) }
}

/// The first and the second quants of step `step`, a byte each.
///
/// # Safety
/// The quants of a block of the format must be readable from `quants` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn take_step<F: Quant, const S: usize>(quants: *const u8) -> (__m512i, __m512i) {
    let step = S;
    let (s, odd) = (step as i32, 4 * (step as i32 % 2));
    // SAFETY: the vectors of a block are as many as the format says; the caller's promise.
    let (mut first, mut second) = unsafe {
        match low_bits(F::BITS) {
            2 => {
                let both = load(quants, step / 2);
                (shifted(both, -odd, 3), shifted(both, -odd - 2, 3))
            }
            4 => {
                let both = load(quants, step);
                (_mm512_and_si512(both, _mm512_set1_epi8(15)), shifted(both, -4, 15))
            }
            _ => (load(quants, step), load(quants, 4 + step)),
        }
    };
    if F::BITS == 3 || F::BITS == 5 {
        // SAFETY: as above.
        let bits = unsafe { load(quants, F::LOW_VECTORS) };
        let place = low_bits(F::BITS) as i32;
        first = _mm512_or_si512(first, shifted(bits, place - s, 1 << place));
        second = _mm512_or_si512(second, shifted(bits, place - 4 - s, 1 << place));
    }
    if F::BITS == 6 {
        // SAFETY: as above.
        let bits = unsafe { load(quants, F::LOW_VECTORS + step / 2) };
        first = _mm512_or_si512(first, shifted(bits, 4 - odd, 0x30));
        second = _mm512_or_si512(second, shifted(bits, 2 - odd, 0x30));
    }
    (first, second)
}

/// Scales of the first and the last sixteen columns, and minimums, of block `block`.
///
/// # Safety
/// The scales of a group must be readable from `scales` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn take_scales<F: Quant>(scales: *const u8, block: usize) -> ([__m512; 2], [__m512; 2]) {
    let (halves, bytes) = F::SCALES.offsets(block);
    let zero = _mm512_setzero_ps();
    // SAFETY: `offsets` stays within the scales of the group; what is read at each place is what the kind of scales has
    // there.
    unsafe {
        let scale = load_halves(scales.add(halves));
        let bytes = scales.add(bytes);
        match F::SCALES {
            Scales::Half => ([scale; 2], [zero; 2]),
            Scales::HalfMinimum => ([scale; 2], [load_halves(scales.add(halves + 2 * ROWS)); 2]),
            Scales::SuperMinimum => {
                let minimum = load_halves(scales.add(halves + 2 * ROWS));
                let scale = times(scale, _mm512_cvtepu8_epi32(load_bytes(bytes)));
                let minimum = times(minimum, _mm512_cvtepu8_epi32(load_bytes(bytes.add(ROWS))));
                ([scale; 2], [_mm512_sub_ps(zero, minimum); 2])
            }
            Scales::SuperHalves => {
                let (first, second) = (load_bytes(bytes), load_bytes(bytes.add(ROWS)));
                let first = times(scale, _mm512_cvtepi8_epi32(first));
                ([first, times(scale, _mm512_cvtepi8_epi32(second))], [zero; 2])
            }
            Scales::SuperHalvesMinimum => {
                let minimum = _mm512_sub_ps(zero, load_halves(scales.add(halves + 2 * ROWS)));
                let (first, second) = (load_bytes(bytes), load_bytes(bytes.add(ROWS)));
                (
                    [times(scale, low_nibbles(first)), times(scale, low_nibbles(second))],
                    [times(minimum, high_nibbles(first)), times(minimum, high_nibbles(second))],
                )
            }
        }
    }
}

/// Sixteen half-precision numbers as floats.
///
/// # Safety
/// They must be readable at `halves`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_halves(halves: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(halves.cast()) })
}

/// Sixteen bytes.
///
/// # Safety
/// They must be readable at `bytes`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_bytes(bytes: *const u8) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_loadu_si128(bytes.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn times(by: __m512, whole: __m512i) -> __m512 {
    _mm512_mul_ps(by, _mm512_cvtepi32_ps(whole))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn low_nibbles(bytes: __m128i) -> __m512i {
    _mm512_cvtepu8_epi32(_mm_and_si128(bytes, _mm_set1_epi8(15)))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn high_nibbles(bytes: __m128i) -> __m512i {
    _mm512_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16::<4>(bytes), _mm_set1_epi8(15)))
}

/// `254 · high + low`.
#[inline]
#[target_feature(enable = "avx512f")]
fn join_bytes(high: __m512i, low: __m512i) -> __m512i {
    const { assert!(HIGH == 256 - 2) };
    let high = _mm512_sub_epi32(_mm512_slli_epi32::<8>(high), _mm512_add_epi32(high, high));
    _mm512_add_epi32(high, low)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn to_lanes(values: __m512) -> Lanes {
    let mut out = [0.0; ROWS];
    // SAFETY: `out` has room for the sixteen lanes.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) };
    out
}

/// `T` tokens times the rows of a group. What a token gets does not depend on `T`.
///
/// # Safety
/// The processor has AVX-512 (F, BW, DQ, VL) and VNNI; the group has as many blocks as each of `x`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply<F: Quant, const T: usize>(group: &[u8], x: [&[Block]; T]) -> [Lanes; T] {
    let halved = F::SCALES.has_halves();
    let mut acc = [_mm512_setzero_ps(); T];
    let mut acc_minimums = [_mm512_setzero_ps(); T];
    let blocks = x[0].len();
    let (share, quants_at) = (group.len() / blocks.max(1), quants_at(F::SCALES, blocks));
    for block in 0..blocks {
        for line in (0..share).step_by(64) {
            // A hint: the address need not be ours.
            _mm_prefetch::<_MM_HINT_T0>(group.as_ptr().wrapping_add(AHEAD + block * share + line).cast());
        }
        let x: [&Block; T] = std::array::from_fn(|token| &x[token][block]);
        // Sums of the first columns and of the last, apart where those have scales of their own (and with one token, so
        // that no sum waits for the other).
        let apart = halved || T == 1;
        let mut high = [[_mm512_setzero_si512(); T]; 2];
        let mut low = [[_mm512_setzero_si512(); T]; 2];
        // SAFETY: block `block` is in the group, as the caller promises.
        let quants = unsafe { group.as_ptr().add(quants_at + block * F::QUANT_BYTES) };
        for_each_step!(S => {
            // SAFETY: as above.
            let (first, second) = unsafe { take_step::<F, S>(quants) };
            for half in 0..2 {
                let w = if half == 0 { first } else { second };
                let (into, at) = (if apart { half } else { 0 }, 4 * half + S);
                for t in 0..T {
                    high[into][t] = _mm512_dpbusd_epi32(high[into][t], w, broadcast(&x[t].high, at));
                    low[into][t] = _mm512_dpbusd_epi32(low[into][t], w, broadcast(&x[t].low, at));
                }
            }
        });
        // SAFETY: as above.
        let (scales, minimums) = unsafe { take_scales::<F>(group.as_ptr(), block) };
        for t in 0..T {
            let mut products = [join_bytes(high[0][t], low[0][t]), join_bytes(high[1][t], low[1][t])];
            let mut sums = x[t].sums;
            if !halved {
                products[0] = _mm512_add_epi32(products[0], products[1]);
                sums[0] += sums[1];
            }
            for half in 0..1 + usize::from(halved) {
                let mut product = products[half];
                if F::OFFSET != 0 {
                    product = _mm512_sub_epi32(product, _mm512_set1_epi32(F::OFFSET * sums[half]));
                }
                let scale = _mm512_mul_ps(scales[half], _mm512_set1_ps(x[t].scale));
                acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), scale, acc[t]);
                if F::SCALES.has_minimum() {
                    let sum = _mm512_set1_ps(x[t].scale * sums[half] as f32);
                    acc_minimums[t] = _mm512_fmadd_ps(minimums[half], sum, acc_minimums[t]);
                }
            }
        }
    }
    let mut out = [[0.0; ROWS]; T];
    for t in 0..T {
        out[t] = to_lanes(_mm512_add_ps(acc[t], acc_minimums[t]));
    }
    out
}

/// A panel with `each` scales a block times the tokens of a tile.
///
/// # Panics
/// Where the panel is not as wide as the tokens.
pub(super) fn multiply_tile(_: Avx512, each: usize, panel: &Panel, x: Tile<'_>) -> [Lanes; TILE] {
    assert!(panel.steps.len() == x.blocks.len() * STEPS && panel.scales.len() == x.blocks.len() * each);
    assert!(panel.minimums.len() == panel.scales.len() && (x.low.is_empty() || x.low.len() == x.blocks.len()));
    // SAFETY: the `Avx512` shows that the processor has these features, and the assertions above are the rest of the promise.
    unsafe {
        match (each, x.low.is_empty()) {
            (1, true) => tile::<1, false>(panel, x),
            (1, false) => tile::<1, true>(panel, x),
            (_, true) => tile::<2, false>(panel, x),
            (_, false) => tile::<2, true>(panel, x),
        }
    }
}

/// With `EACH` scales a block, and activations of two bytes or one.
///
/// # Safety
/// The processor has AVX-512F and VNNI; the panel has the steps and `EACH` scales and minimums for each block of `x`, which
/// has low bytes where `TWO_BYTES`.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile<const EACH: usize, const TWO_BYTES: bool>(panel: &Panel, x: Tile<'_>) -> [Lanes; TILE] {
    let mut acc = [_mm512_setzero_ps(); TILE];
    for (index, block) in x.blocks.iter().enumerate() {
        for half in 0..EACH {
            let (part, steps) = (index * EACH + half, STEPS / EACH);
            let mut high = [_mm512_setzero_si512(); TILE];
            let mut low = [_mm512_setzero_si512(); TILE];
            for step in half * steps..(half + 1) * steps {
                // SAFETY: the panel has all steps of each block.
                let w = unsafe { _mm512_loadu_si512(panel.steps.as_ptr().add(index * STEPS + step).cast()) };
                for (sum, &bytes) in high.iter_mut().zip(&block.high[step]) {
                    *sum = _mm512_dpbusd_epi32(*sum, w, four_bytes(bytes));
                }
                if TWO_BYTES {
                    // SAFETY: there are low bytes for each block.
                    let block = unsafe { x.low.get_unchecked(index) };
                    for (sum, &bytes) in low.iter_mut().zip(&block[step]) {
                        *sum = _mm512_dpbusd_epi32(*sum, w, four_bytes(bytes));
                    }
                }
            }
            // SAFETY: there are as many, sixteen floats each.
            let (scales, minimums) = unsafe {
                (
                    _mm512_loadu_ps(panel.scales.as_ptr().add(part).cast()),
                    _mm512_loadu_ps(panel.minimums.as_ptr().add(part).cast()),
                )
            };
            let sums = &block.sums[if EACH == 1 { 2 } else { half }];
            for t in 0..TILE {
                let product = if TWO_BYTES { join_bytes(high[t], low[t]) } else { high[t] };
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(block.scales[t]));
                acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), scale, acc[t]);
                acc[t] = _mm512_fmadd_ps(minimums, _mm512_set1_ps(sums[t]), acc[t]);
            }
        }
    }
    let mut out = [[0.0; ROWS]; TILE];
    for t in 0..TILE {
        out[t] = to_lanes(acc[t]);
    }
    out
}

/// The same four bytes in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn four_bytes(bytes: [i8; STEP]) -> __m512i {
    _mm512_set1_epi32(i32::from_le_bytes(zerocopy::transmute!(bytes)))
}
