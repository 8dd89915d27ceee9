//! The mouse in the conversation: a click marks a message, a drag selects text, a double click a word.

use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use unicode_segmentation::UnicodeSegmentation;

use super::scroll::{Conversation, Frame};
use super::{CellKey, ViewEntry, cells};
use crate::app::App;
use crate::tui::text::{Origin, TextRow, width_of};
use crate::tui::theme::Theme;

/// Two clicks on one place within this time are a double click.
const DOUBLE_CLICK: Duration = Duration::from_millis(400);

/// A column of a row of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) entry: usize,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// What the mouse has selected, or is selecting.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// From where the mouse was pressed to where it is: the first and the last column, both included.
    range: Option<(Point, Point)>,
    pressed: Option<(Point, Instant)>,
    /// Whether the button is held.
    is_held: bool,
}

impl Selection {
    fn ordered(&self) -> Option<(Point, Point)> {
        self.range.map(|(from, to)| (from.min(to), from.max(to)))
    }

    /// Forgets what was selected.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Shows what is selected of the rows of an entry that are drawn: `rows` are the first of them on screen and its
    /// number in the entry.
    pub(super) fn draw(
        &self,
        entry: usize,
        rows: (u16, usize),
        bottom: u16,
        area: Rect,
        buffer: &mut Buffer,
        theme: Theme,
    ) {
        let Some((from, to)) = self.ordered() else { return };
        for (y, row) in (rows.0..bottom).zip(rows.1..) {
            let place = (entry, row);
            if place < (from.entry, from.row) || place > (to.entry, to.row) {
                continue;
            }
            let start = if place == (from.entry, from.row) { from.column } else { 0 };
            let end = if place == (to.entry, to.row) { to.column + 1 } else { usize::from(area.width) };
            let written = |x: &u16| buffer.cell((*x, y)).is_some_and(|cell| cell.symbol() != " ");
            let last = (area.x..area.right()).rev().find(written).map_or(area.x, |x| x + 1);
            let start = area.x + start.min(usize::from(area.width)) as u16;
            let end = last.min(area.x + end.min(usize::from(area.width)) as u16);
            if start < end {
                buffer.set_style(Rect { x: start, y, width: end - start, height: 1 }, theme.selection());
            }
        }
    }
}

/// What releasing the button means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tui) enum Released {
    /// Nothing here.
    Nothing,
    /// A click: the message there is marked.
    Clicked,
    /// This text was selected.
    Selected(String),
}

impl Conversation {
    /// The button was pressed; `false` where that is not in the conversation.
    pub(in crate::tui) fn press(&mut self, app: &App, column: u16, row: u16, at: Instant) -> bool {
        if !self.area.contains(Position::new(column, row)) {
            return false;
        }
        let Some(point) = self.point(column, row) else { return false };
        let is_double =
            self.selection.pressed.is_some_and(|(former, time)| former == point && at - time < DOUBLE_CLICK);
        self.selection = Selection { range: None, pressed: Some((point, at)), is_held: true };
        if is_double {
            self.selection.range = self.word(app, point);
        }
        true
    }

    /// The mouse was moved with the button held; at an edge the conversation scrolls.
    pub(in crate::tui) fn drag(&mut self, column: u16, row: u16) {
        if !self.selection.is_held {
            return;
        }
        if row <= self.area.y {
            self.scroll(-1);
        } else if row + 1 >= self.area.bottom() {
            self.scroll(1);
        }
        let column = column.clamp(self.area.x, self.area.right().saturating_sub(1));
        let row = row.clamp(self.area.y, self.area.bottom().saturating_sub(1));
        if let (Some((from, _)), Some(to)) = (self.selection.pressed, self.point(column, row)) {
            self.selection.range = Some((from, to));
        }
    }

    /// The button was released.
    pub(in crate::tui) fn release(&mut self, app: &App) -> Released {
        if !std::mem::take(&mut self.selection.is_held) {
            return Released::Nothing;
        }
        if self.selection.range.is_some() {
            let text = self.selected_text(app);
            return if text.is_empty() { Released::Nothing } else { Released::Selected(text) };
        }
        let entry = self.selection.pressed.and_then(|(point, _)| self.entries.get(point.entry));
        let Some(&ViewEntry::Message(message)) = entry else { return Released::Nothing };
        self.mark_message(Some(message));
        Released::Clicked
    }

