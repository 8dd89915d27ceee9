//! The table that the README shows.

use std::fmt::Write;
use std::time::Duration;

use super::case::Case;
use super::measure::Description;

/// A block of GPT-2 small goes through the first four shapes, and there are this many; the last shape is its vocabulary
/// projection.
const BLOCKS: f64 = 12.0;

/// One approach's median time for one product of each case; `None` where it does not apply.
pub struct TimingRow {
    pub approach: Description,
    pub times: Vec<Option<Duration>>,
}

/// Floating-point operations of one product.
pub fn operations(case: &Case) -> f64 {
    2.0 * (case.inputs * case.outputs * case.tokens) as f64
}

/// The first row is what the others are compared with. A case may have fewer tokens than the first one: in the sums over
/// the model its product counts as often as it takes to reach them.
pub fn markdown(cases: &[Case], rows: &[TimingRow]) -> String {
    let tokens = cases.first().map_or(0, |case| case.tokens) as f64;
    let weigh = |index: usize| {
        let times = if index + 1 < cases.len() { BLOCKS } else { 1.0 };
        times * tokens / cases[index].tokens as f64
    };
    let whole: f64 = cases.iter().enumerate().map(|(index, case)| weigh(index) * operations(case)).sum();
    let seconds = |row: &TimingRow| -> Option<f64> {
        row.times.iter().enumerate().map(|(index, time)| Some(weigh(index) * time.as_ref()?.as_secs_f64())).sum()
    };
    let first = rows.first().and_then(seconds);

    let mut table = format!("| {tokens} token{} | threads |", if tokens == 1.0 { "" } else { "s" });
    for case in cases {
        let fewer = if case.tokens as f64 == tokens { String::new() } else { format!(" ({} tokens)", case.tokens) };
        let _ = write!(table, " {}x{}{fewer}, ms |", case.inputs, case.outputs);
    }
    let _ = writeln!(table, " GPT-2, tok/s | GFLOP/s | x plain |");
    let _ = writeln!(table, "|---|{}", "---|".repeat(cases.len() + 4));
    for row in rows {
        let _ = write!(table, "| {} | {} |", row.approach.name, row.approach.threads);
        for time in &row.times {
            let cell = time.map_or("".to_owned(), |time| significant(1000.0 * time.as_secs_f64()));
            let _ = write!(table, " {cell} |");
        }
        let (Some(seconds), Some(first)) = (seconds(row), first) else {
            let _ = writeln!(table, " | | |");
            continue;
        };
        let [speed, rate, ratio] = [tokens / seconds, whole / seconds / 1e9, first / seconds].map(significant);
        let _ = writeln!(table, " {speed} | {rate} | {ratio} |");
    }
    table
}

/// With three digits that say something.
fn significant(value: f64) -> String {
    let decimals = (2 - value.max(1e-3).log10().floor() as i32).clamp(0, 4) as usize;
    format!("{value:.decimals$}")
}
