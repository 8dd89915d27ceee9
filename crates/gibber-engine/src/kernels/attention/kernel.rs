//! The inner loops of attention over the cache, written once over [`Lanes`].
//!
//! Scores of a tile are sums of its rows of keys, each times a value of the query; what is read is a sum of rows of
//! values, each times a weight. All query heads that share the keys and values are multiplied with a row while it is in
//! registers, so that it is converted to floats once.
#![allow(clippy::needless_range_loop, reason = "accumulators are registers: which one is a constant index")]

use std::ops::Range;

use super::cache::{BLOCK, CacheType, HeadTiles, LANES, Layout, Side, TILE};
use super::lanes::{Element, F16, Float, I8, Lanes};

/// Positions whose scores are held at a time.
pub(super) const SPAN: usize = 2 * TILE;

/// What a range of positions contributes to a query head, in one row of memory: the sum of the values, each weighted by
/// `e^(score - largest)`, then the largest score, then the sum of the weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Partial {
    /// Length of the sum of values, filled up as the rows of the cache are.
    pub(super) width: usize,
}

impl Partial {
    pub(super) fn of(head_dim: usize) -> Self {
        Self { width: head_dim.next_multiple_of(LANES) }
    }

    /// Floats in memory.
    pub(super) fn len(self) -> usize {
        self.width + 2
    }

    pub(super) fn largest(self) -> usize {
        self.width
    }

    pub(super) fn sum(self) -> usize {
        self.width + 1
    }
}

/// One token's queries over a range of positions of the head whose keys and values they share.
pub(super) struct Chunk<'a> {
    pub(super) keys: HeadTiles<'a>,
    pub(super) values: HeadTiles<'a>,
    /// The first is the first of a tile.
    pub(super) positions: Range<usize>,
    /// How many of them, from the first on, are not attended to: fewer than a tile.
    pub(super) hidden: usize,
    /// `(group, head_dim)`
    pub(super) queries: &'a [f32],
    /// What scores are multiplied with.
    pub(super) scale: f32,
    /// What they stay within.
    pub(super) softcap: Option<f32>,
}

/// Computes the [`Partial`] of each query of `chunk`, `(group, Partial::len)`.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn attend_chunk<V: Lanes>(chunk: &Chunk<'_>, partials: &mut [f32]) {
    let dim = chunk.keys.layout.head_dim;
    let partial = Partial::of(dim);
    for row in partials.chunks_exact_mut(partial.len()) {
        row.fill(0.0);
        row[partial.largest()] = f32::NEG_INFINITY;
    }
    let mut start = chunk.positions.start;
    while start < chunk.positions.end {
        let end = chunk.positions.end.min(start + SPAN);
        let span = Span {
            keys: chunk.keys.tiles(start, end),
            values: chunk.values.tiles(start, end),
            key_layout: chunk.keys.layout,
            value_layout: chunk.values.layout,
            count: end - start,
            hidden: if start == chunk.positions.start { chunk.hidden } else { 0 },
            scale: chunk.scale,
            softcap: chunk.softcap,
        };
        let (mut queries, mut partials) = (chunk.queries, &mut *partials);
        while !queries.is_empty() {
            let size = match queries.len() / dim {
                5 | 6 => 3,
                rest => rest.min(4),
            };
            let (query, later) = queries.split_at(size * dim);
            let (row, later_rows) = partials.split_at_mut(size * partial.len());
            // SAFETY: the caller's promise, and `Span` was made of what it asks for.
            unsafe {
                match size {
                    1 => span.attend::<V, 1, 2>(query, row),
                    2 => span.attend::<V, 2, 2>(query, row),
                    3 => span.attend::<V, 3, 2>(query, row),
                    _ => span.attend::<V, 4, 1>(query, row),
                }
            }
            (queries, partials) = (later, later_rows);
        }
        start = end;
    }
}

