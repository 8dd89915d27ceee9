//! A comparison over the whole screen: its lanes side by side, in two rows, or one at a time where the screen is small.

use std::collections::BTreeMap;
use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Block, BorderType, Clear, Widget};

use super::text::{Row, Wrapped, fit, one_line, source_spans};
use super::theme::Theme;
use crate::app::keymap::Context;
use crate::app::{App, Comparison, Lane, Phase};
use crate::worker::protocol::RequestId;

/// Columns and rows of a lane, its border counted in, below which fewer are shown side by side.
const LEAST: (u16, u16) = (26, 6);

/// What stands at a token that another lane does not have.
const MARK: &str = "▸";

/// How far each lane is scrolled.
#[derive(Debug, Default)]
pub(super) struct LanesView {
    /// The comparison on screen.
    of: Option<RequestId>,
    chosen: usize,
    scrolls: Vec<Scroll>,
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

impl LanesView {
    /// No comparison is on screen.
    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_open(&self) -> bool {
        self.of.is_some()
    }

    /// Scrolls the chosen lane by rows, down if positive.
    pub(super) fn scroll(&mut self, by: isize) {
        let Some(scroll) = self.scrolls.get_mut(self.chosen) else { return };
        let end = scroll.total.saturating_sub(scroll.height);
        let top = scroll.top.map_or(end, |top| top.min(end)).saturating_add_signed(by);
        scroll.top = (top < end).then_some(top);
    }

    /// Scrolls it by pages less a row, down if positive.
    pub(super) fn scroll_page(&mut self, by: isize) {
        let height = self.scrolls.get(self.chosen).map_or(1, |scroll| scroll.height);
        self.scroll(by * height.saturating_sub(1).max(1) as isize);
    }

    /// To its start, or to its end.
    pub(super) fn go_to(&mut self, start: bool) {
        if let Some(scroll) = self.scrolls.get_mut(self.chosen) {
            scroll.top = start.then_some(0);
        }
    }

    pub(super) fn draw(&mut self, app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
        let Some(comparison) = app.comparison() else { return self.close() };
        let count = comparison.lanes.len();
        if self.of != Some(comparison.id) {
            *self = Self { of: Some(comparison.id), chosen: 0, scrolls: vec![Scroll::default(); count] };
        }
        self.chosen = comparison.chosen;
        Clear.render(area, buffer);
        for (lane, area) in places(count, comparison.chosen, area) {
            self.draw_lane(app, comparison, lane, area, buffer, theme);
        }
    }

