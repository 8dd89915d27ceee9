//! The length of texts that are too long to be encoded whole: an encoding takes two hundred times the text's memory.

use super::Tokenizer;
use crate::EngineError;

/// Bytes that are encoded at a time.
const CHUNK: usize = 256 << 10;

impl Tokenizer {
    /// How many tokens `text` is, without a begin token. It is cut where a line begins, as no token goes over that in
    /// most tokenizers; where a long text has no lines, the count may be off by one a piece.
    ///
    /// # Errors
    /// Those of [`Tokenizer::encode`].
    pub fn count(&self, text: &str) -> Result<usize, EngineError> {
        let (mut rest, mut count) = (text, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut(rest, CHUNK));
            count += self.encode(piece, false)?.len();
            rest = after;
        }
        Ok(count)
    }
}

/// Where to cut `text` so that about `size` bytes come before: behind the last line end that a letter or a mark follows.
fn cut(text: &str, size: usize) -> usize {
    if text.len() <= size {
        return text.len();
    }
    let end = text.floor_char_boundary(size);
    let begins_a_line = |at: &usize| text[*at..].chars().next().is_some_and(|c| !c.is_whitespace());
    let mut lines = text[..end].rmatch_indices('\n').map(|(at, _)| at + 1).take_while(|at| *at > end / 2);
    lines.find(begins_a_line).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_lines_begin() {
        assert_eq!(cut("one\ntwo", 100), 7);
        assert_eq!(cut("one\ntwo\n\n  three", 6), 4);
        assert_eq!(cut("one\n\n  two", 7), 7, "no blanks begin a piece");
        assert_eq!(cut("no lines at all", 4), 4);
        assert_eq!(cut("ääää", 3), 2);
    }

    #[test]
    fn a_long_text_counts_as_if_it_were_encoded_whole() {
        let tokenizer = super::super::of_bytes(256).unwrap();
        let text = "The first line.\n\n  The second, äöü.\r\n".repeat(20_000);
        assert!(text.len() > 2 * CHUNK);
        assert_eq!(tokenizer.count(&text).unwrap(), tokenizer.encode(&text, false).unwrap().len());
        assert_eq!(tokenizer.count("").unwrap(), 0);
    }
}
