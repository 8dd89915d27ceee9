//! What a model thinks before it answers: the part of a reply between two marks, such as `<think>` and `</think>`. Where it
//! thinks again in the middle of its answer, that is part of its thought, too.
//!
//! A reply is stored as all that stands in the model's turn. Where a template opens the thought itself (the prompt ends
//! with `<think>`), the stored text begins with that mark all the same, so that nobody who reads it needs the template.

mod parts;

use std::borrow::Cow;

use parts::{Parts, THOUGHT_TAGS, ThoughtTags, may_begin, tags_of, undecided_end};

/// A reply that begins with a thought, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thought<'a> {
    /// What is thought, without blanks around it.
    pub text: Cow<'a, str>,
    /// Whether it has come to its end.
    pub is_over: bool,
    /// What is said after it.
    pub answer: Cow<'a, str>,
}

impl<'a> Thought<'a> {
    /// The thought at the beginning of `reply`, if there is one; also where only its end was stored.
    pub fn of(reply: &'a str) -> Option<Self> {
        Some(Parts::of(reply).or_else(|| Parts::without_beginning(reply))?.into())
    }

    /// Whether it says nothing and has come to its end: what a template writes for no thought at all.
    pub fn is_absent(&self) -> bool {
        self.is_over && self.text.is_empty()
    }

    /// One line that stands for it; `goes_on` where the reply does.
    pub fn summary(&self, goes_on: bool) -> String {
        let words = self.text.split_whitespace().count();
        let words = format!("{words} word{}", if words == 1 { "" } else { "s" });
        match (self.is_over, goes_on) {
            (true, _) => format!("thought for {words}"),
            (false, true) => format!("thinking: {words}"),
            (false, false) => format!("a thought of {words} that did not end"),
        }
    }
}

impl<'a> From<Parts<'a>> for Thought<'a> {
    fn from(parts: Parts<'a>) -> Self {
        Self { text: parts.thought_text(), is_over: !parts.is_inside, answer: parts.answer() }
    }
}

/// What is said in a reply, without the thought before it.
pub fn answer_of(reply: &str) -> Cow<'_, str> {
    Thought::of(reply).map_or(reply.into(), |thought| thought.answer)
}

/// The words of a reply: what is thought and what is said, without the marks.
pub fn words_of(reply: &str) -> Cow<'_, str> {
    match Thought::of(reply) {
        None => reply.into(),
        Some(Thought { text, answer, .. }) if text.is_empty() => answer,
        Some(Thought { text, answer, .. }) => format!("{text}\n\n{answer}").into(),
    }
}

/// Where the answer begins behind the last thought of a text, as templates look for it; `None` where none ends there.
pub(super) fn end_of_last(text: &str) -> Option<usize> {
    THOUGHT_TAGS.iter().filter_map(|tags| Some(text.rfind(tags.close)? + tags.close.len())).max()
}

/// A former reply as it goes into a prompt: a thought that was cut has an end, so that what comes after it is none. Of
/// messages on channels only the answer is one that templates know.
pub(super) fn closed(reply: &str) -> Cow<'_, str> {
    match (Parts::of(reply), tags_of(reply)) {
        (Some(parts), Some((tags, _))) if parts.is_inside => {
            let line_end = if reply.ends_with('\n') { "" } else { "\n" };
            format!("{reply}{line_end}{}\n\n", tags.close).into()
        }
        (Some(parts), None) => parts.answer(),
        _ => reply.into(),
    }
}

/// What a prompt opens a thought with at its end, with the blanks behind it.
pub fn opening(prompt: &str) -> Option<&str> {
    let end = prompt.trim_end();
    let tags = THOUGHT_TAGS.iter().find(|tags| end.ends_with(tags.open))?;
    Some(&prompt[end.len() - tags.open.len()..])
}

/// Whether a text is nothing but what opens a thought.
pub fn is_opening(text: &str) -> bool {
    opening(text).is_some_and(|opening| opening.len() == text.len())
}

/// `prompt`, which ends where a reply begins, with `reply` behind it. What the template writes of a thought (it opens
/// one, or says by an empty one that there is none) gives way to what the reply has: only one of them can be there.
/// `begins_at` is where the template's own text at the end begins.
pub(super) fn behind(prompt: &str, begins_at: usize, reply: &str) -> String {
    let own = &prompt[begins_at..];
    let kept = match (opening(own), tags_of(reply)) {
        (Some(opening), Some(_)) => own.len() - opening.len(),
        // It was stored without its beginning, or written elsewhere.
        (Some(_), None) if end_of_last(reply).is_some() => own.len(),
        (Some(opening), None) => own.len() - opening.len(),
        (None, Some(_)) => own.len() - empty_thought(own),
        (None, None) => own.len(),
    };
    format!("{}{reply}", &prompt[..begins_at + kept])
}

