//! Text on stdout, and errors on stderr, of which nothing can steer a terminal.

use std::io::{self, IsTerminal, Stdout, Write};

use crossterm::clipboard::CopyToClipboard;

use crate::chat::visible;

/// Prints what comes, and remembers whether a line was begun.
#[derive(Debug)]
pub(super) struct Printer {
    stdout: Stdout,
    ends_line: bool,
}

impl Printer {
    pub(super) fn stdout() -> Self {
        Self { stdout: io::stdout(), ends_line: true }
    }

    /// A piece of a text; it is on screen when this returns.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.ends_line = text.ends_with('\n');
        gibber_signals::stdout::check()?;
        self.stdout.write_all(visible(text).as_bytes())?;
        self.stdout.flush()
    }

    /// A line of its own.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.end_line()?;
        self.text(line)?;
        self.text("\n")
    }

    /// A line on stderr: something failed, or is about to.
    pub(super) fn error(&mut self, line: &str) -> io::Result<()> {
        self.end_line()?;
        writeln!(io::stderr(), "{}", visible(line))
    }

    /// Ends a line that was begun.
    pub(super) fn end_line(&mut self) -> io::Result<()> {
        if self.ends_line { Ok(()) } else { self.text("\n") }
    }

    /// Puts a text on the clipboard of the terminal (OSC 52); where there is no terminal it is printed.
    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        if self.stdout.is_terminal() {
            crossterm::execute!(self.stdout, CopyToClipboard::to_clipboard_from(text))
        } else {
            self.line(text)
        }
    }
}
