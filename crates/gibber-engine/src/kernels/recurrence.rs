//! The inner loops of recurrent layers: short convolutions along the sequence, and the gated delta rule.
//!
//! All of it goes token by token, in single precision, and what a token gets does not depend on how many go together.
#![allow(unsafe_code)]

use super::ThreadPool;
use super::pool::SharedPtr;
use super::vector::{self, compiled_per_isa, exp, fma};

/// Columns of a head's state that are computed together: with 128 rows they stay in the first cache of a core through all
/// tokens of a pass.
const COLUMNS: usize = 32;

/// Added to a sum of squares before the root (the l2 norm of the published kernels).
const L2_EPS: f32 = 1e-6;

#[inline(always)]
fn multiply_add_body<const FMA: bool>(a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = fma::<FMA>(a, b, *y);
    }
}

compiled_per_isa! {
    /// `y += a · b`, element by element.
    pub fn multiply_add(a: &[f32], b: &[f32], y: &mut [f32]) = multiply_add_body
}

#[inline(always)]
fn silu_body<const FMA: bool>(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x /= 1.0 + exp::<FMA>(-*x));
}

compiled_per_isa! {
    /// `x = x · sigmoid(x)`, in place.
    pub fn silu(x: &mut [f32]) = silu_body
}

#[inline(always)]
fn sigmoid_mul_body<const FMA: bool>(gate: &[f32], x: &mut [f32]) {
    for (x, &gate) in x.iter_mut().zip(gate) {
        *x /= 1.0 + exp::<FMA>(-gate);
    }
}

compiled_per_isa! {
    /// `x = x · sigmoid(gate)`, in place.
    pub fn sigmoid_mul(gate: &[f32], x: &mut [f32]) = sigmoid_mul_body
}

#[inline(always)]
fn silu_gate_body<const FMA: bool>(gate: &[f32], x: &mut [f32]) {
    for (x, &gate) in x.iter_mut().zip(gate) {
        *x *= gate / (1.0 + exp::<FMA>(-gate));
    }
}

compiled_per_isa! {
    /// `x = x · silu(gate)`, in place.
    pub fn silu_gate(gate: &[f32], x: &mut [f32]) = silu_gate_body
}

/// `scale · x / |x|`, in place.
pub fn l2_normalize(x: &mut [f32], scale: f32) {
    let squares = vector::dot(x, x);
    vector::scale(x, scale / (squares + L2_EPS).sqrt());
}

/// `ln(1 + e^x)`.
pub fn softplus(x: f32) -> f32 {
    // As torch has it: what is added beyond is less than half a unit in the last place.
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

#[inline(always)]
fn delta_step_body<const FMA: bool>(
    state: &mut [f32],
    keys: &[f32],
    queries: &[f32],
    values: &[f32; COLUMNS],
    gates: [f32; 2],
    out: &mut [f32; COLUMNS],
) {
    let [decay, beta] = gates;
    // Two sums each, so that one need not wait for the other.
    let mut recalled = [[0.0; COLUMNS]; 2];
    for (row, (state, &key)) in state.chunks_exact(COLUMNS).zip(keys).enumerate() {
        for (sum, &state) in recalled[row % 2].iter_mut().zip(state) {
            *sum = fma::<FMA>(key, state, *sum);
        }
    }
    let mut delta = [0.0; COLUMNS];
    for (column, delta) in delta.iter_mut().enumerate() {
        *delta = (values[column] - decay * (recalled[0][column] + recalled[1][column])) * beta;
    }
    let mut sums = [[0.0; COLUMNS]; 2];
    for (row, (state, (&key, &query))) in state.chunks_exact_mut(COLUMNS).zip(keys.iter().zip(queries)).enumerate() {
        for ((sum, state), &delta) in sums[row % 2].iter_mut().zip(state).zip(&delta) {
            *state = fma::<FMA>(key, delta, decay * *state);
            *sum = fma::<FMA>(query, *state, *sum);
        }
    }
    for (column, out) in out.iter_mut().enumerate() {
        *out = sums[0][column] + sums[1][column];
    }
}

compiled_per_isa! {
    /// Takes some columns of a head's state, `(keys, COLUMNS)`, past a token, and reads them with its query.
    fn delta_step(
        state: &mut [f32], keys: &[f32], queries: &[f32], values: &[f32; COLUMNS], gates: [f32; 2],
        out: &mut [f32; COLUMNS]
    ) = delta_step_body
}

/// The heads of a gated delta net (Yang et al. 2024), of which those of the values share those of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaShape {
    /// Heads of queries and of keys.
    pub n_key_head: usize,
    /// Heads of values, each with a state of its own.
    pub n_value_head: usize,
    /// Width of a query and of a key.
    pub key_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// Whether the heads of values go round those of keys (the first has the first key, the second the second, …); else
    /// neighbours share one.
    pub is_tiled: bool,
}

