//! The tokens that end a reply.

use super::TokenId;

/// Marks that end a turn or a text wherever a vocabulary has them, whatever else a configuration names: ChatML's, those of
/// Llama 3 (the message of a tool's call too), GPT-2's, Phi's and Gemma's. llama.cpp goes by such names as well.
const END_MARKS: [&str; 8] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<|eot|>",
    "<end_of_turn>",
];

/// Of the marks of a vocabulary, those that end a reply by their name.
pub(super) fn named_ends<'a>(marks: impl IntoIterator<Item = (&'a str, TokenId)>) -> Vec<TokenId> {
    marks.into_iter().filter(|(mark, _)| END_MARKS.contains(mark)).map(|(_, id)| id).collect()
}
