//! A tokenizer from the metadata of a GGUF file (`tokenizer.ggml.*`). Where a key is missing, llama.cpp's default holds.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;

use tokenizers::models::bpe::Vocab;

use super::bpe::{self, PRE_TOKENIZER_NAMES, PreTokenizer};
use super::eos;
use super::pieces::{PieceKind, Pieces, byte_piece};
use super::sentence_piece::{Parts, Piece, SentencePiece};
use super::{Bos, Encoder, TokenId, Tokenizer};
use crate::EngineError;
use crate::model::family;
use crate::weights::gguf::Metadata;

/// Keys of tokens that end a reply.
const END_KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

const END_LIST_KEY: &str = "tokenizer.ggml.eos_token_ids";

const BEGIN_KEY: &str = "tokenizer.ggml.bos_token_id";

// SentencePiece's own ids, where a file of its kind names none.
const UNKNOWN_ID: TokenId = 0;
const BOS_ID: TokenId = 1;
const EOS_ID: TokenId = 2;

/// What a file says a token is: llama.cpp's `llama_token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl TokenKind {
    fn of(number: i64) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }

    /// Of a token that is text in GPT-2's spelling where it is not special.
    fn in_bytes(self) -> PieceKind {
        match self {
            Self::Control => PieceKind::Special,
            Self::UserDefined => PieceKind::Literal,
            Self::Normal | Self::Unknown | Self::Unused | Self::Byte => PieceKind::Bytes,
        }
    }
}

/// The tokenizer that the metadata of the file at `path` describes.
///
/// # Errors
/// [`EngineError::Unsupported`] for another kind of tokenizer or pre-tokenizer; [`EngineError::Format`] where parts are
/// missing or do not fit each other.
pub(crate) fn from_gguf(path: &Path, metadata: &Metadata<'_>) -> Result<Tokenizer, EngineError> {
    match metadata.string("tokenizer.ggml.model")? {
        Some("gpt2") => byte_level(&Reader::new(path, metadata)?),
        Some("llama") => sentence_piece(&Reader::new(path, metadata)?),
        Some("gemma4") => spaced(&Reader::new(path, metadata)?),
        Some(other) => {
            let what = format!(
                "its tokenizer is of the kind `{other}` (tokenizer.ggml.model): `gpt2` (byte-level BPE), `llama` (SentencePiece) and `gemma4` are supported"
            );
            Err(EngineError::unsupported(path, what))
        }
        None => Err(EngineError::format(path, "there is no tokenizer in it (tokenizer.ggml.model is missing)")),
    }
}

/// What [`from_gguf`] would refuse, without building the tokenizer, which takes a moment.
///
/// # Errors
/// Those of [`from_gguf`].
pub(crate) fn check_gguf(path: &Path, metadata: &Metadata<'_>) -> Result<(), EngineError> {
    if metadata.string("tokenizer.ggml.model")? != Some("gpt2") {
        return from_gguf(path, metadata).map(|_| ());
    }
    let reader = Reader::new(path, metadata)?;
    reader.pre_tokenizer()?;
    reader.bos(false, None)?;
    reader.eos(None)?;
    let known: HashSet<&str> = reader.tokens.iter().copied().collect();
    let has = |piece: &str| known.contains(piece);
    bpe::check_merges(reader.merges()?, has).map_err(|reason| reader.broken(&reason))
}

fn byte_level(reader: &Reader<'_>) -> Result<Tokenizer, EngineError> {
    let pre_tokenizer = reader.pre_tokenizer()?;
    let merges = reader.merges()?.into_iter().map(|(left, right)| (left.to_owned(), right.to_owned())).collect();
    let mut pieces = Pieces::default();
    let mut vocab = Vocab::with_capacity(reader.tokens.len());
    let mut special_tokens = Vec::new();
    for (id, token, kind) in reader.entries() {
        let kind = kind.in_bytes();
        pieces.push(token, kind);
        vocab.insert(token.to_owned(), id);
        if kind != PieceKind::Bytes {
            special_tokens.push((token.to_owned(), kind));
        }
    }
    // Llama 3's files were to begin every text before they had the key.
    let bos = reader.bos(pre_tokenizer == PreTokenizer::LLAMA3, None)?;
    let eos = reader.eos(None)?;
    let inner = bpe::build(vocab, merges, pre_tokenizer, special_tokens).map_err(|reason| reader.broken(&reason))?;
    Ok(Tokenizer::new(inner, pieces, bos, eos).with_notes(reader.notes.take()))
}

