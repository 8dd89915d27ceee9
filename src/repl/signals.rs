//! Signals, as something that can be waited for like any other event.

use std::io::{self, Write};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use gibber_signals::ending::{self, Wish};
use gibber_signals::{mapped, terminal};
use signal_hook::consts::{SIGBUS, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};

use super::line::ReadLine;
use crate::app::StoreNews;
use crate::hub::news::PullNews;

/// What is reported while a line is read.
#[derive(Debug)]
pub(super) enum News {
    /// By the store.
    Store(StoreNews),
    /// By a pull.
    Pull(PullNews),
}

/// Ctrl-C, when no line is being read.
pub(super) const INTERRUPT: i32 = SIGINT;

/// What came in; while a line is read, a signal ends the program with the terminal as it was.
#[derive(Debug)]
pub(super) struct Signals {
    received: Receiver<i32>,
    line: Arc<ReadLine>,
    wish: Wish,
}

impl Signals {
    /// Listens for the rest of the process.
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, received) = unbounded();
        let line = ReadLine::new();
        let (of_signals, of_files) = (Arc::clone(&line), (sender.clone(), Arc::clone(&line)));
        mapped::notify(mapped::PATIENCE, move || pass_on(SIGBUS, &of_files.0, &of_files.1))?;
        let wish = ending::listen(&[SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT], move |signal| match signal {
            SIGTSTP => of_signals.stop(),
            SIGCONT => of_signals.go_on(),
            signal => pass_on(signal, &sender, &of_signals),
        })?;
        Ok(Self { received, line, wish })
    }

    /// The line that is read.
    pub(super) fn line(&self) -> &Arc<ReadLine> {
        &self.line
    }

    /// The signal that came stopped a reply: the next one is another wish.
    pub(super) fn settle(&self) {
        self.wish.settle();
    }

    /// The signals that came while no line was read.
    pub(super) fn received(&self) -> &Receiver<i32> {
        &self.received
    }

    /// Reads a line. Meanwhile the words that `word` has for what `store` and `pulls` report are said, as they come; what
    /// they report is returned.
    pub(super) fn while_reading<T>(
        &self,
        (store, pulls): (&Receiver<StoreNews>, &Receiver<PullNews>),
        word: impl FnMut(&News) -> Option<String> + Send,
        read: impl FnOnce() -> T,
    ) -> (T, Vec<News>) {
        // An interrupt that came before was meant for what ran then; what asks to leave, or says that a file is gone, still holds.
        if let Some(signal) = self.received.try_iter().find(|&signal| signal != INTERRUPT) {
            leave(signal);
        }
        self.wish.settle();
        std::thread::scope(|scope| {
            let (reading, has_read) = bounded::<()>(0);
            let line = &self.line;
            let report = move || report_news(line, store, pulls, word, &has_read);
            let reporter = std::thread::Builder::new().name("news".into()).spawn_scoped(scope, report);
            let text = self.line.read(read);
            drop(reading);
            // Without that thread, what there is to say is said after the next line.
            let reported = reporter.ok().and_then(|reporter| reporter.join().ok());
            (text, reported.unwrap_or_default())
        })
    }
}

/// Says what there is to say of each of the news as they come, until `has_read` is disconnected; returns them.
fn report_news(
    line: &ReadLine,
    store: &Receiver<StoreNews>,
    pulls: &Receiver<PullNews>,
    mut word: impl FnMut(&News) -> Option<String>,
    has_read: &Receiver<()>,
) -> Vec<News> {
    let mut reported = Vec::new();
    loop {
        let new = select! {
            recv(has_read) -> _ => return reported,
            recv(store) -> new => new.ok().map(News::Store),
            recv(pulls) -> new => new.ok().map(News::Pull),
        };
        // Nobody is left to bring any.
        let Some(new) = new else { return reported };
        word(&new).into_iter().for_each(|word| line.say(&word));
        reported.push(new);
    }
}

/// A read cannot be woken: the program is ended from here. All that was said is in the store by then.
fn pass_on(signal: i32, sender: &Sender<i32>, line: &ReadLine) {
    if !line.is_reading() {
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
