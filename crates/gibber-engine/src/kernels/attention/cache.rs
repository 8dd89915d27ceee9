//! Where keys and values lie, and in which format.
//!
//! A head's positions come in tiles of [`TILE`]. In a tile of keys, each value of the head stands for all positions side
//! by side, `(head_dim, TILE)`: the scores of a tile are sums of rows, each times one value of the query. In a tile of
//! values each position stands for itself, `(TILE, head_dim)`: what a query reads is a sum of rows, each times one weight.
//! Both are the same inner loop, and both read memory from one end to the other.
//!
//! Q8_0 has a scale for each position and each [`BLOCK`] values of it, as the format of that name in GGUF files has; the
//! scales of a tile, `(blocks, TILE)` in half precision, stand behind its whole numbers.

use half::f16;
use memmap2::MmapMut;
use serde::{Deserialize, Serialize};

use super::super::matrix::MAX_TOKENS_ONE_BY_ONE;
use super::super::pool::ThreadPool;
use super::super::vector::{self, compiled_per_isa};
use crate::EngineError;

/// Positions a tile.
pub(super) const TILE: usize = 32;
/// Values of a head that share a scale in Q8_0.
pub(super) const BLOCK: usize = 32;
/// Values that the inner loops take at a time: a row of values is filled up to a multiple of it.
pub(super) const LANES: usize = 16;
/// Tiles begin at cache lines.
const ALIGNMENT: usize = 64;
/// The largest whole number of Q8_0.
const LARGEST: f32 = 127.0;
/// 1.5 · 2^23: adding it rounds to the nearest whole number, which the low bits of the sum are.
const ROUND: f32 = 12_582_912.0;

/// The format of the keys or of the values in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheType {
    /// Single precision.
    F32,
    /// Half precision; what is too large for it becomes its largest number.
    #[default]
    F16,
    /// Whole numbers of eight bits with a scale for each 32 of them.
    Q8_0,
}

impl CacheType {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8_0];
    /// Their names.
    pub const NAMES: [&str; 3] = ["f32", "f16", "q8_0"];

    /// Its name, as flags and config.toml spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8_0 => 1,
        }
    }
}

/// The formats of both halves of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheTypes {
    /// Of the keys.
    pub keys: CacheType,
    /// Of the values.
    pub values: CacheType,
}

impl CacheTypes {
    /// The same for both.
    pub const fn both(kind: CacheType) -> Self {
        Self { keys: kind, values: kind }
    }
}

impl std::fmt::Display for CacheTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.keys == self.values {
            true => f.write_str(self.keys.as_str()),
            false => write!(f, "{}/{}", self.keys.as_str(), self.values.as_str()),
        }
    }
}

/// Which half of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What queries are compared with.
    Keys,
    /// What queries read.
    Values,
}

/// How a tile is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) side: Side,
    pub(super) cache_type: CacheType,
    pub(super) head_dim: usize,
}

impl Layout {
    /// Elements a row.
    pub(super) fn row(self) -> usize {
        match self.side {
            Side::Keys => TILE,
            Side::Values => self.head_dim.next_multiple_of(LANES),
        }
    }

    /// From one row to the next.
    pub(super) fn row_bytes(self) -> usize {
        self.row() * self.cache_type.bytes()
    }

    /// Rows of elements in a tile.
    pub(super) fn rows(self) -> usize {
        match self.side {
            Side::Keys => self.head_dim,
            Side::Values => TILE,
        }
    }

    /// Where the scales begin.
    pub(super) fn scales_at(self) -> usize {
        self.rows() * self.row_bytes()
    }

    /// From one tile to the next.
    pub(super) fn tile_bytes(self) -> usize {
        let scales = if self.cache_type == CacheType::Q8_0 { self.head_dim.div_ceil(BLOCK) * TILE * 2 } else { 0 };
        (self.scales_at() + scales).next_multiple_of(ALIGNMENT)
    }

    /// Bytes of `positions` positions of a head.
    fn bytes(self, positions: usize) -> usize {
        positions.div_ceil(TILE).saturating_mul(self.tile_bytes())
    }
}

/// The keys or the values of one layer: `(n_kv_head, tiles)`.
///
/// The system hands out the memory page by page as it is first written: a context that is not used costs nothing.
#[derive(Debug)]
pub struct CacheTensor {
    layout: Layout,
    n_kv_head: usize,
    capacity: usize,
    memory: MmapMut,
}

