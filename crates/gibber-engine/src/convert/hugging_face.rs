//! A Hugging Face model in GGUF's terms: names of tensors, order of rows, and the keys that say what it is.
//!
//! The keys are those that `convert_hf_to_gguf.py` of llama.cpp writes (`docs/gguf.md` in ggml has their meaning).

use std::path::Path;

use super::tensors::{RowOrder, interleaved};
use crate::load::ModelFiles;
use crate::model::{Activation, Architecture, AttentionScale, ModelConfig, RopeConfig, RopeScaling, RopeStyle};
use crate::tokenizer::{Cuts, Vocabulary};
use crate::weights::gguf::Header;
use crate::weights::{DType, Storage, Tensor, Weights};
use crate::{EngineError, TokenId};

// The numbers of the kinds of tokens (`llama_token_type` in `llama.h`).
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// What the frequencies of the rotation are divided by, one for each pair of a head.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A tensor's name in GGUF, the tensor, and the order of its rows.
pub(super) type Named = (String, Tensor, RowOrder);

/// The tensors of `files` in the order in which they are written.
///
/// # Errors
/// Those of [`Weights::tensor`]; [`EngineError::Unsupported`] where there are more than the architecture has.
pub(super) fn tensors(files: &ModelFiles) -> Result<Vec<Named>, EngineError> {
    let named = match files.config.architecture {
        Architecture::Gpt2 => gpt2(&files.config, &files.weights)?,
        _ => llama(&files.config, &files.weights)?,
    };
    files.refuse_untaken()?;
    Ok(named)
}

fn gpt2(config: &ModelConfig, weights: &Weights) -> Result<Vec<Named>, EngineError> {
    let &ModelConfig { n_layer, n_embd, n_ff, vocab_size, trained_context, .. } = config;
    // The head stands outside the prefix.
    let head = weights.contains("lm_head.weight").then(|| weights.tensor("lm_head.weight", &[vocab_size, n_embd]));
    let prefixed = weights.pp("transformer");
    let weights = if weights.has_any("transformer.") { &prefixed } else { weights };
    let mut named = vec![
        ("token_embd.weight".to_owned(), weights.tensor("wte.weight", &[vocab_size, n_embd])?, RowOrder::Same),
        ("position_embd.weight".into(), weights.tensor("wpe.weight", &[trained_context, n_embd])?, RowOrder::Same),
    ];
    let norms = [("ln_1", "attn_norm"), ("ln_2", "ffn_norm")];
    let linear = [
        ("attn.c_attn", "attn_qkv", n_embd, 3 * n_embd),
        ("attn.c_proj", "attn_output", n_embd, n_embd),
        ("mlp.c_fc", "ffn_up", n_embd, n_ff),
        ("mlp.c_proj", "ffn_down", n_ff, n_embd),
    ];
    for layer in 0..n_layer {
        let block = weights.pp("h").pp(layer);
        for (theirs, ours) in norms {
            for part in ["weight", "bias"] {
                let tensor = block.pp(theirs).tensor(part, &[n_embd])?;
                named.push((format!("blk.{layer}.{ours}.{part}"), tensor, RowOrder::Same));
            }
        }
        for (theirs, ours, inputs, outputs) in linear {
            let weight = block.pp(theirs).tensor("weight", &[inputs, outputs])?;
            named.push((format!("blk.{layer}.{ours}.weight"), weight, RowOrder::Transposed));
            let bias = block.pp(theirs).tensor("bias", &[outputs])?;
            named.push((format!("blk.{layer}.{ours}.bias"), bias, RowOrder::Same));
        }
    }
    for part in ["weight", "bias"] {
        named.push((format!("output_norm.{part}"), weights.pp("ln_f").tensor(part, &[n_embd])?, RowOrder::Same));
    }
    if let Some(head) = head {
        named.push(("output.weight".into(), head?, RowOrder::Same));
    }
    Ok(named)
}

