//! What the steps of a `tokenizer.json` may do, found out before the `tokenizers` crate does it: anybody may have written
//! the file, and the crate panics on some steps, and takes all memory with others.
//!
//! Each step is known by its type, tried on a few short texts, and bounded in how much longer a text can get by it.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{NormalizedString, Normalizer, PreTokenizedString, PreTokenizer};

use super::TokenId;
use crate::caught::caught;

/// Steps of a file; the published ones have six at most.
const MAX_STEPS: usize = 64;
/// Sequences in sequences.
const MAX_NESTING: usize = 8;
/// Times as long as it was that a text may get by all steps together; those of published files come to a few thousand at
/// the most, for a text of nothing but the rarest letters.
const MAX_GROWTH: f64 = 65_536.0;
/// Up to here texts of any length are taken: SentencePiece's steps spell a space in three bytes, and put one before a text.
const USUAL_GROWTH: f64 = 16.0;
/// Bytes that a text may become where the growth is more than usual.
const MAX_GROWN: f64 = (64 << 20) as f64;
/// Times as long that a text may get by one step of those of published files, at the most: what Unicode spells longest is
/// eleven times as long in its composed form.
const MAX_STEP: f64 = 64.0;
/// Bytes that a text may become by steps that are none of those, or by all together: the crate keeps for each byte where it
/// comes from, and takes a hundred times the memory for it.
const MAX_ODDLY_GROWN: f64 = (1 << 20) as f64;
/// Bytes by which any text may become longer, however short it is.
const MAX_ADDED: f64 = 65_536.0;
/// Bytes of a regular expression; the longest published ones have two thousand.
const MAX_PATTERN: usize = 1 << 14;
/// Bytes of a piece: the crate has a tree as deep as the longest, and walks it by recursion.
const MAX_PIECE: usize = 1024;
/// Seconds of processor time that a step may take for a text of a hundred letters; a published one takes microseconds. A
/// regular expression that goes astray takes the more the longer the text.
const MAX_SECONDS: f64 = 0.1;

/// How much longer a text can get by the steps of a file.
#[derive(Debug)]
pub(super) struct Growth {
    /// By all steps.
    total: f64,
    /// The normalizers, each with the times as long that a text can get by it.
    normalizers: Vec<(NormalizerWrapper, f64)>,
    /// By the pre-tokenizers.
    after: f64,
}

impl Growth {
    /// Checks the steps under `normalizer` and `pre_tokenizer`.
    ///
    /// # Errors
    /// Names the step by its place in the file, and what is wrong with it.
    pub(super) fn of(normalizer: &Value, pre_tokenizer: &Value) -> Result<Self, String> {
        let mut growth = Self { total: 1.0, normalizers: Vec::new(), after: 1.0 };
        for step in steps_of(normalizer, "normalizer", "normalizers")? {
            let by_step = growth.multiply(&step)?;
            let normalizer = step.normalizer()?;
            step.probe(&|text| normalizer.normalize(&mut NormalizedString::from(text)))?;
            growth.normalizers.push((normalizer, by_step));
        }
        for step in steps_of(pre_tokenizer, "pre_tokenizer", "pretokenizers")? {
            growth.after *= growth.multiply(&step)?;
            let pre_tokenizer: PreTokenizerWrapper = step.built(step.value)?;
            step.probe(&|text| pre_tokenizer.pre_tokenize(&mut PreTokenizedString::from(text)))?;
        }
        Ok(growth)
    }

    fn multiply(&mut self, step: &Step<'_>) -> Result<f64, String> {
        let by_step = step.growth()?;
        self.total *= by_step;
        if self.total > MAX_GROWTH {
            let place = &step.place;
            return Err(format!("by the steps up to `{place}` a text can get more than {MAX_GROWTH} times as long"));
        }
        Ok(by_step)
    }

    /// Whether all that can become of a text of so many bytes is little.
    fn is_little(&self, bytes: usize) -> bool {
        self.total <= USUAL_GROWTH || bytes as f64 * self.total <= MAX_ODDLY_GROWN
    }

