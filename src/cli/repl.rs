//! `gibber repl`: the chat line by line.

use std::sync::atomic::Ordering;

use anyhow::Result;

use super::args::Chat;
use super::{Context, Exit, surroundings};
use crate::repl::{self, ExitReason};
use crate::worker::WorkerHandle;

pub(super) fn run(context: Context, arguments: &Chat) -> Result<()> {
    let (app, surroundings) = surroundings::start(context, arguments, false)?;
    let is_unsaved = surroundings.is_unsaved();
    match repl::run(app, WorkerHandle::spawn(super::resources()), Box::new(surroundings))? {
        ExitReason::Quit if is_unsaved.load(Ordering::Acquire) => Err(Exit(1).into()),
        ExitReason::Quit => Ok(()),
        ExitReason::Failed => Err(Exit(1).into()),
        ExitReason::Signal(signal) => Err(Exit::by_signal(signal)),
    }
}
