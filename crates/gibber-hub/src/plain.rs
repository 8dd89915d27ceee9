//! A file at an `https://` address, into a folder of gibber's own.

use std::path::{Path, PathBuf};

use crate::cache::make_folder_of;
use crate::download::{self, Means, Source, Wanted, disk_error};
use crate::gguf_name::GgufName;
use crate::hash::digest;
use crate::http::shown;
use crate::journal::{self, Identity};
use crate::meter::Meter;
use crate::pull::{lock, refuse_without_room};
use crate::throttle::Throttle;
use crate::{Backoff, Cancel, FileHead, Hub, HubError, Limits, Oid, PullEvent, Pulled, Result, Retry};

/// What a GGUF file begins with.
const MAGIC: &[u8; 4] = b"GGUF";
/// Bytes of a file's name at most: with what is added to it while it is not complete, a file system takes 255.
const LONGEST_NAME: usize = 200;

/// Fetches the GGUF file at `url` into `folder`, and checks it against `sha256` where that is given. Without it, its size and
/// its first bytes are checked, and [`Pulled::unverified`] says what its hash is.
///
/// # Errors
/// Those of [`crate::pull()`]; [`HubError::NotGguf`]; [`HubError::Occupied`] where another file has its name.
pub fn pull_address(
    hub: &Hub,
    url: &str,
    sha256: Option<&str>,
    folder: &Path,
    limits: &Limits,
    progress: &dyn Fn(PullEvent),
    cancel: &Cancel,
) -> Result<Pulled> {
    let name = file_name(url);
    refuse_part(url)?;
    let address = Address { hub, url, oid: sha256.map(|digits| Oid::Sha256(digits.to_ascii_lowercase())) };
    let target = folder.join(&name);
    // Who has a hash need not ask the server whether the file is the right one.
    if address.oid.is_some() && address.is_here(&target, cancel)? {
        let size = target.metadata().map_or(0, |metadata| metadata.len());
        return Ok(address.here(target, size, progress));
    }
    if let Some(variable) = hub.environment().offline.clone() {
        // Without a hash nothing can be said of it but that it is here.
        let size = target.metadata().map(|metadata| metadata.len()).ok().filter(|_| address.oid.is_none());
        let size = size.ok_or(HubError::Offline { what: name, variable })?;
        let sha256 = digest(&target, None, cancel, &mut |_| {})?;
        return Ok(Pulled { unverified: Some(sha256), ..address.here(target, size, progress) });
    }
    let head = hub.with_cancel(cancel).head_address(url)?;
    let known = journal::promised_bytes(&target, &address.identity(&head));
    progress(PullEvent::Planned { files: 1, total: head.size, here: known });
    let (throttle, meter) = (Throttle::new(limits.bytes_per_second), Meter::new(progress, known, head.size));
    let means = Means { limits, throttle: &throttle, meter: &meter, cancel };
    meter.next_file(known);
    let _lock = lock(&folder.join(".locks").join(format!("{name}.lock")), &name, &means)?;
    if target.exists() {
        address.refuse_another(&target, &head, cancel)?;
        let unverified = address.oid.is_none().then(|| digest(&target, None, cancel, &mut |_| {})).transpose()?;
        meter.file_begins(head.size);
        meter.show();
        return Ok(Pulled { path: target, bytes_fetched: 0, bytes_here: head.size, unverified });
    }
    let (sha256, size) = address.fetch_twice(&target, &name, head, &means)?;
    let unverified = address.oid.is_none().then(|| sha256.clone());
    if unverified.is_none() {
        progress(PullEvent::Verified { path: name.clone(), sha256 });
    }
    progress(PullEvent::Done { path: name, bytes: size });
    Ok(Pulled { path: target, bytes_fetched: meter.fetched(), bytes_here: known, unverified })
}

