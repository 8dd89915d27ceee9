//! `gibber models verify`: whether a model's files are what they were when they were fetched, and whether it loads.

use std::path::Path;

use anyhow::{Result, anyhow};
use gibber_hub::{Cancel, HubError, Oid, digest};
use serde::Serialize;

use super::args::Verify;
use super::interrupt::Interrupt;
use super::output::{Output, StatusLine};
use super::{Context, Exit, INTERRUPTED, models};
use crate::chat::one_line;
use crate::hub::{ModelFile, bytes_text, files_of};
use gibber_engine::EngineError;
use gibber_engine::load::{self, LoadOptions, ModelSource};
use gibber_files::quoted;
use gibber_signals::ending;

/// What came of comparing a file with its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// It is what it was.
    Ok,
    /// It has other bytes.
    Wrong,
    /// It is not there.
    Missing,
    /// Nobody has written down what it is to be.
    Unknown,
}

/// A file, as `--json` says it.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "file")]
struct FileRow {
    path: String,
    bytes: Option<u64>,
    result: Outcome,
    /// What its bytes are to be called: SHA-256, or Git's SHA-1 for small files of a hub.
    expected: Option<String>,
    found: Option<String>,
}

/// The last line.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "done")]
struct Verdict {
    name: String,
    ok: bool,
    loads: bool,
    /// Why it does not load.
    reason: Option<String>,
}

pub(super) fn run(mut context: Context, arguments: &Verify) -> Result<()> {
    arguments.model.apply(&mut context.settings);
    if arguments.model.hf_repo.is_some() {
        context.bring(&arguments.model)?;
    }
    let name = arguments.name.clone().unwrap_or_else(|| context.settings.model.name.clone());
    let source = models::resolve(&name, &context.paths)?;
    let stop = Stop::new(&context)?;
    let mut output = Output::stdout();
    let files = match &source {
        ModelSource::Path(path) => files_of(path, &context.hub()?.ledger().entries()?),
        ModelSource::Embedded { .. } | ModelSource::Synthetic(_) => Vec::new(),
    };
    let (mut is_sound, mut is_known) = (true, true);
    for file in &files {
        let row = stop.check(file)?;
        is_sound &= matches!(row.result, Outcome::Ok | Outcome::Unknown);
        is_known &= row.result != Outcome::Unknown;
        if arguments.json { output.json(&row)? } else { output.line(&row.text())? }
    }
    let reason = stop.load(&source)?;
    let shown = if name.is_empty() { models::DEFAULT_NAME.to_owned() } else { name };
    let verdict = Verdict { name: shown, ok: is_sound && reason.is_none(), loads: reason.is_none(), reason };
    if arguments.json {
        output.json(&verdict)?
    } else {
        output.line(&verdict.text(is_sound, is_known && !files.is_empty()))?
    }
    match verdict.ok {
        true => Ok(()),
        // What is wrong has been said.
        false => Err(Exit(1).into()),
    }
}

impl FileRow {
    fn text(&self) -> String {
        let size = self.bytes.map(bytes_text).unwrap_or_default();
        let path = one_line(&self.path);
        match (self.result, &self.expected, &self.found) {
            (Outcome::Ok, ..) => format!("ok       {size:>7}  {path}"),
            (Outcome::Unknown, _, Some(found)) => {
                format!("unknown  {size:>7}  {path}: nothing says what its checksum is to be; it is {found}")
            }
            (Outcome::Wrong, Some(expected), Some(found)) => {
                format!("WRONG    {size:>7}  {path}: its checksum is {found}, and it is to be {expected}")
            }
            (Outcome::Missing, ..) => format!("MISSING  {size:>7}  {path}"),
            (Outcome::Wrong | Outcome::Unknown, ..) => format!("WRONG    {size:>7}  {path}"),
        }
    }
}

impl Verdict {
    fn text(&self, is_sound: bool, is_known: bool) -> String {
        let name = one_line(&self.name);
        match (&self.reason, is_sound) {
            (None, true) if is_known => format!("{name} is sound, and loads"),
            (None, true) => format!("{name} loads; nothing says what its checksum should be"),
            (None, false) => format!(
                "{name} loads, but is not what was fetched: `gibber models remove {name}`, then `gibber pull` fetches it again"
            ),
            (Some(reason), _) => format!("{name} does not load: {}", one_line(reason)),
        }
    }
}

/// The work, which Ctrl-C stops.
struct Stop {
    interrupt: Interrupt,
    cancel: Cancel,
    options: LoadOptions,
}

impl Stop {
    fn new(context: &Context) -> Result<Self> {
        let interrupt = Interrupt::install(ending::PATIENCE)?;
        let (cancel, options) = (Cancel::new(), context.load_options());
        let (stop, load) = (cancel.clone(), options.cancel.clone());
        interrupt.watch(move || {
            stop.cancel();
            load.set();
        });
        Ok(Self { interrupt, cancel, options })
    }

    fn check(&self, file: &ModelFile) -> Result<FileRow> {
        let path = file.path.display().to_string();
        let expected = file.expected.as_ref().map(|oid| oid.as_str().to_owned());
        let Ok(metadata) = file.path.metadata() else {
            return Ok(FileRow { path, bytes: None, result: Outcome::Missing, expected, found: None });
        };
        let found = self.digest(&file.path, metadata.len(), file.expected.as_ref())?;
        let result = match &expected {
            None => Outcome::Unknown,
            Some(expected) if *expected == found => Outcome::Ok,
            Some(_) => Outcome::Wrong,
        };
        Ok(FileRow { path, bytes: Some(metadata.len()), result, expected, found: Some(found) })
    }

    fn digest(&self, path: &Path, size: u64, expected: Option<&Oid>) -> Result<String> {
        let mut line = StatusLine::new();
        let shown = quoted::shortened(&path.file_name().unwrap_or_default().to_string_lossy()).into_owned();
        let mut last = 0;
        let digest = digest(path, expected, &self.cancel, &mut |done| {
            let percent = done.saturating_mul(100) / size.max(1);
            if percent > last {
                last = percent;
                line.show(&format!("{percent:3} % of {shown}"));
            }
        });
        line.clear();
        digest.map_err(|error| match error {
            HubError::Cancelled => Exit(INTERRUPTED).into(),
            error => anyhow!(error),
        })
    }

    /// Why the model does not load, if so.
    fn load(&self, source: &ModelSource) -> Result<Option<String>> {
        match load::load(source, &self.options, &mut |_, _| {}) {
            Ok(_) => Ok(None),
            Err(EngineError::Cancelled) if self.interrupt.has_come() => Err(Exit(INTERRUPTED).into()),
            Err(error) => Ok(Some(error.to_string())),
        }
    }
}
