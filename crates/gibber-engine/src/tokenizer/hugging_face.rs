//! A tokenizer from the files of a Hugging Face folder: `tokenizer.json`, or `vocab.json` with `merges.txt`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::Vocab;
use tokenizers::processors::PostProcessorWrapper;

use super::bpe::{self, PreTokenizer};
use super::decoder::Spelling;
use super::eos;
use super::pieces::{PieceKind, Pieces};
use super::sketch::{self, Checked};
use super::{Bos, TokenId, Tokenizer};
use crate::EngineError;
use crate::caught::caught;
use crate::json;
use crate::weights::disguise;
use gibber_files::quoted;

/// What a configuration says about the tokens that end a reply. It may be of an older vocabulary: what is not there ends
/// nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct EosTokens {
    /// Ids, each with the file and the key that name it.
    pub(crate) ids: Vec<(i64, String)>,
    /// Spellings, likewise.
    pub(crate) texts: Vec<(String, String)>,
}

/// The tokenizer of a `tokenizer.json`. Whether a text begins with a special token is the business of its
/// post-processor.
///
/// # Errors
/// [`EngineError::Io`]; [`EngineError::Format`] where the file is broken; [`EngineError::Unsupported`] where it is not a
/// byte-level BPE.
pub(crate) fn from_json(path: &Path, eos: &EosTokens) -> Result<Tokenizer, EngineError> {
    let json = read_json(path)?;
    let Checked { growth, bos } = sketch::check(path, &json)?;
    let mut inner = caught(|| tokenizers::Tokenizer::from_bytes(json::without_bom(&json)))
        .map_err(|panic| format!("the `tokenizers` crate fails on it: {panic}"))
        .and_then(|outcome| outcome.map_err(|error| error.to_string()))
        .map_err(|reason| EngineError::format(path, reason))?;
    check_model(path, &inner)?;
    make_eos_special(&mut inner).map_err(|reason| EngineError::format(path, reason))?;
    let spelling = Spelling::of(inner.get_decoder()).map_err(|what| EngineError::unsupported(path, what))?;
    // A limit on lengths that somebody trained with would silently cut a prompt.
    inner.with_truncation(None).map_err(|error| EngineError::format(path, error.to_string()))?;
    inner.with_padding(None);
    // What it does is known: a token before a text is put there by `Tokenizer::encode`.
    inner.with_post_processor(None::<PostProcessorWrapper>);
    Ok(finish(path, inner, spelling, bos, eos)?.guarded(growth, path))
}

/// What [`from_json`] would refuse, but for what only the crate finds.
///
/// # Errors
/// Those of [`from_json`].
pub(crate) fn check_json(path: &Path) -> Result<(), EngineError> {
    sketch::check(path, &read_json(path)?).map(|_| ())
}

fn read_json(path: &Path) -> Result<Vec<u8>, EngineError> {
    let json = gibber_files::read(path, gibber_files::VOCABULARY)
        .map_err(|source| EngineError::Io { path: path.to_owned(), source })?;
    disguise::refuse(path, &json)?;
    Ok(json)
}

/// A `vocab.json` with its `merges.txt`, and what a configuration says about them.
#[derive(Debug, Clone)]
pub(crate) struct VocabAndMerges {
    /// The vocabulary.
    pub(crate) vocab: PathBuf,
    pub(crate) merges: PathBuf,
    /// Whether a text is composed and cut as Qwen2's tokenizer does, and not as GPT-2's.
    pub(crate) as_qwen2: bool,
    /// Tokens that are matched whole in a text; those without an id only where the vocabulary has them.
    pub(crate) added_tokens: Vec<AddedTokenSpec>,
    /// The spelling of the token that begins a text.
    pub(crate) bos: Option<String>,
}

/// What the files say of a token that is matched whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddedTokenSpec {
    pub(crate) text: String,
    pub(crate) id: Option<TokenId>,
    pub(crate) special: bool,
}

