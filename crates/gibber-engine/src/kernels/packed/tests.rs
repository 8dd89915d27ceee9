use std::path::Path;

use super::*;
use crate::kernels::tiles::{Precision, TokenTiles};
use crate::weights::{Storage, Tensor, safetensors};

/// A small generator, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn float(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 31) as f32 * 2.0 - 1.0
    }

    /// Activations of widely different sizes.
    fn activations(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|i| self.float() * 10f32.powi(i as i32 / 32 % 5 - 2)).collect()
    }
}

/// Where a file's block has half-precision numbers.
fn half_precision(format: PackedFormat) -> &'static [usize] {
    match format {
        PackedFormat::Q4_0 | PackedFormat::Q5_0 | PackedFormat::Q8_0 => &[0],
        PackedFormat::IQ4_NL | PackedFormat::IQ4_XS | PackedFormat::Q1_0 | PackedFormat::Q2_0 => &[0],
        PackedFormat::Q4_1 | PackedFormat::Q5_1 | PackedFormat::Q4_K | PackedFormat::Q5_K => &[0, 2],
        PackedFormat::Q2_K => &[80, 82],
        PackedFormat::Q3_K => &[108],
        PackedFormat::Q6_K => &[208],
        PackedFormat::TQ1_0 => &[52],
        PackedFormat::TQ2_0 => &[64],
        PackedFormat::IQ2_XXS | PackedFormat::IQ2_XS | PackedFormat::IQ2_S | PackedFormat::IQ3_XXS => &[0],
        PackedFormat::IQ3_S | PackedFormat::IQ1_S => &[0],
        PackedFormat::MXFP4 | PackedFormat::NVFP4 | PackedFormat::IQ1_M => &[],
    }
}

/// Gives a file's block scales that `scale` says; those of NVFP4 are as random as its other bytes, or none.
fn set_scales(format: PackedFormat, block: &mut [u8], mut scale: impl FnMut() -> f32) {
    match format {
        PackedFormat::MXFP4 => block[0] = (scale().abs().log2().max(-128.0) as i32 + 128) as u8,
        PackedFormat::NVFP4 if scale() == 0.0 => block[..4].fill(0),
        PackedFormat::IQ1_M => {
            // Four bits of it are the highest of each word of scales.
            let bits = half::f16::from_f32(scale()).to_bits();
            for i in 0..4 {
                let byte = &mut block[49 + 2 * i];
                *byte = *byte & 15 | ((bits >> (4 * i) & 15) as u8) << 4;
            }
        }
        _ => {
            for &at in half_precision(format) {
                block[at..at + 2].copy_from_slice(&half::f16::from_f32(scale()).to_le_bytes());
            }
        }
    }
}

/// Random blocks as a file has them, with scales around `scale`.
fn file(format: PackedFormat, rows: usize, cols: usize, scale: f32, numbers: &mut Numbers) -> Vec<u8> {
    let dtype = format.dtype();
    let mut bytes: Vec<u8> = (0..dtype.bytes_of(&[rows, cols]).unwrap()).map(|_| numbers.next() as u8).collect();
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        set_scales(format, block, || scale * numbers.float());
    }
    bytes
}

/// What the plain decoder of the file format makes of it.
fn dequantize(format: PackedFormat, rows: usize, cols: usize, file: &[u8]) -> Vec<f32> {
    let storage = Storage::from_vec(file.to_vec());
    Tensor::new("t".into(), vec![rows, cols], format.dtype(), storage, 0..file.len()).unwrap().to_f32().unwrap()
}

struct Case {
    format: PackedFormat,
    packed: PackedMatrix,
    weights: Vec<f32>,
}

impl Case {
    fn new(format: PackedFormat, rows: usize, cols: usize, scale: f32, numbers: &mut Numbers) -> Self {
        let file = file(format, rows, cols, scale, numbers);
        let pool = ThreadPool::new(1);
        let packed = PackedMatrix::pack(format, rows, cols, &file, &Packer::new(&pool)).unwrap();
        Self { format, packed, weights: dequantize(format, rows, cols, &file) }
    }

