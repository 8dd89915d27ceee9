//! The instructions that Rust has no stable name for.

use std::arch::aarch64::{int8x16_t, int32x4_t};
use std::arch::asm;

/// Defines functions of one instruction, which takes its first operand apart from the result, `(row, features, template)`.
macro_rules! instructions {
    ($($(#[$doc:meta])* $name:ident$(<const $lane:ident>)?: $features:literal, $template:literal;)*) => {$(
        $(#[$doc])*
        #[inline]
        #[target_feature(enable = $features)]
        pub(super) fn $name$(<const $lane: usize>)?(sums: int32x4_t, w: int32x4_t, x: int8x16_t) -> int32x4_t {
            let mut out = sums;
            // SAFETY: from register to register; whoever calls it has shown that the processor has these features.
            unsafe {
                asm!($template, out = inout(vreg) out, w = in(vreg) w, x = in(vreg) x, $($lane = const $lane,)?
                    options(pure, nomem, nostack, preserves_flags));
            }
            out
        }
    )*};
}

instructions! {
    /// Adds to each lane the products of its four bytes in `w`, which have a sign, with the four bytes in lane `LANE` of `x`.
    sdot<const LANE>: "dotprod", "sdot {out:v}.4s, {w:v}.16b, {x:v}.4b[{LANE}]";
    /// As [`sdot`], where the bytes in `w` have no sign.
    usdot<const LANE>: "i8mm", "usdot {out:v}.4s, {w:v}.16b, {x:v}.4b[{LANE}]";
    /// Adds the products of two times eight bytes in `w`, which have no sign, with two times eight in `x`: both of the first
    /// row with both of `x`, then both of the second.
    usmmla: "i8mm", "usmmla {out:v}.4s, {w:v}.16b, {x:v}.16b";
}