impl DeltaShape {
    /// Values of the queries of a token, all heads together; its keys have as many.
    pub fn keys(&self) -> usize {
        self.n_key_head * self.key_dim
    }

    /// Values of the values of a token, all heads together.
    pub fn values(&self) -> usize {
        self.n_value_head * self.value_dim
    }

    /// Values of a row that [`delta_rule`] reads.
    pub fn row(&self) -> usize {
        2 * self.keys() + self.values() + 2 * self.n_value_head
    }

    /// Values of the state of all heads: each cut into columns, the last of which may be there for nothing.
    pub fn state(&self) -> usize {
        self.n_value_head * self.pieces_a_head() * self.key_dim * COLUMNS
    }

    fn pieces_a_head(&self) -> usize {
        self.value_dim.div_ceil(COLUMNS)
    }

    /// Which head of keys a head of values has.
    fn key_head(&self, value_head: usize) -> usize {
        if self.is_tiled { value_head % self.n_key_head } else { value_head * self.n_key_head / self.n_value_head }
    }
}

/// Takes the `state` of all heads past the tokens of `rows`, each with its queries, keys, values, decays (one a head of
/// values) and rates of learning: `S = decay · S + k ⊗ rate · (v - decay · Sᵀk)`. What the queries then read, `Sᵀq`, goes to
/// `out`, `(n, values)`.
///
/// # Panics
/// Where a slice has another length.
pub fn delta_rule(pool: &ThreadPool, shape: &DeltaShape, state: &mut [f32], rows: &[f32], out: &mut [f32]) {
    let (n, width) = (rows.len() / shape.row(), shape.values());
    assert_eq!((state.len(), out.len(), rows.len()), (shape.state(), n * width, n * shape.row()));
    let out = SharedPtr::new(out);
    pool.for_each_part(state, shape.key_dim * COLUMNS, &|_, piece, state| {
        let head = piece / shape.pieces_a_head();
        let first = piece % shape.pieces_a_head() * COLUMNS;
        let columns = COLUMNS.min(shape.value_dim - first);
        let (key_at, value_at) = (shape.key_head(head) * shape.key_dim, head * shape.value_dim + first);
        for (token, row) in rows.chunks_exact(shape.row()).enumerate() {
            let (queries, row) = row.split_at(shape.keys());
            let (keys, row) = row.split_at(shape.keys());
            let (values, gates) = row.split_at(width);
            let mut value = [0.0; COLUMNS];
            value[..columns].copy_from_slice(&values[value_at..][..columns]);
            let (key, query) = (&keys[key_at..][..shape.key_dim], &queries[key_at..][..shape.key_dim]);
            let mut read = [0.0; COLUMNS];
            delta_step(state, key, query, &value, [gates[head], gates[shape.n_value_head + head]], &mut read);
            // SAFETY: `out` has `n · width` elements (asserted above) and is borrowed until the pool returns; `token` is
            // below `n`, and of its row no other piece has these columns, which end within the head.
            let place = unsafe { std::slice::from_raw_parts_mut(out.get().add(token * width + value_at), columns) };
            place.copy_from_slice(&read[..columns]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(next).collect()
    }

    /// The rule as it is written down, in double precision.
    fn plain(shape: &DeltaShape, state: &mut [f64], rows: &[f32]) -> Vec<f64> {
        let (keys, values) = (shape.keys(), shape.values());
        let mut out = Vec::new();
        for row in rows.chunks_exact(shape.row()) {
            for head in 0..shape.n_value_head {
                let group = shape.n_value_head / shape.n_key_head;
                let key_head = if shape.is_tiled { head % shape.n_key_head } else { head / group };
                let at = |offset: usize, i: usize| f64::from(row[offset + i]);
                let query = |i| at(key_head * shape.key_dim, i);
                let key = |i| at(keys + key_head * shape.key_dim, i);
                let value = |j| at(2 * keys + head * shape.value_dim, j);
                let (decay, rate) = (at(2 * keys + values, head), at(2 * keys + values + shape.n_value_head, head));
                let s = &mut state[head * shape.key_dim * shape.value_dim..][..shape.key_dim * shape.value_dim];
                s.iter_mut().for_each(|s| *s *= decay);
                for j in 0..shape.value_dim {
                    let recalled: f64 = (0..shape.key_dim).map(|i| s[i * shape.value_dim + j] * key(i)).sum();
                    let delta = (value(j) - recalled) * rate;
                    (0..shape.key_dim).for_each(|i| s[i * shape.value_dim + j] += key(i) * delta);
                    out.push((0..shape.key_dim).map(|i| s[i * shape.value_dim + j] * query(i)).sum());
                }
            }
        }
        out
    }

    fn rows(shape: &DeltaShape, n: usize) -> Vec<f32> {
        let mut rows = random(n * shape.row(), 3);
        for row in rows.chunks_exact_mut(shape.row()) {
            let (heads, rest) = row.split_at_mut(2 * shape.keys());
            heads.chunks_exact_mut(shape.key_dim).for_each(|head| l2_normalize(head, 1.0));
            rest[shape.values()..].iter_mut().for_each(|gate| *gate = 0.6 + 0.4 * *gate);
        }
        rows
    }

    const SHAPES: [DeltaShape; 3] = [
        DeltaShape { n_key_head: 2, n_value_head: 4, key_dim: 24, value_dim: 40, is_tiled: false },
        DeltaShape { n_key_head: 2, n_value_head: 6, key_dim: 7, value_dim: 12, is_tiled: true },
        DeltaShape { n_key_head: 1, n_value_head: 1, key_dim: 128, value_dim: 128, is_tiled: true },
    ];

    #[test]
    fn the_delta_rule_is_what_is_written_down() {
        let pool = ThreadPool::new(2);
        for shape in SHAPES {
            let rows = rows(&shape, 30);
            let (mut state, mut out) = (vec![0.0; shape.state()], vec![0.0; 30 * shape.values()]);
            delta_rule(&pool, &shape, &mut state, &rows, &mut out);
            let mut exact = vec![0.0; shape.n_value_head * shape.key_dim * shape.value_dim];
            for (found, expected) in out.iter().zip(plain(&shape, &mut exact, &rows)) {
                assert!((f64::from(*found) - expected).abs() < 2e-5, "{shape:?}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn tokens_that_go_together_have_the_bits_of_single_ones() {
        for (threads, cut) in [(1, 1), (2, 1), (2, 7), (3, 29)] {
            let pool = ThreadPool::new(threads);
            for shape in SHAPES {
                let rows = rows(&shape, 30);
                let (mut state, mut out) = (vec![0.0; shape.state()], vec![0.0; 30 * shape.values()]);
                delta_rule(&pool, &shape, &mut state, &rows, &mut out);
                let (mut other, mut parts) = (vec![0.0; shape.state()], vec![0.0; 30 * shape.values()]);
                for (rows, out) in rows.chunks(cut * shape.row()).zip(parts.chunks_mut(cut * shape.values())) {
                    delta_rule(&pool, &shape, &mut other, rows, out);
                }
                assert!((state, out) == (other, parts), "{shape:?} in pieces of {cut} by {threads} threads");
            }
        }
    }

    #[test]
    fn small_functions_are_what_they_are_called() {
        let x = random(37, 1).iter().map(|x| x * 30.0).collect::<Vec<_>>();
        let gate = random(37, 2);
        let sigmoid = |x: f32| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32;
        let (mut silued, mut gated, mut by_silu) = (x.clone(), x.clone(), x.clone());
        silu(&mut silued);
        silu_gate(&gate, &mut by_silu);
        sigmoid_mul(&gate, &mut gated);
        let mut added = x.clone();
        multiply_add(&x, &gate, &mut added);
        for i in 0..x.len() {
            assert!((silued[i] - x[i] * sigmoid(x[i])).abs() < 1e-5, "{}", x[i]);
            assert!((by_silu[i] - x[i] * gate[i] * sigmoid(gate[i])).abs() < 1e-5);
            assert!((gated[i] - x[i] * sigmoid(gate[i])).abs() < 1e-5);
            assert!((added[i] - (x[i] + x[i] * gate[i])).abs() < 1e-5);
            assert!((f64::from(softplus(x[i])) - f64::from(x[i]).exp().ln_1p()).abs() < 1e-5);
        }
        let mut unit = x.clone();
        l2_normalize(&mut unit, 0.5);
        assert!((vector::dot(&unit, &unit) - 0.25).abs() < 1e-6);
        let mut zero = [0.0; 5];
        l2_normalize(&mut zero, 1.0);
        assert_eq!(zero, [0.0; 5]);
    }
}
