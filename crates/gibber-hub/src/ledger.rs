//! What gibber fetched, so that it knows what it may remove and update.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::{make_folder_of, replace};
use crate::lock::FileLock;
use crate::{Cancel, HubError, Plan, Result};

/// Of the file's form.
const VERSION: u64 = 1;

/// The list of what was fetched, in a file of the data folder.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Its file.
    pub path: PathBuf,
}

/// A model that gibber fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// As it was asked for.
    pub name: String,
    /// Where it came from.
    pub source: LedgerSource,
    /// What `-m` takes, from the root of the file system on.
    #[serde(with = "any_path")]
    pub model: PathBuf,
    /// All files of it, also those that were here before.
    pub files: Vec<LedgerFile>,
    /// When it was complete, in seconds since 1970.
    pub time: u64,
}

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LedgerSource {
    /// A repository of a hub.
    Hub {
        /// `organization/name`.
        repository: String,
        /// The branch, tag or commit that was asked for.
        revision: String,
        /// What that was: 40 hexadecimal digits.
        commit: String,
    },
    /// An `https://` address.
    Address {
        /// Without what stands behind `#`.
        url: String,
    },
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerFile {
    /// In the repository, or its name in the folder of models.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What names its bytes: SHA-256 or Git's SHA-1, in hexadecimal digits.
    pub blob: String,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct Contents {
    version: u64,
    models: Vec<LedgerEntry>,
}

impl LedgerEntry {
    /// That of a plan that was carried out, asked for as `name`, with its model at `model`.
    pub fn of_plan(name: &str, plan: &Plan, model: &Path) -> Self {
        let listing = &plan.listing;
        let source = LedgerSource::Hub {
            repository: listing.repository.to_string(),
            revision: listing.revision.clone(),
            commit: listing.commit.clone(),
        };
        let file = |file: &crate::RemoteFile| LedgerFile {
            path: file.path.clone(),
            size: file.size,
            blob: file.oid.as_str().to_owned(),
        };
        let files = plan.files.iter().map(file).collect();
        Self { name: name.to_owned(), source, model: model.to_owned(), files, time: now() }
    }

    /// That of the model at `model`, whose files came from `url`.
    pub fn of_address(name: &str, url: &str, model: &Path, files: Vec<LedgerFile>) -> Self {
        let source = LedgerSource::Address { url: url.to_owned() };
        Self { name: name.to_owned(), source, model: model.to_owned(), files, time: now() }
    }

    /// Whether `other` is the same model, perhaps at another time or commit.
    fn is_same(&self, other: &Self) -> bool {
        let is_same_source = match (&self.source, &other.source) {
            (LedgerSource::Hub { repository, .. }, LedgerSource::Hub { repository: other, .. }) => repository == other,
            (LedgerSource::Address { url }, LedgerSource::Address { url: other }) => url == other,
            (LedgerSource::Hub { .. }, LedgerSource::Address { .. })
            | (LedgerSource::Address { .. }, LedgerSource::Hub { .. }) => false,
        };
        is_same_source && self.model == other.model
    }
}

impl Ledger {
    /// The one in `path`, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// What was fetched and not removed, the oldest first.
    ///
    /// # Errors
    /// [`HubError::BrokenLedger`], [`HubError::NewerLedger`], or what the system says.
    pub fn entries(&self) -> Result<Vec<LedgerEntry>> {
        let bytes = match gibber_files::read(&self.path, gibber_files::LARGE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(HubError::Io { path: self.path.clone(), source }),
        };
        let broken = |why: String| HubError::BrokenLedger { path: self.path.clone(), why };
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > VERSION => Err(HubError::NewerLedger { path: self.path.clone(), version }),
            Some(_) => serde_json::from_value::<Contents>(value)
                .map(|contents| contents.models)
                .map_err(|error| broken(error.to_string())),
            None => Err(broken("it has no version".to_owned())),
        }
    }

    /// Adds `entry`, in place of the one for the same model. A list that cannot be read is kept beside the new one; where it
    /// is then, is given back.
    ///
    /// # Errors
    /// [`HubError::NewerLedger`], [`HubError::Cancelled`], or what the system says.
    pub fn record(&self, entry: LedgerEntry, cancel: &Cancel) -> Result<Option<PathBuf>> {
        let _lock = self.lock(cancel)?;
        let (mut entries, kept) = self.readable()?;
        entries.retain(|known| !known.is_same(&entry));
        entries.push(entry);
        self.write(entries)?;
        Ok(kept)
    }

    /// Forgets the entries that `is_gone` says.
    ///
    /// # Errors
    /// Those of [`Ledger::entries`]; [`HubError::Cancelled`].
    pub fn forget(&self, is_gone: impl Fn(&LedgerEntry) -> bool, cancel: &Cancel) -> Result<()> {
        let _lock = self.lock(cancel)?;
        let entries = self.entries()?;
        let count = entries.len();
        let left: Vec<_> = entries.into_iter().filter(|entry| !is_gone(entry)).collect();
        if left.len() == count { Ok(()) } else { self.write(left) }
    }

    fn lock(&self, cancel: &Cancel) -> Result<FileLock> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        FileLock::take(Path::new(&name), cancel, || tracing::debug!("waiting for the list of what was fetched"))
    }

    /// The entries, and where the list is now, if it could not be read.
    fn readable(&self) -> Result<(Vec<LedgerEntry>, Option<PathBuf>)> {
        match self.entries() {
            Err(HubError::BrokenLedger { why, .. }) => {
                let aside = self.set_aside()?;
                tracing::warn!(kept = %aside.display(), why, "the list of what was fetched could not be read");
                Ok((Vec::new(), Some(aside)))
            }
            entries => Ok((entries?, None)),
        }
    }

    /// Gives the list a name that nothing has.
    fn set_aside(&self) -> Result<PathBuf> {
        let wrong = |source| HubError::Io { path: self.path.clone(), source };
        let name = |number: u32| self.path.with_extension(format!("unreadable-{number}.json"));
        // Whoever counts up holds the lock.
        let free = (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0));
        fs::rename(&self.path, &free).map_err(wrong)?;
        Ok(free)
    }

    fn write(&self, models: Vec<LedgerEntry>) -> Result<()> {
        let wrong = |source| HubError::Io { path: self.path.clone(), source };
        let mut text = serde_json::to_vec_pretty(&Contents { version: VERSION, models })
            .map_err(|error| wrong(std::io::Error::other(error)))?;
        text.push(b'\n');
        make_folder_of(&self.path)?;
        replace(&self.path, &text).map_err(wrong)
    }
}

