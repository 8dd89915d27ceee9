//! A model, its KV cache and the logits of the last position: everything a reply needs, behind four verbs.

use std::ops::ControlFlow;

use super::{EngineError, TokenId};

/// How far a prefill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefillProgress {
    /// Tokens of the prompt that were in the cache already.
    pub reused: usize,
    /// Tokens of the prompt in the cache by now, the reused ones included.
    pub done: usize,
    /// Tokens of the prompt.
    pub total: usize,
}

/// A model at work on one sequence of tokens.
#[derive(Debug)]
pub struct Inference {}

impl Inference {
    /// Tokens the context holds.
    pub fn context(&self) -> usize {
        0
    }

    /// The tokens whose keys and values are in the cache.
    pub fn held(&self) -> &[TokenId] {
        &[]
    }

    /// Keeps the first `tokens` tokens of the cache. The logits are gone unless that is all of them.
    pub fn truncate(&mut self, tokens: usize) {
        let _ = tokens;
    }

    /// Makes the cache hold exactly `prompt`, computing only what follows the prefix it shares with [`Self::held`] (the
    /// last token is always computed, for its logits). `on_progress` is called before the first chunk and after each;
    /// where it breaks, the cache keeps the chunks done, and `Ok(progress)` says how far it came
    /// (`done < total`).
    ///
    /// # Errors
    /// [`EngineError::ContextFull`] where the prompt is longer than the context; [`EngineError::Invalid`] where it is
    /// empty, or has an id outside the vocabulary.
    pub fn prefill(
        &mut self,
        prompt: &[TokenId],
        on_progress: &mut dyn FnMut(PrefillProgress) -> ControlFlow<()>,
    ) -> Result<PrefillProgress, EngineError> {
        let _ = (prompt, on_progress);
        Err(EngineError::Invalid("not built yet".into()))
    }

    /// Appends one token and computes the logits of the next.
    ///
    /// # Errors
    /// [`EngineError::ContextFull`] where the cache is full.
    pub fn push(&mut self, token: TokenId) -> Result<(), EngineError> {
        let _ = token;
        Err(EngineError::Invalid("not built yet".into()))
    }

    /// The logits of the next token, `(vocab_size)`; `None` before the first prefill and after a cut.
    pub fn logits(&self) -> Option<&[f32]> {
        None
    }

    /// Runs over `tokens` from an empty cache and shows the logits after each position, in order:
    /// `on_logits(i, logits)` are those that predict token `i + 1`. Stops where it breaks.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn logits_of_all(
        &mut self,
        tokens: &[TokenId],
        on_logits: &mut dyn FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let _ = (tokens, on_logits);
        Err(EngineError::Invalid("not built yet".into()))
    }
}
