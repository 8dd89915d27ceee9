//! What the environment says about hubs, as `huggingface_hub` reads it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{HubError, Result};

/// A secret that a hub knows a person by. It is shown to nobody: not by `Debug`, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The characters, for the one header that they belong in.
    #[expect(dead_code, reason = "the client sends it")]
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How long a server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOuts {
    /// Until a connection stands, its encryption included.
    pub connect: Duration,
    /// From a request to the first byte of what is answered.
    pub first_byte: Duration,
    /// Between two bytes of a body.
    pub stall: Duration,
    /// Before the first repetition of what failed; doubled for each further one.
    pub back_off: Duration,
    /// The longest that a server may ask to wait.
    pub longest_wait: Duration,
    /// How often what failed is tried again.
    pub retries: u32,
}

impl Default for TimeOuts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            back_off: Duration::from_millis(500),
            longest_wait: Duration::from_secs(300),
            retries: 5,
        }
    }
}

/// Where the hub is, who asks it, and where what it has is kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HubEnvironment {
    /// `HF_ENDPOINT`, without a slash at its end.
    pub endpoint: String,
    /// `HF_TOKEN`, or what the token's file says.
    pub token: Option<Token>,
    /// The folder of the shared cache: `HF_HUB_CACHE`, `HF_HOME/hub`. None where there is no home folder either.
    pub cache: Option<PathBuf>,
    /// The variable that says that nothing is to be fetched, where one does.
    pub offline: Option<String>,
    /// Certificates that are trusted beside the system's: a file in PEM.
    pub certificates: Option<PathBuf>,
    /// How long a server may take.
    pub time_outs: TimeOuts,
}

impl HubEnvironment {
    /// That of this process.
    ///
    /// # Errors
    /// Those of [`HubEnvironment::with`].
    pub fn from_process(home: Option<&Path>) -> Result<Self> {
        Self::with(home, |name| std::env::var_os(name))
    }

    /// What `variable` gives for a name, with the folder of the person's own files.
    ///
    /// # Errors
    /// [`HubError::Environment`] where a value cannot be used.
    pub fn with(home: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let _ = (home, variable);
        Err(HubError::NotYet("fetching models"))
    }
}