fn sentence_piece(reader: &Reader<'_>) -> Result<Tokenizer, EngineError> {
    let metadata = reader.metadata;
    let scores = metadata.floats("tokenizer.ggml.scores")?.ok_or_else(|| reader.missing("tokenizer.ggml.scores"))?;
    if scores.len() != reader.tokens.len() {
        let (scores, tokens) = (scores.len(), reader.tokens.len());
        return Err(reader.broken(&format!("`tokenizer.ggml.scores` has {scores} entries for {tokens} tokens")));
    }
    if let Some(at) = scores.iter().position(|score| score.is_nan()) {
        return Err(reader.broken(&format!("`tokenizer.ggml.scores[{at}]` is NaN, it has to be a number")));
    }
    let mut pieces = Pieces::default();
    let mut parts = Parts {
        space_prefix: metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true),
        unknown: reader.noted_id("tokenizer.ggml.unknown_token_id", Some(UNKNOWN_ID))?,
        ..Parts::default()
    };
    for ((id, token, kind), &score) in reader.entries().zip(&scores) {
        let piece_kind = match kind {
            TokenKind::Normal | TokenKind::Unused => {
                let piece = Piece { id, score: score as f32, unused: kind == TokenKind::Unused };
                parts.pieces.insert(token.to_owned(), piece);
                PieceKind::Metaspace
            }
            TokenKind::Byte => {
                let byte = byte_piece(token).ok_or_else(|| reader.broken(&format!("`{token}` is no byte")))?;
                parts.bytes.insert(byte, id);
                PieceKind::Byte(byte)
            }
            TokenKind::UserDefined => PieceKind::Literal,
            TokenKind::Control | TokenKind::Unknown => PieceKind::Special,
        };
        if matches!(piece_kind, PieceKind::Literal | PieceKind::Special) {
            parts.special_tokens.push((token.to_owned(), id));
        }
        pieces.push(token, piece_kind);
    }
    let bos = reader.bos(true, Some(BOS_ID))?;
    let eos = reader.eos(Some(EOS_ID))?;
    let encoder = SentencePiece::new(parts).map_err(|reason| reader.broken(&reason))?;
    let space_prefix = encoder.has_space_prefix();
    let tokenizer = Tokenizer::new(Encoder::SentencePiece(encoder), pieces, bos, eos);
    Ok(tokenizer.with_space_prefix(space_prefix).with_notes(reader.notes.take()))
}

/// Gemma 4's: merges as of GPT-2's kind, pieces as of SentencePiece's.
fn spaced(reader: &Reader<'_>) -> Result<Tokenizer, EngineError> {
    let merges = reader.merges()?.into_iter().map(|(left, right)| (left.to_owned(), right.to_owned())).collect();
    let unknown = reader.noted_id("tokenizer.ggml.unknown_token_id", None)?;
    let unknown = unknown.and_then(|id| reader.tokens.get(id as usize)).map(|&token| token.to_owned());
    let mut pieces = Pieces::default();
    let mut vocab = Vocab::with_capacity(reader.tokens.len());
    let mut special_tokens = Vec::new();
    for (id, token, kind) in reader.entries() {
        let kind = match kind {
            TokenKind::Control | TokenKind::Unknown => PieceKind::Special,
            TokenKind::UserDefined => PieceKind::Literal,
            TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => {
                byte_piece(token).map_or(PieceKind::Metaspace, PieceKind::Byte)
            }
        };
        pieces.push(token, kind);
        vocab.insert(token.to_owned(), id);
        if matches!(kind, PieceKind::Special | PieceKind::Literal) {
            special_tokens.push((token.to_owned(), kind));
        }
    }
    let bos = reader.bos(true, None)?;
    let eos = reader.eos(None)?;
    let inner = bpe::build_spaced(vocab, merges, unknown, special_tokens).map_err(|reason| reader.broken(&reason))?;
    Ok(Tokenizer::new(inner, pieces, bos, eos).with_notes(reader.notes.take()))
}

