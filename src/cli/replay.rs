//! `gibber replay`: a stored reply computed again.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::args::Replay;
use super::output::Output;
use super::session::Session;
use super::sessions::Store;
use super::{Context, Exit, INTERRUPTED, models};
use crate::app::{ReplayOutcome, ReplayPlan};
use crate::chat::one_line;
use crate::chat::provenance::{Machine, ModelIdentity};
use crate::worker::protocol::EngineCommand;
use gibber_engine::CacheType;

/// As -b/--batch-size has it.
const MOST_BATCH: usize = 65_536;

pub(super) fn run(mut context: Context, arguments: &Replay) -> Result<()> {
    let chat = Store::of(&context.paths).chat(&arguments.chat)?;
    let mut plan = ReplayPlan::new(&chat.transcript, arguments.number).map_err(|error| anyhow!(error))?;
    let passage = &plan.provenance().passages[0];
    as_recorded(&mut context, &passage.machine);
    arguments.model.apply(&mut context.settings);
    if !arguments.model.is_named() {
        context.settings.model.name = place_of(&context, plan.provenance().model_of(passage))?;
    }
    context.bring(&arguments.model)?;
    let mut session = Session::start(&context)?;
    session.model().into_iter().for_each(|model| plan.compare_model(model));
    let ReplayOutcome { is_identical, lines } = computed(&mut session, &mut plan)?;
    let mut output = Output::stdout();
    lines.iter().try_for_each(|line| output.line(line))?;
    if is_identical { Ok(()) } else { Err(Exit(1).into()) }
}

/// Runs the model as it ran then. What is said on the command line counts more.
fn as_recorded(context: &mut Context, machine: &Machine) {
    let model = &mut context.settings.model;
    model.context = machine.context;
    model.batch = machine.batch.clamp(1, MOST_BATCH);
    model.quantize = machine.quantize.clone().unwrap_or_default();
    let (keys, values) = machine.cache.split_once('/').unwrap_or((&machine.cache, &machine.cache));
    model.cache_type_k = CacheType::from_name(keys).unwrap_or_default();
    model.cache_type_v = CacheType::from_name(values).unwrap_or_default();
}

/// The name or the path under which the model is found that wrote a reply.
fn place_of(context: &Context, model: &ModelIdentity) -> Result<String> {
    if !model.path.is_empty() && Path::new(&model.path).exists() {
        return Ok(model.path.clone());
    }
    let is_found = |name: &str| models::resolve(name, &context.paths).is_ok();
    if !model.name.is_empty() && is_found(&model.name) {
        return Ok(model.name.clone());
    }
    // The default model is known by a name that is not its file's.
    let default = models::resolve(models::DEFAULT_NAME, &context.paths).ok();
    let is_default = default.and_then(|source| gibber_engine::load::open(&source).ok());
    if is_default.is_some_and(|files| files.name == model.name) {
        return Ok(models::DEFAULT_NAME.to_owned());
    }
    Err(anyhow!(
        "the model {} that wrote this reply is not here: -m/--model names the file it is in now, or another one",
        one_line(&model.name)
    ))
}

fn computed(session: &mut Session, plan: &mut ReplayPlan) -> Result<ReplayOutcome> {
    while let Some((prompt, params)) = plan.request() {
        let closing = session.ask(
            |id| EngineCommand::Generate { id, prompt, params },
            |event| {
                plan.on_event(&event);
                Ok(())
            },
        )?;
        if session.is_interrupted() {
            return Err(Exit(INTERRUPTED).into());
        }
        if let Some(outcome) = plan.on_event(&closing) {
            return Ok(outcome);
        }
    }
    Err(anyhow!("the engine has said nothing of this reply"))
}
