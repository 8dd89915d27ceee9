//! Products of packed weights for x86-64 with AVX2, FMA and F16C.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::activation::{BLOCK, Block, HIGH};
use super::packed::{PackedFormat, ROWS};

/// How far ahead of the multiplication weights are fetched into the cache, in bytes: the processor's own prefetcher stops
/// at each page.
const AHEAD: usize = 1024;

/// The eight rows of a packed group times `x`. See [`super::packed`] for the layout.
///
/// # Panics
/// Where the group has not as many blocks as `x`.
pub(super) fn multiply_group(format: PackedFormat, group: &[u8], x: &[Block]) -> [f32; ROWS] {
    assert_eq!(group.len(), x.len() * format.packed_block());
    // SAFETY: `Isa::Avx2`, which leads here, stands for a processor with these features; the assertion is what the
    // functions ask of their arguments.
    unsafe {
        match format {
            PackedFormat::Q4_0 => multiply_4bit::<false>(group, x),
            PackedFormat::Q4_1 => multiply_4bit::<true>(group, x),
            PackedFormat::Q8_0 => multiply_8bit(group, x),
        }
    }
}

/// Activations `4 · step ..` of a byte plane, in every lane.
#[target_feature(enable = "avx2")]
fn broadcast(plane: &[i8; BLOCK], step: usize) -> __m256i {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| plane[4 * step + i] as u8);
    _mm256_castps_si256(_mm256_broadcast_ss(&f32::from_bits(u32::from_le_bytes([a, b, c, d]))))
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

/// Asks for the cache lines of the `size` bytes that lie [`AHEAD`] of `weights`. A hint: the address need not be ours.
#[target_feature(enable = "avx2")]
fn fetch_ahead(weights: *const u8, size: usize) {
    for line in (0..size).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(AHEAD + line).cast());
    }
}

/// `254 · high + low`, after the pairs of each 32-bit lane were added.
#[target_feature(enable = "avx2")]
fn join(high: __m256i, low: __m256i) -> __m256i {
    const { assert!(HIGH == 256 - 2) };
    let high = _mm256_sub_epi32(_mm256_slli_epi32::<8>(high), _mm256_add_epi32(high, high));
    _mm256_add_epi32(high, low)
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
/// `x`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_4bit<const MINIMUMS: bool>(group: &[u8], x: &[Block]) -> [f32; ROWS] {
    let header = if MINIMUMS { 4 * ROWS } else { 2 * ROWS };
    let size = header + ROWS * BLOCK / 2;
    let low_bits = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    let mut acc = _mm256_setzero_ps();
    let mut acc_minimums = _mm256_setzero_ps();
    for (index, x) in x.iter().enumerate() {
        // SAFETY: the block is in the group, as the caller promises.
        let weights = unsafe { group.as_ptr().add(index * size) };
        fetch_ahead(weights, size);
        // Products of pairs are at most 2 * 15 * 127; eight of them fit into 16 bits.
        let mut high = _mm256_setzero_si256();
        let mut low = _mm256_setzero_si256();
        for step in 0..4 {
            // SAFETY: 4 steps of 32 bytes follow the header.
            let both = unsafe { _mm256_loadu_si256(weights.add(header + 32 * step).cast()) };
            let first = _mm256_and_si256(both, low_bits);
            let second = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low_bits);
            high = _mm256_add_epi16(high, _mm256_maddubs_epi16(first, broadcast(&x.high, step)));
            high = _mm256_add_epi16(high, _mm256_maddubs_epi16(second, broadcast(&x.high, 4 + step)));
            low = _mm256_add_epi16(low, _mm256_maddubs_epi16(first, broadcast(&x.low, step)));
            low = _mm256_add_epi16(low, _mm256_maddubs_epi16(second, broadcast(&x.low, 4 + step)));
        }
        let mut product = join(_mm256_madd_epi16(high, ones), _mm256_madd_epi16(low, ones));
        if !MINIMUMS {
            product = _mm256_sub_epi32(product, _mm256_set1_epi32(8 * x.sum));
        }
        // SAFETY: the header is in the group, see above.
        let weight_scales = unsafe { load_halves(weights) };
        let scales = _mm256_mul_ps(weight_scales, _mm256_set1_ps(x.scale));
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product), scales, acc);
        if MINIMUMS {
            // SAFETY: the second half of the header.
            let minimums = unsafe { load_halves(weights.add(2 * ROWS)) };
            acc_minimums = _mm256_fmadd_ps(minimums, _mm256_set1_ps(x.scale * x.sum as f32), acc_minimums);
        }
    }
    to_array(_mm256_add_ps(acc, acc_minimums))
}

/// # Safety
/// The processor has AVX2, FMA and F16C; `group` holds as many packed blocks of Q8_0 as `x`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_8bit(group: &[u8], x: &[Block]) -> [f32; ROWS] {
    let header = 2 * ROWS;
    let size = header + ROWS * BLOCK;
    let ones = _mm256_set1_epi16(1);
    let mut acc = _mm256_setzero_ps();
    for (index, x) in x.iter().enumerate() {
        // SAFETY: the block is in the group, as the caller promises.
        let weights = unsafe { group.as_ptr().add(index * size) };
        fetch_ahead(weights, size);
        let mut high = _mm256_setzero_si256();
        let mut low = _mm256_setzero_si256();
        for step in 0..8 {
            // SAFETY: 8 steps of 32 bytes follow the header.
            let w = unsafe { _mm256_loadu_si256(weights.add(header + 32 * step).cast()) };
            // One factor has to be unsigned: the weight gives its sign to the activation. Pairs are at most 2 * 128 * 127.
            let size = _mm256_abs_epi8(w);
            let high_pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(broadcast(&x.high, step), w));
            let low_pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(broadcast(&x.low, step), w));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(high_pairs, ones));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(low_pairs, ones));
        }
        // SAFETY: the header is in the group, see above.
        let weight_scales = unsafe { load_halves(weights) };
        let scales = _mm256_mul_ps(weight_scales, _mm256_set1_ps(x.scale));
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(join(high, low)), scales, acc);
    }
    to_array(acc)
}
