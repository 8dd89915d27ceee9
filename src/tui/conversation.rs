//! The conversation: a list of cells that are broken into rows at a width once, and scrolled.

use std::collections::HashMap;
use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::text::{Row, Wrapped, source_spans};
use super::theme::Theme;
use crate::app::SessionId;
use crate::app::keymap::Context;
use crate::app::{App, Note, NoteKind, Phase};
use crate::chat::thinking::Thought;
use crate::chat::{MessageId, MessageState, Node, Role};

/// What a cell shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CellKey {
    Message(MessageId),
    /// A line that stands for a thought.
    FoldedThought(MessageId),
    /// A thought as it is.
    Thought(MessageId),
    Footer(MessageId),
    Note(u64),
    Welcome,
}

/// A cell as it is to be drawn.
struct Cell<'a> {
    key: CellKey,
    heading: Option<(String, Style)>,
    /// What stands before each row.
    indent: &'static str,
    /// What stands before the first.
    mark: &'static str,
    text: std::borrow::Cow<'a, str>,
    style: Style,
    /// Ranges of the text, in order, that have a style of their own.
    styled: Vec<(Range<usize>, Style)>,
    /// Whether more is to come, so that the stream's cursor follows the text.
    streaming: bool,
    /// Whether an empty row follows.
    gap: bool,
}

impl Cell<'_> {
    fn only_grows(&self) -> bool {
        self.styled.is_empty() && matches!(self.key, CellKey::Message(_) | CellKey::Thought(_) | CellKey::Note(_))
    }
}

/// Where the view stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scroll {
    /// At the end, and stays there.
    Follow,
    /// With this row at the top.
    At(usize),
}

/// The view of the conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    session: Option<SessionId>,
    /// Of the last frame.
    theme: Option<Theme>,
    cells: HashMap<CellKey, Wrapped>,
    /// The count of [`App::rewrites`] that the cells stand for.
    rewrites: u64,
    scroll: Scroll,
    /// Of the last frame.
    height: usize,
    total: usize,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            session: None,
            theme: None,
            cells: HashMap::new(),
            rewrites: 0,
            scroll: Scroll::Follow,
            height: 1,
            total: 0,
        }
    }
}

impl Conversation {
    /// Scrolls by rows, down if positive.
    pub(super) fn scroll(&mut self, by: isize) {
        let end = self.total.saturating_sub(self.height);
        let top = match self.scroll {
            Scroll::Follow => end,
            Scroll::At(top) => top.min(end),
        };
        let top = top.saturating_add_signed(by);
        self.scroll = if top >= end { Scroll::Follow } else { Scroll::At(top) };
    }

    /// Scrolls by pages less a row, down if positive.
    pub(super) fn scroll_page(&mut self, by: isize) {
        self.scroll(by * (self.height.saturating_sub(1).max(1)) as isize);
    }

    pub(super) fn go_to_start(&mut self) {
        self.scroll = Scroll::At(0);
    }

    pub(super) fn go_to_end(&mut self) {
        self.scroll = Scroll::Follow;
    }

    /// How many rows are below the view.
    pub(super) fn rows_below(&self) -> usize {
        match self.scroll {
            Scroll::Follow => 0,
            Scroll::At(top) => self.total.saturating_sub(top + self.height),
        }
    }

    /// Draws the part that is in view.
    pub(super) fn draw(&mut self, app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
        if self.session != Some(app.session().id) {
            *self = Self { session: Some(app.session().id), ..Self::default() };
        }
        // Rows hold styles.
        let is_restyled = self.theme.replace(theme) != Some(theme);
        if is_restyled || self.rewrites != app.rewrites() {
            self.rewrites = app.rewrites();
            self.cells.clear();
        }
        let cells = cells(app, theme);
        self.break_rows(&cells, usize::from(area.width));
        self.height = usize::from(area.height);
        self.total = cells.iter().map(|cell| self.rows_of(cell)).sum();
        let end = self.total.saturating_sub(self.height);
        let top = match self.scroll {
            Scroll::At(top) if top < end => top,
            _ => {
                self.scroll = Scroll::Follow;
                end
            }
        };
        let mut painter = Painter { area, buffer, theme, row: 0, top };
        for cell in &cells {
            let rows = self.rows_of(cell);
            if painter.row + rows > top && painter.row < top + self.height {
                painter.cell(cell, self.cells.get(&cell.key).map_or(&[], Wrapped::rows));
            } else {
                painter.row += rows;
            }
        }
    }

