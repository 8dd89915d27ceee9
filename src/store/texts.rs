//! The texts of all chats, held so that each further letter of what is looked for costs little.

use aho_corasick::AhoCorasick;

use crate::chat::thinking::words_of;
use crate::chat::{MessageId, Role};
use crate::store::SessionRecord;

/// Characters that are shown before and after what was found.
const AROUND: usize = 40;

/// A message in which something was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchHit {
    /// The conversation.
    pub record: SessionRecord,
    /// Its number in the chat.
    pub message: MessageId,
    /// Who said it.
    pub role: Role,
    /// The words around what was found, on one line.
    pub context: String,
}

/// The text of a message.
#[derive(Debug)]
pub(super) struct Text {
    /// The place of its chat among [`Texts::chats`].
    pub(super) chat: usize,
    message: MessageId,
    role: Role,
    /// As it is shown, on one line.
    content: String,
    /// In lower case; `None` for ASCII, which is compared as it is.
    lower: Option<String>,
}

impl Text {
    pub(super) fn new(chat: usize, message: MessageId, role: Role, content: &str) -> Self {
        // The marks of a thought are no words of anybody's.
        let content = if role == Role::Assistant { words_of(content) } else { content.into() };
        let content: String = content.chars().map(shown).collect();
        let lower = (!content.is_ascii()).then(|| lower(&content));
        Self { chat, message, role, content, lower }
    }
}

/// The texts of all chats.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// The one that was changed last first.
    chats: Vec<SessionRecord>,
    /// In the order of their chats.
    texts: Vec<Text>,
    /// What was looked for last, and the places of the texts that have it.
    former: Option<(String, Vec<usize>)>,
}

impl Texts {
    /// Of chats in the order of their last change, with `texts` in the order of these.
    pub(super) fn new(chats: Vec<SessionRecord>, texts: Vec<Text>) -> Self {
        Self { chats, texts, former: None }
    }

    /// The messages that have `text` in them, in any case of letters. What has more letters than the last time is looked
    /// for only where that was found.
    pub(super) fn find(&mut self, text: &str) -> Vec<SearchHit> {
        let wanted = lower(text);
        if wanted.trim().is_empty() {
            self.former = None;
            return Vec::new();
        }
        let Some(wanted) = Wanted::new(wanted) else { return Vec::new() };
        let has_it = |&place: &usize| wanted.place_in(&self.texts[place]).is_some();
        let found: Vec<usize> = match &self.former {
            Some((former, places)) if wanted.lower.contains(former) => places.iter().copied().filter(has_it).collect(),
            _ => (0..self.texts.len()).filter(has_it).collect(),
        };
        let hit = |&place: &usize| {
            let text = &self.texts[place];
            let context = wanted.context_in(text)?;
            let record = self.chats.get(text.chat)?.clone();
            Some(SearchHit { record, message: text.message, role: text.role, context })
        };
        let hits = found.iter().filter_map(hit).collect();
        self.former = Some((wanted.lower, found));
        hits
    }

    /// How many texts the next letter is looked for in.
    #[cfg(test)]
    fn left(&self) -> usize {
        self.former.as_ref().map_or(self.texts.len(), |(_, places)| places.len())
    }
}

/// As it is looked for: in lower case, on one line.
fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().map(shown).map(|c| c.to_ascii_lowercase()).collect();
    }
    text.chars().map(shown).flat_map(char::to_lowercase).collect()
}

