//! Against what llama.cpp packs, and against bounds of the error.

use std::path::Path;

use super::*;
use crate::weights::{Storage, Tensor, dequantize, safetensors};

/// The root of the mean squared error over that of random values of a normal distribution, in percent, at the most: what
/// was seen, and 3 % of it more.
const BOUNDS: [(DType, f32); 17] = [
    (DType::Q8_0, 0.54),
    (DType::Q6_K, 1.74),
    (DType::Q5_1, 3.84),
    (DType::Q5_0, 4.31),
    (DType::Q5_K, 3.51),
    (DType::Q4_1, 7.95),
    (DType::Q4_0, 8.67),
    (DType::Q4_K, 7.1),
    (DType::Q3_K, 14.6),
    (DType::Q2_K, 26.9),
    (DType::IQ4_NL, 7.73),
    (DType::IQ4_XS, 7.79),
    (DType::MXFP4, 11.8),
    (DType::TQ1_0, 82.0),
    (DType::TQ2_0, 82.0),
    (DType::Q2_0, 73.2),
    (DType::Q1_0, 61.3),
];

fn written() -> impl Iterator<Item = DType> {
    DType::computable().filter(|&dtype| is_written(dtype))
}

fn packed(dtype: DType, values: &[f32]) -> Vec<u8> {
    let mut out = vec![0xaa; dtype.bytes_of(&[values.len()]).unwrap()];
    from_f32(dtype, values, &mut out).unwrap();
    out
}

/// What is left of `values` after they were packed in `dtype`.
fn through(dtype: DType, values: &[f32]) -> Vec<f32> {
    dequantize::to_f32(dtype, &packed(dtype, values)).unwrap()
}

/// Root of the mean squared difference, in percent of the root of the mean square.
fn error_percent(values: &[f32], kept: &[f32]) -> f32 {
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x) * f64::from(x)).sum::<f64>();
    let off = squares(&mut values.iter().zip(kept).map(|(x, y)| x - y));
    (100.0 * (off / squares(&mut values.iter().copied())).sqrt()) as f32
}

/// Sums of 12 uniform numbers: near enough to a normal distribution with a standard deviation of 1.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn fixture() -> Vec<Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/blocks.safetensors");
    safetensors::parse(Path::new(path), &Storage::open(Path::new(path)).unwrap()).unwrap()
}

fn is_k_quant(dtype: DType) -> bool {
    matches!(dtype, DType::Q2_K | DType::Q3_K | DType::Q4_K | DType::Q5_K | DType::Q6_K)
}

#[test]
fn what_llama_cpp_packs_without_a_search_is_packed_the_same_way() {
    let tensors = fixture();
    let tensor = |name: String| tensors.iter().find(|tensor| tensor.name() == name).unwrap();
    let rows = tensor("rows".into()).to_f32().unwrap();
    for dtype in written().filter(|&dtype| dtype != DType::F32 && !is_k_quant(dtype)) {
        let (found, expected) = (packed(dtype, &rows), tensor(format!("rows.{dtype}")).bytes());
        let differing = found.iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!((differing, found.len()), (None, expected.len()), "{dtype}");
    }
}

#[test]
fn the_error_of_each_format_stays_within_its_bound() {
    let values = noise(1 << 16);
    let mut worse = Vec::new();
    for (dtype, bound) in BOUNDS {
        let error = error_percent(&values, &through(dtype, &values));
        if error > bound {
            worse.push(format!("{dtype}: {error:.3} > {bound}"));
        }
    }
    assert!(worse.is_empty(), "{worse:?}");
    assert!(written().all(|d| d.block_size() == 1 || BOUNDS.iter().any(|&(bounded, _)| bounded == d)));
}

/// Zeros, outliers, one-sided and constant rows: each as good as the distance of the codes allows.
#[test]
fn odd_rows_are_packed_as_well_as_their_range_allows() {
    let tensors = fixture();
    let rows = tensors.iter().find(|tensor| tensor.name() == "rows").unwrap().to_f32().unwrap();
    for (index, row) in rows.chunks_exact(256).enumerate() {
        for (dtype, codes) in
            [(DType::Q2_K, 3.0), (DType::Q3_K, 7.0), (DType::Q4_K, 15.0), (DType::Q5_K, 31.0), (DType::Q6_K, 63.0)]
        {
            let kept = through(dtype, row);
            let range = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            let off = row.iter().zip(&kept).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(kept.iter().all(|x| x.is_finite()));
            assert!(off <= 2.0 * range / codes + 1e-7, "row {index} in {dtype}: {off} of {range}");
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    for dtype in written() {
        assert!(through(dtype, &[0.0; 256]).iter().all(|&x| x == 0.0), "{dtype}");
    }
}

#[test]
fn packing_what_was_unpacked_changes_little() {
    let values = noise(4096);
    for dtype in written() {
        let once = through(dtype, &values);
        let error = error_percent(&once, &through(dtype, &once));
        let first = error_percent(&values, &once);
        assert!(error <= 0.75 * first, "{dtype}: {error} after {first}");
    }
}

#[test]
fn formats_that_are_only_names_and_broken_lengths_are_refused() {
    assert_eq!(from_f32(DType::NVFP4, &[0.0; 64], &mut [0; 36]), None);
    assert_eq!(from_f32(DType::Q4_0, &[0.0; 32], &mut [0; 17]), None);
    assert_eq!(from_f32(DType::Q4_K, &[0.0; 128], &mut [0; 72]), None);
}
