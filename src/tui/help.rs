//! F1: every key and every command, and a search through them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::fuzzy::Words;
use super::line_input::LineInput;
use super::text::{Wrapped, width_of};
use super::theme::Theme;
use super::window::{Outcome, frame, row_after};
use crate::app::commands;
use crate::app::keymap::{Context, KeyAction, KeyPress, Keymap};

/// The list, narrowed down as one types.
#[derive(Debug)]
pub(super) struct Help {
    rows: Vec<HelpRow>,
    query: LineInput,
    /// The line at the top.
    top: usize,
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum HelpRow {
    Heading(&'static str),
    Entry {
        /// The keys, or the command.
        left: String,
        /// What it does.
        right: String,
        /// What it is called in config.toml, which is searched too.
        name: String,
    },
}

impl Help {
    /// With the keys in force.
    pub(super) fn new(keymap: &Keymap) -> Self {
        Self { rows: rows(keymap), query: LineInput::default(), top: 0 }
    }

    pub(super) fn on_key(&mut self, keymap: &Keymap, press: KeyPress) -> Outcome {
        match keymap.action(Context::List, press) {
            Some(KeyAction::Stop) if !self.query.text().is_empty() => {
                self.query.clear();
                self.top = 0;
            }
            // The key that has opened it closes it, too.
            Some(KeyAction::Stop | KeyAction::Interrupt | KeyAction::Choose | KeyAction::Help) => {
                return Outcome::Close;
            }
            // The last line is known when they are drawn.
            Some(action) => match row_after(action, self.top, usize::MAX) {
                Some(top) => self.top = top,
                None => return Outcome::Passed,
            },
            None if self.query.on_key(keymap, press) => self.top = 0,
            None => {}
        }
        Outcome::Taken
    }

    pub(super) fn paste(&mut self, text: &str) {
        self.query.insert(text);
        self.top = 0;
    }

    /// What the query leaves: entries that have each of its words, and the headings over them.
    fn matching(&self) -> Vec<&HelpRow> {
        let words = Words::of(self.query.text());
        let mut shown: Vec<&HelpRow> = Vec::new();
        for row in &self.rows {
            match row {
                HelpRow::Heading(_) => {
                    shown.pop_if(|last| matches!(last, HelpRow::Heading(_)));
                    shown.push(row);
                }
                HelpRow::Entry { left, right, name } => {
                    if words.are_in(&format!("{left} {right} {name}")) {
                        shown.push(row);
                    }
                }
            }
        }
        shown.pop_if(|last| matches!(last, HelpRow::Heading(_)));
        shown
    }

    pub(super) fn draw(&mut self, keymap: &Keymap, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let hints = keymap.hints(Context::List, "type to search · <select-up>/<select-down> scroll · <stop> closes");
        let inner = frame(area, " Keys and commands ", &format!(" {hints} "), buffer, theme);
        if inner.height == 0 {
            return;
        }
        let width = usize::from(inner.width);
        buffer.set_stringn(inner.x, inner.y, format!("> {}", self.query.shown()), width, theme.text());
        let inner = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
        let rows = self.matching();
        if rows.is_empty() && inner.height > 0 {
            buffer.set_stringn(inner.x, inner.y, "  nothing matches", width, theme.faint());
        }
        let entries =
            rows.iter().filter_map(|row| if let HelpRow::Entry { left, .. } = row { Some(left) } else { None });
        let widest = entries.map(|left| width_of(left)).max().unwrap_or(0);
        let left = widest.min(width * 2 / 5);
        let right = width.saturating_sub(left + 1).max(1);
        let lines = lines(&rows, left, right);
        self.top = self.top.min(lines.len().saturating_sub(usize::from(inner.height)));
        for (y, (key, help, heading)) in (inner.y..inner.bottom()).zip(&lines[self.top..]) {
            let style = if *heading { theme.title() } else { theme.accent() };
            buffer.set_stringn(inner.x, y, key, width, style);
            let x = inner.x + left as u16 + 1;
            buffer.set_stringn(x.min(inner.right()), y, help, right, theme.text());
        }
    }
}

/// The rows broken into lines: (left, right, whether it is a heading).
fn lines(rows: &[&HelpRow], left: usize, right: usize) -> Vec<(String, String, bool)> {
    let mut lines = Vec::new();
    for row in rows {
        match row {
            HelpRow::Heading(text) => lines.push(((*text).to_owned(), String::new(), true)),
            HelpRow::Entry { left: keys, right: help, .. } => {
                let (keys, help) = (Wrapped::new(keys, left), Wrapped::new(help, right));
                let count = keys.rows().len().max(help.rows().len());
                let row = |wrapped: &Wrapped, at: usize| wrapped.rows().get(at).map_or_else(String::new, text_of);
                lines.extend((0..count).map(|at| (row(&keys, at), row(&help, at), false)));
            }
        }
    }
    lines
}

fn text_of(row: &super::text::TextRow) -> String {
    row.text.clone()
}

fn rows(keymap: &Keymap) -> Vec<HelpRow> {
    let mut rows = Vec::new();
    for &context in Context::ALL {
        rows.push(HelpRow::Heading(context.title()));
        let of_context = keymap.rows().iter().filter(|row| row.binding.context == context && !row.keys.is_empty());
        rows.extend(of_context.map(|row| HelpRow::Entry {
            left: row.keys.join(" · "),
            right: keymap.help(row.binding),
            name: row.binding.action.name(),
        }));
    }
    rows.push(HelpRow::Heading("Commands"));
    rows.extend(commands::all().iter().map(|command| {
        let also: String = command.aliases.iter().map(|alias| format!(" /{alias}")).collect();
        let also = if also.is_empty() { also } else { format!(" (also{also})") };
        HelpRow::Entry { left: command.usage(), right: format!("{}{also}", command.help), name: String::new() }
    }));
    rows
}
