//! The thread that writes, so that nobody else waits for the disk; and that reads what other programs have written.

mod held;
mod rescue;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use gibber_signals::ending::ends_within;

use super::sessions::{self, Database, StoredSession};
use super::{Others, Paths, SessionId, SessionRecord, StoreError, StoreOp, brought_up, history};
use crate::chat::{MessageId, Transcript};

use held::Held;
use rescue::rescue;

/// How long the end of the program waits for the last writes, whatever they do: a drive that is gone keeps them for ever.
const LONGEST_WRITE: Duration = Duration::from_secs(10);

/// How long after a failure it is tried again for the first time.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// How long after a failure it is tried again at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long the end of the program waits for what is in the way of its last words.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often it is looked whether others have written to the chat that is open.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a request waits at most for what others have written.
const LOOK_PATIENCE: Duration = Duration::from_millis(250);

/// How the saving goes, where it does not go by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreNews {
    /// Something cannot be saved, for this reason, and is tried again.
    Failed(String),
    /// Everything that could not be saved is saved.
    Saved,
    /// The program ends, and something is not saved, for this reason.
    Lost(String),
    /// Something that a person should know, and that is no fault of this program.
    Notice(String),
    /// Other programs have written to the chat that is open.
    Others(Others),
}

/// What the thread is sent.
#[derive(Debug)]
enum Order {
    Write(Box<StoreOp>),
    /// A chat was read; whether it is gone on with, [`StoreOp::Opened`] says.
    Read(Box<StoredSession>),
    /// Look for what others have written, and say when that is told.
    Look(Sender<()>),
    /// Something that a person should know.
    Notify(String),
}

impl StoreNews {
    /// What is said of [`StoreNews::Saved`].
    pub const SAVED: &str = "what could not be saved is saved now";
}

/// Takes [`StoreOp`]s and carries them out in order on a thread of its own; dropping it writes what is left and waits.
///
/// What comes in while a write is under way is written together, in one transaction. What cannot be written is kept and
/// tried again by itself, less and less often; [`StoreWriter::news`] says that once, and once more when it has worked. At
/// the end of the program it is tried for a few seconds more.
#[derive(Debug)]
pub struct StoreWriter {
    operations: Option<Sender<Order>>,
    news: Receiver<StoreNews>,
    thread: Option<JoinHandle<()>>,
}