/// At most [`SPAN`] positions of a head: whole tiles, of which the last may be used in part.
struct Span<'a> {
    keys: &'a [u8],
    values: &'a [u8],
    key_layout: Layout,
    value_layout: Layout,
    count: usize,
    /// The first of them, which are not attended to.
    hidden: usize,
    scale: f32,
    softcap: Option<f32>,
}

/// Scores or weights of `G` queries.
type Scores<const G: usize> = [[f32; SPAN]; G];

impl Span<'_> {
    /// `G` queries; rows are taken in columns of `W` times [`LANES`].
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    ///
    /// # Panics
    /// Where `queries` are not `(G, head_dim)` or `partials` not `(G, Partial::len)`.
    #[inline(always)]
    unsafe fn attend<V: Lanes, const G: usize, const W: usize>(&self, queries: &[f32], partials: &mut [f32]) {
        let partial = Partial::of(self.key_layout.head_dim);
        assert!(queries.len() == G * self.key_layout.head_dim && partials.len() == G * partial.len());
        assert!(self.count <= SPAN && self.count.div_ceil(TILE) * self.value_layout.tile_bytes() <= self.values.len());
        let mut scores = [[0.0; SPAN]; G];
        // SAFETY: the caller's promise and the assertions above.
        unsafe {
            match self.key_layout.cache_type {
                CacheType::F32 => self.scores::<V, Float, G, W>(queries, &mut scores),
                CacheType::F16 => self.scores::<V, F16, G, W>(queries, &mut scores),
                CacheType::Q8_0 => self.scores::<V, I8, G, W>(queries, &mut scores),
            }
            if let Some(cap) = self.softcap {
                scores.iter_mut().for_each(|scores| V::softcap(&mut scores[..self.count], cap));
            }
            for scores in &mut scores {
                scores[..self.hidden].fill(f32::NEG_INFINITY);
            }
            for (scores, row) in scores.iter_mut().zip(partials.chunks_exact_mut(partial.len())) {
                weigh::<V>(&mut scores[..self.count], row, partial);
            }
            match self.value_layout.cache_type {
                CacheType::F32 => self.add_values::<V, Float, G, W>(&scores, partials, partial),
                CacheType::F16 => self.add_values::<V, F16, G, W>(&scores, partials, partial),
                CacheType::Q8_0 => self.add_scaled_values::<V, G, W>(&scores, partials, partial),
            }
        }
    }

    /// The scores of every tile; those behind `count` mean nothing.
    ///
    /// # Safety
    /// As [`Self::attend`]; the keys consist of `E`, and the assertions there hold.
    #[inline(always)]
    unsafe fn scores<V: Lanes, E: Element, const G: usize, const W: usize>(
        &self,
        queries: &[f32],
        scores: &mut Scores<G>,
    ) {
        let layout = self.key_layout;
        for (index, tile) in self.keys.chunks_exact(layout.tile_bytes()).enumerate() {
            let mut column = 0;
            while column < TILE {
                // SAFETY: the caller's promise; the column lies within the tile.
                let sums = unsafe {
                    match layout.cache_type {
                        CacheType::Q8_0 => scaled_products::<V, E, G, W>(tile, layout, column, queries),
                        CacheType::F32 | CacheType::F16 => products::<V, E, G, W>(tile, layout, column, queries),
                    }
                };
                for g in 0..G {
                    for w in 0..W {
                        let at = &mut scores[g][index * TILE + column + w * LANES..][..LANES];
                        // SAFETY: the caller's promise; `at` has room for it.
                        unsafe { sums[g][w].mul(V::splat(self.scale)).store(at.as_mut_ptr()) };
                    }
                }
                column += W * LANES;
            }
        }
    }

    /// Adds the weighted values to the partial sums. Without scales between them the rows of all tiles are one run.
    ///
    /// # Safety
    /// As [`Self::attend`]; the values consist of `E`, and the assertions there hold.
    #[inline(always)]
    unsafe fn add_values<V: Lanes, E: Element, const G: usize, const W: usize>(
        &self,
        weights: &Scores<G>,
        partials: &mut [f32],
        partial: Partial,
    ) {
        let mut column = 0;
        while column < partial.width {
            let wide = partial.width - column >= W * LANES;
            // SAFETY: the tiles of `count` positions are there; a row and a partial sum go on for `LANES` or, where it is
            // `wide`, for `W * LANES` elements from the column on; `count` weights are within `SPAN`.
            unsafe {
                let rows = Rows {
                    at: self.values.as_ptr().add(column * E::BYTES),
                    stride: self.value_layout.row_bytes(),
                    count: self.count,
                };
                let weights = Factors { at: weights.as_ptr().cast(), stride: SPAN };
                let sums = partials.as_mut_ptr().add(column);
                if wide {
                    add_rows::<V, E, G, W>(rows, weights, sums, partial.len());
                } else {
                    add_rows::<V, E, G, 1>(rows, weights, sums, partial.len());
                }
            }
            column += if wide { W * LANES } else { LANES };
        }
    }

    /// The same for Q8_0: the weight of each position is multiplied with its scale first.
    ///
    /// # Safety
    /// As [`Self::attend`]; the values are Q8_0, and the assertions there hold.
    #[inline(always)]
    unsafe fn add_scaled_values<V: Lanes, const G: usize, const W: usize>(
        &self,
        weights: &Scores<G>,
        partials: &mut [f32],
        partial: Partial,
    ) {
        let layout = self.value_layout;
        let tiles = self.values.chunks_exact(layout.tile_bytes()).zip((0..self.count).step_by(TILE));
        for (tile, start) in tiles {
            let mut column = 0;
            while column < partial.width {
                let wide = partial.width - column >= W * LANES;
                let mut scaled = [[0.0_f32; TILE]; G];
                // SAFETY: a tile has `TILE` rows, and for each `BLOCK` columns a scale for each row; the columns taken
                // together never cross from one block into the next. For the rest see `add_values`.
                unsafe {
                    let scales = tile.as_ptr().add(layout.scales_at() + column / BLOCK * TILE * 2);
                    for w in 0..TILE / LANES {
                        let scale = V::load_f16(scales.add(w * LANES * 2));
                        for g in 0..G {
                            let weights = &weights[g][start + w * LANES..][..LANES];
                            let into = &mut scaled[g][w * LANES..][..LANES];
                            V::load_f32(weights.as_ptr().cast()).mul(scale).store(into.as_mut_ptr());
                        }
                    }
                    let count = TILE.min(self.count - start);
                    let rows = Rows { at: tile.as_ptr().add(column), stride: layout.row_bytes(), count };
                    let weights = Factors { at: scaled.as_ptr().cast(), stride: TILE };
                    let sums = partials.as_mut_ptr().add(column);
                    if wide {
                        add_rows::<V, I8, G, W>(rows, weights, sums, partial.len());
                    } else {
                        add_rows::<V, I8, G, 1>(rows, weights, sums, partial.len());
                    }
                }
                column += if wide { W * LANES } else { LANES };
            }
        }
    }
}

