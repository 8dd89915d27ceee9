//! The libraries, and loops without one. All read the same row-major weights `[inputs, outputs]`.

use std::sync::Arc;

use gibber_engine::blas::{self, MatMut, MatRef, Transpose};
use gibber_engine::kernels::ThreadPool;
use rayon::prelude::*;

use super::case::{Case, Data};
use super::measure::{Approach, Product, written};

/// `multiply(data, copy, out)` as an approach that needs nothing but the data.
fn approach(name: &str, threads: usize, multiply: impl Fn(&Data, usize, &mut [f32]) + Clone + 'static) -> Approach {
    let prepare = move |data: &Arc<Data>| {
        let (data, multiply) = (Arc::clone(data), multiply.clone());
        written(data.case, move |copy, out| multiply(&data, copy, out))
    };
    Approach { name: name.to_owned(), threads, one_token: false, prepare: Box::new(prepare) }
}

/// What runs in the process of the benchmark.
pub fn here(pool: &Arc<ThreadPool>) -> Vec<Approach> {
    let threads = pool.threads();
    let mut all = vec![
        approach("plain loop", 1, |data, copy, out| {
            let Case { inputs, outputs, .. } = data.case;
            for (x, out) in data.x.chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
                plain_row(x, &data.weights[copy], 0, outputs, out);
            }
        }),
        approach("rayon over rows", rayon::current_num_threads(), over_rows),
        matrixmultiply(threads.min(4)),
    ];
    for count in if threads == 1 { vec![1] } else { vec![1, threads] } {
        let pool = if count == 1 { Arc::new(ThreadPool::new(1)) } else { Arc::clone(pool) };
        all.push(sgemm(&pool));
        all.push(sgemv(&pool));
        all.push(dgemm(&pool));
    }
    all
}

/// One input times columns `first..` of weights whose rows are `width` long, a row of weights after another, so that the
/// compiler can make vectors of it.
fn plain_row(x: &[f32], weights: &[f32], first: usize, width: usize, out: &mut [f32]) {
    out.fill(0.0);
    for (x, row) in x.iter().zip(weights.chunks_exact(width)) {
        out.iter_mut().zip(&row[first..]).for_each(|(sum, w)| *sum += x * w);
    }
}

/// The plain loop, the rows of the result shared out by rayon; where there is but one, pieces of it.
fn over_rows(data: &Data, copy: usize, out: &mut [f32]) {
    let Case { inputs, outputs, tokens, .. } = data.case;
    let weights = &data.weights[copy];
    if tokens > 1 {
        let rows = out.par_chunks_exact_mut(outputs).zip(data.x.par_chunks_exact(inputs));
        rows.for_each(|(out, x)| plain_row(x, weights, 0, outputs, out));
    } else {
        let width = outputs.div_ceil(rayon::current_num_threads());
        let pieces = out.par_chunks_mut(width).enumerate();
        pieces.for_each(|(piece, out)| plain_row(&data.x, weights, piece * width, outputs, out));
    }
}

/// As many threads as the environment variable `MATMUL_NUM_THREADS` says, the cores where it says nothing, at most four.
pub fn matrixmultiply(threads: usize) -> Approach {
    approach("matrixmultiply", threads, |data, copy, out| {
        let Case { inputs, outputs, tokens, .. } = data.case;
        let weights = &data.weights[copy];
        assert_eq!((data.x.len(), weights.len()), (tokens * inputs, inputs * outputs));
        assert_eq!(out.len(), tokens * outputs);
        let (row, inputs_row) = (outputs as isize, inputs as isize);
        let (x, weights, out) = (data.x.as_ptr(), weights.as_ptr(), out.as_mut_ptr());
        // SAFETY: the assertions above make the slices as long as the dimensions and strides reach.
        unsafe {
            ::matrixmultiply::sgemm(tokens, inputs, outputs, 1.0, x, inputs_row, 1, weights, row, 1, 0.0, out, row, 1);
        }
    })
}

/// Through the engine's doorway, each thread of the pool a slice: of the tokens, or of the columns where there is one
/// token.
fn sgemm(pool: &Arc<ThreadPool>) -> Approach {
    let pool = Arc::clone(pool);
    approach("BLAS sgemm", pool.threads(), move |data, copy, out| {
        let Case { inputs, outputs, .. } = data.case;
        for_each_slice(&pool, data.case, out, &|Slice { token, tokens, column, columns }, out| {
            let x = MatRef::new(&data.x[token * inputs..], tokens, inputs, inputs);
            let weights = MatRef::new(&data.weights[copy][column..], inputs, columns, outputs);
            let out = MatMut::new(out, tokens, columns, columns);
            blas::sgemm(1.0, x, Transpose::No, weights, Transpose::No, 0.0, out);
        });
    })
}

