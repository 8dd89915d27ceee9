//! Text from a model, a file or a paste, as a terminal may show it.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with everything that could steer a terminal made visible: control characters become their pictures
/// (`␛`, `␀`, `␡`), those without one and the invisible characters that turn the direction of writing become `<U+202E>`.
/// Line feeds and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe) else { return Cow::Borrowed(text) };
    let mut shown = String::with_capacity(text.len() + 8);
    shown.push_str(&text[..first]);
    for character in text[first..].chars() {
        match character {
            safe if !is_unsafe(safe) => shown.push(safe),
            '\u{7f}' => shown.push('␡'),
            '\0'..='\u{1f}' => shown.extend(char::from_u32(0x2400 + character as u32)),
            other => {
                // Writing to a String cannot fail.
                let _ = write!(shown, "<U+{:04X}>", other as u32);
            }
        }
    }
    Cow::Owned(shown)
}

/// `text` on one line: what steers a terminal made visible, line feeds and tabs as spaces.
pub fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

fn is_unsafe(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // The bidirectional controls of Unicode (UAX #9) can make a line read as something it is not.
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(visible("Grüße,\n\t日本語 👋🏽"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_steers_a_terminal_is_shown() {
        assert_eq!(visible("a\x1b[31mred\x07\0\x7f\r\n"), "a␛[31mred␇␀␡␍\n");
        assert_eq!(visible("\u{9b}2J \u{202e}abc"), "<U+009B>2J <U+202E>abc");
    }

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..0x3000).filter_map(char::from_u32).collect();
        assert!(visible(&all).chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
    }
}
