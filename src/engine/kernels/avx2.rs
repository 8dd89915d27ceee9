//! Products of packed weights for x86-64 with AVX2, FMA and F16C.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::activation::{BLOCK, QuantizedVector};
use super::packed::{PackedFormat, ROWS};

/// The eight rows of a packed group times `x`. See [`super::packed`] for the layout.
///
/// # Panics
/// Where the group has not as many blocks as `x`.
pub(super) fn multiply_group(format: PackedFormat, group: &[u8], x: &QuantizedVector) -> [f32; ROWS] {
    let blocks = x.len() / BLOCK;
    assert_eq!(group.len(), blocks * format.packed_block());
    assert!(x.scales.len() == blocks && x.sums.len() == blocks);
    // SAFETY: `Isa::Avx2`, which leads here, stands for a processor with these features; the assertions are what the
    // functions ask of their arguments.
    unsafe {
        match format {
            PackedFormat::Q4_0 => multiply_4bit::<false>(group, x),
            PackedFormat::Q4_1 => multiply_4bit::<true>(group, x),
            PackedFormat::Q8_0 => multiply_8bit(group, x),
        }
    }
}

/// Four activations, in every lane.
///
/// # Safety
/// Four bytes must be readable at `quants`.
#[target_feature(enable = "avx2")]
unsafe fn broadcast(quants: *const i8) -> __m256i {
    // SAFETY: the caller's promise.
    _mm256_set1_epi32(unsafe { quants.cast::<i32>().read_unaligned() })
}

/// Eight half-precision numbers as floats.
///
/// # Safety
/// Sixteen bytes must be readable at `halves`.
#[target_feature(enable = "avx2,f16c")]
unsafe fn load_halves(halves: *const u8) -> __m256 {
    // SAFETY: the caller's promise.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves.cast()) })
}

#[target_feature(enable = "avx2")]
fn to_array(lanes: __m256) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    // SAFETY: `out` has room for the eight lanes.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), lanes) };
    out
}

/// # Safety
/// The processor has AVX2, FMA and F16C; `group` holds as many packed blocks (of Q4_1 with minimums, of Q4_0 without) as
/// `x` has blocks, and `x` a scale and a sum for each.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_4bit<const MINIMUMS: bool>(group: &[u8], x: &QuantizedVector) -> [f32; ROWS] {
    let header = if MINIMUMS { 4 * ROWS } else { 2 * ROWS };
    let size = header + ROWS * BLOCK / 2;
    let low_bits = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    let mut acc = _mm256_setzero_ps();
    let mut acc_minimums = _mm256_setzero_ps();
    for block in 0..x.scales.len() {
        // SAFETY: the block is in the group, its columns in `x`, as the caller promises.
        let (weights, quants) = unsafe { (group.as_ptr().add(block * size), x.quants.as_ptr().add(block * BLOCK)) };
        // Products of pairs are at most 2 * 15 * 127; eight of them fit into 16 bits.
        let mut pairs = _mm256_setzero_si256();
        for step in 0..4 {
            // SAFETY: as above; 4 steps of 32 bytes follow the header, 32 activations are there.
            let (both, low_x, high_x) = unsafe {
                (
                    _mm256_loadu_si256(weights.add(header + 32 * step).cast()),
                    broadcast(quants.add(4 * step)),
                    broadcast(quants.add(BLOCK / 2 + 4 * step)),
                )
            };
            let low = _mm256_and_si256(both, low_bits);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low_bits);
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(low, low_x));
            pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(high, high_x));
        }
        let mut product = _mm256_madd_epi16(pairs, ones);
        let (scale, sum) = (x.scales[block], x.sums[block]);
        if !MINIMUMS {
            product = _mm256_sub_epi32(product, _mm256_set1_epi32(8 * sum));
        }
        // SAFETY: the header is in the group, see above.
        let weight_scales = unsafe { load_halves(weights) };
        let scales = _mm256_mul_ps(weight_scales, _mm256_set1_ps(scale));
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product), scales, acc);
        if MINIMUMS {
            // SAFETY: the second half of the header.
            let minimums = unsafe { load_halves(weights.add(2 * ROWS)) };
            acc_minimums = _mm256_fmadd_ps(minimums, _mm256_set1_ps(scale * sum as f32), acc_minimums);
        }
    }
    to_array(_mm256_add_ps(acc, acc_minimums))
}

/// # Safety
/// The processor has AVX2, FMA and F16C; `group` holds as many packed blocks of Q8_0 as `x` has blocks, and `x` a scale
/// for each.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_8bit(group: &[u8], x: &QuantizedVector) -> [f32; ROWS] {
    let header = 2 * ROWS;
    let size = header + ROWS * BLOCK;
    let ones = _mm256_set1_epi16(1);
    let mut acc = _mm256_setzero_ps();
    for block in 0..x.scales.len() {
        // SAFETY: the block is in the group, its columns in `x`, as the caller promises.
        let (weights, quants) = unsafe { (group.as_ptr().add(block * size), x.quants.as_ptr().add(block * BLOCK)) };
        let mut product = _mm256_setzero_si256();
        for step in 0..8 {
            // SAFETY: as above; 8 steps of 32 bytes follow the header, 32 activations are there.
            let (w, x) = unsafe {
                (_mm256_loadu_si256(weights.add(header + 32 * step).cast()), broadcast(quants.add(4 * step)))
            };
            // One factor has to be unsigned: the weight gives its sign to the activation. Pairs are at most 2 * 128 * 127.
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
            product = _mm256_add_epi32(product, _mm256_madd_epi16(pairs, ones));
        }
        // SAFETY: the header is in the group, see above.
        let weight_scales = unsafe { load_halves(weights) };
        let scales = _mm256_mul_ps(weight_scales, _mm256_set1_ps(x.scales[block]));
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product), scales, acc);
    }
    to_array(acc)
}
