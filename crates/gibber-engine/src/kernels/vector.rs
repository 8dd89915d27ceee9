//! Loops over one vector: norms, activations, softmax, dot products.
//!
//! Each is written once, over lanes of eight, with a switch for fused multiply-add. The public function compiles it
//! plainly, and for AVX2 and AVX-512 or with the fused instruction of 64-bit ARM, where the compiler turns the lanes into
//! vector registers. The plain compilation is the twin that the tests compare with.
#![allow(unsafe_code)]

use super::block::{BLOCK, Block, HIGH, LARGEST, STEPS, StepOrder, TileBlock, TileStep};

/// 1.5 * 2^23: adding and taking it away rounds to the nearest whole number.
const ROUND: f32 = 12_582_912.0;
/// From here down `e^x` is 0: 1e-38 of the largest.
const LEAST_EXPONENT: f32 = -87.0;
const LANES: usize = 8;
type Lanes = [f32; LANES];

/// Defines `pub fn name(args)`, which calls `body::<FMA>(args)` compiled for the active instruction set.
macro_rules! compiled_per_isa {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:ident) => {
        $(#[$doc])*
        $visibility fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                match $crate::kernels::Isa::active() {
                    // SAFETY: the `Avx512` inside shows that the processor has what it is compiled for.
                    $crate::kernels::Isa::Avx512(_) => return unsafe { avx512($($arg),*) },
                    // SAFETY: the `Avx2` inside shows that the processor has what it is compiled for.
                    $crate::kernels::Isa::Avx2(_) => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            // What this uses of NEON, every 64-bit ARM has.
            #[cfg(target_arch = "aarch64")]
            if $crate::kernels::Isa::active() > $crate::kernels::Isa::Portable {
                return $body::<true>($($arg),*);
            }
            $body::<false>($($arg),*)
        }
    };
}

pub(super) use compiled_per_isa;

/// `a * b + c`, fused where the processor does that in one instruction (elsewhere it would be a library call).
#[inline(always)]
pub(super) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn sum(lanes: Lanes) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// `e^x` to 2 units in the last place: `2^n · e^r` with `|r| <= ln 2 / 2` and a polynomial of degree 6 for `e^r`
/// (coefficients of the Cephes library's `expf`). From -87 down it is 0, above 88 it stays at `e^88`.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(LEAST_EXPONENT, 88.0);
    let rounded = fma::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = fma::<FMA>(n, -LN2_LOW, fma::<FMA>(n, -LN2_HIGH, clamped));
    let mut p = 1.987_569_1e-4;
    p = fma::<FMA>(p, r, 1.398_199_9e-3);
    p = fma::<FMA>(p, r, 8.333_452e-3);
    p = fma::<FMA>(p, r, 4.166_579_6e-2);
    p = fma::<FMA>(p, r, 1.666_666_5e-1);
    p = fma::<FMA>(p, r, 0.5);
    p = fma::<FMA>(p, r * r, r + 1.0);
    // The low bits of `rounded` are the whole number: moved into the exponent's place they are 2^n.
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    // A mask, because the compiler makes a branch of a choice, and then one element at a time of the loop around it.
    let mask = u32::from(x <= LEAST_EXPONENT).wrapping_sub(1);
    f32::from_bits((p * scale).to_bits() & mask)
}

/// `e^x` without a fused multiply-add, so that the same logits give the same draw on every machine.
pub fn exp_portable(x: f32) -> f32 {
    exp::<false>(x)
}

#[inline(always)]
fn dot_body<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut acc = [[0.0; LANES]; 4];
    let (a4, b4) = (a.chunks_exact(4 * LANES), b.chunks_exact(4 * LANES));
    let (ra, rb) = (a4.remainder(), b4.remainder());
    for (a, b) in a4.zip(b4) {
        for k in 0..4 {
            for l in 0..LANES {
                acc[k][l] = fma::<FMA>(a[k * LANES + l], b[k * LANES + l], acc[k][l]);
            }
        }
    }
    let mut total = [0.0; LANES];
    for l in 0..LANES {
        total[l] = (acc[0][l] + acc[1][l]) + (acc[2][l] + acc[3][l]);
    }
    ra.iter().zip(rb).fold(sum(total), |s, (&a, &b)| fma::<FMA>(a, b, s))
}

compiled_per_isa! {
    /// `Σ a[i] · b[i]`, over the shorter length.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

#[inline(always)]
fn axpy_body<const FMA: bool>(alpha: f32, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = fma::<FMA>(alpha, x, *y);
    }
}

