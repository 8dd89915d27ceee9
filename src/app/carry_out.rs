//! How a front end's loop carries out what the state machine asks for.

use crossbeam_channel::Receiver;

use super::files::FileEntry;
use super::{
    App, AttachmentsFound, Effect, FilePurpose, ListedModel, ModelOffer, Moment, OfferedModel, OnScreen, Outcome,
    attachments,
};
use crate::chat::Transcript;
use crate::hub::news::{FloatsWish, PullId, PullNews};
use crate::settings::Settings;
use crate::settings::theme::Theme;
use crate::store::{SearchHit, SessionId, SessionRecord, SessionSummary, StoreNews, StoreOp};
use crate::worker::protocol::{EngineCommand, EngineEvent, LoadParams, ModelPlace};
use gibber_engine::sampling::SamplingValues;

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

    /// Pulls a model in the background, and quantizes it where that is wished.
    fn pull(&mut self, id: PullId, name: &str, floats: FloatsWish);

    /// Stops a pull; its end comes with its news.
    fn cancel_pull(&mut self, id: PullId);

    /// Where pulls say how far they are.
    fn pull_news(&self) -> Receiver<PullNews>;

    /// Writes a preset into config.toml, or takes it out; returns where that is.
    ///
    /// # Errors
    /// One clear sentence.
    fn save_preset(&mut self, name: &str, values: Option<&SamplingValues>) -> Result<String, String>;

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
        if let Effect::Screen(screen) = effect {
            left.push(screen);
            continue;
        }
        for effect in perform(app, effect, io, send, now).into_iter().rev() {
            waiting.push_front(effect);
        }
    }
    left
}

/// Carries out one effect; what that leads to comes back.
fn perform(
    app: &mut App,
    effect: Effect,
    io: &mut dyn FrontEndIo,
    send: &mut dyn FnMut(EngineCommand),
    now: Moment,
) -> Vec<Effect> {
    let outcome = match effect {
        Effect::Submit(command) => {
            send(command);
            return Vec::new();
        }
        Effect::Store(op) => {
            io.store(op);
            return Vec::new();
        }
        Effect::SaveSettings(settings) => Outcome::SettingsSaved(io.save_settings(&settings)),
        Effect::LoadModel { id, name } => match io.resolve_model(&name) {
            Ok((place, params)) => {
                send(EngineCommand::Load { id, place, params });
                return Vec::new();
            }
            Err(error) => match io.offer_for(&name) {
                Some(offer) => Outcome::ModelMissing { id, offer },
                None => return app.on_event(EngineEvent::Failed { id, error }, now),
            },
        },
        Effect::ReadThemes { wanted } => Outcome::ThemesRead { own: io.themes(), wanted },
        Effect::ListModels => {
            let (here, offered) = (io.describe_models(), io.offered_models());
            Outcome::ModelsListed { here, offered }
        }
        Effect::Pull { id, name, floats } => {
            io.pull(id, &name, floats);
            return Vec::new();
        }
        Effect::CancelPull(id) => {
            io.cancel_pull(id);
            return Vec::new();
        }
        Effect::ReadPalette => palette_read(io),
        Effect::SavePreset { name, values } => {
            let outcome = io.save_preset(&name, values.as_ref());
            Outcome::PresetSaved { name, is_there: values.is_some(), outcome }
        }
        Effect::ListSessions => Outcome::SessionsListed(io.sessions()),
        Effect::OpenSession(id) => Outcome::SessionOpened(io.open_session(id)),
        Effect::TakeSession(id) => Outcome::SessionTaken(io.read_session(id)),
        Effect::SearchSessions(text) => {
            let hits = io.search_sessions(&text);
            Outcome::SessionsFound { text, hits }
        }
        Effect::ReadFile { purpose, path } => {
            let text = io.read_file(&path, purpose);
            Outcome::FileRead { purpose, path, text }
        }
        Effect::Attach { text, variants } => {
            let files = attachments::gather(&text, &mut |path| io.find_file(path));
            Outcome::Attached { text, variants, files }
        }
        Effect::LookUpAttachments(text) => {
            io.look_up_attachments(text);
            return Vec::new();
        }
        Effect::ListFiles(folder) => {
            let entries = io.list_files(&folder);
            Outcome::FilesListed { folder, entries }
        }
        Effect::WriteFile { path, numbered, text } => Outcome::FileWritten(io.write_file(&path, &text, numbered)),
        Effect::ReadChats => Outcome::ChatsRead(saved_records(io)),
        Effect::Screen(_) => return Vec::new(),
    };
    app.on_outcome(outcome, now)
}

fn palette_read(io: &mut dyn FrontEndIo) -> Outcome {
    let (models, offered) = (io.models(), io.offered_models());
    Outcome::PaletteRead { models, offered, themes: io.themes(), sessions: saved_records(io) }
}

/// The conversations that can be chosen. A list that cannot be read has none; /open says why.
fn saved_records(io: &mut dyn FrontEndIo) -> Vec<SessionRecord> {
    io.sessions().unwrap_or_default().into_iter().map(|line| line.record).collect()
}
