//! Where strangers' templates are rendered: a process of the own program that is replaced when it has to be stopped.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rustix::process::Signal;

use super::engine::Failure;
use super::helper::ARGUMENT;
use super::wire::{Answer, Limits, Request, read_frame, write_frame};

/// This program, also where its file was replaced since it started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The process, started with the first template that needs it and kept between renderings. Clones share it; it ends with
/// the last of them.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Inner>);

/// What is started.
#[derive(Debug)]
enum Program {
    This,
    At(PathBuf),
    /// Nothing: templates run where the test does.
    #[cfg(test)]
    Nothing,
}

#[derive(Debug)]
struct Inner {
    program: Program,
    process: Mutex<Option<Process>>,
    memory: Mutex<Memory>,
    stop: Mutex<Stop>,
}

/// Says whether what is rendered is no longer wanted, where somebody knows.
#[derive(Default)]
struct Stop(Option<Box<dyn FnMut() -> bool + Send>>);

impl Stop {
    fn is_due(&mut self) -> bool {
        self.0.as_mut().is_some_and(|stop| stop())
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Stop").field(&self.0.is_some()).finish()
    }
}

/// The time in which renderings may be stopped.
#[derive(Debug)]
pub struct Watch<'a> {
    sandbox: &'a Sandbox,
    /// What was asked before it began, and is again when it ends.
    former: Stop,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *lock(&self.sandbox.0.stop) = std::mem::take(&mut self.former);
    }
}

/// How often it is looked whether a template that is at work is still wanted.
const TICK: Duration = Duration::from_millis(20);

/// What came of the last requests.
#[derive(Debug, Default)]
struct Memory {
    /// A draft is measured, computed ahead and sent with the same messages.
    rendered: VecDeque<Rendered>,
    stopped: Option<Stopped>,
}

/// A request as it was sent, what came of it, and when.
#[derive(Debug)]
struct Rendered {
    request: Vec<u8>,
    text: String,
    at: Instant,
}

/// A template whose process had to be stopped, the length of that request, and what was said.
#[derive(Debug)]
struct Stopped {
    source: String,
    bytes: usize,
    failure: Failure,
    at: Instant,
}

/// Renderings that are kept.
const KEPT: usize = 6;

/// Bytes of request and of text up to which one is kept.
const KEPT_BYTES: usize = 1 << 20;

/// How long one is true: a template may write the time.
const KEPT_FOR: Duration = Duration::from_secs(10);

impl Memory {
    fn answer(&mut self, source: &str, frame: &[u8]) -> Option<Answer> {
        self.rendered.retain(|rendered| rendered.at.elapsed() < KEPT_FOR);
        self.stopped.take_if(|stopped| stopped.at.elapsed() >= KEPT_FOR);
        // A person who types on would wait for the same end with each letter.
        let stopped = self.stopped.as_ref().filter(|last| last.source == source && last.bytes <= frame.len());
        let rendered = self.rendered.iter().find(|rendered| rendered.request == frame);
        rendered.map(|rendered| Ok(rendered.text.clone())).or(stopped.map(|stopped| Err(stopped.failure.clone())))
    }

    fn rendered(&mut self, request: Vec<u8>, text: &str) {
        if text.len().max(request.len()) <= KEPT_BYTES {
            self.rendered.truncate(KEPT - 1);
            self.rendered.push_front(Rendered { request, text: text.to_owned(), at: Instant::now() });
        }
    }
}

impl Sandbox {
    /// One of the running program, whose `main` has to begin as [`crate::cli::main`] does.
    pub fn of_this_program() -> Self {
        Self::start_with(Program::This)
    }

    /// One of the `gibber` at `program`: for programs that are not it.
    pub fn of(program: impl Into<PathBuf>) -> Self {
        Self::start_with(Program::At(program.into()))
    }

