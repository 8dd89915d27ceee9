//! A reply taken apart: what of it is thought, and what is said.

use std::borrow::Cow;

use crate::chat::code::fenced_ranges;

/// What begins a thought, and what ends it.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
}

/// The marks that models were taught.
pub(super) const MARKS: [Marks; 11] = [
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
    // Gemma 4.
    Marks { open: "<|channel>thought", close: "<channel|>" },
    // Apertus.
    Marks { open: "<|inner_prefix|>", close: "<|inner_suffix|>" },
    // OpenThinker.
    Marks { open: "<|begin_of_thought|>", close: "<|end_of_thought|>" },
    Marks { open: "<reasoning>", close: "</reasoning>" },
];

/// The marks of OpenAI's Harmony format (gpt-oss): a reply is several messages, each on a channel of its own.
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// What may stand before a channel, and what ends the text on it.
const BEFORE_CHANNEL: &str = "<|start|>";
const ENDS_OF_MESSAGE: [&str; 5] = ["<|end|>", "<|return|>", "<|call|>", BEFORE_CHANNEL, CHANNEL];

/// A reply in its parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) thoughts: Vec<&'a str>,
    pub(super) said: Vec<&'a str>,
    /// Whether the last thought has no end yet.
    pub(super) is_inside: bool,
    /// Bytes at the end of what is said that may still turn out to begin a thought.
    pub(super) undecided: usize,
}

impl<'a> Parts<'a> {
    /// The parts of a reply that begins with a thought.
    pub(super) fn of(reply: &'a str) -> Option<Self> {
        if reply.trim_start().starts_with(CHANNEL) {
            return Some(Self::on_channels(reply.trim_start()));
        }
        let (marks, rest) = marks_of(reply)?;
        let mut parts = Self::default();
        parts.thought(rest, marks);
        Some(parts)
    }

    /// The parts of a reply whose thought has lost its beginning: the template had opened it, and who stored the reply did
    /// not know of that.
    pub(super) fn without_beginning(reply: &'a str) -> Option<Self> {
        MARKS.iter().find_map(|marks| {
            reply.contains(marks.close).then_some(())?;
            let at = places_outside_code(reply, marks.close).next()?;
            let (before, after) = (&reply[..at], &reply[at + marks.close.len()..]);
            let stands_alone = after.is_empty() || after.starts_with(['\n', '\r']) || before.ends_with('\n');
            if !stands_alone || before.contains(marks.open) {
                return None;
            }
            let mut parts = Self { thoughts: vec![before], ..Self::default() };
            if let Some(next) = parts.say(after, marks) {
                parts.thought(next, marks);
            }
            Some(parts)
        })
    }

    /// What stands behind the mark that opens a thought.
    fn thought(&mut self, mut rest: &'a str, marks: &Marks) {
        loop {
            let Some((thought, after)) = rest.split_once(marks.close) else {
                self.thoughts.push(&rest[..rest.len() - begun(rest, &[marks.close])]);
                self.is_inside = true;
                return;
            };
            self.thoughts.push(thought);
            match self.say(after, marks) {
                Some(next) => rest = next,
                None => return,
            }
        }
    }

