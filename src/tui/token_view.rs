//! A reply as tokens: a cursor walks them, and shows of each what else might have been said.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::overlay::{Choice, Outcome, frame};
use super::panels::token_text;
use super::text::{fit, width_of};
use super::theme::Theme;
use crate::app::keymap::{Key, KeyPress};
use crate::app::{App, TracedToken};
use crate::chat::MessageId;

/// Rows of the alternatives and of what is said of the token, at most.
const DETAIL_ROWS: u16 = 14;

/// The view of one reply.
#[derive(Debug)]
pub(super) struct TokenView {
    message: MessageId,
    tokens: Vec<TracedToken>,
    cursor: usize,
    /// Among the alternatives of the token under the cursor.
    selected: usize,
}

impl TokenView {
    /// Of the last reply on screen whose tokens are known.
    pub(super) fn of(app: &App) -> Option<Self> {
        let path = app.transcript().path();
        let known = path.iter().rev().find_map(|node| Some((node.id, app.tokens_of(node.id)?)));
        let (message, tokens) = known.filter(|(_, tokens)| !tokens.is_empty())?;
        Some(Self { message, tokens: tokens.to_vec(), cursor: tokens.len() - 1, selected: 0 })
    }

    pub(super) fn on_key(&mut self, press: KeyPress) -> Outcome {
        let alternatives = self.tokens[self.cursor].trace.candidates.len();
        match press.key {
            Key::Esc => return Outcome::Close,
            Key::Char('c' | 't') if press.ctrl => return Outcome::Close,
            _ if press.ctrl || press.alt => return Outcome::Passed,
            Key::Char('q') => return Outcome::Close,
            Key::Left => self.go_to(self.cursor.saturating_sub(1)),
            Key::Right => self.go_to(self.cursor + 1),
            Key::PageUp => self.go_to(self.cursor.saturating_sub(10)),
            Key::PageDown => self.go_to(self.cursor + 10),
            Key::Home => self.go_to(0),
            Key::End => self.go_to(usize::MAX),
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => self.selected = (self.selected + 1).min(alternatives.saturating_sub(1)),
            Key::Enter => {
                let candidate = self.tokens[self.cursor].trace.candidates.get(self.selected);
                let choice = |text: &str| Choice::Alternative {
                    message: self.message,
                    token: self.cursor,
                    text: text.to_owned(),
                };
                return candidate.map_or(Outcome::Taken, |candidate| Outcome::Chosen(choice(&candidate.text)));
            }
            _ => {}
        }
        Outcome::Taken
    }

    fn go_to(&mut self, token: usize) {
        self.cursor = token.min(self.tokens.len() - 1);
        self.selected = 0;
    }

    pub(super) fn draw(&self, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let title = format!(" Token {} of {} ", self.cursor + 1, self.tokens.len());
        let hint = " ←/→ walk · ↑/↓ choose · Enter goes on from the choice · Esc closes ";
        let inner = frame(area, &title, hint, buffer, theme);
        let detail = DETAIL_ROWS.min(inner.height.saturating_sub(1));
        let text = Rect { height: inner.height - detail, ..inner };
        self.draw_text(text, buffer, theme);
        self.draw_detail(Rect { y: text.bottom(), height: detail, ..inner }, buffer, theme);
    }

    /// The tokens one after another; the row of the cursor is always in view.
    fn draw_text(&self, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let mut places = Vec::with_capacity(self.tokens.len());
        let (mut x, mut row) = (0_usize, 0_usize);
        for token in &self.tokens {
            let text = token_text(&token.trace.text);
            let width = width_of(&text).min(usize::from(area.width));
            if x > 0 && x + width > usize::from(area.width) {
                (x, row) = (0, row + 1);
            }
            places.push((x, row, text));
            x += width;
        }
        let at = places.get(self.cursor).map_or(0, |place| place.1);
        let first = at.saturating_sub(usize::from(area.height) / 2);
        for (token, (x, row, text)) in places.iter().enumerate() {
            let Some(y) = row.checked_sub(first).filter(|&y| y < usize::from(area.height)) else { continue };
            // What was not the most probable is underlined: seen without colours.
            let was_first = self.tokens[token].rank() == Some(0);
            let plain = if was_first { theme.text() } else { theme.text().add_modifier(Modifier::UNDERLINED) };
            let style = if token == self.cursor { theme.chosen() } else { plain };
            let room = usize::from(area.width).saturating_sub(*x);
            buffer.set_stringn(area.x + *x as u16, area.y + y as u16, text, room, style);
        }
    }

    fn draw_detail(&self, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let TracedToken { trace, sampling } = &self.tokens[self.cursor];
        let rank =
            self.tokens[self.cursor].rank().map_or_else(|| "beyond the list".to_owned(), |rank| (rank + 1).to_string());
        let facts = format!(
            "{:?} · {}{:.1} % · rank {rank} · entropy {:.2} · kept {:.1} %",
            trace.text,
            if trace.picked { "picked · " } else { "" },
            trace.logprob.exp() * 100.0,
            trace.entropy,
            trace.kept_mass * 100.0
        );
        let then = format!(
            "temperature {:.2} · top-k {} · top-p {:.2} · min-p {:.2}",
            sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p
        );
        let width = usize::from(area.width);
        let mut rows =
            vec![(facts, theme.title()), (then, theme.faint()), ("  before   after".to_owned(), theme.faint())];
        for (at, candidate) in trace.candidates.iter().enumerate() {
            let after = match candidate.cut_by {
                Some(filter) => format!("{:>7}", filter.as_str()),
                None => format!("{:>5.1} %", candidate.after * 100.0),
            };
            let mark = if at == self.selected { "▸" } else { " " };
            let said = match (candidate.token == trace.token, trace.picked) {
                (true, true) => "  ◂ picked",
                (true, false) => "  ◂ said",
                (false, _) => "",
            };
            let text = token_text(&candidate.text);
            let row = format!("{mark}{:>5.1} %  {after}  {text}{said}", candidate.before * 100.0);
            let style = match (at == self.selected, candidate.cut_by) {
                (true, _) => theme.chosen(),
                (false, Some(_)) => theme.faint(),
                (false, None) => theme.text(),
            };
            rows.push((row, style));
        }
        for (y, (row, style)) in (area.y..area.bottom()).zip(rows) {
            buffer.set_stringn(area.x, y, fit(&row, width), width, style);
        }
    }
}
