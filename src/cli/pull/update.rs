//! What has changed on the hub since it was fetched.

use anyhow::{Result, anyhow};
use gibber_hub::{HubError, LedgerEntry, LedgerSource, Reference, Repository};
use serde::Serialize;

use super::{Manner, Work, arrival, limits, stopped};
use crate::chat::columns::lines;
use crate::chat::one_line;
use crate::cli::args::Pull;
use crate::cli::output::Output;
use crate::cli::{Context, Exit, models};
use crate::hub::ModelHub;

/// Digits of a commit that are shown.
const SHOWN: usize = 10;

/// A model that was fetched, and what the hub has of it now.
struct Outdated {
    entry: LedgerEntry,
    repository: Repository,
    revision: String,
    commit: String,
    newest: String,
}

/// The same for programs.
#[derive(Serialize)]
struct OutdatedRow<'a> {
    name: &'a str,
    repository: &'a str,
    revision: &'a str,
    commit: &'a str,
    newest: &'a str,
}

/// Fetches what has changed: the model called `name`, or all of which that can be said.
pub(super) fn run(context: &Context, hub: &ModelHub, name: Option<&str>, arguments: &Pull) -> Result<()> {
    let entries = of_name(context, hub, name)?;
    let comparison = compare(hub, entries)?;
    comparison.say(arguments.json)?;
    let mut is_complete = comparison.is_complete;
    for model in &comparison.outdated {
        is_complete &= match fetch(context, hub, model, arguments) {
            Err(error) if !error.is::<Exit>() => {
                tell!("error: {}: {}", one_line(&model.entry.name), crate::cli::sentence(&error));
                false
            }
            outcome => outcome.map(|()| true)?,
        };
    }
    if is_complete { Ok(()) } else { Err(Exit(1).into()) }
}

fn fetch(context: &Context, hub: &ModelHub, model: &Outdated, arguments: &Pull) -> Result<()> {
    let work = Work::begin(hub)?;
    let offer = work.offer(&model.entry.name, &model.reference()?)?;
    if arguments.dry_run {
        return super::would_fetch(&offer, arguments);
    }
    let wish = arrival::Wish::new(&offer, arguments.quantize, true)?;
    let manner = Manner { json: arguments.json, ascii: context.settings.ui.ascii, limits: limits(arguments) };
    let here = work.fetch(&offer, &manner)?;
    if !arguments.json && model.entry.model.exists() {
        tell!("what was fetched before is still in {}", one_line(&model.entry.model.display().to_string()));
    }
    wish.carry_out(context, hub, &offer, &here, arguments.json)
}

/// `gibber models list --outdated`.
pub(in crate::cli) fn list_outdated(context: &Context, json: bool) -> Result<()> {
    let hub = context.hub()?;
    let comparison = compare(&hub, of_name(context, &hub, None)?)?;
    let outdated = &comparison.outdated;
    let mut output = Output::stdout();
    if json {
        outdated.iter().try_for_each(|model| output.json(&model.row()))?;
    } else if !outdated.is_empty() {
        let headings = ["NAME", "HERE", "NEWEST", "REVISION"].map(str::to_owned);
        let table: Vec<[String; 4]> = std::iter::once(headings).chain(outdated.iter().map(Outdated::columns)).collect();
        lines(&table).iter().try_for_each(|line| output.line(line))?;
        tell!("`gibber pull --update` fetches them");
    }
    comparison.say(json)?;
    if comparison.is_complete { Ok(()) } else { Err(Exit(1).into()) }
}

/// What was fetched and is still here, or of it what `name` says.
fn of_name(context: &Context, hub: &ModelHub, name: Option<&str>) -> Result<Vec<LedgerEntry>> {
    let entries = hub.fetched()?;
    // Of a model that was fetched at several commits the last one counts.
    let mut latest: Vec<LedgerEntry> = Vec::new();
    for entry in entries {
        latest.retain(|known| known.name != entry.name);
        latest.push(entry);
    }
    let Some(name) = name else { return Ok(latest) };
    let is_meant = |entry: &LedgerEntry| {
        entry.name == name || models::name_of(&entry.model, &context.paths).is_some_and(|known| known == name)
    };
    latest.retain(is_meant);
    match latest.is_empty() {
        true => {
            Err(anyhow!("{} was not fetched by gibber: `gibber pull {}` does that", one_line(name), one_line(name)))
        }
        false => Ok(latest),
    }
}

