//! Products of packed weights for x86-64 with AVX2, FMA and F16C: half of a group's rows in a register.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::expand::{Lanes, Panel};
use super::format::{self, Quant, ROWS, Scales, VECTOR, low_bits, quants_at};
use super::{PackedFormat, for_each_step, for_format};
use crate::kernels::activation::{BLOCK, Block, HIGH, STEP, STEPS};
use crate::kernels::isa::Avx2;
use crate::kernels::tiles::{TILE, Tile};

/// Rows in a register.
const HALF: usize = ROWS / 2;
/// Bytes that a register takes of a vector of steps.
const HALF_VECTOR: usize = VECTOR / 2;
/// How far ahead of the multiplication weights are fetched into the cache, in bytes: the processor's own prefetcher stops
/// at each page.
const AHEAD: usize = 1024;

/// See [`super::multiply_groups`].
///
/// # Panics
/// Where the groups are not as many as the outputs, each with as many blocks as `x`.
pub(super) fn multiply_groups(_: Avx2, format: PackedFormat, groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    assert_eq!(groups.len(), out.len() * format.group_bytes(x.len()), "groups of another width");
    // SAFETY: the `Avx2` shows that the processor has these features, and the assertions above are the rest of the promise.
    unsafe { for_format!(format => groups_of_one_token(groups, x, out)) }
}

/// # Safety
/// The processor has AVX2, FMA and F16C; the groups are as many as the outputs, each with as many blocks as `x`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn groups_of_one_token<F: Quant>(groups: &[u8], x: &[Block], out: &mut [Lanes]) {
    let each = groups.len() / out.len().max(1);
    for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
        // SAFETY: the caller's promise, for each group.
        let [[low, high]] = unsafe { multiply::<F, 1, 2>(group, [x], 0) };
        *out = join_halves(low, high);
    }
}

/// See [`super::multiply_group`].
///
/// # Panics
/// Where the group has not as many blocks as `x`.
pub(super) fn multiply_group(_: Avx2, format: PackedFormat, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    for x in x {
        assert_eq!(group.len(), format.group_bytes(x.len()), "a group of another width");
    }
    let mut out = out.iter_mut();
    let mut pairs = x.chunks_exact(2);
    for pair in &mut pairs {
        let (Some(a), Some(b)) = (out.next(), out.next()) else { return };
        // SAFETY: the `Avx2` shows that the processor has these features, and the assertions above are the rest of the promise.
        let values = unsafe { for_format!(format => two_tokens(group, [pair[0], pair[1]])) };
        [*a, *b] = values;
    }
    if let ([x], Some(out)) = (pairs.remainder(), out.next()) {
        // SAFETY: as above.
        *out = unsafe { for_format!(format => one_token(group, x)) };
    }
}

/// # Safety
/// The processor has AVX2, FMA and F16C, and the group as many blocks as `x`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn one_token<F: Quant>(group: &[u8], x: &[Block]) -> Lanes {
    // SAFETY: the caller's promise.
    let [[low, high]] = unsafe { multiply::<F, 1, 2>(group, [x], 0) };
    join_halves(low, high)
}

/// Two tokens would need twice the registers for all rows: they take one half of them after the other.
///
/// # Safety
/// As [`one_token`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn two_tokens<F: Quant>(group: &[u8], x: [&[Block]; 2]) -> [Lanes; 2] {
    // SAFETY: the caller's promise.
    let ([[a], [b]], [[c], [d]]) = unsafe { (multiply::<F, 2, 1>(group, x, 0), multiply::<F, 2, 1>(group, x, HALF)) };
    [join_halves(a, c), join_halves(b, d)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn join_halves(low: __m256, high: __m256) -> Lanes {
    let mut out = [0.0; ROWS];
    // SAFETY: `out` has room for the sixteen lanes.
    unsafe {
        _mm256_storeu_ps(out.as_mut_ptr(), low);
        _mm256_storeu_ps(out.as_mut_ptr().add(HALF), high);
    }
    out
}

/// The four bytes of step `step` in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn broadcast_bytes(x: &[i8; BLOCK], step: usize) -> __m256i {
    let steps: &[[i8; STEP]; BLOCK / STEP] = zerocopy::transmute_ref!(x);
    _mm256_set1_epi32(i32::from_le_bytes(zerocopy::transmute!(steps[step])))
}

