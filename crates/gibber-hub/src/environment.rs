//! What the environment says about hubs, as `huggingface_hub` reads it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::HeaderValue;

use crate::http::{Address, Certificates, Proxies, shown};
use crate::{HubError, Result};

/// The hub that is asked where no variable names another.
pub const ENDPOINT: &str = "https://huggingface.co";
/// Variables that name a file of certificates, in the order of what other programs prefer.
const CERTIFICATES: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
/// Bytes of a token's file.
const TOKEN: u64 = 64 << 10;

/// A secret that a hub knows a person by. It is shown to nobody: not by `Debug`, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// What is in `text`, which may have spaces and line ends around it; none where nothing is.
    fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// What somebody else says, without the token.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.0, "…")
    }

    /// The value of the one header that it belongs in.
    ///
    /// # Errors
    /// [`HubError::Environment`] where it has characters that no header has.
    pub(crate) fn header(&self) -> Result<HeaderValue> {
        HeaderValue::from_str(&format!("Bearer {}", self.0)).map_err(|_| HubError::Environment {
            variable: "HF_TOKEN, or the token's file,".to_owned(),
            value: "…".to_owned(),
            why: "a token has letters, digits and '_'".to_owned(),
        })
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
    /// Where a token is looked for.
    pub token_path: Option<PathBuf>,
    /// Why the token's file is not read, where it is there.
    pub token_trouble: Option<String>,
    /// The folder of the shared cache: `HF_HUB_CACHE`, `HF_HOME/hub`. None where there is no home folder either.
    pub cache: Option<PathBuf>,
    /// Whether files of the cache may be links, which `HF_HUB_DISABLE_SYMLINKS` says they may not.
    pub links: bool,
    /// The variable that says that nothing is to be fetched, where one does.
    pub offline: Option<String>,
    /// Certificates that are trusted beside the system's.
    pub certificates: Option<Certificates>,
    /// What goes through a proxy.
    pub proxies: Proxies,
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
        let variables = Variables { home, get: &variable };
        let token_path = variables.path("HF_TOKEN_PATH").or_else(|| Some(variables.home()?.join("token")));
        let mut token_trouble = None;
        let mut token =
            ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(|name| Token::new(&variables.text(name)?));
        if let (None, Some(path)) = (&token, &token_path) {
            (token, token_trouble) = token_of(path);
        }
        if variables.is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            (token, token_trouble) = (None, None);
        }
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| variables.is_on(name));
        let certificates = CERTIFICATES
            .into_iter()
            .find_map(|name| Some(Certificates { variable: name.to_owned(), path: variables.path(name)? }));
        Ok(Self {
            endpoint: variables.endpoint()?,
            token,
            token_path,
            token_trouble,
            cache: variables.cache(),
            links: !variables.is_on("HF_HUB_DISABLE_SYMLINKS"),
            offline: offline.map(str::to_owned),
            certificates,
            proxies: Proxies::with(|name| variables.text(name)),
            time_outs: variables.time_outs()?,
        })
    }

    /// The folder of the shared cache alone, which is there however wrong the rest may be.
    pub fn cache_folder(home: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        Variables { home, get: &variable }.cache()
    }
}

/// The token in the file at `path`, or why it is not read.
fn token_of(path: &Path) -> (Option<Token>, Option<String>) {
    match gibber_files::read_text(path, TOKEN) {
        Ok(text) => (Token::new(&text), None),
        Err(error) if error.kind() == ErrorKind::NotFound => (None, None),
        Err(error) => (None, Some(format!("{}: {error}", path.display()))),
    }
}

/// The variables of an environment; an empty one counts as none.
struct Variables<'a> {
    home: Option<&'a Path>,
    get: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<OsString> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name)?.into_string().ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
    }

    /// A path, in which `~` and variables are replaced as a shell would.
    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.expanded(&self.value(name)?))
    }

    fn expanded(&self, value: &OsStr) -> PathBuf {
        // What is no text has no variables in it that anybody could have written.
        let Some(text) = value.to_str() else { return value.into() };
        let text = self.with_variables(text);
        match (text.strip_prefix('~'), self.home) {
            (Some(""), Some(home)) => home.to_owned(),
            (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
            _ => text.into(),
        }
    }

    /// `$NAME` and `${NAME}` replaced; those that are not set stay.
    fn with_variables(&self, text: &str) -> String {
        let mut parts = text.split('$');
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = match part.strip_prefix('{').and_then(|part| part.split_once('}')) {
                Some(braced) => braced,
                None => part.split_at(
                    part.find(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric()).unwrap_or(part.len()),
                ),
            };
            match (self.get)(name).and_then(|value| value.into_string().ok()).filter(|_| !name.is_empty()) {
                Some(value) => whole.extend([&value, rest]),
                None => whole.extend(["$", part]),
            }
        }
        whole
    }

    /// The folder of everything of hubs.
    fn home(&self) -> Option<PathBuf> {
        self.path("HF_HOME").or_else(|| {
            let cache = self.path("XDG_CACHE_HOME").or_else(|| Some(self.home?.join(".cache")))?;
            Some(cache.join("huggingface"))
        })
    }

    fn cache(&self) -> Option<PathBuf> {
        let own = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].into_iter().find_map(|name| self.path(name));
        let folder = own.or_else(|| Some(self.home()?.join("hub")))?;
        // What is written down of it is to be found from any directory.
        Some(std::path::absolute(&folder).unwrap_or(folder))
    }

    fn endpoint(&self) -> Result<String> {
        let Some(value) = self.value("HF_ENDPOINT") else { return Ok(ENDPOINT.to_owned()) };
        let text = value.to_string_lossy().trim().trim_end_matches('/').to_owned();
        let refused =
            |why: String| HubError::Environment { variable: "HF_ENDPOINT".to_owned(), value: shown(&text), why };
        if text.contains(['?', '#']) {
            return Err(refused("the address of a hub has neither '?' nor '#'".to_owned()));
        }
        match Address::new(&text) {
            Ok(_) => Ok(text),
            Err(HubError::Name { why, .. }) => Err(refused(why)),
            Err(other) => Err(other),
        }
    }

    /// `HF_HUB_DOWNLOAD_TIMEOUT` in seconds says how long a server may send nothing.
    fn time_outs(&self) -> Result<TimeOuts> {
        const NAME: &str = "HF_HUB_DOWNLOAD_TIMEOUT";
        let usual = TimeOuts::default();
        let Some(text) = self.text(NAME) else { return Ok(usual) };
        match text.parse::<u32>() {
            Ok(seconds) if seconds > 0 => {
                let time = Duration::from_secs(seconds.into());
                Ok(TimeOuts { first_byte: time, stall: time, ..usual })
            }
            _ => Err(HubError::Environment {
                variable: NAME.to_owned(),
                value: text,
                why: "it is a number of seconds, from 1 on".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
#[path = "environment/tests.rs"]
mod tests;
