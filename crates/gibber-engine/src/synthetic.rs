//! Models of a known shape with random weights, so that anybody can measure without a download: speed does not depend on
//! the values.

use std::path::PathBuf;

use half::{bf16, f16};

use super::EngineError;
use super::weights::{DType, Storage, Tensor, Weights};
use crate::memory::MemoryProbe;
use crate::model::{ModelConfig, Slot, TensorSpec, family};

/// The shape and the weights of `spec`: a name, and after a colon a format (`gpt2`, `gpt2:q8_0`); F32 where none is given.
/// Where the weights do not fit into this machine's memory twice, as they are made up and as they are computed with, the
/// last layers are left out ([`layers`] tells how many there are to be).
///
/// # Errors
/// [`EngineError::Invalid`] naming what there is.
pub fn build(spec: &str) -> Result<(ModelConfig, Weights), EngineError> {
    build_within(spec, MemoryProbe::default())
}

/// How many layers the shape that `spec` names has as it is published.
///
/// # Errors
/// As those of [`build`].
pub fn layers(spec: &str) -> Result<usize, EngineError> {
    Ok(parse(spec)?.0.n_layer())
}

/// As [`build`], with so much memory as `memory` says.
fn build_within(spec: &str, memory: MemoryProbe) -> Result<(ModelConfig, Weights), EngineError> {
    let (mut config, dtype) = parse(spec)?;
    let available = (memory.0)().unwrap_or(u64::MAX);
    while config.n_layer() > 1 && bytes(&config, dtype).saturating_mul(2) > available {
        config.layers.pop();
    }
    let mut file = Random { spec: PathBuf::from(spec), tensors: Vec::new(), state: 0x9e37_79b9_7f4a_7c15 };
    for spec in tensors(&config) {
        file.add(spec.gguf.clone(), format_of(&spec, dtype), &spec.gguf_shape())?;
    }
    Ok((config, Weights::new(file.spec, file.tensors)))
}

/// The shape and the format that `spec` names.
fn parse(spec: &str) -> Result<(ModelConfig, DType), EngineError> {
    let (name, format) = spec.split_once(':').unwrap_or((spec, "f32"));
    let mut shapes: Vec<_> = family::all().flat_map(|family| family.synthetic()).collect();
    let Some(at) = shapes.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        let known: Vec<_> = shapes.iter().map(|(name, _)| *name).collect();
        return Err(EngineError::Invalid(format!(
            "no synthetic model is called `{name}`: there are {}",
            known.join(", ")
        )));
    };
    let Some(dtype) = DType::computable().find(|dtype| dtype.name().eq_ignore_ascii_case(format)) else {
        let known: Vec<_> = DType::computable().map(|dtype| dtype.name().to_lowercase()).collect();
        return Err(EngineError::Invalid(format!(
            "no weight format is called `{format}`: there are {}",
            known.join(", ")
        )));
    };
    Ok((shapes.swap_remove(at).1, dtype))
}

/// The tensors of a GGUF file of the shape.
fn tensors(config: &ModelConfig) -> impl Iterator<Item = TensorSpec> {
    let layers = (0..config.n_layer()).flat_map(|layer| config.family.layer_tensors(config, layer));
    config.family.global_tensors(config).into_iter().chain(layers).filter(TensorSpec::begins_gguf)
}

/// Matrices are in the format that was asked for.
fn format_of(spec: &TensorSpec, dtype: DType) -> DType {
    let is_quantized = spec.shape.len() > 1 && spec.slot != Slot::Positions;
    if is_quantized { dtype } else { DType::F32 }
}

/// Bytes of all tensors; what cannot be stored in the format is refused where it is made up.
fn bytes(config: &ModelConfig, dtype: DType) -> u64 {
    let bytes = |spec: TensorSpec| format_of(&spec, dtype).bytes_of(&spec.gguf_shape()).unwrap_or(0) as u64;
    tensors(config).map(bytes).sum()
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
        for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
            match dtype {
                // Half of 2^-6, of numbers up to 12.
                DType::MXFP4 => block[0] = 121,
                // 2^-6.
                DType::NVFP4 => block[..4].fill(0x08),
                // Four bits of 0.002 are the highest of each word of scales.
                DType::IQ1_M => (0..4).for_each(|i| block[49 + 2 * i] = block[49 + 2 * i] & 15 | [8, 1, 8, 1][i] << 4),
                _ => {
                    for &(at, scale) in half_precision(dtype) {
                        block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
                    }
                }
            }
        }
        bytes
    }
}

/// Where a block has its half-precision numbers, and values of them under which weights are small.
fn half_precision(dtype: DType) -> &'static [(usize, f32)] {
    match dtype {
        DType::Q8_0 | DType::IQ4_NL => &[(0, 0.0004)],
        DType::Q4_0 | DType::Q5_0 => &[(0, 0.006)],
        DType::Q4_1 => &[(0, 0.006), (2, -0.045)],
        DType::Q5_1 => &[(0, 0.003), (2, -0.045)],
        DType::Q1_0 | DType::Q2_0 => &[(0, 0.03)],
        DType::TQ1_0 => &[(52, 0.03)],
        DType::TQ2_0 => &[(64, 0.03)],
        DType::Q2_K => &[(80, 0.002), (82, 0.003)],
        DType::Q3_K => &[(108, 0.0008)],
        DType::Q4_K => &[(0, 0.0001), (2, 0.000_75)],
        DType::Q5_K => &[(0, 0.000_05), (2, 0.000_75)],
        DType::Q6_K => &[(208, 0.000_03)],
        DType::IQ4_XS => &[(0, 0.000_03)],
        DType::IQ2_XXS | DType::IQ2_XS | DType::IQ2_S => &[(0, 0.0006)],
        DType::IQ3_XXS | DType::IQ3_S => &[(0, 0.000_25)],
        DType::IQ1_S => &[(0, 0.004)],
        _ => &[],
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
    fn what_does_not_fit_twice_has_fewer_layers_and_at_least_one() {
        let layers = |memory: MemoryProbe| build_within("smollm2-135m:q4_0", memory).unwrap().0.n_layer();
        assert_eq!(layers(MemoryProbe(|| None)), 30);
        // 76 MB, of which 16 MB are the embedding.
        assert_eq!(layers(MemoryProbe(|| Some(160 << 20))), 30);
        let some = layers(MemoryProbe(|| Some(80 << 20)));
        assert!((8..16).contains(&some), "{some} layers");
        assert_eq!(layers(MemoryProbe(|| Some(0))), 1);
        let (config, weights) = build_within("smollm2-135m:q4_0", MemoryProbe(|| Some(80 << 20))).unwrap();
        crate::model::Model::check(config, &weights).unwrap();
        assert!(weights.untaken().is_empty());
        assert_eq!(super::layers("smollm2-135m:q4_0").unwrap(), 30);
    }

    #[test]
    fn every_format_of_the_smallest_shape_runs() {
        use std::ops::ControlFlow::Continue;
        use std::sync::Arc;

        use crate::CacheTypes;
        use crate::inference::Inference;
        use crate::kernels::ThreadPool;
        use crate::model::Model;

        for dtype in DType::computable() {
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
