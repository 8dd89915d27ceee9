//! What the parts of the screen look like: the 16 ANSI colours, or none.

use ratatui::style::{Color, Modifier, Style};

/// The styles of the screen. Nothing is told by colour alone: each has a word, a mark or a modifier beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    color: bool,
}

impl Theme {
    /// With colours, or with bold, dim and reversed text only (`NO_COLOR`).
    pub(super) fn new(color: bool) -> Self {
        Self { color }
    }

    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Plain text.
    pub(super) fn text(self) -> Style {
        Style::new()
    }

    /// Lines and marks between the parts.
    pub(super) fn line(self) -> Style {
        self.faint()
    }

    /// What is there if one looks for it.
    pub(super) fn faint(self) -> Style {
        if self.color { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Headings.
    pub(super) fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The person's name.
    pub(super) fn user(self) -> Style {
        self.colored(Color::Green).add_modifier(Modifier::BOLD)
    }

    /// The model's name.
    pub(super) fn model(self) -> Style {
        self.colored(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// What the eye should find: values, bars, the cursor of the stream.
    pub(super) fn accent(self) -> Style {
        self.colored(Color::Cyan)
    }

    /// A warning.
    pub(super) fn warning(self) -> Style {
        self.colored(Color::Yellow)
    }

    /// An error.
    pub(super) fn error(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The heading of the part that has the focus, the row that is chosen.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
