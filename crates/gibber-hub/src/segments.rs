//! Which bytes of a file are there, which are on their way, and which are to be asked for next.

use std::collections::BTreeMap;
use std::ops::Range;

use rangemap::RangeSet;

/// Bytes that one request asks for at most, and so what is lost at most of a range whose program is killed: whatever the
/// system's buffers held. Such requests follow one another on a connection that stays open, and several of those hide the
/// way there and back.
pub(crate) const REQUEST: u64 = 1 << 20;

/// Some bytes of the partial file that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Of its first byte.
    pub(crate) start: u64,
    /// Behind its last.
    pub(crate) end: u64,
    /// The checksum of its bytes.
    pub(crate) checksum: u64,
}

/// A file of a known size, in segments. Those that are there do not overlap.
#[derive(Debug)]
pub(crate) struct SegmentMap {
    size: u64,
    /// What is there, by where it begins.
    there: BTreeMap<u64, Segment>,
    /// What is there or on its way.
    taken: RangeSet<u64>,
}

impl SegmentMap {
    /// With `segments` there, of which a later one stands for what it overlaps.
    pub(crate) fn new(size: u64, segments: impl IntoIterator<Item = Segment>) -> Self {
        let mut map = Self { size, there: BTreeMap::new(), taken: RangeSet::new() };
        for segment in segments {
            map.insert(segment);
        }
        map
    }

    /// `segment` is there.
    pub(crate) fn insert(&mut self, segment: Segment) {
        let overlapping: Vec<u64> = self
            .there
            .range(..segment.end)
            .rev()
            // They do not overlap one another: further to the left none ends later.
            .take_while(|(_, other)| other.end > segment.start)
            .map(|(start, _)| *start)
            .collect();
        for start in overlapping {
            self.remove(start);
        }
        self.there.insert(segment.start, segment);
        self.taken.insert(segment.start..segment.end);
    }

    /// What was there from `start` on is not.
    pub(crate) fn remove(&mut self, start: u64) -> Option<Segment> {
        let segment = self.there.remove(&start)?;
        self.taken.remove(segment.start..segment.end);
        Some(segment)
    }

    /// The segment that begins at `start`.
    pub(crate) fn at(&self, start: u64) -> Option<Segment> {
        self.there.get(&start).copied()
    }

    /// Takes the first bytes that nobody has taken, up to `most` and to where the next request begins.
    pub(crate) fn claim(&mut self, most: u64) -> Option<Range<u64>> {
        let gap = self.next_gap()?;
        let boundary = (gap.start / most + 1).saturating_mul(most);
        let range = gap.start..gap.end.min(boundary);
        self.taken.insert(range.clone());
        Some(range)
    }

    /// Gives back what did not come of a claim.
    pub(crate) fn release(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.taken.remove(range.clone());
        let there = self.there.range(..range.end).rev().map(|(_, segment)| segment.start..segment.end);
        for there in there.take_while(|there| there.end > range.start) {
            self.taken.insert(there);
        }
    }

    /// The first bytes that nobody has taken.
    pub(crate) fn next_gap(&self) -> Option<Range<u64>> {
        (self.size > 0).then(|| self.taken.gaps(&(0..self.size)).next()).flatten()
    }

    /// What nobody has taken within `range`.
    #[cfg(test)]
    pub(crate) fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        if range.is_empty() { Vec::new() } else { self.taken.gaps(&range).collect() }
    }

    /// How many bytes are there.
    pub(crate) fn bytes(&self) -> u64 {
        self.there.values().map(|segment| segment.end - segment.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(range: Range<u64>) -> Segment {
        Segment { start: range.start, end: range.end, checksum: 0 }
    }

    #[test]
    fn requests_fill_the_gaps_from_the_front() {
        let mut map = SegmentMap::new(25, [segment(3..5), segment(8..12)]);
        let claims: Vec<_> = std::iter::from_fn(|| map.claim(10)).collect();
        assert_eq!(claims, [0..3, 5..8, 12..20, 20..25]);
        map.insert(segment(12..14));
        map.release(12..20);
        assert_eq!(map.claim(10), Some(14..20));
        assert_eq!(map.bytes(), 2 + 4 + 2);
    }

    #[test]
    fn a_later_segment_stands_for_what_it_overlaps() {
        let map = SegmentMap::new(100, [segment(0..10), segment(10..20), segment(20..30), segment(5..25)]);
        assert_eq!((map.at(0), map.at(10), map.at(20)), (None, None, None));
        assert_eq!(map.at(5), Some(segment(5..25)));
        assert_eq!(map.gaps(0..100), [0..5, 25..100]);
    }

    #[test]
    fn what_turns_out_wrong_is_asked_for_again() {
        let mut map = SegmentMap::new(20, [segment(0..10), segment(10..20)]);
        assert_eq!(map.claim(10), None);
        assert_eq!(map.remove(10), Some(segment(10..20)));
        assert_eq!(map.claim(10), Some(10..20));
        assert_eq!(SegmentMap::new(0, []).next_gap(), None);
    }
}
