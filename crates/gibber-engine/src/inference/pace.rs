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
/// How many times as fast as without it a draft must promise to be.
pub(crate) const LEAST_GAIN: f32 = 1.07;
/// So much more for each pass of one token that drafts have lost beyond what may be lost.
const CAUTION: f64 = 0.1;
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
    /// Passes of one token that may still be lost; below 0 what was lost beyond that.
    to_risk: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { single: None, extra: [None; SIZES.len()], to_risk: MOST_TO_RISK }
    }
}

impl Pace {
    /// How many times as fast as without it a draft must promise to be, for all that is known of the passes so far; `None`
    /// before any was made. It grows with what drafts have lost, so that where all of them disappoint a reply takes
    /// hardly more than one part in a hundred longer.
    pub fn least_gain(&self) -> Option<f32> {
        self.single.map(|_| LEAST_GAIN + (CAUTION * -self.to_risk).max(0.0) as f32)
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
    pub(crate) fn note_pass(&mut self, tokens: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        match self.single {
            _ if tokens == 1 => {
                self.single =
                    Some(self.single.map_or(seconds, |single| moved(single, seconds.min(MOST_SURPRISE * single))));
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
    pub(crate) fn note_accepted(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SINGLE: Duration = Duration::from_millis(10);

    fn pass(pace: &mut Pace, tokens: usize, cost: f64) {
        pace.note_pass(tokens, SINGLE.mul_f64(cost));
    }

    #[test]
    fn nothing_is_drafted_before_a_pass_was_timed() {
        let mut pace = Pace::default();
        assert_eq!(pace.least_gain(), None);
        pass(&mut pace, 8, 2.0);
        assert_eq!(pace.least_gain(), None, "what one token takes is not known");
        pass(&mut pace, 1, 1.0);
        assert_eq!(pace.least_gain(), Some(LEAST_GAIN));
    }

    #[test]
    fn costs_are_learned_by_size_and_guessed_from_the_nearest() {
        let mut pace = Pace::default();
        assert_eq!(pace.relative_cost(1), 1.0);
        assert_eq!(pace.relative_cost(3), 2.0);
        pass(&mut pace, 1, 1.0);
        for _ in 0..60 {
            pass(&mut pace, 16, 4.0);
            pass(&mut pace, 4, 2.5);
        }
        assert!((pace.relative_cost(16) - 4.0).abs() < 0.01);
        assert!((pace.relative_cost(4) - 2.5).abs() < 0.01);
        assert!((pace.relative_cost(2) - 1.5).abs() < 0.01, "as for 4");
        assert!((pace.relative_cost(11) - 3.0).abs() < 0.01, "as for 16");
    }

    #[test]
    fn a_disturbed_pass_counts_as_twice_what_was_expected() {
        let mut pace = Pace::default();
        pass(&mut pace, 1, 1.0);
        pass(&mut pace, 1, 500.0);
        assert_eq!(pace.single, Some(0.010 * (1.0 + NEWS)));
        let mut pace = Pace::default();
        pass(&mut pace, 1, 1.0);
        pass(&mut pace, 5, 1.5);
        pass(&mut pace, 5, 500.0);
        assert!((pace.relative_cost(5) - (1.5 + NEWS as f32 * 1.5)).abs() < 0.01, "{}", pace.relative_cost(5));
        assert_eq!(pace.least_gain(), Some(LEAST_GAIN), "less was lost than may be");
    }

    /// However often a draft promises much and nothing of it comes true, what that costs stays a small part of the whole.
    #[test]
    fn what_drafts_may_lose_is_bounded() {
        let mut pace = Pace::default();
        let (mut passes, mut lost) = (0.0, 0.0);
        pass(&mut pace, 1, 1.0);
        while passes < 5000.0 {
            if pace.least_gain().unwrap() < 2.0 {
                pass(&mut pace, 4, 3.0);
                lost += 2.0;
            } else {
                pass(&mut pace, 1, 1.0);
            }
            passes += 1.0;
        }
        let to_caution = (2.0 - f64::from(LEAST_GAIN)) / CAUTION;
        let bound = MOST_TO_RISK + to_caution + 2.0 + SHARE_TO_RISK * passes;
        assert!(lost > 0.0 && lost <= bound && lost < 0.02 * passes, "{lost} of {passes}");
    }

    #[test]
    fn drafts_that_come_true_go_on_for_ever() {
        let mut pace = Pace::default();
        pass(&mut pace, 1, 1.0);
        for _ in 0..1000 {
            assert_eq!(pace.least_gain(), Some(LEAST_GAIN));
            pass(&mut pace, 8, 3.0);
            (0..4).for_each(|_| pace.note_accepted());
        }
    }
}
