//! What the parts of the screen look like: the 16 ANSI colours, or none.

use ratatui::style::{Color, Modifier, Style};

/// The steps of [`Theme::sureness`].
pub(super) const SURENESS_LEVELS: usize = 5;

/// What a part of code is, as far as colours tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyntaxPart {
    Comment,
    Keyword,
    /// A string or a character.
    Literal,
    /// A number or another constant.
    Number,
    /// The name of a function.
    Name,
    Type,
}

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

    /// A heading in a message.
    pub(super) fn heading(self) -> Style {
        self.colored(Color::Magenta).add_modifier(Modifier::BOLD)
    }

    /// Code in a message, beside its syntax colours.
    pub(super) fn code(self) -> Style {
        self.colored(Color::Yellow)
    }

    /// A link in a message.
    pub(super) fn link(self) -> Style {
        self.colored(Color::Blue).add_modifier(Modifier::UNDERLINED)
    }

    /// A quotation in a message.
    pub(super) fn quote(self) -> Style {
        self.colored(Color::Green)
    }

    /// A part of code in its syntax colour.
    pub(super) fn syntax(self, part: SyntaxPart) -> Style {
        match part {
            SyntaxPart::Comment => self.faint(),
            SyntaxPart::Keyword => self.colored(Color::Magenta),
            SyntaxPart::Literal => self.colored(Color::Green),
            SyntaxPart::Number => self.colored(Color::Yellow),
            SyntaxPart::Name => self.colored(Color::Blue),
            SyntaxPart::Type => self.colored(Color::Cyan),
        }
    }

    /// How sure the model was of a token: 0 is least, [`SURENESS_LEVELS`] - 1 most. Told by modifiers as well as colours.
    pub(super) fn sureness(self, level: usize) -> Style {
        match level {
            0 => self.colored(Color::Red).add_modifier(Modifier::REVERSED),
            1 => self.colored(Color::LightRed).add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            2 => self.colored(Color::Yellow).add_modifier(Modifier::UNDERLINED),
            3 => self.colored(Color::LightGreen),
            _ => self.colored(Color::Green).add_modifier(Modifier::DIM),
        }
    }

    /// What is selected, by keys or by the mouse.
    pub(super) fn selection(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
