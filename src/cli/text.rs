//! Texts from arguments, files and stdin: byte for byte, nothing is trimmed.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use gibber_files::LARGE;

/// After this long without an end of what is read, the person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names of stdin.
const STDIN: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// The text of a file, or of a pipe such as `<(command)`; `-` is stdin.
pub(super) fn of_file(path: &Path) -> Result<String> {
    if STDIN.iter().any(|name| path.as_os_str() == *name) {
        return of_stdin();
    }
    let name = path.display().to_string();
    let bytes = patiently(&format!("{name} (nothing has closed that pipe yet)"), || {
        gibber_files::read_stream(path, LARGE).with_context(|| format!("cannot read {name}"))
    })?;
    decode(bytes, &name)
}

/// All of stdin.
pub(super) fn of_stdin() -> Result<String> {
    let bytes = gibber_files::read_to_limit(std::io::stdin().lock(), LARGE).context("cannot read standard input")?;
    decode(bytes, "standard input")
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
