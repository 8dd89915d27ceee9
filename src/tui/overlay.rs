//! What lies over the screen: a stack whose top is asked first, and either takes a key or passes it on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::chat_list::ChatList;
use super::fuzzy::{self, Order};
use super::help::Help;
use super::line_input::LineInput;
use super::text::{Wrapped, fit, one_line, width_of};
use super::theme::Theme;
use super::token_view::TokenView;
use super::window::{Choice, Outcome, frame, row_after};
use crate::app::keymap::{Context, KeyAction, KeyPress, Keymap};
use crate::app::{App, Effect, List};

/// Something over the screen.
#[derive(Debug)]
pub(super) enum Overlay {
    /// Keys and commands.
    Help(Help),
    /// A list to choose from.
    Picker(Picker),
    /// The conversation as tokens.
    Tokens(TokenView),
    /// Saved chats.
    Chats(ChatList),
}

/// A list that narrows down as one types.
#[derive(Debug)]
pub(super) struct Picker {
    title: &'static str,
    items: Vec<Item>,
    query: LineInput,
    selected: usize,
    order: Order,
}

/// A row of a list.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) choice: Choice,
    pub(super) label: String,
    pub(super) detail: String,
    /// What stands over the rows that have this in common.
    pub(super) heading: Option<&'static str>,
}

impl Overlay {
    pub(super) fn help(keymap: &Keymap) -> Self {
        Self::Help(Help::new(keymap))
    }

    pub(super) fn picker(title: &'static str, items: Vec<Item>) -> Self {
        Self::picker_at(title, items, 0)
    }

    /// A list with the cursor on one of its rows.
    pub(super) fn picker_at(title: &'static str, items: Vec<Item>, selected: usize) -> Self {
        Self::Picker(Picker { title, items, query: LineInput::default(), selected, order: Order::List })
    }

    /// The same list with its matches in another order.
    pub(super) fn ordered(self, order: Order) -> Self {
        match self {
            Self::Picker(picker) => Self::Picker(Picker { order, ..picker }),
            other => other,
        }
    }

    /// The theme under the cursor, where themes are being chosen: the whole screen shows it.
    pub(super) fn shown_theme(&self) -> Option<&str> {
        let Self::Picker(picker) = self else { return None };
        match &picker.matching().get(picker.selected)?.choice {
            Choice::Row(List::Themes, name) if picker.title == List::Themes.title() => Some(name),
            _ => None,
        }
    }

    /// Earlier prompts, the newest first.
    pub(super) fn history(history: &[String]) -> Self {
        let items = history.iter().rev().map(|prompt| Item {
            choice: Choice::Text(prompt.clone()),
            label: one_line(prompt),
            detail: String::new(),
            heading: None,
        });
        Self::picker("Prompts", items.collect())
    }

    pub(super) fn on_key(&mut self, app: &App, press: KeyPress) -> Outcome {
        match self {
            Self::Help(help) => help.on_key(app.keymap(), press),
            Self::Picker(picker) => picker.on_key(app.keymap(), press),
            Self::Tokens(view) => view.on_key(app, press),
            Self::Chats(list) => list.on_key(app.keymap(), press),
        }
    }

    pub(super) fn draw(&mut self, app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
        match self {
            Self::Help(help) => help.draw(app.keymap(), area, buffer, theme),
            Self::Picker(picker) => picker.draw(app.keymap(), area, buffer, theme),
            Self::Tokens(view) => view.draw(app, area, buffer, theme),
            Self::Chats(list) => list.draw(app.keymap(), area, buffer, theme),
        }
    }

    /// A text that is pasted narrows a list down.
    pub(super) fn paste(&mut self, text: &str) -> Vec<Effect> {
        match self {
            Self::Help(help) => help.paste(text),
            Self::Picker(picker) => {
                picker.query.insert(text);
                picker.selected = 0;
            }
            Self::Tokens(_) => {}
            Self::Chats(list) => return list.paste(text).map(Effect::SearchSessions).into_iter().collect(),
        }
        Vec::new()
    }
}

impl Picker {
    fn matching(&self) -> Vec<&Item> {
        if self.query.text().trim().is_empty() {
            return self.items.iter().collect();
        }
        let rows = self.items.iter().map(|item| (item.label.as_str(), item.detail.as_str()));
        fuzzy::matching(self.query.text(), rows, self.order).into_iter().map(|place| &self.items[place]).collect()
    }

