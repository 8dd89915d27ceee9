//! Causal attention over the KV cache.
//!
//! One token reads the cache in blocks of positions, with a softmax that is corrected as larger scores turn up, so that
//! long contexts spread over all threads and no vector of scores is kept (Dao et al. 2023, "Flash-Decoding"). Many tokens
//! go through BLAS in tiles of queries.
#![allow(unsafe_code)]

use super::matrix::Workspace;
use super::pool::SharedPtr;
use super::vector;
use crate::engine::blas::{self, MatMut, MatRef, Transpose};

/// Positions of the cache that one piece of work covers when a single token attends.
const BLOCK_POSITIONS: usize = vector::SCORES;
/// Queries of one piece of work when many tokens attend.
const TILE_QUERIES: usize = 64;

/// What attention needs to know of the model and the cache.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Positions that the cache has room for.
    pub capacity: usize,
    /// What scores are multiplied with before the softmax.
    pub scale: f32,
}

/// One layer of the cache: keys and values, each `(n_kv_head, capacity, head_dim)`.
#[derive(Debug, Clone, Copy)]
pub struct KeysValues<'a> {
    /// The keys.
    pub keys: &'a [f32],
    /// The values.
    pub values: &'a [f32],
}

impl KeysValues<'_> {
    /// Keys and values of a head, `(positions, head_dim)` each.
    fn head(&self, shape: &AttentionShape, kv_head: usize, positions: std::ops::Range<usize>) -> (&[f32], &[f32]) {
        let base = kv_head * shape.capacity;
        let range = (base + positions.start) * shape.head_dim..(base + positions.end) * shape.head_dim;
        (&self.keys[range.clone()], &self.values[range])
    }
}

/// `n` new tokens attend to the `past` before them and to each other: `queries` has `n` rows `stride` apart whose first
/// `n_head · head_dim` elements are the heads; the cache already holds the keys and values of all `past + n`; `out` is
/// `(n, n_head · head_dim)`.
///
/// # Panics
/// Where a slice is too short.
pub fn attend(
    workspace: &Workspace,
    shape: &AttentionShape,
    queries: &[f32],
    stride: usize,
    cache: KeysValues<'_>,
    past: usize,
    out: &mut [f32],
) {
    let n = out.len() / (shape.n_head * shape.head_dim);
    assert!(past + n <= shape.capacity, "{past} + {n} positions in a cache of {}", shape.capacity);
    if n == 1 {
        attend_one(workspace, shape, &queries[..shape.n_head * shape.head_dim], cache, past + 1, out);
    } else {
        attend_many(workspace, shape, queries, stride, cache, past, out);
    }
}

/// What a block of positions contributes to one query head: its largest score, the sum of the exponentials relative to
/// that, and `head_dim` weighted values, all in one row of memory.
struct Partial;

impl Partial {
    const MAX: usize = 0;
    const SUM: usize = 1;
    const VALUES: usize = 2;

    fn len(head_dim: usize) -> usize {
        Self::VALUES + head_dim
    }
}

fn attend_one(
    workspace: &Workspace,
    shape: &AttentionShape,
    query: &[f32],
    cache: KeysValues<'_>,
    positions: usize,
    out: &mut [f32],
) {
    let group = shape.n_head / shape.n_kv_head;
    let blocks = positions.div_ceil(BLOCK_POSITIONS);
    let partial = Partial::len(shape.head_dim);
    // (n_kv_head, blocks, group, partial)
    let mut partials = vec![0.0; shape.n_kv_head * blocks * group * partial];
    workspace.pool().for_each_part(&mut partials, group * partial, &|_, piece, partials| {
        let (kv_head, block) = (piece / blocks, piece % blocks);
        let range = block * BLOCK_POSITIONS..positions.min((block + 1) * BLOCK_POSITIONS);
        let (keys, values) = cache.head(shape, kv_head, range);
        let queries = query[kv_head * group * shape.head_dim..].chunks_exact(shape.head_dim);
        for (query, partial) in queries.zip(partials.chunks_exact_mut(partial)) {
            let (head, sums) = partial.split_at_mut(Partial::VALUES);
            let (largest, sum) = vector::attend_block(query, keys, values, shape.scale, sums);
            (head[Partial::MAX], head[Partial::SUM]) = (largest, sum);
        }
    });
    for (head, out) in out.chunks_exact_mut(shape.head_dim).enumerate() {
        let (kv_head, member) = (head / group, head % group);
        let rows =
            (0..blocks).map(|block| &partials[((kv_head * blocks + block) * group + member) * partial..][..partial]);
        merge(rows, out);
    }
}

/// Joins the blocks of one head, each brought to the largest score of all.
fn merge<'a>(partials: impl Iterator<Item = &'a [f32]> + Clone, out: &mut [f32]) {
    let largest = partials.clone().map(|partial| partial[Partial::MAX]).fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    out.fill(0.0);
    for partial in partials {
        let weight = (partial[Partial::MAX] - largest).exp();
        total += weight * partial[Partial::SUM];
        vector::axpy(weight, &partial[Partial::VALUES..], out);
    }
    out.iter_mut().for_each(|value| *value /= total);
}

