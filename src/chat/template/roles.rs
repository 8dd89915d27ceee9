//! Conversations that a template does not take as they are: one that knows no system message, or whose questions and
//! answers must come in turn. What it takes is found by rendering.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::contents::Content;
use super::{ChatTemplate, Message, RenderOptions, Role, TemplateError, texts};

/// Stand for a system message and a question while it is tried whether a template takes both. Nobody writes them.
const TRIED: [&str; 2] = ["\u{fdd0}1\u{fdd1}", "\u{fdd0}2\u{fdd1}"];

/// Between texts that become one message.
const JOINT: &str = "\n\n";

/// What of a conversation goes into the prompt otherwise than it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptation {
    /// The template has no place for a system message: it stands at the beginning of the first question.
    pub folds_system: bool,
    /// Indices of the messages that are not in the prompt, since the template wants question and answer in turn: questions
    /// that nobody has answered, and answers before the first question.
    pub uncounted: Vec<usize>,
}

impl Adaptation {
    /// What is said where [`Self::folds_system`].
    pub const FOLDS_SYSTEM: &str =
        "the chat template has no place for a system message: it stands at the beginning of the first question";

    /// What is said of messages that are not in the prompt.
    pub fn uncounted_text(&self) -> Option<String> {
        let messages = match self.uncounted.len() {
            0 => return None,
            1 => "a message without an answer is".to_owned(),
            n => format!("{n} messages without an answer are"),
        };
        Some(format!("the chat template wants question and answer in turn: {messages} not in the prompt"))
    }
}

/// A conversation as a template takes it.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    /// Of each of them: which messages it is made of, and where the text of each stands in it.
    parts: Vec<Vec<(usize, Range<usize>)>>,
    pub(super) adaptation: Adaptation,
}

impl Conversation {
    fn of(all: &[Message], folds_system: bool, takes_turns: bool) -> Self {
        let mut conversation = Self::default();
        let is_system = |message: &Message| message.role == Role::System;
        conversation.adaptation.folds_system = folds_system && all.iter().any(is_system);
        let uncounted = if takes_turns { out_of_turn(all) } else { Vec::new() };
        let mut system: Vec<usize> = Vec::new();
        for (at, message) in all.iter().enumerate().filter(|(at, _)| !uncounted.contains(at)) {
            match message.role {
                Role::System if folds_system => system.push(at),
                Role::User => {
                    conversation.push(Role::User, system.drain(..).chain([at]), all);
                }
                // Before the first question it needs one of its own.
                Role::Assistant if !system.is_empty() && conversation.messages.is_empty() && !takes_turns => {
                    conversation.push(Role::User, system.drain(..), all);
                    conversation.push(Role::Assistant, [at], all);
                }
                Role::Assistant if takes_turns && conversation.ends_with(Role::Assistant) => conversation.join(at, all),
                Role::System | Role::Assistant => conversation.push(message.role, [at], all),
            }
        }
        // Behind the last question it belongs to that one.
        match (system.is_empty(), conversation.ends_with(Role::User)) {
            (true, _) => {}
            (false, true) => system.into_iter().for_each(|at| conversation.join(at, all)),
            (false, false) => conversation.push(Role::User, system, all),
        }
        conversation.adaptation.uncounted = uncounted;
        conversation
    }

    fn ends_with(&self, role: Role) -> bool {
        self.messages.last().is_some_and(|last| last.role == role)
    }

    /// A message of these.
    fn push(&mut self, role: Role, of: impl IntoIterator<Item = usize>, all: &[Message]) {
        self.messages.push(Message::new(role, ""));
        self.parts.push(Vec::new());
        of.into_iter().for_each(|at| self.join(at, all));
    }

    /// The text of a message goes to the last one.
    fn join(&mut self, at: usize, all: &[Message]) {
        let (Some(last), Some(parts)) = (self.messages.last_mut(), self.parts.last_mut()) else { return };
        if !parts.is_empty() {
            last.content.push_str(JOINT);
        }
        let start = last.content.len();
        last.content.push_str(&all[at].content);
        parts.push((at, start..last.content.len()));
    }

    /// The places of the messages that it was made of, from those of its own.
    pub(super) fn places_of_parts(&self, own: Vec<Content>) -> Vec<Content> {
        let of_one = |content: Content| {
            let kept = content.skipped..content.skipped + content.range.len();
            self.parts[content.message].iter().map(move |(message, part)| {
                let (start, end) = (part.start.max(kept.start), part.end.min(kept.end));
                let start = start.min(part.end);
                let end = end.max(start);
                let place = |at: usize| content.range.start + at.clamp(kept.start, kept.end) - kept.start;
                Content { message: *message, range: place(start)..place(end), skipped: start - part.start }
            })
        };
        own.into_iter().flat_map(|content| of_one(content).collect::<Vec<_>>()).collect()
    }
}