impl StoreWriter {
    /// Starts the thread. No file is touched before the first operation.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the system gives no thread.
    pub fn spawn(paths: Paths) -> Result<Self, StoreError> {
        let (operations, received) = unbounded();
        let (sender, news) = unbounded();
        let directory = paths.directory().to_owned();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || Worker::new(paths, sender).run(&received))
            .map_err(|source| StoreError::io("start the thread that writes to", &directory, source))?;
        Ok(Self { operations: Some(operations), news, thread: Some(thread) })
    }

    /// Hands over an operation; returns at once.
    pub fn send(&self, operation: StoreOp) {
        self.order(Order::Write(Box::new(operation)));
    }

    /// Says what was read of a chat that is about to be opened. After [`StoreOp::Opened`] what others add to it comes as news.
    pub fn was_read(&self, stored: StoredSession) {
        self.order(Order::Read(Box::new(stored)));
    }

    /// Has something told as news.
    pub fn notify(&self, text: &str) {
        self.order(Order::Notify(text.to_owned()));
    }

    /// Has what others have written to the open chat told as news, and waits a moment for that.
    pub fn catch_up(&self) {
        let (sender, done) = crossbeam_channel::bounded(1);
        self.order(Order::Look(sender));
        let _ = done.recv_timeout(LOOK_PATIENCE);
    }

    fn order(&self, order: Order) {
        if let Some(operations) = &self.operations {
            // The thread ends only after the sender is gone.
            let _ = operations.send(order);
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

    /// What cannot be saved, and that it is saved again.
    pub fn news(&self) -> &Receiver<StoreNews> {
        &self.news
    }

    /// Writes what is left, waits, and returns what there was to say.
    pub fn finish(mut self) -> Vec<StoreNews> {
        let mut said = Vec::new();
        self.close(|news| said.push(news));
        said
    }

    /// Writes what is left, waits for that, and says as it goes what there is to say. Returns whether the thread has come to
    /// an end: it is left behind after a while, since a drive that is gone keeps it for ever.
    pub fn close(&mut self, mut say: impl FnMut(StoreNews)) -> bool {
        self.operations = None;
        let Some(thread) = self.thread.take() else { return true };
        let until = Instant::now() + LONGEST_WRITE;
        // The thread holds the other end as long as it has something to say.
        while let Ok(news) = self.news.recv_deadline(until) {
            say(news);
        }
        let has_ended = ends_within(&thread, until.saturating_duration_since(Instant::now()));
        if has_ended {
            let _ = thread.join();
        }
        has_ended
    }
}

impl Drop for StoreWriter {
    fn drop(&mut self) {
        self.close(|_| ());
    }
}

/// When what failed is tried again: soon, then less and less often, since most of what is in the way stays a while.
struct Retry {
    wait: Duration,
    at: Instant,
}

impl Retry {
    fn after(former: Option<Self>) -> Self {
        let wait = former.map_or(FIRST_WAIT, |former| (former.wait * 2).min(LONGEST_WAIT));
        Self { wait, at: Instant::now() + wait }
    }
}

struct Worker {
    paths: Paths,
    news: Sender<StoreNews>,
    database: Option<Database>,
    /// Which file it was when it was last read or written.
    identity: Option<sessions::Identity>,
    /// Its logs then.
    logs: Vec<(PathBuf, sessions::Identity)>,
    /// What is to be written to the database, in order; an operation that a later one replaces is gone.
    pending: Vec<StoreOp>,
    /// Prompts that are to be added to the history.
    prompts: VecDeque<String>,
    /// The error that was reported last, until everything is written.
    reported: Option<String>,
    /// While something could not be written.
    retry: Option<Retry>,
    /// The chat that was read last, until it is opened.
    read: Option<Box<StoredSession>>,
    /// The chats that this program has to do with.
    held: Held,
    /// What is looked into for others' messages, with the version of the database then.
    reader: Option<(Database, Option<i64>)>,
    /// When that is done the next time.
    look_at: Option<Instant>,
}

impl Worker {
    fn new(paths: Paths, news: Sender<StoreNews>) -> Self {
        let (pending, prompts) = (Vec::new(), VecDeque::new());
        let (held, reader, read) = (Held::default(), None, None);
        let (database, identity) = (None, None);
        let look_at = None;
        Self {
            paths,
            news,
            database,
            identity,
            logs: Vec::new(),
            pending,
            prompts,
            reported: None,
            retry: None,
            read,
            held,
            reader,
            look_at,
        }
    }

    fn run(mut self, operations: &Receiver<Order>) {
        loop {
            let retry = self.retry.as_ref().map(|retry| retry.at);
            let received = match [retry, self.look_at].into_iter().flatten().min() {
                None => operations.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => operations.recv_deadline(deadline),
            };
            let mut waiting = Vec::new();
            match received {
                Ok(first) => {
                    std::iter::once(first).chain(operations.try_iter()).for_each(|next| waiting.extend(self.on(next)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // While something is in the way, what comes in waits with the rest.
            if self.retry.as_ref().is_none_or(|retry| retry.at <= Instant::now()) {
                self.write();
            }
            if !waiting.is_empty() || self.look_at.is_some_and(|at| at <= Instant::now()) {
                self.look();
            }
            for done in waiting {
                let _ = done.send(());
            }
            let has_chat = self.held.open().is_some();
            let soon = || Instant::now() + LOOK_INTERVAL;
            self.look_at = has_chat.then(|| self.look_at.filter(|at| *at > Instant::now()).unwrap_or_else(soon));
        }
        self.end();
    }

    /// Takes an order in; who waits for a look at the database is returned.
    fn on(&mut self, order: Order) -> Option<Sender<()>> {
        match order {
            Order::Write(operation) => self.keep(*operation),
            Order::Read(stored) => self.read = Some(stored),
            Order::Look(done) => return Some(done),
            Order::Notify(text) => self.say(StoreNews::Notice(text)),
        }
        None
    }

    /// A chat that was read is on screen.
    fn opened(&mut self, opened: SessionId) {
        let Some(stored) = self.read.take_if(|stored| stored.record.id == opened) else { return };
        // What is still to be written of it is called as it was.
        if !self.pending.iter().any(|pending| session_of(pending) == Some(opened)) {
            self.held.opened(*stored);
            self.identity = self.identity.or_else(|| sessions::identity(&self.paths.database()));
        }
    }

    /// Tells what others have written to the chat that is open. What cannot be read now can the next time.
    fn look(&mut self) {
        let Some(id) = self.held.open() else { return };
        // One that is another file now is found out by the next write.
        if self.identity != sessions::identity(&self.paths.database()) {
            return self.reader = None;
        }
        let reader = self.reader.take().or_else(|| {
            let database = Database::open_to_read(&self.paths.database()).ok().flatten()?;
            database.is_shared().then_some((database, None))
        });
        let Some((database, former)) = reader else { return };
        let version = database.version().ok();
        if version != former || former.is_none() {
            let pending = &self.pending;
            let awaited =
                |message: MessageId| pending.iter().any(|operation| target_of(operation) == Some((id, Some(message))));
            if let Ok(Some(others)) = self.held.others(&database, id, awaited) {
                self.say(StoreNews::Others(others));
            }
        }
        self.reader = Some((database, version));
    }

    /// The program ends: what is still not written is tried a few times, and given up with a word.
    fn end(&mut self) {
        let until = Instant::now() + PATIENCE;
        while let Err(error) = self.try_all() {
            // What nobody will mend in this time is not waited for.
            if !error.may_pass() || Instant::now() >= until {
                return self.give_up(&error);
            }
            self.report(&error);
            std::thread::sleep(FIRST_WAIT);
        }
        self.all_is_written();
    }

    /// What is not saved is put beside, where that can be done.
    fn give_up(&mut self, error: &StoreError) {
        let message = error.to_string();
        // Of prompts alone nothing more can be said than was.
        if self.pending.is_empty() && self.reported.as_ref() == Some(&message) {
            return;
        }
        let files = rescue(&self.paths, &self.held, &self.pending);
        let Some(first) = files.first() else { return self.say(StoreNews::Lost(message)) };
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let (names, first) = (names.join(" and "), first.display());
        let text = format!("{message}. It is in {names} instead: `gibber sessions import {first}` brings it back");
        self.say(StoreNews::Lost(text));
    }

    fn write(&mut self) {
        match self.try_all() {
            Ok(()) => {
                self.retry = None;
                self.all_is_written();
            }
            Err(error) => {
                self.retry = Some(Retry::after(self.retry.take()));
                self.report(&error);
            }
        }
    }

    /// The chats, and the prompts, which need not wait for each other.
    fn try_all(&mut self) -> Result<(), StoreError> {
        let chats = self.try_chats();
        if chats.is_err() {
            // A damaged or vanished file is opened afresh the next time.
            self.database = None;
        }
        let prompts = self.try_prompts();
        chats.and(prompts)
    }

    fn try_prompts(&mut self) -> Result<(), StoreError> {
        while let Some(prompt) = self.prompts.front() {
            self.paths.ensure()?;
            history::append(&self.paths.history(), prompt)?;
            self.prompts.pop_front();
        }
        Ok(())
    }

    /// While a reply streams, the same message comes again and again: only its last state counts.
    fn keep(&mut self, operation: StoreOp) {
        if let StoreOp::AppendHistory(prompt) = operation {
            return self.prompts.push_back(prompt);
        }
        if let StoreOp::DeleteSession(id) = operation {
            // What was to be written of it is not written any more.
            self.pending.retain(|pending| session_of(pending) != Some(id));
            return self.pending.push(operation);
        }
        if let StoreOp::TakenOver { session, messages } = operation {
            return self.held.taken_over(session, messages);
        }
        if let StoreOp::Opened(id) = operation {
            return self.opened(id);
        }
        let target = target_of(&operation);
        match self.pending.iter_mut().find(|pending| target.is_some() && target_of(pending) == target) {
            Some(pending) => *pending = operation,
            None => self.pending.push(operation),
        }
    }

    fn try_chats(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        // One that was moved away, deleted or replaced meanwhile is not written to any more.
        let path = self.paths.database();
        let mut is_replaced = false;
        if self.identity.is_some() && self.identity != sessions::identity(&path) {
            (self.database, self.reader, self.identity) = (None, None, None);
            is_replaced = path.exists();
            sessions::put_aside(&std::mem::take(&mut self.logs))?;
            self.held.forget_places();
        }
        let database = match &mut self.database {
            Some(database) => database,
            none => none.insert(Database::open(&path)?),
        };
        self.identity = sessions::identity(&path);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        let (pending, held) = (&self.pending, &mut self.held);
        held.begin();
        let mut displaced = 0;
        let written = database.in_transaction(|writes| {
            displaced = held.write_displaced(writes, now)?;
            pending.iter().try_for_each(|operation| match operation {
                StoreOp::PutSession(record) => held.put_session(writes, record, now),
                StoreOp::PutMessage { session, node } => held.put_message(writes, *session, node, now),
                StoreOp::DeleteMessage { session, message } => held.delete_message(writes, *session, *message),
                StoreOp::DeleteSession(id) => held.delete(writes, *id),
                StoreOp::Restore { record, nodes } => held.restore(writes, record, nodes, now),
                StoreOp::Rename { session, title } => writes.rename(*session, title),
                StoreOp::PutView { session, view } => held.put_view(writes, *session, *view),
                StoreOp::Opened(_) | StoreOp::TakenOver { .. } | StoreOp::AppendHistory(_) => Ok(()),
            })
        });
        if written.is_err() {
            held.roll_back();
        }
        written?;
        self.logs = sessions::logs(&path);
        self.pending.clear();
        let former = database.take_former();
        if let Some(former) = former {
            self.say(StoreNews::Notice(brought_up(&path, &former)));
        }
        if displaced > 0 {
            self.say(StoreNews::Notice(made_anew(&path, displaced, is_replaced)));
        }
        for title in self.held.take_restored() {
            let text =
                format!("another program has deleted the chat “{title}”: it is saved again, since it goes on here");
            self.say(StoreNews::Notice(text));
        }
        Ok(())
    }

    fn report(&mut self, error: &StoreError) {
        let message = error.to_string();
        if self.reported.as_ref() != Some(&message) {
            self.reported = Some(message.clone());
            self.say(StoreNews::Failed(message));
        }
    }

    fn all_is_written(&mut self) {
        if self.reported.take().is_some() {
            self.say(StoreNews::Saved);
        }
    }

    fn say(&self, news: StoreNews) {
        // Nobody may be listening any more; then nobody is to be told.
        let _ = self.news.send(news);
    }
}

fn made_anew(path: &Path, chats: usize, is_replaced: bool) -> String {
    let path = path.display();
    let chats = if chats == 1 { "the chat".to_owned() } else { format!("the {chats} chats") };
    match is_replaced {
        true => {
            format!("{path} was replaced while gibber was running: {chats} of this program was added to what is in it")
        }
        false => {
            format!(
                "{path} was deleted or moved away while gibber was running: it was made anew, with {chats} of this program"
            )
        }
    }
}

/// The chat that an operation writes to.
fn session_of(operation: &StoreOp) -> Option<SessionId> {
    match operation {
        StoreOp::Restore { record, .. } => Some(record.id),
        StoreOp::PutView { session, .. } => Some(*session),
        _ => target_of(operation).map(|(id, _)| id),
    }
}

/// What an operation replaces in the database.
fn target_of(operation: &StoreOp) -> Option<(SessionId, Option<MessageId>)> {
    match operation {
        StoreOp::PutSession(record) => Some((record.id, None)),
        StoreOp::PutMessage { session, node } => Some((*session, Some(node.id))),
        StoreOp::DeleteMessage { session, message } => Some((*session, Some(*message))),
        StoreOp::DeleteSession(_)
        | StoreOp::Restore { .. }
        | StoreOp::PutView { .. }
        | StoreOp::Rename { .. }
        | StoreOp::Opened(_)
        | StoreOp::TakenOver { .. }
        | StoreOp::AppendHistory(_) => None,
    }
}

#[cfg(test)]
mod tests;
