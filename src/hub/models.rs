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

    /// The same in an environment of the caller's.
    ///
    /// # Errors
    /// Those of [`ModelHub::new`].
    pub fn with_environment(paths: &Paths, environment: &HubEnvironment) -> Result<Self> {
        let cache = Cache::of(environment);
        let names = Arc::new(catalogue::load(paths)?);
        Ok(Self {
            client: Hub::new(environment)?,
            cache,
            own: paths.own_models(),
            ledger: Ledger::at(paths.ledger()),
            names,
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
                let sum = sha256.as_deref().or(pulled.unverified.as_deref());
                let entry = sum.map(|sum| LedgerEntry::of_address(&offer.name, url, &pulled.path, offer.total, sum));
                (pulled, entry)
            }
        };
        // Of what others have fetched before, gibber takes no possession.
        if let Some(entry) = entry.filter(|_| pulled.bytes_fetched > 0) {
            self.ledger.record(entry, cancel)?;
        }
        Ok(Here { path: pulled.path.clone(), pulled })
    }

    /// Where the model is that was fetched as `name`, or that `reference` stands for, if all of it is on this machine. No
    /// other machine is asked.
    pub fn find(&self, name: &str, reference: &Reference) -> Option<PathBuf> {
        // What is wrong with the list is told where something is to be written into it.
        let entries = self.ledger.entries().unwrap_or_default();
        let fetched = entries.into_iter().rev().find(|entry| entry.name == name && entry.model.exists());
        fetched.map(|entry| entry.model).or_else(|| self.here(reference))
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
