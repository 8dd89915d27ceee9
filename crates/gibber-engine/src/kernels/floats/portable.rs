//! The plain twins of the kernels.

use super::format::FloatFormat;
use super::{LANES, Lanes};

/// See [`super::accumulate`].
pub(super) fn accumulate(format: FloatFormat, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    let mut widened = [0.0; LANES];
    for (i, weights) in weights.chunks_exact(LANES * format.size()).enumerate() {
        format.widen(weights, &mut widened);
        for (x, sums) in x.iter().zip(&mut *sums) {
            let x = x[i];
            sums.iter_mut().zip(&widened).for_each(|(sum, weight)| *sum += x * weight);
        }
    }
}
