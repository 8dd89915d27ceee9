//! What a line is: a message, or a command that begins with a slash.

/// A line as the person meant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// Something to say to the model.
    Message(&'a str),
    /// A command: its name without the slash, and what follows.
    Command {
        /// The name as typed.
        name: &'a str,
        /// What follows, without the space between and at the end.
        argument: &'a str,
    },
}

/// Tells a command from a message. A message that begins with a slash is written with two.
pub fn parse(line: &str) -> Line<'_> {
    let Some(rest) = line.strip_prefix('/') else { return Line::Message(line) };
    if rest.starts_with('/') {
        return Line::Message(rest);
    }
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Line::Command { name, argument: argument.trim() }
}

/// A message as it is to be written so that [`parse`] gives it back.
pub fn escape(message: &str) -> String {
    if message.starts_with('/') { format!("/{message}") } else { message.to_owned() }
}
