//! The models of this machine: `gibber models list`.

use std::num::NonZero;
use std::thread;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use super::models::{DEFAULT_NAME, default_model};
use super::output::Output;
use crate::app::ListedModel;
use crate::chat::columns::lines;
use crate::chat::one_line;
use crate::hub::{ModelHub, bytes_text, files_of};
use crate::store::{ModelStores, Paths};
use gibber_engine::convert::format_name;
use gibber_engine::load::{self, MemoryProbe, ModelFiles, ModelSource};
use gibber_files::quoted;
use gibber_hub::{Begun, Ledger};

/// What is said of a model. Where it cannot be read, only its name, its place and why are known.
#[derive(Debug, Serialize)]
struct ModelRow {
    name: String,
    /// Whose store it is in.
    store: &'static str,
    path: String,
    /// Whether gibber has fetched it.
    pulled: bool,
    architecture: Option<&'static str>,
    parameters: Option<u64>,
    format: Option<String>,
    /// Of the weights.
    bytes: Option<u64>,
    /// Of all its files.
    file_bytes: Option<u64>,
    /// Tokens that it was trained for.
    context: Option<usize>,
    runnable: bool,
    /// Why it cannot be run.
    reason: Option<String>,
}

impl ModelRow {
    fn new(name: String, store: &'static str, source: &ModelSource) -> Self {
        let opened = load::open(source);
        let reason = match &opened {
            Ok(files) => files.check(MemoryProbe::default()).err(),
            Err(_) => None,
        };
        let (files, error) = match opened {
            Ok(files) => (Some(files), reason),
            Err(error) => (None, Some(error)),
        };
        let known = |files: &ModelFiles| (files.config.family.name(), files.config.trained_context);
        let (architecture, context) = files.as_ref().map(known).unzip();
        Self {
            name,
            store,
            path: place(source),
            pulled: false,
            architecture,
            parameters: files.as_ref().map(ModelFiles::parameters),
            format: files.as_ref().map(format_name),
            bytes: files.as_ref().map(|files| files.weights.total_bytes()),
            file_bytes: file_bytes(source),
            context,
            runnable: error.is_none(),
            reason: error.map(|error| quoted::lines(&error.to_string()).into_owned()),
        }
    }

    fn broken((name, store, source): &Candidate) -> Self {
        Self {
            name: name.clone(),
            store,
            path: place(source),
            pulled: false,
            architecture: None,
            parameters: None,
            format: None,
            bytes: None,
            file_bytes: file_bytes(source),
            context: None,
            runnable: false,
            reason: Some("its files could not be read".to_owned()),
        }
    }

    fn columns(&self) -> [String; 7] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        [
            one_line(&self.name),
            or_dash(self.architecture.map(str::to_owned)),
            or_dash(self.parameters.map(|parameters| format!("{:.1} M", parameters as f64 / 1e6))),
            or_dash(self.format.clone()),
            or_dash(self.file_bytes.map(bytes_text)),
            or_dash(self.context.map(|context| context.to_string())),
            format!("{}{}: {}", self.store, if self.pulled { ", pulled" } else { "" }, one_line(&self.path)),
        ]
    }
}

fn place(source: &ModelSource) -> String {
    match source {
        ModelSource::Path(path) => path.display().to_string(),
        ModelSource::Embedded { .. } | ModelSource::Synthetic(_) => "inside this executable".to_owned(),
    }
}

/// Bytes of all files of a model; of one in the executable its own.
fn file_bytes(source: &ModelSource) -> Option<u64> {
    match source {
        ModelSource::Path(path) => {
            let files = files_of(path, &[]);
            files.iter().map(|file| file.path.metadata().ok().map(|metadata| metadata.len())).sum()
        }
        ModelSource::Embedded { bytes, .. } => Some(bytes.len() as u64),
        ModelSource::Synthetic(_) => None,
    }
}

const HEADINGS: [&str; 7] = ["NAME", "ARCHITECTURE", "PARAMETERS", "FORMAT", "SIZE", "CONTEXT", "WHERE"];

