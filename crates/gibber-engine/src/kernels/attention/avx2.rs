//! The inner loops for x86-64 with AVX2, FMA and F16C.

use std::arch::x86_64::*;

use super::cache::HeadTiles;
use super::kernel::{self, Chunk};
use super::lanes::Lanes;

/// Two registers of eight floats.
#[derive(Clone, Copy)]
struct Avx2(__m256, __m256);

impl Lanes for Avx2 {
    const FMA: bool = true;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller's promise, here and below.
        unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load_f32(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_loadu_ps(at.cast()), _mm256_loadu_ps(at.add(32).cast())) }
    }

    #[inline(always)]
    unsafe fn load_f16(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe {
            let (low, high) = (_mm_loadu_si128(at.cast()), _mm_loadu_si128(at.add(16).cast()));
            Self(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
        }
    }

    #[inline(always)]
    unsafe fn load_i8(at: *const u8) -> Self {
        // SAFETY: see above.
        unsafe {
            let (low, high) = (_mm_loadl_epi64(at.cast()), _mm_loadl_epi64(at.add(8).cast()));
            let (low, high) = (_mm256_cvtepi8_epi32(low), _mm256_cvtepi8_epi32(high));
            Self(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        }
    }

    #[inline(always)]
    unsafe fn store(self, at: *mut f32) {
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_ps(at, self.0);
            _mm256_storeu_ps(at.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above.
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0), _mm256_fmadd_ps(self.1, factor.1, addend.1)) }
    }
}

/// See [`kernel::attend_chunk`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn attend_chunk(chunk: &Chunk<'_>, partials: &mut [f32]) {
    // SAFETY: what is asked for are the instructions of the `Avx2` above: this function is compiled for all of them, so
    // whoever calls it has shown that the processor has them (`super` does with an `isa::Avx2`).
    unsafe { kernel::attend_chunk::<Avx2>(chunk, partials) }
}

/// See [`kernel::expand`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn expand(head: HeadTiles<'_>, start: usize, end: usize, out: &mut [f32]) {
    // SAFETY: what is asked for are the instructions of the `Avx2` above: this function is compiled for all of them, so
    // whoever calls it has shown that the processor has them (`super` does with an `isa::Avx2`).
    unsafe { kernel::expand::<Avx2>(head, start, end, out) }
}
