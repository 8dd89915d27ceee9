//! What the state machine asks of the program around it.

use super::List;
use crate::hub::news::{FloatsWish, PullId};
use crate::settings::Settings;
use crate::store::{SessionId, StoreOp};
use crate::worker::protocol::{EngineCommand, RequestId};
use gibber_engine::sampling::SamplingValues;

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
    /// Pull a model in the background: [`super::FrontEndIo::pull_news`] has how far it is.
    Pull {
        /// Which pull it is.
        id: PullId,
        /// What is wanted.
        name: String,
        /// What is to become of its weights, where they are floats.
        floats: FloatsWish,
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
        values: Option<SamplingValues>,
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
    /// Read the files that a draft names, without waiting for them: [`super::FrontEndIo::attachments_found`] has them
    /// later.
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
    /// Put a text into the composer to be edited; what was being written there comes back once [`super::App::editing`] is
    /// over.
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
