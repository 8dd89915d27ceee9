//! Where the time of a reply went: a row for each part, with its milliseconds and its share as a bar.

use std::time::Duration;

use super::ReplySummary;

/// Columns of a bar.
const BAR: usize = 12;

/// No person chooses so fast.
const A_MOMENT: Duration = Duration::from_millis(20);

/// The parts of a reply's time, in the order in which they come: loading the model, prefill, the forward passes of the
/// tokens, sampling, and drawing, which goes on beside the engine.
pub(super) fn rows(summary: &ReplySummary) -> Vec<String> {
    let stats = &summary.stats;
    let parts = [
        ("load", summary.load_time),
        ("prefill", stats.prefill_time),
        ("decode", stats.forward_time),
        ("sample", stats.sample_time),
        ("draw", summary.draw_time),
    ];
    let whole = parts.iter().map(|(_, time)| time.as_secs_f64()).sum::<f64>().max(f64::MIN_POSITIVE);
    let row = |(name, time): &(&str, Duration)| {
        let share = time.as_secs_f64() / whole;
        format!("{name:<8} {:>8} ms {:<BAR$} {:>5.1} %", milliseconds(*time), bar(share, BAR), share * 100.0)
    };
    // The line REPL draws nothing, and only one reply waits for the model to be loaded.
    let is_part = |(name, time): &&(&str, Duration)| !matches!(*name, "draw" | "load") || !time.is_zero();
    let mut rows: Vec<String> = parts.iter().filter(is_part).map(row).collect();
    // The time of a person is no part of what the program took. A moment is what asking for it takes.
    if stats.paused_time >= A_MOMENT {
        rows.push(format!("{:<8} {:>8} ms while you chose", "paused", milliseconds(stats.paused_time)));
    }
    rows
}

fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.2}") } else { format!("{milliseconds:.0}") }
}

/// A bar of eighths of a column, of `width` columns for the whole; a share of more than nothing is seen.
pub fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    // A hair less, since a share that is a whole number of eighths may be computed as a hair more.
    let eighths = ((share * (width * 8) as f64 - 1e-6).ceil() as usize).min(width * 8);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).map(|at| EIGHTHS[at]));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::protocol::{FinishReason, GenerationStats};

    #[test]
    fn each_part_has_its_milliseconds_and_its_share() {
        let milliseconds = Duration::from_millis;
        let stats = GenerationStats {
            prefill_time: milliseconds(250),
            forward_time: milliseconds(600),
            sample_time: milliseconds(9),
            ..GenerationStats::default()
        };
        let (draw_time, load_time) = (milliseconds(41), milliseconds(100));
        let summary = ReplySummary { draw_time, load_time, ..ReplySummary::new(FinishReason::EndOfTurn, stats) };
        let shown = rows(&summary);
        let expected = [
            "load          100 ms █▎            10.0 %",
            "prefill       250 ms ███           25.0 %",
            "decode        600 ms ███████▎      60.0 %",
            "sample       9.00 ms ▏              0.9 %",
            "draw           41 ms ▌              4.1 %",
        ];
        assert_eq!(shown, expected);
        let asked = GenerationStats { paused_time: Duration::from_micros(80), ..summary.stats.clone() };
        assert_eq!(rows(&ReplySummary { stats: asked, ..summary.clone() }), expected);
        let paused = GenerationStats { paused_time: milliseconds(12_345), ..summary.stats.clone() };
        let shown = rows(&ReplySummary { stats: paused, ..summary.clone() });
        assert_eq!(shown.last().unwrap(), "paused      12345 ms while you chose");
        let later = rows(&ReplySummary { load_time: Duration::ZERO, ..summary });
        assert!(later[0].starts_with("prefill"), "the model was there already: {later:?}");
        let nothing = ReplySummary::new(FinishReason::Cancelled, GenerationStats::default());
        assert_eq!(rows(&nothing).len(), 3, "nothing is drawn by the line REPL");
        assert!(rows(&nothing)[0].ends_with(" 0.0 %"), "nothing is divided by nothing");
    }

    #[test]
    fn a_bar_is_empty_only_for_nothing_and_never_too_long() {
        assert_eq!([0.0, 0.0001, 1.0, 1.2].map(|share| bar(share, 5)), ["", "▏", "█████", "█████"]);
    }
}
