//! Products of matrices that are no weights, as the scores of attention are: through BLAS, except where the processor has
//! AVX-512. A library that is older than the processor may not know it and compute with half of it.
#![allow(unsafe_code)]

use super::isa::Isa;
use crate::blas::{self, MatMut, MatRef, Transpose};

/// `out = alpha · a · b + beta · out`, with `a` `[m, k]`, `b` `[k, n]`, `out` `[m, n]`; where `beta` is 0, what `out` held
/// before does not matter.
///
/// # Panics
/// Where the dimensions do not fit each other.
pub(super) fn multiply(isa: Isa, alpha: f32, a: MatRef<'_>, b: MatRef<'_>, beta: f32, out: MatMut<'_>) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(isa) => avx512::multiply(isa, alpha, a, b, beta, out),
        _ => blas::sgemm(alpha, a, Transpose::No, b, Transpose::No, beta, out),
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use crate::blas::{MatMut, MatRef};
    use crate::kernels::isa::Avx512;

    /// Values in a register.
    const WIDTH: usize = 16;
    /// Columns of a tile: two registers.
    const COLUMNS: usize = 2 * WIDTH;

    /// See [`super::multiply`].
    pub(super) fn multiply(_: Avx512, alpha: f32, a: MatRef<'_>, b: MatRef<'_>, beta: f32, mut out: MatMut<'_>) {
        let (m, k, n) = (out.rows(), a.cols(), out.cols());
        assert_eq!((a.rows(), b.rows(), b.cols()), (m, k, n), "[{}, {k}] x [{}, {}]", a.rows(), b.rows(), b.cols());
        for column in (0..n).step_by(COLUMNS) {
            let strip = b.columns(column, COLUMNS.min(n - column));
            let mut row = 0;
            while row < m {
                let tile = (alpha, a, strip, beta, &mut out.columns(column, strip.cols()), row);
                // SAFETY: the `Avx512` shows that the processor has what they are compiled for.
                row += unsafe {
                    match m - row {
                        8.. => rows::<8>(tile),
                        4.. => rows::<4>(tile),
                        2.. => rows::<2>(tile),
                        _ => rows::<1>(tile),
                    }
                };
            }
        }
    }

    type Tile<'t, 'a> = (f32, MatRef<'a>, MatRef<'a>, f32, &'t mut MatMut<'a>, usize);

    /// The rows from `first` on, as many as are computed at a time; returns how many.
    #[target_feature(enable = "avx512f")]
    fn rows<const ROWS: usize>((alpha, a, b, beta, out, first): Tile<'_, '_>) -> usize {
        assert!(b.cols() <= COLUMNS && b.cols() == out.cols() && a.cols() == b.rows());
        let masks =
            [b.cols().min(WIDTH), b.cols().saturating_sub(WIDTH)].map(|columns| ((1_u32 << columns) - 1) as u16);
        let lines: [&[f32]; ROWS] = std::array::from_fn(|row| a.row(first + row));
        let mut acc = [[_mm512_setzero_ps(); 2]; ROWS];
        for k in 0..b.rows() {
            let line = b.row(k).as_ptr();
            // SAFETY: the masks leave out what is behind the row.
            let b = unsafe {
                [_mm512_maskz_loadu_ps(masks[0], line), _mm512_maskz_loadu_ps(masks[1], line.wrapping_add(WIDTH))]
            };
            for (acc, line) in acc.iter_mut().zip(&lines) {
                // SAFETY: a row of `a` has a value for each row of `b`.
                let x = _mm512_set1_ps(unsafe { *line.get_unchecked(k) });
                acc[0] = _mm512_fmadd_ps(x, b[0], acc[0]);
                acc[1] = _mm512_fmadd_ps(x, b[1], acc[1]);
            }
        }
        let (alpha, factor) = (_mm512_set1_ps(alpha), _mm512_set1_ps(beta));
        for (row, acc) in acc.into_iter().enumerate() {
            let line = out.row_mut(first + row).as_mut_ptr();
            for (half, (acc, mask)) in acc.into_iter().zip(masks).enumerate() {
                let at = line.wrapping_add(half * WIDTH);
                let mut value = _mm512_mul_ps(alpha, acc);
                // SAFETY: the masks leave out what is behind the row.
                unsafe {
                    if beta != 0.0 {
                        value = _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(mask, at), value);
                    }
                    _mm512_mask_storeu_ps(at, mask, value);
                }
            }
        }
        ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain twin.
    fn plain(alpha: f32, a: &[f32], b: &[f32], beta: f32, out: &[f32], (m, k, n): (usize, usize, usize)) -> Vec<f32> {
        let product = |i: usize, j: usize| (0..k).map(|x| a[i * k + x] * b[x * n + j]).sum::<f32>();
        let before = |i: usize| if beta == 0.0 { 0.0 } else { beta * out[i] };
        (0..m * n).map(|i| alpha * product(i / n, i % n) + before(i)).collect()
    }

    #[test]
    fn every_instruction_set_multiplies_as_the_plain_twin_does_and_stays_in_its_window() {
        let numbers = |count: usize, seed: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        for (m, k, n) in [(1, 1, 1), (7, 5, 16), (15, 64, 33), (64, 3, 100), (9, 70, 48), (8, 0, 5), (3, 4, 0)] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            for isa in Isa::available() {
                for (alpha, beta) in [(1.0, 0.0), (0.125, 1.0), (-2.0, 0.5)] {
                    let stride = n + 3;
                    let before = if beta == 0.0 { vec![f32::NAN; m * stride] } else { numbers(m * stride, 3) };
                    let mut out = before.clone();
                    let (left, right) = (MatRef::new(&a, m, k, k), MatRef::new(&b, k, n, n));
                    multiply(isa, alpha, left, right, beta, MatMut::new(&mut out, m, n, stride));
                    let inside: Vec<f32> = before.chunks(stride).flat_map(|row| &row[..n]).copied().collect();
                    let exact = plain(alpha, &a, &b, beta, &inside, (m, k, n));
                    for i in 0..m * stride {
                        let (found, column) = (out[i], i % stride);
                        if column < n {
                            let exact = exact[i / stride * n + column];
                            assert!(
                                (found - exact).abs() < 1e-4,
                                "{isa:?} [{m}, {k}, {n}] at {i}: {found} not {exact}"
                            );
                        } else {
                            assert_eq!(found.to_bits(), before[i].to_bits(), "{isa:?} [{m}, {k}, {n}] wrote at {i}");
                        }
                    }
                }
            }
        }
    }
}
