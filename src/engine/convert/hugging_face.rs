//! A Hugging Face model in GGUF's terms: names of tensors, order of rows, and the keys that say what it is.
//!
//! The keys are those that `convert_hf_to_gguf.py` of llama.cpp writes (`docs/gguf.md` in ggml has their meaning).

use super::tensors::RowOrder;
use crate::engine::load::ModelFiles;
use crate::engine::model::{Architecture, ModelConfig};
use crate::engine::tokenizer::{Cuts, Vocabulary};
use crate::engine::weights::gguf::Header;
use crate::engine::weights::{Tensor, Weights};
use crate::engine::{EngineError, TokenId};

// The numbers of the kinds of tokens (`llama_token_type` in `llama.h`).
const UNUSED: i32 = 5;

/// A tensor's name in GGUF, the tensor, and the order of its rows.
pub(super) type Named = (String, Tensor, RowOrder);

/// The tensors of `files` in the order in which they are written.
///
/// # Errors
/// Those of [`Weights::tensor`]; [`EngineError::Unsupported`] where there are more than the architecture has.
pub(super) fn tensors(files: &ModelFiles) -> Result<Vec<Named>, EngineError> {
    let named = match files.config.architecture {
        Architecture::Gpt2 => gpt2(&files.config, &files.weights)?,
        Architecture::Llama => llama(&files.config, &files.weights)?,
    };
    files.refuse_untaken()?;
    Ok(named)
}

fn gpt2(config: &ModelConfig, weights: &Weights) -> Result<Vec<Named>, EngineError> {
    let &ModelConfig { n_layer, n_embd, n_ff, vocab_size, trained_context, .. } = config;
    // The head stands outside the prefix.
    let head = weights.contains("lm_head.weight").then(|| weights.tensor("lm_head.weight", &[vocab_size, n_embd]));
    let prefixed = weights.pp("transformer");
    let weights = if prefixed.contains("wte.weight") { &prefixed } else { weights };
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
    let &ModelConfig { n_layer, n_embd, n_ff, vocab_size, n_head, n_kv_head, head_dim, .. } = config;
    let (q, kv) = (n_head * head_dim, n_kv_head * head_dim);
    let same = RowOrder::Same;
    let mut named = vec![(
        "token_embd.weight".to_owned(),
        weights.tensor("model.embed_tokens.weight", &[vocab_size, n_embd])?,
        RowOrder::Same,
    )];
    let norms = [("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")];
    let matrices = [
        ("self_attn.q_proj", "attn_q", [q, n_embd], RowOrder::Interleaved { heads: n_head }),
        ("self_attn.k_proj", "attn_k", [kv, n_embd], RowOrder::Interleaved { heads: n_kv_head }),
        ("self_attn.v_proj", "attn_v", [kv, n_embd], same),
        ("self_attn.o_proj", "attn_output", [n_embd, q], same),
        ("mlp.gate_proj", "ffn_gate", [n_ff, n_embd], same),
        ("mlp.up_proj", "ffn_up", [n_ff, n_embd], same),
        ("mlp.down_proj", "ffn_down", [n_embd, n_ff], same),
    ];
    for layer in 0..n_layer {
        let block = weights.pp("model.layers").pp(layer);
        for (theirs, ours) in norms {
            named.push((format!("blk.{layer}.{ours}.weight"), block.pp(theirs).tensor("weight", &[n_embd])?, same));
        }
        for (theirs, ours, shape, order) in matrices {
            named.push((format!("blk.{layer}.{ours}.weight"), block.pp(theirs).tensor("weight", &shape)?, order));
        }
    }
    named.push(("output_norm.weight".into(), weights.tensor("model.norm.weight", &[n_embd])?, same));
    if weights.contains("lm_head.weight") {
        named.push(("output.weight".into(), weights.tensor("lm_head.weight", &[vocab_size, n_embd])?, same));
    }
    Ok(named)
}

/// The keys that say what the model is.
pub(super) fn put_model(header: &mut Header, name: &str, config: &ModelConfig) {
    let architecture = config.architecture.as_str();
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
    let is_llama = config.architecture == Architecture::Llama;
    let llama_sizes = llama_sizes.into_iter().filter(|_| is_llama);
    for (key, size) in sizes.into_iter().chain(llama_sizes) {
        // No size of a model is beyond `load`'s limit, which is far below.
        header.u32(&format!("{architecture}.{key}"), u32::try_from(size).unwrap_or(u32::MAX));
    }
    if is_llama {
        header.f32("llama.rope.freq_base", config.rope_theta);
        header.f32("llama.attention.layer_norm_rms_epsilon", config.norm_eps);
    } else {
        header.f32("gpt2.attention.layer_norm_epsilon", config.norm_eps);
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
    // llama.cpp wants a token for each row of the embedding.
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
    let tokens = put_vocabulary(header, vocabulary, files.config.vocab_size);
    let id_of = |text: &Option<String>| -> Option<TokenId> {
        let index = tokens.iter().position(|token| Some(token) == text.as_ref())?;
        TokenId::try_from(index).ok()
    };
    let ends = tokenizer.end_tokens();
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
