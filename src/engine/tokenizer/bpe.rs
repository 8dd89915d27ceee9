//! A byte-level BPE tokenizer from a vocabulary and merges.

use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

use super::PieceKind;

/// GPT-2's pattern (OpenAI's `encoder.py`), which the byte-level step of the crate has built in.
pub(super) const GPT2_PATTERN: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// How a text is cut into words before the merges run inside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    /// GPT-2's pattern.
    Gpt2,
    /// GPT-2's pattern, then each digit by itself. transformers gives the same ids for a GGUF file; llama.cpp cuts the
    /// digits first, which differs only where several blanks stand before a digit.
    Gpt2ThenDigits,
}

impl PreTokenizer {
    fn build(self) -> Result<PreTokenizerWrapper, String> {
        match self {
            Self::Gpt2 => Ok(ByteLevel::new(false, true, true).into()),
            Self::Gpt2ThenDigits => {
                let pattern = SplitPattern::Regex(GPT2_PATTERN.to_owned());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(|e| e.to_string())?;
                // The bytes come last: some of their spellings are digits, such as `²`.
                let steps = vec![split.into(), Digits::new(true).into(), ByteLevel::new(false, true, false).into()];
                Ok(Sequence::new(steps).into())
            }
        }
    }
}

/// Builds the tokenizer. `marks` are matched whole wherever they are written in a text.
///
/// # Errors
/// What is wrong with the vocabulary or the merges.
pub(super) fn build(
    vocab: Vocab,
    merges: Vec<(String, String)>,
    pre_tokenizer: PreTokenizer,
    marks: impl IntoIterator<Item = (String, PieceKind)>,
) -> Result<tokenizers::Tokenizer, String> {
    check_merges(merges.iter().map(|(left, right)| (left.as_str(), right.as_str())), |piece| {
        vocab.contains_key(piece)
    })?;
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).build().map_err(|error| error.to_string())?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer.build()?));
    let marks =
        marks.into_iter().map(|(text, kind)| AddedToken::from(text, kind == PieceKind::Special).normalized(false));
    tokenizer.add_tokens(marks).map_err(|error| error.to_string())?;
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
