//! A Hugging Face model in GGUF's terms: names of tensors, order of rows, and the keys that say what it is.
//!
//! The keys are those that `convert_hf_to_gguf.py` of llama.cpp writes (`docs/gguf.md` in ggml has their meaning).

use std::path::Path;

use super::tensors::{RowOrder, Source, SourcePart, interleaved};
use crate::keys::GgufWriter;
use crate::model::family::{self, rope};
use crate::model::{ModelConfig, ModelTensors, Slot, Stored, TensorSpec};
use crate::sampling::{ParameterValue, SamplingValues};
use crate::source::ModelFiles;
use crate::tokenizer::{Cuts, Vocabulary};
use crate::weights::gguf::Header;
use crate::weights::{DType, Storage, Tensor};
use crate::{EngineError, TokenId};

// The numbers of the kinds of tokens (`llama_token_type` in `llama.h`).
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// A tensor's name in GGUF, what it is made of, and the order of its rows.
pub(super) type Named = (String, Source, RowOrder);

/// The tensors of `files` in the order in which they are written: what tokens come in by, the layers, what they leave by.
///
/// # Errors
/// Those of [`ModelTensors::tensor`]; [`EngineError::Unsupported`] where there are more than the family has.
pub(super) fn tensors(files: &ModelFiles) -> Result<Vec<Named>, EngineError> {
    let config = &files.config;
    let tensors = ModelTensors::new(config, &files.weights);
    let is_input = |spec: &TensorSpec| matches!(spec.slot, Slot::Embedding | Slot::Positions);
    let (input, output): (Vec<_>, Vec<_>) = tensors.global_tensors().into_iter().partition(is_input);
    let layers = (0..config.n_layer()).flat_map(|layer| tensors.layer_tensors(layer));
    let mut named: Vec<Named> = Vec::new();
    for spec in &input {
        put(&mut named, &tensors, spec)?;
    }
    let factors = rope::factors(config)?.into_iter();
    named.extend(factors.map(|factors| (factors.name().to_owned(), factors.into(), RowOrder::Same)));
    for spec in layers.chain(output) {
        put(&mut named, &tensors, &spec)?;
    }
    files.refuse_untaken()?;
    Ok(named)
}

/// The same for a file that others read: with a copy of the embedding where they do not know that it may serve as output.
///
/// # Errors
/// Those of [`tensors`].
pub(super) fn tensors_of_file(files: &ModelFiles) -> Result<Vec<Named>, EngineError> {
    let (mut named, config) = (tensors(files)?, &files.config);
    if config.tied && family::gguf_has_output(config) {
        let tensors = ModelTensors::new(config, &files.weights);
        for spec in tensors.global_tensors().into_iter().filter(|spec| spec.slot == Slot::Embedding) {
            put(&mut named, &tensors, &TensorSpec { gguf: super::OUTPUT.to_owned(), ..spec })?;
        }
    }
    Ok(named)
}

/// Puts a tensor as GGUF has it behind the others, or into the one that it is a part of. The rows of a matrix are put in
/// order as they are written, values one by one are now.
fn put(named: &mut Vec<Named>, tensors: &ModelTensors<'_>, spec: &TensorSpec) -> Result<(), EngineError> {
    if let Some(later) = tensors.later(spec)? {
        return put_part(named, spec, SourcePart::Later(Box::new(later)), RowOrder::Same);
    }
    let tensor = tensors.tensor(spec)?;
    let (tensor, order) = match tensors.stored(spec) {
        // In order already.
        Stored::Same | Stored::Convolution => (tensor, RowOrder::Same),
        Stored::Transposed => (tensor, RowOrder::Transposed),
        Stored::InHalves { heads } if spec.shape.len() > 1 => (tensor, RowOrder::Interleaved { heads }),
        Stored::InHalves { heads } => {
            let (values, per_head) = (tensor.to_f32()?, tensor.len() / heads);
            let values = (0..values.len()).map(|row| values[interleaved(row, per_head)]);
            (vector(tensor.name(), values)?, RowOrder::Same)
        }
        Stored::LessOne | Stored::Logarithm => {
            (vector(tensor.name(), tensors.values(spec)?.into_iter())?, RowOrder::Same)
        }
    };
    put_part(named, spec, SourcePart::Stored(tensor), order)
}

