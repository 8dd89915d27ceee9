//! What a `tokenizer.json` says, read key by key before the crate reads it: what is missing or broken is named by its place.

use std::path::Path;

use serde_json::{Map, Value};

use super::bounds::{self, Growth};
use super::decoder::Spelling;
use super::{Bos, TokenId, bpe};
use crate::EngineError;
use crate::json;
use gibber_files::quoted;

/// What is known of a file before the crate has read it.
pub(super) struct Checked {
    pub(super) growth: Growth,
    /// Where its post-processor's token is one of the vocabulary.
    pub(super) bos: Bos,
}

/// Refuses what the crate would panic on, and what is no plain BPE.
///
/// # Errors
/// [`EngineError::Format`] and [`EngineError::Unsupported`], which name the place in the file.
pub(super) fn check(path: &Path, json: &[u8]) -> Result<Checked, EngineError> {
    let broken = |reason: String| EngineError::format(path, reason);
    let unsupported = |what: String| EngineError::unsupported(path, what);
    let file = json::strict_object(json).map_err(|what| broken(format!("not a tokenizer: {what}")))?;
    let part = |key: &str| file.get(key).unwrap_or(&Value::Null);
    let model = part("model").as_object().ok_or_else(|| broken("not a tokenizer: `model` is missing".to_owned()))?;
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if model.get(key).is_some_and(|value| !value.is_null() && value.as_str() != Some("")) {
            return Err(unsupported(format!("`{key}` of its model is set: only plain BPE is supported")));
        }
    }
    if part("decoder").get("type").is_some() {
        Spelling::of_json(part("decoder").clone()).map_err(unsupported)?;
    }
    let pieces = match model.get("type").and_then(Value::as_str) {
        Some("Unigram") => check_unigram(model).map_err(broken)?,
        Some("BPE") | None => check_bpe(path, model)?,
        Some(kind) => {
            return Err(unsupported(format!(
                "its model is of the type {kind} (model.type): BPE and Unigram are supported"
            )));
        }
    };
    let added = added_tokens(part("added_tokens")).map_err(broken)?;
    let growth = Growth::of(part("normalizer"), part("pre_tokenizer")).map_err(broken)?;
    growth.check(&added.contents).map_err(|what| broken(format!("`added_tokens`: {what}")))?;
    let bos = match bounds::bos_tokens_of(part("post_processor")).map_err(broken)?[..] {
        [] => Bos::Nothing,
        [bos] if (bos as usize) < pieces || added.ids.contains(&bos) => Bos::Token(bos),
        [bos] => {
            let file = path.display();
            Bos::Missing(format!(
                "{file}: `post_processor` puts the token {bos} before a text, which the vocabulary does not have"
            ))
        }
        ref more => return Err(unsupported(format!("its post-processor puts {} tokens before a text", more.len()))),
    };
    Ok(Checked { growth, bos })
}

/// What a value is, in an error.
fn said(value: &Value) -> String {
    let text = value.to_string();
    quoted::shortened(&text).into_owned()
}

fn id_of(value: &Value) -> Option<TokenId> {
    value.as_u64().and_then(|id| TokenId::try_from(id).ok())
}

/// The tokens beside the vocabulary.
#[derive(Default)]
struct Added {
    ids: Vec<TokenId>,
    /// Their texts, one behind the other.
    contents: String,
}

fn added_tokens(list: &Value) -> Result<Added, String> {
    let mut added = Added::default();
    if list.is_null() {
        return Ok(added);
    }
    let list = list.as_array().ok_or_else(|| format!("`added_tokens` is {}, not a list", said(list)))?;
    for (at, token) in list.iter().enumerate() {
        let value = |key: &str| token.get(key).unwrap_or(&Value::Null);
        let id = id_of(value("id"));
        let id = id.ok_or_else(|| format!("`added_tokens[{at}].id` is {}: it has to be an id", said(value("id"))))?;
        let content = value("content").as_str();
        let content = content.ok_or_else(|| {
            format!("`added_tokens[{at}].content` is {}: it has to be a string", said(value("content")))
        })?;
        added.ids.push(id);
        added.contents.push_str(content);
    }
    Ok(added)
}

/// Returns one more than the largest id.
fn check_bpe(path: &Path, model: &Map<String, Value>) -> Result<usize, EngineError> {
    let broken = |reason: String| EngineError::format(path, reason);
    match model.get("dropout") {
        None | Some(Value::Null) => {}
        Some(dropout) if dropout.as_f64() == Some(0.0) => {}
        Some(_) => {
            let what = "`dropout` of its model is set, which makes tokens a matter of chance";
            return Err(EngineError::unsupported(path, what));
        }
    }
    let Some(vocab) = model.get("vocab").and_then(Value::as_object) else {
        return Err(broken("`model.vocab` is missing".to_owned()));
    };
    if vocab.is_empty() {
        return Err(broken("`model.vocab` is empty".to_owned()));
    }
    let mut most = 0;
    for (piece, id) in vocab {
        let number = id_of(id).ok_or_else(|| {
            let piece = quoted::shortened(piece);
            broken(format!("`model.vocab` gives `{piece}` the id {}: it has to be a whole number, 0 or more", said(id)))
        })?;
        most = most.max(number as usize + 1);
    }
    let none = Vec::new();
    let merges = match model.get("merges") {
        None | Some(Value::Null) => &none,
        Some(Value::Array(merges)) => merges,
        Some(other) => return Err(broken(format!("`model.merges` is {}, not a list", said(other)))),
    };
    let merges = merges.iter().enumerate().map(|(at, merge)| {
        merge_of(merge)
            .ok_or_else(|| format!("`model.merges[{at}]` is {}, which is no merge of two pieces", said(merge)))
    });
    let merges = merges.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    bpe::check_merges(merges, |piece| vocab.contains_key(piece)).map_err(broken)?;
    Ok(most)
}

