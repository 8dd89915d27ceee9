//! The search in all chats, as one types: every message is read once, and again only where the database has changed.

use std::path::Path;

use super::StoreError;
use super::sessions::{Database, SearchHit};
use crate::chat::thinking::words_of;
use crate::chat::{MessageId, Role};
use crate::store::SessionRecord;

/// Characters that are shown before and after what was found.
const AROUND: usize = 40;

/// The text of a message.
#[derive(Debug)]
pub(super) struct Text {
    /// The place of its chat among [`Texts::chats`].
    pub(super) chat: usize,
    message: MessageId,
    role: Role,
    content: String,
    /// In lower case.
    lower: String,
}

impl Text {
    pub(super) fn new(chat: usize, message: MessageId, role: Role, content: &str) -> Self {
        // The marks of a thought are no words of anybody's.
        let content = if role == Role::Assistant { words_of(content).into_owned() } else { content.to_owned() };
        let lower = lower(&content);
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
        let has_it = |&place: &usize| self.texts[place].lower.contains(&wanted);
        let found: Vec<usize> = match &self.former {
            Some((former, places)) if wanted.contains(former) => places.iter().copied().filter(has_it).collect(),
            _ => (0..self.texts.len()).filter(has_it).collect(),
        };
        let hit = |&place: &usize| {
            let text = &self.texts[place];
            let context = context_of(&text.content, &text.lower, &wanted)?;
            let record = self.chats.get(text.chat)?.clone();
            Some(SearchHit { record, message: text.message, role: text.role, context })
        };
        let hits = found.iter().filter_map(hit).collect();
        self.former = Some((wanted, found));
        hits
    }

    /// How many texts the next letter is looked for in.
    #[cfg(test)]
    fn left(&self) -> usize {
        self.former.as_ref().map_or(self.texts.len(), |(_, places)| places.len())
    }
}

/// A search that goes on from letter to letter.
#[derive(Debug)]
pub struct Search {
    database: Database,
    /// Of the database when it was read.
    version: Option<i64>,
    texts: Texts,
}

impl Search {
    /// Opens the database at `path`, where there is one; nothing is read yet.
    ///
    /// # Errors
    /// As [`Database::open_to_read`].
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let database = Database::open_to_read(path)?;
        Ok(database.map(|database| Self { database, version: None, texts: Texts::default() }))
    }

    /// Whether it can be kept for the next letter: it keeps nobody from writing meanwhile.
    pub fn can_stay(&self) -> bool {
        self.database.is_shared()
    }

    /// The messages that have `text` in them, in any case of letters; the chats that were changed last first.
    ///
    /// # Errors
    /// As the database's.
    pub fn find(&mut self, text: &str) -> Result<Vec<SearchHit>, StoreError> {
        let version = self.database.version()?;
        if self.version != Some(version) {
            self.texts = self.database.texts()?;
            self.version = Some(version);
        }
        Ok(self.texts.find(text))
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

/// What stands around the first place where `content` has `wanted`, which is in lower case as `lower` is.
fn context_of(content: &str, lower: &str, wanted: &str) -> Option<String> {
    let found = lower.find(wanted)?;
    // A letter may have several in lower case: each is found at the place of the whole.
    let mut passed = 0;
    let passes = |c: char| shown(c).to_lowercase().map(char::len_utf8).sum::<usize>();
    let (at, _) = content.char_indices().find(|&(_, c)| {
        passed += passes(c);
        passed > found
    })?;
    let start = content[..at].char_indices().rev().nth(AROUND - 1).map_or(0, |(start, _)| start);
    let length = wanted.chars().count() + AROUND;
    let end = content[at..].char_indices().nth(length).map_or(content.len(), |(end, _)| at + end);
    let words: String = content[start..end].chars().map(shown).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let [before, after] = [start > 0, end < content.len()].map(|more| if more { "…" } else { "" });
    Some(format!("{before}{words}{after}"))
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
    fn what_stands_around_is_cut_at_whole_characters() {
        let long = format!("{}Seine{}", "ä ".repeat(60), "\nö".repeat(60));
        let context = texts(&[&long]).find("seine")[0].context.clone();
        assert_eq!(context, format!("…{}Seine{}…", "ä ".repeat(20), " ö".repeat(20)));
    }
}
