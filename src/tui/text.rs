//! Text in rows of a given width: control characters made visible, tabs expanded, broken between words by the width
//! that a terminal gives each grapheme.

use std::borrow::Cow;
use std::ops::Range;

use ratatui::buffer::{Buffer, CellWidth};
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;

pub(super) use crate::chat::one_line;
use crate::chat::visible;

/// Columns from one tab stop to the next.
const TAB: usize = 4;

/// What a stretch of shown text stands for in the source that it was made from: what copying it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing: it was drawn beside the text.
    Drawn,
    /// The source from here on, byte for byte.
    From(usize),
    /// These bytes of the source as one: a tab, a mark that is shown as another.
    Whole(usize, usize),
    /// This text, which the source says in another way.
    As(&'static str),
}

/// A stretch of text in one style: from `start` to the start of the next one, or to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Where it begins, in bytes of the text that it belongs to.
    pub(super) start: usize,
    pub(super) style: Style,
    pub(super) origin: Origin,
}

/// Spans over the whole of a source of `length` bytes that is shown as it is: `styled` are ranges of it in order, what
/// lies between them has the style `rest`.
pub(super) fn source_spans(
    length: usize,
    rest: Style,
    styled: impl IntoIterator<Item = (Range<usize>, Style)>,
) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut at = 0;
    let mut push = |start: usize, end: usize, style: Style| {
        if start < end {
            spans.push(Span { start, style, origin: Origin::From(start) });
        }
    };
    for (range, style) in styled {
        push(at, range.start, rest);
        push(range.start.max(at), range.end, style);
        at = at.max(range.end);
    }
    push(at, length.max(at + 1), rest);
    spans
}

/// A row on screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextRow {
    /// Where it begins in the source.
    pub(super) start: usize,
    /// Where it ends there; the line feed that ends it is not part of it.
    pub(super) end: usize,
    /// What is shown. Spaces at its end may hang over the width.
    pub(super) text: String,
    /// Its styles; none where the text was broken without any.
    pub(super) spans: Vec<Span>,
    /// Whether it goes on with the line of the row before.
    pub(super) joined: bool,
}

impl TextRow {
    /// Draws it over at most `width` columns; what has no style of its own gets `style`. Returns the column after it.
    pub(super) fn draw(&self, buffer: &mut Buffer, x: u16, y: u16, width: usize, style: Style) -> u16 {
        if self.spans.is_empty() {
            return buffer.set_stringn(x, y, &self.text, width, style).0;
        }
        let end = x.saturating_add(u16::try_from(width).unwrap_or(u16::MAX));
        let mut at = x;
        for (span, piece) in self.pieces() {
            at = buffer.set_stringn(at, y, piece, usize::from(end - at), style.patch(span.style)).0;
        }
        at
    }

    /// A row that was not broken from a text.
    pub(super) fn of(pieces: impl IntoIterator<Item = (String, Style, Origin)>) -> Self {
        let mut row = Self { start: 0, end: 0, text: String::new(), spans: Vec::new(), joined: false };
        for (text, style, origin) in pieces {
            row.spans.push(Span { start: row.text.len(), style, origin });
            row.text.push_str(&text);
        }
        row
    }

    /// Appends what another row shows.
    pub(super) fn append(&mut self, other: &Self) {
        let shift = self.text.len();
        self.spans.extend(other.spans.iter().map(|span| Span { start: span.start + shift, ..*span }));
        self.text.push_str(&other.text);
    }

    /// It, without the spaces at its end.
    pub(super) fn trimmed(&self) -> Self {
        let text = self.text.trim_end_matches(' ').to_owned();
        let spans = self.spans.iter().filter(|span| span.start < text.len()).copied().collect();
        Self { text, spans, ..*self }
    }

    /// Its spans, each with its text.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&Span, &str)> {
        let ends = self.spans.iter().skip(1).map(|span| span.start).chain([self.text.len()]);
        self.spans.iter().zip(ends).map(|(span, end)| (span, self.text.get(span.start..end).unwrap_or_default()))
    }
}

