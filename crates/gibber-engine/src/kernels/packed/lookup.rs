//! Products of weights of one bit for x86-64 with AVX-512: sums are looked up in tables, 32 in one instruction.
//!
//! The other kernels multiply bytes, four products a lane; of so few bits that leaves memory waiting. See
//! [`crate::kernels::sum_tables`].
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::PackedFormat;
use super::expand::Lanes;
use super::format::{self, Quant, ROWS, Scales, VECTOR, quants_at};
use super::kernel::to_lanes;
use crate::kernels::activation::Block;
use crate::kernels::isa::Avx512;
use crate::kernels::registers::{Registers, prefetch};
use crate::kernels::sum_tables::{SumTable, TABLES, UNIT};

/// How far ahead weights are fetched into the cache, in bytes.
const PREFETCH_BYTES: usize = 8192;

/// The rows of as many groups as `out` has, one after another in `groups`, times one input with its tables.
///
/// # Panics
/// Where the format is not Q1_0, or groups and tables are not as many as there are blocks.
pub(super) fn multiply_groups(
    isa: Avx512,
    format: PackedFormat,
    groups: &[u8],
    (x, tables): (&[Block], &[SumTable]),
    out: &mut [Lanes],
) {
    let each = format.group_bytes(x.len());
    assert_eq!(groups.len(), out.len() * each, "groups of another width");
    assert_eq!((format, tables.len()), (PackedFormat::Q1_0, x.len() * TABLES), "tables of another width");
    for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
        // SAFETY: the `Avx512` shows that the processor has these features; groups and tables were counted above, and the
        // blocks of a file's are a whole number of those that share a scale.
        *out = unsafe { multiply::<format::Q1_0>(isa, group, x, tables) };
    }
}

/// # Safety
/// The group has as many blocks as `x`, a whole number of those that share a scale, and there are four tables for each of
/// the vectors of a block.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply<F: Quant>(isa: Avx512, group: &[u8], x: &[Block], tables: &[SumTable]) -> Lanes {
    let sharing = match F::SCALES {
        Scales::Half(blocks) => blocks,
        _ => 1,
    };
    let share = sharing * (2 * ROWS / sharing + F::BITS * VECTOR);
    // SAFETY: quants and scales are in the group, and the tables are there, as the caller promises.
    unsafe {
        let (mut scales, mut quants) = (group.as_ptr(), group.as_ptr().add(quants_at(F::SCALES, x.len())));
        let mut tables = tables.as_ptr();
        let mut acc = _mm512_setzero_ps();
        for (index, blocks) in x.chunks_exact(sharing).enumerate() {
            prefetch(group.as_ptr().wrapping_add(PREFETCH_BYTES + index * share), share);
            let mut sum = _mm512_setzero_ps();
            for block in blocks {
                let mut sums = [_mm512_setzero_si512(); 2];
                for _ in 0..F::BITS {
                    sums = look_up_vector(_mm512_loadu_si512(quants.cast()), tables, sums);
                    (quants, tables) = (quants.add(VECTOR), tables.add(4));
                }
                let product = _mm512_cvtepi32_ps(_mm512_add_epi32(sums[0], sums[1]));
                sum = _mm512_fmadd_ps(product, _mm512_set1_ps(block.scale * UNIT as f32), sum);
            }
            acc = _mm512_fmadd_ps(sum, isa.load_f16(scales), acc);
            scales = scales.add(2 * ROWS);
        }
        to_lanes(isa, [acc])
    }
}

/// Adds what four tables have for the half bytes of `codes`, the lower word of each row's in their first half, the upper
/// word in their second.
///
/// # Safety
/// Four tables must be readable from `tables` on.
#[inline(always)]
unsafe fn look_up_vector(codes: __m512i, tables: *const SumTable, mut sums: [__m512i; 2]) -> [__m512i; 2] {
    // SAFETY: the tables are the caller's promise; who calls this is compiled for the instructions.
    unsafe {
        let (half_byte, upper) = (_mm512_set1_epi16(15), _mm512_set1_epi32(16 << 16));
        let ones = _mm512_set1_epi16(1);
        let moved =
            [codes, _mm512_srli_epi16::<4>(codes), _mm512_srli_epi16::<8>(codes), _mm512_srli_epi16::<12>(codes)];
        for (at, codes) in moved.into_iter().enumerate() {
            /// `a & b | c`
            const AND_OR: i32 = 0xea;
            let index = _mm512_ternarylogic_epi32::<AND_OR>(codes, half_byte, upper);
            let found = _mm512_permutexvar_epi16(index, _mm512_loadu_si512(tables.add(at).cast()));
            sums[at % 2] = _mm512_dpwssd_epi32(sums[at % 2], found, ones);
        }
        sums
    }
}
