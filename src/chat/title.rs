//! Titles of conversations: one line that can stand in a list, wherever it comes from.

use unicode_segmentation::UnicodeSegmentation;

use super::visible::is_unsafe;

/// Characters, as a reader counts them, of the first question that make a title.
const FROM_QUESTION: usize = 60;

/// Characters, as a reader counts them, that a title has at most.
const LONGEST: usize = 200;

/// Code points of a title at most: one character may be made of thousands of marks.
const CODE_POINTS: usize = 4 * LONGEST;

/// `title` as one line without anything that could forge another row or turn the direction of writing; what is too long is
/// cut between characters as a reader counts them.
pub fn cleaned(title: &str) -> String {
    // What comes in may have any size: what is cut off in the end is not walked.
    let plain: String = title.chars().take(16 * CODE_POINTS).map(|c| if is_kept(c) { c } else { ' ' }).collect();
    shortened(&plain.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST)
}

/// A title from the first question: its first line with something on it.
pub fn of_question(question: &str) -> String {
    let line = question.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    shortened(&cleaned(line), FROM_QUESTION)
}

fn shortened(line: &str, most: usize) -> String {
    let by_graphemes = line.grapheme_indices(true).nth(most).map(|(end, _)| end);
    let by_code_points = line.char_indices().nth(CODE_POINTS).map(|(end, _)| end);
    match [by_graphemes, by_code_points].into_iter().flatten().min() {
        Some(end) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}

/// Neither a control character nor one of the invisible ones that end a line or turn the direction of writing (UAX #9).
fn is_kept(c: char) -> bool {
    let is_invisible = matches!(c, '\n' | '\t' | '\u{200b}' | '\u{2060}'..='\u{2065}');
    !is_unsafe(c) && !is_invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_line_of_the_question() {
        assert_eq!(of_question("\n  What is it?\nmore"), "What is it?");
        assert_eq!(of_question("a\u{1b}[31mb"), "a [31mb");
        let long = "ä".repeat(100);
        assert_eq!(of_question(&long), format!("{}…", "ä".repeat(60)));
        assert_eq!(of_question("  \n "), "");
        let family = "👩‍👩‍👧";
        assert_eq!(of_question(&family.repeat(61)), format!("{}…", family.repeat(60)), "joined ones stay whole");
    }

    #[test]
    fn a_title_is_one_line_without_anything_that_steers() {
        assert_eq!(cleaned("a\nb\u{1b}[31m\u{9b}\u{202e}c\u{2028}d\r\t e"), "a b [31m c d e");
        assert_eq!(cleaned("Grüße 👩‍👩‍👧 日本語"), "Grüße 👩‍👩‍👧 日本語");
        assert_eq!(cleaned("\u{0}\n "), "");
    }

    #[test]
    fn a_title_has_an_end() {
        assert_eq!(cleaned(&"x".repeat(50_000)), format!("{}…", "x".repeat(200)));
        assert!(cleaned(&format!("a{}", "\u{301}".repeat(50_000))).chars().count() <= CODE_POINTS + 1);
    }
}
