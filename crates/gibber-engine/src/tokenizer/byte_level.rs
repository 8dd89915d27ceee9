//! GPT-2's spelling of bytes: vocabularies are text, so each byte is written as one printable character
//! (`bytes_to_unicode` in OpenAI's `encoder.py`).

/// The characters run from U+0000 to this one.
const CHARS: usize = 256 + 68;

/// The byte that each character stands for.
const BYTE_OF: [Option<u8>; CHARS] = {
    let mut table = [None; CHARS];
    let mut shifted = 256;
    let mut byte = 0;
    while byte < 256 {
        // Printable bytes stand for themselves, the others for the characters from U+0100 on, in order.
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let at = if printable { byte } else { shifted };
        table[at] = Some(byte as u8);
        if !printable {
            shifted += 1;
        }
        byte += 1;
    }
    table
};

/// The character that spells `byte`.
pub(super) fn spell(byte: u8) -> char {
    let position = BYTE_OF.iter().position(|&known| known == Some(byte));
    position.and_then(|c| char::from_u32(c as u32)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Appends the bytes that `piece` spells. A piece with other characters in it stands for itself.
pub(super) fn append_bytes(piece: &str, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for c in piece.chars() {
        match BYTE_OF.get(c as usize).copied().flatten() {
            Some(byte) => bytes.push(byte),
            None => {
                bytes.truncate(start);
                bytes.extend_from_slice(piece.as_bytes());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(piece: &str) -> Vec<u8> {
        let mut bytes = vec![7];
        append_bytes(piece, &mut bytes);
        bytes.split_off(1)
    }

    #[test]
    fn every_byte_has_exactly_one_character() {
        let mut bytes: Vec<u8> = BYTE_OF.iter().flatten().copied().collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn spelling_leads_back() {
        for byte in 0..=255 {
            assert_eq!(bytes_of(&spell(byte).to_string()), [byte]);
        }
    }

    #[test]
    fn pieces_spell_bytes() {
        assert_eq!(bytes_of("Ġtown"), b" town");
        assert_eq!(bytes_of("ĊĊ"), b"\n\n");
        assert_eq!(bytes_of("ðŁĺ"), [0xf0, 0x9f, 0x98]);
    }

    #[test]
    fn a_piece_with_foreign_characters_stands_for_itself() {
        assert_eq!(bytes_of("Ġ漢"), "Ġ漢".as_bytes());
        assert_eq!(bytes_of("a b"), b"a b");
    }
}
