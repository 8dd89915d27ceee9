//! A model at an `https://` address, into a folder of gibber's own: one file, or all parts of one that is split.

use std::path::{Path, PathBuf};

use crate::cache::make_folder_of;
use crate::download::{self, Means, Source, Wanted, disk_error};
use crate::gguf_name::GgufName;
use crate::hash::digest;
use crate::http::shown;
use crate::journal::{self, Identity};
use crate::ledger::LedgerFile;
use crate::meter::Meter;
use crate::pull::{lock, refuse_without_room};
use crate::throttle::Throttle;
use crate::{Backoff, Cancel, FileHead, Hub, HubError, Limits, Oid, PullEvent, Pulled, Result, Retry};

/// What a GGUF file begins with.
const MAGIC: &[u8; 4] = b"GGUF";
/// Bytes of a file's name at most: with what is added to it while it is not complete, a file system takes 255.
const LONGEST_NAME: usize = 200;
/// Parts of a model at most: each is a request, and no model has so many.
const MAX_PARTS: usize = 1000;
/// Stands before the hash that an unfinished file is known by, so that no name that a server gives it is taken for one.
const HASH: &str = "sha256:";

/// Fetches the GGUF file at `url` into `folder`, and checks it against `sha256` where that is given. Of a model in several
/// parts all are fetched, whichever is named, and the hash is that of the named one. Without a hash, sizes and first bytes
/// are checked, and [`Pulled::parts`] says what the hashes are.
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
    let addresses = addresses(hub, url, sha256)?;
    let files = addresses.iter().map(|address| address.look(folder, cancel)).collect::<Result<Vec<_>>>()?;
    let sum = |of: fn(&Known) -> u64| files.iter().map(of).sum::<u64>();
    let (total, here) = (sum(|file| file.size), sum(|file| file.here));
    progress(PullEvent::Planned { files: files.len(), total, here });
    let (throttle, meter) = (Throttle::new(limits.bytes_per_second), Meter::new(progress, here, total));
    let means = Means { limits, throttle: &throttle, meter: &meter, cancel };
    let missing = files.iter().filter(|file| !file.target.exists()).map(|file| file.size - file.here.min(file.size));
    refuse_without_room(&files[0].name, folder, missing.sum(), "")?;
    let mut parts = Vec::new();
    for (address, file) in addresses.iter().zip(&files) {
        parts.push(address.bring(file, folder, &means)?);
    }
    let unverified = addresses[0].oid.is_none().then(|| parts[0].blob.clone());
    let (path, bytes_fetched) = (files[0].target.clone(), meter.fetched());
    Ok(Pulled { path, bytes_fetched, bytes_here: here, unverified, parts })
}

/// Bytes of all files that [`pull_address`] would fetch, and how many files they are.
///
/// # Errors
/// Where one of them cannot be had.
pub fn address_size(hub: &Hub, url: &str) -> Result<(u64, usize)> {
    let addresses = addresses(hub, url, None)?;
    let size = |address: &Address<'_>| hub.head_address(&address.url).map(|head| head.size);
    let sizes = addresses.iter().map(size).collect::<Result<Vec<u64>>>()?;
    Ok((sizes.iter().sum(), sizes.len()))
}

/// The addresses of the files of the model at `url`, the first part first; the hash is that of the named one.
fn addresses<'a>(hub: &'a Hub, url: &str, sha256: Option<&str>) -> Result<Vec<Address<'a>>> {
    let oid = || sha256.map(|digits| Oid::Sha256(digits.to_ascii_lowercase()));
    let (start, end) = last_segment(url);
    let Some((name, part)) = GgufName::new(&url[start..end]).and_then(|name| Some((name, name.part()?))) else {
        return Ok(vec![Address { hub, url: url.to_owned(), oid: oid() }]);
    };
    if part.count > MAX_PARTS {
        let why = format!("no model has {} parts", part.count);
        return Err(HubError::Name { name: shown(url), why });
    }
    let ending = &url[end - ".gguf".len()..end];
    let of_part = |number: usize| {
        let file = format!("{}-{number:05}-of-{:05}{ending}", name.stem(), part.count);
        let url = format!("{}{file}{}", &url[..start], &url[end..]);
        Address { hub, url, oid: oid().filter(|_| number == part.number) }
    };
    Ok((1..=part.count).map(of_part).collect())
}

