//! What lies around a chat: its settings file, its database, the models that can be named.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use crossbeam_channel::Receiver;

use super::args::Chat;
use super::file_reader::{FileReader, MAX_FILE, aside, names_file, read_text};
use super::interrupt::Interrupt;
use super::{Context, chat_pulls, load_params, model_list, models, run, sentence, themes};
use crate::app::files::FileEntry;
use crate::app::{
    App, AttachmentsFound, FilePurpose, FrontEndIo, ListedModel, ModelOffer, Moment, OfferedModel, Start,
    template_choice,
};
use crate::chat::Transcript;
use crate::chat::document::Document;
use crate::hub::background;
use crate::hub::jobs::Jobs;
use crate::hub::news::{FloatsWish, PullId, PullNews};
use crate::settings::theme::Theme;
use crate::settings::{Settings, SettingsError, edit};
use crate::store::{
    Database, Paths, Search, SearchHit, SessionId, SessionRecord, SessionSummary, StoreError, StoreNews, StoreOp,
    StoreWriter, StoredSession, files, history,
};
use crate::worker::protocol::{LoadParams, ModelPlace};
use gibber_engine::sampling::SamplingValues;

/// Names of a folder that are completed at most.
const MAX_ENTRIES: usize = 5000;

/// The settings file and the store, as both front ends use them.
#[derive(Debug)]
pub(super) struct Surroundings {
    paths: Paths,
    load: LoadParams,
    writer: StoreWriter,
    /// While the person is looking for something in the chats.
    search: Option<Search>,
    reader: FileReader,
    pulls: Jobs,
    /// Whether it was said that not all of the chats can be read.
    warned_of_misses: bool,
    /// Whether something could not be saved in the end; known once this is dropped.
    is_unsaved: Arc<AtomicBool>,
}

/// The state of a chat at its start, and what lies around it. `screen` says whether it is the full screen's.
pub(super) fn start(mut context: Context, arguments: &Chat, screen: bool) -> Result<(App, Surroundings)> {
    let given = arguments.apply(&mut context.settings)?;
    // What the settings name and is not here is offered on the screen.
    if arguments.model.is_named() {
        context.bring(&arguments.model)?;
    }
    // From now on Ctrl-C is the chat's.
    Interrupt::release();
    let Context { paths, settings, is_offline, .. } = context;
    let is_first_run = screen && !paths.history().exists() && !paths.database().exists();
    let history = history::load(&paths.history()).unwrap_or_else(|error| {
        // The chat goes on without its history.
        tell!("warning: {error}");
        Vec::new()
    });
    let load = load_params(&settings, &paths);
    let place = background::Place { paths: paths.clone(), is_offline, threads: settings.model.threads };
    let is_raw = template_choice(given.template.as_ref().unwrap_or(&settings.model.template)).is_raw();
    let message = run::given_text(&arguments.prompt, is_raw)?;
    let (models, offered) = (models::names(&paths), chat_pulls::offered(&paths));
    let themes = themes::own(&paths);
    let warnings = themes::problem(&settings, &paths).into_iter().chain(super::key_problems(&settings, &paths));
    let warnings = warnings.chain(super::thread_warning(&settings)).chain(chat_pulls::problem(&paths)).collect();
    let seed = gibber_engine::sampling::drawn();
    let start = Start {
        settings,
        given,
        history,
        models,
        offered,
        message,
        themes,
        is_first_run,
        warnings,
        seed,
        ..Start::default()
    };
    let writer = StoreWriter::spawn(paths.clone())?;
    let pulls = Jobs::new(background::work(place));
    let surroundings = Surroundings {
        paths,
        load,
        writer,
        reader: FileReader::new(),
        pulls,
        search: None,
        warned_of_misses: false,
        is_unsaved: Arc::default(),
    };
    Ok((App::new(start, Moment::now()), surroundings))
}

