//! How fast the matrices of one token are read, in each quantized format: `cargo bench -p gibber-engine -- q1_0 q2_0`.
//!
//! Matrices of the shape of an 8B model's feed-forward, far more of them than the cache holds, each multiplied with one
//! input; beside it a plain read of as much memory in the same second. The medians of some rounds.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and has nothing to say without memory"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use gibber_engine::kernels::packed::PackedFormat;
use gibber_engine::kernels::{Packer, ThreadPool, WeightMatrix, Workspace};
use gibber_engine::weights::{Storage, Tensor};

const SHAPE: [usize; 2] = [12_288, 4096];
const BYTES: usize = 192 << 20;
const ROUNDS: usize = 15;
/// Rows of a matrix that the caches hold, and how many times it is multiplied.
const NEAR: usize = 512;
const TIMES: usize = 200;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let pool = Arc::new(ThreadPool::new(2));
    let plain = vec![1_u64; BYTES / size_of::<u64>()];
    for &format in PackedFormat::ALL {
        let name = format.dtype().name().to_lowercase();
        if !asked.is_empty() && !asked.contains(&name) {
            continue;
        }
        let packer = Packer::new(&pool);
        let matrices = matrices(format, &packer);
        let bytes: usize = matrices.iter().map(WeightMatrix::bytes).sum();
        let file = format.dtype().bytes_of(&SHAPE).unwrap_or(0) * matrices.len();
        let mut workspace = Workspace::new(Arc::clone(&pool));
        let input: Vec<f32> = (0..SHAPE[1]).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
        let mut out = vec![0.0; SHAPE[0]];
        let (mut rates, mut reads, mut cached) = (Vec::new(), Vec::new(), Vec::new());
        let near = matrix(format, [NEAR, SHAPE[1]], &packer);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for matrix in &matrices {
                matrix.multiply(&mut workspace, black_box(&input), 1, &mut out);
            }
            rates.push(bytes as f64 / start.elapsed().as_secs_f64() / 1e9);
            reads.push(read(&pool, &plain));
            let start = Instant::now();
            for _ in 0..TIMES {
                near.multiply(&mut workspace, black_box(&input), 1, &mut out[..NEAR]);
            }
            cached.push((TIMES * near.bytes()) as f64 / start.elapsed().as_secs_f64() / 1e9);
        }
        let (rate, read, cached) = (median(&mut rates), median(&mut reads), median(&mut cached));
        let size = bytes as f64 / file as f64;
        let share = 100.0 * rate / read;
        println!(
            "{name:8} {rate:6.1} GB/s of {read:6.1} ({share:3.0} %), from the cache {cached:6.1}, {size:.3} times the file"
        );
    }
}

fn matrices(format: PackedFormat, packer: &Packer<'_>) -> Vec<WeightMatrix> {
    let len = format.dtype().bytes_of(&SHAPE).expect("whole blocks");
    (0..BYTES.div_ceil(len)).map(|_| matrix(format, SHAPE, packer)).collect()
}

/// Of random blocks, whose values may be none: speed does not depend on them.
fn matrix(format: PackedFormat, shape: [usize; 2], packer: &Packer<'_>) -> WeightMatrix {
    let len = format.dtype().bytes_of(&shape).expect("whole blocks");
    let bytes = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 17) as u8 & 0x3f).collect();
    let tensor = Tensor::new("w".into(), shape.into(), format.dtype(), Storage::from_vec(bytes), 0..len);
    WeightMatrix::from_rows(&tensor.expect("as many bytes"), packer).expect("memory")
}

fn read(pool: &ThreadPool, plain: &[u64]) -> f64 {
    const PARTS: usize = 64;
    let part = plain.len() / PARTS;
    let start = Instant::now();
    pool.run(PARTS, &|_, index| {
        let mut sums = [0_u64; 16];
        for chunk in plain[index * part..(index + 1) * part].chunks_exact(16) {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum = sum.wrapping_add(*value);
            }
        }
        black_box(sums);
    });
    size_of_val(plain) as f64 / start.elapsed().as_secs_f64() / 1e9
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
