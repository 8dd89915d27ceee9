//! What is installed beside the program, written from the one table of flags: completion scripts and manual pages.

use std::path::Path;

use anyhow::{Context, Result};
use clap::{Arg, Command, CommandFactory};

use super::args::{Cli, one_dash_names};
use super::output::Output;

/// Prints a shell's completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<()> {
    // The generator panics where it cannot write: it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_one_dash(Cli::command()), "gibber", &mut script);
    let script = String::from_utf8(script)?;
    // fish tells long flags behind one dash from those behind two.
    let script = script.replace(&format!("-l {ONE_DASH}"), "-o ").replace(&format!("--{ONE_DASH}"), "-");
    let script = script.replace(ONE_DASH, "");
    Output::stdout().text(&script)
}

/// What the names of flags that are written with one dash begin with, until the text is there: clap knows none of them.
const ONE_DASH: &str = "one-dash-";

/// The same command, with llama.cpp's spellings of its flags beside its own.
fn with_one_dash(command: Command) -> Command {
    let spelled = |flag: &Arg| -> Vec<Arg> {
        let names = flag.get_long().map(one_dash_names).unwrap_or_default();
        let of = |name: &str| {
            // A script is all that comes of it: the program ends then.
            let name: &'static str = Box::leak(format!("{ONE_DASH}{name}").into_boxed_str());
            // Of the other's terms none counts: it is the same flag.
            let plain = Arg::new(name).long(name).num_args(1);
            plain.help(flag.get_help().cloned().unwrap_or_default()).value_hint(flag.get_value_hint())
        };
        names.into_iter().map(of).collect()
    };
    let flags: Vec<Arg> = command.get_arguments().flat_map(spelled).collect();
    command.args(flags).mut_subcommands(with_one_dash)
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
