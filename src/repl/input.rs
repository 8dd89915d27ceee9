//! Where lines come from: a line editor on a terminal that can do it, and anything else as it comes.

use std::ffi::OsStr;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{
    Cmd, ColorMode, ConditionalEventHandler, Config, Editor, Event, EventContext, EventHandler, KeyCode, KeyEvent,
    Modifiers, RepeatCount,
};

use super::ReplError;
use super::helper::{Helper, is_open};
use super::line::{ReadLine, Suspend};
use super::stand_in::{disguised, revealed};
use crate::app::App;

/// Entries of the history that the arrow keys reach.
const HISTORY: usize = 1000;

/// The longest text that is read at once, in bytes: more than any context holds.
const LONGEST: u64 = 64 << 20;

/// What `TERM` says of terminals that only print: teletypes, editors' shells, and those of which nothing is known.
const PRINTERS: [&str; 5] = ["dumb", "cons25", "emacs", "network", "unknown"];

/// Whether a terminal of this `TERM` only prints: nothing can be drawn on it, and no line edited. Without a name it may be
/// anything; Windows' terminals have none.
pub fn prints_only(term: Option<&OsStr>) -> bool {
    let Some(name) = term.map(OsStr::to_string_lossy) else { return !cfg!(windows) };
    name.is_empty() || PRINTERS.iter().any(|printer| printer.eq_ignore_ascii_case(&name))
}

/// What is read from.
pub(super) enum Input {
    /// A terminal on which lines are edited.
    Editor {
        /// Edits them.
        editor: Box<Editor<Helper, MemHistory>>,
        /// What stands in the line before anything is typed.
        given: Arc<Mutex<Given>>,
    },
    /// A pipe, a file, or a terminal that only prints.
    Plain {
        /// Whether somebody types.
        is_terminal: bool,
    },
}

impl Input {
    /// Where lines are edited, what happens to `line` meanwhile goes through the editor.
    pub(super) fn of_stdin(app: &App, helper: Helper, line: &Arc<ReadLine>) -> Result<Self, ReplError> {
        let is_terminal = io::stdin().is_terminal();
        if !is_terminal || prints_only(std::env::var_os("TERM").as_deref()) {
            return Ok(Self::Plain { is_terminal });
        }
        // Nothing has colours, but only with them the editor asks the helper how a line is drawn.
        let config = Config::builder().color_mode(ColorMode::Forced);
        let config = config.max_history_size(HISTORY)?.auto_add_history(false).build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history)?;
        for entry in app.history() {
            editor.add_history_entry(disguised(entry))?;
        }
        editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
        let given = Arc::new(Mutex::new(Given::default()));
        let replace = EventHandler::Conditional(Box::new(CommandReplaces { given: Arc::clone(&given) }));
        editor.bind_sequence(KeyEvent(KeyCode::Char('/'), Modifiers::NONE), replace);
        editor.bind_sequence(KeyEvent::ctrl('Z'), EventHandler::Conditional(Box::new(Suspend(Arc::clone(line)))));
        // Where what is written goes elsewhere than to the terminal, nothing is drawn.
        if let Ok(printer) = editor.create_external_printer() {
            line.say_by(printer);
        }
        editor.set_helper(Some(helper));
        Ok(Self::Editor { editor: Box::new(editor), given })
    }

    /// Whether nobody sits before it: lines come from a pipe or a file.
    pub(super) fn is_fed(&self) -> bool {
        matches!(self, Self::Plain { is_terminal: false })
    }

    /// Whether a text can be put before what is typed next.
    pub(super) fn edits(&self) -> bool {
        matches!(self, Self::Editor { .. })
    }

    /// The next line, or the next text between quotes; on a line editor it begins with `initial`.
    pub(super) fn read(&mut self, prompt: &str, initial: &str) -> Result<String, ReadlineError> {
        match self {
            Self::Editor { editor, given } => {
                let text = disguised(initial);
                *locked(given) = Given { text: text.clone().into_owned(), is_left: false };
                let line = editor.readline_with_initial(prompt, (&text, ""))?;
                let is_left = std::mem::take(&mut *locked(given)).is_left;
                let line = if is_left { editor.readline_with_initial(prompt, ("/", ""))? } else { line };
                Ok(revealed(&line).into_owned())
            }
            Self::Plain { is_terminal } => {
                if *is_terminal {
                    let mut stdout = io::stdout();
                    stdout.write_all(prompt.as_bytes())?;
                    stdout.flush()?;
                }
                read_plain(&mut io::stdin().lock(), LONGEST)
            }
        }
    }

    /// Has the arrow keys reach a line.
    pub(super) fn remember(&mut self, line: &str) -> Result<(), ReadlineError> {
        match self {
            Self::Editor { editor, .. } => editor.add_history_entry(disguised(line)).map(drop),
            Self::Plain { .. } => Ok(()),
        }
    }
}