impl CacheTensor {
    /// Room for `capacity` positions in each of `n_kv_head` heads of `head_dim` values.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the system has not so much memory.
    pub fn new(
        side: Side,
        cache_type: CacheType,
        [n_kv_head, head_dim]: [usize; 2],
        capacity: usize,
    ) -> Result<Self, EngineError> {
        let layout = Layout { side, cache_type, head_dim };
        let len = Self::bytes_for(side, cache_type, n_kv_head, head_dim, capacity).max(1);
        let memory = MmapMut::map_anon(len).map_err(|error| {
            EngineError::Invalid(format!(
                "there is no memory for a context of {capacity} tokens, whose {} take {} MB a layer ({error}): try a smaller one (-c) or a smaller format (-ctk, -ctv)",
                if side == Side::Keys { "keys" } else { "values" },
                len >> 20
            ))
        })?;
        Ok(Self { layout, n_kv_head, capacity, memory })
    }

    /// Bytes that `positions` positions take in `heads` heads of `head_dim` values; where that cannot be counted, more
    /// than any system has.
    pub fn bytes_for(side: Side, cache_type: CacheType, heads: usize, head_dim: usize, positions: usize) -> usize {
        Layout { side, cache_type, head_dim }.bytes(positions).saturating_mul(heads)
    }

    /// Positions it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Its format.
    pub fn cache_type(&self) -> CacheType {
        self.layout.cache_type
    }

    /// Bytes that `positions` positions take.
    pub fn bytes(&self, positions: usize) -> usize {
        self.n_kv_head * self.layout.bytes(positions)
    }

    /// Writes `n` tokens, the first at `position`. Token `t` has its heads one after another from
    /// `rows[t * stride]` on.
    ///
    /// # Panics
    /// Where a position lies behind the capacity, or `rows` is too short.
    pub fn write(&mut self, pool: &ThreadPool, position: usize, n: usize, rows: &[f32], stride: usize) {
        assert!(position + n <= self.capacity, "{position} + {n} positions in a cache of {}", self.capacity);
        let (layout, head_bytes) = (self.layout, self.layout.bytes(self.capacity));
        let memory = &mut self.memory[..self.n_kv_head * head_bytes];
        let write_head = |head: usize, memory: &mut [u8]| {
            for token in 0..n {
                let (tile, slot) = ((position + token) / TILE, (position + token) % TILE);
                let row = &rows[token * stride + head * layout.head_dim..][..layout.head_dim];
                write_row(layout, &mut memory[tile * layout.tile_bytes()..][..layout.tile_bytes()], slot, row);
            }
        };
        if n <= MAX_TOKENS_ONE_BY_ONE {
            memory.chunks_exact_mut(head_bytes).enumerate().for_each(|(head, memory)| write_head(head, memory));
        } else {
            pool.for_each_part(memory, head_bytes, &|_, head, memory| write_head(head, memory));
        }
    }

    /// Takes over the first `positions` positions of `other`.
    ///
    /// # Panics
    /// Where `other` has another shape, format or capacity.
    pub fn copy_from(&mut self, other: &Self, positions: usize) {
        assert_eq!(self.memory.len(), other.memory.len(), "a cache of another shape");
        let (head_bytes, used) = (self.layout.bytes(self.capacity), self.layout.bytes(positions));
        let heads = self.memory.chunks_exact_mut(head_bytes).zip(other.memory.chunks_exact(head_bytes));
        heads.for_each(|(to, from)| to[..used].copy_from_slice(&from[..used]));
    }

    /// What it holds, to be read.
    pub fn view(&self) -> CacheView<'_> {
        let head_bytes = self.layout.bytes(self.capacity);
        let memory = &self.memory[..self.n_kv_head * head_bytes];
        CacheView { layout: self.layout, capacity: self.capacity, head_bytes, memory }
    }
}

/// The keys or the values of a layer, to be read.
#[derive(Debug, Clone, Copy)]
pub struct CacheView<'a> {
    layout: Layout,
    capacity: usize,
    head_bytes: usize,
    memory: &'a [u8],
}

