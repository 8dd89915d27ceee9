//! A tokenizer taken apart again, as GGUF stores it.

use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;

use super::bpe::{PRE_TOKENIZER_NAMES, PreTokenizer};
use super::decoder::Spelling;
use super::pieces::byte_piece;
use super::{Encoder, TokenId, Tokenizer};

mod scores;

// The numbers of the kinds of tokens (`llama_token_type` in `llama.h`).
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// What the keys `tokenizer.ggml.*` hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vocabulary {
    /// By id.
    pub(crate) tokens: Vec<String>,
    /// By id: llama.cpp's `llama_token_type`.
    pub(crate) kinds: Vec<i32>,
    /// How a text is cut.
    pub(crate) cuts: Cuts,
}

/// What says how a text becomes pieces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cuts {
    /// Byte-level BPE.
    Merges {
        /// The name of how a text is cut into words before the merges run.
        pre_tokenizer: &'static str,
        /// First ones first, the two pieces with a space between.
        merges: Vec<String>,
    },
    /// SentencePiece.
    Scores {
        /// By id: of all neighbours, those with the highest become one.
        scores: Vec<f32>,
        /// Whether a space goes before a text.
        space_prefix: bool,
        /// Stands for what has no piece.
        unknown: Option<TokenId>,
    },
    /// Merges of pieces that spell a space `▁`, over the whole text, where no scores can stand for them (Gemma 4).
    Spaced {
        /// As of [`Self::Merges`].
        merges: Vec<String>,
        /// Stands for what has no piece.
        unknown: Option<TokenId>,
    },
}

impl Tokenizer {
    /// Its tokens, their kinds, and how a text is cut into them.
    ///
    /// # Errors
    /// What is in its way: a part that GGUF has no name for here.
    pub(crate) fn vocabulary(&self) -> Result<Vocabulary, String> {
        let Encoder::Crate(inner) = &self.encoder else {
            return Err("it comes from a GGUF file, whose keys are copied as they are".into());
        };
        let ModelWrapper::BPE(model) = inner.get_model() else {
            return Err("its model is no BPE, and GGUF has no name for it here (model.type)".into());
        };
        let spelling = Spelling::of(inner.get_decoder()).unwrap_or(Spelling::BYTE_LEVEL);
        let mut tokens = vec![None; self.vocabulary_size()];
        for (token, id) in inner.get_vocab(true) {
            if let Some(slot) = tokens.get_mut(id as usize) {
                *slot = Some(token);
            }
        }
        let kinds = self.kinds(inner, model, &tokens, spelling);
        let name_gap = |(id, token): (usize, Option<String>)| token.unwrap_or_else(|| format!("[PAD{id}]"));
        let tokens: Vec<String> = tokens.into_iter().enumerate().map(name_gap).collect();
        let joined = |merges: Vec<(String, String)>| {
            merges.into_iter().map(|(left, right)| format!("{left} {right}")).collect::<Vec<_>>()
        };
        let merges = merges(model)?;
        let cuts = if spelling.is_sentence_piece() {
            let unknown = model.unk_token.as_ref().and_then(|unknown| inner.token_to_id(unknown));
            match (scores::of(&tokens, &kinds, &merges), space_prefix(inner)?) {
                (Ok(scores), space_prefix) => Cuts::Scores { scores, space_prefix, unknown },
                (Err(_), false) => Cuts::Spaced { merges: joined(merges), unknown },
                (Err(what), true) => return Err(what),
            }
        } else {
            Cuts::Merges { pre_tokenizer: pre_tokenizer_name(inner, model)?, merges: joined(merges) }
        };
        Ok(Vocabulary { tokens, kinds, cuts })
    }

    fn kinds(
        &self,
        inner: &tokenizers::Tokenizer,
        model: &BPE,
        tokens: &[Option<String>],
        spelling: Spelling,
    ) -> Vec<i32> {
        let added = inner.get_added_tokens_decoder();
        let of_sentence_piece = spelling.is_sentence_piece();
        let kind_of = |(id, token): (TokenId, &Option<String>)| match (added.get(&id), token) {
            (_, token) if of_sentence_piece && token.is_some() && *token == model.unk_token => UNKNOWN,
            (Some(_), _) if self.is_special(id) => CONTROL,
            (Some(_), _) => USER_DEFINED,
            (None, Some(token)) if of_sentence_piece && byte_piece(token).is_some() => BYTE,
            (None, Some(_)) => NORMAL,
            (None, None) => UNUSED,
        };
        (0..).zip(tokens).map(kind_of).collect()
    }
}

