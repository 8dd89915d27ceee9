//! The panels beside the conversation: sampling, the next token, throughput; and the one line they fold into.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::context::{self, Part};
use super::figures::{grouped, percent, token_text};
use super::step_view::pick_keys;
use super::targets::{Target, Targets};
use super::text::{fit, width_of};
use super::theme::Theme;
use crate::app::parameters::{PARAMETERS, Parameter, ParameterSpec, ParameterValue};
use crate::app::{App, ContextUse, NextToken, Origin, Phase};

/// Columns of a panel's inside.
pub(super) const WIDTH: u16 = 30;

/// Columns of a slider.
const SLIDER: usize = 10;

/// Marks a value that the model brings, behind it.
const OF_MODEL: &str = "*";

/// Says so, where a name of this many columns stands beside it at most.
const LEGEND: &str = "* model";
const LONGEST_BESIDE_LEGEND: usize = 11;

/// Columns of a candidate's bar.
const BAR: usize = 4;

/// Columns of a candidate's text.
const TEXT: usize = 9;

/// Parameters that are shown on a low screen, and on a high one; the rest is reached by the arrow keys.
const MAIN_PARAMETERS: usize = 6;
const MORE_PARAMETERS: usize = 10;

/// Rows from which on every parameter is shown.
const ROWS_FOR_ALL: usize = 48;

/// The sampling panel's own state.
#[derive(Debug, Default)]
pub(super) struct SamplingPanel {
    selected: usize,
    /// The first that was in view.
    first: usize,
    /// A value that is being typed.
    typed: Option<String>,
}

impl SamplingPanel {
    /// The parameter that the keys turn.
    pub(super) fn parameter(&self) -> Parameter {
        PARAMETERS[self.selected].parameter
    }

    /// Goes to another parameter, round the ends.
    pub(super) fn select(&mut self, by: isize) {
        self.selected = (self.selected as isize + by).rem_euclid(PARAMETERS.len() as isize) as usize;
    }

    /// Goes to the parameter of this row.
    pub(super) fn choose(&mut self, row: usize) {
        self.selected = row.min(PARAMETERS.len() - 1);
    }

    /// Takes a character of a value; `false` where it cannot be part of one.
    pub(super) fn type_char(&mut self, character: char) -> bool {
        let fits = character.is_ascii_digit() || matches!(character, '.' | ',' | '-');
        if fits {
            self.typed.get_or_insert_default().push(character);
        }
        fits
    }

    /// Takes back a character.
    pub(super) fn backspace(&mut self) {
        if let Some(typed) = self.typed.as_mut() {
            typed.pop();
        }
    }

    /// The value that was typed, which is then no longer being typed.
    pub(super) fn take_typed(&mut self) -> Option<String> {
        self.typed.take()
    }

    pub(super) fn is_typing(&self) -> bool {
        self.typed.is_some()
    }

    /// The value of a row: what is being typed, or what is set.
    fn value(&self, row: usize, app: &App) -> String {
        match &self.typed {
            Some(typed) if row == self.selected => format!("{typed}▏"),
            _ => shown(PARAMETERS[row].parameter, app),
        }
    }
}

/// A parameter's value; a list of filters as the letters that stand for them.
fn shown(parameter: Parameter, app: &App) -> String {
    match parameter.get(app.sampling()) {
        ParameterValue::Samplers(samplers) => samplers.letters(),
        _ => parameter.display(app.sampling()),
    }
}

/// Draws the panels into an area [`WIDTH`] wide, whose left border is at `area.x - 1`.
pub(super) fn draw(
    app: &App,
    panel: &mut SamplingPanel,
    focused: bool,
    area: Rect,
    (buffer, theme): (&mut Buffer, Theme),
    targets: &mut Targets,
) {
    let height = usize::from(area.height);
    let high = height >= 24;
    let parameters = match height {
        ROWS_FOR_ALL.. => PARAMETERS.len(),
        _ if high => MORE_PARAMETERS,
        _ => MAIN_PARAMETERS,
    };
    let throughput = if high { 7 } else { 4 };
    let candidates = height.saturating_sub(1 + parameters + throughput + 1).min(10);
    let mut pen = Pen { area, y: area.y, buffer, theme, targets };
    pen.sampling(app, panel, focused, parameters.min(height.saturating_sub(1)));
    if candidates > 0 {
        pen.next_token(app, candidates);
    }
    pen.throughput(app, high);
}

