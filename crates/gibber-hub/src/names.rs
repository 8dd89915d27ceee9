//! What people type for a model that is not here.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::{HubError, Result};

/// A repository of a hub: `organization/name`, or `name` alone for the oldest ones. It has no `..` and no control
/// characters, and is safe as part of a path and of an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
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
        /// 64 hexadecimal digits, in lower case.
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

/// Where the hub is where nobody says otherwise.
pub const HUGGING_FACE: &str = "https://huggingface.co";
/// Other names of its host, as other programs take them before a repository.
const HOSTS: [&str; 4] = ["huggingface.co/", "www.huggingface.co/", "hf.co/", "hf-mirror.com/"];
/// Where Ollama's names are, as people copy them: the catalogue has most of them.
const OLLAMA: [&str; 3] = ["https://ollama.com/library/", "ollama.com/library/", "registry.ollama.ai/library/"];
/// Schemes that say that a repository follows.
const SCHEMES: [&str; 2] = ["hf://", "hf:"];
/// Between a repository and a revision in the addresses of its pages and files.
const PAGES: [&str; 4] = ["resolve", "blob", "raw", "tree"];
/// What is no repository of a model, though it looks like one.
const OTHER_KINDS: [&str; 4] = ["datasets", "spaces", "api", "collections"];
/// The longest name, revision, path and address that is taken.
const LONGEST: usize = 2048;
/// How a name of a model looks, for errors.
const FORMS: &str = "write NAME[:TAG] of `gibber pull --list`, ORGANIZATION/NAME[:TYPE-OR-FILE][@REVISION] of a hub, or the https:// address of a GGUF file";

impl std::str::FromStr for Reference {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, HUGGING_FACE)
    }
}

impl Reference {
    /// What `text` means where the hub is at `endpoint`.
    ///
    /// # Errors
    /// [`HubError::Name`] for what can be neither a repository, an address nor a short name; for `http://` anywhere but at
    /// the endpoint and on this machine.
    pub fn parse(text: &str, endpoint: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > LONGEST || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(unusable(text, FORMS));
        }
        let lower = text.to_ascii_lowercase();
        if let Some(library) = OLLAMA.iter().find(|library| lower.starts_with(**library)) {
            return short_name(&text[library.len()..]);
        }
        if lower.starts_with("https://") || lower.starts_with("http://") {
            return address(text, endpoint);
        }
        if lower.contains("://") && !lower.starts_with("hf://") {
            return Err(unusable(text, "only https:// addresses can be fetched"));
        }
        let of_hub = HOSTS.iter().chain(&SCHEMES).find(|prefix| lower.starts_with(**prefix));
        match of_hub {
            Some(prefix) => of_repository(text, strip_host(&text[prefix.len()..])),
            None if is_path(text) => Err(unusable(
                text,
                "that is a path: a file or folder of this machine is loaded (-m, /model), and not fetched",
            )),
            None if text.contains('/') => of_repository(text, text),
            None => short_name(text),
        }
    }
}

/// What follows `hf://` may have the host's name again.
fn strip_host(rest: &str) -> &str {
    let lower = rest.to_ascii_lowercase();
    HOSTS.iter().find(|host| lower.starts_with(**host)).map_or(rest, |host| &rest[host.len()..])
}

fn is_path(text: &str) -> bool {
    text.starts_with(['/', '.', '~', '\\']) || text.ends_with('/')
}

fn unusable(name: &str, why: &str) -> HubError {
    let shown: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(120).collect();
    HubError::Name { name: shown, why: why.to_owned() }
}

/// `NAME[:TAG]`.
fn short_name(text: &str) -> Result<Reference> {
    let (name, tag) = text.split_once(':').map_or((text, None), |(name, tag)| (name, Some(tag)));
    if text.contains('@') {
        return Err(unusable(text, "a short name has no revision: write ORGANIZATION/NAME@REVISION"));
    }
    let letters = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    if !letters(name) || !tag.is_none_or(letters) {
        return Err(unusable(text, FORMS));
    }
    Ok(Reference::Catalogue { name: name.to_ascii_lowercase(), tag: tag.map(str::to_ascii_lowercase) })
}

/// `ORGANIZATION/NAME[:FILE-OR-TYPE][@REVISION]`, also with a file behind a slash, as some programs write it.
fn of_repository(whole: &str, text: &str) -> Result<Reference> {
    let (before, revision) = text.rsplit_once('@').map_or((text, None), |(before, after)| (before, Some(after)));
    // The revision may come first: `ORGANIZATION/NAME@REVISION:TYPE`.
    let (revision, behind) = match revision.and_then(|revision| revision.split_once(':')) {
        Some((revision, pick)) if !before.contains(':') => (Some(revision), Some(pick)),
        _ => (revision, None),
    };
    let revision = revision.map(|revision| checked_revision(whole, revision)).transpose()?;
    let (name, pick) = before.split_once(':').map_or((before, behind), |(name, pick)| (name, Some(pick)));
    let (name, pick) = match (name.match_indices('/').nth(1), pick) {
        (Some((at, _)), None) => (&name[..at], Some(&name[at + 1..])),
        _ => (name, pick),
    };
    refuse_other_kinds(whole, name)?;
    let repository = Repository::new(name).map_err(|_| unusable(whole, FORMS))?;
    Ok(Reference::Hub { repository, pick: pick.map(|pick| checked_path(whole, pick)).transpose()?, revision })
}

