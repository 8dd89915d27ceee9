//! The rows of a cell's text: kept from frame to frame, and added to while it grows.

use std::ops::Range;

use ratatui::style::Style;

use super::Cell;
use crate::tui::markdown::{Markdown, Page};
use crate::tui::text::{TextRow, Wrapped, source_spans};

/// What stays of a cell.
#[derive(Debug)]
pub(super) enum Body {
    /// A text as it is.
    Plain { source: String, styled: Vec<(Range<usize>, Style)>, wrapped: Wrapped },
    /// Markdown.
    Rendered(Box<Markdown>),
}

impl Body {
    pub(super) fn new(cell: &Cell, page: Page) -> Self {
        if cell.is_markdown && cell.styled.is_empty() {
            return Self::Rendered(Box::new(Markdown::new(&cell.text, cell.streaming, page)));
        }
        let wrapped = Wrapped::styled(&cell.text, &spans(cell), page.width);
        Self::Plain { source: cell.text.clone().into_owned(), styled: cell.styled.clone(), wrapped }
    }

    /// Brings it up to what the cell shows now.
    pub(super) fn update(&mut self, cell: &Cell, page: Page) {
        let is_rendered = cell.is_markdown && cell.styled.is_empty();
        match self {
            Self::Rendered(markdown) if is_rendered => markdown.update(&cell.text, cell.streaming, page),
            Self::Plain { source, styled, wrapped }
                if !is_rendered
                    && wrapped.width() == page.width
                    && keeps_styles(styled, source.len(), &cell.styled)
                    && cell.text.starts_with(source.as_str()) =>
            {
                if cell.text.len() > source.len() {
                    source.push_str(&cell.text[source.len()..]);
                    wrapped.extend(source, &spans(cell));
                    styled.extend_from_slice(&cell.styled[styled.len()..]);
                }
            }
            former => *former = Self::new(cell, page),
        }
    }

    /// The rows without the empty ones at the end (models like to end with line feeds); at least one.
    pub(super) fn rows(&self) -> &[TextRow] {
        let rows = match self {
            Self::Plain { wrapped, .. } => wrapped.rows(),
            Self::Rendered(markdown) => markdown.rows(),
        };
        let last = rows.iter().rposition(|row| !row.text.trim().is_empty()).unwrap_or(0);
        &rows[..rows.len().min(last + 1)]
    }

    /// How many blocks of Markdown were laid out.
    pub(super) fn work(&self) -> usize {
        match self {
            Self::Plain { .. } => 0,
            Self::Rendered(markdown) => markdown.work(),
        }
    }
}

/// Whether the first `length` bytes of a text look in the styles of `now` as in those of `before`.
fn keeps_styles(before: &[(Range<usize>, Style)], length: usize, now: &[(Range<usize>, Style)]) -> bool {
    now.starts_with(before) && now[before.len()..].first().is_none_or(|(range, _)| range.start >= length)
}

fn spans(cell: &Cell) -> Vec<crate::tui::text::Span> {
    source_spans(cell.text.len(), Style::new(), cell.styled.iter().cloned())
}
