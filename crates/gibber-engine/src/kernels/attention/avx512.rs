//! The inner loops for x86-64 with AVX-512.

use std::arch::x86_64::*;

use super::cache::HeadTiles;
use super::kernel::{self, Chunk};
use super::lanes::Lanes;

/// A register of sixteen floats.
#[derive(Clone, Copy)]
struct Avx512(__m512);

impl Lanes for Avx512 {
    const FMA: bool = true;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller's promise, here and below.
        unsafe { Self(_mm512_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load_f32(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_loadu_ps(at.cast())) }
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(at.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(at.cast())))) }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(at, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, addend.0)) }
    }
}

/// See [`kernel::attend_chunk`].
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
pub(super) fn attend_chunk(chunk: &Chunk<'_>, partials: &mut [f32]) {
    // SAFETY: what is asked for are the instructions of the `Avx512` above: this function is compiled for all of them, so
    // whoever calls it has shown that the processor has them (`super` does with an `isa::Avx512`).
    unsafe { kernel::attend_chunk::<Avx512>(chunk, partials) }
}

/// See [`kernel::expand`].
#[target_feature(enable = "avx512f,avx2,fma,f16c")]
pub(super) fn expand(head: HeadTiles<'_>, start: usize, end: usize, out: &mut [f32]) {
    // SAFETY: what is asked for are the instructions of the `Avx512` above: this function is compiled for all of them, so
    // whoever calls it has shown that the processor has them (`super` does with an `isa::Avx512`).
    unsafe { kernel::expand::<Avx512>(head, start, end, out) }
}
