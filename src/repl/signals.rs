//! Signals, as something that can be waited for like any other event.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use gibber_signals::ending::{self, Wish};
use gibber_signals::{mapped, terminal};
use signal_hook::consts::{SIGBUS, SIGHUP, SIGINT, SIGTERM};

/// Ctrl-C, when no line is being read.
pub(super) const INTERRUPT: i32 = SIGINT;

/// What the line editor has switched on, switched off again: pasted text between marks. The line that it was on is over.
const LEAVING: &[u8] = b"\x1b[?2004l\r\n";

/// What came in; while a line is read, a signal ends the program with the terminal as it was.
#[derive(Debug)]
pub(super) struct Signals {
    received: Receiver<i32>,
    reading: Arc<AtomicBool>,
    wish: Wish,
}

impl Signals {
    /// Listens for the rest of the process.
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, received) = unbounded();
        let reading = Arc::new(AtomicBool::new(false));
        let (is_reading, of_files) = (Arc::clone(&reading), (sender.clone(), Arc::clone(&reading)));
        mapped::notify(move || pass_on(SIGBUS, &of_files.0, &of_files.1))?;
        let wish = ending::listen(&[SIGINT, SIGTERM, SIGHUP], move |signal| pass_on(signal, &sender, &is_reading))?;
        Ok(Self { received, reading, wish })
    }

    /// The signal that came stopped a reply: the next one is another wish.
    pub(super) fn settle(&self) {
        self.wish.settle();
    }

    /// The signals that came while no line was read.
    pub(super) fn received(&self) -> &Receiver<i32> {
        &self.received
    }

    /// Reads a line.
    pub(super) fn while_reading<T>(&self, read: impl FnOnce() -> T) -> T {
        // An interrupt that came before was meant for what ran then; what asks to leave, or says that a file is gone, still holds.
        if let Some(signal) = self.received.try_iter().find(|&signal| signal != INTERRUPT) {
            leave(signal);
        }
        self.wish.settle();
        // Where stdin is no terminal, or one without such codes, lines are read as they come.
        let is_edited = io::stdin().is_terminal() && io::stdout().is_terminal();
        if is_edited {
            // It fails only for more bytes than these.
            let _ = terminal::hold(LEAVING);
        }
        self.reading.store(true, Ordering::Release);
        let line = read();
        self.reading.store(false, Ordering::Release);
        terminal::release();
        line
    }
}

/// A read cannot be woken: the program is ended from here. All that was said is in the store by then.
fn pass_on(signal: i32, sender: &Sender<i32>, is_reading: &AtomicBool) {
    if !is_reading.load(Ordering::Acquire) {
        // The REPL has ended where nobody listens.
        let _ = sender.send(signal);
        return;
    }
    leave(signal)
}

/// Ends the program, with the terminal given back and the exit code of the signal.
fn leave(signal: i32) -> ! {
    terminal::restore();
    if signal == SIGBUS {
        // Whoever reads it may be gone.
        let _ = writeln!(io::stderr(), "error: {}", mapped::CHANGED);
        ending::exit(1);
    }
    ending::exit(u8::try_from(128 + signal).unwrap_or(1))
}
