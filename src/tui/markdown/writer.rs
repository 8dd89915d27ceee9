//! The rows of one block of Markdown.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, LinkType, Tag, TagEnd};
use ratatui::style::{Modifier, Style};
use std::ops::Range;

use super::flow::Flow;
use super::table::Table;
use crate::tui::highlight::{Highlighting, Highlights};
use crate::tui::text::{Origin, TextRow, width_of};
use crate::tui::theme::Theme;

/// What nests deeper than this is not indented further: some room must be left for words.
const LEAST_WIDTH: usize = 16;

/// Something that stands before each row: of a list's item, a quotation, code.
#[derive(Debug)]
struct Container {
    /// Before the next row alone.
    first: Option<TextRow>,
    /// Before every other.
    rest: TextRow,
}

/// A link in the making.
#[derive(Debug)]
struct Link {
    url: String,
    range: Range<usize>,
    /// Where its text begins in the flow.
    start: usize,
    is_plain: bool,
}

/// Code in the making.
#[derive(Debug)]
struct Code {
    language: String,
    /// Where it begins in the source.
    place: usize,
    text: String,
    /// Where its stretches come from: (offset in `text`, offset in the source).
    origins: Vec<(usize, usize)>,
}

/// Where rows are made, and of what.
pub(super) struct Writer<'a> {
    /// The source of the whole text.
    source: &'a str,
    /// Where the block begins in it.
    base: usize,
    /// Where the block ends; what closes open emphasis lies behind it.
    end: usize,
    width: usize,
    theme: Theme,
    /// Whether code gets its colours; `None` while they are not to be loaded.
    highlights: Option<&'a mut Highlights>,
    rows: Vec<TextRow>,
    containers: Vec<Container>,
    lists: Vec<Option<u64>>,
    flow: Flow,
    styles: Vec<Style>,
    links: Vec<Link>,
    code: Option<Code>,
    table: Option<Table>,
    /// Whether code had to do without its colours.
    pub(super) is_plain: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        source: &'a str,
        block: Range<usize>,
        width: usize,
        theme: Theme,
        highlights: Option<&'a mut Highlights>,
    ) -> Self {
        Self {
            source,
            base: block.start,
            end: block.end,
            width,
            theme,
            highlights,
            rows: Vec::new(),
            containers: Vec::new(),
            lists: Vec::new(),
            flow: Flow::default(),
            styles: vec![theme.text()],
            links: Vec::new(),
            code: None,
            table: None,
            is_plain: false,
        }
    }

    /// The rows; at the end of the block.
    pub(super) fn finish(mut self) -> Vec<TextRow> {
        self.flush();
        self.rows
    }

    /// Text that is no Markdown.
    pub(super) fn literal(&mut self, range: Range<usize>) {
        let text = &self.source[range.clone()];
        self.flow.push(text, self.theme.faint(), Origin::From(range.start));
        self.flush();
    }

    pub(super) fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        let range = range.start + self.base..range.end + self.base;
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.finish_tag(tag),
            Event::Text(text) => self.text(&text, range),
            Event::Code(text) => self.inline_code(&text, range),
            Event::SoftBreak | Event::HardBreak => self.flow.push("\n", self.style(), Origin::Drawn),
            Event::Rule => {
                self.gap(range.start);
                let line = "─".repeat(self.room());
                self.put(&TextRow::of([(line, self.theme.line(), Origin::Whole(range.start, range.end))]));
            }
            Event::TaskListMarker(done) => {
                let mark = if done { "[x] " } else { "[ ] " };
                self.flow.push(mark, self.theme.accent(), self.origin(mark.trim_end(), &range));
            }
            Event::InlineHtml(html) if is_line_break(&html) => self.flow.push("\n", self.style(), Origin::Drawn),
            Event::Html(text) | Event::InlineHtml(text) => self.text(&text, range),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text, range);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.gap(range.start),
            Tag::Heading { level, .. } => {
                self.gap(range.start);
                self.push_style(heading(self.theme, level));
            }
            Tag::BlockQuote(_) => {
                self.gap(range.start);
                self.contain(None, TextRow::of([("▎ ".to_owned(), self.theme.quote(), Origin::Drawn)]));
                self.push_style(self.theme.quote());
            }
            Tag::CodeBlock(kind) => {
                self.gap(range.start);
                self.code = Some(Code {
                    language: language(&kind),
                    place: range.start,
                    text: String::new(),
                    origins: Vec::new(),
                });
            }
            Tag::List(first) => {
                self.gap(range.start);
                self.lists.push(first);
            }
            Tag::Item => self.start_item(range.start),
            Tag::Table(alignments) => {
                self.gap(range.start);
                self.table = Some(Table { alignments, rows: Vec::new() });
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            Tag::Emphasis => self.add_modifier(Modifier::ITALIC),
            Tag::Strong => self.add_modifier(Modifier::BOLD),
            Tag::Strikethrough => self.add_modifier(Modifier::CROSSED_OUT),
            Tag::Link { dest_url, link_type, .. } => self.start_link(&dest_url, link_type, range),
            Tag::Image { dest_url, .. } => {
                self.flow.push("image: ", self.theme.faint(), Origin::As("image: "));
                self.start_link(&dest_url, LinkType::Inline, range);
            }
            _ => {}
        }
    }

    fn finish_tag(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.flush(),
            TagEnd::Heading(_) => {
                self.flush();
                self.styles.pop();
            }
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.containers.pop();
                self.styles.pop();
            }
            TagEnd::CodeBlock => {
                if let Some(code) = self.code.take() {
                    self.put_code(code);
                }
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::Item => {
                self.flush();
                // An item without anything in it is a row all the same.
                if self.containers.last().is_some_and(|item| item.first.is_some()) {
                    self.put(&TextRow::of([]));
                }
                self.containers.pop();
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    let rows = table.layout(self.room(), self.theme.line());
                    rows.iter().for_each(|row| self.put(row));
                }
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.flow);
                if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.styles.pop();
            }
            TagEnd::Link | TagEnd::Image => self.finish_link(),
            _ => {}
        }
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    fn push_style(&mut self, style: Style) {
        self.styles.push(self.style().patch(style));
    }

    fn add_modifier(&mut self, modifier: Modifier) {
        self.push_style(Style::new().add_modifier(modifier));
    }

    /// Where `text` comes from, which is what is shown of `range`.
    fn origin(&self, text: &str, range: &Range<usize>) -> Origin {
        if range.end > self.end {
            return Origin::Drawn;
        }
        match self.source.get(range.clone()).and_then(|source| source.find(text)) {
            Some(at) => Origin::From(range.start + at),
            None => Origin::Whole(range.start, range.end),
        }
    }

    fn text(&mut self, text: &str, range: Range<usize>) {
        if let Some(code) = &mut self.code {
            code.origins.push((code.text.len(), range.start));
            code.text.push_str(text);
            return;
        }
        self.flow.push(text, self.style(), self.origin(text, &range));
    }

    /// Code within a line, between its backticks: without colours nothing else tells it.
    fn inline_code(&mut self, text: &CowStr<'_>, range: Range<usize>) {
        let mark = self.theme.faint();
        self.flow.push("`", mark, Origin::From(range.start));
        let style = self.style().patch(self.theme.code());
        self.flow.push(text, style, self.origin(text, &range));
        let is_mended = range.end > self.end;
        self.flow.push("`", mark, if is_mended { Origin::Drawn } else { Origin::From(range.end - 1) });
    }

    fn start_link(&mut self, url: &str, kind: LinkType, range: Range<usize>) {
        let is_plain = matches!(kind, LinkType::Autolink | LinkType::Email);
        self.links.push(Link { url: url.to_owned(), range, start: self.flow.text.len(), is_plain });
        self.push_style(self.theme.link());
    }

    /// The address follows the text, unless it is the text.
    fn finish_link(&mut self) {
        self.styles.pop();
        let Some(link) = self.links.pop() else { return };
        let is_shown = link.is_plain || self.flow.text.get(link.start..) == Some(&link.url);
        if is_shown || link.url.is_empty() {
            return;
        }
        let faint = self.theme.faint();
        let (open, address, close) = match self.origin(&link.url, &link.range) {
            // The address is told elsewhere: it is not copied here as well.
            Origin::Whole(..) => (Origin::Drawn, Origin::Drawn, Origin::Drawn),
            origin => (Origin::As(" ("), origin, Origin::As(")")),
        };
        self.flow.push(" (", faint, open);
        self.flow.push(&link.url, faint, address);
        self.flow.push(")", faint, close);
    }

    fn start_item(&mut self, place: usize) {
        self.gap(place);
        let depth = self.lists.len();
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{}. ", *number - 1)
            }
            _ => ["• ", "◦ ", "▪ "][depth.saturating_sub(1) % 3].to_owned(),
        };
        let written = self.source[place..self.end].split_whitespace().next().map_or(0, str::len);
        // With the blank after it, where there is one.
        let end = (place + written + 1).min(self.end);
        let origin = if self.source.is_char_boundary(end) { Origin::Whole(place, end) } else { Origin::Drawn };
        let rest = TextRow::of([(" ".repeat(width_of(&mark)), Style::new(), Origin::Drawn)]);
        self.contain(Some(TextRow::of([(mark, self.theme.accent(), origin)])), rest);
    }

    /// What comes stands behind these marks, as far as there is room for them.
    fn contain(&mut self, first: Option<TextRow>, rest: TextRow) {
        let width = width_of(&rest.text);
        let rest = if self.room() < LEAST_WIDTH + width { TextRow::of([]) } else { rest };
        self.containers.push(Container { first, rest });
    }

    /// The columns that the containers leave.
    fn room(&self) -> usize {
        let taken: usize = self.containers.iter().map(|container| width_of(&container.rest.text)).sum();
        self.width.saturating_sub(taken).max(1)
    }

    /// Ends what was said before a block that begins at `place`, with an empty row where the source has one.
    fn gap(&mut self, place: usize) {
        self.flush();
        let is_first = self.containers.last().is_some_and(|container| container.first.is_some());
        if !is_first && !self.rows.is_empty() && blank_line_before(self.source, place) {
            self.put_blank_line();
        }
    }

    fn put_blank_line(&mut self) {
        let mut row = TextRow::of([]);
        self.containers.iter().for_each(|container| row.append(&container.rest));
        let is_blank_line = |row: &TextRow| row.text.chars().all(|c| c == ' ' || c == '▎');
        if !self.rows.last().is_some_and(is_blank_line) {
            self.rows.push(row);
        }
    }

    /// Breaks what was said into rows.
    fn flush(&mut self) {
        if self.table.is_some() || self.flow.text.is_empty() {
            return;
        }
        let mut flow = std::mem::take(&mut self.flow);
        flow.trim_end();
        let room = self.room().saturating_sub(self.overhang()).max(1);
        flow.rows(room).iter().for_each(|row| self.put(row));
    }

    /// How much wider the marks before the next row are than those before the others.
    fn overhang(&self) -> usize {
        let over = |container: &Container| {
            let first = container.first.as_ref().map_or(0, |first| width_of(&first.text));
            first.saturating_sub(width_of(&container.rest.text))
        };
        self.containers.iter().map(over).sum()
    }

    fn put(&mut self, content: &TextRow) {
        let mut row = TextRow::of([]);
        for container in &mut self.containers {
            let first = container.first.take();
            row.append(first.as_ref().unwrap_or(&container.rest));
        }
        row.append(content);
        row.joined = content.joined;
        self.rows.push(row);
    }

    /// Code: its language over it, a bar beside it. Lines that are too long go on under their indentation.
    fn put_code(&mut self, code: Code) {
        let line_style = self.theme.line();
        if !code.language.is_empty() {
            let label = format!("┌ {}", code.language);
            self.put(&TextRow::of([(label, line_style, Origin::Drawn)]));
        }
        self.contain(None, TextRow::of([("│ ".to_owned(), line_style, Origin::Drawn)]));
        let parts = match &mut self.highlights {
            Some(highlights) => match highlights.lines(code.place, &code.language, &code.text) {
                Highlighting::Lines(lines) => Some(lines),
                Highlighting::Waiting => {
                    self.is_plain = true;
                    None
                }
                Highlighting::Nothing => None,
            },
            None => {
                self.is_plain |= !code.language.is_empty();
                None
            }
        };
        let mut at = 0;
        for (number, line) in code.text.split_inclusive('\n').enumerate() {
            let content = line.trim_end_matches(['\n', '\r']);
            let mut flow = Flow::default();
            let parts = parts.as_ref().and_then(|parts| parts.get(number)).map_or(&[][..], Vec::as_slice);
            let ends = parts.iter().skip(1).map(|part| part.0).chain([content.len()]);
            for (&(start, part), end) in parts.iter().zip(ends) {
                let style = part.map_or(self.theme.text(), |part| self.theme.syntax(part));
                let text = content.get(start..end.min(content.len())).unwrap_or_default();
                flow.push(text, style, code.origin(at + start));
            }
            if parts.is_empty() {
                flow.push(content, self.theme.code(), code.origin(at));
            }
            self.put_code_line(&flow);
            at += line.len();
        }
        self.containers.pop();
    }

    fn put_code_line(&mut self, line: &Flow) {
        let room = self.room();
        let mut rows = line.rows(room);
        if rows.len() > 1 {
            let indent = line.text.len() - line.text.trim_start_matches(' ').len();
            let indent = indent.min(room / 2);
            let from = rows[1].start;
            rows.truncate(1);
            let blank = TextRow::of([(" ".repeat(indent), Style::new(), Origin::Drawn)]);
            for rest in line.rows_from(from, room - indent) {
                let mut row = blank.clone();
                row.append(&rest);
                row.joined = true;
                rows.push(row);
            }
        }
        rows.iter().for_each(|row| self.put(row));
    }
}

