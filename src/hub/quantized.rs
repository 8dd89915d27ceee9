//! Weights of floats, written in fewer bits once they are here.

use std::fmt::Display;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gibber_hub::{Cancel, HubError, LedgerEntry, LedgerFile, LedgerSource, Reference, digest};

use super::{ModelHub, Offer, OfferSource};
use gibber_engine::convert::{Conversion, OnStep};
use gibber_engine::kernels::ThreadPool;
use gibber_engine::kernels::pool::{default_threads, useful_threads};
use gibber_engine::load::ModelSource;
use gibber_engine::{EngineError, FileType};

/// What is proposed where nothing else is known: half of what 16 bits take, and next to nothing is lost.
const PROPOSED: FileType = FileType::Q8_0;

/// Why weights are not quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// They are no floats.
    #[error("{name} is {format} already: only floats are quantized on arrival")]
    NoFloats {
        /// The model.
        name: String,
        /// What its weights are.
        format: String,
    },
    /// What was asked for are floats as well.
    #[error("{0} would leave the weights floats: q8_0, q4_k_m, ... make them smaller")]
    ToFloats(FileType),
    /// Reading or writing the model.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What is known of where it came from.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The folder for what is made.
    #[error("cannot write into {}: {source}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A model of floats that is here.
#[derive(Debug, Clone)]
pub struct Floats {
    /// The GGUF file, or the folder.
    pub model: PathBuf,
    /// Where it came from.
    pub source: LedgerSource,
    /// Whether a file that was made of it before is of other weights.
    pub is_new: bool,
}

/// A file of gibber's own, made of floats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it is.
    pub path: PathBuf,
    /// What is to be said of it, a sentence each; nothing where it was here already.
    pub said: Vec<String>,
    /// Why it could not be noted as made here, if so.
    pub unnoted: Option<String>,
}

impl Offer {
    /// What the weights are best quantized to, where they are floats.
    pub fn proposed(&self) -> Option<FileType> {
        self.is_floats.then(|| self.quantize_to.unwrap_or(PROPOSED))
    }

    /// Where it comes from, as the list of what was fetched says it.
    pub fn ledger_source(&self) -> LedgerSource {
        match &self.source {
            OfferSource::Repository(plan) => LedgerSource::Hub {
                repository: plan.listing.repository.to_string(),
                revision: plan.listing.revision.clone(),
                commit: plan.listing.commit.clone(),
            },
            OfferSource::Address { url, .. } => LedgerSource::Address { url: url.clone() },
        }
    }
}

impl ModelHub {
    /// The floats at `model`, which are here as `name`, with what they are best quantized to. No other machine is asked.
    ///
    /// # Errors
    /// Where nobody knows where they came from.
    pub fn floats_here(
        &self,
        name: &str,
        reference: &Reference,
        model: PathBuf,
    ) -> gibber_hub::Result<(Floats, FileType)> {
        let offer = self.offline()?.offer(name, reference);
        let entry = self.fetched()?.into_iter().rev().find(|entry| entry.model == model);
        let proposed = offer.as_ref().ok().and_then(Offer::proposed).unwrap_or(PROPOSED);
        let source = match entry {
            Some(entry) => entry.source,
            None => offer?.ledger_source(),
        };
        Ok((Floats { model, source, is_new: false }, proposed))
    }

