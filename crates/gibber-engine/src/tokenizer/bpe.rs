//! A byte-level BPE tokenizer from a vocabulary and merges.

use serde_json::json;
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{NFC, Replace};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

use super::pieces::{PieceKind, SPACE};

/// GPT-2's pattern (OpenAI's `encoder.py`), which the byte-level step of the crate has built in.
pub(super) const GPT2_PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Llama 3's pattern, from its `tokenizer.json`.
const LLAMA3_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen2's pattern, from its `tokenizer.json`: Llama 3's, with each digit by itself.
const QWEN2_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen3.5's pattern, from its `tokenizer.json`: Qwen2's, with marks as parts of words.
const QWEN35_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Mistral's pattern (Tekken), from its `tokenizer.json`: words end where small letters are followed by large ones.
const TEKKEN_PATTERN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pattern of `o200k_base` (OpenAI's tiktoken): words end where a capital follows, with what is cut off them by an
/// apostrophe.
const O200K_PATTERN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What llama.cpp takes for a file that names none: one after the other, each cuts what those before have left.
const DEFAULT_PATTERNS: [&str; 4] = [r"[\p{P}\$\+<=>\^~\|]+", GPT2_PATTERN, r"\p{N}+", r"[0-9][0-9][0-9]"];

/// How a text is cut into words before the merges run inside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    /// One after the other, each cuts what those before have left.
    patterns: &'static [&'static str],
    /// Whether each digit is cut off at the end.
    digits: bool,
    /// Whether the text is composed first (NFC).
    composes: bool,
    /// Whether a word that is a piece as it stands is taken without a look at the merges.
    whole_words: bool,
}

impl PreTokenizer {
    const fn of(patterns: &'static [&'static str]) -> Self {
        Self { patterns, digits: false, composes: false, whole_words: false }
    }

    /// GPT-2's pattern.
    pub(super) const GPT2: Self = Self::of(&[GPT2_PATTERN]);
    /// GPT-2's pattern, then each digit by itself. transformers gives the same ids for a GGUF file; llama.cpp cuts the
    /// digits first, which differs only where several spaces stand before a digit.
    pub(super) const GPT2_THEN_DIGITS: Self = Self { digits: true, ..Self::GPT2 };
    /// Llama 3's pattern, words that are pieces first.
    pub(super) const LLAMA3: Self = Self { whole_words: true, ..Self::LLAMA3_MERGED };
    /// Llama 3's pattern with all pieces made by merges.
    pub(super) const LLAMA3_MERGED: Self = Self::of(&[LLAMA3_PATTERN]);
    /// Qwen2's pattern on composed text, as its own tokenizer has it (llama.cpp does not compose).
    pub(super) const QWEN2: Self = Self { composes: true, ..Self::QWEN2_AS_WRITTEN };
    /// Qwen2's pattern on the text as it is written.
    pub(super) const QWEN2_AS_WRITTEN: Self = Self::of(&[QWEN2_PATTERN]);
    /// Qwen3.5's pattern on composed text.
    pub(super) const QWEN35: Self = Self { composes: true, ..Self::of(&[QWEN35_PATTERN]) };
    /// Mistral's, words that are pieces first.
    pub(super) const TEKKEN: Self = Self { whole_words: true, ..Self::of(&[TEKKEN_PATTERN]) };
    /// The pattern of GPT-4o, gpt-oss and Llama 4.
    pub(super) const O200K: Self = Self::of(&[O200K_PATTERN]);
    /// llama.cpp's where a file names none.
    pub(super) const DEFAULT: Self = Self::of(&DEFAULT_PATTERNS);

    fn build(self) -> Result<PreTokenizerWrapper, String> {
        if self == Self::GPT2 {
            return Ok(ByteLevel::new(false, true, true).into());
        }
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        for &pattern in self.patterns {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(|e| e.to_string())?;
            steps.push(split.into());
        }
        if self.digits {
            steps.push(Digits::new(true).into());
        }
        // The bytes come last: some of their spellings are digits, such as `²`.
        steps.push(ByteLevel::new(false, true, false).into());
        Ok(Sequence::new(steps).into())
    }

    /// The step of a `tokenizer.json` that cuts by its one pattern, in both spellings: every text is made of what the pattern
    /// finds, so that to keep it apart and to drop what is between is the same.
    pub(super) fn split_steps(self) -> Option<[serde_json::Value; 2]> {
        let [pattern] = self.patterns else { return None };
        let step = |behavior, invert| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert});
        Some([step("Isolated", false), step("Removed", true)])
    }

    /// The same with each switch as given.
    pub(super) fn with(self, composes: bool, whole_words: bool) -> Self {
        Self { composes, whole_words, ..self }
    }
}