/// Draws row after row.
struct Pen<'a> {
    area: Rect,
    y: u16,
    buffer: &'a mut Buffer,
    theme: Theme,
    targets: &'a mut Targets,
}

impl Pen<'_> {
    fn full(&self) -> bool {
        self.y >= self.area.bottom()
    }

    /// Columns of the present row can be clicked.
    fn target(&mut self, x: usize, width: usize, target: Target) {
        if !self.full() {
            let area = Rect { x: self.area.x + x as u16, y: self.y, width: width as u16, height: 1 };
            self.targets.push(area.intersection(self.area), target);
        }
    }

    /// Puts text at a column of the present row.
    fn put(&mut self, x: usize, text: &str, style: Style) {
        if !self.full() && x < usize::from(self.area.width) {
            let room = usize::from(self.area.width) - x;
            self.buffer.set_stringn(self.area.x + x as u16, self.y, text, room, style);
        }
    }

    fn put_right(&mut self, text: &str, style: Style) {
        let x = usize::from(self.area.width).saturating_sub(width_of(text) + 1);
        self.put(x, text, style);
    }

    /// A line over the whole width with a title in it, joined to the borders.
    fn rule(&mut self, title: &str, right: &str) {
        if self.full() {
            return;
        }
        let width = usize::from(self.area.width);
        self.buffer.set_string(self.area.x - 1, self.y, "├", self.theme.line());
        self.put(0, &"─".repeat(width), self.theme.line());
        self.buffer.set_string(self.area.right(), self.y, "┤", self.theme.line());
        self.put(0, &format!(" {title} "), self.theme.title());
        if !right.is_empty() {
            let text = format!(" {right} ");
            self.put(width.saturating_sub(width_of(&text) + 1), &text, self.theme.text());
        }
        self.y += 1;
    }

    fn sampling(&mut self, app: &App, panel: &mut SamplingPanel, focused: bool, rows: usize) {
        let style = if focused { self.theme.chosen() } else { self.theme.title() };
        self.put(1, "Sampling", style);
        let name = format!("[{}]", fit(app.sampling_name(), 14));
        self.put_right(&name, self.theme.text());
        let is_of_model = |spec: &ParameterSpec| app.origin(spec.parameter) == Origin::Model;
        if PARAMETERS.iter().any(is_of_model) && width_of(&name) <= LONGEST_BESIDE_LEGEND {
            self.put(10, LEGEND, self.theme.faint());
        }
        self.y += 1;
        // The chosen row is always in view, and one that is clicked stays under the mouse.
        let first = panel.first.min(panel.selected).max((panel.selected + 1).saturating_sub(rows));
        panel.first = first.min(PARAMETERS.len().saturating_sub(rows));
        for row in first..(first + rows).min(PARAMETERS.len()) {
            self.parameter(app, panel, row, focused && row == panel.selected);
        }
    }

    fn parameter(&mut self, app: &App, panel: &SamplingPanel, row: usize, chosen: bool) {
        let spec = &PARAMETERS[row];
        if chosen {
            self.put(0, "▸", self.theme.accent());
        }
        let name_style = if chosen { self.theme.chosen() } else { self.theme.text() };
        self.put(1, spec.label, name_style);
        let value = panel.value(row, app);
        let width = usize::from(self.area.width);
        let fraction = spec.parameter.fraction(app.sampling());
        let room = if fraction.is_some() { 18 } else { usize::from(self.area.width) - 1 };
        let x = room.saturating_sub(width_of(&value)).max(12);
        // What no filter asks for is there and does nothing.
        let is_reached = spec.parameter.is_reached(app.sampling());
        let accent = if is_reached { self.theme.accent() } else { self.theme.faint() };
        self.put(x, &value, accent);
        if app.origin(spec.parameter) == Origin::Model && x + width_of(&value) <= room {
            self.put(room, OF_MODEL, self.theme.faint());
        }
        if let Some(fraction) = fraction {
            let knob = (fraction * (SLIDER - 1) as f64).round() as usize;
            let track: String = (0..SLIDER).map(|at| if at == knob { '●' } else { '━' }).collect();
            self.put(19, &track, self.theme.line());
            self.put(19, &"━".repeat(knob), accent);
            self.put(19 + knob, "●", accent);
            self.target(19, SLIDER, Target::Slider(row));
        }
        self.target(0, width, Target::Parameter(row));
        self.y += 1;
    }

    fn next_token(&mut self, app: &App, rows: usize) {
        let next = app.next_token();
        let entropy = next.map_or_else(String::new, |next| format!("entropy {:.1}", next.entropy));
        self.rule(if app.is_paused() { "Next · paused" } else { "Next token" }, &entropy);
        let Some(NextToken { kept_mass, candidates, chosen, .. }) = next else {
            self.put(1, "shown while it speaks", self.theme.faint());
            self.y += rows as u16;
            return;
        };
        let kept = format!("kept {:.1} %", kept_mass * 100.0);
        self.put(1, "before  after", self.theme.faint());
        self.put_right(&kept, self.theme.text());
        self.y += 1;
        let rows = rows - 1;
        let keys = if app.is_paused() && chosen.is_none() { pick_keys(app) } else { &[] };
        for (place, candidate) in candidates.iter().enumerate().take(rows) {
            if let Some(key) = keys.get(place) {
                self.put(0, &fit(key, 1), self.theme.chosen());
            }
            let cut = candidate.cut_by.is_some();
            let share = if cut { candidate.before } else { candidate.after };
            let filled = ((share * BAR as f32).round() as usize).clamp(1, BAR);
            let bar = if cut { "░" } else { "▇" }.repeat(filled);
            let chosen = chosen == Some(candidate.token);
            let style = match (cut, chosen) {
                (true, _) => self.theme.faint(),
                (false, true) => self.theme.title(),
                (false, false) => self.theme.text(),
            };
            self.put(1, &format!("{:>5}", percent(candidate.before)), style);
            // What a filter has cut says which one: that is seen without colours as well.
            let after = match candidate.cut_by {
                Some(filter) => format!("{:>7}", filter.as_str()),
                None => format!("{:>7}", percent(candidate.after)),
            };
            self.put(6, &after, style);
            self.put(14, &bar, if cut { self.theme.faint() } else { self.theme.accent() });
            let text = token_text(&candidate.text);
            self.put(15 + BAR, &fit(&text, TEXT), style);
            if chosen {
                self.put_right("◂", self.theme.accent());
            }
            self.target(0, usize::from(self.area.width), Target::Candidate(place));
            self.y += 1;
        }
        self.y += (rows - candidates.len().min(rows)) as u16;
    }

    /// The context's bar has a row of its own, and a legend, where the screen is `high`.
    fn throughput(&mut self, app: &App, high: bool) {
        self.rule("Throughput", "");
        let rate = format!("{} tok/s", rate_text(app));
        self.put(1, &rate, self.theme.accent());
        let x = 2 + width_of(&rate).max(11);
        self.put(x, &sparkline(app, usize::from(self.area.width).saturating_sub(x + 1)), self.theme.accent());
        self.y += 1;
        self.put(1, &prefill_text(app), self.theme.text());
        self.y += 1;
        let context = app.context_use();
        let text = context::numbers(&context);
        self.put(1, &text, self.theme.text());
        let beside = 2 + width_of(&text);
        self.y += u16::from(high);
        let x = if high { 1 } else { beside };
        self.context_bar(&context, x, usize::from(self.area.width).saturating_sub(x + 1));
        self.y += 1;
        if high {
            for (row, warns) in context::legend(&context) {
                self.put(1, &row, if warns { self.theme.warning() } else { self.theme.text() });
                self.y += 1;
            }
        }
    }

    fn context_bar(&mut self, context: &ContextUse, x: usize, width: usize) {
        let mut x = x;
        for (part, columns) in context::bar(context, width) {
            let style = match part {
                Part::Turns => self.theme.accent(),
                Part::Draft => self.theme.title(),
                Part::System | Part::Free => self.theme.faint(),
            };
            self.put(x, &part.mark().repeat(columns), style);
            x += columns;
        }
    }
}

