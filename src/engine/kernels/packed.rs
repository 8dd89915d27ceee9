//! Quantized weights in the order in which a processor multiplies them.
//!
//! A file stores each row by itself, in blocks of 32 columns. Here eight rows stand side by side: for each block of
//! columns their eight scales (then their eight minimums, where the format has them), then their quants, four columns of
//! each of the eight rows at a time. One 256-bit register so holds four columns of eight rows, one instruction multiplies
//! them with the same four activations, and the results of the eight rows lie in eight lanes, where the scales are
//! applied as a vector. The packed form is as long as the file's, but for the last group of rows, which is filled up.
//!
//! | format | a block of 8 rows by 32 columns | bytes |
//! |---|---|---|
//! | Q4_0 | 8 scales (F16), 4 x 8 x 4 bytes of two quants | 144 |
//! | Q4_1 | 8 scales, 8 minimums (F16), 4 x 8 x 4 bytes of two quants | 160 |
//! | Q8_0 | 8 scales (F16), 8 x 8 x 4 quants | 272 |
//!
//! As in the file, the low half of byte `j` is column `j` of the block and the high half column `16 + j`.
#![allow(unsafe_code)]

use half::f16;

use super::activation::{BLOCK, Block, HIGH, QuantizedVector};
use super::arena::{Arena, Region};
use super::isa::Isa;
use super::pool::ThreadPool;
use super::vector::compiled_per_isa;
use crate::engine::EngineError;

/// Rows that stand side by side.
pub const ROWS: usize = 8;
/// Bytes that one row contributes at a time.
const STEP: usize = 4;

/// A weight format that is computed in whole numbers. The file formats are those of ggml (`ggml-common.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackedFormat {
    /// 4 bits: `scale · (q - 8)`.
    Q4_0,
    /// 4 bits: `scale · q + minimum`.
    Q4_1,
    /// 8 bits: `scale · q`.
    Q8_0,
}

impl PackedFormat {
    /// How many half-precision numbers stand before a row's quants in a file's block: scale, and minimum.
    const fn headers(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q8_0 => 1,
            Self::Q4_1 => 2,
        }
    }

    const fn quant_bytes(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 => BLOCK / 2,
            Self::Q8_0 => BLOCK,
        }
    }

    /// Bytes of a row's block in a file.
    pub const fn file_block(self) -> usize {
        2 * self.headers() + self.quant_bytes()
    }

    /// Bytes of a packed block of eight rows.
    pub const fn packed_block(self) -> usize {
        ROWS * self.file_block()
    }
}

/// What packing needs: threads, and memory for the result.
#[derive(Debug)]
pub struct Packer<'a> {
    pool: &'a ThreadPool,
    arena: Arena,
}

impl<'a> Packer<'a> {
    /// A packer whose work is spread over `pool`.
    pub fn new(pool: &'a ThreadPool) -> Self {
        Self { pool, arena: Arena::new() }
    }
}

/// A quantized matrix, packed: `[rows, cols]`.
#[derive(Debug)]
pub struct PackedMatrix {
    format: PackedFormat,
    rows: usize,
    cols: usize,
    /// Group of eight rows after group, in each block after block.
    bytes: Region,
}

impl PackedMatrix {
    /// Packs the rows of a file, given one after another in the file's own blocks; `cols` is a multiple of 32.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where there is no memory.
    ///
    /// # Panics
    /// Where the bytes are not `rows * cols / 32` blocks.
    pub fn pack(
        format: PackedFormat,
        rows: usize,
        cols: usize,
        file: &[u8],
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let blocks = cols / BLOCK;
        let row_bytes = blocks * format.file_block();
        assert!(cols.is_multiple_of(BLOCK) && file.len() == rows * row_bytes, "[{rows}, {cols}] in {}", file.len());
        let group_bytes = ROWS * row_bytes;
        let mut bytes = packer.arena.region(rows.div_ceil(ROWS) * group_bytes)?;
        if blocks > 0 {
            packer.pool.for_each_part(&mut bytes, group_bytes, &|_, group, packed| {
                for (lane, row) in (group * ROWS..rows.min((group + 1) * ROWS)).enumerate() {
                    pack_row(format, &file[row * row_bytes..(row + 1) * row_bytes], lane, packed);
                }
            });
        }
        Ok(Self { format, rows, cols, bytes })
    }

    /// Rows (outputs).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns (inputs).
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn group(&self, group: usize) -> &[u8] {
        let bytes = self.cols / BLOCK * self.format.packed_block();
        &self.bytes[group * bytes..(group + 1) * bytes]
    }

    /// `out[i] = row first + i · x`, for as many rows as `out` is long.
    ///
    /// # Panics
    /// Where rows or columns do not fit.
    pub fn multiply(&self, isa: Isa, first: usize, x: &QuantizedVector, out: &mut [f32]) {
        assert!(
            first + out.len() <= self.rows && x.blocks().len() * BLOCK == self.cols,
            "rows {first}.. of [{}, {}]",
            self.rows,
            self.cols
        );
        let mut row = first;
        let end = first + out.len();
        while row < end {
            let group = row / ROWS;
            let values = multiply_group(isa, self.format, self.group(group), x.blocks());
            let until = end.min((group + 1) * ROWS);
            out[row - first..until - first].copy_from_slice(&values[row % ROWS..][..until - row]);
            row = until;
        }
    }

