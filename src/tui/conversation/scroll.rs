//! The view of the conversation: what is in view is laid out, what is not is only guessed at.

use std::collections::HashMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::body::Body;
use super::selection::Selection;
use super::{Cell, CellKey, ViewEntry, cells, entries, is_waiting};
use crate::app::attachments::folded;
use crate::app::{App, SessionId};
use crate::chat::provenance::ViewPlace;
use crate::chat::{MessageId, Role};
use crate::tui::markdown::{Page, colors};
use crate::tui::text::{TextRow, width_of};
use crate::tui::theme::Theme;

/// The bodies that are kept; of more than these, those out of view go.
const KEPT: usize = 500;

/// A row of the conversation: of which entry, and which of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ScrollPlace {
    pub(super) entry: usize,
    pub(super) row: usize,
}

/// Where the view stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scroll {
    /// At the end, and stays there.
    Follow,
    /// With this row at the top.
    At(ScrollPlace),
}

/// What the list of entries was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    head: Option<MessageId>,
    messages: usize,
    notes: usize,
    is_waiting: bool,
}

/// The view of the conversation.
#[derive(Debug)]
pub(in crate::tui) struct Conversation {
    session: Option<SessionId>,
    shape: Option<Shape>,
    pub(super) entries: Vec<ViewEntry>,
    /// Rows of each entry: exact where it was in view at this width, a guess elsewhere.
    pub(super) heights: Vec<usize>,
    pub(super) bodies: HashMap<CellKey, Body>,
    scroll: Scroll,
    /// Rows to scroll by, down if positive, once the next frame knows what is there.
    pending: isize,
    /// Rows of the last frame.
    height: usize,
    width: usize,
    /// Rows below the view.
    below: usize,
    pub(super) raw: bool,
    /// The message that was scrolled to, since something was found in it.
    revealed: Option<MessageId>,
    /// Blocks of Markdown that were laid out for bodies that are gone.
    former_work: usize,
    /// The message that keys act on.
    marked: Option<MessageId>,
    /// Whether it is to be brought into view.
    reveals: bool,
    /// Whether the conversation has the focus, so that the mark is shown.
    is_focused: bool,
    /// The code block that was copied last, and of which message.
    copied: Option<(MessageId, usize)>,
    pub(super) selection: Selection,
    /// Of the last frame: where it was drawn, from which row on, and how.
    pub(super) area: Rect,
    pub(super) top: ScrollPlace,
    pub(super) page: Option<Page>,
    /// Whether a frame was drawn: syntaxes are not loaded for the first.
    was_drawn: bool,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            session: None,
            shape: None,
            entries: Vec::new(),
            heights: Vec::new(),
            bodies: HashMap::new(),
            scroll: Scroll::Follow,
            pending: 0,
            height: 1,
            width: 0,
            below: 0,
            raw: false,
            revealed: None,
            former_work: 0,
            marked: None,
            reveals: false,
            is_focused: false,
            copied: None,
            selection: Selection::default(),
            area: Rect::ZERO,
            top: ScrollPlace { entry: 0, row: 0 },
            page: None,
            was_drawn: false,
        }
    }
}

impl Conversation {
    /// Scrolls by rows, down if positive.
    pub(in crate::tui) fn scroll(&mut self, by: isize) {
        self.pending = self.pending.saturating_add(by);
    }

    /// Scrolls by pages less a row, down if positive.
    pub(in crate::tui) fn scroll_page(&mut self, by: isize) {
        self.scroll(by * (self.height.saturating_sub(1).max(1)) as isize);
    }

    pub(in crate::tui) fn go_to_start(&mut self) {
        self.scroll = Scroll::At(ScrollPlace { entry: 0, row: 0 });
        self.pending = 0;
    }

    pub(in crate::tui) fn go_to_end(&mut self) {
        self.scroll = Scroll::Follow;
        self.pending = 0;
    }