    /// None at all, for the library's own tests: there is no `gibber` beside them.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self::start_with(Program::Nothing)
    }

    fn start_with(program: Program) -> Self {
        let process = Mutex::new(None);
        Self(Arc::new(Inner { program, process, memory: Mutex::default(), stop: Mutex::default() }))
    }

    /// Until the watch is dropped, a template that is at work is stopped once `stop` says so.
    pub fn watch(&self, stop: impl FnMut() -> bool + Send + 'static) -> Watch<'_> {
        let former = std::mem::replace(&mut *lock(&self.0.stop), Stop(Some(Box::new(stop))));
        Watch { sandbox: self, former }
    }

    /// Starts the process, so that it is there when it is needed; a failure is told then.
    pub fn warm(&self) {
        let mut process = lock(&self.0.process);
        if !process.as_ref().is_some_and(Process::is_alive) {
            *process = self.start().ok();
        }
    }

    fn start(&self) -> Result<Process, Failure> {
        let program = match &self.0.program {
            Program::At(program) => Ok(program.clone()),
            Program::This if Path::new(THIS_PROGRAM).exists() => Ok(THIS_PROGRAM.into()),
            Program::This => std::env::current_exe(),
            #[cfg(test)]
            Program::Nothing => Err(io::ErrorKind::NotFound.into()),
        };
        program.and_then(|program| Process::start(&program)).map_err(|error| {
            Failure::Limit(format!(
                "the process in which templates of models and files run cannot be started: {error}; the built-in ones work without it"
            ))
        })
    }

    /// What came of `request`. A process that does not answer is killed; the next request has a fresh one.
    pub(super) fn ask(&self, request: &Request<'_>) -> Answer {
        #[cfg(test)]
        if matches!(self.0.program, Program::Nothing) {
            return super::engine::Engine::compile(&request.source)?.render(&request.rendering, usize::MAX);
        }
        let unwritten = |error: serde_json::Error| Failure::Limit(format!("it cannot be handed over: {error}"));
        let frame = serde_json::to_vec(request).map_err(unwritten)?;
        let mut memory = lock(&self.0.memory);
        if let Some(answer) = memory.answer(&request.source, &frame) {
            return answer;
        }
        match self.exchange(&frame)? {
            Ok(answer) => {
                if let Ok(text) = &answer {
                    memory.rendered(frame, text);
                }
                answer
            }
            Err(broken) => {
                let failure = Failure::Limit(broken.to_string());
                if broken.is_of_the_template() {
                    let (source, bytes) = (request.source.clone().into_owned(), frame.len());
                    memory.stopped = Some(Stopped { source, bytes, failure: failure.clone(), at: Instant::now() });
                }
                Err(failure)
            }
        }
    }

    /// What the process answers to `frame`, or why it does not.
    ///
    /// # Errors
    /// Where there can be none.
    fn exchange(&self, frame: &[u8]) -> Result<Result<Answer, Broken>, Failure> {
        let mut stop = lock(&self.0.stop);
        let mut slot = lock(&self.0.process);
        // One that has died while it had nothing to do says nothing of this request.
        let kept = slot.take().filter(Process::is_alive).map(|process| process.ask(frame, &mut stop));
        let (process, outcome) = match kept {
            Some((_, Err(Broken::Unheard))) | None => self.start()?.ask(frame, &mut stop),
            Some(asked) => asked,
        };
        if outcome.is_ok() {
            *slot = Some(process);
        }
        Ok(outcome)
    }
}

/// Why a process gave no answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the process that runs it takes no requests")]
    Unheard,
    #[error("it computes for too long: after {0} seconds it has not come to an end")]
    Silent(u64),
    #[error("what it was to write is no longer wanted")]
    Unwanted,
    #[error("the process that runs it answered something else than a text")]
    Garbage,
    #[error("{}", ended(*.0))]
    Ended(Option<ExitStatus>),
}

impl Broken {
    /// Whether the template did it, and will do it again.
    fn is_of_the_template(&self) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::Ended(status) => signal(*status).is_some_and(|signal| signal == Signal::XCPU || is_of_memory(signal)),
            Self::Unheard | Self::Unwanted | Self::Garbage => false,
        }
    }
}

fn signal(status: Option<ExitStatus>) -> Option<Signal> {
    Signal::from_named_raw(status?.signal()?)
}

/// Whether a process ends so that has no room left: on its stack, or for what it allocates.
fn is_of_memory(signal: Signal) -> bool {
    [Signal::ABORT, Signal::SEGV, Signal::BUS].contains(&signal)
}

fn ended(status: Option<ExitStatus>) -> String {
    match (signal(status), status) {
        (Some(Signal::XCPU), _) => "it computes for too long".into(),
        (Some(signal), _) if is_of_memory(signal) => {
            "it takes more memory, or nests deeper, than a template may".into()
        }
        (_, Some(status)) => format!("the process that runs it has ended ({status})"),
        (_, None) => "the process that runs it has ended".into(),
    }
}