/// A text in rows; more can be appended to the source, and only the last rows are broken anew.
#[derive(Debug, Clone, Default)]
pub(super) struct Wrapped {
    width: usize,
    done: usize,
    rows: Vec<TextRow>,
}

impl Wrapped {
    /// `text` at a width of at least 1.
    pub(super) fn new(text: &str, width: usize) -> Self {
        Self::styled(text, &[], width)
    }

    /// `text` in these styles, at a width of at least 1.
    pub(super) fn styled(text: &str, spans: &[Span], width: usize) -> Self {
        let mut wrapped = Self { width: width.max(1), done: 0, rows: Vec::new() };
        wrapped.extend(text, spans);
        wrapped
    }

    /// `text` has grown at its end, and `spans` with it.
    pub(super) fn extend(&mut self, text: &str, spans: &[Span]) {
        if text.len() == self.done && !self.rows.is_empty() {
            return;
        }
        // The last grapheme can grow with what comes, and with it the place of the last break; no earlier one.
        let keep = self.rows.len().saturating_sub(2);
        let from = self.rows.get(keep).map_or(0, |row| row.start);
        self.rows.truncate(keep);
        break_rows(text, spans, from, self.width, &mut self.rows);
        self.done = text.len();
    }

    /// The rows; there is at least one.
    pub(super) fn rows(&self) -> &[TextRow] {
        &self.rows
    }

    /// The width it was broken at.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Where the source's `offset` is on screen: (row, column).
    pub(super) fn position(&self, text: &str, offset: usize) -> (usize, usize) {
        let at = self.rows.partition_point(|row| row.start <= offset).saturating_sub(1);
        let Some(row) = self.rows.get(at) else { return (0, 0) };
        let column = columns(text, row.start, offset.min(row.end));
        // The cursor after a full row stands before the next one, if there is one; otherwise over the last column.
        (at, column.min(self.width.saturating_sub(1)))
    }

    /// The source's offset at (row, column), or the nearest to it.
    pub(super) fn offset_at(&self, text: &str, row: usize, column: usize) -> usize {
        let Some(shown) = self.rows.get(row) else { return text.len() };
        let mut at = 0;
        let mut last = shown.start;
        for (offset, grapheme) in text[shown.start..shown.end].grapheme_indices(true) {
            if at >= column {
                return shown.start + offset;
            }
            last = shown.start + offset;
            at += shown_width(grapheme, at);
        }
        // The end of a row that is broken is the start of the next.
        let broken = self.rows.get(row + 1).is_some_and(|next| next.start == shown.end);
        if broken { last } else { shown.end }
    }
}

/// `text` cut to `width` columns, with `…` where something is missing.
pub(super) fn fit(text: &str, width: usize) -> Cow<'_, str> {
    if width_of(text) <= width {
        return Cow::Borrowed(text);
    }
    let mut cut = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let more = width_of(grapheme);
        if used + more + 1 > width {
            break;
        }
        cut.push_str(grapheme);
        used += more;
    }
    if width > 0 {
        cut.push('…');
    }
    Cow::Owned(cut)
}

/// Of hints with ` · ` between them those that fit into `width` columns, whole; what does not fit is left out from the
/// end.
pub(super) fn whole_hints(text: &str, width: usize) -> String {
    let mut shown = String::new();
    for hint in text.trim().split(" · ") {
        let more = if shown.is_empty() { hint.to_owned() } else { format!("{shown} · {hint}") };
        if width_of(&more) > width {
            break;
        }
        shown = more;
    }
    if shown.is_empty() { fit(text.trim(), width).into_owned() } else { shown }
}

/// The columns that a text without control characters takes.
pub(super) fn width_of(text: &str) -> usize {
    text.graphemes(true).map(|grapheme| usize::from(grapheme.cell_width())).sum()
}