/// Refuses one part of a model in several: a part is none that can be run, and the checksum of one says nothing of the
/// others.
///
/// # Errors
/// [`HubError::Name`], with what to do.
pub fn refuse_part(url: &str) -> Result<()> {
    let name = file_name(url);
    let part = GgufName::new(&name).and_then(|name| name.part()).filter(|part| part.count > 1);
    let Some(part) = part else { return Ok(()) };
    let why = format!(
        "this is part {} of {} of a model in several files, which comes whole from a repository of a hub alone \
         (`gibber pull ORG/NAME`): fetch its parts into one folder yourself, and name the first with -m",
        part.number, part.count
    );
    Err(HubError::Name { name: shown(url), why })
}

/// An address, and what is to be there.
struct Address<'a> {
    hub: &'a Hub,
    url: &'a str,
    oid: Option<Oid>,
}

impl Address<'_> {
    /// An unfinished file goes on where it is the same one: by its hash, or by what the server calls it.
    fn identity(&self, head: &FileHead) -> Identity {
        let content = self.oid.as_ref().map(Oid::as_str).or(head.etag.as_deref()).unwrap_or_default();
        // What stands behind the question mark may be a signature that is another each time.
        let path = self.url.split(['?', '#']).next().unwrap_or(self.url);
        Identity::new(path, head.size, content)
    }

    /// Fetches the file, once more where it becomes another one meanwhile; its SHA-256 and its size.
    fn fetch_twice(&self, target: &Path, name: &str, head: FileHead, means: &Means<'_>) -> Result<(String, u64)> {
        match self.fetch(target, name, &head, means) {
            Err(error @ (HubError::Changed { .. } | HubError::WrongSize { .. })) => {
                means.meter.again(name, &error);
                let newer = self.hub.with_cancel(means.cancel).head_address(self.url)?;
                means.meter.resize(head.size, newer.size);
                Ok((self.fetch(target, name, &newer, means)?, newer.size))
            }
            done => Ok((done?, head.size)),
        }
    }

    fn fetch(&self, target: &Path, name: &str, head: &FileHead, means: &Means<'_>) -> Result<String> {
        let identity = self.identity(head);
        let missing = head.size.saturating_sub(journal::promised_bytes(target, &identity));
        refuse_without_room(name, target.parent().unwrap_or(target), missing, "")?;
        make_folder_of(target)?;
        // Several hosts may have the file, which call it by names of their own: what counts is that of the one that sends
        // it, and nothing where there is a hash.
        let etag = self.refuse_other_kinds(name, means)?.filter(|_| self.oid.is_none());
        let source = Source::Address { hub: self.hub, url: self.url, etag: etag.as_deref() };
        download::fetch(&Wanted { source, size: head.size, oid: self.oid.as_ref(), identity }, target, means)
    }

    fn here(&self, path: PathBuf, size: u64, progress: &dyn Fn(PullEvent)) -> Pulled {
        progress(PullEvent::Planned { files: 1, total: size, here: size });
        Pulled { path, bytes_fetched: 0, bytes_here: size, unverified: None }
    }

    /// Whether the file at `path` is the one with the hash.
    fn is_here(&self, path: &Path, cancel: &Cancel) -> Result<bool> {
        let (Some(oid), true) = (&self.oid, path.exists()) else { return Ok(false) };
        Ok(digest(path, None, cancel, &mut |_| {})? == oid.as_str())
    }

    /// The file at `path` is another than the one at the address.
    fn refuse_another(&self, path: &Path, head: &FileHead, cancel: &Cancel) -> Result<()> {
        let size = path.metadata().map_err(|source| disk_error(path, source))?.len();
        let why = if size != head.size {
            format!("it has {size} bytes, and the file at {} has {}", self.url, head.size)
        } else if self.oid.is_some() && !self.is_here(path, cancel)? {
            format!("its SHA-256 is not the one that is asked for at {}", self.url)
        } else {
            return Ok(());
        };
        Err(HubError::Occupied { path: path.to_owned(), why })
    }

    /// Looks at the first bytes before the others are fetched: an address of a page gives a page. What the server calls them.
    fn refuse_other_kinds(&self, name: &str, means: &Means<'_>) -> Result<Option<String>> {
        let mut backoff = Backoff::new(self.hub.time_outs());
        let (begins, etag) = loop {
            let error = match self.first_bytes(means.cancel) {
                Ok(found) => break found,
                Err(error) => error,
            };
            let Some(Retry { reason, attempt, wait, .. }) = backoff.after(&error) else { return Err(error) };
            let (path, wait_seconds) = (name.to_owned(), wait.as_secs_f64());
            means.meter.tell(PullEvent::Retrying { path, reason, attempt, wait_seconds });
            if !means.cancel.wait(wait) {
                return Err(HubError::Cancelled);
            }
        };
        if begins == MAGIC {
            return Ok(etag);
        }
        let begins = format!("'{}'", begins.escape_ascii());
        Err(HubError::NotGguf { url: self.url.to_owned(), begins })
    }

    fn first_bytes(&self, cancel: &Cancel) -> Result<(Vec<u8>, Option<String>)> {
        let mut body = self.hub.with_cancel(cancel).open_address(self.url, 0..MAGIC.len() as u64)?;
        let (mut begins, mut count) = (vec![0; MAGIC.len()], 0);
        while count < begins.len() {
            match body.read(&mut begins[count..])? {
                0 => break,
                more => count += more,
            }
        }
        begins.truncate(count);
        Ok((begins, body.etag))
    }
}

