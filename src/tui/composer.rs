//! The line, or lines, that the person writes.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use unicode_segmentation::UnicodeSegmentation;

use super::text::Wrapped;
use super::theme::Theme;

/// What undo keeps, in bytes, at most: pasted books should not be kept a hundred times.
const UNDO_BYTES: usize = 4 << 20;

/// A state that undo goes back to.
#[derive(Debug, Clone)]
struct Snapshot {
    text: String,
    cursor: usize,
}

/// What the last edit was: edits of one kind that follow each other are undone together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    None,
    Type,
    Delete,
    Whole,
}

/// A text with a cursor, undo, and a place in the prompt history.
#[derive(Debug)]
pub(super) struct Composer {
    text: String,
    cursor: usize,
    /// The column that Up and Down keep to.
    goal: Option<usize>,
    last_edit: Edit,
    undo: Vec<Snapshot>,
    redo: Vec<Snapshot>,
    /// The entry of the history that is shown, and what was written before.
    browsing: Option<(usize, String)>,
    wrapped: Wrapped,
    /// Whether `wrapped` is out of date.
    stale: bool,
    top: usize,
}

impl Default for Composer {
    fn default() -> Self {
        Self {
            text: String::new(),
            cursor: 0,
            goal: None,
            last_edit: Edit::None,
            undo: Vec::new(),
            redo: Vec::new(),
            browsing: None,
            wrapped: Wrapped::new("", usize::from(u16::MAX)),
            stale: true,
            top: 0,
        }
    }
}

/// Where a motion or a deletion goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
}

impl Composer {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Inserts what was typed or pasted at the cursor.
    pub(super) fn insert(&mut self, text: &str) {
        let edit = if text.graphemes(true).count() == 1 && text != "\n" { Edit::Type } else { Edit::Whole };
        self.before_edit(edit);
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        self.changed();
    }

    /// Puts a text in place of all; undo brings the former one back.
    pub(super) fn set(&mut self, text: &str) {
        self.before_edit(Edit::Whole);
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
        self.changed();
    }

