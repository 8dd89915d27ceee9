//! What a GGUF file says about its model.

use std::path::Path;

use super::{Bound, ModelFiles, TokenizerFiles};
use crate::EngineError;
use crate::model::{
    Activation, Architecture, AttentionScale, Extras, ModelConfig, RopeConfig, RopeScaling, SlidingWindow,
};
use crate::tokenizer::{self, Tokenizer};
use crate::weights::gguf::{Gguf, Metadata, Value, parts};
use crate::weights::{Storage, Weights, disguise};

/// llama.cpp's where a file has none.
const DEFAULT_ROPE_BASE: f64 = 10_000.0;
/// What the frequencies of the rotation are divided by, where each has a number of its own (Llama 3).
const ROPE_FACTORS: &str = "rope_freqs.weight";
/// Has a row for each token in every architecture.
const EMBEDDING: &str = "token_embd.weight";

/// Opens the file in `storage`, whose name is `path`.
pub(super) fn open(path: &Path, name: &str, storage: Storage) -> Result<ModelFiles, EngineError> {
    if !Gguf::is_gguf(storage.bytes()) {
        let expected = "a GGUF file (it does not begin with `GGUF`); of a Hugging Face model, give the folder";
        return Err(disguise::mistaken(path, storage.bytes(), expected));
    }
    let parts::Whole { first: (path, storage), tensors } = parts::open(path, storage)?;
    let weights = Weights::new(&path, tensors);
    let metadata = Gguf::parse(&path, &storage)?.metadata;
    let Keys { config, chat_template, bos_token, eos_token } = Keys::read(&path, &metadata, &weights)?;
    // A name that is none is no reason not to run a model.
    let own_name = metadata.string("general.name").ok().flatten().filter(|_| is_blob(&path));
    Ok(ModelFiles {
        name: own_name.unwrap_or(name).to_owned(),
        path,
        config,
        weights,
        chat_template,
        bos_token,
        eos_token,
        tokenizer: TokenizerFiles::Gguf(storage),
    })
}

/// Whether the file has a checksum for a name, as in Ollama's store.
fn is_blob(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sha256-"))
}

/// The tokenizer of the file in `storage`.
pub(super) fn tokenizer(path: &Path, storage: &Storage) -> Result<Tokenizer, EngineError> {
    tokenizer::from_gguf(path, &Gguf::parse(path, storage)?.metadata)
}

/// What is wrong with it, without building it.
pub(super) fn check_tokenizer(path: &Path, storage: &Storage) -> Result<(), EngineError> {
    tokenizer::check_gguf(path, &Gguf::parse(path, storage)?.metadata)
}

/// What is read from the metadata.
struct Keys {
    config: ModelConfig,
    chat_template: Option<String>,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl Keys {
    fn read(path: &Path, metadata: &Metadata<'_>, weights: &Weights) -> Result<Self, EngineError> {
        let tokens = metadata.strings("tokenizer.ggml.tokens")?.unwrap_or_default();
        let token = |key: &str| -> Result<Option<String>, EngineError> {
            let id = metadata.unsigned(key)?.and_then(|id| usize::try_from(id).ok());
            Ok(id.and_then(|id| tokens.get(id)).map(|&token| token.to_owned()))
        };
        Ok(Self {
            config: ModelReader::new(path, metadata)?.config(weights)?,
            chat_template: metadata.string("tokenizer.chat_template")?.map(str::to_owned),
            bos_token: token("tokenizer.ggml.bos_token_id")?,
            eos_token: token("tokenizer.ggml.eos_token_id")?,
        })
    }
}

/// Reads the keys under the architecture's name.
struct ModelReader<'a> {
    path: &'a Path,
    metadata: &'a Metadata<'a>,
    architecture: Architecture,
}