    /// Refuses a text of which more becomes than memory may do for: where it can, its steps are done one by one, each only
    /// where there is room for all that can come of it, and none makes more of it than published ones do.
    ///
    /// # Errors
    /// Says how much it can be.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        if self.is_little(text.len()) {
            return Ok(());
        }
        let most = text.len() as f64 * USUAL_GROWTH + MAX_ADDED;
        let mut normalized = NormalizedString::from(text);
        for (step, growth) in &self.normalizers {
            refuse_beyond(normalized.get().len(), *growth)?;
            let outcome = caught(|| step.normalize(&mut normalized));
            outcome.and_then(|outcome| outcome.map_err(|error| error.to_string()))?;
            let length = normalized.get().len();
            if length as f64 > most {
                return Err(format!(
                    "its `normalizer` makes {length} bytes of {}: more than {USUAL_GROWTH} times as long is no text any more",
                    text.len()
                ));
            }
        }
        refuse_beyond(normalized.get().len(), self.after)
    }
}

fn refuse_beyond(bytes: usize, growth: f64) -> Result<(), String> {
    let most = if growth > MAX_STEP { MAX_ODDLY_GROWN } else { MAX_GROWN };
    if bytes as f64 * growth <= most {
        return Ok(());
    }
    Err(format!(
        "{bytes} bytes of text can get {growth:.0} times as long by its `normalizer` and `pre_tokenizer`, more than the {:.0} MB that are possible",
        most / 1e6
    ))
}

/// The steps under a key of a file.
fn steps_of<'a>(value: &'a Value, key: &str, list: &str) -> Result<Vec<Step<'a>>, String> {
    let mut steps = Vec::new();
    flatten(value, key.to_owned(), list, MAX_NESTING, &mut steps)?;
    if steps.len() > MAX_STEPS {
        return Err(format!("`{key}` has {} steps, at most {MAX_STEPS} are possible", steps.len()));
    }
    Ok(steps)
}

/// Refuses pieces of a Unigram model that are too long for the crate.
///
/// # Errors
/// Names the piece by its place.
pub(super) fn check_pieces(vocab: &Value) -> Result<(), String> {
    let pieces = vocab.as_array().into_iter().flatten();
    let length = |piece: &Value| piece.get(0).and_then(Value::as_str).map_or(0, str::len);
    match pieces.map(length).enumerate().find(|(_, length)| *length > MAX_PIECE) {
        None => Ok(()),
        Some((at, length)) => {
            Err(format!("`model.vocab[{at}]` is a piece of {length} bytes, at most {MAX_PIECE} are possible"))
        }
    }
}

/// The special tokens that a post-processor puts before a text, the first one first.
///
/// # Errors
/// Names the key that is missing or broken.
pub(super) fn bos_tokens_of(post_processor: &Value) -> Result<Vec<TokenId>, String> {
    let mut bos_tokens = Vec::new();
    for step in steps_of(post_processor, "post_processor", "processors")? {
        // A later step puts its own before those of the earlier ones.
        let before = step.bos_tokens()?;
        bos_tokens.splice(..0, before);
    }
    Ok(bos_tokens)
}

/// A step of a file, and where it stands.
struct Step<'a> {
    place: String,
    kind: &'a str,
    value: &'a Value,
}

/// The steps of `value`, those of sequences one by one.
fn flatten<'a>(
    value: &'a Value,
    place: String,
    list: &str,
    depth: usize,
    steps: &mut Vec<Step<'a>>,
) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        return Err(format!("`{place}.type` is missing"));
    };
    if kind != "Sequence" {
        steps.push(Step { place, kind, value });
        return Ok(());
    }
    if depth == 0 {
        return Err(format!("`{place}` is a sequence in {MAX_NESTING} others, which no tokenizer needs"));
    }
    let Some(parts) = value.get(list).and_then(Value::as_array) else {
        return Err(format!("`{place}.{list}` is missing"));
    };
    let mut parts = parts.iter().enumerate();
    parts.try_for_each(|(at, part)| flatten(part, format!("{place}.{list}[{at}]"), list, depth - 1, steps))
}

