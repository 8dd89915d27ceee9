//! The search for the scales and minimums of a K-quant.
//!
//! A block of 256 values is cut into sub-blocks of `N`. For each, many roundings are tried around the obvious one, and
//! for each rounding the scale (and the minimum) of the least squared error follows by linear regression. The best of
//! them are then rounded themselves, to a few bits and a half that all sub-blocks share; there the neighbours of each
//! rounded scale are tried too, and the shared halves are fitted once more to what came out.

use half::f16;

/// Values in a block.
pub(super) const SUPER_BLOCK: usize = 256;
/// As many sub-blocks as the finest format has.
pub(super) const MAX_SUBS: usize = 16;
/// Roundings tried for a sub-block: on each side of the obvious one, this far apart.
const TRIES: i32 = 10;
const TRY_STEP: f32 = 0.1;
/// How often the shared halves are fitted to the codes, and the codes chosen by them.
const ROUNDS: usize = 3;
/// Divides the sizes of all sub-blocks.
const LANES: usize = 8;
/// Added and taken away again it leaves a float below 2^22 rounded to a whole number, in a form that compilers turn into
/// vector instructions.
const ROUNDER: f32 = 12_582_912.0;

/// A block in the form `d * scale * code - dmin * minimum`.
#[derive(Debug, Clone)]
pub(super) struct WithMinimums {
    pub(super) d: f16,
    pub(super) dmin: f16,
    pub(super) scales: [u8; MAX_SUBS],
    pub(super) minimums: [u8; MAX_SUBS],
    pub(super) codes: [u8; SUPER_BLOCK],
}

impl WithMinimums {
    const EMPTY: Self =
        Self { d: f16::ZERO, dmin: f16::ZERO, scales: [0; MAX_SUBS], minimums: [0; MAX_SUBS], codes: [0; SUPER_BLOCK] };
}

/// A block in the form `d * scale * code`, codes and scales signed.
#[derive(Debug, Clone)]
pub(super) struct Symmetric {
    pub(super) d: f16,
    pub(super) scales: [i8; MAX_SUBS],
    pub(super) codes: [i8; SUPER_BLOCK],
}

impl Symmetric {
    const EMPTY: Self = Self { d: f16::ZERO, scales: [0; MAX_SUBS], codes: [0; SUPER_BLOCK] };
}

/// The best block found with codes up to `most_code` and scales and minimums up to `most_scale`.
pub(super) fn with_minimums<const N: usize>(x: &[f32; SUPER_BLOCK], most_code: u8, most_scale: u8) -> WithMinimums {
    let subs = x.as_chunks::<N>().0;
    let (most_code, most_scale) = (f32::from(most_code), f32::from(most_scale));
    let mut lines = [Line::default(); MAX_SUBS];
    for (line, x) in lines.iter_mut().zip(subs) {
        *line = Line::fit(x, most_code);
    }
    let largest = |pick: fn(&Line) -> f32| lines.iter().map(pick).fold(0.0, f32::max);
    let (mut d, mut dmin) = (largest(|line| line.scale) / most_scale, largest(|line| line.minimum) / most_scale);
    let (mut best, mut least_error) = (WithMinimums::EMPTY, f32::INFINITY);
    for _ in 0..ROUNDS {
        let (d_half, dmin_half) = (shared_half(d), shared_half(dmin));
        let (d_used, dmin_used) = (d_half.to_f32(), dmin_half.to_f32());
        let mut block = WithMinimums { d: d_half, dmin: dmin_half, ..WithMinimums::EMPTY };
        let (mut error, mut sums) = (0.0, Sums::default());
        for (j, (x, line)) in subs.iter().zip(&lines).enumerate() {
            let rounded = RoundedLine::nearest(x, line, d_used, dmin_used, most_code, most_scale);
            error += rounded.error;
            sums.add(x, &rounded);
            (block.scales[j], block.minimums[j]) = (rounded.scale as u8, rounded.minimum as u8);
            for (stored, code) in block.codes[j * N..].iter_mut().zip(rounded.codes) {
                *stored = code as u8;
            }
        }
        if error < least_error {
            (best, least_error) = (block, error);
        }
        (d, dmin) = sums.solve().unwrap_or((d, dmin));
    }
    best
}