impl<'a> CacheView<'a> {
    /// Positions it has room for.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether it is that half of a cache, with as many heads of that width.
    pub(super) fn has(&self, side: Side, n_kv_head: usize, head_dim: usize) -> bool {
        let shape = (self.layout.side, self.layout.head_dim, self.memory.len());
        shape == (side, head_dim, n_kv_head * self.head_bytes)
    }

    /// The tiles of a head.
    pub(super) fn head(&self, head: usize) -> HeadTiles<'a> {
        HeadTiles { layout: self.layout, memory: &self.memory[head * self.head_bytes..][..self.head_bytes] }
    }
}

/// The keys or the values of one head of one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadTiles<'a> {
    pub(super) layout: Layout,
    memory: &'a [u8],
}

impl<'a> HeadTiles<'a> {
    /// From the tile of `position` to the end of the tile before `end`.
    ///
    /// # Panics
    /// Where the head has not so many tiles.
    pub(super) fn tiles(&self, position: usize, end: usize) -> &'a [u8] {
        let size = self.layout.tile_bytes();
        &self.memory[position / TILE * size..end.div_ceil(TILE) * size]
    }
}

/// Writes position `slot` of a tile.
fn write_row(layout: Layout, tile: &mut [u8], slot: usize, row: &[f32]) {
    for (block, values) in row.chunks(BLOCK).enumerate() {
        let (first, count) = (block * BLOCK, values.len());
        match layout.cache_type {
            CacheType::F32 => {
                let mut bytes = [[0; 4]; BLOCK];
                bytes.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_ne_bytes());
                put(layout, tile, slot, first, &bytes[..count]);
            }
            CacheType::F16 => {
                let (mut padded, mut halves) = ([0.0; BLOCK], [[0; 2]; BLOCK]);
                padded[..count].copy_from_slice(values);
                vector::to_f16(&padded, &mut halves);
                put(layout, tile, slot, first, &halves[..count]);
            }
            CacheType::Q8_0 => {
                let (mut padded, mut wholes) = ([0.0; BLOCK], [0; BLOCK]);
                padded[..count].copy_from_slice(values);
                let scale = quantize(&padded, &mut wholes);
                put(layout, tile, slot, first, &wholes.map(i8::to_ne_bytes)[..count]);
                let at = layout.scales_at() + (block * TILE + slot) * 2;
                tile[at..at + 2].copy_from_slice(&scale.to_ne_bytes());
            }
        }
    }
}

/// Puts the values `first..` of position `slot` where they belong.
fn put<const SIZE: usize>(layout: Layout, tile: &mut [u8], slot: usize, first: usize, values: &[[u8; SIZE]]) {
    match layout.side {
        Side::Keys => {
            let rows = tile.chunks_exact_mut(TILE * SIZE).skip(first);
            for (row, value) in rows.zip(values) {
                row[slot * SIZE..][..SIZE].copy_from_slice(value);
            }
        }
        Side::Values => {
            let at = (slot * layout.row() + first) * SIZE;
            tile[at..at + values.len() * SIZE].copy_from_slice(values.as_flattened());
        }
    }
}

#[inline(always)]
fn quantize_body<const FMA: bool>(values: &[f32; BLOCK], wholes: &mut [i8; BLOCK]) -> f16 {
    // What is no number beats all that are, as its bits do, and stays none.
    let bits = values.iter().fold(0, |largest: u32, value| largest.max(value.abs().to_bits()));
    let largest = f32::from_bits(bits);
    if largest.is_nan() {
        wholes.fill(0);
        return f16::NAN;
    }
    // The whole numbers count what the scale is after rounding.
    let scale = f16::from_f32((largest / LARGEST).min(f16::MAX.to_f32()));
    let inverse = scale.to_f32().recip();
    let inverse = if inverse.is_finite() { inverse } else { 0.0 };
    for (whole, value) in wholes.iter_mut().zip(values) {
        // Not fused: the same numbers whatever the processor.
        let bounded = (value * inverse).clamp(-LARGEST, LARGEST);
        *whole = ((bounded + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32) as i8;
    }
    scale
}

compiled_per_isa! {
    /// Each value as a whole number times the scale that is returned.
    fn quantize(values: &[f32; BLOCK], wholes: &mut [i8; BLOCK]) -> f16 = quantize_body
}