    /// Which chat was drawn last, and from where on; `None` is at its end.
    pub(in crate::tui) fn view(&self) -> Option<(SessionId, Option<ViewPlace>)> {
        let place = match self.scroll {
            Scroll::Follow => None,
            Scroll::At(_) => self.top_message(),
        };
        Some((self.session.filter(|_| self.was_drawn)?, place))
    }

    /// The message at the top of the view, or the last before it.
    fn top_message(&self) -> Option<ViewPlace> {
        let entries = self.entries.get(..=self.top.entry)?;
        entries.iter().enumerate().rev().find_map(|(at, entry)| match entry {
            ViewEntry::Message(message) => {
                let row = if at == self.top.entry { self.top.row } else { 0 };
                Some(ViewPlace { message: *message, row })
            }
            ViewEntry::Welcome | ViewEntry::Note(_) | ViewEntry::Waiting => None,
        })
    }

    /// Goes to where the view of a chat was left, when it is drawn for the first time.
    fn return_to(&mut self, view: Option<ViewPlace>) {
        let Some(ViewPlace { message, row }) = view.filter(|_| self.scroll == Scroll::Follow && self.pending == 0)
        else {
            return;
        };
        if let Some(entry) = self.entries.iter().position(|entry| *entry == ViewEntry::Message(message)) {
            self.scroll = Scroll::At(ScrollPlace { entry, row });
        }
    }

    /// How many rows are below the view.
    pub(in crate::tui) fn rows_below(&self) -> usize {
        self.below
    }

    /// The message that keys act on, where one is marked.
    pub(in crate::tui) fn marked(&self) -> Option<MessageId> {
        self.marked
    }

    /// Marks the next message, or the one before; the last message comes before no mark at all.
    pub(in crate::tui) fn mark(&mut self, app: &App, by: isize) {
        let path = app.transcript().path();
        let at = self.marked.and_then(|id| path.iter().position(|node| node.id == id));
        let next = match at {
            Some(at) => at.saturating_add_signed(by),
            None if by > 0 => path.len(),
            None => path.len().saturating_sub(1),
        };
        self.mark_message(path.get(next).map(|node| node.id));
    }

    /// After a walk along the siblings of a message: marks the one that is on screen now.
    pub(in crate::tui) fn mark_sibling(&mut self, app: &App, former: MessageId) {
        let Some(parent) = app.transcript().node(former).map(|node| node.parent) else { return };
        let path = app.transcript().path();
        self.mark_message(path.iter().find(|node| node.parent == parent).map(|node| node.id));
    }

    pub(super) fn mark_message(&mut self, message: Option<MessageId>) {
        self.marked = message;
        self.reveals = message.is_some();
    }

    /// The marked message, of which more or less is to be shown; it stays in view.
    pub(in crate::tui) fn unfold_marked(&mut self) -> Option<MessageId> {
        self.selection.clear();
        self.mark_message(self.marked);
        self.marked
    }

    /// The code block of a message that is copied next.
    pub(in crate::tui) fn next_code(&mut self, message: MessageId) -> usize {
        let next = self.copied.filter(|(of, _)| *of == message).map_or(0, |(_, last)| last + 1);
        self.copied = Some((message, next));
        next
    }

    /// Whether the conversation has the focus.
    pub(in crate::tui) fn set_focused(&mut self, is_focused: bool) {
        self.is_focused = is_focused;
    }

    /// How many blocks of Markdown were laid out up to now.
    pub(in crate::tui) fn work(&self) -> usize {
        self.former_work + self.bodies.values().map(Body::work).sum::<usize>()
    }