    /// Takes the text to send it.
    pub(super) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        // The width stays: keys can come before the next frame.
        *self = Self { wrapped: Wrapped::new("", self.wrapped.width()), ..Self::default() };
        text
    }

    /// Deletes from the cursor to where `motion` goes.
    pub(super) fn delete(&mut self, motion: Motion) {
        let to = self.target(motion);
        // At the end of a line, deleting to it joins it with the next, as in every line editor.
        let to = if to == self.cursor && motion == Motion::LineEnd { self.target(Motion::Right) } else { to };
        if to == self.cursor {
            return;
        }
        self.before_edit(Edit::Delete);
        let (start, end) = (to.min(self.cursor), to.max(self.cursor));
        self.text.replace_range(start..end, "");
        self.cursor = start;
        self.changed();
    }

    pub(super) fn go(&mut self, motion: Motion) {
        self.cursor = self.target(motion);
        self.goal = None;
        self.last_edit = Edit::None;
    }

    fn target(&self, motion: Motion) -> usize {
        let (before, after) = self.text.split_at(self.cursor);
        match motion {
            Motion::Left => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Motion::Right => self.cursor + after.graphemes(true).next().map_or(0, str::len),
            Motion::WordLeft => before.unicode_word_indices().next_back().map_or(0, |(at, _)| at),
            Motion::WordRight => {
                after.unicode_word_indices().next().map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
            }
            Motion::LineStart => before.rfind('\n').map_or(0, |at| at + 1),
            Motion::LineEnd => after.find('\n').map_or(self.text.len(), |at| self.cursor + at),
        }
    }

    /// A row up; `false` where the cursor is on the first.
    pub(super) fn up(&mut self) -> bool {
        self.vertical(|row, _| row.checked_sub(1))
    }

    /// A row down; `false` where the cursor is on the last.
    pub(super) fn down(&mut self) -> bool {
        self.vertical(|row, rows| (row + 1 < rows).then_some(row + 1))
    }

    fn vertical(&mut self, next: impl FnOnce(usize, usize) -> Option<usize>) -> bool {
        self.wrap(self.wrapped.width());
        let (row, column) = self.wrapped.position(&self.text, self.cursor);
        let Some(row) = next(row, self.wrapped.rows().len()) else { return false };
        let goal = *self.goal.get_or_insert(column);
        self.cursor = self.wrapped.offset_at(&self.text, row, goal);
        self.last_edit = Edit::None;
        true
    }

    /// The prompt before the one that is shown.
    pub(super) fn history_back(&mut self, history: &[String]) {
        let at = self.browsing.as_ref().map_or(history.len(), |(at, _)| *at);
        if let Some(entry) = at.checked_sub(1).and_then(|at| history.get(at)) {
            let written = self.browsing.take().map_or_else(|| self.text.clone(), |(_, written)| written);
            self.show(entry.clone());
            self.browsing = Some((at - 1, written));
        }
    }

    /// The prompt after it; after the last comes what was written before.
    pub(super) fn history_forward(&mut self, history: &[String]) {
        let Some((at, written)) = self.browsing.take() else { return };
        match history.get(at + 1) {
            Some(entry) => {
                self.show(entry.clone());
                self.browsing = Some((at + 1, written));
            }
            None => self.show(written),
        }
    }

    fn show(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
        self.goal = None;
        self.last_edit = Edit::None;
        self.stale = true;
    }

    pub(super) fn undo(&mut self) {
        if let Some(former) = self.undo.pop() {
            self.redo.push(self.snapshot());
            self.restore(former);
        }
    }

    pub(super) fn redo(&mut self) {
        if let Some(later) = self.redo.pop() {
            self.undo.push(self.snapshot());
            self.restore(later);
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { text: self.text.clone(), cursor: self.cursor }
    }

    fn restore(&mut self, snapshot: Snapshot) {
        self.show(snapshot.text);
        self.cursor = snapshot.cursor;
        self.browsing = None;
    }

    fn before_edit(&mut self, edit: Edit) {
        self.redo.clear();
        if edit == Edit::Whole || edit != self.last_edit {
            self.undo.push(self.snapshot());
            let mut kept = 0;
            let enough = self.undo.iter().rev().position(|snapshot| {
                kept += snapshot.text.len();
                kept > UNDO_BYTES
            });
            if let Some(newest) = enough {
                // The newest is kept whatever its size: clearing must be undone.
                self.undo.drain(..self.undo.len() - newest.max(1));
            }
        }
        self.last_edit = edit;
    }

    fn changed(&mut self) {
        self.goal = None;
        self.browsing = None;
        self.stale = true;
    }

    fn wrap(&mut self, width: usize) {
        if self.stale || self.wrapped.width() != width {
            self.wrapped = Wrapped::new(&self.text, width);
            self.stale = false;
        }
    }

    /// The rows it wants at a width.
    pub(super) fn height(&mut self, width: usize) -> usize {
        self.wrap(width);
        self.wrapped.rows().len()
    }

    /// Draws it, and says where the cursor is.
    pub(super) fn draw(
        &mut self,
        area: Rect,
        buffer: &mut Buffer,
        theme: Theme,
        placeholder: &str,
    ) -> Option<Position> {
        if area.width == 0 || area.height == 0 {
            return None;
        }
        self.wrap(usize::from(area.width));
        let (row, column) = self.wrapped.position(&self.text, self.cursor);
        let height = usize::from(area.height);
        self.top = self.top.min(row).max((row + 1).saturating_sub(height));
        self.top = self.top.min(self.wrapped.rows().len().saturating_sub(height));
        if self.text.is_empty() {
            buffer.set_stringn(area.x, area.y, placeholder, usize::from(area.width), theme.faint());
        }
        for (y, shown) in (area.y..area.bottom()).zip(&self.wrapped.rows()[self.top..]) {
            buffer.set_stringn(area.x, y, &shown.text, usize::from(area.width), theme.text());
        }
        Some(Position::new(area.x + column as u16, area.y + (row - self.top) as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Composer {
        let mut composer = Composer::default();
        for grapheme in text.graphemes(true) {
            composer.insert(grapheme);
        }
        composer
    }

    #[test]
    fn a_grapheme_is_one_step_and_one_deletion() {
        let mut composer = written("ae\u{301}👩‍👩‍👧");
        composer.go(Motion::Left);
        composer.delete(Motion::Left);
        assert_eq!(composer.text(), "a👩‍👩‍👧");
        composer.delete(Motion::Right);
        assert_eq!(composer.text(), "a");
    }

    #[test]
    fn words_and_lines_are_moved_over_and_deleted() {
        let mut composer = written("one two, three\nfour");
        composer.delete(Motion::WordLeft);
        assert_eq!(composer.text(), "one two, three\n");
        composer.delete(Motion::Left);
        composer.go(Motion::WordLeft);
        composer.delete(Motion::LineStart);
        assert_eq!(composer.text(), "three");
        composer.go(Motion::WordRight);
        assert_eq!(composer.cursor, 5);
        let mut composer = written("ab\ncd");
        composer.go(Motion::LineStart);
        composer.go(Motion::Left);
        composer.delete(Motion::LineEnd);
        assert_eq!(composer.text(), "abcd", "at its end the line is joined with the next");
    }

    #[test]
    fn undo_brings_back_what_was_cleared_and_typing_in_one_piece() {
        let mut composer = written("hello");
        composer.set("");
        composer.undo();
        assert_eq!(composer.text(), "hello");
        composer.undo();
        assert_eq!(composer.text(), "");
        composer.redo();
        composer.redo();
        assert_eq!(composer.text(), "");
        composer.undo();
        assert_eq!(composer.text(), "hello");
        assert_eq!(composer.cursor, 5);
    }

    #[test]
    fn a_huge_paste_can_still_be_cleared_and_undone() {
        let mut composer = Composer::default();
        let paste = "x".repeat(UNDO_BYTES + 1);
        composer.insert(&paste);
        composer.insert("y");
        composer.set("");
        composer.undo();
        assert_eq!(composer.text().len(), paste.len() + 1);
        assert!(composer.undo.len() <= 2);
    }

    #[test]
    fn up_and_down_keep_the_column_over_short_rows() {
        let mut composer = written("abcdef\nx\nghijkl");
        composer.wrap(20);
        composer.go(Motion::Left);
        assert!(composer.up());
        assert_eq!(composer.cursor, 8);
        assert!(composer.up());
        assert_eq!(composer.cursor, 5);
        assert!(!composer.up());
        assert!(composer.down() && composer.down());
        assert_eq!(composer.cursor, 14);
        assert!(!composer.down());
    }

    #[test]
    fn the_history_gives_back_what_was_being_written() {
        let history = ["first".to_owned(), "second".to_owned()];
        let mut composer = written("draft");
        composer.history_back(&history);
        composer.history_back(&history);
        composer.history_back(&history);
        assert_eq!(composer.text(), "first");
        composer.history_forward(&history);
        assert_eq!(composer.text(), "second");
        composer.history_forward(&history);
        assert_eq!(composer.text(), "draft");
        composer.history_forward(&history);
        assert_eq!(composer.text(), "draft");
    }
}
