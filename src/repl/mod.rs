//! The line REPL: the chat for a screen reader, a serial line or a log. Same commands as the full screen, one line after
//! the other, nothing is drawn twice.

mod helper;
mod input;
mod line;
mod printer;
mod pulls;
mod reply;
mod signals;
mod stand_in;
mod variants;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{ErrorKind, IsTerminal, stdout};
use std::rc::Rc;
use std::time::Instant;

use crossbeam_channel::{Receiver, never, select};
use gibber_files::quoted;
use rustyline::error::ReadlineError;
use signal_hook::consts::SIGHUP;

use crate::app::attachments::folded;
use crate::app::commands::{self, Line, refuse_on_lines};
use crate::app::{self, Action, App, Effect, FrontEndIo, Moment, NoteKind, OnScreen, Outcome, StoreNews};
use crate::chat::{Role, one_line};
use crate::hub::news::{PullEnd, PullNews, PullStep};
use crate::worker::handle::WorkerHandle;
use crate::worker::protocol::{EngineCommand, EngineEvent, RequestId};
use helper::Helper;
use input::Input;
pub use input::prints_only;
use printer::Printer;
use pulls::PullLines;
use reply::ReplyPrinted;
use signals::{News, Signals};
use variants::VariantsPrinted;

/// What stands before a line that is typed.
const PROMPT: &str = "> ";

/// How the REPL was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The person left, or the input ended.
    Quit,
    /// The input was a pipe or a file, and something failed in it.
    Failed,
    /// A signal ended it.
    Signal(i32),
}