pub(super) fn run(context: &Context, json: bool) -> Result<()> {
    let mut output = Output::stdout();
    let rows = rows(&context.paths);
    if json {
        return rows.iter().try_for_each(|row| output.json(row));
    }
    let headings = std::iter::once(HEADINGS.map(str::to_owned));
    let table: Vec<[String; 7]> = headings.chain(rows.iter().map(ModelRow::columns)).collect();
    let reasons = std::iter::once(None).chain(rows.iter().map(|row| row.reason.as_ref()));
    for (line, reason) in lines(&table).iter().zip(reasons) {
        output.line(line)?;
        if let Some(reason) = reason {
            output.line(&format!("    cannot be run: {}", one_line(reason)))?;
        }
    }
    begun(context).iter().try_for_each(|line| output.line(line))
}

/// Of each pull that was stopped a line, which says how to go on. What is wrong with the environment a pull says.
fn begun(context: &Context) -> Vec<String> {
    let Ok(hub) = ModelHub::new(&context.paths, true) else { return Vec::new() };
    let line = |(name, part): &(String, Begun)| {
        let name = one_line(name);
        let size = part.size.map(|size| format!(" of {}", bytes_text(size))).unwrap_or_default();
        format!(
            "begun: {name}, {}{size} (`gibber pull {name}` goes on with it, `gibber models remove {name}` frees it)",
            bytes_text(part.bytes)
        )
    };
    hub.all_begun().iter().map(line).collect()
}

/// The models for a list to choose from.
pub(super) fn listed(paths: &Paths) -> Vec<ListedModel> {
    let detail = |row: &ModelRow| match &row.reason {
        Some(reason) => format!("cannot be run: {reason}"),
        None => {
            let [_, architecture, parameters, format, size, ..] = row.columns();
            [architecture, parameters, format, size, row.store.to_owned()].join(" · ")
        }
    };
    let rows = rows(paths);
    let model = |row: &ModelRow| ListedModel {
        name: row.name.clone(),
        detail: detail(row),
        is_default: row.name == DEFAULT_NAME,
    };
    rows.iter().map(model).collect()
}

/// A model that is to be described: its name, whose store it is in, and where.
type Candidate = (String, &'static str, ModelSource);

fn rows(paths: &Paths) -> Vec<ModelRow> {
    let mut candidates: Vec<Candidate> = Vec::new();
    if let Ok(source) = default_model(paths) {
        candidates.push((DEFAULT_NAME.to_owned(), "default model", source));
    }
    let found = ModelStores::new(paths).models().into_iter();
    candidates.extend(found.map(|model| (model.name, model.place.as_str(), ModelSource::Path(model.path))));
    // A list that cannot be read is told where something is to be changed.
    let fetched = Ledger::at(paths.ledger()).entries().unwrap_or_default();
    // Most of the time goes into tokenizers, each of which takes one thread.
    let at_once = thread::available_parallelism().map_or(1, NonZero::get);
    let mut rows: Vec<ModelRow> = candidates.chunks(at_once).flat_map(rows_of).collect();
    for (row, (_, _, source)) in rows.iter_mut().zip(&candidates) {
        row.pulled = fetched.iter().any(|entry| *source == ModelSource::Path(entry.model.clone()));
    }
    rows
}

/// A row for each, a thread for each. A file that is so broken that its thread dies is a row as well.
fn rows_of(candidates: &[Candidate]) -> Vec<ModelRow> {
    thread::scope(|scope| {
        let read = |(name, store, source)| scope.spawn(move || ModelRow::new(String::clone(name), store, source));
        let threads: Vec<_> = candidates.iter().map(|(name, store, source)| read((name, *store, source))).collect();
        threads
            .into_iter()
            .zip(candidates)
            .map(|(thread, candidate)| thread.join().unwrap_or_else(|_| ModelRow::broken(candidate)))
            .collect()
    })
}