/// Turns the scores of one query into weights `e^(score - largest)` and adds them to its partial sum, which is brought to
/// the new largest score first.
///
/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn weigh<V: Lanes>(scores: &mut [f32], row: &mut [f32], partial: Partial) {
    let before = row[partial.largest()];
    // SAFETY: the caller's promise.
    let largest = unsafe { V::max(scores) }.max(before);
    if largest > before {
        let shrink = (before - largest).exp();
        row[..partial.width].iter_mut().for_each(|sum| *sum *= shrink);
        row[partial.sum()] *= shrink;
        row[partial.largest()] = largest;
    }
    // SAFETY: the caller's promise.
    row[partial.sum()] += unsafe { V::exp_in_place(scores, largest) };
}

/// `G` queries times the keys of `W * LANES` positions of a tile.
///
/// # Safety
/// The processor has the instructions of `V`; `tile` is one of keys that consist of `E`, without scales; `queries` are
/// `(G, head_dim)`.
#[inline(always)]
unsafe fn products<V: Lanes, E: Element, const G: usize, const W: usize>(
    tile: &[u8],
    layout: Layout,
    column: usize,
    queries: &[f32],
) -> [[V; W]; G] {
    let (dim, stride) = (layout.head_dim, TILE * E::BYTES);
    // SAFETY: a tile has `head_dim` rows of `TILE` elements.
    unsafe {
        let rows = Rows { at: tile.as_ptr().add(column * E::BYTES), stride, count: dim };
        accumulate::<V, E, G, W>(rows, Factors { at: queries.as_ptr(), stride: dim }, [[V::splat(0.0); W]; G])
    }
}

