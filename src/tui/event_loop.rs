//! The one loop: waits for the terminal, the engine, signals and time; drains all that waits; then draws once.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select, unbounded};
use crossterm::event::{Event, KeyCode, MouseEventKind};
use crossterm::style::Colored;
use gibber_signals::ending::{self, Wish};
use gibber_signals::mapped;
use signal_hook::consts::{SIGBUS, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};

use super::ascii::Charset;
use super::clipboard::Clipboard;
use super::highlight;
use super::input::{Input, key_presses};
use super::screen::{Request, Screen};
use super::terminal::Terminal;
use super::theme::{Colors, Theme};
use super::{ExitReason, TuiError, editor, terminal, view};
use crate::app::{Action, App, AttachmentsFound, Effect, FrontEndIo, Moment, Outcome, StoreNews, carry_out};
use crate::hub::news::PullNews;
use crate::worker::WorkerHandle;
use crate::worker::protocol::EngineEvent;

/// Tokens are drawn at most this often, so that drawing takes little from the engine; keys are drawn at once.
const FRAME: Duration = Duration::from_millis(60);

/// Events that are drained before a frame is drawn all the same.
const DRAIN: usize = 4096;

/// Runs the full screen until the person leaves. The terminal is as it was when this returns.
///
/// # Errors
/// [`TuiError::Terminal`] where the terminal cannot be read or written.
pub fn run(app: App, worker: WorkerHandle, io: Box<dyn FrontEndIo>) -> Result<ExitReason, TuiError> {
    // `NO_COLOR` (https://no-color.org) and `--no-color`: the styles must know, since they show by other means then.
    let colors = match Colored::ansi_color_disabled_memoized() {
        true => Colors::None,
        false => Colors::of_terminal(&variable("COLORTERM"), &variable("TERM")),
    };
    let mut screen = Screen::new(&app, Theme::in_colors(colors));
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable);
    screen.charset = Charset::new(locale.each_ref().map(String::as_str), app.settings().ui.ascii);
    let (signals, wish) = watch_signals()?;
    let terminal = Terminal::take(screen.mouse)?;
    let input = Input::spawn()?;
    let engine = worker.events().clone();
    let (failures, attachments_found, pull_news) = (io.store_news(), io.attachments_found(), io.pull_news());
    let (clipboard, drawn) = (Clipboard::system(), Instant::now());
    let mut state = Loop {
        app,
        screen,
        worker,
        io,
        terminal,
        input,
        clipboard,
        attachments_found,
        pull_news,
        drawn,
        wish,
        exit: None,
    };
    state.draw()?;
    let effects = state.app.start();
    state.carry_out(effects)?;
    let outcome = state.run(&engine, &failures, &signals);
    if outcome.is_err() {
        // What was said is saved all the same.
        let effects = state.app.handle(Action::Quit, Moment::now());
        let _ = state.carry_out(effects);
        if terminal::is_gone() {
            // The signal that says so may come later than the error, or be ignored (nohup).
            return Ok(ExitReason::Signal(SIGHUP));
        }
    }
    outcome
}

/// What the terminal says of itself; empty where it says nothing.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// What woke the loop.
enum Wake {
    Terminal(std::io::Result<Event>),
    Engine(Box<EngineEvent>),
    StoreNews(StoreNews),
    /// Code can have its colours.
    Colors,
    AttachmentsFound(AttachmentsFound),
    Pull(PullNews),
    Signal(i32),
}

struct Loop {
    // Dropped first: the person gets the terminal back before the engine's thread has ended.
    terminal: Terminal,
    app: App,
    screen: Screen,
    worker: WorkerHandle,
    io: Box<dyn FrontEndIo>,
    input: Input,
    clipboard: Clipboard,
    attachments_found: Receiver<AttachmentsFound>,
    pull_news: Receiver<PullNews>,
    drawn: Instant,
    wish: Wish,
    exit: Option<ExitReason>,
}

/// Whether a frame is needed, and how soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    None,
    /// With the next frame.
    Soon,
    /// At once.
    Now,
}

