//! A comparison over the whole screen: its lanes side by side, in two rows, or one at a time where the screen is small.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Block, BorderType, Clear, Widget};

use super::conversation::{DivergenceMarks, SingleMessage};
use super::markdown::{Page, colors};
use super::text::{TextRow, Wrapped, fit, one_line};
use super::theme::Theme;
use crate::app::keymap::{Context, KeyAction};
use crate::app::{App, Comparison, Divergence, Phase, Variant};
use crate::worker::protocol::RequestId;

/// Columns and rows of a lane, its border counted in, below which fewer are shown side by side.
const LEAST: (u16, u16) = (26, 6);

/// What stands at a token that another lane does not have.
const MARK: &str = "▸";

/// How far each lane is scrolled.
#[derive(Debug, Default)]
pub(super) struct VariantsView {
    /// The comparison on screen.
    of: Option<RequestId>,
    chosen: usize,
    scrolls: Vec<Scroll>,
    texts: Vec<SingleMessage>,
    /// Where each lane is that the last frame shows.
    places: Vec<(usize, Rect)>,
    /// Whether a frame was drawn: syntaxes are not loaded for the first.
    was_drawn: bool,
}

/// Of one lane.
#[derive(Debug, Clone, Copy, Default)]
struct Scroll {
    /// The row at the top; `None` stays at the end.
    top: Option<usize>,
    /// Of the last frame.
    height: usize,
    total: usize,
}

impl VariantsView {
    /// No comparison is on screen.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_open(&self) -> bool {
        self.of.is_some()
    }

    /// The lane at a place of the screen.
    pub(super) fn variant_at(&self, column: u16, row: u16) -> Option<usize> {
        let place = Position::new(column, row);
        self.places.iter().find(|(_, area)| area.contains(place)).map(|&(variant, _)| variant)
    }

    /// Scrolls the lane at a place of the screen by rows, down if positive.
    pub(super) fn scroll_at(&mut self, column: u16, row: u16, by: isize) {
        self.scroll_variant(self.variant_at(column, row).unwrap_or(self.chosen), by);
    }

    /// Scrolls the chosen lane by rows, down if positive.
    fn scroll(&mut self, by: isize) {
        self.scroll_variant(self.chosen, by);
    }

    /// How many blocks of Markdown were laid out.
    #[cfg(test)]
    pub(super) fn work(&self) -> usize {
        self.texts.iter().map(SingleMessage::work).sum()
    }

    fn scroll_variant(&mut self, variant: usize, by: isize) {
        let Some(scroll) = self.scrolls.get_mut(variant) else { return };
        let end = scroll.total.saturating_sub(scroll.height);
        let top = scroll.top.map_or(end, |top| top.min(end)).saturating_add_signed(by);
        scroll.top = (top < end).then_some(top);
    }

    /// Scrolls it by pages less a row, down if positive.
    fn scroll_page(&mut self, by: isize) {
        let height = self.scrolls.get(self.chosen).map_or(1, |scroll| scroll.height);
        self.scroll(by * height.saturating_sub(1).max(1) as isize);
    }

    /// Whether the key is one for scrolling, which is done.
    pub(super) fn scroll_by_key(&mut self, action: KeyAction) -> bool {
        match action {
            KeyAction::ScrollUp => self.scroll(-1),
            KeyAction::ScrollDown => self.scroll(1),
            KeyAction::PageUp => self.scroll_page(-1),
            KeyAction::PageDown => self.scroll_page(1),
            KeyAction::Top => self.go_to(true),
            KeyAction::Bottom => self.go_to(false),
            _ => return false,
        }
        true
    }

    /// To its start, or to its end.
    fn go_to(&mut self, start: bool) {
        if let Some(scroll) = self.scrolls.get_mut(self.chosen) {
            scroll.top = start.then_some(0);
        }
    }

    pub(super) fn draw(&mut self, app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let Some(comparison) = app.comparison() else { return self.close() };
        let count = comparison.variants.len();
        if self.of != Some(comparison.id) {
            let texts = std::iter::repeat_with(SingleMessage::default).take(count).collect();
            *self = Self { of: Some(comparison.id), scrolls: vec![Scroll::default(); count], texts, ..Self::default() };
        }
        self.chosen = comparison.chosen;
        Clear.render(area, buffer);
        self.places = places(count, comparison.chosen, area);
        for (variant, area) in self.places.clone() {
            self.draw_variant(app, comparison, variant, area, buffer, theme);
        }
        self.was_drawn = true;
    }

    fn draw_variant(
        &mut self,
        app: &App,
        comparison: &Comparison,
        at: usize,
        area: Rect,
        buffer: &mut Buffer,
        theme: Theme,
    ) {
        let (Some(variant), Some(scroll), Some(said)) =
            (comparison.variants.get(at), self.scrolls.get_mut(at), self.texts.get_mut(at))
        else {
            return;
        };
        let chosen = at == comparison.chosen;
        let kept = if chosen && comparison.is_kept() { " · kept" } else { "" };
        let mark = if chosen { MARK } else { "" };
        let title = format!(" {mark}{} {}{kept} ", at + 1, one_line(&variant.label));
        let (border, style) = match chosen {
            true => (BorderType::Thick, theme.accent()),
            false => (BorderType::Plain, theme.line()),
        };
        let block = Block::bordered()
            .border_type(border)
            .border_style(style)
            .title_style(if chosen { theme.chosen() } else { theme.title() })
            .title(fit(&title, usize::from(area.width).saturating_sub(2)).into_owned());
        let inner = block.inner(area);
        block.render(area, buffer);
        let divergences = app.divergences(at);
        let (head, text, foot) = parts(app, variant, (at, &divergences), inner);
        let mut pen = Pen { buffer, y: inner.y, inner };
        pen.rows(&head, theme.faint());
        let page = Page { width: usize::from(text.width).max(1), theme, colors: colors(!self.was_drawn) };
        let total = variant.message.map_or(0, |message| said.lay_out(app, message, page));
        let height = usize::from(text.height);
        (scroll.height, scroll.total) = (height, total);
        let end = total.saturating_sub(height);
        let top = scroll.top.map_or(end, |top| top.min(end));
        let marks = marks(app, at, &divergences);
        let last = match variant.message {
            Some(message) => said.draw(app, message, top, text, (&mut *pen.buffer, theme), &marks),
            None => Some((text.x, text.y)),
        };
        let is_running = variant.summary.is_none() && !matches!(comparison.phase, Phase::Waiting);
        if let Some((x, y)) = last.filter(|_| is_running && top == end && !text.is_empty()) {
            pen.buffer.set_string(x.min(text.right() - 1), y, "▌", theme.accent());
        }
        if top < end && height > 0 {
            let more = format!(" ↓ {} more ", end - top);
            let x = area.right().saturating_sub(more.chars().count() as u16 + 2).max(area.x);
            let room = usize::from(area.right() - x);
            pen.buffer.set_stringn(x, area.bottom() - 1, more, room, theme.warning());
        }
        pen.y = text.bottom();
        pen.rows(&foot, theme.faint());
    }
}

