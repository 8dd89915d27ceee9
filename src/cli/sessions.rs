//! `gibber sessions`: the saved chats from the command line.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::Usage;
use super::args::{Common, Sessions};
use super::output::Output;
use super::text;
use crate::chat::columns::cell;
use crate::chat::document::{Document, DocumentFormat};
use crate::chat::{Role, one_line, title};
use crate::store::{self, Database, Paths, Repair, SessionId, SessionRecord, SessionSummary, StoredSession, files};
use gibber_files::quoted;

/// Columns of a title in the list.
const TITLE: usize = 60;

/// Up to here floats count one by one.
const EXACT: f64 = (1_u64 << 53) as f64;

/// The id comes again as text: programs that count with floats round those of 63 bits, which chats once had.
#[derive(Debug, Serialize)]
struct SessionRow<'a> {
    id: i64,
    id_str: String,
    title: &'a str,
    model: &'a str,
    created: i64,
    updated: i64,
    messages: u32,
}

#[derive(Debug, Serialize)]
struct HitRow<'a> {
    id: i64,
    id_str: String,
    title: &'a str,
    message: u32,
    role: Role,
    context: &'a str,
}

pub(super) fn run(command: &Sessions, common: &Common) -> Result<()> {
    let paths = Paths::new(common.config_dir.as_deref())?;
    let store = Store::of(&paths);
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
            output.line(&format!("{}  {}", record.id.0, one_line(&record.title)))
        }
        Sessions::Repair => store.repair(&mut output),
        Sessions::Rename { chat, title } => {
            let title = title::cleaned(title);
            if title.is_empty() {
                return Err(Usage("the title has nothing that can be read".to_owned()).into());
            }
            let id = store.chat(chat)?.record.id;
            store.open()?.rename(id, &title)?;
            output.line(&format!("{}  {title}", id.0))
        }
        Sessions::Delete { chat } => {
            let StoredSession { record, .. } = store.chat(chat)?;
            store.open()?.delete(record.id)?;
            output.line(&format!("“{}” is deleted", one_line(&record.title)))
        }
    }
}

/// The chat whose id, of 63 bits, a program that counts with floats has rounded to `id`, where that can be one alone.
fn by_rounded_id<'a>(list: &'a [SessionSummary], id: &str) -> Option<&'a SessionSummary> {
    let wanted: f64 = id.parse().ok().filter(|id| *id >= EXACT)?;
    let mut found = list.iter().filter(|line| line.record.id.0 as f64 == wanted);
    found.next().filter(|_| found.next().is_none())
}

fn warn_of_damage(record: &SessionRecord, damage: Option<&str>) {
    if let Some(damage) = damage {
        let SessionRecord { id, title, .. } = record;
        tell!("warning: the chat {} “{title}” is damaged in the database: {damage}; the rest of it is read", id.0);
    }
}

fn document(session: StoredSession) -> Document {
    session.record.into_document(session.transcript)
}

fn write(file: &Path, document: &Document, force: bool) -> Result<()> {
    let name = file.to_string_lossy();
    let format = DocumentFormat::of_name(&name).ok_or_else(|| {
        Usage(format!("the ending of {name:?} names no format: it must be {}", DocumentFormat::ENDINGS))
    })?;
    if file.exists() && !force {
        return Err(anyhow!("{} is there already: choose another name, or replace it with --force", file.display()));
    }
    Ok(files::replace(file, document.to_file(format))?)
}

