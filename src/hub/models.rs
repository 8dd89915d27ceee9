//! From a name to a model that is here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use directories::BaseDirs;
use gibber_hub::{
    Cache, Cancel, Catalogue, Hub, HubEnvironment, HubError, Ledger, LedgerEntry, Limits, Plan, PullEvent, Pulled,
    Reference, Result, Retry, pull, pull_address,
};

use super::catalogue;
use crate::store::Paths;
use gibber_engine::FileType;

/// The variable that `--offline` stands for.
const OFFLINE: &str = "--offline";

/// The hub, the folders that it fetches into, and the names that it knows.
#[derive(Debug, Clone)]
pub struct ModelHub {
    client: Hub,
    /// None where there is no home folder and no variable names one.
    cache: Option<Cache>,
    /// Where models go that are of no hub.
    own: PathBuf,
    /// The folders of all models that are found by name, where a name of the ledger counts.
    folders: Vec<PathBuf>,
    ledger: Ledger,
    names: Arc<Catalogue>,
}

/// What a name stands for, before anything of it is fetched.
#[derive(Debug, Clone)]
pub struct Offer {
    /// As it was asked for.
    pub name: String,
    /// What is fetched.
    pub source: OfferSource,
    /// What that is and why, in a line: the repository, the file, its type.
    pub sentence: String,
    /// What could be had instead, this one among it.
    pub choices: Vec<Choice>,
    /// Bytes of all files.
    pub total: u64,
    /// Bytes that are here already.
    pub here: u64,
    /// Whether the weights are floats, which run faster once they are quantized.
    pub is_floats: bool,
    /// Why this engine cannot run it, as far as that can be told beforehand.
    pub cannot_run: Option<String>,
    /// What the weights are best quantized to once they are here, where they are floats.
    pub quantize_to: Option<FileType>,
}

/// Where the bytes come from.
#[derive(Debug, Clone)]
pub enum OfferSource {
    /// Files of a repository.
    Repository(Plan),
    /// One file.
    Address {
        /// Without what stands behind `#`.
        url: String,
        /// What it has to hash to.
        sha256: Option<String>,
    },
}

/// One of several that a name may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What `gibber pull` takes for it.
    pub name: String,
    /// Bytes to be fetched, where that is known.
    pub bytes: Option<u64>,
    /// What is to be said of it in a few words.
    pub note: String,
    /// Whether this machine can run it, as far as memory and the engine go, where that can be told.
    pub fits: Option<bool>,
    /// Whether the engine cannot run it, however much memory there is; the note says why.
    pub is_unknown: bool,
}

/// A model that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// The GGUF file (its first part), or the folder.
    pub path: PathBuf,
    /// What of it is fetched, and what was here before.
    pub pulled: Pulled,
    /// Why it could not be noted as fetched, if so.
    pub unnoted: Option<String>,
}

impl ModelHub {
    /// As the environment of this process has it. Nothing is asked yet.
    ///
    /// # Errors
    /// Where a variable or a file that one names cannot be used.
    pub fn new(paths: &Paths, is_offline: bool) -> Result<Self> {
        let home = BaseDirs::new();
        let mut environment = HubEnvironment::from_process(home.as_ref().map(BaseDirs::home_dir))?;
        if is_offline && environment.offline.is_none() {
            environment.offline = Some(OFFLINE.to_owned());
        }
        Self::with_environment(paths, &environment)
    }

    /// One that asks no hub and knows the program's own short names alone, whatever is wrong with the person's.
    ///
    /// # Errors
    /// As [`ModelHub::new`], but for the names.
    pub fn with_own_names_left_out(paths: &Paths) -> Result<Self> {
        let home = BaseDirs::new();
        let mut environment = HubEnvironment::from_process(home.as_ref().map(BaseDirs::home_dir))?;
        environment.offline.get_or_insert_with(|| OFFLINE.to_owned());
        Self::with_names(paths, &environment, catalogue::built_in()?)
    }

    /// The same in an environment of the caller's.
    ///
    /// # Errors
    /// Those of [`ModelHub::new`].
    pub fn with_environment(paths: &Paths, environment: &HubEnvironment) -> Result<Self> {
        Self::with_names(paths, environment, catalogue::load(paths)?)
    }

    fn with_names(paths: &Paths, environment: &HubEnvironment, names: Catalogue) -> Result<Self> {
        let cache = Cache::of(environment);
        Ok(Self {
            client: Hub::new(environment)?,
            folders: paths
                .model_folders()
                .into_iter()
                .chain(cache.iter().map(|cache| cache.folder().to_owned()))
                .collect(),
            own: paths.own_models(),
            ledger: Ledger::at(paths.ledger()),
            names: Arc::new(names),
            cache,
        })
    }