    /// Writes `floats` as a file of gibber's own in the format `kind`, or finds the one of these very weights; notes it as made
    /// here. [`ControlFlow::Break`] where `on_step` has stopped it: nothing of it is left then, and the floats are.
    ///
    /// # Errors
    /// Where the model cannot be read, is quantized already, or the file cannot be written.
    pub fn quantize(
        &self,
        floats: &Floats,
        kind: FileType,
        threads: usize,
        on_step: &mut OnStep<'_>,
    ) -> Result<ControlFlow<(), Made>, QuantizeError> {
        check_kind(kind)?;
        let path = self.own_folder().join(file_name(floats, kind));
        if path.exists() && !floats.is_new {
            return Ok(ControlFlow::Continue(Made { path, said: Vec::new(), unnoted: None }));
        }
        let started = Instant::now();
        let conversion = Conversion::new(&ModelSource::Path(floats.model.clone()), kind)?;
        if let Some(format) = conversion.quantized_before() {
            return Err(QuantizeError::NoFloats {
                name: floats.model.display().to_string(),
                format: format.to_string(),
            });
        }
        if let Some(folder) = path.parent() {
            let failed = |source| QuantizeError::Folder { folder: folder.to_owned(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        if conversion.write_file(&path, true, &pool(threads), on_step)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let said = said_of(&conversion, &path, &kind, started.elapsed());
        let unnoted = self.note(entry(floats, &path)?, &Cancel::new());
        Ok(ControlFlow::Continue(Made { path, said, unnoted }))
    }
}

/// Whether `kind` has fewer bits than floats.
///
/// # Errors
/// [`QuantizeError::ToFloats`].
pub fn check_kind(kind: FileType) -> Result<(), QuantizeError> {
    if kind.base().block_size() > 1 { Ok(()) } else { Err(QuantizeError::ToFloats(kind)) }
}

/// Threads that quantize: as many as the settings say, 0 for the usual number.
pub fn pool(threads: usize) -> ThreadPool {
    ThreadPool::new(match threads {
        0 => default_threads(),
        threads => useful_threads(threads),
    })
}

/// What is to be said of a model that was written to `target`, a sentence each; its path is in it as it is.
pub fn said_of(conversion: &Conversion, target: &Path, kind: &dyn Display, time: Duration) -> Vec<String> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mut said = vec![format!(
        "{}: {kind}, {:.1} MB of weights instead of {:.1} MB, in {:.1} s",
        target.display(),
        megabytes(conversion.bytes_after()),
        megabytes(conversion.bytes_before()),
        time.as_secs_f64()
    )];
    if let Some(before) = conversion.quantized_before().filter(|before| conversion.format() != Some(*before)) {
        said.push(format!("the source is in {before} already: what that has lost is not in the copy either"));
    }
    if !conversion.unwritten().is_empty() {
        let keys = conversion.unwritten().join(", ");
        said.push(format!("{keys} of generation_config.json is not in the copy: GGUF has no key for it"));
    }
    said.extend(conversion.fallbacks().iter().map(|fallback| {
        let count = match fallback.tensors {
            1 => "1 tensor has".to_owned(),
            count => format!("{count} tensors have"),
        };
        format!(
            "{count} rows that are no multiple of {} values: {} instead of {}",
            fallback.wanted.block_size(),
            fallback.used,
            fallback.wanted
        )
    }));
    said
}

/// What the list of what was fetched says of a file that was made here: it is of the commit that it was made of, and that
/// never changes.
fn entry(floats: &Floats, made: &Path) -> gibber_hub::Result<LedgerEntry> {
    let io = |source| HubError::Io { path: made.to_owned(), source };
    let size = made.metadata().map_err(io)?.len();
    let sum = digest(made, None, &Cancel::new(), &mut |_| {})?;
    let name = made.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = made.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut entry = LedgerEntry::of_address(&name, "", made, vec![LedgerFile { path, size, blob: sum }]);
    entry.source = match &floats.source {
        LedgerSource::Hub { repository, commit, .. } => {
            LedgerSource::Hub { repository: repository.clone(), revision: commit.clone(), commit: commit.clone() }
        }
        LedgerSource::Address { url } => LedgerSource::Address { url: url.clone() },
    };
    Ok(entry)
}

/// `organization/name-Q8_0.gguf`
fn file_name(floats: &Floats, kind: FileType) -> PathBuf {
    let stem = floats.model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match &floats.source {
        LedgerSource::Hub { repository, .. } if floats.model.is_dir() => {
            PathBuf::from(format!("{repository}-{kind}.gguf"))
        }
        LedgerSource::Hub { repository, .. } => {
            let organization = repository.split('/').next().unwrap_or_default();
            PathBuf::from(organization).join(format!("{stem}-{kind}.gguf"))
        }
        LedgerSource::Address { .. } => PathBuf::from(format!("{stem}-{kind}.gguf")),
    }
}
