//! What can be picked while a reply is paused, where there is no panel for it: the numbered candidates in a few rows.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::figures::{percent, token_text};
use super::targets::{Target, Targets};
use super::text::fit;
use super::theme::Theme;
use crate::app::App;
use crate::app::keymap::{Context, KeyAction};
use crate::app::step::Pause;
use crate::worker::protocol::Candidate;

/// Columns of a candidate with its probability before and after the filters, and with the one after alone.
const WIDE: usize = 25;
const NARROW: usize = 18;

/// The rows that the candidates take on a screen of this height; none where the reply is not paused.
pub(super) fn rows(app: &App, height: u16) -> u16 {
    if app.is_paused() { (height / 5).clamp(1, 3) } else { 0 }
}

/// Draws as many candidates as there is room for, row by row.
pub(super) fn draw(app: &App, area: Rect, (buffer, theme): (&mut Buffer, Theme), targets: &mut Targets) {
    let Some(next) = app.next_token().filter(|next| next.chosen.is_none()) else { return };
    let width = usize::from(area.width);
    let is_wide = width >= 2 * WIDE;
    let column = if is_wide { WIDE } else { NARROW };
    let columns = (width / column).max(1);
    for (at, (candidate, key)) in next.candidates.iter().zip(pick_keys(app)).enumerate() {
        let (x, y) = (at % columns * column, area.y + (at / columns) as u16);
        if y >= area.bottom() {
            break;
        }
        let style = if candidate.cut_by.is_some() { theme.faint() } else { theme.text() };
        let room = column.min(width - x).saturating_sub(1);
        let x = area.x + x as u16;
        buffer.set_stringn(x, y, fit(key, 1), room, theme.chosen());
        targets.push(Rect { x, y, width: room as u16, height: 1 }, Target::Candidate(at));
        let text = cell(candidate, is_wide);
        buffer.set_stringn(x + 1, y, fit(&text, room.saturating_sub(1)), room.saturating_sub(1), style);
    }
}

/// The keys that pick a candidate, in the order of the list.
pub(super) fn pick_keys(app: &App) -> &[String] {
    app.keymap().keys(Context::Stepping, KeyAction::PickCandidate)
}

/// ` 60.0→66.7  Seine`, or ` 10.0→top-k  banks` where that filter has cut it.
fn cell(candidate: &Candidate, is_wide: bool) -> String {
    let after = match candidate.cut_by {
        Some(filter) => filter.as_str().to_owned(),
        None => percent(candidate.after),
    };
    let before = if is_wide { format!("{:>4}→", percent(candidate.before)) } else { String::new() };
    format!(" {before}{after:<4} {}", token_text(&candidate.text))
}

/// What the status line says, in words that can be left out from the end.
pub(super) fn status(app: &App, focus: Context, is_written: bool) -> Option<String> {
    let generation = app.generation().filter(|running| !running.stopping)?;
    let hints = |text| app.keymap().hints(Context::Stepping, text);
    match &generation.pause {
        Pause::No => None,
        Pause::Asked => Some(hints("pausing · <pause> go on · <stop> stop")),
        Pause::Yes { held_back, .. } => {
            let held = if held_back.is_empty() { String::new() } else { format!(" ({held_back:?} is held back)") };
            let keys = match focus {
                Context::Sampling => {
                    "<draw-token> draw · <decrease>/<increase> turn · <previous-focus> back to picking · <stop> stop"
                }
                _ if is_written => {
                    "picking waits for what is written (<delete-to-start>) · <pause> go on · <stop> stop"
                }
                _ => "<draw-token> draw · <take-token-back> undo · <go-on> go on · <stop> stop",
            };
            let picks = match pick_keys(app) {
                [first, .., last] if focus != Context::Sampling && !is_written => format!("{first}-{last} pick · "),
                _ => String::new(),
            };
            let keys = hints(keys);
            Some(format!("PAUSED{held} · {picks}{keys}"))
        }
    }
}
