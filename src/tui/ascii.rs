//! The screen without box drawing, blocks and arrows: one pass over what was drawn puts ASCII characters of the same
//! width in their place.

use ratatui::buffer::Buffer;

/// Which characters the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    /// All.
    Unicode,
    /// All, but lines, bars and marks are wanted in ASCII; what messages say stays as it is.
    PlainMarks,
    /// None beyond ASCII.
    Ascii,
}

impl Charset {
    /// What `locale` (the values of LC_ALL, LC_CTYPE and LANG, in this order) and the settings ask for.
    ///
    /// Where the environment names no locale at all, as in many containers, nothing is known of the terminal, and nearly
    /// every one shows Unicode.
    pub(super) fn new(locale: [&str; 3], wanted: bool) -> Self {
        let named = locale.into_iter().find(|value| !value.is_empty()).map(str::to_lowercase);
        match named {
            Some(named) if !named.contains("utf-8") && !named.contains("utf8") => Self::Ascii,
            _ if wanted => Self::PlainMarks,
            _ => Self::Unicode,
        }
    }

    /// Replaces what the terminal cannot show.
    pub(super) fn apply(self, buffer: &mut Buffer) {
        if self == Self::Unicode {
            return;
        }
        for cell in &mut buffer.content {
            let symbol = cell.symbol();
            if symbol.is_ascii() {
                continue;
            }
            let mut characters = symbol.chars();
            let plain = characters.next().and_then(plain).filter(|_| characters.next().is_none());
            match plain {
                Some(plain) => drop(cell.set_char(plain)),
                None if self == Self::Ascii => drop(cell.set_char('?')),
                None => {}
            }
        }
    }
}

/// The ASCII character that stands for a mark.
fn plain(mark: char) -> Option<char> {
    Some(match mark {
        '─' | '━' | '╌' | '┄' | '┈' | '═' | '‐' | '‑' | '–' | '—' | '―' | '−' | '·' | '•' | '◦' | '▪' => {
            '-'
        }
        '│' | '┃' | '║' | '╎' | '┆' | '┊' | '▏' | '▎' | '▍' | '▌' | '▐' | '▕' | '¦' => '|',
        '\u{2500}'..='\u{257F}' => '+',
        '▁' => '_',
        '▂' => '.',
        '▃' => ':',
        '▄' | '▀' => '-',
        '▅' => '=',
        '▆' => '+',
        '▇' | '█' | '▋' | '▊' | '▉' | '▓' | '■' => '#',
        '░' => ':',
        '▒' => '%',
        '←' | '◂' | '◀' | '◄' | '⇐' | '‹' | '«' | '≤' => '<',
        '→' | '▸' | '▶' | '►' | '⇒' | '⇥' | '›' | '»' | '≥' | '❯' => '>',
        '↑' | '▲' | '▴' | '␛' => '^',
        '↓' | '▼' | '▾' => 'v',
        '●' | '○' | '◉' | '◌' => 'o',
        '◆' | '◇' | '★' | '☆' | '✦' | '×' => '*',
        '✓' | '✔' | '±' => '+',
        '✗' | '✘' | '✕' | '✖' | '✂' => 'x',
        '…' | '≈' | '∼' => '~',
        '↵' | '⏎' | '↲' | '␊' => '$',
        '␣' => '_',
        '“' | '”' | '„' | '‟' | '″' => '"',
        '‘' | '’' | '‚' | '‛' | '′' => '\'',
        '\u{A0}' | '\u{2009}' | '\u{202F}' => ' ',
        '\u{2400}'..='\u{2426}' => '^',
        // The patterns of spinners.
        '\u{2800}'..='\u{28FF}' => '*',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    fn shown(text: &str, charset: Charset) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        buffer.set_string(0, 0, text, Style::new());
        charset.apply(&mut buffer);
        buffer.content.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn marks_become_ascii_and_words_stay_where_the_terminal_shows_them() {
        assert_eq!(shown("├─┤ ▸ naïve…", Charset::Unicode), "├─┤ ▸ naïve…");
        assert_eq!(shown("├─┤ ▸ naïve…", Charset::PlainMarks), "+-+ > naïve~");
        assert_eq!(shown("├─┤ ▸ naïve…", Charset::Ascii), "+-+ > na?ve~");
        assert_eq!(shown("a日本b", Charset::PlainMarks), "a日 本 b", "wide ones keep their two columns");
        assert_eq!(shown("a日本b", Charset::Ascii), "a? ? b");
    }

    #[test]
    fn the_locale_says_what_the_terminal_shows() {
        let charset = |locale| Charset::new(locale, false);
        assert_eq!(charset(["", "", "en_GB.UTF-8"]), Charset::Unicode);
        assert_eq!(charset(["", "C.utf8", "C"]), Charset::Unicode);
        assert_eq!(charset(["C", "", "en_GB.UTF-8"]), Charset::Ascii);
        assert_eq!(charset(["", "", "de_DE.ISO-8859-1"]), Charset::Ascii);
        assert_eq!(charset(["", "", ""]), Charset::Unicode);
        assert_eq!(Charset::new(["", "", "C.UTF-8"], true), Charset::PlainMarks);
        assert_eq!(Charset::new(["C", "", ""], true), Charset::Ascii);
    }
}