/// The columns from `start` to `end` of a row that begins at `start`.
pub(super) fn columns(text: &str, start: usize, end: usize) -> usize {
    text[start..end].graphemes(true).fold(0, |at, grapheme| at + shown_width(grapheme, at))
}

fn shown_width(grapheme: &str, column: usize) -> usize {
    width_of(&shown(grapheme, column))
}

/// What a grapheme looks like when it begins at `column`.
fn shown(grapheme: &str, column: usize) -> Cow<'_, str> {
    if grapheme == "\t" { Cow::Owned(" ".repeat(TAB - column % TAB)) } else { visible(grapheme) }
}

fn is_line_feed(grapheme: &str) -> bool {
    grapheme == "\n" || grapheme == "\r\n"
}

fn is_space(grapheme: &str) -> bool {
    grapheme == " " || grapheme == "\t"
}

/// Whether a row may be broken before and after it, also without a space: ideographs and other wide characters.
fn breaks_anywhere(grapheme: &str, width: usize) -> bool {
    width >= 2 && !grapheme.is_ascii()
}

/// A row in the making.
struct Breaker<'a> {
    rows: &'a mut Vec<TextRow>,
    /// Of the whole text; those before the present place are cut off.
    styles: &'a [Span],
    width: usize,
    start: usize,
    text: String,
    spans: Vec<Span>,
    column: usize,
    joined: bool,
    /// The last place where the row may be broken: (offset in the source, length of the row's text, column).
    opportunity: Option<(usize, usize, usize)>,
}

impl Breaker<'_> {
    fn end_row(&mut self, end: usize, next: usize) {
        let (text, spans) = (std::mem::take(&mut self.text), std::mem::take(&mut self.spans));
        self.rows.push(TextRow { start: self.start, end, text, spans, joined: self.joined });
        (self.start, self.column, self.opportunity) = (next, 0, None);
        self.joined = next == end;
    }

    /// Breaks the row so that what comes at `offset` fits.
    fn break_before(&mut self, offset: usize) {
        match self.opportunity.take() {
            Some((at, length, column)) => {
                let text = self.text.split_off(length);
                let spans = self.split_spans(length, text.is_empty());
                let width = self.column - column;
                self.end_row(at, at);
                (self.text, self.spans, self.column) = (text, spans, width);
            }
            None => self.end_row(offset, offset),
        }
    }

    /// Takes the spans of the row's text from `length` on, for a row of their own, which may be empty yet.
    fn split_spans(&mut self, length: usize, is_empty: bool) -> Vec<Span> {
        let first = self.spans.partition_point(|span| span.start < length);
        let mut rest = self.spans.split_off(first);
        for span in &mut rest {
            span.start -= length;
        }
        // A span that goes on over the break.
        let goes_on = !is_empty && rest.first().is_none_or(|span| span.start > 0);
        if let Some(&Span { start, style, origin }) = self.spans.last().filter(|_| goes_on) {
            let origin = match origin {
                Origin::From(source) => Origin::From(source + length - start),
                other => other,
            };
            rest.insert(0, Span { start: 0, style, origin });
        }
        rest
    }

    fn may_break(&mut self, offset: usize) {
        if offset > self.start {
            self.opportunity = Some((offset, self.text.len(), self.column));
        }
    }

    /// Appends plain text at `offset`, each byte of which is a column.
    fn push_plain(&mut self, offset: usize, text: &str) {
        let mut at = 0;
        while at < text.len() {
            self.go_to_style(offset + at);
            let next = self.styles.get(1).map_or(text.len(), |next| (next.start - offset).min(text.len()));
            self.push(offset + at, next - at, &text[at..next], next - at);
            at = next;
        }
    }

    /// Appends what is shown for `length` bytes of the text at `offset`, in one style.
    fn push(&mut self, offset: usize, length: usize, picture: &str, columns: usize) {
        self.go_to_style(offset);
        self.push_span(offset, length, picture.len());
        self.text.push_str(picture);
        self.column += columns;
    }

    fn go_to_style(&mut self, offset: usize) {
        while self.styles.get(1).is_some_and(|next| next.start <= offset) {
            self.styles = &self.styles[1..];
        }
    }

    /// The style of the next `shown` bytes of the row, which stand for `length` bytes of the text at `offset`.
    fn push_span(&mut self, offset: usize, length: usize, shown: usize) {
        let Some(&Span { start, style, origin }) = self.styles.first() else { return };
        let origin = match origin {
            Origin::From(source) if shown == length => Origin::From(source + offset - start),
            Origin::From(source) => Origin::Whole(source + offset - start, source + offset - start + length),
            other => other,
        };
        let goes_on = self.spans.last().is_some_and(|last| {
            let same = match (last.origin, origin) {
                (Origin::From(from), Origin::From(to)) => from + self.text.len() - last.start == to,
                (last, this) => last == this,
            };
            same && last.style == style
        });
        if !goes_on {
            self.spans.push(Span { start: self.text.len(), style, origin });
        }
    }
}