    /// Breaks what is new or has grown.
    fn break_rows(&mut self, cells: &[Cell], width: usize) {
        for cell in cells {
            let width = width.saturating_sub(cell.indent.len()).max(1);
            let spans = source_spans(cell.text.len(), Style::new(), cell.styled.iter().cloned());
            match self.cells.get_mut(&cell.key) {
                // The text of a message only ever grows, and that of a note never changes.
                Some(wrapped) if wrapped.width() == width && cell.only_grows() => wrapped.extend(&cell.text, &spans),
                _ => {
                    self.cells.insert(cell.key, Wrapped::styled(&cell.text, &spans, width));
                }
            }
        }
    }

    fn rows_of(&self, cell: &Cell) -> usize {
        let text = self.cells.get(&cell.key).map_or(0, |wrapped| shown_rows(wrapped.rows()).len());
        usize::from(cell.heading.is_some()) + text + usize::from(cell.gap)
    }
}

/// The rows without the empty ones at the end (models like to end with line feeds).
fn shown_rows(rows: &[Row]) -> &[Row] {
    let last = rows.iter().rposition(|row| !row.text.trim().is_empty()).unwrap_or(0);
    &rows[..rows.len().min(last + 1)]
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
    fn cell(&mut self, cell: &Cell, rows: &[Row]) {
        if let Some((heading, style)) = &cell.heading {
            self.put(0, heading, *style);
            self.row += 1;
        }
        let rows = shown_rows(rows);
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

    fn put_row(&mut self, x: u16, row: &Row, style: Style) -> u16 {
        let Some(y) = self.y() else { return x };
        let room = self.area.width.saturating_sub(x);
        row.draw(self.buffer, self.area.x + x, y, usize::from(room), style) - self.area.x
    }
}

/// The messages on the path, with the notes that follow each.
fn cells<'a>(app: &'a App, theme: Theme) -> Vec<Cell<'a>> {
    let path = app.transcript().path();
    let mut cells = Vec::with_capacity(path.len() * 2 + app.notes().len() + 1);
    if path.is_empty() {
        cells.push(welcome(app, theme));
    }
    push_notes(&mut cells, app, None, theme);
    for node in path {
        push_message(&mut cells, app, node, theme);
        push_notes(&mut cells, app, Some(node.id), theme);
    }
    if let Some(generation) = app.generation().filter(|generation| generation.message.is_none()) {
        cells.push(Cell {
            key: CellKey::Welcome,
            heading: Some((model_name(app), theme.model())),
            indent: "",
            mark: "",
            text: waiting_text(generation.phase).into(),
            style: theme.faint(),
            styled: Vec::new(),
            streaming: true,
            gap: false,
        });
    }
    cells
}

fn waiting_text(phase: Phase) -> String {
    match phase {
        Phase::Prefill { reused, done, total } if total > reused => {
            format!("reading the prompt: {done} of {total} tokens ")
        }
        _ => String::new(),
    }
}

fn model_name(app: &App) -> String {
    app.model().map_or_else(|| "model".to_owned(), |model| super::text::one_line(&model.name))
}

fn welcome<'a>(app: &App, theme: Theme) -> Cell<'a> {
    let text = match (app.model(), app.loading()) {
        (_, Some(loading)) if loading.total > 0 => {
            format!("Loading the model: {}. You can type already.", loading.progress())
        }
        (_, Some(_)) => "Loading the model. You can type already.".to_owned(),
        (Some(model), None) => format!(
            "{} is ready: {} M weights in {}, {} threads, a context of {} tokens. Ask it something.",
            super::text::one_line(&model.name),
            model.parameters / 1_000_000,
            model.format,
            model.threads,
            model.context
        ),
        (None, None) => "No model is loaded: /model lists those that there are.".to_owned(),
    };
    let steps: String = app.first_steps().iter().map(|line| format!("\n  {line}")).collect();
    let text = if steps.is_empty() { text } else { format!("{text}\n{steps}") };
    Cell {
        key: CellKey::Welcome,
        heading: None,
        indent: "",
        mark: "",
        text: text.into(),
        style: theme.faint(),
        styled: Vec::new(),
        streaming: false,
        gap: true,
    }
}