/// The database, which is not made before something is put into it.
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    pub(super) fn of(paths: &Paths) -> Self {
        Self { path: paths.database() }
    }

    /// For what changes something.
    fn open(&self) -> Result<Database> {
        let database = Database::open(&self.path)?;
        if let Some(former) = database.former() {
            tell!("{}", store::brought_up(&self.path, former));
        }
        Ok(database)
    }

    fn open_to_read(&self) -> Result<Option<Database>> {
        let database = Database::open_to_read(&self.path)?;
        if let Some(misses) = database.as_ref().and_then(Database::misses) {
            tell!("warning: {misses}");
        }
        Ok(database)
    }

    /// The chats, the newest first.
    fn list(&self) -> Result<Vec<SessionSummary>> {
        Ok(self.open_to_read()?.map_or_else(|| Ok(Vec::new()), |database| database.list())?)
    }

    /// The chat that `name` stands for: its number in the list, or its id.
    pub(super) fn chat(&self, name: &str) -> Result<StoredSession> {
        let list = self.list()?;
        // As jq prints a text.
        let bare = name.trim().trim_matches('"');
        let wanted: Option<i64> = bare.parse().ok();
        let by_place = wanted.and_then(|place| list.get(usize::try_from(place.checked_sub(1)?).ok()?));
        let by_id = list.iter().find(|line| Some(line.record.id.0) == wanted).or_else(|| by_rounded_id(&list, bare));
        let line = by_id.or(by_place).ok_or_else(|| {
            anyhow!(
                "there is no chat {}: `gibber sessions list` prints the numbers of the {} there are",
                quoted::shortened(name),
                list.len()
            )
        })?;
        let database = self.open_to_read()?.ok_or_else(|| anyhow!("{} is no longer there", self.path.display()))?;
        let session = database.load(line.record.id)?;
        warn_of_damage(&session.record, line.damage.as_deref().or(session.damage.as_deref()));
        Ok(session)
    }

    fn print_list(&self, output: &mut Output, json: bool) -> Result<()> {
        let list = self.list()?;
        for (place, SessionSummary { record, updated, messages, damage }) in list.iter().enumerate() {
            warn_of_damage(record, damage.as_deref());
            if json {
                let SessionRecord { id, title, model, created, .. } = record;
                let (created, updated, messages) = (*created, *updated, *messages);
                let row = SessionRow { id: id.0, id_str: id.0.to_string(), title, model, created, updated, messages };
                output.json(&row)?;
            } else {
                let (title, model) = (cell(&record.title, TITLE), one_line(&record.model));
                output.line(format!("{:>4}  {:<19}  {title}  {model}", place + 1, record.id.0).trim_end())?;
            }
        }
        Ok(())
    }

    fn print_hits(&self, output: &mut Output, text: &str, json: bool) -> Result<()> {
        let hits = self.open_to_read()?.map_or_else(|| Ok(Vec::new()), |database| database.search(text))?;
        for hit in &hits {
            let (id, title) = (hit.record.id.0, hit.record.title.as_str());
            if json {
                let (id_str, message, context) = (id.to_string(), hit.message.0, hit.context.as_str());
                output.json(&HitRow { id, id_str, title, message, role: hit.role, context })?;
            } else {
                let (title, context) = (one_line(title), one_line(&hit.context));
                output.line(&format!("{id:<19}  {title}\n    {}: {context}", hit.role.as_str()))?;
            }
        }
        Ok(())
    }

    fn repair(&self, output: &mut Output) -> Result<()> {
        let Repair { chats, messages, has_losses, kept } = store::repair(&self.path)?;
        let path = self.path.display();
        let Some(kept) = kept else {
            return output.line(&format!("nothing is wrong with {path}: {chats} chats with {messages} messages"));
        };
        if has_losses {
            output.line("parts of it could not be read")?;
        }
        output.line(&format!("{path} is new, with {chats} chats and {messages} messages that could be read"))?;
        output.line(&format!("the damaged file is kept as {}", kept.display()))
    }

    fn import(&self, file: &Path) -> Result<SessionRecord> {
        let (name, bytes) = text::bytes_of_regular(file)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let document =
            Document::text_of(&bytes).and_then(Document::from_json).map_err(|reason| anyhow!("{name}: {reason}"))?;
        for what in &document.left_out {
            tell!("{name}: {what}");
        }
        let id = SessionId::drawn(gibber_engine::sampling::drawn());
        let (record, transcript) = SessionRecord::of_document(id, document.completed(file, now));
        self.open()?.put(&record, &transcript)?;
        Ok(record)
    }
}
