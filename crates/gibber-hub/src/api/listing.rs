//! The files of a repository.

use std::collections::HashSet;

use serde::Deserialize;

use super::Hub;
use crate::http::{Address, Answer, LARGEST, encoded, printable};
use crate::{HubError, Repository, Result};

/// Pages of a listing.
const PAGES: usize = 1000;
/// Files of a repository.
const FILES: usize = 200_000;
/// Bytes of a file's path, and of each part of it.
const PATH: usize = 1024;
const PART: usize = 255;

/// What names the bytes of a file: lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Oid {
    /// SHA-256 of the bytes: 64 digits. Large files have it.
    Sha256(String),
    /// Git's SHA-1 of the bytes with their length before them: 40 digits.
    GitBlob(String),
}

impl Oid {
    /// The digits: the name of the file in the cache.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository, with slashes; checked: relative, no `..`, no control characters.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What names its bytes.
    pub oid: Oid,
}

/// The files of a repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whose they are.
    pub repository: Repository,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit that this is: 40 hexadecimal digits.
    pub commit: String,
    /// All files, in the hub's order.
    pub files: Vec<RemoteFile>,
    /// Whether its makers let in only those who agreed to something.
    pub gated: bool,
}

/// What a hub says about a repository.
#[derive(Deserialize)]
struct Description {
    sha: String,
    #[serde(default)]
    gated: serde_json::Value,
}

/// What it says about a file or a folder.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    oid: String,
    size: Option<u64>,
}

impl Hub {
    pub(super) fn listing(&self, repository: &Repository, revision: &str) -> Result<Listing> {
        let encoded_revision = encoded(revision);
        let address = self.address(&format!("/api/models/{repository}/revision/{encoded_revision}"))?;
        let description: Description = self.json(&address)?.0;
        let malformed = |why: String| HubError::Malformed { url: address.shown(), why };
        let commit = commit(&description.sha)
            .ok_or_else(|| malformed(format!("'{}' is no commit", printable(&description.sha))))?;
        let mut next = Some(self.address(&format!("/api/models/{repository}/tree/{commit}?recursive=true"))?);
        let (mut files, mut seen) = (Vec::new(), HashSet::new());
        while let Some(address) = next.take() {
            if seen.len() == PAGES || !seen.insert(address.uri().to_string()) {
                return Err(malformed(format!("its list of files has no end (after {} pages)", seen.len())));
            }
            let (entries, following): (Vec<Entry>, _) = self.json(&address)?;
            if entries.is_empty() && following.is_some() {
                return Err(malformed("its list of files has an empty page, and names a further one".to_owned()));
            }
            for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
                files.push(remote_file(entry).map_err(&malformed)?);
            }
            if files.len() > FILES {
                return Err(malformed(format!("it has more than {FILES} files")));
            }
            next = following;
        }
        let gated = !matches!(description.gated, serde_json::Value::Null | serde_json::Value::Bool(false));
        Ok(Listing { repository: repository.clone(), revision: revision.to_owned(), commit, files, gated })
    }
}

/// What is said of a file, checked: what is wrong, otherwise.
fn remote_file(entry: Entry) -> std::result::Result<RemoteFile, String> {
    let shown = printable(&entry.path);
    if !is_path(&entry.path) {
        return Err(format!("'{shown}' is no path of a file"));
    }
    let (size, oid) = match entry.lfs {
        Some(large) => (large.size.unwrap_or(entry.size), digits(&large.oid, 64).map(Oid::Sha256)),
        None => (entry.size, entry.oid.and_then(|oid| digits(&oid, 40)).map(Oid::GitBlob)),
    };
    if size > LARGEST {
        return Err(format!("'{shown}' has {size} bytes, which no file has"));
    }
    let oid = oid.ok_or_else(|| format!("'{shown}' has no hash"))?;
    Ok(RemoteFile { path: entry.path, size, oid })
}

/// Whether `path` leads to a file below the folder that it begins in, on any system.
fn is_path(path: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= PART;
    path.len() <= PATH
        && path.split('/').all(is_part)
        && !path.contains(|letter: char| letter.is_control() || letter == '\\')
}

/// `text` in small letters, where it is so many hexadecimal digits.
fn digits(text: &str, count: usize) -> Option<String> {
    let is_hash = text.len() == count && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase())
}

/// A commit's hash.
pub(super) fn commit(text: &str) -> Option<String> {
    digits(text, 40)
}

/// The address behind `rel="next"` of the header `Link` (RFC 8288).
///
/// # Errors
/// [`HubError::Malformed`] where it is another server's.
pub(super) fn next_page(answer: &Answer, from: &Address) -> Result<Option<Address>> {
    let Some(target) = answer.header("link").and_then(next_link) else { return Ok(None) };
    match from.join(target) {
        Ok(next) if next.origin == from.origin => Ok(Some(next)),
        _ => {
            let why = format!("its next page is at '{}', which is not the same server's", crate::http::shown(target));
            Err(HubError::Malformed { url: from.shown(), why })
        }
    }
}

fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(begin) = rest.find('<') {
        let (target, after) = rest[begin + 1..].split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let is_next = after[..end].split([';', ',']).any(|parameter| {
            let relation = parameter.trim().strip_prefix("rel=").map(|value| value.trim_matches('"'));
            relation.is_some_and(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = &after[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folder() {
        for path in ["config.json", "a folder/b.gguf", "ä/日.gguf", "..a/b.."] {
            assert!(is_path(path), "{path}");
        }
        let long = "a/".repeat(600) + "a";
        for path in [
            "",
            "/etc/passwd",
            "../a",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a\\b",
            "a\nb",
            "a\u{1b}[2J",
            &"a".repeat(256),
            &long,
        ] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn the_next_page_is_the_one_that_is_called_so() {
        assert_eq!(next_link("<https://a/?cursor=2>; rel=\"next\""), Some("https://a/?cursor=2"));
        assert_eq!(next_link("<b,1>; rel=\"prev\", <c>; title=\"x\"; rel=next"), Some("c"));
        for none in ["", "<a>; rel=\"prev\"", "a; rel=\"next\"", "<a; rel=\"next\"", "<<<<"] {
            assert_eq!(next_link(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_said_of_a_file_is_checked() {
        let entry = |json: serde_json::Value| remote_file(serde_json::from_value(json).unwrap());
        let (sha1, sha256) = ("A".repeat(40), "b".repeat(64));
        let small = entry(serde_json::json!({ "type": "file", "path": "a", "size": 3, "oid": sha1 })).unwrap();
        assert_eq!(small.oid, Oid::GitBlob("a".repeat(40)));
        let large = serde_json::json!({ "type": "file", "path": "a", "size": 3, "oid": sha1, "lfs": { "oid": sha256, "size": 5 } });
        assert_eq!(entry(large).unwrap(), RemoteFile { path: "a".into(), size: 5, oid: Oid::Sha256(sha256) });
        for (path, size, oid) in
            [("../a", 3, sha1.as_str()), ("a", u64::MAX, &sha1), ("a", 3, "../../x"), ("a", 3, "abc")]
        {
            assert!(
                entry(serde_json::json!({ "type": "file", "path": path, "size": size, "oid": oid })).is_err(),
                "{path}"
            );
        }
    }
}