/// Pair `pair` of numbers of sixteen bits in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn broadcast_pair(x: &[i16; BLOCK], pair: usize) -> __m256i {
    let pairs: &[[i16; 2]; BLOCK / 2] = zerocopy::transmute_ref!(x);
    _mm256_set1_epi32(zerocopy::transmute!(pairs[pair]))
}

/// Each byte shifted to the left by `left` bits (to the right where that is negative), the bits of `mask` kept.
#[inline]
#[target_feature(enable = "avx2")]
fn shifted(bytes: __m256i, left: i32, mask: i8) -> __m256i {
    let moved = if left >= 0 {
        _mm256_sll_epi16(bytes, _mm_cvtsi32_si128(left))
    } else {
        _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(-left))
    };
    _mm256_and_si256(moved, _mm256_set1_epi8(mask))
}

/// Half of vector `vector`.
///
/// # Safety
/// It must be readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(quants: *const u8, vector: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_si256(quants.add(vector * VECTOR).cast()) }
}

/// The first and the second quants of step `step`, a byte each.
///
/// # Safety
/// The quants of a block of the format must be readable from `quants` on, but for those of the rows before.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn take_step<F: Quant, const S: usize>(quants: *const u8) -> (__m256i, __m256i) {
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
                (_mm256_and_si256(both, _mm256_set1_epi8(15)), shifted(both, -4, 15))
            }
            _ => (load(quants, step), load(quants, 4 + step)),
        }
    };
    if F::BITS == 3 || F::BITS == 5 {
        // SAFETY: as above.
        let bits = unsafe { load(quants, F::LOW_VECTORS) };
        let place = low_bits(F::BITS) as i32;
        first = _mm256_or_si256(first, shifted(bits, place - s, 1 << place));
        second = _mm256_or_si256(second, shifted(bits, place - 4 - s, 1 << place));
    }
    if F::BITS == 6 {
        // SAFETY: as above.
        let bits = unsafe { load(quants, F::LOW_VECTORS + step / 2) };
        first = _mm256_or_si256(first, shifted(bits, 4 - odd, 0x30));
        second = _mm256_or_si256(second, shifted(bits, 2 - odd, 0x30));
    }
    (first, second)
}

/// Eight half-precision numbers as floats.
///
/// # Safety
/// Sixteen bytes must be readable at `halves`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn load_halves(halves: *const u8) -> __m256 {
    // SAFETY: the caller's promise.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves.cast()) })
}

/// Eight bytes.
///
/// # Safety
/// They must be readable at `bytes`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_bytes(bytes: *const u8) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_loadl_epi64(bytes.cast()) }
}