    fn on_key(&mut self, keymap: &Keymap, press: KeyPress) -> Outcome {
        let last = self.matching().len().saturating_sub(1);
        match keymap.action(Context::List, press) {
            Some(KeyAction::Stop | KeyAction::Interrupt) => return Outcome::Close,
            Some(KeyAction::Choose) => {
                let chosen = self.matching().get(self.selected).map(|item| item.choice.clone());
                return chosen.map_or(Outcome::Close, Outcome::Chosen);
            }
            Some(action) => match row_after(action, self.selected, last) {
                Some(row) => self.selected = row,
                None => return Outcome::Passed,
            },
            None if self.query.on_key(keymap, press) => self.selected = 0,
            None => {}
        }
        Outcome::Taken
    }

    fn draw(&mut self, keymap: &Keymap, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let title = format!(" {} ", self.title);
        let area = self.area(area);
        let hints = keymap.hints(Context::List, "type to search · <choose> chooses · <stop> closes");
        let inner = frame(area, &title, &format!(" {hints} "), buffer, theme);
        if inner.height == 0 {
            return;
        }
        let width = usize::from(inner.width);
        buffer.set_stringn(inner.x, inner.y, format!("> {}", self.query.shown()), width, theme.text());
        let items = self.matching();
        let list = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
        let list = draw_cut_detail(items.get(self.selected).copied(), list, buffer, theme);
        if items.is_empty() && list.height > 0 {
            buffer.set_stringn(list.x, list.y, "  nothing matches", width, theme.faint());
        }
        let rows = rows_of(&items);
        let selected = rows.iter().position(|row| *row == Row::Item(self.selected)).unwrap_or(0);
        let first = (selected + 1).saturating_sub(usize::from(list.height));
        for (row, y) in rows.into_iter().skip(first).zip(list.y..list.bottom()) {
            let area = Rect { y, height: 1, ..list };
            match row {
                Row::Heading(text) => draw_heading(text, area, buffer, theme),
                Row::Item(at) => items[at].draw(at == self.selected, area, buffer, theme),
            }
        }
    }

    /// Themes leave what is over them free, so that one sees the conversation in each.
    fn area(&self, area: Rect) -> Rect {
        if self.title != List::Themes.title() {
            return area;
        }
        // The frame, the query, and the rows that `frame` leaves out above and below.
        let height = (self.items.len() as u16 + 5).min(area.height);
        Rect { y: area.bottom() - height, height, ..area }
    }
}

/// A row of a list on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Stands over those that follow, and cannot be chosen.
    Heading(&'static str),
    /// This one of the items.
    Item(usize),
}

/// The items, each group of them under its heading.
fn rows_of(items: &[&Item]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut group = None;
    for (at, item) in items.iter().enumerate() {
        if item.heading != group {
            rows.extend(item.heading.map(Row::Heading));
            group = item.heading;
        }
        rows.push(Row::Item(at));
    }
    rows
}

/// `── can be had ─────`
fn draw_heading(text: &str, row: Rect, buffer: &mut Buffer, theme: Theme) {
    let width = usize::from(row.width);
    buffer.set_string(row.x, row.y, "─".repeat(width), theme.line());
    if width > 6 {
        buffer.set_string(row.x + 2, row.y, format!(" {} ", fit(text, width - 6)), theme.faint());
    }
}

impl Item {
    /// Columns of the detail, of so many in all.
    fn detail_width(&self, width: usize) -> usize {
        if self.detail.is_empty() { 0 } else { width / 2 }
    }

    fn draw(&self, chosen: bool, row: Rect, buffer: &mut Buffer, theme: Theme) {
        let width = usize::from(row.width);
        let label = format!("{}{}", if chosen { "▸ " } else { "  " }, self.label);
        let label_width = width - self.detail_width(width);
        let style = if chosen { theme.chosen() } else { theme.text() };
        buffer.set_stringn(row.x, row.y, fit(&label, label_width), width, style);
        let room = self.detail_width(width).saturating_sub(1);
        let x = row.x + (label_width + 1) as u16;
        buffer.set_stringn(x, row.y, fit(&self.detail, room), room, theme.faint());
    }
}

/// Where the chosen row's detail does not fit into its row, such as why a file cannot be used, it is said below the list;
/// returns what is left for that.
fn draw_cut_detail(chosen: Option<&Item>, list: Rect, buffer: &mut Buffer, theme: Theme) -> Rect {
    let width = usize::from(list.width);
    let is_cut = |item: &&Item| width_of(&item.detail) + 1 > item.detail_width(width) && !item.detail.is_empty();
    let Some(item) = chosen.filter(is_cut) else { return list };
    let detail = Wrapped::new(&item.detail, width);
    let height = (detail.rows().len() as u16).min(list.height / 2);
    let below = Rect { y: list.bottom() - height, height, ..list };
    for (y, row) in (below.y..below.bottom()).zip(detail.rows()) {
        buffer.set_stringn(below.x, y, &row.text, width, theme.faint());
    }
    Rect { height: list.height - height, ..list }
}