/// The keys that both kinds of tokenizers have.
struct Reader<'a> {
    path: &'a Path,
    metadata: &'a Metadata<'a>,
    tokens: Vec<&'a str>,
    kinds: Vec<TokenKind>,
    /// What is odd, and in nobody's way so far.
    notes: RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, metadata: &'a Metadata<'a>) -> Result<Self, EngineError> {
        let tokens = metadata.strings("tokenizer.ggml.tokens")?;
        let (tokens, kinds) = (tokens.unwrap_or_default(), Vec::new());
        let mut reader = Self { path, metadata, tokens, kinds, notes: RefCell::default() };
        if reader.tokens.is_empty() {
            return Err(reader.missing("tokenizer.ggml.tokens"));
        }
        reader.kinds = match metadata.integers("tokenizer.ggml.token_type")? {
            Some(kinds) => kinds.into_iter().map(TokenKind::of).collect(),
            None => vec![TokenKind::Normal; reader.tokens.len()],
        };
        if reader.kinds.len() != reader.tokens.len() {
            let tokens = reader.tokens.len();
            let reason = format!("`tokenizer.ggml.token_type` does not have one entry for each of the {tokens} tokens");
            return Err(reader.broken(&reason));
        }
        reader.make_eos_special();
        Ok(reader)
    }

    /// The tokens that end a reply are special, whatever type the file gives them: otherwise a text that has them is cut into
    /// letters, and they are shown.
    fn make_eos_special(&mut self) {
        let known: HashSet<&str> = self.tokens.iter().copied().collect();
        for (token, kind) in self.tokens.iter().zip(&mut self.kinds) {
            if eos::is_eos(token, |text| known.contains(text)) {
                *kind = TokenKind::Control;
            }
        }
    }

    /// Each token with its id and its kind.
    fn entries(&self) -> impl Iterator<Item = (TokenId, &'a str, TokenKind)> {
        (0..).zip(self.tokens.iter().zip(&self.kinds)).map(|(id, (&token, &kind))| (id, token, kind))
    }

    fn pre_tokenizer(&self) -> Result<PreTokenizer, EngineError> {
        let name = match self.metadata.string("tokenizer.ggml.pre")? {
            Some(name) => name,
            None => {
                let family = self.metadata.string("general.architecture")?.and_then(family::of_gguf);
                family.map_or("default", |family| family.unnamed_pre_tokenizer())
            }
        };
        PRE_TOKENIZER_NAMES.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind).ok_or_else(|| {
            let known: Vec<&str> = PRE_TOKENIZER_NAMES.iter().map(|&(name, _)| name).collect();
            let what =
                format!("its pre-tokenizer is `{name}` (tokenizer.ggml.pre): supported are {}", known.join(", "));
            EngineError::unsupported(self.path, what)
        })
    }

    fn merges(&self) -> Result<Vec<(&'a str, &'a str)>, EngineError> {
        let merges = self.metadata.strings("tokenizer.ggml.merges")?;
        let merges = merges.ok_or_else(|| self.missing("tokenizer.ggml.merges"))?;
        let pair = |merge: &'a str| {
            let pair = bpe::parse_merge(merge);
            pair.ok_or_else(|| self.broken(&format!("`{merge}` is no merge of two pieces")))
        };
        merges.into_iter().map(pair).collect()
    }

    /// The token that begins a text, where the file asks for it or, in its silence, `by_default`.
    fn bos(&self, by_default: bool, default_id: Option<TokenId>) -> Result<Bos, EngineError> {
        if !self.metadata.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(by_default) {
            return Ok(Bos::Nothing);
        }
        Ok(match self.token_id(BEGIN_KEY, default_id)? {
            Ok(token) => token.into(),
            Err(why) => {
                Bos::Missing(format!("{}: a text begins with a token that is not there: {why}", self.path.display()))
            }
        })
    }

    fn eos(&self, default_id: Option<TokenId>) -> Result<Vec<TokenId>, EngineError> {
        let mut named = Vec::new();
        for (key, default_id) in END_KEYS.into_iter().zip([default_id, None, None]) {
            named.extend(self.noted_id(key, default_id)?);
        }
        // Ollama's files list them.
        for id in self.metadata.integers(END_LIST_KEY).ok().flatten().unwrap_or_default() {
            match self.checked(END_LIST_KEY, id) {
                Ok(token) => named.push(token),
                Err(why) => self.note(&why),
            }
        }
        let known: HashSet<&str> = self.tokens.iter().copied().collect();
        let tokens = self
            .entries()
            .map(|(id, token, kind)| (token, id, matches!(kind, TokenKind::Control | TokenKind::UserDefined)));
        Ok(eos::with_named(named, tokens, |text| known.contains(text)))
    }

    /// The id under `key`, or why the vocabulary does not have it; without the key, `default_id` if it is one.
    fn token_id(&self, key: &str, default_id: Option<TokenId>) -> Result<Result<Option<TokenId>, String>, EngineError> {
        let Some(id) = self.metadata.integer(key)? else {
            return Ok(Ok(default_id.filter(|&id| (id as usize) < self.tokens.len())));
        };
        Ok(self.checked(key, id).map(Some))
    }

    fn checked(&self, key: &str, id: i64) -> Result<TokenId, String> {
        let tokens = self.tokens.len();
        let token = TokenId::try_from(id).ok().filter(|&token| (token as usize) < tokens);
        token.ok_or_else(|| format!("`{key}` is {id}, the vocabulary has {tokens} tokens"))
    }

    /// As [`Self::token_id`], for a token that nobody misses where it is not there.
    fn noted_id(&self, key: &str, default_id: Option<TokenId>) -> Result<Option<TokenId>, EngineError> {
        Ok(self.token_id(key, default_id)?.unwrap_or_else(|why| {
            self.note(&why);
            None
        }))
    }

    fn note(&self, what: &str) {
        self.notes.borrow_mut().push(format!("{}: {what}", self.path.display()));
    }

    fn broken(&self, reason: &str) -> EngineError {
        EngineError::format(self.path, format!("the tokenizer in the metadata is broken: {reason}"))
    }

    fn missing(&self, key: &str) -> EngineError {
        EngineError::format(self.path, format!("metadata key `{key}` is missing"))
    }
}