/// A text that was given back, as a question is after `/undo`.
#[derive(Debug, Default)]
pub(super) struct Given {
    text: String,
    /// Whether a command is typed behind it.
    is_left: bool,
}

fn locked(given: &Mutex<Given>) -> MutexGuard<'_, Given> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command that is typed behind a text which was given back gets a line of its own: as a part of the text it would be
/// said to the model. A line editor has no selection that would show it.
struct CommandReplaces {
    given: Arc<Mutex<Given>>,
}

impl ConditionalEventHandler for CommandReplaces {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let mut given = locked(&self.given);
        let (text, end) = (given.text.as_str(), given.text.len());
        given.is_left = end > 0 && context.line() == text && context.pos() == end;
        given.is_left.then_some(Cmd::AcceptLine)
    }
}

/// A line, or lines up to the quotes that end a text. What ends with the input is a whole one.
fn read_plain(input: &mut impl BufRead, longest: u64) -> Result<String, ReadlineError> {
    let mut bytes = Vec::new();
    loop {
        let room = longest.saturating_sub(bytes.len() as u64);
        let read = input.by_ref().take(room).read_until(b'\n', &mut bytes)?;
        let has_line_end = bytes.ends_with(b"\n");
        if read as u64 == room && !has_line_end {
            return Err(io::Error::other(format!("it has more than {longest} bytes")).into());
        }
        if read == 0 && bytes.is_empty() {
            return Err(ReadlineError::Eof);
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let what = format!("it is not UTF-8 from byte {} on: it is passed over", error.valid_up_to() + 1);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        if read > 0 && has_line_end && is_open(text) {
            continue;
        }
        let text = text.strip_suffix('\n').unwrap_or(text);
        return Ok(text.strip_suffix('\r').unwrap_or(text).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> (Vec<String>, ReadlineError) {
        let mut input = text;
        let mut lines = Vec::new();
        loop {
            match read_plain(&mut input, 100) {
                Ok(line) => lines.push(line),
                Err(error) => return (lines, error),
            }
        }
    }

    #[test]
    fn lines_and_texts_between_quotes_come_one_by_one() {
        for (text, expected) in [
            (&b"a\nb\r\n\nc"[..], &["a", "b", "", "c"][..]),
            (b"\"\"\"\none\ntwo\n\"\"\"\nb\n", &["\"\"\"\none\ntwo\n\"\"\"", "b"]),
            (b"\"\"\"one\"\"\"\nb", &["\"\"\"one\"\"\"", "b"]),
            (b"a\n\"\"\"\none\ntwo", &["a", "\"\"\"\none\ntwo"]),
            (b"a\n\"\"\"\none\n", &["a", "\"\"\"\none"]),
            (b"", &[]),
        ] {
            let (lines, end) = all(text);
            assert_eq!(lines, expected);
            assert!(matches!(end, ReadlineError::Eof));
        }
    }

    #[test]
    fn what_is_no_text_or_has_no_end_is_an_error() {
        assert!(matches!(all(b"a\n\xff\xfe\n"), (lines, ReadlineError::Io(_)) if lines == ["a"]));
        assert!(matches!(all(&[b'x'; 200]).1, ReadlineError::Io(error) if error.to_string().contains("more than 100")));
        assert!(all(&[b'x'; 99]).0.len() == 1);
    }
}
