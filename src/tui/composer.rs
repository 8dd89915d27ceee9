//! The line, or lines, that the person writes.

mod draft;
mod pastes;

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;

use super::text::{Wrapped, columns};
use super::theme::Theme;
use crate::app::keymap::KeyAction;
use draft::Draft;
use pastes::Pastes;

/// What undo keeps, in bytes, at most: pasted books should not be kept a hundred times.
const UNDO_BYTES: usize = 4 << 20;

/// A state that undo goes back to.
#[derive(Debug, Clone)]
struct Snapshot {
    draft: Draft,
    cursor: usize,
}

/// What the last edit was: edits of one kind that follow each other are undone together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    None,
    Type,
    Delete,
    Kill,
    Whole,
}

/// A text with a cursor, a selection, undo, and a place in the prompt history. Large pastes are folded in it: a label
/// stands for each, over which the cursor goes in one step.
#[derive(Debug)]
pub(super) struct Composer {
    draft: Draft,
    cursor: usize,
    /// The other end of the selection.
    anchor: Option<usize>,
    /// Whether all of it is selected since it was given back, and nobody has touched it.
    is_given: bool,
    /// The column that Up and Down keep to.
    goal: Option<usize>,
    last_edit: Edit,
    undo: Vec<Snapshot>,
    redo: Vec<Snapshot>,
    /// The entry of the history that is shown, and what was written before.
    browsing: Option<(usize, Draft)>,
    /// What was cut last.
    killed: Draft,
    pastes: Pastes,
    wrapped: Wrapped,
    /// Whether `wrapped` is out of date.
    stale: bool,
    top: usize,
    /// Where it was drawn last.
    area: Rect,
}

