//! A byte-level BPE tokenizer from a vocabulary and merges.

use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

use super::PieceKind;

/// How a text is cut into words before the merges run inside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PreTokenizer {
    /// GPT-2's pattern.
    Gpt2,
    /// Each digit by itself, then GPT-2's pattern.
    DigitsThenGpt2,
}

impl From<PreTokenizer> for PreTokenizerWrapper {
    fn from(kind: PreTokenizer) -> Self {
        let gpt2 = ByteLevel::new(false, true, true);
        match kind {
            PreTokenizer::Gpt2 => gpt2.into(),
            PreTokenizer::DigitsThenGpt2 => {
                Sequence::new(vec![Self::Digits(Digits::new(true)), Self::ByteLevel(gpt2)]).into()
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
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::from(pre_tokenizer)));
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
