//! What is shown while a model is fetched: a bar on a terminal, a line every few seconds elsewhere, or JSON.

use std::io::{self, IsTerminal, Stderr, Write, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use crate::chat::one_line;
use crate::cli::output::Output;
use crate::hub::{bytes_text, time_text};
use crate::repl::prints_only;
use gibber_hub::{Cancel, PullEvent, Retry};

/// Between two lines about how far it is, where no terminal listens.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
/// The bar grows to this many columns.
const LONGEST_BAR: usize = 40;
/// Below this many columns a bar says nothing any more.
const SHORTEST_BAR: usize = 8;
/// The columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// How what happens is told.
pub(super) struct Progress {
    shown: Mutex<Shown>,
}

enum Shown {
    /// Where stdout is closed, what goes on is stopped: nobody is left to hear of it.
    Json {
        output: Output,
        failed: Option<anyhow::Error>,
        cancel: Cancel,
    },
    Bar(Bar),
    Lines(Lines),
}

impl Progress {
    /// JSON on stdout where that is wanted, else a bar or lines on stderr.
    pub(super) fn new(json: bool, ascii: bool, cancel: &Cancel) -> Self {
        let draws = stderr().is_terminal() && !prints_only(std::env::var_os("TERM").as_deref());
        let shown = match (json, draws) {
            (true, _) => Shown::Json { output: Output::stdout(), failed: None, cancel: cancel.clone() },
            (false, true) => Shown::Bar(Bar::new(ascii)),
            (false, false) => Shown::Lines(Lines::default()),
        };
        Self { shown: Mutex::new(shown) }
    }

    /// Tells what has happened.
    pub(super) fn show(&self, event: &PullEvent) {
        match &mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner) {
            Shown::Json { failed: Some(_), .. } => {}
            Shown::Json { output, failed, cancel } => {
                *failed = output.json(event).err();
                if failed.is_some() {
                    cancel.cancel();
                }
            }
            Shown::Bar(bar) => bar.show(event),
            Shown::Lines(lines) => {
                if let Some(line) = lines.line(event, Instant::now()) {
                    tell!("{line}");
                }
            }
        }
    }

    /// Takes the bar away. Whatever is said next begins on a line of its own.
    ///
    /// # Errors
    /// Where the JSON could not be written.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self.shown.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Shown::Bar(bar) => bar.bar.finish_and_clear(),
            Shown::Json { failed: Some(error), .. } => return Err(error),
            Shown::Json { .. } | Shown::Lines(_) => {}
        }
        Ok(())
    }
}

/// What of an event is worth a line of its own wherever it is told.
fn notice(event: &PullEvent) -> Option<String> {
    match event {
        PullEvent::Waiting { path, what } => Some(format!("{}: waiting for {}", one_line(path), one_line(what))),
        PullEvent::Retrying { path, reason, attempt, wait_seconds } => Some(format!(
            "{}: {}; attempt {}{}",
            one_line(path),
            // Some reasons name the file themselves.
            one_line(reason.strip_prefix(path.as_str()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(reason)),
            attempt + 1,
            match whole_seconds(*wait_seconds) {
                0 => String::new(),
                seconds => format!(" in {}", time_text(seconds)),
            }
        )),
        PullEvent::Planned { .. }
        | PullEvent::Progress { .. }
        | PullEvent::Verified { .. }
        | PullEvent::Done { .. } => None,
    }
}

/// What is said before the hub is asked again.
pub(super) fn of_retry(retry: &Retry) -> String {
    let wait = time_text(whole_seconds(retry.wait.as_secs_f64()));
    format!("{}; attempt {} in {wait}", one_line(&retry.reason), retry.attempt + 1)
}

/// How far a pull is, never less far than it was: what has to be fetched once more makes the whole longer.
#[derive(Debug, Default)]
struct Extent {
    done: u64,
    total: u64,
    /// The largest share so far, in hundredths.
    percent: u64,
    bytes_per_second: u64,
    seconds_left: Option<u64>,
}

/// Of what was computed: never negative, and never more than can be shown.
fn whole_seconds(seconds: f64) -> u64 {
    seconds.ceil().clamp(0.0, 360_000_000.0) as u64
}

impl Extent {
    fn take(&mut self, event: &PullEvent) {
        match *event {
            PullEvent::Planned { total, here, .. } => {
                (self.done, self.total) = (self.done.max(here), total);
            }
            PullEvent::Progress { done, total, bytes_per_second, seconds_left } => {
                (self.done, self.total) = (self.done.max(done), total);
                self.bytes_per_second = bytes_per_second.clamp(0.0, 1e15) as u64;
                self.seconds_left = seconds_left.map(whole_seconds);
            }
            PullEvent::Waiting { .. }
            | PullEvent::Retrying { .. }
            | PullEvent::Verified { .. }
            | PullEvent::Done { .. } => {}
        }
        let percent = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        self.percent = self.percent.max(u64::try_from(percent).unwrap_or(100).min(100));
    }

    /// For people, in at most `columns` columns as far as that goes.
    fn text(&self, columns: usize) -> String {
        let percent = format!("{:3} %", self.percent);
        let bytes = format!("{} of {}", bytes_text(self.done), bytes_text(self.total));
        let speed = match self.bytes_per_second {
            0 => String::new(),
            speed => format!("{}/s", bytes_text(speed)),
        };
        let left = self.seconds_left.map(|seconds| format!("{} left", time_text(seconds))).unwrap_or_default();
        let joined = |parts: &[&str]| {
            let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
            parts.join(", ")
        };
        let longest_first = [
            joined(&[&percent, &bytes, &speed, &left]),
            joined(&[&percent, &speed, &left]),
            joined(&[&percent, &left]),
            percent.clone(),
        ];
        let fits = longest_first.iter().find(|text| text.chars().count() <= columns);
        fits.unwrap_or(&percent).clone()
    }
}

/// A bar that is drawn over and over on stderr's terminal.
struct Bar {
    bar: ProgressBar,
    extent: Extent,
    ascii: bool,
}

impl Bar {
    fn new(ascii: bool) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Narrow(stderr())), 10);
        let bar = ProgressBar::with_draw_target(Some(100), target);
        Self { bar, extent: Extent::default(), ascii }
    }

    fn show(&mut self, event: &PullEvent) {
        if let Some(notice) = notice(event) {
            self.bar.suspend(|| tell!("{notice}"));
        }
        self.extent.take(event);
        self.bar.set_style(style(bar_and_text(&self.extent, columns(), self.ascii)));
        self.bar.set_position(self.extent.percent);
    }
}

