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
    /// The template has no place for a system message: it stands at the beginning of the first question, or of the last
    /// where the template does not show the first.
    pub folds_system: bool,
    /// Indices of the messages that are not in the prompt, since the template wants question and answer in turn: questions
    /// that nobody has answered, and answers before the first question where it does not take an empty one before them.
    pub uncounted: Vec<usize>,
}

impl Adaptation {
    /// What is said where [`Self::folds_system`].
    pub const FOLDS_SYSTEM: &str =
        "the chat template has no place for a system message: it stands at the beginning of a question";

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

/// Which question a system message is put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folds {
    /// None: it stands for itself.
    Nowhere,
    /// The one behind it.
    IntoNext,
    /// The last one, which every template shows.
    IntoLast,
}

/// How a conversation is made one of questions and answers in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turns {
    /// Not at all.
    AsTheyStand,
    /// An empty question stands before an answer that nobody has asked for, such as a greeting.
    GreetingKept,
    /// There is no answer before the first question.
    GreetingDropped,
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
    fn of(all: &[Message], folds: Folds, turns: Turns) -> Self {
        let (folds_system, takes_turns) = (folds != Folds::Nowhere, turns != Turns::AsTheyStand);
        let last_question = all.iter().rposition(|message| message.role == Role::User);
        let mut conversation = Self::default();
        let is_system = |message: &Message| message.role == Role::System;
        conversation.adaptation.folds_system = folds_system && all.iter().any(is_system);
        let uncounted = if takes_turns { out_of_turn(all, turns == Turns::GreetingKept) } else { Vec::new() };
        let mut system: Vec<usize> = Vec::new();
        for (at, message) in all.iter().enumerate().filter(|(at, _)| !uncounted.contains(at)) {
            match message.role {
                Role::System if folds_system => system.push(at),
                Role::User if folds == Folds::IntoLast && Some(at) != last_question => {
                    conversation.push(Role::User, [at], all);
                }
                Role::User => {
                    conversation.push(Role::User, system.drain(..).chain([at]), all);
                }
                // Before the first question it needs one of its own.
                Role::Assistant if !conversation.has_question() && (takes_turns || !system.is_empty()) => {
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

    fn has_question(&self) -> bool {
        self.messages.iter().any(|message| message.role == Role::User)
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

/// What stands between question and answer in turn: questions with another behind them; where it `keeps_greeting`, not the
/// answers before the first question.
fn out_of_turn(all: &[Message], keeps_greeting: bool) -> Vec<usize> {
    let turns: Vec<(usize, Role)> = all
        .iter()
        .enumerate()
        .map(|(at, message)| (at, message.role))
        .filter(|(_, role)| *role != Role::System)
        .collect();
    let first = turns.iter().position(|(_, role)| *role == Role::User).unwrap_or(turns.len());
    let is_out = |place: usize| {
        (!keeps_greeting && place < first)
            || turns[place].1 == Role::User && turns.get(place + 1).is_some_and(|next| next.1 == Role::User)
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
        let attempt = |folds, turns| {
            let conversation = Conversation::of(before, folds, turns);
            let text = render(&conversation)?;
            // Whether with other words in it there is another prompt: it may be written otherwise than it stands.
            let shows_system = |folds, text: &str| {
                let has_say = |at: &usize| render(&Conversation::of(&with_other_text(before, *at), folds, turns));
                let hidden = hidden_system(before, text);
                hidden.iter().all(|at| has_say(at).is_ok_and(|other| other != text))
            };
            // Some templates show no more than the end of a conversation.
            if has_system && !shows_system(folds, &text) {
                let other = Conversation::of(before, Folds::IntoLast, turns);
                if let Some(text) = render(&other).ok().filter(|text| shows_system(Folds::IntoLast, text)) {
                    return Ok((other, text));
                }
            }
            Ok((conversation, text))
        };
        let folds = if has_system && !self.takes_system(options) { Folds::IntoNext } else { Folds::Nowhere };
        let refusal = match attempt(folds, Turns::AsTheyStand) {
            Err(error @ (TemplateError::Refused { .. } | TemplateError::Jinja { .. })) => error,
            attempted => return attempted,
        };
        // In turn; and where a system message stands in the middle, with the question behind it.
        let may_fold = has_system && folds == Folds::Nowhere;
        for folds in [Some(folds), may_fold.then_some(Folds::IntoNext)].into_iter().flatten() {
            for turns in [Turns::GreetingKept, Turns::GreetingDropped] {
                if let Ok(attempted) = attempt(folds, turns) {
                    return Ok(attempted);
                }
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

/// The same with another text in the message at `at`.
fn with_other_text(messages: &[Message], at: usize) -> Vec<Message> {
    let mut messages = messages.to_vec();
    messages[at].content.insert_str(0, TRIED[0]);
    messages
}

/// The places of the system messages that are not in a prompt as they stand.
fn hidden_system(messages: &[Message], prompt: &str) -> Vec<usize> {
    let is_hidden = |message: &Message| message.role == Role::System && !prompt.contains(message.content.trim());
    (0..messages.len()).filter(|&at| is_hidden(&messages[at])).collect()
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

    const REFUSES_EMPTY: &str = "{% if m.content == '' %}{{ raise_exception('empty') }}{% endif %}";

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
            (&[ALTERNATES], "auau", "u()a(a0)u(u1)a(a2)u(u3)a(", &[]),
            (&[ALTERNATES], "aauua", "u()a(a0\n\na1)u(u3)a(a4", &[2]),
            (&[ALTERNATES_AFTER_SYSTEM], "sau", "s(s0)u()a(a1)u(u2)a(", &[]),
            (&[REFUSES_SYSTEM, ALTERNATES], "sau", "u(s0)a(a1)u(u2)a(", &[]),
            (&[ALTERNATES, REFUSES_EMPTY], "auau", "u(u1)a(a2)u(u3)a(", &[0]),
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
    fn a_system_message_goes_where_the_template_shows_it() {
        let last = "u({{ messages[-1].content }})a(";
        let last_two = "{% for m in messages[-2:] %}{{ m.role[0] }}({{ m.content }}){% endfor %}a(";
        let changed = "{% for m in messages %}{% if m.role != 'system' %}{{ m.role[0] }}({{ m.content | upper }}){% endif %}{% endfor %}a(";
        for (source, roles, expected) in [
            (last, "su", "u(s0\n\nu1)a("),
            (last, "suau", "u(s0\n\nu3)a("),
            (last, "suasu", "u(s0\n\ns3\n\nu4)a("),
            (last_two, "suuu", "u(u2)u(s0\n\nu3)a("),
            (changed, "suau", "u(S0\n\nU1)a(A2)u(U3)a("),
        ] {
            let template = ChatTemplate::from_source("last", source).unwrap();
            let rendered = rendered(&template, roles);
            assert_eq!((rendered.text.as_str(), rendered.adaptation.folds_system), (expected, true), "{roles}");
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
            ("sauau", &[(0, "s0"), (1, "a1"), (2, "u2"), (3, "a3"), (4, "u4")]),
            ("auau", &[(0, "a0"), (1, "u1"), (2, "a2"), (3, "u3")]),
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