fn llama(config: &ModelConfig, weights: &Weights) -> Result<Vec<Named>, EngineError> {
    let &ModelConfig { n_layer, n_embd, n_ff, vocab_size, n_head, n_kv_head, head_dim, extras, .. } = config;
    let (q, kv) = (n_head * head_dim, n_kv_head * head_dim);
    let same = RowOrder::Same;
    let turned = |heads| match config.architecture.gguf_rope_style() {
        RopeStyle::Interleaved => RowOrder::Interleaved { heads },
        RopeStyle::Half => same,
    };
    let mut named = vec![(
        "token_embd.weight".to_owned(),
        weights.tensor("model.embed_tokens.weight", &[vocab_size, n_embd])?,
        RowOrder::Same,
    )];
    if let Some(factors) = rope_factors(config) {
        named.push((ROPE_FACTORS.into(), vector(ROPE_FACTORS, &factors)?, same));
    }
    let norms = [("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")];
    let head_norms = [("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm")];
    let matrices = [
        ("self_attn.q_proj", "attn_q", [q, n_embd], turned(n_head), extras.qkv_bias),
        ("self_attn.k_proj", "attn_k", [kv, n_embd], turned(n_kv_head), extras.qkv_bias),
        ("self_attn.v_proj", "attn_v", [kv, n_embd], same, extras.qkv_bias),
        ("self_attn.o_proj", "attn_output", [n_embd, q], same, extras.o_bias),
        ("mlp.gate_proj", "ffn_gate", [n_ff, n_embd], same, extras.mlp_bias),
        ("mlp.up_proj", "ffn_up", [n_ff, n_embd], same, extras.mlp_bias),
        ("mlp.down_proj", "ffn_down", [n_embd, n_ff], same, extras.mlp_bias),
    ];
    for layer in 0..n_layer {
        let block = weights.pp("model.layers").pp(layer);
        let head_norms = head_norms.into_iter().filter(|_| extras.qk_norm).map(|norm| (norm, head_dim));
        for ((theirs, ours), width) in norms.map(|norm| (norm, n_embd)).into_iter().chain(head_norms) {
            named.push((format!("blk.{layer}.{ours}.weight"), block.pp(theirs).tensor("weight", &[width])?, same));
        }
        for (theirs, ours, shape, order, has_bias) in matrices {
            named.push((format!("blk.{layer}.{ours}.weight"), block.pp(theirs).tensor("weight", &shape)?, order));
            if has_bias {
                let bias = block.pp(theirs).tensor("bias", &shape[..1])?;
                named.push((format!("blk.{layer}.{ours}.bias"), ordered_bias(&bias, order)?, same));
            }
        }
    }
    named.push(("output_norm.weight".into(), weights.tensor("model.norm.weight", &[n_embd])?, same));
    if weights.contains("lm_head.weight") {
        named.push(("output.weight".into(), weights.tensor("lm_head.weight", &[vocab_size, n_embd])?, same));
    }
    Ok(named)
}

/// What the frequencies are divided by, where GGUF has a tensor for it and no keys (Llama 3).
fn rope_factors(config: &ModelConfig) -> Option<Vec<f32>> {
    match &config.rope.scaling {
        RopeScaling::Llama3 { .. } => {
            let plain = RopeConfig { scaling: RopeScaling::None, ..config.rope.clone() };
            let ((plain, _), (scaled, _)) =
                (plain.frequencies(config.head_dim), config.rope.frequencies(config.head_dim));
            Some(plain.iter().zip(scaled).map(|(plain, scaled)| (plain / scaled) as f32).collect())
        }
        _ => None,
    }
}

/// A tensor of these values.
fn vector(name: &str, values: &[f32]) -> Result<Tensor, EngineError> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let len = bytes.len();
    Tensor::new(name.to_owned(), vec![values.len()], DType::F32, Storage::from_vec(bytes), 0..len)
}