/// Older files write a merge as one string, newer ones as two.
fn merge_of(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(line) => bpe::parse_merge(line),
        Value::Array(pair) => match &pair[..] {
            [left, right] => Some((left.as_str()?, right.as_str()?)),
            _ => None,
        },
        _ => None,
    }
}

/// Returns how many pieces there are.
fn check_unigram(model: &Map<String, Value>) -> Result<usize, String> {
    let vocab = model.get("vocab").unwrap_or(&Value::Null);
    let pieces = vocab.as_array().ok_or_else(|| "`model.vocab` is missing: it has to be a list".to_owned())?;
    if pieces.is_empty() {
        return Err("`model.vocab` is empty".to_owned());
    }
    for (at, piece) in pieces.iter().enumerate() {
        let (text, score) = (piece.get(0).and_then(Value::as_str), piece.get(1).and_then(Value::as_f64));
        if text.is_none() || score.is_none() {
            return Err(format!("`model.vocab[{at}]` is {}: it has to be a piece with its score", said(piece)));
        }
    }
    bounds::check_pieces(vocab)?;
    match model.get("unk_id") {
        None | Some(Value::Null) => {}
        Some(id) if id.as_u64().is_some_and(|id| id < pieces.len() as u64) => {}
        Some(id) => {
            let count = pieces.len();
            return Err(format!("`model.unk_id` is {}, and the vocabulary has {count} pieces", said(id)));
        }
    }
    Ok(pieces.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(json: &Value) -> String {
        let checked = check(Path::new("tokenizer.json"), json.to_string().as_bytes());
        checked.err().expect("it is refused").to_string()
    }

    #[test]
    fn what_is_broken_is_named_by_its_place() {
        let bpe = |key: &str, value: Value| {
            let mut file = json!({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}});
            file["model"][key] = value;
            file
        };
        let unigram = |key: &str, value: Value| {
            let mut file = json!({"model": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]], "unk_id": 0}});
            file["model"][key] = value;
            file
        };
        let added = |token: Value| {
            let mut file = bpe("dropout", Value::Null);
            file["added_tokens"] = json!([{"id": 3, "content": "<s>"}, token]);
            file
        };
        for (file, said) in [
            (bpe("vocab", json!({"a": -1})), "`model.vocab` gives `a` the id -1"),
            (bpe("vocab", json!({"a": 1.5})), "`model.vocab` gives `a` the id 1.5"),
            (bpe("vocab", json!({})), "`model.vocab` is empty"),
            (bpe("vocab", json!(["a"])), "`model.vocab` is missing"),
            (bpe("merges", json!(["a b", ["a"]])), "`model.merges[1]` is [\"a\"], which is no merge"),
            (bpe("merges", json!([[]])), "`model.merges[0]` is [], which is no merge"),
            (bpe("merges", json!([7])), "`model.merges[0]` is 7, which is no merge"),
            (bpe("merges", json!(["ab"])), "`model.merges[0]` is \"ab\", which is no merge"),
            (bpe("merges", json!({})), "`model.merges` is {}, not a list"),
            (unigram("unk_id", json!(2)), "`model.unk_id` is 2, and the vocabulary has 2 pieces"),
            (unigram("unk_id", json!(-1)), "`model.unk_id` is -1"),
            (unigram("vocab", json!([])), "`model.vocab` is empty"),
            (unigram("vocab", json!([["a", -1.0], ["b"]])), "`model.vocab[1]` is [\"b\"]"),
            (unigram("vocab", json!([["a", null]])), "`model.vocab[0]` is [\"a\",null]"),
            (added(json!({"id": -1, "content": "x"})), "`added_tokens[1].id` is -1"),
            (added(json!({"id": 4})), "`added_tokens[1].content` is null"),
            (json!({"added_tokens": []}), "`model` is missing"),
            (json!([]), "not a tokenizer: it is no JSON object"),
        ] {
            let error = refusal(&file);
            assert!(error.starts_with("tokenizer.json: ") && error.contains(said), "{said}: {error}");
            assert!(!error.contains("invalid type") && !error.contains("variant"), "{error}");
        }
        let cut = check(Path::new("tokenizer.json"), b"{\"model\": ").err().unwrap().to_string();
        assert!(cut.contains("line 1, column 10"), "{cut}");
    }

    #[test]
    fn a_token_before_a_text_that_is_not_there_is_an_error_where_it_is_used() {
        let file = |id: u32| {
            json!({
                "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
                "added_tokens": [{"id": 7, "content": "<s>"}],
                "post_processor": {"type": "RobertaProcessing", "cls": ["<s>", id], "sep": ["</s>", 0]},
            })
        };
        let bos = |id: u32| check(Path::new("tokenizer.json"), file(id).to_string().as_bytes()).ok().unwrap().bos;
        assert!(matches!((bos(0), bos(7)), (Bos::Token(0), Bos::Token(7))));
        let Bos::Missing(why) = bos(3) else { panic!("3 is not there") };
        assert!(why.contains("tokenizer.json: `post_processor` puts the token 3 before a text"), "{why}");
    }
}
