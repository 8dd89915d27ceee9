//! A cursor over bytes that nobody vouches for.

use std::fmt;

/// What is wrong with the bytes, and where.
#[derive(Debug)]
pub(super) struct Corrupt(String);

impl Corrupt {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads little-endian values one after another; `what` names the value in errors.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// All the bytes, those that were read included.
    pub(super) fn all(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The bytes from `start` to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.position]
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn bytes(&mut self, length: usize, what: &str) -> Result<&'a [u8], Corrupt> {
        if length > self.remaining() {
            return Err(Corrupt(format!(
                "the file is truncated or corrupt: {what} at byte {} takes {length} bytes, {} are left",
                self.position,
                self.remaining()
            )));
        }
        let bytes = &self.bytes[self.position..self.position + length];
        self.position += length;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Corrupt> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N, what)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Corrupt> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Corrupt> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length of 8 bytes and as many bytes.
    pub(super) fn text(&mut self, what: &str) -> Result<&'a [u8], Corrupt> {
        let length = self.u64(what)?;
        let length = self.count(length, 1, what)?;
        self.bytes(length, what)
    }

    /// The same where the bytes have to be UTF-8.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a str, Corrupt> {
        let start = self.position;
        std::str::from_utf8(self.text(what)?)
            .map_err(|error| Corrupt(format!("{what} at byte {start} is not UTF-8: {error}")))
    }

    /// `count` as a size, once it is sure that so many things of `min_bytes` each can still follow.
    pub(super) fn count(&self, count: u64, min_bytes: usize, what: &str) -> Result<usize, Corrupt> {
        let possible = self.remaining() / min_bytes;
        usize::try_from(count).ok().filter(|&count| count <= possible).ok_or_else(|| {
            Corrupt(format!(
                "the file is truncated or corrupt: at byte {} it announces {count} of {what}, and has {} bytes left",
                self.position,
                self.remaining()
            ))
        })
    }
}
