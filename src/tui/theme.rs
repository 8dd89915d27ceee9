//! What the parts of the screen look like: the styles of the theme in force, in colours that the terminal has.

use ratatui::style::{Color, Style};

use crate::settings::theme::{COLORLESS, DEFAULT, Role, Styles};

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

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Colors {
    /// None are wanted (`NO_COLOR`).
    None,
    /// The 16 of ANSI.
    Ansi,
    /// The 256 of xterm.
    Indexed,
    /// Every triple.
    True,
}

impl Colors {
    /// What the terminal says of itself: COLORTERM and TERM.
    pub(super) fn of_terminal(colorterm: &str, term: &str) -> Self {
        if ["truecolor", "24bit"].iter().any(|word| colorterm.contains(word)) || term.ends_with("-direct") {
            Self::True
        } else if colorterm.contains("256") || term.contains("256") {
            Self::Indexed
        } else {
            Self::Ansi
        }
    }
}

/// The styles of the screen. Nothing is told by colour alone: each has a word, a mark or a modifier beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Theme {
    colors: Colors,
    styles: Styles,
}

impl Theme {
    /// The default theme in 16 colours, or with bold, dim and reversed text only (`NO_COLOR`).
    #[cfg(test)]
    pub(super) fn new(color: bool) -> Self {
        Self::in_colors(if color { Colors::Ansi } else { Colors::None })
    }

    /// The default theme, for a terminal of these colours.
    pub(super) fn in_colors(colors: Colors) -> Self {
        let name = if colors == Colors::None { COLORLESS } else { DEFAULT };
        Self { colors, styles: Styles::builtin(name).unwrap_or_default() }
    }

    /// Another theme on the same terminal; without colours there is only one.
    pub(super) fn with_styles(self, styles: &Styles) -> Self {
        if self.colors == Colors::None {
            return self;
        }
        let nearest = |color| nearest(color, self.colors);
        let styles = styles.map(|style| Style { fg: style.fg.map(nearest), bg: style.bg.map(nearest), ..style });
        Self { styles, ..self }
    }

    fn of(self, role: Role) -> Style {
        self.styles.of(role)
    }

    /// Plain text.
    pub(super) fn text(self) -> Style {
        self.of(Role::Text)
    }

    /// Lines and marks between the parts.
    pub(super) fn line(self) -> Style {
        self.of(Role::Line)
    }

    /// What is there if one looks for it.
    pub(super) fn faint(self) -> Style {
        self.of(Role::Faint)
    }

    /// Headings.
    pub(super) fn title(self) -> Style {
        self.of(Role::Title)
    }

    /// The person's name.
    pub(super) fn user(self) -> Style {
        self.of(Role::User)
    }

    /// The model's name.
    pub(super) fn model(self) -> Style {
        self.of(Role::Model)
    }

    /// What the eye should find: values, bars, the cursor of the stream.
    pub(super) fn accent(self) -> Style {
        self.of(Role::Accent)
    }

    pub(super) fn warning(self) -> Style {
        self.of(Role::Warning)
    }

    pub(super) fn error(self) -> Style {
        self.of(Role::Error)
    }

    /// The heading of the part that has the focus, the row that is chosen.
    pub(super) fn chosen(self) -> Style {
        self.of(Role::Chosen)
    }

    /// A heading in a message.
    pub(super) fn heading(self) -> Style {
        self.of(Role::Heading)
    }

    /// Code in a message, beside its syntax colours.
    pub(super) fn code(self) -> Style {
        self.of(Role::Code)
    }

    /// A link in a message.
    pub(super) fn link(self) -> Style {
        self.of(Role::Link)
    }

    /// A quotation in a message.
    pub(super) fn quote(self) -> Style {
        self.of(Role::Quote)
    }

    /// A part of code in its syntax colour.
    pub(super) fn syntax(self, part: SyntaxPart) -> Style {
        self.of(match part {
            SyntaxPart::Comment => Role::SyntaxComment,
            SyntaxPart::Keyword => Role::SyntaxKeyword,
            SyntaxPart::Literal => Role::SyntaxLiteral,
            SyntaxPart::Number => Role::SyntaxNumber,
            SyntaxPart::Name => Role::SyntaxName,
            SyntaxPart::Type => Role::SyntaxType,
        })
    }

