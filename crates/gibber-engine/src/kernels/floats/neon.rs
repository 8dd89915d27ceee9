//! The kernels for 64-bit ARM.

use super::format::FloatFormat;
use super::kernel::{self, Weight, for_format};
use super::{LANES, Lanes};
use crate::kernels::isa::Neon;
use crate::kernels::registers::Registers;

/// Registers that a step of weights takes.
const VECTORS: usize = LANES / Neon::WIDTH;

/// See [`super::accumulate`].
///
/// # Panics
/// Where the weights are not as many steps as each input is long.
pub(super) fn accumulate(isa: Neon, format: FloatFormat, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    for_format!(format => in_tiles(isa, weights, x, sums));
}

/// Three tokens at a time: 24 of 32 registers hold their sums.
fn in_tiles<W: Weight>(isa: Neon, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    let (x, sums) = kernel::tiles::<_, W, VECTORS, 3>(isa, weights, x, sums);
    let (x, sums) = kernel::tiles::<_, W, VECTORS, 2>(isa, weights, x, sums);
    kernel::tiles::<_, W, VECTORS, 1>(isa, weights, x, sums);
}

/// See [`super::widen`].
///
/// # Panics
/// Where `weights` are not as many values as `out`, or not whole steps.
pub(super) fn widen(isa: Neon, format: FloatFormat, weights: &[u8], out: &mut [f32]) {
    for_format!(format => widen_all(isa, weights, out));
}

fn widen_all<W: Weight>(isa: Neon, weights: &[u8], out: &mut [f32]) {
    kernel::widen::<_, W>(isa, weights, out);
}
