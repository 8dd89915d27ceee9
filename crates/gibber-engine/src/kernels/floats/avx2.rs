//! The kernels for x86-64 with AVX2, FMA and F16C.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::format::FloatFormat;
use super::{AHEAD, LANES, Lanes};
use crate::kernels::isa::Avx2;

/// Values in a register.
const WIDTH: usize = 8;
/// Registers that an input's weights take.
const VECTORS: usize = LANES / WIDTH;

const F32: u8 = FloatFormat::F32 as u8;
const F16: u8 = FloatFormat::F16 as u8;
const BF16: u8 = FloatFormat::BF16 as u8;

const fn size<const FORMAT: u8>() -> usize {
    if FORMAT == F32 { 4 } else { 2 }
}

/// Eight values.
///
/// # Safety
/// As many bytes as they take must be readable at `weights`.
#[target_feature(enable = "avx2,f16c")]
unsafe fn load<const FORMAT: u8>(weights: *const u8) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        match FORMAT {
            F32 => _mm256_loadu_ps(weights.cast()),
            F16 => _mm256_cvtph_ps(_mm_loadu_si128(weights.cast())),
            _ => {
                let upper = _mm256_cvtepu16_epi32(_mm_loadu_si128(weights.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(upper))
            }
        }
    }
}

/// See [`super::accumulate`].
///
/// # Panics
/// Where the weights are not as many steps as each input is long.
pub(super) fn accumulate(_: Avx2, format: FloatFormat, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    // SAFETY: the `Avx2` shows that the processor has what they are compiled for.
    unsafe {
        match format {
            FloatFormat::F32 => in_tiles::<F32>(weights, x, sums),
            FloatFormat::F16 => in_tiles::<F16>(weights, x, sums),
            FloatFormat::BF16 => in_tiles::<BF16>(weights, x, sums),
        }
    }
}

/// Three tokens at a time: twelve of sixteen registers hold their sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn in_tiles<const FORMAT: u8>(weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    let (x, sums) = tiles::<FORMAT, 3>(weights, x, sums);
    let (x, sums) = tiles::<FORMAT, 2>(weights, x, sums);
    tiles::<FORMAT, 1>(weights, x, sums);
}

/// As many tiles of `T` tokens as there are; returns the tokens that are left.
#[target_feature(enable = "avx2,fma,f16c")]
fn tiles<'a, 'b, 's, const FORMAT: u8, const T: usize>(
    weights: &[u8],
    x: &'a [&'b [f32]],
    sums: &'s mut [Lanes],
) -> (&'a [&'b [f32]], &'s mut [Lanes]) {
    let (x, rest) = x.as_chunks::<T>();
    let (sums, rest_of_sums) = sums.split_at_mut(x.len() * T);
    for (x, sums) in x.iter().zip(sums.as_chunks_mut::<T>().0) {
        tile::<FORMAT, T>(weights, x, sums);
    }
    (rest, rest_of_sums)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn tile<const FORMAT: u8, const T: usize>(weights: &[u8], x: &[&[f32]; T], sums: &mut [Lanes; T]) {
    let step = const { LANES * size::<FORMAT>() };
    let steps = weights.len() / step;
    assert!(x.iter().all(|x| x.len() == steps) && weights.len() == steps * step, "{steps} steps of weights");
    let mut acc = [[_mm256_setzero_ps(); VECTORS]; T];
    for (acc, sums) in acc.iter_mut().zip(&*sums) {
        for (v, acc) in acc.iter_mut().enumerate() {
            // SAFETY: a token's sums are `LANES` values.
            *acc = unsafe { _mm256_loadu_ps(sums.as_ptr().add(v * WIDTH)) };
        }
    }
    for k in 0..steps {
        // SAFETY: the step is in `weights`, as was asserted.
        let weights = unsafe { weights.as_ptr().add(k * step) };
        for line in (0..step).step_by(64) {
            // A hint: the address need not be ours.
            _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(AHEAD + line).cast());
        }
        // SAFETY: every input has `steps` values, as was asserted.
        let x: [_; T] = std::array::from_fn(|t| unsafe { _mm256_broadcast_ss(x[t].get_unchecked(k)) });
        for v in 0..VECTORS {
            // SAFETY: the step has `LANES` values.
            let weights = unsafe { load::<FORMAT>(weights.add(v * WIDTH * const { size::<FORMAT>() })) };
            for (&x, acc) in x.iter().zip(&mut acc) {
                acc[v] = _mm256_fmadd_ps(x, weights, acc[v]);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (v, &acc) in acc.iter().enumerate() {
            // SAFETY: as for the loads above.
            unsafe { _mm256_storeu_ps(sums.as_mut_ptr().add(v * WIDTH), acc) };
        }
    }
}

/// See [`super::widen`].
///
/// # Panics
/// Where `weights` are not as many values as `out`, or not whole steps.
pub(super) fn widen(_: Avx2, format: FloatFormat, weights: &[u8], out: &mut [f32]) {
    // SAFETY: the `Avx2` shows that the processor has what they are compiled for.
    unsafe {
        match format {
            FloatFormat::F32 => widen_all::<F32>(weights, out),
            FloatFormat::F16 => widen_all::<F16>(weights, out),
            FloatFormat::BF16 => widen_all::<BF16>(weights, out),
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn widen_all<const FORMAT: u8>(weights: &[u8], out: &mut [f32]) {
    let bytes = const { WIDTH * size::<FORMAT>() };
    assert!(out.len().is_multiple_of(WIDTH) && weights.len() == out.len() / WIDTH * bytes, "{} values", out.len());
    for (weights, out) in weights.chunks_exact(bytes).zip(out.chunks_exact_mut(WIDTH)) {
        // SAFETY: both are chunks of `WIDTH` values.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), load::<FORMAT>(weights.as_ptr())) };
    }
}
