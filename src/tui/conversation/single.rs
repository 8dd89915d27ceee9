//! A message by itself, as a lane of a comparison shows it: what the conversation shows of it, without its heading and
//! its footer.

use std::collections::HashMap;
use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_segmentation::UnicodeSegmentation;

use super::body::Body;
use super::{Cell, CellKey, ViewEntry, cells};
use crate::app::App;
use crate::chat::MessageId;
use crate::tui::markdown::Page;
use crate::tui::text::{Origin, TextRow, width_of};
use crate::tui::theme::Theme;

/// Stretches of a message that are told from the rest, by their bytes in it.
#[derive(Debug, Default)]
pub(in crate::tui) struct DivergenceMarks {
    /// What all lanes say alike is faint, up to here.
    pub(in crate::tui) common: usize,
    /// What only this one says, in order.
    pub(in crate::tui) own: Vec<Range<usize>>,
    /// What stands before each of those, where there is a space.
    pub(in crate::tui) sign: &'static str,
}

/// The rows of a message, kept from frame to frame.
#[derive(Debug, Default)]
pub(in crate::tui) struct SingleMessage {
    bodies: HashMap<CellKey, Body>,
}

impl SingleMessage {
    /// Lays out what has changed, and returns how many rows there are.
    pub(in crate::tui) fn lay_out(&mut self, app: &App, message: MessageId, page: Page) -> usize {
        let cells = shown(app, message, page.theme);
        for cell in &cells {
            let width = page.width.saturating_sub(width_of(cell.indent)).max(1);
            let page = Page { width, ..page };
            self.bodies.entry(cell.key).or_insert_with(|| Body::new(cell, page)).update(cell, page);
        }
        let rows: usize = cells.iter().map(|cell| self.rows(cell).len()).sum();
        rows + gaps(&cells)
    }

    /// How many blocks of Markdown were laid out.
    #[cfg(test)]
    pub(in crate::tui) fn work(&self) -> usize {
        self.bodies.values().map(Body::work).sum()
    }

    fn rows(&self, cell: &Cell) -> &[TextRow] {
        self.bodies.get(&cell.key).map_or(&[], Body::rows)
    }

    /// Draws the rows from `top` on; returns where the last of all ends, where that is in view.
    pub(in crate::tui) fn draw(
        &self,
        app: &App,
        message: MessageId,
        top: usize,
        area: Rect,
        (buffer, theme): (&mut Buffer, Theme),
        marks: &DivergenceMarks,
    ) -> Option<(u16, u16)> {
        let length = app.transcript().node(message).map_or(0, |node| node.message.content.len());
        let cells = shown(app, message, theme);
        let mut first = 0;
        let mut end = None;
        for cell in &cells {
            let rows = self.rows(cell);
            for (place, row) in rows.iter().enumerate().skip(top.saturating_sub(first)) {
                let y = first + place - top;
                if y >= usize::from(area.height) {
                    return None;
                }
                let y = area.y + y as u16;
                let mark = if place == 0 { cell.mark } else { cell.indent };
                let (x, _) = buffer.set_stringn(area.x, y, mark, usize::from(area.width), cell.style);
                let after = row.draw(buffer, x, y, usize::from(area.right() - x), cell.style);
                end = Some((after, y));
                if matches!(cell.key, CellKey::Message(_)) {
                    let line = Rect { x, y, width: area.right() - x, height: 1 };
                    // What was thought stands before it.
                    marks.draw(row, length - cell.text.len().min(length), line, buffer, theme);
                }
            }
            first += rows.len() + usize::from(cell.gap);
        }
        end
    }
}

impl DivergenceMarks {
    /// Lays their styles over a row of a text that begins at byte `base` of the message.
    fn draw(&self, row: &TextRow, base: usize, line: Rect, buffer: &mut Buffer, theme: Theme) {
        let mut x = line.x;
        for (span, piece) in row.pieces() {
            for (at, grapheme) in piece.grapheme_indices(true) {
                let width = (width_of(grapheme) as u16).min(line.right() - x);
                if let Origin::From(from) = span.origin {
                    let source = base + from + at;
                    let cell = Rect { x, width, ..line };
                    let own = self.own.partition_point(|own| own.end <= source);
                    let own = self.own.get(own).filter(|own| own.start <= source);
                    if source < self.common {
                        buffer.set_style(cell, theme.faint());
                    } else if let Some(own) = own {
                        buffer.set_style(cell, theme.chosen());
                        let before = own.start == source && x > line.x && buffer[(x - 1, line.y)].symbol() == " ";
                        if before {
                            buffer.set_string(x - 1, line.y, self.sign, theme.accent());
                        }
                    }
                }
                x += width;
            }
        }
    }
}

/// What is shown of a message.
fn shown(app: &App, message: MessageId, theme: Theme) -> Vec<Cell<'_>> {
    let mut cells = cells(app, ViewEntry::Message(message), theme, app.shows_source());
    cells.retain(|cell| !matches!(cell.key, CellKey::Footer(_)));
    if let Some(last) = cells.last_mut() {
        last.gap = false;
    }
    cells
}

fn gaps(cells: &[Cell]) -> usize {
    cells.iter().filter(|cell| cell.gap).count()
}
