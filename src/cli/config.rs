//! `gibber config`: the settings file.

use std::process::Command;

use anyhow::{Context as _, Result, anyhow};

use super::args::{Common, Config, Model};
use super::output::Output;
use super::pull::with_file;
use super::{Context, Usage, sentence, themes};
use crate::settings::layers::LayeredSampling;
use crate::settings::origins::{Stage, text_with_origins, without_effect};
use crate::settings::{Settings, line_of_key};
use crate::store::{Paths, files};
use gibber_engine::sampling::SamplingValues;

/// What a new config.toml begins with: every key, documented.
const EXAMPLE: &str = include_str!("../../config.example.toml");

pub(super) fn run(command: &Config, common: &Common) -> Result<()> {
    let paths = Paths::new(common.config_dir.as_deref())?;
    let mut output = Output::stdout();
    match command {
        Config::Path => output.line(&paths.config().display().to_string()),
        Config::Show(model) => output.text(&shown(Context::new(common)?, common, model)?),
        Config::Check => {
            check(&paths)?;
            let state = if paths.config().exists() { "is valid" } else { "does not exist; the defaults are used" };
            output.line(&format!("{} {state}", paths.config().display()))?;
            check_effect(&paths, &mut output)
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

/// The settings in use, with where each comes from; `model` has what the flags say.
fn shown(mut context: Context, common: &Common, model: &Model) -> Result<String> {
    let mut stages = super::stages(&context.paths, common)?;
    model.apply(&mut context.settings);
    if let Some(repository) = &model.hf_repo {
        context.settings.model.name = with_file(&context.hub()?, repository, model.hf_file.as_deref())?;
    }
    stages.push(Stage { source: "a flag", settings: context.settings.clone() });
    let mut sampling = LayeredSampling::new(&context.settings.sampling, SamplingValues::default());
    match super::recommended::of_settings(&context, &mut sampling) {
        Ok(()) => {}
        Err(error) => tell!("note: nothing is known of the model's own settings: {}", sentence(&error)),
    }
    text_with_origins(&stages, &sampling).map_err(|error| anyhow!(error))
}

/// Says which keys change nothing.
fn check_effect(paths: &Paths, output: &mut Output) -> Result<()> {
    let path = paths.config();
    let text = gibber_files::read_text(&path, gibber_files::SMALL).unwrap_or_default();
    without_effect(&text).into_iter().try_for_each(|key| {
        let line = line_of_key(&text, &["sampling".to_owned(), key.to_owned()]);
        let path = path.display();
        output.line(&format!("{path}:{line}: `sampling.{key}` stands at the default and counts as unset: what the model brings comes before it"))
    })
}

/// Reads the file, and what it names.
fn check(paths: &Paths) -> Result<()> {
    let settings = Settings::load(&paths.config())?;
    let keys = super::key_problems(&settings, paths);
    let problems: Vec<String> = keys.into_iter().chain(themes::problems(&settings, paths)).collect();
    if problems.is_empty() { Ok(()) } else { Err(anyhow!(problems.join("\n"))) }
}