/// The best block found with codes in `codes` and scales in `scales`, each from the least, which is negative, to the most.
pub(super) fn symmetric<const N: usize>(x: &[f32; SUPER_BLOCK], codes: (i8, i8), scales: (i8, i8)) -> Symmetric {
    let subs = x.as_chunks::<N>().0;
    let codes = (f32::from(codes.0), f32::from(codes.1));
    let scales = (f32::from(scales.0), f32::from(scales.1));
    let mut fitted = [0.0f32; MAX_SUBS];
    for (scale, x) in fitted.iter_mut().zip(subs) {
        *scale = fit_scale(x, codes);
    }
    let largest = fitted.iter().fold(0.0f32, |largest, &s| if s.abs() > largest.abs() { s } else { largest });
    // The least has one more than the most, and `d` may be negative.
    let mut d = largest / scales.0;
    let (mut best, mut least_error) = (Symmetric::EMPTY, f32::INFINITY);
    for _ in 0..ROUNDS {
        let d_half = shared_half(d);
        let mut block = Symmetric { d: d_half, ..Symmetric::EMPTY };
        let (mut error, mut products, mut squares) = (0.0, 0.0, 0.0);
        for (j, (x, &scale)) in subs.iter().zip(&fitted).enumerate() {
            let (scale, rounded, sub_error) = nearest_scale(x, scale, d_half.to_f32(), codes, scales);
            error += sub_error;
            block.scales[j] = scale as i8;
            products += scale * sum::<N>(|i| rounded[i] * x[i]);
            squares += scale * scale * sum::<N>(|i| rounded[i] * rounded[i]);
            for (stored, code) in block.codes[j * N..].iter_mut().zip(rounded) {
                *stored = code as i8;
            }
        }
        if error < least_error {
            (best, least_error) = (block, error);
        }
        if squares > 0.0 {
            d = products / squares;
        }
    }
    best
}

/// What is shared has to be a half that is not 0 unless nothing is there to be scaled: tiny weights would be lost.
fn shared_half(value: f32) -> f16 {
    let half = f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
    if half == f16::ZERO && value != 0.0 { f16::MIN_POSITIVE_SUBNORMAL.copysign(f16::from_f32(value)) } else { half }
}

/// The sum of `term(i)` for each `i` below `N`, in lanes, which compilers turn into vectors.
fn sum<const N: usize>(term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    for start in (0..N).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    lanes.iter().sum()
}

/// What is off when `codes` stand for `x`, squared.
fn squared_error<const N: usize>(x: &[f32; N], codes: &[f32; N], factor: f32, offset: f32) -> f32 {
    sum::<N>(|i| {
        let off = factor * codes[i] - offset - x[i];
        off * off
    })
}

fn nearest(x: f32) -> f32 {
    (x + ROUNDER) - ROUNDER
}

fn codes_of<const N: usize>(x: &[f32; N], inverse: f32, offset: f32, codes: (f32, f32)) -> [f32; N] {
    let mut rounded = [0.0; N];
    for (code, x) in rounded.iter_mut().zip(x) {
        *code = nearest(((x + offset) * inverse).clamp(codes.0, codes.1));
    }
    rounded
}

/// `scale * code - minimum`; neither is negative.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    scale: f32,
    minimum: f32,
}

impl Line {
    fn fit<const N: usize>(x: &[f32; N], most_code: f32) -> Self {
        let least = x.iter().fold(0.0f32, |least, &x| least.min(x));
        let largest = x.iter().fold(f32::NEG_INFINITY, |largest, &x| largest.max(x));
        if largest <= least {
            return Self { scale: 0.0, minimum: -least };
        }
        let sum_x = sum::<N>(|i| x[i]);
        let (mut best, mut most_gain) = (Self::default(), f32::NEG_INFINITY);
        for step in -TRIES..=TRIES {
            let inverse = (most_code + TRY_STEP * step as f32) / (largest - least);
            let (line, gain) = Self::of_codes(x, &codes_of(x, inverse, -least, (0.0, most_code)), sum_x);
            if gain > most_gain {
                (best, most_gain) = (line, gain);
            }
        }
        best
    }

    /// The line of the least squared error for these codes, and by how much that error is below the sum of squares.
    fn of_codes<const N: usize>(x: &[f32; N], codes: &[f32; N], sum_x: f32) -> (Self, f32) {
        let (squares, products) = (sum::<N>(|i| codes[i] * codes[i]), sum::<N>(|i| codes[i] * x[i]));
        let (n, sum_codes) = (N as f32, sum::<N>(|i| codes[i]));
        let determinant = n * squares - sum_codes * sum_codes;
        if determinant > 0.0 {
            let scale = (n * products - sum_x * sum_codes) / determinant;
            let offset = (squares * sum_x - sum_codes * products) / determinant;
            if offset <= 0.0 && scale >= 0.0 {
                return (Self { scale, minimum: -offset }, scale * products + offset * sum_x);
            }
        }
        let scale = if squares > 0.0 { (products / squares).max(0.0) } else { 0.0 };
        (Self { scale, minimum: 0.0 }, scale * products)
    }
}

