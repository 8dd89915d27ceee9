//! `gibber models quantize`: a model written as a GGUF file in another format.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::args::Quantize;
use super::interrupt::Interrupt;
use super::output::{Output, StatusLine};
use super::{Context, Exit, INTERRUPTED, models};
use crate::chat::one_line;
use gibber_engine::convert::{Conversion, Step};
use gibber_engine::kernels::ThreadPool;
use gibber_engine::kernels::pool::{default_threads, useful_threads};

/// How long the tensor that is being written may take once it is to be the last.
const STOPPING: Duration = Duration::from_secs(10);

pub(super) fn run(mut context: Context, arguments: &Quantize) -> Result<()> {
    let Quantize { source, target, kind, force, threads } = arguments;
    context.settings.model.threads = threads.unwrap_or(context.settings.model.threads);
    if let Some(warning) = super::thread_warning(&context.settings) {
        tell!("warning: {warning}");
    }
    let pool = ThreadPool::new(match context.settings.model.threads {
        0 => default_threads(),
        threads => useful_threads(threads),
    });
    let interrupt = Interrupt::install(STOPPING)?;
    interrupt.watch(|| {});
    let started = Instant::now();
    let conversion = Conversion::new(&models::resolve(source, &context.paths)?, *kind)?;
    let mut progress = Progress { line: StatusLine::new(), verbose: context.verbose };
    let flow = conversion.write_file(target, *force, &pool, &mut |step| {
        progress.show(step);
        if interrupt.has_come() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.line.clear();
    if flow?.is_break() {
        return Err(Exit(INTERRUPTED).into());
    }
    let mut output = Output::stdout();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    output.line(&format!(
        "{}: {kind}, {:.1} MB of weights instead of {:.1} MB, in {:.1} s",
        one_line(&target.display().to_string()),
        megabytes(conversion.bytes_after()),
        megabytes(conversion.bytes_before()),
        started.elapsed().as_secs_f64()
    ))?;
    if let Some(before) = conversion.quantized_before() {
        output.line(&format!("the source is in {before} already: what that has lost is not in the copy either"))?;
    }
    for fallback in conversion.fallbacks() {
        let count = match fallback.tensors {
            1 => "1 tensor has".to_owned(),
            count => format!("{count} tensors have"),
        };
        output.line(&format!(
            "{count} rows that are no multiple of {} values: {} instead of {}",
            fallback.wanted.block_size(),
            fallback.used,
            fallback.wanted
        ))?;
    }
    Ok(())
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