/// Stderr's terminal without its last columns: indicatif fills a line to its end, and the `^C` that a terminal echoes there
/// would begin a new one, so that another line than the bar's would be cleared.
#[derive(Debug)]
struct Narrow(Stderr);

/// What a terminal shows of Ctrl-C, and a column more.
const ECHOED: usize = 3;

/// Columns that may be drawn in.
fn columns() -> usize {
    let all = crossterm::terminal::size().map_or(USUAL_WIDTH, |(columns, _)| usize::from(columns));
    all.saturating_sub(ECHOED).max(1)
}

impl Narrow {
    fn write(&self, text: impl std::fmt::Display) -> io::Result<()> {
        write!(self.0.lock(), "{text}")
    }

    /// A movement of the cursor by `count`, none where that is nothing.
    fn by(&self, count: usize, letter: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { self.write(format_args!("\x1b[{count}{letter}")) }
    }
}

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        u16::try_from(columns()).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.by(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.by(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.by(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.by(count, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write(format_args!("{line}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.write(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        self.0.lock().flush()
    }
}

/// The one line that is drawn: it is made here, since only here it is known what to leave out on a narrow screen.
fn style(line: String) -> ProgressStyle {
    let write = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
        // Writing to memory does not fail.
        let _ = to.write_str(&line);
    };
    let plain = ProgressStyle::default_bar().template("{line}").unwrap_or_else(|_| ProgressStyle::default_bar());
    plain.with_key("line", write)
}

/// `━━━━──── 52 %, …`, a column narrower than the screen, so that no terminal breaks the line.
fn bar_and_text(extent: &Extent, columns: usize, ascii: bool) -> String {
    let columns = columns.saturating_sub(1);
    let text = extent.text(columns);
    let room = columns.saturating_sub(text.chars().count() + 1).min(LONGEST_BAR);
    if room < SHORTEST_BAR {
        return text;
    }
    let full = usize::try_from(extent.percent).unwrap_or(0) * room / 100;
    let (done, open) = if ascii { ("=", "-") } else { ("━", "─") };
    format!("{}{} {text}", done.repeat(full), open.repeat(room - full))
}

/// Lines for a log, a few a minute.
#[derive(Debug, Default)]
struct Lines {
    extent: Extent,
    /// When the last line was written; none before the first event.
    last: Option<Instant>,
}

impl Lines {
    /// What is to be said at this moment.
    fn line(&mut self, event: &PullEvent, now: Instant) -> Option<String> {
        self.extent.take(event);
        let last = *self.last.get_or_insert(now);
        match event {
            PullEvent::Planned { files, total, here } => {
                let files = if *files == 1 { "1 file".to_owned() } else { format!("{files} files") };
                let here = if *here > 0 { format!(", {} of it here", bytes_text(*here)) } else { String::new() };
                Some(format!("{files}, {}{here}", bytes_text(*total)))
            }
            PullEvent::Progress { .. } if now.duration_since(last) >= BETWEEN_LINES => {
                self.last = Some(now);
                Some(self.extent.text(usize::MAX).trim_start().to_owned())
            }
            PullEvent::Progress { .. } | PullEvent::Verified { .. } | PullEvent::Done { .. } => None,
            PullEvent::Waiting { .. } | PullEvent::Retrying { .. } => notice(event),
        }
    }
}

#[cfg(test)]
mod tests;