/// What could not be saved is said where it is still seen, after the screen is gone.
impl Drop for Surroundings {
    fn drop(&mut self) {
        for name in self.pulls.leave() {
            tell!("{name} is not whole yet; `gibber pull {name}` goes on with it");
        }
        let is_closed = self.writer.close(|news| match news {
            StoreNews::Failed(failure) => tell!("warning: not everything is saved yet: {failure}"),
            StoreNews::Saved => tell!("{}", StoreNews::SAVED),
            StoreNews::Notice(text) => tell!("warning: {text}"),
            // Whoever opens the chat again will see it.
            StoreNews::Others(_) => {}
            StoreNews::Lost(failure) => {
                self.is_unsaved.store(true, Ordering::Release);
                tell!("warning: not everything is saved: {failure}");
            }
        });
        if !is_closed {
            self.is_unsaved.store(true, Ordering::Release);
            let database = self.paths.database();
            tell!("warning: the last of this chat may not be saved: {} does not answer", database.display());
        }
    }
}

impl Surroundings {
    /// Tells, once this is dropped, whether something could not be saved.
    pub(super) fn is_unsaved(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_unsaved)
    }

    fn load(&self, id: SessionId) -> Result<StoredSession, StoreError> {
        let path = self.paths.database();
        let unknown = || StoreError::UnknownSession { path: path.clone(), id: id.0 };
        Database::open_to_read(&path)?.ok_or_else(unknown)?.load(id)
    }

    fn write_settings(&self, settings: &Settings) -> Result<String> {
        let mut settings = settings.clone();
        settings.model.name = models::lasting_name(&settings.model.name);
        self.change_config(|text, path| edit::updated(text, path, &settings))
    }

    /// Searches on where the last letter has left it.
    fn search_on(&mut self, text: &str) -> Result<Vec<SearchHit>, StoreError> {
        let search = match self.search.take() {
            Some(search) => Some(search),
            None => Search::open(&self.paths.database())?,
        };
        let Some(mut search) = search else { return Ok(Vec::new()) };
        let hits = search.find(text)?;
        self.search = Some(search).filter(Search::can_stay);
        Ok(hits)
    }

    /// Writes config.toml as `change` makes it from what it is now; returns where it is.
    fn change_config(&self, change: impl FnOnce(&str, &Path) -> Result<String, SettingsError>) -> Result<String> {
        let path = self.paths.config();
        let text = match gibber_files::read_text(&path, gibber_files::SMALL) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            outcome => outcome.map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?,
        };
        files::write_atomic(&path, &change(&text, &path)?)?;
        Ok(path.display().to_string())
    }
}

impl FrontEndIo for Surroundings {
    fn store(&mut self, operation: StoreOp) {
        self.writer.send(operation);
    }

    fn store_news(&self) -> Receiver<StoreNews> {
        self.writer.news().clone()
    }

    fn save_settings(&mut self, settings: &Settings) -> Result<String, String> {
        self.write_settings(settings).map_err(|error| sentence(&error))
    }

    fn resolve_model(&mut self, name: &str) -> Result<(ModelPlace, LoadParams), String> {
        let place = models::place(name, &self.paths).map_err(|error| sentence(&error))?;
        Ok((place, self.load.clone()))
    }

    fn describe_models(&mut self) -> Vec<ListedModel> {
        model_list::listed(&self.paths)
    }

    fn offered_models(&mut self) -> Vec<OfferedModel> {
        chat_pulls::offered(&self.paths)
    }

    fn offer_for(&mut self, name: &str) -> Option<ModelOffer> {
        chat_pulls::offer_for(name, &self.paths)
    }

    fn pull(&mut self, id: PullId, name: &str, floats: FloatsWish) {
        self.pulls.start(id, name, floats);
    }

    fn cancel_pull(&mut self, id: PullId) {
        self.pulls.stop(id);
    }

    fn pull_news(&self) -> Receiver<PullNews> {
        self.pulls.news().clone()
    }

    fn save_preset(&mut self, name: &str, values: Option<&SamplingValues>) -> Result<String, String> {
        let changed = self.change_config(|text, path| edit::with_preset(text, path, name, values));
        changed.map_err(|error| sentence(&error))
    }

    fn themes(&mut self) -> Vec<Theme> {
        themes::own(&self.paths)
    }

    fn models(&mut self) -> Vec<String> {
        models::names(&self.paths)
    }

    fn sessions(&mut self) -> Result<Vec<SessionSummary>, String> {
        let database = Database::open_to_read(&self.paths.database()).map_err(|error| error.to_string())?;
        if let Some(misses) = database.as_ref().and_then(Database::misses)
            && !std::mem::replace(&mut self.warned_of_misses, true)
        {
            self.writer.notify(misses);
        }
        database.map_or_else(|| Ok(Vec::new()), |database| database.list().map_err(|error| error.to_string()))
    }

