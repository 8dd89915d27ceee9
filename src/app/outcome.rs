//! What came back from outside: the answers to effects, and news that nobody asked for.

use super::files::{FileEntry, Listing};
use super::{App, Effect, FilePurpose, ListedModel, ModelOffer, Moment, NoteKind, OfferedModel, OnScreen, attachments};
use crate::chat::Transcript;
use crate::hub::news::PullNews;
use crate::settings::theme::Theme;
use crate::store::{SearchHit, SessionRecord, SessionSummary, StoreNews};
use crate::worker::protocol::RequestId;

/// What came back from outside. A person's wishes are [`Action`](super::Action)s.
#[derive(Debug)]
pub enum Outcome {
    /// The outcome of [`Effect::TakeSession`]: a conversation that is to be deleted.
    SessionTaken(Result<(SessionRecord, Transcript), String>),
    /// The outcome of [`Effect::SearchSessions`]: what was looked for, and the messages that have it.
    SessionsFound {
        /// What was looked for.
        text: String,
        /// Where it is.
        hits: Result<Vec<SearchHit>, String>,
    },
    /// The outcome of [`Effect::ReadFile`]: what it was read for, the file, and its text.
    FileRead {
        /// What it was read for.
        purpose: FilePurpose,
        /// The file, as it was named.
        path: String,
        /// Its text, or a sentence that says why not.
        text: Result<String, String>,
    },
    /// The outcome of [`Effect::Attach`]: the message, and the files that it names.
    Attached {
        /// The message.
        text: String,
        /// The lanes, where its answers are to be compared.
        variants: Option<String>,
        /// Each file as it was named, and its text; or a sentence that says which cannot be read.
        files: Result<Vec<(String, String)>, String>,
    },
    /// The outcome of [`Effect::ListFiles`].
    FilesListed {
        /// The folder, as it was named.
        folder: String,
        /// What is in it.
        entries: Vec<FileEntry>,
    },
    /// The outcome of [`Effect::ReadChats`]: the newest first.
    ChatsRead(Vec<SessionRecord>),
    /// The outcome of [`Effect::WriteFile`]: where it is.
    FileWritten(Result<String, String>),
    /// The outcome of [`Effect::SaveSettings`].
    SettingsSaved(Result<String, String>),
    /// The outcome of [`Effect::ReadThemes`].
    ThemesRead {
        /// The person's own.
        own: Vec<Theme>,
        /// The one that is to be put in force.
        wanted: Option<String>,
    },
    /// The outcome of [`Effect::ListModels`].
    ModelsListed {
        /// Those of this machine.
        here: Vec<ListedModel>,
        /// Those that can be pulled.
        offered: Vec<OfferedModel>,
    },
    /// The outcome of [`Effect::LoadModel`] where that model is not here.
    ModelMissing {
        /// Of the load.
        id: RequestId,
        /// What can be had in its place.
        offer: ModelOffer,
    },
    /// A pull has come further, or to its end.
    PullNews {
        /// What is new.
        news: PullNews,
        /// Whether the person may be in the middle of a line.
        is_typing: bool,
    },
    /// The outcome of [`Effect::ReadPalette`].
    PaletteRead {
        /// The names of the models.
        models: Vec<String>,
        /// The models that can be pulled.
        offered: Vec<OfferedModel>,
        /// The person's own themes.
        themes: Vec<Theme>,
        /// The saved conversations, the newest first.
        sessions: Vec<SessionRecord>,
    },
    /// The outcome of [`Effect::SavePreset`].
    PresetSaved {
        /// The preset.
        name: String,
        /// Whether it is there now, or was deleted.
        is_there: bool,
        /// Where, or why not.
        outcome: Result<String, String>,
    },
    /// The outcome of [`Effect::ListSessions`].
    SessionsListed(Result<Vec<SessionSummary>, String>),
    /// The outcome of [`Effect::OpenSession`].
    SessionOpened(Result<(SessionRecord, Transcript), String>),
    /// The store's thread could not write.
    StoreNews(StoreNews),
    /// Something failed in the front end.
    Failed(String),
}