impl Loop {
    fn run(
        &mut self,
        engine: &Receiver<EngineEvent>,
        failures: &Receiver<StoreNews>,
        signals: &Receiver<i32>,
    ) -> Result<ExitReason, TuiError> {
        let keys = self.input.events().clone();
        let (mut engine, mut failures) = (engine.clone(), failures.clone());
        // What the start has changed (a model that is not there) came after the first frame.
        let mut urgency = Urgency::Soon;
        loop {
            let mut wake = self.wait(&keys, &mut engine, &mut failures, signals, urgency);
            for _ in 0..DRAIN {
                wake = wake
                    .or_else(|| keys.try_recv().map(Wake::Terminal).ok())
                    .or_else(|| signals.try_recv().map(Wake::Signal).ok())
                    .or_else(|| engine.try_recv().map(|event| Wake::Engine(Box::new(event))).ok())
                    .or_else(|| failures.try_recv().map(Wake::StoreNews).ok())
                    .or_else(|| highlight::news().try_recv().map(|()| Wake::Colors).ok())
                    .or_else(|| self.attachments_found.try_recv().map(Wake::AttachmentsFound).ok())
                    .or_else(|| self.pull_news.try_recv().map(Wake::Pull).ok());
                let Some(event) = wake.take() else { break };
                urgency = urgency.max(self.on_wake(event)?);
            }
            let now = Moment::now();
            let effects = self.app.on_draft(&self.screen.composer.full_text(), now);
            self.carry_out(effects)?;
            let effects = self.app.tick(now);
            self.carry_out(effects)?;
            if let Some(reason) = self.exit {
                return Ok(reason);
            }
            let due = urgency == Urgency::Now || self.drawn.elapsed() >= FRAME;
            if urgency > Urgency::None && due {
                self.draw()?;
                urgency = Urgency::None;
            }
        }
    }

    /// Waits for something to happen, or for the time of the next frame or save. A channel whose sender is gone is
    /// waited for no more.
    ///
    /// While tokens wait for their frame, those that follow wake nobody: they are drained with it. A wake a token would
    /// take a core from the threads that compute.
    fn wait(
        &self,
        keys: &Receiver<std::io::Result<Event>>,
        engine: &mut Receiver<EngineEvent>,
        failures: &mut Receiver<StoreNews>,
        signals: &Receiver<i32>,
        urgency: Urgency,
    ) -> Option<Wake> {
        let frame = (urgency > Urgency::None).then(|| self.drawn + FRAME);
        let deadline = [frame, self.app.deadline()].into_iter().flatten().min();
        let timeout = deadline.map_or_else(never, crossbeam_channel::at);
        let tokens = if urgency == Urgency::Soon { never() } else { engine.clone() };
        select! {
            recv(keys) -> event => event.ok().map(Wake::Terminal),
            recv(signals) -> signal => signal.ok().map(Wake::Signal),
            // Its sender is beside it, and never gone.
            recv(self.attachments_found) -> attachments_found => attachments_found.ok().map(Wake::AttachmentsFound),
            // So is its.
            recv(self.pull_news) -> news => news.ok().map(Wake::Pull),
            recv(tokens) -> event => {
                let gone = EngineEvent::WorkerDied { error: "its thread has ended".to_owned() };
                Some(Wake::Engine(Box::new(event.unwrap_or_else(|_| {
                    *engine = never();
                    gone
                }))))
            }
            recv(failures) -> text => match text {
                Ok(text) => Some(Wake::StoreNews(text)),
                Err(_) => {
                    *failures = never();
                    None
                }
            },
            recv(highlight::news()) -> news => news.ok().map(|()| Wake::Colors),
            recv(timeout) -> _ => None,
        }
    }

    fn on_wake(&mut self, wake: Wake) -> Result<Urgency, TuiError> {
        let now = Moment::now();
        match wake {
            Wake::Terminal(event) => return self.on_terminal(event?, now),
            Wake::Engine(event) => {
                let closing = event.is_closing();
                let effects = self.app.on_event(*event, now);
                self.carry_out(effects)?;
                return Ok(if closing { Urgency::Now } else { Urgency::Soon });
            }
            Wake::StoreNews(text) => {
                let effects = self.app.on_outcome(Outcome::StoreNews(text), now);
                self.carry_out(effects)?;
            }
            Wake::Colors => return Ok(Urgency::Soon),
            Wake::AttachmentsFound(attachments_found) => {
                self.app.attachments_found(attachments_found, now);
                return Ok(Urgency::None);
            }
            Wake::Pull(news) => {
                let effects = self.app.on_outcome(Outcome::PullNews { news, is_typing: false }, now);
                self.carry_out(effects)?;
                return Ok(Urgency::Soon);
            }
            Wake::Signal(SIGTSTP) => {
                self.input.pause();
                self.terminal.lend(ending::stop)?;
                self.input.resume();
            }
            Wake::Signal(SIGCONT) => self.terminal.resume()?,
            Wake::Signal(signal) => {
                let effects = self.app.handle(Action::Quit, now);
                self.carry_out(effects)?;
                self.exit = Some(ExitReason::Signal(signal));
            }
        }
        Ok(Urgency::Now)
    }

