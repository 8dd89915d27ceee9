//! How numbers and tokens are written in a few columns.

use super::text::one_line;

/// `8 192`: a space between thousands.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A share in hundredths, in four columns.
pub(super) fn percent(share: f32) -> String {
    if share >= 0.9995 { "100".to_owned() } else { format!("{:.1}", share * 100.0) }
}

/// A token's text so that spaces and line feeds are seen.
pub(super) fn token_text(text: &str) -> String {
    if text.trim().is_empty() && !text.is_empty() {
        return one_line(&text.replace('\n', "↵").replace(' ', "␣").replace('\t', "⇥"));
    }
    one_line(&text.replace('\n', "↵"))
}
