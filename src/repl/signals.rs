//! Signals, as something that can be waited for like any other event.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals as Listener;

/// Ctrl-C, when no line is being read.
pub(super) const INTERRUPT: i32 = SIGINT;

/// What came in; while a line is read, a signal ends the program with the terminal as it was.
#[derive(Debug)]
pub(super) struct Signals {
    received: Receiver<i32>,
    reading: Arc<AtomicBool>,
}

impl Signals {
    /// Listens for the rest of the process.
    pub(super) fn listen() -> io::Result<Self> {
        let mut listener = Listener::new([SIGINT, SIGTERM, SIGHUP])?;
        let (sender, received) = unbounded();
        let reading = Arc::new(AtomicBool::new(false));
        let is_reading = Arc::clone(&reading);
        // Where stdin is no terminal there is nothing to restore.
        let before = tcgetattr(io::stdin()).ok();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in listener.forever() {
                pass_on(signal, &sender, is_reading.load(Ordering::Acquire), before.as_ref());
            }
        })?;
        Ok(Self { received, reading })
    }

    /// The signals that came while no line was read.
    pub(super) fn received(&self) -> &Receiver<i32> {
        &self.received
    }

    /// Reads a line.
    pub(super) fn while_reading<T>(&self, read: impl FnOnce() -> T) -> T {
        // One that came before was meant for what ran then.
        self.received.try_iter().for_each(drop);
        self.reading.store(true, Ordering::Release);
        let line = read();
        self.reading.store(false, Ordering::Release);
        line
    }
}

/// A read cannot be woken: the program is ended from here. All that was said is in the store by then.
fn pass_on(signal: i32, sender: &Sender<i32>, is_reading: bool, before: Option<&Termios>) {
    if !is_reading {
        // The REPL has ended where nobody listens.
        let _ = sender.send(signal);
        return;
    }
    if let Some(before) = before {
        // The terminal may be gone, as with SIGHUP.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
    }
    std::process::exit(128 + signal);
}
