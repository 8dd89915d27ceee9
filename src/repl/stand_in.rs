//! What the line editor has in its line: it draws that as it is, so a character that could steer the terminal is replaced
//! by what stands for it, and comes back when the line is entered.

use std::borrow::Cow;

use crate::chat::visible::{is_unsafe, show};

/// Follows what stands for a character. A variation selector, which changes nothing here: it takes no column, the cursor
/// does not stop before it, and nobody types it.
const MARK: char = '\u{fe02}';

/// The pictures of control characters, from NUL on.
const PICTURES: std::ops::RangeInclusive<char> = '\u{2400}'..='\u{241f}';

/// A text from outside, for the line editor.
pub(super) fn disguised(text: &str) -> Cow<'_, str> {
    let is_replaced = |character: char| is_unsafe(character) || character == MARK;
    if !text.contains(is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_replaced(character) {
            show_in_full(&mut line, character);
            line.push(MARK);
        } else {
            line.push(character);
        }
    }
    Cow::Owned(line)
}

/// What `typed` was completed to, for the line editor: a line feed in a name does not break the line that is typed.
pub(super) fn completed(typed: &str, line: &str) -> String {
    let (kept, added) = line.strip_prefix(typed).map_or(("", line), |added| (typed, added));
    disguised(kept).into_owned() + &disguised(added).replace('\n', &format!("␊{MARK}"))
}

/// What was meant by a line of the line editor: [`disguised`] taken back, whatever was typed around it. A stand-in of
/// which something was deleted is text like any other.
pub(super) fn revealed(line: &str) -> Cow<'_, str> {
    if !line.contains(MARK) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len());
    let mut parts = line.split(MARK).peekable();
    while let Some(part) = parts.next() {
        text.push_str(part);
        if parts.peek().is_some() {
            match stood_for(part) {
                Some((length, character)) => {
                    text.truncate(text.len() - length);
                    text.push(character);
                }
                None => text.push(MARK),
            }
        }
    }
    Cow::Owned(text)
}

/// `line` as it may be drawn: a character that steers the terminal and came in unseen (pasted, or quoted by Ctrl-V) is
/// left out. The editor counts columns by itself, none for such a character, and none for an escape sequence as it
/// understands those; so that is what is left out.
pub(super) fn drawn(line: &str) -> Cow<'_, str> {
    if !line.contains(is_unsafe) {
        return Cow::Borrowed(line);
    }
    let mut sequence = Sequence::None;
    Cow::Owned(line.chars().filter(|character| sequence.counts(*character) && !is_unsafe(*character)).collect())
}

/// How many characters of a line [`drawn`] leaves out by themselves.
pub(super) fn unseen(line: &str) -> usize {
    line.chars().filter(|character| is_unsafe(*character)).count()
}

fn show_in_full(line: &mut String, character: char) {
    if character == MARK { line.push_str("<U+FE02>") } else { show(line, character) }
}

/// The bytes at the end of `part` that stand for a character, and that character.
fn stood_for(part: &str) -> Option<(usize, char)> {
    let last = part.chars().next_back()?;
    if last == '␡' {
        return Some((last.len_utf8(), '\u{7f}'));
    }
    if PICTURES.contains(&last) {
        return Some((last.len_utf8(), char::from_u32(last as u32 - *PICTURES.start() as u32)?));
    }
    let start = part.rfind("<U+")?;
    let code = part[start..].strip_prefix("<U+")?.strip_suffix('>')?;
    let character = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
    (is_unsafe(character) || character == MARK).then_some((part.len() - start, character))
}

/// Where the editor's count of columns is in an escape sequence.
#[derive(Debug, Clone, Copy)]
enum Sequence {
    None,
    /// After ESC.
    Begun,
    /// After ESC and `[`.
    Parameters,
}

impl Sequence {
    /// Whether the editor counts the columns of the next character.
    fn counts(&mut self, character: char) -> bool {
        let (next, counts) = match (*self, character) {
            (Self::None, '\x1b') => (Self::Begun, false),
            (Self::None, _) => (Self::None, true),
            (Self::Begun, '[') => (Self::Parameters, false),
            (Self::Parameters, ';' | '0'..='9') => (Self::Parameters, false),
            (Self::Begun | Self::Parameters, _) => (Self::None, false),
        };
        *self = next;
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b]52;c;aGk=\x07\r\x7f\0\u{9b}2J\u{202e}\u{2066}\u{feff}b";

    #[test]
    fn a_disguised_text_is_safe_and_comes_back_as_it_was() {
        assert!(!disguised(HOSTILE).contains(is_unsafe));
        assert_eq!(disguised("\x1b[m\u{9b}"), "␛\u{fe02}[m<U+009B>\u{fe02}");
        let all: String = (0..=0xffff).filter_map(char::from_u32).collect();
        // What stands for something already stands for itself.
        let twice = disguised(HOSTILE).into_owned() + "␛\u{fe02}\u{fe02}<U+9B>\u{fe02}";
        for text in [HOSTILE, &all, &twice, "one\ntwo\tthree"] {
            assert_eq!(revealed(&disguised(text)), text);
        }
        assert!(matches!(disguised("Grüße\n␛ <U+009B>"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_completed_name_is_one_line_and_comes_back_as_it_was() {
        let line = completed("one\n@ev", "one\n@evil\n\x1b.txt");
        assert_eq!(line, "one\n@evil␊\u{fe02}␛\u{fe02}.txt");
        assert_eq!(revealed(&line), "one\n@evil\n\x1b.txt");
        assert_eq!(revealed(&completed("/mod", "/model a\nb")), "/model a\nb");
    }

    #[test]
    fn pictures_that_a_person_typed_stay_pictures() {
        for typed in ["␛[31m", "<U+202E>", "<U+\u{fe02}", "x\u{fe02}", "<U+0041>\u{fe02}", "\u{fe02}"] {
            assert_eq!(revealed(typed), typed);
        }
        assert_eq!(revealed("say ␛\u{fe02}[31m, or ␛"), "say \x1b[31m, or ␛");
    }

    #[test]
    fn nothing_that_steers_is_drawn() {
        assert_eq!(drawn("a\x1b[31mred\x07\u{202e}!"), "ared!");
        assert_eq!(drawn("a\x1b]52;c;x\nb"), "a52;c;x\nb");
        assert!(!drawn(HOSTILE).contains(is_unsafe));
        assert_eq!(unseen("a\x07\u{9b}\nb"), 2);
    }
}
