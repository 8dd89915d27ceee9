//! The hashes that name a file's bytes.

use std::io::Read;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{Cancel, HubError, Oid, Result};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;

/// Computes what names the bytes of a file, as they are shown to it from the first to the last.
pub(crate) struct Hasher {
    sha256: Sha256,
    /// For a file that Git itself keeps.
    git: Option<Sha1>,
}

/// What a file's bytes are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    /// SHA-256, in lower-case hexadecimal digits.
    pub(crate) sha256: String,
    /// Git's name for it, where it was computed.
    git: Option<String>,
}

impl Hasher {
    /// For a file of `size` bytes that is to be called `expected`, where that is known.
    pub(crate) fn new(expected: Option<&Oid>, size: u64) -> Self {
        let git = matches!(expected, Some(Oid::GitBlob(_))).then(|| {
            // Git hashes what kind of object it is and its length before the bytes.
            Sha1::new().chain_update(format!("blob {size}\0"))
        });
        Self { sha256: Sha256::new(), git }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(git) = &mut self.git {
            git.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Digests {
        Digests { sha256: hex(&self.sha256.finalize()), git: self.git.map(|git| hex(&git.finalize())) }
    }
}

impl Digests {
    /// The one to compare with `expected`.
    pub(crate) fn of_kind(&self, expected: &Oid) -> &str {
        match expected {
            Oid::Sha256(_) => &self.sha256,
            Oid::GitBlob(_) => self.git.as_deref().unwrap_or_default(),
        }
    }
}

/// What names the bytes of the file at `path`: SHA-256, or Git's name where `expected` is one. `on_bytes` is told how many
/// have been read.
///
/// # Errors
/// Where it cannot be read; [`HubError::Cancelled`].
pub fn digest(path: &Path, expected: Option<&Oid>, cancel: &Cancel, on_bytes: &mut dyn FnMut(u64)) -> Result<String> {
    let wrong = |source| HubError::Io { path: path.to_owned(), source };
    let mut file = gibber_files::open(path).map_err(wrong)?;
    let size = file.metadata().map_err(wrong)?.len();
    let (mut hasher, mut buffer, mut done) = (Hasher::new(expected, size), vec![0; CHUNK], 0);
    loop {
        if cancel.is_cancelled() {
            return Err(HubError::Cancelled);
        }
        let count = file.read(&mut buffer).map_err(wrong)?;
        if count == 0 {
            let digests = hasher.finish();
            return Ok(expected.map_or(digests.sha256.as_str(), |expected| digests.of_kind(expected)).to_owned());
        }
        hasher.update(&buffer[..count]);
        done += count as u64;
        on_bytes(done);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_sha256sum_and_of_git() {
        let git = Oid::GitBlob("ce013625030ba8dba906f756967f9e9ca394464a".to_owned());
        let mut hasher = Hasher::new(Some(&git), 6);
        hasher.update(b"hel");
        hasher.update(b"lo\n");
        let digests = hasher.finish();
        assert_eq!(digests.of_kind(&git), git.as_str());
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(digests.of_kind(&Oid::Sha256(String::new())), sha256);
        let empty = Oid::GitBlob("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391".to_owned());
        assert_eq!(Hasher::new(Some(&empty), 0).finish().of_kind(&empty), empty.as_str());
    }
}
