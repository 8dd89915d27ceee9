//! Where the messages stand in a prompt, and what of it is the template's own.

use std::ops::Range;

use super::{ChatTemplate, Message, RenderOptions, Role, texts, thinking};

/// A message's text in a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Which message, in the order in which they were rendered.
    pub message: usize,
    /// Its bytes in the prompt.
    pub range: Range<usize>,
    /// Bytes at the beginning of the message that the template leaves out, such as blanks or a thought.
    pub skipped: usize,
}

impl ChatTemplate {
    /// Where the texts of `messages` stand in `prompt`, which [`ChatTemplate::render`] has made of them; in order. A
    /// message that cannot be told from what stands around it, and those behind it, are not among them.
    pub fn contents(&self, messages: &[Message], options: &RenderOptions, prompt: &str) -> Vec<Content> {
        let (marked, reply) = match messages.split_last() {
            Some((reply, before)) if reply.role == Role::Assistant => (before, Some(reply)),
            _ => (messages, None),
        };
        let Ok((conversation, _)) = self.adapted(messages, options) else { return Vec::new() };
        let own = self.find(&conversation.messages, options, prompt).unwrap_or_default();
        let mut contents = conversation.places_of_parts(own);
        if let Some(reply) = reply.filter(|reply| prompt.ends_with(&reply.content)) {
            let range = prompt.len() - reply.content.len()..prompt.len();
            contents.push(Content { message: marked.len(), range, skipped: 0 });
        }
        contents
    }

    /// As [`ChatTemplate::contents`]: the prompt is rendered once more with a mark in the place of each text, which shows
    /// what the template writes between them. `None` where the template does not take the marks.
    fn find(&self, messages: &[Message], options: &RenderOptions, prompt: &str) -> Option<Vec<Content>> {
        let placeholders: Vec<String> = (0..messages.len()).map(|at| format!("\u{fdd0}{at}\u{fdd1}")).collect();
        let roles = messages.iter().map(|message| message.role);
        let picture = self
            .run(roles.zip(placeholders.iter().map(|placeholder| placeholder.as_str().into())), options, true)
            .ok()?;
        let mut between = Vec::with_capacity(messages.len() + 1);
        let mut rest = picture.as_str();
        for placeholder in &placeholders {
            let (before, after) = rest.split_once(placeholder.as_str())?;
            between.push(before);
            rest = after;
        }
        between.push(rest);
        let mut contents = Vec::with_capacity(messages.len());
        let mut at = 0;
        for ((message, pair), (_, text)) in between.windows(2).enumerate().zip(texts(messages)) {
            // A template may leave a blank to a text that begins with one of its own.
            let Some(before) = [pair[0], pair[0].trim_end()].into_iter().find(|text| prompt[at..].starts_with(text))
            else {
                break;
            };
            let start = at + before.len();
            let after = pair[1].trim_end();
            let stands = |kept: &Range<usize>| {
                prompt[start..].strip_prefix(&text[kept.clone()]).is_some_and(|rest| rest.starts_with(after))
            };
            let Some(kept) = ways_to_keep(&text).into_iter().find(stands) else { break };
            at = start + kept.len();
            // The end that a thought is given is not the message's.
            let length = messages[message].content.len();
            let range = start..start + kept.end.min(length).saturating_sub(kept.start);
            contents.push(Content { message, range, skipped: kept.start.min(length) });
        }
        Some(contents)
    }
}

/// What a template may keep of a text: all of it, without the blanks around it, without the thought before it.
fn ways_to_keep(text: &str) -> Vec<Range<usize>> {
    let begins = std::iter::once(0).chain(thinking::end_of_last(text));
    let trimmed = |from: usize| {
        let rest = &text[from..];
        let end = from + rest.trim_end().len();
        let start = (text.len() - rest.trim_start().len()).min(end);
        [from..text.len(), start..end, start..text.len(), from..end]
    };
    begins.flat_map(trimmed).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{BUILTIN_NAMES, SpecialTexts};
    use super::*;

    fn options() -> RenderOptions {
        RenderOptions { special: SpecialTexts { bos: "<s>".into(), eos: "</s>".into() }, thinking: None }
    }

    fn found(template: &ChatTemplate, messages: &[Message]) -> Vec<(usize, String, usize)> {
        let prompt = template.render(messages, &options()).unwrap();
        let contents = template.contents(messages, &options(), &prompt);
        contents.into_iter().map(|found| (found.message, prompt[found.range].to_owned(), found.skipped)).collect()
    }

    fn conversation() -> Vec<Message> {
        [
            (Role::System, "system"),
            (Role::User, "user\n"),
            (Role::Assistant, " [INST] assistant"),
            (Role::User, "im_start"),
        ]
        .map(|(role, text)| Message::new(role, text))
        .to_vec()
    }

    #[test]
    fn every_builtin_template_shows_where_each_text_is_whatever_it_says() {
        for name in BUILTIN_NAMES {
            let template = ChatTemplate::builtin(name).unwrap();
            let texts: Vec<String> = found(&template, &conversation()).into_iter().map(|(_, text, _)| text).collect();
            let trimmed: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
            assert_eq!(trimmed, ["system", "user", "[INST] assistant", "im_start"], "{name}");
        }
    }

    #[test]
    fn what_a_template_leaves_out_is_skipped() {
        let chatml = ChatTemplate::builtin("chatml").unwrap();
        let mut messages = conversation();
        messages[2].content = "<think>\nhm\n</think>\n\nYes.".into();
        assert_eq!(found(&chatml, &messages)[2], (2, "Yes.".into(), 21));
        let llama3 = ChatTemplate::builtin("llama3").unwrap();
        assert_eq!(found(&llama3, &[Message::new(Role::User, "  Hi ")]), [(0, "Hi".into(), 2)]);
    }

    #[test]
    fn a_reply_that_is_gone_on_with_stands_at_the_end_as_it_is() {
        for name in BUILTIN_NAMES {
            let template = ChatTemplate::builtin(name).unwrap();
            let messages = &conversation()[..3];
            let last = found(&template, messages).pop();
            assert_eq!(last, Some((2, " [INST] assistant".into(), 0)), "{name}");
        }
        let chatml = ChatTemplate::builtin("chatml").unwrap();
        assert_eq!(found(&chatml, &[]), []);
    }

    #[test]
    fn where_the_texts_cannot_be_told_apart_none_is_named() {
        let upper = ChatTemplate::from_source("upper", "{% for m in messages %}{{ m.content|upper }}!{% endfor %}");
        assert_eq!(found(&upper.unwrap(), &[Message::new(Role::User, "hi")]), []);
        let silent = ChatTemplate::from_source("silent", "nothing").unwrap();
        assert_eq!(found(&silent, &[Message::new(Role::User, "hi")]), []);
    }
}
