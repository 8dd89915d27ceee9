//! The engine's own kernels, on weights as its models hold them: a row an output.

use std::sync::Arc;

use gibber_engine::kernels::{Packer, ThreadPool, WeightMatrix, Workspace};
use gibber_engine::weights::{DType, Storage, Tensor};
use half::f16;

use super::case::{Case, Data};
use super::measure::{Approach, Product};

/// Values that share a scale.
const BLOCK: usize = 32;

pub fn approaches(pool: &Arc<ThreadPool>) -> Vec<Approach> {
    let mut all = Vec::new();
    for (name, dtype) in [("F32", DType::F32), ("Q8_0", DType::Q8_0), ("Q4_0", DType::Q4_0)] {
        for threads in if pool.threads() == 1 { vec![1] } else { vec![1, pool.threads()] } {
            let pool = if threads == 1 { Arc::new(ThreadPool::new(1)) } else { Arc::clone(pool) };
            let prepare = move |data: &Arc<Data>| -> Box<dyn Product> { Box::new(Own::new(data, dtype, &pool)) };
            let name = format!("gibber {name}");
            all.push(Approach { name, threads, one_token: false, prepare: Box::new(prepare) });
        }
    }
    all
}

struct Own {
    case: Case,
    matrices: Vec<WeightMatrix>,
    workspace: Workspace,
    data: Arc<Data>,
    out: Vec<f32>,
    /// The weights of the checked copy as they were rounded; `None` where they were not.
    rounded: Option<Vec<f32>>,
}

impl Own {
    fn new(data: &Arc<Data>, dtype: DType, pool: &Arc<ThreadPool>) -> Self {
        let case = data.case;
        let packer = Packer::new(pool);
        let tensor = |copy: usize| tensor(&data.weights[copy], case, dtype);
        let matrix = |copy| WeightMatrix::from_rows(&tensor(copy), &packer).expect("a format that is computed");
        let rounded = (dtype != DType::F32).then(|| {
            let rows = tensor(data.checked_copy()).to_f32().expect("a format that can be read");
            transposed(&rows, case.outputs, case.inputs)
        });
        Self {
            case,
            matrices: (0..case.copies).map(matrix).collect(),
            workspace: Workspace::new(Arc::clone(pool)),
            data: Arc::clone(data),
            out: vec![f32::NAN; case.tokens * case.outputs],
            rounded,
        }
    }
}

impl Product for Own {
    fn run(&mut self, copy: usize) {
        self.matrices[copy].multiply(&mut self.workspace, &self.data.x, self.case.tokens, &mut self.out);
    }

    fn output(&self) -> Vec<f32> {
        self.out.clone()
    }

    /// Activations are rounded too where weights are.
    fn exact(&self) -> (Option<Vec<f32>>, f64) {
        (self.rounded.clone(), if self.rounded.is_some() { 1e-2 } else { 1e-5 })
    }
}

/// Weights `[inputs, outputs]` as a tensor `[outputs, inputs]` in `dtype`.
fn tensor(weights: &[f32], case: Case, dtype: DType) -> Tensor {
    let rows = transposed(weights, case.inputs, case.outputs);
    let bytes: Vec<u8> = match dtype {
        DType::Q8_0 => rows.chunks_exact(BLOCK).flat_map(q8_0).collect(),
        DType::Q4_0 => rows.chunks_exact(BLOCK).flat_map(q4_0).collect(),
        _ => rows.iter().flat_map(|weight| weight.to_le_bytes()).collect(),
    };
    let len = bytes.len();
    let shape = vec![case.outputs, case.inputs];
    Tensor::new("weights".into(), shape, dtype, Storage::from_vec(bytes), 0..len).expect("as many bytes as it has")
}

fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (row, values) in values.chunks_exact(cols).enumerate() {
        values.iter().enumerate().for_each(|(col, value)| out[col * rows + row] = *value);
    }
    out
}

/// A scale, then a byte a value (`block_q8_0` in ggml's `ggml-common.h`).
fn q8_0(values: &[f32]) -> Vec<u8> {
    let scale = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
    let quants = values.iter().map(|value| (value / scale).round() as i8 as u8);
    f16::from_f32(scale).to_le_bytes().into_iter().chain(quants).collect()
}

/// A scale, then half a byte a value: `scale · (q - 8)`, value `j` beside value `j + 16` (`block_q4_0` in ggml's
/// `ggml-common.h`).
fn q4_0(values: &[f32]) -> Vec<u8> {
    let scale = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 7.0;
    let quant = |value: &f32| ((value / scale).round() + 8.0) as u8;
    let (low, high) = values.split_at(BLOCK / 2);
    let quants = low.iter().zip(high).map(|(low, high)| quant(low) | quant(high) << 4);
    f16::from_f32(scale).to_le_bytes().into_iter().chain(quants).collect()
}
