//! SentencePiece's byte-pair encoding (Kudo and Richardson 2018), as GGUF files of the tokenizer model `llama` hold it.
//!
//! A text is a row of characters; of all neighbours that are a piece together, those with the best score become one,
//! again and again, the leftmost first where scores are equal. What has no piece in the end is spelled in bytes. Spaces
//! are written `▁`, and where the model was trained so, one is put before a text and after each special token in it.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use aho_corasick::{AhoCorasick, MatchKind};

use super::TokenId;
use super::pieces::SPACE;

/// No neighbour.
const NONE: u32 = u32::MAX;

/// A piece that pairs can become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) id: TokenId,
    pub(super) score: f32,
    /// Whether it is only a step on the way: left over, it is taken apart again.
    pub(super) unused: bool,
}

/// What an encoder is made of.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// With spaces as `▁`.
    pub(super) pieces: HashMap<String, Piece>,
    /// Matched whole wherever they are written in a text.
    pub(super) special_tokens: Vec<(String, TokenId)>,
    /// The tokens of single bytes.
    pub(super) bytes: HashMap<u8, TokenId>,
    /// Stands for characters that have neither a piece nor bytes.
    pub(super) unknown: Option<TokenId>,
    /// Whether a space goes before a text, and after each special token.
    pub(super) space_prefix: bool,
}

/// Turns text into ids.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pieces: HashMap<String, Piece>,
    matcher: AhoCorasick,
    special_ids: Vec<TokenId>,
    bytes: HashMap<u8, TokenId>,
    unknown: Option<TokenId>,
    space_prefix: bool,
}

impl SentencePiece {
    /// # Errors
    /// Where the special tokens are too many to be searched for.
    pub(super) fn new(parts: Parts) -> Result<Self, String> {
        let Parts { pieces, mut special_tokens, bytes, unknown, space_prefix } = parts;
        special_tokens.retain(|(text, _)| !text.is_empty());
        let matcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(special_tokens.iter().map(|(text, _)| text))
            .map_err(|error| error.to_string())?;
        let special_ids = special_tokens.into_iter().map(|(_, id)| id).collect();
        Ok(Self { pieces, matcher, special_ids, bytes, unknown, space_prefix })
    }

    /// Whether the first space of a text is the encoder's own.
    pub(super) fn has_space_prefix(&self) -> bool {
        self.space_prefix
    }

    /// The ids of `text`.
    ///
    /// # Errors
    /// Names a character that the vocabulary has nothing for.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<TokenId>, String> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        let mut start = 0;
        for found in self.matcher.find_iter(text) {
            self.encode_plain(&text[start..found.start()], &mut ids)?;
            ids.push(self.special_ids[found.pattern().as_usize()]);
            start = found.end();
        }
        self.encode_plain(&text[start..], &mut ids)?;
        Ok(ids)
    }

    /// Adds the ids of a text without special tokens.
    fn encode_plain(&self, text: &str, ids: &mut Vec<TokenId>) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let mut escaped = String::with_capacity(text.len() + text.len() / 4 + SPACE.len_utf8());
        if self.space_prefix {
            escaped.push(SPACE);
        }
        escaped.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        let mut merge = Merge::new(&self.pieces, &escaped);
        merge.run();
        let mut after_unknown = false;
        for part in merge.parts() {
            after_unknown = self.push_part(part, after_unknown, ids)?;
        }
        Ok(())
    }

    /// Adds a part that is a piece or one character; returns whether it was an unknown one. A row of unknown characters
    /// is one token.
    fn push_part(&self, part: &str, after_unknown: bool, ids: &mut Vec<TokenId>) -> Result<bool, String> {
        if let Some(piece) = self.pieces.get(part) {
            ids.push(piece.id);
            return Ok(false);
        }
        let bytes: Option<Vec<TokenId>> = part.bytes().map(|byte| self.bytes.get(&byte).copied()).collect();
        if let Some(bytes) = bytes {
            ids.extend(bytes);
            return Ok(false);
        }
        match self.unknown {
            Some(_) if after_unknown => {}
            Some(unknown) => ids.push(unknown),
            None => {
                return Err(format!("the vocabulary has nothing for `{part}`: no piece, no bytes, no unknown token"));
            }
        }
        Ok(true)
    }
}

/// A part of the text on its way to a piece, with its neighbours.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    /// 0 once it was taken into the one before.
    length: usize,
    before: u32,
    after: u32,
}

/// Two neighbours that are a piece together.
#[derive(Debug, Clone, Copy)]
struct Pair {
    score: f32,
    left: u32,
    right: u32,
    /// Of both when they were found: another one later says that one of them has changed.
    length: usize,
}

impl Ord for Pair {
    /// The best is the greatest: the one with the higher score, then the one further to the left.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

/// One text being merged: in n log n steps, each symbol is found anew at most twice for each merge.
struct Merge<'a> {
    pieces: &'a HashMap<String, Piece>,
    text: &'a str,
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Pair>,
    /// How long the left part was of each unused piece that came to be.
    unused: HashMap<&'a str, usize>,
}