    fn on_terminal(&mut self, event: Event, now: Moment) -> Result<Urgency, TuiError> {
        match event {
            Event::Key(key) => {
                let presses = key_presses(&key, self.app.keymap());
                if presses.is_empty() {
                    return Ok(Urgency::None);
                }
                if key.code == KeyCode::Enter {
                    self.catch_up(now)?;
                }
                for press in presses {
                    let (effects, requests) = self.screen.on_key(&mut self.app, press, now);
                    self.carry_out(effects)?;
                    self.fulfil(requests)?;
                }
            }
            Event::Paste(text) => {
                let effects = self.screen.on_paste(&self.app, &text);
                self.carry_out(effects)?;
            }
            // Where the mouse is without a button does not matter.
            Event::Mouse(mouse) if mouse.kind == MouseEventKind::Moved => return Ok(Urgency::None),
            Event::Mouse(mouse) => {
                let (effects, requests) = self.screen.on_mouse(&mut self.app, mouse, now);
                self.carry_out(effects)?;
                self.fulfil(requests)?;
            }
            Event::Resize(..) => {}
            Event::FocusGained | Event::FocusLost => return Ok(Urgency::None),
        }
        Ok(Urgency::Now)
    }

    /// Takes in what other programs have written to this chat before the person says something.
    fn catch_up(&mut self, now: Moment) -> Result<(), TuiError> {
        self.io.catch_up();
        let news = self.io.store_news();
        while let Ok(news) = news.try_recv() {
            let effects = self.app.on_outcome(Outcome::StoreNews(news), now);
            self.carry_out(effects)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), TuiError> {
        let worker = &self.worker;
        let mut send = |command| worker.send(command);
        let left = carry_out(&mut self.app, effects, self.io.as_mut(), &mut send, Moment::now());
        let requests = self.screen.carry_out(&self.app, left);
        self.fulfil(requests)
    }

    fn fulfil(&mut self, requests: Vec<Request>) -> Result<(), TuiError> {
        for request in requests {
            match request {
                Request::Redraw => self.terminal.redraw()?,
                Request::Mouse(on) => self.terminal.set_mouse(on)?,
                Request::Copy(text) => {
                    self.terminal.copy(&text)?;
                    self.clipboard.put(&text);
                }
                Request::Edit(text) => self.edit(&text)?,
                Request::Quit => self.exit = self.exit.or(Some(ExitReason::Quit)),
            }
        }
        Ok(())
    }

    fn edit(&mut self, text: &str) -> Result<(), TuiError> {
        self.input.pause();
        let edited = self.terminal.lend(|| self.wish.while_lent(|| editor::edit(text)))?;
        self.input.resume();
        match edited {
            Ok(edited) => self.screen.replace_text(&edited),
            Err(error) => {
                self.app.on_outcome(Outcome::Failed(error), Moment::now());
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), TuiError> {
        let started = Instant::now();
        self.terminal.draw(|frame| view::draw(&mut self.screen, &self.app, frame))?;
        self.drawn = Instant::now();
        self.app.on_drawn(self.drawn - started);
        if let Some((session, view)) = self.screen.conversation.view() {
            self.app.on_view(session, view);
        }
        Ok(())
    }
}

/// Signals as messages. SIGBUS stands for a file that has changed while it was mapped.
fn watch_signals() -> std::io::Result<(Receiver<i32>, Wish)> {
    let (sender, receiver) = unbounded();
    let of_files = sender.clone();
    // Nobody listens once the loop has ended: the program is leaving then.
    mapped::notify(mapped::PATIENCE, move || {
        let _ = of_files.send(SIGBUS);
    })?;
    let wish = ending::listen(&[SIGTERM, SIGHUP, SIGINT, SIGTSTP, SIGCONT], move |signal| {
        let _ = sender.send(signal);
    })?;
    Ok((receiver, wish))
}