impl<'a> ModelReader<'a> {
    fn new(path: &'a Path, metadata: &'a Metadata<'a>) -> Result<Self, EngineError> {
        let architecture = match metadata.string("general.architecture")? {
            Some("gpt2") => Architecture::Gpt2,
            Some("llama") => Architecture::Llama,
            Some("qwen2") => Architecture::Qwen2,
            Some("qwen3") => Architecture::Qwen3,
            Some(other) => {
                let what = format!(
                    "its architecture is `{other}` (general.architecture): gpt2, llama, qwen2 and qwen3 are supported"
                );
                return Err(EngineError::unsupported(path, what));
            }
            None => return Err(EngineError::format(path, "metadata key `general.architecture` is missing")),
        };
        Ok(Self { path, metadata, architecture })
    }

    fn config(&self, weights: &Weights) -> Result<ModelConfig, EngineError> {
        let n_head = self.size("attention.head_count")?;
        let n_embd = self.size("embedding_length")?;
        let head_dim = self.head_dim(n_embd, n_head)?;
        let norm_eps = match self.architecture {
            Architecture::Gpt2 => "attention.layer_norm_epsilon",
            _ => "attention.layer_norm_rms_epsilon",
        };
        self.refuse_unsupported(head_dim)?;
        Ok(ModelConfig {
            architecture: self.architecture,
            n_layer: self.size("block_count")?,
            n_head,
            n_kv_head: self.optional_size("attention.head_count_kv")?.unwrap_or(n_head),
            head_dim,
            n_embd,
            n_ff: self.size("feed_forward_length")?,
            vocab_size: weights.find(EMBEDDING)?.shape().first().copied().unwrap_or(0),
            trained_context: self.size("context_length")?,
            norm_eps: self.number(norm_eps, Bound::Zero)?.ok_or_else(|| self.missing(norm_eps))? as f32,
            activation: Activation::GeluTanh,
            attention_scale: AttentionScale::USUAL,
            rope: self.rope(weights, head_dim)?,
            window: self.window()?,
            extras: self.extras(weights),
        })
    }

    /// What the file has tensors for: there are no keys that say it.
    fn extras(&self, weights: &Weights) -> Extras {
        let has = |name: &str| self.architecture.rotates() && weights.contains(&format!("blk.0.{name}"));
        Extras {
            qkv_bias: has("attn_q.bias"),
            o_bias: has("attn_output.bias"),
            mlp_bias: has("ffn_down.bias"),
            qk_norm: has("attn_q_norm.weight"),
        }
    }

    fn window(&self) -> Result<Option<SlidingWindow>, EngineError> {
        let positions = self.optional_size("attention.sliding_window")?.filter(|&positions| positions > 0);
        Ok(positions.map(|positions| SlidingWindow { positions, first_layer: 0 }))
    }

    fn rope(&self, weights: &Weights, head_dim: usize) -> Result<RopeConfig, EngineError> {
        let theta = self.number("rope.freq_base", Bound::AboveZero)?.unwrap_or(DEFAULT_ROPE_BASE) as f32;
        let scaling = if weights.contains(ROPE_FACTORS) {
            let factors = weights.tensor(ROPE_FACTORS, &[head_dim / 2])?.to_f32()?;
            if let Some(factor) = factors.iter().find(|&&factor| !Bound::AboveZero.holds(f64::from(factor))) {
                let reason =
                    format!("tensor `{ROPE_FACTORS}` has the factor {factor}, it has to be {}", Bound::AboveZero);
                return Err(EngineError::format(self.path, reason));
            }
            RopeScaling::Divided(factors)
        } else {
            self.rope_scaling()?
        };
        Ok(RopeConfig { theta, style: self.architecture.gguf_rope_style(), scaling })
    }