    /// Draws the part that is in view.
    pub(in crate::tui) fn draw(&mut self, app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let area = crate::tui::heat::draw_legend(app, area, buffer, theme);
        self.keep_up(app, area);
        self.reveal(app);
        let frame = Frame { app, page: Page { width: self.width, theme, colors: colors(!self.was_drawn) } };
        let top = self.settle(frame);
        (self.area, self.top, self.page) = (area, top, Some(frame.page));
        let mut painter = Painter { area, buffer, theme, row: 0, top: top.row };
        let mut entry = top.entry;
        while entry < self.entries.len() && painter.row < top.row + self.height {
            let first = painter.row;
            let cells = cells(app, self.entries[entry], theme, self.raw);
            for cell in &cells {
                painter.cell(cell, self.bodies.get(&cell.key).map_or(&[], Body::rows));
            }
            let is_marked = self.marked.is_some_and(|id| self.entries[entry] == ViewEntry::Message(id));
            let shown = painter.on_screen(first..painter.row);
            self.selection.draw(entry, shown.0, shown.1, area, painter.buffer, theme);
            if is_marked && self.is_focused {
                let gap = usize::from(cells.last().is_some_and(|cell| cell.gap));
                painter.mark(first..painter.row - gap);
            }
            entry += 1;
        }
        let rows_from_top: usize = self.heights[top.entry.min(self.heights.len())..].iter().sum();
        self.below = match self.scroll {
            Scroll::Follow => 0,
            Scroll::At(_) => rows_from_top.saturating_sub(top.row + self.height),
        };
        self.forget(top.entry..entry);
        self.was_drawn = true;
    }

    /// Scrolls to the message that a search has led to, once.
    fn reveal(&mut self, app: &App) {
        if self.revealed == app.revealed() {
            return;
        }
        self.revealed = app.revealed();
        self.marked = self.revealed.or(self.marked);
        let wanted = self.revealed.map(ViewEntry::Message);
        if let Some(entry) = self.entries.iter().position(|&entry| Some(entry) == wanted) {
            self.scroll = Scroll::At(ScrollPlace { entry, row: 0 });
            self.pending = 0;
        }
    }

    /// Takes over what has changed since the last frame: another conversation, messages, notes, another width.
    fn keep_up(&mut self, app: &App, area: Rect) {
        let session = app.session().id;
        // What was done before the first frame stays.
        if self.session.is_some_and(|former| former != session) {
            let was_drawn = self.was_drawn;
            *self = Self { was_drawn, ..Self::default() };
        }
        let is_new = self.session.replace(session).is_none();
        let raw = app.shows_source();
        let transcript = app.transcript();
        let shape = Shape {
            head: transcript.head(),
            messages: transcript.nodes().len(),
            notes: app.notes().len(),
            is_waiting: is_waiting(app),
        };
        let width = usize::from(area.width).max(1);
        self.height = usize::from(area.height);
        if self.shape == Some(shape) && self.width == width && self.raw == raw {
            return;
        }
        let known: HashMap<ViewEntry, usize> = if self.width == width && self.raw == raw {
            self.entries.iter().copied().zip(self.heights.iter().copied()).collect()
        } else {
            HashMap::new()
        };
        let former = std::mem::replace(&mut self.entries, entries(app));
        // What is selected is named by its place.
        if known.is_empty() || !self.entries.starts_with(&former) {
            self.selection.clear();
        }
        (self.shape, self.width, self.raw) = (Some(shape), width, raw);
        self.heights = self
            .entries
            .iter()
            .map(|entry| known.get(entry).copied().unwrap_or_else(|| guess(app, *entry, width)))
            .collect();
        self.marked = self.marked.filter(|&id| self.entries.contains(&ViewEntry::Message(id)));
        if let Scroll::At(place) = &mut self.scroll {
            let last = self.entries.len().saturating_sub(1);
            let entry =
                former.get(place.entry).and_then(|former| self.entries.iter().position(|entry| entry == former));
            place.entry = entry.unwrap_or(place.entry.min(last));
        }
        if is_new {
            self.return_to(app.view_place());
        }
    }

