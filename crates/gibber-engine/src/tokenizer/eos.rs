//! The tokens that end a reply.

use super::TokenId;

/// Special tokens that end a turn or a text wherever a vocabulary has them, whatever else a configuration names and whatever type a
/// file gives them: nobody writes them by accident. First those of turns and texts, then those between which code models
/// were taught to fill in. llama.cpp (`llama-vocab.cpp`) goes by such texts as well.
const EOS_TEXTS: [&str; 21] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    END_OF_MESSAGE,
    "<|eot|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "▁<EOT>",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// In vocabularies that have one of each of [`END_OF_REPLY`] and [`END_OF_CALL`], this one stands between two messages of
/// one reply.
const END_OF_MESSAGE: &str = "<|end|>";
const END_OF_REPLY: [&str; 2] = ["<|return|>", "<|flush|>"];
const END_OF_CALL: [&str; 2] = ["<|call|>", "<|calls|>"];

/// Special tokens that also are words, such as the tag of HTML: they end a reply where the file calls them special, or where
/// nothing else does.
const WORDS_TOO: [&str; 6] = ["</s>", "<eos>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]"];

/// Whether a token of this text ends a reply; `has` says what texts its vocabulary has.
pub(super) fn is_eos(text: &str, has: impl Fn(&str) -> bool) -> bool {
    let has_one_of = |texts: [&str; 2]| texts.into_iter().any(&has);
    EOS_TEXTS.contains(&text) && !(text == END_OF_MESSAGE && has_one_of(END_OF_REPLY) && has_one_of(END_OF_CALL))
}

/// The texts of a vocabulary that end a reply.
pub(super) fn eos_texts(has: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
    EOS_TEXTS.into_iter().filter(move |text| has(text) && is_eos(text, &has))
}

/// Completes `eos`, which a configuration names: `tokens` are those of the vocabulary that end a reply by their text or
/// could, each with whether the file calls it special.
pub(super) fn with_named<'a>(
    mut eos: Vec<TokenId>,
    tokens: impl IntoIterator<Item = (&'a str, TokenId, bool)>,
    has: impl Fn(&str) -> bool,
) -> Vec<TokenId> {
    let mut words = Vec::new();
    for (text, id, is_special) in tokens {
        if is_eos(text, &has) || (is_special && WORDS_TOO.contains(&text)) {
            eos.push(id);
        } else if WORDS_TOO.contains(&text) {
            words.push(id);
        }
    }
    if eos.is_empty() { words } else { eos }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eos(named: Vec<TokenId>, tokens: &[(&str, bool)]) -> Vec<TokenId> {
        let has = |text: &str| tokens.iter().any(|(token, _)| *token == text);
        with_named(named, (0..).zip(tokens).map(|(id, &(text, is_special))| (text, id, is_special)), has)
    }

    #[test]
    fn a_special_token_ends_a_reply_whatever_its_type() {
        let tokens = [("a", false), ("<|im_end|>", false), ("<end_of_turn>", true), ("<|im_start|>", true)];
        assert_eq!(eos(vec![], &tokens), [1, 2]);
        assert_eq!(eos(vec![3], &tokens), [3, 1, 2]);
    }

    #[test]
    fn a_tag_of_html_ends_a_reply_only_where_it_is_special_or_where_nothing_else_does() {
        assert_eq!(eos(vec![], &[("</s>", false), ("<|im_end|>", true)]), [1]);
        assert_eq!(eos(vec![], &[("</s>", true), ("<|im_end|>", true)]), [0, 1]);
        assert_eq!(eos(vec![5], &[("</s>", false)]), [5]);
        assert_eq!(eos(vec![], &[("</s>", false), ("<s>", false)]), [0]);
    }

    #[test]
    fn the_end_of_a_message_is_not_that_of_a_reply_of_several() {
        let harmony = [("<|end|>", true), ("<|return|>", true), ("<|call|>", true)];
        assert_eq!(eos(vec![], &harmony), [1, 2]);
        assert_eq!(eos(vec![], &harmony[..2]), [0, 1]);
    }
}
