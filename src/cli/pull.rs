//! `gibber pull`: a model fetched by its name.

mod arrival;
pub(super) mod bring;
mod list;
mod progress;
pub(super) mod update;

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use gibber_hub::{Cancel, HubError, Limits, PullEvent, Reference, Retry};
use serde::Serialize;

use super::args::Pull;
use super::interrupt::Interrupt;
use super::output::Output;
use super::question::{ask, can_ask};
use super::{Context, Exit, INTERRUPTED, Usage};
use crate::chat::one_line;
use crate::hub::quantized::check_kind;
use crate::hub::{Here, ModelHub, Offer, OfferSource, bytes_text};
use gibber_engine::FileType;
use gibber_signals::ending;
use progress::Progress;

pub(super) fn run(context: &Context, arguments: &Pull) -> Result<()> {
    let outcome = carry_out(context, arguments);
    match &outcome {
        Err(error) if arguments.json => tell_failure(error)?,
        Ok(()) | Err(_) => {}
    }
    outcome
}

/// The last line of `--json` where it failed, or was stopped. That nobody reads stdout any more is no failure.
#[derive(Serialize)]
#[serde(tag = "type", rename = "failed")]
struct FailedRow<'a> {
    error: &'a str,
    exit_code: u8,
}

fn tell_failure(error: &anyhow::Error) -> Result<()> {
    if super::is_broken_pipe(error) {
        return Ok(());
    }
    let exit_code = super::exit_code(error);
    let sentence = match error.downcast_ref() {
        Some(Exit(INTERRUPTED)) => "stopped".to_owned(),
        Some(Exit(_)) => "not everything was done".to_owned(),
        None => super::sentence(error),
    };
    Output::stdout().json(&FailedRow { error: &sentence, exit_code })
}

fn carry_out(context: &Context, arguments: &Pull) -> Result<()> {
    let hub = context.hub()?;
    let name = wanted(&hub, arguments)?;
    match &name {
        name if arguments.list => list::run(&hub, name.as_deref(), arguments.json),
        name if arguments.update => update::run(context, &hub, name.as_deref(), arguments),
        Some(name) => one(context, &hub, name, arguments),
        None => {
            if !arguments.json {
                list::run(&hub, None, false)?;
            }
            Err(nameless())
        }
    }
}

fn nameless() -> anyhow::Error {
    Usage(
        "say what is to be fetched: `gibber pull qwen3:0.6b`, or a repository of the hub such as `gibber pull \
             org/name`; --list shows which have short names"
            .into(),
    )
    .into()
}

/// What is to be fetched, as a reference is written.
fn wanted(hub: &ModelHub, arguments: &Pull) -> Result<Option<String>> {
    match (&arguments.name, &arguments.hf_repo) {
        (Some(name), _) => Ok(Some(name.clone())),
        (None, Some(repository)) => with_file(hub, repository, arguments.hf_file.as_deref()).map(Some),
        (None, None) => Ok(None),
    }
}

/// What llama.cpp's `-hf REPO[:TYPE]` and `-hff FILE` name together: a file comes before a type.
pub(super) fn with_file(hub: &ModelHub, repository: &str, file: Option<&str>) -> Result<String> {
    let Some(file) = file else { return Ok(repository.to_owned()) };
    match parsed(hub, repository)? {
        Reference::Hub { repository, revision, .. } => {
            let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            Ok(format!("{repository}:{file}{revision}"))
        }
        Reference::Address { .. } | Reference::Catalogue { .. } => {
            Err(Usage(format!("--hf-file names a file of a repository, and `{}` is none", one_line(repository))).into())
        }
    }
}

/// What a name stands for.
///
/// # Errors
/// [`Usage`] where it can stand for nothing.
fn parsed(hub: &ModelHub, name: &str) -> Result<Reference> {
    hub.reference(name).map_err(|error| Usage(error.to_string()).into())
}

/// Fetches one model, or says what would be fetched.
fn one(context: &Context, hub: &ModelHub, name: &str, arguments: &Pull) -> Result<()> {
    let reference = parsed(hub, name)?;
    let work = Work::begin(hub)?;
    let offer = work.offer(name, &reference)?;
    if arguments.dry_run {
        return would_fetch(&offer, arguments);
    }
    refuse_unfit(&offer, arguments)?;
    let wish = arrival::Wish::new(&offer, arguments.quantize, arguments.yes || arguments.json)?;
    let manner = Manner { json: arguments.json, ascii: context.settings.ui.ascii, limits: limits(arguments) };
    let here = work.fetch(&offer, &manner)?;
    wish.carry_out(context, hub, &offer, &here, arguments.json)
}

/// What this engine cannot run is fetched where the person says so.
fn refuse_unfit(offer: &Offer, arguments: &Pull) -> Result<()> {
    let Some(why) = offer.cannot_run.as_ref().filter(|_| offer.here < offer.total && !arguments.yes) else {
        return Ok(());
    };
    let name = one_line(&offer.name);
    let asks = !arguments.json && can_ask();
    if asks && ask(&format!("{name} cannot be run by this version: {why}; fetch it all the same?"), false)? {
        return Ok(());
    }
    Err(anyhow!("{name} cannot be run by this version: {}; --yes fetches it all the same", one_line(why)))
}

fn limits(arguments: &Pull) -> Limits {
    Limits { bytes_per_second: arguments.limit_rate, ..Limits::default() }
}

