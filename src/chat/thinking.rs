//! What a model thinks before it answers: the part of a reply between two marks, such as `<think>` and `</think>`.
//!
//! A reply is stored as all that stands in the model's turn. Where a template opens the thought itself (the prompt ends
//! with `<think>`), the stored text begins with that mark all the same, so that nobody who reads it needs the template.

use std::borrow::Cow;

/// What begins a thought, and what ends it.
#[derive(Debug)]
struct Marks {
    open: &'static str,
    close: &'static str,
}

/// The marks that models were taught.
const MARKS: [Marks; 7] = [
    // Qwen, DeepSeek and most others.
    Marks { open: "<think>", close: "</think>" },
    Marks { open: "<thinking>", close: "</thinking>" },
    // Magistral, Ministral.
    Marks { open: "[THINK]", close: "[/THINK]" },
    // EXAONE.
    Marks { open: "<thought>", close: "</thought>" },
    // Seed-OSS.
    Marks { open: "<seed:think>", close: "</seed:think>" },
    // Command A.
    Marks { open: "<|START_THINKING|>", close: "<|END_THINKING|>" },
    // Kimi.
    Marks { open: "◁think▷", close: "◁/think▷" },
];

/// A reply that begins with a thought, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thought<'a> {
    /// What is thought, without blanks around it.
    pub text: &'a str,
    /// Whether it has come to its end.
    pub is_over: bool,
    /// What is said after it.
    pub answer: &'a str,
}

impl<'a> Thought<'a> {
    /// The thought at the beginning of `reply`, if there is one.
    pub fn of(reply: &'a str) -> Option<Self> {
        let (marks, rest) = marks_of(reply)?;
        Some(match rest.split_once(marks.close) {
            Some((text, answer)) => Self { text: text.trim(), is_over: true, answer: answer.trim_start() },
            None => Self { text: rest.trim(), is_over: false, answer: "" },
        })
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

/// The marks of the thought that `reply` begins with, and what follows the first of them.
fn marks_of(reply: &str) -> Option<(&'static Marks, &str)> {
    let start = reply.trim_start();
    MARKS.iter().find_map(|marks| Some((marks, start.strip_prefix(marks.open)?)))
}

/// What is said in a reply, without the thought before it.
pub fn answer_of(reply: &str) -> &str {
    Thought::of(reply).map_or(reply, |thought| thought.answer)
}

/// The words of a reply: what is thought and what is said, without the marks.
pub fn words_of(reply: &str) -> Cow<'_, str> {
    match Thought::of(reply) {
        None => reply.into(),
        Some(Thought { text: "", answer, .. }) => answer.into(),
        Some(Thought { text, answer, .. }) => format!("{text}\n\n{answer}").into(),
    }
}

/// Where the answer begins behind the last thought of a text, as templates look for it; `None` where none ends there.
pub(super) fn end_of_last(text: &str) -> Option<usize> {
    MARKS.iter().filter_map(|marks| Some(text.rfind(marks.close)? + marks.close.len())).max()
}

/// A former reply as it goes into a prompt: a thought that was cut has an end, so that what comes after it is none.
pub(super) fn closed(reply: &str) -> Cow<'_, str> {
    match marks_of(reply) {
        Some((marks, rest)) if !rest.contains(marks.close) => {
            let line_end = if reply.ends_with('\n') { "" } else { "\n" };
            format!("{reply}{line_end}{}\n\n", marks.close).into()
        }
        _ => reply.into(),
    }
}

/// What a prompt opens a thought with at its end, with the blanks behind it.
pub fn opening(prompt: &str) -> Option<&str> {
    let end = prompt.trim_end();
    let marks = MARKS.iter().find(|marks| end.ends_with(marks.open))?;
    Some(&prompt[end.len() - marks.open.len()..])
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
    let kept = match (opening(own), marks_of(reply)) {
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
    let length = |marks: &Marks| {
        let before = prompt.trim_end().strip_suffix(marks.close)?.trim_end().strip_suffix(marks.open)?;
        Some(prompt.len() - before.len())
    };
    MARKS.iter().find_map(length).unwrap_or(0)
}

/// Lets pass what is said of a reply that comes in pieces, and keeps back what is thought.
#[derive(Debug, Default)]
pub struct ThoughtFilter {
    reply: String,
    /// Bytes of the answer that were let pass.
    passed: usize,
}

impl ThoughtFilter {
    /// Takes the next piece of the reply and returns what may be shown now. What the prompt has opened is the first.
    pub fn push(&mut self, piece: &str) -> &str {
        self.reply.push_str(piece);
        let start = self.reply.trim_start();
        let shown = match Thought::of(&self.reply) {
            Some(thought) => thought.answer,
            // It may still become a thought.
            None if MARKS.iter().any(|marks| marks.open.starts_with(start)) => "",
            None => &self.reply,
        };
        let from = self.passed;
        self.passed = shown.len();
        &shown[from..]
    }

    /// What is kept back at the end though it was no thought.
    pub fn rest(&self) -> &str {
        if self.passed == 0 && Thought::of(&self.reply).is_none() { &self.reply } else { "" }
    }

    /// The thought, if the reply began with one that is not empty.
    pub fn thought(&self) -> Option<Thought<'_>> {
        Thought::of(&self.reply).filter(|thought| !thought.text.is_empty())
    }

    /// Whether the reply is a thought up to here, and no answer.
    pub fn is_inside(&self) -> bool {
        Thought::of(&self.reply).is_some_and(|thought| !thought.is_over)
    }

    /// What was said, without the thought.
    pub fn answer(&self) -> &str {
        answer_of(&self.reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_stands_at_the_beginning_alone() {
        let thought = Thought::of("\n<think>\nHm, two words.\n</think>\n\nFour.").unwrap();
        assert_eq!((thought.text, thought.is_over, thought.answer), ("Hm, two words.", true, "Four."));
        assert_eq!(thought.summary(false), "thought for 3 words");
        let open = Thought::of("<think>\nHm").unwrap();
        assert_eq!((open.text, open.is_over, open.summary(true).as_str()), ("Hm", false, "thinking: 1 word"));
        assert_eq!(open.summary(false), "a thought of 1 word that did not end");
        for none in ["", "Four.", "I <think> so </think>", "<thin", "</think> Four."] {
            assert_eq!(Thought::of(none), None, "{none}");
        }
    }

    #[test]
    fn every_pair_of_marks_is_known() {
        for Marks { open, close } in &MARKS {
            let reply = format!("{open}Hm.{close}Four.");
            assert_eq!(Thought::of(&reply).map(|thought| (thought.text, thought.answer)), Some(("Hm.", "Four.")));
            assert_eq!((answer_of(&reply), &*words_of(&reply)), ("Four.", "Hm.\n\nFour."));
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
            ("<th", "<th"),
            ("", ""),
        ] {
            for size in 1..=reply.len().max(1) {
                let mut filter = ThoughtFilter::default();
                let characters: Vec<char> = reply.chars().collect();
                let pieces = characters.chunks(size).map(|piece| piece.iter().collect::<String>());
                let mut passed: String = pieces.map(|piece| filter.push(&piece).to_owned()).collect();
                passed.push_str(filter.rest());
                assert_eq!(passed, answer, "{reply:?} in pieces of {size}");
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
