//! Where the last frame has what can be clicked: the parts of the screen say it as they are drawn, the mouse asks.

use ratatui::layout::{Position, Rect};

/// What can be clicked besides text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The parameter of this place in the panel's list.
    Parameter(usize),
    Slider(usize),
    /// The candidate of this place for the next token.
    Candidate(usize),
}

/// All of a frame.
#[derive(Debug, Default)]
pub(super) struct Targets(Vec<(Rect, Target)>);

impl Targets {
    /// A new frame begins.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What was drawn here can be clicked; of two on one place the first counts.
    pub(super) fn push(&mut self, area: Rect, target: Target) {
        self.0.push((area, target));
    }

    pub(super) fn at(&self, column: u16, row: u16) -> Option<(Rect, Target)> {
        self.0.iter().find(|(area, _)| area.contains(Position::new(column, row))).copied()
    }
}

/// Where on a slider that was drawn at `area` a column is, 0 to 1.
pub(super) fn slider_fraction(area: Rect, column: u16) -> f64 {
    let at = column.clamp(area.x, area.right().saturating_sub(1)) - area.x;
    f64::from(at) / f64::from(area.width.saturating_sub(1).max(1))
}