    /// How sure the model was of a token: 0 is least, [`SURENESS_LEVELS`] - 1 most. Told by modifiers as well as colours.
    pub(super) fn sureness(self, level: usize) -> Style {
        self.of(match level {
            0 => Role::Sureness0,
            1 => Role::Sureness1,
            2 => Role::Sureness2,
            3 => Role::Sureness3,
            _ => Role::Sureness4,
        })
    }

    /// What is selected, by keys or by the mouse.
    pub(super) fn selection(self) -> Style {
        self.of(Role::Selection)
    }
}

/// Red, green and blue of the 16 colours, as xterm has them; a terminal may show others.
const ANSI: [(Color, [u8; 3]); 16] = [
    (Color::Black, [0, 0, 0]),
    (Color::Red, [205, 0, 0]),
    (Color::Green, [0, 205, 0]),
    (Color::Yellow, [205, 205, 0]),
    (Color::Blue, [0, 0, 238]),
    (Color::Magenta, [205, 0, 205]),
    (Color::Cyan, [0, 205, 205]),
    (Color::Gray, [229, 229, 229]),
    (Color::DarkGray, [127, 127, 127]),
    (Color::LightRed, [255, 0, 0]),
    (Color::LightGreen, [0, 255, 0]),
    (Color::LightYellow, [255, 255, 0]),
    (Color::LightBlue, [92, 92, 255]),
    (Color::LightMagenta, [255, 0, 255]),
    (Color::LightCyan, [0, 255, 255]),
    (Color::White, [255, 255, 255]),
];

/// The steps of the cube of colours among xterm's 256.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The colour nearest to `color` that such a terminal has.
fn nearest(color: Color, colors: Colors) -> Color {
    let triple = match color {
        Color::Rgb(red, green, blue) => [red, green, blue],
        Color::Indexed(index) if colors < Colors::Indexed => triple_of(index),
        _ => return color,
    };
    let candidates = |range: std::ops::Range<u8>| range.map(|index| (Color::Indexed(index), triple_of(index)));
    let best = match colors {
        Colors::True => return color,
        // The first 16 look different on every terminal.
        Colors::Indexed => candidates(16..255).min_by_key(|(_, other)| distance(triple, *other)),
        Colors::None | Colors::Ansi => ANSI.into_iter().min_by_key(|(_, other)| distance(triple, *other)),
    };
    best.map_or(color, |(color, _)| color)
}

/// Red, green and blue of one of xterm's 256 colours.
fn triple_of(index: u8) -> [u8; 3] {
    match index {
        0..16 => ANSI[usize::from(index)].1,
        16..232 => {
            let place = usize::from(index - 16);
            [CUBE[place / 36], CUBE[place / 6 % 6], CUBE[place % 6]]
        }
        232.. => [8 + 10 * (index - 232); 3],
    }
}

/// How far apart two colours look: the eye sees green best and blue least (the weights of luma, Rec. 601).
fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    let squared = |at: usize| u32::from(a[at].abs_diff(b[at])).pow(2);
    299 * squared(0) + 587 * squared(1) + 114 * squared(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_says_how_many_colours_it_has() {
        assert_eq!(Colors::of_terminal("truecolor", "xterm"), Colors::True);
        assert_eq!(Colors::of_terminal("24bit", ""), Colors::True);
        assert_eq!(Colors::of_terminal("", "tmux-256color"), Colors::Indexed);
        for term in ["linux", "screen", "xterm", "vt100", ""] {
            assert_eq!(Colors::of_terminal("", term), Colors::Ansi, "{term}");
        }
    }

    #[test]
    fn a_colour_that_the_terminal_does_not_have_is_shown_by_the_nearest() {
        let orange = Color::Rgb(255, 135, 0);
        assert_eq!(nearest(orange, Colors::True), orange);
        assert_eq!(nearest(orange, Colors::Indexed), Color::Indexed(208));
        assert_eq!(nearest(Color::Indexed(208), Colors::Indexed), Color::Indexed(208));
        assert_eq!(nearest(Color::Rgb(9, 8, 8), Colors::Indexed), Color::Indexed(232));
        assert_eq!(nearest(Color::Rgb(250, 250, 255), Colors::Ansi), Color::White);
        assert_eq!(nearest(Color::Indexed(196), Colors::Ansi), Color::LightRed);
        assert_eq!(nearest(Color::Cyan, Colors::Ansi), Color::Cyan);
    }

    #[test]
    fn without_colours_no_theme_brings_any() {
        let theme = Theme::new(false).with_styles(&Styles::builtin("light").unwrap());
        assert_eq!(theme.text(), Style::new());
        assert!(theme.faint().fg.is_none());
    }
}
