//! What the decoder of a `tokenizer.json` makes of a piece: its steps, read once, instead of run for each token.

use serde_json::Value;
use tokenizers::decoders::DecoderWrapper;

use super::pieces::{PieceKind, SPACE, byte_piece};

/// How the pieces of a vocabulary spell text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spelling {
    byte_level: bool,
    /// `▁` is a space.
    metaspace: bool,
    /// `<0x0A>` is a byte.
    bytes: bool,
    /// The first space of a text is none of its own.
    pub(super) space_prefix: bool,
}

impl Spelling {
    pub(super) const BYTE_LEVEL: Self = Self { byte_level: true, metaspace: false, bytes: false, space_prefix: false };

    /// Whether pieces are SentencePiece's, with bytes for what has none.
    pub(super) fn is_sentence_piece(self) -> bool {
        self.metaspace && self.bytes
    }

    /// # Errors
    /// Names the step that is none of byte-level BPE's or SentencePiece's.
    pub(super) fn of(decoder: Option<&DecoderWrapper>) -> Result<Self, String> {
        let Some(decoder) = decoder else { return Err("it has no decoder".into()) };
        Self::of_json(serde_json::to_value(decoder).map_err(|error| error.to_string())?)
    }

    /// The same as a `tokenizer.json` writes it.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn of_json(json: Value) -> Result<Self, String> {
        let steps = match json.get("decoders").and_then(Value::as_array) {
            Some(steps) => steps.clone(),
            None => vec![json],
        };
        let mut spelling = Self::default();
        let mut fused = false;
        for step in &steps {
            let text = |key: &str| step.get(key).and_then(Value::as_str);
            let number = |key: &str| step.get(key).and_then(Value::as_u64);
            match text("type") {
                Some("ByteLevel") if steps.len() == 1 => spelling.byte_level = true,
                Some("Metaspace") if text("replacement").is_some_and(is_metaspace) => {
                    spelling.metaspace = true;
                    spelling.space_prefix |= text("prepend_scheme") != Some("never");
                }
                Some("Replace")
                    if step.pointer("/pattern/String").and_then(Value::as_str).is_some_and(is_metaspace)
                        && text("content") == Some(" ") =>
                {
                    spelling.metaspace = true;
                }
                Some("ByteFallback") => spelling.bytes = true,
                Some("Fuse") => fused = true,
                // Before the tokens are fused it would take a space off each of them.
                Some("Strip") if fused && text("content") == Some(" ") && number("stop") == Some(0) => {
                    match number("start") {
                        Some(0) => {}
                        Some(1) => spelling.space_prefix = true,
                        _ => return Err(unsupported(step)),
                    }
                }
                _ => return Err(unsupported(step)),
            }
        }
        Ok(spelling)
    }

    /// Of a piece that is no added token.
    pub(super) fn kind_of(self, piece: &str) -> PieceKind {
        match byte_piece(piece) {
            _ if self.byte_level => PieceKind::Bytes,
            Some(byte) if self.bytes => PieceKind::Byte(byte),
            _ if self.metaspace => PieceKind::Metaspace,
            _ => PieceKind::Literal,
        }
    }
}

fn is_metaspace(text: &str) -> bool {
    text.chars().eq([SPACE])
}

fn unsupported(step: &Value) -> String {
    format!("the step {step} of its decoder is not supported: ByteLevel is, and the steps of SentencePiece's")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Spelling, String> {
        Spelling::of(Some(&serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn the_decoder_of_byte_level_bpe() {
        let spelling =
            of(r#"{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}"#).unwrap();
        assert_eq!(spelling.kind_of("<0x0A>"), PieceKind::Bytes);
        assert!(!spelling.space_prefix);
    }

    #[test]
    fn the_decoders_of_sentence_piece() {
        let llama = r#"{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
            {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"#;
        let spelling = of(llama).unwrap();
        assert_eq!(spelling.kind_of("<0x0A>"), PieceKind::Byte(10));
        assert_eq!(spelling.kind_of("▁a"), PieceKind::Metaspace);
        assert!(spelling.space_prefix);
        assert!(!of(&llama.replace("\"start\":1", "\"start\":0")).unwrap().space_prefix);
        let metaspace = r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#;
        assert_eq!(of(metaspace).unwrap().kind_of("<0x0A>"), PieceKind::Metaspace);
        assert!(of(metaspace).unwrap().space_prefix);
        assert!(!of(&metaspace.replace("always", "never")).unwrap().space_prefix);
    }

    #[test]
    fn other_steps_are_named() {
        for json in [
            r#"{"type":"WordPiece","prefix":"\#\#","cleanup":true}"#,
            r#"{"type":"Strip","content":" ","start":1,"stop":0}"#,
            r#"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":" ","start":2,"stop":0}]}"#,
            r#"{"type":"Replace","pattern":{"Regex":"▁"},"content":" "}"#,
        ] {
            let json = json.replace("\\#", "#");
            assert!(of(&json).unwrap_err().contains("is not supported"), "{json}");
        }
        assert_eq!(Spelling::of(None), Err("it has no decoder".into()));
    }
}
