//! The plain twins: the same whole-number arithmetic as the kernels for each instruction set, in plain Rust.

use super::PackedFormat;
use super::expand::{BlockScales, Lanes, Step, block_scales, expand_block};
use super::format::{ROWS, VECTOR, quants_at};
use crate::kernels::activation::{BLOCK, Block, HIGH, STEP, STEPS};

/// See [`super::multiply_group`].
pub(super) fn multiply_group(format: PackedFormat, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    for (x, out) in x.iter().zip(out) {
        *out = multiply(format, group, x);
    }
}

fn multiply(format: PackedFormat, group: &[u8], x: &[Block]) -> Lanes {
    let (scales, quants) = group.split_at(quants_at(format.scales(), x.len()));
    let mut out = [0.0; ROWS];
    for (block, (quants, x)) in quants.chunks_exact(format.bits() * VECTOR).zip(x).enumerate() {
        let steps = expand_block(format, quants);
        let BlockScales { scales, minimums } = block_scales(format.scales(), scales, block);
        for half in 0..2 {
            let columns = half * BLOCK / 2..(half + 1) * BLOCK / 2;
            let steps = &steps[half * STEPS / 2..(half + 1) * STEPS / 2];
            let (high, low) = (products(steps, &x.high[columns.clone()]), products(steps, &x.low[columns]));
            for (lane, out) in out.iter_mut().enumerate() {
                let product = activations_have_16_bits(high[lane], low[lane]) - format.offset() * x.sums[half];
                *out += product as f32 * (scales[half][lane] * x.scale);
                if format.scales().has_minimum() {
                    *out += minimums[half][lane] * (x.scale * x.sums[half] as f32);
                }
            }
        }
    }
    out
}

/// Each row's quants times the activations `x`, four a step.
pub(super) fn products(steps: &[Step], x: &[i8]) -> [i32; ROWS] {
    let mut sums = [0; ROWS];
    for (step, x) in steps.iter().zip(x.chunks_exact(STEP)) {
        for (sum, word) in sums.iter_mut().zip(step) {
            let quants = word.to_le_bytes();
            *sum += quants.iter().zip(x).map(|(&q, &x)| i32::from(q) * i32::from(x)).sum::<i32>();
        }
    }
    sums
}

/// The product of both bytes.
pub(super) fn activations_have_16_bits(high: i32, low: i32) -> i32 {
    HIGH * high + low
}

/// Row `lane` of a group as floats.
pub(super) fn unpack_row(format: PackedFormat, group: &[u8], lane: usize, out: &mut [f32]) {
    let (scales, quants) = group.split_at(quants_at(format.scales(), out.len() / BLOCK));
    let blocks = quants.chunks_exact(format.bits() * VECTOR).zip(out.chunks_exact_mut(BLOCK));
    for (block, (quants, out)) in blocks.enumerate() {
        let steps = expand_block(format, quants);
        let BlockScales { scales, minimums } = block_scales(format.scales(), scales, block);
        for (index, (out, step)) in out.chunks_exact_mut(STEP).zip(&steps).enumerate() {
            let half = index / (STEPS / 2);
            for (out, quant) in out.iter_mut().zip(step[lane].to_le_bytes()) {
                let quant = (i32::from(quant) - format.offset()) as f32;
                *out = quant * scales[half][lane] + minimums[half][lane];
            }
        }
    }
}
