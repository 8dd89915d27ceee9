//! What lies where a model's file should be: the usual accidents of a download, told apart by their first bytes.

use std::path::Path;

use crate::EngineError;

/// How a pointer of Git LFS begins (its specification, `docs/spec.md`).
const LFS_POINTER: &[u8] = b"version https://git-lfs";
/// A text as short as this is shown whole: it most often is what a server had to say.
const SHORT: usize = 200;
/// So many zeros are the beginning of no file, but of one whose place was only taken.
const ZEROS: usize = 64;

/// The error of a file of `bytes` that is not `expected`: what it is instead, where that can be told.
pub(crate) fn mistaken(path: &Path, bytes: &[u8], expected: &str) -> EngineError {
    let reason = known(bytes).unwrap_or_else(|| match short_text(bytes) {
        Some(text) => format!("not {expected}. All that is in it is the text {text:?}: download it again"),
        None => format!("not {expected}"),
    });
    EngineError::format(path, reason)
}

/// Refuses what is no file of a model at all.
///
/// # Errors
/// [`EngineError::Format`] that says what it is.
pub(crate) fn refuse(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    known(bytes).map_or(Ok(()), |reason| Err(EngineError::format(path, reason)))
}

fn known(bytes: &[u8]) -> Option<String> {
    let beginning = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins =
        |word: &str| beginning.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    let reason = if beginning.is_empty() {
        "the file is empty: download it again"
    } else if beginning.starts_with(LFS_POINTER) {
        "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`, or download the file"
    } else if begins("<!doctype html") || begins("<html") {
        "an HTML page, not the file itself (a server's answer, such as a page to sign in): download the file again"
    } else if bytes.starts_with(b"PK\x03\x04") {
        "a ZIP archive (PyTorch's weights are such ones), which is not read: convert it to safetensors or GGUF, or unpack it"
    } else if bytes.starts_with(b"\x1f\x8b") {
        "a gzip archive, which is not read: unpack it"
    } else if bytes.len() >= ZEROS && bytes[..ZEROS].iter().all(|&byte| byte == 0) {
        "it begins with zeros: the download was never finished, start it again"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

fn short_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= SHORT)?.trim();
    (!text.contains(|c: char| c.is_control() && !c.is_whitespace())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accidents_of_downloads_are_told_by_their_name() {
        let said = |bytes: &[u8]| mistaken(Path::new("m.gguf"), bytes, "a GGUF file").to_string();
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 98\n";
        for (bytes, what) in [
            (&b""[..], "the file is empty"),
            (b"\n \n", "the file is empty"),
            (pointer, "a Git LFS pointer"),
            (b"<!DOCTYPE html>\n<html>", "an HTML page"),
            (b"\xef\xbb\xbf \n<HTML lang=en>", "an HTML page"),
            (b"PK\x03\x04abc", "a ZIP archive"),
            (&[0; 100], "it begins with zeros"),
            (b"Entry not found\n", "not a GGUF file. All that is in it is the text \"Entry not found\""),
            (b"\x93NUMPY\x01", "not a GGUF file"),
        ] {
            assert!(said(bytes).starts_with(&format!("m.gguf: {what}")), "{}", said(bytes));
        }
        assert!(refuse(Path::new("m"), pointer).is_err() && refuse(Path::new("m"), b"{}").is_ok());
    }
}
