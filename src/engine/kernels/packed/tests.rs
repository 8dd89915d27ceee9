use super::*;

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
}

const FORMATS: [PackedFormat; 3] = [PackedFormat::Q4_0, PackedFormat::Q4_1, PackedFormat::Q8_0];

/// Blocks as a file has them, with scales around `scale`.
fn file(format: PackedFormat, rows: usize, cols: usize, scale: f32, numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rows * cols / BLOCK {
        for _ in 0..format.headers() {
            bytes.extend(f16::from_f32(scale * numbers.float()).to_le_bytes());
        }
        bytes.extend((0..format.quant_bytes()).map(|_| numbers.next() as u8));
    }
    bytes
}

/// The format's definition, straight from a file's bytes.
fn dequantize(format: PackedFormat, file: &[u8]) -> Vec<f32> {
    let half = |block: &[u8], at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let block = |block: &[u8]| -> Vec<f32> {
        let (scale, quants) = (half(block, 0), &block[2 * format.headers()..]);
        match format {
            PackedFormat::Q8_0 => quants.iter().map(|&q| scale * f32::from(q as i8)).collect(),
            _ => {
                let minimum = if format == PackedFormat::Q4_1 { half(block, 2) } else { -8.0 * scale };
                let nibbles = quants.iter().map(|q| q & 15).chain(quants.iter().map(|q| q >> 4));
                nibbles.map(|q| scale * f32::from(q) + minimum).collect()
            }
        }
    };
    file.chunks_exact(format.file_block()).flat_map(block).collect()
}

#[test]
fn packing_loses_nothing() {
    let pool = ThreadPool::new(2);
    let packer = Packer::new(&pool);
    let mut numbers = Numbers(1);
    for format in FORMATS {
        for (rows, cols) in [(1, 32), (7, 64), (8, 32), (9, 96), (24, 32)] {
            let file = file(format, rows, cols, 0.1, &mut numbers);
            let packed = PackedMatrix::pack(format, rows, cols, &file, &packer).unwrap();
            let exact = dequantize(format, &file);
            let mut out = vec![f32::NAN; rows * cols];
            packed.unpack(0, rows, &mut out);
            assert_eq!(out, exact, "{format:?} [{rows}, {cols}]");
            let mut last = vec![f32::NAN; cols];
            packed.unpack(rows - 1, 1, &mut last);
            assert_eq!(last, exact[(rows - 1) * cols..]);
        }
    }
}

#[test]
fn every_instruction_set_multiplies_as_the_dequantized_rows_do() {
    let pool = ThreadPool::new(1);
    let packer = Packer::new(&pool);
    let mut numbers = Numbers(2);
    for isa in Isa::available() {
        for format in FORMATS {
            for (rows, cols, scale) in [(1, 32, 1.0), (5, 64, 1e-4), (8, 576, 0.02), (19, 1536, 300.0), (16, 320, 0.0)]
            {
                let file = file(format, rows, cols, scale, &mut numbers);
                let packed = PackedMatrix::pack(format, rows, cols, &file, &packer).unwrap();
                let x: Vec<f32> = (0..cols).map(|i| numbers.float() * 10f32.powi(i as i32 / 32 % 5 - 2)).collect();
                let mut quantized = QuantizedVector::default();
                quantized.assign(&x);
                let mut out = vec![f32::NAN; rows];
                packed.multiply(isa, 0, &quantized, &mut out);

                let (weights, x) = (dequantize(format, &file), quantized.to_f32());
                for (row, &found) in out.iter().enumerate() {
                    let terms =
                        || weights[row * cols..][..cols].iter().zip(&x).map(|(&w, &x)| f64::from(w) * f64::from(x));
                    let (exact, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                    let error = (f64::from(found) - exact).abs();
                    assert!(error <= 1e-5 * size + 1e-30, "{isa:?} {format:?} [{rows}, {cols}]: {found} not {exact}");
                }
            }
        }
    }
}

#[test]
fn extreme_quants_do_not_overflow() {
    let pool = ThreadPool::new(1);
    let packer = Packer::new(&pool);
    for isa in Isa::available() {
        for format in FORMATS {
            for byte in [0x00, 0x7f, 0x80, 0xff] {
                let mut block = vec![byte; format.file_block()];
                for header in block[..2 * format.headers()].chunks_exact_mut(2) {
                    header.copy_from_slice(&f16::ONE.to_le_bytes());
                }
                let packed = PackedMatrix::pack(format, 1, BLOCK, &block, &packer).unwrap();
                let mut quantized = QuantizedVector::default();
                quantized.assign(&[-3.0; BLOCK]);
                let mut out = [f32::NAN];
                packed.multiply(isa, 0, &quantized, &mut out);
                let exact: f32 = dequantize(format, &block).iter().map(|w| w * quantized.to_f32()[0]).sum();
                assert!(
                    (out[0] - exact).abs() <= 1e-4 * exact.abs(),
                    "{isa:?} {format:?} {byte:#x}: {} {exact}",
                    out[0]
                );
            }
        }
    }
}

#[test]
fn a_range_of_rows_need_not_begin_at_a_group() {
    let pool = ThreadPool::new(1);
    let packer = Packer::new(&pool);
    let mut numbers = Numbers(3);
    let file = file(PackedFormat::Q4_1, 21, 64, 0.1, &mut numbers);
    let packed = PackedMatrix::pack(PackedFormat::Q4_1, 21, 64, &file, &packer).unwrap();
    let mut x = QuantizedVector::default();
    x.assign(&(0..64).map(|_| numbers.float()).collect::<Vec<_>>());
    let mut all = vec![0.0; 21];
    packed.multiply(Isa::active(), 0, &x, &mut all);
    let mut some = vec![0.0; 12];
    packed.multiply(Isa::active(), 5, &x, &mut some);
    assert_eq!(some, all[5..17]);
}
