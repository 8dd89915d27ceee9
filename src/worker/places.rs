//! Which token of a prompt belongs to which message.

use std::ops::Range;

use crate::chat::template::Content;
use gibber_engine::TokenId;
use gibber_engine::tokenizer::Tokenizer;

/// A token of a prompt: its text, and what of a message it is; nothing for the template's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PromptPlace {
    /// Empty while a character is split over tokens, the whole character with the last of them.
    pub(super) text: String,
    /// The message (an index into [`Content::message`]), and its bytes that the token brings.
    pub(super) content: Option<(usize, Range<usize>)>,
}

/// Where each of `tokens` stands in `prompt`, the text that they were made of.
pub(super) fn places(
    tokenizer: &Tokenizer,
    prompt: &str,
    contents: &[Content],
    tokens: &[TokenId],
) -> Vec<PromptPlace> {
    let mut stream = tokenizer.decode_stream(&[]);
    let mut at = 0;
    let mut places = Vec::with_capacity(tokens.len());
    let mut contents = contents.iter().peekable();
    for (i, &token) in tokens.iter().enumerate() {
        let mut text = stream.push(tokenizer.token_bytes(token));
        if i + 1 == tokens.len() {
            text.push_str(&stream.flush());
        }
        let start = at;
        at += length_in(&prompt[start..], &text, tokenizer.is_special(token));
        while contents.next_if(|content| content.range.end <= start).is_some() {}
        let is_part = |content: &Content| {
            let range = &content.range;
            range.start < at.max(start + 1) && start < range.end && (at > range.start || start == at)
        };
        let content = contents.peek().filter(|content| is_part(content)).map(|content| {
            let place = |at: usize| at.clamp(content.range.start, content.range.end) - content.range.start;
            (content.message, content.skipped + place(start)..content.skipped + place(at))
        });
        places.push(PromptPlace { text, content });
    }
    places
}

/// How much of `rest` the text of a token is. A mark that the tokenizer puts there itself is no part of it, nor is a
/// blank.
fn length_in(rest: &str, text: &str, is_special: bool) -> usize {
    if rest.starts_with(text) {
        return text.len();
    }
    let bare = text.trim_start_matches(' ');
    if !bare.is_empty() && rest.starts_with(bare) {
        return bare.len();
    }
    if is_special {
        return 0;
    }
    // What the tokenizer has made another text of (a normal form): about as much.
    (text.len().min(rest.len())..rest.len()).find(|&end| rest.is_char_boundary(end)).unwrap_or(rest.len())
}
