//! A prepared panel times the tokens of a tile: half of them with half of the rows at a time, for whose sums there are
//! registers.

use std::arch::aarch64::*;

use super::super::PackedFormat;
use super::super::expand::{Lanes, Panel};
use super::super::for_each_step;
use super::super::format::{ROWS, VECTOR};
use super::super::product::Product;
use super::instructions::usmmla;
use super::products::{DotProducts, by_token};
use super::{REGISTER, WIDTH};
use crate::kernels::activation::{STEP, STEPS};
use crate::kernels::isa::{DotProd, I8mm};
use crate::kernels::registers::Registers;
use crate::kernels::tiles::{TILE, TileStep};

/// Tokens at a time.
const TOKENS: usize = TILE / 2;
/// Registers of rows at a time.
const REGISTERS: usize = ROWS / WIDTH / 2;
/// For each token and each register of rows.
type Sums = [[int32x4_t; REGISTERS]; TOKENS];
type Floats = [[float32x4_t; REGISTERS]; TOKENS];

/// Of two steps after each other, the eight bytes of each row side by side: what products of matrices read.
pub(in super::super) fn pair_steps(panel: &mut Panel) {
    for [first, second] in panel.steps.as_chunks_mut().0 {
        let words = |from: usize| std::array::from_fn(|i| [&*first, &*second][i % 2][from + i / 2]);
        (*first, *second) = (words(0), words(ROWS / 2));
    }
}

/// Quants of eight bits as numbers with a sign, 128 less; their scales make up for it.
pub(in super::super) fn make_signed(format: PackedFormat, panel: &mut Panel) {
    if format.quant_bits() < 8 {
        return;
    }
    panel.steps.as_flattened_mut().iter_mut().for_each(|word| *word ^= 0x8080_8080);
    let scales = panel.scales.as_flattened().iter();
    panel.minimums.as_flattened_mut().iter_mut().zip(scales).for_each(|(minimum, scale)| *minimum += 128.0 * scale);
}

/// By dot products, of a panel that [`make_signed`] has seen.
pub(in super::super) fn multiply_by_dot_products(isa: DotProd, product: Product<'_>) -> [Lanes; TILE] {
    let mut out = [[0.0; ROWS]; TILE];
    // SAFETY: the `DotProd` shows that the processor has these features; `Product` how panel and tile fit.
    unsafe {
        match (product.each(), product.has_two_bytes()) {
            (1, false) => dot_products::<1, false>(isa, product, &mut out),
            (1, true) => dot_products::<1, true>(isa, product, &mut out),
            (_, false) => dot_products::<2, false>(isa, product, &mut out),
            (_, true) => dot_products::<2, true>(isa, product, &mut out),
        }
    }
    out
}

/// # Safety
/// As [`in_quarters`].
#[target_feature(enable = "dotprod")]
unsafe fn dot_products<const EACH: usize, const TWO_BYTES: bool>(
    isa: DotProd,
    product: Product<'_>,
    out: &mut [Lanes; TILE],
) {
    // SAFETY: the caller's promise.
    unsafe { in_quarters::<_, EACH, TWO_BYTES>(isa, product, out) }
}

/// By products of matrices, of a panel that [`pair_steps`] has seen and tokens whose steps are in pairs.
pub(in super::super) fn multiply_by_matrices(isa: I8mm, product: Product<'_>) -> [Lanes; TILE] {
    let mut out = [[0.0; ROWS]; TILE];
    // SAFETY: the `I8mm` shows that the processor has these features; `Product` how panel and tile fit.
    unsafe {
        match (product.each(), product.has_two_bytes()) {
            (1, false) => matrices::<1, false>(isa, product, &mut out),
            (1, true) => matrices::<1, true>(isa, product, &mut out),
            (_, false) => matrices::<2, false>(isa, product, &mut out),
            (_, true) => matrices::<2, true>(isa, product, &mut out),
        }
    }
    out
}

/// # Safety
/// As [`in_quarters`].
#[target_feature(enable = "dotprod,i8mm")]
unsafe fn matrices<const EACH: usize, const TWO_BYTES: bool>(isa: I8mm, product: Product<'_>, out: &mut [Lanes; TILE]) {
    // SAFETY: the caller's promise.
    unsafe { in_quarters::<_, EACH, TWO_BYTES>(isa, product, out) }
}

/// What the instruction sets differ in.
trait Multiply: Registers<Integers = int32x4_t, Floats = float32x4_t> {
    /// Bytes of a row, and of a token, that lie side by side.
    const SIDE_BY_SIDE: usize;

    /// Adds the products of the steps `2 · pair` and the next of a block with half of the tokens: those of the register of
    /// rows `r` with token `t`, or of a part of both as [`Self::finish`] knows it.
    ///
    /// # Safety
    /// Two steps of the panel must be readable at `w`, but for those of the rows before, and of the tokens at `x`, but for
    /// those before.
    unsafe fn accumulate(self, sums: &mut Sums, w: *const u8, x: *const i8);

    /// The sums, each in its place.
    fn finish(self, sums: Sums) -> Sums;
}

impl Multiply for DotProd {
    const SIDE_BY_SIDE: usize = STEP;

