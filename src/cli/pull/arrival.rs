//! What is done with a model once it is here: weights of floats are quantized where that is wanted, and the person is told
//! what to type.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::chat::one_line;
use crate::cli::output::Output;
use crate::cli::question::{ask, can_ask};
use crate::cli::{Context, models, quantize};
use crate::hub::{Floats, Here, ModelHub, Offer, bytes_text};
use gibber_engine::FileType;

/// What is to become of the weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Wish {
    quantize: Option<FileType>,
    /// What it is to be said that they could be quantized to.
    hint: Option<FileType>,
}

impl Wish {
    /// What the flags say, else what the person answers; asked before anything is fetched, so that nobody has to wait.
    ///
    /// # Errors
    /// Where `--quantize` names a type for what is no floats.
    pub(super) fn new(offer: &Offer, wanted: Option<FileType>, is_silent: bool) -> Result<Self> {
        if let Some(kind) = wanted {
            check_floats(offer, kind)?;
            return Ok(Self { quantize: wanted, hint: None });
        }
        // Who has it already has answered before.
        let Some(proposed) = offer.proposed().filter(|_| offer.here < offer.total) else {
            return Ok(Self { quantize: None, hint: None });
        };
        if is_silent || !can_ask() {
            return Ok(Self { quantize: None, hint: Some(proposed) });
        }
        let question = format!(
            "{}: its weights are floats; quantize them to {proposed} once they are here (faster, in less memory)?",
            offer.name
        );
        Ok(Self { quantize: ask(&question, true)?.then_some(proposed), hint: None })
    }

    /// Quantizes where that is wanted, and says what else there is to know of floats; returns where the model is that is
    /// meant from now on.
    pub(super) fn quantized(
        self,
        context: &Context,
        hub: &ModelHub,
        offer: &Offer,
        here: &Here,
        json: bool,
    ) -> Result<PathBuf> {
        if let Some(kind) = self.hint.filter(|_| !json) {
            let again = one_line(&offer.name);
            tell!(
                "its weights are floats: `gibber pull {again} --quantize {}` makes them faster and smaller",
                kind.flag()
            );
        }
        let Some(kind) = self.quantize else { return Ok(here.path.clone()) };
        let path = quantized(context, hub, offer, here, kind, json)?;
        if !json {
            let floats = models::name_of(&here.path, &context.paths).unwrap_or_else(|| here.path.display().to_string());
            tell!(
                "the floats stay here as well ({}): `gibber models remove {}` deletes them",
                bytes_text(offer.total),
                one_line(&floats)
            );
        }
        Ok(path)
    }

    /// The same, and says what is here now.
    pub(super) fn carry_out(
        self,
        context: &Context,
        hub: &ModelHub,
        offer: &Offer,
        here: &Here,
        json: bool,
    ) -> Result<()> {
        let path = self.quantized(context, hub, offer, here, json)?;
        let name = models::name_of(&path, &context.paths).unwrap_or_else(|| path.display().to_string());
        let mut output = Output::stdout();
        if json {
            return output.json(&PulledRow {
                name: &name,
                path: path.display().to_string(),
                bytes_fetched: here.pulled.bytes_fetched,
                bytes_here: here.pulled.bytes_here,
            });
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
    let is_new = here.pulled.bytes_fetched > 0;
    let floats = Floats { model: here.path.clone(), source: offer.ledger_source(), is_new };
    let threads = context.settings.model.threads;
    let made = quantize::watched(context, |on_step| Ok(hub.quantize(&floats, kind, threads, on_step)?))?;
    made.unnoted.iter().for_each(|why| super::warn_unnoted(&made.path, why));
    if !json {
        made.said.iter().for_each(|line| tell!("{}", one_line(line)));
    }
    Ok(made.path)
}
