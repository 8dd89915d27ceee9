//! Weight matrices in whatever format they came, and their product with activations.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::activation::QuantizedVector;
use super::floats::{self, FloatFormat, FloatMatrix, PairedRows};
use super::isa::Isa;
use super::packed::{PackedFormat, PackedMatrix, Packer, Panel, ROWS};
use super::pool::{SharedPtr, ThreadPool};
use super::prefetch::Upcoming;
use super::tiles::{Precision, TokenTiles};
use crate::EngineError;
use crate::blas::{self, MatMut, MatRef, Transpose};
use crate::weights::Tensor;

/// Up to as many tokens are multiplied one by one, each as it would be alone; more of them pay for unpacking the weights
/// once for all of them.
pub(crate) const MAX_TOKENS_ONE_BY_ONE: usize = 16;
/// Floats of unpacked weights that a thread holds at a time: they stay in its cache while BLAS reads them.
const PANEL: usize = 1 << 19;
/// Outputs that belong together in both kinds of packed weights: pieces begin at a multiple.
const ALIGNMENT: usize = if floats::LANES > ROWS { floats::LANES } else { ROWS };
/// Pieces a thread that a product with one token is cut into; more even out delays, fewer cost less to claim.
const PIECES_A_THREAD: usize = 4;
/// Outputs of a piece of a product with many tokens. How sums are rounded may depend on where BLAS is told to begin, so
/// pieces do not depend on the number of threads: the same seed gives the same text with any. OpenBLAS takes three times as
/// long for pieces of 256.
const PIECE_FOR_BLAS: usize = 512;
const PIECE_FOR_INTEGERS: usize = 2 * ROWS;
/// From as many tokens on a prompt is computed with activations of one byte, where the matrix allows it. Shorter ones are
/// done soon enough with two.
const EIGHT_BITS_FROM: usize = 128;

/// The threads and the memory that products need on the way.
#[derive(Debug)]
pub struct Workspace {
    pool: Arc<ThreadPool>,
    quantized: Vec<QuantizedVector>,
    /// The inputs of a product with many tokens.
    tiles: TokenTiles,
    pairs: PairedRows,
    scratch: Vec<Mutex<Vec<f32>>>,
    panels: Vec<Mutex<Vec<Panel>>>,
    exact: bool,
    /// What follows the matrix that was multiplied last: to be filled in by the next one.
    follows: Option<Arc<Upcoming>>,
}

impl Workspace {
    /// A workspace whose products are spread over `pool`.
    pub fn new(pool: Arc<ThreadPool>) -> Self {
        let scratch = (0..pool.threads()).map(|_| Mutex::new(Vec::new())).collect();
        let panels = (0..pool.threads()).map(|_| Mutex::default()).collect();
        Self {
            pool,
            quantized: Vec::new(),
            tiles: TokenTiles::default(),
            pairs: PairedRows::default(),
            scratch,
            panels,
            exact: false,
            follows: None,
        }
    }

    /// Whether long prompts are to be computed as exactly as replies are, which takes up to twice as long: for a score.
    pub fn set_exact(&mut self, exact: bool) {
        self.exact = exact;
    }

    /// The threads.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// The threads, for another workspace.
    pub fn shared_pool(&self) -> Arc<ThreadPool> {
        Arc::clone(&self.pool)
    }

    /// Has `len` floats of scratch memory ready for each thread, so that one that gets its first piece late in a reply need
    /// not ask for it then.
    fn reserve_scratch(&mut self, len: usize) {
        for scratch in &mut self.scratch {
            let scratch = scratch.get_mut().unwrap_or_else(PoisonError::into_inner);
            scratch.resize(scratch.len().max(len), 0.0);
        }
    }

    /// Calls `task` with `len` floats of scratch memory that belong to `thread`; their content is left over from before.
    pub fn with_scratch<R>(&self, thread: usize, len: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        task(&mut scratch[..len])
    }
}

/// Outputs whose weights are stored in one format.
#[derive(Debug)]
enum Part {
    Floats(FloatMatrix),
    Packed(PackedMatrix),
}

impl Part {
    /// Where its bytes begin.
    fn start(&self) -> *const u8 {
        match self {
            Self::Floats(floats) => floats.start(),
            Self::Packed(packed) => packed.start(),
        }
    }
}

