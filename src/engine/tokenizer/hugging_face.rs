//! A tokenizer from the files of a Hugging Face folder: `tokenizer.json`, or `vocab.json` with `merges.txt`.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};

use super::bpe::{self, PreTokenizer};
use super::{PieceKind, Pieces, TokenId, Tokenizer};
use crate::engine::EngineError;

/// The parts of `tokenizer.json` that are checked before the crate reads it.
#[derive(Deserialize)]
struct Sketch {
    model: SketchModel,
}

#[derive(Deserialize)]
struct SketchModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: serde_json::Value,
    #[serde(default)]
    merges: Vec<Merge>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

/// Older files write a merge as one string, newer ones as two.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

/// The tokenizer of a `tokenizer.json`. Whether a text begins with a special token is the business of its
/// post-processor; `ends` are spellings of the tokens that end a reply, beside the ids in `end_ids`.
///
/// # Errors
/// [`EngineError::Io`]; [`EngineError::Format`] where the file is broken; [`EngineError::Unsupported`] where it is not a
/// byte-level BPE.
pub(in crate::engine) fn from_json(
    path: &Path,
    end_ids: Vec<TokenId>,
    ends: &[String],
) -> Result<Tokenizer, EngineError> {
    let json = std::fs::read(path).map_err(|source| EngineError::Io { path: path.to_owned(), source })?;
    check_sketch(path, &json)?;
    let mut inner =
        tokenizers::Tokenizer::from_bytes(&json).map_err(|error| EngineError::format(path, error.to_string()))?;
    check_byte_level(path, &inner)?;
    // A limit on lengths that somebody trained with would silently cut a prompt.
    inner.with_truncation(None).map_err(|error| EngineError::format(path, error.to_string()))?;
    inner.with_padding(None);
    let begin = begin_token(path, &inner)?;
    finish(path, inner, begin, end_ids, ends)
}

/// The tokenizer of a `vocab.json` and a `merges.txt` with GPT-2's pre-tokenizer. `specials` are the spellings of
/// special tokens, `begin` and `ends` those that begin a text and end a reply.
///
/// # Errors
/// [`EngineError::Io`]; [`EngineError::Format`] where a file is broken or the two do not fit.
pub(in crate::engine) fn from_vocab_and_merges(
    vocab_path: &Path,
    merges_path: &Path,
    specials: &[String],
    begin: Option<&str>,
    end_ids: Vec<TokenId>,
    ends: &[String],
) -> Result<Tokenizer, EngineError> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|source| EngineError::Io { path: path.to_owned(), source });
    let vocab: HashMap<String, TokenId> = serde_json::from_str(&read(vocab_path)?)
        .map_err(|error| EngineError::format(vocab_path, format!("not a vocabulary: {error}")))?;
    let mut merges = Vec::new();
    for (number, line) in read(merges_path)?.lines().enumerate() {
        if line.is_empty() || (number == 0 && line.starts_with("#version")) {
            continue;
        }
        let Some((left, right)) = bpe::parse_merge(line) else {
            let reason = format!("line {}: `{line}` is no merge of two pieces", number + 1);
            return Err(EngineError::format(merges_path, reason));
        };
        merges.push((left.to_owned(), right.to_owned()));
    }
    let marks: Vec<_> = specials
        .iter()
        .filter(|special| vocab.contains_key(*special))
        .map(|special| (special.clone(), PieceKind::Special))
        .collect();
    let vocab: Vocab = vocab.into_iter().collect();
    let inner = bpe::build(vocab, merges, PreTokenizer::Gpt2, marks)
        .map_err(|reason| EngineError::format(merges_path, reason))?;
    let begin = begin.map(|begin| named_token(vocab_path, &inner, begin)).transpose()?;
    finish(vocab_path, inner, begin, end_ids, ends)
}

