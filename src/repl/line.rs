//! The line that is being read, if one is: what happens to it while somebody types.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use gibber_signals::{ending, terminal};
use rustix::process::{Signal, getpgrp, kill_process_group};
use rustix::termios::{ControlModes, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use rustyline::{Cmd, ConditionalEventHandler, Event, EventContext, ExternalPrinter, RepeatCount};

use crate::chat::visible;

/// What the line editor has switched on, switched off again: pasted text between marks. The line that it was on is over.
const LEAVING: &[u8] = b"\x1b[?2004l\r\n";

/// What it switches on.
const ENTERING: &[u8] = b"\x1b[?2004h";

/// How long a key that stops the program waits for the signal to do so: the clock goes on meanwhile.
const STOPPING: Duration = Duration::from_secs(2);

/// Shared by whoever reads, the thread that hears signals, and what is said meanwhile.
#[derive(Debug)]
pub(super) struct ReadLine {
    is_reading: AtomicBool,
    /// Held by whoever takes the terminal or gives it back.
    turn: Mutex<()>,
    /// What is said above a line that is edited; empty where lines are read as they come.
    above: OnceLock<Sender<String>>,
    /// Hears each time the program goes on after it was stopped.
    goes_on: (Sender<()>, Receiver<()>),
}

impl ReadLine {
    pub(super) fn new() -> Arc<Self> {
        let is_reading = AtomicBool::new(false);
        Arc::new(Self { is_reading, turn: Mutex::new(()), above: OnceLock::new(), goes_on: bounded(1) })
    }

    /// Whether somebody may be typing.
    pub(super) fn is_reading(&self) -> bool {
        self.is_reading.load(Ordering::Acquire)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `printer` shows what is said while a line is edited. It waits until the editor listens, which it does
    /// not while it searches, say: a thread of its own does so.
    pub(super) fn say_by(&self, mut printer: impl ExternalPrinter + Send + 'static) {
        let (above, texts) = unbounded();
        let print = move || texts.into_iter().try_for_each(|text| printer.print(text));
        // Without it nothing is said before the next line.
        if std::thread::Builder::new().name("above the line".into()).spawn(print).is_ok() {
            let _ = self.above.set(above);
        }
    }

    /// Has `read` read a line; what is said meanwhile goes above it.
    pub(super) fn read<T>(&self, read: impl FnOnce() -> T) -> T {
        // Where stdin is no terminal, or one without such codes, lines are read as they come.
        let is_edited = io::stdin().is_terminal() && io::stdout().is_terminal();
        if is_edited {
            let _turn = self.turn();
            // It fails only for more bytes than these.
            let _ = terminal::hold(LEAVING);
        }
        self.is_reading.store(true, Ordering::Release);
        let line = read();
        let _turn = self.turn();
        self.is_reading.store(false, Ordering::Release);
        terminal::release();
        line
    }

    /// Says something while a line is read, from any thread.
    pub(super) fn say(&self, text: &str) {
        let text = format!("{}\n", visible(text));
        if let Some(above) = self.above.get() {
            // The thread at the other end has ended where the terminal has.
            let _ = above.send(text);
            return;
        }
        let is_typed = io::stdin().is_terminal();
        let before = if is_typed { "\n" } else { "" };
        // Whoever reads it may be gone.
        let _ = write!(io::stderr(), "{before}{text}");
        if is_typed {
            let mut stdout = io::stdout();
            let _ = stdout.write_all(super::PROMPT.as_bytes()).and_then(|()| stdout.flush());
        }
    }

    /// SIGTSTP: stops the program as the system would, with the terminal given back.
    pub(super) fn stop(&self) {
        let _turn = self.turn();
        terminal::restore();
        ending::stop();
        // In a group that nobody could wake nothing was stopped, and nothing says that it goes on.
        self.take_terminal();
        let _ = self.goes_on.0.try_send(());
    }

    /// SIGCONT: whoever had the terminal meanwhile has left it as a shell does.
    pub(super) fn go_on(&self) {
        let _turn = self.turn();
        self.take_terminal();
    }

    /// Sets what the line editor has set, and has the line drawn again, where that was undone.
    fn take_terminal(&self) {
        let Some(above) = self.above.get().filter(|_| self.is_reading() && !is_raw()) else { return };
        let _ = terminal::hold(LEAVING);
        if set_raw().is_ok() {
            let mut stdout = io::stdout();
            let _ = stdout.write_all(ENTERING).and_then(|()| stdout.flush());
            // Nothing but the line is drawn with it.
            let _ = above.send(String::new());
        }
    }
}

/// Ctrl-Z, which the terminal passes on as a key while a line is edited: what comes of the signal is waited for, so that
/// the editor writes nothing meanwhile.
pub(super) struct Suspend(pub(super) Arc<ReadLine>);

impl ConditionalEventHandler for Suspend {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        let goes_on = &self.0.goes_on.1;
        goes_on.try_iter().for_each(drop);
        // Of a pipeline all are stopped.
        if kill_process_group(getpgrp(), Signal::TSTP).is_ok() {
            let _ = goes_on.recv_timeout(STOPPING);
        }
        Some(Cmd::Noop)
    }
}

/// Whether keys come one by one.
fn is_raw() -> bool {
    tcgetattr(io::stdin()).is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON))
}

/// The modes in which the line editor reads: keys one by one, without echo and signals; what is written stays lines.
fn set_raw() -> io::Result<()> {
    let mut modes = tcgetattr(io::stdin())?;
    modes.input_modes -=
        InputModes::BRKINT | InputModes::ICRNL | InputModes::INPCK | InputModes::ISTRIP | InputModes::IXON;
    modes.control_modes |= ControlModes::CS8;
    modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    Ok(tcsetattr(io::stdin(), OptionalActions::Drain, &modes)?)
}