/// A matrix of weights: `out_features` dot products with an input of `in_features`. Several can be stacked, so that one
/// operation computes the outputs of all.
#[derive(Debug)]
pub struct WeightMatrix {
    in_features: usize,
    out_features: usize,
    /// One behind the other, each with its number of outputs.
    parts: Vec<(usize, Part)>,
    needs_16_bit_activations: bool,
    /// Where the matrix lies that was multiplied after this one the last time.
    next: Arc<Upcoming>,
}

impl WeightMatrix {
    /// From a tensor `[out, in]`, one row an output.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the tensor is no matrix, or in a format that the engine cannot compute with.
    pub fn from_rows(tensor: &Tensor, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let [rows, cols] = matrix_shape(tensor)?;
        let part = match PackedFormat::of(tensor.dtype()) {
            Some(format) => {
                Part::Packed(PackedMatrix::pack(format, rows, cols, tensor.bytes(), packer)?.times(tensor.factor()?))
            }
            None => Part::Floats(FloatMatrix::from_rows(float_format(tensor)?, [rows, cols], tensor.bytes(), packer)?),
        };
        tensor.release();
        Ok(Self {
            in_features: cols,
            out_features: rows,
            parts: vec![(rows, part)],
            needs_16_bit_activations: false,
            next: Arc::default(),
        })
    }

    /// From a tensor `[in, out]` of floats, one column an output, as the Conv1D layers of GPT-2 are stored.
    ///
    /// # Errors
    /// As [`Self::from_rows`].
    pub fn from_columns(tensor: &Tensor, packer: &Packer<'_>) -> Result<Self, EngineError> {
        let [rows, cols] = matrix_shape(tensor)?;
        let floats = FloatMatrix::from_columns(float_format(tensor)?, [rows, cols], tensor.bytes(), packer)?;
        tensor.release();
        let parts = vec![(cols, Part::Floats(floats))];
        Ok(Self { in_features: rows, out_features: cols, parts, needs_16_bit_activations: false, next: Arc::default() })
    }

    /// The outputs of `matrices`, one after another, from one input.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where their inputs differ in length.
    pub fn stacked(matrices: Vec<Self>) -> Result<Self, EngineError> {
        let in_features = matrices.first().map_or(0, |first| first.in_features);
        if matrices.iter().any(|matrix| matrix.in_features != in_features) {
            return Err(EngineError::Invalid("matrices with different inputs cannot be stacked".into()));
        }
        let out_features = matrices.iter().map(|matrix| matrix.out_features).sum();
        let parts = matrices.into_iter().flat_map(|matrix| matrix.parts).collect();
        Ok(Self { in_features, out_features, parts, needs_16_bit_activations: false, next: Arc::default() })
    }

    /// For a matrix whose outputs suffer from rounded inputs: they keep two bytes also in long prompts.
    #[must_use]
    pub fn with_16_bit_activations(self) -> Self {
        Self { needs_16_bit_activations: true, ..self }
    }

    /// Length of an input.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Number of outputs.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Bytes that a product has to read.
    pub fn bytes(&self) -> usize {
        let bytes = |part: &Part| match part {
            Part::Floats(floats) => floats.bytes(),
            Part::Packed(packed) => packed.bytes(),
        };
        self.parts.iter().map(|(_, part)| bytes(part)).sum()
    }

