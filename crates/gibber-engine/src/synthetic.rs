//! Models of a known shape with random weights, so that anybody can measure without a download: speed does not depend on
//! the values.

use std::path::PathBuf;

use half::{bf16, f16};

use super::EngineError;
use super::model::{Activation, Architecture, AttentionScale, Extras, ModelConfig, RopeConfig, RopeStyle};
use super::weights::{DType, Storage, Tensor, Weights};

/// The shapes there are, by name: layers, heads, key-value heads, width, width of the feed-forward part, vocabulary,
/// context.
const SHAPES: &[(&str, Architecture, [usize; 7])] = &[
    ("tiny", Architecture::Gpt2, [2, 4, 4, 64, 256, 512, 128]),
    ("bench", Architecture::Gpt2, [2, 12, 12, 768, 3072, 8192, 1024]),
    ("distilgpt2", Architecture::Gpt2, [6, 12, 12, 768, 3072, 50_257, 1024]),
    ("gpt2", Architecture::Gpt2, [12, 12, 12, 768, 3072, 50_257, 1024]),
    ("gpt2-medium", Architecture::Gpt2, [24, 16, 16, 1024, 4096, 50_257, 1024]),
    ("gpt2-large", Architecture::Gpt2, [36, 20, 20, 1280, 5120, 50_257, 1024]),
    ("gpt2-xl", Architecture::Gpt2, [48, 25, 25, 1600, 6400, 50_257, 1024]),
    ("smollm2-135m", Architecture::Llama, [30, 9, 3, 576, 1536, 49_152, 8192]),
    ("smollm2-360m", Architecture::Llama, [32, 15, 5, 960, 2560, 49_152, 8192]),
    ("tinyllama-1.1b", Architecture::Llama, [22, 32, 4, 2048, 5632, 32_000, 2048]),
];

const FORMATS: &[DType] = &[DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1];

/// The shape and the weights of `spec`: a name, and after a colon a format (`gpt2`, `gpt2:q8_0`); F32 where none is given.
///
/// # Errors
/// [`EngineError::Invalid`] naming what there is.
pub fn build(spec: &str) -> Result<(ModelConfig, Weights), EngineError> {
    let (name, format) = spec.split_once(':').unwrap_or((spec, "f32"));
    let Some((_, architecture, shape)) = SHAPES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)) else {
        let known: Vec<_> = SHAPES.iter().map(|(name, ..)| *name).collect();
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
    let config = config(*architecture, *shape);
    let mut file = Random { spec: PathBuf::from(spec), tensors: Vec::new(), state: 0x9e37_79b9_7f4a_7c15 };
    match architecture {
        Architecture::Gpt2 => gpt2(&config, dtype, &mut file)?,
        _ => llama(&config, dtype, &mut file)?,
    }
    let weights = Weights::new(file.spec, file.tensors);
    Ok((config, weights))
}

fn config(architecture: Architecture, shape: [usize; 7]) -> ModelConfig {
    let [n_layer, n_head, n_kv_head, n_embd, n_ff, vocab_size, trained_context] = shape;
    ModelConfig {
        architecture,
        n_layer,
        n_head,
        n_kv_head,
        head_dim: n_embd / n_head,
        n_embd,
        n_ff,
        vocab_size,
        trained_context,
        norm_eps: 1e-5,
        activation: Activation::GeluTanh,
        attention_scale: AttentionScale::USUAL,
        rope: RopeConfig::plain(10_000.0, RopeStyle::Interleaved),
        window: None,
        extras: Extras::default(),
    }
}

/// Floats as Hugging Face stores them, quantized as GGUF does.
fn gpt2(config: &ModelConfig, dtype: DType, file: &mut Random) -> Result<(), EngineError> {
    let (embd, ff) = (config.n_embd, config.n_ff);
    let hugging_face = matches!(dtype, DType::F32 | DType::F16 | DType::BF16);
    let name = |hf: &str, gguf: &str| if hugging_face { hf.to_owned() } else { gguf.to_owned() };
    file.add(name("wte.weight", "token_embd.weight"), dtype, &[config.vocab_size, embd])?;
    file.add(name("wpe.weight", "position_embd.weight"), DType::F32, &[config.trained_context, embd])?;
    file.norm(&name("ln_f", "output_norm"), embd, true)?;
    for layer in 0..config.n_layer {
        let name = |hf: &str, gguf: &str| name(&format!("h.{layer}.{hf}"), &format!("blk.{layer}.{gguf}"));
        file.norm(&name("ln_1", "attn_norm"), embd, true)?;
        file.norm(&name("ln_2", "ffn_norm"), embd, true)?;
        for (name, inputs, outputs) in [
            (name("attn.c_attn", "attn_qkv"), embd, 3 * embd),
            (name("attn.c_proj", "attn_output"), embd, embd),
            (name("mlp.c_fc", "ffn_up"), embd, ff),
            (name("mlp.c_proj", "ffn_down"), ff, embd),
        ] {
            let shape = if hugging_face { [inputs, outputs] } else { [outputs, inputs] };
            file.add(format!("{name}.weight"), dtype, &shape)?;
            file.add(format!("{name}.bias"), DType::F32, &[outputs])?;
        }
    }
    Ok(())
}

fn llama(config: &ModelConfig, dtype: DType, file: &mut Random) -> Result<(), EngineError> {
    let (embd, ff) = (config.n_embd, config.n_ff);
    let (q, kv) = (config.n_head * config.head_dim, config.n_kv_head * config.head_dim);
    file.add("token_embd.weight".into(), dtype, &[config.vocab_size, embd])?;
    file.norm("output_norm", embd, false)?;
    for layer in 0..config.n_layer {
        file.norm(&format!("blk.{layer}.attn_norm"), embd, false)?;
        file.norm(&format!("blk.{layer}.ffn_norm"), embd, false)?;
        for (name, rows, cols) in [
            ("attn_q", q, embd),
            ("attn_k", kv, embd),
            ("attn_v", kv, embd),
            ("attn_output", embd, q),
            ("ffn_gate", ff, embd),
            ("ffn_up", ff, embd),
            ("ffn_down", embd, ff),
        ] {
            file.add(format!("blk.{layer}.{name}.weight"), dtype, &[rows, cols])?;
        }
    }
    Ok(())
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

    fn norm(&mut self, name: &str, width: usize, bias: bool) -> Result<(), EngineError> {
        self.add(format!("{name}.weight"), DType::F32, &[width])?;
        if bias { self.add(format!("{name}.bias"), DType::F32, &[width]) } else { Ok(()) }
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
            DType::Q8_0 => (0.0004, None),
            DType::Q4_1 => (0.006, Some(-0.045)),
            _ => (0.006, None),
        };
        for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
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

        for format in ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"] {
            let (config, weights) = build(&format!("tiny:{format}")).unwrap();
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