    /// Holds `found`, the products of the rows `first..` with `x`, against the weights in double precision.
    fn check(&self, first: usize, x: &[f32], found: &[f32], what: &str) {
        let largest = self.largest();
        let offsets: f64 = x.iter().map(|&x| f64::from(x.abs() * largest)).sum();
        for (i, &found) in found.iter().enumerate() {
            let row = &self.weights[(first + i) * x.len()..][..x.len()];
            let terms = || row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
            let (exact, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
            let error = (f64::from(found) - exact).abs();
            // Where quants have an offset, it is multiplied and taken away again.
            let size = size + offsets;
            assert!(error <= 1e-5 * size + 1e-30, "{:?}, {what}, row {}: {found} not {exact}", self.format, first + i);
        }
    }

    fn largest(&self) -> f32 {
        self.weights.iter().fold(0.0, |largest, w| w.abs().max(largest))
    }
}

/// Shapes that fit the format's blocks: one row, less than a group, a whole one, more; and scales from none to large.
fn cases(format: PackedFormat, numbers: &mut Numbers) -> Vec<Case> {
    let unit = format.dtype().block_size();
    [(1, 1, 1.0), (5, 2, 1e-4), (16, 3, 0.02), (17, 5, 300.0), (35, 1, 0.1), (8, 2, 0.0)]
        .map(|(rows, blocks, scale)| Case::new(format, rows, blocks * unit, scale, numbers))
        .into()
}

fn quantized(x: &[f32], cols: usize) -> Vec<QuantizedVector> {
    let vector = |x: &[f32]| {
        let mut quantized = QuantizedVector::default();
        quantized.assign_for_all(x);
        quantized
    };
    x.chunks_exact(cols).map(vector).collect()
}

fn multiply(case: &Case, isa: Isa, first: usize, count: usize, x: &[QuantizedVector]) -> Vec<f32> {
    let mut out = vec![f32::NAN; x.len() * count];
    case.packed.multiply(isa, first, x, &mut MatMut::new(&mut out, x.len(), count, count));
    out
}

#[test]
fn packing_loses_nothing_but_takes_no_more_room_than_the_scales_need() {
    let mut numbers = Numbers(1);
    for &format in PackedFormat::ALL {
        for case in cases(format, &mut numbers) {
            let (rows, cols) = (case.packed.rows(), case.packed.cols());
            let mut out = vec![f32::NAN; cols];
            for row in 0..rows {
                case.packed.row(row, &mut out);
                assert_eq!(out, case.weights[row * cols..][..cols], "{format:?} [{rows}, {cols}], row {row}");
            }
        }
        let case = Case::new(format, 2 * ROWS, 1024, 0.1, &mut numbers);
        let file = format.dtype().bytes_of(&[2 * ROWS, 1024]).unwrap();
        let values = 2 * ROWS * 1024;
        let file = match format {
            // Five values of three a byte would have to be taken apart by multiplying: they have two bits each.
            PackedFormat::TQ1_0 => file * 66 / 54,
            // Entries of a codebook would have to be looked up: their values stand by themselves, 256 with 10 bytes of scales.
            PackedFormat::IQ2_XXS | PackedFormat::IQ1_S => values * 3 / 8 + values / 256 * 10,
            PackedFormat::IQ3_XXS | PackedFormat::IQ3_S => values * 4 / 8 + values / 256 * 10,
            PackedFormat::IQ2_XS | PackedFormat::IQ2_S | PackedFormat::IQ1_M => values * 3 / 8 + values / 256 * 18,
            _ => file,
        };
        assert!(case.packed.bytes() * 100 <= file * 104, "{format:?}: {} bytes for {file}", case.packed.bytes());
    }
}

#[test]
fn unpacked_columns_are_the_rows_of_the_file() {
    let mut numbers = Numbers(2);
    for &format in PackedFormat::ALL {
        for case in cases(format, &mut numbers) {
            let (rows, cols, largest) = (case.packed.rows(), case.packed.cols(), case.largest());
            for (first, count) in [(0, rows), (rows / 2, rows - rows / 2)] {
                let width = PackedMatrix::unpacked_width(first, count);
                let mut out = vec![f32::NAN; width * cols];
                case.packed.unpack_columns(first, count, &mut Vec::new(), &mut out);
                for (row, col) in (0..count).flat_map(|row| (0..cols).map(move |col| (row, col))) {
                    let (found, exact) =
                        (out[col * width + first % ROWS + row], case.weights[(first + row) * cols + col]);
                    // The offset of the quants is multiplied by itself.
                    assert!((found - exact).abs() <= 1e-5 * largest, "{format:?} {row} {col}: {found} {exact}");
                }
            }
        }
    }
}

#[test]
fn every_instruction_set_multiplies_as_the_dequantized_rows_do() {
    let mut numbers = Numbers(3);
    for isa in Isa::available() {
        for &format in PackedFormat::ALL {
            for case in cases(format, &mut numbers) {
                let (rows, cols) = (case.packed.rows(), case.packed.cols());
                let x = quantized(&numbers.activations(cols), cols);
                case.check(0, &x[0].to_f32(), &multiply(&case, isa, 0, rows, &x), isa.as_str());
            }
        }
    }
}

#[test]
fn a_token_gets_the_same_bits_in_company_and_from_any_row_on() {
    let mut numbers = Numbers(4);
    for isa in Isa::available() {
        for &format in PackedFormat::ALL {
            let cols = 3 * format.dtype().block_size();
            let case = Case::new(format, 37, cols, 0.1, &mut numbers);
            let x = quantized(&numbers.activations(7 * cols), cols);
            let alone: Vec<f32> = x.iter().flat_map(|x| multiply(&case, isa, 0, 37, std::slice::from_ref(x))).collect();
            for n in 1..=7 {
                assert_eq!(multiply(&case, isa, 0, 37, &x[..n]), alone[..n * 37], "{isa:?} {format:?}, {n} tokens");
            }
            assert_eq!(multiply(&case, isa, 5, 30, &x[..1]), alone[5..35], "{isa:?} {format:?}");
        }
    }
}

#[test]
fn prepared_groups_times_many_tokens_are_what_the_dequantized_rows_give() {
    let mut numbers = Numbers(5);
    let pool = ThreadPool::new(1);
    for &format in PackedFormat::ALL {
        for case in cases(format, &mut numbers) {
            for isa in Isa::available() {
                for precision in [Precision::Byte, Precision::TwoBytes] {
                    let (rows, cols) = (case.packed.rows(), case.packed.cols());
                    for (n, first) in [(1, 0), (8, rows / 2), (11, 0)] {
                        let mut x = TokenTiles::default();
                        x.assign(isa, &pool, &numbers.activations(n * cols), cols, precision);
                        let count = rows - first;
                        let mut out = vec![f32::NAN; n * count];
                        let mut window = MatMut::new(&mut out, n, count, count);
                        case.packed.multiply_tiles(isa, first, &x, &mut window, &mut Vec::new());
                        for (token, out) in out.chunks_exact(count).enumerate() {
                            let what = format!("{isa:?}, {precision:?}, {n} tokens");
                            case.check(first, &x.to_f32(token), out, &what);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn extreme_quants_do_not_overflow() {
    for isa in Isa::available() {
        for &format in PackedFormat::ALL {
            for byte in [0x00, 0x7f, 0x80, 0xff] {
                let dtype = format.dtype();
                let mut block = vec![byte; dtype.block_bytes()];
                set_scales(format, &mut block, || 1.0);
                let pool = ThreadPool::new(1);
                let cols = dtype.block_size();
                let packed = PackedMatrix::pack(format, 1, cols, &block, &Packer::new(&pool)).unwrap();
                let case = Case { format, packed, weights: dequantize(format, 1, cols, &block) };
                for value in [-3.0, 3.0] {
                    let x = quantized(&vec![value; cols], cols);
                    let what = format!("{isa:?}, bytes of {byte:#x}");
                    case.check(0, &x[0].to_f32(), &multiply(&case, isa, 0, 1, &x), &what);
                    let mut rows = TokenTiles::default();
                    rows.assign(isa, &pool, &vec![value; cols], cols, Precision::Byte);
                    let mut out = [f32::NAN];
                    let mut window = MatMut::new(&mut out, 1, 1, 1);
                    case.packed.multiply_tiles(isa, 0, &rows, &mut window, &mut Vec::new());
                    case.check(0, &rows.to_f32(0), &out, &what);
                }
            }
        }
    }
}

#[test]
fn every_power_of_two_that_a_block_can_have_is_computed_with() {
    let file: Vec<u8> = (0..=255).flat_map(|exponent| [vec![exponent], vec![0x11; BLOCK / 2]].concat()).collect();
    let pool = ThreadPool::new(1);
    let packed = PackedMatrix::pack(PackedFormat::MXFP4, 256, BLOCK, &file, &Packer::new(&pool)).unwrap();
    let case =
        Case { format: PackedFormat::MXFP4, packed, weights: dequantize(PackedFormat::MXFP4, 256, BLOCK, &file) };
    let mut row = [0.0; BLOCK];
    for isa in Isa::available() {
        // What is tiny is multiplied by much, so that the products are numbers that can be told apart.
        for (rows, x) in [(0..128, 1e6), (128..256, 1e-6)] {
            let found = multiply(&case, isa, rows.start, rows.len(), &quantized(&[x; BLOCK], BLOCK));
            for (at, found) in rows.zip(found) {
                case.packed.row(at, &mut row);
                assert_eq!(row, case.weights[at * BLOCK..][..BLOCK]);
                let exact: f64 = row.iter().map(|&w| f64::from(w) * f64::from(x)).sum();
                assert!(
                    (f64::from(found) / exact - 1.0).abs() < 1e-4,
                    "{isa:?}, exponent {at}: {found:e} not {exact:e}"
                );
            }
        }
    }
}

/// Rows of many kinds in the blocks that llama.cpp's own quantizer made of them, and the products that it has of them.
#[test]
fn blocks_of_llama_cpp_are_multiplied_as_it_reads_them() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/blocks.safetensors"));
    let tensors = safetensors::parse(path, &Storage::open(path).unwrap()).unwrap();
    let tensor = |name: &str| tensors.iter().find(|tensor| tensor.name() == name).unwrap();
    let input = tensor("input").to_f32().unwrap();
    let x = quantized(&input, input.len());
    let pool = ThreadPool::new(1);
    for &format in PackedFormat::ALL {
        let file = tensor(&format!("rows.{}", format.dtype())).bytes();
        let exact = tensor(&format!("products.{}", format.dtype())).to_f32().unwrap();
        let packed = PackedMatrix::pack(format, exact.len(), input.len(), file, &Packer::new(&pool)).unwrap();
        let case = Case { format, packed, weights: dequantize(format, exact.len(), input.len(), file) };
        for (row, (weights, &exact)) in case.weights.chunks_exact(input.len()).zip(&exact).enumerate() {
            let terms = || weights.iter().zip(&input).map(|(&w, &x)| f64::from(w) * f64::from(x));
            let (product, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
            let off = (product - f64::from(exact)).abs();
            assert!(off <= 1e-6 * size, "{format:?}, row {row} of the decoder: {product} not {exact}");
        }
        for isa in Isa::available() {
            let found = multiply(&case, isa, 0, exact.len(), &x);
            case.check(0, &x[0].to_f32(), &found, isa.as_str());
        }
    }
}

#[test]
fn a_factor_counts_however_a_matrix_is_read() {
    let mut numbers = Numbers(7);
    let pool = ThreadPool::new(1);
    let (rows, cols) = (35, 128);
    let mut case = Case::new(PackedFormat::NVFP4, rows, cols, 1.0, &mut numbers);
    case.packed = case.packed.times(0.5).times(5.0);
    case.weights.iter_mut().for_each(|weight| *weight *= 2.5);
    let mut row = vec![f32::NAN; cols];
    case.packed.row(33, &mut row);
    assert_eq!(row, case.weights[33 * cols..34 * cols]);
    let mut columns = vec![f32::NAN; PackedMatrix::unpacked_width(0, rows) * cols];
    case.packed.unpack_columns(0, rows, &mut Vec::new(), &mut columns);
    assert!((columns[33] - case.weights[33 * cols]).abs() <= 1e-5 * case.largest());
    let x = numbers.activations(cols);
    for isa in Isa::available() {
        let whole = quantized(&x, cols);
        case.check(0, &whole[0].to_f32(), &multiply(&case, isa, 0, rows, &whole), isa.as_str());
        let mut tiles = TokenTiles::default();
        tiles.assign(isa, &pool, &x, cols, Precision::TwoBytes);
        let mut out = vec![f32::NAN; rows];
        let mut window = MatMut::new(&mut out, 1, rows, rows);
        case.packed.multiply_tiles(isa, 0, &tiles, &mut window, &mut Vec::new());
        case.check(0, &tiles.to_f32(0), &out, "tiles");
    }
}

#[test]
fn no_columns_and_no_rows_are_no_trouble() {
    let mut numbers = Numbers(6);
    for (rows, cols) in [(0, 32), (3, 0)] {
        let case = Case::new(PackedFormat::Q4_1, rows, cols, 1.0, &mut numbers);
        let x = vec![QuantizedVector::default(); 1];
        if cols == 0 {
            assert_eq!(multiply(&case, Isa::active(), 0, rows, &x), vec![0.0; rows]);
        }
        assert_eq!(case.packed.bytes() == 0, rows == 0 || cols == 0);
    }
}
