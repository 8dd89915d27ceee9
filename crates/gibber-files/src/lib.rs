//! The doorway to files that a person names.
//!
//! A name can stand for anything: a named pipe that nobody writes to blocks whoever opens it, `/dev/zero` never ends, a
//! terminal takes the keys away from the screen. So what is opened here is a regular file, or the null device, which
//! counts as an empty one; opening and reading never wait for another program, and no more than a limit is read. Only
//! where the command line means a stream ([`read_stream`]) is a pipe read, too.
//!
//! Errors are [`io::Error`]s: whoever reads has an error of its own with the file's name in it, and this one says what is
//! wrong and what to do.
#![forbid(unsafe_code)]

pub mod nearest;
pub mod private;
pub mod quoted;
mod scratch;

use std::fmt;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

pub use scratch::{nameless, scratch_beside, scratch_folder_in};

/// Bytes of a text that somebody wrote: settings, themes.
pub const SMALL: u64 = 4 << 20;

/// Bytes of a text that a program wrote or a person puts together: prompts, exported chats, descriptions of models.
pub const LARGE: u64 = 64 << 20;

/// Bytes of the vocabulary of a model: the largest that are published have some 40 million.
pub const VOCABULARY: u64 = 256 << 20;

/// Why a file is not read.
#[derive(Debug)]
enum Refusal {
    /// It is something else than a file.
    Kind(&'static str),
    /// It is larger than is read; its size, where it has one.
    TooLarge { size: Option<u64>, limit: u64 },
    /// The first byte that is no part of a character.
    NotText { at: usize },
    /// The system would have to wait for what is in it.
    NothingThere,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "it is {kind}: only a regular file can be used here"),
            Self::TooLarge { size: Some(size), limit } => {
                write!(f, "it has {size} bytes, and no more than {limit} are read")
            }
            Self::TooLarge { size: None, limit } => write!(f, "it has more than the {limit} bytes that are read"),
            Self::NotText { at } => write!(f, "it is not a text file: byte {at} begins no character of UTF-8"),
            Self::NothingThere => f.write_str("nothing is there to be read: it is no ordinary file"),
        }
    }
}

impl std::error::Error for Refusal {}

fn refused(kind: ErrorKind, refusal: Refusal) -> io::Error {
    io::Error::new(kind, refusal)
}

/// Opens the regular file at `path` for reading. The null device is one that is empty.
///
/// # Errors
/// What the system says; [`ErrorKind::IsADirectory`] for a folder, and [`ErrorKind::InvalidInput`] for anything else that
/// is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens `path` as `options` say, if that is a regular file, the null device, or nothing yet.
///
/// # Errors
/// Those of [`open`].
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Opening a device can do something by itself, so that it is looked at before; what was opened is looked at again.
    match path.metadata() {
        Ok(metadata) => check(&metadata)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()).open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Whether what is there, whatever its name, can be read or written as a file.
///
/// # Errors
/// Those of [`open`].
pub fn check(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() || is_null_device(metadata) {
        return Ok(());
    }
    let error = if kind.is_dir() { ErrorKind::IsADirectory } else { ErrorKind::InvalidInput };
    Err(refused(error, Refusal::Kind(name_of(kind))))
}

fn is_null_device(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device()
        && Path::new("/dev/null").metadata().is_ok_and(|null| null.rdev() == metadata.rdev())
}

/// What is no regular file, as people call it.
fn name_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() => "a device, such as a terminal",
        kind if kind.is_block_device() => "a disk",
        _ => "no file",
    }
}

/// The bytes of the regular file at `path`.
///
/// # Errors
/// Those of [`open`]; [`ErrorKind::FileTooLarge`] where it has more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    // Files of the system have the size 0 whatever is in them: what is read counts.
    let size = file.metadata()?.len();
    if size > limit {
        return Err(refused(ErrorKind::FileTooLarge, Refusal::TooLarge { size: Some(size), limit }));
    }
    read_to_limit(file, limit)
}

/// The text of the regular file at `path`.
///
/// # Errors
/// Those of [`read`]; [`ErrorKind::InvalidData`] where it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refused(ErrorKind::InvalidData, Refusal::NotText { at })
    })
}

/// The bytes of a file or a pipe that the command line names, such as `<(command)`; waits for whoever writes to it.
///
/// # Errors
/// Those of [`read`].
pub fn read_stream(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if !path.metadata()?.file_type().is_fifo() {
        return read(path, limit);
    }
    // Without a writer the system waits for one, which is what is meant.
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.file_type().is_fifo() {
        check(&metadata)?;
    }
    read_to_limit(file, limit)
}

/// Everything that `reader` has.
///
/// # Errors
/// What the system says; [`ErrorKind::FileTooLarge`] where there are more than `limit` bytes.
pub fn read_to_limit(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match reader.take(limit.saturating_add(1)).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > limit => {
            Err(refused(ErrorKind::FileTooLarge, Refusal::TooLarge { size: None, limit }))
        }
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(refused(ErrorKind::WouldBlock, Refusal::NothingThere))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
