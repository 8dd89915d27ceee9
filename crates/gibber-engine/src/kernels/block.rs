//! How activations lie in memory as whole numbers: those of one token, and those of several side by side.

/// Values a block; the quantized weight formats have blocks of the same size.
pub const BLOCK: usize = 32;
/// Values that one lane of an instruction multiplies at a time.
pub(super) const STEP: usize = 4;
/// Steps of a block.
pub(super) const STEPS: usize = BLOCK / STEP;
/// What the high byte counts: as much as lets both bytes stay within ±127, which the instructions ask for.
pub const HIGH: i32 = 254;
/// The largest whole number a value becomes.
pub(super) const LARGEST: f32 = (127 * HIGH) as f32;

/// A block of activations: `x[i] ≈ scale · whole(i)` with `whole(i) = 254 · high[i] + low[i]`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Block {
    /// Within ±127.
    pub high: [i8; BLOCK],
    /// Within ±127.
    pub low: [i8; BLOCK],
    /// The whole numbers, of each four the two of even index before the two of odd: as 8-bit weights are taken apart for
    /// products of 16 bits. Only the kernels for AVX2 read them, and only for them they are made.
    pub pairs: [i16; BLOCK],
    /// What a whole number counts.
    pub scale: f32,
    /// Sums of the first and of the last sixteen whole numbers: what a weight's offset is multiplied with.
    pub sums: [i32; 2],
}

impl Block {
    /// A block of zeros.
    pub const ZERO: Self = Self { high: [0; BLOCK], low: [0; BLOCK], pairs: [0; BLOCK], scale: 0.0, sums: [0; 2] };

    /// The whole number that stands for value `i`.
    pub fn whole(&self, i: usize) -> i32 {
        HIGH * i32::from(self.high[i]) + i32::from(self.low[i])
    }
}

/// Tokens side by side.
pub(super) const TILE: usize = 8;
/// The bytes of one step, of each token.
pub(super) type TileStep = [[i8; STEP]; TILE];

/// Where the four bytes of a step of a token lie among the steps of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum StepOrder {
    /// Step after step, the tokens side by side.
    #[default]
    Single,
    /// Two steps after two steps: eight bytes of each token side by side.
    Paired,
}

impl StepOrder {
    /// Step and place within it.
    #[inline(always)]
    pub(super) fn place(self, step: usize, token: usize) -> (usize, usize) {
        match self {
            Self::Single => (step, token),
            Self::Paired => (step / 2 * 2 + token / (TILE / 2), 2 * token % TILE + step % 2),
        }
    }
}

/// A block of 32 values of each token of a tile.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct TileBlock {
    /// The bytes, or the high ones of two.
    pub(super) high: [TileStep; STEPS],
    /// What a whole number counts.
    pub(super) scales: [f32; TILE],
    /// Scaled sums of the first sixteen values, of the last, and of both: what a weight's offset is multiplied with.
    pub(super) sums: [[f32; TILE]; 3],
}

impl TileBlock {
    pub(super) const ZERO: Self =
        Self { high: [[[0; STEP]; TILE]; STEPS], scales: [0.0; TILE], sums: [[0.0; TILE]; 3] };
}
