//! `gibber models quantize`: a model written as a GGUF file in another format.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::args::Quantize;
use super::interrupt::Interrupt;
use super::output::{Output, StatusLine};
use super::{Context, Exit, INTERRUPTED, models};
use crate::chat::one_line;
use crate::hub::quantized;
use gibber_engine::convert::{Conversion, OnStep, Step};

/// How long the tensor that is being written may take once it is to be the last.
const STOPPING: Duration = Duration::from_secs(10);

pub(super) fn run(mut context: Context, arguments: &Quantize) -> Result<()> {
    let Quantize { source, target, kind, force, threads } = arguments;
    context.settings.model.threads = threads.unwrap_or(context.settings.model.threads);
    let source = models::resolve(source, &context.paths)?;
    let (started, conversion) = (Instant::now(), Conversion::new(&source, *kind)?);
    let pool = quantized::pool(context.settings.model.threads);
    watched(&context, |on_step| Ok(conversion.write_file(target, *force, &pool, on_step)?))?;
    let said = quantized::said_of(&conversion, target, *kind, started.elapsed());
    said.iter().try_for_each(|line| Output::stdout().line(&one_line(line)))
}

/// Carries out `work`, which tells how far it is; Ctrl-C stops it between two tensors.
///
/// # Errors
/// Those of `work`; [`Exit`] where Ctrl-C has stopped it.
pub(super) fn watched<T>(
    context: &Context,
    work: impl FnOnce(&mut OnStep<'_>) -> Result<ControlFlow<(), T>>,
) -> Result<T> {
    if let Some(warning) = super::thread_warning(&context.settings) {
        tell!("warning: {warning}");
    }
    let interrupt = Interrupt::install(STOPPING)?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_stopped);
    interrupt.watch(move || stop.store(true, Ordering::Release));
    let mut progress = Progress { line: StatusLine::new(), verbose: context.verbose };
    let done = work(&mut |step| {
        progress.show(step);
        if is_stopped.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.line.clear();
    interrupt.rest();
    match done? {
        ControlFlow::Continue(done) => Ok(done),
        ControlFlow::Break(()) => Err(Exit(INTERRUPTED).into()),
    }
}

/// A line on the terminal that is written over again and again; for those who want to hear more, a line a tensor.
struct Progress {
    line: StatusLine,
    verbose: bool,
}

impl Progress {
    fn show(&mut self, step: &Step<'_>) {
        let percent = step.done * 100 / step.total.max(1);
        let line = format!("{percent:3} % {} {} -> {}", one_line(step.name), step.from, step.to);
        if self.verbose { tell!("{line}") } else { self.line.show(&line) }
    }
}
