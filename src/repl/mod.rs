//! The line REPL: the chat for a screen reader, a serial line or a log. Same commands as the full screen, one line after
//! the other, nothing is drawn twice.

mod helper;
mod lanes;
mod printer;
mod signals;

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use crossbeam_channel::{Receiver, never, select};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Cmd, Config, Editor, KeyCode, KeyEvent, Modifiers};

use crate::app::attachments::folded;
use crate::app::commands::refuse_on_lines;
use crate::app::{self, Action, App, Effect, FrontEndIo, Moment, NoteKind};
use crate::chat::Role;
use crate::chat::thinking::ThoughtFilter;
use crate::worker::handle::WorkerHandle;
use crate::worker::protocol::{EngineCommand, EngineEvent, RequestId};
use helper::Helper;
use lanes::LanesPrinted;
use printer::Printer;
use signals::Signals;

/// What stands before a line that is typed.
const PROMPT: &str = "> ";

/// Entries of the history that the arrow keys reach.
const HISTORY: usize = 1000;

/// How the REPL was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The person left, or the input ended.
    Quit,
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
    let store_failures = io.store_failures();
    let (app, io) = (Rc::new(RefCell::new(app)), Rc::new(RefCell::new(io)));
    let mut editor = editor(&app.borrow(), Helper::new(&app, &io))?;
    let mut repl = Repl {
        store_failures,
        app,
        worker,
        io,
        signals: Signals::listen()?,
        printer: Printer::stdout(),
        pending: HashSet::new(),
        notes_printed: 0,
        answered: false,
        thoughts: ThoughtFilter::default(),
        lanes: LanesPrinted::default(),
    };
    let effects = repl.app.borrow_mut().start();
    let mut next = repl.carry_out(effects)?;
    repl.greet()?;
    loop {
        next = match next {
            Next::Leave(reason) => return Ok(reason),
            Next::Read(initial) if repl.app.borrow().saved().is_some() => repl.choose_session(&mut editor, initial)?,
            Next::Read(initial) => repl.read(&mut editor, &initial)?,
        };
    }
}

type LineEditor = Editor<Helper, MemHistory>;

fn editor(app: &App, helper: Helper) -> Result<LineEditor, ReplError> {
    let config = Config::builder().max_history_size(HISTORY)?.auto_add_history(false).build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    for entry in app.history() {
        editor.add_history_entry(entry)?;
    }
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
    editor.set_helper(Some(helper));
    Ok(editor)
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
    store_failures: Receiver<String>,
    signals: Signals,
    printer: Printer,
    /// What the engine was asked and has not answered.
    pending: HashSet<RequestId>,
    notes_printed: u64,
    /// Whether a reply has ended since the last prompt.
    answered: bool,
    /// The running reply, as far as it is thought.
    thoughts: ThoughtFilter,
    lanes: LanesPrinted,
}

impl Repl {
    fn greet(&mut self) -> Result<(), ReplError> {
        if let Some(model) = self.app.borrow().model() {
            let line = format!("{} · {} · context {}", model.name, model.format, model.context);
            self.printer.line(&line)?;
        }
        Ok(self
            .printer
            .line("/help lists the commands, \"\"\" begins and ends a text of several lines, Ctrl-D leaves")?)
    }