/// What came of comparing what was fetched with what the hub has.
#[derive(Default)]
struct Comparison {
    /// Those of which the hub has another commit.
    outdated: Vec<Outdated>,
    /// How many are as the hub has them.
    current: usize,
    /// The names of those from addresses, of which no hub says a version.
    not_looked_at: Vec<String>,
    /// Whether the hub has said it of all others.
    is_complete: bool,
}

/// The same for programs.
#[derive(Serialize)]
#[serde(tag = "type", rename = "compared")]
struct ComparisonRow<'a> {
    outdated: usize,
    current: usize,
    not_looked_at: &'a [String],
    complete: bool,
}

impl Comparison {
    /// Says what is not outdated, and what was not looked at.
    fn say(&self, json: bool) -> Result<()> {
        let Self { outdated, current, not_looked_at, is_complete } = self;
        let mut output = Output::stdout();
        if json {
            return output.json(&ComparisonRow {
                outdated: outdated.len(),
                current: *current,
                not_looked_at,
                complete: *is_complete,
            });
        }
        if outdated.is_empty() && *is_complete && (*current > 0 || not_looked_at.is_empty()) {
            let rest = if not_looked_at.is_empty() { "" } else { " else" };
            output.line(&format!("everything{rest} that was fetched is as the hub has it"))?;
        }
        for name in not_looked_at {
            tell!("{}: not looked at, as it is from an address, which has no versions", one_line(name));
        }
        Ok(())
    }
}

fn compare(hub: &ModelHub, entries: Vec<LedgerEntry>) -> Result<Comparison> {
    let work = Work::begin(hub)?;
    let mut comparison = Comparison { is_complete: true, ..Comparison::default() };
    for entry in entries {
        let name = one_line(&entry.name);
        if matches!(entry.source, LedgerSource::Address { .. }) {
            comparison.not_looked_at.push(entry.name);
            continue;
        }
        match newest(&work.hub, entry) {
            Ok(Some(model)) => comparison.outdated.push(model),
            Ok(None) => comparison.current += 1,
            Err(HubError::Cancelled) => return Err(stopped("stopped")),
            Err(HubError::Offline { variable, .. }) => return Err(HubError::HubAlone { variable }.into()),
            Err(error) => {
                tell!("error: {name}: {error}");
                comparison.is_complete = false;
            }
        }
    }
    Ok(comparison)
}

/// What the hub has now, where that is another commit. What was fetched as a commit, or from an address, stays what it is.
fn newest(hub: &ModelHub, entry: LedgerEntry) -> gibber_hub::Result<Option<Outdated>> {
    let LedgerSource::Hub { repository, revision, commit } = &entry.source else { return Ok(None) };
    if revision == commit {
        return Ok(None);
    }
    let repository = Repository::new(repository)?;
    let (revision, commit) = (revision.clone(), commit.clone());
    let newest = hub.client().list(&repository, &revision)?.commit;
    Ok((newest != commit).then_some(Outdated { entry, repository, revision, commit, newest }))
}

impl Outdated {
    fn row(&self) -> OutdatedRow<'_> {
        OutdatedRow {
            name: &self.entry.name,
            repository: self.repository.as_str(),
            revision: &self.revision,
            commit: &self.commit,
            newest: &self.newest,
        }
    }

    fn columns(&self) -> [String; 4] {
        let short = |commit: &str| commit.chars().take(SHOWN).collect();
        [one_line(&self.entry.name), short(&self.commit), short(&self.newest), one_line(&self.revision)]
    }

    /// The very files that were fetched, and not what would be chosen today.
    fn reference(&self) -> Result<Reference> {
        let pick = match self.entry.model.is_dir() {
            true => "safetensors".to_owned(),
            false => self.entry.files.first().map(|file| file.path.clone()).unwrap_or_default(),
        };
        Ok(Reference::Hub {
            repository: self.repository.clone(),
            pick: Some(pick),
            revision: Some(self.revision.clone()),
        })
    }
}