fn attend_many(
    workspace: &Workspace,
    shape: &AttentionShape,
    queries: &[f32],
    stride: usize,
    cache: KeysValues<'_>,
    past: usize,
    out: &mut [f32],
) {
    let (dim, width) = (shape.head_dim, shape.n_head * shape.head_dim);
    let n = out.len() / width;
    let tiles = n.div_ceil(TILE_QUERIES);
    let out = SharedPtr::new(out);
    workspace.pool().run(shape.n_head * tiles, &|thread, piece| {
        // The last tile attends to the most positions: it goes first, so that the threads finish together.
        let (head, tile) = (piece % shape.n_head, tiles - 1 - piece / shape.n_head);
        let (start, end) = (tile * TILE_QUERIES, n.min((tile + 1) * TILE_QUERIES));
        let (rows, positions) = (end - start, past + end);
        let (keys, values) = cache.head(shape, head * shape.n_kv_head / shape.n_head, 0..positions);
        let query = MatRef::new(&queries[start * stride + head * dim..], rows, dim, stride);
        let keys = MatRef::new(keys, positions, dim, dim);
        let values = MatRef::new(values, positions, dim, dim);
        workspace.with_scratch(thread, rows * positions, |scores| {
            let into = MatMut::new(scores, rows, positions, positions);
            blas::sgemm(shape.scale, query, Transpose::No, keys, Transpose::Yes, 0.0, into);
            for (row, scores) in scores.chunks_exact_mut(positions).enumerate() {
                let (seen, future) = scores.split_at_mut(past + start + row + 1);
                vector::softmax(seen);
                future.fill(0.0);
            }
            let scores = MatRef::new(scores, rows, positions, positions);
            // SAFETY: this head's columns of these rows are this piece's alone, and `out` has `n` rows of `width`.
            let out = unsafe { MatMut::from_raw(out.get().add(start * width + head * dim), rows, dim, width) };
            blas::sgemm(1.0, scores, Transpose::No, values, Transpose::No, 0.0, out);
        });
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::kernels::ThreadPool;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 252.0 - 2.0).collect()
    }

    /// The plain twin, in double precision.
    fn plain(
        shape: &AttentionShape,
        queries: &[f32],
        stride: usize,
        cache: KeysValues<'_>,
        past: usize,
        n: usize,
    ) -> Vec<f32> {
        let dim = shape.head_dim;
        let mut out = Vec::new();
        for token in 0..n {
            for head in 0..shape.n_head {
                let query = &queries[token * stride + head * dim..][..dim];
                let (keys, values) = cache.head(shape, head * shape.n_kv_head / shape.n_head, 0..past + token + 1);
                let score = |key: &[f32]| query.iter().zip(key).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                let weights: Vec<f64> =
                    keys.chunks(dim).map(|key| (score(key) * f64::from(shape.scale)).exp()).collect();
                let total: f64 = weights.iter().sum();
                out.extend((0..dim).map(|d| {
                    let value = |(i, w): (usize, &f64)| w * f64::from(values[i * dim + d]);
                    (weights.iter().enumerate().map(value).sum::<f64>() / total) as f32
                }));
            }
        }
        out
    }

    #[test]
    fn one_and_many_tokens_attend_as_the_plain_twin_does() {
        let workspace = Workspace::new(Arc::new(ThreadPool::new(2)));
        for (n_head, n_kv_head, head_dim) in [(4, 4, 8), (9, 3, 64), (2, 1, 20)] {
            let shape = AttentionShape { n_head, n_kv_head, head_dim, capacity: 400, scale: 0.1 };
            let (keys, values) = (numbers(n_kv_head * 400 * head_dim, 1), numbers(n_kv_head * 400 * head_dim, 2));
            let cache = KeysValues { keys: &keys, values: &values };
            for (past, n) in [(0, 1), (1, 1), (127, 1), (128, 1), (300, 1), (0, 2), (0, 65), (17, 130), (270, 64)] {
                let stride = n_head * head_dim + 6;
                let queries = numbers(n * stride, 3);
                let mut out = vec![f32::NAN; n * n_head * head_dim];
                attend(&workspace, &shape, &queries, stride, cache, past, &mut out);
                for (i, (f, e)) in out.iter().zip(plain(&shape, &queries, stride, cache, past, n)).enumerate() {
                    assert!((f - e).abs() < 1e-4, "{shape:?} {past}+{n}, element {i}: {f} instead of {e}");
                }
            }
        }
    }

    #[test]
    fn scores_that_would_overflow_a_plain_softmax_stay_finite() {
        let workspace = Workspace::new(Arc::new(ThreadPool::new(1)));
        let shape = AttentionShape { n_head: 1, n_kv_head: 1, head_dim: 8, capacity: 300, scale: 100.0 };
        let keys = numbers(300 * 8, 1);
        let cache = KeysValues { keys: &keys, values: &keys };
        for n in [1, 2] {
            let mut out = vec![f32::NAN; n * 8];
            attend(&workspace, &shape, &numbers(n * 8, 2), 8, cache, 290, &mut out);
            assert!(out.iter().all(|v| v.is_finite() && v.abs() <= 2.01), "{out:?}");
        }
    }
}