/// The same for tiles with scales.
///
/// # Safety
/// As [`products`], but for the scales.
#[inline(always)]
unsafe fn scaled_products<V: Lanes, E: Element, const G: usize, const W: usize>(
    tile: &[u8],
    layout: Layout,
    column: usize,
    queries: &[f32],
) -> [[V; W]; G] {
    let (dim, stride) = (layout.head_dim, TILE * E::BYTES);
    let mut first = 0;
    // SAFETY: a tile has `head_dim` rows of `TILE` elements, and a row of scales for each `BLOCK` of them.
    unsafe {
        let mut sums = [[V::splat(0.0); W]; G];
        let mut scales = tile.as_ptr().add(layout.scales_at() + column * 2);
        while first < dim {
            let at = tile.as_ptr().add(first * stride + column * E::BYTES);
            let rows = Rows { at, stride, count: BLOCK.min(dim - first) };
            let factors = Factors { at: queries.as_ptr().add(first), stride: dim };
            let part = accumulate::<V, E, G, W>(rows, factors, [[V::splat(0.0); W]; G]);
            for w in 0..W {
                let scale = V::load_f16(scales.add(w * LANES * 2));
                for g in 0..G {
                    sums[g][w] = part[g][w].mul_add(scale, sums[g][w]);
                }
            }
            scales = scales.add(TILE * 2);
            first += BLOCK;
        }
        sums
    }
}

/// Rows of a tile from some column on.
#[derive(Clone, Copy)]
struct Rows {
    at: *const u8,
    /// Bytes from one row to the next.
    stride: usize,
    count: usize,
}

/// What rows are multiplied with: of each query one number a row.
#[derive(Clone, Copy)]
struct Factors {
    at: *const f32,
    /// From one query to the next.
    stride: usize,
}

/// `sums[g] += Σ factors[g][i] · rows[i]`, in memory.
///
/// # Safety
/// As [`accumulate`]; `sums` has `G` rows, `stride` apart, of `W * LANES` floats that are the caller's alone.
#[inline(always)]
unsafe fn add_rows<V: Lanes, E: Element, const G: usize, const W: usize>(
    rows: Rows,
    factors: Factors,
    sums: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = [[V::splat(0.0); W]; G];
        for g in 0..G {
            for w in 0..W {
                acc[g][w] = V::load_f32(sums.add(g * stride + w * LANES).cast());
            }
        }
        let acc = accumulate::<V, E, G, W>(rows, factors, acc);
        for g in 0..G {
            for w in 0..W {
                acc[g][w].store(sums.add(g * stride + w * LANES));
            }
        }
    }
}

/// `acc[g] + Σ factors[g][i] · rows[i]`, in registers.
///
/// # Safety
/// The processor has the instructions of `V`; each row has `W * LANES` elements `E`, and there are `count` factors for each
/// of `G` queries.
#[inline(always)]
unsafe fn accumulate<V: Lanes, E: Element, const G: usize, const W: usize>(
    rows: Rows,
    factors: Factors,
    mut acc: [[V; W]; G],
) -> [[V; W]; G] {
    let mut i = 0;
    // SAFETY: the caller's promise.
    unsafe {
        if G == 1 {
            // A single query has too few sums to keep the multipliers busy: every other row goes into sums of its own.
            let mut odd = [[V::splat(0.0); W]; G];
            while i + 1 < rows.count {
                add_row::<V, E, G, W>(rows, factors, i, &mut acc);
                add_row::<V, E, G, W>(rows, factors, i + 1, &mut odd);
                i += 2;
            }
            for w in 0..W {
                acc[0][w] = acc[0][w].add(odd[0][w]);
            }
        }
        while i < rows.count {
            add_row::<V, E, G, W>(rows, factors, i, &mut acc);
            i += 1;
        }
    }
    acc
}

