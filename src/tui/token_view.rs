//! The conversation as tokens: a cursor walks them, message after message, and shows of each what else might have been
//! said.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::conversation::{model_name, writer_name};
use super::figures::{grouped, token_text};
use super::text::{Wrapped, fit, width_of};
use super::theme::Theme;
use super::window::{Choice, Outcome, frame};
use crate::app::keymap::{Context, KeyAction, KeyPress};
use crate::app::{Action, App, InspectedToken, Section, parameters};
use crate::chat::{MessageId, Role};

/// Rows of the alternatives and of what is said of the token, at most.
const DETAIL_ROWS: u16 = 14;

/// Tokens that Page Up and Page Down go.
const PAGE: usize = 10;

/// The view. What it shows is the program's; it only knows where its cursor is.
#[derive(Debug)]
pub(super) struct TokenView {
    /// `None` is the system message.
    message: Option<MessageId>,
    /// Counted from the first token of the message; what the template writes before it is below zero.
    token: isize,
    /// Among the alternatives of the token under the cursor.
    selected: usize,
    /// Why the last key did nothing.
    refusal: Option<&'static str>,
}

/// The conversation, and where the cursor is in it.
struct TokenPlace<'a> {
    sections: Vec<Section<'a>>,
    at: usize,
    token: isize,
}

impl<'a> TokenPlace<'a> {
    fn section(&self) -> Option<&Section<'a>> {
        self.sections.get(self.at)
    }

    /// The token under the cursor; `None` where its message has no known ones.
    fn inspected(&self) -> Option<&InspectedToken<'a>> {
        let section = self.section()?;
        match usize::try_from(self.token) {
            Ok(token) => section.tokens.get(token),
            Err(_) => section.before.get((section.before.len() as isize + self.token) as usize),
        }
    }

    /// The first and the last token of a message.
    fn bounds(&self, at: usize) -> (isize, isize) {
        let bounds = |section: &Section| (-(section.before.len() as isize), section.tokens.len().max(1) as isize - 1);
        self.sections.get(at).map_or((0, 0), bounds)
    }

    fn step(&mut self, forward: bool) {
        let (first, last) = self.bounds(self.at);
        match forward {
            true if self.token < last => self.token += 1,
            true if self.at + 1 < self.sections.len() => {
                self.at += 1;
                self.token = self.bounds(self.at).0;
            }
            false if self.token > first => self.token -= 1,
            false if self.at > 0 => {
                self.at -= 1;
                self.token = self.bounds(self.at).1;
            }
            _ => {}
        }
    }

    fn go_to_message(&mut self, forward: bool) {
        let at = if forward { self.at + 1 } else { self.at.wrapping_sub(1) };
        if at < self.sections.len() {
            (self.at, self.token) = (at, 0);
        } else if !forward {
            self.token = 0;
        }
    }
}

impl TokenView {
    /// With the cursor on the last token of the last reply whose tokens are known, or of the last message.
    pub(super) fn of(app: &App) -> Self {
        let sections = app.sections();
        let known = |section: &&Section| section.role == Role::Assistant && !section.tokens.is_empty();
        let section = sections.iter().rev().find(known).or(sections.last());
        let token = section.map_or(0, |section| section.tokens.len().max(1) as isize - 1);
        Self { message: section.and_then(|section| section.message), token, selected: 0, refusal: None }
    }