/// Names in a GGUF file's `tokenizer.ggml.pre`; of several names for one, the first is written. These are those of
/// llama.cpp (`llama-vocab.cpp`).
pub(super) const PRE_TOKENIZER_NAMES: &[(&str, PreTokenizer)] = &[
    ("gpt-2", PreTokenizer::GPT2),
    ("smollm", PreTokenizer::GPT2_THEN_DIGITS),
    ("llama-bpe", PreTokenizer::LLAMA3),
    ("qwen2", PreTokenizer::QWEN2),
    ("qwen35", PreTokenizer::QWEN35),
    ("gpt-4o", PreTokenizer::O200K),
    ("default", PreTokenizer::DEFAULT),
    ("llama3", PreTokenizer::LLAMA3),
    ("llama-v3", PreTokenizer::LLAMA3),
    ("smaug-bpe", PreTokenizer::LLAMA3_MERGED),
    ("stablelm2", PreTokenizer::QWEN2_AS_WRITTEN),
    ("deepseek-r1-qwen", PreTokenizer::QWEN2),
    ("phi-2", PreTokenizer::GPT2),
    ("falcon3", PreTokenizer::LLAMA3),
    ("lfm2", PreTokenizer::LLAMA3),
    ("pixtral", PreTokenizer::LLAMA3),
    ("tekken", PreTokenizer::TEKKEN),
    ("dbrx", PreTokenizer::LLAMA3_MERGED),
    ("olmo", PreTokenizer::GPT2),
    ("exaone4", PreTokenizer::GPT2),
    ("granite-docling", PreTokenizer::GPT2),
    ("mpt", PreTokenizer::GPT2),
    ("trillion", PreTokenizer::GPT2),
    ("mellum", PreTokenizer::GPT2),
    ("refact", PreTokenizer::GPT2_THEN_DIGITS),
    ("starcoder", PreTokenizer::GPT2_THEN_DIGITS),
    ("command-r", PreTokenizer::GPT2_THEN_DIGITS),
    ("codeshell", PreTokenizer::GPT2_THEN_DIGITS),
    ("exaone", PreTokenizer::GPT2_THEN_DIGITS),
    ("minerva-7b", PreTokenizer::GPT2_THEN_DIGITS),
    ("llama4", PreTokenizer::O200K),
    ("kanana2", PreTokenizer::O200K),
];

/// Builds the tokenizer. `added_tokens` are matched whole wherever they are written in a text.
///
/// # Errors
/// What is wrong with the vocabulary or the merges.
pub(super) fn build(
    vocab: Vocab,
    merges: Vec<(String, String)>,
    pre_tokenizer: PreTokenizer,
    added_tokens: impl IntoIterator<Item = (String, PieceKind)>,
) -> Result<tokenizers::Tokenizer, String> {
    check_merges(merges.iter().map(|(left, right)| (left.as_str(), right.as_str())), |piece| {
        vocab.contains_key(piece)
    })?;
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(pre_tokenizer.whole_words);
    let mut tokenizer = tokenizers::Tokenizer::new(bpe.build().map_err(|error| error.to_string())?);
    if pre_tokenizer.composes {
        tokenizer.with_normalizer(Some(NFC)).map_err(|error| error.to_string())?;
    }
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer.build()?));
    let added_tokens = added_tokens
        .into_iter()
        .map(|(text, kind)| AddedToken::from(text, kind == PieceKind::Special).normalized(false));
    tokenizer.add_tokens(added_tokens).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

/// Builds the tokenizer of pieces that spell a space `▁`, whose merges run over the whole text; what has no piece is spelled in
/// bytes (`<0x0A>`), or else `unknown` (Gemma 4).
///
/// # Errors
/// As [`build`].
pub(super) fn build_spaced(
    vocab: Vocab,
    merges: Vec<(String, String)>,
    unknown: Option<String>,
    added_tokens: impl IntoIterator<Item = (String, PieceKind)>,
) -> Result<tokenizers::Tokenizer, String> {
    check_merges(merges.iter().map(|(left, right)| (left.as_str(), right.as_str())), |piece| {
        vocab.contains_key(piece)
    })?;
    let mut bpe = BPE::builder().vocab_and_merges(vocab, merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = unknown {
        bpe = bpe.unk_token(unknown);
    }
    let mut tokenizer = tokenizers::Tokenizer::new(bpe.build().map_err(|error| error.to_string())?);
    let spaces = Replace::new(" ", SPACE.to_string()).map_err(|error| error.to_string())?;
    tokenizer.with_normalizer(Some(spaces)).map_err(|error| error.to_string())?;
    let added_tokens = added_tokens
        .into_iter()
        .map(|(text, kind)| AddedToken::from(text, kind == PieceKind::Special).normalized(false));
    tokenizer.add_tokens(added_tokens).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

/// Checks that both parts of each merge and the whole are in the vocabulary. The crate takes this for granted: it
/// panics where the whole is longer than any piece.
pub(super) fn check_merges<'a>(
    merges: impl IntoIterator<Item = (&'a str, &'a str)>,
    contains: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let mut whole = String::new();
    for (rank, (left, right)) in merges.into_iter().enumerate() {
        whole.clear();
        whole.push_str(left);
        whole.push_str(right);
        for piece in [left, right, &whole] {
            if !contains(piece) {
                return Err(format!(
                    "merge {rank} (`{left} {right}`) needs `{piece}`, which the vocabulary does not have"
                ));
            }
        }
    }
    Ok(())
}

/// Splits `Ġ town` into its two parts.
pub(super) fn parse_merge(line: &str) -> Option<(&str, &str)> {
    line.split_once(' ').filter(|(left, right)| !left.is_empty() && !right.is_empty() && !right.contains(' '))
}

#[cfg(test)]
mod tests {
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    use super::*;

    /// How the text is cut.
    fn words(pre_tokenizer: PreTokenizer, text: &str) -> Vec<String> {
        let mut text = PreTokenizedString::from(text);
        pre_tokenizer.build().unwrap().pre_tokenize(&mut text).unwrap();
        let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(word, ..)| word.to_owned()).collect()
    }

    #[test]
    fn marks_are_parts_of_words_for_qwen3_5_and_not_for_qwen2() {
        assert_eq!(words(PreTokenizer::QWEN35, "ab\u{332}c").len(), 1);
        assert_eq!(words(PreTokenizer::QWEN2, "ab\u{332}c").len(), 2);
        // A vowel sign and a virama belong to the letters before them.
        assert_eq!(words(PreTokenizer::QWEN35, "हिन्दी").len(), 1);
        assert!(words(PreTokenizer::QWEN2, "हिन्दी").len() > 1);
    }
}
