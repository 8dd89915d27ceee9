//! The kernels for x86-64 with AVX-512.
#![allow(unsafe_code)]

use super::format::FloatFormat;
use super::kernel::{self, Weight, for_format};
use super::{LANES, Lanes};
use crate::kernels::isa::Avx512;
use crate::kernels::registers::Registers;

/// Registers that a step of weights takes.
const VECTORS: usize = LANES / Avx512::WIDTH;

/// See [`super::accumulate`].
///
/// # Panics
/// Where the weights are not as many steps as each input is long.
pub(super) fn accumulate(isa: Avx512, format: FloatFormat, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    // SAFETY: the `Avx512` shows that the processor has what they are compiled for: `Isa::available` looked.
    unsafe { for_format!(format => in_tiles(isa, weights, x, sums)) }
}

/// Eight tokens at a time: sixteen of 32 registers hold their sums.
#[target_feature(enable = "avx512f")]
fn in_tiles<W: Weight>(isa: Avx512, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    let (x, sums) = kernel::tiles::<_, W, VECTORS, 8>(isa, weights, x, sums);
    let (x, sums) = kernel::tiles::<_, W, VECTORS, 4>(isa, weights, x, sums);
    let (x, sums) = kernel::tiles::<_, W, VECTORS, 2>(isa, weights, x, sums);
    kernel::tiles::<_, W, VECTORS, 1>(isa, weights, x, sums);
}
