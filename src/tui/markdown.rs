//! Markdown as rows, while it still comes: blocks that are finished are never laid out again.

mod flow;
mod mend;
mod references;
mod table;
mod writer;

use std::ops::Range;

use pulldown_cmark::{Event, Parser};

use super::highlight::{self, Highlights};
use super::text::TextRow;
use super::theme::Theme;
use crate::chat::code::MARKDOWN;
use references::References;
use writer::{Writer, blank_line_before};

/// What a text is rendered for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Page {
    pub(super) width: usize,
    pub(super) theme: Theme,
    /// How many languages can have their colours, see [`colors`]; with 0 no code has any.
    pub(super) colors: usize,
}

/// [`Page::colors`] of this moment, or of a first frame, which waits for no syntax.
pub(super) fn colors(is_first: bool) -> usize {
    if is_first { 0 } else { 1 + highlight::ready() }
}

/// A block at the top level, and the rows up to its end.
#[derive(Debug, Clone, PartialEq)]
struct Block {
    range: Range<usize>,
    /// How much of it is shown, and what closes the emphasis that is open there.
    mended: (usize, String),
    rows: usize,
    /// Labels of links that nothing has been said of yet.
    missing: Vec<String>,
    /// Whether it may have the definitions of links, which show nothing by themselves.
    defines: bool,
}

/// A text that is rendered as Markdown, and may grow at its end.
#[derive(Debug)]
pub(super) struct Markdown {
    page: Page,
    source: String,
    is_streaming: bool,
    blocks: Vec<Block>,
    rows: Vec<TextRow>,
    references: References,
    highlights: Highlights,
    /// Whether code had to do without its colours.
    is_plain: bool,
    /// How many blocks were laid out.
    work: usize,
}

impl Markdown {
    pub(super) fn new(source: &str, is_streaming: bool, page: Page) -> Self {
        let mut markdown = Self {
            page,
            source: String::new(),
            is_streaming,
            blocks: Vec::new(),
            rows: Vec::new(),
            references: References::default(),
            highlights: Highlights::default(),
            is_plain: false,
            work: 0,
        };
        source.clone_into(&mut markdown.source);
        markdown.lay_out();
        markdown
    }

    /// The source is this now, and more is to come or not.
    pub(super) fn update(&mut self, source: &str, is_streaming: bool, page: Page) {
        let same_page = Page { colors: self.page.colors, ..page } == self.page;
        let wants_colors = self.is_plain && page.colors != self.page.colors;
        if !same_page || wants_colors || !source.starts_with(&self.source) {
            let work = self.work;
            *self = Self::new(source, is_streaming, page);
            self.work += work;
            return;
        }
        self.page = page;
        if source.len() == self.source.len() && is_streaming == self.is_streaming {
            return;
        }
        self.is_streaming = is_streaming;
        self.source.push_str(&source[self.source.len()..]);
        self.lay_out();
    }

    #[cfg(test)]
    fn source(&self) -> &str {
        &self.source
    }

    /// The rows; there is at least one.
    pub(super) fn rows(&self) -> &[TextRow] {
        &self.rows
    }

    /// How many blocks were laid out up to now.
    pub(super) fn work(&self) -> usize {
        self.work
    }

    /// Lays out what is new. The last block may still become another, and whether a new block is one of its own can
    /// depend on its first line: so the last two are looked at again, and laid out where they have changed.
    fn lay_out(&mut self) {
        let source = std::mem::take(&mut self.source);
        let settled = if self.is_streaming { mend::settled(&source) } else { &source };
        let known = self.blocks.len().saturating_sub(2);
        let from = self.blocks.get(known).map_or(0, |block| block.range.start);
        let ranges = blocks(settled, from.min(settled.len()));
        let last = ranges.len().saturating_sub(1);
        for (at, range) in ranges.into_iter().enumerate() {
            let text = &source[range.clone()];
            let is_open = self.is_streaming && at == last;
            let mended = if is_open { mend::mend(text) } else { (text.len(), String::new()) };
            let block = Block { range, mended, rows: 0, missing: Vec::new(), defines: false };
            let place = known + at;
            let is_same = (self.blocks.get(place))
                .is_some_and(|former| former.range == block.range && former.mended == block.mended);
            if !is_same {
                self.blocks.truncate(place);
                self.rows.truncate(self.blocks.last().map_or(0, |block| block.rows));
                self.lay_out_block(&source, block);
            }
            if place == known + last {
                self.blocks.truncate(place + 1);
            }
        }
        if settled.trim().is_empty() {
            self.blocks.clear();
        }
        self.define(&source, known);
        self.rows.truncate(self.blocks.last().map_or(0, |block| block.rows));
        if self.rows.is_empty() {
            self.rows.push(TextRow::of([]));
        }
        if !self.is_streaming {
            self.highlights.clear();
        }
        self.source = source;
    }

