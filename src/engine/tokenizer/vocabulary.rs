//! A tokenizer taken apart again, as GGUF stores it.

use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;

use super::Tokenizer;

// The numbers of the kinds of tokens (`llama_token_type` in `llama.h`).
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// What the keys `tokenizer.ggml.*` hold.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Vocabulary {
    /// The name of how a text is cut into words before the merges run.
    pub(in crate::engine) pre_tokenizer: &'static str,
    /// By id.
    pub(in crate::engine) tokens: Vec<String>,
    /// By id: llama.cpp's `llama_token_type`.
    pub(in crate::engine) kinds: Vec<i32>,
    /// First ones first, the two pieces with a blank between.
    pub(in crate::engine) merges: Vec<String>,
}

impl Tokenizer {
    /// Its tokens, their kinds, and its merges.
    ///
    /// # Errors
    /// What is in its way: a normalizer or a pre-tokenizer that GGUF has no name for here.
    pub(in crate::engine) fn vocabulary(&self) -> Result<Vocabulary, String> {
        if self.inner.get_normalizer().is_some() {
            return Err("it has a normalizer, which a GGUF file cannot name".into());
        }
        let mut tokens = vec![None; self.vocabulary_size()];
        for (token, id) in self.inner.get_vocab(true) {
            if let Some(slot) = tokens.get_mut(id as usize) {
                *slot = Some(token);
            }
        }
        let added = self.inner.get_added_tokens_decoder();
        let kind_of = |(id, token): (u32, &Option<String>)| match (added.get(&id), token) {
            (Some(token), _) if token.special => CONTROL,
            (Some(_), _) => USER_DEFINED,
            (None, Some(_)) => NORMAL,
            (None, None) => UNUSED,
        };
        let kinds = (0..).zip(&tokens).map(kind_of).collect();
        let name_gap = |(id, token): (usize, Option<String>)| token.unwrap_or_else(|| format!("[PAD{id}]"));
        let tokens = tokens.into_iter().enumerate().map(name_gap).collect();
        Ok(Vocabulary { pre_tokenizer: self.pre_tokenizer_name()?, tokens, kinds, merges: self.merges()? })
    }

    /// The name in `tokenizer.ggml.pre`.
    fn pre_tokenizer_name(&self) -> Result<&'static str, String> {
        let steps = serde_json::to_value(self.inner.get_pre_tokenizer()).map_err(|error| error.to_string())?;
        let steps = match steps.get("pretokenizers").and_then(Value::as_array) {
            Some(steps) => steps.clone(),
            None => vec![steps],
        };
        let is = |step: &Value, expected: &Value| {
            expected.as_object().is_some_and(|keys| keys.iter().all(|(key, value)| step.get(key) == Some(value)))
        };
        let words = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
        let digits = json!({"type": "Digits", "individual_digits": true});
        let gpt2_split = json!({"type": "Split", "pattern": {"Regex": super::bpe::GPT2_PATTERN}, "invert": false});
        match &steps[..] {
            [one] if is(one, &words) => Ok("gpt-2"),
            [first, second] if is(first, &digits) && is(second, &words) => Ok("smollm"),
            // What `bpe` makes of that name.
            [first, second, third] if is(first, &gpt2_split) && is(second, &digits) && is(third, &bytes) => {
                Ok("smollm")
            }
            _ => Err("its pre-tokenizer is not one that has a name in GGUF files here: gpt-2 and smollm have".into()),
        }
    }

    /// The crate shows the merges in no other way than in its JSON.
    fn merges(&self) -> Result<Vec<String>, String> {
        let ModelWrapper::BPE(model) = self.inner.get_model() else { return Err("its model is no BPE".into()) };
        let json = serde_json::to_value(model).map_err(|error| error.to_string())?;
        let merges = json.get("merges").and_then(Value::as_array).ok_or("it has no merges")?;
        let text = |merge: &Value| match merge {
            Value::String(line) => Some(line.clone()),
            pair => Some(format!("{} {}", pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)),
        };
        merges.iter().map(text).collect::<Option<_>>().ok_or_else(|| "a merge is no pair of pieces".into())
    }
}
