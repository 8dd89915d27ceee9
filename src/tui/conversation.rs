//! The conversation: what each message and note on the path looks like, as cells.

mod body;
mod scroll;
mod selection;
mod single;

use std::borrow::Cow;
use std::ops::Range;

use ratatui::style::Style;

use super::theme::Theme;
use crate::app::attachments::{self, Piece};
use crate::app::keymap::Context;
use crate::app::{App, Note, NoteKind, Phase};
use crate::chat::thinking::Thought;
use crate::chat::{MessageId, MessageState, Node, Role};

pub(super) use scroll::Conversation;
pub(super) use selection::Released;
pub(super) use single::{DivergenceMarks, SingleMessage};

/// What a cell shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CellKey {
    Message(MessageId),
    /// A later part of a question, behind a file that is folded.
    Part(MessageId, usize),
    /// A line that stands for a file in a question.
    FoldedFile(MessageId, usize),
    /// A line that stands for a thought.
    FoldedThought(MessageId),
    /// A thought as it is.
    Thought(MessageId),
    Footer(MessageId),
    Note(u64),
    Welcome,
    Waiting,
}

/// A cell as it is to be drawn.
struct Cell<'a> {
    key: CellKey,
    heading: Option<(String, Style)>,
    /// What stands before each row.
    indent: &'static str,
    /// What stands before the first.
    mark: &'static str,
    text: Cow<'a, str>,
    style: Style,
    /// Whether the text is Markdown and rendered as such.
    is_markdown: bool,
    /// Ranges of the text, in order, that have a style of their own; such a text is shown as it is.
    styled: Vec<(Range<usize>, Style)>,
    /// Whether more is to come, so that the stream's cursor follows the text.
    streaming: bool,
    /// Whether an empty row follows.
    gap: bool,
}

impl<'a> Cell<'a> {
    /// A text by itself, as it is, with an empty row behind it.
    fn new(key: CellKey, text: impl Into<Cow<'a, str>>, style: Style) -> Self {
        Self {
            key,
            heading: None,
            indent: "",
            mark: "",
            text: text.into(),
            style,
            is_markdown: false,
            styled: Vec::new(),
            streaming: false,
            gap: true,
        }
    }
}

/// A part of the conversation, in the order of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ViewEntry {
    Welcome,
    Message(MessageId),
    /// The note at this place of [`App::notes`].
    Note(usize),
    /// The reply that has no text yet.
    Waiting,
}

/// The messages on the path, with the notes that follow each.
fn entries(app: &App) -> Vec<ViewEntry> {
    let path = app.transcript().path();
    let notes = app.notes();
    let mut entries = Vec::with_capacity(path.len() + notes.len() + 1);
    // Notes are in the order of time, not of the path.
    let mut by_message: std::collections::HashMap<Option<MessageId>, Vec<ViewEntry>> = std::collections::HashMap::new();
    for (at, note) in notes.iter().enumerate() {
        by_message.entry(note.after).or_default().push(ViewEntry::Note(at));
    }
    if path.is_empty() {
        entries.push(ViewEntry::Welcome);
    }
    let places = std::iter::once(None).chain(path.into_iter().map(|node| Some(node.id)));
    for place in places {
        entries.extend(place.map(ViewEntry::Message));
        entries.extend(by_message.get(&place).into_iter().flatten());
    }
    if is_waiting(app) {
        entries.push(ViewEntry::Waiting);
    }
    entries
}

/// Whether a reply is running that has no text yet.
fn is_waiting(app: &App) -> bool {
    app.generation().is_some_and(|generation| generation.message.is_none())
}

