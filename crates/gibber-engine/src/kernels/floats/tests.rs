use half::{bf16, f16};

use super::*;
use crate::kernels::pool::ThreadPool;

const FORMATS: [FloatFormat; 3] = [FloatFormat::F32, FloatFormat::F16, FloatFormat::BF16];

/// A small generator, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    /// Within ±`scale`.
    fn floats(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as f32 / (1u32 << 31) as f32 * 2.0 - 1.0
        };
        (0..count).map(|_| next() * scale).collect()
    }
}

/// As a file has them.
fn encode(format: FloatFormat, values: &[f32]) -> Vec<u8> {
    let bytes = |&value: &f32| match format {
        FloatFormat::F32 => value.to_le_bytes().to_vec(),
        FloatFormat::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
        FloatFormat::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
    };
    values.iter().flat_map(bytes).collect()
}

/// The format's definition, straight from a file's bytes.
fn decode(format: FloatFormat, file: &[u8]) -> Vec<f32> {
    file.chunks_exact(format.size()).map(|value| format.value(value)).collect()
}

fn transposed<T: Copy>(values: &[T], cols: usize) -> Vec<T> {
    (0..cols).flat_map(|col| values.iter().skip(col).step_by(cols).copied()).collect()
}

/// The outputs `outputs` of every input, `(n, outputs)`.
fn multiply(isa: Isa, matrix: &FloatMatrix, outputs: std::ops::Range<usize>, x: &[f32]) -> Vec<f32> {
    let n = x.len() / matrix.inputs();
    let mut out = vec![f32::NAN; n * outputs.len()];
    let mut scratch = vec![f32::NAN; FloatMatrix::scratch(n)];
    let mut window = MatMut::new(&mut out, n, outputs.len(), outputs.len());
    matrix.multiply(isa, outputs.start, x, &mut window, &mut scratch);
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn rows_and_columns_are_packed_alike_and_nothing_is_lost() {
    let pool = ThreadPool::new(2);
    let packer = Packer::new(&pool);
    let mut numbers = Numbers(1);
    for format in FORMATS {
        for (outputs, inputs) in [(1, 1), (31, 7), (32, 16), (33, 48), (300, 17), (5, 0), (0, 5)] {
            let file = encode(format, &numbers.floats(outputs * inputs, 2.0));
            let values = decode(format, &file);
            let by_columns = encode(format, &transposed(&values, inputs));
            let rows = FloatMatrix::from_rows(format, [outputs, inputs], &file, &packer).unwrap();
            let columns = FloatMatrix::from_columns(format, [inputs, outputs], &by_columns, &packer).unwrap();
            assert_eq!(rows.bytes[..], columns.bytes[..], "{format:?} [{outputs}, {inputs}]");
            for output in 0..outputs {
                let mut row = vec![f32::NAN; inputs];
                rows.row(output, &mut row);
                assert_eq!(row, values[output * inputs..][..inputs], "{format:?} output {output}");
            }
            for (first, count) in [(0, outputs), (outputs / 2, outputs - outputs / 2), (outputs - outputs.min(1), 0)] {
                let expected = transposed(&values[first * inputs..][..count * inputs], inputs);
                for isa in Isa::available() {
                    let mut columns = vec![f32::NAN; count * inputs];
                    rows.unpack_columns(isa, first, count, &mut columns);
                    assert_eq!(columns, expected, "{isa:?} {format:?} [{outputs}, {inputs}] from {first}");
                }
            }
        }
    }
}

#[test]
fn every_instruction_set_multiplies_as_doubles_do() {
    let pool = ThreadPool::new(1);
    let packer = Packer::new(&pool);
    let mut numbers = Numbers(2);
    // The last scale makes half-precision weights subnormal.
    let cases = [(1, 1, 1, 1.0), (5, 33, 2, 300.0), (40, 200, 3, 1e-3), (64, 385, 9, 0.02), (70, 193, 26, 2e-6)];
    for isa in Isa::available() {
        for format in FORMATS {
            for (outputs, inputs, n, scale) in cases {
                let file = encode(format, &numbers.floats(outputs * inputs, scale));
                let matrix = FloatMatrix::from_rows(format, [outputs, inputs], &file, &packer).unwrap();
                let (weights, x) = (decode(format, &file), numbers.floats(n * inputs, 10.0));
                let out = multiply(isa, &matrix, 0..outputs, &x);
                for (i, &found) in out.iter().enumerate() {
                    let (weights, x) = (&weights[i % outputs * inputs..], &x[i / outputs * inputs..][..inputs]);
                    let terms = || weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
                    let (exact, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
                    let error = (f64::from(found) - exact).abs();
                    assert!(error <= 1e-5 * size, "{isa:?} {format:?} [{outputs}, {inputs}]: {found} not {exact}");
                }
            }
        }
    }
}

#[test]
fn a_token_gets_the_same_bits_alone_among_others_and_however_the_outputs_are_cut() {
    let pool = ThreadPool::new(1);
    let packer = Packer::new(&pool);
    let mut numbers = Numbers(3);
    let (outputs, inputs, n) = (100, 450, 40);
    for isa in Isa::available() {
        for format in FORMATS {
            let file = encode(format, &numbers.floats(outputs * inputs, 1.0));
            let matrix = FloatMatrix::from_rows(format, [outputs, inputs], &file, &packer).unwrap();
            let x = numbers.floats(n * inputs, 1.0);
            let alone: Vec<f32> = x.chunks(inputs).flat_map(|x| multiply(isa, &matrix, 0..outputs, x)).collect();
            for n in 2..=n {
                let among = multiply(isa, &matrix, 0..outputs, &x[..n * inputs]);
                assert_eq!(bits(&among), bits(&alone[..n * outputs]), "{isa:?} {format:?}, {n} tokens");
            }
            for cut in [1, 31, 32, 50, 97] {
                let last = &x[(n - 1) * inputs..];
                let parts = [multiply(isa, &matrix, 0..cut, last), multiply(isa, &matrix, cut..outputs, last)];
                assert_eq!(
                    bits(&parts.concat()),
                    bits(&alone[(n - 1) * outputs..]),
                    "{isa:?} {format:?}, cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn every_half_precision_number_is_widened_exactly() {
    // Infinities and what is no number are left out: no weight is one.
    let finite = |format: FloatFormat| {
        let all = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let values = all.chunks_exact(2).filter(|value| format.value(value).is_finite());
        let mut finite: Vec<u8> = values.flatten().copied().collect();
        finite.truncate(finite.len() / (2 * LANES) * 2 * LANES);
        finite
    };
    for format in [FloatFormat::F16, FloatFormat::BF16] {
        let file = finite(format);
        let exact = decode(format, &file);
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; exact.len()];
            widen(isa, format, &file, &mut out);
            assert_eq!(bits(&out), bits(&exact), "{isa:?} {format:?}");
            let mut sums = [[0.0; LANES]];
            for (weights, exact) in file.chunks_exact(2 * LANES).zip(exact.chunks_exact(LANES)) {
                sums[0].fill(0.0);
                accumulate(isa, format, weights, &[&[1.0]], &mut sums);
                // Adding to zero takes the sign off a zero, nothing else.
                assert_eq!(sums[0], exact, "{isa:?} {format:?}");
            }
        }
    }
}

#[test]
fn the_fast_kernels_agree_with_the_plain_twin() {
    let mut numbers = Numbers(4);
    for format in FORMATS {
        for (steps, n) in [(0, 1), (1, 1), (7, 2), (192, 5), (100, 24)] {
            let weights = encode(format, &numbers.floats(steps * LANES, 1.0));
            let x = numbers.floats(n * steps, 1.0);
            let x: Vec<&[f32]> = (0..n).map(|token| &x[token * steps..][..steps]).collect();
            let mut plain = vec![[0.5; LANES]; n];
            portable::accumulate(format, &weights, &x, &mut plain);
            for isa in Isa::available() {
                let mut sums = vec![[0.5; LANES]; n];
                accumulate(isa, format, &weights, &x, &mut sums);
                for (found, plain) in sums.as_flattened().iter().zip(plain.as_flattened()) {
                    assert!((found - plain).abs() <= 1e-5 * steps.max(1) as f32, "{isa:?} {format:?}: {found} {plain}");
                }
            }
        }
    }
}

#[test]
fn more_threads_pack_and_multiply_the_same() {
    let mut numbers = Numbers(5);
    let file = encode(FloatFormat::BF16, &numbers.floats(700 * 64, 1.0));
    let x = numbers.floats(64, 1.0);
    let outputs = |threads| {
        let pool = ThreadPool::new(threads);
        let packer = Packer::new(&pool);
        let matrix = FloatMatrix::from_columns(FloatFormat::BF16, [64, 700], &file, &packer).unwrap();
        multiply(Isa::active(), &matrix, 0..700, &x)
    };
    assert_eq!(bits(&outputs(1)), bits(&outputs(3)));
}