/// What stands between question and answer in turn: questions with another behind them, answers before the first question.
fn out_of_turn(all: &[Message]) -> Vec<usize> {
    let turns: Vec<(usize, Role)> = all
        .iter()
        .enumerate()
        .map(|(at, message)| (at, message.role))
        .filter(|(_, role)| *role != Role::System)
        .collect();
    let first = turns.iter().position(|(_, role)| *role == Role::User).unwrap_or(turns.len());
    let is_out = |place: usize| {
        place < first || turns[place].1 == Role::User && turns.get(place + 1).is_some_and(|next| next.1 == Role::User)
    };
    (0..turns.len()).filter(|&place| is_out(place)).map(|place| turns[place].0).collect()
}

/// A prompt and what goes with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The prompt.
    pub text: String,
    /// What it opens a thought with at its end, such as `<think>` and a line feed: the reply begins inside. Empty where it
    /// opens none, and where a reply is continued.
    pub opening: String,
    /// What of the conversation is in it otherwise than it stands.
    pub adaptation: Adaptation,
}

impl ChatTemplate {
    /// The prompt for `messages`, as [`ChatTemplate::render`] has it, and what is to be known of it.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn rendered(&self, messages: &[Message], options: &RenderOptions) -> Result<Rendered, TemplateError> {
        let (conversation, text) = self.adapted(messages, options)?;
        let opening = match messages.last() {
            Some(last) if last.role != Role::Assistant => self.opening(&conversation, &text, options)?,
            _ => String::new(),
        };
        Ok(Rendered { text, opening, adaptation: conversation.adaptation })
    }

    /// `messages` (but the last, where that is a reply to go on with) as the template takes them, and the prompt.
    pub(super) fn adapted(
        &self,
        messages: &[Message],
        options: &RenderOptions,
    ) -> Result<(Conversation, String), TemplateError> {
        self.try_adapted(messages, options).map_err(|error| match error {
            TemplateError::Refused { .. } | TemplateError::Jinja { .. } | TemplateError::Limit { .. }
                if self.is_of_model =>
            {
                error.of_model()
            }
            error => error,
        })
    }

    fn try_adapted(
        &self,
        messages: &[Message],
        options: &RenderOptions,
    ) -> Result<(Conversation, String), TemplateError> {
        let (before, reply) = match messages.split_last() {
            Some((reply, before)) if reply.role == Role::Assistant => (before, Some(reply)),
            _ => (messages, None),
        };
        let render = |conversation: &Conversation| match reply {
            Some(reply) => self.render_up_to(&conversation.messages, &reply.content, options),
            None => self.run(texts(&conversation.messages), options, true),
        };
        let has_system = before.iter().any(|message| message.role == Role::System);
        let folds = has_system && !self.takes_system(options);
        let conversation = Conversation::of(before, folds, false);
        let refusal = match render(&conversation) {
            Ok(text) => return Ok((conversation, text)),
            Err(error @ (TemplateError::Refused { .. } | TemplateError::Jinja { .. })) => error,
            Err(error) => return Err(error),
        };
        // In turn; and where a system message stands in the middle, with the question behind it.
        for folds in if folds || !has_system { vec![folds] } else { vec![false, true] } {
            let conversation = Conversation::of(before, folds, true);
            if let Ok(text) = render(&conversation) {
                return Ok((conversation, text));
            }
        }
        Err(refusal)
    }

    /// Whether a system message is in what it writes.
    fn takes_system(&self, options: &RenderOptions) -> bool {
        *self.takes_system.get_or_init(|| {
            let both = [Message::new(Role::System, TRIED[0]), Message::new(Role::User, TRIED[1])];
            match self.run(texts(&both), options, true) {
                Ok(text) => text.contains(TRIED[0]),
                // That is an error of the prompt, which is not to take twice as long.
                Err(TemplateError::Limit { .. }) => true,
                // One that fails whatever it is given is an error of the prompt, too.
                Err(_) => self.run(texts(&both[1..]), options, true).is_err(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::BUILTIN_NAMES;
    use super::*;

    /// `s`ystem, `u`ser or `a`ssistant, each followed by its place.
    fn conversation(roles: &str) -> Vec<Message> {
        let role = |c| match c {
            's' => Role::System,
            'u' => Role::User,
            _ => Role::Assistant,
        };
        roles.chars().enumerate().map(|(at, c)| Message::new(role(c), format!("{c}{at}"))).collect()
    }

    const WRITES: &str = "{{ m.role[0] }}({{ m.content }})";
    const REFUSES_SYSTEM: &str = "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}";
    const DROPS_SYSTEM: &str = "{% if m.role == 'system' %}{% continue %}{% endif %}";
    const ALTERNATES: &str =
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('in turn') }}{% endif %}";
    const ALTERNATES_AFTER_SYSTEM: &str = "{% if m.role == 'system' %}{% if not loop.first %}{{ raise_exception('first') }}{% endif %}{% elif (m.role == 'user') == (loop.index0 % 2 == 0) %}{{ raise_exception('in turn') }}{% endif %}";

    fn template(rules: &[&str]) -> ChatTemplate {
        let source = format!(
            "{{% for m in messages %}}{}{WRITES}{{% endfor %}}{{% if add_generation_prompt %}}a({{% endif %}}",
            rules.concat()
        );
        ChatTemplate::from_source("test", &source).unwrap()
    }

    fn rendered(template: &ChatTemplate, roles: &str) -> Rendered {
        template.rendered(&conversation(roles), &RenderOptions::default()).unwrap()
    }

    fn text(template: &ChatTemplate, roles: &str) -> String {
        rendered(template, roles).text
    }

    #[test]
    fn a_system_message_goes_into_the_first_question_where_there_is_no_place_for_it() {
        for rules in [&[REFUSES_SYSTEM][..], &[DROPS_SYSTEM], &[REFUSES_SYSTEM, ALTERNATES]] {
            let template = template(rules);
            assert_eq!(text(&template, "su"), "u(s0\n\nu1)a(", "{rules:?}");
            assert_eq!(text(&template, "suau"), "u(s0\n\nu1)a(a2)u(u3)a(", "{rules:?}");
            assert_eq!(text(&template, "sua"), "u(s0\n\nu1)a(a2", "{rules:?}");
            assert!(rendered(&template, "su").adaptation.folds_system);
            assert!(!rendered(&template, "u").adaptation.folds_system);
        }
        assert_eq!(text(&template(&[DROPS_SYSTEM]), "suasu"), "u(s0\n\nu1)a(a2)u(s3\n\nu4)a(", "each into the next");
        assert_eq!(text(&template(&[]), "su"), "s(s0)u(u1)a(");
        for name in BUILTIN_NAMES {
            let template = ChatTemplate::builtin(name).unwrap();
            assert_eq!(rendered(&template, "suau").adaptation, Adaptation::default(), "{name} does it itself");
        }
    }

    #[test]
    fn a_question_without_an_answer_does_not_count_where_roles_alternate() {
        for (rules, roles, expected, uncounted) in [
            (&[ALTERNATES][..], "uu", "u(u1)a(", &[0][..]),
            (&[ALTERNATES], "uauuu", "u(u0)a(a1)u(u4)a(", &[2, 3]),
            (&[ALTERNATES], "uaau", "u(u0)a(a1\n\na2)u(u3)a(", &[]),
            (&[ALTERNATES], "auau", "u(u1)a(a2)u(u3)a(", &[0]),
            (&[ALTERNATES], "uua", "u(u1)a(a2", &[0]),
            (&[REFUSES_SYSTEM, ALTERNATES], "suu", "u(s0\n\nu2)a(", &[1]),
            (&[ALTERNATES_AFTER_SYSTEM], "suu", "s(s0)u(u2)a(", &[1]),
            (&[], "uu", "u(u0)u(u1)a(", &[]),
        ] {
            let rendered = rendered(&template(rules), roles);
            assert_eq!((rendered.text.as_str(), &rendered.adaptation.uncounted[..]), (expected, uncounted), "{roles}");
        }
    }

    #[test]
    fn a_template_that_fails_whatever_it_is_given_says_so() {
        let broken = ChatTemplate::from_source("broken", "{{ raise_exception('never') }}").unwrap();
        let error = broken.rendered(&conversation("suu"), &RenderOptions::default()).unwrap_err();
        assert!(matches!(error, TemplateError::Refused { reason, .. } if reason == "never"));
    }

    #[test]
    fn the_texts_of_messages_that_became_one_are_found_each() {
        let template = template(&[REFUSES_SYSTEM, ALTERNATES]);
        for (roles, expected) in [
            ("suau", &[(0, "s0"), (1, "u1"), (2, "a2"), (3, "u3")][..]),
            ("suu", &[(0, "s0"), (2, "u2")]),
            ("uaau", &[(0, "u0"), (1, "a1"), (2, "a2"), (3, "u3")]),
            ("sua", &[(0, "s0"), (1, "u1"), (2, "a2")]),
        ] {
            let messages = conversation(roles);
            let prompt = template.render(&messages, &RenderOptions::default()).unwrap();
            let contents = template.contents(&messages, &RenderOptions::default(), &prompt);
            let found: Vec<(usize, &str)> =
                contents.iter().map(|content| (content.message, &prompt[content.range.clone()])).collect();
            assert_eq!(found, expected, "{roles}");
            assert!(contents.iter().all(|content| content.skipped == 0));
        }
    }
}
