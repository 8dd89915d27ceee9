//! The doorway to the linked BLAS: row-major matrices go in, transpose flags are set inside.
//!
//! BLAS reads matrices column by column. A row-major matrix is the column-major form of its transpose, so
//! `C = op(A) op(B)` in rows is `Cᵀ = op(B)ᵀ op(A)ᵀ` in columns: the operands change places, the flags stay, and nothing
//! is copied or converted. Dimensions are checked before the call, because behind it nobody checks them.
//!
//! Which library stands behind it is a Cargo feature (see `build.rs`). It is asked to work on one thread: the engine's
//! [`pool`](super::kernels::pool) hands each of its threads a slice of rows, so that the two never claim the same cores.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::os::raw::{c_char, c_int};
use std::sync::Once;

// Linked for their symbols only.
#[cfg(blas = "accelerate")]
use accelerate_src as _;
use blas_src as _;
#[cfg(blas = "blis")]
use blis_src as _;
#[cfg(all(blas = "openblas", not(target_os = "macos")))]
use openblas_src as _;

/// Whether a matrix is taken as it is or transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transpose {
    /// Taken as it lies.
    No,
    /// Rows and columns exchanged.
    Yes,
}

impl Transpose {
    fn flag(self) -> u8 {
        match self {
            Self::No => b'N',
            Self::Yes => b'T',
        }
    }

    fn of(self, rows: usize, cols: usize) -> (usize, usize) {
        match self {
            Self::No => (rows, cols),
            Self::Yes => (cols, rows),
        }
    }
}

/// A row-major matrix, or a window of columns of one: row `i` starts at `i * stride`.
#[derive(Debug, Clone, Copy)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> MatRef<'a> {
    /// `data` as `[rows, cols]` with rows `stride` apart.
    ///
    /// # Panics
    /// Where `data` is too short or the stride is less than a row.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(span(rows, cols, stride) <= data.len(), "[{rows}, {cols}] at stride {stride} in {} values", data.len());
        Self { data, rows, cols, stride }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The elements of row `row`.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row(&self, row: usize) -> &'a [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        if self.cols == 0 { &[] } else { &self.data[row * self.stride..][..self.cols] }
    }

    /// The window of the columns `first..first + count`.
    ///
    /// # Panics
    /// Where there are not as many.
    #[must_use]
    pub fn columns(&self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.cols, "columns {first}.. of {}", self.cols);
        let data = if self.rows == 0 { self.data } else { &self.data[first..] };
        Self { data, rows: self.rows, cols: count, stride: self.stride }
    }
}

/// A row-major matrix to be written, or a window of columns of one.
///
/// Windows of one matrix interleave in memory, so that threads that write neighbouring windows cannot each hold a
/// slice; hence a pointer, and an unsafe way in.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl<'a> MatMut<'a> {
    /// `data` as `[rows, cols]` with rows `stride` apart.
    ///
    /// # Panics
    /// Where `data` is too short or the stride is less than a row.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(span(rows, cols, stride) <= data.len(), "[{rows}, {cols}] at stride {stride} in {} values", data.len());
        // SAFETY: the assertion above is the contract of `from_raw`, and the slice is borrowed for 'a.
        unsafe { Self::from_raw(data.as_mut_ptr(), rows, cols, stride) }
    }

    /// A window given by its first element.
    ///
    /// # Safety
    /// For `'a`, the elements `data[i * stride + j]` with `i < rows`, `j < cols` must be valid for reads and writes, and
    /// nobody else may touch those elements.
    pub unsafe fn from_raw(data: *mut f32, rows: usize, cols: usize, stride: usize) -> Self {
        Self { data, rows, cols, stride, lifetime: PhantomData }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The elements of row `row`.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        if self.cols == 0 {
            // Without elements the pointer need not reach the row.
            return &mut [];
        }
        // SAFETY: there is such a row, as was asserted, and it has elements: they are the window's, which whoever made it
        // promised to `from_raw`, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.stride), self.cols) }
    }

    /// The window of the columns `first..first + count`.
    ///
    /// # Panics
    /// Where there are not as many.
    pub fn columns(&mut self, first: usize, count: usize) -> MatMut<'_> {
        assert!(first + count <= self.cols, "columns {first}.. of {}", self.cols);
        // Without elements the pointer need not reach the column.
        let data = if self.rows == 0 || count == 0 { self.data } else { self.data.wrapping_add(first) };
        // SAFETY: the elements of these columns are some of the window's, as was asserted, and it is borrowed as long.
        unsafe { MatMut::from_raw(data, self.rows, count, self.stride) }
    }
}