/// The bias of outputs that are put in another order.
fn ordered_bias(bias: &Tensor, order: RowOrder) -> Result<Tensor, EngineError> {
    let RowOrder::Interleaved { heads } = order else { return Ok(bias.clone()) };
    let (values, per_head) = (bias.to_f32()?, bias.len() / heads);
    let reordered: Vec<f32> = (0..values.len()).map(|row| values[interleaved(row, per_head)]).collect();
    vector(bias.name(), &reordered)
}

/// Refuses what GGUF has no keys for: a program that reads the file would compute something else.
pub(super) fn refuse_unwritable(path: &Path, config: &ModelConfig) -> Result<(), EngineError> {
    let is_gpt2 = config.architecture == Architecture::Gpt2;
    let what = if is_gpt2 && config.activation != Activation::GeluTanh {
        "its `activation_function`"
    } else if config.attention_scale != AttentionScale::USUAL {
        "how it scales attention (`scale_attn_weights`, `scale_attn_by_inverse_layer_idx`)"
    } else if config.window.is_some_and(|window| window.first_layer > 0) {
        "a sliding window in some layers only (`max_window_layers`)"
    } else {
        return Ok(());
    };
    let what = format!("GGUF cannot say {what}: this model stays a folder (`--quantize` works without a file)");
    Err(EngineError::unsupported(path, what))
}

/// The keys that say what the model is.
pub(super) fn put_model(header: &mut Header, name: &str, config: &ModelConfig) {
    let architecture = config.architecture.gguf_name();
    let key = |key: &str| format!("{architecture}.{key}");
    header.string("general.architecture", architecture);
    header.string("general.type", "model");
    header.string("general.name", name);
    let sizes = [
        ("block_count", config.n_layer),
        ("context_length", config.trained_context),
        ("embedding_length", config.n_embd),
        ("feed_forward_length", config.n_ff),
        ("attention.head_count", config.n_head),
    ];
    let llama_sizes = [
        ("attention.head_count_kv", config.n_kv_head),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
        ("rope.dimension_count", config.head_dim),
        ("vocab_size", config.vocab_size),
    ];
    let rotates = config.architecture.rotates();
    let llama_sizes = llama_sizes.into_iter().filter(|_| rotates);
    let window = config.window.map(|window| ("attention.sliding_window", window.positions));
    for (name, size) in sizes.into_iter().chain(llama_sizes).chain(window) {
        // No size of a model is beyond `load`'s limit, which is far below.
        header.u32(&key(name), u32::try_from(size).unwrap_or(u32::MAX));
    }
    if rotates {
        header.f32(&key("rope.freq_base"), config.rope.theta);
        header.f32(&key("attention.layer_norm_rms_epsilon"), config.norm_eps);
        put_rope_scaling(header, key, &config.rope.scaling);
    } else {
        header.f32(&key("attention.layer_norm_epsilon"), config.norm_eps);
    }
}

/// The keys of a rotation for longer contexts; those of Llama 3 are a tensor.
fn put_rope_scaling(header: &mut Header, key: impl Fn(&str) -> String, scaling: &RopeScaling) {
    match *scaling {
        RopeScaling::None | RopeScaling::Llama3 { .. } | RopeScaling::Divided(_) => {}
        RopeScaling::Linear { factor } => {
            header.string(&key("rope.scaling.type"), "linear");
            header.f32(&key("rope.scaling.factor"), factor as f32);
        }
        RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, attention_factor, .. } => {
            header.string(&key("rope.scaling.type"), "yarn");
            header.f32(&key("rope.scaling.factor"), factor as f32);
            header.u32(&key("rope.scaling.original_context_length"), original_context as u32);
            header.f32(&key("rope.scaling.yarn_beta_fast"), beta_fast as f32);
            header.f32(&key("rope.scaling.yarn_beta_slow"), beta_slow as f32);
            // On top of what readers derive from the factor.
            let usual = if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 };
            header.f32(&key("rope.scaling.attn_factor"), (attention_factor / usual) as f32);
        }
    }
}