/// How a model is fetched.
struct Manner {
    json: bool,
    ascii: bool,
    limits: Limits,
}

/// What can be stopped with Ctrl-C: asking the hub, and fetching.
struct Work {
    hub: ModelHub,
    cancel: Cancel,
    interrupt: Interrupt,
}

impl Work {
    fn begin(hub: &ModelHub) -> Result<Self> {
        let cancel = Cancel::new();
        let hub =
            hub.with_cancel(&cancel).with_notice(Arc::new(|retry: &Retry| tell!("{}", progress::of_retry(retry))));
        let work = Self { hub, cancel, interrupt: Interrupt::install(ending::PATIENCE)? };
        work.watch();
        Ok(work)
    }

    /// From now on Ctrl-C stops this.
    fn watch(&self) {
        let stop = self.cancel.clone();
        self.interrupt.watch(move || stop.cancel());
    }

    fn offer(&self, name: &str, reference: &Reference) -> Result<Offer> {
        self.hub.offer(name, reference).map_err(|error| match error {
            HubError::Cancelled => stopped("stopped"),
            error => error.into(),
        })
    }

    /// Fetches it, and tells how far that is.
    fn fetch(&self, offer: &Offer, manner: &Manner) -> Result<Here> {
        if !manner.json {
            tell!("{}", one_line(&offer.sentence));
        }
        // A question may have had Ctrl-C for itself.
        self.watch();
        let progress = Progress::new(manner.json, manner.ascii, &self.cancel);
        let has_come = Cell::new(false);
        let show = |event: PullEvent| {
            if let PullEvent::Progress { done, .. } = &event {
                has_come.set(*done > 0);
            }
            progress.show(&event);
        };
        let pulled = self.hub.pull(offer, &manner.limits, &show, &self.cancel);
        progress.finish()?;
        let here = pulled.map_err(|error| match error {
            HubError::Cancelled => stopped(&error.to_string()),
            error @ (HubError::WrongHash { .. } | HubError::WrongSize { .. }) => error.into(),
            error if has_come.get() => anyhow!("{error}; what has come is kept: the same command goes on"),
            error => error.into(),
        })?;
        here.unnoted.iter().for_each(|why| warn_unnoted(&here.path, why));
        Ok(here)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.interrupt.rest();
    }
}

/// Of a model that is here, and of which the list of what was fetched says nothing.
fn warn_unnoted(model: &Path, why: &str) {
    tell!("warning: the model is here ({}), but {}", one_line(&model.display().to_string()), one_line(why));
}

/// The end of what Ctrl-C has stopped.
fn stopped(sentence: &str) -> anyhow::Error {
    tell!("{sentence}");
    Exit(INTERRUPTED).into()
}

/// A file of what would be fetched.
#[derive(Serialize)]
struct FileRow<'a> {
    path: &'a str,
    bytes: u64,
    oid: &'a str,
}

/// What would be fetched, as `--dry-run --json` says it.
#[derive(Serialize)]
#[serde(tag = "type", rename = "offer")]
struct OfferRow<'a> {
    name: &'a str,
    repository: Option<&'a str>,
    revision: Option<&'a str>,
    commit: Option<&'a str>,
    url: Option<&'a str>,
    files: Vec<FileRow<'a>>,
    total: u64,
    here: u64,
    /// Whether the weights are floats, which `--quantize` is for.
    floats: bool,
    description: &'a str,
}

impl<'a> OfferRow<'a> {
    fn new(offer: &'a Offer) -> Self {
        let (plan, url) = match &offer.source {
            OfferSource::Repository(plan) => (Some(plan), None),
            OfferSource::Address { url, .. } => (None, Some(url.as_str())),
        };
        let file =
            |file: &'a gibber_hub::RemoteFile| FileRow { path: &file.path, bytes: file.size, oid: file.oid.as_str() };
        Self {
            name: &offer.name,
            repository: plan.map(|plan| plan.listing.repository.as_str()),
            revision: plan.map(|plan| plan.listing.revision.as_str()),
            commit: plan.map(|plan| plan.listing.commit.as_str()),
            url,
            files: plan.map(|plan| plan.files.iter().map(file).collect()).unwrap_or_default(),
            total: offer.total,
            here: offer.here,
            floats: offer.is_floats,
            description: &offer.sentence,
        }
    }
}

fn would_fetch(offer: &Offer, arguments: &Pull) -> Result<()> {
    let mut output = Output::stdout();
    let row = OfferRow::new(offer);
    if arguments.json {
        return output.json(&row);
    }
    output.line(&one_line(&offer.sentence))?;
    for file in &row.files {
        output.line(&format!("{:>8}  {}", bytes_text(file.bytes), one_line(file.path)))?;
    }
    output.line(&match offer.here {
        0 => format!("would fetch {}", bytes_text(offer.total)),
        here if here >= offer.total => format!("all of it is here: {}", bytes_text(offer.total)),
        here => format!("would fetch {}; {} are here", bytes_text(offer.total - here), bytes_text(here)),
    })?;
    match arguments.quantize {
        Some(kind) => arrival::check_floats(offer, kind)
            .and_then(|()| output.line(&format!("its weights would then be quantized to {kind}"))),
        None => Ok(()),
    }
}

/// The types that `--quantize` makes of floats.
fn check_quantized(kind: FileType) -> Result<()> {
    check_kind(kind).map_err(|error| Usage(format!("--quantize {error}")).into())
}
