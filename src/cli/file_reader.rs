//! The thread that reads the files which a draft names: the screen waits for none of them.

use std::collections::HashMap;
use std::fs::Metadata;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::models;
use crate::app::AttachmentsFound;
use crate::app::attachments::gather;

/// The largest file that is read into a chat: more than any context holds.
pub(super) const MAX_FILE: u64 = 4 << 20;

/// How long the screen waits for a file: on a drive that is gone, the system would wait for ever.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does `job`, which is about the file or folder `path`, on a thread of its own, and gives up waiting for it after a while.
///
/// # Errors
/// One clear sentence: it has not ended in time.
pub(super) fn aside<T: Send + 'static>(path: &str, job: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, done) = bounded(1);
    let thread = std::thread::Builder::new().name("file".to_owned()).spawn(move || {
        // Whoever has given up does not listen.
        let _ = sender.send(job());
    });
    thread.map_err(|error| format!("{path}: the system gives no thread to read it: {error}"))?;
    done.recv_timeout(PATIENCE).map_err(|_| {
        format!("{path} has not answered for {} s: is the drive that it is on still there?", PATIENCE.as_secs())
    })
}

/// Hands drafts to the thread, and has what it says.
#[derive(Debug)]
pub(super) struct FileReader {
    /// Of the thread, once there is one. It ends when this goes.
    drafts: Option<Sender<String>>,
    sender: Sender<AttachmentsFound>,
    attachments_found: Receiver<AttachmentsFound>,
}

impl FileReader {
    pub(super) fn new() -> Self {
        let (sender, attachments_found) = unbounded();
        Self { drafts: None, sender, attachments_found }
    }

    /// Has the files of a draft read. Where no thread can be had, they are read once it is sent.
    pub(super) fn look_up_attachments(&mut self, text: String) {
        if self.drafts.is_none() {
            let (drafts, waiting) = unbounded();
            let sender = self.sender.clone();
            let thread = std::thread::Builder::new().name("files".to_owned());
            self.drafts = thread.spawn(move || read(&waiting, &sender)).is_ok().then_some(drafts);
        }
        if let Some(drafts) = &self.drafts {
            // It is gone only where it has failed; what is sent is read all the same.
            let _ = drafts.send(text);
        }
    }

    pub(super) fn attachments_found(&self) -> &Receiver<AttachmentsFound> {
        &self.attachments_found
    }
}

/// What tells a file that has changed.
type Stamp = (u64, Option<SystemTime>);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

fn read(drafts: &Receiver<String>, sender: &Sender<AttachmentsFound>) {
    let mut known = HashMap::new();
    while let Ok(text) = drafts.recv() {
        let text = drafts.try_iter().last().unwrap_or(text);
        if sender.send(look_up_attachments(text, &mut known)).is_err() {
            return;
        }
    }
}

/// Reads what is not `known` as it is now; what the draft does not name is forgotten.
fn look_up_attachments(text: String, known: &mut HashMap<String, (Stamp, String)>) -> AttachmentsFound {
    let mut former = std::mem::take(known);
    let files = gather(&text, &mut |path| {
        if !names_file(path) {
            return Ok(None);
        }
        let Ok(metadata) = std::fs::metadata(models::expanded(path)) else { return Ok(None) };
        let stamp = stamp(&metadata);
        let content = match former.remove(path).filter(|(before, _)| *before == stamp) {
            Some((_, content)) => content,
            None => read_text(path, MAX_FILE)?,
        };
        known.insert(path.to_owned(), (stamp, content.clone()));
        Ok(Some(content))
    });
    AttachmentsFound { text, files }
}

/// Whether what a message names after `@` is meant as a file: something is there, and it is no folder.
pub(super) fn names_file(path: &str) -> bool {
    models::expanded(path).metadata().is_ok_and(|metadata| !metadata.is_dir())
}

/// The text of the file at `path`, which has at most `limit` bytes.
///
/// # Errors
/// One clear sentence.
pub(super) fn read_text(path: &str, limit: u64) -> Result<String, String> {
    let expanded = models::expanded(path);
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", expanded.display());
    let text = gibber_files::read_text(&expanded, limit).map_err(|error| failed(&error))?;
    if text.contains('\0') { Err(failed(&"it is not a text file")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_only_once_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt").display().to_string();
        std::fs::write(&path, "river").unwrap();
        let draft = format!("@{path} @{path}s");
        let mut known = HashMap::new();
        let mut texts = || {
            let attachments_found = look_up_attachments(draft.clone(), &mut known);
            let texts: Vec<String> = attachments_found.files.unwrap().into_iter().map(|(_, text)| text).collect();
            // What is kept is what comes the next time.
            if let Some((_, kept)) = known.get_mut(&path) {
                kept.push('!');
            }
            texts
        };
        assert_eq!(texts(), ["river"]);
        assert_eq!(texts(), ["river!"]);
        std::fs::write(&path, "the lake").unwrap();
        assert_eq!(texts(), ["the lake"]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(texts(), [""; 0]);
    }

    #[test]
    fn drafts_are_answered_by_the_thread() {
        let mut reader = FileReader::new();
        reader.look_up_attachments("see @Cargo.toml".to_owned());
        let attachments_found = reader.attachments_found().recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(attachments_found.text, "see @Cargo.toml");
        assert_eq!(attachments_found.files.unwrap()[0].0, "Cargo.toml");
    }
}