    fn read(&mut self, editor: &mut LineEditor, initial: &str) -> Result<Next, ReplError> {
        let line = self.signals.while_reading(|| editor.readline_with_initial(PROMPT, (initial, "")));
        match line {
            Ok(line) => {
                let line = without_quotes(&line);
                if !line.trim().is_empty() {
                    editor.add_history_entry(line)?;
                }
                if let Some(refusal) = refuse_on_lines(line) {
                    self.printer.line(&refusal)?;
                    return Ok(Next::Read(String::new()));
                }
                let chat = self.app.borrow().session().id;
                let next = self.act(Action::Enter(line.to_owned()))?;
                // A title was given, and its chat is open.
                if self.app.borrow().session().id != chat {
                    self.print_transcript()?;
                }
                Ok(next)
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
            Err(error) => Err(error.into()),
        }
    }

    /// The saved chats by number.
    fn choose_session(&mut self, editor: &mut LineEditor, initial: String) -> Result<Next, ReplError> {
        let saved = self.app.borrow().saved().cloned().unwrap_or_default();
        let mut sessions = Vec::new();
        for (chat, hits) in saved.found() {
            sessions.push(&chat.record);
            self.printer.line(&format!("{:>4}  {}", sessions.len(), chat.record.title))?;
            for hit in hits {
                self.printer.line(&format!("        {}: {}", hit.role.as_str(), hit.context))?;
            }
        }
        let line = self.signals.while_reading(|| editor.readline("number of the chat, or nothing: "));
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
                _ => self.printer.line(&node.message.content)?,
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<Next, ReplError> {
        let effects = self.app.borrow_mut().handle(action, Moment::now());
        self.carry_out(effects)
    }

    /// Carries out effects, waits for what the engine has to say to them, and prints it all.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Next, ReplError> {
        let mut next = self.dispatch(effects)?;
        while !self.pending.is_empty() && matches!(next, Next::Read(_)) {
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

    fn dispatch(&mut self, effects: Vec<Effect>) -> Result<Next, ReplError> {
        let Self { worker, pending, .. } = self;
        let mut send = |command: EngineCommand| {
            pending.extend(command.request());
            worker.send(command);
        };
        let (mut app, mut io) = (self.app.borrow_mut(), self.io.borrow_mut());
        let left = app::carry_out(&mut app, effects, &mut **io, &mut send, Moment::now());
        let mut next = Next::Read(String::new());
        for effect in left {
            match effect {
                Effect::Quit => next = Next::Leave(ExitReason::Quit),
                Effect::Compose(text) | Effect::ComposeFile { text, .. } | Effect::EditText(text) => {
                    next = Next::Read(text)
                }
                Effect::ShowHelp => self.printer.text(&app::help_text())?,
                Effect::ShowList(list) => self.printer.text(&app.list_text(list))?,
                Effect::CopyText(text) => self.printer.copy(&text)?,
                _ => {}
            }
        }
        Ok(next)
    }

    /// Waits for one thing to happen.
    fn wait(&mut self) -> Result<Option<ExitReason>, ReplError> {
        let timer = self.app.borrow().deadline().map_or_else(never, crossbeam_channel::at);
        let events = self.worker.events().clone();
        let (signals, failures) = (self.signals.received().clone(), self.store_failures.clone());
        select! {
            recv(events) -> event => match event {
                Ok(event) => self.on_event(event)?,
                // The thread has said why before it ended.
                Err(_) => self.pending.clear(),
            },
            recv(signals) -> signal => return self.on_signal(signal.ok()),
            recv(failures) -> failure => match failure {
                Ok(failure) => self.quietly(|app, now| app.handle(Action::StoreFailed(failure), now))?,
                Err(_) => self.store_failures = never(),
            },
            recv(timer) -> _ => self.quietly(App::tick)?,
        }
        Ok(None)
    }

    fn on_event(&mut self, event: EngineEvent) -> Result<(), ReplError> {
        if let EngineEvent::Token { trace, .. } = &event {
            let answer = self.thoughts.push(&trace.text);
            self.printer.text(if self.app.borrow().shows_thoughts() { &trace.text } else { answer })?;
        }
        if matches!(event, EngineEvent::Finished { .. } | EngineEvent::Failed { .. }) {
            let thoughts = std::mem::take(&mut self.thoughts);
            if !self.app.borrow().shows_thoughts() {
                self.printer.text(thoughts.rest())?;
                if let Some(thought) = thoughts.thought() {
                    self.printer.line(&format!("({}; /think show shows such)", thought.summary()))?;
                }
            }
        }
        self.answered |= matches!(event, EngineEvent::Finished { .. });
        match event.request() {
            None => self.pending.clear(),
            Some(id) if event.is_closing() => drop(self.pending.remove(&id)),
            Some(_) => {}
        }
        let compared = matches!(event, EngineEvent::Compared { .. });
        self.quietly(|app, now| app.on_event(event, now))?;
        self.lanes.print(&self.app.borrow(), &mut self.printer)?;
        // Nobody looks at the lanes side by side here: the first is kept, and a note says how to keep another.
        if compared { self.quietly(|app, now| app.handle(Action::KeepLane, now)) } else { Ok(()) }
    }

    /// Ctrl-C stops a reply; anything else that runs, and any other signal, ends the program.
    fn on_signal(&mut self, signal: Option<i32>) -> Result<Option<ExitReason>, ReplError> {
        let Some(signal) = signal else { return Ok(None) };
        let app = self.app.borrow();
        // One that does not stop is left.
        let is_answering = app.generation().is_some_and(|running| !running.stopping)
            || app.comparison().is_some_and(|running| !running.stopping);
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
            let kind = match note.kind {
                NoteKind::Info => "",
                NoteKind::Warning => "warning: ",
                NoteKind::Error => "error: ",
            };
            self.printer.line(&format!("{kind}{}", note.text))?;
        }
        if let Some(last) = app.notes().last() {
            self.notes_printed = last.number + 1;
        }
        Ok(())
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
