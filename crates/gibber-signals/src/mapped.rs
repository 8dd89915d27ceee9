//! Files that change while they are mapped into memory: reading what is gone ends a program with SIGBUS.

use std::io::{self, PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use libc::c_int;

use crate::{stdout, system};

/// What is said of it.
pub const CHANGED: &str = "a file was cut short or written over while it was in use, the model's most likely: put its files in place by renaming, and start again";

/// The same, as a handler says it behind half a line; in one piece, since whoever writes that line writes on.
const SAID: &[u8] = b"\nerror: a file was cut short or written over while it was in use, the model's most likely: put its files in place by renaming, and start again\n";

/// How long a chat may take to be saved: usually enough.
pub const PATIENCE: Duration = Duration::from_secs(10);

static WATCHED: AtomicBool = AtomicBool::new(false);
/// Where the one who is to be told listens; -1 for nobody.
static BELL: AtomicI32 = AtomicI32::new(-1);
static LISTENER: AtomicUsize = AtomicUsize::new(0);
/// Seconds that a thread which cannot go on waits for the others to end the program.
static SECONDS: AtomicU32 = AtomicU32::new(0);
/// Holds the bell open for the rest of the process.
static PIPE: OnceLock<PipeWriter> = OnceLock::new();

/// From now on a handler asks what caused a SIGBUS.
pub(crate) fn watch() {
    WATCHED.store(true, Ordering::Release);
}

/// Whether a handler of SIGBUS is wanted.
pub(crate) fn is_watched() -> bool {
    WATCHED.load(Ordering::Acquire)
}

/// Has `notify` called, on a thread of its own, instead of ending the program at once: the calling thread then has as long
/// as `patience` says, in whole seconds, to end it. What the calling thread itself cannot read ends the program all the same.
///
/// # Errors
/// Where the system gives no pipe or no thread.
pub fn notify(patience: Duration, notify: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (mut reader, writer) = io::pipe()?;
    std::thread::Builder::new().name("mapped files".to_owned()).spawn(move || {
        if reader.read(&mut [0]).is_ok_and(|count| count > 0) {
            notify();
        }
    })?;
    let bell = PIPE.get_or_init(|| writer).as_raw_fd();
    LISTENER.store(system::this_thread(), Ordering::Relaxed);
    SECONDS.store(u32::try_from(patience.as_secs()).unwrap_or(u32::MAX), Ordering::Relaxed);
    BELL.store(bell, Ordering::Release);
    Ok(())
}

/// What a handler of SIGBUS does first; `code` says what caused it, and `restore` gives the terminal back. Returns where the
/// signal is to do what it does.
pub(crate) fn on_bus(code: c_int, restore: impl FnOnce()) {
    /// Whether a page was asked for that its file does not have, or cannot give.
    fn is_of_a_file(code: c_int) -> bool {
        [libc::BUS_ADRERR, libc::BUS_OBJERR].contains(&code)
    }
    if !is_of_a_file(code) || !is_watched() {
        return;
    }
    let bell = BELL.load(Ordering::Acquire);
    if bell < 0 || LISTENER.load(Ordering::Relaxed) == system::this_thread() {
        restore();
        let is_in_line = stdout::take_line() && system::is_terminal(libc::STDERR_FILENO);
        system::write(libc::STDERR_FILENO, if is_in_line { SAID } else { SAID.trim_ascii_start() });
        system::exit(1);
    }
    system::write(bell, b"!");
    system::sleep_seconds(SECONDS.load(Ordering::Relaxed).into());
}