/// Bytes at the end of a prompt that are a thought without a word.
fn empty_thought(prompt: &str) -> usize {
    let length = |tags: &ThoughtTags| {
        let before = prompt.trim_end().strip_suffix(tags.close)?.trim_end().strip_suffix(tags.open)?;
        Some(prompt.len() - before.len())
    };
    THOUGHT_TAGS.iter().find_map(length).unwrap_or(0)
}

/// Lets pass what is said of a reply that comes in pieces, and keeps back what is thought.
#[derive(Debug, Default)]
pub struct ThoughtFilter {
    reply: String,
    /// Bytes of the answer that were let pass.
    passed: usize,
    unmarked: Unmarked,
}

/// Whether what was let pass has turned out to be a thought: its end has come, and nothing had marked its beginning.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Unmarked {
    #[default]
    No,
    /// It has, and nobody was told.
    Found,
    Told,
    /// It has before anything of it was let pass.
    KeptBack,
}

impl Unmarked {
    fn parts(self, reply: &str) -> Option<Parts<'_>> {
        match self {
            Self::No => Parts::of(reply),
            Self::Found | Self::Told | Self::KeptBack => Parts::without_beginning(reply),
        }
    }
}

impl ThoughtFilter {
    /// Takes the next piece of the reply and returns what may be shown now. What the prompt has opened is the first.
    pub fn push(&mut self, piece: &str) -> Cow<'_, str> {
        self.reply.push_str(piece);
        let undecided = undecided_end(&self.reply);
        if undecided == 0 {
            self.find_unmarked();
        }
        let shown = match self.unmarked.parts(&self.reply) {
            Some(parts) => parts.certain_answer(),
            // It may still become a thought.
            None if may_begin(self.reply.trim_start()) => "".into(),
            None => self.reply[..self.reply.len() - undecided].into(),
        };
        let from = std::mem::replace(&mut self.passed, shown.len());
        behind_byte(shown, from)
    }

    /// What is kept back at the end though it was no thought.
    pub fn rest(&mut self) -> Cow<'_, str> {
        self.find_unmarked();
        let shown = self.unmarked.parts(&self.reply).map_or(self.reply.as_str().into(), |parts| parts.answer());
        behind_byte(shown, self.passed)
    }

    /// The thought that was let pass as an answer, since nothing marked its beginning; told once, when its end has come.
    pub fn take_unmarked(&mut self) -> Option<Thought<'_>> {
        if self.unmarked != Unmarked::Found {
            return None;
        }
        self.unmarked = Unmarked::Told;
        self.thought()
    }

    /// Whether the thought was let pass before anybody could know that it is one.
    pub fn is_unmarked(&self) -> bool {
        matches!(self.unmarked, Unmarked::Found | Unmarked::Told)
    }

    fn find_unmarked(&mut self) {
        let is_new = self.unmarked == Unmarked::No && Parts::of(&self.reply).is_none();
        if is_new && Parts::without_beginning(&self.reply).is_some() {
            self.unmarked = if self.passed == 0 { Unmarked::KeptBack } else { Unmarked::Found };
            self.passed = 0;
        }
    }

    /// The thought, if the reply began with one that is not empty.
    pub fn thought(&self) -> Option<Thought<'_>> {
        Thought::of(&self.reply).filter(|thought| !thought.is_absent())
    }

    /// Whether the reply is a thought up to here, and no answer.
    pub fn is_inside(&self) -> bool {
        Thought::of(&self.reply).is_some_and(|thought| !thought.is_over)
    }

    /// What was said, without the thought.
    pub fn answer(&self) -> Cow<'_, str> {
        answer_of(&self.reply)
    }
}