fn push_message<'a>(cells: &mut Vec<Cell<'a>>, app: &App, node: &'a Node, theme: Theme) {
    let (mut name, mut style) = match node.message.role {
        Role::User => ("you".to_owned(), theme.user()),
        Role::Assistant => (model_name(app), theme.model()),
        Role::System => ("system".to_owned(), theme.title()),
    };
    let (k, n) = app.transcript().branch_position(node.id);
    if n > 1 {
        name.push_str(&format!(" · {k}/{n}"));
    }
    if app.editing().is_some_and(|edited| edited.id == node.id) {
        name.push_str(" · being edited");
    }
    if app.is_dropped(node.id) {
        name.push_str(" · no longer seen by the model");
        style = theme.faint();
    }
    let streaming = node.state == MessageState::Streaming;
    let footer = footer(app, node);
    let thought = Thought::of(&node.message.content).filter(|_| node.message.role == Role::Assistant);
    let mut heading = Some((name, style));
    let mut text = node.message.content.as_str();
    if let Some(thought) = thought {
        text = thought.answer;
        if !thought.text.is_empty() {
            cells.push(thought_cell(app, node.id, thought, heading.take(), streaming, theme));
        }
    }
    // While a thought goes on there is nothing behind it.
    if heading.is_some() || thought.is_none_or(|thought| thought.is_over) {
        cells.push(Cell {
            key: CellKey::Message(node.id),
            heading,
            indent: "",
            mark: "",
            text: text.into(),
            style: theme.text(),
            styled: Vec::new(),
            streaming,
            gap: footer.is_none(),
        });
    }
    if let Some(text) = footer {
        cells.push(Cell {
            key: CellKey::Footer(node.id),
            heading: None,
            indent: "",
            mark: "",
            text: text.into(),
            style: theme.faint(),
            styled: Vec::new(),
            streaming: false,
            gap: true,
        });
    }
}

/// What a model thought before its answer: as it is, or a line that stands for it.
fn thought_cell<'a>(
    app: &App,
    id: MessageId,
    thought: Thought<'a>,
    heading: Option<(String, Style)>,
    streaming: bool,
    theme: Theme,
) -> Cell<'a> {
    let is_shown = app.shows_thoughts();
    let folded = || {
        let text = format!("{} · <toggle-thoughts> shows it", thought.summary());
        app.keymap().hints(Context::Anywhere, &text).into()
    };
    Cell {
        key: if is_shown { CellKey::Thought(id) } else { CellKey::FoldedThought(id) },
        heading,
        indent: if is_shown { "│ " } else { "  " },
        mark: if is_shown { "│ " } else { "▸ " },
        text: if is_shown { thought.text.into() } else { folded() },
        style: theme.faint(),
        styled: Vec::new(),
        streaming: streaming && !thought.is_over,
        gap: true,
    }
}

/// What a reply cost, or what was changed while it runs.
fn footer(app: &App, node: &Node) -> Option<String> {
    if node.message.role != Role::Assistant {
        return None;
    }
    if node.state == MessageState::Streaming {
        let changes = app.generation().filter(|generation| generation.message == Some(node.id))?.changes();
        let picked = app.tokens_of(node.id).unwrap_or_default().iter().filter(|token| token.trace.picked).count();
        let picked = if picked > 0 { format!("{picked} picked") } else { String::new() };
        let parts = [picked, changes].into_iter().filter(|part| !part.is_empty());
        return parts.reduce(|line, part| format!("{line} · {part}"));
    }
    match (app.summary(node.id), node.state) {
        (Some(summary), _) => Some(summary.line()),
        (None, MessageState::Cut) => Some("cut · /continue goes on".to_owned()),
        (None, _) => None,
    }
}

fn push_notes<'a>(cells: &mut Vec<Cell<'a>>, app: &'a App, after: Option<MessageId>, theme: Theme) {
    for note in app.notes().iter().filter(|note| note.after == after) {
        cells.push(note_cell(note, theme));
    }
}

fn note_cell(note: &Note, theme: Theme) -> Cell<'_> {
    let (mark, style) = match note.kind {
        NoteKind::Info => ("· ", theme.text()),
        NoteKind::Warning => ("! ", theme.warning()),
        NoteKind::Error => ("✗ ", theme.error()),
    };
    Cell {
        key: CellKey::Note(note.number),
        heading: None,
        indent: "  ",
        mark,
        text: note.text.as_str().into(),
        style,
        styled: Vec::new(),
        streaming: false,
        gap: true,
    }
}
