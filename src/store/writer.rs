//! The thread that writes, so that nobody else waits for the disk.

use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, unbounded};
use gibber_signals::ending::ends_within;

use super::sessions::Database;
use super::{Paths, SessionId, SessionRecord, StoreError, StoreOp, history};
use crate::chat::{MessageId, Transcript};

/// How long the last writes may take; each waits for another program by itself.
const LONGEST_WRITE: Duration = Duration::from_secs(8);

/// Takes [`StoreOp`]s and carries them out in order on a thread of its own; dropping it writes what is left and waits.
///
/// What comes in while a write is under way is written together, in one transaction. What cannot be written is kept and
/// tried again with the next operation, and the error is said once on [`StoreWriter::failures`]: the chat goes on.
#[derive(Debug)]
pub struct StoreWriter {
    operations: Option<Sender<StoreOp>>,
    failures: Receiver<String>,
    thread: Option<JoinHandle<()>>,
}

impl StoreWriter {
    /// Starts the thread. No file is touched before the first operation.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the system gives no thread.
    pub fn spawn(paths: Paths) -> Result<Self, StoreError> {
        let (operations, received) = unbounded();
        let (failed, failures) = unbounded();
        let directory = paths.directory().to_owned();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || Worker::new(paths, failed).run(&received))
            .map_err(|source| StoreError::io("start the thread that writes to", &directory, source))?;
        Ok(Self { operations: Some(operations), failures, thread: Some(thread) })
    }

    /// Hands over an operation; returns at once.
    pub fn send(&self, operation: StoreOp) {
        if let Some(operations) = &self.operations {
            // The thread ends only after the sender is gone.
            let _ = operations.send(operation);
        }
    }

    /// Writes a whole conversation in the place of what is stored of it.
    pub fn replace(&self, record: &SessionRecord, transcript: &Transcript) {
        self.send(StoreOp::DeleteSession(record.id));
        self.send(StoreOp::PutSession(record.clone()));
        for node in transcript.nodes() {
            self.send(StoreOp::PutMessage { session: record.id, node: node.clone() });
        }
    }

    /// What went wrong, a clear sentence each, and each once until a write has worked again.
    pub fn failures(&self) -> &Receiver<String> {
        &self.failures
    }

    /// Writes what is left, waits, and says what could not be written.
    pub fn finish(mut self) -> Vec<String> {
        self.close();
        self.failures.try_iter().collect()
    }

    /// Writes what is left, and waits; what could not be written is on [`StoreWriter::failures`]. Returns whether the
    /// thread has come to an end: it is left behind after a while, since a drive that is gone keeps it for ever.
    pub fn close(&mut self) -> bool {
        self.operations = None;
        let Some(thread) = self.thread.take() else { return true };
        let has_ended = ends_within(&thread, LONGEST_WRITE);
        if has_ended {
            // It has said itself what it could not write.
            let _ = thread.join();
        }
        has_ended
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        self.close();
    }
}

struct Worker {
    paths: Paths,
    failed: Sender<String>,
    database: Option<Database>,
    /// What is to be written to the database, in order; an operation that a later one replaces is gone.
    pending: Vec<StoreOp>,
    /// The error that was reported last, until a write works again.
    reported: Option<String>,
}

impl Worker {
    fn new(paths: Paths, failed: Sender<String>) -> Self {
        Self { paths, failed, database: None, pending: Vec::new(), reported: None }
    }

    fn run(mut self, operations: &Receiver<StoreOp>) {
        while let Ok(first) = operations.recv() {
            for operation in std::iter::once(first).chain(operations.try_iter()) {
                match operation {
                    StoreOp::AppendHistory(entry) => self.append_history(&entry),
                    operation => self.keep(operation),
                }
            }
            self.write_pending();
        }
        if !self.pending.is_empty() {
            self.reported = None;
            self.write_pending();
        }
    }

    fn append_history(&mut self, entry: &str) {
        let written = self.paths.ensure().and_then(|()| history::append(&self.paths.history(), entry));
        if let Err(error) = written {
            self.report(&error);
        }
    }

    /// While a reply streams, the same message comes again and again: only its last state counts.
    fn keep(&mut self, operation: StoreOp) {
        if let StoreOp::DeleteSession(id) = operation {
            // What was to be written of it is not written any more.
            self.pending.retain(|pending| target_of(pending).is_none_or(|(session, _)| session != id));
            return self.pending.push(operation);
        }
        let target = target_of(&operation);
        match self.pending.iter_mut().find(|pending| target.is_some() && target_of(pending) == target) {
            Some(pending) => *pending = operation,
            None => self.pending.push(operation),
        }
    }

    fn write_pending(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match self.try_write() {
            Ok(()) => {
                self.pending.clear();
                self.reported = None;
            }
            Err(error) => {
                // A damaged or vanished file is opened afresh the next time.
                self.database = None;
                self.report(&error);
            }
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        let database = match &mut self.database {
            Some(database) => database,
            none => none.insert(Database::open(&self.paths.database())?),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let pending = &self.pending;
        database.in_transaction(|writes| {
            pending.iter().try_for_each(|operation| match operation {
                StoreOp::PutSession(record) => writes.put_session(record, now),
                StoreOp::PutMessage { session, node } => writes.put_message(*session, node, now),
                StoreOp::DeleteMessage { session, message } => writes.delete_message(*session, *message),
                StoreOp::DeleteSession(id) => writes.delete(*id),
                StoreOp::AppendHistory(_) => Ok(()),
            })
        })
    }

    fn report(&mut self, error: &StoreError) {
        let message = error.to_string();
        if self.reported.as_ref() != Some(&message) {
            self.reported = Some(message.clone());
            // Nobody may be listening any more; then nobody is to be told.
            let _ = self.failed.send(message);
        }
    }
}

/// What an operation replaces in the database.
fn target_of(operation: &StoreOp) -> Option<(SessionId, Option<MessageId>)> {
    match operation {
        StoreOp::PutSession(record) => Some((record.id, None)),
        StoreOp::PutMessage { session, node } => Some((*session, Some(node.id))),
        StoreOp::DeleteMessage { session, message } => Some((*session, Some(*message))),
        StoreOp::DeleteSession(_) | StoreOp::AppendHistory(_) => None,
    }
}

#[cfg(test)]
mod tests;
