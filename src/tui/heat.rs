//! The conversation as a heat map: each token in the style of how sure the model was of it, and a line that says what the
//! styles mean.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::theme::{SURENESS_LEVELS, Theme};
use crate::app::App;
use crate::app::heat::{ENTROPIES, PROBABILITIES, RANKS};
use crate::chat::Node;
use crate::settings::Heat;

/// Rows of a conversation from which on one of them says what the styles mean.
const ROOM_FOR_LEGEND: u16 = 4;

/// A message in the styles of its tokens.
#[derive(Debug)]
pub(super) struct HeatMap {
    /// Ranges of its text, in order.
    pub(super) styled: Vec<(Range<usize>, Style)>,
    /// Why it is plain, where it is.
    pub(super) missing: Option<String>,
}

/// The heat map of a message; `None` where none is wanted.
pub(super) fn of(app: &App, node: &Node, theme: Theme) -> Option<HeatMap> {
    let heat = Some(app.heat()).filter(|heat| *heat != Heat::Off)?;
    let section = app.section(Some(node.id), node.message.role, &node.message.content);
    let is_inside = |range: &Range<usize>| section.text.get(range.clone()).is_some_and(|text| !text.is_empty());
    let mut styled: Vec<(Range<usize>, Style)> = Vec::with_capacity(section.tokens.len());
    for token in &section.tokens {
        let Some((start, chance)) = token.start.zip(token.chance) else { continue };
        let range = start..token.end().min(section.text.len());
        if is_inside(&range) {
            styled.push((range, theme.sureness(heat.level(chance))));
        }
    }
    let missing = (!section.is_known && !section.text.is_empty()).then(|| match app.scoring() {
        Some(scoring) => format!("scoring {} of {} tokens", scoring.done, scoring.total),
        None => "not scored: /score rates it".to_owned(),
    });
    Some(HeatMap { styled, missing })
}

/// Draws what the styles mean over the first row of `area`, where a heat map is shown, and returns the rest.
pub(super) fn draw_legend(app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) -> Rect {
    let heat = app.heat();
    if heat == Heat::Off || area.height < ROOM_FOR_LEGEND {
        return area;
    }
    let end = area.right();
    let mut x = area.x;
    let mut put = |text: &str, style: Style| {
        x = buffer.set_stringn(x, area.y, text, usize::from(end.saturating_sub(x)), style).0;
    };
    put(heat.name(), theme.title());
    for (level, label) in labels(heat).iter().enumerate() {
        put(" ", theme.text());
        put(label, theme.sureness(level));
    }
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// What each level means, the least sure first.
fn labels(heat: Heat) -> [String; SURENESS_LEVELS] {
    let percent = |bound: f32| format!("{:.0}%", bound * 100.0);
    match heat {
        Heat::Off => Default::default(),
        Heat::Probability => {
            let [a, b, c, d] = PROBABILITIES.map(percent);
            [format!("<{a}"), format!("<{b}"), format!("<{c}"), format!("<{d}"), format!("≥{d}")]
        }
        Heat::Rank => {
            let [first, second, third, last] = RANKS;
            let range = |from: u32, to: u32| if from == to { to.to_string() } else { format!("{from}–{to}") };
            [
                format!(">{last}"),
                range(third + 1, last),
                range(second + 1, third),
                range(first + 1, second),
                range(1, first),
            ]
        }
        Heat::Entropy => {
            let [a, b, c, d] = ENTROPIES.map(|bound| format!("{bound:.1}"));
            [format!(">{d}"), format!(">{c}"), format!(">{b}"), format!(">{a}"), format!("≤{a} nats")]
        }
    }
}