/// Appends the rows of `text` from `from` on, which begins a row.
pub(super) fn break_rows(text: &str, spans: &[Span], from: usize, width: usize, rows: &mut Vec<TextRow>) {
    let joined = rows.last().is_some_and(|last| from > 0 && last.end == from);
    let mut row = Breaker {
        rows,
        styles: spans,
        width,
        start: from,
        text: String::new(),
        spans: Vec::new(),
        column: 0,
        joined,
        opportunity: None,
    };
    let mut start = from;
    for line in text[from..].split_inclusive('\n') {
        let end = start + line.len();
        let content = line.strip_suffix('\n').unwrap_or(line);
        if content.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            row.plain_line(&text[..start + content.len()], start);
            if content.len() < line.len() {
                row.end_row(end - 1, end);
            }
        } else {
            row.line(&text[..end], start);
        }
        start = end;
    }
    row.end_row(text.len(), text.len());
}

impl Breaker<'_> {
    /// A line of printable ASCII from `start` to the end of `text`: a byte is a column, so nothing is to be measured.
    fn plain_line(&mut self, text: &str, start: usize) {
        let bytes = text.as_bytes();
        let mut at = start;
        while bytes.len() - at > self.width {
            let full = at + self.width;
            // Spaces hang over the end of a row.
            let end = match bytes[full] {
                b' ' => full + bytes[full..].iter().take_while(|&&byte| byte == b' ').count(),
                _ => bytes[at..full].iter().rposition(|&byte| byte == b' ').map_or(full, |space| at + space + 1),
            };
            if end == bytes.len() {
                break;
            }
            self.push_plain(at, &text[at..end]);
            self.end_row(end, end);
            at = end;
        }
        self.push_plain(at, &text[at..]);
    }

    /// A line, with its line feed, from `start` to the end of `text`.
    fn line(&mut self, text: &str, start: usize) {
        for (offset, grapheme) in text[start..].grapheme_indices(true) {
            let offset = start + offset;
            let end = offset + grapheme.len();
            if is_line_feed(grapheme) {
                return self.end_row(offset, end);
            }
            let mut picture = shown(grapheme, self.column);
            let mut columns = width_of(&picture);
            let space = is_space(grapheme);
            if breaks_anywhere(grapheme, columns) {
                self.may_break(offset);
            }
            // Spaces hang over the end of a row, so that the next one begins with a word. What does not fit after one
            // break can need a second: a word longer than the row.
            while !space && self.column + columns > self.width && self.start < offset {
                self.break_before(offset);
                picture = shown(grapheme, self.column);
                columns = width_of(&picture);
            }
            self.push(offset, grapheme.len(), &picture, columns);
            if space || breaks_anywhere(grapheme, columns) {
                self.may_break(end);
            }
        }
    }
}

#[cfg(test)]
mod tests;