fn sgemv(pool: &Arc<ThreadPool>) -> Approach {
    let pool = Arc::clone(pool);
    let multiply = approach("BLAS sgemv", pool.threads(), move |data, copy, out| {
        let Case { inputs, outputs, .. } = data.case;
        for_each_slice(&pool, data.case, out, &|Slice { column, columns, .. }, out| {
            let weights = MatRef::new(&data.weights[copy][column..], inputs, columns, outputs);
            blas::sgemv(weights, Transpose::Yes, &data.x, out);
        });
    });
    Approach { one_token: true, ..multiply }
}

/// Double precision from end to end: what converting costs is left out.
fn dgemm(pool: &Arc<ThreadPool>) -> Approach {
    let pool = Arc::clone(pool);
    let threads = pool.threads();
    let prepare = move |data: &Arc<Data>| -> Box<dyn Product> {
        let double = |values: &[f32]| -> Vec<f64> { values.iter().map(|value| f64::from(*value)).collect() };
        Box::new(Dgemm {
            pool: Arc::clone(&pool),
            case: data.case,
            weights: data.weights.iter().map(|weights| double(weights)).collect(),
            x: double(&data.x),
            out: vec![f64::NAN; data.case.tokens * data.case.outputs],
        })
    };
    Approach { name: "BLAS dgemm".into(), threads, one_token: false, prepare: Box::new(prepare) }
}

struct Dgemm {
    pool: Arc<ThreadPool>,
    case: Case,
    weights: Vec<Vec<f64>>,
    x: Vec<f64>,
    out: Vec<f64>,
}

impl Product for Dgemm {
    fn run(&mut self, copy: usize) {
        let Self { pool, case, weights, x, out } = self;
        let Case { inputs, outputs, .. } = *case;
        for_each_slice(pool, *case, out, &|Slice { token, tokens, column, columns }, out| {
            let (x, weights) = (&x[token * inputs..][..tokens * inputs], &weights[copy][column..]);
            assert!((inputs - 1) * outputs + columns <= weights.len() && tokens * columns == out.len());
            let [m, n, k, stride] = [columns, tokens, inputs, outputs].map(|size| size as i32);
            // SAFETY: the slice of `x` and the assertion hold everything that the dimensions reach. In columns, as BLAS
            // reads, row-major operands are transposed: they change places.
            unsafe { ::blas::dgemm(b'N', b'N', m, n, k, 1.0, weights, stride, x, k, 0.0, out, m) };
        });
    }

    fn output(&self) -> Vec<f32> {
        self.out.iter().map(|value| *value as f32).collect()
    }
}

/// The part of a product that one thread computes.
struct Slice {
    token: usize,
    tokens: usize,
    column: usize,
    columns: usize,
}

/// Cuts a product into a slice a thread and calls `task` for each, with its part `(tokens, columns)` of the result.
fn for_each_slice<T: Send>(pool: &ThreadPool, case: Case, out: &mut [T], task: &(dyn Fn(Slice, &mut [T]) + Sync)) {
    let Case { outputs, tokens, .. } = case;
    if tokens == 1 {
        let width = outputs.div_ceil(pool.threads());
        pool.for_each_part(out, width, &|_, index, out| {
            task(Slice { token: 0, tokens, column: index * width, columns: out.len() }, out);
        });
    } else {
        let height = tokens.div_ceil(pool.threads());
        pool.for_each_part(out, height * outputs, &|_, index, out| {
            let tokens = out.len() / outputs;
            task(Slice { token: index * height, tokens, column: 0, columns: outputs }, out);
        });
    }
}

/// BLAS as a program calls it that leaves threads to the library: not through the engine's doorway, which asks it for
/// one.
pub fn blas_with_its_own_threads(threads: usize) -> Approach {
    approach("BLAS sgemm, its own threads", threads, |data, copy, out| {
        let Case { inputs, outputs, tokens, .. } = data.case;
        let weights = &data.weights[copy];
        assert_eq!((data.x.len(), weights.len()), (tokens * inputs, inputs * outputs));
        assert_eq!(out.len(), tokens * outputs);
        let [m, n, k] = [outputs, tokens, inputs].map(|size| size as i32);
        // SAFETY: the assertions above make the slices as long as the dimensions reach.
        unsafe { ::blas::sgemm(b'N', b'N', m, n, k, 1.0, weights, m, &data.x, k, 0.0, out, m) };
    })
}