impl Step<'_> {
    fn text(&self, key: &str) -> Result<&str, String> {
        let text = self.value.get(key).and_then(Value::as_str);
        text.ok_or_else(|| format!("`{}.{key}` has to be a string", self.place))
    }

    /// Bytes that may come of one.
    fn growth(&self) -> Result<f64, String> {
        Ok(match self.kind {
            // The most that Unicode's tables (UAX #15) and the spelling of bytes as letters make of a character.
            "NFC" | "NFD" => 3.0,
            "NFKC" | "NFKD" => 11.0,
            "Bert" | "BertNormalizer" => 9.0,
            "Lowercase" => 2.0,
            "ByteLevel" => 3.0,
            "Strip" | "StripAccents" | "Nmt" => 1.0,
            "Precompiled" => longest_rewrite(self.text("precompiled_charsmap")?)
                .map_err(|what| format!("`{}.precompiled_charsmap` {what}", self.place))?,
            "Prepend" => match self.text("prepend")?.len() {
                0 => return Err(format!("`{}.prepend` is empty: leave the step out", self.place)),
                length => 1.0 + length as f64,
            },
            "Replace" => self.text("content")?.len() as f64 / self.shortest_match()?,
            "Split" => self.shortest_match().map(|_| 1.0)?,
            "FixedLength" => match self.value.get("length") {
                None => 1.0,
                Some(length) if length.as_u64().is_some_and(|length| length > 0) => 1.0,
                Some(length) => return Err(format!("`{}.length` is {length}, it has to be 1 or more", self.place)),
            },
            "Metaspace" => 1.0 + self.text("replacement")?.len() as f64,
            "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" | "Digits" | "UnicodeScripts" | "Punctuation"
            | "Delimiter" | "CharDelimiterSplit" => 1.0,
            other => return Err(format!("`{}.type` is {other}, which is not known here", self.place)),
        }
        .max(1.0))
    }

    /// Bytes that a match has at the least, a regular expression's taken to be one.
    fn shortest_match(&self) -> Result<f64, String> {
        let pattern = self.value.get("pattern");
        let of = |kind: &str| pattern.and_then(|pattern| pattern.get(kind)).and_then(Value::as_str);
        let (pattern, shortest) = match (of("String"), of("Regex")) {
            (Some(text), None) => (text, text.len()),
            (None, Some(expression)) => (expression, 1),
            _ => return Err(format!("`{}.pattern` has to be a `String` or a `Regex`", self.place)),
        };
        if pattern.is_empty() || pattern.len() > MAX_PATTERN {
            let length = pattern.len();
            return Err(format!("`{}.pattern` has {length} bytes, from 1 to {MAX_PATTERN} are possible", self.place));
        }
        Ok(shortest as f64)
    }

    fn named(&self, what: impl fmt::Display) -> String {
        format!("`{}` ({}) {what}", self.place, self.kind)
    }

    /// The step as the crate has it, of its own JSON or of one like it.
    fn built<T: DeserializeOwned>(&self, json: &Value) -> Result<T, String> {
        let built = caught(|| serde_json::from_value(json.clone()));
        let built = built.and_then(|outcome| outcome.map_err(|error| error.to_string()));
        built.map_err(|what| self.named(format_args!("is broken: {what}")))
    }

    /// The step as a normalizer, which replaces nothing without a letter: the crate would lose count.
    fn normalizer(&self) -> Result<NormalizerWrapper, String> {
        const MARK: char = '\u{1}';
        let normalizer = self.built(self.value)?;
        if self.kind != "Replace" {
            return Ok(normalizer);
        }
        let mut json = self.value.clone();
        json["content"] = Value::String(MARK.to_string());
        let marking: NormalizerWrapper = self.built(&json)?;
        self.probe(&|text| {
            let mut marked = NormalizedString::from(text);
            marking.normalize(&mut marked)?;
            let underscores = marked.get().chars().filter(|&c| c == MARK).count();
            let replaced = (text.chars().count() + underscores).saturating_sub(marked.get().chars().count());
            if underscores <= replaced { Ok(()) } else { Err("`pattern` matches the empty text".into()) }
        })?;
        Ok(normalizer)
    }

    /// Does something to a few short texts.
    fn probe(&self, attempt: &dyn Fn(&str) -> tokenizers::Result<()>) -> Result<(), String> {
        let started = thread_seconds();
        for text in PROBES {
            for text in [(*text).to_owned(), text.repeat(64 / text.len().max(1))] {
                let outcome = caught(|| attempt(&text)).and_then(|outcome| outcome.map_err(|error| error.to_string()));
                outcome.map_err(|what| self.named(format_args!("fails on the text {text:?}: {what}")))?;
                if thread_seconds() - started > MAX_SECONDS {
                    return Err(self.named("takes for ever on short texts"));
                }
            }
        }
        Ok(())
    }

    /// The tokens that it puts before a text, as a post-processor.
    fn bos_tokens(&self) -> Result<Vec<TokenId>, String> {
        let missing = |key: &str| format!("`{}.{key}` is missing or broken", self.place);
        match self.kind {
            "ByteLevel" => Ok(Vec::new()),
            "BertProcessing" | "RobertaProcessing" => {
                let id = self.value.pointer("/cls/1").and_then(token).ok_or_else(|| missing("cls"))?;
                Ok(vec![id])
            }
            "TemplateProcessing" => {
                let pieces = self.value.get("single").and_then(Value::as_array).ok_or_else(|| missing("single"))?;
                let before = pieces.iter().map_while(|piece| piece.get("SpecialToken"));
                let mut bos_tokens = Vec::new();
                for special in before {
                    let name = special.get("id").and_then(Value::as_str).ok_or_else(|| missing("single"))?;
                    let ids =
                        self.value.get("special_tokens").and_then(|tokens| tokens.get(name)?.get("ids")?.as_array());
                    let ids = ids.and_then(|ids| ids.iter().map(token).collect::<Option<Vec<_>>>());
                    bos_tokens.extend(ids.ok_or_else(|| missing(&format!("special_tokens.{name}.ids")))?);
                }
                Ok(bos_tokens)
            }
            other => Err(format!("`{}.type` is {other}, which is not known here", self.place)),
        }
    }
}