    /// The rows `first..first + count` as floats, `[count, cols]`, into `out`.
    ///
    /// # Panics
    /// Where rows or columns do not fit.
    pub fn unpack(&self, first: usize, count: usize, out: &mut [f32]) {
        assert!(first + count <= self.rows && out.len() == count * self.cols, "rows {first}.. of {}", self.rows);
        if self.cols == 0 {
            return;
        }
        for (row, out) in (first..).zip(out.chunks_exact_mut(self.cols)) {
            unpack_row(self.format, self.group(row / ROWS), row % ROWS, out);
        }
    }
}

fn pack_row(format: PackedFormat, row: &[u8], lane: usize, packed: &mut [u8]) {
    let blocks = row.chunks_exact(format.file_block()).zip(packed.chunks_exact_mut(format.packed_block()));
    for (block, packed) in blocks {
        let (headers, quants) = block.split_at(2 * format.headers());
        for (i, header) in headers.chunks_exact(2).enumerate() {
            packed[2 * (i * ROWS + lane)..][..2].copy_from_slice(header);
        }
        let packed = &mut packed[2 * format.headers() * ROWS..];
        for (i, quants) in quants.chunks_exact(STEP).enumerate() {
            packed[STEP * (i * ROWS + lane)..][..STEP].copy_from_slice(quants);
        }
    }
}

fn header(block: &[u8], index: usize, lane: usize) -> f32 {
    let at = 2 * (index * ROWS + lane);
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The quants of one row, `N` bytes, from where they stand between those of the other rows.
#[inline(always)]
fn gather<const N: usize>(quants: &[u8], lane: usize) -> [u8; N] {
    let mut row = [0; N];
    for (row, step) in row.chunks_exact_mut(STEP).zip(quants.chunks_exact(STEP * ROWS)) {
        row.copy_from_slice(&step[STEP * lane..][..STEP]);
    }
    row
}

#[inline(always)]
fn unpack_row_body<const FMA: bool>(format: PackedFormat, group: &[u8], lane: usize, out: &mut [f32]) {
    for (block, out) in group.chunks_exact(format.packed_block()).zip(out.chunks_exact_mut(BLOCK)) {
        let scale = header(block, 0, lane);
        let quants = &block[2 * format.headers() * ROWS..];
        if format == PackedFormat::Q8_0 {
            for (out, q) in out.iter_mut().zip(gather::<BLOCK>(quants, lane)) {
                *out = scale * f32::from(q as i8);
            }
        } else {
            let minimum = if format == PackedFormat::Q4_1 { header(block, 1, lane) } else { -8.0 * scale };
            let (low, high) = out.split_at_mut(BLOCK / 2);
            for ((low, high), q) in low.iter_mut().zip(high).zip(gather::<{ BLOCK / 2 }>(quants, lane)) {
                *low = scale * f32::from(q & 15) + minimum;
                *high = scale * f32::from(q >> 4) + minimum;
            }
        }
    }
}

compiled_per_isa! {
    /// Row `lane` of a packed group as floats.
    fn unpack_row(format: PackedFormat, group: &[u8], lane: usize, out: &mut [f32]) = unpack_row_body
}

fn multiply_group(isa: Isa, format: PackedFormat, group: &[u8], x: &[Block]) -> [f32; ROWS] {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => super::avx2::multiply_group(format, group, x),
        _ => multiply_group_portable(format, group, x),
    }
}

/// The plain twin: the same whole-number arithmetic, one lane after another.
fn multiply_group_portable(format: PackedFormat, group: &[u8], x: &[Block]) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    for (block, x) in group.chunks_exact(format.packed_block()).zip(x) {
        let weights = &block[2 * format.headers() * ROWS..];
        for (lane, out) in out.iter_mut().enumerate() {
            let product = |x: &[i8; BLOCK]| match format {
                PackedFormat::Q8_0 => lane_product_8(weights, lane, x),
                PackedFormat::Q4_0 | PackedFormat::Q4_1 => lane_product_4(weights, lane, x),
            };
            let offset = if format == PackedFormat::Q4_0 { 8 * x.sum } else { 0 };
            let product = HIGH * product(&x.high) + product(&x.low) - offset;
            *out += product as f32 * (header(block, 0, lane) * x.scale);
            if format == PackedFormat::Q4_1 {
                *out += header(block, 1, lane) * (x.scale * x.sum as f32);
            }
        }
    }
    out
}

fn lane_product_8(weights: &[u8], lane: usize, x: &[i8; BLOCK]) -> i32 {
    let steps = weights.chunks_exact(STEP * ROWS).zip(x.chunks_exact(STEP));
    let product = |(step, x): (&[u8], &[i8])| -> i32 {
        let row = &step[STEP * lane..][..STEP];
        row.iter().zip(x).map(|(&w, &x)| i32::from(w as i8) * i32::from(x)).sum()
    };
    steps.map(product).sum()
}

fn lane_product_4(weights: &[u8], lane: usize, x: &[i8; BLOCK]) -> i32 {
    let (low, high) = x.split_at(BLOCK / 2);
    let steps = weights.chunks_exact(STEP * ROWS).zip(low.chunks_exact(STEP).zip(high.chunks_exact(STEP)));
    let product = |(step, (low, high)): (&[u8], (&[i8], &[i8]))| -> i32 {
        let row = step[STEP * lane..][..STEP].iter();
        let term =
            |(&w, (&l, &h)): (&u8, (&i8, &i8))| i32::from(w & 15) * i32::from(l) + i32::from(w >> 4) * i32::from(h);
        row.zip(low.iter().zip(high)).map(term).sum()
    };
    steps.map(product).sum()
}

#[cfg(test)]
mod tests;
