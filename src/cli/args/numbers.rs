//! Numbers on the command line: what is none, or too large or too small, is said in words of our own.

use crate::settings;

/// `text` as a whole number from `least` to `most`.
fn whole<T: TryFrom<i128>>(text: &str, least: i128, most: i128) -> Option<T> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number))?;
    T::try_from(number).ok()
}

/// Tokens of the context; 0 is the model's own length.
pub(super) fn context(text: &str) -> Result<usize, String> {
    let said = "must be a whole number: 1 or more, or 0 for the model's own length";
    whole(text, 0, i128::from(u32::MAX)).ok_or_else(|| said.to_owned())
}

/// Threads, whatever their number: too many are capped where they are started, with a word. -1 is one for each core, as
/// llama.cpp has it.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    let is_huge = text.len() > 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    match whole::<i64>(text, -1, 999_999_999) {
        Some(-1) => Ok(0),
        Some(count) => usize::try_from(count).map_err(|error| error.to_string()),
        None if is_huge => Ok(999_999_999),
        None => Err("must be a whole number: 1 or more, or 0 for one for each core".to_owned()),
    }
}

/// Prompt tokens of one pass.
pub(super) fn batch(text: &str) -> Result<usize, String> {
    whole(text, 1, 65_536).ok_or_else(|| "must be a whole number from 1 to 65536".to_owned())
}

/// The most tokens of a reply.
pub(super) fn predict(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().and_then(settings::max_tokens);
    limit.ok_or_else(|| format!("must be {}", settings::MAX_TOKENS_WANTED))
}

/// A count that may be none.
pub(super) fn count_or_none<T: TryFrom<i128>>(text: &str) -> Result<T, String> {
    whole(text, 0, i128::from(u32::MAX)).ok_or_else(|| "must be a whole number, 0 or more".to_owned())
}

/// A count of at least one.
pub(super) fn count(text: &str) -> Result<usize, String> {
    whole(text, 1, i128::from(u32::MAX)).ok_or_else(|| "must be a whole number, 1 or more".to_owned())
}

/// Bytes a second: `500k`, `2M`, `1.5MB/s`; the letters count in thousands, as the sizes that are shown do.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let said = || "must be bytes a second, 1k or more, such as 500k or 2M".to_owned();
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_suffix("/s").unwrap_or(&lower);
    let bare = bare.strip_suffix('b').unwrap_or(bare);
    let (digits, factor) = match bare.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if bare.ends_with('k') => (digits, 1e3),
        Some(digits) if bare.ends_with('m') => (digits, 1e6),
        Some(digits) => (digits, 1e9),
        None => (bare, 1.0),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let rate = digits.parse::<f64>().ok().filter(|_| is_plain).map(|number| number * factor);
    let rate = rate.filter(|rate| (1e3..=1e15).contains(rate)).ok_or_else(said)?;
    // It is a count of at most 10^15.
    Ok(rate as u64)
}