    /// What is at a place of the screen.
    fn point(&self, column: u16, row: u16) -> Option<Point> {
        let mut entry = self.top.entry;
        let mut row = usize::from(row.checked_sub(self.area.y)?) + self.top.row;
        while row >= *self.heights.get(entry)? {
            row -= self.heights[entry];
            entry += 1;
        }
        Some(Point { entry, row, column: usize::from(column.checked_sub(self.area.x)?) })
    }

    /// The word at a place.
    fn word(&mut self, app: &App, point: Point) -> Option<(Point, Point)> {
        let mut found = None;
        self.each_row(app, point.entry, |_, place, before, row, _| {
            if place == point.row {
                let mut column = before;
                for word in row.text.split_word_bounds() {
                    let end = column + width_of(word);
                    if (column..end).contains(&point.column) && !word.trim().is_empty() {
                        found = Some((Point { column, ..point }, Point { column: end - 1, ..point }));
                    }
                    column = end;
                }
            }
        });
        found
    }

    /// Calls `see` with each row of text of an entry: its cell, its number in the entry, the columns before it, itself,
    /// and the source that it was made from.
    fn each_row(&mut self, app: &App, entry: usize, mut see: impl FnMut(CellKey, usize, usize, &TextRow, &str)) {
        let Some(page) = self.page else { return };
        self.lay_out(Frame { app, page }, entry);
        let Some(&which) = self.entries.get(entry) else { return };
        let mut place = 0;
        for cell in &cells(app, which, page.theme, self.raw) {
            place += usize::from(cell.heading.is_some());
            for row in self.bodies.get(&cell.key).map_or(&[][..], super::body::Body::rows) {
                see(cell.key, place, width_of(cell.indent), row, &cell.text);
                place += 1;
            }
            place += usize::from(cell.gap);
        }
    }

    /// What is selected, as the source has it: a line that was broken for the screen is one, what was drawn beside the
    /// text is left out.
    fn selected_text(&mut self, app: &App) -> String {
        let Some((from, to)) = self.selection.ordered() else { return String::new() };
        let mut text = String::new();
        let mut former = None;
        for entry in from.entry..=to.entry {
            self.each_row(app, entry, |key, row, before, shown, source| {
                let place = (entry, row);
                let is_extra = matches!(key, CellKey::Footer(_) | CellKey::FoldedThought(_) | CellKey::FoldedFile(..));
                if is_extra || place < (from.entry, from.row) || place > (to.entry, to.row) {
                    return;
                }
                let start = if place == (from.entry, from.row) { from.column.saturating_sub(before) } else { 0 };
                let end = if place == (to.entry, to.row) { (to.column + 1).saturating_sub(before) } else { usize::MAX };
                match former {
                    None => {}
                    Some(former) if former == key && shown.joined => {}
                    Some(former) => {
                        text.truncate(text.trim_end_matches(' ').len());
                        text.push_str(if former == key { "\n" } else { "\n\n" });
                    }
                }
                former = Some(key);
                push_source(&mut text, shown, source, start, end);
            });
        }
        text
    }
}

/// Appends what the columns from `start` to `end` of a row stand for.
fn push_source(text: &mut String, row: &TextRow, source: &str, start: usize, end: usize) {
    let mut column = 0;
    for (span, piece) in row.pieces() {
        let first = column;
        for (at, grapheme) in piece.grapheme_indices(true) {
            let next = column + width_of(grapheme);
            if let Origin::From(from) = span.origin
                && column < end
                && next > start
            {
                text.push_str(source.get(from + at..from + at + grapheme.len()).unwrap_or_default());
            }
            column = next;
        }
        if first < end && column > start {
            match span.origin {
                Origin::Whole(from, to) => text.push_str(source.get(from..to).unwrap_or_default()),
                Origin::As(words) => text.push_str(words),
                Origin::From(_) | Origin::Drawn => {}
            }
        }
    }
}
