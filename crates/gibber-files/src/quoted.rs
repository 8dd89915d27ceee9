//! Values as an error quotes them: enough to know them again, however long they are. Who quotes a value shortens it; where
//! errors leave the program, their lines are, so that none is forgotten.

use std::borrow::Cow;

/// Characters that a quoted value has at most.
const LONGEST: usize = 120;

/// Characters of its end that a longer one keeps.
const END: usize = 30;

/// Characters of a line of an error at most: what stands around values, and a few of those.
const LINE: usize = 1000;

/// Characters of its end that a longer line keeps: what to do stands there.
const LINE_END: usize = 400;

/// `value` on one line, the middle of a long one left out between characters.
pub fn shortened(value: &str) -> Cow<'_, str> {
    match without_middle(value, LONGEST, END) {
        short if short.contains(['\n', '\r']) => Cow::Owned(short.replace(['\n', '\r'], " ")),
        short => short,
    }
}

/// The lines of an error, the middle of a long one left out.
pub fn lines(text: &str) -> Cow<'_, str> {
    // As many bytes as characters at most.
    if text.len() <= LINE {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text.split('\n').map(|line| without_middle(line, LINE, LINE_END)).collect();
    Cow::Owned(lines.join("\n"))
}

fn without_middle(value: &str, longest: usize, end: usize) -> Cow<'_, str> {
    if value.chars().nth(longest).is_none() {
        return Cow::Borrowed(value);
    }
    let beginning = value.char_indices().nth(longest - end).map_or(value.len(), |(at, _)| at);
    let end = value.char_indices().rev().nth(end - 1).map_or(0, |(at, _)| at);
    let left_out = value[beginning..end].chars().count();
    Cow::Owned(format!("{}… ({left_out} characters left out) …{}", &value[..beginning], &value[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_value_stays() {
        assert!(matches!(shortened("0.8"), Cow::Borrowed("0.8")));
        let longest = "ä".repeat(LONGEST);
        assert_eq!(shortened(&longest), longest.as_str());
        assert_eq!(shortened("a\r\nb"), "a  b");
    }

    #[test]
    fn the_middle_of_a_long_value_is_left_out_between_characters() {
        let value = format!("{}{}", "ä".repeat(25_000), "日".repeat(25_000));
        let expected = format!("{}… (49880 characters left out) …{}", "ä".repeat(90), "日".repeat(30));
        assert_eq!(shortened(&value), expected);
    }

    #[test]
    fn a_line_keeps_where_it_begins_and_what_to_do() {
        let text = format!("config.toml:1: it is {}: it must be a number\nthe next", "x".repeat(50_000));
        let short = lines(&text);
        assert!(short.starts_with("config.toml:1: it is xxx") && short.ends_with("a number\nthe next"), "{short}");
        assert!(short.len() < LINE + 100, "{short}");
    }
}
