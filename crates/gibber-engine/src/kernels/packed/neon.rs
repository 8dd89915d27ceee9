//! Products of packed weights for 64-bit ARM: a quarter of a group's rows in a register, of whose bytes four a lane are
//! multiplied with the same four activations, and those are read from a lane of theirs.
//!
//! The instruction sets differ in how they multiply bytes: dot products of four (`sdot`, `usdot`), products of matrices of
//! two times eight (`usmmla`) where there are two tokens, and without either products that are widened and added up. The
//! intrinsics of the first two are not stable in Rust yet, so that they are written as assembly.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop, reason = "accumulators are registers: which one is a constant index")]

mod instructions;
mod products;
pub(super) mod tile;

use super::expand::Lanes;
use super::format::{self, Quant, ROWS};
use super::kernel::{self, Multiplier};
use super::{PackedFormat, for_format};
use crate::kernels::activation::{Block, STEP};
use crate::kernels::isa::{DotProd, I8mm, Neon};

/// Rows in a register.
const WIDTH: usize = 4;
/// Its bytes: as many as it takes of a vector of steps.
const REGISTER: usize = STEP * WIDTH;

/// What an instruction set makes of one token and of a few.
trait Kernel: Multiplier {
    /// # Safety
    /// The group has as many blocks as `x`.
    unsafe fn one_token<F: Quant>(self, group: &[u8], x: &[Block]) -> Lanes;

    /// As many tokens as there are outputs.
    ///
    /// # Safety
    /// The group has as many blocks as each of `x`.
    unsafe fn few_tokens<F: Quant>(self, group: &[u8], x: &[&[Block]], out: &mut [Lanes]);
}

