//! What the state machine asks of the program around it, and how a front end's loop carries it out.

use crossbeam_channel::Receiver;

use super::files::FileEntry;
use super::{App, List, ListedModel, ModelOffer, Moment, OfferedModel, Outcome, attachments};
use crate::chat::Transcript;
use crate::hub::news::{PullId, PullNews};
use crate::settings::Settings;
use crate::settings::theme::Theme;
use crate::store::{SearchHit, SessionId, SessionRecord, SessionSummary, StoreNews, StoreOp};
use crate::worker::protocol::{EngineCommand, EngineEvent, LoadParams, ModelPlace, RequestId};
use gibber_engine::SamplingParams;

/// What the front end's loop is to carry out.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send a command to the engine's thread.
    Submit(EngineCommand),
    /// Write to the store.
    Store(StoreOp),
    /// Make these the defaults, in config.toml.
    SaveSettings(Box<Settings>),
    /// Find a model by name or path (empty is the default one) and load it under this request.
    LoadModel {
        /// Of the load.
        id: RequestId,
        /// Name or path.
        name: String,
    },
    /// Read the person's own themes.
    ReadThemes {
        /// The theme that is to be put in force then; otherwise the person chooses.
        wanted: Option<String>,
    },
    /// Describe the models that can be named, and those that can be pulled.
    ListModels,
    /// Pull a model in the background: [`FrontEndIo::pull_news`] has how far it is.
    Pull {
        /// Which pull it is.
        id: PullId,
        /// What is wanted.
        name: String,
    },
    /// Stop a pull, and keep what has come.
    CancelPull(PullId),
    /// Read what the list of all that can be done has in it.
    ReadPalette,
    /// Write a preset into config.toml, or take it out.
    SavePreset {
        /// As a person calls it.
        name: String,
        /// Its filters; `None` deletes it.
        params: Option<Box<SamplingParams>>,
    },
    /// Read which conversations are saved, to complete their titles.
    ReadChats,
    /// List the saved conversations.
    ListSessions,
    /// Read a saved conversation.
    OpenSession(SessionId),
    /// Read a saved conversation that is to be deleted.
    TakeSession(SessionId),
    /// Search all saved conversations for a text; an empty one ends the search.
    SearchSessions(String),
    /// Read a text file.
    ReadFile {
        /// What becomes of the text.
        purpose: FilePurpose,
        /// The file, as it was named.
        path: String,
    },
    /// Read the files that a message names, and say it with them.
    Attach {
        /// The message.
        text: String,
        /// The lanes, where its answers are to be compared.
        variants: Option<String>,
    },
    /// Read the files that a draft names, without waiting for them: [`FrontEndIo::attachments_found`] has them later.
    LookUpAttachments(String),
    /// Look into a folder; empty is the one that the program runs in.
    ListFiles(String),
    /// Write a file that is not there yet.
    WriteFile {
        /// The file, as it was named.
        path: String,
        /// Whether it gets a number where the name is taken.
        numbered: bool,
        /// What it is to hold.
        text: String,
    },
    /// Do what only the screen does.
    Screen(OnScreen),
}

/// What only the screen does; each front end has one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnScreen {
    /// Put a text on the clipboard.
    CopyText(String),
    /// Put a text into the composer, where that is empty.
    Compose(String),
    /// Put a file's text into the composer, where that is empty.
    ComposeFile {
        /// What the file is called.
        name: String,
        /// Its text, with its name and fences.
        text: String,
    },
    /// Put a text into the composer to be edited; what was being written there comes back once [`App::editing`] is over.
    EditText(String),
    /// Show the list of bindings and commands.
    ShowHelp,
    /// Let the person choose.
    ShowList(List),
    /// Show all that can be done.
    ShowPalette,
    /// Leave.
    Quit,
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePurpose {
    /// To be part of a question.
    Read,
    /// To become a conversation.
    Import,
}

/// The files that a draft names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentsFound {
    /// The draft.
    pub text: String,
    /// Each file as it was named, and its text; or a sentence that says which cannot be read.
    pub files: Result<Vec<(String, String)>, String>,
}

/// What lies outside the state machine and the worker: files. The command line implements it over the settings and the
/// store; nothing here may block for longer than a file takes, and for one that does not answer no longer than seconds.
pub trait FrontEndIo {
    /// Queues a write; it is carried out in order, by another thread.
    fn store(&mut self, op: StoreOp);

