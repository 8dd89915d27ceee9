//! Texts from arguments, files and stdin: byte for byte, nothing is trimmed.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

/// After this long without an end of stdin, the person is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The text of a file; `-` is stdin.
pub(super) fn of_file(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return of_stdin();
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    decode(bytes, &path.display().to_string())
}

/// All of stdin.
pub(super) fn of_stdin() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    decode(bytes, "standard input")
}

/// All of stdin, or nothing where a terminal is there. A pipe that nobody closes is the usual reason for a program that
/// hangs, so it is said.
pub(super) fn of_piped_stdin() -> Result<String> {
    if std::io::stdin().is_terminal() {
        return Ok(String::new());
    }
    let (done, is_done) = crossbeam_channel::bounded::<()>(0);
    let watch = std::thread::spawn(move || {
        if is_done.recv_timeout(PATIENCE) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            eprintln!("waiting for the end of standard input (give `< /dev/null` where there is none)");
        }
    });
    let text = of_stdin();
    drop(done);
    // It has nothing to say that matters.
    let _ = watch.join();
    text
}

fn decode(bytes: Vec<u8>, name: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("{name} is not UTF-8 text: byte {at} begins no character")
    })
}
