//! The command line: the only place that puts the parts together. A file for each subcommand; [`main`] decides the exit
//! code, and nobody else.

/// Says a line on stderr, as [`output::say`] does.
macro_rules! tell {
    ($($part:tt)*) => {{
        $crate::cli::output::say(format_args!($($part)*))
    }};
}

mod args;
mod bench;
mod chat;
mod chat_pulls;
mod config;
mod file_reader;
mod habits;
mod interrupt;
mod log;
mod manual;
mod model_info;
mod model_list;
mod models;
mod output;
mod pull;
mod quantize;
mod question;
mod recommended;
mod remove;
mod repl;
mod replay;
mod run;
mod score;
mod session;
mod sessions;
mod surroundings;
mod text;
mod themes;
mod tokenize;
mod verify;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal};
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches};
use gibber_signals::{ending, mapped, stdout};
use signal_hook::consts::SIGBUS;

use crate::app::keymap::{KeyProblem, Keymap};
use crate::chat::template::Sandbox;
use crate::chat::{template, visible};
use crate::hub::ModelHub;
use crate::settings::origins::Stage;
use crate::settings::{Settings, line_of_key};
use crate::store::Paths;
use crate::worker::Resources;
use crate::worker::protocol::LoadParams;
use args::{Cli, Command, Models};
use gibber_engine::CacheTypes;
use gibber_engine::kernels::pool::{default_threads, useful_threads};
use gibber_engine::load::{LoadOptions, MemoryProbe};
use gibber_files::quoted;
use log::Log;

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
    /// As shells count the end by a signal: 128 and its number. What a file has caused is said.
    fn by_signal(signal: i32) -> anyhow::Error {
        match signal {
            SIGBUS => anyhow!(mapped::CHANGED),
            signal => Self(u8::try_from(128 + signal).unwrap_or(1)).into(),
        }
    }
}

/// What every subcommand starts from.
#[derive(Debug)]
struct Context {
    paths: Paths,
    settings: Settings,
    verbose: bool,
    /// Whether no other machine is to be asked for anything.
    is_offline: bool,
    log: Log,
}

impl Context {
    /// Defaults <- config.toml <- environment; the flags of the subcommand come on top.
    fn new(common: &args::Common) -> Result<Self> {
        let paths = Paths::new(common.config_dir.as_deref())?;
        let log = Log::start(&paths.log())?;
        let stages = stages(&paths, common)?;
        let settings = stages.into_iter().next_back().map(|stage| stage.settings).unwrap_or_default();
        if common.no_color {
            // NO_COLOR is obeyed without this.
            crossterm::style::force_color_output(false);
        }
        Ok(Self { paths, settings, verbose: common.verbose, is_offline: common.offline, log })
    }

    /// Where models come from that are not here.
    fn hub(&self) -> Result<ModelHub> {
        Ok(ModelHub::new(&self.paths, self.is_offline)?)
    }

    /// Fetches the model of the settings where it is not here, if it can be and the person wants that.
    fn bring(&mut self, flags: &args::Model) -> Result<()> {
        pull::bring::bring(self, flags)
    }

    /// How the settings want a model to run.
    fn load_params(&self) -> LoadParams {
        load_params(&self.settings, &self.paths)
    }

    /// The same, for those who load it themselves.
    fn load_options(&self) -> LoadOptions {
        self.load_params().options(MemoryProbe::default())
    }
}

/// The settings as one source after the other changes them, the flags of all commands last.
fn stages(paths: &Paths, common: &args::Common) -> Result<Vec<Stage<'static>>> {
    let of_file = Settings::load(&paths.config())?;
    let mut of_environment = of_file.clone();
    of_environment.apply_environment(|name| std::env::var_os(name))?;
    let mut of_flags = of_environment.clone();
    of_flags.ui.ascii |= common.ascii;
    let stage = |source, settings| Stage { source, settings };
    Ok(vec![stage("config.toml", of_file), stage("the environment", of_environment), stage("a flag", of_flags)])
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

/// What is said where more threads are wished for than can serve.
fn thread_warning(settings: &Settings) -> Option<String> {
    let (wanted, used) = (settings.model.threads, useful_threads(settings.model.threads));
    (used < wanted).then(|| {
        format!(
            "{wanted} threads on {} cores would wait for each other: {used} compute (-t/--threads, or `threads` in config.toml)",
            default_threads()
        )
    })
}

/// What the engine's thread is started with.
fn resources() -> Resources {
    Resources { embedded: models::embedded(), ..Resources::from(Sandbox::of_this_program()) }
}

fn load_params(settings: &Settings, paths: &Paths) -> LoadParams {
    let model = &settings.model;
    let unless_zero = |value: usize| (value > 0).then_some(value);
    LoadParams {
        threads: unless_zero(model.threads),
        context: unless_zero(model.context),
        batch: model.batch,
        // Checked where it was read; empty is none.
        quantize: model.quantize.parse().ok(),
        quantized_folder: Some(paths.cache()),
        cache: CacheTypes { keys: model.cache_type_k, values: model.cache_type_v },
        known: recommended::known(paths),
    }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == template::HELPER_ARGUMENT) {
        return template::serve();
    }
    // As the standard library says it, but visible: a panic may quote what a file has in it.
    std::panic::set_hook(Box::new(|panic| tell!("\n{panic}")));
    gibber_engine::caught::keep_quiet();
    gibber_signals::watch_mapped_files();
    let code = match run(std::env::args_os()) {
        Ok(()) => 0,
        Err(error) => report(&error),
    };
    // A thread that hangs keeps nobody: what is to be saved is saved by now.
    ending::exit(code)
}

