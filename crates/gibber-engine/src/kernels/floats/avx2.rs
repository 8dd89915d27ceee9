//! The kernels for x86-64 with AVX2, FMA and F16C.
#![allow(unsafe_code)]

use super::format::FloatFormat;
use super::kernel::{self, Weight, for_format};
use super::{LANES, Lanes};
use crate::kernels::isa::Avx2;
use crate::kernels::registers::Registers;

/// Registers that a step of weights takes.
const VECTORS: usize = LANES / Avx2::WIDTH;

/// See [`super::accumulate`].
///
/// # Panics
/// Where the weights are not as many steps as each input is long.
pub(super) fn accumulate(isa: Avx2, format: FloatFormat, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    // SAFETY: the `Avx2` shows that the processor has what they are compiled for: `Isa::available` looked.
    unsafe { for_format!(format => in_tiles(isa, weights, x, sums)) }
}

/// Three tokens at a time: twelve of sixteen registers hold their sums.
#[target_feature(enable = "avx2,fma,f16c")]
fn in_tiles<W: Weight>(isa: Avx2, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    let (x, sums) = kernel::tiles::<_, W, VECTORS, 3>(isa, weights, x, sums);
    let (x, sums) = kernel::tiles::<_, W, VECTORS, 2>(isa, weights, x, sums);
    kernel::tiles::<_, W, VECTORS, 1>(isa, weights, x, sums);
}

/// See [`super::widen`].
///
/// # Panics
/// Where `weights` are not as many values as `out`, or not whole steps.
pub(super) fn widen(isa: Avx2, format: FloatFormat, weights: &[u8], out: &mut [f32]) {
    // SAFETY: as above.
    unsafe { for_format!(format => widen_all(isa, weights, out)) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn widen_all<W: Weight>(isa: Avx2, weights: &[u8], out: &mut [f32]) {
    kernel::widen::<_, W>(isa, weights, out);
}
