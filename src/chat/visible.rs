//! Text from a model, a file or a paste, as a terminal may show it: the one doorway for every text that this program did
//! not write itself. What is data (a reply in a pipe, an exported file) stays byte for byte; what a terminal shows, and
//! every sentence about it, goes through here.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with everything that could steer a terminal made visible: control characters become their pictures
/// (`␛`, `␀`, `␡`), those without one, and the invisible characters that turn the direction of writing or break a line,
/// become `<U+202E>`. Line feeds and tabs stay, as do the joiners that scripts and emoji are written with.
pub fn visible(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe) else { return Cow::Borrowed(text) };
    let mut shown = String::with_capacity(text.len() + 8);
    shown.push_str(&text[..first]);
    for character in text[first..].chars() {
        if is_unsafe(character) { show(&mut shown, character) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

/// `text` on one line: what [`visible`] shows, line feeds and tabs as spaces. For names, titles and cells of tables, where
/// a line feed would forge a row.
pub fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

/// A line of JSON in which what [`visible`] would show is written as `\uXXXX`: any terminal may get it, and whoever
/// parses it gets the same texts. JSON has such characters in strings only, and those of ASCII are escaped already, but
/// for DEL.
pub fn escape_json(line: &str) -> Cow<'_, str> {
    let must_escape = |character: char| is_unsafe(character) && character > '\u{1f}';
    if !line.contains(must_escape) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for character in line.chars() {
        if must_escape(character) {
            // All of them are in the basic plane: one unit. Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{:04x}", character as u32);
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Appends what stands for a character that [`is_unsafe`].
pub(crate) fn show(shown: &mut String, character: char) {
    match character {
        '\u{7f}' => shown.push('␡'),
        '\0'..='\u{1f}' => shown.extend(char::from_u32(0x2400 + character as u32)),
        other => {
            // Writing to a String cannot fail.
            let _ = write!(shown, "<U+{:04X}>", other as u32);
        }
    }
}

/// Whether a character could steer a terminal, or make a line read as something it is not.
pub(crate) fn is_unsafe(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // The bidirectional controls of Unicode (UAX #9), and the deprecated formatting characters beside them.
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => true,
        // Line and paragraph separators, the byte order mark, interlinear annotations: unseen, and no part of any word.
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
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
    fn a_name_is_one_line_whatever_is_in_it() {
        assert_eq!(one_line("a\nb\tc\r\x1b]0;d\x07"), "a b c␍␛]0;d␇");
    }

    #[test]
    fn json_for_a_terminal_is_equal_once_it_is_parsed() {
        let all: String = (0..=0xffff).filter_map(char::from_u32).collect();
        let line = serde_json::to_string(&all).unwrap();
        let escaped = escape_json(&line);
        assert!(!escaped.contains(is_unsafe));
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), all);
        assert!(matches!(escape_json(r#"{"text":"Grüße\n"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn no_control_character_is_left() {
        let all: String = (0..0x3000).filter_map(char::from_u32).collect();
        assert!(!visible(&all).contains(|c: char| is_unsafe(c) || c.is_control() && c != '\n' && c != '\t'));
    }
}
