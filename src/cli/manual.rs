//! What is installed beside the program, written from the one table of flags: completion scripts and manual pages.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;

use super::args::Cli;
use super::output::Output;

/// Prints a shell's completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<()> {
    // The generator panics where it cannot write: it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gibber", &mut script);
    Output::stdout().bytes(&script)
}

/// Prints the program's manual page, or writes a page for each command into `folder`.
pub(super) fn pages(folder: Option<&Path>) -> Result<()> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return Output::stdout().bytes(&page);
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("{}: the manual pages cannot be written there", folder.display()))
}