/// A path as text where it is some, else as the system has it.
mod any_path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Bytes(OsString),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => text.into(),
            Written::Bytes(bytes) => bytes.into(),
        })
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, commit: &str) -> LedgerEntry {
        LedgerEntry {
            name: name.to_owned(),
            source: LedgerSource::Hub {
                repository: "org/name".to_owned(),
                revision: "main".to_owned(),
                commit: commit.to_owned(),
            },
            model: PathBuf::from(format!("/hub/{name}.gguf")),
            files: vec![LedgerFile { path: format!("{name}.gguf"), size: 4, blob: "a".repeat(64) }],
            time: 1,
        }
    }

    #[test]
    fn what_was_fetched_is_known_once_and_can_be_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("data/pulled.json"));
        assert_eq!(ledger.entries().unwrap(), []);
        let record = |entry| assert_eq!(ledger.record(entry, &Cancel::new()).unwrap(), None);
        record(entry("a", "old"));
        record(entry("b", "old"));
        record(entry("a", "new"));
        assert_eq!(ledger.entries().unwrap(), [entry("b", "old"), entry("a", "new")]);
        ledger.forget(|entry| entry.name == "b", &Cancel::new()).unwrap();
        assert_eq!(ledger.entries().unwrap(), [entry("a", "new")]);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_kept_as_it_is() {
        use std::os::unix::ffi::OsStringExt;
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("pulled.json"));
        let model = PathBuf::from(std::ffi::OsString::from_vec(b"/hub/caf\xe9/m.gguf".to_vec()));
        let entry = LedgerEntry { model, ..entry("a", "new") };
        ledger.record(entry.clone(), &Cancel::new()).unwrap();
        assert_eq!(ledger.entries().unwrap(), [entry]);
    }

    #[test]
    fn one_that_cannot_be_read_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("pulled.json"));
        for (number, broken) in ["{", "[]", r#"{"version": 1}"#, r#"{"models": []}"#].into_iter().enumerate() {
            fs::write(&ledger.path, broken).unwrap();
            assert!(matches!(ledger.entries(), Err(HubError::BrokenLedger { .. })), "{broken}");
            let kept = ledger.record(entry("a", "new"), &Cancel::new()).unwrap().unwrap();
            assert_eq!(kept, folder.path().join(format!("pulled.unreadable-{}.json", number + 1)));
            assert_eq!(fs::read_to_string(kept).unwrap(), broken);
            assert_eq!(ledger.entries().unwrap().len(), 1);
        }
    }

    #[test]
    fn one_of_a_newer_gibber_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("pulled.json"));
        let newer = r#"{"version": 2, "models": {}}"#;
        fs::write(&ledger.path, newer).unwrap();
        let refused = ledger.record(entry("a", "new"), &Cancel::new());
        assert!(matches!(refused, Err(HubError::NewerLedger { version: 2, .. })));
        assert_eq!(fs::read_to_string(&ledger.path).unwrap(), newer);
    }

    #[test]
    fn several_programs_add_to_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::at(folder.path().join("pulled.json"));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let ledger = &ledger;
                scope.spawn(move || ledger.record(entry(&number.to_string(), "new"), &Cancel::new()).unwrap());
            }
        });
        assert_eq!(ledger.entries().unwrap().len(), 8);
    }
}