/// Puts what `spec` describes behind the others, or into the one that it is a part of.
fn put_part(named: &mut Vec<Named>, spec: &TensorSpec, part: SourcePart, order: RowOrder) -> Result<(), EngineError> {
    if spec.begins_gguf() {
        named.push((spec.gguf.clone(), part.into(), order));
        return Ok(());
    }
    // The one that it goes into is among the last.
    match named.iter_mut().rev().find(|(name, ..)| *name == spec.gguf) {
        Some((_, source, _)) => source.push(part),
        None => Err(EngineError::Invalid(format!("`{}` has no beginning", spec.gguf))),
    }
}

/// A tensor of these values.
fn vector(name: &str, values: impl ExactSizeIterator<Item = f32>) -> Result<Tensor, EngineError> {
    let shape = vec![values.len()];
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let len = bytes.len();
    Tensor::new(name.to_owned(), shape, DType::F32, Storage::from_vec(bytes), 0..len)
}

/// Refuses what GGUF has no keys for: a program that reads the file would compute something else.
pub(super) fn refuse_unwritable(path: &Path, config: &ModelConfig) -> Result<(), EngineError> {
    let Some(what) = family::gguf_lacks(config) else { return Ok(()) };
    let what = format!("GGUF cannot say {what}: this model stays a folder (`--quantize` works without a file)");
    Err(EngineError::unsupported(path, what))
}

/// The keys that say what the model is.
pub(super) fn put_model(header: &mut Header, name: &str, config: &ModelConfig) {
    let architecture = config.family.gguf_name();
    header.string("general.architecture", architecture);
    header.string("general.type", "model");
    header.string("general.name", name);
    config.family.put_gguf_keys(&mut GgufWriter::new(header, architecture), config);
}

/// The keys that say which sampling is recommended; what they have no name for is left out.
pub(super) fn put_sampling(header: &mut Header, values: &SamplingValues) -> Vec<&'static str> {
    let mut unwritten = Vec::new();
    for (parameter, value) in values.iter() {
        let Some(key) = parameter.spec().gguf_key() else {
            unwritten.push(parameter.spec().key);
            continue;
        };
        match value {
            ParameterValue::Number(number) => header.f32(&key, *number),
            // No count of tokens is beyond this.
            ParameterValue::Integer(number) => header.i32(&key, i32::try_from(*number).unwrap_or(i32::MAX)),
            ParameterValue::Samplers(samplers) => header.string(&key, &samplers.to_string()),
            ParameterValue::Seed(_) => {}
        }
    }
    unwritten
}

/// The keys that say how a text is cut.
fn put_cuts(header: &mut Header, cuts: &Cuts) {
    match cuts {
        Cuts::Merges { pre_tokenizer, merges } => {
            header.string("tokenizer.ggml.model", "gpt2");
            header.string("tokenizer.ggml.pre", pre_tokenizer);
            header.strings("tokenizer.ggml.merges", merges);
        }
        Cuts::Spaced { merges, unknown } => {
            header.string("tokenizer.ggml.model", "gemma4");
            header.string("tokenizer.ggml.pre", "gemma4");
            header.strings("tokenizer.ggml.merges", merges);
            if let Some(unknown) = *unknown {
                header.u32("tokenizer.ggml.unknown_token_id", unknown);
            }
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
    let eos_tokens: Vec<TokenId> =
        tokenizer.eos_tokens().iter().copied().filter(|&id| (id as usize) < tokens.len()).collect();
    let eos = id_of(&files.eos_token).or(eos_tokens.first().copied());
    let bos = tokenizer.bos_token().or_else(|| id_of(&files.bos_token)).or(eos);
    let others = eos_tokens.iter().copied().filter(|&id| Some(id) != eos);
    let keys = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
    for (key, id) in keys.into_iter().zip(eos.into_iter().chain(others)) {
        header.u32(key, id);
    }
    // Without the key llama.cpp takes token 11, which is a comma.
    if let Some(bos) = bos {
        header.u32("tokenizer.ggml.bos_token_id", bos);
    }
    header.bool("tokenizer.ggml.add_bos_token", tokenizer.bos_token().is_some());
    if let Some(template) = &files.chat_template {
        header.string("tokenizer.chat_template", template);
    }
    Ok(())
}