    /// Where the cursor is now: the conversation may have changed under it.
    fn place<'a>(&self, app: &'a App) -> TokenPlace<'a> {
        let sections = app.sections();
        let at = sections.iter().position(|section| section.message == self.message);
        let mut place = TokenPlace { at: at.unwrap_or(sections.len().saturating_sub(1)), token: self.token, sections };
        let (first, last) = place.bounds(place.at);
        place.token = self.token.clamp(first, last);
        place
    }

    pub(super) fn on_key(&mut self, app: &App, press: KeyPress) -> Outcome {
        let mut place = self.place(app);
        let alternatives = place.inspected().map_or(0, |token| token.candidates.len());
        self.refusal = None;
        match app.keymap().action(Context::Tokens, press) {
            Some(KeyAction::Stop) if app.scoring().is_some() => return Outcome::Act(Action::StopScoring),
            Some(KeyAction::Stop | KeyAction::Leave | KeyAction::Interrupt | KeyAction::Tokens) => {
                return Outcome::Close;
            }
            Some(KeyAction::ScoreTokens) => return Outcome::Act(Action::ScorePath),
            Some(KeyAction::SelectUp) => self.selected = self.selected.saturating_sub(1),
            Some(KeyAction::SelectDown) => self.selected = (self.selected + 1).min(alternatives.saturating_sub(1)),
            Some(KeyAction::Choose) => return self.enter(&place),
            Some(KeyAction::PreviousToken) => place.step(false),
            Some(KeyAction::NextToken) => place.step(true),
            Some(KeyAction::PageUp) => (0..PAGE).for_each(|_| place.step(false)),
            Some(KeyAction::PageDown) => (0..PAGE).for_each(|_| place.step(true)),
            Some(KeyAction::PreviousMessage) => place.go_to_message(false),
            Some(KeyAction::NextMessage) => place.go_to_message(true),
            Some(KeyAction::Top) => place.token = place.bounds(place.at).0,
            Some(KeyAction::Bottom) => place.token = place.bounds(place.at).1,
            Some(_) => return Outcome::Passed,
            None => {}
        }
        let message = place.section().and_then(|section| section.message);
        if (message, place.token) != (self.message, self.token) {
            (self.message, self.token, self.selected) = (message, place.token, 0);
        }
        Outcome::Taken
    }

    /// Goes on from the choice, or has the message scored.
    fn enter(&mut self, place: &TokenPlace) -> Outcome {
        let Some(section) = place.section() else { return Outcome::Taken };
        let Some(inspected) = place.inspected() else {
            return if section.is_known { Outcome::Taken } else { Outcome::Act(Action::ScorePath) };
        };
        match (section.role, section.message, usize::try_from(place.token)) {
            (Role::Assistant, Some(message), Ok(token)) if self.selected < inspected.candidates.len() => {
                return Outcome::Chosen(Choice::Alternative { message, token, candidate: self.selected });
            }
            (Role::Assistant, _, Ok(_)) => {}
            (_, _, Err(_)) => self.refusal = Some("the template writes this: only a reply can go on from here"),
            (Role::User, _, _) => self.refusal = Some("these are your words: only a reply can go on from here"),
            (Role::System, _, _) => self.refusal = Some("the system message: only a reply can go on from here"),
        }
        Outcome::Taken
    }

    pub(super) fn draw(&self, app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let place = self.place(app);
        let title = match place.section() {
            None => " Tokens ".to_owned(),
            Some(section) if place.token < 0 => format!(" Template, before {} ", whose(app, section)),
            Some(section) if section.tokens.is_empty() => format!(" Tokens · {} ", whose(app, section)),
            Some(section) => {
                format!(" Token {} of {} · {} ", place.token + 1, section.tokens.len(), whose(app, section))
            }
        };
        let inner = frame(area, &title, &self.hint(app, &place), buffer, theme);
        let Some(section) = place.section() else {
            buffer.set_stringn(inner.x, inner.y, "Nothing has been said yet.", inner.width.into(), theme.faint());
            return;
        };
        let detail = DETAIL_ROWS.min(inner.height.saturating_mul(2) / 3);
        let text = Rect { height: inner.height - detail, ..inner };
        draw_text(app, &place, text, buffer, theme);
        let area = Rect { y: text.bottom(), height: detail, ..inner };
        let rows = match place.inspected() {
            Some(token) => self.token_rows(app, section, token, theme),
            None => unknown_rows(app, section, theme),
        };
        let width = usize::from(area.width);
        for (y, (row, style)) in (area.y..area.bottom()).zip(rows) {
            buffer.set_stringn(area.x, y, fit(&row, width), width, style);
        }
    }

    fn hint(&self, app: &App, place: &TokenPlace) -> String {
        if let Some(refusal) = self.refusal.or(app.hint()) {
            return format!(" ! {refusal} ");
        }
        if let Some(scoring) = app.scoring() {
            let hints = app.keymap().hints(Context::Tokens, "<stop> stops");
            return format!(" scoring {} of {} tokens · {hints} ", scoring.done, scoring.total);
        }
        let choose = match place.inspected() {
            None if place.section().is_some_and(|section| !section.is_known) => "<choose> scores it · ",
            Some(_) if place.token >= 0 && place.section().is_some_and(|section| section.role == Role::Assistant) => {
                "<select-up>/<select-down> choose · <choose> goes on from it · "
            }
            _ => "",
        };
        let hints = format!("<previous-token>/<next-token> walk · <next-message> message · {choose}<stop> closes");
        format!(" {} ", app.keymap().hints(Context::Tokens, &hints))
    }

    /// What is known of a token.
    fn token_rows(&self, app: &App, section: &Section, token: &InspectedToken, theme: Theme) -> Vec<(String, Style)> {
        let picked = token.drawn.is_some_and(|drawn| drawn.trace.picked);
        let mut facts = format!("{:?}{}", token.text, if picked { " · picked" } else { "" });
        match token.chance {
            Some(chance) => {
                let rank = grouped(chance.rank as usize + 1);
                let percent = chance.logprob.exp() * 100.0;
                facts.push_str(&format!(" · {percent:.1} % · rank {rank} · entropy {:.2}", chance.entropy));
            }
            None => facts.push_str(" · the first of all: nothing is before it"),
        }
        if let Some(drawn) = token.drawn {
            facts.push_str(&format!(" · kept {:.1} %", drawn.trace.kept_mass * 100.0));
        }
        let mut rows = vec![(facts, theme.title()), (origin(app, section, token), theme.faint())];
        if !token.candidates.is_empty() {
            let heads = if token.drawn.is_some() { "  before   after" } else { "  chance" };
            rows.push((heads.to_owned(), theme.faint()));
        }
        for (at, candidate) in token.candidates.iter().enumerate() {
            let after = match (token.drawn, candidate.cut_by) {
                (None, _) => String::new(),
                (_, Some(filter)) => format!("  {:>7}", filter.as_str()),
                (_, None) => format!("  {:>5.1} %", candidate.after * 100.0),
            };
            let mark = if at == self.selected { "▸" } else { " " };
            let said = match (candidate.token == token.token, picked) {
                (true, true) => "  ◂ picked",
                (true, false) => "  ◂ said",
                (false, _) => "",
            };
            let end = if app.is_end_token(candidate.token) { "  ■ ends the reply" } else { "" };
            let text = shown(&candidate.text);
            let row = format!("{mark}{:>5.1} %{after}  {text}{said}{end}", candidate.before * 100.0);
            let style = match (at == self.selected, candidate.cut_by) {
                (true, _) => theme.chosen(),
                (false, Some(_)) => theme.faint(),
                (false, None) => theme.text(),
            };
            rows.push((row, style));
        }
        rows
    }
}