/// An address, and what is to be there.
struct Address<'a> {
    hub: &'a Hub,
    url: String,
    oid: Option<Oid>,
}

/// What is known of a file before it is fetched.
struct Known {
    name: String,
    target: PathBuf,
    size: u64,
    /// Bytes of it that are here.
    here: u64,
    /// What its server says; none where it is here, and needs no server.
    head: Option<FileHead>,
}

impl Address<'_> {
    /// What is known of the file, which is to be in `folder`. Who has it and its hash need not ask the server whether it is
    /// the right one.
    fn look(&self, folder: &Path, cancel: &Cancel) -> Result<Known> {
        let name = file_name(&self.url);
        let target = folder.join(&name);
        let complete = |target: PathBuf, name: String| {
            let size = target.metadata().map_err(|source| disk_error(&target, source))?.len();
            Ok(Known { name, target, size, here: size, head: None })
        };
        if self.oid.is_some() && self.is_here(&target, cancel)? {
            return complete(target, name);
        }
        if let Some(variable) = self.hub.environment().offline.clone() {
            // Without a hash nothing can be said of it but that it is here.
            if self.oid.is_none() && target.exists() {
                return complete(target, name);
            }
            return Err(HubError::Offline { what: name, variable });
        }
        let head = self.hub.with_cancel(cancel).head_address(&self.url)?;
        let here = match target.exists() {
            true => head.size,
            false => journal::promised_bytes(&target, &self.identity(&head)),
        };
        Ok(Known { name, target, size: head.size, here, head: Some(head) })
    }

    /// Fetches the file unless it is here, and says what it is.
    fn bring(&self, file: &Known, folder: &Path, means: &Means<'_>) -> Result<LedgerFile> {
        means.meter.next_file(file.here);
        let part = |size: u64, blob: String| LedgerFile { path: file.name.clone(), size, blob };
        let Some(head) = &file.head else {
            means.meter.file_begins(file.size);
            return Ok(part(file.size, self.sum_of(&file.target, means.cancel)?));
        };
        let _lock = lock(&folder.join(".locks").join(format!("{}.lock", file.name)), &file.name, means)?;
        if file.target.exists() {
            self.refuse_another(&file.target, head, means.cancel)?;
            means.meter.file_begins(head.size);
            means.meter.show();
            return Ok(part(head.size, self.sum_of(&file.target, means.cancel)?));
        }
        let (sha256, bytes) = self.fetch_twice(&file.target, &file.name, head, means)?;
        let path = file.name.clone();
        if self.oid.is_some() {
            means.meter.tell(PullEvent::Verified { path: path.clone(), sha256: sha256.clone() });
        }
        means.meter.tell(PullEvent::Done { path, bytes });
        Ok(part(bytes, sha256))
    }

    /// The SHA-256 of a file that is here and, where its hash is known, was compared with that.
    fn sum_of(&self, path: &Path, cancel: &Cancel) -> Result<String> {
        match &self.oid {
            Some(oid) => Ok(oid.as_str().to_owned()),
            None => digest(path, None, cancel, &mut |_| {}),
        }
    }

    /// An unfinished file goes on where it is the same one: by its hash, or by what the server calls it.
    fn identity(&self, head: &FileHead) -> Identity {
        let content = match &self.oid {
            Some(oid) => format!("{HASH}{}", oid.as_str()),
            None => head.etag.clone().unwrap_or_default(),
        };
        // What stands behind the question mark may be a signature that is another each time.
        let path = self.url.split(['?', '#']).next().unwrap_or(&self.url);
        Identity::new(path, head.size, content)
    }

    /// Fetches the file, once more where it becomes another one meanwhile; its SHA-256 and its size.
    fn fetch_twice(&self, target: &Path, name: &str, head: &FileHead, means: &Means<'_>) -> Result<(String, u64)> {
        match self.fetch(target, name, head, means) {
            Err(error @ (HubError::Changed { .. } | HubError::WrongSize { .. })) => {
                means.meter.again(name, &error);
                let newer = self.hub.with_cancel(means.cancel).head_address(&self.url)?;
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
        let source = Source::Address { hub: self.hub, url: &self.url, etag: etag.as_deref() };
        download::fetch(&Wanted { source, size: head.size, oid: self.oid.as_ref(), identity }, target, means)
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
        Err(HubError::NotGguf { url: self.url.clone(), begins })
    }

    fn first_bytes(&self, cancel: &Cancel) -> Result<(Vec<u8>, Option<String>)> {
        let mut body = self.hub.with_cancel(cancel).open_address(&self.url, 0..MAGIC.len() as u64)?;
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

/// Where the last part of the path of `url` begins and ends.
fn last_segment(url: &str) -> (usize, usize) {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let end = url[..end].trim_end_matches('/').len();
    let root = url.find("://").map_or(0, |at| at + "://".len());
    match url.get(root..end).and_then(|path| path.rfind('/')) {
        Some(at) => (root + at + 1, end),
        None => (end, end),
    }
}

/// What the file at `url` is called here: the last part of the path, of letters that are safe in a name. A part keeps its
/// number, however long the name is.
fn file_name(url: &str) -> String {
    let (start, end) = last_segment(url);
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_+.".contains(letter) { letter } else { '_' };
    let name: String = url[start..end].chars().map(safe).collect();
    let taken = GgufName::new(&name);
    let number = taken.and_then(|taken| taken.part());
    let number = number.map(|part| format!("-{:05}-of-{:05}", part.number, part.count)).unwrap_or_default();
    let stem = taken.map_or(name.as_str(), |taken| taken.stem());
    let stem: String = stem.chars().take(LONGEST_NAME - number.len()).collect();
    let stem = stem.trim_start_matches('.');
    format!("{}{number}.gguf", if stem.is_empty() { "model" } else { stem })
}

/// Whether two addresses are of the same model: of one in several parts, both may be any of them.
pub fn is_same_model(one: &str, other: &str) -> bool {
    // What stands behind the path may be a signature that is another each time.
    let path = |url: &str| url.split(['?', '#']).next().unwrap_or(url).to_owned();
    let of_all = |url: &str| {
        let url = path(url);
        let (start, end) = last_segment(&url);
        let name = GgufName::new(&url[start..end]).and_then(|name| Some((name.stem().to_owned(), name.part()?.count)));
        name.map(|(stem, count)| format!("{}{stem} of {count}", &url[..start])).unwrap_or(url)
    };
    of_all(one) == of_all(other)
}

/// What an unfinished file is known by: the address, with its hash where one was given.
pub(crate) fn address_of(identity: &Identity) -> String {
    match identity.content.strip_prefix(HASH) {
        Some(sha256) => format!("{}#sha256={sha256}", identity.path),
        None => identity.path.clone(),
    }
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
    fn a_part_leads_to_all_of_them() {
        let environment = crate::HubEnvironment::with(None, |_| None).unwrap();
        let hub = Hub::new(&environment).unwrap();
        let sum = "a".repeat(64);
        let found = addresses(&hub, "https://host/a/m-00002-of-00003.GGUF?sign=1", Some(&sum)).unwrap();
        let urls: Vec<_> = found.iter().map(|address| (address.url.as_str(), address.oid.is_some())).collect();
        let expected = [
            ("https://host/a/m-00001-of-00003.GGUF?sign=1", false),
            ("https://host/a/m-00002-of-00003.GGUF?sign=1", true),
            ("https://host/a/m-00003-of-00003.GGUF?sign=1", false),
        ];
        assert_eq!(urls, expected);
        for url in [
            "https://host/m.gguf",
            "https://host/m-1-of-3.gguf",
            "https://host",
            "https://host/?x=/m-00001-of-00002.gguf",
        ] {
            let found = addresses(&hub, url, None).unwrap();
            assert_eq!((found.len(), found[0].url.as_str()), (1, url));
        }
        assert!(addresses(&hub, "https://host/m-00001-of-99999.gguf", None).is_err());
        let of = |number: usize| format!("https://host/a/m-0000{number}-of-00003.gguf");
        assert!(is_same_model(&of(1), &format!("{}?sign=2", of(3))) && !is_same_model(&of(1), "https://host/a/m.gguf"));
        let long = |number: usize| file_name(&format!("https://host/{}-{number:05}-of-00002.gguf", "x".repeat(5000)));
        assert!(long(1) != long(2) && long(1).len() <= 210, "{}", long(1));
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
