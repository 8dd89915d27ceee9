//! What each token stands for, as bytes.

use super::{EngineError, TokenId, byte_level};

/// Ids from here on are no vocabulary but a mistake in a file.
const MAX_VOCABULARY: usize = 1 << 22;

/// SentencePiece's sign for a space.
pub(super) const SPACE: char = '\u{2581}';

/// How a token spells its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    /// Text in GPT-2's spelling of bytes.
    Bytes,
    /// Text in which [`SPACE`] is a space.
    Metaspace,
    /// One byte of a character that has no token of its own.
    Byte(u8),
    /// Text that is matched and written as it stands.
    Literal,
    /// A special token, written as it stands.
    Special,
}

/// The byte that `<0x0A>` spells.
pub(super) fn byte_piece(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The bytes of all tokens, end to end.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    /// Where each token's bytes end, by id.
    ends: Vec<usize>,
    special: Vec<bool>,
}

impl Pieces {
    /// Adds the next id.
    pub(super) fn push(&mut self, piece: &str, kind: PieceKind) {
        match kind {
            PieceKind::Bytes => byte_level::append_bytes(piece, &mut self.bytes),
            PieceKind::Metaspace => self.bytes.extend_from_slice(piece.replace(SPACE, " ").as_bytes()),
            PieceKind::Byte(byte) => self.bytes.push(byte),
            PieceKind::Literal | PieceKind::Special => self.bytes.extend_from_slice(piece.as_bytes()),
        }
        self.ends.push(self.bytes.len());
        self.special.push(kind == PieceKind::Special);
    }

    /// From pieces in any order; ids that nobody has are empty.
    pub(super) fn from_unordered<'a>(
        pieces: impl IntoIterator<Item = (&'a str, TokenId, PieceKind)>,
    ) -> Result<Self, EngineError> {
        let mut by_id: Vec<Option<(&str, PieceKind)>> = Vec::new();
        for (piece, id, kind) in pieces {
            let index = id as usize;
            if index >= MAX_VOCABULARY {
                return Err(EngineError::Tokenizer(format!(
                    "token `{piece}` has the id {id}, larger than any vocabulary"
                )));
            }
            if index >= by_id.len() {
                by_id.resize(index + 1, None);
            }
            by_id[index] = Some((piece, kind));
        }
        let mut all = Self::default();
        for piece in by_id {
            let (piece, kind) = piece.unwrap_or(("", PieceKind::Literal));
            all.push(piece, kind);
        }
        Ok(all)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Empty for an id outside the vocabulary.
    pub(super) fn bytes(&self, token: TokenId) -> &[u8] {
        let token = token as usize;
        let Some(&end) = self.ends.get(token) else { return &[] };
        let start = if token == 0 { 0 } else { self.ends[token - 1] };
        &self.bytes[start..end]
    }

    pub(super) fn is_special(&self, token: TokenId) -> bool {
        self.special.get(token as usize).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_spelled_with_two_digits() {
        assert_eq!((byte_piece("<0x0A>"), byte_piece("<0xff>")), (Some(10), Some(255)));
        for other in ["<0x>", "<0x+1>", "<0x100>", "0x0A", "<0x0A", "<0x 1>", ""] {
            assert_eq!(byte_piece(other), None, "{other}");
        }
    }

    #[test]
    fn each_kind_spells_its_bytes() {
        let mut pieces = Pieces::default();
        let kinds = [
            ("Ġa", PieceKind::Bytes),
            ("▁a▁", PieceKind::Metaspace),
            ("<0xE2>", PieceKind::Byte(0xe2)),
            ("▁Ġ", PieceKind::Literal),
            ("<s>", PieceKind::Special),
        ];
        kinds.iter().for_each(|(piece, kind)| pieces.push(piece, *kind));
        let bytes: Vec<&[u8]> = (0..6).map(|token| pieces.bytes(token)).collect();
        assert_eq!(bytes, [&b" a"[..], b" a ", b"\xe2", "▁Ġ".as_bytes(), b"<s>", b""]);
        assert!(pieces.is_special(4) && !pieces.is_special(3) && !pieces.is_special(5));
    }
}
