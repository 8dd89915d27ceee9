//! The search in all chats, as one types: every message is read once, and again only where the database has changed.
//!
//! SQLite's FTS5 with its trigram tokenizer was weighed against this, on 100,000 messages of 390 characters (39 MB) and one
//! processor. Its index makes the database 155 MB in place of 48, takes 4.5 s to build when an older one is opened, and a
//! write takes 1.4 ms with it; in exchange the first message is found in 0.3 ms, all of them in 10 to 40, and nothing is
//! held in memory. It finds nothing by fewer than three letters, so that the first two keys need this search all the same,
//! as do databases of an earlier format and those that can only be read; a repair would have an index to mend, and what is
//! deleted would have to go from it as well. Here the first key takes some 0.2 s (0.08 of them in SQLite) and each further
//! one 20 ms at most. What that cost was memory, 83 MB, since each message was held a second time in lower case: now a
//! message in ASCII is held once, and compared without regard to case (45 MB).

use std::path::Path;

use super::StoreError;
use super::sessions::Database;
use super::texts::{SearchHit, Texts};

/// A search that goes on from letter to letter.
#[derive(Debug)]
pub struct Search {
    database: Database,
    /// Of the database when it was read.
    version: Option<i64>,
    texts: Texts,
}

impl Search {
    /// Opens the database at `path`, where there is one; nothing is read yet.
    ///
    /// # Errors
    /// As [`Database::open_to_read`].
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let database = Database::open_to_read(path)?;
        Ok(database.map(|database| Self { database, version: None, texts: Texts::default() }))
    }

    /// Whether it can be kept for the next letter: it keeps nobody from writing meanwhile.
    pub fn can_stay(&self) -> bool {
        self.database.is_shared()
    }

    /// The messages that have `text` in them, in any case of letters; the chats that were changed last first.
    ///
    /// # Errors
    /// As the database's.
    pub fn find(&mut self, text: &str) -> Result<Vec<SearchHit>, StoreError> {
        let version = self.database.version()?;
        if self.version != Some(version) {
            self.texts = self.database.texts()?;
            self.version = Some(version);
        }
        Ok(self.texts.find(text))
    }
}
