//! Tokens to text as they come: only whole characters leave.

/// Puts the bytes of tokens together and gives out text as soon as its characters are complete.
///
/// A character may be spread over several tokens, so a token's bytes need not be text by themselves. The texts given
/// out, joined, are exactly what [`String::from_utf8_lossy`] makes of all the bytes.
#[derive(Debug, Clone)]
pub struct DecodeStream {
    /// The beginning of a character, three bytes at most, and while it is looked at the token that follows.
    pending: Vec<u8>,
    /// Whether a space that comes first is not part of the text.
    skips_space: bool,
}

/// Longer than nearly every token: those make no more room.
const TOKEN_BYTES: usize = 256;

impl Default for DecodeStream {
    fn default() -> Self {
        Self { pending: Vec::with_capacity(TOKEN_BYTES), skips_space: false }
    }
}

impl DecodeStream {
    /// A stream with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stream at the beginning of a text before which the tokenizer puts a space: that one is left off.
    pub fn at_start() -> Self {
        Self { skips_space: true, ..Self::default() }
    }

    /// Adds the bytes of a token and returns the text that is complete by now; often empty inside a character. Bytes
    /// that cannot be UTF-8 whatever follows come out as U+FFFD.
    pub fn push(&mut self, mut bytes: &[u8]) -> String {
        if self.skips_space && !bytes.is_empty() {
            self.skips_space = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.pending.len());
        let mut rest = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            match std::str::from_utf8(chunk.invalid()) {
                Ok(_) => {}
                // Only the last chunk can be merely incomplete: whatever stands before another byte is broken.
                Err(error) if error.error_len().is_none() && ends_with(&self.pending, chunk.invalid()) => {
                    rest = chunk.invalid().len();
                }
                Err(_) => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        self.pending.drain(..self.pending.len() - rest);
        text
    }

    /// Whether the beginning of a character waits for its rest.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Ends the text: U+FFFD for a character that never became whole, or nothing. The stream is empty again.
    pub fn flush(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        text
    }
}

/// Whether `part`, a slice of `whole`, reaches its end.
fn ends_with(whole: &[u8], part: &[u8]) -> bool {
    whole.as_ptr_range().end == part.as_ptr_range().end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_waits_for_its_last_byte() {
        let mut stream = DecodeStream::new();
        let bytes = "a😀".as_bytes();
        assert_eq!(stream.push(&bytes[..3]), "a");
        assert!(stream.is_pending());
        assert_eq!(stream.push(&bytes[3..4]), "");
        assert_eq!(stream.push(&bytes[4..]), "😀");
        assert!(!stream.is_pending());
        assert_eq!(stream.flush(), "");
    }

    #[test]
    fn a_cut_character_ends_as_a_replacement() {
        let mut stream = DecodeStream::new();
        assert_eq!(stream.push(&"é".as_bytes()[..1]), "");
        assert_eq!(stream.flush(), "\u{fffd}");
        assert!(!stream.is_pending());
        assert_eq!(stream.push(b"ok"), "ok");
    }

    #[test]
    fn the_space_before_a_text_is_left_off_once() {
        let texts = |tokens: &[&str]| {
            let mut stream = DecodeStream::at_start();
            tokens.iter().map(|token| stream.push(token.as_bytes())).collect::<Vec<_>>()
        };
        assert_eq!(texts(&[" Hello", " you"]), ["Hello", " you"]);
        assert_eq!(texts(&["", "  ", " a"]), ["", " ", " a"]);
        assert_eq!(texts(&["<s>", " a"]), ["<s>", " a"]);
    }

    /// Whole, broken, overlong, surrogate, truncated and mixed bytes, cut in every way into three pieces.
    #[test]
    fn the_pieces_joined_are_the_lossy_text_however_they_are_cut() {
        let texts: [&[u8]; 9] = [
            "héllo 😀 e\u{301} 漢字".as_bytes(),
            b"\xff\xfe\xfd",
            b"\xe2\x82",
            b"a\xe2\x82b",
            b"\xf0\x9f\x98\xf0\x9f\x98\x80",
            b"\xc0\x80\xed\xa0\x80",
            b"\xe2\xe2\x82\xac\x80",
            b"\xf4\x90\x80\x80",
            b"",
        ];
        for bytes in texts {
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let mut stream = DecodeStream::new();
                    let mut text = stream.push(&bytes[..first]);
                    text += &stream.push(&bytes[first..second]);
                    text += &stream.push(&bytes[second..]);
                    text += &stream.flush();
                    assert_eq!(text, String::from_utf8_lossy(bytes), "{bytes:x?} cut at {first} and {second}");
                }
            }
        }
    }
}
