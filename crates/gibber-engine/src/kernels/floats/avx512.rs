//! The kernels for x86-64 with AVX-512.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::format::FloatFormat;
use super::{AHEAD, LANES, Lanes};
use crate::kernels::isa::Avx512;

/// Values in a register.
const WIDTH: usize = 16;
/// Registers that an input's weights take.
const VECTORS: usize = LANES / WIDTH;

const F32: u8 = FloatFormat::F32 as u8;
const F16: u8 = FloatFormat::F16 as u8;
const BF16: u8 = FloatFormat::BF16 as u8;

const fn size<const FORMAT: u8>() -> usize {
    if FORMAT == F32 { 4 } else { 2 }
}

/// Sixteen values.
///
/// # Safety
/// As many bytes as they take must be readable at `weights`.
#[target_feature(enable = "avx512f")]
unsafe fn load<const FORMAT: u8>(weights: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe {
        match FORMAT {
            F32 => _mm512_loadu_ps(weights.cast()),
            F16 => _mm512_cvtph_ps(_mm256_loadu_si256(weights.cast())),
            _ => {
                let upper = _mm512_cvtepu16_epi32(_mm256_loadu_si256(weights.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(upper))
            }
        }
    }
}

/// See [`super::accumulate`].
///
/// # Panics
/// Where the weights are not as many steps as each input is long.
pub(super) fn accumulate(_: Avx512, format: FloatFormat, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    // SAFETY: the `Avx512` shows that the processor has what they are compiled for.
    unsafe {
        match format {
            FloatFormat::F32 => in_tiles::<F32>(weights, x, sums),
            FloatFormat::F16 => in_tiles::<F16>(weights, x, sums),
            FloatFormat::BF16 => in_tiles::<BF16>(weights, x, sums),
        }
    }
}

/// Eight tokens at a time: sixteen of 32 registers hold their sums.
#[target_feature(enable = "avx512f")]
fn in_tiles<const FORMAT: u8>(weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    let (x, sums) = tiles::<FORMAT, 8>(weights, x, sums);
    let (x, sums) = tiles::<FORMAT, 4>(weights, x, sums);
    let (x, sums) = tiles::<FORMAT, 2>(weights, x, sums);
    tiles::<FORMAT, 1>(weights, x, sums);
}

/// As many tiles of `T` tokens as there are; returns the tokens that are left.
#[target_feature(enable = "avx512f")]
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

#[target_feature(enable = "avx512f")]
fn tile<const FORMAT: u8, const T: usize>(weights: &[u8], x: &[&[f32]; T], sums: &mut [Lanes; T]) {
    let step = const { LANES * size::<FORMAT>() };
    let steps = weights.len() / step;
    assert!(x.iter().all(|x| x.len() == steps) && weights.len() == steps * step, "{steps} steps of weights");
    let mut acc = [[_mm512_setzero_ps(); VECTORS]; T];
    for (acc, sums) in acc.iter_mut().zip(&*sums) {
        for (v, acc) in acc.iter_mut().enumerate() {
            // SAFETY: a token's sums are `LANES` values.
            *acc = unsafe { _mm512_loadu_ps(sums.as_ptr().add(v * WIDTH)) };
        }
    }
    for k in 0..steps {
        // SAFETY: the step is in `weights`, as was asserted.
        let weights = unsafe { weights.as_ptr().add(k * step) };
        for line in (0..step).step_by(64) {
            // A hint: the address need not be ours.
            _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(AHEAD + line).cast());
        }
        let weights: [_; VECTORS] = std::array::from_fn(|v| {
            // SAFETY: the step has `LANES` values.
            unsafe { load::<FORMAT>(weights.add(v * WIDTH * const { size::<FORMAT>() })) }
        });
        for (x, acc) in x.iter().zip(&mut acc) {
            // SAFETY: every input has `steps` values, as was asserted.
            let x = _mm512_set1_ps(unsafe { *x.get_unchecked(k) });
            for (acc, &weights) in acc.iter_mut().zip(&weights) {
                *acc = _mm512_fmadd_ps(x, weights, *acc);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (v, &acc) in acc.iter().enumerate() {
            // SAFETY: as for the loads above.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr().add(v * WIDTH), acc) };
        }
    }
}