impl<'a> Merge<'a> {
    fn new(pieces: &'a HashMap<String, Piece>, text: &'a str) -> Self {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        for (start, character) in text.char_indices() {
            let index = symbols.len() as u32;
            let before = index.checked_sub(1).unwrap_or(NONE);
            symbols.push(Symbol { start, length: character.len_utf8(), before, after: index + 1 });
        }
        if let Some(last) = symbols.last_mut() {
            last.after = NONE;
        }
        Self { pieces, text, symbols, heap: BinaryHeap::new(), unused: HashMap::new() }
    }

    fn run(&mut self) {
        for right in 1..self.symbols.len() as u32 {
            self.offer(right - 1, right);
        }
        while let Some(pair) = self.heap.pop() {
            let (left, right) = (self.symbols[pair.left as usize], self.symbols[pair.right as usize]);
            if left.length == 0 || right.length == 0 || left.length + right.length != pair.length {
                continue;
            }
            self.symbols[pair.left as usize] = Symbol { length: pair.length, after: right.after, ..left };
            self.symbols[pair.right as usize].length = 0;
            if right.after != NONE {
                self.symbols[right.after as usize].before = pair.left;
                self.offer(pair.left, right.after);
            }
            if left.before != NONE {
                self.offer(left.before, pair.left);
            }
        }
    }

    /// Puts two neighbours into the queue where they are a piece together.
    fn offer(&mut self, left: u32, right: u32) {
        let (first, second) = (self.symbols[left as usize], self.symbols[right as usize]);
        let length = first.length + second.length;
        let whole = &self.text[first.start..first.start + length];
        let Some(piece) = self.pieces.get(whole) else { return };
        if piece.unused {
            self.unused.insert(whole, first.length);
        }
        self.heap.push(Pair { score: piece.score, left, right, length });
    }

    /// What is left, from left to right, unused pieces taken apart.
    fn parts(&self) -> impl Iterator<Item = &'a str> {
        self.symbols.iter().filter(|symbol| symbol.length > 0).flat_map(move |symbol| {
            let mut waiting = vec![&self.text[symbol.start..symbol.start + symbol.length]];
            std::iter::from_fn(move || {
                loop {
                    let part = waiting.pop()?;
                    let Some(&left) = self.unused.get(part).filter(|&&left| left < part.len()) else {
                        return Some(part);
                    };
                    waiting.push(&part[left..]);
                    waiting.push(&part[..left]);
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces with the scores -1, -2, …; those that begin with `!` are unused.
    fn encoder(pieces: &[&str], space_prefix: bool) -> SentencePiece {
        let mut parts = Parts { space_prefix, unknown: Some(900), ..Parts::default() };
        for (id, piece) in (0..).zip(pieces) {
            let unused = piece.starts_with('!');
            let score = -1.0 - id as f32;
            parts.pieces.insert(piece.trim_start_matches('!').to_owned(), Piece { id, score, unused });
        }
        parts.special_tokens = vec![("<s>".into(), 901), ("<s><s>".into(), 902), (String::new(), 903)];
        SentencePiece::new(parts).unwrap()
    }

    #[test]
    fn the_best_score_is_merged_first_and_of_equal_ones_the_leftmost() {
        let encoder = encoder(&["bc", "ab", "a", "b", "c", "aa"], false);
        assert_eq!(encoder.encode("abc").unwrap(), [2, 0]);
        assert_eq!(encoder.encode("aaa").unwrap(), [5, 2]);
    }

    #[test]
    fn a_space_goes_before_a_text_and_after_each_special_token() {
        let encoder = encoder(&["▁a", "▁", "a"], true);
        assert_eq!(encoder.encode("a a").unwrap(), [0, 0]);
        assert_eq!(encoder.encode(" a").unwrap(), [1, 0]);
        assert_eq!(encoder.encode("<s>a<s><s>").unwrap(), [901, 0, 902]);
        assert_eq!(encoder.encode("").unwrap(), [0; 0]);
    }

    #[test]
    fn unknown_characters_in_a_row_are_one_token_and_bytes_come_first() {
        let mut encoder = encoder(&["a"], false);
        assert_eq!(encoder.encode("axya").unwrap(), [0, 900, 0]);
        encoder.bytes = (0..=255).map(|byte| (byte, 300 + TokenId::from(byte))).collect();
        assert_eq!(encoder.encode("aé").unwrap(), [0, 300 + 0xc3, 300 + 0xa9]);
        (encoder.bytes, encoder.unknown) = (HashMap::new(), None);
        assert!(encoder.encode("ax").unwrap_err().contains("`x`"));
    }

    #[test]
    fn unused_pieces_are_steps_and_no_tokens() {
        let encoder = encoder(&["!ab", "!abc", "abcd", "a", "b", "c", "d"], false);
        assert_eq!(encoder.encode("abcd").unwrap(), [2]);
        assert_eq!(encoder.encode("abc").unwrap(), [3, 4, 5]);
    }
}