/// Collects the bytes of all tokens and checks the ends.
fn finish(
    path: &Path,
    inner: tokenizers::Tokenizer,
    begin: Option<TokenId>,
    mut end_ids: Vec<TokenId>,
    ends: &[String],
) -> Result<Tokenizer, EngineError> {
    let added = inner.get_added_tokens_decoder();
    let vocab = inner.get_vocab(true);
    let pieces = vocab.iter().map(|(piece, &id)| {
        let kind = match added.get(&id) {
            Some(token) if token.special => PieceKind::Special,
            Some(_) => PieceKind::Literal,
            None => PieceKind::Bytes,
        };
        (piece.as_str(), id, kind)
    });
    let pieces = Pieces::from_unordered(pieces).map_err(|error| EngineError::format(path, error.to_string()))?;
    if let Some(id) = end_ids.iter().find(|&&id| id as usize >= pieces.len()) {
        let reason = format!("the end token is {id} by the configuration, the vocabulary has {} tokens", pieces.len());
        return Err(EngineError::format(path, reason));
    }
    for end in ends {
        end_ids.push(named_token(path, &inner, end)?);
    }
    Ok(Tokenizer::new(inner, pieces, begin, end_ids))
}

fn named_token(path: &Path, inner: &tokenizers::Tokenizer, piece: &str) -> Result<TokenId, EngineError> {
    inner.token_to_id(piece).ok_or_else(|| {
        EngineError::format(path, format!("the token `{piece}` of the configuration is not in the vocabulary"))
    })
}

/// Refuses what the crate would panic on, and what is no plain BPE.
fn check_sketch(path: &Path, json: &[u8]) -> Result<(), EngineError> {
    let Sketch { model } =
        serde_json::from_slice(json).map_err(|error| EngineError::format(path, format!("not a tokenizer: {error}")))?;
    let affix = [
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ]
    .into_iter()
    .find(|(_, value)| value.as_ref().is_some_and(|value| !value.is_empty()));
    if let Some((key, _)) = affix {
        return Err(EngineError::unsupported(
            path,
            format!("`{key}` of its model is set: only plain BPE is supported"),
        ));
    }
    if let Some(kind) = model.kind.filter(|kind| kind != "BPE") {
        let what = format!("its model is of the type {kind}: byte-level BPE is supported");
        return Err(EngineError::unsupported(path, what));
    }
    let Some(vocab) = model.vocab.as_object() else {
        return Err(EngineError::format(path, "`model.vocab` is missing"));
    };
    let merges = model.merges.iter().map(|merge| match merge {
        Merge::Line(line) => bpe::parse_merge(line).ok_or_else(|| format!("`{line}` is no merge of two pieces")),
        Merge::Pair(left, right) => Ok((left.as_str(), right.as_str())),
    });
    let merges = merges.collect::<Result<Vec<_>, _>>().map_err(|reason| EngineError::format(path, reason))?;
    bpe::check_merges(merges, |piece| vocab.contains_key(piece)).map_err(|reason| EngineError::format(path, reason))
}

fn check_byte_level(path: &Path, inner: &tokenizers::Tokenizer) -> Result<(), EngineError> {
    let ModelWrapper::BPE(BPE { dropout, .. }) = inner.get_model() else {
        return Err(EngineError::unsupported(path, "its model is no BPE: byte-level BPE is supported"));
    };
    if dropout.is_some_and(|dropout| dropout > 0.0) {
        return Err(EngineError::unsupported(
            path,
            "`dropout` of its model is set, which makes tokens a matter of chance",
        ));
    }
    if !matches!(inner.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
        let what = "its decoder is not `ByteLevel`: byte-level BPE, as GPT-2 and SmolLM have it, is supported";
        return Err(EngineError::unsupported(path, what));
    }
    Ok(())
}

/// The special token that the post-processor puts before a text.
fn begin_token(path: &Path, inner: &tokenizers::Tokenizer) -> Result<Option<TokenId>, EngineError> {
    let encode =
        |specials| inner.encode_fast("a", specials).map_err(|error| EngineError::format(path, error.to_string()));
    let (plain, processed) = (encode(false)?, encode(true)?);
    let (plain, processed) = (plain.get_ids(), processed.get_ids());
    let before = processed.windows(plain.len().max(1)).position(|window| window == plain).unwrap_or(0);
    match processed[..before] {
        [] => Ok(None),
        [begin] => Ok(Some(begin)),
        _ => Err(EngineError::unsupported(path, format!("its post-processor puts {before} tokens before a text"))),
    }
}
