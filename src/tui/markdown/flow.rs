//! Text in styles that is still to be broken into rows.

use ratatui::style::Style;

use crate::tui::text::{Origin, Span, TextRow, break_rows, width_of};

/// A text, the styles of its stretches, and where each comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Flow {
    pub(super) text: String,
    spans: Vec<Span>,
}

impl Flow {
    pub(super) fn push(&mut self, text: &str, style: Style, origin: Origin) {
        if !text.is_empty() {
            self.spans.push(Span { start: self.text.len(), style, origin });
            self.text.push_str(text);
        }
    }

    pub(super) fn append(&mut self, other: &Self) {
        let shift = self.text.len();
        self.spans.extend(other.spans.iter().map(|span| Span { start: span.start + shift, ..*span }));
        self.text.push_str(&other.text);
    }

    /// Takes the line feeds off its end.
    pub(super) fn trim_end(&mut self) {
        self.text.truncate(self.text.trim_end_matches(['\n', '\r']).len());
    }

    /// Lays a style under every stretch.
    pub(super) fn patch(&mut self, style: Style) {
        for span in &mut self.spans {
            span.style = style.patch(span.style);
        }
    }

    /// Its rows at a width.
    pub(super) fn rows(&self, width: usize) -> Vec<TextRow> {
        self.rows_from(0, width)
    }

    /// Its rows from a place on that begins one.
    pub(super) fn rows_from(&self, from: usize, width: usize) -> Vec<TextRow> {
        let mut rows = Vec::new();
        let first = self.spans.partition_point(|span| span.start <= from).saturating_sub(1);
        break_rows(&self.text, &self.spans[first.min(self.spans.len())..], from, width.max(1), &mut rows);
        rows
    }

    /// The width of its longest line.
    pub(super) fn width(&self) -> usize {
        self.text.lines().map(width_of).max().unwrap_or(0)
    }

    /// The width of its longest word.
    pub(super) fn longest_word(&self) -> usize {
        self.text.split_whitespace().map(width_of).max().unwrap_or(0)
    }
}
