//! Being asked to leave, and not being kept from it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use crate::{stdout, system, terminal};

/// A window that closes sends its signal more than once: what comes within this time is the same wish.
const SAME_WISH: Duration = Duration::from_millis(300);

/// How long the program may take to leave once a signal has asked it to.
const LONGEST: Duration = Duration::from_secs(15);

/// Signals of keys that are for another program alone while it has the terminal.
const FOR_THE_OTHER: [i32; 2] = [SIGINT, SIGQUIT];

/// How long a thread is waited for that is to end.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The wish to leave, and whom the keys of the terminal are for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The number of the one that is open, or 0: the next one ends the program, whatever it does.
    open: Arc<AtomicUsize>,
    is_lent: Arc<AtomicBool>,
}

impl Wish {
    /// The wish was carried out by something else than leaving: it stopped a reply, say.
    pub fn settle(&self) {
        self.open.store(0, Ordering::Release);
    }

    /// Does something while another program, such as an editor, has the terminal, which is not held meanwhile. Its keys
    /// send their signals to both: Ctrl-C and Ctrl-\ are not for this program then, and Ctrl-Z stops it with the other,
    /// so that the shell gets the terminal.
    pub fn while_lent<T>(&self, other: impl FnOnce() -> T) -> T {
        let _lent = Lent::begin(&self.is_lent);
        other()
    }
}

/// The time in which another program has the terminal.
struct Lent<'a>(&'a AtomicBool);

impl<'a> Lent<'a> {
    fn begin(is_lent: &'a AtomicBool) -> Self {
        is_lent.store(true, Ordering::Release);
        // By handlers, and not by what the thread that listens finds: that may look when the time is over.
        FOR_THE_OTHER.iter().for_each(|&signal| system::install(signal, system::do_nothing));
        Self(is_lent)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        FOR_THE_OTHER.iter().for_each(|&signal| system::uninstall(signal));
        self.0.store(false, Ordering::Release);
    }
}

/// Stops the program as the key for that does where nobody handles it; returns when it goes on. In a group of processes
/// that nobody could wake, nothing happens.
pub fn stop() {
    system::raise_default_once(SIGTSTP);
}

/// Has `notify` called with each of `signals` that comes, on a thread of its own. Of those that ask the program to leave
/// (SIGHUP, SIGINT, SIGTERM), a second one ends it at once, by that signal and with the terminal given back, unless the
/// first was settled.
///
/// # Errors
/// Where the system gives no handler or no thread.
pub fn listen(signals: &[i32], mut notify: impl FnMut(i32) + Send + 'static) -> io::Result<Wish> {
    let mut signals = Signals::new(signals)?;
    let wish = Wish::default();
    let open = wish.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let (mut first, mut number): (Option<Instant>, usize) = (None, 0);
        for signal in signals.forever() {
            if signal == SIGTSTP && open.is_lent.load(Ordering::Acquire) {
                stop();
                continue;
            }
            if ![SIGHUP, SIGINT, SIGTERM].contains(&signal) {
                notify(signal);
                continue;
            }
            number += 1;
            let is_second = open.open.swap(number, Ordering::AcqRel) != 0;
            match first {
                Some(first) if is_second && first.elapsed() > SAME_WISH => end_by(signal),
                Some(_) if is_second => {
                    // Still the first one.
                    number -= 1;
                    open.open.store(number, Ordering::Release);
                }
                _ => {
                    first = Some(Instant::now());
                    notify(signal);
                    end_later(signal, number, open.clone());
                }
            }
        }
    })?;
    Ok(wish)
}

/// Ends the program by `signal` if it has not left in time.
fn end_later(signal: i32, number: usize, open: Wish) {
    // Without this thread the second signal is still there.
    let _ = std::thread::Builder::new().name("leaving".to_owned()).spawn(move || {
        std::thread::sleep(LONGEST);
        if open.open.load(Ordering::Acquire) == number {
            end_by(signal);
        }
    });
}

/// Gives the terminal back and ends the program as the signal does by default.
fn end_by(signal: i32) -> ! {
    terminal::restore();
    // It returns only where the signal cannot be sent.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    exit(u8::try_from(128 + signal).unwrap_or(1))
}

/// Ends the program at once, with the terminal given back. Nothing waits for a thread that does not end: destructors of
/// libraries would.
pub fn exit(code: u8) -> ! {
    terminal::restore();
    if stdout::take_line() {
        // What the shell says begins a line of its own.
        system::write(libc::STDOUT_FILENO, b"\n");
    }
    // Whoever reads them may be gone.
    let _ = io::stdout().flush();
    system::exit(code.into())
}

/// Waits for a thread that was told to end; returns whether it has.
pub fn ends_within(thread: &JoinHandle<()>, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while !thread.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    thread.is_finished()
}