    /// The weights of output `row`, into `out` `(in_features)`: an embedding looked up.
    ///
    /// # Panics
    /// Where there is no such row or `out` has another length.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.out_features && out.len() == self.in_features, "row {row} of {}", self.out_features);
        for_each_overlap(&self.parts, row..row + 1, |part, from, _| match part {
            Part::Floats(floats) => floats.row(from, out),
            Part::Packed(packed) => packed.row(from, out),
        });
    }

    /// `out = x · Wᵀ` for `n` inputs: `x` `(n, in_features)`, `out` `(n, out_features)`.
    ///
    /// # Panics
    /// Where a slice has another length.
    pub fn multiply(&self, workspace: &mut Workspace, x: &[f32], n: usize, out: &mut [f32]) {
        assert_eq!((x.len(), out.len()), (n * self.in_features, n * self.out_features), "{n} inputs");
        if n <= MAX_TOKENS_ONE_BY_ONE {
            self.multiply_few(workspace, x, n, out);
        } else {
            self.multiply_many(workspace, x, n, out);
        }
    }

    /// Tells the matrix that came before what follows it.
    fn follow(&self, workspace: &mut Workspace) {
        let before = workspace.follows.replace(Arc::clone(&self.next));
        if let (Some(before), Some((_, first))) = (before, self.parts.first()) {
            let pieces = PIECES_A_THREAD * workspace.pool.threads();
            before.set(first.start(), self.bytes(), self.bytes().div_ceil(pieces));
        }
    }

    /// Each input by itself; what the weights' memory traffic costs is shared, because a piece of them stays in the cache
    /// from one input to the next.
    fn multiply_few(&self, workspace: &mut Workspace, x: &[f32], n: usize, out: &mut [f32]) {
        self.follow(workspace);
        workspace.pool.upcoming().copy(&self.next);
        multiply_shares(workspace, x, 1, &|_| Share { matrix: self, inputs: 0..n, first: 0 }, out);
    }

    /// All inputs at once: in whole numbers where that is faster, otherwise through BLAS, each piece a window of the outputs.
    fn multiply_many(&self, workspace: &mut Workspace, x: &[f32], n: usize, out: &mut [f32]) {
        let k = self.in_features;
        let isa = Isa::active();
        let one_byte = n >= EIGHT_BITS_FROM && !self.needs_16_bit_activations && !workspace.exact;
        let precision = if one_byte { Precision::Byte } else { Precision::TwoBytes };
        let in_tiles = self.any_packed(|packed| packed.multiplies_tiles(isa));
        if in_tiles {
            workspace.tiles.assign(isa, &workspace.pool, x, k, precision);
        }
        let is_paired = |part: &Part| matches!(part, Part::Floats(floats) if one_byte && floats.multiplies_pairs(isa));
        if self.parts.iter().any(|(_, part)| is_paired(part)) {
            workspace.pairs.assign(&workspace.pool, x, k);
        }
        let workspace = &*workspace;
        let inputs = MatRef::new(x, n, k, k);
        let width = if in_tiles { PIECE_FOR_INTEGERS } else { self.blas_piece() };
        let out = SharedPtr::new(out);
        workspace.pool.run(self.out_features.div_ceil(width), &|thread, piece| {
            let columns = piece * width..self.out_features.min((piece + 1) * width);
            // SAFETY: `multiply` asserted that `out` has `n` rows of `out_features`; `run` hands each piece out once and
            // `for_each_overlap` stays within its `columns`, each window going before the next comes.
            let window = |columns: &Range<usize>| unsafe {
                MatMut::from_raw(out.get().add(columns.start), n, columns.len(), self.out_features)
            };
            for_each_overlap(&self.parts, columns, |part, from, at| match part {
                Part::Floats(floats) if is_paired(part) => {
                    floats.multiply_pairs(from, &workspace.pairs, &mut window(&at));
                }
                Part::Floats(floats) if FloatMatrix::multiplies_many(isa) => {
                    workspace.with_scratch(thread, FloatMatrix::scratch(n), |scratch| {
                        floats.multiply(isa, from, x, &mut window(&at), scratch);
                    });
                }
                Part::Floats(floats) => workspace.with_scratch(thread, at.len() * k, |columns| {
                    floats.unpack_columns(isa, from, at.len(), columns);
                    let weights = MatRef::new(columns, k, at.len(), at.len());
                    blas::sgemm(1.0, inputs, Transpose::No, weights, Transpose::No, 0.0, window(&at));
                }),
                Part::Packed(packed) if packed.multiplies_tiles(isa) => {
                    let mut panels = workspace.panels[thread].lock().unwrap_or_else(PoisonError::into_inner);
                    packed.multiply_tiles(isa, from, &workspace.tiles, &mut window(&at), &mut panels);
                }
                Part::Packed(packed) => {
                    let width = PackedMatrix::unpacked_width(from, at.len());
                    let mut panels = workspace.panels[thread].lock().unwrap_or_else(PoisonError::into_inner);
                    workspace.with_scratch(thread, width * k, |columns| {
                        packed.unpack_columns(from, at.len(), &mut panels, columns);
                        let weights = MatRef::new(&columns[from % ROWS..], k, at.len(), width);
                        blas::sgemm(1.0, inputs, Transpose::No, weights, Transpose::No, 0.0, window(&at));
                    });
                }
            });
        });
    }

    /// Outputs that one call of BLAS computes: some calls for each of a few threads, a panel that stays in the cache.
    fn blas_piece(&self) -> usize {
        let widest = (PANEL / self.in_features.max(1)).clamp(ROWS, PIECE_FOR_BLAS);
        self.out_features.div_ceil(4).min(widest).next_multiple_of(ALIGNMENT)
    }

    fn any_packed(&self, is: impl Fn(&PackedMatrix) -> bool) -> bool {
        self.parts.iter().any(|(_, part)| matches!(part, Part::Packed(packed) if is(packed)))
    }
}

