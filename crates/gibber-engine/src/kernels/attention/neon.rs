//! The inner loops for 64-bit ARM.

use std::arch::aarch64::*;

use super::super::registers::widen_f16;
use super::cache::LANES;
use super::lanes::Lanes;

/// Four registers of four floats.
#[derive(Clone, Copy)]
pub(super) struct Neon([float32x4_t; REGISTERS]);

/// Floats in a register.
const WIDTH: usize = 4;
const REGISTERS: usize = LANES / WIDTH;

impl Lanes for Neon {
    const FMA: bool = true;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller's promise, here and below.
        Self([unsafe { vdupq_n_f32(x) }; REGISTERS])
    }

    #[inline(always)]
    unsafe fn load_f32(at: *const u8) -> Self {
        // SAFETY: see above.
        Self(unsafe { at.cast::<[float32x4_t; REGISTERS]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe { Self(at.cast::<[uint16x4_t; REGISTERS]>().read_unaligned().map(|halves| widen_f16(halves))) }
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe {
            let bytes = at.cast::<int8x16_t>().read_unaligned();
            let (a, b) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            let wholes = [vmovl_s16(vget_low_s16(a)), vmovl_high_s16(a), vmovl_s16(vget_low_s16(b)), vmovl_high_s16(b)];
            Self(wholes.map(|wholes| vcvtq_f32_s32(wholes)))
        }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: see above.
        unsafe { at.cast::<[float32x4_t; REGISTERS]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(std::array::from_fn(|i| unsafe { vaddq_f32(self.0[i], other.0[i]) }))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(std::array::from_fn(|i| unsafe { vmulq_f32(self.0[i], other.0[i]) }))
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above.
        Self(std::array::from_fn(|i| unsafe { vfmaq_f32(addend.0[i], self.0[i], factor.0[i]) }))
    }
}
