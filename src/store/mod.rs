//! The config directory: paths, the session database, the prompt history, atomic writes.
//!
//! [`Paths`] says where everything is. Writing while a chat runs goes through [`StoreWriter`], a thread of its own, so
//! that nobody waits for the disk; reading ([`Database`], [`history::load`]) is done by whoever needs it.

pub mod error;
pub mod files;
pub mod history;
pub mod models;
pub mod paths;
pub mod search;
pub mod sessions;
mod texts;
pub mod writer;

use crate::chat::document::Document;
use crate::chat::provenance::ViewPlace;
use crate::chat::{ChatSettings, MessageId, Node, Transcript};

pub use error::StoreError;
pub use models::ModelStores;
pub use paths::Paths;
pub use search::Search;
pub use sessions::repair::{Repair, repair};
pub use sessions::{Database, SessionSummary, StoredSession};
pub use texts::SearchHit;
pub use writer::{StoreNews, StoreWriter};

/// Names a conversation, over all of them; drawn by who starts it. New ones stay below 2^53, so that programs which count
/// with floats (JavaScript, jq) read them from JSON as they are; earlier ones had 63 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub i64);

impl SessionId {
    /// The id that 64 random bits make.
    pub fn drawn(random: u64) -> Self {
        Self((random >> 11) as i64)
    }
}

/// A conversation without its messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionRecord {
    /// Its name.
    pub id: SessionId,
    /// From the first question.
    pub title: String,
    /// The model it was last held with.
    pub model: String,
    /// The system message; empty is the template's own.
    pub system: String,
    /// The last message of the path on screen.
    pub head: Option<MessageId>,
    /// Seconds since 1970.
    pub created: i64,
    /// What else it keeps.
    pub settings: ChatSettings,
}

impl SessionRecord {
    /// The conversation of a file, under this name.
    pub fn of_document(id: SessionId, document: Document) -> (Self, Transcript) {
        let Document { title, model, system, created, transcript, settings, left_out: _ } = document;
        (Self { id, title, model, system, head: transcript.head(), created, settings }, transcript)
    }

    /// The conversation as it is written to files.
    pub fn into_document(self, transcript: Transcript) -> Document {
        let Self { title, model, system, created, settings, .. } = self;
        Document { title, model, system, created, transcript, settings, left_out: Vec::new() }
    }
}

/// What a person is told of a database that was brought to the present format, once.
pub fn brought_up(path: &std::path::Path, former: &std::path::Path) -> String {
    let (path, former) = (path.display(), former.display());
    format!(
        "{path} has a new format now, which earlier versions of gibber cannot read; as it was, it is kept as {former}"
    )
}

/// What the state machine asks to be written; carried out, in order, by the store's own thread.
#[expect(missing_docs, reason = "a conversation, a message, a title are named by what they are")]
#[derive(Debug, Clone, PartialEq)]
pub enum StoreOp {
    /// Insert or update a conversation.
    PutSession(SessionRecord),
    /// Insert or update a message of a conversation.
    PutMessage { session: SessionId, node: Node },
    /// Delete a message of a conversation.
    DeleteMessage { session: SessionId, message: MessageId },
    /// Delete a conversation with its messages.
    DeleteSession(SessionId),
    /// Bring back a conversation that was deleted. Another program may have saved it again meanwhile: what is there
    /// already is not added once more.
    Restore {
        /// The conversation.
        record: SessionRecord,
        /// All its messages.
        nodes: Vec<Node>,
    },
    /// Keep where the view of a conversation was left: no change of the conversation.
    PutView {
        /// The conversation.
        session: SessionId,
        /// Where; `None` for its end.
        view: Option<ViewPlace>,
    },
    /// Give a conversation another title.
    Rename { session: SessionId, title: String },
    /// A conversation that was read is on screen now, and is gone on with: what others write to it is told from now on.
    Opened(SessionId),
    /// Messages of [`Others`] are part of the conversation now: each as it is here, and its number in the database.
    TakenOver { session: SessionId, messages: Vec<(Node, MessageId)> },
    /// Add a line to the prompt history.
    AppendHistory(String),
}

/// What other programs have written to a conversation that is open here.
#[derive(Debug, Clone, PartialEq)]
pub struct Others {
    /// The conversation.
    pub session: SessionId,
    /// Its title, where that is another one now.
    pub title: Option<String>,
    /// Messages that are new or have changed, each after what it answers.
    pub messages: Vec<Added>,
}

/// A message of another program.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// Where it belongs.
    pub to: To,
    /// The message, with its numbers in the database.
    pub node: Node,
}

/// Where a message of another program belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// It is this one, as it is now.
    Known(MessageId),
    /// It begins the conversation.
    Root,
    /// It answers this one.
    Answer(MessageId),
    /// It answers the one of this number in the database, which was told of before it.
    New(MessageId),
}
