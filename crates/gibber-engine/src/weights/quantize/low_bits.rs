//! The formats of few bits that are not K-quants, each as ggml packs it without an importance matrix
//! (`quantize_row_tq1_0_ref` and its siblings in `ggml-quants.c`): the same floats give the same file.

use half::f16;

use crate::weights::DType;
use crate::weights::dequantize::{E2M1_DOUBLED, IQ4_VALUES, half_power_of_two};

/// A block whose largest magnitude is below is all zeros.
const NOTHING: f32 = 1e-15;
/// How many scales are tried on each side of the one that brings the largest value to the end of the table.
const TRIES: i32 = 7;

/// Packs `x` into a block of one of these formats; `None` for another.
pub(super) fn pack(dtype: DType, x: &[f32], out: &mut [u8]) -> Option<()> {
    match dtype {
        DType::IQ4_NL => iq4_nl(x, out),
        DType::IQ4_XS => iq4_xs(x, out),
        DType::TQ1_0 => tq1_0(x, out),
        DType::TQ2_0 => tq2_0(x, out),
        DType::MXFP4 => mxfp4(x, out),
        DType::Q1_0 => q1_0(x, out),
        DType::Q2_0 => q2_0(x, out),
        _ => return None,
    }
    Some(())
}

fn largest_magnitude(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

fn put_half(value: f32, out: &mut [u8]) {
    out[..2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

/// Values as -1, 0 or 1 (a little more where `most` allows it) times the largest magnitude, one added.
fn by_magnitude(x: &[f32], most: f32) -> (f32, impl Fn(usize) -> u8) {
    let scale = largest_magnitude(x);
    let inverse = super::inverse(scale);
    (scale, move |i| ((x[i] * inverse).round() + 1.0).clamp(0.0, most) as u8)
}

/// The mean magnitude, and a bit for what is not below 0.
fn q1_0(x: &[f32], out: &mut [u8]) {
    let sum = x.iter().fold(0.0, |sum, x| sum + x.abs());
    put_half(sum / x.len() as f32, out);
    for (out, x) in out[2..].iter_mut().zip(x.chunks_exact(8)) {
        *out = x.iter().rev().fold(0, |byte, &x| byte << 1 | u8::from(x >= 0.0));
    }
}

fn q2_0(x: &[f32], out: &mut [u8]) {
    let (scale, code) = by_magnitude(x, 3.0);
    put_half(scale, out);
    for (at, out) in out[2..].iter_mut().enumerate() {
        *out = (0..4).rev().fold(0, |byte, i| byte << 2 | code(4 * at + i));
    }
}

fn tq2_0(x: &[f32], out: &mut [u8]) {
    let (scale, code) = by_magnitude(x, 2.0);
    for (at, out) in out[..64].iter_mut().enumerate() {
        let first = at / 32 * 128 + at % 32;
        *out = (0..4).rev().fold(0, |byte, i| byte << 2 | code(first + 32 * i));
    }
    put_half(scale, &mut out[64..]);
}

/// Of each byte: the first of its values, how far the next is from it, and how many there are.
fn tq1_0(x: &[f32], out: &mut [u8]) {
    let (scale, code) = by_magnitude(x, 2.0);
    for (at, out) in out[..52].iter_mut().enumerate() {
        let (first, step, digits) = match at {
            0..32 => (at, 32, 5),
            32..48 => (160 + at - 32, 16, 5),
            _ => (240 + at - 48, 4, 4),
        };
        let digit = |i| if i < digits { u16::from(code(first + step * i)) } else { 0 };
        let number = (0..5_usize).fold(0, |number, i| 3 * number + digit(i));
        // As a fraction of 256, rounded up, so that each digit is read by multiplying.
        *out = (number * 256).div_ceil(243) as u8;
    }
    put_half(scale, &mut out[52..]);
}

/// The power of two that brings the largest magnitude to 4 or just above, and for each value the nearest code, the first of
/// those that are as near.
fn mxfp4(x: &[f32], out: &mut [u8]) {
    let largest = largest_magnitude(x);
    let exponent = if largest > 0.0 { (largest.log2().floor() - 2.0 + 127.0) as u8 } else { 0 };
    let scale = half_power_of_two(exponent);
    let code = |x: f32| {
        let error = |code: usize| (f32::from(E2M1_DOUBLED[code]) * scale - x).abs();
        (1..E2M1_DOUBLED.len()).fold(0, |best, code| if error(code) < error(best) { code } else { best }) as u8
    };
    out[0] = exponent;
    let (first, second) = x.split_at(x.len() / 2);
    for (out, (&first, &second)) in out[1..].iter_mut().zip(first.iter().zip(second)) {
        *out = code(first) | code(second) << 4;
    }
}

/// The code of the number of [`IQ4_VALUES`] nearest to `x`, of two as near the larger.
fn nearest_code(x: f32) -> usize {
    let value = |code: usize| f32::from(IQ4_VALUES[code]);
    let last = IQ4_VALUES.len() - 1;
    if x <= value(0) {
        return 0;
    }
    if x >= value(last) {
        return last;
    }
    let above = (1..last).find(|&code| x < value(code)).unwrap_or(last);
    if x - value(above - 1) < value(above) - x { above - 1 } else { above }
}

/// How well `x` can be scaled to the codes that `inverse` gives it: Σ w·q·x and Σ w·q², weighted by its squares.
fn sums(x: &[f32], inverse: f32) -> (f32, f32) {
    let mut sums = (0.0, 0.0);
    for &x in x {
        let quant = f32::from(IQ4_VALUES[nearest_code(inverse * x)]);
        let weight = x * x;
        sums.0 += weight * quant * x;
        sums.1 += weight * quant * quant;
    }
    sums
}

/// The scale that loses least of `x`, of those that were tried.
fn iq4_scale(x: &[f32]) -> f32 {
    let largest = x.iter().fold(0.0f32, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
    if largest.abs() < NOTHING {
        return 0.0;
    }
    let end = f32::from(IQ4_VALUES[0]);
    let (products, squares) = sums(x, 1.0 / (-largest / end));
    let mut scale = products / squares;
    let mut best = scale * products;
    for step in -TRIES..=TRIES {
        let (products, squares) = sums(x, (step as f32 + end) / largest);
        if squares > 0.0 && products * products > best * squares {
            scale = products / squares;
            best = scale * products;
        }
    }
    scale
}

/// The codes of `x` under a scale, two a byte: the first half in the low halves.
fn put_codes(x: &[f32], scale: f32, out: &mut [u8]) {
    let inverse = super::inverse(scale);
    let (first, second) = x.split_at(x.len() / 2);
    for (out, (&first, &second)) in out.iter_mut().zip(first.iter().zip(second)) {
        *out = (nearest_code(inverse * first) | nearest_code(inverse * second) << 4) as u8;
    }
}

fn iq4_nl(x: &[f32], out: &mut [u8]) {
    let scale = iq4_scale(x);
    put_half(scale, out);
    put_codes(x, scale, &mut out[2..]);
}

/// Eight scales of six bits, as multiples of the largest of them over 32.
fn iq4_xs(x: &[f32], out: &mut [u8]) {
    let mut scales = [0.0; 8];
    for (scale, x) in scales.iter_mut().zip(x.chunks_exact(32)) {
        *scale = iq4_scale(x);
    }
    let largest =
        scales.iter().fold(0.0f32, |largest, &scale| if scale.abs() > largest.abs() { scale } else { largest });
    let unit = -largest / 32.0;
    put_half(unit, out);
    out[2..8].fill(0);
    let inverse = super::inverse(unit);
    for (part, (x, scale)) in x.chunks_exact(32).zip(scales).enumerate() {
        let multiple = (inverse * scale).round_ties_even().clamp(-32.0, 31.0);
        put_codes(x, unit * multiple, &mut out[8 + 16 * part..][..16]);
        let bits = (multiple as i8 + 32).cast_unsigned();
        out[4 + part / 2] |= (bits & 15) << (4 * (part % 2));
        out[2 + part / 4] |= (bits >> 4) << (2 * (part % 4));
    }
}