    fn lay_out_block(&mut self, source: &str, mut block: Block) {
        if self.blocks.is_empty() {
            self.rows.clear();
        }
        let rows = self.render(source, &mut block, self.blocks.is_empty());
        self.rows.extend(rows);
        block.rows = self.rows.len();
        self.blocks.push(block);
    }

    /// The rows of a block, with the empty one before it where there is one.
    fn render(&mut self, source: &str, block: &mut Block, is_first: bool) -> Vec<TextRow> {
        self.work += 1;
        let range = block.range.clone();
        let mut rows = Vec::new();
        if !is_first && blank_line_before(source, range.start) {
            rows.push(TextRow::of([]));
        }
        let (keep, closers) = &block.mended;
        let shown = range.start..range.start + keep;
        let mended = format!("{}{closers}", &source[shown.clone()]);
        let highlights = (self.page.colors > 0).then_some(&mut self.highlights);
        let mut writer = Writer::new(source, shown, self.page.width, self.page.theme, highlights);
        let mut is_empty = true;
        block.missing.clear();
        let resolve = |link| self.references.resolve(&link, &mut block.missing);
        let parser = Parser::new_with_broken_link_callback(&mended, MARKDOWN, Some(resolve));
        for (event, place) in parser.into_offset_iter() {
            is_empty = false;
            writer.event(event, place);
        }
        // The definition of a link, which shows nothing by itself.
        if is_empty {
            writer.literal(range);
        }
        block.defines = is_empty;
        self.is_plain |= writer.is_plain;
        rows.extend(writer.finish());
        rows
    }

    /// Takes the definitions of links from the block `known` on, and lays out the blocks that have waited for them. Of
    /// the last block more may be to come.
    fn define(&mut self, source: &str, known: usize) {
        let finished = self.blocks.len() - usize::from(self.is_streaming && !self.blocks.is_empty());
        let mut news = Vec::new();
        for block in self.blocks.iter().take(finished).skip(known).filter(|block| block.defines) {
            news.extend(self.references.define(&source[block.range.clone()], MARKDOWN));
        }
        if news.is_empty() {
            return;
        }
        for at in 0..self.blocks.len() {
            if self.blocks[at].missing.iter().any(|label| news.contains(label)) {
                self.render_again(source, at);
            }
        }
    }

    /// Lays out a block in its place.
    fn render_again(&mut self, source: &str, at: usize) {
        let start = at.checked_sub(1).map_or(0, |before| self.blocks[before].rows);
        let mut block = self.blocks[at].clone();
        let rows = self.render(source, &mut block, at == 0);
        let (former, now) = (block.rows - start, rows.len());
        self.rows.splice(start..start + former, rows);
        self.blocks[at] = block;
        for block in &mut self.blocks[at..] {
            block.rows = block.rows - former + now;
        }
    }
}

/// The blocks at the top level from `from` on, which begins one: each from the start of its line to its last character.
/// What no block has (the definitions of links) is one too, so that nothing is lost.
fn blocks(source: &str, from: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut depth = 0_usize;
    let mut end = from;
    let mut push = |range: Range<usize>| {
        let start = source[..range.start].rfind('\n').map_or(0, |at| at + 1).max(end);
        let text = source[start..range.end.max(start)].trim_end();
        let between = &source[end..start];
        let blank = between.len() - between.trim_start().len();
        if !between.trim().is_empty() {
            found.push(end + blank..end + between.trim_end().len());
        }
        if !text.trim().is_empty() {
            found.push(start..start + text.len());
        }
        end = start + text.len();
    };
    for (event, range) in Parser::new_ext(&source[from..], MARKDOWN).into_offset_iter() {
        let range = range.start + from..range.end + from;
        match event {
            Event::Start(_) => {
                if depth == 0 {
                    push(range);
                }
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            _ if depth == 0 => push(range),
            _ => {}
        }
    }
    push(source.len()..source.len());
    found
}

#[cfg(test)]
mod tests;
