//! The list over the composer while a slash command is being typed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use super::text::{fit, one_line, width_of};
use super::theme::Theme;
use crate::app::completion::{self, Completion, Wanted, complete_at};
use crate::app::{App, Effect, commands};

/// Rows of the list.
const ROWS: usize = 8;

/// What the line can become.
#[derive(Debug, Default)]
pub(super) struct Popup {
    items: Vec<Completion>,
    selected: usize,
    /// The line for which the person wants no list.
    dismissed: Option<String>,
    /// What is to be looked up, and whether that was asked for.
    wanted: Option<(Wanted, bool)>,
    /// Whether Enter has nothing to complete in the name of a file.
    is_complete_name: bool,
}

impl Popup {
    /// The line has changed, or may have.
    pub(super) fn update(&mut self, app: &App, line: &str, cursor: usize) {
        let wanted = completion::wanted(line, cursor);
        if self.wanted.as_ref().map(|(wanted, _)| wanted) != wanted.as_ref() {
            self.wanted = wanted.map(|wanted| (wanted, false));
        }
        self.is_complete_name = completion::is_complete(app, line, cursor);
        if self.dismissed.as_deref() == Some(line) {
            self.items.clear();
            return;
        }
        self.dismissed = None;
        let items = complete_at(app, line, cursor);
        if items != self.items {
            self.items = items;
            self.selected = 0;
        }
    }

    /// What is to be looked up for the list, once.
    pub(super) fn take_wanted(&mut self) -> Option<Effect> {
        let (wanted, asked) = self.wanted.as_mut()?;
        (!std::mem::replace(asked, true)).then(|| wanted.clone().effect())
    }

    /// Shows no list until the line changes.
    pub(super) fn dismiss(&mut self, line: &str) {
        self.items.clear();
        self.dismissed = Some(line.to_owned());
    }

    pub(super) fn is_open(&self) -> bool {
        !self.items.is_empty()
    }

    pub(super) fn select(&mut self, by: isize) {
        let count = self.items.len().max(1) as isize;
        self.selected = (self.selected as isize + by).rem_euclid(count) as usize;
    }

    /// The line that the chosen row makes, and where its cursor is.
    pub(super) fn chosen(&self) -> Option<(&str, usize)> {
        self.items.get(self.selected).map(|item| (item.line.as_str(), item.cursor))
    }

    /// Whether the line is a command as it stands, so that Enter gives it.
    pub(super) fn is_complete(&self, line: &str) -> bool {
        let commands::Line::Command { name, .. } = commands::parse(line) else {
            return self.selected == 0 && self.is_complete_name;
        };
        // The first row of the list can be another command that only begins alike.
        commands::find(name).is_some() && self.selected == 0
    }

    /// Draws the list with its lower edge at the top of `below`.
    pub(super) fn draw(&self, below: Rect, buffer: &mut Buffer, theme: Theme) {
        let rows = self.items.len().min(ROWS).min(usize::from(below.y));
        if rows == 0 {
            return;
        }
        let labels = self.items.iter().map(|item| width_of(&item.label)).max().unwrap_or(0);
        let first = (self.selected + 1).saturating_sub(rows);
        let area = Rect { y: below.y - rows as u16, height: rows as u16, ..below };
        Clear.render(area, buffer);
        for (y, (at, item)) in (area.y..).zip(self.items.iter().enumerate().skip(first).take(rows)) {
            let chosen = at == self.selected;
            let mark = if chosen { "▸ " } else { "  " };
            let width = usize::from(area.width);
            let style = if chosen { theme.chosen() } else { theme.text() };
            let (x, _) = buffer.set_stringn(area.x, y, format!("{mark}{}", one_line(&item.label)), width, style);
            let x = x.max(area.x + (labels + 4).min(width) as u16);
            let room = usize::from(area.right().saturating_sub(x));
            buffer.set_stringn(x, y, fit(&item.help, room), room, theme.faint());
        }
    }
}
