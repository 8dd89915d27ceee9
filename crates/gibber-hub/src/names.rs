//! What people type for a model that is not here.

use std::fmt;

use crate::{HubError, Result};

/// A repository of a hub: `organization/name`, or `name` alone for the oldest ones. It has no `..` and no control
/// characters, and is safe as part of a path and of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(String);

impl Repository {
    /// The one that is called `name`.
    ///
    /// # Errors
    /// [`HubError::Name`] where none can be called so.
    pub fn new(name: &str) -> Result<Self> {
        let letters = |part: &str| {
            part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
                && !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with(['.', '-'])
                && !part.contains("..")
                && !part.contains("--")
        };
        if name.len() <= 96 && name.split('/').count() <= 2 && name.split('/').all(letters) {
            return Ok(Self(name.to_owned()));
        }
        let why = "a repository is called ORGANIZATION/NAME, with letters, digits, '-', '_' and '.'".to_owned();
        Err(HubError::Name { name: name.to_owned(), why })
    }

    /// `organization/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be fetched, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `REPOSITORY[:FILE-OR-TYPE][@REVISION]`.
    Hub {
        /// Whose files.
        repository: Repository,
        /// Which of them: a file's name or a type such as `Q4_K_M`.
        pick: Option<String>,
        /// A branch, tag or commit.
        revision: Option<String>,
    },
    /// An `https://` address of a GGUF file.
    Address {
        /// Without what stands behind `#`.
        url: String,
        /// 64 hexadecimal digits.
        sha256: Option<String>,
    },
    /// `NAME[:TAG]` of the catalogue.
    Catalogue {
        /// The family.
        name: String,
        /// Which of it.
        tag: Option<String>,
    },
}

impl std::str::FromStr for Reference {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self> {
        let _ = text;
        Err(HubError::NotYet("fetching models"))
    }
}