/// The tokenizer of a `vocab.json` and a `merges.txt`.
///
/// # Errors
/// [`EngineError::Io`]; [`EngineError::Format`] where a file is broken or the two do not fit.
pub(crate) fn from_vocab_and_merges(files: &VocabAndMerges, eos: &EosTokens) -> Result<Tokenizer, EngineError> {
    let Parts { vocab, merges, added_tokens } = read_parts(files)?;
    let VocabAndMerges { vocab: vocab_path, merges: merges_path, .. } = files;
    let pre_tokenizer = if files.as_qwen2 { PreTokenizer::QWEN2 } else { PreTokenizer::GPT2 };
    let mut inner = bpe::build(vocab.into_iter().collect::<Vocab>(), merges, pre_tokenizer, added_tokens)
        .map_err(|reason| EngineError::format(merges_path, reason))?;
    make_eos_special(&mut inner).map_err(|reason| EngineError::format(vocab_path, reason))?;
    let bos = files.bos.as_deref().map_or(Bos::Nothing, |bos| match inner.token_to_id(bos) {
        Some(token) => Bos::Token(token),
        None => {
            let path = vocab_path.display();
            let why = "the configuration asks for it (`add_bos_token`), and the vocabulary does not have it";
            Bos::Missing(format!("{path}: a text begins with `{bos}`: {why}"))
        }
    });
    finish(vocab_path, inner, Spelling::BYTE_LEVEL, bos, eos)
}

/// What [`from_vocab_and_merges`] would refuse, without building the tokenizer.
///
/// # Errors
/// Those of [`from_vocab_and_merges`].
pub(crate) fn check_vocab_and_merges(files: &VocabAndMerges) -> Result<(), EngineError> {
    let Parts { vocab, merges, .. } = read_parts(files)?;
    let merges = merges.iter().map(|(left, right)| (left.as_str(), right.as_str()));
    bpe::check_merges(merges, |piece| vocab.contains_key(piece))
        .map_err(|reason| EngineError::format(&files.merges, reason))
}

/// A vocabulary and its merges, and the added tokens that it has.
struct Parts {
    vocab: HashMap<String, TokenId>,
    merges: Vec<(String, String)>,
    added_tokens: Vec<(String, PieceKind)>,
}

fn read_parts(files: &VocabAndMerges) -> Result<Parts, EngineError> {
    let VocabAndMerges { vocab: vocab_path, merges: merges_path, .. } = files;
    let mut vocab = read_vocab(vocab_path)?;
    let merges = read_merges(merges_path)?;
    let mut added_tokens = Vec::new();
    for token in &files.added_tokens {
        if let Some(id) = token.id
            && *vocab.entry(token.text.clone()).or_insert(id) != id
        {
            let reason = format!("`{}` has another id here than among the added tokens ({id})", token.text);
            return Err(EngineError::format(vocab_path, reason));
        }
        if vocab.contains_key(&token.text) {
            added_tokens
                .push((token.text.clone(), if token.special { PieceKind::Special } else { PieceKind::Literal }));
        }
    }
    Ok(Parts { vocab, merges, added_tokens })
}

fn read_vocab(path: &Path) -> Result<HashMap<String, TokenId>, EngineError> {
    let text = read(path)?;
    disguise::refuse(path, text.as_bytes())?;
    let broken = |what: String| EngineError::format(path, format!("not a vocabulary: {what}"));
    let pieces = json::object(text.as_bytes()).map_err(broken)?;
    if pieces.is_empty() {
        return Err(broken("it is empty".to_owned()));
    }
    let entry = |(piece, id): (String, Value)| match id.as_u64().and_then(|id| TokenId::try_from(id).ok()) {
        Some(id) => Ok((piece, id)),
        None => {
            let (piece, id) = (quoted::shortened(&piece), id.to_string());
            Err(broken(format!("`{piece}` has the id {}: it has to be a whole number", quoted::shortened(&id))))
        }
    };
    pieces.into_iter().map(entry).collect()
}