fn token(value: &Value) -> Option<TokenId> {
    value.as_u64().and_then(|id| TokenId::try_from(id).ok())
}

/// What the steps are tried on, once and repeated to a hundred letters.
const PROBES: &[&str] =
    &["", "a", " ", "1", "a ", "Ab", "\n", "\u{2581}", "é漢😀", "e\u{301}", "Hi, 12 it's\r\n\t!?", "<|x|>"];

/// Processor time of this thread: a busy machine takes nothing of it.
fn thread_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The longest text that SentencePiece's table of rewrites has for a character. A table is the length of a tree, the tree,
/// and texts with a zero behind each.
fn longest_rewrite(base64: &str) -> Result<f64, String> {
    let bytes = decode_base64(base64).ok_or("is not base64")?;
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or("is too short for a table of rewrites")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > rest.len() || !length.is_multiple_of(4) {
        return Err(format!("has a tree of {length} bytes in {}: it is damaged", rest.len()));
    }
    let texts = &rest[length..];
    std::str::from_utf8(texts).map_err(|error| format!("has a text that is not UTF-8: {error}"))?;
    Ok(texts.split(|&byte| byte == 0).map(<[u8]>::len).max().unwrap_or(0) as f64)
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    for four in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in four {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        if four.len() == 1 {
            return None;
        }
        bits <<= 6 * (4 - four.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normalizer(value: Value) -> Result<Growth, String> {
        Growth::of(&value, &Value::Null)
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode_base64("TWFu"), Some(b"Man".to_vec()));
        assert_eq!(decode_base64("TWE="), Some(b"Ma".to_vec()));
        assert_eq!(decode_base64("TQ=="), Some(b"M".to_vec()));
        assert_eq!((decode_base64("!!!"), decode_base64("A")), (None, None));
    }

    #[test]
    fn growth_is_that_of_all_steps_together() {
        let prepend = json!({"type": "Prepend", "prepend": "▁"});
        let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
        let of = |steps: Vec<Value>| normalizer(json!({"type": "Sequence", "normalizers": steps}));
        assert_eq!(of(vec![replace(" ", "▁")]).unwrap().total, 3.0);
        assert_eq!(of(vec![prepend.clone(), replace("abc", "x")]).unwrap().total, 4.0);
        let error = of(vec![replace("a", "aaaaaaaaaa"); 10]).unwrap_err();
        assert!(error.contains("`normalizer.normalizers[4]`") && error.contains("65536 times"), "{error}");
        let long = "b ".repeat(1 << 22);
        assert!(of(vec![prepend, replace(" ", "▁")]).unwrap().check(&long).is_ok());
        let thousand = of(vec![replace("a", "aaaaaaaaaa"), replace("a", &"b".repeat(100))]).unwrap();
        assert_eq!(thousand.total, 1000.0);
        assert!(thousand.check(&"c".repeat(1 << 13)).is_ok(), "what has not grown is not refused");
        assert!(thousand.check(&"a".repeat(1 << 13)).unwrap_err().contains("100 times as long"));
        let doubling = of(vec![replace("a", "aa"); 10]).unwrap();
        let error = doubling.check(&"a".repeat(5000)).unwrap_err();
        assert!(error.contains("makes 160000 bytes of 5000"), "{error}");
        assert!(doubling.check(&"c".repeat(1 << 18)).is_ok(), "what has not grown is not refused");
        assert!(doubling.check(&"a".repeat(100)).is_ok(), "a hundred kilobytes are little");
    }

    #[test]
    fn a_step_that_cannot_be_is_named_by_its_place() {
        let nested =
            (0..20).fold(json!({"type": "NFC"}), |inner, _| json!({"type": "Sequence", "normalizers": [inner]}));
        let deep = |inner: Value| json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, inner]});
        for (value, what) in [
            (json!({"type": "Prepend", "prepend": ""}), "`normalizer.prepend` is empty"),
            (deep(json!({"type": "Prepend", "prepend": ""})), "`normalizer.normalizers[1].prepend` is empty"),
            (json!({"type": "Replace", "pattern": {"String": ""}, "content": "x"}), "`normalizer.pattern` has 0 bytes"),
            (json!({"type": "Replace", "pattern": {"Regex": "^"}, "content": "x"}), "`pattern` matches the empty text"),
            (
                json!({"type": "Replace", "pattern": {"Regex": "b*"}, "content": "x"}),
                "`pattern` matches the empty text",
            ),
            (json!({"type": "Replace", "pattern": {"Regex": "("}, "content": "x"}), "`normalizer` (Replace) is broken"),
            (json!({"type": "Precompiled", "precompiled_charsmap": "!!!"}), "`normalizer.precompiled_charsmap` is not"),
            (
                json!({"type": "Precompiled", "precompiled_charsmap": null}),
                "`normalizer.precompiled_charsmap` has to be",
            ),
            (json!({"type": "Precompiled", "precompiled_charsmap": "/P///wAAAAA="}), "a tree of 4294967292 bytes in 4"),
            (
                json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8="}),
                "`normalizer` (Precompiled) fails on",
            ),
            (json!({"type": "Whatever"}), "`normalizer.type` is Whatever"),
            (json!({"prepend": "a"}), "`normalizer.type` is missing"),
            (nested, "is a sequence in 8 others"),
            (json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 65]}), "has 65 steps"),
        ] {
            let error = normalizer(value).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
        }
        let zero = Growth::of(&Value::Null, &json!({"type": "FixedLength", "length": 0})).unwrap_err();
        assert!(zero.contains("`pre_tokenizer.length` is 0"), "{zero}");
        let long =
            json!({"type": "Split", "pattern": {"Regex": "a".repeat(20_000)}, "behavior": "Isolated", "invert": false});
        assert!(Growth::of(&Value::Null, &long).unwrap_err().contains("`pre_tokenizer.pattern` has 20000 bytes"));
        let letters =
            vec![json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}); 40];
        let letters = Growth::of(&Value::Null, &json!({"type": "Sequence", "pretokenizers": letters}));
        assert!(letters.unwrap_err().contains("`pre_tokenizer.pretokenizers[10]`"));
    }

    #[test]
    fn an_expression_that_goes_astray_is_found_out() {
        let astray = json!({"type": "Split", "pattern": {"Regex": "(?:(a|aa){1,18}\\1c|a)"}, "behavior": "Isolated", "invert": false});
        let error = Growth::of(&Value::Null, &astray).unwrap_err();
        assert!(error.contains("`pre_tokenizer` (Split)"), "{error}");
    }

    #[test]
    fn the_tokens_before_a_text_are_read_from_every_kind_of_post_processor() {
        let template = |single: Value, tokens: Value| json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": tokens});
        let special = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        let tokens = json!({"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}});
        assert_eq!(bos_tokens_of(&Value::Null), Ok(vec![]));
        assert_eq!(bos_tokens_of(&template(json!([special, text, special]), tokens.clone())), Ok(vec![1]));
        assert_eq!(bos_tokens_of(&template(json!([text]), json!({}))), Ok(vec![]));
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true});
        let both = json!({"type": "Sequence", "processors": [bytes, template(json!([special, text]), tokens)]});
        assert_eq!(bos_tokens_of(&both), Ok(vec![1]));
        assert_eq!(
            bos_tokens_of(&json!({"type": "RobertaProcessing", "cls": ["<s>", 5], "sep": ["</s>", 6]})),
            Ok(vec![5])
        );
        let error = bos_tokens_of(&template(json!([special, text]), json!({}))).unwrap_err();
        assert!(error.contains("`post_processor.special_tokens.<s>.ids`"), "{error}");
    }
}