/// Tokens a second: of this moment while a reply runs, otherwise of the last one.
fn rate_text(app: &App) -> String {
    let rate = match app.generation() {
        Some(_) => app.meter().rate(),
        None => app.last_summary().map(|summary| summary.stats.decode_tokens_per_second()).filter(|rate| *rate > 0.0),
    };
    match rate {
        Some(rate) if rate < 10.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
        None => "–".to_owned(),
    }
}

fn prefill_text(app: &App) -> String {
    match app.generation().map(|generation| (generation.phase, generation)) {
        Some((Phase::Waiting, _)) => "waiting for the model".to_owned(),
        Some((Phase::Prefill { done, total, .. }, _)) => format!("prompt {} / {}", grouped(done), grouped(total)),
        Some((Phase::Decoding, generation)) => {
            format!("first token {} ms", generation.first_token.unwrap_or_default().as_millis())
        }
        None => match app.last_summary().map(|summary| &summary.stats) {
            Some(stats) => format!(
                "prefill {} tok/s · {} ms",
                grouped(stats.prefill_tokens_per_second().round() as usize),
                stats.time_to_first_token.as_millis()
            ),
            None => "prefill – tok/s".to_owned(),
        },
    }
}

fn sparkline(app: &App, width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let course = app.meter().course();
    let skip = course.len().saturating_sub(width);
    let shown: Vec<f64> = course.skip(skip).collect();
    let most = shown.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    shown.iter().map(|rate| LEVELS[((rate / most * 7.0).round() as usize).min(7)]).collect()
}

