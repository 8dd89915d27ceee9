//! Many tokens at once, as products of matrices.
//!
//! A piece of work is a tile of queries of the heads that share keys and values. It goes through the positions in panels:
//! keys and values are turned into floats, which stay in the processor's cache while all of the tile's queries are
//! multiplied with them; sums and weights are corrected where a panel has larger scores than those before it.

use std::ops::Range;

use super::super::dense;
use super::super::isa::Isa;
use super::super::matrix::Workspace;
use super::super::pool::SharedPtr;
use super::super::vector;
use super::Request;
use super::cache::{LANES, TILE};
use crate::blas::{MatMut, MatRef};

/// Queries of a piece of work.
const QUERIES: usize = 64;
/// Positions a panel: whole tiles.
const PANEL: usize = 512;

/// See [`super::attend`].
pub(super) fn attend(isa: Isa, workspace: &Workspace, request: &Request<'_>, out: &mut [f32]) {
    let (n, n_kv_head, width) = (out.len() / request.width(), request.shape.n_kv_head, request.width());
    let tiles = n.div_ceil(QUERIES);
    let out = SharedPtr::new(out);
    workspace.pool().run(n_kv_head * tiles, &|thread, piece| {
        // The last tile attends to the most positions: it goes first, so that the threads finish together.
        let (kv_head, tile) = (piece % n_kv_head, tiles - 1 - piece / n_kv_head);
        let tokens = tile * QUERIES..n.min((tile + 1) * QUERIES);
        let tile = Tile { isa, request, kv_head, first: tokens.start, rows: tokens.len() };
        let columns = request.group() * request.shape.head_dim;
        let first = tokens.start * width + kv_head * columns;
        // SAFETY: `out` has `n` rows of `width`, as `n` was computed, and `n_kv_head` times `columns` are at most `width`: the
        // rows of this tile's tokens and the columns of this group of heads are within it. `run` hands each piece out
        // once, so they are nobody else's.
        let mut out = unsafe { MatMut::from_raw(out.get().add(first), tokens.len(), columns, width) };
        workspace.with_scratch(thread, tile.scratch_len(), |scratch| tile.attend(&mut out, scratch));
    });
}

/// The queries of some tokens, of the heads that share one head of keys and values.
struct Tile<'a> {
    isa: Isa,
    request: &'a Request<'a>,
    kv_head: usize,
    /// Among the new tokens.
    first: usize,
    /// Tokens.
    rows: usize,
}

