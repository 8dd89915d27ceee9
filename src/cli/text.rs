//! Texts from arguments, files and stdin: byte for byte, nothing is trimmed.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use gibber_files::LARGE;

/// After this long without an end of what is read, the person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names of stdin.
const STDIN: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Where the files are that a process was started with.
const OPENED: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// The text of a file, or of a pipe such as `<(command)`; `-` is stdin.
pub(super) fn of_file(path: &Path) -> Result<String> {
    let (name, bytes) = bytes_of_file(path)?;
    decode(bytes, &name)
}

/// What a file or a pipe is called, and what is in it; `-` is stdin.
pub(super) fn bytes_of_file(path: &Path) -> Result<(String, Vec<u8>)> {
    if STDIN.iter().any(|name| path.as_os_str() == *name) {
        return Ok(("standard input".to_owned(), bytes_of_stdin()?));
    }
    let name = path.display().to_string();
    let bytes = patiently(&format!("{name} (nothing has closed that pipe yet)"), || {
        gibber_files::read_stream(path, LARGE).with_context(|| format!("cannot read {name}"))
    })?;
    Ok((name, bytes))
}

/// As [`bytes_of_file`], where only a pipe that a shell has opened, as for `<(command)`, is one that is meant.
pub(super) fn bytes_of_regular(path: &Path) -> Result<(String, Vec<u8>)> {
    if is_opened(path) {
        return bytes_of_file(path);
    }
    let name = path.display().to_string();
    let bytes = gibber_files::read(path, LARGE).with_context(|| format!("cannot read {name}"))?;
    Ok((name, bytes))
}

/// Whether a path stands for what this process was started with.
fn is_opened(path: &Path) -> bool {
    let is_stdin = STDIN.iter().any(|name| path.as_os_str() == *name);
    is_stdin || path.parent().is_some_and(|folder| OPENED.iter().any(|name| folder == Path::new(name)))
}

/// All of stdin.
pub(super) fn of_stdin() -> Result<String> {
    decode(bytes_of_stdin()?, "standard input")
}

fn bytes_of_stdin() -> Result<Vec<u8>> {
    gibber_files::read_to_limit(std::io::stdin().lock(), LARGE).context("cannot read standard input")
}

/// What a pipe is read from more than once: a file without a name, which is there as long as the program.
#[derive(Debug)]
pub(super) struct Kept {
    file: File,
}

impl Kept {
    /// What comes out of `path`, if that is a pipe that a shell has opened.
    pub(super) fn of_pipe(path: &Path) -> Result<Option<Self>> {
        if !is_opened(path) || !path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            return Ok(None);
        }
        let (name, bytes) = bytes_of_file(path)?;
        let kept = || {
            let mut file = tempfile::tempfile()?;
            file.write_all(&bytes).map(|()| file)
        };
        let file = kept().with_context(|| format!("cannot keep what comes out of {name}"))?;
        Ok(Some(Self { file }))
    }

    /// A path that it can be opened by, in this process.
    pub(super) fn path(&self) -> String {
        format!("/dev/fd/{}", self.file.as_raw_fd())
    }
}

/// All of stdin, or nothing where a terminal is there.
pub(super) fn of_piped_stdin() -> Result<String> {
    if std::io::stdin().is_terminal() {
        return Ok(String::new());
    }
    patiently("standard input (give `< /dev/null` where there is none)", of_stdin)
}

/// Reads; a pipe that nobody closes is the usual reason for a program that hangs, so it is said.
fn patiently<T>(what: &str, read: impl FnOnce() -> T) -> T {
    let (done, is_done) = crossbeam_channel::bounded::<()>(0);
    let notice = format!("waiting for the end of {what}");
    let watch = std::thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            tell!("{notice}");
        }
    });
    let read = read();
    drop(done);
    // It has nothing to say that matters.
    let _ = watch.join();
    read
}

fn decode(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("{name} is not UTF-8 text: byte {at} begins no character")
    })
}
