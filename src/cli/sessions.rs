//! `gibber sessions`: the saved chats from the command line.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::Usage;
use super::args::{Common, Sessions};
use super::output::Output;
use crate::chat::document::{Document, DocumentFormat};
use crate::chat::{MessageState, Role};
use crate::store::{Database, Paths, SessionId, SessionRecord, SessionSummary, StoredSession, files};

/// Characters of a title in the list.
const TITLE: usize = 60;

#[derive(Debug, Serialize)]
struct Row<'a> {
    id: i64,
    title: &'a str,
    model: &'a str,
    created: i64,
    updated: i64,
    messages: u32,
}

#[derive(Debug, Serialize)]
struct HitRow<'a> {
    id: i64,
    title: &'a str,
    message: u32,
    role: Role,
    context: &'a str,
}

pub(super) fn run(command: &Sessions, common: &Common) -> Result<()> {
    let paths = Paths::new(common.config_dir.as_deref())?;
    let store = Store { path: paths.database() };
    let mut output = Output::stdout();
    match command {
        Sessions::List { json } => store.print_list(&mut output, *json),
        Sessions::Show { chat } => {
            let text = document(store.chat(chat)?).to_file(DocumentFormat::Text);
            output.text(&text)
        }
        Sessions::Search { text, json } => store.print_hits(&mut output, text, *json),
        Sessions::Export { chat, file, force } => {
            let document = document(store.chat(chat)?);
            match file {
                Some(file) => {
                    write(file, &document, *force)?;
                    output.line(&format!("{} is written", file.display()))
                }
                None => output.text(&document.to_file(DocumentFormat::Json)),
            }
        }
        Sessions::Import { file } => {
            let record = store.import(file)?;
            output.line(&format!("{}  {}", record.id.0, record.title))
        }
        Sessions::Delete { chat } => {
            let StoredSession { record, .. } = store.chat(chat)?;
            store.open()?.delete(record.id)?;
            output.line(&format!("{:?} is deleted", record.title))
        }
    }
}

fn document(session: StoredSession) -> Document {
    let StoredSession { record: SessionRecord { title, model, system, created, .. }, transcript } = session;
    Document { title, model, system, created, transcript }
}

fn write(file: &Path, document: &Document, force: bool) -> Result<()> {
    let name = file.to_string_lossy();
    let format = DocumentFormat::of_name(&name).ok_or_else(|| {
        Usage(format!("the ending of {name:?} names no format: it must be {}", DocumentFormat::ENDINGS))
    })?;
    if file.exists() && !force {
        return Err(anyhow!("{} is there already: choose another name, or replace it with --force", file.display()));
    }
    Ok(files::write_atomic(file, &document.to_file(format))?)
}

/// The database, which is not made before something is put into it.
struct Store {
    path: PathBuf,
}

impl Store {
    fn open(&self) -> Result<Database> {
        Ok(Database::open(&self.path)?)
    }

    /// The chats, the newest first.
    fn list(&self) -> Result<Vec<SessionSummary>> {
        if self.path.exists() { Ok(self.open()?.list()?) } else { Ok(Vec::new()) }
    }

    /// The chat that `name` stands for: its number in the list, or its id.
    fn chat(&self, name: &str) -> Result<StoredSession> {
        let list = self.list()?;
        let wanted: Option<i64> = name.parse().ok();
        let by_place = wanted.and_then(|place| list.get(usize::try_from(place.checked_sub(1)?).ok()?));
        let by_id = list.iter().find(|line| Some(line.record.id.0) == wanted);
        let line = by_id.or(by_place).ok_or_else(|| {
            anyhow!(
                "there is no chat {name}: `gibber sessions list` prints the numbers of the {} there are",
                list.len()
            )
        })?;
        Ok(self.open()?.load(line.record.id)?)
    }

    fn print_list(&self, output: &mut Output, json: bool) -> Result<()> {
        let list = self.list()?;
        for (place, SessionSummary { record, updated, messages }) in list.iter().enumerate() {
            if json {
                let SessionRecord { id, title, model, created, .. } = record;
                let row = Row { id: id.0, title, model, created: *created, updated: *updated, messages: *messages };
                output.json(&row)?;
            } else {
                let title: String = record.title.chars().take(TITLE).collect();
                output.line(&format!("{:>4}  {:<19}  {title:<TITLE$}  {}", place + 1, record.id.0, record.model))?;
            }
        }
        Ok(())
    }

    fn print_hits(&self, output: &mut Output, text: &str, json: bool) -> Result<()> {
        let hits = if self.path.exists() { self.open()?.search(text)? } else { Vec::new() };
        for hit in &hits {
            let (id, title) = (hit.record.id.0, hit.record.title.as_str());
            if json {
                output.json(&HitRow { id, title, message: hit.message.0, role: hit.role, context: &hit.context })?;
            } else {
                output.line(&format!("{id:<19}  {title}\n    {}: {}", hit.role.as_str(), hit.context))?;
            }
        }
        Ok(())
    }

    fn import(&self, file: &Path) -> Result<SessionRecord> {
        let text = gibber_files::read_text(file, gibber_files::LARGE)
            .map_err(|error| anyhow!("cannot read {}: {error}", file.display()))?;
        let document = Document::from_json(&text).map_err(|reason| anyhow!("{}: {reason}", file.display()))?;
        let Document { title, model, system, created, mut transcript } = document;
        // Nobody is generating it.
        for id in transcript
            .nodes()
            .iter()
            .filter(|node| node.state == MessageState::Streaming)
            .map(|n| n.id)
            .collect::<Vec<_>>()
        {
            transcript.set_state(id, MessageState::Cut);
        }
        let title = if title.is_empty() { file.display().to_string() } else { title };
        let id = SessionId((super::surroundings::random() >> 1) as i64);
        let record = SessionRecord { id, title, model, system, head: transcript.head(), created };
        self.open()?.put(&record, &transcript)?;
        Ok(record)
    }
}