    #[inline(always)]
    unsafe fn accumulate(self, sums: &mut Sums, w: *const u8, x: *const i8) {
        for step in 0..2 {
            // SAFETY: the caller's promise.
            let (w, x): ([_; REGISTERS], _) = unsafe {
                let (w, x) = (w.add(step * VECTOR), x.add(step * size_of::<TileStep>()));
                (std::array::from_fn(|r| self.load(w.add(r * REGISTER))), vld1q_s8(x))
            };
            for_each_step!(T => {
                for r in 0..REGISTERS {
                    sums[T][r] = self.dot::<T>(sums[T][r], w[r], x);
                }
            });
        }
    }

    #[inline(always)]
    fn finish(self, sums: Sums) -> Sums {
        sums
    }
}

impl Multiply for I8mm {
    const SIDE_BY_SIDE: usize = 2 * STEP;

    /// Two tokens share two sums: one of the first two rows of a register, one of the last.
    #[inline(always)]
    unsafe fn accumulate(self, sums: &mut Sums, w: *const u8, x: *const i8) {
        // SAFETY: the caller's promise; `self` shows that the processor has the instruction.
        unsafe {
            let w: [[_; 2]; REGISTERS] =
                std::array::from_fn(|r| std::array::from_fn(|rows| self.load(w.add((2 * r + rows) * REGISTER))));
            for t in (0..TOKENS).step_by(2) {
                let x = vld1q_s8(x.add(t * Self::SIDE_BY_SIDE));
                for r in 0..REGISTERS {
                    for rows in 0..2 {
                        sums[t + rows][r] = usmmla(sums[t + rows][r], w[r][rows], x);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn finish(self, mut sums: Sums) -> Sums {
        for t in (0..TOKENS).step_by(2) {
            for r in 0..REGISTERS {
                // SAFETY: every 64-bit ARM has NEON.
                (sums[t][r], sums[t + 1][r]) = unsafe { by_token(sums[t][r], sums[t + 1][r]) };
            }
        }
        sums
    }
}

/// Each half of the rows with each half of the tokens.
///
/// # Safety
/// The product is one of `EACH` scales a block, and has two bytes where `TWO_BYTES`.
#[inline(always)]
unsafe fn in_quarters<I: Multiply, const EACH: usize, const TWO_BYTES: bool>(
    isa: I,
    product: Product<'_>,
    out: &mut [Lanes; TILE],
) {
    for row in [0, ROWS / 2] {
        for token in [0, TOKENS] {
            // SAFETY: the caller's promise.
            let values = unsafe { quarter::<I, EACH, TWO_BYTES>(isa, product, row, token) };
            for (values, out) in values.iter().zip(&mut out[token..]) {
                for (r, &values) in values.iter().enumerate() {
                    // SAFETY: an output has these rows.
                    unsafe { isa.store(values, out.as_mut_ptr().add(row + r * WIDTH)) };
                }
            }
        }
    }
}

/// The rows from `row` on with the tokens from `token` on.
///
/// # Safety
/// As [`in_quarters`]; `row` and `token` are the first of a half.
#[inline(always)]
unsafe fn quarter<I: Multiply, const EACH: usize, const TWO_BYTES: bool>(
    isa: I,
    product: Product<'_>,
    row: usize,
    token: usize,
) -> Floats {
    let (panel, tile) = (product.panel(), product.tile());
    let zero = [[isa.splat(0); REGISTERS]; TOKENS];
    let mut acc = [[isa.splat_float(0.0); REGISTERS]; TOKENS];
    let pairs = const { STEPS / EACH / 2 };
    for (index, block) in tile.blocks.iter().enumerate() {
        for half in 0..EACH {
            let (mut high, mut low) = (zero, zero);
            for pair in half * pairs..(half + 1) * pairs {
                // SAFETY: the panel has all steps of each block, and there are low bytes for each, as `Product` looked and
                // the caller promises; those of the rows and tokens before come first.
                unsafe {
                    let w = panel.steps.as_ptr().add(index * STEPS + 2 * pair).cast::<u8>();
                    let w = w.add(row * I::SIDE_BY_SIDE);
                    let x = block.high.as_ptr().add(2 * pair).cast::<i8>();
                    isa.accumulate(&mut high, w, x.add(token * I::SIDE_BY_SIDE));
                    if TWO_BYTES {
                        let x = tile.low.get_unchecked(index).as_ptr().add(2 * pair).cast::<i8>();
                        isa.accumulate(&mut low, w, x.add(token * I::SIDE_BY_SIDE));
                    }
                }
            }
            let (high, low) = (isa.finish(high), isa.finish(low));
            let part = index * EACH + half;
            let sums = &block.sums[if EACH == 1 { 2 } else { half }];
            for r in 0..REGISTERS {
                // SAFETY: there are `EACH` for each block, sixteen floats each, as `Product` looked and the caller promises.
                let (scales, minimums) = unsafe {
                    let at = row + r * WIDTH;
                    let of = |lanes: &Vec<Lanes>| isa.load_f32(lanes.as_ptr().add(part).cast::<f32>().add(at).cast());
                    (of(&panel.scales), of(&panel.minimums))
                };
                for t in 0..TOKENS {
                    let product = if TWO_BYTES { isa.join_bytes(high[t][r], low[t][r]) } else { high[t][r] };
                    let scale = isa.mul_floats(scales, isa.splat_float(block.scales[token + t]));
                    acc[t][r] = isa.mul_add(isa.to_floats(product), scale, acc[t][r]);
                    acc[t][r] = isa.mul_add(minimums, isa.splat_float(sums[token + t]), acc[t][r]);
                }
            }
        }
    }
    acc
}
