//! Fetching what is multiplied next while a thread would only wait.
//!
//! A token's time goes into reading weights, and memory stands still while threads wait for each other or for the few
//! steps that one of them does alone. Which matrix comes next is known from the token before; so whoever waits asks the
//! processor for its first bytes.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that a thread fetches in one wait, at most: a wait is a few microseconds, and the cache has other work.
const LIMIT: usize = 96 << 10;
/// Bytes of a line of the cache.
const LINE: usize = 64;
/// Lines asked for between two looks at the work.
const LINES: usize = 2;

/// Memory that is read soon, shared out in pieces. Addresses are only asked for, never read: one that is no longer ours
/// does no harm, and neither do values that do not belong together.
#[derive(Debug, Default)]
pub struct Upcoming {
    start: AtomicUsize,
    len: AtomicUsize,
    piece: AtomicUsize,
}

impl Upcoming {
    /// `len` bytes from `start` on, which threads will read in pieces of `piece` bytes.
    pub fn set(&self, start: *const u8, len: usize, piece: usize) {
        self.start.store(start.addr(), Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        self.piece.store(piece, Ordering::Relaxed);
    }

    /// The same as `other`.
    pub fn copy(&self, other: &Self) {
        self.start.store(other.start.load(Ordering::Relaxed), Ordering::Relaxed);
        self.len.store(other.len.load(Ordering::Relaxed), Ordering::Relaxed);
        self.piece.store(other.piece.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// How far a thread has fetched.
#[derive(Debug)]
pub(super) struct Fetching {
    thread: usize,
    threads: usize,
    start: usize,
    offset: usize,
    /// Where the piece ends that `offset` is in.
    end: usize,
    left: usize,
}

impl Fetching {
    pub(super) fn new(thread: usize, threads: usize) -> Self {
        Self { thread, threads, start: 0, offset: 0, end: 0, left: 0 }
    }

    /// Asks for the next lines; returns whether there were any. Threads mostly claim pieces in turn, so each fetches its
    /// own.
    pub(super) fn step(&mut self, upcoming: &Upcoming) -> bool {
        let start = upcoming.start.load(Ordering::Relaxed);
        let piece = upcoming.piece.load(Ordering::Relaxed);
        if start != self.start {
            (self.start, self.offset, self.left) = (start, self.thread * piece, LIMIT);
            self.end = self.offset + piece;
        }
        if start == 0 || piece == 0 || self.left == 0 || self.offset >= upcoming.len.load(Ordering::Relaxed) {
            return false;
        }
        for _ in 0..LINES {
            prefetch(start.wrapping_add(self.offset));
            self.offset += LINE;
            if self.offset >= self.end {
                self.offset = self.end + (self.threads - 1) * piece;
                self.end = self.offset + piece;
            }
        }
        self.left = self.left.saturating_sub(LINES * LINE);
        true
    }
}

#[cfg(target_arch = "x86_64")]
fn prefetch(address: usize) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: every x86-64 has SSE, and a prefetch of any address is only a hint.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::without_provenance(address)) }
}

#[cfg(target_arch = "aarch64")]
fn prefetch(address: usize) {
    // SAFETY: every 64-bit ARM has the instruction, and a prefetch of any address is only a hint.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{at}]", at = in(reg) address, options(nomem, nostack, preserves_flags));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn prefetch(_: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_fetches_its_own_pieces_once_and_begins_again_with_other_memory() {
        let memory = [0_u8; 4096];
        let upcoming = Upcoming::default();
        let mut fetching = Fetching::new(1, 2);
        assert!(!fetching.step(&upcoming), "there is nothing yet");
        upcoming.set(memory.as_ptr(), memory.len(), 1024);
        let mut offsets = Vec::new();
        while fetching.step(&upcoming) {
            offsets.push(fetching.offset);
        }
        // The second piece and the fourth, two lines at a time.
        assert_eq!(offsets.len(), 2 * 1024 / (LINES * LINE));
        assert!(offsets.contains(&(3 * 1024)) && offsets.last() == Some(&(5 * 1024)), "{offsets:?}");
        let next = Upcoming::default();
        next.set(memory[64..].as_ptr(), 2048, 1024);
        upcoming.copy(&next);
        assert!(fetching.step(&upcoming));
    }

    #[test]
    fn a_wait_fetches_no_more_than_its_limit() {
        let upcoming = Upcoming::default();
        upcoming.set([0_u8; 64].as_ptr(), usize::MAX / 2, 1 << 20);
        let mut fetching = Fetching::new(0, 1);
        let steps = std::iter::from_fn(|| fetching.step(&upcoming).then_some(())).count();
        assert_eq!(steps * LINES * LINE, LIMIT);
    }
}