/// The cells of a part of the conversation. `raw` shows Markdown as it was written.
fn cells(app: &App, entry: ViewEntry, theme: Theme, raw: bool) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    match entry {
        ViewEntry::Welcome => cells.push(welcome(app, theme)),
        ViewEntry::Message(id) => {
            if let Some(node) = app.transcript().node(id) {
                push_message(&mut cells, app, node, theme, raw);
            }
        }
        ViewEntry::Note(at) => cells.extend(app.notes().get(at).map(|note| note_cell(note, theme))),
        ViewEntry::Waiting => {
            let phase = app.generation().map(|generation| generation.phase);
            cells.push(Cell {
                heading: Some((model_name(app), theme.model())),
                streaming: true,
                gap: false,
                ..Cell::new(
                    CellKey::Waiting,
                    phase.map(|phase| waiting_text(app, phase)).unwrap_or_default(),
                    theme.faint(),
                )
            });
        }
    }
    cells
}

fn waiting_text(app: &App, phase: Phase) -> String {
    match phase {
        _ if app.is_paused() => "paused before the first token ".to_owned(),
        Phase::Prefill { reused, done, total } if total > reused => {
            format!("reading the prompt: {done} of {total} tokens ")
        }
        Phase::Waiting | Phase::Prefill { .. } | Phase::Decoding => String::new(),
    }
}

pub(super) fn model_name(app: &App) -> String {
    app.model().map_or_else(|| "model".to_owned(), |model| super::text::one_line(&model.name))
}

/// The model that wrote a reply.
pub(super) fn writer_name(app: &App, id: MessageId) -> String {
    app.writer_of(id).map_or_else(|| "model".to_owned(), |name| super::text::one_line(&name))
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
        (None, None) => "No model is loaded: /model lists those that are here, and those that can be had.".to_owned(),
    };
    let steps: String = app.first_steps().iter().map(|line| format!("\n  {line}")).collect();
    let text = if steps.is_empty() { text } else { format!("{text}\n{steps}") };
    Cell::new(CellKey::Welcome, text, theme.faint())
}

fn push_message<'a>(cells: &mut Vec<Cell<'a>>, app: &App, node: &'a Node, theme: Theme, raw: bool) {
    let (mut name, mut style) = match node.message.role {
        Role::User => ("you".to_owned(), theme.user()),
        Role::Assistant => (writer_name(app, node.id), theme.model()),
        Role::System => ("system".to_owned(), theme.title()),
    };
    let (k, n) = app.transcript().branch_position(node.id);
    if n > 1 {
        name.push_str(&format!(" · {k}/{n}"));
    }
    if app.editing().is_some_and(|edited| edited.id == node.id) {
        name.push_str(" · being edited");
    }
    if app.revealed() == Some(node.id) {
        name.push_str(" · found here");
    }
    if app.is_dropped(node.id) {
        name.push_str(" · no longer seen by the model");
        style = theme.faint();
    }
    if app.is_uncounted(node.id) {
        name.push_str(" · not in the prompt");
        style = theme.faint();
    }
    let streaming = node.state == MessageState::Streaming;
    let footer = footer(app, node);
    let heat = super::heat::of(app, node, theme);
    if let Some(missing) = heat.as_ref().and_then(|heat| heat.missing.as_deref()) {
        name.push_str(&format!(" · {missing}"));
    }
    // A heat map shows what was said as it was said.
    let is_rendered = node.message.role == Role::Assistant && heat.is_none();
    let thought = Thought::of(&node.message.content).filter(|_| is_rendered);
    let mut heading = Some((name, style));
    let mut text = Cow::from(node.message.content.as_str());
    let is_inside = thought.as_ref().is_some_and(|thought| !thought.is_over);
    if let Some(thought) = thought {
        text = thought.answer.clone();
        if !thought.is_absent() {
            cells.push(thought_cell(app, node.id, thought, heading.take(), streaming, theme));
        }
    }
    if node.message.role == Role::User && !app.shows_files_of(node.id) {
        let styled = heat.map_or_else(Vec::new, |heat| heat.styled);
        return push_question(cells, app, node, heading, &styled, theme);
    }
    // While a thought goes on there is nothing behind it.
    if heading.is_some() || !is_inside || !text.is_empty() {
        cells.push(Cell {
            heading,
            is_markdown: !raw && is_rendered,
            styled: heat.map_or_else(Vec::new, |heat| heat.styled),
            streaming,
            gap: footer.is_none(),
            ..Cell::new(CellKey::Message(node.id), text, theme.text())
        });
    }
    if let Some(text) = footer {
        cells.push(Cell::new(CellKey::Footer(node.id), text, theme.faint()));
    }
}