    fn draw_lane(
        &mut self,
        app: &App,
        comparison: &Comparison,
        at: usize,
        area: Rect,
        buffer: &mut Buffer,
        theme: Theme,
    ) {
        let (Some(lane), Some(scroll)) = (comparison.lanes.get(at), self.scrolls.get_mut(at)) else { return };
        let chosen = at == comparison.chosen;
        let kept = if chosen && comparison.is_kept() { " · kept" } else { "" };
        let mark = if chosen { MARK } else { "" };
        let title = format!(" {mark}{} {}{kept} ", at + 1, one_line(&lane.label));
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
        let (head, text, foot) = parts(app, lane, at, inner);
        let mut pen = Pen { buffer, y: inner.y, inner };
        pen.rows(&head, theme.faint());
        let rows = lane_rows(app, at, lane, usize::from(text.width), theme);
        let height = usize::from(text.height);
        (scroll.height, scroll.total) = (height, rows.len());
        let end = rows.len().saturating_sub(height);
        let top = scroll.top.map_or(end, |top| top.min(end));
        for (y, row) in (text.y..text.bottom()).zip(rows.iter().skip(top)) {
            let after = row.draw(pen.buffer, text.x, y, usize::from(text.width), theme.text());
            let is_last = std::ptr::eq(row, &rows[rows.len() - 1]);
            if is_last && lane.summary.is_none() && !matches!(comparison.phase, Phase::Waiting) {
                pen.buffer.set_string(after.min(text.right() - 1), y, "▌", theme.accent());
            }
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
    fn rows(&mut self, rows: &[Row], style: Style) {
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
    let place = |lane: usize| {
        let (x, width) = cut(area.x, area.width, lane % columns, columns);
        let (y, height) = cut(area.y, area.height, lane / columns, rows);
        (lane, Rect { x, y, width, height })
    };
    (0..count).map(place).collect()
}

/// The rows over a lane's text, where the text is, and the rows under it.
fn parts(app: &App, lane: &Lane, at: usize, inner: Rect) -> (Vec<Row>, Rect, Vec<Row>) {
    let width = usize::from(inner.width);
    let rows_of = |text: &str| match text {
        "" => Vec::new(),
        text => Wrapped::new(text, width).rows().to_vec(),
    };
    let height = usize::from(inner.height);
    let mut foot = rows_of(&cost(app, lane));
    foot.extend(rows_of(&partings(app, at)));
    foot.truncate(height / 3);
    let mut head = if lane.differences == lane.label { Vec::new() } else { rows_of(&lane.differences) };
    head.truncate(height.saturating_sub(foot.len()) / 3);
    let text =
        Rect { y: inner.y + head.len() as u16, height: inner.height - (head.len() + foot.len()) as u16, ..inner };
    (head, text, foot)
}

/// `27 tok · 31 tok/s · perplexity 3.2 · stop: end of turn`
fn cost(app: &App, lane: &Lane) -> String {
    let tokens = lane.message.and_then(|message| app.tokens_of(message)).map_or(0, <[_]>::len);
    let rate = match &lane.summary {
        Some(summary) => Some(summary.stats.decode_tokens_per_second()).filter(|rate| *rate > 0.0),
        None => lane.rate(),
    };
    let mut parts = vec![format!("{tokens} tok")];
    parts.extend(rate.map(|rate| format!("{rate:.0} tok/s")));
    let perplexity = lane.message.and_then(|message| app.perplexity_of(message));
    parts.extend(perplexity.map(|value| format!("perplexity {value:.1}")));
    parts.extend(lane.summary.as_ref().map(|summary| format!("stop: {}", summary.stop())));
    parts.join(" · ")
}

/// `parts at token 6 from 3, at token 21 from 2`, `same as 4`
fn partings(app: &App, at: usize) -> String {
    let mut places: BTreeMap<Option<usize>, Vec<String>> = BTreeMap::new();
    for parting in app.partings(at) {
        places.entry(parting.token).or_default().push((parting.other + 1).to_string());
    }
    let same = places.remove(&None).filter(|_| !app.lane_tokens(at).is_empty());
    let texts: Vec<String> = places
        .into_iter()
        .filter_map(|(token, others)| Some(format!("at token {} from {}", token? + 1, others.join(", "))))
        .collect();
    let parts = (!texts.is_empty()).then(|| format!("parts {}", texts.join(", ")));
    let same = same.map(|others| format!("same as {}", others.join(", ")));
    parts.into_iter().chain(same).collect::<Vec<_>>().join(" · ")
}

/// What a lane says: faint as far as all lanes say the same, and a mark at each token where it parts from another.
fn lane_rows(app: &App, at: usize, lane: &Lane, width: usize, theme: Theme) -> Vec<Row> {
    let tokens = app.lane_tokens(at);
    let node = lane.message.and_then(|message| app.transcript().node(message));
    let content = node.map_or("", |node| node.message.content.as_str());
    let said: usize = tokens.iter().map(|token| token.trace.text.len()).sum();
    // What it was given to begin with.
    let mut text = content.get(..content.len().saturating_sub(said)).unwrap_or_default().to_owned();
    let mut partings: Vec<usize> = app.partings(at).into_iter().filter_map(|parting| parting.token).collect();
    partings.sort_unstable();
    let common = partings.first().copied().unwrap_or(usize::MAX);
    let mut styled: Vec<(Range<usize>, Style)> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        let token = token.trace.text.as_str();
        let parts = partings.binary_search(&place).is_ok();
        let words = token.trim_start();
        let start = text.len();
        text.push_str(&token[..token.len() - words.len()]);
        let marked = text.len();
        if parts {
            text.push_str(MARK);
        }
        text.push_str(words);
        if place < common {
            styled.push((start..text.len(), theme.faint()));
        } else if parts {
            styled.push((marked..text.len(), theme.chosen()));
        }
    }
    let spans = source_spans(text.len(), theme.text(), styled);
    Wrapped::styled(&text, &spans, width).rows().to_vec()
}

/// What the status line says of a comparison.
pub(super) fn status(app: &App, comparison: &Comparison) -> String {
    let (chosen, count) = (comparison.chosen + 1, comparison.lanes.len());
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
