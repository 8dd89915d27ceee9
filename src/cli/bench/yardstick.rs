//! What the machine could do: read memory, and multiply the same matrices with nothing but BLAS.

use std::hint::black_box;
use std::time::{Duration, Instant};

use gibber_engine::blas::{self, MatMut, MatRef, Transpose};
use gibber_engine::kernels::ThreadPool;
use gibber_engine::model::{self, ModelConfig};

/// Far more than any cache holds.
const BUFFER_BYTES: usize = 256 << 20;

/// Parts that a streaming read is cut into, for the threads to share out.
const PARTS: usize = 64;

/// Passes of which the fastest counts.
const PASSES: usize = 3;

/// A plain read of memory from one end to the other, on all threads of the engine.
pub(super) struct StreamingRead {
    buffer: Vec<u64>,
}

impl StreamingRead {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// The rate of the fastest of some passes.
    pub(super) fn gigabytes_per_second(&mut self, pool: &ThreadPool) -> f64 {
        self.buffer.resize(BUFFER_BYTES / size_of::<u64>(), 1);
        let part = self.buffer.len().div_ceil(PARTS);
        let pass = || {
            let start = Instant::now();
            pool.run(PARTS, &|_, index| {
                let end = self.buffer.len().min((index + 1) * part);
                black_box(sum(&self.buffer[index * part..end]));
            });
            start.elapsed()
        };
        let best = (0..PASSES).map(|_| pass()).min().unwrap_or_default();
        BUFFER_BYTES as f64 / best.as_secs_f64() / 1e9
    }
}

/// With a few sums side by side, so that the additions do not wait for each other.
fn sum(values: &[u64]) -> u64 {
    let mut sums = [0_u64; 16];
    let chunks = values.chunks_exact(sums.len());
    let rest: u64 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums.iter().fold(rest, |total, sum| total.wrapping_add(*sum))
}

/// The matrices of a model in single precision, multiplied by BLAS: what a token and a prompt would take without attention,
/// norms and choice.
pub(super) struct BlasYardstick {
    /// `[rows, cols]` of each matrix that all tokens of a prompt go through.
    layers: Vec<[usize; 2]>,
    /// The output projection, which only the last token of a prompt goes through.
    head: [usize; 2],
    tokens: usize,
    /// The matrices one behind the other; where they are too many for it, they begin again at its start.
    weights: Vec<f32>,
    /// `(tokens, widest input)`
    input: Vec<f32>,
    /// `(tokens, widest output)`
    output: Vec<f32>,
}

impl BlasYardstick {
    pub(super) fn new(config: &ModelConfig, tokens: usize) -> Self {
        let (layers, head) = model::matrices(config);
        let all = || layers.iter().chain([&head]);
        let largest = all().map(|[rows, cols]| rows * cols).max().unwrap_or(0);
        let total: usize = all().map(|[rows, cols]| rows * cols).sum();
        let widest_input = layers.iter().map(|[_, cols]| *cols).max().unwrap_or(0).max(head[1]);
        let widest_output = layers.iter().map(|[rows, _]| *rows).max().unwrap_or(0);
        let weights = total.min((2 * BUFFER_BYTES / size_of::<f32>()).max(largest));
        Self {
            head,
            tokens,
            weights: vec![0.01; weights],
            input: vec![0.5; tokens * widest_input],
            output: vec![0.0; (tokens * widest_output).max(head[0])],
            layers,
        }
    }

    /// All matrices times a vector.
    pub(super) fn token(&mut self, pool: &ThreadPool) -> Duration {
        let Self { layers, head, weights, input, output, .. } = self;
        let start = Instant::now();
        for ([rows, cols], matrix) in placed(layers.iter().chain([&*head]), weights) {
            let part = rows.div_ceil(pool.threads());
            pool.for_each_part(&mut output[..rows], part, &|_, index, y| {
                let rows_of_part = &matrix[index * part * cols..][..y.len() * cols];
                blas::sgemv(MatRef::new(rows_of_part, y.len(), cols, cols), Transpose::No, &input[..cols], y);
            });
        }
        start.elapsed()
    }

    /// All matrices times the prompt, the output projection left out.
    pub(super) fn prompt(&mut self, pool: &ThreadPool) -> Duration {
        let Self { layers, weights, input, output, tokens, .. } = self;
        let tokens = *tokens;
        let start = Instant::now();
        for ([rows, cols], matrix) in placed(layers.iter(), weights) {
            let x = MatRef::new(&input[..tokens * cols], tokens, cols, cols);
            let part = rows.div_ceil(pool.threads());
            pool.for_each_part(&mut output[..tokens * rows], tokens * part, &|_, index, out| {
                let rows = out.len() / tokens;
                let matrix = MatRef::new(&matrix[index * part * cols..][..rows * cols], rows, cols, cols);
                blas::sgemm(1.0, x, Transpose::No, matrix, Transpose::Yes, 0.0, MatMut::new(out, tokens, rows, rows));
            });
        }
        start.elapsed()
    }
}

/// Each shape with its window of the weights.
fn placed<'a>(
    shapes: impl Iterator<Item = &'a [usize; 2]>,
    weights: &'a [f32],
) -> impl Iterator<Item = ([usize; 2], &'a [f32])> {
    let mut at = 0;
    shapes.map(move |&[rows, cols]| {
        if at + rows * cols > weights.len() {
            at = 0;
        }
        let matrix = &weights[at..at + rows * cols];
        at += rows * cols;
        ([rows, cols], matrix)
    })
}