/// One of several products that are one operation.
#[derive(Debug, Clone)]
pub struct Share<'a> {
    /// What is multiplied.
    pub matrix: &'a WeightMatrix,
    /// Which rows of the inputs it is multiplied with: at most `MAX_TOKENS_ONE_BY_ONE`.
    pub inputs: Range<usize>,
    /// The row of the outputs that the first of them goes to.
    pub first: usize,
}

/// The products of `count` matrices of one shape, of which `share` says what each is multiplied with, as one operation: `x`
/// `(rows, in_features)`, `out` `(rows, out_features)`. Each input is multiplied as it would be alone.
///
/// # Panics
/// Where the matrices differ in shape, a row is outside, or two shares have an output in common.
pub fn multiply_each<'a>(
    workspace: &mut Workspace,
    x: &[f32],
    count: usize,
    share: &(dyn Fn(usize) -> Share<'a> + Sync),
    out: &mut [f32],
) {
    let Some(last) = count.checked_sub(1).map(share) else { return };
    // Which matrix comes next is told by the one before it alone where that is always the same.
    workspace.follows = Some(Arc::clone(&last.matrix.next));
    workspace.pool.upcoming().copy(&last.matrix.next);
    multiply_shares(workspace, x, count, share, out);
}

/// See [`multiply_each`].
fn multiply_shares<'a>(
    workspace: &mut Workspace,
    x: &[f32],
    count: usize,
    share: &(dyn Fn(usize) -> Share<'a> + Sync),
    out: &mut [f32],
) {
    let Share { matrix: WeightMatrix { in_features, out_features, .. }, .. } = share(0);
    let (k, width, rows) = (*in_features, *out_features, out.len() / out_features.max(&1));
    let isa = Isa::active();
    let (mut end, mut most, mut any_packed, mut any_floats) = (0, 0, false, false);
    let mut any_sums = false;
    for Share { matrix, inputs, first } in (0..count).map(share) {
        assert!(matrix.in_features == k && matrix.out_features == width, "matrices of different shapes");
        assert!(inputs.end * k <= x.len() && first >= end && first + inputs.len() <= rows, "rows of other shares");
        (end, most) = (first + inputs.len(), most.max(inputs.len()));
        any_packed |= matrix.any_packed(|_| true);
        any_sums |= matrix.any_packed(|packed| packed.looks_up_sums(isa));
        any_floats |= matrix.parts.iter().any(|(_, part)| matches!(part, Part::Floats(_)));
    }
    if any_packed {
        let inputs = x.len() / k.max(1);
        workspace.quantized.resize_with(workspace.quantized.len().max(inputs), QuantizedVector::default);
        for (quantized, x) in workspace.quantized.iter_mut().zip(x.chunks_exact(k.max(1))) {
            quantized.assign(isa, x);
            if any_sums {
                quantized.prepare_sums(isa);
            }
        }
    }
    if any_floats {
        workspace.reserve_scratch(FloatMatrix::scratch(most));
    }
    let workspace = &*workspace;
    let pieces = (PIECES_A_THREAD * workspace.pool.threads()).div_ceil(count);
    let piece_width = width.div_ceil(pieces).next_multiple_of(ALIGNMENT);
    let pieces = width.div_ceil(piece_width.max(1));
    let out = SharedPtr::new(out);
    workspace.pool.run(count * pieces, &|thread, piece| {
        let (Share { matrix, inputs, first }, piece) = (share(piece / pieces), piece % pieces);
        let range = piece * piece_width..width.min((piece + 1) * piece_width);
        for_each_overlap(&matrix.parts, range, |part, from, at| {
            let n = inputs.len();
            // SAFETY: the rows `first..first + n` of `out` are inside it and no other share's, as was asserted above; `run`
            // hands each piece out once and `for_each_overlap` stays within its `range`, so these columns of them are
            // nobody else's.
            let mut out = unsafe { MatMut::from_raw(out.get().add(first * width + at.start), n, at.len(), width) };
            match part {
                Part::Packed(packed) => packed.multiply(isa, from, &workspace.quantized[inputs.clone()], &mut out),
                Part::Floats(floats) => workspace.with_scratch(thread, FloatMatrix::scratch(n), |scratch| {
                    floats.multiply(isa, from, &x[inputs.start * k..inputs.end * k], &mut out, scratch);
                }),
            }
        });
    });
}