impl Default for Composer {
    fn default() -> Self {
        Self {
            draft: Draft::default(),
            cursor: 0,
            anchor: None,
            is_given: false,
            goal: None,
            last_edit: Edit::None,
            undo: Vec::new(),
            redo: Vec::new(),
            browsing: None,
            killed: Draft::default(),
            pastes: Pastes::default(),
            wrapped: Wrapped::new("", usize::from(u16::MAX)),
            stale: true,
            top: 0,
            area: Rect::ZERO,
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
    /// What is written, with labels in the place of large pastes.
    pub(super) fn text(&self) -> &str {
        self.draft.text()
    }

    /// What is written, whole.
    pub(super) fn full_text(&self) -> String {
        self.pastes.expand(&self.draft)
    }

    /// Where the cursor is, in bytes.
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn is_empty(&self) -> bool {
        self.draft.text().is_empty()
    }

    /// Does what a key does within a line; returns whether it is such a key.
    pub(super) fn edit_line(&mut self, action: KeyAction) -> bool {
        match action {
            KeyAction::Left => self.go(Motion::Left, false),
            KeyAction::Right => self.go(Motion::Right, false),
            KeyAction::WordLeft => self.go(Motion::WordLeft, false),
            KeyAction::WordRight => self.go(Motion::WordRight, false),
            KeyAction::LineStart => self.go(Motion::LineStart, false),
            KeyAction::LineEnd => self.go(Motion::LineEnd, false),
            KeyAction::SelectLeft => self.go(Motion::Left, true),
            KeyAction::SelectRight => self.go(Motion::Right, true),
            KeyAction::SelectWordLeft => self.go(Motion::WordLeft, true),
            KeyAction::SelectWordRight => self.go(Motion::WordRight, true),
            KeyAction::SelectToStart => self.go(Motion::LineStart, true),
            KeyAction::SelectToEnd => self.go(Motion::LineEnd, true),
            KeyAction::Undo => self.undo(),
            KeyAction::Redo => self.redo(),
            KeyAction::DeleteBack => self.delete(Motion::Left),
            KeyAction::DeleteForward | KeyAction::DeleteOrQuit => self.delete(Motion::Right),
            KeyAction::DeleteWordBack => self.kill(Motion::WordLeft),
            KeyAction::DeleteWordForward => self.kill(Motion::WordRight),
            KeyAction::DeleteToStart => self.kill(Motion::LineStart),
            KeyAction::DeleteToEnd => self.kill(Motion::LineEnd),
            KeyAction::SelectAll => self.select_all(),
            KeyAction::InsertCut => self.yank(),
            // Whoever asks has an arm for each of the others.
            _ => return false,
        }
        true
    }

    /// Inserts what was typed, in the place of what is selected.
    pub(super) fn insert(&mut self, text: &str) {
        self.insert_draft(&text.into());
    }

    fn insert_draft(&mut self, draft: &Draft) {
        let text = draft.text();
        let selected = self.selection();
        let is_typed = selected.is_none() && text.graphemes(true).count() == 1 && text != "\n";
        self.before_edit(if is_typed { Edit::Type } else { Edit::Whole });
        if let Some(range) = selected {
            self.remove(range);
        }
        self.draft.replace(self.cursor..self.cursor, draft);
        self.cursor += text.len();
        self.changed();
    }

    /// Inserts what was pasted: a large text is folded.
    pub(super) fn paste(&mut self, text: &str) {
        match Pastes::is_large(text) {
            true => {
                let label = self.pastes.fold(text);
                self.insert_draft(&label);
            }
            false => self.insert(text),
        }
    }

    /// Puts a file's text in place of all, folded where it is large, and a line below it for the question.
    pub(super) fn set_file(&mut self, name: &str, text: &str) {
        match Pastes::is_large(text) {
            true => {
                let mut label = self.pastes.fold_file(name, text.trim_end_matches('\n'));
                let end = label.text().len();
                label.replace(end..end, &"\n".into());
                self.set_draft(label);
            }
            false => self.set(text),
        }
    }

    /// Shows the folded text at the cursor whole, or the first one; `false` where there is none.
    pub(super) fn unfold(&mut self) -> bool {
        let labels = self.draft.labels();
        let at_cursor = labels.iter().find(|label| label.range.start <= self.cursor && self.cursor <= label.range.end);
        let Some(label) = at_cursor.or(labels.first()).cloned() else { return false };
        self.before_edit(Edit::Whole);
        let content = self.pastes.content(label.paste);
        self.cursor = label.range.start + content.len();
        self.draft.replace(label.range, &content.into());
        self.changed();
        true
    }

    /// Puts a text in place of all; undo brings the former one back. What was pasted stays folded in it.
    pub(super) fn set(&mut self, text: &str) {
        let draft = self.pastes.refold(text);
        self.set_draft(draft);
    }

    /// Puts a text in place of all that the person did not ask for: what is typed next takes its place, since a command
    /// behind it would be a part of it.
    pub(super) fn give_back(&mut self, text: &str) {
        self.set(text);
        self.select_all();
        self.is_given = true;
    }

    fn set_draft(&mut self, draft: Draft) {
        self.before_edit(Edit::Whole);
        self.cursor = draft.text().len();
        self.draft = draft;
        self.changed();
    }

    /// Puts a text in place of all, with the cursor at an offset of it. Labels stay where nothing is changed.
    pub(super) fn set_at(&mut self, text: &str, cursor: usize) {
        self.before_edit(Edit::Whole);
        self.draft.change_to(text);
        self.cursor = cursor.min(text.len());
        self.changed();
    }

    /// Takes the whole text to send it.
    pub(super) fn take(&mut self) -> String {
        let text = self.full_text();
        let former = std::mem::take(self);
        // The width stays: keys can come before the next frame.
        self.wrapped = Wrapped::new("", former.wrapped.width());
        (self.killed, self.pastes, self.area) = (former.killed, former.pastes, former.area);
        text
    }

    /// Deletes what is selected, or from the cursor to where `motion` goes.
    pub(super) fn delete(&mut self, motion: Motion) {
        match self.selection() {
            Some(range) => {
                self.before_edit(Edit::Whole);
                self.remove(range);
                self.changed();
            }
            None => self.delete_to(motion, Edit::Delete),
        }
    }

    /// As [`Composer::delete`]; what goes can be inserted again.
    pub(super) fn kill(&mut self, motion: Motion) {
        match self.selection() {
            Some(_) => drop(self.cut()),
            None => self.delete_to(motion, Edit::Kill),
        }
    }

    fn delete_to(&mut self, motion: Motion, edit: Edit) {
        let to = self.target(motion);
        // At the end of a line, deleting to it joins it with the next, as in every line editor.
        let to = if to == self.cursor && motion == Motion::LineEnd { self.target(Motion::Right) } else { to };
        if to == self.cursor {
            return;
        }
        let (start, end) = (to.min(self.cursor), to.max(self.cursor));
        if edit == Edit::Kill {
            let gone = self.draft.slice(start..end);
            // What is cut piece by piece comes back as one.
            let last = self.killed.text().len();
            match (self.last_edit == Edit::Kill, to < self.cursor) {
                (false, _) => self.killed = gone,
                (true, true) => self.killed.replace(0..0, &gone),
                (true, false) => self.killed.replace(last..last, &gone),
            }
        }
        self.before_edit(edit);
        self.remove(start..end);
        self.changed();
    }

    fn remove(&mut self, range: Range<usize>) {
        self.cursor = range.start;
        self.draft.replace(range, &Draft::default());
    }

    /// Inserts what was cut last.
    pub(super) fn yank(&mut self) {
        if !self.killed.text().is_empty() {
            self.insert_draft(&self.killed.clone());
        }
    }

    /// Cuts what is selected; returns it.
    pub(super) fn cut(&mut self) -> Option<String> {
        let range = self.selection()?;
        let selected = self.copy();
        self.before_edit(Edit::Whole);
        self.remove(range);
        self.changed();
        selected
    }

    /// What is selected, whole; it can be inserted again too.
    pub(super) fn copy(&mut self) -> Option<String> {
        self.killed = self.draft.slice(self.selection()?);
        Some(self.pastes.expand(&self.killed))
    }

    /// What is selected.
    fn selection(&self) -> Option<Range<usize>> {
        let anchor = self.anchor.filter(|&anchor| anchor != self.cursor)?;
        Some(anchor.min(self.cursor)..anchor.max(self.cursor))
    }

    /// Whether the person has selected anything.
    pub(super) fn has_selection(&self) -> bool {
        self.selection().is_some() && !self.is_given
    }

    /// Selects nothing; `false` where nothing was.
    pub(super) fn deselect(&mut self) -> bool {
        let was = self.selection().is_some();
        (self.anchor, self.is_given) = (None, false);
        was
    }

    pub(super) fn select_all(&mut self) {
        (self.anchor, self.cursor) = (Some(0), self.draft.text().len());
        self.moved();
    }

    /// Moves the cursor; with `select` the text on the way is selected.
    pub(super) fn go(&mut self, motion: Motion, select: bool) {
        let selected = self.selection().filter(|_| !select);
        self.cursor = match (selected, motion) {
            // As everywhere, an arrow leaves the selection at its end.
            (Some(range), Motion::Left) => range.start,
            (Some(range), Motion::Right) => range.end,
            _ => {
                self.hold_anchor(select);
                self.target(motion)
            }
        };
        if !select {
            self.anchor = None;
        }
        self.moved();
    }

    fn hold_anchor(&mut self, select: bool) {
        self.anchor = if select { Some(self.anchor.unwrap_or(self.cursor)) } else { None };
    }

    fn moved(&mut self) {
        self.is_given = false;
        self.goal = None;
        self.last_edit = Edit::None;
    }

    fn target(&self, motion: Motion) -> usize {
        let (before, after) = self.draft.text().split_at(self.cursor);
        let to = match motion {
            Motion::Left => before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at),
            Motion::Right => self.cursor + after.graphemes(true).next().map_or(0, str::len),
            Motion::WordLeft => before.unicode_word_indices().next_back().map_or(0, |(at, _)| at),
            Motion::WordRight => after
                .unicode_word_indices()
                .next()
                .map_or(self.draft.text().len(), |(at, word)| self.cursor + at + word.len()),
            Motion::LineStart => before.rfind('\n').map_or(0, |at| at + 1),
            Motion::LineEnd => after.find('\n').map_or(self.draft.text().len(), |at| self.cursor + at),
        };
        self.outside_labels(to, to > self.cursor)
    }

    /// `offset`, or the end of the label that it is in: the later one for `forward`.
    fn outside_labels(&self, offset: usize, forward: bool) -> usize {
        let label = self.draft.labels().iter().find(|label| label.range.start < offset && offset < label.range.end);
        label.map_or(offset, |label| if forward { label.range.end } else { label.range.start })
    }

    /// Puts the cursor where the mouse was pressed; `false` where that is not in what was drawn.
    pub(super) fn click(&mut self, column: u16, row: u16) -> bool {
        let is_inside = self.area.contains(Position::new(column, row));
        if is_inside {
            self.anchor = None;
            self.cursor = self.offset_under(column, row);
            self.moved();
        }
        is_inside
    }

    /// Selects from where the mouse was pressed to where it is now.
    pub(super) fn drag(&mut self, column: u16, row: u16) {
        self.hold_anchor(true);
        self.cursor = self.offset_under(column, row);
        self.moved();
    }

    /// The offset at a place on the screen, or the nearest to it.
    fn offset_under(&mut self, column: u16, row: u16) -> usize {
        self.wrap(self.wrapped.width());
        let row = self.top + usize::from(row.clamp(self.area.top(), self.area.bottom().max(1) - 1) - self.area.top());
        let column = column.clamp(self.area.left(), self.area.right()) - self.area.left();
        let offset = self.wrapped.offset_at(self.draft.text(), row, usize::from(column));
        self.outside_labels(offset, true)
    }

    /// A row up; `false` where the cursor is on the first.
    pub(super) fn up(&mut self, select: bool) -> bool {
        self.vertical(select, |row, _| row.checked_sub(1))
    }

    /// A row down; `false` where the cursor is on the last.
    pub(super) fn down(&mut self, select: bool) -> bool {
        self.vertical(select, |row, rows| (row + 1 < rows).then_some(row + 1))
    }

    fn vertical(&mut self, select: bool, next: impl FnOnce(usize, usize) -> Option<usize>) -> bool {
        self.wrap(self.wrapped.width());
        let (row, column) = self.wrapped.position(self.draft.text(), self.cursor);
        let Some(row) = next(row, self.wrapped.rows().len()) else { return false };
        let goal = *self.goal.get_or_insert(column);
        self.is_given = false;
        self.hold_anchor(select);
        self.cursor = self.outside_labels(self.wrapped.offset_at(self.draft.text(), row, goal), false);
        self.last_edit = Edit::None;
        true
    }

    /// An earlier prompt as it is shown: what was pasted in this run is folded in it, and a huge one is folded whole.
    fn recalled(&mut self, entry: &str) -> Draft {
        let draft = self.pastes.refold(entry);
        if Pastes::is_huge(draft.text()) { self.pastes.fold_prompt(entry) } else { draft }
    }

    /// Puts an earlier prompt in place of all.
    pub(super) fn recall(&mut self, entry: &str) {
        let draft = self.recalled(entry);
        self.set_draft(draft);
    }

    /// Whether an earlier prompt is shown, as it was sent.
    pub(super) fn is_browsing(&self) -> bool {
        self.browsing.is_some()
    }

    /// The prompt before the one that is shown.
    pub(super) fn history_back(&mut self, history: &[String]) {
        let at = self.browsing.as_ref().map_or(history.len(), |(at, _)| *at);
        if let Some(entry) = at.checked_sub(1).and_then(|at| history.get(at)) {
            let written = self.browsing.take().map_or_else(|| self.draft.clone(), |(_, written)| written);
            let entry = self.recalled(entry);
            self.show(entry);
            self.browsing = Some((at - 1, written));
        }
    }

    /// The prompt after it; after the last comes what was written before.
    pub(super) fn history_forward(&mut self, history: &[String]) {
        let Some((at, written)) = self.browsing.take() else { return };
        match history.get(at + 1) {
            Some(entry) => {
                let entry = self.recalled(entry);
                self.show(entry);
                self.browsing = Some((at + 1, written));
            }
            None => self.show(written),
        }
    }

    fn show(&mut self, draft: Draft) {
        self.cursor = draft.text().len();
        self.draft = draft;
        (self.anchor, self.is_given) = (None, false);
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
        Snapshot { draft: self.draft.clone(), cursor: self.cursor }
    }

    fn restore(&mut self, snapshot: Snapshot) {
        self.show(snapshot.draft);
        self.cursor = snapshot.cursor;
        self.browsing = None;
    }

    fn before_edit(&mut self, edit: Edit) {
        self.redo.clear();
        if edit == Edit::Whole || edit != self.last_edit {
            self.undo.push(self.snapshot());
            let mut kept = 0;
            let enough = self.undo.iter().rev().position(|snapshot| {
                kept += snapshot.draft.text().len();
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
        (self.anchor, self.is_given) = (None, false);
        self.goal = None;
        self.browsing = None;
        self.stale = true;
    }

    fn wrap(&mut self, width: usize) {
        if self.stale || self.wrapped.width() != width {
            self.wrapped = Wrapped::new(self.draft.text(), width);
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
        self.area = area;
        self.wrap(usize::from(area.width));
        let (row, column) = self.wrapped.position(self.draft.text(), self.cursor);
        let height = usize::from(area.height);
        self.top = self.top.min(row).max((row + 1).saturating_sub(height));
        self.top = self.top.min(self.wrapped.rows().len().saturating_sub(height));
        if self.draft.text().is_empty() {
            buffer.set_stringn(area.x, area.y, placeholder, usize::from(area.width), theme.faint());
        }
        for (y, shown) in (area.y..area.bottom()).zip(&self.wrapped.rows()[self.top..]) {
            buffer.set_stringn(area.x, y, &shown.text, usize::from(area.width), theme.text());
        }
        for label in self.draft.labels() {
            self.mark(&label.range, buffer, theme.accent());
        }
        if let Some(range) = self.selection() {
            self.mark(&range, buffer, theme.selection());
        }
        Some(Position::new(area.x + column as u16, area.y + (row - self.top) as u16))
    }
}

impl Composer {
    /// Draws a range of the text in a style.
    fn mark(&self, range: &Range<usize>, buffer: &mut Buffer, style: Style) {
        let rows = self.wrapped.rows().iter().skip(self.top);
        for (y, row) in (self.area.y..self.area.bottom()).zip(rows) {
            let (start, end) = (range.start.max(row.start), range.end.min(row.end));
            // A line feed that is selected is shown as a space.
            let line_feed = u16::from(range.start <= row.end && row.end < range.end);
            if start > end || (start == end && line_feed == 0) {
                continue;
            }
            let [from, to] = [start, end].map(|offset| columns(self.draft.text(), row.start, offset) as u16);
            let marked = Rect { x: self.area.x + from, y, width: to - from + line_feed, height: 1 };
            buffer.set_style(marked.intersection(self.area), style);
        }
    }
}

#[cfg(test)]
mod tests;