/// A process and the socket that is its stdin and stdout.
#[derive(Debug)]
struct Process {
    child: Arc<Mutex<Child>>,
    requests: UnixStream,
    answers: Receiver<Result<Vec<u8>, Broken>>,
    /// Bytes that the next answer may have.
    max_answer: Arc<AtomicUsize>,
}

impl Process {
    fn start(program: &Path) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let requests = ours.try_clone()?;
        let max_answer = Arc::new(AtomicUsize::new(0));
        let (sender, answers) = unbounded();
        let (starting, started) = bounded(1);
        let (program, max) = (program.to_owned(), max_answer.clone());
        // It is started by the thread that hears it: Linux ends it with the thread that it is a child of.
        thread::Builder::new().spawn(move || {
            let child = spawn(&program, theirs).map(|child| Arc::new(Mutex::new(child)));
            let heard = child.as_ref().ok().cloned();
            let _ = starting.send(child);
            if let Some(child) = heard {
                read_answers(ours, &max, &child, &sender);
            }
        })?;
        let child = started.recv().map_err(io::Error::other)??;
        Ok(Self { child, requests, answers, max_answer })
    }

    /// Nothing is said unasked, but that it has ended.
    fn is_alive(&self) -> bool {
        self.answers.is_empty()
    }

    fn ask(self, frame: &[u8], stop: &mut Stop) -> (Self, Result<Answer, Broken>) {
        let answer = self.exchange(frame, Limits::of(frame.len()), stop);
        (self, answer)
    }

    fn exchange(&self, frame: &[u8], limits: Limits, stop: &mut Stop) -> Result<Answer, Broken> {
        let patience = limits.patience();
        self.max_answer.store(limits.answer(), Ordering::Relaxed);
        let mut requests = &self.requests;
        requests.set_write_timeout(Some(patience)).map_err(|_| Broken::Unheard)?;
        write_frame(&mut requests, frame).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Broken::Silent(patience.as_secs()),
            // Where it has closed its end, the thread that hears it knows why.
            _ => match self.answers.recv_timeout(patience) {
                Ok(Err(broken)) => broken,
                Ok(Ok(_)) | Err(_) => Broken::Unheard,
            },
        })?;
        let answer = self.answer_within(patience, stop)?;
        serde_json::from_slice(&answer).map_err(|_| Broken::Garbage)
    }

    fn answer_within(&self, patience: Duration, stop: &mut Stop) -> Result<Vec<u8>, Broken> {
        let end = Instant::now() + patience;
        loop {
            match self.answers.recv_timeout(TICK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(Broken::Ended(None)),
                Err(RecvTimeoutError::Timeout) if stop.is_due() => return Err(Broken::Unwanted),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= end => {
                    return Err(Broken::Silent(patience.as_secs()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

fn spawn(program: &Path, socket: UnixStream) -> io::Result<Child> {
    let socket = OwnedFd::from(socket);
    Command::new(program)
        .arg0("gibber")
        .arg(ARGUMENT)
        // Threads that only the engine would need.
        .env("OPENBLAS_NUM_THREADS", "1")
        .stdin(Stdio::from(socket.try_clone()?))
        .stdout(Stdio::from(socket))
        .stderr(Stdio::null())
        // Ctrl-C at the terminal is not meant for it.
        .process_group(0)
        .spawn()
}

/// A process that is no longer wanted is killed, whatever it does, and no zombie stays.
impl Drop for Process {
    fn drop(&mut self) {
        end(&self.child);
    }
}

fn end(child: &Mutex<Child>) -> Option<ExitStatus> {
    let mut child = lock(child);
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().ok()
}

/// Passes on what a process says until it ends, and reaps it at once.
fn read_answers(
    mut socket: UnixStream,
    max: &AtomicUsize,
    child: &Mutex<Child>,
    answers: &Sender<Result<Vec<u8>, Broken>>,
) {
    let last = loop {
        match read_frame(&mut socket, || max.load(Ordering::Relaxed)) {
            Ok(Some(frame)) => {
                let _ = answers.send(Ok(frame));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => break Some(Broken::Garbage),
            _ => break None,
        }
    };
    let status = end(child);
    let _ = answers.send(Err(last.unwrap_or(Broken::Ended(status))));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