/// Calls `task(part, from, at)` for each part that has rows in `range`: its rows from `from` on are the rows `at` of the
/// whole.
fn for_each_overlap(parts: &[(usize, Part)], range: Range<usize>, mut task: impl FnMut(&Part, usize, Range<usize>)) {
    let mut first = 0;
    for (rows, part) in parts {
        let at = range.start.max(first)..range.end.min(first + rows);
        if !at.is_empty() {
            task(part, at.start - first, at);
        }
        first += rows;
    }
}

/// The format of a tensor that is not quantized.
fn float_format(tensor: &Tensor) -> Result<FloatFormat, EngineError> {
    FloatFormat::of(tensor.dtype()).ok_or_else(|| {
        let what = "the engine cannot compute with here: use a file in F32, F16 or BF16";
        EngineError::Invalid(format!("tensor `{}` has the format {}, which {what}", tensor.name(), tensor.dtype()))
    })
}

pub(super) fn matrix_shape(tensor: &Tensor) -> Result<[usize; 2], EngineError> {
    <[usize; 2]>::try_from(tensor.shape()).map_err(|_| {
        EngineError::Invalid(format!("tensor `{}` has the shape {:?} and is no matrix", tensor.name(), tensor.shape()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{DType, Storage};

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    fn tensor(values: &[f32], shape: [usize; 2]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let len = bytes.len();
        Tensor::new("t".into(), shape.to_vec(), DType::F32, Storage::from_vec(bytes), 0..len).unwrap()
    }

    /// Q8_0 blocks of `rows * cols` values.
    fn q8_0(rows: usize, cols: usize, seed: usize) -> Tensor {
        let mut bytes = Vec::new();
        for (i, block) in numbers(rows * cols, seed).chunks(32).enumerate() {
            bytes.extend(half::f16::from_f32(0.01 + (i % 5) as f32 * 0.003).to_le_bytes());
            bytes.extend(block.iter().map(|v| (v * 127.0) as i8 as u8));
        }
        let len = bytes.len();
        Tensor::new("q".into(), vec![rows, cols], DType::Q8_0, Storage::from_vec(bytes), 0..len).unwrap()
    }

    fn plain(weights: &[f32], x: &[f32], n: usize, k: usize) -> Vec<f32> {
        let rows = weights.len() / k;
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        (0..n * rows).map(|i| dot(&weights[i % rows * k..][..k], &x[i / rows * k..][..k])).collect()
    }

    fn close(found: &[f32], expected: &[f32], tolerance: f32) {
        assert_eq!(found.len(), expected.len());
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() <= tolerance * e.abs().max(1.0), "element {i}: {f} instead of {e}");
        }
    }

    #[test]
    fn rows_and_columns_give_the_same_product_for_one_and_for_many() {
        let (rows, k) = (37, 20);
        let weights = numbers(rows * k, 1);
        let transposed: Vec<f32> = (0..rows * k).map(|i| weights[i % rows * k + i / rows]).collect();
        for threads in [1, 3] {
            let pool = Arc::new(ThreadPool::new(threads));
            let packer = Packer::new(&pool);
            let in_tiles = WeightMatrix::from_rows(&tensor(&weights, [rows, k]), &packer).unwrap();
            let by_columns = WeightMatrix::from_columns(&tensor(&transposed, [k, rows]), &packer).unwrap();
            let mut workspace = Workspace::new(Arc::clone(&pool));
            for n in [1, 2, 5, 33] {
                let x = numbers(n * k, 2);
                let exact = plain(&weights, &x, n, k);
                for matrix in [&in_tiles, &by_columns] {
                    let mut out = vec![f32::NAN; n * rows];
                    matrix.multiply(&mut workspace, &x, n, &mut out);
                    close(&out, &exact, 1e-5);
                }
            }
            let mut row = vec![0.0; k];
            for matrix in [&in_tiles, &by_columns] {
                matrix.row(5, &mut row);
                assert_eq!(row, weights[5 * k..6 * k]);
            }
        }
    }

    #[test]
    fn a_stack_of_formats_gives_each_part_its_outputs() {
        let k = 64;
        let (top, bottom) = (numbers(13 * k, 3), q8_0(27, k, 4));
        let pool = Arc::new(ThreadPool::new(2));
        let packer = Packer::new(&pool);
        let parts = vec![
            WeightMatrix::from_rows(&tensor(&top, [13, k]), &packer).unwrap(),
            WeightMatrix::from_rows(&bottom, &packer).unwrap(),
        ];
        let stack = WeightMatrix::stacked(parts).unwrap();
        assert_eq!((stack.in_features(), stack.out_features()), (k, 40));
        let mut workspace = Workspace::new(Arc::clone(&pool));
        let weights = [top, bottom.to_f32().unwrap()].concat();
        for n in [1, 3, 4, 5, 20] {
            let x = numbers(n * k, 5);
            let mut out = vec![f32::NAN; n * 40];
            stack.multiply(&mut workspace, &x, n, &mut out);
            // Activations of sixteen bits err by at most 1/64516 of the block's largest a term.
            close(&out, &plain(&weights, &x, n, k), 3e-4);
        }
        let mut row = vec![0.0; k];
        stack.row(20, &mut row);
        assert_eq!(row, weights[20 * k..21 * k]);
    }

    #[test]
    fn several_products_as_one_operation_give_what_each_gives_alone() {
        let (k, width) = (64, 50);
        for threads in [1, 3] {
            let pool = Arc::new(ThreadPool::new(threads));
            let packer = Packer::new(&pool);
            let matrix = |seed: usize| match seed % 2 {
                0 => WeightMatrix::from_rows(&tensor(&numbers(width * k, seed), [width, k]), &packer).unwrap(),
                _ => WeightMatrix::from_rows(&q8_0(width, k, seed), &packer).unwrap(),
            };
            let matrices: Vec<_> = (3..7).map(matrix).collect();
            let mut workspace = Workspace::new(Arc::clone(&pool));
            // Two have an input in common, one has several, one has none.
            let (inputs, x) = ([0..1, 0..1, 1..6, 6..6], numbers(6 * k, 2));
            let firsts = [0, 1, 2, 7];
            let share = |i: usize| Share { matrix: &matrices[i], inputs: inputs[i].clone(), first: firsts[i] };
            let mut out = vec![f32::NAN; 7 * width];
            multiply_each(&mut workspace, &x, 4, &share, &mut out);
            for (i, matrix) in matrices.iter().enumerate() {
                let n = inputs[i].len();
                let mut alone = vec![f32::NAN; n * width];
                matrix.multiply(&mut workspace, &x[inputs[i].start * k..inputs[i].end * k], n, &mut alone);
                assert_eq!(&out[firsts[i] * width..][..n * width], alone);
            }
            multiply_each(&mut workspace, &[], 0, &share, &mut []);
        }
    }

    #[test]
    #[should_panic(expected = "rows of other shares")]
    fn shares_do_not_write_to_one_row() {
        let pool = Arc::new(ThreadPool::new(1));
        let matrix = WeightMatrix::from_rows(&tensor(&[0.0; 6], [2, 3]), &Packer::new(&pool)).unwrap();
        let share = |_| Share { matrix: &matrix, inputs: 0..1, first: 0 };
        multiply_each(&mut Workspace::new(pool), &[0.0; 3], 2, &share, &mut [0.0; 4]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let pool = ThreadPool::new(1);
        let packer = Packer::new(&pool);
        let a = WeightMatrix::from_rows(&tensor(&[0.0; 6], [2, 3]), &packer).unwrap();
        let b = WeightMatrix::from_rows(&tensor(&[0.0; 6], [3, 2]), &packer).unwrap();
        assert!(WeightMatrix::stacked(vec![a, b]).is_err());
        let bytes = vec![0; 24];
        let line = Tensor::new("bias".into(), vec![6], DType::F32, Storage::from_vec(bytes), 0..24).unwrap();
        assert!(WeightMatrix::from_rows(&line, &packer).unwrap_err().to_string().contains("`bias`"));
    }
}