fn shown(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// What is looked for.
struct Wanted {
    lower: String,
    /// Finds it in ASCII, in any case of letters.
    in_ascii: AhoCorasick,
}

impl Wanted {
    /// `None` where no automaton of it can be built: it is longer than any message.
    fn new(lower: String) -> Option<Self> {
        let in_ascii = AhoCorasick::builder().ascii_case_insensitive(true).build([&lower]).ok()?;
        Some(Self { lower, in_ascii })
    }

    /// Where it stands first in the text as that is compared.
    fn place_in(&self, text: &Text) -> Option<usize> {
        match &text.lower {
            Some(lower) => lower.find(&self.lower),
            None => self.in_ascii.find(&text.content).map(|found| found.start()),
        }
    }

    /// What stands around that place.
    fn context_in(&self, text: &Text) -> Option<String> {
        let (found, content) = (self.place_in(text)?, text.content.as_str());
        // A letter may have several in lower case: each is found at the place of the whole.
        let mut passed = 0;
        let passes = |c: char| c.to_lowercase().map(char::len_utf8).sum::<usize>();
        let (at, _) = content.char_indices().find(|&(_, c)| {
            passed += passes(c);
            passed > found
        })?;
        let start = content[..at].char_indices().rev().nth(AROUND - 1).map_or(0, |(start, _)| start);
        let length = self.lower.chars().count() + AROUND;
        let end = content[at..].char_indices().nth(length).map_or(content.len(), |(end, _)| at + end);
        let words = content[start..end].split_whitespace().collect::<Vec<_>>().join(" ");
        let [before, after] = [start > 0, end < content.len()].map(|more| if more { "…" } else { "" });
        Some(format!("{before}{words}{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SessionId;

    fn texts(contents: &[&str]) -> Texts {
        let record = SessionRecord { id: SessionId(1), ..SessionRecord::default() };
        let text = |(at, content): (usize, &&str)| Text::new(0, MessageId(at as u32), Role::User, content);
        Texts::new(vec![record], contents.iter().enumerate().map(text).collect())
    }

    #[test]
    fn a_further_letter_is_looked_for_only_where_the_others_were_found() {
        let mut texts = texts(&["The Seine", "A sea", "Rhine", "İSTANBUL and the sEiNe"]);
        let found =
            |texts: &mut Texts, text: &str| texts.find(text).iter().map(|hit| hit.message.0).collect::<Vec<_>>();
        assert_eq!(found(&mut texts, "se"), [0, 1, 3]);
        assert_eq!(texts.left(), 3);
        assert_eq!(found(&mut texts, "sein"), [0, 3]);
        assert_eq!(texts.left(), 2);
        assert_eq!(found(&mut texts, "rh"), [2], "another text is looked for everywhere");
        assert_eq!(found(&mut texts, ""), [0_u32; 0]);
        assert_eq!(texts.left(), 4);
        assert_eq!(texts.find("stanbul and")[0].context, "İSTANBUL and the sEiNe");
    }

    #[test]
    fn the_marks_of_a_thought_are_no_words() {
        let text = Text::new(0, MessageId(0), Role::Assistant, "<think>\nA river.\n</think>\n\nThe Seine.");
        let texts = texts(&["x"]);
        let mut texts = Texts::new(texts.chats, vec![text]);
        assert_eq!(texts.find("seine")[0].context, "A river. The Seine.");
        assert!(texts.find("think").is_empty());
    }

    #[test]
    fn a_message_in_ascii_is_held_once_and_found_in_any_case() {
        let mut texts = texts(&["On the\nSEINE.", "\u{212a}elvin, 3\u{a0}K"]);
        assert_eq!(texts.texts.iter().map(|text| text.lower.is_some()).collect::<Vec<_>>(), [false, true]);
        assert_eq!(texts.find("tHe seIne")[0].context, "On the SEINE.");
        assert_eq!(texts.find("K").len(), 1, "the sign of the unit is a k in lower case");
        assert_eq!(texts.find("é").len(), 0);
    }

    #[test]
    fn what_stands_around_is_cut_at_whole_characters() {
        let long = format!("{}Seine{}", "ä ".repeat(60), "\nö".repeat(60));
        let context = texts(&[&long]).find("seine")[0].context.clone();
        assert_eq!(context, format!("…{}Seine{}…", "ä ".repeat(20), " ö".repeat(20)));
    }
}
