//! Text to token ids and back.

use super::{EngineError, TokenId};

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

    /// The bytes a token stands for: not always whole characters. Empty for an id outside the vocabulary.
    pub fn token_bytes(&self, token: TokenId) -> &[u8] {
        let _ = token;
        &[]
    }

    /// The tokens that end a reply.
    pub fn end_tokens(&self) -> &[TokenId] {
        &[]
    }
}
