//! A hub on loopback that misbehaves where it is told to.
//!
//! It speaks as much of the protocol of a Hugging Face hub as gibber and `huggingface_hub` need: a repository's commit and
//! files, searching, and files with ranges, either itself or by sending the client on to a second server. It records what
//! it was asked. Plain threads and blocking sockets, one connection a thread. It is part of no program: tests and the
//! example `hub_server` include it by its path.

mod answer;
mod fault;
mod store;
mod wire;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

pub use fault::{Fault, Rule};
use store::{Bytes, Store};

/// What a connection is read from and written to: a socket, or one that is encrypted.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Makes the server's side of a connection of a socket.
pub type Accept = Arc<dyn Fn(TcpStream) -> io::Result<Box<dyn Stream>> + Send + Sync>;

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `GET`, `HEAD`.
    pub method: String,
    /// With what stands behind `?`.
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
}

impl Asked {
    /// The header that is called `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first and the last byte of the range that it asks for; the last is missing where it asks for all the rest.
    pub fn range(&self) -> Option<(u64, Option<u64>)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()))
    }
}

/// How it behaves where no rule says otherwise.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Files of a listing on one page.
    pub page: usize,
    /// Files of so many bytes, or more, are large ones: they have a SHA-256.
    pub large: u64,
    /// Bytes a second and connection.
    pub bytes_per_second: Option<u64>,
    /// Where large files are: the address of a second server that has them under `/blob/SHA-256`.
    pub second: Option<String>,
    /// Who is let in to what is private or gated.
    pub token: Option<String>,
}

impl Default for Manners {
    fn default() -> Self {
        Self { page: 1000, large: 1024, bytes_per_second: None, second: None, token: None }
    }
}

struct Shared {
    store: Mutex<Store>,
    manners: Mutex<Manners>,
    rules: Mutex<Vec<Rule>>,
    asked: Mutex<Vec<Asked>>,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
    accept: Option<Accept>,
    address: SocketAddr,
}

/// A lock is of no use to a test that has failed elsewhere, but its data are.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A server that runs until it is dropped.
pub struct TestHub {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl TestHub {
    /// One without any repository, on a port that is free.
    pub fn start() -> Self {
        Self::bind("127.0.0.1:0", None).expect("a port of loopback")
    }

    /// One whose connections are what `accept` makes of them.
    pub fn start_with(accept: Accept) -> Self {
        Self::bind("127.0.0.1:0", Some(accept)).expect("a port of loopback")
    }

    /// One at an address.
    pub fn bind(address: &str, accept: Option<Accept>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            manners: Mutex::default(),
            rules: Mutex::default(),
            asked: Mutex::default(),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
            accept,
            address: listener.local_addr()?,
        });
        let of_thread = Arc::clone(&shared);
        let listener = thread::spawn(move || listen(&listener, &of_thread));
        Ok(Self { shared, listener: Some(listener) })
    }

    /// What `HF_ENDPOINT` is to be.
    pub fn url(&self) -> String {
        let scheme = if self.shared.accept.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.shared.address.port())
    }

    /// The next commit of `repository` on `main`: these files and no others. Its hash.
    pub fn commit(&self, repository: &str, files: &[(&str, &[u8])]) -> String {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), Bytes::of(bytes.to_vec())));
        lock(&self.shared.store).commit(repository, files.collect(), self.manners().large)
    }

    /// The same with the files of a folder, which are read when they are asked for.
    pub fn commit_folder(&self, repository: &str, folder: &Path) -> io::Result<String> {
        let files = store::files_of(folder)?;
        Ok(lock(&self.shared.store).commit(repository, files, self.manners().large))
    }

    /// Another name for a commit: a branch or a tag.
    pub fn name(&self, repository: &str, revision: &str, commit: &str) {
        lock(&self.shared.store).name(repository, revision, commit);
    }

    /// Only who has the token sees that the repository is there.
    pub fn make_private(&self, repository: &str) {
        lock(&self.shared.store).repository(repository).private = true;
    }

    /// Everyone sees it, only who has the token gets its files.
    pub fn make_gated(&self, repository: &str) {
        lock(&self.shared.store).repository(repository).gated = true;
    }

    /// Bytes at a path of the server's own.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        lock(&self.shared.store).plain.insert(path.to_owned(), Bytes::of(bytes.to_vec()));
    }

    /// Large files are had from `second`, which gets them all, by their hashes.
    pub fn send_on_to(&self, second: &TestHub) {
        lock(&self.shared.manners).second = Some(second.url());
        let blobs = lock(&self.shared.store).blobs();
        lock(&second.shared.store).plain.extend(blobs);
    }

    /// How it behaves.
    pub fn manners(&self) -> Manners {
        lock(&self.shared.manners).clone()
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut lock(&self.shared.manners));
    }

    /// What it is to do to a request; the first rule that fits is what happens.
    pub fn rule(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// It behaves again.
    pub fn forget_rules(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Everything that it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// What it was asked whose target has `part` in it.
    pub fn asked_for(&self, part: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.target.contains(part)).collect()
    }

    /// From now on nothing has been asked.
    pub fn forget_asked(&self) {
        lock(&self.shared.asked).clear();
    }

    /// Ends all connections, as when a line is cut; new ones are taken.
    pub fn cut(&self) {
        for socket in lock(&self.shared.open).drain(..) {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Ends.
    pub fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // What accepts waits for somebody.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        self.cut();
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let Ok(other) = socket.try_clone() else { continue };
        lock(&shared.open).push(other);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A connection that breaks is the client's to notice.
            let _ = answer::connection(&shared, socket);
        });
    }
}
