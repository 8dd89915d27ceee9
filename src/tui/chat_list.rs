//! The list of saved chats over the screen: what is typed is looked for in all of them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::line_input::LineInput;
use super::text::{fit, one_line, width_of};
use super::theme::Theme;
use super::window::{ChatRequest, Choice, Outcome, frame, row_after};
use crate::app::keymap::{Context, KeyAction, KeyPress, Keymap};
use crate::app::{SavedChats, SessionId};
use crate::chat::MessageId;

/// A row: a chat, or a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ChatRow {
    session: SessionId,
    message: Option<MessageId>,
    label: String,
    detail: String,
}

/// The saved chats over the screen: found, opened, renamed, deleted.
#[derive(Debug)]
pub(super) struct ChatList {
    rows: Vec<ChatRow>,
    /// [`SavedChats::changes`] of what the rows show.
    shown: u64,
    query: LineInput,
    selected: usize,
    /// The chat that is given a title, and the title so far.
    renaming: Option<(SessionId, LineInput)>,
}

impl ChatList {
    pub(super) fn new(saved: &SavedChats) -> Self {
        let query = LineInput::new(&saved.query);
        let mut list = Self { rows: Vec::new(), shown: saved.changes, query, selected: 0, renaming: None };
        list.fill(saved);
        list
    }

    /// The chats may have changed, or what was found in them.
    pub(super) fn update(&mut self, saved: &SavedChats) {
        if self.shown != saved.changes {
            self.fill(saved);
        }
    }

    fn fill(&mut self, saved: &SavedChats) {
        self.shown = saved.changes;
        self.rows.clear();
        for (chat, hits) in saved.found() {
            let record = &chat.record;
            let title = if record.title.is_empty() { "(without a title)" } else { &record.title };
            let count = if chat.messages == 1 { "1 message".to_owned() } else { format!("{} messages", chat.messages) };
            self.rows.push(ChatRow {
                session: record.id,
                message: None,
                label: one_line(title),
                detail: format!("{count} · {}", ago(saved.at, chat.updated)),
            });
            self.rows.extend(hits.iter().map(|hit| ChatRow {
                session: record.id,
                message: Some(hit.message),
                label: format!("  {}: {}", hit.role.as_str(), one_line(&hit.context)),
                detail: String::new(),
            }));
        }
        self.selected = self.selected.min(self.rows.len().saturating_sub(1));
    }

    /// Returns what is to be searched for then.
    pub(super) fn paste(&mut self, text: &str) -> Option<String> {
        if let Some((_, title)) = &mut self.renaming {
            title.insert(text);
            return None;
        }
        self.query.insert(text);
        self.selected = 0;
        Some(self.query.text().to_owned())
    }

    pub(super) fn on_key(&mut self, keymap: &Keymap, press: KeyPress) -> Outcome {
        if self.renaming.is_some() {
            return self.on_title_key(keymap, press);
        }
        let row = self.rows.get(self.selected);
        match keymap.action(Context::Chats, press) {
            Some(KeyAction::Stop | KeyAction::Interrupt) => return Outcome::Close,
            Some(KeyAction::RestoreChat) => return Outcome::Chats(ChatRequest::Restore),
            Some(KeyAction::RenameChat) => {
                let chosen = row.map(|row| row.session);
                let title = self.rows.iter().find(|row| Some(row.session) == chosen && row.message.is_none());
                self.renaming = title.map(|row| (row.session, LineInput::new(&row.label)));
            }
            Some(KeyAction::DeleteChat) => {
                return row.map_or(Outcome::Taken, |row| Outcome::Chats(ChatRequest::Delete(row.session)));
            }
            Some(KeyAction::Choose) => {
                let chosen = row.map(|row| match row.message {
                    Some(message) => Choice::Found(row.session, message),
                    None => Choice::Session(row.session),
                });
                return chosen.map_or(Outcome::Close, Outcome::Chosen);
            }
            Some(action) => match row_after(action, self.selected, self.rows.len().saturating_sub(1)) {
                Some(row) => self.selected = row,
                None => return Outcome::Passed,
            },
            None if self.query.on_key(keymap, press) => {
                self.selected = 0;
                return Outcome::Chats(ChatRequest::Search(self.query.text().to_owned()));
            }
            None => {}
        }
        Outcome::Taken
    }