    /// Where the store's thread says what it could not write (one clear sentence each, such as a full disk).
    fn store_news(&self) -> Receiver<StoreNews>;

    /// Writes config.toml; returns where it is.
    ///
    /// # Errors
    /// One clear sentence.
    fn save_settings(&mut self, settings: &Settings) -> Result<String, String>;

    /// Where the model of this name or path is, and how it is to be loaded; empty is the default one.
    ///
    /// # Errors
    /// One clear sentence, with the names that there are.
    fn resolve_model(&mut self, name: &str) -> Result<(ModelPlace, LoadParams), String>;

    /// The models that can be named, with what is known of each.
    fn describe_models(&mut self) -> Vec<ListedModel>;

    /// The models that can be pulled and run here, with what is known of each; no server is asked.
    fn offered_models(&mut self) -> Vec<OfferedModel>;

    /// What can be had where [`FrontEndIo::resolve_model`] has found nothing under a name; empty is the default model. No
    /// server is asked.
    fn offer_for(&mut self, name: &str) -> Option<ModelOffer>;

    /// Pulls a model in the background.
    fn pull(&mut self, id: PullId, name: &str);

    /// Stops a pull; its end comes with its news.
    fn cancel_pull(&mut self, id: PullId);

    /// Where pulls say how far they are.
    fn pull_news(&self) -> Receiver<PullNews>;

    /// Writes a preset into config.toml, or takes it out; returns where that is.
    ///
    /// # Errors
    /// One clear sentence.
    fn save_preset(&mut self, name: &str, params: Option<&SamplingParams>) -> Result<String, String>;

    /// The person's own themes, each with what is wrong with it.
    fn themes(&mut self) -> Vec<Theme>;

    /// The names that [`FrontEndIo::resolve_model`] knows.
    fn models(&mut self) -> Vec<String>;

    /// The saved conversations, the newest first.
    ///
    /// # Errors
    /// One clear sentence.
    fn sessions(&mut self) -> Result<Vec<SessionSummary>, String>;

    /// A saved conversation with its messages.
    ///
    /// # Errors
    /// One clear sentence.
    fn open_session(&mut self, id: SessionId) -> Result<(SessionRecord, Transcript), String>;

    /// As [`Self::open_session`], of one that is only looked at: it is not gone on with.
    ///
    /// # Errors
    /// One clear sentence.
    fn read_session(&mut self, id: SessionId) -> Result<(SessionRecord, Transcript), String> {
        self.open_session(id)
    }

    /// Has what other programs have written to the open chat told as [`FrontEndIo::store_news`], and waits a moment for
    /// that: to be called before the person says something.
    fn catch_up(&mut self) {}

    /// The messages that have `text` in them, each with the words around it; the conversation that was changed last first.
    /// A text without anything in it ends a search: nothing is kept any longer for the next letter.
    ///
    /// # Errors
    /// One clear sentence.
    fn search_sessions(&mut self, text: &str) -> Result<Vec<SearchHit>, String>;

    /// The text of the file at `path`, which may be as large as its purpose allows.
    ///
    /// # Errors
    /// One clear sentence.
    fn read_file(&mut self, path: &str, purpose: FilePurpose) -> Result<String, String>;

    /// The text of the file at `path`; `None` where there is no such file.
    ///
    /// # Errors
    /// One clear sentence: the file is there and is no text, is too large, or may not be read.
    fn find_file(&mut self, path: &str) -> Result<Option<String>, String>;

    /// Has the files that a draft names read by another thread; of several drafts that wait, the last counts.
    fn look_up_attachments(&mut self, text: String);

    /// Where that thread says what it has read.
    fn attachments_found(&self) -> Receiver<AttachmentsFound>;

    /// What is in a folder (empty is the one that the program runs in), by name; nothing where it cannot be read.
    fn list_files(&mut self, folder: &str) -> Vec<FileEntry>;

    /// Writes a file that is not there yet, under a `numbered` name where that is wanted and the name is taken; returns
    /// where it is.
    ///
    /// # Errors
    /// One clear sentence.
    fn write_file(&mut self, path: &str, text: &str, numbered: bool) -> Result<String, String>;
}

