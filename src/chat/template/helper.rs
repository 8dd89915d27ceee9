//! The process that renders strangers' templates: the program once more, with limits that the system keeps.
//!
//! A template is a program. Nothing inside the engine can bound it: values that contain another twice are small, and
//! endless to whoever walks them. What is outside can: this process renders, may take so much memory and so much
//! processor time, and is replaced by another one when it has died of that.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::engine::{Engine, Failure};
use super::wire::{Answer, Limits, Request, read_frame, write_frame};

/// The only argument of such a process.
pub const ARGUMENT: &str = "__render-chat-templates";

/// Room for expressions and values as deep as a source lets them become. What is not used takes no memory.
const STACK: usize = 256 << 20;

/// Compiled templates that are kept.
const KEPT: usize = 4;

/// Answers requests on stdin until it closes.
pub fn serve() -> ExitCode {
    restrict();
    let serving = thread::Builder::new().stack_size(STACK).spawn(|| {
        let base = memory_in_use();
        answer_all(&mut io::stdin().lock(), &mut io::stdout().lock(), |limits| limit(base, limits))
    });
    match serving.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// What holds for all requests. Where a system has no such thing, the other limits have to do.
fn restrict() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // It ends with the program also while it is at work, and does not see stdin close.
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        let _ = rustix::thread::set_name(c"gibber-template");
    }
}

/// What the system may give to this process from now on; `base` is the memory it began with.
fn limit(base: u64, limits: Limits) {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let used = Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0));
    // The system counts in seconds: the next whole one.
    set_soft(Resource::Cpu, (used + limits.time).as_secs() + 1);
    set_soft(Resource::As, base.saturating_add(limits.memory));
}

/// Sets the limit that the system enforces, below the one that it may be raised to.
fn set_soft(resource: Resource, value: u64) {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(value, |maximum| maximum.min(value)));
    let _ = setrlimit(resource, Rlimit { current, maximum });
}

/// Bytes of address space: the program, its libraries and the stack count as well as what a template makes.
fn memory_in_use() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64)
}

/// Reads requests and writes answers until there is no other.
fn answer_all(from: &mut impl Read, to: &mut impl Write, limit: impl Fn(Limits)) -> io::Result<()> {
    let mut compiled = VecDeque::new();
    while let Some(frame) = read_frame(from, || usize::MAX)? {
        let limits = Limits::of(frame.len());
        limit(limits);
        let request: Request<'static> = serde_json::from_slice(&frame)?;
        drop(frame);
        let answer = answer_or_failure(&mut compiled, request, limits);
        write_frame(to, &serde_json::to_vec(&answer)?)?;
    }
    Ok(())
}

/// A panic of the engine is an answer, too: the template is at fault, and the next one may be rendered here.
fn answer_or_failure(compiled: &mut VecDeque<(String, Engine)>, request: Request<'static>, limits: Limits) -> Answer {
    panic::catch_unwind(AssertUnwindSafe(|| answer(compiled, request, limits))).unwrap_or_else(|panic| {
        // Whatever it has left half done is not used again.
        compiled.clear();
        let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Failure::Jinja { line: None, reason: format!("it asks for what cannot be done: {said}") })
    })
}

fn answer(compiled: &mut VecDeque<(String, Engine)>, request: Request<'static>, limits: Limits) -> Answer {
    let Request { source, rendering } = request;
    let at = match compiled.iter().position(|(of, _)| *of == source) {
        Some(at) => at,
        None => {
            let engine = Engine::compile(&source)?;
            compiled.truncate(KEPT - 1);
            compiled.push_front((source.into_owned(), engine));
            0
        }
    };
    let (_, engine) = compiled.get(at).ok_or_else(|| Failure::Limit("it was lost".into()))?;
    engine.render(&rendering, limits.output)
}