/// What can go wrong with the terminal.
#[derive(Debug, thiserror::Error)]
pub enum ReplError {
    /// Nothing can be written.
    #[error("cannot write to standard output: {0}")]
    Write(#[from] std::io::Error),
    /// No line can be read.
    #[error("cannot read a line: {0}")]
    Read(#[from] ReadlineError),
}

/// Reads lines and answers them until the person leaves or the input ends.
///
/// # Errors
/// [`ReplError`] where the terminal, or what stands in its place, cannot be read or written.
pub fn run(app: App, worker: WorkerHandle, io: Box<dyn FrontEndIo>) -> Result<ExitReason, ReplError> {
    let (store_news, pull_news) = (io.store_news(), io.pull_news());
    let (app, io) = (Rc::new(RefCell::new(app)), Rc::new(RefCell::new(io)));
    let signals = Signals::listen()?;
    let mut input = Input::of_stdin(&app.borrow(), Helper::new(&app, &io), signals.line())?;
    let mut repl = Repl {
        store_news,
        pull_news,
        pull_lines: PullLines::default(),
        app,
        worker,
        io,
        signals,
        printer: Printer::stdout(),
        is_fed: input.is_fed(),
        failed: false,
        edits: input.edits(),
        before: String::new(),
        pending: HashSet::new(),
        notes_printed: 0,
        answered: false,
        reply: ReplyPrinted::default(),
        variants: VariantsPrinted::default(),
        stops_counting: false,
    };
    let was_terminal = stdout().is_terminal();
    let outcome = repl.converse(&mut input);
    if outcome.is_err() {
        // What was said is saved all the same.
        let _ = repl.quietly(|app, now| app.handle(Action::Quit, now));
    }
    match outcome {
        Ok(ExitReason::Signal(signal)) => Ok(ExitReason::Signal(signal)),
        // The window was closed, or the connection broke: the signal that says so may come later than the end of the input
        // or an error, or be ignored (nohup).
        _ if was_terminal && !stdout().is_terminal() => Ok(ExitReason::Signal(SIGHUP)),
        outcome => outcome,
    }
}

/// What comes after a line was carried out.
enum Next {
    /// Another line, which begins with this text.
    Read(String),
    /// The end.
    Leave(ExitReason),
}

struct Repl {
    // The line editor completes from these while it reads.
    app: Rc<RefCell<App>>,
    io: Rc<RefCell<Box<dyn FrontEndIo>>>,
    worker: WorkerHandle,
    store_news: Receiver<StoreNews>,
    pull_news: Receiver<PullNews>,
    pull_lines: PullLines,
    signals: Signals,
    printer: Printer,
    /// Whether lines come from a pipe or a file.
    is_fed: bool,
    /// Whether something has failed.
    failed: bool,
    /// Whether a text can be put before what is typed next.
    edits: bool,
    /// Files for the next question, where that cannot be.
    before: String,
    /// What the engine was asked and has not answered.
    pending: HashSet<RequestId>,
    notes_printed: u64,
    /// Whether a reply has ended since the last prompt.
    answered: bool,
    /// The running reply.
    reply: ReplyPrinted,
    variants: VariantsPrinted,
    /// Whether the prompt that was asked to be shown was stopped.
    stops_counting: bool,
}

impl Repl {
    fn converse(&mut self, input: &mut Input) -> Result<ExitReason, ReplError> {
        let effects = self.app.borrow_mut().start();
        let mut next = self.carry_out(effects)?;
        if !self.is_at_a_loss() {
            self.greet()?;
        }
        loop {
            next = match next {
                Next::Leave(ExitReason::Quit) if self.is_fed && self.failed => return Ok(ExitReason::Failed),
                Next::Leave(reason) => return Ok(reason),
                Next::Read(initial) if self.app.borrow().saved().is_some() => self.choose_session(input, initial)?,
                Next::Read(initial) => self.read(input, &initial)?,
            };
        }
    }

    /// Whether there is no model for what comes from a pipe or a file: whoever sits at a terminal can choose another one,
    /// whoever has left wants to know at once, unless a line gets one.
    fn is_at_a_loss(&self) -> bool {
        self.is_fed && self.app.borrow().model().is_none()
    }

    fn greet(&mut self) -> Result<(), ReplError> {
        if let Some(model) = self.app.borrow().model() {
            let line = format!("{} · {} · context {}", one_line(&model.name), model.format, model.context);
            self.printer.line(&line)?;
        }
        Ok(self
            .printer
            .line("/help lists the commands, \"\"\" begins and ends a text of several lines, Ctrl-D leaves")?)
    }

    fn read(&mut self, input: &mut Input, initial: &str) -> Result<Next, ReplError> {
        match self.read_line(input, PROMPT, initial)? {
            Ok(line) => {
                let line = without_quotes(&line);
                let is_message = matches!(commands::parse(line), Line::Message(text) if !text.trim().is_empty());
                if is_message && self.is_at_a_loss() {
                    return Ok(Next::Leave(ExitReason::Failed));
                }
                if !line.trim().is_empty() {
                    input.remember(line)?;
                }
                self.enter(line)
            }
            Err(ReadlineError::Eof) => self.act(Action::Quit),
            Err(ReadlineError::Interrupted) => {
                let next = self.act(Action::Interrupt)?;
                if self.app.borrow().quit_armed() {
                    self.printer.line("Ctrl-C again, or Ctrl-D, leaves")?;
                }
                Ok(next)
            }
            // The window has another size: the line is read on.
            Err(ReadlineError::Signal(_)) => Ok(Next::Read(String::new())),
            // The lines behind one that is no text are lines all the same.
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                self.fail(&format!("cannot read a line: {error}"))?;
                Ok(Next::Read(String::new()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a line. What the store has to say is said meanwhile, and not once more.
    fn read_line(
        &mut self,
        input: &mut Input,
        prompt: &str,
        initial: &str,
    ) -> Result<Result<String, ReadlineError>, ReplError> {
        self.pull_lines.follow(self.app.borrow().pulls());
        let (channels, lines) = ((&self.store_news, &self.pull_news), &mut self.pull_lines);
        let word = |news: &News| match news {
            News::Store(news) => news_line(news),
            News::Pull(news) => lines.line(news, Instant::now()).map(|line| quoted::lines(&line).into_owned()),
        };
        let (line, reported) = self.signals.while_reading(channels, word, || input.read(prompt, initial));
        for news in reported {
            self.on_reported(news)?;
        }
        Ok(line)
    }

    /// Takes in what was reported while a line was read.
    fn on_reported(&mut self, news: News) -> Result<(), ReplError> {
        let (is_said, outcome) = match news {
            News::Store(news) => {
                self.failed |= matches!(news, StoreNews::Failed(_) | StoreNews::Lost(_));
                (news_line(&news).is_some(), Outcome::StoreNews(news))
            }
            News::Pull(news) => {
                let is_noted = news.step.is_noted();
                self.failed |= matches!(news.step, PullStep::Ended(PullEnd::Failed(_)));
                (is_noted, Outcome::PullNews { news, is_typing: true })
            }
        };
        self.quietly(|app, now| app.on_outcome(outcome, now))?;
        if is_said {
            self.skip_notes()
        } else {
            self.print_notes()?
        }
        Ok(())
    }

    fn enter(&mut self, line: &str) -> Result<Next, ReplError> {
        if let Some(refusal) = refuse_on_lines(line) {
            self.fail(&refusal)?;
            return Ok(Next::Read(String::new()));
        }
        self.catch_up()?;
        let line = self.with_files(line);
        let chat = self.app.borrow().session().id;
        let next = self.act(Action::Enter(line.clone()))?;
        // A title was given, and its chat is open.
        if self.app.borrow().session().id != chat {
            self.print_transcript()?;
        }
        let hint = self.app.borrow().hint().map(str::to_owned);
        match (hint, &next) {
            // It was given back: what it asked for could not be done.
            (Some(hint), Next::Read(text)) if *text == line => self.fail(&hint)?,
            (Some(hint), _) => self.printer.line(&hint)?,
            (None, _) => {}
        }
        Ok(next)
    }

    /// Takes in what the store has to say, first of all what other programs have written to this chat.
    fn catch_up(&mut self) -> Result<(), ReplError> {
        self.io.borrow_mut().catch_up();
        while let Ok(news) = self.store_news.try_recv() {
            self.quietly(|app, now| app.on_outcome(Outcome::StoreNews(news), now))?;
        }
        self.print_notes()
    }

    /// A question behind the files that were read for it, where no editor has put them there.
    fn with_files(&mut self, line: &str) -> String {
        match commands::parse(line) {
            Line::Message(text) if !text.trim().is_empty() && !self.before.is_empty() => {
                std::mem::take(&mut self.before) + text
            }
            Line::Message(_) | Line::Command { .. } => line.to_owned(),
        }
    }

    fn fail(&mut self, error: &str) -> Result<(), ReplError> {
        self.failed = true;
        Ok(self.printer.error(&format!("error: {error}"))?)
    }

    /// The saved chats by number.
    fn choose_session(&mut self, input: &mut Input, initial: String) -> Result<Next, ReplError> {
        let saved = self.app.borrow().saved().cloned().unwrap_or_default();
        let mut sessions = Vec::new();
        for (chat, hits) in saved.found() {
            sessions.push(&chat.record);
            self.printer.line(&format!("{:>4}  {}", sessions.len(), one_line(&chat.record.title)))?;
            for hit in hits {
                self.printer.line(&format!("        {}: {}", hit.role.as_str(), one_line(&hit.context)))?;
            }
        }
        let line = self.read_line(input, "number of the chat, or nothing: ", "")?;
        let number = line.ok().and_then(|line| line.trim().parse::<usize>().ok());
        let chosen = number.and_then(|number| sessions.get(number.checked_sub(1)?));
        let next = self.act(chosen.map_or(Action::CloseList, |record| Action::ChooseSession(record.id)))?;
        if chosen.is_some() {
            self.print_transcript()?;
        }
        Ok(match next {
            Next::Read(text) if text.is_empty() => Next::Read(initial),
            next => next,
        })
    }

    fn print_transcript(&mut self) -> Result<(), ReplError> {
        for node in self.app.borrow().transcript().path() {
            match node.message.role {
                Role::User => self.printer.line(&format!("{PROMPT}{}", folded(&node.message.content)))?,
                Role::System | Role::Assistant => {
                    let (thought, answer) = reply::parts(&node.message.content, &self.app.borrow());
                    if let Some(thought) = thought {
                        self.printer.line(&thought)?;
                    }
                    if !answer.is_empty() {
                        self.printer.line(&answer)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is new of the running reply.
    fn print_reply(&mut self) -> Result<(), ReplError> {
        let app = self.app.borrow();
        let message = app.generation().and_then(|generation| generation.message);
        match message.and_then(|message| app.transcript().node(message)) {
            Some(node) => self.reply.print(&node.message.content, &app, &mut self.printer),
            None => Ok(()),
        }
    }

    fn act(&mut self, action: Action) -> Result<Next, ReplError> {
        let last = self.app.borrow().transcript().nodes().last().map(|node| node.id);
        let effects = self.app.borrow_mut().handle(action, Moment::now());
        self.reply = ReplyPrinted::begin(&self.app.borrow(), last);
        self.carry_out(effects)
    }

    /// Carries out effects, waits for what the engine has to say to them, and prints it all.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Next, ReplError> {
        self.stops_counting = false;
        let mut next = self.dispatch(effects)?;
        while self.is_waiting() && matches!(next, Next::Read(_)) {
            if let Some(reason) = self.wait()? {
                next = Next::Leave(reason);
            }
        }
        self.printer.end_line()?;
        if std::mem::take(&mut self.answered)
            && let Some(summary) = self.app.borrow().last_summary()
        {
            self.printer.line(&format!("[{}]", summary.line()))?;
        }
        self.print_notes()?;
        Ok(next)
    }

    /// Whether something goes on that the next line comes after. A pull is waited for where nobody types: what comes next is
    /// meant for the model.
    fn is_waiting(&self) -> bool {
        !self.pending.is_empty() || self.is_fed && !self.app.borrow().pulls().is_empty()
    }

    fn dispatch(&mut self, effects: Vec<Effect>) -> Result<Next, ReplError> {
        let Self { worker, pending, .. } = self;
        let mut send = |command: EngineCommand| {
            pending.extend(command.request());
            worker.send(command);
        };
        let (mut app, mut io) = (self.app.borrow_mut(), self.io.borrow_mut());
        let left = app::carry_out(&mut app, effects, &mut **io, &mut send, Moment::now());
        let mut next = Next::Read(String::new());
        for wish in left {
            match wish {
                OnScreen::Quit => next = Next::Leave(ExitReason::Quit),
                OnScreen::ComposeFile { text, name } if !self.edits => {
                    self.before.push_str(&text);
                    self.printer.line(&format!("{name} goes before the next question"))?;
                }
                OnScreen::Compose(text) | OnScreen::ComposeFile { text, .. } | OnScreen::EditText(text) => {
                    next = Next::Read(text)
                }
                // The commands are all that can be done here.
                OnScreen::ShowHelp | OnScreen::ShowPalette => self.printer.text(&app::help_text())?,
                OnScreen::ShowList(list) => self.printer.text(&app.list_text(list))?,
                OnScreen::CopyText(text) => self.printer.copy(&text)?,
            }
        }
        Ok(next)
    }

    /// Waits for one thing to happen.
    fn wait(&mut self) -> Result<Option<ExitReason>, ReplError> {
        let timer = self.app.borrow().deadline().map_or_else(never, crossbeam_channel::at);
        let events = self.worker.events().clone();
        let (signals, failures) = (self.signals.received().clone(), self.store_news.clone());
        let pulls = self.pull_news.clone();
        select! {
            recv(events) -> event => match event {
                Ok(event) => self.on_event(event)?,
                // The thread has said why before it ended.
                Err(_) => self.pending.clear(),
            },
            recv(signals) -> signal => return self.on_signal(signal.ok()),
            recv(failures) -> failure => match failure {
                Ok(failure) => self.quietly(|app, now| app.on_outcome(Outcome::StoreNews(failure), now))?,
                Err(_) => self.store_news = never(),
            },
            recv(pulls) -> news => match news {
                Ok(news) => self.on_pull_news(news)?,
                Err(_) => self.pull_news = never(),
            },
            recv(timer) -> _ => self.quietly(App::tick)?,
        }
        Ok(None)
    }

    fn on_event(&mut self, event: EngineEvent) -> Result<(), ReplError> {
        let is_end = matches!(event, EngineEvent::Finished { .. } | EngineEvent::Failed { .. });
        // Of a reply that has said nothing there is nothing to tell but its end.
        let is_said = self.app.borrow().generation().is_some_and(|generation| generation.message.is_some());
        self.answered |= is_said && matches!(event, EngineEvent::Finished { .. });
        match event.request() {
            None => self.pending.clear(),
            Some(id) if event.is_closing() => drop(self.pending.remove(&id)),
            Some(_) => {}
        }
        let compared = matches!(event, EngineEvent::Compared { .. });
        self.quietly(|app, now| app.on_event(event, now))?;
        self.print_reply()?;
        if is_end {
            self.reply.end(&self.app.borrow(), &mut self.printer)?;
        }
        self.variants.print(&self.app.borrow(), &mut self.printer)?;
        // Nobody looks at the lanes side by side here: the first is kept, and a note says how to keep another.
        if compared {
            self.quietly(|app, now| app.handle(Action::KeepLane, now))?;
            self.variants = VariantsPrinted::default();
        }
        Ok(())
    }

    /// A pull has come further while something else goes on, which its lines would be in the way of.
    fn on_pull_news(&mut self, news: PullNews) -> Result<(), ReplError> {
        let is_noted = news.step.is_noted();
        if let Some(line) = self.pull_lines.line(&news, Instant::now()).filter(|_| self.is_fed && !is_noted) {
            self.printer.error(&quoted::lines(&line))?;
        }
        self.quietly(|app, now| app.on_outcome(Outcome::PullNews { news, is_typing: false }, now))?;
        if self.is_fed { self.print_notes() } else { Ok(()) }
    }

    /// Ctrl-C stops a reply; anything else that runs, and any other signal, ends the program.
    fn on_signal(&mut self, signal: Option<i32>) -> Result<Option<ExitReason>, ReplError> {
        let Some(signal) = signal else { return Ok(None) };
        let app = self.app.borrow();
        // One that does not stop is left.
        let is_answering = app.generation().is_some_and(|running| !running.stopping)
            || app.comparison().is_some_and(|running| !running.stopping)
            || (app.is_counting() && !std::mem::replace(&mut self.stops_counting, true));
        drop(app);
        if signal == signals::INTERRUPT && is_answering {
            self.quietly(|app, now| app.handle(Action::Stop, now))?;
            self.signals.settle();
            return Ok(None);
        }
        self.quietly(|app, now| app.handle(Action::Quit, now))?;
        Ok(Some(ExitReason::Signal(signal)))
    }

    fn quietly(&mut self, change: impl FnOnce(&mut App, Moment) -> Vec<Effect>) -> Result<(), ReplError> {
        let effects = change(&mut self.app.borrow_mut(), Moment::now());
        self.dispatch(effects).map(drop)
    }

    fn print_notes(&mut self) -> Result<(), ReplError> {
        let app = self.app.borrow();
        for note in app.notes().iter().filter(|note| note.number >= self.notes_printed) {
            match note.kind {
                NoteKind::Info => self.printer.line(&note.text)?,
                NoteKind::Warning => self.printer.error(&format!("warning: {}", note.text))?,
                NoteKind::Error => {
                    self.failed = true;
                    self.printer.error(&format!("error: {}", note.text))?;
                }
            }
        }
        drop(app);
        self.skip_notes();
        Ok(())
    }

    /// All notes that there are were printed.
    fn skip_notes(&mut self) {
        if let Some(last) = self.app.borrow().notes().last() {
            self.notes_printed = last.number + 1;
        }
    }
}

/// What is said of the store's news while a line is read. What others have written is told with the line, since only then
/// it is known where it belongs.
fn news_line(news: &StoreNews) -> Option<String> {
    match news {
        StoreNews::Saved => Some(StoreNews::SAVED.to_owned()),
        StoreNews::Notice(text) => Some(format!("warning: {}", quoted::lines(text))),
        StoreNews::Failed(error) | StoreNews::Lost(error) => Some(format!("error: {}", quoted::lines(error))),
        StoreNews::Others(_) => None,
    }
}

/// The text between `"""` and `"""`, or the line as it is.
fn without_quotes(line: &str) -> &str {
    let Some(text) = line.trim_start().strip_prefix(helper::QUOTES) else { return line };
    let text = text.trim_end();
    text.strip_suffix(helper::QUOTES).unwrap_or(text).trim_matches('\n')
}

#[cfg(test)]
mod tests;
