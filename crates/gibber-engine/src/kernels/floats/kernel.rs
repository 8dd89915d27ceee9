//! The loops for instruction sets, written once over [`Registers`].
#![allow(unsafe_code)]

use super::{LANES, Lanes, PREFETCH_BYTES};
use crate::kernels::registers::{Registers, prefetch};

/// A format of weights, known at compile time.
pub(super) trait Weight {
    /// Of a weight.
    const BYTES: usize;
    /// A register of weights as floats.
    ///
    /// # Safety
    /// As many weights as the register has lanes must be readable at `at`.
    unsafe fn load<I: Registers>(isa: I, at: *const u8) -> I::Floats;
}

macro_rules! weights {
    ($($name:ident: $bytes:literal, $load:ident;)*) => {$(
        pub(super) struct $name;

        impl Weight for $name {
            const BYTES: usize = $bytes;
            #[inline(always)]
            unsafe fn load<I: Registers>(isa: I, at: *const u8) -> I::Floats {
                // SAFETY: the caller's promise.
                unsafe { isa.$load(at) }
            }
        }
    )*};
}

weights! {
    F32: 4, load_f32;
    F16: 2, load_f16;
    BF16: 2, load_bf16;
}

/// Calls a kernel compiled for the format: `for_format!(format => kernel(a, b))` is `kernel::<W>(a, b)`.
macro_rules! for_format {
    ($format:expr => $kernel:ident($($arg:expr),* $(,)?)) => {
        match $format {
            $crate::kernels::floats::FloatFormat::F32 => $kernel::<kernel::F32>($($arg),*),
            $crate::kernels::floats::FloatFormat::F16 => $kernel::<kernel::F16>($($arg),*),
            $crate::kernels::floats::FloatFormat::BF16 => $kernel::<kernel::BF16>($($arg),*),
        }
    };
}
pub(super) use for_format;

/// As many tiles of `T` tokens as there are, a step in `V` registers; returns the tokens that are left.
///
/// # Panics
/// Where the weights are not as many steps as each input is long.
#[inline(always)]
pub(super) fn tiles<'a, 'b, 's, I: Registers, W: Weight, const V: usize, const T: usize>(
    isa: I,
    weights: &[u8],
    x: &'a [&'b [f32]],
    sums: &'s mut [Lanes],
) -> (&'a [&'b [f32]], &'s mut [Lanes]) {
    let (x, rest) = x.as_chunks::<T>();
    let (sums, rest_of_sums) = sums.split_at_mut(x.len() * T);
    for (x, sums) in x.iter().zip(sums.as_chunks_mut::<T>().0) {
        tile::<I, W, V, T>(isa, weights, x, sums);
    }
    (rest, rest_of_sums)
}

#[inline(always)]
fn tile<I: Registers, W: Weight, const V: usize, const T: usize>(
    isa: I,
    weights: &[u8],
    x: &[&[f32]; T],
    sums: &mut [Lanes; T],
) {
    const { assert!(V * I::WIDTH == LANES, "a step in other registers") };
    let step = const { LANES * W::BYTES };
    let steps = weights.len() / step;
    assert!(x.iter().all(|x| x.len() == steps) && weights.len() == steps * step, "{steps} steps of weights");
    let mut acc = [[isa.splat_float(0.0); V]; T];
    for (acc, sums) in acc.iter_mut().zip(&*sums) {
        for (v, acc) in acc.iter_mut().enumerate() {
            // SAFETY: a token's sums are `LANES` values: `V` registers, as was asserted.
            *acc = unsafe { isa.load_f32(sums.as_ptr().add(v * I::WIDTH).cast()) };
        }
    }
    for k in 0..steps {
        // SAFETY: the step is in `weights`, as was asserted.
        let weights = unsafe { weights.as_ptr().add(k * step) };
        prefetch(weights.wrapping_add(PREFETCH_BYTES), step);
        let mut factors = [isa.splat_float(0.0); T];
        for (factor, x) in factors.iter_mut().zip(x) {
            // SAFETY: every input has `steps` values, as was asserted.
            *factor = isa.splat_float(unsafe { *x.get_unchecked(k) });
        }
        for v in 0..V {
            // SAFETY: the step has `LANES` weights: `V` registers, as was asserted.
            let weights = unsafe { W::load(isa, weights.add(v * I::WIDTH * W::BYTES)) };
            for (&factor, acc) in factors.iter().zip(&mut acc) {
                acc[v] = isa.mul_add(factor, weights, acc[v]);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (v, &acc) in acc.iter().enumerate() {
            // SAFETY: as for the loads above.
            unsafe { isa.store(acc, sums.as_mut_ptr().add(v * I::WIDTH)) };
        }
    }
}

/// See [`super::widen`].
///
/// # Panics
/// Where `weights` are not as many values as `out`, or not whole registers.
#[inline(always)]
pub(super) fn widen<I: Registers, W: Weight>(isa: I, weights: &[u8], out: &mut [f32]) {
    let bytes = const { I::WIDTH * W::BYTES };
    assert!(
        out.len().is_multiple_of(I::WIDTH) && weights.len() == out.len() / I::WIDTH * bytes,
        "{} values",
        out.len()
    );
    for (weights, out) in weights.chunks_exact(bytes).zip(out.chunks_exact_mut(I::WIDTH)) {
        // SAFETY: both are chunks of a register's values.
        unsafe { isa.store(W::load(isa, weights.as_ptr()), out.as_mut_ptr()) };
    }
}