    /// What stands behind a thought; returns what stands behind the mark of the next one, if there is one.
    fn say(&mut self, text: &'a str, marks: &Marks) -> Option<&'a str> {
        let Some(at) = places_outside_code(text, marks.open).next() else {
            self.said.push(text);
            self.undecided = begun(text, &[marks.open]);
            return None;
        };
        let (before, behind) = (&text[..at], &text[at + marks.open.len()..]);
        // In the middle of a line it may be a word about thoughts: only its end shows that it is none.
        let begins_line = before.trim_end_matches([' ', '\t']).ends_with('\n') || before.trim().is_empty();
        if begins_line || behind.contains(marks.close) {
            self.said.push(before);
            return Some(behind);
        }
        self.said.push(text);
        self.undecided = text.len() - at;
        None
    }

    /// The messages of a reply in the Harmony format: what is analysed, and what is said about calls, is thought.
    fn on_channels(reply: &'a str) -> Self {
        let (mut parts, mut rest) = (Self::default(), reply);
        while let Some((_, from_channel)) = rest.split_once(CHANNEL) {
            let Some((header, text)) = from_channel.split_once(MESSAGE) else {
                parts.is_inside = parts.said.is_empty();
                break;
            };
            let length = ENDS_OF_MESSAGE.iter().filter_map(|mark| text.find(mark)).min();
            let body = &text[..length.unwrap_or(text.len())];
            let undecided = if length.is_none() { begun(body, &ENDS_OF_MESSAGE) } else { 0 };
            let name = header.split_whitespace().next().unwrap_or_default();
            parts.is_inside = false;
            if name == "final" || (name == "commentary" && !header.contains("to=")) {
                parts.said.push(&body[..body.len() - undecided]);
            } else {
                parts.thoughts.push(&body[..body.len() - undecided]);
                parts.is_inside = length.is_none();
            }
            rest = &text[body.len()..];
        }
        parts
    }

    /// What is thought, without the blanks around it.
    pub(super) fn thought_text(&self) -> Cow<'a, str> {
        let mut texts = self.thoughts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        let first = texts.next().unwrap_or_default();
        texts.fold(first.into(), |all, text| format!("{all}\n\n{text}").into())
    }

    /// What is said, one part behind the other.
    pub(super) fn answer(&self) -> Cow<'a, str> {
        joined(self.said.iter().copied())
    }

    /// The same without what is undecided: it only grows while the reply does.
    pub(super) fn certain_answer(&self) -> Cow<'a, str> {
        let last = self.said.len().saturating_sub(1);
        joined(self.said.iter().enumerate().map(|(at, &part)| match at == last {
            true => &part[..part.len() - self.undecided],
            false => part,
        }))
    }
}

/// Parts of an answer, between which something was thought.
fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> Cow<'a, str> {
    parts.fold("".into(), |all: Cow<'a, str>, part| match all.chars().next_back() {
        None => part.trim_start().into(),
        _ if part.trim().is_empty() => all,
        Some(last) if last.is_whitespace() => format!("{all}{}", part.trim_start()).into(),
        Some(_) if part.starts_with(char::is_whitespace) => format!("{all}{part}").into(),
        Some(_) => format!("{all}\n\n{part}").into(),
    })
}

/// The marks of the thought that `reply` begins with, and what follows the first of them.
pub(super) fn marks_of(reply: &str) -> Option<(&'static Marks, &str)> {
    let start = reply.trim_start();
    MARKS.iter().find_map(|marks| Some((marks, start.strip_prefix(marks.open)?)))
}

/// Whether a reply of which no more than `start` has come may still begin with a thought.
pub(super) fn may_begin(start: &str) -> bool {
    MARKS.iter().map(|marks| marks.open).chain([CHANNEL]).any(|open| open.starts_with(start))
}

/// Bytes at the end of `text` that are the beginning of one of `marks`.
fn begun(text: &str, marks: &[&str]) -> usize {
    let of_one = |mark: &&str| {
        let ends = mark.char_indices().map(|(at, _)| at).skip(1);
        ends.filter(|&end| text.ends_with(&mark[..end])).max().unwrap_or(0)
    };
    marks.iter().map(of_one).max().unwrap_or(0)
}

/// Where `mark` stands in a text, but in its code, where marks are only written about. What a line says so far decides of
/// the code within it, so that what was found outside of it stays so while the text grows.
fn places_outside_code<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = usize> {
    let fences = if text.contains(mark) { fenced_ranges(text) } else { Vec::new() };
    let is_inline = |place: usize| {
        let line = text[..place].rfind('\n').map_or(0, |feed| feed + 1);
        text[line..place].matches('`').count() % 2 == 1
    };
    let is_code = move |place: usize| fences.iter().any(|fence| fence.contains(&place)) || is_inline(place);
    text.match_indices(mark).map(|(place, _)| place).filter(move |&place| !is_code(place))
}