    fn open_session(&mut self, id: SessionId) -> Result<(SessionRecord, Transcript), String> {
        let stored = self.load(id).map_err(|error| error.to_string())?;
        let (record, transcript) = (stored.record.clone(), stored.transcript.clone());
        if stored.is_renumbered {
            self.writer.replace(&record, &transcript);
        } else {
            self.writer.was_read(stored);
        }
        Ok((record, transcript))
    }

    fn read_session(&mut self, id: SessionId) -> Result<(SessionRecord, Transcript), String> {
        let StoredSession { record, transcript, .. } = self.load(id).map_err(|error| error.to_string())?;
        Ok((record, transcript))
    }

    fn catch_up(&mut self) {
        self.writer.catch_up();
    }

    fn search_sessions(&mut self, text: &str) -> Result<Vec<SearchHit>, String> {
        if text.trim().is_empty() {
            // What was read for the search is held no longer.
            self.search = None;
            return Ok(Vec::new());
        }
        self.search_on(text).map_err(|error| error.to_string())
    }

    fn read_file(&mut self, path: &str, purpose: FilePurpose) -> Result<String, String> {
        let path = path.to_owned();
        aside(&path.clone(), move || match purpose {
            FilePurpose::Read => read_text(&path, MAX_FILE),
            FilePurpose::Import => read_import(&path),
        })?
    }

    fn find_file(&mut self, path: &str) -> Result<Option<String>, String> {
        let path = path.to_owned();
        aside(&path.clone(), move || if names_file(&path) { read_text(&path, MAX_FILE).map(Some) } else { Ok(None) })?
    }

    fn look_up_attachments(&mut self, text: String) {
        self.reader.look_up_attachments(text);
    }

    fn attachments_found(&self) -> Receiver<AttachmentsFound> {
        self.reader.attachments_found().clone()
    }

    fn list_files(&mut self, folder: &str) -> Vec<FileEntry> {
        let path = if folder.is_empty() { std::path::PathBuf::from(".") } else { models::expanded(folder) };
        // Nothing is completed where a drive does not answer.
        aside(folder, move || entries(&path)).unwrap_or_default()
    }

    fn write_file(&mut self, path: &str, text: &str, numbered: bool) -> Result<String, String> {
        let expanded = models::expanded(path);
        let text = text.to_owned();
        aside(path, move || {
            let expanded = if numbered { free_name(&expanded) } else { expanded };
            if expanded.exists() {
                return Err(format!("{} is there already: choose another name", expanded.display()));
            }
            files::replace(&expanded, &text).map_err(|error| error.to_string())?;
            Ok(std::path::absolute(&expanded).unwrap_or(expanded).display().to_string())
        })?
    }
}

fn entries(folder: &Path) -> Vec<FileEntry> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = found.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let is_folder = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
        (!name.contains(char::is_control)).then_some(FileEntry { name, is_folder })
    });
    let mut entries: Vec<FileEntry> = entries.take(MAX_ENTRIES).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// The text of a file that is to be imported: what it is not is said in the words of an import.
fn read_import(path: &str) -> Result<String, String> {
    let expanded = models::expanded(path);
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", expanded.display());
    let bytes = gibber_files::read(&expanded, gibber_files::LARGE).map_err(|error| failed(&error))?;
    Document::text_of(&bytes).map(str::to_owned).map_err(|reason| failed(&reason))
}

