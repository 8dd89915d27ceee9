//! Values as an error quotes them: enough to know them again, however long they are.

use std::borrow::Cow;

/// Characters that a quoted value has at most.
const LONGEST: usize = 120;

/// Characters of its end that a longer one keeps.
const END: usize = 30;

/// `value`, the middle of a long one left out between characters.
pub fn shortened(value: &str) -> Cow<'_, str> {
    if value.chars().nth(LONGEST).is_none() {
        return Cow::Borrowed(value);
    }
    let beginning = value.char_indices().nth(LONGEST - END).map_or(value.len(), |(at, _)| at);
    let end = value.char_indices().rev().nth(END - 1).map_or(0, |(at, _)| at);
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
    }

    #[test]
    fn the_middle_of_a_long_value_is_left_out_between_characters() {
        let value = format!("{}{}", "ä".repeat(25_000), "日".repeat(25_000));
        let expected = format!("{}… (49880 characters left out) …{}", "ä".repeat(90), "日".repeat(30));
        assert_eq!(shortened(&value), expected);
    }
}