/// The keys that say how a text is cut.
fn put_cuts(header: &mut Header, cuts: &Cuts) {
    match cuts {
        Cuts::Merges { pre_tokenizer, merges } => {
            header.string("tokenizer.ggml.model", "gpt2");
            header.string("tokenizer.ggml.pre", pre_tokenizer);
            header.strings("tokenizer.ggml.merges", merges);
        }
        Cuts::Scores { scores, space_prefix, unknown } => {
            header.string("tokenizer.ggml.model", "llama");
            header.string("tokenizer.ggml.pre", "default");
            header.f32s("tokenizer.ggml.scores", scores);
            header.bool("tokenizer.ggml.add_space_prefix", *space_prefix);
            if let Some(unknown) = *unknown {
                header.u32("tokenizer.ggml.unknown_token_id", unknown);
            }
        }
    }
}

/// The keys of the vocabulary, one token for each of `rows`; returns the tokens.
pub(super) fn put_vocabulary(header: &mut Header, vocabulary: Vocabulary, rows: usize) -> Vec<String> {
    let Vocabulary { mut tokens, mut kinds, mut cuts } = vocabulary;
    // llama.cpp wants a token for each row of the embedding, and a row for each token: marks without one can go.
    tokens.truncate(rows);
    kinds.truncate(rows);
    if let Cuts::Scores { scores, .. } = &mut cuts {
        scores.truncate(rows);
    }
    for id in tokens.len()..rows {
        tokens.push(format!("[PAD{id}]"));
        kinds.push(UNUSED);
        if let Cuts::Scores { scores, .. } = &mut cuts {
            scores.push(-(id as f32));
        }
    }
    put_cuts(header, &cuts);
    header.strings("tokenizer.ggml.tokens", &tokens);
    header.i32s("tokenizer.ggml.token_type", &kinds);
    tokens
}

/// The keys of the tokenizer and of the chat template.
///
/// # Errors
/// Where the tokenizer is broken, or of a kind that GGUF has no name for here.
pub(super) fn put_tokenizer(header: &mut Header, files: &ModelFiles) -> Result<(), EngineError> {
    let tokenizer = files.tokenizer()?;
    let vocabulary = tokenizer.vocabulary().map_err(|what| EngineError::unsupported(files.tokenizer_path(), what))?;
    let rows = files.config.vocab_size;
    if let Some(piece) =
        vocabulary.kinds.iter().skip(rows).position(|&kind| ![CONTROL, USER_DEFINED, UNUSED].contains(&kind))
    {
        let what = format!(
            "token {} has no embedding (there are {rows}) and is needed to cut texts: such a tokenizer cannot be written to a GGUF file",
            rows + piece
        );
        return Err(EngineError::unsupported(files.tokenizer_path(), what));
    }
    let tokens = put_vocabulary(header, vocabulary, rows);
    let id_of = |text: &Option<String>| -> Option<TokenId> {
        let index = tokens.iter().position(|token| Some(token) == text.as_ref())?;
        TokenId::try_from(index).ok()
    };
    let ends: Vec<TokenId> =
        tokenizer.end_tokens().iter().copied().filter(|&id| (id as usize) < tokens.len()).collect();
    let end = id_of(&files.eos_token).or(ends.first().copied());
    let begin = tokenizer.begin_token().or_else(|| id_of(&files.bos_token)).or(end);
    let others = ends.iter().copied().filter(|&id| Some(id) != end);
    let keys = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
    for (key, id) in keys.into_iter().zip(end.into_iter().chain(others)) {
        header.u32(key, id);
    }
    // Without the key llama.cpp takes token 11, which is a comma.
    if let Some(begin) = begin {
        header.u32("tokenizer.ggml.bos_token_id", begin);
    }
    header.bool("tokenizer.ggml.add_bos_token", tokenizer.begin_token().is_some());
    if let Some(template) = &files.chat_template {
        header.string("tokenizer.chat_template", template);
    }
    Ok(())
}
