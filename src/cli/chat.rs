//! `gibber chat`: the full screen.

use std::ffi::OsStr;

use anyhow::Result;

use super::args::Chat;
use super::{Context, Exit, Usage, is_interactive, repl, surroundings};
use crate::chat::template::Sandbox;
use crate::tui::{self, ExitReason};
use crate::worker::WorkerHandle;

pub(super) fn run(context: Context, arguments: &Chat) -> Result<()> {
    if !is_interactive() {
        let message = "the full screen needs a terminal: `gibber run` answers on stdout, `gibber repl` reads lines";
        return Err(Usage(message.into()).into());
    }
    if let Some(why) = no_full_screen(std::env::var_os("TERM").as_deref()) {
        tell!("{why}: the chat goes line by line, as with `gibber repl`");
        return repl::run(context, arguments);
    }
    let (app, surroundings) = surroundings::start(context, arguments, true)?;
    match tui::run(app, WorkerHandle::spawn(Sandbox::of_this_program()), Box::new(surroundings))? {
        ExitReason::Quit => Ok(()),
        ExitReason::Signal(signal) => Err(Exit::by_signal(signal)),
    }
}

/// Names that terminals give themselves which cannot put text where it is asked to be: editors' shells, teletypes.
const PLAIN_TERMINALS: [&str; 4] = ["dumb", "emacs", "network", "unknown"];

/// Why nothing can be drawn on this terminal, if so. Without a name it may be anything; Windows' terminals have none.
fn no_full_screen(term: Option<&OsStr>) -> Option<String> {
    match term.map(OsStr::to_string_lossy) {
        None if cfg!(windows) => None,
        None => Some("TERM is not set, so that nothing is known of this terminal".to_owned()),
        Some(name) if name.is_empty() => Some("TERM is empty, so that nothing is known of this terminal".to_owned()),
        Some(name) => PLAIN_TERMINALS
            .contains(&name.as_ref())
            .then(|| format!("this terminal calls itself `{name}`, and nothing can be drawn on it")),
    }
}
