//! `gibber config`: the settings file.

use std::process::Command;

use anyhow::{Context as _, Result, anyhow};

use super::args::{Common, Config};
use super::output::Output;
use super::{Context, Usage, themes};
use crate::settings::Settings;
use crate::store::{Paths, files};

/// What a new config.toml begins with: every key, documented.
const EXAMPLE: &str = include_str!("../../config.example.toml");

pub(super) fn run(command: &Config, common: &Common) -> Result<()> {
    let paths = Paths::new(common.config_dir.as_deref())?;
    let mut output = Output::stdout();
    match command {
        Config::Path => output.line(&paths.config().display().to_string()),
        Config::Show => output.text(&toml::to_string(&Context::new(common)?.settings)?),
        Config::Check => {
            check(&paths)?;
            let state = if paths.config().exists() { "is valid" } else { "does not exist; the defaults are used" };
            output.line(&format!("{} {state}", paths.config().display()))
        }
        Config::Edit => edit(&paths),
    }
}

/// Opens the editor on the file, which begins as a copy of the documented defaults, and checks what was written.
fn edit(paths: &Paths) -> Result<()> {
    let path = paths.config();
    let editor = ["VISUAL", "EDITOR"].iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    let Some(editor) = editor.and_then(|editor| editor.into_string().ok()) else {
        let message = format!("no editor is known: set VISUAL or EDITOR, or edit {} yourself", path.display());
        return Err(Usage(message).into());
    };
    if !path.exists() {
        files::write_atomic(&path, EXAMPLE)?;
    }
    // As git does it: the variable may hold flags, such as `code --wait`.
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status =
        Command::new(program).args(words).arg(&path).status().with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        return Err(anyhow!("{program} ended with {status}"));
    }
    check(paths)
}

/// Reads the file, and what it names.
fn check(paths: &Paths) -> Result<()> {
    let settings = Settings::load(&paths.config())?;
    let keys = super::key_problems(&settings, paths);
    let problems: Vec<String> = keys.into_iter().chain(themes::problems(&settings, paths)).collect();
    if problems.is_empty() { Ok(()) } else { Err(anyhow!(problems.join("\n"))) }
}