impl App {
    /// Something came back. What the person was told last stays: it was not they who did this.
    pub fn on_outcome(&mut self, outcome: Outcome, now: Moment) -> Vec<Effect> {
        self.view.revision += 1;
        let effects = self.take_outcome(outcome, now);
        self.give_way(effects)
    }

    fn take_outcome(&mut self, outcome: Outcome, now: Moment) -> Vec<Effect> {
        let note = match outcome {
            Outcome::PaletteRead { models, offered, themes, sessions } => {
                (self.catalog.models, self.catalog.offered) = (models, offered);
                self.library.recent = sessions;
                self.catalog.set_themes(themes);
                return vec![Effect::Screen(OnScreen::ShowPalette)];
            }
            Outcome::ModelsListed { here, offered } => return self.catalog.on_models_listed(here, offered),
            Outcome::ModelMissing { id, offer } => return self.on_model_missing(id, offer),
            Outcome::PullNews { news, is_typing } => return self.on_pull_news(news, is_typing),
            Outcome::ThemesRead { own, wanted } => return self.on_themes_read(own, wanted),
            Outcome::FileRead { purpose: FilePurpose::Import, path, text: Ok(text) } => {
                return self.on_imported(&path, &text, now);
            }
            Outcome::FileRead { purpose: FilePurpose::Read, path, text: Ok(text) } => {
                return vec![attachments::compose_file(&path, &text)];
            }
            Outcome::Attached { text, variants, files } => {
                return self.on_attached(&text, variants.as_deref(), files, now);
            }
            Outcome::SessionTaken(Ok((record, transcript))) => return self.library.on_chat_taken(record, transcript),
            Outcome::SessionsListed(Ok(list)) => return self.library.on_chats_listed(list, &mut self.chat, now),
            Outcome::SessionsFound { text, hits: Ok(hits) } => return self.library.on_found(text, hits),
            Outcome::SessionOpened(Ok((record, transcript))) => return self.on_chat_opened(record, transcript),
            Outcome::ChatsRead(chats) => {
                self.library.recent = chats;
                return Vec::new();
            }
            Outcome::FilesListed { folder, entries } => {
                self.catalog.listing = Listing { folder, entries };
                return Vec::new();
            }
            Outcome::PresetSaved { name, is_there, outcome } => {
                self.on_preset_saved(&name, is_there, outcome);
                return Vec::new();
            }
            Outcome::SettingsSaved(Ok(path)) => {
                let which = if self.setup.sampling.unsaved().is_empty() { "the" } else { "all other" };
                Ok(format!("{which} settings are now the default, in {path}"))
            }
            Outcome::FileWritten(Ok(path)) => Ok(format!("{path} is written")),
            Outcome::StoreNews(StoreNews::Others(others)) => {
                return self.chat.on_others_wrote(others, &self.view.keymap);
            }
            Outcome::StoreNews(StoreNews::Notice(text)) => {
                self.note(NoteKind::Warning, text);
                return Vec::new();
            }
            Outcome::StoreNews(StoreNews::Saved) => Ok(StoreNews::SAVED.to_owned()),
            Outcome::StoreNews(StoreNews::Failed(error) | StoreNews::Lost(error))
            | Outcome::SettingsSaved(Err(error))
            | Outcome::SessionsListed(Err(error))
            | Outcome::SessionsFound { hits: Err(error), .. }
            | Outcome::SessionTaken(Err(error))
            | Outcome::SessionOpened(Err(error))
            | Outcome::FileRead { text: Err(error), .. }
            | Outcome::FileWritten(Err(error))
            | Outcome::Failed(error) => Err(error),
        };
        match note {
            Ok(text) => self.note(NoteKind::Info, text),
            Err(error) => self.note(NoteKind::Error, error),
        }
        Vec::new()
    }
}
