//! Quantized weights in the order in which a processor multiplies them.
//!
//! A file stores each row by itself, in blocks of columns. Here sixteen rows stand side by side: a group holds their scales,
//! then their quants, four columns of each of the sixteen rows at a time. One vector register so holds four columns of all
//! rows (of half of them with AVX2, of four with NEON), one instruction multiplies them with the same four activations, and the results of the
//! rows lie in as many lanes, where the scales are applied as vectors.
//!
//! Of a block of 32 columns the steps `s = 0..4` are columns `4 s..` (the first of the step) and `16 + 4 s..` (the second).
//! Quants of odd widths lie in two planes, so that the packed form takes no more bits than the file:
//!
//! | bits | plane of low bits | plane of high bits |
//! |---|---|---|
//! | 2, 3 | 2 vectors: vector `s / 2` has in each byte first and second of two steps, 2 bits each | 3: one vector, bit `s` is of the first, bit `4 + s` of the second |
//! | 4, 5, 6 | 4 vectors: the first in the low half of a byte, the second in the high half | 5: as for 3; 6: as the low plane of 2 |
//! | 8 | 8 vectors, a byte a quant | |
//!
//! The scales of a group are, block after block, as `format::Scales` says: half-precision numbers for each block of 32, or
//! for 256 columns followed by a byte of scale (and of minimum) for each block and row.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod expand;
mod format;
mod gemm;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod kernel;
#[cfg(target_arch = "x86_64")]
mod lookup;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod portable;
mod product;

pub(in crate::kernels) use expand::{Lanes, Panel};
use format::Codes;
pub use format::{PackedFormat, ROWS};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use format::{for_each_step, for_format};

use super::activation::{BLOCK, Block, QuantizedVector};
use super::arena::{Arena, Region};
use super::isa::Isa;
use super::pool::ThreadPool;
use super::tiles::TokenTiles;
use super::vector;
use crate::EngineError;
use crate::blas::MatMut;

/// Tokens that a kernel takes at a time, where there are as many: the weights are taken apart once for all of them.
const TOKENS: usize = 4;

/// What packing needs: threads, and memory for the result.
#[derive(Debug)]
pub struct Packer<'a> {
    pool: &'a ThreadPool,
    arena: Arena,
    /// Nothing is packed: shapes and formats are checked, and no weight is read.
    is_dry: bool,
}

impl<'a> Packer<'a> {
    /// A packer whose work is spread over `pool`.
    pub fn new(pool: &'a ThreadPool) -> Self {
        Self { pool, arena: Arena::new(), is_dry: false }
    }

    /// A packer that only tells whether matrices could be packed. What it makes must not be multiplied.
    pub fn dry(pool: &'a ThreadPool) -> Self {
        Self { is_dry: true, ..Self::new(pool) }
    }

    pub(super) fn pool(&self) -> &ThreadPool {
        self.pool
    }

    /// `len` bytes, all zero.
    pub(super) fn region(&self, len: usize) -> Result<Region, EngineError> {
        self.arena.region(if self.is_dry { 0 } else { len })
    }
}

/// A quantized matrix, packed: `[rows, cols]`.
#[derive(Debug)]
pub struct PackedMatrix {
    format: PackedFormat,
    rows: usize,
    cols: usize,
    /// What all weights are multiplied with.
    factor: f32,
    /// Group after group; the last is filled up with zeros.
    bytes: Region,
}

impl PackedMatrix {
    /// Packs the rows of a file, given one after another in the file's own blocks; `cols` is a whole number of those.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where there is no memory.
    ///
    /// # Panics
    /// Where the bytes are not as many blocks as the rows have.
    pub fn pack(
        format: PackedFormat,
        rows: usize,
        cols: usize,
        file: &[u8],
        packer: &Packer<'_>,
    ) -> Result<Self, EngineError> {
        let dtype = format.dtype();
        assert_eq!(dtype.bytes_of(&[rows, cols]), Some(file.len()), "[{rows}, {cols}] in {} bytes", file.len());
        let row_bytes = cols / dtype.block_size() * dtype.block_bytes();
        let group_bytes = format.group_bytes(cols / BLOCK);
        let mut bytes = packer.region(rows.div_ceil(ROWS) * group_bytes)?;
        if group_bytes > 0 {
            packer.pool.for_each_part(&mut bytes, group_bytes, &|_, group, packed| {
                let rows = group * ROWS..rows.min((group + 1) * ROWS);
                pack::pack_group(format, &file[rows.start * row_bytes..rows.end * row_bytes], row_bytes, packed);
            });
        }
        Ok(Self { format, rows, cols, factor: 1.0, bytes })
    }

