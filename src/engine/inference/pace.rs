//! How long passes take, and whether drafts have been worth it.

use std::time::Duration;

/// How much a new measurement moves an estimate.
const NEWS: f64 = 0.15;
/// A pass that took longer than so many times what was expected was disturbed: it counts as that.
const MOST_SURPRISE: f64 = 2.0;
/// What each token more is taken to cost, in passes of one token, before any was measured.
const USUAL_EXTRA: f64 = 0.5;
/// Sizes of a pass from which on another class begins: kernels compute tokens in tiles.
const SIZES: [usize; 4] = [2, 3, 5, 9];
/// Share of the time without drafts that may be lost by drafts.
const SHARE_TO_RISK: f64 = 0.01;
/// Passes of one token that may be lost at the start, and after drafts that were worth it.
const MOST_TO_RISK: f64 = 3.0;

/// The time of passes, learned as they are made, and the balance of what drafts have won and lost.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Seconds of a pass of one token.
    single: Option<f64>,
    /// What each token behind the first adds to a pass, in passes of one token, for each class of sizes.
    extra: [Option<f64>; SIZES.len()],
    /// Passes of one token that may still be lost.
    to_risk: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { single: None, extra: [None; SIZES.len()], to_risk: MOST_TO_RISK }
    }
}

impl Pace {
    /// Whether a draft may be tried: passes of one token are known, and not too much was lost lately. So even where every
    /// draft disappoints, a reply takes hardly more than one part in a hundred longer.
    pub fn affords_draft(&self) -> bool {
        self.single.is_some() && self.to_risk > 0.0
    }

    /// The time of a pass of `tokens`, in passes of one token.
    pub fn relative_cost(&self, tokens: usize) -> f32 {
        (1.0 + tokens.saturating_sub(1) as f64 * self.extra(tokens)) as f32
    }

    /// Of a size that was not measured yet, as of the nearest one.
    fn extra(&self, tokens: usize) -> f64 {
        let class = class(tokens);
        let nearest = (0..SIZES.len()).filter_map(|at| Some((at.abs_diff(class), self.extra[at]?)));
        nearest.min_by_key(|(distance, _)| *distance).map_or(USUAL_EXTRA, |(_, extra)| extra)
    }

    /// A pass of `tokens` tokens took `time`.
    pub(super) fn note_pass(&mut self, tokens: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        match self.single {
            _ if tokens == 1 => {
                self.single = Some(self.single.map_or(seconds, |single| moved(single, seconds.min(MOST_SURPRISE * single))));
                self.earn(SHARE_TO_RISK);
            }
            Some(single) if single > 0.0 => {
                let expected = f64::from(self.relative_cost(tokens));
                let cost = (seconds / single).min(MOST_SURPRISE * expected);
                let extra = ((cost - 1.0) / (tokens - 1) as f64).max(0.0);
                let known = &mut self.extra[class(tokens)];
                *known = Some(known.map_or(extra, |known| moved(known, extra)));
                self.to_risk -= (cost - 1.0).max(0.0);
            }
            _ => {}
        }
    }

    /// A drafted token came true: a pass was saved.
    pub(super) fn note_accepted(&mut self) {
        self.earn(1.0);
    }

    fn earn(&mut self, passes: f64) {
        self.to_risk = (self.to_risk + passes).min(MOST_TO_RISK);
    }
}

fn moved(estimate: f64, measured: f64) -> f64 {
    estimate + NEWS * (measured - estimate)
}

fn class(tokens: usize) -> usize {
    SIZES.iter().rposition(|&least| tokens >= least).unwrap_or(0)
}