/// Draws rows from top to bottom.
struct Pen<'a> {
    buffer: &'a mut Buffer,
    y: u16,
    inner: Rect,
}

impl Pen<'_> {
    fn rows(&mut self, rows: &[TextRow], style: Style) {
        for row in rows {
            row.draw(self.buffer, self.inner.x, self.y, usize::from(self.inner.width), style);
            self.y += 1;
        }
    }
}

/// Which lanes are shown, and where: all of them in one row or in two, or the chosen one alone.
fn places(count: usize, chosen: usize, area: Rect) -> Vec<(usize, Rect)> {
    let fits = |columns: usize| {
        let rows = count.div_ceil(columns);
        usize::from(area.width) >= columns * usize::from(LEAST.0)
            && usize::from(area.height) >= rows * usize::from(LEAST.1)
    };
    // Of three, none stands alone in a row.
    let columns = [count, 2, 1].into_iter().find(|&columns| count.is_multiple_of(columns) && fits(columns));
    let Some(columns) = columns else { return vec![(chosen, area)] };
    let rows = count / columns;
    let cut = |start: u16, length: u16, at: usize, parts: usize| {
        let place = |at: usize| start + (usize::from(length) * at / parts) as u16;
        (place(at), place(at + 1) - place(at))
    };
    let place = |variant: usize| {
        let (x, width) = cut(area.x, area.width, variant % columns, columns);
        let (y, height) = cut(area.y, area.height, variant / columns, rows);
        (variant, Rect { x, y, width, height })
    };
    (0..count).map(place).collect()
}

