//! JSON files that come with a model, as Python's `json` takes them: that is what wrote and reads them elsewhere.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// What Python writes for floats that are no numbers, the longest first.
const NO_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The object of a file. `NaN` and `Infinity` are texts in it, which no key takes for a number; the mark of the encoding at
/// the beginning, which some editors write, is passed over.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    let text = without_bom(text);
    match serde_json::from_slice(text) {
        Ok(value) => top(value),
        Err(error) => serde_json::from_slice(&quoted(text)).map_err(|_| located(&error)).and_then(top),
    }
}

/// The object of a file that others than Python read: numbers are numbers in it.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn strict_object(text: &[u8]) -> Result<Map<String, Value>, String> {
    serde_json::from_slice(without_bom(text)).map_err(|error| located(&error)).and_then(top)
}

/// A text without the mark of its encoding.
pub(crate) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

fn top(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err("it is no JSON object".to_owned()),
    }
}

/// The words of the parser, which end with a place of theirs, and the place as people say it.
fn located(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "it ends in the middle" } else { "it is no JSON" };
    format!("{what} (line {}, column {}): is it complete?", error.line(), error.column())
}

/// `text` with quotes around what is no number.
fn quoted(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    let (mut at, mut copied, mut is_inside) = (0, 0, false);
    while at < text.len() {
        match text[at] {
            b'\\' if is_inside => at += 1,
            b'"' => is_inside = !is_inside,
            b'N' | b'I' | b'-' if !is_inside => {
                if let Some(word) = NO_NUMBERS.iter().find(|word| text[at..].starts_with(word.as_bytes())) {
                    out.extend_from_slice(&text[copied..at]);
                    out.extend_from_slice(format!("\"{word}\"").as_bytes());
                    copied = at + word.len();
                    at = copied - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return text.into();
    }
    out.extend_from_slice(&text[copied..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_takes_is_taken() {
        for (text, expected) in [
            ("{\"a\": 1}", json!({"a": 1})),
            ("\u{feff}{\"a\": 1}", json!({"a": 1})),
            ("{\"a\": NaN, \"b\": [-Infinity,Infinity]}", json!({"a": "NaN", "b": ["-Infinity", "Infinity"]})),
            ("{\"NaN\\\"NaN\": \"\\\\\", \"b\": NaN, \"é\": -1}", json!({"NaN\"NaN": "\\", "b": "NaN", "é": -1})),
        ] {
            assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_with_its_place() {
        for (text, said) in [
            ("{\"a\":\n 1,}", "it is no JSON (line 2, column 4)"),
            ("{\"a\":", "it ends in the middle (line 1, column 5)"),
            ("", "it ends in the middle"),
            ("[1]", "it is no JSON object"),
            ("{\"a\": NaN,, }", "it is no JSON (line 1, column 7)"),
            ("{\"a\": Nan}", "it is no JSON (line 1, column 7)"),
        ] {
            let error = object(text.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
