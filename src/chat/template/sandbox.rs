//! Where strangers' templates are rendered: a process of the own program that is replaced when it has to be stopped.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

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
        Self(Arc::new(Inner { program, process: Mutex::new(None) }))
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
        let mut slot = lock(&self.0.process);
        // One that has died while it had nothing to do says nothing of this request.
        let kept = slot.take().filter(Process::is_alive).map(|process| process.ask(&frame));
        let (process, outcome) = match kept {
            Some((_, Err(Broken::Unheard))) | None => self.start()?.ask(&frame),
            Some(asked) => asked,
        };
        let answer = outcome.map_err(|broken| Failure::Limit(broken.to_string()))?;
        *slot = Some(process);
        answer
    }
}

/// Why a process gave no answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the process that runs it takes no requests")]
    Unheard,
    #[error("it computes for too long: after {0} seconds it has not come to an end")]
    Silent(u64),
    #[error("the process that runs it answered something else than a text")]
    Garbage,
    #[error("{}", ended(*.0))]
    Ended(Option<ExitStatus>),
}

fn ended(status: Option<ExitStatus>) -> String {
    let signal = status.and_then(|status| status.signal()).and_then(rustix::process::Signal::from_named_raw);
    match (signal, status) {
        (Some(rustix::process::Signal::XCPU), _) => "it computes for too long".into(),
        (Some(rustix::process::Signal::ABORT | rustix::process::Signal::SEGV | rustix::process::Signal::BUS), _) => {
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
        let theirs = OwnedFd::from(theirs);
        let child = Command::new(program)
            .arg0("gibber")
            .arg(ARGUMENT)
            // Threads that only the engine would need.
            .env("OPENBLAS_NUM_THREADS", "1")
            .stdin(Stdio::from(theirs.try_clone()?))
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is not meant for it.
            .process_group(0)
            .spawn()?;
        let child = Arc::new(Mutex::new(child));
        let max_answer = Arc::new(AtomicUsize::new(0));
        let (sender, answers) = unbounded();
        let process =
            Self { child: child.clone(), requests: ours.try_clone()?, answers, max_answer: max_answer.clone() };
        thread::Builder::new().spawn(move || read_answers(ours, &max_answer, &child, &sender))?;
        Ok(process)
    }

    /// Nothing is said unasked, but that it has ended.
    fn is_alive(&self) -> bool {
        self.answers.is_empty()
    }

    fn ask(self, frame: &[u8]) -> (Self, Result<Answer, Broken>) {
        let answer = self.exchange(frame, Limits::of(frame.len()));
        (self, answer)
    }

    fn exchange(&self, frame: &[u8], limits: Limits) -> Result<Answer, Broken> {
        let patience = limits.patience();
        self.max_answer.store(limits.answer(), Ordering::Relaxed);
        let mut requests = &self.requests;
        requests.set_write_timeout(Some(patience)).map_err(|_| Broken::Unheard)?;
        write_frame(&mut requests, frame).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Broken::Silent(patience.as_secs()),
            _ => Broken::Unheard,
        })?;
        let answer = self.answers.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => Broken::Silent(patience.as_secs()),
            RecvTimeoutError::Disconnected => Broken::Ended(None),
        })??;
        serde_json::from_slice(&answer).map_err(|_| Broken::Garbage)
    }
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
