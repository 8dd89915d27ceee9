//! Weights in single or half precision, in the order in which a processor multiplies them.
//!
//! A token reads every weight once, so memory sets the pace. Here [`LANES`] outputs stand side by side: for each input,
//! their weights follow one another, in the file's own format, and the next input's come behind them. One input is
//! multiplied with all of them at once, their sums stay in registers, and the memory is read from one end to the other,
//! whichever way the file stores the matrix. In a file's map it could be read where it lies, but its pages are small: with
//! two threads that costs a tenth of the bandwidth, with one a fifth, on a busy machine a third. So the weights move, once
//! and in parallel, into the huge pages of [`super::arena`]; the file's pages are given back.
//!
//! **Every sum is added up in the order of the inputs**, whatever the number of tokens, of threads, and wherever the
//! outputs are cut: a token's outputs are the same to the last bit, computed by itself or among others.

mod format;
mod pack;
mod pairs;
mod portable;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;

pub use format::FloatFormat;
pub use pairs::PairedRows;

use zerocopy::IntoBytes;

use super::arena::Region;
use super::isa::Isa;
use super::packed::Packer;
use crate::EngineError;
use crate::blas::MatMut;

/// Outputs that stand side by side.
pub const LANES: usize = 32;
/// The sums of a token.
type Lanes = [f32; LANES];

/// How far ahead of the multiplication weights are fetched into the cache, in bytes: the processor's own prefetcher stops
/// at each page of 4 kB.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const PREFETCH_BYTES: usize = 512;
/// Inputs that are multiplied with all tokens before the next are: their weights stay in the nearest cache.
const INPUTS: usize = 192;
const _: () = assert!(INPUTS.is_multiple_of(2), "pairs of inputs stay together");
/// Tokens handed to a kernel at a time; a multiple of what kernels take at once.
const TOKENS: usize = 24;
/// From as many tokens on, 16-bit weights are widened once for all of them.
const WIDEN_FROM: usize = 8;
/// Groups that are packed at a time from a matrix stored by columns, so that its rows are read in long pieces.
const GROUPS: usize = 8;

/// A matrix of floats, packed.
#[derive(Debug)]
pub struct FloatMatrix {
    format: FloatFormat,
    outputs: usize,
    inputs: usize,
    /// Group after group of [`LANES`] outputs, in each input after input; the last is filled up with zeros.
    bytes: Region,
}

impl FloatMatrix {
    /// Packs a file's matrix `[outputs, inputs]`.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where there is no memory.
    ///
    /// # Panics
    /// Where `file` has another length.
    pub fn from_rows(
        format: FloatFormat,
        [outputs, inputs]: [usize; 2],
        file: &[u8],
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let mut matrix = Self::empty(format, outputs, inputs, file, packer)?;
        let (row, group) = (inputs * format.size(), matrix.group_bytes());
        let pack = if format.size() == 4 { pack::rows::<4> } else { pack::rows::<2> };
        if group > 0 {
            packer.pool().for_each_part(&mut matrix.bytes, group, &|_, index, group| {
                let rows = index * LANES..outputs.min((index + 1) * LANES);
                pack(&file[rows.start * row..rows.end * row], inputs, group);
            });
        }
        Ok(matrix)
    }

    /// Packs a file's matrix `[inputs, outputs]`, as the Conv1D layers of GPT-2 are stored.
    ///
    /// # Errors
    /// As [`Self::from_rows`].
    ///
    /// # Panics
    /// As [`Self::from_rows`].
    pub fn from_columns(
        format: FloatFormat,
        [inputs, outputs]: [usize; 2],
        file: &[u8],
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let mut matrix = Self::empty(format, outputs, inputs, file, packer)?;
        let group = matrix.group_bytes();
        let pack = if format.size() == 4 { pack::columns::<4> } else { pack::columns::<2> };
        if group > 0 {
            packer.pool().for_each_part(&mut matrix.bytes, GROUPS * group, &|_, index, groups| {
                pack(file, outputs, index * GROUPS * LANES, group, groups);
            });
        }
        Ok(matrix)
    }

