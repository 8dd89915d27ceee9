//! `gibber models quantize` and `gibber models convert`: a model written as a GGUF file, in another format or as it is.

use std::fmt::Display;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::args::{Quantize, Written};
use super::interrupt::Interrupt;
use super::output::{Output, StatusLine};
use super::{Context, Exit, INTERRUPTED, models};
use crate::chat::one_line;
use crate::hub::quantized;
use gibber_engine::convert::{Conversion, OnStep, Step};

/// How long the tensor that is being written may take once it is to be the last.
const STOPPING: Duration = Duration::from_secs(10);

pub(super) fn run(mut context: Context, arguments: &Quantize) -> Result<()> {
    let Quantize { kind, out } = arguments;
    out.apply(&mut context);
    let conversion = Conversion::new(&models::resolve(&out.source, &context.paths)?, *kind)?;
    write(&context, &conversion, out, kind)
}

/// `gibber models convert`: the weights stay as they are.
pub(super) fn convert(mut context: Context, out: &Written) -> Result<()> {
    out.apply(&mut context);
    let conversion = Conversion::as_it_is(&models::resolve(&out.source, &context.paths)?)?;
    let format = conversion.format().map_or_else(|| "nothing".to_owned(), |format| format.to_string());
    write(&context, &conversion, out, &format)
}

fn write(context: &Context, conversion: &Conversion, out: &Written, format: &dyn Display) -> Result<()> {
    let Written { target, force, .. } = out;
    let (started, pool) = (Instant::now(), quantized::pool(context.settings.model.threads));
    watched(context, |on_step| Ok(conversion.write_file(target, *force, &pool, on_step)?))?;
    let said = quantized::said_of(conversion, target, format, started.elapsed());
    said.iter().try_for_each(|line| Output::stdout().line(&one_line(line)))
}

impl Written {
    fn apply(&self, context: &mut Context) {
        context.settings.model.threads = self.threads.unwrap_or(context.settings.model.threads);
    }
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
