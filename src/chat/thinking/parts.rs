//! A reply taken apart: what of it is thought, and what is said.

use std::borrow::Cow;

use crate::chat::code::fenced_ranges;

/// What begins a thought, and what ends it.
#[derive(Debug)]
pub(super) struct ThoughtTags {
    pub(super) open: &'static str,
    pub(super) close: &'static str,
}

/// The marks that models were taught.
pub(super) const THOUGHT_TAGS: [ThoughtTags; 11] = [
    // Qwen, DeepSeek and most others.
    ThoughtTags { open: "<think>", close: "</think>" },
    ThoughtTags { open: "<thinking>", close: "</thinking>" },
    // Magistral, Ministral.
    ThoughtTags { open: "[THINK]", close: "[/THINK]" },
    // EXAONE.
    ThoughtTags { open: "<thought>", close: "</thought>" },
    // Seed-OSS.
    ThoughtTags { open: "<seed:think>", close: "</seed:think>" },
    // Command A.
    ThoughtTags { open: "<|START_THINKING|>", close: "<|END_THINKING|>" },
    // Kimi.
    ThoughtTags { open: "◁think▷", close: "◁/think▷" },
    // Gemma 4.
    ThoughtTags { open: "<|channel>thought", close: "<channel|>" },
    // Apertus.
    ThoughtTags { open: "<|inner_prefix|>", close: "<|inner_suffix|>" },
    // OpenThinker.
    ThoughtTags { open: "<|begin_of_thought|>", close: "<|end_of_thought|>" },
    ThoughtTags { open: "<reasoning>", close: "</reasoning>" },
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
        let (tags, rest) = tags_of(reply)?;
        let mut parts = Self::default();
        parts.thought(rest, tags);
        Some(parts)
    }

    /// The parts of a reply whose thought has lost its beginning: the template had opened it, and who stored the reply did
    /// not know of that.
    pub(super) fn without_beginning(reply: &'a str) -> Option<Self> {
        THOUGHT_TAGS.iter().find_map(|tags| {
            reply.contains(tags.close).then_some(())?;
            let at = places_outside_code(reply, tags.close).next()?;
            let (before, after) = (&reply[..at], &reply[at + tags.close.len()..]);
            let stands_alone = after.is_empty() || after.starts_with(['\n', '\r']) || before.ends_with('\n');
            if !stands_alone || before.contains(tags.open) {
                return None;
            }
            let mut parts = Self { thoughts: vec![before], ..Self::default() };
            if let Some(next) = parts.say(after, tags) {
                parts.thought(next, tags);
            }
            Some(parts)
        })
    }

    /// What stands behind the mark that opens a thought.
    fn thought(&mut self, mut rest: &'a str, tags: &ThoughtTags) {
        loop {
            let Some((thought, after)) = rest.split_once(tags.close) else {
                self.thoughts.push(&rest[..rest.len() - begun(rest, &[tags.close])]);
                self.is_inside = true;
                return;
            };
            self.thoughts.push(thought);
            match self.say(after, tags) {
                Some(next) => rest = next,
                None => return,
            }
        }
    }

    /// What stands behind a thought; returns what stands behind the mark of the next one, if there is one.
    fn say(&mut self, text: &'a str, tags: &ThoughtTags) -> Option<&'a str> {
        let Some(at) = places_outside_code(text, tags.open).next() else {
            self.said.push(text);
            self.undecided = begun(text, &[tags.open]);
            return None;
        };
        let (before, behind) = (&text[..at], &text[at + tags.open.len()..]);
        // In the middle of a line it may be a word about thoughts: only its end shows that it is none.
        let begins_line = before.trim_end_matches([' ', '\t']).ends_with('\n') || before.trim().is_empty();
        if begins_line || behind.contains(tags.close) {
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
            let length = ENDS_OF_MESSAGE.iter().filter_map(|tag| text.find(tag)).min();
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
pub(super) fn tags_of(reply: &str) -> Option<(&'static ThoughtTags, &str)> {
    let start = reply.trim_start();
    THOUGHT_TAGS.iter().find_map(|tags| Some((tags, start.strip_prefix(tags.open)?)))
}

/// Whether a reply of which no more than `start` has come may still begin with a thought.
pub(super) fn may_begin(start: &str) -> bool {
    THOUGHT_TAGS.iter().map(|tags| tags.open).chain([CHANNEL]).any(|open| open.starts_with(start))
}

/// Bytes at the end of `text` that are the beginning of one of `tags`.
fn begun(text: &str, tags: &[&str]) -> usize {
    let of_one = |tag: &&str| {
        let ends = tag.char_indices().map(|(at, _)| at).skip(1);
        ends.filter(|&end| text.ends_with(&tag[..end])).max().unwrap_or(0)
    };
    tags.iter().map(of_one).max().unwrap_or(0)
}

/// Bytes at the end of `text` that are, or may become, the end of a thought: what follows says whether they are.
pub(super) fn undecided_end(text: &str) -> usize {
    let closes = THOUGHT_TAGS.map(|tags| tags.close);
    let whole = closes.iter().find(|close| text.ends_with(*close)).map_or(0, |close| close.len());
    whole.max(begun(text, &closes))
}

/// Where `tag` stands in a text, but in its code, where marks are only written about. What a line says so far decides of
/// the code within it, so that what was found outside of it stays so while the text grows.
fn places_outside_code<'a>(text: &'a str, tag: &'a str) -> impl Iterator<Item = usize> {
    let fences = if text.contains(tag) { fenced_ranges(text) } else { Vec::new() };
    let is_inline = |place: usize| {
        let line = text[..place].rfind('\n').map_or(0, |feed| feed + 1);
        text[line..place].matches('`').count() % 2 == 1
    };
    let is_code = move |place: usize| fences.iter().any(|fence| fence.contains(&place)) || is_inline(place);
    text.match_indices(tag).map(|(place, _)| place).filter(move |&place| !is_code(place))
}