/// How a token came there.
fn origin(app: &App, section: &Section, token: &InspectedToken) -> String {
    if let Some(drawn) = token.drawn {
        return parameters::in_force(&drawn.sampling);
    }
    let whose = match (token.start, section.role) {
        (None, _) => "of the template".to_owned(),
        (_, Role::User) => "your words".to_owned(),
        (_, Role::System) => "of the system message".to_owned(),
        (Some(start), Role::Assistant) => match app.recorded_sampling(section, start) {
            Some(sampling) => format!("drawn before with {}", parameters::in_force(sampling)),
            None => "of a reply whose sampling is not known".to_owned(),
        },
    };
    format!("scored, not drawn: {whose}")
}

fn whose(app: &App, section: &Section) -> String {
    match section.role {
        Role::User => "you".to_owned(),
        Role::System => "system".to_owned(),
        Role::Assistant => section.message.map_or_else(|| model_name(app), |id| writer_name(app, id)),
    }
}

/// The text of a token as it is seen: one of nothing is seen too.
fn shown(text: &str) -> String {
    if text.is_empty() { "·".to_owned() } else { token_text(text) }
}

/// What is said where the tokens of a message are not known.
fn unknown_rows(app: &App, section: &Section, theme: Theme) -> Vec<(String, Style)> {
    let text = match (app.scoring(), section.message) {
        (Some(scoring), _) => format!("scoring {} of {} tokens", scoring.done, scoring.total),
        (None, Some(id)) if app.is_dropped(id) => "no longer seen by the model: there is nothing to score".to_owned(),
        (None, _) if section.is_known => "no text of it is in what the model sees".to_owned(),
        (None, _) => "not scored yet: Enter has the model read the chat and rate each token".to_owned(),
    };
    vec![(text, theme.title())]
}

