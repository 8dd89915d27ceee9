//! Sixteen floats at a time, whatever the processor calls them.

use super::super::vector;
use super::cache::LANES;

/// Sixteen floats in registers.
///
/// # Safety
/// Every function asks for a processor with the instructions of the implementing type; those that take a pointer ask for
/// sixteen elements behind it, which need not be aligned.
pub(super) trait Lanes: Copy {
    /// Whether a product and a sum are one instruction, rounded once.
    const FMA: bool;

    unsafe fn splat(x: f32) -> Self;
    unsafe fn load_f32(at: *const u8) -> Self;
    unsafe fn load_f16(at: *const u8) -> Self;
    unsafe fn load_i8(at: *const u8) -> Self;
    unsafe fn store(self, at: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self · factor + addend`
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// See [`vector::max`].
    #[inline(always)]
    unsafe fn max(x: &[f32]) -> f32 {
        if Self::FMA { vector::max_body::<true>(x) } else { vector::max_body::<false>(x) }
    }

    /// See [`vector::softcap`].
    #[inline(always)]
    unsafe fn softcap(x: &mut [f32], cap: f32) {
        if Self::FMA { vector::softcap_body::<true>(x, cap) } else { vector::softcap_body::<false>(x, cap) }
    }

    /// See [`vector::exp_in_place`].
    #[inline(always)]
    unsafe fn exp_in_place(x: &mut [f32], shift: f32) -> f32 {
        if Self::FMA {
            vector::exp_in_place_body::<true>(x, shift)
        } else {
            vector::exp_in_place_body::<false>(x, shift)
        }
    }
}

/// What a tile consists of.
pub(super) trait Element {
    const BYTES: usize;
    /// # Safety
    /// As [`Lanes`].
    unsafe fn load<V: Lanes>(at: *const u8) -> V;
}

pub(super) struct Float;
pub(super) struct F16;
pub(super) struct I8;

impl Element for Float {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<V: Lanes>(at: *const u8) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load_f32(at) }
    }
}

impl Element for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<V: Lanes>(at: *const u8) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load_f16(at) }
    }
}

impl Element for I8 {
    const BYTES: usize = 1;
    #[inline(always)]
    unsafe fn load<V: Lanes>(at: *const u8) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load_i8(at) }
    }
}

/// Plain Rust: the twin that the others are compared with, and what other processors run.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Lanes for Portable {
    const FMA: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load_f32(at: *const u8) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { at.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u8) -> Self {
        // SAFETY: the caller's promise.
        let halves = unsafe { at.cast::<[u16; LANES]>().read_unaligned() };
        Self(halves.map(f16_to_f32))
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { at.cast::<[i8; LANES]>().read_unaligned() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * factor.0[i] + addend.0[i]))
    }
}

/// A half-precision number as a float, in steps that the compiler turns into vectors. The exponent and the digits move to
/// their places in a float, whose exponent counts from elsewhere: a product puts that right, for numbers without a leading
/// one as well.
#[inline(always)]
fn f16_to_f32(half: u16) -> f32 {
    const REBASE: f32 = f32::from_bits((127 + 127 - 15) << 23);
    let magnitude = u32::from(half & 0x7fff) << 13;
    let sign = u32::from(half & 0x8000) << 16;
    let finite = (f32::from_bits(magnitude) * REBASE).to_bits();
    let endless = magnitude | 0x7f80_0000;
    f32::from_bits(sign | if half & 0x7c00 == 0x7c00 { endless } else { finite })
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn every_half_is_the_float_it_stands_for() {
        for bits in 0..=u16::MAX {
            let (found, exact) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(found == exact || found.is_nan() && exact.is_nan(), "{bits:#x}: {found} instead of {exact}");
        }
    }
}