/// Carries out what both front ends carry out alike, also what that leads to, and returns in order what is left for the
/// screen.
///
/// `send` hands a command to the engine's thread.
pub fn carry_out(
    app: &mut App,
    effects: Vec<Effect>,
    io: &mut dyn FrontEndIo,
    send: &mut dyn FnMut(EngineCommand),
    now: Moment,
) -> Vec<OnScreen> {
    let mut left = Vec::new();
    let mut waiting = std::collections::VecDeque::from(effects);
    while let Some(effect) = waiting.pop_front() {
        let more = match effect {
            Effect::Submit(command) => {
                send(command);
                Vec::new()
            }
            Effect::Store(op) => {
                io.store(op);
                Vec::new()
            }
            Effect::SaveSettings(settings) => app.on_outcome(Outcome::SettingsSaved(io.save_settings(&settings)), now),
            Effect::LoadModel { id, name } => match io.resolve_model(&name) {
                Ok((place, params)) => {
                    send(EngineCommand::Load { id, place, params });
                    Vec::new()
                }
                Err(error) => match io.offer_for(&name) {
                    Some(offer) => app.on_outcome(Outcome::ModelMissing { id, offer }, now),
                    None => app.on_event(EngineEvent::Failed { id, error }, now),
                },
            },
            Effect::ReadThemes { wanted } => app.on_outcome(Outcome::ThemesRead { own: io.themes(), wanted }, now),
            Effect::ListModels => {
                let (here, offered) = (io.describe_models(), io.offered_models());
                app.on_outcome(Outcome::ModelsListed { here, offered }, now)
            }
            Effect::Pull { id, name } => {
                io.pull(id, &name);
                Vec::new()
            }
            Effect::CancelPull(id) => {
                io.cancel_pull(id);
                Vec::new()
            }
            Effect::ReadPalette => app.on_outcome(palette_read(io), now),
            Effect::SavePreset { name, params } => {
                let outcome = io.save_preset(&name, params.as_deref());
                app.on_outcome(Outcome::PresetSaved { name, is_there: params.is_some(), outcome }, now)
            }
            Effect::ListSessions => app.on_outcome(Outcome::SessionsListed(io.sessions()), now),
            Effect::OpenSession(id) => app.on_outcome(Outcome::SessionOpened(io.open_session(id)), now),
            Effect::TakeSession(id) => app.on_outcome(Outcome::SessionTaken(io.read_session(id)), now),
            Effect::SearchSessions(text) => {
                let hits = io.search_sessions(&text);
                app.on_outcome(Outcome::SessionsFound { text, hits }, now)
            }
            Effect::ReadFile { purpose, path } => {
                let text = io.read_file(&path, purpose);
                app.on_outcome(Outcome::FileRead { purpose, path, text }, now)
            }
            Effect::Attach { text, variants } => {
                let files = attachments::gather(&text, &mut |path| io.find_file(path));
                app.on_outcome(Outcome::Attached { text, variants, files }, now)
            }
            Effect::LookUpAttachments(text) => {
                io.look_up_attachments(text);
                Vec::new()
            }
            Effect::ListFiles(folder) => {
                let entries = io.list_files(&folder);
                app.on_outcome(Outcome::FilesListed { folder, entries }, now)
            }
            Effect::WriteFile { path, numbered, text } => {
                app.on_outcome(Outcome::FileWritten(io.write_file(&path, &text, numbered)), now)
            }
            Effect::ReadChats => app.on_outcome(Outcome::ChatsRead(saved_records(io)), now),
            Effect::Screen(screen) => {
                left.push(screen);
                Vec::new()
            }
        };
        for effect in more.into_iter().rev() {
            waiting.push_front(effect);
        }
    }
    left
}

fn palette_read(io: &mut dyn FrontEndIo) -> Outcome {
    let (models, offered) = (io.models(), io.offered_models());
    Outcome::PaletteRead { models, offered, themes: io.themes(), sessions: saved_records(io) }
}

/// The conversations that can be chosen. A list that cannot be read has none; /open says why.
fn saved_records(io: &mut dyn FrontEndIo) -> Vec<SessionRecord> {
    io.sessions().unwrap_or_default().into_iter().map(|line| line.record).collect()
}
