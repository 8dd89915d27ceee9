//! `gibber chat`: the full screen.

use anyhow::Result;

use super::args::Chat;
use super::{Context, Exit, Usage, is_interactive, surroundings};
use crate::chat::template::Sandbox;
use crate::tui::{self, ExitReason};
use crate::worker::WorkerHandle;

pub(super) fn run(context: Context, arguments: &Chat) -> Result<()> {
    if !is_interactive() {
        let message = "the full screen needs a terminal: `gibber run` answers on stdout, `gibber repl` reads lines";
        return Err(Usage(message.into()).into());
    }
    let (app, surroundings) = surroundings::start(context, arguments, true)?;
    match tui::run(app, WorkerHandle::spawn(Sandbox::of_this_program()), Box::new(surroundings))? {
        ExitReason::Quit => Ok(()),
        ExitReason::Signal(signal) => Err(Exit::by_signal(signal).into()),
    }
}