/// A step and what follows it in a sequence, as JSON.
fn steps(step: Result<Value, serde_json::Error>, list: &str) -> Result<Vec<Value>, String> {
    let step = step.map_err(|error| error.to_string())?;
    Ok(match step.get(list).and_then(Value::as_array) {
        Some(steps) => steps.clone(),
        None if step.is_null() => Vec::new(),
        None => vec![step],
    })
}

/// Whether each key of `expected` is in `step` with the same value.
fn is(step: &Value, expected: &Value) -> bool {
    expected.as_object().is_some_and(|keys| keys.iter().all(|(key, value)| step.get(key) == Some(value)))
}

/// The name in `tokenizer.ggml.pre`.
fn pre_tokenizer_name(inner: &tokenizers::Tokenizer, model: &BPE) -> Result<&'static str, String> {
    let composes = match &steps(serde_json::to_value(inner.get_normalizer()), "normalizers")?[..] {
        [] => false,
        [one] if is(one, &json!({"type": "NFC"})) => true,
        _ => return Err("it has a normalizer that a GGUF file cannot name (normalizer)".into()),
    };
    let steps = steps(serde_json::to_value(inner.get_pre_tokenizer()), "pretokenizers")?;
    let words = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
    let digits = json!({"type": "Digits", "individual_digits": true});
    let split_by = |step: &Value| {
        let known = [
            PreTokenizer::GPT2,
            PreTokenizer::LLAMA3,
            PreTokenizer::QWEN2,
            PreTokenizer::QWEN35,
            PreTokenizer::TEKKEN,
            PreTokenizer::O200K,
        ];
        known
            .into_iter()
            .find(|known| known.split_steps().is_some_and(|splits| splits.iter().any(|split| is(step, split))))
    };
    let found = match &steps[..] {
        [one] if is(one, &words) => Some(PreTokenizer::GPT2),
        [first, second] if is(first, &digits) && is(second, &words) => Some(PreTokenizer::GPT2_THEN_DIGITS),
        [first, second] if is(second, &bytes) => split_by(first),
        // What `bpe` makes of `smollm`.
        [first, second, third] if is(second, &digits) && is(third, &bytes) => {
            split_by(first).filter(|found| *found == PreTokenizer::GPT2).map(|_| PreTokenizer::GPT2_THEN_DIGITS)
        }
        _ => None,
    };
    let found = found.map(|found| found.with(composes, model.ignore_merges));
    let name = PRE_TOKENIZER_NAMES.iter().find(|(_, known)| Some(*known) == found);
    name.map(|&(name, _)| name).ok_or_else(|| {
        "its way to cut a text (normalizer, pre_tokenizer, ignore_merges) has no name in GGUF files here: those of GPT-2, SmolLM, Llama 3, Qwen2, Qwen3.5 and GPT-4o have".into()
    })
}

/// Whether a space goes before a text: as a normalizer, which is the older way, or as a pre-tokenizer.
fn space_prefix(inner: &tokenizers::Tokenizer) -> Result<bool, String> {
    let normalizers = steps(serde_json::to_value(inner.get_normalizer()), "normalizers")?;
    let pre_tokenizers = steps(serde_json::to_value(inner.get_pre_tokenizer()), "pretokenizers")?;
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let spaces = json!({"type": "Split", "pattern": {"String": " "}});
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "split": false});
    match (&normalizers[..], &pre_tokenizers[..]) {
        ([first, second], []) if is(first, &prepend) && is(second, &replace) => Ok(true),
        ([one], []) if is(one, &replace) => Ok(false),
        // Cuts at spaces, of which there are none any more (Gemma).
        ([one], [split]) if is(one, &replace) && is(split, &spaces) => Ok(false),
        ([], [one]) if is(one, &metaspace) => Ok(one.get("prepend_scheme") != Some(&json!("never"))),
        _ => Err("its way to cut a text (normalizer, pre_tokenizer) is not the one of SentencePiece's files".into()),
    }
}

/// The crate shows the merges in no other way than in its JSON.
fn merges(model: &BPE) -> Result<Vec<(String, String)>, String> {
    let json = serde_json::to_value(model).map_err(|error| error.to_string())?;
    let merges = json.get("merges").and_then(Value::as_array).ok_or("it has no merges")?;
    let pair = |merge: &Value| match merge {
        Value::String(line) => line.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
        pair => Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())),
    };
    merges.iter().map(pair).collect::<Option<_>>().ok_or_else(|| "a merge is no pair of pieces".into())
}
