//! Models of a known shape with random weights, so that anybody can measure without a download: speed does not depend on
//! the values.

use std::path::PathBuf;

use half::{bf16, f16};

use super::EngineError;
use super::weights::{DType, Storage, Tensor, Weights};
use crate::model::{ModelConfig, Slot, TensorSpec, family};

const FORMATS: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::Q8_0,
    DType::Q4_0,
    DType::Q4_1,
    DType::IQ4_NL,
    DType::Q2_0,
    DType::Q1_0,
    DType::MXFP4,
];

/// The shape and the weights of `spec`: a name, and after a colon a format (`gpt2`, `gpt2:q8_0`); F32 where none is given.
///
/// # Errors
/// [`EngineError::Invalid`] naming what there is.
pub fn build(spec: &str) -> Result<(ModelConfig, Weights), EngineError> {
    let (name, format) = spec.split_once(':').unwrap_or((spec, "f32"));
    let shapes: Vec<_> = family::all().flat_map(|family| family.synthetic()).collect();
    let Some((_, config)) = shapes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        let known: Vec<_> = shapes.iter().map(|(name, _)| *name).collect();
        return Err(EngineError::Invalid(format!(
            "no synthetic model is called `{name}`: there are {}",
            known.join(", ")
        )));
    };
    let Some(&dtype) = FORMATS.iter().find(|dtype| dtype.name().eq_ignore_ascii_case(format)) else {
        let known: Vec<_> = FORMATS.iter().map(|dtype| dtype.name().to_lowercase()).collect();
        return Err(EngineError::Invalid(format!(
            "no weight format is called `{format}`: there are {}",
            known.join(", ")
        )));
    };
    let mut file = Random { spec: PathBuf::from(spec), tensors: Vec::new(), state: 0x9e37_79b9_7f4a_7c15 };
    let layers = (0..config.n_layer()).flat_map(|layer| config.family.layer_tensors(config, layer));
    let specs = config.family.global_tensors(config).into_iter().chain(layers);
    for spec in specs.filter(TensorSpec::begins_gguf) {
        let is_quantized = spec.shape.len() > 1 && spec.slot != Slot::Positions;
        file.add(spec.gguf.clone(), if is_quantized { dtype } else { DType::F32 }, &spec.gguf_shape())?;
    }
    Ok((config.clone(), Weights::new(file.spec, file.tensors)))
}

/// A file that is made up as it is asked for.
struct Random {
    spec: PathBuf,
    tensors: Vec<Tensor>,
    state: u64,
}

impl Random {
    /// Xorshift (Marsaglia 2003): fast, and random enough for weights that nobody reads.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn add(&mut self, name: String, dtype: DType, shape: &[usize]) -> Result<(), EngineError> {
        let Some(len) = dtype.bytes_of(shape) else {
            return Err(EngineError::Invalid(format!("`{name}` of the shape {shape:?} cannot be stored in {dtype}")));
        };
        let bytes = match dtype {
            DType::F32 => self.floats(len / 4, f32::to_le_bytes),
            DType::F16 => self.floats(len / 2, |value| f16::from_f32(value).to_le_bytes()),
            DType::BF16 => self.floats(len / 2, |value| bf16::from_f32(value).to_le_bytes()),
            _ => self.blocks(dtype, len),
        };
        self.tensors.push(Tensor::new(name, shape.to_vec(), dtype, Storage::from_vec(bytes), 0..len)?);
        Ok(())
    }

    /// Within ±0.05, each stored as `encode` does.
    fn floats<const N: usize>(&mut self, count: usize, encode: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * N);
        for _ in 0..count {
            let unit = (self.next() >> 40) as f32 / (1 << 24) as f32;
            bytes.extend_from_slice(&encode((unit - 0.5) * 0.1));
        }
        bytes
    }

    /// Random quants under small scales; minimums that bring the mean to zero.
    fn blocks(&mut self, dtype: DType, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        let (scale, minimum) = match dtype {
            DType::Q8_0 | DType::IQ4_NL => (0.0004, None),
            DType::Q4_1 => (0.006, Some(-0.045)),
            DType::Q1_0 | DType::Q2_0 => (0.03, None),
            _ => (0.006, None),
        };
        for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
            if dtype == DType::MXFP4 {
                // Half of 2^-6, of numbers up to 12.
                block[0] = 121;
                continue;
            }
            block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
            if let Some(minimum) = minimum {
                block[2..4].copy_from_slice(&f16::from_f32(minimum).to_le_bytes());
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let error = build("gpt3").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`gpt3`") && error.contains("gpt2-medium"), "{error}");
        let error = build("gpt2:q9").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`q9`") && error.contains("q4_0"), "{error}");
    }

    #[test]
    fn every_format_of_the_smallest_shape_runs() {
        use std::ops::ControlFlow::Continue;
        use std::sync::Arc;

        use crate::CacheTypes;
        use crate::inference::Inference;
        use crate::kernels::ThreadPool;
        use crate::model::Model;

        for dtype in FORMATS {
            let (shape, format) = (if dtype.block_size() > 64 { "bench" } else { "tiny" }, dtype.name().to_lowercase());
            let (config, weights) = build(&format!("{shape}:{format}")).unwrap();
            let pool = Arc::new(ThreadPool::new(2));
            let model = Model::load(config, &weights, &pool).unwrap();
            let mut inference = Inference::new(model, CacheTypes::default(), 32, 8, pool).unwrap();
            inference.prefill(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &mut |_| Continue(())).unwrap();
            inference.push(11).unwrap();
            let logits = inference.logits().unwrap();
            assert!(logits.iter().all(|x| x.is_finite()) && logits.iter().any(|&x| x != logits[0]), "{format}");
        }
    }
}
