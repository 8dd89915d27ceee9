//! The command line: the only place that puts the parts together. A file for each subcommand; [`main`] decides the exit
//! code, and nobody else.
// Results go to stdout and errors to stderr: that is what a command line is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bench;
mod chat;
mod config;
mod file_reader;
mod interrupt;
mod model_list;
mod models;
mod output;
mod quantize;
mod repl;
mod run;
mod score;
mod session;
mod sessions;
mod surroundings;
mod text;
mod themes;
mod tokenize;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal};
use std::process::ExitCode;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches};

use crate::app::keymap::{KeyProblem, Keymap};
use crate::chat::template;
use crate::engine::CacheTypes;
use crate::engine::load::LoadOptions;
use crate::settings::{Settings, line_of_key};
use crate::store::Paths;
use args::{Cli, Command};

/// The exit code of a run that Ctrl-C ended, as shells count it (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// The command was given wrongly: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The program ends with this exit code, and nothing is said: whoever caused it knows.
#[derive(Debug, thiserror::Error)]
#[error("exit code {0}")]
struct Exit(u8);

impl Exit {
    /// As shells count the end by a signal: 128 and its number.
    fn by_signal(signal: i32) -> Self {
        Self(u8::try_from(128 + signal).unwrap_or(1))
    }
}

/// What every subcommand starts from.
#[derive(Debug)]
struct Context {
    paths: Paths,
    settings: Settings,
    verbose: bool,
}

impl Context {
    /// Defaults <- config.toml <- environment; the flags of the subcommand come on top.
    fn new(common: &args::Common) -> Result<Self> {
        let paths = Paths::new(common.config_dir.as_deref())?;
        let mut settings = Settings::load(&paths.config())?;
        settings.apply_environment(|name| std::env::var_os(name))?;
        settings.ui.ascii |= common.ascii;
        if common.no_color {
            // NO_COLOR is obeyed without this.
            crossterm::style::force_color_output(false);
        }
        Ok(Self { paths, settings, verbose: common.verbose })
    }

    /// How the settings want a model to run.
    fn load_options(&self) -> LoadOptions {
        load_options(&self.settings, &self.paths)
    }
}

/// What is wrong with the keys of the settings, with file and line.
fn key_problems(settings: &Settings, paths: &Paths) -> Vec<String> {
    let path = paths.config();
    let problems = Keymap::new(&settings.keys).1;
    let text = if problems.is_empty() {
        String::new()
    } else {
        gibber_files::read_text(&path, gibber_files::SMALL).unwrap_or_default()
    };
    let line = |problem: &KeyProblem| line_of_key(&text, &problem.path);
    problems.iter().map(|problem| format!("{}:{}: {}", path.display(), line(problem), problem.what)).collect()
}

fn load_options(settings: &Settings, paths: &Paths) -> LoadOptions {
    let model = &settings.model;
    let unless_zero = |value: usize| (value > 0).then_some(value);
    LoadOptions {
        threads: unless_zero(model.threads),
        context: unless_zero(model.context),
        batch: model.batch,
        // Checked where it was read; empty is none.
        quantize: model.quantize.parse().ok(),
        quantized_folder: Some(paths.cache()),
        cache: CacheTypes { keys: model.cache_type_k, values: model.cache_type_v },
        ..LoadOptions::default()
    }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == template::HELPER_ARGUMENT) {
        return template::serve();
    }
    match run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// Says what went wrong, and with which exit code the program ends.
fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        // Nothing is left to do where even this cannot be printed.
        let _ = error.print();
        return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    if let Some(Exit(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", crate::chat::visible(&sentence(error)));
    ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
}

/// The error and its causes, of which those that a message has quoted already are left out.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        said if said.ends_with(&cause) => said.to_owned(),
        said => format!("{said}: {cause}"),
    })
}

/// Whether the reader of stdout had enough (`gibber run | head -1`): that is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kinds.into_iter().any(|kind| kind == ErrorKind::BrokenPipe)
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let matches = Cli::command().try_get_matches_from(args::with_two_dashes(arguments))?;
    refuse_flags_before_the_command(&matches)?;
    let Cli { command, common, chat } = Cli::from_arg_matches(&matches)?;
    if let Some(Command::Completions { shell }) = command {
        clap_complete::generate(shell, &mut Cli::command(), "gibber", &mut std::io::stdout());
        return Ok(());
    }
    if let Some(Command::Config(command)) = command {
        return config::run(&command, &common);
    }
    if let Some(Command::Sessions(command)) = command {
        return sessions::run(&command, &common);
    }
    let context = Context::new(&common)?;
    match command {
        Some(Command::Run(arguments)) => run::run(context, &arguments),
        Some(Command::Score(arguments)) => score::run(context, &arguments),
        Some(Command::Tokenize(arguments)) => tokenize::run(context, &arguments),
        Some(Command::Bench(arguments)) => bench::run(context, &arguments),
        Some(Command::Models(command)) => models::run(context, &command),
        Some(Command::Repl(arguments)) => repl::run(context, &arguments),
        Some(Command::Chat(arguments)) => chat::run(context, &arguments),
        None if is_interactive() => chat::run(context, &chat),
        None => run::run(context, &args::Run { text: None, json: false, chat }),
        Some(Command::Config(_) | Command::Sessions(_) | Command::Completions { .. }) => Ok(()),
    }
}

/// Whether a person sits at both ends.
fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// `gibber -m x run` would ignore the model without a word: it is asked for behind the command instead.
fn refuse_flags_before_the_command(matches: &ArgMatches) -> Result<()> {
    let Some(name) = matches.subcommand_name() else { return Ok(()) };
    let chat = args::Chat::augment_args(clap::Command::new(""));
    let misplaced = chat
        .get_arguments()
        .find(|argument| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine));
    match misplaced {
        None => Ok(()),
        Some(argument) => {
            let flag = argument.get_long().unwrap_or_default();
            Err(Usage(format!("--{flag} must stand behind the command: gibber {name} --{flag} ...")).into())
        }
    }
}
