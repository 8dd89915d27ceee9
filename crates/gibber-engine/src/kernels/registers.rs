//! What one register of an instruction set holds and does: loops that differ in nothing else are written once over
//! [`Registers`].
//!
//! An instruction can only be inlined into a function that is compiled for it. So every operation here, and every function
//! over [`Registers`], is `inline(always)`, and who calls them has the `target_feature`s of the instruction set.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::block::HIGH;
#[cfg(target_arch = "x86_64")]
use super::isa::{Avx2, Avx512};
#[cfg(target_arch = "aarch64")]
pub(super) use neon::widen_f16;

// What `join_bytes` counts.
const _: () = assert!(HIGH == 256 - 2);

/// The registers of an instruction set, and its operations on each lane. The value is the proof that the processor has
/// them (see [`super::isa`]), which is why all but reads and writes of memory are safe.
pub(super) trait Registers: Copy {
    /// Lanes of 32 bits.
    const WIDTH: usize;
    /// Whole numbers of 32 bits, where an operation does not say otherwise.
    type Integers: Copy;
    /// Single precision.
    type Floats: Copy;
    /// Sixteen bytes.
    type Bytes: Copy;

    /// `x` in every lane.
    fn splat(self, x: i32) -> Self::Integers;
    fn and(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    fn or(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    fn add(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    fn sub(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// `254 · high + low`: what both bytes of an activation contribute.
    fn join_bytes(self, high: Self::Integers, low: Self::Integers) -> Self::Integers;
    /// `by` bits to the left.
    fn shift_left_32(self, a: Self::Integers, by: i32) -> Self::Integers;
    /// Lanes of 16 bits, `by` bits to the left.
    fn shift_left_16(self, a: Self::Integers, by: i32) -> Self::Integers;
    /// Lanes of 16 bits, `by` bits to the right.
    fn shift_right_16(self, a: Self::Integers, by: i32) -> Self::Integers;
    /// Each byte `left` bits to the left (to the right where that is negative), the bits of `mask` kept, which are none that
    /// come from another byte.
    #[inline(always)]
    fn shift_bytes(self, a: Self::Integers, left: i32, mask: u8) -> Self::Integers {
        let moved = if left >= 0 { self.shift_left_16(a, left) } else { self.shift_right_16(a, -left) };
        self.and(moved, self.splat(i32::from_ne_bytes([mask; 4])))
    }
    /// For each byte of `codes`, 0 to 15, that byte of the table.
    fn look_up(self, table: Self::Bytes, codes: Self::Integers) -> Self::Integers;
    /// The first bytes, a lane each.
    fn widen_u8(self, bytes: Self::Bytes) -> Self::Integers;
    /// The first bytes with their signs, a lane each.
    fn widen_i8(self, bytes: Self::Bytes) -> Self::Integers;
    fn to_floats(self, a: Self::Integers) -> Self::Floats;
    /// The same bits.
    fn as_floats(self, a: Self::Integers) -> Self::Floats;

    /// `x` in every lane.
    fn splat_float(self, x: f32) -> Self::Floats;
    fn add_floats(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn sub_floats(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn mul_floats(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    /// # Safety
    /// As many bytes as a register has must be readable at `at`, on any boundary.
    unsafe fn load(self, at: *const u8) -> Self::Integers;
    /// Sixteen bytes.
    ///
    /// # Safety
    /// They must be readable at `at`, on any boundary.
    unsafe fn load_table(self, at: *const u8) -> Self::Bytes;
    /// A byte for each lane, the first of the result.
    ///
    /// # Safety
    /// They must be readable at `at`.
    unsafe fn load_bytes(self, at: *const u8) -> Self::Bytes;
    /// # Safety
    /// [`Self::WIDTH`] floats must be readable at `at`, on any boundary.
    unsafe fn load_f32(self, at: *const u8) -> Self::Floats;
    /// # Safety
    /// [`Self::WIDTH`] numbers in IEEE half precision must be readable at `at`, on any boundary.
    unsafe fn load_f16(self, at: *const u8) -> Self::Floats;
    /// # Safety
    /// [`Self::WIDTH`] numbers in BF16 must be readable at `at`, on any boundary.
    unsafe fn load_bf16(self, at: *const u8) -> Self::Floats;
    /// # Safety
    /// [`Self::WIDTH`] floats must be writable at `at`, on any boundary.
    unsafe fn store(self, a: Self::Floats, at: *mut f32);
}

/// The operations of an instruction set, a row each; those of `memory` take pointers.
macro_rules! registers {
    (
        $isa:ty: $width:literal lanes, $whole:ty, $floats:ty, $bytes:ty;
        values { $($name:ident($($arg:ident: $type:ty),*) -> $result:ty = $value:expr;)* }
        memory { $($access:ident($($access_arg:ident: $access_type:ty),*) -> $access_result:ty = $access_value:expr;)* }
    ) => {
        impl Registers for $isa {
            const WIDTH: usize = $width;
            type Integers = $whole;
            type Floats = $floats;
            type Bytes = $bytes;

            $(
                #[inline(always)]
                fn $name(self, $($arg: $type),*) -> $result {
                    // SAFETY: that there is a `self` shows that the processor has the instruction: `Isa::available` looked.
                    unsafe { $value }
                }
            )*

            $(
                #[inline(always)]
                unsafe fn $access(self, $($access_arg: $access_type),*) -> $access_result {
                    // SAFETY: `self` as above; that the memory is there is the caller's promise.
                    unsafe { $access_value }
                }
            )*
        }
    };
}

// Behind the macro, which it uses.
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
registers! {
    Avx2: 8 lanes, __m256i, __m256, __m128i;
    values {
        splat(x: i32) -> __m256i = _mm256_set1_epi32(x);
        and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        add(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        sub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        join_bytes(high: __m256i, low: __m256i) -> __m256i = {
            let all_but_low = _mm256_sub_epi32(_mm256_slli_epi32::<8>(high), _mm256_add_epi32(high, high));
            _mm256_add_epi32(all_but_low, low)
        };
        shift_left_32(a: __m256i, by: i32) -> __m256i = _mm256_sll_epi32(a, _mm_cvtsi32_si128(by));
        shift_left_16(a: __m256i, by: i32) -> __m256i = _mm256_sll_epi16(a, _mm_cvtsi32_si128(by));
        shift_right_16(a: __m256i, by: i32) -> __m256i = _mm256_srl_epi16(a, _mm_cvtsi32_si128(by));
        look_up(table: __m128i, codes: __m256i) -> __m256i =
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
        widen_u8(bytes: __m128i) -> __m256i = _mm256_cvtepu8_epi32(bytes);
        widen_i8(bytes: __m128i) -> __m256i = _mm256_cvtepi8_epi32(bytes);
        to_floats(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        as_floats(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        splat_float(x: f32) -> __m256 = _mm256_set1_ps(x);
        add_floats(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub_floats(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul_floats(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
    }
    memory {
        load(at: *const u8) -> __m256i = _mm256_loadu_si256(at.cast());
        load_table(at: *const u8) -> __m128i = _mm_loadu_si128(at.cast());
        load_bytes(at: *const u8) -> __m128i = _mm_loadl_epi64(at.cast());
        load_f32(at: *const u8) -> __m256 = _mm256_loadu_ps(at.cast());
        load_f16(at: *const u8) -> __m256 = _mm256_cvtph_ps(_mm_loadu_si128(at.cast()));
        load_bf16(at: *const u8) -> __m256 =
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(at.cast()))));
        store(a: __m256, at: *mut f32) -> () = _mm256_storeu_ps(at, a);
    }
}

#[cfg(target_arch = "x86_64")]
registers! {
    Avx512: 16 lanes, __m512i, __m512, __m128i;
    values {
        splat(x: i32) -> __m512i = _mm512_set1_epi32(x);
        and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        add(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        sub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        join_bytes(high: __m512i, low: __m512i) -> __m512i = {
            let all_but_low = _mm512_sub_epi32(_mm512_slli_epi32::<8>(high), _mm512_add_epi32(high, high));
            _mm512_add_epi32(all_but_low, low)
        };
        shift_left_32(a: __m512i, by: i32) -> __m512i = _mm512_sll_epi32(a, _mm_cvtsi32_si128(by));
        shift_left_16(a: __m512i, by: i32) -> __m512i = _mm512_sll_epi16(a, _mm_cvtsi32_si128(by));
        shift_right_16(a: __m512i, by: i32) -> __m512i = _mm512_srl_epi16(a, _mm_cvtsi32_si128(by));
        look_up(table: __m128i, codes: __m512i) -> __m512i =
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), codes);
        widen_u8(bytes: __m128i) -> __m512i = _mm512_cvtepu8_epi32(bytes);
        widen_i8(bytes: __m128i) -> __m512i = _mm512_cvtepi8_epi32(bytes);
        to_floats(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        as_floats(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        splat_float(x: f32) -> __m512 = _mm512_set1_ps(x);
        add_floats(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub_floats(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul_floats(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
    }
    memory {
        load(at: *const u8) -> __m512i = _mm512_loadu_si512(at.cast());
        load_table(at: *const u8) -> __m128i = _mm_loadu_si128(at.cast());
        load_bytes(at: *const u8) -> __m128i = _mm_loadu_si128(at.cast());
        load_f32(at: *const u8) -> __m512 = _mm512_loadu_ps(at.cast());
        load_f16(at: *const u8) -> __m512 = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
        load_bf16(at: *const u8) -> __m512 =
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()))));
        store(a: __m512, at: *mut f32) -> () = _mm512_storeu_ps(at, a);
    }
}

/// The cache lines of `bytes`, fetched into the nearest cache. A hint: the address need not be ours, or anybody's.
#[inline(always)]
pub(super) fn prefetch(at: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        let at = at.wrapping_add(line);
        // SAFETY: every x86-64 has SSE, and no prefetch faults, wherever it points.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
        #[cfg(target_arch = "aarch64")]
        neon::prefetch(at);
    }
}
