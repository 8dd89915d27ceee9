//! What a number of a configuration may be.

use std::fmt;

/// The least that a number may be; it is finite besides, in the single precision that is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// 0 or more.
    Zero,
    /// More than 0.
    AboveZero,
}

impl Bound {
    /// Whether `number` is within; what is no number is not.
    pub fn holds(self, number: f64) -> bool {
        let single = number as f32;
        single.is_finite()
            && match self {
                Self::Zero => number >= 0.0,
                Self::AboveZero => single > 0.0,
            }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "a number of 0 or more",
            Self::AboveZero => "a number above 0",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_in_no_bound() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e40] {
            assert!(!Bound::Zero.holds(number) && !Bound::AboveZero.holds(number), "{number}");
        }
        assert!(Bound::Zero.holds(0.0) && !Bound::AboveZero.holds(0.0));
        assert!(!Bound::AboveZero.holds(1e-60), "computed with, it is 0");
        assert!(Bound::AboveZero.holds(1e-6));
    }
}
