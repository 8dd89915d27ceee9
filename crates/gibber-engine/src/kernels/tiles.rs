//! The tokens of a prompt as whole numbers, in the order in which products of many tokens read them: a few tokens side by
//! side, block after block, so that one pointer serves all of them.
#![allow(unsafe_code)]

use super::block::{BLOCK, STEP, STEPS, StepOrder};
pub(super) use super::block::{TILE, TileBlock, TileStep};
use super::isa::Isa;
use super::pool::{SharedPtr, ThreadPool};
use super::vector;

/// How many bytes an activation of a prompt takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// One: half a percent of the block's largest value is lost at each step.
    Byte,
    /// Two, as in [`super::activation::Block`].
    TwoBytes,
}

/// The tokens of a prompt in tiles of eight; the last is filled up with zeros.
#[derive(Debug, Default)]
pub struct TokenTiles {
    /// `(tiles, k / BLOCK)`
    blocks: Vec<TileBlock>,
    /// As `blocks`, the low bytes; empty where a value takes one byte.
    low: Vec<[TileStep; STEPS]>,
    order: StepOrder,
    tokens: usize,
    k: usize,
}

impl TokenTiles {
    /// Takes over `x`, rows of `k` values, `k` a whole number of blocks, for the kernels of `isa`; keeps its memory.
    pub fn assign(&mut self, isa: Isa, pool: &ThreadPool, x: &[f32], k: usize, precision: Precision) {
        debug_assert!(k.is_multiple_of(BLOCK) && x.len().is_multiple_of(k));
        (self.k, self.tokens) = (k, x.len().checked_div(k).unwrap_or(0));
        // Products of matrices take eight bytes of a token at a time.
        let order = if matches!(isa, Isa::I8mm(_)) { StepOrder::Paired } else { StepOrder::Single };
        self.order = order;
        let (each, tiles) = (k / BLOCK, self.tokens.div_ceil(TILE));
        self.blocks.resize(tiles * each, TileBlock::ZERO);
        self.low.resize(if precision == Precision::TwoBytes { tiles * each } else { 0 }, TileBlock::ZERO.high);
        let low_each = self.low.len().checked_div(tiles).unwrap_or(0);
        let low = SharedPtr::new(&mut self.low);
        pool.for_each_part(&mut self.blocks, each, &|_, tile, blocks| {
            // SAFETY: `low` was resized to `low_each` for each of the tiles above, and `for_each_part` hands each of them out
            // once: this part is within it and this call's alone. The slice is borrowed until all calls are done.
            let low = unsafe { std::slice::from_raw_parts_mut(low.get().add(tile * low_each), low_each) };
            let x = &x[tile * TILE * k..x.len().min((tile + 1) * TILE * k)];
            if x.len() < TILE * k {
                blocks.fill(TileBlock::ZERO);
                low.fill(TileBlock::ZERO.high);
            }
            vector::quantize_tile(x, k, order, blocks, low);
        });
    }

    /// Without those that fill up the last tile.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Values a token.
    pub fn width(&self) -> usize {
        self.k
    }

    /// The tiles, each with the index of its first token.
    pub(super) fn tiles(&self) -> impl Iterator<Item = (usize, Tile<'_>)> {
        let each = (self.k / BLOCK).max(1);
        self.blocks.chunks_exact(each).enumerate().map(move |(tile, blocks)| {
            let low = self.low.get(tile * each..(tile + 1) * each).unwrap_or_default();
            (tile * TILE, Tile { blocks, low, order: self.order })
        })
    }
}

/// A tile of [`TokenTiles`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) blocks: &'a [TileBlock],
    /// One for each block, or none where a value takes one byte.
    pub(super) low: &'a [[TileStep; STEPS]],
    /// Of the steps of each.
    pub(super) order: StepOrder,
}

impl Tile<'_> {
    /// The bytes of `token` in a block's steps.
    pub(super) fn bytes(self, steps: &[TileStep; STEPS], token: usize) -> [i8; BLOCK] {
        std::array::from_fn(|i| {
            let (step, place) = self.order.place(i / STEP, token);
            steps[step][place][i % STEP]
        })
    }
}

#[cfg(test)]
impl TokenTiles {
    /// The values that `token` stands for.
    pub(super) fn to_f32(&self, token: usize) -> Vec<f32> {
        use super::activation::HIGH;
        let Some((_, tile)) = self.tiles().nth(token / TILE) else { return Vec::new() };
        let (mut values, token) = (Vec::new(), token % TILE);
        for (index, block) in tile.blocks.iter().enumerate() {
            let high = tile.bytes(&block.high, token).map(i32::from);
            let whole = match tile.low.get(index) {
                Some(low) => {
                    let low = tile.bytes(low, token);
                    std::array::from_fn(|i| HIGH * high[i] + i32::from(low[i]))
                }
                None => high,
            };
            values.extend(whole.map(|whole| whole as f32 * block.scales[token]));
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_the_tokens_and_their_sums_and_zeros_behind_them() {
        let (n, k) = (11, 96);
        let x: Vec<f32> =
            (0..n * k).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3f32.powi((i / 32 % 3) as i32)).collect();
        let pool = ThreadPool::new(2);
        let mut tiles = TokenTiles::default();
        let precisions = [(Precision::TwoBytes, 32258.0), (Precision::Byte, 127.0)];
        for (isa, (precision, most)) in Isa::available().into_iter().flat_map(|isa| precisions.map(|of| (isa, of))) {
            // What was there before must not shine through.
            tiles.assign(isa, &pool, &vec![7.0; 16 * k], k, precision);
            tiles.assign(isa, &pool, &x, k, precision);
            assert_eq!((tiles.tokens(), tiles.width(), tiles.tiles().count()), (n, k, 2));
            for (token, x) in x.chunks_exact(k).enumerate() {
                let found = tiles.to_f32(token);
                let (_, tile) = tiles.tiles().nth(token / TILE).unwrap();
                for (index, (x, found)) in x.chunks_exact(BLOCK).zip(found.chunks_exact(BLOCK)).enumerate() {
                    let step = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs())) / most;
                    assert!(
                        x.iter().zip(found).all(|(x, found)| (x - found).abs() <= step * 0.5001),
                        "{x:?} {found:?}"
                    );
                    let sums = tile.blocks[index].sums.map(|sums| sums[token % TILE]);
                    let halves = [&found[..16], &found[16..]].map(|half| half.iter().sum::<f32>());
                    for (sum, exact) in sums.into_iter().zip([halves[0], halves[1], halves[0] + halves[1]]) {
                        assert!((sum - exact).abs() < 1e-3, "{sum} instead of {exact}");
                    }
                }
            }
            assert!(tiles.to_f32(n).iter().all(|&x| x == 0.0));
        }
    }
}