/// What the file at `url` is called here: the last part of the path, of letters that are safe in a name.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let last = path.split_once('/').and_then(|(_, path)| path.rsplit('/').find(|part| !part.is_empty()));
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_+.".contains(letter) { letter } else { '_' };
    let mut name: String = last.unwrap_or("model").chars().map(safe).collect();
    if let Some(stem) = name.len().checked_sub(5).filter(|at| name[*at..].eq_ignore_ascii_case(".gguf")) {
        name.truncate(stem);
    }
    name.truncate(LONGEST_NAME);
    let stem = name.trim_start_matches('.');
    format!("{}.gguf", if stem.is_empty() { "model" } else { stem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_by_the_end_of_its_address() {
        for (url, name) in [
            ("https://host/a/Model-Q4_K_M.gguf", "Model-Q4_K_M.gguf"),
            ("https://host/a/model.GGUF?download=true&x=/y.gguf", "model.gguf"),
            ("https://host/a/model.gguf/", "model.gguf"),
            ("https://host/a%2Fb/..%2Fx.gguf", "_2Fx.gguf"),
            ("https://host/.hidden", "hidden.gguf"),
            ("https://host/..", "model.gguf"),
            ("https://host", "model.gguf"),
            ("https://host/a b\\ü.gguf", "a_b__.gguf"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
        assert!(file_name(&format!("https://host/{}", "x".repeat(5000))).len() <= 210);
    }

    #[test]
    fn one_part_of_several_is_no_model() {
        for url in ["https://host/a/m-00001-of-00003.gguf", "https://host/a/m-00002-of-00003.GGUF?sign=secret#x"] {
            let error = refuse_part(url).unwrap_err().to_string();
            assert!(error.contains(" of 3 of a model in several files") && !error.contains("secret"), "{error}");
        }
        for url in ["https://host/m.gguf", "https://host/m-00001-of-00001.gguf", "https://host/m-1-of-3.gguf"] {
            assert!(refuse_part(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_file_is_hashed_until_it_is_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "hello\n").unwrap();
        let expected = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let cancel = Cancel::new();
        assert_eq!(digest(&path, None, &cancel, &mut |_| {}).unwrap(), expected);
        cancel.cancel();
        assert!(matches!(digest(&path, None, &cancel, &mut |_| {}), Err(HubError::Cancelled)));
    }
}
