//! The line that shows how far a pull is while the chat goes on.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::text::{fit, one_line, width_of};
use super::theme::Theme;
use crate::app::{App, Pull};

/// Columns of the bar.
const BAR: u64 = 10;

/// Columns of a name, where there is no room for all of it.
const NAME: usize = 14;

/// Rows that it needs.
pub(super) fn rows(app: &App) -> u16 {
    u16::from(!app.pulls().is_empty())
}

/// Draws it; nothing where nothing is pulled.
pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
    let Some(first) = app.pulls().first().filter(|_| area.height > 0) else { return };
    let text = text(first, app.pulls().len() - 1, usize::from(area.width));
    buffer.set_string(area.x, area.y, text, theme.accent());
}

/// `↓ qwen3:0.6b ██░░░░░░░░ 25 % · 120 of 484 MB · 12.3 MB/s · 30 s left · 1 more · /pull stop`: as much as there is room
/// for. What goes last is how far it is.
fn text(pull: &Pull, more: usize, width: usize) -> String {
    let name = one_line(&pull.name);
    // Whose it is matters least.
    let short = fit(name.rsplit('/').next().unwrap_or(&name), NAME).into_owned();
    let filled = (pull.percent() * BAR / 100).min(BAR) as usize;
    let bar = format!("{}{} ", "█".repeat(filled), "░".repeat(BAR as usize - filled));
    let share = pull.progress.map_or_else(String::new, |_| format!("{} %", pull.percent()));
    let state = pull.state().as_deref().map(one_line).unwrap_or_default();
    let others = if more == 0 { String::new() } else { format!("{more} more") };
    let (bytes, left, speed, stop) = (pull.bytes(), pull.time_left(), pull.speed(), "/pull stop".to_owned());
    let line = |name: &str, bar: &str, parts: &[&String]| {
        let known: Vec<&str> = parts.iter().map(|part| part.as_str()).filter(|part| !part.is_empty()).collect();
        format!("↓ {name} {bar}{}", known.join(" · "))
    };
    let lines = [
        line(&name, &bar, &[&share, &bytes, &speed, &left, &state, &others, &stop]),
        line(&name, &bar, &[&share, &bytes, &speed, &left, &state, &others]),
        line(&name, "", &[&share, &bytes, &speed, &left, &state]),
        line(&short, "", &[&share, &bytes, &speed, &left, &state]),
        line(&short, "", &[&share, &bytes, &left, &state]),
        line(&short, "", &[&share, &left, &state]),
    ];
    let [.., shortest] = &lines;
    let fitting = lines.iter().find(|line| width_of(line) <= width);
    fit(fitting.unwrap_or(shortest), width).into_owned()
}
