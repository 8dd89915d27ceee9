//! What the commands write. Stdout has results: on a terminal nothing in them can steer it; in a pipe or a file texts are
//! byte for byte what they are, and JSON parses to the same texts everywhere. Stderr has sentences for a person, which are
//! visible wherever they go. Nothing else in this program prints.

use std::fmt::Display;
use std::io::{IsTerminal, Stdout, Write, stderr};

use anyhow::{Context as _, Result};
use gibber_signals::stdout;
use serde::Serialize;

use crate::chat::{escape_json, one_line, visible};

/// What an error of stdout begins with.
pub(super) const CANNOT_WRITE: &str = "cannot write to standard output";

/// Text on stdout as it comes: each piece is flushed, and where a terminal listens nothing can steer it.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Stdout,
    is_terminal: bool,
    /// Whether the last line was ended, of what is no terminal; of one the process knows, since errors stand there too.
    ends_line: bool,
}

impl Output {
    /// The process's stdout.
    pub(super) fn stdout() -> Self {
        let stdout = std::io::stdout();
        Self { is_terminal: stdout.is_terminal(), stdout, ends_line: true }
    }

    /// Whether a terminal listens.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A piece of text, byte for byte where no terminal listens.
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.ends_line = text.ends_with('\n');
        if self.is_terminal {
            stdout::set_in_line(!self.ends_line);
        }
        let shown = if self.is_terminal { visible(text) } else { text.into() };
        self.bytes(shown.as_bytes())
    }

    /// Bytes that a program is to read.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        stdout::check()
            .and_then(|()| self.stdout.write_all(bytes))
            .and_then(|()| self.stdout.flush())
            .context(CANNOT_WRITE)
    }

    /// Writes a line at once.
    pub(super) fn line(&mut self, line: &str) -> Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Ends a line that was begun.
    pub(super) fn end_line(&mut self) -> Result<()> {
        let is_in_line = if self.is_terminal { stdout::take_line() } else { !self.ends_line };
        if is_in_line { self.text("\n") } else { Ok(()) }
    }

    /// A JSON object on a line of its own: the same bytes for a terminal as for a pipe.
    pub(super) fn json(&mut self, object: &impl Serialize) -> Result<()> {
        let mut line = escape_json(&serde_json::to_string(object)?).into_owned();
        line.push('\n');
        self.bytes(line.as_bytes())
    }
}

/// A line on stderr, behind half a line of stdout on the same terminal. Where even that cannot be written (the terminal is
/// gone) nothing is left to do.
pub(super) fn say(line: impl Display) {
    let end = if stderr().is_terminal() && stdout::take_line() { "\n" } else { "" };
    let line = format!("{end}{line}\n");
    let _ = stderr().write_all(visible(&line).as_bytes());
}

/// A line on stderr's terminal that is written over again and again; nothing where stderr is no terminal.
#[derive(Debug)]
pub(super) struct StatusLine {
    is_terminal: bool,
    is_shown: bool,
}

impl StatusLine {
    /// Nothing is shown yet.
    pub(super) fn new() -> Self {
        Self { is_terminal: stderr().is_terminal(), is_shown: false }
    }

    /// Shows this instead of what was shown.
    pub(super) fn show(&mut self, line: &str) {
        if self.is_terminal {
            self.is_shown = true;
            let _ = write!(stderr(), "\r\x1b[K{}", one_line(line));
        }
    }

    /// Leaves an empty line.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// Rounded to three decimals: what is measured has no more.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