/// What of a text comes from byte `from` on.
fn behind_byte(text: Cow<'_, str>, from: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text.get(from..).unwrap_or_default().into(),
        Cow::Owned(text) => text.get(from..).unwrap_or_default().to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_stands_at_the_beginning_alone() {
        let thought = Thought::of("\n<think>\nHm, two words.\n</think>\n\nFour.").unwrap();
        assert_eq!((&*thought.text, thought.is_over, &*thought.answer), ("Hm, two words.", true, "Four."));
        assert_eq!(thought.summary(false), "thought for 3 words");
        let open = Thought::of("<think>\nHm").unwrap();
        assert_eq!((&*open.text, open.is_over, open.summary(true).as_str()), ("Hm", false, "thinking: 1 word"));
        assert_eq!(open.summary(false), "a thought of 1 word that did not end");
        for none in [
            "",
            "Four.",
            "I <think> so </think>",
            "<thin",
            "It ends with </think>, say.",
            "```\n</think>\n```",
            "~~~\n</think>\n~~~",
            "````\n```\n</think>\n````",
        ] {
            assert_eq!(Thought::of(none), None, "{none}");
        }
        assert!(Thought::of("<think>\n\n</think>\n\nFour.").unwrap().is_absent());
        assert!(!Thought::of("<think>\n").unwrap().is_absent(), "it was cut");
    }

    #[test]
    fn every_thought_of_a_reply_is_told_from_what_is_said() {
        for (reply, text, answer, is_over) in [
            ("<think>a</think>b<think>c</think>d", "a\n\nc", "b\n\nd", true),
            ("<think>a</think>b <think>c</think> d", "a\n\nc", "b d", true),
            ("<think>a</think>\n\nb\n\n<think>\nc\n</think>\n\nd", "a\n\nc", "b\n\nd", true),
            ("<think>a</think>\n<think>c</think>\nd", "a\n\nc", "d", true),
            ("<think>a</think>\n<think>c", "a\n\nc", "", false),
            ("<think>a</think>b\n<think>c", "a\n\nc", "b\n", false),
            ("<think>a</think>b <think>c", "a", "b <think>c", true),
            ("<think>a</think>`<think>` and `</think>` are tags", "a", "`<think>` and `</think>` are tags", true),
            ("<think>a</think>\n```\n<think>x</think>\n```\n", "a", "```\n<think>x</think>\n```\n", true),
            ("<think>a</think>\n~~~\n<think>x</think>\n~~~\n", "a", "~~~\n<think>x</think>\n~~~\n", true),
            ("<think>a</think>\n````\n```\n<think>x</think>\n````", "a", "````\n```\n<think>x</think>\n````", true),
            ("<think>a</think>[THINK]b[/THINK]", "a", "[THINK]b[/THINK]", true),
            ("<think>a</thi", "a", "", false),
        ] {
            let thought = Thought::of(reply).unwrap();
            let found = (&*thought.text, &*thought.answer, thought.is_over);
            assert_eq!(found, (text, answer, is_over), "{reply}");
        }
    }

    #[test]
    fn a_thought_whose_beginning_was_not_stored_is_one() {
        for (reply, text, answer) in [
            ("Hm.\n</think>\n\nFour.", "Hm.", "Four."),
            ("Hm.</think>\n\nFour.", "Hm.", "Four."),
            ("</think>\n\nFour.", "", "Four."),
            ("Hm.\n[/THINK]Four.", "Hm.", "Four."),
        ] {
            let thought = Thought::of(reply).unwrap();
            assert_eq!((&*thought.text, &*thought.answer, thought.is_over), (text, answer, true), "{reply}");
        }
    }

    #[test]
    fn messages_on_channels_are_thoughts_and_an_answer() {
        let (analysis, last) = ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>");
        for (reply, text, answer, is_over) in [
            (format!("{analysis}Hm.<|end|><|start|>assistant{last}Four.<|return|>"), "Hm.", "Four.", true),
            (format!("{analysis}Hm."), "Hm.", "", false),
            (format!("{analysis}Hm.<|en"), "Hm.", "", false),
            (format!("{analysis}Hm.<|end|><|start|>assis"), "Hm.", "", true),
            ("<|channel|>ana".to_owned(), "", "", false),
            (format!("{last}Four."), "", "Four.", true),
            (
                format!(
                    "{analysis}A.<|end|><|start|>assistant<|channel|>commentary to=f<|message|>{{}}<|call|>{last}B"
                ),
                "A.\n\n{}",
                "B",
                true,
            ),
        ] {
            let thought = Thought::of(&reply).unwrap();
            assert_eq!((&*thought.text, &*thought.answer, thought.is_over), (text, answer, is_over), "{reply}");
        }
        assert_eq!(closed(&format!("{analysis}Hm.<|end|><|start|>assistant{last}Four.")), "Four.");
    }

    #[test]
    fn every_pair_of_marks_is_known() {
        for ThoughtTags { open, close } in &THOUGHT_TAGS {
            let reply = format!("{open}Hm.{close}Four.");
            let thought = Thought::of(&reply).unwrap();
            assert_eq!((&*thought.text, &*thought.answer), ("Hm.", "Four."));
            assert_eq!((&*answer_of(&reply), &*words_of(&reply)), ("Four.", "Hm.\n\nFour."));
            assert_eq!(end_of_last(&reply), Some(reply.len() - "Four.".len()));
            assert_eq!(opening(&format!("assistant\n{open}\n")), Some(&*format!("{open}\n")));
            assert_eq!(closed(&format!("{open}Hm")), format!("{open}Hm\n{close}\n\n"));
        }
    }

    #[test]
    fn whatever_the_pieces_only_the_answer_passes() {
        for (reply, answer) in [
            ("<think>\nHm é.\n</think>\n\nFour <b>.\n", "Four <b>.\n"),
            ("[THINK]Hm é.[/THINK]Four [b].\n", "Four [b].\n"),
            (" plain é", " plain é"),
            ("<thinner> than", "<thinner> than"),
            ("<think>\n\n</think>\n\nNo thought", "No thought"),
            ("<think>cut short", ""),
            ("<think>a</think>b é<think>c</think> d", "b é d"),
            ("<think>a</think>b\n\n<think>c</think>\n\nd", "b\n\nd"),
            ("<think>a</think>b<think>c</think>d", "b\n\nd"),
            ("<think>a</think>x <think> is a tag", "x <think> is a tag"),
            ("<think>a</think>x <th", "x <th"),
            ("<think>a</think>b<think>c</think><think>e</think> d", "b d"),
            ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b é<|return|>", "b é"),
            ("It ends with </think>, say.", "It ends with </think>, say."),
            ("`</think>` is a tag", "`</think>` is a tag"),
            ("<th", "<th"),
            ("", ""),
        ] {
            for size in 1..=reply.len().max(1) {
                let mut filter = ThoughtFilter::default();
                let characters: Vec<char> = reply.chars().collect();
                let pieces = characters.chunks(size).map(|piece| piece.iter().collect::<String>());
                let mut passed: String = pieces.map(|piece| filter.push(&piece).into_owned()).collect();
                passed.push_str(&filter.rest());
                assert_eq!(passed, answer, "{reply:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_thought_whose_beginning_nothing_marks_is_told_once_it_ends() {
        for (reply, answer) in
            [("Hm.\n</think>\n\nFour.", "Four."), ("Hm </think>\nFour.", "Four."), ("Hm.\n</think>", "")]
        {
            for size in 1..=reply.len() {
                let (mut filter, mut passed, mut told) = (ThoughtFilter::default(), String::new(), Vec::new());
                let characters: Vec<char> = reply.chars().collect();
                let mut take = |filter: &mut ThoughtFilter, piece: String| {
                    if let Some(thought) = filter.take_unmarked() {
                        told.push(thought.summary(false));
                        assert_eq!(passed.trim(), "Hm".to_owned() + if reply.starts_with("Hm.") { "." } else { "" });
                        passed.clear();
                    }
                    passed.push_str(&piece);
                };
                for piece in characters.chunks(size) {
                    let piece = filter.push(&piece.iter().collect::<String>()).into_owned();
                    take(&mut filter, piece);
                }
                let rest = filter.rest().into_owned();
                take(&mut filter, rest);
                assert_eq!(passed, answer, "{reply:?} in pieces of {size}");
                let is_kept_back = told.is_empty() && !filter.is_unmarked();
                assert!(is_kept_back || told == ["thought for 1 word"], "{told:?}");
            }
        }
    }

    #[test]
    fn of_the_template_and_the_reply_one_says_what_is_thought() {
        let whole = |prompt: &str, reply: &str| behind(prompt, 2, reply);
        for (prompt, reply, expected) in [
            ("Q:A:<think>\n", "<think>\nHm", "Q:A:<think>\nHm"),
            ("Q:A:<think>\n", "<think>Hm", "Q:A:<think>Hm"),
            ("Q:A:<think>\n", "Sure, ", "Q:A:Sure, "),
            ("Q:A:<think>\n", "Hm</think>Four", "Q:A:<think>\nHm</think>Four"),
            ("Q:A:<think>\n\n</think>\n\n", "<think>\nHm", "Q:A:<think>\nHm"),
            ("Q:A:<think>\n\n</think>\n\n", "Four", "Q:A:<think>\n\n</think>\n\nFour"),
            ("Q:A:", "<think>\nHm", "Q:A:<think>\nHm"),
            ("Q:A:", "Four", "Q:A:Four"),
        ] {
            assert_eq!(whole(prompt, reply), expected);
        }
        assert_eq!(behind("<think>A:", 7, "Four"), "<think>A:Four", "what a person wrote is no thought");
    }
}