/// The kernels compiled for an instruction set.
macro_rules! compiled {
    ($module:ident: $isa:ident, $($features:literal)?) => {
        pub(super) mod $module {
            use super::*;

            /// See [`super::super::multiply_groups`].
            ///
            /// # Panics
            /// Where the groups are not as many as the outputs, each with as many blocks as `x`.
            pub(in super::super) fn multiply_groups(
                isa: $isa,
                format: PackedFormat,
                groups: &[u8],
                x: &[Block],
                out: &mut [Lanes],
            ) {
                assert_eq!(groups.len(), out.len() * format.group_bytes(x.len()), "groups of another width");
                // SAFETY: `isa` shows that the processor has these features; the groups were counted above.
                unsafe { for_format!(format => groups_of_one_token(isa, groups, x, out)) }
            }

            /// # Safety
            /// The groups are as many as the outputs, each with as many blocks as `x`.
            $(#[target_feature(enable = $features)])?
            unsafe fn groups_of_one_token<F: Quant>(isa: $isa, groups: &[u8], x: &[Block], out: &mut [Lanes]) {
                let each = groups.len() / out.len().max(1);
                for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
                    // SAFETY: the caller's promise, for each group.
                    *out = unsafe { isa.one_token::<F>(group, x) };
                }
            }

            /// See [`super::super::multiply_group`].
            ///
            /// # Panics
            /// Where the group has not as many blocks as `x`, or there is no output for each of those.
            pub(in super::super) fn multiply_group(
                isa: $isa,
                format: PackedFormat,
                group: &[u8],
                x: &[&[Block]],
                out: &mut [Lanes],
            ) {
                for x in x {
                    assert_eq!(group.len(), format.group_bytes(x.len()), "a group of another width");
                }
                let out = &mut out[..x.len()];
                // SAFETY: `isa` shows that the processor has these features; the blocks of each input were counted above.
                unsafe { for_format!(format => few_tokens(isa, group, x, out)) }
            }

            /// # Safety
            /// The group has as many blocks as each of `x`.
            $(#[target_feature(enable = $features)])?
            unsafe fn few_tokens<F: Quant>(isa: $isa, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
                // SAFETY: the caller's promise.
                unsafe { isa.few_tokens::<F>(group, x, out) }
            }
        }
    };
}

compiled!(plain: Neon,);
compiled!(dotprod: DotProd, "dotprod");
compiled!(i8mm: I8mm, "dotprod,i8mm");

impl Kernel for Neon {
    #[inline(always)]
    unsafe fn one_token<F: Quant>(self, group: &[u8], x: &[Block]) -> Lanes {
        // SAFETY: the caller's promise.
        let [out] = unsafe { all_rows::<_, F, 1, 2>(self, group, [x]) };
        out
    }

    /// Two at a time.
    #[inline(always)]
    unsafe fn few_tokens<F: Quant>(self, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
        // SAFETY: the caller's promise.
        unsafe { in_pairs::<_, F, 1>(self, group, x, out) }
    }
}

impl Kernel for DotProd {
    #[inline(always)]
    unsafe fn one_token<F: Quant>(self, group: &[u8], x: &[Block]) -> Lanes {
        // SAFETY: the caller's promise.
        let [out] = unsafe { all_rows::<_, F, 1, 4>(self, group, [x]) };
        out
    }

    /// Two at a time: there are registers for the sums of no more.
    #[inline(always)]
    unsafe fn few_tokens<F: Quant>(self, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
        // SAFETY: the caller's promise.
        unsafe {
            if F::SCALES.has_halves() {
                in_pairs::<_, F, 2>(self, group, x, out);
            } else {
                in_pairs::<_, F, 4>(self, group, x, out);
            }
        }
    }
}

impl Kernel for I8mm {
    #[inline(always)]
    unsafe fn one_token<F: Quant>(self, group: &[u8], x: &[Block]) -> Lanes {
        // SAFETY: the caller's promise.
        let [out] = unsafe { all_rows::<_, F, 1, 4>(self, group, [x]) };
        out
    }

    /// Four at a time, of which the last stands for one that is missing.
    #[inline(always)]
    unsafe fn few_tokens<F: Quant>(self, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
        // SAFETY: the caller's promise.
        unsafe {
            match *x {
                [a, b, c, ref more @ ..] => {
                    let x = [a, b, c, more.first().copied().unwrap_or(c)];
                    let values = if F::SCALES.has_halves() {
                        all_rows::<_, F, 4, 1>(self, group, x)
                    } else {
                        all_rows::<_, F, 4, 2>(self, group, x)
                    };
                    out.copy_from_slice(&values[..out.len()]);
                }
                _ if F::SCALES.has_halves() => in_pairs::<_, F, 2>(self, group, x, out),
                _ => in_pairs::<_, F, 4>(self, group, x, out),
            }
        }
    }
}

/// Two tokens at a time, `R` registers of rows at a time.
///
/// # Safety
/// The group has as many blocks as each of `x`.
#[inline(always)]
unsafe fn in_pairs<I: Kernel, F: Quant, const R: usize>(isa: I, group: &[u8], x: &[&[Block]], out: &mut [Lanes]) {
    let (pairs, last) = x.as_chunks::<2>();
    let (out_pairs, last_out) = out.as_chunks_mut::<2>();
    for (x, out) in pairs.iter().zip(out_pairs) {
        // SAFETY: the caller's promise.
        *out = unsafe { all_rows::<_, F, 2, R>(isa, group, *x) };
    }
    if let ([x], [out]) = (last, last_out) {
        // SAFETY: the caller's promise.
        *out = unsafe { isa.one_token::<F>(group, x) };
    }
}

/// `T` tokens times all rows of a group, `R` registers of them at a time.
///
/// # Safety
/// The group has as many blocks as each of `x`.
#[inline(always)]
unsafe fn all_rows<I: Multiplier, F: Quant, const T: usize, const R: usize>(
    isa: I,
    group: &[u8],
    x: [&[Block]; T],
) -> [Lanes; T] {
    const { assert!(I::WIDTH == WIDTH && ROWS.is_multiple_of(R * WIDTH)) };
    let mut out = [[0.0; ROWS]; T];
    for first in (0..ROWS).step_by(R * WIDTH) {
        // SAFETY: the caller's promise; the rows are some of the group's.
        let registers = unsafe { kernel::multiply::<I, F, T, R>(isa, group, x, first) };
        for t in 0..T {
            for r in 0..R {
                // SAFETY: the rows of this register are among those of the output.
                unsafe { isa.store(registers[t][r], out[t].as_mut_ptr().add(first + r * WIDTH)) };
            }
        }
    }
    out
}
