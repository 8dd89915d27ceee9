//! Text to token ids and back: BPE over bytes (Sennrich et al. 2016; Radford et al. 2019) and SentencePiece.
//!
//! `gguf` and `hugging_face` make a [`Tokenizer`] from what a model brings: on the `tokenizers` crate, and where a GGUF
//! file has SentencePiece's scores, on `sentence_piece`. [`DecodeStream`] turns a reply's tokens into whole characters
//! as they come.

mod bounds;
mod bpe;
mod byte_level;
mod count;
mod decoder;
mod eos;
mod gguf;
#[cfg(test)]
mod golden;
mod hugging_face;
mod pieces;
mod sentence_piece;
mod sketch;
mod stream;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::fmt;
use std::path::{Path, PathBuf};

use super::caught::caught;
use super::{EngineError, TokenId, sampling};
use bounds::Growth;
use bpe::PreTokenizer;
use pieces::{PieceKind, Pieces};
use sentence_piece::SentencePiece;

pub(crate) use gguf::{check_gguf, from_gguf};
pub(crate) use hugging_face::{
    AddedTokenSpec, EosTokens, VocabAndMerges, check_json, check_vocab_and_merges, from_json, from_vocab_and_merges,
};
pub use stream::DecodeStream;
pub(crate) use vocabulary::{Cuts, Vocabulary};

/// Spaces in a row that the `fancy-regex` crate can look back over, with room to spare (its `MAX_STACK` is a million).
const MAX_SPACES: usize = 950_000;

/// Turns text into ids and back; made by the loader from what the model brings.
pub struct Tokenizer {
    encoder: Encoder,
    pieces: Pieces,
    bos: Bos,
    eos: Vec<TokenId>,
    /// Whether the encoder puts a space before a text, which is not part of it.
    space_prefix: bool,
    /// Tokens from here on have no embedding; with the file that has them.
    rows: Option<(usize, PathBuf)>,
    notes: Vec<String>,
    /// What a text can become, where a stranger's steps are done to it, and the file that they are from.
    guard: Option<(Growth, PathBuf)>,
}

/// What goes in front of a text that asks for a begin token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bos {
    Nothing,
    Token(TokenId),
    /// A token that the vocabulary does not have: why, for the error where it is wanted.
    Missing(String),
}

impl From<Option<TokenId>> for Bos {
    fn from(token: Option<TokenId>) -> Self {
        token.map_or(Self::Nothing, Self::Token)
    }
}

/// What turns text into ids.
enum Encoder {
    /// The `tokenizers` crate.
    Crate(Box<tokenizers::Tokenizer>),
    SentencePiece(SentencePiece),
}

impl From<tokenizers::Tokenizer> for Encoder {
    fn from(tokenizer: tokenizers::Tokenizer) -> Self {
        Self::Crate(Box::new(tokenizer))
    }
}

impl Tokenizer {
    /// Puts a tokenizer together. `bos` goes in front of a text that asks for it; `eos` end a reply.
    fn new(encoder: impl Into<Encoder>, pieces: Pieces, bos: impl Into<Bos>, mut eos: Vec<TokenId>) -> Self {
        eos.sort_unstable();
        eos.dedup();
        let (encoder, bos) = (encoder.into(), bos.into());
        Self { encoder, pieces, bos, eos, space_prefix: false, rows: None, notes: Vec::new(), guard: None }
    }

    /// The same where a text goes through the steps of the file at `path`.
    fn guarded(self, growth: Growth, path: &Path) -> Self {
        Self { guard: Some((growth, path.to_owned())), ..self }
    }

