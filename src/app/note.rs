//! What the program itself has to say, between the messages.

use crate::chat::MessageId;

/// How much a note matters; the screen shows it by a word and a mark, not by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// An answer to a command.
    Info,
    /// Something the person should know.
    Warning,
    /// Something failed.
    Error,
}

/// A note, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Counted up over the whole run, so that the line REPL knows which it has printed.
    pub number: u64,
    /// The message it follows; `None` before the first.
    pub after: Option<MessageId>,
    /// How much it matters.
    pub kind: NoteKind,
    /// What it says.
    pub text: String,
}