/// The first name like `path` that is free: `chat-2.md` after `chat.md`.
fn free_name(path: &Path) -> std::path::PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, ending) = (part(path.file_stem()), part(path.extension()));
    let numbered = (2..).map(|number: u32| path.with_file_name(format!("{stem}-{number}.{ending}")));
    std::iter::once(path.to_owned()).chain(numbered).find(|path| !path.exists()).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::log::Log;
    use super::*;

    fn surroundings(directory: &std::path::Path) -> Surroundings {
        let paths = Paths::at(directory);
        let context =
            Context { paths, settings: Settings::default(), verbose: false, is_offline: true, log: Log::default() };
        start(context, &Chat::default(), true).unwrap().1
    }

    #[test]
    fn nothing_is_made_before_something_is_saved() {
        let directory = tempfile::tempdir().unwrap();
        let mut surroundings = surroundings(&directory.path().join("config"));
        assert_eq!(surroundings.sessions(), Ok(Vec::new()));
        drop(surroundings);
        assert!(!directory.path().join("config").exists());
    }

    #[test]
    fn hints_are_for_the_first_start_on_the_full_screen() {
        let directory = tempfile::tempdir().unwrap();
        let steps = |screen| {
            let context = Context {
                paths: Paths::at(directory.path()),
                settings: Settings::default(),
                verbose: false,
                is_offline: true,
                log: Log::default(),
            };
            start(context, &Chat::default(), screen).unwrap().0.first_steps()
        };
        assert!(!steps(true).is_empty() && steps(false).is_empty());
        std::fs::write(Paths::at(directory.path()).history(), "").unwrap();
        assert!(steps(true).is_empty());
    }

    #[test]
    fn the_prompt_of_the_command_line_is_said_first() {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = Chat::default();
        arguments.prompt.prompt = Some("/etc is a folder".into());
        let paths = Paths::at(directory.path());
        let context =
            Context { paths, settings: Settings::default(), verbose: false, is_offline: true, log: Log::default() };
        let (mut app, _surroundings) = start(context, &arguments, true).unwrap();
        app.start();
        assert_eq!(app.transcript().nodes()[0].message.content, "/etc is a folder");
        assert!(app.generation().is_some());
    }

    #[test]
    fn files_are_listed_and_only_texts_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut surroundings = surroundings(directory.path());
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::create_dir(path("sub")).unwrap();
        std::fs::write(path("b.txt"), "text").unwrap();
        std::fs::write(path("a.bin"), b"\xff\xfe").unwrap();
        std::fs::write(path("nul.bin"), b"a\0b").unwrap();
        let entries = surroundings.list_files(&path(""));
        let names: Vec<(&str, bool)> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_folder)).collect();
        assert_eq!(names, [("a.bin", false), ("b.txt", false), ("nul.bin", false), ("sub", true)]);
        assert_eq!(surroundings.find_file(&path("b.txt")), Ok(Some("text".to_owned())));
        assert_eq!(surroundings.find_file(&path("gone")), Ok(None));
        assert_eq!(surroundings.find_file(&path("sub")), Ok(None));
        for binary in ["a.bin", "nul.bin"] {
            let error = surroundings.find_file(&path(binary)).unwrap_err();
            assert!(error.contains("it is not a text file"), "{error}");
        }
    }

    #[test]
    fn no_file_is_overwritten_and_a_name_of_the_programs_own_gets_a_number() {
        let directory = tempfile::tempdir().unwrap();
        let mut surroundings = surroundings(directory.path());
        let path = |name: &str| directory.path().join(name).display().to_string();
        assert_eq!(surroundings.write_file(&path("chat.md"), "one", true), Ok(path("chat.md")));
        let error = surroundings.write_file(&path("chat.md"), "two", false).unwrap_err();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(surroundings.write_file(&path("chat.md"), "two", true), Ok(path("chat-2.md")));
        assert_eq!(surroundings.write_file(&path("chat.md"), "three", true), Ok(path("chat-3.md")));
        assert_eq!(std::fs::read_to_string(path("chat.md")).unwrap(), "one");
    }

    #[test]
    fn saved_settings_are_the_next_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let mut surroundings = surroundings(directory.path());
        std::fs::write(directory.path().join("config.toml"), "# mine\n").unwrap();
        let mut settings = Settings::default();
        settings.sampling.temperature = 0.3;
        let path = surroundings.save_settings(&settings).unwrap();
        assert!(path.ends_with("config.toml"));
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("# mine\n"));
        assert_eq!(Settings::load(std::path::Path::new(&path)).unwrap(), settings);
    }

    #[test]
    fn a_broken_settings_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let mut surroundings = surroundings(directory.path());
        std::fs::write(directory.path().join("config.toml"), "broken = ").unwrap();
        let error = surroundings.save_settings(&Settings::default()).unwrap_err();
        assert!(error.contains("config.toml:1"), "{error}");
        assert_eq!(std::fs::read_to_string(directory.path().join("config.toml")).unwrap(), "broken = ");
    }
}