    /// The same with what is odd about its files but in nobody's way.
    fn with_notes(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    /// The same for a model that has embeddings for the first `rows` tokens alone; `path` is the tokenizer's file. What has
    /// none can be named, and is an error where it is used.
    pub(crate) fn limited_to(mut self, rows: usize, path: &Path) -> Self {
        let tokens = self.vocabulary_size();
        if tokens > rows {
            self.notes.push(format!(
                "{}: this tokenizer has {tokens} tokens, and the model has embeddings for {rows}: a text with one of the others cannot be computed",
                path.display()
            ));
            self.rows = Some((rows, path.to_owned()));
        }
        self
    }

    /// The same where the first space of a text is the encoder's own, if `space_prefix` is set.
    fn with_space_prefix(self, space_prefix: bool) -> Self {
        Self { space_prefix, ..self }
    }

    /// The ids of `text`. Special tokens written out in it are parsed as such. A begin token is put in front where
    /// `add_bos` is set and the tokenizer's own configuration asks for one.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] where the tokenizer cannot take the text; one with tokens for all bytes takes any.
    pub fn encode(&self, text: &str, add_bos: bool) -> Result<Vec<TokenId>, EngineError> {
        let bos = match &self.bos {
            Bos::Token(token) if add_bos => Some(*token),
            Bos::Missing(why) if add_bos => return Err(EngineError::Tokenizer(why.clone())),
            Bos::Nothing | Bos::Token(_) | Bos::Missing(_) => None,
        };
        let ids = match &self.encoder {
            Encoder::Crate(inner) => {
                check_spaces(text)?;
                self.encode_by_crate(inner, text)?
            }
            Encoder::SentencePiece(inner) => inner.encode(text).map_err(EngineError::Tokenizer)?,
        };
        let ids: Vec<TokenId> = bos.into_iter().chain(ids).collect();
        self.check_rows(&ids)?;
        Ok(ids)
    }

    fn encode_by_crate(&self, inner: &tokenizers::Tokenizer, text: &str) -> Result<Vec<TokenId>, EngineError> {
        let failed = |what: String| match &self.guard {
            Some((_, path)) => EngineError::Tokenizer(format!("{}: {what}", path.display())),
            None => EngineError::Tokenizer(what),
        };
        if let Some((growth, _)) = &self.guard {
            growth.check(text).map_err(failed)?;
        }
        let encoding = caught(|| inner.encode_fast(text, false)).map_err(|panic| {
            failed(format!("its steps (normalizer, pre_tokenizer, model) fail on this text: {panic}"))
        })?;
        Ok(encoding.map_err(|error| failed(error.to_string()))?.get_ids().to_vec())
    }

    fn check_rows(&self, ids: &[TokenId]) -> Result<(), EngineError> {
        let Some((rows, path)) = &self.rows else { return Ok(()) };
        match ids.iter().find(|&&id| id as usize >= *rows) {
            None => Ok(()),
            Some(&id) => Err(EngineError::Tokenizer(format!(
                "the text has the token `{}` ({id} in {}), and the model has embeddings for {rows} tokens only: take it out, or use the tokenizer of this model",
                self.piece(id),
                path.display()
            ))),
        }
    }

    /// The text of `tokens`; bytes that are not whole characters become U+FFFD. A space that the encoder puts before
    /// every text is left off.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let mut stream = self.decode_stream(&[]);
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.token_bytes(token)).copied().collect();
        let mut text = stream.push(&bytes);
        text += &stream.flush();
        text
    }

    /// Turns the tokens that follow on `before` into text as they come. At the beginning of a text (after special tokens alone) a
    /// space that the encoder puts there is left off.
    pub fn decode_stream(&self, before: &[TokenId]) -> DecodeStream {
        let at_start = before.iter().all(|&token| self.is_special(token));
        if self.space_prefix && at_start { DecodeStream::at_start() } else { DecodeStream::new() }
    }

    /// The text of one token by itself, lossy where it is part of a character.
    pub fn piece(&self, token: TokenId) -> String {
        String::from_utf8_lossy(self.token_bytes(token)).into_owned()
    }

    /// The text of one token by itself in quotes, for people: of a part of a character its bytes, `"\xf0\x9f"`.
    pub fn quoted_piece(&self, token: TokenId) -> String {
        let mut quoted = String::from("\"");
        for chunk in self.token_bytes(token).utf8_chunks() {
            let valid = format!("{:?}", chunk.valid());
            quoted.push_str(&valid[1..valid.len() - 1]);
            quoted.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        quoted.push('"');
        quoted
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
    pub fn bos_token(&self) -> Option<TokenId> {
        match self.bos {
            Bos::Token(token) => Some(token),
            Bos::Nothing | Bos::Missing(_) => None,
        }
    }

    /// What is odd about its files but in nobody's way, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The tokens that end a reply, in ascending order.
    pub fn eos_tokens(&self) -> &[TokenId] {
        &self.eos
    }

    /// Whether the token is special, such as `<|im_end|>` and no text.
    pub fn is_special(&self, token: TokenId) -> bool {
        self.pieces.is_special(token)
    }
}

impl sampling::Vocabulary for Tokenizer {
    fn size(&self) -> usize {
        self.vocabulary_size()
    }

    fn bytes_of(&self, token: TokenId) -> &[u8] {
        self.token_bytes(token)
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocabulary", &self.pieces.len())
            .field("bos", &self.bos)
            .field("eos", &self.eos)
            .finish_non_exhaustive()
    }
}

/// Refuses more spaces in a row than the crate's regular expressions can look back over: beyond them it would leave the
/// rest of the text uncut, without a word.
fn check_spaces(text: &str) -> Result<(), EngineError> {
    if text.len() <= MAX_SPACES {
        return Ok(());
    }
    let longest = text.split(|c: char| !c.is_whitespace()).map(|spaces| spaces.chars().count()).max().unwrap_or(0);
    if longest <= MAX_SPACES {
        return Ok(());
    }
    let reason = format!("the text has {longest} blanks in a row, and at most {MAX_SPACES} can be cut: take some out");
    Err(EngineError::Tokenizer(reason))
}

/// A tokenizer for models of random weights: the first 256 ids are the bytes, the others stand for their number. Nothing
/// ends a reply.
///
/// # Errors
/// [`EngineError::Tokenizer`] where there are not even ids for the bytes.
pub(crate) fn of_bytes(vocabulary: usize) -> Result<Tokenizer, EngineError> {
    if vocabulary < 256 {
        return Err(EngineError::Tokenizer(format!("{vocabulary} tokens are too few for the 256 bytes")));
    }
    let mut pieces = Pieces::default();
    let spelled: Vec<String> = (0..=255).map(|byte| byte_level::spell(byte).to_string()).collect();
    spelled.iter().for_each(|piece| pieces.push(piece, PieceKind::Bytes));
    (256..vocabulary).for_each(|id| pieces.push(&format!(" {id}"), PieceKind::Literal));
    let inner = bpe::build((0..).zip(spelled).map(|(id, piece)| (piece, id)).collect(), vec![], PreTokenizer::GPT2, [])
        .map_err(EngineError::Tokenizer)?;
    Ok(Tokenizer::new(inner, pieces, None, vec![]))
}