fn refuse_other_kinds(whole: &str, name: &str) -> Result<()> {
    match name.split('/').next().filter(|first| name.contains('/') && OTHER_KINDS.contains(first)) {
        Some(kind) => Err(unusable(whole, &format!("{kind} are no models: a model is called ORGANIZATION/NAME"))),
        None => Ok(()),
    }
}

/// A path within a repository, or a type.
fn checked_path(whole: &str, path: &str) -> Result<String> {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let path = path.trim_end_matches('/');
    if !path.split('/').all(is_part) || path.contains(['\\', ':', '?', '#']) {
        return Err(unusable(whole, &format!("'{path}' is no file or type of a repository")));
    }
    Ok(path.to_owned())
}

fn checked_revision(whole: &str, revision: &str) -> Result<String> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b'+');
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.');
    if revision.bytes().all(letters)
        && revision.len() <= 255
        && revision.split('/').all(is_part)
        && !revision.contains("..")
    {
        return Ok(revision.to_owned());
    }
    Err(unusable(whole, &format!("'{revision}' is no branch, tag or commit")))
}

/// An address: of a file or a page of a hub, or of a GGUF file anywhere.
fn address(text: &str, endpoint: &str) -> Result<Reference> {
    let (url, fragment) = text.split_once('#').map_or((text, None), |(url, fragment)| (url, Some(fragment)));
    let sha256 = fragment.map(|fragment| checked_sha256(text, fragment)).transpose()?;
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return Err(unusable(&without_user(url), "an address names a host, and neither user nor password"));
    }
    let at_endpoint = below(url, endpoint);
    if scheme.eq_ignore_ascii_case("http") && at_endpoint.is_none() && !is_loopback(authority) {
        return Err(unusable(text, "what comes over http:// may be anybody's: give its https:// address"));
    }
    let of_hub = at_endpoint.or_else(|| below_host(rest));
    match of_hub {
        // With a hash of the person's own it is that very file, wherever it lies.
        Some(path) if sha256.is_none() => of_page(text, path),
        _ => {
            let path = rest.split('?').next().unwrap_or_default();
            if !path.to_ascii_lowercase().ends_with(".gguf") || !path.contains('/') {
                return Err(unusable(text, "it is no address of a GGUF file: those end in .gguf"));
            }
            Ok(Reference::Address { url: url.to_owned(), sha256 })
        }
    }
}

/// What follows the endpoint in an address that begins with it.
fn below<'a>(url: &'a str, endpoint: &str) -> Option<&'a str> {
    let endpoint = endpoint.trim_end_matches('/');
    let begins = url.get(..endpoint.len())?.eq_ignore_ascii_case(endpoint);
    begins.then(|| url[endpoint.len()..].strip_prefix('/')).flatten()
}

/// The same of an address without its scheme whose host is Hugging Face's, whatever the endpoint is.
fn below_host(rest: &str) -> Option<&str> {
    let lower = rest.to_ascii_lowercase();
    HOSTS.iter().find(|host| lower.starts_with(**host)).map(|host| &rest[host.len()..])
}

/// `ORGANIZATION/NAME[/resolve/REVISION/FILE][?download=true]`.
fn of_page(whole: &str, path: &str) -> Result<Reference> {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    refuse_other_kinds(whole, path)?;
    let page = parts.iter().take(3).position(|part| PAGES.contains(part));
    let Some(page) = page.filter(|&at| at > 0) else {
        return of_repository(whole, path);
    };
    let repository = Repository::new(&parts[..page].join("/")).map_err(|_| unusable(whole, FORMS))?;
    // A revision with a slash in it is written with %2F.
    let revision = parts.get(page + 1).map(|revision| revision.replace("%2F", "/").replace("%2f", "/"));
    let revision = revision.map(|revision| checked_revision(whole, &revision)).transpose()?;
    let file = parts.get(page + 2..).filter(|file| !file.is_empty()).map(|file| file.join("/"));
    let pick = file.map(|file| checked_path(whole, &file)).transpose()?;
    Ok(Reference::Hub { repository, pick, revision: revision.filter(|revision| revision != "main") })
}

fn checked_sha256(whole: &str, fragment: &str) -> Result<String> {
    let digits = fragment.strip_prefix("sha256=").or_else(|| fragment.strip_prefix("sha256:"));
    let digits = digits.filter(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let why = "behind # stands sha256= and 64 hexadecimal digits";
    digits.map(str::to_ascii_lowercase).ok_or_else(|| unusable(&without_user(whole), why))
}

/// An address that can be shown: what may be a password is left out.
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.split_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub { repository, pick, revision } => {
                // One that has no organization would be taken for a short name.
                let prefix = if repository.as_str().contains('/') { "" } else { "hf:" };
                write!(f, "{prefix}{repository}")?;
                pick.iter().try_for_each(|pick| write!(f, ":{pick}"))?;
                revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
            }
            Self::Address { url, sha256 } => {
                f.write_str(url)?;
                sha256.iter().try_for_each(|sha256| write!(f, "#sha256={sha256}"))
            }
            Self::Catalogue { name, tag } => {
                f.write_str(name)?;
                tag.iter().try_for_each(|tag| write!(f, ":{tag}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