fn read(path: &Path) -> Result<String, EngineError> {
    gibber_files::read_text(path, gibber_files::VOCABULARY)
        .map_err(|source| EngineError::Io { path: path.to_owned(), source })
}

fn read_merges(path: &Path) -> Result<Vec<(String, String)>, EngineError> {
    let text = read(path)?;
    // A vocabulary without merges has an empty list of them.
    if !text.is_empty() {
        disguise::refuse(path, text.as_bytes())?;
    }
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(number, line)| !(line.is_empty() || (*number == 0 && line.starts_with("#version"))));
    let merge = |(number, line): (usize, &str)| match bpe::parse_merge(line) {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => {
            let reason = format!("line {}: `{line}` is no merge of two pieces", number + 1);
            Err(EngineError::format(path, reason))
        }
    };
    lines.map(merge).collect()
}

/// The special tokens that end a reply are matched whole in a text, also where the file has them as plain pieces only.
fn make_eos_special(inner: &mut tokenizers::Tokenizer) -> Result<(), String> {
    let eos: Vec<AddedToken> = {
        let added: HashSet<String> =
            inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        let is_plain = |text: &&str| !added.contains(*text);
        let plain = eos::eos_texts(|text| inner.token_to_id(text).is_some()).filter(is_plain);
        plain.map(|text| AddedToken::from(text, true)).collect()
    };
    inner.add_special_tokens(eos).map(|_| ()).map_err(|error| error.to_string())
}

/// Collects the bytes of all tokens and the ends.
fn finish(
    path: &Path,
    inner: tokenizers::Tokenizer,
    spelling: Spelling,
    bos: Bos,
    eos: &EosTokens,
) -> Result<Tokenizer, EngineError> {
    let added = inner.get_added_tokens_decoder();
    let vocab = inner.get_vocab(true);
    let has = |text: &str| vocab.contains_key(text);
    let pieces = vocab.iter().map(|(piece, &id)| {
        let kind = match added.get(&id) {
            Some(token) if token.special || eos::is_eos(piece, has) => PieceKind::Special,
            Some(_) => PieceKind::Literal,
            None => spelling.kind_of(piece),
        };
        (piece.as_str(), id, kind)
    });
    let pieces = Pieces::from_unordered(pieces).map_err(|error| EngineError::format(path, error.to_string()))?;
    let mut notes = Vec::new();
    let mut named = named_eos(eos, pieces.len(), |text| inner.token_to_id(text), &mut notes);
    let is_special = |id: &TokenId| added.get(id).is_some_and(|token| token.special);
    named = eos::with_named(named, vocab.iter().map(|(text, id)| (text.as_str(), *id, is_special(id))), has);
    let tokenizer = Tokenizer::new(inner, pieces, bos, named);
    Ok(tokenizer.with_space_prefix(spelling.space_prefix).with_notes(notes))
}

/// Those that the configuration names and the vocabulary, of `tokens` tokens, has.
fn named_eos(
    eos: &EosTokens,
    tokens: usize,
    id_of: impl Fn(&str) -> Option<TokenId>,
    notes: &mut Vec<String>,
) -> Vec<TokenId> {
    let mut found = Vec::new();
    for (id, place) in &eos.ids {
        match TokenId::try_from(*id).ok().filter(|&token| (token as usize) < tokens) {
            Some(token) => found.push(token),
            None => notes.push(format!("{place} is {id}, the vocabulary has {tokens} tokens")),
        }
    }
    for (text, place) in &eos.texts {
        match id_of(text) {
            Some(token) => found.push(token),
            None => notes.push(format!("{place} is `{text}`, which is not in the vocabulary")),
        }
    }
    found
}

fn check_model(path: &Path, inner: &tokenizers::Tokenizer) -> Result<(), EngineError> {
    match inner.get_model() {
        ModelWrapper::BPE(_) | ModelWrapper::Unigram(_) => Ok(()),
        _ => Err(EngineError::unsupported(path, "its model is of another type than BPE and Unigram (model.type)")),
    }
}
