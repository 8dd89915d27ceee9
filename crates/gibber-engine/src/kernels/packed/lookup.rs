//! Products of weights of one bit, or of two in planes, for x86-64 with AVX-512: sums are looked up in tables, 32 in one instruction.
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
use crate::kernels::sum_tables::{SumTable, TABLES};

/// How far ahead weights are fetched into the cache, in bytes.
const PREFETCH_BYTES: usize = 8192;

/// The rows of as many groups as `out` has, one after another in `groups`, times one input with its tables.
///
/// # Panics
/// Where the format is not looked up, or groups and tables are not as many as there are blocks.
pub(super) fn multiply_groups(
    isa: Avx512,
    format: PackedFormat,
    groups: &[u8],
    (x, (tables, units)): (&[Block], (&[SumTable], &[f32])),
    out: &mut [Lanes],
) {
    let each = format.group_bytes(x.len());
    assert_eq!(groups.len(), out.len() * each, "groups of another width");
    assert_eq!((tables.len(), units.len()), (x.len() * TABLES, x.len()), "tables of another width");
    for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
        // SAFETY: the `Avx512` shows that the processor has these features; groups and tables were counted above, and the
        // blocks of a file's are a whole number of those that share a scale.
        *out = unsafe {
            match format {
                PackedFormat::Q1_0 => multiply::<format::Q1_0>(isa, group, x, (tables, units)),
                PackedFormat::Q2_0 => multiply::<format::Q2_0>(isa, group, x, (tables, units)),
                PackedFormat::TQ1_0 => multiply::<format::TQ1_0>(isa, group, x, (tables, units)),
                PackedFormat::TQ2_0 => multiply::<format::TQ2_0>(isa, group, x, (tables, units)),
                _ => panic!("{format:?} is not looked up"),
            }
        };
    }
}

/// # Safety
/// The group has as many blocks as `x`, a whole number of those that share a scale, and there are four tables and a unit
/// for each.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply<F: Quant>(isa: Avx512, group: &[u8], x: &[Block], (tables, units): (&[SumTable], &[f32])) -> Lanes {
    let sharing = match F::SCALES {
        Scales::Half(blocks) => blocks,
        _ => 1,
    };
    let share = 2 * ROWS + sharing * F::BITS * VECTOR;
    // SAFETY: quants and scales are in the group, and the tables are there, as the caller promises.
    unsafe {
        let (mut scales, mut quants) = (group.as_ptr(), group.as_ptr().add(quants_at(F::SCALES, x.len())));
        let mut tables = tables.as_ptr();
        let mut acc = _mm512_setzero_ps();
        for (index, (blocks, units)) in x.chunks_exact(sharing).zip(units.chunks_exact(sharing)).enumerate() {
            prefetch(group.as_ptr().wrapping_add(PREFETCH_BYTES + index * share), share);
            let mut sum = _mm512_setzero_ps();
            for (block, unit) in blocks.iter().zip(units) {
                let mut sums = [_mm512_setzero_si512(); 2];
                for plane in 0..F::BITS {
                    sums = look_up_vector(_mm512_loadu_si512(quants.cast()), tables, 1 << plane, sums);
                    quants = quants.add(VECTOR);
                }
                tables = tables.add(TABLES);
                let product = _mm512_cvtepi32_ps(_mm512_add_epi32(sums[0], sums[1]));
                if F::BITS == 1 {
                    sum = _mm512_fmadd_ps(product, _mm512_set1_ps(block.scale * unit), sum);
                } else {
                    // With signs s and t, the bits are half of s + 1 and of t + 1: b + 2 c - 1 is half of s + 2 t + 1.
                    let half_scale = 0.5 * block.scale;
                    let all = (block.sums[0] + block.sums[1]) as f32;
                    sum = _mm512_fmadd_ps(product, _mm512_set1_ps(half_scale * unit), sum);
                    sum = _mm512_add_ps(sum, _mm512_set1_ps(half_scale * all));
                }
            }
            acc = _mm512_fmadd_ps(sum, isa.load_f16(scales), acc);
            scales = scales.add(2 * ROWS);
        }
        to_lanes(isa, [acc])
    }
}

/// Adds `weight` times what four tables have for the half bytes of `codes`, the lower word of each row's in their first half, the upper
/// word in their second.
///
/// # Safety
/// Four tables must be readable from `tables` on.
#[inline(always)]
unsafe fn look_up_vector(codes: __m512i, tables: *const SumTable, weight: i16, mut sums: [__m512i; 2]) -> [__m512i; 2] {
    // SAFETY: the tables are the caller's promise; who calls this is compiled for the instructions.
    unsafe {
        let (half_byte, upper) = (_mm512_set1_epi16(15), _mm512_set1_epi32(16 << 16));
        let weight = _mm512_set1_epi16(weight);
        let moved =
            [codes, _mm512_srli_epi16::<4>(codes), _mm512_srli_epi16::<8>(codes), _mm512_srli_epi16::<12>(codes)];
        for (at, codes) in moved.into_iter().enumerate() {
            /// `a & b | c`
            const AND_OR: i32 = 0xea;
            let index = _mm512_ternarylogic_epi32::<AND_OR>(codes, half_byte, upper);
            let found = _mm512_permutexvar_epi16(index, _mm512_loadu_si512(tables.add(at).cast()));
            sums[at % 2] = _mm512_dpwssd_epi32(sums[at % 2], found, weight);
        }
        sums
    }
}
