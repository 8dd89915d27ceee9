//! Text to token ids and back.

mod stream;

use super::{EngineError, TokenId};

pub use stream::DecodeStream;

/// Turns text into ids and back; made by the loader from what the model brings.
#[derive(Debug)]
pub struct Tokenizer {}

impl Tokenizer {
    /// The ids of `text`. Special tokens written out in it are parsed as such. A begin token is put in front where
    /// `add_begin` is set and the tokenizer's own configuration asks for one.
    pub fn encode(&self, text: &str, add_begin: bool) -> Result<Vec<TokenId>, EngineError> {
        let _ = (text, add_begin);
        Err(EngineError::Tokenizer("not built yet".into()))
    }

    /// The text of `tokens`; bytes that are not whole characters become U+FFFD.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.token_bytes(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The text of one token by itself, lossy where it is part of a character.
    pub fn piece(&self, token: TokenId) -> String {
        self.decode(&[token])
    }

    /// The bytes a token stands for: not always whole characters. Empty for an id outside the vocabulary.
    pub fn token_bytes(&self, token: TokenId) -> &[u8] {
        let _ = token;
        &[]
    }

    /// Ids run from 0 to one less than this.
    pub fn vocabulary_size(&self) -> usize {
        0
    }

    /// The token that begins a text, where the tokenizer's configuration asks for one.
    pub fn begin_token(&self) -> Option<TokenId> {
        None
    }

    /// The tokens that end a reply.
    pub fn end_tokens(&self) -> &[TokenId] {
        &[]
    }

    /// Whether the token is a mark such as `<|im_end|>` and no text.
    pub fn is_special(&self, token: TokenId) -> bool {
        let _ = token;
        false
    }
}
