//! What could not be saved at the end of the program, as files that can be imported.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::held::Held;
use crate::chat::document::{Document, DocumentFormat};
use crate::chat::{Node, Transcript};
use crate::store::{Database, Paths, SessionId, SessionRecord, StoreOp, StoredSession, files};

/// A chat as it should have been saved.
#[derive(Debug, Default)]
struct Chat {
    record: Option<SessionRecord>,
    nodes: BTreeMap<crate::chat::MessageId, Node>,
}

/// Writes a file for each chat of which `pending` has something that is not saved, with what is `held` of it or, where
/// that is nothing, what can be read. Returns their names; a chat of which not even that can be written has none.
pub(super) fn rescue(paths: &Paths, held: &Held, pending: &[StoreOp]) -> Vec<PathBuf> {
    let stored = Database::open_to_read(&paths.database()).ok().flatten();
    let load = |id: SessionId| stored.as_ref().and_then(|database| database.load(id).ok()).map(Chat::stored);
    let known = |id: SessionId| {
        held.chat(id).map(|(record, nodes)| Chat {
            record: Some(record.clone()),
            nodes: nodes.map(|node| (node.id, node.clone())).collect(),
        })
    };
    let mut chats: BTreeMap<SessionId, Chat> = BTreeMap::new();
    let mut of = |id: SessionId, change: &dyn Fn(&mut Chat)| {
        change(chats.entry(id).or_insert_with(|| known(id).or_else(|| load(id)).unwrap_or_default()));
    };
    for operation in pending {
        match operation {
            StoreOp::PutSession(record) => of(record.id, &|chat| chat.record = Some(record.clone())),
            StoreOp::PutMessage { session, node } => of(*session, &|chat| {
                chat.nodes.insert(node.id, node.clone());
            }),
            StoreOp::DeleteMessage { session, message } => of(*session, &|chat| {
                chat.nodes.remove(message);
            }),
            StoreOp::DeleteSession(id) => of(*id, &|chat| *chat = Chat::default()),
            StoreOp::Restore { record, nodes } => of(record.id, &|chat| {
                let nodes = nodes.iter().map(|node| (node.id, node.clone())).collect();
                *chat = Chat { record: Some(record.clone()), nodes };
            }),
            StoreOp::Rename { session, title } => of(*session, &|chat| {
                if let Some(record) = &mut chat.record {
                    record.title.clone_from(title);
                }
            }),
            StoreOp::Opened(_) | StoreOp::PutView { .. } | StoreOp::TakenOver { .. } | StoreOp::AppendHistory(_) => {}
        }
    }
    let file = |(id, chat): (SessionId, Chat)| {
        let name = format!("unsaved-{}.json", id.0);
        let text = chat.document()?.to_file(DocumentFormat::Json);
        // What is in the way of the database may be in the way of everything beside it.
        let places = [paths.directory().join(&name), std::env::temp_dir().join(&name)];
        places.into_iter().find(|path| files::write_atomic(path, &text).is_ok())
    };
    chats.into_iter().filter_map(file).collect()
}

impl Chat {
    fn stored(stored: StoredSession) -> Self {
        let nodes = stored.transcript.nodes().iter().map(|node| (node.id, node.clone())).collect();
        Self { record: Some(stored.record), nodes }
    }

    /// `None` where nothing is said in it.
    fn document(self) -> Option<Document> {
        let Self { record, nodes } = self;
        let head = record.as_ref().and_then(|record| record.head).or(nodes.keys().next_back().copied());
        let transcript = Transcript::from_parts(nodes.into_values().collect(), head);
        (!transcript.nodes().is_empty()).then(|| record.unwrap_or_default().into_document(transcript))
    }
}