impl Code {
    fn origin(&self, at: usize) -> Origin {
        let last = self.origins.partition_point(|&(start, _)| start <= at).checked_sub(1);
        last.and_then(|last| self.origins.get(last))
            .map_or(Origin::Drawn, |&(start, source)| Origin::From(source + at - start))
    }
}

/// Whether the line before the one that `place` is on is empty, but for the marks of quotations.
pub(super) fn blank_line_before(source: &str, place: usize) -> bool {
    let Some(start) = source[..place].rfind('\n') else { return false };
    let before = &source[..start];
    let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
    line.chars().all(|c| c.is_whitespace() || c == '>')
}

fn is_line_break(html: &str) -> bool {
    matches!(html.to_ascii_lowercase().as_str(), "<br>" | "<br/>" | "<br />")
}

fn language(kind: &CodeBlockKind<'_>) -> String {
    match kind {
        CodeBlockKind::Fenced(info) => {
            info.split([' ', ',', '{', '\t']).next().unwrap_or_default().chars().take(24).collect()
        }
        CodeBlockKind::Indented => String::new(),
    }
}

fn heading(theme: Theme, level: HeadingLevel) -> Style {
    match level {
        HeadingLevel::H1 => theme.heading().add_modifier(Modifier::UNDERLINED),
        HeadingLevel::H2 => theme.heading(),
        _ => theme.heading().add_modifier(Modifier::ITALIC),
    }
}