/// Scales of the first and the last sixteen columns, and minimums, of eight rows of block `block`.
///
/// # Safety
/// The scales of a group must be readable from `scales` on, and `row` is 0 or 8.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn take_scales<F: Quant>(scales: *const u8, block: usize, row: usize) -> ([__m256; 2], [__m256; 2]) {
    let (halves, bytes) = F::SCALES.offsets(block);
    let zero = _mm256_setzero_ps();
    // SAFETY: `offsets` stays within the scales of the group; what is read at each place is what the kind of scales has
    // there.
    unsafe {
        let scale = load_halves(scales.add(halves + 2 * row));
        let bytes = scales.add(bytes + row);
        match F::SCALES {
            Scales::Half => ([scale; 2], [zero; 2]),
            Scales::HalfMinimum => ([scale; 2], [load_halves(scales.add(halves + 2 * (ROWS + row))); 2]),
            Scales::SuperMinimum => {
                let minimum = load_halves(scales.add(halves + 2 * (ROWS + row)));
                let scale = times(scale, _mm256_cvtepu8_epi32(load_bytes(bytes)));
                let minimum = times(minimum, _mm256_cvtepu8_epi32(load_bytes(bytes.add(ROWS))));
                ([scale; 2], [_mm256_sub_ps(zero, minimum); 2])
            }
            Scales::SuperHalves => {
                let (first, second) = (load_bytes(bytes), load_bytes(bytes.add(ROWS)));
                let first = times(scale, _mm256_cvtepi8_epi32(first));
                ([first, times(scale, _mm256_cvtepi8_epi32(second))], [zero; 2])
            }
            Scales::SuperHalvesMinimum => {
                let minimum = load_halves(scales.add(halves + 2 * (ROWS + row)));
                let minimum = _mm256_sub_ps(zero, minimum);
                let (first, second) = (load_bytes(bytes), load_bytes(bytes.add(ROWS)));
                (
                    [times(scale, low_nibbles(first)), times(scale, low_nibbles(second))],
                    [times(minimum, high_nibbles(first)), times(minimum, high_nibbles(second))],
                )
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn times(by: __m256, whole: __m256i) -> __m256 {
    _mm256_mul_ps(by, _mm256_cvtepi32_ps(whole))
}

#[inline]
#[target_feature(enable = "avx2")]
fn low_nibbles(bytes: __m128i) -> __m256i {
    _mm256_cvtepu8_epi32(_mm_and_si128(bytes, _mm_set1_epi8(15)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn high_nibbles(bytes: __m128i) -> __m256i {
    _mm256_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16::<4>(bytes), _mm_set1_epi8(15)))
}

/// `254 · high + low`.
#[inline]
#[target_feature(enable = "avx2")]
fn join_bytes(high: __m256i, low: __m256i) -> __m256i {
    const { assert!(HIGH == 256 - 2) };
    let high = _mm256_sub_epi32(_mm256_slli_epi32::<8>(high), _mm256_add_epi32(high, high));
    _mm256_add_epi32(high, low)
}

/// The whole-number products of a block, of `T` tokens and `R` registers of rows: for the first sixteen columns and for
/// the last where those have scales of their own, otherwise all in the first.
///
/// # Safety
/// As [`take_step`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn block_products<F: Quant, const T: usize, const R: usize>(
    quants: *const u8,
    x: [&Block; T],
) -> [[[__m256i; R]; T]; 2] {
    let zero = _mm256_setzero_si256();
    let ones = _mm256_set1_epi16(1);
    let halved = F::SCALES.has_halves();
    let mut sums = [[[zero; R]; T]; 2];
    // Sums of pairs of products, 16 bits each: of the high bytes and the low ones.
    let mut high_pairs = [[[zero; R]; T]; 2];
    let mut low_pairs = [[[zero; R]; T]; 2];
    for_each_step!(S => {
        for r in 0..R {
            // SAFETY: the caller's promise; the second register is within the same vectors.
            let (first, second) = unsafe { take_step::<F, S>(quants.add(r * HALF_VECTOR)) };
            for half in 0..2 {
                let w = if half == 0 { first } else { second };
                let into = if halved { half } else { 0 };
                let at = 4 * half + S;
                for t in 0..T {
                    if F::BITS == 8 {
                        // Too large for pairs of 16 bits: whole activations, columns of even and of odd number.
                        let (even, odd) = (_mm256_and_si256(w, _mm256_set1_epi16(255)), _mm256_srli_epi16::<8>(w));
                        let products = _mm256_add_epi32(
                            _mm256_madd_epi16(even, broadcast_pair(&x[t].pairs, 2 * at)),
                            _mm256_madd_epi16(odd, broadcast_pair(&x[t].pairs, 2 * at + 1)),
                        );
                        sums[into][t][r] = _mm256_add_epi32(sums[into][t][r], products);
                    } else {
                        let high = _mm256_maddubs_epi16(w, broadcast_bytes(&x[t].high, at));
                        let low = _mm256_maddubs_epi16(w, broadcast_bytes(&x[t].low, at));
                        high_pairs[into][t][r] = _mm256_add_epi16(high_pairs[into][t][r], high);
                        low_pairs[into][t][r] = _mm256_add_epi16(low_pairs[into][t][r], low);
                    }
                }
            }
        }
        // Eight pairs of 4-bit quants stay below 2^15, four of 5-bit ones, two of 6-bit ones.
        if F::BITS != 8 && (S == 3 || F::BITS >= 5 && S == 1) {
            for half in 0..1 + usize::from(halved) {
                for t in 0..T {
                    for r in 0..R {
                        let high = _mm256_madd_epi16(high_pairs[half][t][r], ones);
                        let low = _mm256_madd_epi16(low_pairs[half][t][r], ones);
                        sums[half][t][r] = _mm256_add_epi32(sums[half][t][r], join_bytes(high, low));
                        (high_pairs[half][t][r], low_pairs[half][t][r]) = (zero, zero);
                    }
                }
            }
        }
    });
    sums
}

/// `T` tokens times `8 · R` rows of a group from `row` on. What a token gets does not depend on `T` or `R`.
///
/// # Safety
/// The processor has AVX2, FMA and F16C; the group has as many blocks as each of `x`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply<F: Quant, const T: usize, const R: usize>(
    group: &[u8],
    x: [&[Block]; T],
    row: usize,
) -> [[__m256; R]; T] {
    let mut acc = [[_mm256_setzero_ps(); R]; T];
    let mut acc_minimums = [[_mm256_setzero_ps(); R]; T];
    let blocks = x[0].len();
    let (share, quants_at) = (group.len() / blocks.max(1), quants_at(F::SCALES, blocks));
    for block in 0..blocks {
        for line in (0..share).step_by(64) {
            // A hint: the address need not be ours.
            _mm_prefetch::<_MM_HINT_T0>(group.as_ptr().wrapping_add(AHEAD + block * share + line).cast());
        }
        let x: [&Block; T] = std::array::from_fn(|token| &x[token][block]);
        // SAFETY: block `block` is in the group, as the caller promises.
        let products = unsafe {
            let quants = group.as_ptr().add(quants_at + block * F::QUANT_BYTES + row * STEP);
            block_products::<F, T, R>(quants, x)
        };
        for r in 0..R {
            // SAFETY: as above.
            let (scales, minimums) = unsafe { take_scales::<F>(group.as_ptr(), block, row + r * HALF) };
            for t in 0..T {
                let [first, second] = x[t].sums;
                let sums = if F::SCALES.has_halves() { [first, second] } else { [first + second, 0] };
                for half in 0..if F::SCALES.has_halves() { 2 } else { 1 } {
                    let mut product = products[half][t][r];
                    if F::OFFSET != 0 {
                        product = _mm256_sub_epi32(product, _mm256_set1_epi32(F::OFFSET * sums[half]));
                    }
                    let scale = _mm256_mul_ps(scales[half], _mm256_set1_ps(x[t].scale));
                    acc[t][r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product), scale, acc[t][r]);
                    if F::SCALES.has_minimum() {
                        let sum = _mm256_set1_ps(x[t].scale * sums[half] as f32);
                        acc_minimums[t][r] = _mm256_fmadd_ps(minimums[half], sum, acc_minimums[t][r]);
                    }
                }
            }
        }
    }
    for t in 0..T {
        for r in 0..R {
            acc[t][r] = _mm256_add_ps(acc[t][r], acc_minimums[t][r]);
        }
    }
    acc
}

/// Tokens of a tile that are multiplied together: as many as there are registers for.
const AT_ONCE: usize = 2;

/// A panel of quants of `bits` bits (at most 5), with `each` scales a block, times the tokens of a tile.
///
/// # Panics
/// Where the panel is not as wide as the tokens.
pub(super) fn multiply_tile(_: Avx2, bits: usize, each: usize, panel: &Panel, x: Tile<'_>) -> [Lanes; TILE] {
    assert!(panel.steps.len() == x.blocks.len() * STEPS && panel.scales.len() == x.blocks.len() * each);
    assert!(panel.minimums.len() == panel.scales.len() && (x.low.is_empty() || x.low.len() == x.blocks.len()));
    debug_assert!(bits <= 5);
    let mut out = [[0.0; ROWS]; TILE];
    for (pair, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let first = pair * AT_ONCE;
        // SAFETY: the `Avx2` shows that the processor has these features, and the assertions above are the rest of the promise.
        *out = unsafe {
            match (bits, each, x.low.is_empty()) {
                (5, 1, true) => tile::<5, 1, false>(panel, x, first),
                (5, 1, false) => tile::<5, 1, true>(panel, x, first),
                (_, 1, true) => tile::<4, 1, false>(panel, x, first),
                (_, 1, false) => tile::<4, 1, true>(panel, x, first),
                (_, _, true) => tile::<4, 2, false>(panel, x, first),
                (_, _, false) => tile::<4, 2, true>(panel, x, first),
            }
        };
    }
    out
}

/// With quants of `BITS` (4 stands for fewer as well), `EACH` scales a block, and activations of two bytes or one: the
/// tokens from `token` on.
///
/// # Safety
/// The processor has AVX2 and FMA; the panel has the steps and `EACH` scales and minimums for each block of `x`, which has
/// low bytes where `TWO_BYTES`.
///
/// # Panics
/// Where the tile has no such tokens.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const BITS: usize, const EACH: usize, const TWO_BYTES: bool>(
    panel: &Panel,
    x: Tile<'_>,
    token: usize,
) -> [Lanes; AT_ONCE] {
    assert!(token + AT_ONCE <= TILE);
    let zero = _mm256_setzero_si256();
    let ones = _mm256_set1_epi16(1);
    let mut acc = [[_mm256_setzero_ps(); 2]; AT_ONCE];
    let quants: *const u8 = panel.steps.as_ptr().cast();
    let steps_each = STEPS / EACH;
    // As in `block_products`: eight pairs of 4-bit quants fit, four of 5-bit ones.
    let steps_at_once = if BITS == 5 { 4 } else { steps_each };
    for (part, (scales, minimums)) in panel.scales.iter().zip(&panel.minimums).enumerate() {
        let (index, half) = (part / EACH, part % EACH);
        // SAFETY: the tokens have a block for each of the panel's.
        let block = unsafe { x.blocks.get_unchecked(index) };
        let mut sums = [[zero; 2]; AT_ONCE];
        for first in (half * steps_each..(half + 1) * steps_each).step_by(steps_at_once) {
            let mut high = [[zero; 2]; AT_ONCE];
            let mut low = [[zero; 2]; AT_ONCE];
            for step in first..first + steps_at_once {
                let at = index * STEPS + step;
                // SAFETY: the panel has all steps of each block.
                let w = unsafe { [load(quants, at), load(quants.add(HALF_VECTOR), at)] };
                for t in 0..AT_ONCE {
                    let four = four_bytes(block.high[step][token + t]);
                    high[t][0] = _mm256_add_epi16(high[t][0], _mm256_maddubs_epi16(w[0], four));
                    high[t][1] = _mm256_add_epi16(high[t][1], _mm256_maddubs_epi16(w[1], four));
                    if TWO_BYTES {
                        // SAFETY: there are low bytes for each block.
                        let four = four_bytes(unsafe { x.low.get_unchecked(index) }[step][token + t]);
                        low[t][0] = _mm256_add_epi16(low[t][0], _mm256_maddubs_epi16(w[0], four));
                        low[t][1] = _mm256_add_epi16(low[t][1], _mm256_maddubs_epi16(w[1], four));
                    }
                }
            }
            for t in 0..AT_ONCE {
                for r in 0..2 {
                    let mut product = _mm256_madd_epi16(high[t][r], ones);
                    if TWO_BYTES {
                        product = join_bytes(product, _mm256_madd_epi16(low[t][r], ones));
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
    let [[a, b], [c, d]] = acc;
    [join_halves(a, b), join_halves(c, d)]
}

/// The same four bytes in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn four_bytes(bytes: [i8; STEP]) -> __m256i {
    _mm256_set1_epi32(i32::from_le_bytes(zerocopy::transmute!(bytes)))
}
