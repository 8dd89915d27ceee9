//! Stdout for people and for pipes.

use std::io::{IsTerminal, Stdout, Write};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::chat::visible;

/// What an error of stdout begins with.
pub(super) const CANNOT_WRITE: &str = "cannot write to standard output";

/// Text on stdout as it comes: each piece is flushed, and where a terminal listens nothing can steer it.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Stdout,
    is_terminal: bool,
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
        let shown = if self.is_terminal { visible(text) } else { text.into() };
        self.bytes(shown.as_bytes())
    }

    /// Bytes that a program is to read.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()).context(CANNOT_WRITE)
    }

    /// A line.
    pub(super) fn line(&mut self, line: &str) -> Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Ends a line that was begun.
    pub(super) fn end_line(&mut self) -> Result<()> {
        if self.ends_line { Ok(()) } else { self.text("\n") }
    }

    /// A JSON object on a line of its own. JSON has no control characters, so that a terminal gets the same bytes.
    pub(super) fn json(&mut self, object: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_string(object)?;
        line.push('\n');
        self.bytes(line.as_bytes())
    }
}

/// Rounded to three decimals: what is measured has no more.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
