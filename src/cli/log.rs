//! The log file: faults that cannot be shown, since the screen belongs to the chat, and what `GIBBER_LOG` asks for.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;

use super::Usage;
use gibber_files::private;

/// The environment variable that says how much is logged.
const VARIABLE: &str = "GIBBER_LOG";

/// Bytes of a log that is gone on with; a larger one begins anew.
const MAX_BYTES: u64 = 1 << 20;

/// A log file that is made with the first line in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    path: PathBuf,
    file: Arc<Mutex<Option<File>>>,
    has_errors: Arc<AtomicBool>,
}

impl Log {
    /// Logs to the file at `path` from now on: errors, or what `GIBBER_LOG` says (`error`, `warn`, `info`, `debug`, `trace`,
    /// `off`).
    ///
    /// # Errors
    /// [`Usage`] where `GIBBER_LOG` says something else.
    pub(super) fn start(path: &Path) -> Result<Self, Usage> {
        let wanted = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        let level = match &wanted {
            None => LevelFilter::ERROR,
            Some(value) => value.to_str().and_then(|value| value.parse().ok()).ok_or_else(|| {
                let value = value.to_string_lossy();
                Usage(format!("{VARIABLE} is `{value}`: it must be off, error, warn, info, debug or trace"))
            })?,
        };
        let log = Self { path: path.to_owned(), ..Self::default() };
        // Another one is there only in tests.
        let _ = tracing::subscriber::set_global_default(log.subscriber(level));
        Ok(log)
    }

    fn subscriber(&self, level: LevelFilter) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(self.clone()).finish()
    }

    /// Where faults were logged, if any were.
    pub(super) fn with_errors(&self) -> Option<&Path> {
        self.has_errors.load(Ordering::Acquire).then_some(&self.path)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            private::make_directory(folder)?;
        }
        let is_large = self.path.metadata().is_ok_and(|metadata| metadata.len() > MAX_BYTES);
        private::options().create(true).append(!is_large).write(true).truncate(is_large).open(&self.path)
    }
}

/// A line on its way into the log.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Log);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            *file = Some(self.0.open()?);
        }
        file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }

    fn make_writer_for(&'a self, about: &tracing::Metadata<'_>) -> Line<'a> {
        if *about.level() == Level::ERROR {
            self.has_errors.store(true, Ordering::Release);
        }
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_makes_the_file_and_is_told_and_less_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/gibber.log");
        let log = Log { path: path.clone(), ..Log::default() };
        let faults = || {
            tracing::debug!("hardly worth a word");
            assert!(!path.exists() && log.with_errors().is_none());
            tracing::error!("out of the blue");
        };
        tracing::subscriber::with_default(log.subscriber(LevelFilter::ERROR), faults);
        assert_eq!(log.with_errors(), Some(path.as_path()));
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.contains("ERROR") && written.contains("out of the blue"), "{written}");
        assert_eq!(written.lines().count(), 1);
    }

    #[test]
    fn a_log_that_has_grown_begins_anew_and_another_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gibber.log");
        for (before, kept) in [(MAX_BYTES as usize + 1, 0), (3, 3)] {
            std::fs::write(&path, "x".repeat(before)).unwrap();
            let log = Log { path: path.clone(), ..Log::default() };
            tracing::subscriber::with_default(log.subscriber(LevelFilter::ERROR), || tracing::error!("y"));
            let written = std::fs::read_to_string(&path).unwrap();
            assert_eq!(written.chars().filter(|letter| *letter == 'x').count(), kept);
        }
    }
}
