//! The registers of 64-bit ARM. Those of its instruction sets are the same: what they add are products of bytes.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Registers;
use crate::kernels::block::HIGH;
use crate::kernels::isa::{DotProd, I8mm, Neon};

/// What all of them do alike.
macro_rules! neon {
    ($($isa:ty),*) => {$(
        registers! {
            $isa: 4 lanes, int32x4_t, float32x4_t, uint8x16_t;
            values {
                splat(x: i32) -> int32x4_t = vdupq_n_s32(x);
                and(a: int32x4_t, b: int32x4_t) -> int32x4_t = vandq_s32(a, b);
                or(a: int32x4_t, b: int32x4_t) -> int32x4_t = vorrq_s32(a, b);
                add(a: int32x4_t, b: int32x4_t) -> int32x4_t = vaddq_s32(a, b);
                sub(a: int32x4_t, b: int32x4_t) -> int32x4_t = vsubq_s32(a, b);
            join_bytes(high: int32x4_t, low: int32x4_t) -> int32x4_t = vmlaq_n_s32(low, high, HIGH);
            shift_left_32(a: int32x4_t, by: i32) -> int32x4_t = vshlq_s32(a, vdupq_n_s32(by));
                shift_left_16(a: int32x4_t, by: i32) -> int32x4_t =
                    vreinterpretq_s32_u16(vshlq_u16(vreinterpretq_u16_s32(a), vdupq_n_s16(by as i16)));
                shift_right_16(a: int32x4_t, by: i32) -> int32x4_t =
                    vreinterpretq_s32_u16(vshlq_u16(vreinterpretq_u16_s32(a), vdupq_n_s16(-by as i16)));
                shift_bytes(a: int32x4_t, left: i32, mask: u8) -> int32x4_t = shift_bytes(a, left, mask);
                look_up(table: uint8x16_t, codes: int32x4_t) -> int32x4_t =
                    vreinterpretq_s32_u8(vqtbl1q_u8(table, vreinterpretq_u8_s32(codes)));
                widen_u8(bytes: uint8x16_t) -> int32x4_t =
                    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vget_low_u8(bytes)))));
                widen_i8(bytes: uint8x16_t) -> int32x4_t =
                    vmovl_s16(vget_low_s16(vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(bytes)))));
                to_floats(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
                as_floats(a: int32x4_t) -> float32x4_t = vreinterpretq_f32_s32(a);
                splat_float(x: f32) -> float32x4_t = vdupq_n_f32(x);
                add_floats(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
                sub_floats(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
                mul_floats(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
                mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
            }
            memory {
                load(at: *const u8) -> int32x4_t = at.cast::<int32x4_t>().read_unaligned();
                load_table(at: *const u8) -> uint8x16_t = at.cast::<uint8x16_t>().read_unaligned();
                load_bytes(at: *const u8) -> uint8x16_t =
                    vreinterpretq_u8_u32(vdupq_n_u32(at.cast::<u32>().read_unaligned()));
                load_f32(at: *const u8) -> float32x4_t = at.cast::<float32x4_t>().read_unaligned();
                load_f16(at: *const u8) -> float32x4_t = widen_f16(at.cast::<uint16x4_t>().read_unaligned());
                load_bf16(at: *const u8) -> float32x4_t =
                    vreinterpretq_f32_u32(vshll_n_u16::<16>(at.cast::<uint16x4_t>().read_unaligned()));
                store(a: float32x4_t, at: *mut f32) -> () = at.cast::<float32x4_t>().write_unaligned(a);
            }
        }
    )*};
}

neon!(Neon, DotProd, I8mm);

/// The instructions shift bytes: nothing comes from another one.
#[inline]
#[target_feature(enable = "neon")]
fn shift_bytes(a: int32x4_t, left: i32, mask: u8) -> int32x4_t {
    let moved = vshlq_u8(vreinterpretq_u8_s32(a), vdupq_n_s8(left as i8));
    let kept = if left >= 0 { 0xff_u8 << left } else { 0xff >> -left };
    vreinterpretq_s32_u8(if kept == mask { moved } else { vandq_u8(moved, vdupq_n_u8(mask)) })
}

/// Numbers of half precision as floats.
#[inline]
#[target_feature(enable = "neon")]
pub(in crate::kernels) fn widen_f16(halves: uint16x4_t) -> float32x4_t {
    let floats;
    // SAFETY: an instruction that every 64-bit ARM has, from register to register.
    unsafe {
        asm!("fcvtl {floats:v}.4s, {halves:v}.4h", floats = out(vreg) floats, halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags));
    }
    floats
}

/// A cache line, fetched into the nearest cache.
#[inline(always)]
pub(super) fn prefetch(at: *const u8) {
    // SAFETY: every 64-bit ARM has the instruction, and no prefetch faults, wherever it points.
    unsafe {
        asm!("prfm pldl1keep, [{at}]", at = in(reg) at.addr(), options(nomem, nostack, preserves_flags));
    }
}
