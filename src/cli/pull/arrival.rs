//! What is done with a model once it is here: weights of floats are quantized where that is wanted, and the person is told
//! what to type.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use gibber_hub::{Cancel, LedgerEntry, LedgerSource, digest};
use serde::Serialize;

use crate::chat::one_line;
use crate::cli::output::Output;
use crate::cli::question::{ask, can_ask};
use crate::cli::{Context, models, quantize};
use crate::hub::{Here, ModelHub, Offer, OfferSource, bytes_text};
use gibber_engine::FileType;
use gibber_engine::load::ModelSource;

/// What is proposed: half of what 16 bits take, and next to nothing is lost.
const PROPOSED: FileType = FileType::Q8_0;

/// What is to become of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wish {
    quantize: Option<FileType>,
    /// Whether it is to be said that they could be quantized.
    is_worth_a_word: bool,
}

impl Wish {
    /// What the flags say, else what the person answers; asked before anything is fetched, so that nobody has to wait.
    ///
    /// # Errors
    /// Where `--quantize` names a type for what is no floats.
    pub(super) fn new(offer: &Offer, wanted: Option<FileType>, is_silent: bool) -> Result<Self> {
        if let Some(kind) = wanted {
            check_floats(offer, kind)?;
            return Ok(Self { quantize: wanted, is_worth_a_word: false });
        }
        // Who has it already has answered before.
        if !offer.is_floats || offer.here >= offer.total {
            return Ok(Self { quantize: None, is_worth_a_word: false });
        }
        if is_silent || !can_ask() {
            return Ok(Self { quantize: None, is_worth_a_word: true });
        }
        let question = format!(
            "{}: its weights are floats; quantize them to {PROPOSED} once they are here (faster, in less memory)?",
            offer.name
        );
        Ok(Self { quantize: ask(&question, true)?.then_some(PROPOSED), is_worth_a_word: false })
    }

    /// Quantizes, and says what is here now.
    pub(super) fn carry_out(
        self,
        context: &Context,
        hub: &ModelHub,
        offer: &Offer,
        here: &Here,
        json: bool,
    ) -> Result<()> {
        let quantized = self.quantize.map(|kind| quantized(context, hub, offer, here, kind, json)).transpose()?;
        let path = quantized.as_deref().unwrap_or(&here.path);
        let name = models::name_of(path, &context.paths).unwrap_or_else(|| path.display().to_string());
        let mut output = Output::stdout();
        if json {
            return output.json(&PulledRow {
                name: &name,
                path: path.display().to_string(),
                bytes_fetched: here.pulled.bytes_fetched,
                bytes_here: here.pulled.bytes_here,
            });
        }
        if self.is_worth_a_word {
            let again = one_line(&offer.name);
            tell!(
                "its weights are floats: `gibber pull {again} --quantize {}` makes them faster and smaller",
                PROPOSED.flag()
            );
        }
        if quantized.is_some() {
            let floats = models::name_of(&here.path, &context.paths).unwrap_or_else(|| here.path.display().to_string());
            tell!(
                "the floats stay here as well ({}): `gibber models remove {}` deletes them",
                bytes_text(offer.total),
                one_line(&floats)
            );
        }
        let fetched = match here.pulled.bytes_fetched {
            0 => "was here already".to_owned(),
            bytes => format!("is here ({} fetched)", bytes_text(bytes)),
        };
        output.line(&format!("{} {fetched}: gibber -m {}", one_line(&offer.name), one_line(&name)))
    }
}

/// The last line of `--json`.
#[derive(Serialize)]
#[serde(tag = "type", rename = "pulled")]
struct PulledRow<'a> {
    /// What `-m` takes.
    name: &'a str,
    path: String,
    bytes_fetched: u64,
    bytes_here: u64,
}

/// That `kind` can be made of the weights.
pub(super) fn check_floats(offer: &Offer, kind: FileType) -> Result<()> {
    super::check_quantized(kind)?;
    if offer.is_floats {
        return Ok(());
    }
    let name = one_line(&offer.name);
    Err(anyhow!("{name} is quantized already: --quantize is for floats (`gibber pull {name} --list` shows its types)"))
}

/// Writes the weights as a file of gibber's own, or finds the one of these very weights; returns where it is.
fn quantized(
    context: &Context,
    hub: &ModelHub,
    offer: &Offer,
    here: &Here,
    kind: FileType,
    json: bool,
) -> Result<PathBuf> {
    let target = hub.own_folder().join(file_name(offer, &here.path, kind));
    let is_new = here.pulled.bytes_fetched > 0;
    if is_new || !target.exists() {
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).map_err(|error| anyhow!("cannot make {}: {error}", folder.display()))?;
        }
        let said = quantize::write(context, &ModelSource::Path(here.path.clone()), &target, kind, true)?;
        let unnoted = hub.note(entry(offer, &target)?, &Cancel::new());
        unnoted.iter().for_each(|why| super::warn_unnoted(&target, why));
        if !json {
            said.iter().for_each(|line| tell!("{line}"));
        }
    }
    Ok(target)
}

/// What the list of what was fetched says of a file that was made here: it is of the commit that it was made of, and that
/// never changes.
fn entry(offer: &Offer, made: &Path) -> Result<LedgerEntry> {
    let size = made.metadata().map_err(|error| anyhow!("{}: {error}", made.display()))?.len();
    let sum = digest(made, None, &Cancel::new(), &mut |_| {})?;
    let name = made.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut entry = LedgerEntry::of_address(&name, "", made, size, &sum);
    entry.source = match &offer.source {
        OfferSource::Repository(plan) => LedgerSource::Hub {
            repository: plan.listing.repository.to_string(),
            revision: plan.listing.commit.clone(),
            commit: plan.listing.commit.clone(),
        },
        OfferSource::Address { url, .. } => LedgerSource::Address { url: url.clone() },
    };
    Ok(entry)
}

/// `organization/name-Q8_0.gguf`
fn file_name(offer: &Offer, model: &Path, kind: FileType) -> PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match &offer.source {
        OfferSource::Repository(plan) if plan.model.as_os_str().is_empty() => {
            PathBuf::from(format!("{}-{kind}.gguf", plan.listing.repository))
        }
        OfferSource::Repository(plan) => {
            let organization = plan.listing.repository.as_str().split('/').next().unwrap_or_default().to_owned();
            PathBuf::from(organization).join(format!("{stem}-{kind}.gguf"))
        }
        OfferSource::Address { .. } => PathBuf::from(format!("{stem}-{kind}.gguf")),
    }
}