/// Says what went wrong, and with which exit code the program ends.
fn report(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        return report_usage(error);
    }
    if let Some(Exit(code)) = error.downcast_ref() {
        return *code;
    }
    if is_broken_pipe(error) {
        return 0;
    }
    tell!("error: {}", sentence(error));
    exit_code(error)
}

/// The exit code of what ends with a sentence, or with nothing more to say.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref() {
        Some(Exit(code)) => *code,
        None if error.is::<Usage>() => 2,
        None => 1,
    }
}

/// clap's error with the arguments that it quotes made visible: clap takes escape sequences out of its texts by itself, and
/// nobody would see what was wrong.
fn quoted_visibly(mut error: clap::Error) -> clap::Error {
    let quoted: Vec<(ContextKind, String)> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, visible(text).into_owned())),
            _ => None,
        })
        .collect();
    for (kind, text) in quoted {
        error.insert(kind, ContextValue::String(text));
    }
    error
}

/// The error and its causes, of which those that a message has quoted already are left out.
fn sentence(error: &anyhow::Error) -> String {
    let said = error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        said if said.ends_with(&cause) => said.to_owned(),
        said => format!("{said}: {cause}"),
    });
    quoted::lines(&said).into_owned()
}

/// Whether the reader of stdout had enough (`gibber run | head -1`): that is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kinds.into_iter().any(|kind| kind == ErrorKind::BrokenPipe)
}

/// Prints the help, the version, or what is wrong with the command line.
fn report_usage(error: &clap::Error) -> u8 {
    if error.use_stderr() {
        // It quotes arguments: without clap's styles, which could not be told from what is in those.
        tell!("{}", quoted::lines(&error.to_string()).trim_end());
        return u8::try_from(error.exit_code()).unwrap_or(1);
    }
    match stdout::check().and_then(|()| error.print()) {
        Ok(()) => u8::try_from(error.exit_code()).unwrap_or(1),
        Err(failed) if failed.kind() == ErrorKind::BrokenPipe => 0,
        Err(failed) => {
            tell!("error: {}: {failed}", output::CANNOT_WRITE);
            1
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let Cli { command, common, chat } = parse(arguments)?;
    match command {
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::Man { folder }) => manual::pages(folder.as_deref()),
        Some(Command::Config(command)) => config::run(&command, &common),
        Some(Command::Sessions(command)) => sessions::run(&command, &common),
        Some(Command::Replay(arguments)) => replay::run(Context::new(&common)?, &arguments),
        Some(Command::Run(arguments)) => run::run(Context::new(&common)?, &arguments),
        Some(Command::Score(arguments)) => score::run(Context::new(&common)?, &arguments),
        Some(Command::Tokenize(arguments)) => tokenize::run(Context::new(&common)?, &arguments),
        Some(Command::Bench(arguments)) => bench::run(Context::new(&common)?, &arguments),
        Some(Command::Pull(arguments)) => pull::run(&Context::new(&common)?, &arguments),
        Some(Command::Models(command)) => of_models(Context::new(&common)?, &command),
        Some(Command::Repl(arguments)) => repl::run(Context::new(&common)?, &arguments),
        Some(Command::Chat(arguments)) => chat::run(Context::new(&common)?, &arguments),
        None if is_interactive() => chat::run(Context::new(&common)?, &chat),
        None => run::run(Context::new(&common)?, &args::Run { text: None, json: false, chat }),
    }
}

fn of_models(context: Context, command: &Models) -> Result<()> {
    match command {
        Models::List { outdated: true, json } => pull::update::list_outdated(&context, *json),
        Models::List { outdated: false, json } => model_list::run(&context, *json),
        Models::Pull(arguments) => pull::run(&context, arguments),
        Models::Verify(arguments) => verify::run(context, arguments),
        Models::Remove(arguments) => remove::run(&context, arguments),
        Models::Quantize(arguments) => quantize::run(context, arguments),
        Models::Convert(arguments) => quantize::convert(context, arguments),
        Models::Info { name, json, model } => model_info::run(context, name.as_deref(), *json, model),
    }
}

/// Reads the command line, and says what of it changes nothing.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli> {
    let translated = args::Translated::new(arguments).map_err(Usage)?;
    let parsed = Cli::command().try_get_matches_from(&translated.arguments).map_err(quoted_visibly);
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) =
        parsed.map_err(|error| match habits::hint(&error).or_else(|| translated.describe(&error)) {
            Some(text) => anyhow::Error::new(Usage(text.trim_start_matches("error: ").trim_end().to_owned())),
            None => error.into(),
        })?;
    refuse_flags_before_the_command(&matches, &translated)?;
    translated.notices.iter().for_each(|notice| tell!("warning: {notice}"));
    Ok(cli)
}

/// Whether a person sits at both ends.
fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// `gibber -m x run` would ignore the model without a word: it is asked for behind the command instead.
fn refuse_flags_before_the_command(matches: &ArgMatches, translated: &args::Translated) -> Result<()> {
    let Some(name) = matches.subcommand_name() else { return Ok(()) };
    let chat = args::Chat::augment_args(clap::Command::new(""));
    let misplaced = chat
        .get_arguments()
        .find(|argument| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine));
    match misplaced {
        None => Ok(()),
        Some(argument) => {
            let long = argument.get_long().unwrap_or_default();
            let own = format!("--{long}");
            let flag = translated.written_for(long).unwrap_or(&own);
            let names = match argument.get_short() {
                Some(short) if flag == own => format!("-{short}/{flag}"),
                _ => flag.to_owned(),
            };
            Err(Usage(format!("{names} must stand behind the command: gibber {name} {flag} ...")).into())
        }
    }
}