/// A question whose long files are folded to a line each. `styled` are ranges of it in a style of their own.
fn push_question<'a>(
    cells: &mut Vec<Cell<'a>>,
    app: &App,
    node: &'a Node,
    mut heading: Option<(String, Style)>,
    styled: &[(Range<usize>, Style)],
    theme: Theme,
) {
    let content = node.message.content.as_str();
    let pieces = attachments::pieces(content);
    let last = pieces.len() - 1;
    for (at, piece) in pieces.into_iter().enumerate() {
        let heading = heading.take();
        cells.push(match piece {
            Piece::Text(range) => {
                let key = if at == 0 { CellKey::Message(node.id) } else { CellKey::Part(node.id, at) };
                let inside = styled.iter().filter(|(of, _)| range.start <= of.start && of.end <= range.end);
                let moved =
                    |(of, style): &(Range<usize>, Style)| (of.start - range.start..of.end - range.start, *style);
                Cell {
                    heading,
                    styled: inside.map(moved).collect(),
                    gap: at == last,
                    ..Cell::new(key, &content[range], theme.text())
                }
            }
            Piece::Folded(file) => {
                let hint = app.keymap().hints(Context::Transcript, "<toggle-fold> shows it once marked");
                let text = [super::text::one_line(&file.label()), hint].join(" · ");
                Cell {
                    heading,
                    indent: "  ",
                    mark: "▸ ",
                    gap: at == last,
                    ..Cell::new(CellKey::FoldedFile(node.id, at), text, theme.faint())
                }
            }
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
    let is_shown = app.shows_thought_of(id);
    let folded = || {
        let text = format!("{} · <toggle-thoughts> shows it", thought.summary(streaming));
        app.keymap().hints(Context::Anywhere, &text).into()
    };
    let (key, text) = match is_shown {
        true => (CellKey::Thought(id), thought.text.clone()),
        false => (CellKey::FoldedThought(id), folded()),
    };
    Cell {
        heading,
        indent: if is_shown { "│ " } else { "  " },
        mark: if is_shown { "│ " } else { "▸ " },
        streaming: streaming && !thought.is_over,
        ..Cell::new(key, text, theme.faint())
    }
}

/// What a reply cost, or what was changed while it runs.
fn footer(app: &App, node: &Node) -> Option<String> {
    if node.message.role != Role::Assistant {
        return None;
    }
    if node.state == MessageState::Streaming {
        let generation = app.generation().filter(|generation| generation.message == Some(node.id))?;
        let picked = if generation.picked > 0 { format!("{} picked", generation.picked) } else { String::new() };
        let parts = [picked, generation.changes()].into_iter().filter(|part| !part.is_empty());
        return parts.reduce(|line, part| format!("{line} · {part}"));
    }
    match (app.summary(node.id), node.state) {
        (Some(summary), _) => Some(summary.line()),
        (None, MessageState::Cut) => Some("cut · /continue goes on".to_owned()),
        (None, _) => None,
    }
}

fn note_cell(note: &Note, theme: Theme) -> Cell<'_> {
    let (mark, style) = match note.kind {
        NoteKind::Info => ("· ", theme.text()),
        NoteKind::Warning => ("! ", theme.warning()),
        NoteKind::Error => ("✗ ", theme.error()),
    };
    Cell { indent: "  ", mark, ..Cell::new(CellKey::Note(note.number), note.text.as_str(), style) }
}