    fn on_title_key(&mut self, keymap: &Keymap, press: KeyPress) -> Outcome {
        let Some((session, title)) = &mut self.renaming else { return Outcome::Passed };
        match keymap.action(Context::Chats, press) {
            Some(KeyAction::Stop | KeyAction::Interrupt) => self.renaming = None,
            Some(KeyAction::Choose) => {
                let request = ChatRequest::Rename(*session, title.text().to_owned());
                self.renaming = None;
                return Outcome::Chats(request);
            }
            _ => _ = title.on_key(keymap, press),
        }
        Outcome::Taken
    }

    pub(super) fn draw(&self, keymap: &Keymap, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let hints = match self.renaming {
            Some(_) => "<choose> gives it · <stop> leaves it · <delete-to-start> clears it",
            None => {
                "<choose> opens · <stop> closes · <delete-chat> deletes · <rename-chat> title · <restore-chat> brings back · type to search"
            }
        };
        let hints = keymap.hints(Context::Chats, hints);
        let inner = frame(area, " Saved chats ", &format!(" {hints} "), buffer, theme);
        if inner.height == 0 {
            return;
        }
        let width = usize::from(inner.width);
        let line = match &self.renaming {
            Some((_, title)) => format!("title: {}", title.shown()),
            None => format!("> {}", self.query.shown()),
        };
        buffer.set_stringn(inner.x, inner.y, line, width, theme.text());
        let shown = usize::from(inner.height) - 1;
        if self.rows.is_empty() && shown > 0 {
            buffer.set_stringn(inner.x, inner.y + 1, "  no chat has that in it", width, theme.faint());
        }
        let first = (self.selected + 1).saturating_sub(shown);
        for (y, (at, row)) in (inner.y + 1..).zip(self.rows.iter().enumerate().skip(first).take(shown)) {
            let is_chosen = at == self.selected;
            let mark = if is_chosen { "▸ " } else { "  " };
            let room = width.saturating_sub(if row.detail.is_empty() { 0 } else { width_of(&row.detail) + 2 });
            let style = if is_chosen { theme.chosen() } else { theme.text() };
            let label = format!("{mark}{}", row.label);
            let (x, _) = buffer.set_stringn(inner.x, y, fit(&label, room), room, style);
            if row.message.is_some() && !is_chosen {
                self.mark_found(Rect { x: inner.x, y, width: x - inner.x, height: 1 }, buffer, theme);
            }
            if room < width {
                let x = inner.x + (width - width_of(&row.detail)) as u16;
                buffer.set_string(x, y, &row.detail, theme.faint());
            }
        }
    }

    /// Marks what was found in a row.
    fn mark_found(&self, row: Rect, buffer: &mut Buffer, theme: Theme) {
        let wanted: Vec<String> = self.query.text().trim().chars().map(|c| c.to_lowercase().collect()).collect();
        let cells: Vec<String> = row.positions().map(|place| buffer[place].symbol().to_lowercase()).collect();
        let Some(at) = cells.windows(wanted.len().max(1)).position(|window| window == wanted) else { return };
        let found = Rect { x: row.x + at as u16, width: wanted.len() as u16, ..row };
        buffer.set_style(found, theme.selection());
    }
}

/// How long ago something was, in words.
fn ago(now: i64, then: i64) -> String {
    let counted = |n: i64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match (now - then).max(0) {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => counted(seconds / 3600, "hour"),
        seconds @ 86_400..31_536_000 => counted(seconds / 86_400, "day"),
        seconds => counted(seconds / 31_536_000, "year"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_words() {
        let texts = [5, 61, 3600, 2 * 86_400, 400 * 86_400].map(|seconds| ago(1_000_000_000, 1_000_000_000 - seconds));
        assert_eq!(texts, ["just now", "1 min ago", "1 hour ago", "2 days ago", "1 year ago"]);
        assert_eq!(ago(5, 9), "just now", "a clock that was set back");
    }
}