/// The rows over a lane's text, where the text is, and the rows under it.
fn parts(
    app: &App,
    variant: &Variant,
    (at, listed): (usize, &[Divergence]),
    inner: Rect,
) -> (Vec<TextRow>, Rect, Vec<TextRow>) {
    let width = usize::from(inner.width);
    let rows_of = |text: &str| match text {
        "" => Vec::new(),
        text => Wrapped::new(text, width).rows().to_vec(),
    };
    let height = usize::from(inner.height);
    let mut foot = rows_of(&cost(app, variant));
    foot.extend(rows_of(&divergences(app, at, listed)));
    foot.truncate(height / 3);
    let mut head = if variant.differences == variant.label { Vec::new() } else { rows_of(&variant.differences) };
    head.truncate(height.saturating_sub(foot.len()) / 3);
    let text =
        Rect { y: inner.y + head.len() as u16, height: inner.height - (head.len() + foot.len()) as u16, ..inner };
    (head, text, foot)
}

/// `27 tok · 31 tok/s · perplexity 3.2 · stop: end of turn`
fn cost(app: &App, variant: &Variant) -> String {
    let tokens = variant.message.and_then(|message| app.tokens_of(message)).map_or(0, <[_]>::len);
    let rate = match &variant.summary {
        Some(summary) => Some(summary.stats.decode_tokens_per_second()).filter(|rate| *rate > 0.0),
        None => variant.rate(),
    };
    let mut parts = vec![format!("{tokens} tok")];
    parts.extend(rate.map(|rate| format!("{rate:.0} tok/s")));
    let perplexity = variant.message.and_then(|message| app.perplexity_of(message));
    parts.extend(perplexity.map(|value| format!("perplexity {value:.1}")));
    parts.extend(variant.summary.as_ref().map(|summary| format!("stop: {}", summary.stop())));
    parts.join(" · ")
}

/// `parts at token 6 from 3, at token 21 from 2`, `same as 4`
fn divergences(app: &App, at: usize, listed: &[Divergence]) -> String {
    let mut places: BTreeMap<Option<usize>, Vec<String>> = BTreeMap::new();
    for divergence in listed {
        places.entry(divergence.token).or_default().push((divergence.other + 1).to_string());
    }
    let same = places.remove(&None).filter(|_| !app.variant_tokens(at).is_empty());
    let texts: Vec<String> = places
        .into_iter()
        .filter_map(|(token, others)| Some(format!("at token {} from {}", token? + 1, others.join(", "))))
        .collect();
    let parts = (!texts.is_empty()).then(|| format!("parts {}", texts.join(", ")));
    let same = same.map(|others| format!("same as {}", others.join(", ")));
    parts.into_iter().chain(same).collect::<Vec<_>>().join(" · ")
}

/// Faint as far as all lanes say the same, and a mark at each token where a lane parts from another. They are laid over
/// the rows that are in view: so Markdown stays what it is, and no row is broken otherwise for them.
fn marks(app: &App, at: usize, divergences: &[Divergence]) -> DivergenceMarks {
    let tokens = app.variant_tokens(at);
    let mut places: Vec<usize> = divergences.iter().filter_map(|divergence| divergence.token).collect();
    places.sort_unstable();
    places.dedup();
    let common = match places.first() {
        // It may have ended where the others go on.
        Some(&first) => tokens.get(first).map_or(usize::MAX, |token| token.start),
        None => usize::MAX,
    };
    let own = places.iter().filter_map(|&place| tokens.get(place)).map(|token| {
        let text = token.trace.text.as_str();
        token.start + text.len() - text.trim_start().len()..token.start + text.len()
    });
    DivergenceMarks { common, own: own.collect(), sign: MARK }
}

/// What the status line says of a comparison.
pub(super) fn status(app: &App, comparison: &Comparison) -> String {
    let (chosen, count) = (comparison.chosen + 1, comparison.variants.len());
    let hints = |text: String| app.keymap().hints(Context::Lanes, &text);
    let choose = format!("<previous-lane>/<next-lane> or 1-{count} choose");
    if !comparison.is_running() {
        return hints(format!(
            "<keep-lane> keep lane {chosen} · {choose} · <scroll-up>/<scroll-down> scroll · <tokens> tokens · <stop> leave"
        ));
    }
    hints(match comparison.phase {
        _ if comparison.stopping => "stopping".to_owned(),
        _ if comparison.is_kept() => format!("lane {chosen} goes on alone and is kept · <stop> stop"),
        Phase::Waiting => "<stop> stop · waiting for the model".to_owned(),
        Phase::Prefill { done, total, .. } => format!("<stop> stop · reading the prompt {done}/{total}"),
        Phase::Decoding => {
            let rate = app.meter().rate().map_or_else(String::new, |rate| format!(" · {rate:.0} tok/s together"));
            format!("<stop> stop · <keep-lane> keep lane {chosen} and stop the others · {choose}{rate}")
        }
    })
}