    /// Where the view stands, now that it is known what is there; what is in view is laid out.
    fn settle(&mut self, frame: Frame) -> ScrollPlace {
        let place = self.settle_scroll(frame);
        if !std::mem::take(&mut self.reveals) {
            return place;
        }
        let marked =
            self.entries.iter().position(|&entry| self.marked.is_some_and(|id| entry == ViewEntry::Message(id)));
        let Some(entry) = marked else { return place };
        let height = self.lay_out(frame, entry);
        // Its beginning, and its end where there is room for both.
        let between: usize = (place.entry..entry).map(|entry| self.lay_out(frame, entry)).sum();
        let is_shown = entry >= place.entry
            && between >= place.row
            && between + height.min(self.height) <= place.row + self.height;
        if is_shown {
            return place;
        }
        self.scroll = Scroll::At(ScrollPlace { entry, row: 0 });
        self.settle_scroll(frame)
    }

    fn settle_scroll(&mut self, frame: Frame) -> ScrollPlace {
        let by = std::mem::take(&mut self.pending);
        let place = match self.scroll {
            Scroll::Follow if by >= 0 => return self.end(frame),
            Scroll::Follow => self.end(frame),
            Scroll::At(place) => place,
        };
        let place = self.moved(frame, place, by);
        // What is at the end stays there.
        let mut rows = 0;
        for entry in place.entry..self.entries.len() {
            rows += self.lay_out(frame, entry);
            if rows > place.row + self.height {
                self.scroll = Scroll::At(place);
                return place;
            }
        }
        self.scroll = Scroll::Follow;
        self.end(frame)
    }

    /// The row at the top of the view where its last is the last of all.
    fn end(&mut self, frame: Frame) -> ScrollPlace {
        let mut left = self.height;
        for entry in (0..self.entries.len()).rev() {
            let height = self.lay_out(frame, entry);
            if height >= left {
                return ScrollPlace { entry, row: height - left };
            }
            left -= height;
        }
        ScrollPlace { entry: 0, row: 0 }
    }

    /// `place` moved by rows, down if positive, as far as there are any.
    fn moved(&mut self, frame: Frame, place: ScrollPlace, by: isize) -> ScrollPlace {
        let ScrollPlace { mut entry, row } = place;
        let row = row.min(self.lay_out(frame, entry).saturating_sub(1));
        let mut row = row as isize + by;
        while row < 0 && entry > 0 {
            entry -= 1;
            row += self.lay_out(frame, entry) as isize;
        }
        let mut row = row.max(0) as usize;
        while entry + 1 < self.entries.len() && row >= self.lay_out(frame, entry) {
            row -= self.lay_out(frame, entry);
            entry += 1;
        }
        ScrollPlace { entry, row }
    }

    /// Lays out an entry as far as it has changed, and returns its height.
    pub(super) fn lay_out(&mut self, frame: Frame, entry: usize) -> usize {
        let Some(&which) = self.entries.get(entry) else { return 0 };
        let mut height = 0;
        for cell in &cells(frame.app, which, frame.page.theme, self.raw) {
            let width = self.width.saturating_sub(width_of(cell.indent)).max(1);
            let page = Page { width, ..frame.page };
            let body = self.bodies.entry(cell.key).or_insert_with(|| Body::new(cell, page));
            body.update(cell, page);
            height += usize::from(cell.heading.is_some()) + body.rows().len() + usize::from(cell.gap);
        }
        self.heights[entry] = height;
        height
    }

    /// Lets go what is out of view, where much is kept.
    fn forget(&mut self, shown: std::ops::Range<usize>) {
        if self.bodies.len() <= KEPT {
            return;
        }
        let shown: std::collections::HashSet<ViewEntry> = self.entries[shown].iter().copied().collect();
        let is_shown = |key: &CellKey| key.message().is_none_or(|id| shown.contains(&ViewEntry::Message(id)));
        let former = &mut self.former_work;
        self.bodies.retain(|key, body| {
            let stays = is_shown(key);
            *former += if stays { 0 } else { body.work() };
            stays
        });
    }
}