/// The panels in one line, for a narrow screen.
pub(super) fn draw_folded(
    app: &App,
    panel: &SamplingPanel,
    focused: bool,
    area: Rect,
    (buffer, theme): (&mut Buffer, Theme),
    targets: &mut Targets,
) {
    let right = format!("{} tok/s · {} ", rate_text(app), context::short(&app.context_use()));
    let right_x = usize::from(area.width).saturating_sub(width_of(&right));
    let mut x = 0;
    // The chosen one comes first, so that it is there however narrow the screen is.
    let chosen = if focused { panel.selected } else { 0 };
    let order = std::iter::once(chosen).chain((0..MAIN_PARAMETERS).filter(|&row| row != chosen));
    for row in order {
        let name = PARAMETERS[row].short_label;
        let value = panel.value(row, app);
        let is_chosen = focused && row == panel.selected;
        let text = if is_chosen { format!(" ◂{name} {value}▸") } else { format!(" {name} {value}") };
        if x + width_of(&text) + 2 > right_x {
            break;
        }
        let style = if is_chosen { theme.chosen() } else { theme.text() };
        buffer.set_stringn(area.x + x as u16, area.y, &text, right_x - x, style);
        let place = Rect { x: area.x + x as u16, width: width_of(&text) as u16, ..area };
        targets.push(place, Target::Parameter(row));
        x += width_of(&text);
    }
    buffer.set_stringn(area.x + right_x as u16, area.y, &right, usize::from(area.width), theme.accent());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(214), "214");
        assert_eq!(grouped(8192), "8 192");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }

    #[test]
    fn blank_tokens_are_seen() {
        assert_eq!(token_text(" Seine"), " Seine");
        assert_eq!(token_text("\n\n"), "↵↵");
        assert_eq!(token_text(" "), "␣");
        assert_eq!(token_text("\x1b["), "␛[");
    }
}