/// # Safety
/// As [`accumulate`]; `i` is below `count`.
#[inline(always)]
unsafe fn add_row<V: Lanes, E: Element, const G: usize, const W: usize>(
    rows: Rows,
    factors: Factors,
    i: usize,
    acc: &mut [[V; W]; G],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let row = rows.at.add(i * rows.stride);
        for w in 0..W {
            let x = E::load::<V>(row.add(w * LANES * E::BYTES));
            for g in 0..G {
                acc[g][w] = x.mul_add(V::splat(*factors.at.add(g * factors.stride + i)), acc[g][w]);
            }
        }
    }
}

/// The tiles of the positions `start..end` as floats: keys `(head_dim, positions)`, values `(positions, width)`, where the
/// positions go on to the end of the last tile and the width is that of a row of the cache. `start` is the first of a tile.
///
/// # Safety
/// The processor has the instructions of `V`.
///
/// # Panics
/// Where `out` has another length.
#[inline(always)]
pub(super) unsafe fn expand<V: Lanes>(head: HeadTiles<'_>, start: usize, end: usize, out: &mut [f32]) {
    // SAFETY: the caller's promise, and the elements are those of the layout.
    unsafe {
        match head.layout.cache_type {
            CacheType::F32 => expand_elements::<V, Float>(head, start, end, out),
            CacheType::F16 => expand_elements::<V, F16>(head, start, end, out),
            CacheType::Q8_0 => expand_elements::<V, I8>(head, start, end, out),
        }
    }
}

/// # Safety
/// As [`expand`]; the tiles consist of `E`.
#[inline(always)]
unsafe fn expand_elements<V: Lanes, E: Element>(head: HeadTiles<'_>, start: usize, end: usize, out: &mut [f32]) {
    let (layout, tiles) = (head.layout, head.tiles(start, end));
    let (rows, row) = (layout.rows(), layout.row());
    let count = tiles.len() / layout.tile_bytes();
    assert_eq!(out.len(), count * rows * row, "positions {start}..{end}");
    // Rows of keys continue in the next tile, rows of values stand below each other.
    let (tile_stride, row_stride) = match layout.side {
        Side::Keys => (row, count * row),
        Side::Values => (rows * row, row),
    };
    let scaled = layout.cache_type == CacheType::Q8_0;
    for (index, tile) in tiles.chunks_exact(layout.tile_bytes()).enumerate() {
        let scales = &tile[layout.scales_at()..];
        for i in 0..rows {
            let mut column = 0;
            while column < row {
                // SAFETY: row and column lie within the tile; where there are scales, those of keys are one a position and
                // `BLOCK` rows, those of values one a row and `BLOCK` columns. `out` was checked.
                unsafe {
                    let mut x = E::load::<V>(tile.as_ptr().add((i * row + column) * E::BYTES));
                    if scaled {
                        let scale = match layout.side {
                            Side::Keys => V::load_f16(scales.as_ptr().add((i / BLOCK * TILE + column) * 2)),
                            Side::Values => V::splat(half_at(scales, column / BLOCK * TILE + i)),
                        };
                        x = x.mul(scale);
                    }
                    x.store(out.as_mut_ptr().add(index * tile_stride + i * row_stride + column));
                }
                column += LANES;
            }
        }
    }
}

fn half_at(halves: &[u8], index: usize) -> f32 {
    half::f16::from_ne_bytes([halves[2 * index], halves[2 * index + 1]]).to_f32()
}