/// How many elements a strided matrix spans.
fn span(rows: usize, cols: usize, stride: usize) -> usize {
    assert!(cols <= stride || rows <= 1, "rows of {cols} values cannot lie {stride} apart");
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * stride + cols }
}

fn int(value: usize) -> c_int {
    assert!(value <= c_int::MAX as usize, "BLAS cannot address {value} elements in one dimension");
    value as c_int
}

/// `c = alpha · op(a) · op(b) + beta · c`, with `op(a)` `[m, k]`, `op(b)` `[k, n]` and `c` `[m, n]`, all row-major.
///
/// # Panics
/// Where the dimensions do not fit each other.
pub fn sgemm(alpha: f32, a: MatRef<'_>, op_a: Transpose, b: MatRef<'_>, op_b: Transpose, beta: f32, c: MatMut<'_>) {
    single_threaded();
    let (m, k) = op_a.of(a.rows, a.cols);
    let (k_b, n) = op_b.of(b.rows, b.cols);
    assert_eq!((k, m, n), (k_b, c.rows, c.cols), "sgemm: [{m}, {k}] x [{k_b}, {n}] into [{}, {}]", c.rows, c.cols);
    if m == 0 || n == 0 {
        return;
    }
    let flags = (op_b.flag() as c_char, op_a.flag() as c_char);
    // BLAS wants a leading dimension of at least one even for matrices without elements.
    let (lda, ldb, ldc) = (int(a.stride.max(1)), int(b.stride.max(1)), int(c.stride.max(1)));
    // SAFETY: MatRef and MatMut were checked to hold every element that these dimensions reach, the assertion above
    // makes the dimensions agree, and `c` is exclusively ours. The `blas` crate's own wrapper asks for `&mut [f32]`,
    // which windows of one matrix on several threads cannot be; this is the same symbol.
    unsafe {
        blas_sys::sgemm_(
            &flags.0,
            &flags.1,
            &int(n),
            &int(m),
            &int(k),
            &alpha,
            b.data.as_ptr(),
            &ldb,
            a.data.as_ptr(),
            &lda,
            &beta,
            c.data,
            &ldc,
        );
    }
}

/// `y = op(a) · x`, with `a` row-major.
///
/// # Panics
/// Where the dimensions do not fit each other.
pub fn sgemv(a: MatRef<'_>, op: Transpose, x: &[f32], y: &mut [f32]) {
    single_threaded();
    let (m, k) = op.of(a.rows, a.cols);
    assert_eq!((m, k), (y.len(), x.len()), "sgemv: [{m}, {k}] x [{}] into [{}]", x.len(), y.len());
    if m == 0 || k == 0 {
        return y.fill(0.0);
    }
    let flag = match op {
        Transpose::No => b'T',
        Transpose::Yes => b'N',
    };
    // SAFETY: MatRef was checked to hold every element that its dimensions reach, and the assertion above makes the
    // vectors as long as BLAS will take them to be.
    unsafe { blas::sgemv(flag, int(a.cols), int(a.rows), 1.0, a.data, int(a.stride), x, 1, 0.0, y, 1) }
}

/// Tells the library, once, to leave threads to the engine.
fn single_threaded() {
    static ONCE: Once = Once::new();
    ONCE.call_once(set_one_thread);
}

#[cfg(blas = "openblas")]
fn set_one_thread() {
    unsafe extern "C" {
        fn openblas_set_num_threads(threads: c_int);
    }
    // SAFETY: a plain setter of the library that the `openblas` feature links.
    unsafe { openblas_set_num_threads(1) }
}