    /// The same with all weights multiplied by `factor`.
    #[must_use]
    pub fn times(self, factor: f32) -> Self {
        Self { factor: self.factor * factor, ..self }
    }

    /// Multiplies what was computed without the factor.
    fn scale(&self, out: &mut [f32]) {
        if self.factor != 1.0 {
            vector::scale(out, self.factor);
        }
    }

    fn scale_rows(&self, out: &mut MatMut<'_>) {
        for row in 0..out.rows() {
            self.scale(out.row_mut(row));
        }
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

    /// Where its bytes begin.
    pub fn start(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn blocks(&self) -> usize {
        self.cols / BLOCK
    }

    fn group(&self, group: usize) -> &[u8] {
        let bytes = self.format.group_bytes(self.blocks());
        &self.bytes[group * bytes..(group + 1) * bytes]
    }

    /// Calls `task(group, lanes, at)` for the groups of the rows `first..first + count`: which lanes of the group they are,
    /// and which of the `count` rows comes first.
    fn for_each_group(&self, first: usize, count: usize, mut task: impl FnMut(&[u8], std::ops::Range<usize>, usize)) {
        let mut row = first;
        while row < first + count {
            let group = row / ROWS;
            let until = (first + count).min((group + 1) * ROWS);
            task(self.group(group), row % ROWS..row % ROWS + until - row, row - first);
            row = until;
        }
    }

    /// `out[t][i] = row first + i · x[t]`, for as many rows as `out` has columns and as many tokens as it has rows. What a
    /// token gets does not depend on how many there are, nor on how the rows are shared out.
    ///
    /// # Panics
    /// Where rows, columns or tokens do not fit.
    pub fn multiply(&self, isa: Isa, first: usize, x: &[QuantizedVector], out: &mut MatMut<'_>) {
        assert!(first + out.cols() <= self.rows, "rows {first}.. of [{}, {}]", self.rows, self.cols);
        assert!(x.len() == out.rows() && x.iter().all(|x| x.blocks().len() == self.blocks()), "{} inputs", x.len());
        let whole = if x.len() == 1 && first.is_multiple_of(ROWS) { out.cols() / ROWS * ROWS } else { 0 };
        if whole > 0 {
            let groups = &self.bytes[first / ROWS * self.format.group_bytes(self.blocks())..];
            let out = out.row_mut(0)[..whole].as_chunks_mut().0;
            multiply_groups(isa, self.format, groups, &x[0], out);
        }
        self.for_each_group(first + whole, out.cols() - whole, |group, lanes, at| {
            let (at, mut token) = (whole + at, 0);
            for x in x.chunks(TOKENS) {
                let values = multiply_group(isa, self.format, group, x);
                for values in values.iter().take(x.len()) {
                    out.row_mut(token)[at..at + lanes.len()].copy_from_slice(&values[lanes.clone()]);
                    token += 1;
                }
            }
        });
        self.scale_rows(out);
    }

    /// Whether [`Self::multiply`] looks up sums in tables of its inputs.
    pub(in crate::kernels) fn looks_up_sums(&self, isa: Isa) -> bool {
        looks_up_sums(isa, self.format)
    }

    /// Whether `Self::multiply_tiles` is the faster way for many tokens; otherwise the weights are better unpacked for BLAS.
    pub fn multiplies_tiles(&self, isa: Isa) -> bool {
        gemm::is_faster(isa, self.format)
    }

    /// As [`Self::multiply`], for many tokens; `panels` is scratch memory. All groups are prepared first, so that a tile of
    /// tokens is read once for all of them, and their outputs are written together.
    ///
    /// # Panics
    /// Where rows, columns or tokens do not fit.
    pub(in crate::kernels) fn multiply_tiles(
        &self,
        isa: Isa,
        first: usize,
        x: &TokenTiles,
        out: &mut MatMut<'_>,
        panels: &mut Vec<Panel>,
    ) {
        assert!(first + out.cols() <= self.rows && x.tokens() == out.rows() && x.width() == self.cols);
        let groups = first / ROWS..(first + out.cols()).div_ceil(ROWS);
        panels.resize_with(panels.len().max(groups.len()), Panel::default);
        for (group, panel) in groups.clone().zip(panels.iter_mut()) {
            expand::prepare_panel(self.format, self.group(group), self.blocks(), panel);
            gemm::arrange(isa, self.format, panel);
        }
        let window = |(group, panel)| {
            let rows = first.max(group * ROWS)..(first + out.cols()).min((group + 1) * ROWS);
            gemm::Window { panel, lanes: rows.start - group * ROWS..rows.end - group * ROWS, at: rows.start - first }
        };
        let windows: Vec<_> = groups.zip(&*panels).map(window).collect();
        gemm::multiply_panels(isa, self.format, &windows, x, out);
        self.scale_rows(out);
    }

    /// How wide a matrix `Self::unpack_columns` needs for the rows `first..first + count`.
    pub fn unpacked_width(first: usize, count: usize) -> usize {
        (first + count).next_multiple_of(ROWS) - first / ROWS * ROWS
    }

    /// The rows `first..first + count` as columns of floats: row `first` is column `first % ROWS` of `out`, which is
    /// `(cols, unpacked_width)`; `panels` is scratch memory.
    ///
    /// # Panics
    /// Where rows or columns do not fit.
    pub(in crate::kernels) fn unpack_columns(
        &self,
        first: usize,
        count: usize,
        panels: &mut Vec<Panel>,
        out: &mut [f32],
    ) {
        panels.resize_with(panels.len().max(1), Panel::default);
        let panel = &mut panels[0];
        let width = Self::unpacked_width(first, count);
        assert!(first + count <= self.rows && out.len() == width * self.cols, "rows {first}.. of {}", self.rows);
        for (index, group) in (first / ROWS..(first + count).div_ceil(ROWS)).enumerate() {
            expand::prepare_panel(self.format, self.group(group), self.blocks(), panel);
            expand::unpack_columns(panel, index * ROWS, width, out);
        }
        self.scale(out);
    }

    /// One row as floats: an embedding looked up.
    ///
    /// # Panics
    /// Where there is no such row or `out` has another length.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows && out.len() == self.cols, "row {row} of {}", self.rows);
        portable::unpack_row(self.format, self.group(row / ROWS), row % ROWS, out);
        self.scale(out);
    }
}

/// Whether products of the format are looked up: where memory would wait for multiplications of so few bits.
fn looks_up_sums(isa: Isa, format: PackedFormat) -> bool {
    matches!(isa, Isa::Avx512(_)) && matches!(format.codes(), Codes::Doubled | Codes::Planes)
}

/// The rows of as many groups as `out` has, one after another in `groups`, times one input.
///
/// # Panics
/// Where there are not as many.
fn multiply_groups(isa: Isa, format: PackedFormat, groups: &[u8], x: &QuantizedVector, out: &mut [Lanes]) {
    let blocks = x.blocks();
    let each = format.group_bytes(blocks.len());
    let groups = &groups[..out.len() * each];
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(proof) if looks_up_sums(isa, format) => {
            lookup::multiply_groups(proof, format, groups, (blocks, x.sums()), out)
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(isa) => avx512::multiply_groups(isa, format, groups, blocks, out),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(isa) => avx2::multiply_groups(isa, format, groups, blocks, out),
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm(isa) => neon::i8mm::multiply_groups(isa, format, groups, blocks, out),
        #[cfg(target_arch = "aarch64")]
        Isa::DotProd(isa) => neon::dotprod::multiply_groups(isa, format, groups, blocks, out),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(isa) => neon::plain::multiply_groups(isa, format, groups, blocks, out),
        _ => {
            for (group, out) in groups.chunks_exact(each.max(1)).zip(out) {
                portable::multiply_group(format, group, &[blocks], std::slice::from_mut(out));
            }
        }
    }
}

/// The sixteen rows of a group times up to [`TOKENS`] inputs.
fn multiply_group(isa: Isa, format: PackedFormat, group: &[u8], x: &[QuantizedVector]) -> [Lanes; TOKENS] {
    if looks_up_sums(isa, format) {
        // The weights are taken apart by as little as they would be for all tokens together.
        let mut out = [[0.0; ROWS]; TOKENS];
        for (x, out) in x.iter().zip(&mut out) {
            multiply_groups(isa, format, group, x, std::slice::from_mut(out));
        }
        return out;
    }
    let blocks: [&[Block]; TOKENS] = std::array::from_fn(|token| x.get(token).map_or(&[][..], |x| x.blocks()));
    let mut out = [[0.0; ROWS]; TOKENS];
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(isa) => avx512::multiply_group(isa, format, group, &blocks[..x.len()], &mut out),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(isa) => avx2::multiply_group(isa, format, group, &blocks[..x.len()], &mut out),
        #[cfg(target_arch = "aarch64")]
        Isa::I8mm(isa) => neon::i8mm::multiply_group(isa, format, group, &blocks[..x.len()], &mut out),
        #[cfg(target_arch = "aarch64")]
        Isa::DotProd(isa) => neon::dotprod::multiply_group(isa, format, group, &blocks[..x.len()], &mut out),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(isa) => neon::plain::multiply_group(isa, format, group, &blocks[..x.len()], &mut out),
        _ => portable::multiply_group(format, group, &blocks[..x.len()], &mut out),
    }
    out
}

#[cfg(test)]
mod tests;