    fn rope_scaling(&self) -> Result<RopeScaling, EngineError> {
        let key = "rope.scaling.factor";
        // The second is the key of 2023.
        let factor = match self.number(key, Bound::AboveZero)? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear", Bound::AboveZero)?,
        };
        // As in llama.cpp, where a factor without a type is a linear one.
        let kind = self.metadata.string(&self.key("rope.scaling.type"))?.filter(|kind| !kind.is_empty());
        match (kind, factor) {
            (Some("none"), _) | (None, None) => Ok(RopeScaling::None),
            (None | Some("linear"), Some(factor)) => Ok(RopeScaling::Linear { factor }),
            (Some("yarn"), Some(factor)) => self.yarn(factor),
            (Some("linear" | "yarn"), None) => Err(self.missing(key)),
            (Some(scaling), _) => Err(self.unsupported("rope.scaling.type", scaling)),
        }
    }

    fn yarn(&self, factor: f64) -> Result<RopeScaling, EngineError> {
        let original = match self.optional_size("rope.scaling.original_context_length")? {
            Some(length) => length,
            None => self.size("context_length")?,
        };
        let number = |key, usual| Ok::<_, EngineError>(self.number(key, Bound::AboveZero)?.unwrap_or(usual));
        // As in llama.cpp, whose `attn_factor` comes on top of what the factor asks for.
        let magnitude = if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 };
        Ok(RopeScaling::Yarn {
            factor,
            original_context: original as f64,
            beta_fast: number("rope.scaling.yarn_beta_fast", 32.0)?,
            beta_slow: number("rope.scaling.yarn_beta_slow", 1.0)?,
            truncate: true,
            attention_factor: magnitude * number("rope.scaling.attn_factor", 1.0)?,
        })
    }

    /// Width of a head: by its own key, or an even share of the embedding.
    fn head_dim(&self, n_embd: usize, n_head: usize) -> Result<usize, EngineError> {
        if let Some(length) = self.optional_size("attention.key_length")? {
            return Ok(length);
        }
        if n_head == 0 || !n_embd.is_multiple_of(n_head) {
            let reason = format!("embeddings of {n_embd} values cannot be split over {n_head} heads");
            return Err(EngineError::format(self.path, reason));
        }
        Ok(n_embd / n_head)
    }

    /// Variants of the architecture that would compute something else.
    fn refuse_unsupported(&self, head_dim: usize) -> Result<(), EngineError> {
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(length) = self.optional_size(key)?.filter(|&length| length != head_dim) {
                return Err(self.unsupported(key, &format!("{length}, beside heads of {head_dim} values")));
            }
        }
        if let Some(experts) = self.optional_size("expert_count")?.filter(|&experts| experts > 0) {
            return Err(self.unsupported("expert_count", &experts.to_string()));
        }
        Ok(())
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture.gguf_name())
    }

    fn size(&self, key: &str) -> Result<usize, EngineError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    /// A size, or a list that has it once for each layer.
    fn optional_size(&self, key: &str) -> Result<Option<usize>, EngineError> {
        let full = self.key(key);
        let size = match self.metadata.get(&full) {
            Some(Value::Array(_)) => {
                self.same_in_every_layer(key, &self.metadata.integers(&full)?.unwrap_or_default())?
            }
            _ => self.metadata.unsigned(&full)?,
        };
        // What does not fit is too large for any model as well.
        Ok(size.map(|size| usize::try_from(size).unwrap_or(usize::MAX)))
    }

    fn same_in_every_layer(&self, key: &str, sizes: &[i64]) -> Result<Option<u64>, EngineError> {
        let Some((&first, rest)) = sizes.split_first() else {
            return Err(EngineError::format(self.path, format!("`{}` is an empty list", self.key(key))));
        };
        match rest.iter().position(|&size| size != first) {
            Some(at) => {
                let what = format!("{first} in layer 0 and {} in layer {}", rest[at], at + 1);
                Err(self.unsupported(key, &what))
            }
            None => u64::try_from(first).map(Some).map_err(|_| self.unsupported(key, &first.to_string())),
        }
    }

    /// A number within its bound.
    fn number(&self, key: &str, bound: Bound) -> Result<Option<f64>, EngineError> {
        match self.metadata.float(&self.key(key))? {
            Some(number) if !bound.holds(number) => {
                let reason = format!("`{}` is {number}, it has to be {bound}", self.key(key));
                Err(EngineError::format(self.path, reason))
            }
            number => Ok(number),
        }
    }

    fn missing(&self, key: &str) -> EngineError {
        EngineError::format(self.path, format!("metadata key `{}` is missing", self.key(key)))
    }

    fn unsupported(&self, key: &str, value: &str) -> EngineError {
        EngineError::unsupported(self.path, format!("`{}` is {value}, which is not supported", self.key(key)))
    }
}