/// A piece of a row.
struct Piece {
    row: usize,
    x: usize,
    text: String,
    style: Style,
}

/// The messages under one another, each with a heading; the row of the cursor is always in view.
fn draw_text(app: &App, place: &TokenPlace, area: Rect, buffer: &mut Buffer, theme: Theme) {
    let width = usize::from(area.width).max(1);
    let mut pieces = Vec::new();
    let (mut row, mut cursor) = (0, 0);
    for (at, section) in place.sections.iter().enumerate() {
        pieces.push(Piece { row, x: 0, text: heading(app, section), style: theme.faint() });
        row += 1;
        let here = (at == place.at).then_some(place.token);
        let known_from = section.tokens.first().and_then(|token| token.start).unwrap_or(section.text.len());
        let unknown = if section.is_known { "" } else { &section.text[..known_from.min(section.text.len())] };
        if !unknown.is_empty() {
            let style = if here.is_some() && section.tokens.is_empty() { theme.chosen() } else { theme.faint() };
            cursor = if here.is_some() { row } else { cursor };
            for line in Wrapped::new(unknown, width).rows() {
                pieces.push(Piece { row, x: 0, text: line.text.clone(), style });
                row += 1;
            }
        }
        let mut x = 0;
        let before = section.before.len() as isize;
        for (token, index) in section.before.iter().chain(&section.tokens).zip(-before..) {
            let text = if token.text.is_empty() { String::new() } else { token_text(token.text) };
            // A token without a text is seen where the cursor is.
            let is_here = here == Some(index);
            let text = if is_here { shown(token.text) } else { text };
            let columns = width_of(&text).min(width);
            if x > 0 && x + columns > width {
                (x, row) = (0, row + 1);
            }
            // What was not the most probable is underlined: seen without colours.
            let was_first = token.chance.is_none_or(|chance| chance.rank == 0);
            let style = match (is_here, index < 0, was_first) {
                (true, _, _) => theme.chosen(),
                (_, true, _) => theme.faint(),
                (_, _, true) => theme.text(),
                (_, _, false) => theme.text().add_modifier(Modifier::UNDERLINED),
            };
            cursor = if is_here { row } else { cursor };
            pieces.push(Piece { row, x, text, style });
            x += columns;
        }
        row += usize::from(x > 0);
    }
    let first = cursor.saturating_sub(usize::from(area.height) / 2);
    for Piece { row, x, text, style } in pieces {
        let Some(y) = row.checked_sub(first).filter(|&y| y < usize::from(area.height)) else { continue };
        buffer.set_stringn(area.x + x as u16, area.y + y as u16, text, width.saturating_sub(x), style);
    }
}

/// `you ── scored`: whose message follows, and how its tokens are known.
fn heading(app: &App, section: &Section) -> String {
    let is_drawn = |token: Option<&InspectedToken>| token.is_some_and(|token| token.drawn.is_some());
    let (first, last) = (section.tokens.first(), section.tokens.last());
    let state = match first {
        _ if section.message.is_some_and(|id| app.is_dropped(id)) => "no longer seen by the model",
        None if section.is_known => "not seen by the model",
        None => "not scored",
        Some(_) if is_drawn(first) && section.is_known => "as it was drawn",
        Some(_) if is_drawn(last) && section.is_known => "scored, its end as it was drawn",
        Some(_) if is_drawn(last) => "its end as it was drawn",
        Some(_) => "scored, not drawn",
    };
    format!("── {} · {state} ──", whose(app, section))
}
