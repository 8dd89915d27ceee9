//! `gibber models quantize`: a model written as a GGUF file in another format.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::args::Quantize;
use super::interrupt::Interrupt;
use super::output::{Output, StatusLine};
use super::{Context, Exit, INTERRUPTED, models};
use crate::chat::one_line;
use gibber_engine::FileType;
use gibber_engine::convert::{Conversion, Step};
use gibber_engine::kernels::ThreadPool;
use gibber_engine::kernels::pool::{default_threads, useful_threads};
use gibber_engine::load::ModelSource;

/// How long the tensor that is being written may take once it is to be the last.
const STOPPING: Duration = Duration::from_secs(10);

pub(super) fn run(mut context: Context, arguments: &Quantize) -> Result<()> {
    let Quantize { source, target, kind, force, threads } = arguments;
    context.settings.model.threads = threads.unwrap_or(context.settings.model.threads);
    write(&context, &models::resolve(source, &context.paths)?, target, *kind, *force)?
        .iter()
        .try_for_each(|line| Output::stdout().line(line))
}

/// Writes the model at `source` to `target`; returns what is to be said of it, a sentence each.
///
/// # Errors
/// Those of the conversion; [`Exit`] where Ctrl-C has stopped it.
pub(super) fn write(
    context: &Context,
    source: &ModelSource,
    target: &Path,
    kind: FileType,
    force: bool,
) -> Result<Vec<String>> {
    if let Some(warning) = super::thread_warning(&context.settings) {
        tell!("warning: {warning}");
    }
    let pool = ThreadPool::new(match context.settings.model.threads {
        0 => default_threads(),
        threads => useful_threads(threads),
    });
    let interrupt = Interrupt::install(STOPPING)?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_stopped);
    interrupt.watch(move || stop.store(true, Ordering::Release));
    let started = Instant::now();
    let conversion = Conversion::new(source, kind)?;
    let mut progress = Progress { line: StatusLine::new(), verbose: context.verbose };
    let flow = conversion.write_file(target, force, &pool, &mut |step| {
        progress.show(step);
        if is_stopped.load(Ordering::Acquire) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.line.clear();
    interrupt.rest();
    if flow?.is_break() {
        return Err(Exit(INTERRUPTED).into());
    }
    Ok(said_of(&conversion, target, kind, started.elapsed()))
}

fn said_of(conversion: &Conversion, target: &Path, kind: FileType, time: Duration) -> Vec<String> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mut said = vec![format!(
        "{}: {kind}, {:.1} MB of weights instead of {:.1} MB, in {:.1} s",
        one_line(&target.display().to_string()),
        megabytes(conversion.bytes_after()),
        megabytes(conversion.bytes_before()),
        time.as_secs_f64()
    )];
    if let Some(before) = conversion.quantized_before() {
        said.push(format!("the source is in {before} already: what that has lost is not in the copy either"));
    }
    said.extend(conversion.fallbacks().iter().map(|fallback| {
        let count = match fallback.tensors {
            1 => "1 tensor has".to_owned(),
            count => format!("{count} tensors have"),
        };
        format!(
            "{count} rows that are no multiple of {} values: {} instead of {}",
            fallback.wanted.block_size(),
            fallback.used,
            fallback.wanted
        )
    }));
    said
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