compiled_per_isa! {
    /// `y += alpha · x`.
    pub fn axpy(alpha: f32, x: &[f32], y: &mut [f32]) = axpy_body
}

/// `y += x`.
pub fn add(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y += x);
}

/// `y *= x`, element by element.
pub fn multiply(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y *= x);
}

#[inline(always)]
fn lane_sum<const FMA: bool>(x: &[f32], mut term: impl FnMut(f32) -> f32) -> f32 {
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    let mut acc = [0.0; LANES];
    for chunk in chunks {
        for l in 0..LANES {
            acc[l] += term(chunk[l]);
        }
    }
    rest.iter().fold(sum(acc), |s, &x| s + term(x))
}

#[inline(always)]
fn rms_norm_body<const FMA: bool>(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let scale = (lane_sum::<FMA>(x, |x| x * x) / x.len() as f32 + eps).sqrt().recip();
    for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * w;
    }
}

compiled_per_isa! {
    /// `out = x / sqrt(mean(x²) + eps) · weight` (Zhang and Sennrich 2019).
    pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) = rms_norm_body
}

#[inline(always)]
fn rms_norm_in_place_body<const FMA: bool>(x: &mut [f32], weight: &[f32], eps: f32) {
    let scale = (lane_sum::<FMA>(x, |x| x * x) / x.len() as f32 + eps).sqrt().recip();
    for (x, &w) in x.iter_mut().zip(weight) {
        *x = *x * scale * w;
    }
}

compiled_per_isa! {
    /// As [`rms_norm`], in place.
    pub fn rms_norm_in_place(x: &mut [f32], weight: &[f32], eps: f32) = rms_norm_in_place_body
}

#[inline(always)]
fn layer_norm_body<const FMA: bool>(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    let n = x.len() as f32;
    let mean = lane_sum::<FMA>(x, |x| x) / n;
    let variance = lane_sum::<FMA>(x, |x| (x - mean) * (x - mean)) / n;
    let scale = (variance + eps).sqrt().recip();
    for (((out, &x), &w), &b) in out.iter_mut().zip(x).zip(weight).zip(bias) {
        *out = fma::<FMA>((x - mean) * scale, w, b);
    }
}

compiled_per_isa! {
    /// `out = (x - mean) / sqrt(variance + eps) · weight + bias` (Ba et al. 2016).
    pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) = layer_norm_body
}

#[inline(always)]
fn silu_mul_body<const FMA: bool>(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
        *out = g / (1.0 + exp::<FMA>(-g)) * u;
    }
}

compiled_per_isa! {
    /// `out = silu(gate) · up`, with `silu(x) = x / (1 + e^-x)` (Shazeer 2020).
    pub fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) = silu_mul_body
}

#[inline(always)]
fn gelu_tanh_body<const FMA: bool>(x: &mut [f32]) {
    // 0.5 (1 + tanh u) is the logistic function of 2u, with u = sqrt(2/π) (x + 0.044715 x³).
    const TWO_SQRT_2_OVER_PI: f32 = 1.595_769;
    for x in x {
        let u = TWO_SQRT_2_OVER_PI * *x * fma::<FMA>(0.044_715, *x * *x, 1.0);
        *x /= 1.0 + exp::<FMA>(-u);
    }
}

/// The error function to 2e-7 (Abramowitz and Stegun, formula 7.1.26).
/// `cap · tanh(x / cap)`, in place: a soft cap (Bello et al. 2016).
#[inline(always)]
pub(super) fn softcap_body<const FMA: bool>(x: &mut [f32], cap: f32) {
    // tanh u is 1 - 2 / (e^2u + 1); near 0, where that would lose its digits, u - u³/3 + 2u⁵/15.
    for x in x {
        let u = *x / cap;
        let square = u * u;
        let near = u * fma::<FMA>(square, fma::<FMA>(square, 2.0 / 15.0, -1.0 / 3.0), 1.0);
        let far = 1.0 - 2.0 / (exp::<FMA>(2.0 * u) + 1.0);
        *x = cap * if square < 0.01 { near } else { far };
    }
}

compiled_per_isa! {
    /// `cap · tanh(x / cap)`, in place: scores and logits stay within ±cap (Gemma 2).
    pub fn softcap(x: &mut [f32], cap: f32) = softcap_body
}