    fn empty(
        format: FloatFormat,
        outputs: usize,
        inputs: usize,
        file: &[u8],
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        assert_eq!(file.len(), outputs * inputs * format.size(), "[{outputs}, {inputs}] in {format:?}");
        let bytes = packer.region(outputs.div_ceil(LANES) * LANES * inputs * format.size())?;
        Ok(Self { format, outputs, inputs, bytes })
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Length of an input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Where they begin.
    pub fn start(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn group(&self, group: usize) -> &[u8] {
        &self.bytes[group * self.group_bytes()..][..self.group_bytes()]
    }

    fn group_bytes(&self) -> usize {
        LANES * self.inputs * self.format.size()
    }

    /// The weights of output `output`, into `out` `(inputs)`.
    ///
    /// # Panics
    /// Where there is no such output or `out` has another length.
    pub fn row(&self, output: usize, out: &mut [f32]) {
        assert!(output < self.outputs && out.len() == self.inputs, "output {output} of {}", self.outputs);
        let size = self.format.size();
        for (out, step) in out.iter_mut().zip(self.group(output / LANES).chunks_exact(LANES * size)) {
            *out = self.format.value(&step[output % LANES * size..]);
        }
    }

    /// The weights of the outputs `first..first + count` as single precision, `[inputs, count]`, into `out`: for BLAS.
    ///
    /// # Panics
    /// Where there are not as many outputs, or `out` has another length.
    pub fn unpack_columns(&self, isa: Isa, first: usize, count: usize, out: &mut [f32]) {
        assert!(
            first + count <= self.outputs && out.len() == count * self.inputs,
            "outputs {first}.. of {}",
            self.outputs
        );
        let mut widened = [0.0; LANES];
        let mut done = 0;
        while done < count {
            let (group, lane) = ((first + done) / LANES, (first + done) % LANES);
            let lanes = lane..LANES.min(lane + count - done);
            let steps = self.group(group).chunks_exact(LANES * self.format.size());
            for (step, out) in steps.zip(out.chunks_exact_mut(count)) {
                widen(isa, self.format, step, &mut widened);
                out[done..][..lanes.len()].copy_from_slice(&widened[lanes.clone()]);
            }
            done += lanes.len();
        }
    }

    /// Whether [`Self::multiply`] is faster than BLAS also for many inputs.
    pub fn multiplies_many(isa: Isa) -> bool {
        isa > Isa::Portable
    }

    /// The floats of scratch memory that [`Self::multiply`] takes for `n` inputs.
    pub fn scratch(n: usize) -> usize {
        LANES * (n + INPUTS + 1)
    }

    /// The outputs `first..first + out.cols()` of the inputs `x` `(n, inputs)`, into `out` `(n, …)`; `scratch` is as long as
    /// [`Self::scratch`] says. It costs least where `first` and the end are multiples of [`LANES`].
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn multiply(&self, isa: Isa, first: usize, x: &[f32], out: &mut MatMut<'_>, scratch: &mut [f32]) {
        let (n, count) = (out.rows(), out.cols());
        assert!(first + count <= self.outputs && x.len() == n * self.inputs, "outputs {first}.. of {}", self.outputs);
        // Where a register is loaded across two cache lines it takes twice as long.
        let unaligned = scratch.as_ptr().align_offset(64).min(LANES);
        let (widened, sums) = scratch[unaligned..].split_at_mut(INPUTS * LANES);
        let sums = &mut sums.as_chunks_mut().0[..n];
        let mut done = 0;
        while done < count {
            let (group, lane) = ((first + done) / LANES, (first + done) % LANES);
            let lanes = lane..LANES.min(lane + count - done);
            self.multiply_group(isa, group, x, widened, sums);
            for (token, sums) in sums.iter().enumerate() {
                out.row_mut(token)[done..][..lanes.len()].copy_from_slice(&sums[lanes.clone()]);
            }
            done += lanes.len();
        }
    }

    /// Whether [`Self::multiply_pairs`] can compute its products with many inputs, and is faster.
    pub fn multiplies_pairs(&self, isa: Isa) -> bool {
        self.format == FloatFormat::BF16 && matches!(isa, Isa::Avx512(_)) && pairs::are_multiplied()
    }

    /// As [`Self::multiply`], with inputs that were rounded to BF16.
    ///
    /// # Panics
    /// Where a length does not fit, or [`Self::multiplies_pairs`] does not hold.
    pub fn multiply_pairs(&self, first: usize, x: &PairedRows, out: &mut MatMut<'_>) {
        let (n, count, step) = (out.rows(), out.cols(), LANES * self.format.size());
        assert!(first + count <= self.outputs && x.inputs() == self.inputs, "outputs {first}.. of {}", self.outputs);
        assert!(self.format == FloatFormat::BF16, "pairs of {:?}", self.format);
        let rows: Vec<&[u32]> = x.rows().collect();
        let mut sums = vec![[0.0; LANES]; n];
        let mut done = 0;
        while done < count {
            let (group, lane) = ((first + done) / LANES, (first + done) % LANES);
            let lanes = lane..LANES.min(lane + count - done);
            let bytes = self.group(group);
            sums.fill([0.0; LANES]);
            for from in (0..self.inputs).step_by(INPUTS) {
                let inputs = from..self.inputs.min(from + INPUTS);
                for (rows, sums) in rows.chunks(TOKENS).zip(sums.chunks_mut(TOKENS)) {
                    let mut tokens: [&[u32]; TOKENS] = [&[]; TOKENS];
                    for (token, row) in tokens.iter_mut().zip(rows) {
                        *token = &row[from / 2..inputs.end.div_ceil(2)];
                    }
                    pairs::accumulate(&bytes[from * step..inputs.end * step], &tokens[..sums.len()], sums);
                }
            }
            for (token, sums) in sums.iter().enumerate() {
                out.row_mut(token)[done..][..lanes.len()].copy_from_slice(&sums[lanes.clone()]);
            }
            done += lanes.len();
        }
    }

    /// All outputs of a group, a row of `sums` a token.
    fn multiply_group(&self, isa: Isa, group: usize, x: &[f32], widened: &mut [f32], sums: &mut [Lanes]) {
        let bytes = self.group(group);
        let step = LANES * self.format.size();
        // The plain kernel widens a step for all tokens anyway.
        let widen = isa > Isa::Portable && self.format != FloatFormat::F32 && sums.len() >= WIDEN_FROM;
        sums.fill([0.0; LANES]);
        for first in (0..self.inputs).step_by(INPUTS) {
            let inputs = first..self.inputs.min(first + INPUTS);
            let mut weights = &bytes[inputs.start * step..inputs.end * step];
            let mut format = self.format;
            if widen {
                let widened = &mut widened[..inputs.len() * LANES];
                self::widen(isa, format, weights, widened);
                (format, weights) = (FloatFormat::F32, widened.as_bytes());
            }
            for (x, sums) in x.chunks(TOKENS * self.inputs).zip(sums.chunks_mut(TOKENS)) {
                let mut tokens: [&[f32]; TOKENS] = [&[]; TOKENS];
                for (token, x) in tokens.iter_mut().zip(x.chunks_exact(self.inputs)) {
                    *token = &x[inputs.clone()];
                }
                accumulate(isa, format, weights, &tokens[..sums.len()], sums);
            }
        }
    }
}

/// `sums[t][lane] += Σ weights[i][lane] · x[t][i]` in the order of `i`, with [`LANES`] weights for each `i`.
fn accumulate(isa: Isa, format: FloatFormat, weights: &[u8], x: &[&[f32]], sums: &mut [Lanes]) {
    match isa {
        Isa::Portable => portable::accumulate(format, weights, x, sums),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(isa) => avx2::accumulate(isa, format, weights, x, sums),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(isa) => avx512::accumulate(isa, format, weights, x, sums),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(isa) => neon::accumulate(isa, format, weights, x, sums),
        #[cfg(target_arch = "aarch64")]
        Isa::DotProd(isa) => neon::accumulate(isa.neon(), format, weights, x, sums),
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm(isa) => neon::accumulate(isa.neon(), format, weights, x, sums),
        // Those of other processors, of which there is no proof here.
        _ => portable::accumulate(format, weights, x, sums),
    }
}

/// The values of `weights`, whole steps, as single precision in this machine's byte order.
fn widen(isa: Isa, format: FloatFormat, weights: &[u8], out: &mut [f32]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(isa) => avx2::widen(isa, format, weights, out),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(isa) => avx2::widen(isa.avx2(), format, weights, out),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(isa) => neon::widen(isa, format, weights, out),
        #[cfg(target_arch = "aarch64")]
        Isa::DotProd(isa) => neon::widen(isa.neon(), format, weights, out),
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm(isa) => neon::widen(isa.neon(), format, weights, out),
        _ => format.widen(weights, out),
    }
}

#[cfg(test)]
mod tests;