    /// The same, whose requests end once `cancel` is asked for.
    #[must_use]
    pub fn with_cancel(&self, cancel: &Cancel) -> Self {
        Self { client: self.client.with_cancel(cancel), ..self.clone() }
    }

    /// The same, which tells `notice` before it asks again what failed.
    #[must_use]
    pub fn with_notice(&self, notice: Arc<dyn Fn(&Retry) + Send + Sync>) -> Self {
        Self { client: self.client.with_notice(notice), ..self.clone() }
    }

    /// The same, which asks no hub: what is here is all that there is.
    ///
    /// # Errors
    /// Those of [`ModelHub::new`].
    pub fn offline(&self) -> Result<Self> {
        let mut environment = self.client.environment().clone();
        environment.offline.get_or_insert_with(|| OFFLINE.to_owned());
        Ok(Self { client: Hub::new(&environment)?, ..self.clone() })
    }

    /// The client, for what is asked of a hub beside fetching.
    pub fn client(&self) -> &Hub {
        &self.client
    }

    /// The short names: those of the program and the person's own.
    pub fn names(&self) -> &Catalogue {
        &self.names
    }

    /// The shared cache, where there is a place for one.
    pub(super) fn cache_folder(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Fetches what is offered; what is here already is not fetched again.
    ///
    /// # Errors
    /// Those of [`gibber_hub::pull`]; what was fetched until then is kept.
    pub fn pull(&self, offer: &Offer, limits: &Limits, progress: &dyn Fn(PullEvent), cancel: &Cancel) -> Result<Here> {
        let client = self.client.with_cancel(cancel);
        let (pulled, entry) = match &offer.source {
            OfferSource::Repository(plan) => {
                let pulled = pull(&client, self.cache()?, plan, limits, progress, cancel)?;
                let entry = LedgerEntry::of_plan(&offer.name, plan, &pulled.path);
                (pulled, Some(entry))
            }
            OfferSource::Address { url, sha256 } => {
                let pulled = pull_address(&client, url, sha256.as_deref(), &self.own, limits, progress, cancel)?;
                let entry = LedgerEntry::of_address(&offer.name, url, &pulled.path, pulled.parts.clone());
                (pulled, Some(entry))
            }
        };
        // Of what others have fetched before, gibber takes no possession.
        let unnoted = entry.filter(|_| pulled.bytes_fetched > 0).and_then(|entry| self.note(entry, cancel));
        Ok(Here { path: pulled.path.clone(), pulled, unnoted })
    }

    /// Notes a model that is here as fetched. Where that fails the model is here all the same: the sentence says why.
    pub fn note(&self, entry: LedgerEntry, cancel: &Cancel) -> Option<String> {
        let error = self.ledger.record(entry, cancel).err()?;
        let file = self.ledger.path.display().to_string();
        let why = match error {
            HubError::Io { source, .. } => source.to_string(),
            error => error.to_string(),
        };
        Some(format!(
            "it could not be noted in {file} that gibber fetched it: {why}; `gibber models remove` will ask for --force"
        ))
    }

    /// Where the model is that was fetched as `name`, or that `reference` stands for, if all of it is on this machine. No
    /// other machine is asked.
    pub fn find(&self, name: &str, reference: &Reference) -> Option<PathBuf> {
        // What is wrong with the list is told where something is to be written into it.
        let entries = self.fetched().unwrap_or_default();
        let fetched = entries.into_iter().rev().find(|entry| entry.name == name);
        fetched.map(|entry| entry.model).or_else(|| self.here(reference))
    }

    /// What was fetched and is here: of another cache than the one in force, or of a folder that is looked into no more,
    /// nothing counts.
    ///
    /// # Errors
    /// Those of [`Ledger::entries`].
    pub fn fetched(&self) -> Result<Vec<LedgerEntry>> {
        let mut entries = self.ledger.entries()?;
        entries.retain(|entry| entry.model.exists() && self.looks_into(&entry.model));
        Ok(entries)
    }

    fn looks_into(&self, model: &Path) -> bool {
        let is_below = |folder: &PathBuf| {
            let real = |path: &Path| path.canonicalize().ok();
            model.starts_with(folder)
                // A folder may be reached by a link; the model itself is often one, to its blob.
                || real(folder).zip(model.parent().and_then(real)).is_some_and(|(folder, model)| model.starts_with(folder))
        };
        self.folders.iter().any(is_below)
    }

    /// The list of what was fetched.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The folder for models that are of no hub.
    pub fn own_folder(&self) -> &Path {
        &self.own
    }

    fn cache(&self) -> Result<&Cache> {
        self.cache.as_ref().ok_or_else(|| HubError::Environment {
            variable: "HF_HOME".to_owned(),
            value: String::new(),
            why: "no home folder is known, so it has to say where fetched models go".to_owned(),
        })
    }
}