#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    let magnitude = f32::from_bits(x.to_bits() & 0x7fff_ffff);
    let t = 1.0 / fma::<FMA>(0.327_591_1, magnitude, 1.0);
    let mut p = 1.061_405_4;
    p = fma::<FMA>(p, t, -1.453_152_1);
    p = fma::<FMA>(p, t, 1.421_413_8);
    p = fma::<FMA>(p, t, -0.284_496_72);
    p = fma::<FMA>(p, t, 0.254_829_6);
    let value = 1.0 - p * t * exp::<FMA>(-magnitude * magnitude);
    f32::from_bits(value.to_bits() | (x.to_bits() & 0x8000_0000))
}

#[inline(always)]
fn gelu_body<const FMA: bool>(x: &mut [f32]) {
    for x in x {
        *x *= 0.5 * (1.0 + erf::<FMA>(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

compiled_per_isa! {
    /// GELU by the error function (Hendrycks and Gimpel 2016), in place.
    pub fn gelu(x: &mut [f32]) = gelu_body
}

/// What is below zero becomes zero, in place.
pub fn relu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.max(0.0));
}

compiled_per_isa! {
    /// GELU in the tanh form that GPT-2 was trained with (Hendrycks and Gimpel 2016), in place.
    pub fn gelu_tanh(x: &mut [f32]) = gelu_tanh_body
}

#[inline(always)]
pub(super) fn max_body<const FMA: bool>(x: &[f32]) -> f32 {
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    let mut best = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for l in 0..LANES {
            best[l] = if chunk[l] > best[l] { chunk[l] } else { best[l] };
        }
    }
    best.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

compiled_per_isa! {
    /// The largest element; negative infinity for an empty slice.
    pub fn max(x: &[f32]) -> f32 = max_body
}

#[inline(always)]
pub(super) fn exp_in_place_body<const FMA: bool>(x: &mut [f32], shift: f32) -> f32 {
    x.iter_mut().for_each(|x| *x = exp::<FMA>(*x - shift));
    lane_sum::<FMA>(x, |x| x)
}

compiled_per_isa! {
    /// `x = e^(x - shift)` in place; returns the sum of the results.
    pub fn exp_in_place(x: &mut [f32], shift: f32) -> f32 = exp_in_place_body
}

#[inline(always)]
fn exp_of_difference<const FMA: bool>(x: f32, shift: f32) -> (f32, f32) {
    // What has no mass must not turn the sums into NaN. What is no number stays so: whoever reads the sums is to know it.
    let difference = x - shift;
    let d = if difference < LEAST_EXPONENT { LEAST_EXPONENT } else { difference };
    (exp::<FMA>(d), d)
}

#[inline(always)]
fn exp_sums_body<const FMA: bool>(x: &[f32], shift: f32) -> (f64, f64) {
    let (mut total, mut weighted) = (0.0_f64, 0.0_f64);
    // Sums of 512 terms in single precision, of those sums in double: the error does not grow with the vocabulary.
    for block in x.chunks(64 * LANES) {
        let (mut s, mut w) = ([0.0; LANES], [0.0; LANES]);
        let chunks = block.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for l in 0..LANES {
                let (e, d) = exp_of_difference::<FMA>(chunk[l], shift);
                s[l] += e;
                w[l] = fma::<FMA>(e, d, w[l]);
            }
        }
        let (mut s, mut w) = (sum(s), sum(w));
        for &x in rest {
            let (e, d) = exp_of_difference::<FMA>(x, shift);
            s += e;
            w = fma::<FMA>(e, d, w);
        }
        total += f64::from(s);
        weighted += f64::from(w);
    }
    (total, weighted)
}

compiled_per_isa! {
    /// `(Σ e^d, Σ e^d · d)` with `d = x[i] - shift`: what a softmax and its entropy need, without writing anything. Where an
    /// element is not a number, the second sum is none.
    pub fn exp_sums(x: &[f32], shift: f32) -> (f64, f64) = exp_sums_body
}

/// `x = softmax(x)`, in place.
pub fn softmax(x: &mut [f32]) {
    let total = exp_in_place(x, max(x));
    scale(x, total.recip());
}

#[inline(always)]
fn scale_body<const FMA: bool>(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|x| *x *= factor);
}

compiled_per_isa! {
    /// `x = factor · x`, in place.
    pub fn scale(x: &mut [f32], factor: f32) = scale_body
}

