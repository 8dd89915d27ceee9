//! Text to token ids and back: byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) on the `tokenizers` crate.
//!
//! `gguf` and `hugging_face` make a [`Tokenizer`] from what a model brings; [`DecodeStream`] turns a reply's tokens
//! into whole characters as they come.

mod bpe;
mod byte_level;
mod gguf;
mod hugging_face;
mod stream;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::fmt;

use super::{EngineError, TokenId};
use bpe::PreTokenizer;

pub(in crate::engine) use gguf::from_gguf;
pub(in crate::engine) use hugging_face::{from_json, from_vocab_and_merges};
pub use stream::DecodeStream;
pub(in crate::engine) use vocabulary::Vocabulary;

/// Ids from here on are no vocabulary but a mistake in a file.
const MAX_VOCABULARY: usize = 1 << 22;

/// Turns text into ids and back; made by the loader from what the model brings.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    pieces: Pieces,
    begin: Option<TokenId>,
    ends: Vec<TokenId>,
}

impl Tokenizer {
    /// Puts a tokenizer together. `begin` goes in front of a text that asks for it; `ends` end a reply.
    fn new(inner: tokenizers::Tokenizer, pieces: Pieces, begin: Option<TokenId>, mut ends: Vec<TokenId>) -> Self {
        ends.sort_unstable();
        ends.dedup();
        Self { inner, pieces, begin, ends }
    }

    /// The ids of `text`. Special tokens written out in it are parsed as such. A begin token is put in front where
    /// `add_begin` is set and the tokenizer's own configuration asks for one.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] where the tokenizer cannot take the text; a byte-level one takes any.
    pub fn encode(&self, text: &str, add_begin: bool) -> Result<Vec<TokenId>, EngineError> {
        let encoding = self.inner.encode_fast(text, false).map_err(|e| EngineError::Tokenizer(e.to_string()))?;
        let begin = self.begin.filter(|_| add_begin);
        Ok(begin.into_iter().chain(encoding.get_ids().iter().copied()).collect())
    }

    /// The text of `tokens`; bytes that are not whole characters become U+FFFD.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.token_bytes(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The text of one token by itself, lossy where it is part of a character.
    pub fn piece(&self, token: TokenId) -> String {
        String::from_utf8_lossy(self.token_bytes(token)).into_owned()
    }

    /// The bytes a token stands for: not always whole characters. Empty for an id outside the vocabulary.
    pub fn token_bytes(&self, token: TokenId) -> &[u8] {
        self.pieces.bytes(token)
    }

    /// Ids run from 0 to one less than this.
    pub fn vocabulary_size(&self) -> usize {
        self.pieces.len()
    }

    /// The token that begins a text, where the tokenizer's configuration asks for one.
    pub fn begin_token(&self) -> Option<TokenId> {
        self.begin
    }

    /// The tokens that end a reply, in ascending order.
    pub fn end_tokens(&self) -> &[TokenId] {
        &self.ends
    }

    /// Whether the token is a mark such as `<|im_end|>` and no text.
    pub fn is_special(&self, token: TokenId) -> bool {
        self.pieces.is_special(token)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary", &self.pieces.len())
            .field("begin", &self.begin)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// A tokenizer for models of random weights: the first 256 ids are the bytes, the others stand for their number. Nothing
/// ends a reply.
///
/// # Errors
/// [`EngineError::Tokenizer`] where there are not even ids for the bytes.
pub(in crate::engine) fn of_bytes(vocabulary: usize) -> Result<Tokenizer, EngineError> {
    if vocabulary < 256 {
        return Err(EngineError::Tokenizer(format!("{vocabulary} tokens are too few for the 256 bytes")));
    }
    let mut pieces = Pieces::default();
    let spelled: Vec<String> = (0..=255).map(|byte| byte_level::spell(byte).to_string()).collect();
    spelled.iter().for_each(|piece| pieces.push(piece, PieceKind::Bytes));
    (256..vocabulary).for_each(|id| pieces.push(&format!(" {id}"), PieceKind::Literal));
    let inner = bpe::build((0..).zip(spelled).map(|(id, piece)| (piece, id)).collect(), vec![], PreTokenizer::Gpt2, [])
        .map_err(EngineError::Tokenizer)?;
    Ok(Tokenizer::new(inner, pieces, None, vec![]))
}

/// What a token is, as far as its text is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    /// Text in GPT-2's spelling of bytes.
    Bytes,
    /// Text that is matched and written as it stands.
    Literal,
    /// A mark, written as it stands.
    Special,
}

/// The bytes of all tokens, end to end.
#[derive(Debug, Default)]
struct Pieces {
    bytes: Vec<u8>,
    /// Where each token's bytes end, by id.
    ends: Vec<usize>,
    special: Vec<bool>,
}

impl Pieces {
    /// Adds the next id.
    fn push(&mut self, piece: &str, kind: PieceKind) {
        match kind {
            PieceKind::Bytes => byte_level::append_bytes(piece, &mut self.bytes),
            PieceKind::Literal | PieceKind::Special => self.bytes.extend_from_slice(piece.as_bytes()),
        }
        self.ends.push(self.bytes.len());
        self.special.push(kind == PieceKind::Special);
    }

    /// From pieces in any order; ids that nobody has are empty.
    fn from_unordered<'a>(
        pieces: impl IntoIterator<Item = (&'a str, TokenId, PieceKind)>,
    ) -> Result<Self, EngineError> {
        let mut by_id: Vec<Option<(&str, PieceKind)>> = Vec::new();
        for (piece, id, kind) in pieces {
            let index = id as usize;
            if index >= MAX_VOCABULARY {
                return Err(EngineError::Tokenizer(format!(
                    "token `{piece}` has the id {id}, larger than any vocabulary"
                )));
            }
            if index >= by_id.len() {
                by_id.resize(index + 1, None);
            }
            by_id[index] = Some((piece, kind));
        }
        let mut all = Self::default();
        for piece in by_id {
            let (piece, kind) = piece.unwrap_or(("", PieceKind::Literal));
            all.push(piece, kind);
        }
        Ok(all)
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn bytes(&self, token: TokenId) -> &[u8] {
        let token = token as usize;
        let Some(&end) = self.ends.get(token) else { return &[] };
        let start = if token == 0 { 0 } else { self.ends[token - 1] };
        &self.bytes[start..end]
    }

    fn is_special(&self, token: TokenId) -> bool {
        self.special.get(token as usize).copied().unwrap_or(false)
    }
}
