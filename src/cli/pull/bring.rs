//! A model that a command is to run, fetched first where it is not here.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use gibber_hub::{Limits, Reference};

use super::{Manner, Work, arrival, parsed, with_file};
use crate::chat::one_line;
use crate::cli::args::Model;
use crate::cli::question::{ask, can_ask};
use crate::cli::{Context, models};
use crate::hub::{ModelHub, Offer, bytes_text};

/// Sees to it that the model of the settings is here, as far as it is one that can be fetched: `-hf` says that it is to be
/// fetched, of a name the person is asked where there is one. From then on the settings name what is here.
///
/// # Errors
/// Where it is not here and was not fetched: with the command that fetches it.
pub(in crate::cli) fn bring(context: &mut Context, flags: &Model) -> Result<()> {
    if let Some(repository) = &flags.hf_repo {
        let hub = context.hub()?;
        let name = with_file(&hub, repository, flags.hf_file.as_deref())?;
        let reference = parsed(&hub, &name)?;
        return bring_named(context, &hub, &name, &reference, true);
    }
    let name = context.settings.model.name.clone();
    if models::is_here(&name, &context.paths) {
        return Ok(());
    }
    let hub = context.hub()?;
    match hub.reference(&name) {
        // Where nobody can be asked, whoever loads it says what fetches it.
        Ok(reference) if can_ask() && models::can_be_fetched(&hub, &name, &reference) => {
            bring_named(context, &hub, &name, &reference, false)
        }
        // It is a path or a name of which whoever loads it says what is wrong.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn bring_named(
    context: &mut Context,
    hub: &ModelHub,
    name: &str,
    reference: &Reference,
    is_wanted: bool,
) -> Result<()> {
    let path = match hub.find(name, reference) {
        Some(path) => path,
        None => fetched(context, hub, name, reference, is_wanted)?,
    };
    context.settings.model.name = models::name_of(&path, &context.paths).unwrap_or_else(|| path.display().to_string());
    Ok(())
}

fn fetched(context: &Context, hub: &ModelHub, name: &str, reference: &Reference, is_wanted: bool) -> Result<PathBuf> {
    let work = Work::begin(hub)?;
    let offer = work.offer(name, reference)?;
    if let Some(why) = &offer.cannot_run {
        return Err(anyhow!(
            "{} is not on this machine, and cannot be run by this version: {}",
            one_line(name),
            one_line(why)
        ));
    }
    if !is_wanted && !ask(&question(&offer), true)? {
        return Err(not_here(name));
    }
    // Who has loading quantize them (`--quantize`) has answered; `-hf` fetches without a question.
    let wish = match context.settings.model.quantize.is_empty() {
        true => arrival::Wish::new(&offer, None, is_wanted)?,
        false => arrival::Wish::default(),
    };
    let manner = Manner { json: false, ascii: context.settings.ui.ascii, limits: Limits::default() };
    let here = work.fetch(&offer, &manner)?;
    wish.quantized(context, hub, &offer, &here, false)
}

fn question(offer: &Offer) -> String {
    let left = offer.total.saturating_sub(offer.here);
    let more = if offer.here > 0 { " more" } else { "" };
    format!("pull {}, {}{more}?", offer.name, bytes_text(left))
}

fn not_here(name: &str) -> anyhow::Error {
    let name = one_line(name);
    anyhow!("{name} is not on this machine: `gibber pull {name}` fetches it")
}
