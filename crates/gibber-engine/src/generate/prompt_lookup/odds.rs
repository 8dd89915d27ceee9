//! How often a place that was found says what comes next.

/// Lengths of a match from which on a class begins.
const CLASSES: [usize; 6] = [2, 3, 4, 6, 10, 16];
/// How often each class is right in replies of a small chat model, over questions, stories, code and corrected texts.
const USUAL: [f32; 6] = [0.4, 0.6, 0.7, 0.8, 0.87, 0.95];
/// Draws that the usual rate counts for.
const WEIGHT_OF_USUAL: f32 = 4.0;
/// Draws that count at the most: what was longer ago is forgotten by and by.
const MEMORY: f32 = 24.0;

/// For each class of matches, the share of draws that its places foretold. Every token of the reply is a trial, whether it
/// was drafted or not.
#[derive(Debug)]
pub(super) struct Odds {
    /// Draws that were foretold, and draws, of each class.
    counts: [(f32, f32); CLASSES.len()],
}

impl Odds {
    pub(super) fn new() -> Self {
        Self { counts: USUAL.map(|rate| (rate * WEIGHT_OF_USUAL, WEIGHT_OF_USUAL)) }
    }

    /// The chance that a place where `length` tokens match says what comes next.
    pub(super) fn of(&self, length: usize) -> f32 {
        let (right, all) = self.counts[class(length)];
        right / all
    }

    /// Takes in whether such a place was right.
    pub(super) fn note(&mut self, length: usize, is_right: bool) {
        let (right, all) = &mut self.counts[class(length)];
        *right += f32::from(u8::from(is_right));
        *all += 1.0;
        if *all > MEMORY {
            *right *= MEMORY / *all;
            *all = MEMORY;
        }
    }
}

fn class(length: usize) -> usize {
    CLASSES.iter().rposition(|&least| length >= least).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_start_at_the_usual_and_follow_what_happens() {
        let mut odds = Odds::new();
        assert_eq!(odds.of(2), USUAL[0]);
        assert_eq!(odds.of(1000), USUAL[5]);
        for _ in 0..200 {
            odds.note(5, false);
        }
        assert!(odds.of(5) < 0.01);
        assert_eq!(odds.of(6), USUAL[3], "the other classes stay");
        for _ in 0..200 {
            odds.note(5, true);
        }
        assert!(odds.of(4) > 0.99 && odds.of(4) <= 1.0);
    }

    #[test]
    fn a_length_belongs_to_the_class_that_begins_last_before_it() {
        let classes: Vec<usize> = (1..18).map(class).collect();
        assert_eq!(classes, [0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5]);
    }
}
