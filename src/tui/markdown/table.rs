//! Tables: columns as wide as they need to be or as there is room for, and a list of fields where there is no room.

use pulldown_cmark::Alignment;
use ratatui::style::{Modifier, Style};

use super::flow::Flow;
use crate::tui::text::{Origin, TextRow, width_of};

/// Columns between two cells.
const GAP: usize = 3;

/// A column is not made narrower than this for the sake of its longest word.
const NARROWEST: usize = 10;

/// A table: the first row is its head.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) alignments: Vec<Alignment>,
    pub(super) rows: Vec<Vec<Flow>>,
}

impl Table {
    pub(super) fn layout(mut self, width: usize, lines: Style) -> Vec<TextRow> {
        let columns = self.alignments.len();
        for row in &mut self.rows {
            row.resize_with(columns, Flow::default);
        }
        if let Some(head) = self.rows.first_mut() {
            head.iter_mut().for_each(|cell| cell.patch(Style::new().add_modifier(Modifier::BOLD)));
        }
        match self.widths(width) {
            Some(widths) => self.grid(&widths, lines),
            None => self.fields(width),
        }
    }

    /// The width of each column; `None` where there is too little room for columns.
    fn widths(&self, width: usize) -> Option<Vec<usize>> {
        let columns = self.alignments.len();
        let room = width.checked_sub(GAP * columns.saturating_sub(1))?;
        let of_column = |measure: &dyn Fn(&Flow) -> usize| -> Vec<usize> {
            (0..columns).map(|at| self.rows.iter().map(|row| measure(&row[at])).max().unwrap_or(0).max(1)).collect()
        };
        let wanted = of_column(&Flow::width);
        if wanted.iter().sum::<usize>() <= room {
            return Some(wanted);
        }
        let mut widths = of_column(&|cell| cell.longest_word().min(NARROWEST));
        let mut left = room.checked_sub(widths.iter().sum())?;
        // Column by column, the one that lacks most gets the next.
        while left > 0 {
            let lacks = |&at: &usize| wanted[at].saturating_sub(widths[at]);
            let Some(at) = (0..columns).max_by_key(lacks).filter(|at| lacks(at) > 0) else { break };
            widths[at] += 1;
            left -= 1;
        }
        Some(widths)
    }

    fn grid(&self, widths: &[usize], lines: Style) -> Vec<TextRow> {
        let rule = || {
            let line: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
            TextRow::of([(line.join("─┼─"), lines, Origin::Drawn)])
        };
        let broken: Vec<Vec<Vec<TextRow>>> = self
            .rows
            .iter()
            .map(|row| row.iter().zip(widths).map(|(cell, &width)| cell.rows(width)).collect())
            .collect();
        let is_tall = broken.iter().skip(1).flatten().any(|cell| cell.len() > 1);
        let mut rows = Vec::new();
        for (at, cells) in broken.iter().enumerate() {
            // Rows of several lines could not be told apart without a line between them.
            if at == 1 || (at > 1 && is_tall) {
                rows.push(rule());
            }
            let height = cells.iter().map(Vec::len).max().unwrap_or(0);
            rows.extend((0..height).map(|line| self.line(cells, line, widths, lines)));
        }
        if broken.len() == 1 {
            rows.push(rule());
        }
        rows
    }

    /// A line of the cells side by side.
    fn line(&self, cells: &[Vec<TextRow>], line: usize, widths: &[usize], lines: Style) -> TextRow {
        let mut row = TextRow::of([]);
        for (at, (cell, &width)) in cells.iter().zip(widths).enumerate() {
            if at > 0 {
                row.append(&TextRow::of([(" │ ".to_owned(), lines, Origin::As(" | "))]));
            }
            let text = cell.get(line).map(|row| row.trimmed());
            let free = width.saturating_sub(text.as_ref().map_or(0, |text| width_of(&text.text)));
            let before = match self.alignments.get(at) {
                Some(Alignment::Right) => free,
                Some(Alignment::Center) => free / 2,
                _ => 0,
            };
            let space = |columns: usize| TextRow::of([(" ".repeat(columns), Style::new(), Origin::Drawn)]);
            row.append(&space(before));
            if let Some(text) = text {
                row.append(&text);
            }
            if at + 1 < cells.len() {
                row.append(&space(free - before));
            }
        }
        row
    }

    /// Each row as a list: `head: cell`.
    fn fields(&self, width: usize) -> Vec<TextRow> {
        let Some((head, body)) = self.rows.split_first() else { return Vec::new() };
        let mut rows = Vec::new();
        for (at, cells) in body.iter().enumerate() {
            if at > 0 {
                rows.push(TextRow::of([]));
            }
            for (name, cell) in head.iter().zip(cells) {
                let mut field = name.clone();
                field.push(": ", Style::new(), Origin::As(": "));
                field.append(cell);
                rows.extend(field.rows(width));
            }
        }
        if body.is_empty() {
            rows.extend(head.iter().flat_map(|name| name.rows(width)));
        }
        rows
    }
}
