//! A tokenizer from the metadata of a GGUF file (`tokenizer.ggml.*`).

use std::path::Path;

use tokenizers::models::bpe::Vocab;

use super::bpe::{self, PreTokenizer};
use super::{PieceKind, Pieces, TokenId, Tokenizer};
use crate::engine::EngineError;
use crate::engine::weights::gguf::Metadata;

/// Names in `tokenizer.ggml.pre` and how they cut a text. `default` stands in files of GPT-2's family that were made
/// before the key had names.
const PRE_TOKENIZERS: [(&str, PreTokenizer); 3] =
    [("gpt-2", PreTokenizer::Gpt2), ("default", PreTokenizer::Gpt2), ("smollm", PreTokenizer::Gpt2ThenDigits)];

/// Keys of tokens that end a reply.
const END_KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Ends a document in every vocabulary that has it as a control token, whatever ends a turn of a chat.
const END_OF_TEXT: &str = "<|endoftext|>";

/// The tokenizer that the metadata of the file at `path` describes.
///
/// # Errors
/// [`EngineError::Unsupported`] for another kind of tokenizer or pre-tokenizer; [`EngineError::Format`] where parts are
/// missing or do not fit each other.
pub(in crate::engine) fn from_gguf(path: &Path, metadata: &Metadata<'_>) -> Result<Tokenizer, EngineError> {
    let broken =
        |reason: String| EngineError::format(path, format!("the tokenizer in the metadata is broken: {reason}"));
    let missing = |key: &str| EngineError::format(path, format!("metadata key `{key}` is missing"));
    check_model(path, metadata)?;
    let pre_tokenizer = pre_tokenizer(path, metadata)?;

    let tokens = metadata.strings("tokenizer.ggml.tokens")?.ok_or_else(|| missing("tokenizer.ggml.tokens"))?;
    let kinds = piece_kinds(metadata, tokens.len())?.ok_or_else(|| {
        broken(format!("`tokenizer.ggml.token_type` does not have one entry for each of the {} tokens", tokens.len()))
    })?;
    let merges = metadata.strings("tokenizer.ggml.merges")?.ok_or_else(|| missing("tokenizer.ggml.merges"))?;
    let merges = merges
        .into_iter()
        .map(|merge| match bpe::parse_merge(merge) {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(broken(format!("`{merge}` is no merge of two pieces"))),
        })
        .collect::<Result<Vec<_>, _>>()?;

    let mut pieces = Pieces::default();
    let mut vocab = Vocab::with_capacity(tokens.len());
    let mut marks = Vec::new();
    let mut ends = Vec::new();
    for (id, (&token, &kind)) in (0..).zip(tokens.iter().zip(&kinds)) {
        pieces.push(token, kind);
        vocab.insert(token.to_owned(), id);
        if kind != PieceKind::Bytes {
            marks.push((token.to_owned(), kind));
        }
        if kind == PieceKind::Special && token == END_OF_TEXT {
            ends.push(id);
        }
    }
    for key in END_KEYS {
        ends.extend(token_id(path, metadata, key, tokens.len())?);
    }
    let begin = match metadata.bool("tokenizer.ggml.add_bos_token")? {
        Some(true) => token_id(path, metadata, "tokenizer.ggml.bos_token_id", tokens.len())?,
        _ => None,
    };
    let inner = bpe::build(vocab, merges, pre_tokenizer, marks).map_err(broken)?;
    Ok(Tokenizer::new(inner, pieces, begin, ends))
}

fn check_model(path: &Path, metadata: &Metadata<'_>) -> Result<(), EngineError> {
    match metadata.string("tokenizer.ggml.model")? {
        Some("gpt2") => Ok(()),
        Some(other) => Err(EngineError::unsupported(
            path,
            format!(
                "its tokenizer is of the kind `{other}` (tokenizer.ggml.model): byte-level BPE, `gpt2`, is supported"
            ),
        )),
        None => Err(EngineError::format(path, "there is no tokenizer in it (tokenizer.ggml.model is missing)")),
    }
}

fn pre_tokenizer(path: &Path, metadata: &Metadata<'_>) -> Result<PreTokenizer, EngineError> {
    let name = metadata.string("tokenizer.ggml.pre")?.unwrap_or("default");
    PRE_TOKENIZERS.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind).ok_or_else(|| {
        let known: Vec<&str> = PRE_TOKENIZERS.iter().map(|&(name, _)| name).collect();
        let what = format!("its pre-tokenizer is `{name}` (tokenizer.ggml.pre): supported are {}", known.join(", "));
        EngineError::unsupported(path, what)
    })
}

/// One kind a token; `None` where the file has another number of them.
fn piece_kinds(metadata: &Metadata<'_>, tokens: usize) -> Result<Option<Vec<PieceKind>>, EngineError> {
    let Some(types) = metadata.integers("tokenizer.ggml.token_type")? else {
        return Ok(Some(vec![PieceKind::Bytes; tokens]));
    };
    // The numbers are llama.cpp's `llama_token_type`.
    let kinds = types.into_iter().map(|kind| match kind {
        3 => PieceKind::Special,
        4 => PieceKind::Literal,
        _ => PieceKind::Bytes,
    });
    Ok(Some(kinds.collect::<Vec<_>>()).filter(|kinds| kinds.len() == tokens))
}

/// The id under `key`, which has to be one of the vocabulary's.
fn token_id(path: &Path, metadata: &Metadata<'_>, key: &str, tokens: usize) -> Result<Option<TokenId>, EngineError> {
    let Some(id) = metadata.unsigned(key)? else { return Ok(None) };
    match TokenId::try_from(id) {
        Ok(token) if id < tokens as u64 => Ok(Some(token)),
        _ => Err(EngineError::format(path, format!("`{key}` is {id}, the vocabulary has {tokens} tokens"))),
    }
}
