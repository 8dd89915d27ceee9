//! Where the last tokens stood before.

use crate::TokenId;

/// Tokens that must be the same, at the least, for a place to be found.
const SHORTEST_MATCH: usize = 2;
/// Beyond it a match is not measured.
const LONGEST_MATCH: usize = 32;
/// Places that are looked at, the latest first: in a text full of one pair of tokens there is one for each of them.
const MOST_PLACES: usize = 64;
const BUCKET_BITS: u32 = 13;
/// No place.
const NONE: u32 = u32::MAX;

/// A place where the last tokens stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// How many of the last tokens stand there as well.
    pub(super) length: usize,
    /// Index of the token after them.
    pub(super) next: usize,
}

impl Match {
    /// The same place once its next token has come.
    pub(super) fn one_on(self) -> Self {
        Self { length: self.length + 1, next: self.next + 1 }
    }
}

/// The places of every pair of tokens, as a chain for each hash: the latest, and from each the one before. A token is
/// added in constant time, and nothing is read again (the match finder of LZ77 compressors, RFC 1951 section 4).
#[derive(Debug)]
pub(super) struct NgramIndex {
    /// For each hash, the index of the token after its latest pair.
    latest: Vec<u32>,
    /// For each index, the one before it whose pair has the same hash; as long as the tokens that were taken in, less the
    /// last, which nothing follows yet.
    earlier: Vec<u32>,
}

impl NgramIndex {
    /// With room for `tokens` tokens; more of them need more memory.
    pub(super) fn new(tokens: usize) -> Self {
        Self { latest: Vec::new(), earlier: Vec::with_capacity(tokens) }
    }

    pub(super) fn clear(&mut self) {
        self.latest.clear();
        self.earlier.clear();
    }

    /// Takes in the tokens that are new at the end of `tokens`.
    pub(super) fn extend(&mut self, tokens: &[TokenId]) {
        if self.latest.is_empty() {
            self.latest.resize(1 << BUCKET_BITS, NONE);
        }
        for next in self.earlier.len()..tokens.len() {
            let before = match bucket(&tokens[..next]) {
                Some(bucket) => std::mem::replace(&mut self.latest[bucket], next as u32),
                None => NONE,
            };
            self.earlier.push(before);
        }
    }

    /// The longest match of the end of `tokens` among the latest places; of equals the latest.
    pub(super) fn longest_match(&self, tokens: &[TokenId]) -> Option<Match> {
        let mut next = *self.latest.get(bucket(tokens)?)?;
        let mut best = Match { length: SHORTEST_MATCH - 1, next: 0 };
        for _ in 0..MOST_PLACES {
            if next == NONE {
                break;
            }
            let length = common_end(&tokens[..next as usize], tokens);
            if length > best.length {
                best = Match { length, next: next as usize };
            }
            next = self.earlier[next as usize];
        }
        (best.length >= SHORTEST_MATCH).then_some(best)
    }
}

/// The bucket of the pair that `tokens` end with (Fibonacci hashing, Knuth volume 3, section 6.4).
fn bucket(tokens: &[TokenId]) -> Option<usize> {
    let [.., a, b] = *tokens else { return None };
    let hash = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((hash >> (u64::BITS - BUCKET_BITS)) as usize)
}

/// How many tokens two texts end with together, up to [`LONGEST_MATCH`].
fn common_end(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take(LONGEST_MATCH).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest by looking everywhere.
    fn by_hand(tokens: &[TokenId]) -> usize {
        (0..tokens.len()).map(|next| common_end(&tokens[..next], tokens)).max().unwrap_or(0)
    }

    #[test]
    fn the_longest_match_is_found_and_the_latest_of_equals() {
        let tokens = [1, 2, 3, 9, 2, 3, 8, 1, 2, 3, 7, 2, 3, 6, 1, 2, 3];
        let mut index = NgramIndex::new(0);
        index.extend(&tokens);
        assert_eq!(index.longest_match(&tokens), Some(Match { length: 3, next: 10 }));
        index.extend(&[&tokens[..], &[9, 2, 3]].concat());
        assert_eq!(index.longest_match(&[&tokens[..], &[9, 2, 3]].concat()), Some(Match { length: 6, next: 6 }));
    }

    #[test]
    fn token_by_token_is_as_all_at_once_and_as_by_hand() {
        // Few different tokens, so that matches of all lengths turn up.
        let mut state = 1_u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) % 6
        };
        let tokens: Vec<TokenId> = (0..300).map(|_| draw()).collect();
        let mut grown = NgramIndex::new(0);
        for n in 0..=tokens.len() {
            let tokens = &tokens[..n];
            grown.extend(tokens);
            let mut whole = NgramIndex::new(0);
            whole.extend(tokens);
            let found = grown.longest_match(tokens);
            assert_eq!(found, whole.longest_match(tokens));
            let length = by_hand(tokens);
            assert_eq!(found.map(|found| found.length), (length >= SHORTEST_MATCH).then_some(length), "{n} tokens");
            if let Some(Match { length, next }) = found {
                assert!(next < n, "something follows");
                assert_eq!(tokens[next - length..next], tokens[n - length..]);
            }
        }
    }

    #[test]
    fn a_match_may_overlap_the_end_and_is_measured_up_to_a_limit() {
        let tokens = [5; 100];
        let mut index = NgramIndex::new(0);
        index.extend(&tokens);
        assert_eq!(index.longest_match(&tokens), Some(Match { length: LONGEST_MATCH, next: 99 }));
    }

    #[test]
    fn one_token_and_none_match_nothing() {
        let mut index = NgramIndex::new(0);
        assert_eq!(index.longest_match(&[]), None);
        index.extend(&[4]);
        assert_eq!(index.longest_match(&[4]), None);
        index.extend(&[4, 4]);
        assert_eq!(index.longest_match(&[4, 4]), None, "the pair has only itself");
        index.clear();
        assert_eq!(index.longest_match(&[4, 4, 4]), None);
    }
}
