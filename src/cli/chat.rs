//! `gibber chat`: the full screen.

use std::ffi::OsStr;
use std::sync::atomic::Ordering;

use anyhow::Result;

use super::args::Chat;
use super::{Context, Exit, Usage, is_interactive, repl, surroundings};
use crate::repl::prints_only;
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
    let log = context.log.clone();
    let (app, surroundings) = surroundings::start(context, arguments, true)?;
    let is_unsaved = surroundings.is_unsaved();
    let reason = tui::run(app, WorkerHandle::spawn(super::resources()), Box::new(surroundings));
    if let Some(path) = log.with_errors() {
        tell!("a fault of the program was written to {}: please report it", path.display());
    }
    match reason? {
        ExitReason::Quit if is_unsaved.load(Ordering::Acquire) => Err(Exit(1).into()),
        ExitReason::Quit => Ok(()),
        ExitReason::Signal(signal) => Err(Exit::by_signal(signal)),
    }
}

/// Why nothing can be drawn on this terminal, if so.
fn no_full_screen(term: Option<&OsStr>) -> Option<String> {
    let why = match term.map(OsStr::to_string_lossy) {
        None => "TERM is not set, so that nothing is known of this terminal".to_owned(),
        Some(name) if name.is_empty() => "TERM is empty, so that nothing is known of this terminal".to_owned(),
        Some(name) => format!("this terminal calls itself `{name}`, and nothing can be drawn on it"),
    };
    prints_only(term).then_some(why)
}