/// `x * factor` as the nearest whole number, for products within ±2^22: by the same trick as in [`exp`], the low bits of
/// the sum are the whole number.
#[inline(always)]
fn round<const FMA: bool>(x: f32, factor: f32) -> i32 {
    (fma::<FMA>(x, factor, ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
}

/// The largest magnitude of whole chunks of [`LANES`]: infinity beats all numbers, and what is no number beats infinity, as
/// their bits do.
#[inline(always)]
fn largest_magnitude(x: &[f32]) -> f32 {
    let mut lanes = [0_u32; LANES];
    for x in x.chunks_exact(LANES) {
        for (largest, &x) in lanes.iter_mut().zip(x) {
            *largest = (*largest).max(x.to_bits() & MAGNITUDE);
        }
    }
    f32::from_bits(lanes.into_iter().fold(0, u32::max))
}

#[inline(always)]
fn are_finite_body<const FMA: bool>(x: &[f32]) -> bool {
    let (chunks, rest) = x.split_at(x.len() / LANES * LANES);
    largest_magnitude(chunks).is_finite() && rest.iter().all(|x| x.is_finite())
}

compiled_per_isa! {
    /// Whether all elements are finite numbers.
    pub fn are_finite(x: &[f32]) -> bool = are_finite_body
}

/// What the values of a block are multiplied with to become whole numbers up to `most`. A block of zeros, or one so small
/// that the inverse overflows, is all zeros.
#[inline(always)]
fn inverse_step(largest: f32, most: f32) -> f32 {
    let inverse = most / largest;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// What stands for a block with a value that is infinite or no number, beside a scale that is none, so that nothing is a
/// number that is computed with it: rounded to whole numbers it would pass for a value.
const NO_NUMBERS: [f32; BLOCK] = [0.0; BLOCK];

/// The whole number nearest to `x · inverse`, within ±[`LARGEST`], as `(high, low, whole)`.
#[inline(always)]
fn activations_have_16_bits<const FMA: bool>(x: f32, inverse: f32) -> (i8, i8, i32) {
    let whole = round::<FMA>(x, inverse);
    let high = round::<FMA>(whole as f32, 1.0 / HIGH as f32);
    (high as i8, (whole - HIGH * high) as i8, whole)
}

#[inline(always)]
fn quantize_blocks_body<const FMA: bool>(x: &[f32], with_pairs: bool, blocks: &mut [Block]) {
    for (x, block) in x.chunks_exact(BLOCK).zip(blocks) {
        let largest = largest_magnitude(x);
        if largest.is_finite() {
            quantize_block::<FMA>(x, largest, with_pairs, block);
        } else {
            quantize_no_numbers(with_pairs, block);
        }
    }
}

#[cold]
#[inline(never)]
fn quantize_no_numbers(with_pairs: bool, block: &mut Block) {
    quantize_block::<false>(&NO_NUMBERS, f32::NAN, with_pairs, block);
}

/// `largest` is the largest magnitude of `x`.
#[inline(always)]
fn quantize_block<const FMA: bool>(x: &[f32], largest: f32, with_pairs: bool, block: &mut Block) {
    block.scale = largest / LARGEST;
    let inverse = inverse_step(largest, LARGEST);
    let mut wholes = [0; BLOCK];
    for (((high, low), whole), &x) in block.high.iter_mut().zip(&mut block.low).zip(&mut wholes).zip(x) {
        (*high, *low, *whole) = activations_have_16_bits::<FMA>(x, inverse);
    }
    let (first, second) = wholes.split_at(BLOCK / 2);
    block.sums = [first.iter().sum(), second.iter().sum()];
    if !with_pairs {
        return;
    }
    for (pairs, w) in block.pairs.chunks_exact_mut(4).zip(wholes.chunks_exact(4)) {
        pairs.copy_from_slice(&[w[0] as i16, w[2] as i16, w[1] as i16, w[3] as i16]);
    }
}

compiled_per_isa! {
    /// Each block of 32 values as whole numbers of sixteen bits and a scale; the pairs only where they are asked for.
    pub(super) fn quantize_blocks(x: &[f32], with_pairs: bool, blocks: &mut [Block]) = quantize_blocks_body
}

/// What of the bits of a number is not its sign.
const MAGNITUDE: u32 = 0x7fff_ffff;
/// The bits of infinity; a magnitude above is no number.
const INFINITY: u32 = 0x7f80_0000;
const F16_NAN: u16 = 0x7e00;

/// The bits of the number of half precision nearest to `x`, a tie to the even one; `x` is within its range, or no number.
#[inline(always)]
fn half_bits(x: f32) -> u16 {
    let (sign, magnitude) = ((x.to_bits() >> 16) as u16 & 0x8000, x.to_bits() & 0x7fff_ffff);
    // The bias of the exponent is 112 less, and 13 bits go; half a unit less one, and one more where that gives an even
    // number, rounds.
    let normal = (magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13).wrapping_sub(112 << 10);
    // Added to 0.5, what is below the normal range is rounded to its last bit by the addition itself.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5_f32.to_bits());
    let bits = if magnitude < 113 << 23 { subnormal as u16 } else { normal as u16 };
    sign | if magnitude > INFINITY { F16_NAN } else { bits }
}

#[inline(always)]
fn to_f16_body<const FMA: bool>(x: &[f32; BLOCK], out: &mut [[u8; 2]; BLOCK]) {
    const MOST: f32 = 65504.0;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = half_bits(x.clamp(-MOST, MOST)).to_ne_bytes();
    }
}

compiled_per_isa! {
    /// Each value as the bytes of the nearest number of half precision; those beyond its range as its greatest.
    pub(super) fn to_f16(x: &[f32; BLOCK], out: &mut [[u8; 2]; BLOCK]) = to_f16_body
}

#[inline(always)]
fn quantize_tile_body<const FMA: bool>(
    x: &[f32],
    k: usize,
    order: StepOrder,
    blocks: &mut [TileBlock],
    low: &mut [[TileStep; STEPS]],
) {
    for (token, x) in x.chunks_exact(k).enumerate() {
        for (at, (x, block)) in x.chunks_exact(BLOCK).zip(&mut *blocks).enumerate() {
            let (largest, low) = (largest_magnitude(x), low.get_mut(at));
            if largest.is_finite() {
                quantize_in_tile::<FMA>(x, largest, (token, order), block, low);
            } else {
                quantize_no_numbers_in_tile((token, order), block, low);
            }
        }
    }
}

#[cold]
#[inline(never)]
fn quantize_no_numbers_in_tile(place: (usize, StepOrder), block: &mut TileBlock, low: Option<&mut [TileStep; STEPS]>) {
    quantize_in_tile::<false>(&NO_NUMBERS, f32::NAN, place, block, low);
}

/// One block of token `token`; `largest` is the largest magnitude of `x`.
#[inline(always)]
fn quantize_in_tile<const FMA: bool>(
    x: &[f32],
    largest: f32,
    (token, order): (usize, StepOrder),
    block: &mut TileBlock,
    low: Option<&mut [TileStep; STEPS]>,
) {
    let most = if low.is_none() { 127.0 } else { LARGEST };
    let inverse = inverse_step(largest, most);
    let mut wholes = [0; BLOCK];
    let mut bytes = [0; BLOCK];
    if let Some(low) = low {
        let mut low_bytes = [0; BLOCK];
        for (((high, low), whole), &x) in bytes.iter_mut().zip(&mut low_bytes).zip(&mut wholes).zip(x) {
            (*high, *low, *whole) = activations_have_16_bits::<FMA>(x, inverse);
        }
        spread(&low_bytes, low, token, order);
    } else {
        for ((byte, whole), &x) in bytes.iter_mut().zip(&mut wholes).zip(x) {
            *whole = round::<FMA>(x, inverse);
            *byte = *whole as i8;
        }
    }
    spread(&bytes, &mut block.high, token, order);
    let scale = largest / most;
    let (first, second) = wholes.split_at(BLOCK / 2);
    let sums = [first, second].map(|half| scale * half.iter().sum::<i32>() as f32);
    block.scales[token] = scale;
    for (to, sum) in block.sums.iter_mut().zip([sums[0], sums[1], sums[0] + sums[1]]) {
        to[token] = sum;
    }
}

/// Puts the bytes of a token into its place in each step.
#[inline(always)]
fn spread(bytes: &[i8; BLOCK], steps: &mut [TileStep; STEPS], token: usize, order: StepOrder) {
    let fours = bytes.as_chunks().0;
    match order {
        StepOrder::Single => steps.iter_mut().zip(fours).for_each(|(step, four)| step[token] = *four),
        StepOrder::Paired => fours.iter().enumerate().for_each(|(step, four)| {
            let (step, place) = order.place(step, token);
            steps[step][place] = *four;
        }),
    }
}

compiled_per_isa! {
    /// Up to a tile of tokens, `x` `(n, k)`, in blocks of 32 values: as bytes, or as whole numbers of sixteen bits where
    /// there is a `low` for each of the blocks. What stands in the places of further tokens is left as it is.
    pub(super) fn quantize_tile(x: &[f32], k: usize, order: StepOrder, blocks: &mut [TileBlock], low: &mut [[TileStep; STEPS]])
        = quantize_tile_body
}

#[cfg(test)]
mod tests;
