//! Random numbers for filters that draw some.

use rand_pcg::Pcg32;

use super::Filter;

/// How many numbers a filter may take for one token before it meets those of the next: a power of two.
const NUMBERS_PER_TOKEN: u64 = 1 << 16;

/// The random numbers of one place of a reply.
///
/// Each filter has a sequence of its own, which follows from the seed and its name alone, and each place of the reply its
/// own part of it. So a filter meets the same numbers whatever the others draw, whether it was on before, and whether a
/// token is drawn or the distribution only looked at; the draw itself has a sequence of its own, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dice {
    seed: u64,
    place: u64,
}

impl Dice {
    /// Those of the token that is chosen after `place` others, in a reply with this seed.
    pub fn new(seed: u64, place: u64) -> Self {
        Self { seed, place }
    }

    /// The generator of a filter, at this place.
    pub fn generator(self, filter: Filter) -> Pcg32 {
        let mut generator = Pcg32::new(self.seed, stream(filter.name()));
        generator.advance(self.place.wrapping_mul(NUMBERS_PER_TOKEN));
        generator
    }

    /// The dice of the next place.
    pub(super) fn next(self) -> Self {
        Self { place: self.place.wrapping_add(1), ..self }
    }
}

/// Which of the generator's sequences a filter has: the FNV-1a hash of its name, so that filters which come later leave it
/// as it is.
fn stream(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use rand_pcg::rand_core::Rng;

    use super::*;

    #[test]
    fn numbers_follow_from_seed_filter_and_place() {
        let first = |seed, place, filter| Dice::new(seed, place).generator(filter).next_u64();
        let one = first(7, 3, Filter::TopK);
        assert_eq!(first(7, 3, Filter::TopK), one);
        assert_eq!(Dice::new(7, 2).next().generator(Filter::TopK).next_u64(), one);
        for other in [first(8, 3, Filter::TopK), first(7, 4, Filter::TopK), first(7, 3, Filter::TopP)] {
            assert_ne!(other, one);
        }
    }
}