impl Tile<'_> {
    /// Positions that the last of the tokens attends to.
    fn end(&self) -> usize {
        self.request.past + self.first + self.rows
    }

    /// The first position of the tile that the first one is in that any of the tokens attends to.
    fn begin(&self) -> usize {
        self.request.shape.visible(self.request.past + self.first).start / TILE * TILE
    }

    /// Positions a panel.
    fn panel_len(&self) -> usize {
        (self.end() - self.begin()).next_multiple_of(TILE).min(PANEL)
    }

    /// Width of a row of values.
    fn value_width(&self) -> usize {
        self.request.shape.head_dim.next_multiple_of(LANES)
    }

    /// Keys, values and scores of a panel; largest score and sum of each row of each head.
    fn scratch_len(&self) -> usize {
        let values = self.request.shape.head_dim + self.value_width();
        self.panel_len() * (values + self.rows) + 2 * self.request.group() * self.rows
    }

    /// `out` `(rows, group · head_dim)`: the heads' columns of the tokens.
    fn attend(&self, out: &mut MatMut<'_>, scratch: &mut [f32]) {
        let Request { shape, cache, .. } = *self.request;
        let (dim, panel) = (shape.head_dim, self.panel_len());
        let (keys, scratch) = scratch.split_at_mut(panel * dim);
        let (values, scratch) = scratch.split_at_mut(panel * self.value_width());
        let (scores, softmax) = scratch.split_at_mut(panel * self.rows);
        for start in (self.begin()..self.end()).step_by(panel) {
            let positions = start..self.end().min(start + panel);
            let whole = positions.len().next_multiple_of(TILE);
            let (keys, values) = (&mut keys[..whole * dim], &mut values[..whole * self.value_width()]);
            super::expand(self.isa, cache.keys.head(self.kv_head), positions.clone(), keys);
            super::expand(self.isa, cache.values.head(self.kv_head), positions.clone(), values);
            for (member, softmax) in softmax.chunks_exact_mut(2 * self.rows).enumerate() {
                let head = Head { member, out: out.columns(member * dim, dim), softmax };
                self.panel(&positions, head, keys, values, scores);
            }
        }
        for (member, softmax) in softmax.chunks_exact(2 * self.rows).enumerate() {
            let mut out = out.columns(member * dim, dim);
            let sink = self.request.sink(self.kv_head * self.request.group() + member);
            for (row, softmax) in softmax.chunks_exact(2).enumerate() {
                vector::scale(out.row_mut(row), share_of(softmax[0], softmax[1], sink));
            }
        }
    }

    /// Adds to one head's rows what the positions of a panel contribute.
    fn panel(&self, positions: &Range<usize>, mut head: Head<'_>, keys: &[f32], values: &[f32], scores: &mut [f32]) {
        let Request { shape, queries, stride, .. } = *self.request;
        let (dim, rows, count) = (shape.head_dim, self.rows, positions.len());
        let column = (self.kv_head * self.request.group() + head.member) * dim;
        let query = MatRef::new(&queries[self.first * stride + column..], rows, dim, stride);
        let keys = MatRef::new(keys, dim, count, count.next_multiple_of(TILE));
        let scores = &mut scores[..rows * count];
        let into = MatMut::new(scores, rows, count, count);
        dense::multiply(self.isa, shape.scale, query, keys, 0.0, into);
        let is_first = positions.start == self.begin();
        for (row, scores) in scores.chunks_exact_mut(count).enumerate() {
            let visible = shape.visible(self.request.past + self.first + row);
            let [from, to] = [visible.start, visible.end].map(|at| at.saturating_sub(positions.start).min(count));
            let (before_window, rest) = scores.split_at_mut(from);
            let (seen, future) = rest.split_at_mut(to - from);
            before_window.fill(0.0);
            future.fill(0.0);
            let softmax = &mut head.softmax[2 * row..][..2];
            let (before, sum) = if is_first { (f32::NEG_INFINITY, 0.0) } else { (softmax[0], softmax[1]) };
            if seen.is_empty() {
                (softmax[0], softmax[1]) = (before, sum);
                continue;
            }
            if let Some(cap) = shape.softcap {
                vector::softcap(seen, cap);
            }
            let largest = vector::max(seen).max(before);
            let shrink = (before - largest).exp();
            (softmax[0], softmax[1]) = (largest, sum * shrink + vector::exp_in_place(seen, largest));
            if !is_first && shrink < 1.0 {
                vector::scale(head.out.row_mut(row), shrink);
            }
        }
        let scores = MatRef::new(scores, rows, count, count);
        let values = MatRef::new(values, count, dim, self.value_width());
        dense::multiply(self.isa, 1.0, scores, values, if is_first { 0.0 } else { 1.0 }, head.out);
    }
}

/// What of a softmax the positions have: `sum` are their weights relative to the `largest` score, beside which there is
/// `sink`. Divided by `sum`.
fn share_of(largest: f32, sum: f32, sink: f32) -> f32 {
    let top = largest.max(sink);
    let weight = (largest - top).exp();
    weight / (sum * weight + (sink - top).exp())
}

/// One query head of a tile.
struct Head<'a> {
    /// Which of those that share keys and values.
    member: usize,
    /// `(rows, head_dim)`
    out: MatMut<'a>,
    /// `(rows, 2)`: the largest score so far, and the sum of the weights relative to it.
    softmax: &'a mut [f32],
}