/// What a frame is drawn from.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) app: &'a App,
    pub(super) page: Page,
}

/// About how many rows an entry takes.
fn guess(app: &App, entry: ViewEntry, width: usize) -> usize {
    let rows = |text: &str| text.len() / width + text.bytes().filter(|&byte| byte == b'\n').count() + 1;
    match entry {
        ViewEntry::Message(id) => app.transcript().node(id).map_or(0, |node| match node.message.role {
            Role::User if !app.shows_files_of(id) => rows(&folded(&node.message.content)) + 2,
            Role::User | Role::Assistant | Role::System => rows(&node.message.content) + 2,
        }),
        ViewEntry::Note(at) => app.notes().get(at).map_or(0, |note| rows(&note.text) + 1),
        ViewEntry::Welcome | ViewEntry::Waiting => 2,
    }
}

impl CellKey {
    /// The message that it is a part of.
    fn message(self) -> Option<MessageId> {
        match self {
            Self::Message(id)
            | Self::Part(id, _)
            | Self::FoldedFile(id, _)
            | Self::FoldedThought(id)
            | Self::Thought(id)
            | Self::Footer(id) => Some(id),
            Self::Note(_) | Self::Welcome | Self::Waiting => None,
        }
    }
}

/// Draws rows from top to bottom, those that are in view.
struct Painter<'a> {
    area: Rect,
    buffer: &'a mut Buffer,
    theme: Theme,
    row: usize,
    top: usize,
}

impl Painter<'_> {
    /// Of some rows: where the first that is in view is on screen, with its place among them, and where the last ends.
    fn on_screen(&self, rows: std::ops::Range<usize>) -> ((u16, usize), u16) {
        let first = rows.start.max(self.top);
        let y = |row: usize| self.area.y + (row - self.top).min(usize::from(self.area.height)) as u16;
        ((y(first), first - rows.start), y(rows.end.max(first)))
    }

    /// Marks rows at their left.
    fn mark(&mut self, rows: std::ops::Range<usize>) {
        let (row, style) = (self.row, self.theme.accent());
        for marked in rows {
            self.row = marked;
            if let (Some(y), Some(x)) = (self.y(), self.area.x.checked_sub(1)) {
                self.buffer.set_string(x, y, "┃", style);
            }
        }
        self.row = row;
    }

    fn cell(&mut self, cell: &Cell, rows: &[TextRow]) {
        if let Some((heading, style)) = &cell.heading {
            self.put(0, heading, *style);
            self.row += 1;
        }
        for (at, row) in rows.iter().enumerate() {
            let mark = if at == 0 { cell.mark } else { cell.indent };
            let x = self.put(0, mark, cell.style);
            let x = self.put_row(x, row, cell.style);
            if cell.streaming && at + 1 == rows.len() {
                self.put(x.min(self.area.width.saturating_sub(1)), "▌", self.theme.accent());
            }
            self.row += 1;
        }
        self.row += usize::from(cell.gap);
    }

    /// The row on screen, if it is in view.
    fn y(&self) -> Option<u16> {
        let y = self.row.checked_sub(self.top).filter(|&y| y < usize::from(self.area.height))?;
        Some(self.area.y + y as u16)
    }

    /// Draws at a column of the row; returns the column after it.
    fn put(&mut self, x: u16, text: &str, style: Style) -> u16 {
        let Some(y) = self.y() else { return x };
        let room = self.area.width.saturating_sub(x);
        let (end, _) = self.buffer.set_stringn(self.area.x + x, y, text, usize::from(room), style);
        end - self.area.x
    }

    fn put_row(&mut self, x: u16, row: &TextRow, style: Style) -> u16 {
        let Some(y) = self.y() else { return x };
        let room = self.area.width.saturating_sub(x);
        row.draw(self.buffer, self.area.x + x, y, usize::from(room), style) - self.area.x
    }
}