#[cfg(blas = "blis")]
fn set_one_thread() {
    unsafe extern "C" {
        fn bli_thread_set_num_threads(threads: i64);
    }
    // SAFETY: a plain setter of the library that the `blis` feature links; `dim_t` is 64 bits wide in its builds.
    unsafe { bli_thread_set_num_threads(1) }
}

/// MKL is linked in its sequential form, Netlib has no threads, and Accelerate manages its own.
#[cfg(not(any(blas = "openblas", blas = "blis")))]
fn set_one_thread() {}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect()
    }

    /// The plain twin: `op(a)[i, p] * op(b)[p, j]`, summed.
    fn plain(a: MatRef<'_>, op_a: Transpose, b: MatRef<'_>, op_b: Transpose) -> Vec<f32> {
        let at = |m: MatRef<'_>, op: Transpose, i: usize, j: usize| match op {
            Transpose::No => m.data[i * m.stride + j],
            Transpose::Yes => m.data[j * m.stride + i],
        };
        let (m, k) = op_a.of(a.rows, a.cols);
        let (_, n) = op_b.of(b.rows, b.cols);
        (0..m * n).map(|x| (0..k).map(|p| at(a, op_a, x / n, p) * at(b, op_b, p, x % n)).sum()).collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() <= 1e-4 * e.abs().max(1.0), "element {i}: {f} instead of {e}");
        }
    }

    #[test]
    fn sgemm_agrees_with_the_plain_product_for_every_transposition() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (17, 33, 9), (64, 31, 40)] {
            for op_a in [Transpose::No, Transpose::Yes] {
                for op_b in [Transpose::No, Transpose::Yes] {
                    let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
                    let (ar, ac) = op_a.of(m, k);
                    let (br, bc) = op_b.of(k, n);
                    let (a, b) = (MatRef::new(&a, ar, ac, ac), MatRef::new(&b, br, bc, bc));
                    let mut c = vec![f32::NAN; m * n];
                    sgemm(1.0, a, op_a, b, op_b, 0.0, MatMut::new(&mut c, m, n, n));
                    close(&c, &plain(a, op_a, b, op_b));
                }
            }
        }
    }

    #[test]
    fn sgemm_writes_only_its_window_of_columns() {
        let (a, b) = (numbers(4 * 3, 3), numbers(3 * 2, 4));
        let mut c = [7.0; 4 * 5];
        let (a, b) = (MatRef::new(&a, 4, 3, 3), MatRef::new(&b, 3, 2, 2));
        sgemm(1.0, a, Transpose::No, b, Transpose::No, 0.0, MatMut::new(&mut c[1..], 4, 2, 5));
        let product = plain(a, Transpose::No, b, Transpose::No);
        for row in 0..4 {
            close(&c[row * 5 + 1..row * 5 + 3], &product[row * 2..row * 2 + 2]);
            assert_eq!((c[row * 5], &c[row * 5 + 3..row * 5 + 5]), (7.0, &[7.0, 7.0][..]));
        }
    }

    #[test]
    fn sgemv_agrees_with_the_plain_product() {
        let (a, x) = (numbers(7 * 11, 5), numbers(11, 6));
        let matrix = MatRef::new(&a, 7, 11, 11);
        let mut y = vec![f32::NAN; 7];
        sgemv(matrix, Transpose::No, &x, &mut y);
        close(&y, &plain(matrix, Transpose::No, MatRef::new(&x, 11, 1, 1), Transpose::No));

        let mut y = vec![f32::NAN; 11];
        sgemv(matrix, Transpose::Yes, &x[..7], &mut y);
        close(&y, &plain(matrix, Transpose::Yes, MatRef::new(&x[..7], 7, 1, 1), Transpose::No));
    }

    #[test]
    #[should_panic(expected = "sgemm: [2, 3] x [4, 2]")]
    fn dimensions_that_do_not_fit_are_caught_before_the_call() {
        let a = numbers(12, 7);
        let mut c = vec![0.0; 4];
        let (left, right) = (MatRef::new(&a, 2, 3, 3), MatRef::new(&a, 4, 2, 2));
        sgemm(1.0, left, Transpose::No, right, Transpose::No, 0.0, MatMut::new(&mut c, 2, 2, 2));
    }
}