/// A [`Line`] whose scale and minimum are whole multiples of the shared halves.
struct RoundedLine<const N: usize> {
    scale: f32,
    minimum: f32,
    codes: [f32; N],
    error: f32,
}

impl<const N: usize> RoundedLine<N> {
    fn nearest(x: &[f32; N], line: &Line, d: f32, dmin: f32, most_code: f32, most_scale: f32) -> Self {
        let mut best = Self { scale: 0.0, minimum: 0.0, codes: [0.0; N], error: f32::INFINITY };
        for scale in neighbours(line.scale, d, (0.0, most_scale)) {
            for minimum in neighbours(line.minimum, dmin, (0.0, most_scale)) {
                let (factor, offset) = (d * scale, dmin * minimum);
                let codes = codes_of(x, super::inverse(factor), offset, (0.0, most_code));
                let error = squared_error(x, &codes, factor, offset);
                if error < best.error {
                    best = Self { scale, minimum, codes, error };
                }
            }
        }
        best
    }
}

/// The whole multiple of `unit` nearest to `value`, and those beside it, as far as they are allowed.
fn neighbours(value: f32, unit: f32, allowed: (f32, f32)) -> impl Iterator<Item = f32> {
    let middle = nearest((value * super::inverse(unit)).clamp(allowed.0, allowed.1));
    let steps = if unit == 0.0 { 0..=0 } else { -1..=1 };
    steps.map(move |step: i8| middle + f32::from(step)).filter(move |x| (allowed.0..=allowed.1).contains(x))
}

/// What the regression of all values on `d` and `dmin` needs.
#[derive(Default)]
struct Sums {
    code_code: f32,
    code_min: f32,
    min_min: f32,
    code_x: f32,
    min_x: f32,
}

impl Sums {
    fn add<const N: usize>(&mut self, x: &[f32; N], line: &RoundedLine<N>) {
        let (codes, scale, minimum) = (&line.codes, line.scale, line.minimum);
        self.code_code += scale * scale * sum::<N>(|i| codes[i] * codes[i]);
        self.code_min -= scale * minimum * sum::<N>(|i| codes[i]);
        self.min_min += minimum * minimum * N as f32;
        self.code_x += scale * sum::<N>(|i| codes[i] * x[i]);
        self.min_x -= minimum * sum::<N>(|i| x[i]);
    }

    fn solve(&self) -> Option<(f32, f32)> {
        if self.min_min == 0.0 {
            return (self.code_code > 0.0).then(|| ((self.code_x / self.code_code).max(0.0), 0.0));
        }
        let determinant = self.code_code * self.min_min - self.code_min * self.code_min;
        let d = (self.code_x * self.min_min - self.min_x * self.code_min) / determinant;
        let dmin = (self.min_x * self.code_code - self.code_x * self.code_min) / determinant;
        (d.is_finite() && dmin.is_finite() && d >= 0.0 && dmin >= 0.0).then_some((d, dmin))
    }
}

/// The scale of the least squared error over the roundings that are tried.
fn fit_scale<const N: usize>(x: &[f32; N], codes: (f32, f32)) -> f32 {
    let largest = x.iter().fold(0.0f32, |largest, &x| if x.abs() > largest.abs() { x } else { largest });
    if largest == 0.0 {
        return 0.0;
    }
    let (mut best, mut gained) = (largest / codes.0, f32::NEG_INFINITY);
    for step in -TRIES..=TRIES {
        let rounded = codes_of(x, (codes.0 - TRY_STEP * step as f32) / largest, 0.0, codes);
        let (squares, products) = (sum::<N>(|i| rounded[i] * rounded[i]), sum::<N>(|i| rounded[i] * x[i]));
        if squares > 0.0 && products * products > gained * squares {
            (best, gained) = (products / squares, products * products / squares);
        }
    }
    best
}

/// The whole multiple of `d` near `scale` with the least squared error, its codes, and the error.
fn nearest_scale<const N: usize>(
    x: &[f32; N],
    scale: f32,
    d: f32,
    codes: (f32, f32),
    scales: (f32, f32),
) -> (f32, [f32; N], f32) {
    let mut best = (0.0, [0.0; N], f32::INFINITY);
    for scale in neighbours(scale, d, scales) {
        let factor = d * scale;
        let rounded = codes_of(x, super::inverse(factor), 0.0, codes);
        let error = squared_error(x, &rounded, factor, 0.0);
        if error < best.2 {
            best = (scale, rounded, error);
        }
    }
    best
}
