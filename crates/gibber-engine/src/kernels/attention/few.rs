//! A few tokens, each by itself: what one token reads does not depend on those beside it.
//!
//! The positions that a token attends to are cut into chunks, so that long contexts spread over all threads; each chunk
//! has a softmax of its own, corrected as larger scores turn up, and the chunks are joined at the end (Dao et al. 2023,
//! "Flash-Decoding"). How they are cut depends on the number of positions alone, so the result does not depend on the
//! number of threads, nor on how many tokens are computed together.

use std::ops::Range;

use super::super::isa::Isa;
use super::super::matrix::Workspace;
use super::super::vector;
use super::Request;
use super::cache::TILE;
use super::kernel::{Chunk, Partial, SPAN};

/// The most chunks of a head: enough for many threads, few enough that joining them costs nothing.
const MAX_CHUNKS: usize = 16;

/// Positions a chunk, for a token that attends to `positions` of them: whole spans.
fn chunk_len(positions: usize) -> usize {
    SPAN * positions.div_ceil(SPAN * MAX_CHUNKS)
}

/// How the positions that a token attends to are cut.
struct Cut {
    /// The first position of the tile that the first of them is in: there the first chunk begins.
    start: usize,
    /// Positions a chunk.
    len: usize,
    chunks: usize,
}

impl Cut {
    fn of(visible: &Range<usize>) -> Self {
        let start = visible.start / TILE * TILE;
        let len = chunk_len(visible.end - start);
        Self { start, len, chunks: (visible.end - start).div_ceil(len) }
    }
}

/// See [`super::attend`].
pub(super) fn attend(isa: Isa, workspace: &Workspace, request: &Request<'_>, out: &mut [f32]) {
    let (n, partial) = (out.len() / request.width(), Partial::of(request.shape.head_dim));
    let counts = (request.past..request.past + n).map(|position| Cut::of(&request.shape.visible(position)).chunks);
    let tokens = Tokens { request, n, chunks: counts.max().unwrap_or(0), partial };
    let heads = request.shape.n_kv_head * n * request.group();
    // Room for any number of positions, so that a reply does not ask for more as it goes on. It is the caller's own
    // scratch memory: the pieces need none.
    workspace.with_scratch(0, heads * MAX_CHUNKS * partial.len(), |partials| {
        let partials = &mut partials[..heads * tokens.chunks * partial.len()];
        workspace.pool().for_each_part(partials, request.group() * partial.len(), &|_, piece, partials| {
            tokens.attend(isa, piece, partials);
        });
        if n == 1 {
            tokens.join(0, partials, out);
        } else {
            let partials = &*partials;
            workspace.pool().for_each_part(out, request.width(), &|_, token, out| tokens.join(token, partials, out));
        }
    });
}

/// A few tokens at work. Their partial results are `(n_kv_head, chunks, n, group, Partial::len)`.
struct Tokens<'a> {
    request: &'a Request<'a>,
    n: usize,
    /// The most chunks that any of the tokens has.
    chunks: usize,
    partial: Partial,
}

impl Tokens<'_> {
    /// One chunk of one token and one head of keys and values, into `(group, Partial::len)`.
    fn attend(&self, isa: Isa, piece: usize, partials: &mut [f32]) {
        let Request { shape, queries, stride, cache, past, .. } = *self.request;
        let (token, chunk, head) = (piece % self.n, piece / self.n % self.chunks, piece / self.n / self.chunks);
        let (visible, width) = (shape.visible(past + token), self.request.group() * shape.head_dim);
        let cut = Cut::of(&visible);
        if chunk < cut.chunks {
            let start = cut.start + chunk * cut.len;
            let chunk = Chunk {
                keys: cache.keys.head(head),
                values: cache.values.head(head),
                positions: start..visible.end.min(start + cut.len),
                hidden: visible.start.saturating_sub(start),
                queries: &queries[token * stride + head * width..][..width],
                scale: shape.scale,
                softcap: shape.softcap,
            };
            super::attend_chunk(isa, &chunk, partials);
        }
    }

    /// Joins the chunks of every head of a token.
    fn join(&self, token: usize, partials: &[f32], out: &mut [f32]) {
        let group = self.request.group();
        let used = Cut::of(&self.request.shape.visible(self.request.past + token)).chunks;
        for (head, out) in out.chunks_exact_mut(self.request.shape.head_dim).enumerate() {
            let (kv_head, member) = (head / group, head % group);
            let rows = (0..used).map(|chunk| {
                let row = ((kv_head * self.chunks + chunk) * self.n + token) * group + member;
                &partials[row * self.partial.len()..][..self.partial.len()]
            });
            join(self.partial, rows, self.request.sink(head), out);
        }
    }
}

/// Joins the chunks of one head, each brought to the largest score of all, and `sink`, which adds to the sum of weights
/// alone.
fn join<'a>(partial: Partial, chunks: impl Iterator<Item = &'a [f32]> + Clone, sink: f32, out: &mut [f32]) {
    let largest = chunks.clone().map(|chunk| chunk[partial.largest()]).fold(sink, f32::max);
    let mut total = (sink - largest).exp();
    out.fill(0.0);
    for chunk in chunks {
        let weight = (chunk[partial.largest()] - largest).exp();
        total += weight * chunk[partial.sum()];
        vector::axpy(weight, &chunk[..out.len()], out);
    }
    vector::scale(out, total.recip());
}
