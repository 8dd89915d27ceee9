//! The persistent threads that share the work of one operation.
//!
//! An operation is cut into pieces; every thread, the caller included, claims the next piece until none is left. A
//! thread that the system has taken off its core therefore costs at most the piece it holds: the others take the rest,
//! and nobody waits for a thread that has claimed nothing. Between operations the helpers spin a short while (the next
//! operation is mostly a few microseconds away), then sleep, so that an idle program uses no processor time.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

pub use super::cores::{default_threads, useful_threads};
use super::prefetch::{Fetching, Upcoming};

/// How often a helper looks for work before it sleeps: about a third of a millisecond, longer than a token takes to be
/// sampled, told and listed with its alternatives. To be woken would cost it more.
const SPINS_BEFORE_SLEEP: u32 = 12_000;
/// How often the caller looks for the last pieces before it offers its core to others.
const SPINS_BEFORE_YIELD: u32 = 1_000;

/// How often the caller looks after that, its core offered to others each time, until a helper that holds a piece counts as
/// taken off its own core: a third of a millisecond where nobody takes the caller's.
const YIELDS_BEFORE_ALONE: usize = 1_000;
/// How long the caller then computes by itself, the first time: what takes a helper off its core is most often over soon, as
/// the drawing of a screen is.
const LEAST_ALONE: Duration = Duration::from_millis(1);

/// How long at the most: twice as long as the last time where that was just before. Another process that is busy on the
/// helper's core takes it off every few milliseconds, for as long; to wait for it each time would leave less than one
/// thread's speed.
const MOST_ALONE: Duration = Duration::from_millis(12);

/// How long it takes until what took a helper off its core counts as over.
const JUST_BEFORE: Duration = Duration::from_millis(30);

/// The ticket packs everything that claiming a piece has to know into one atomic word, so that a claim can never mix
/// two operations: which operation (24 bits), how many pieces it has (20 bits), which is the next (20 bits).
const PIECE_BITS: u32 = 20;
const PIECE_MASK: u64 = (1 << PIECE_BITS) - 1;
/// The most pieces of an operation; half the range, because each thread may count one too far.
const MAX_PIECES: usize = 1 << (PIECE_BITS - 1);

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

struct Shared {
    ticket: AtomicU64,
    done: AtomicUsize,
    /// The running operation; written by the caller while no piece of it can be claimed, read only with a claim.
    task: UnsafeCell<Option<*const Task<'static>>>,
    panicked: AtomicBool,
    /// How often the caller has offered its core to others while it waited for the running operation.
    yields: AtomicUsize,
    closing: AtomicBool,
    /// Helpers that are there.
    started: AtomicUsize,
    asleep: Vec<AtomicBool>,
    upcoming: Upcoming,
}

// SAFETY: `task` is the only field that is not Sync by itself. It is written in `run` before the ticket that offers its
// pieces is stored (release), and read only after a piece of that ticket was claimed (acquire); `run` does not return,
// and so does not write again, until every claimed piece is counted in `done`.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `task` is to a `Sync` closure that outlives every claim, see above.
unsafe impl Send for Shared {}

impl Shared {
    /// Claims and does pieces until none is left.
    fn work(&self, thread: usize) {
        loop {
            let seen = self.ticket.load(Ordering::Relaxed);
            if seen & PIECE_MASK >= (seen >> PIECE_BITS) & PIECE_MASK {
                return;
            }
            let ticket = self.ticket.fetch_add(1, Ordering::Acquire);
            let (piece, pieces) = (ticket & PIECE_MASK, (ticket >> PIECE_BITS) & PIECE_MASK);
            if piece >= pieces {
                return;
            }
            // SAFETY: a piece was claimed, so the caller of `run` waits in it and the closure lives.
            let task = unsafe { (*self.task.get()).map(|task| &*task) };
            if let Some(task) = task
                && catch_unwind(AssertUnwindSafe(|| task(thread, piece as usize))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
    }

    fn helper(&self, thread: usize) {
        let mut last = 0;
        let mut spins = 0;
        let mut fetching = Fetching::new(thread, self.asleep.len());
        self.started.fetch_add(1, Ordering::Release);
        loop {
            let seen = self.ticket.load(Ordering::Relaxed) >> (2 * PIECE_BITS);
            if seen != last {
                last = seen;
                spins = 0;
                self.work(thread);
            } else if self.closing.load(Ordering::Acquire) {
                return;
            } else if spins < SPINS_BEFORE_SLEEP {
                spins += 1;
                if !fetching.step(&self.upcoming) {
                    std::hint::spin_loop();
                }
            } else {
                self.sleep(thread, last);
                spins = 0;
            }
        }
    }

    fn sleep(&self, thread: usize, last: u64) {
        let Some(asleep) = self.asleep.get(thread) else { return };
        // The flag goes up before the last look, and the caller stores the ticket before it looks at the flag (both
        // sequentially consistent): one of the two sees the other.
        asleep.store(true, Ordering::SeqCst);
        let idle =
            || self.ticket.load(Ordering::SeqCst) >> (2 * PIECE_BITS) == last && !self.closing.load(Ordering::SeqCst);
        while asleep.load(Ordering::SeqCst) && idle() {
            std::thread::park();
        }
        asleep.store(false, Ordering::SeqCst);
    }
}

/// A fixed number of threads that compute together; the caller is one of them.
pub struct ThreadPool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    threads: Vec<Thread>,
    /// One operation at a time; when the caller works by itself.
    turn: Mutex<Alone>,
}

/// The last time in which the caller works by itself, or did.
#[derive(Debug, Default)]
struct Alone {
    until: Option<Instant>,
    length: Duration,
}

impl Alone {
    fn is_now(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// A helper is off its core.
    fn begin(&mut self, now: Instant) {
        let again = self.until.is_some_and(|until| now.duration_since(until) < JUST_BEFORE);
        self.length = if again { (2 * self.length).min(MOST_ALONE) } else { LEAST_ALONE };
        self.until = Some(now + self.length);
    }
}

impl std::fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadPool").field("threads", &self.threads()).finish()
    }
}

impl ThreadPool {
    /// A pool of `threads` threads, the caller counted in. Where the system refuses more threads it is smaller.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            task: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            yields: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            started: AtomicUsize::new(0),
            asleep: (0..threads).map(|_| AtomicBool::new(false)).collect(),
            upcoming: Upcoming::default(),
        });
        let helpers: Vec<_> = (1..threads)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new().name(format!("compute-{index}")).spawn(move || shared.helper(index)).ok()
            })
            .collect();
        // What a thread asks of the system at its start, it asks before the first reply and not in the middle of one.
        while shared.started.load(Ordering::Acquire) < helpers.len() {
            std::thread::yield_now();
        }
        let threads = helpers.iter().map(|helper| helper.thread().clone()).collect();
        Self { shared, helpers, threads, turn: Mutex::default() }
    }

    /// Threads that compute, the caller counted in.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// What is read soon: a thread that waits fetches it.
    pub fn upcoming(&self) -> &Upcoming {
        &self.shared.upcoming
    }

    /// Calls `task(thread, piece)` once for each `piece < pieces`, spread over the threads; `thread` is below
    /// [`Self::threads`] and no two calls with the same one overlap. Returns when all are done. Operations do not nest: a
    /// piece must not start another one on the same pool.
    ///
    /// # Panics
    /// Where a piece panicked, after all are done.
    pub fn run(&self, pieces: usize, task: &Task<'_>) {
        if pieces <= 1 || pieces > MAX_PIECES || self.helpers.is_empty() {
            return (0..pieces).for_each(|piece| task(0, piece));
        }
        let mut alone = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        if alone.is_now(begun) {
            return (0..pieces).for_each(|piece| task(0, piece));
        }
        let shared = &*self.shared;
        let task: *const Task<'_> = task;
        // SAFETY: only the lifetime is changed. The pointer is used by claimed pieces alone, and this function returns
        // only after all of them are counted done.
        let task: *const Task<'static> = unsafe { std::mem::transmute(task) };
        // SAFETY: the former operation is over (it was waited for under `turn`), so no piece can be claimed now.
        unsafe { *shared.task.get() = Some(task) };
        shared.done.store(0, Ordering::Relaxed);
        let operation = (shared.ticket.load(Ordering::Relaxed) >> (2 * PIECE_BITS)).wrapping_add(1);
        shared.ticket.store(operation << (2 * PIECE_BITS) | (pieces as u64) << PIECE_BITS, Ordering::SeqCst);
        self.wake();
        shared.work(0);
        if self.wait_for(pieces, begun) {
            alone.begin(Instant::now());
        }
        if shared.panicked.swap(false, Ordering::Relaxed) {
            drop(alone);
            resume_unwind(Box::new("a compute thread panicked"));
        }
    }

    /// Cuts `out` into parts of `part` elements (the last may be shorter) and calls `task(thread, index, part)` once for
    /// each, spread over the threads.
    pub fn for_each_part<T: Send>(&self, out: &mut [T], part: usize, task: &(dyn Fn(usize, usize, &mut [T]) + Sync)) {
        let part = part.max(1);
        let length = out.len();
        let base = SharedPtr::new(out);
        self.run(length.div_ceil(part), &|thread, index| {
            let start = index * part;
            // SAFETY: `run` hands each index out once; its part begins within `out`, since there are `length / part` rounded
            // up, ends there (`min`), and overlaps no other's. `out` is borrowed until `run` returns, after all calls.
            let part = unsafe { std::slice::from_raw_parts_mut(base.get().add(start), part.min(length - start)) };
            task(thread, index, part);
        });
    }

    fn wake(&self) {
        for (asleep, thread) in self.shared.asleep.iter().skip(1).zip(&self.threads) {
            if asleep.load(Ordering::SeqCst) && asleep.swap(false, Ordering::SeqCst) {
                thread.unpark();
            }
        }
    }

    /// Waits for the last pieces of the operation that has `begun`; returns whether that took so long that a helper must
    /// have been taken off its core.
    fn wait_for(&self, pieces: usize, begun: Instant) -> bool {
        let worked = begun.elapsed();
        let (mut spins, mut yields) = (0_u32, 0_usize);
        let mut fetching = Fetching::new(0, self.threads());
        while self.shared.done.load(Ordering::Acquire) < pieces {
            if spins < SPINS_BEFORE_YIELD {
                spins += 1;
                if !fetching.step(&self.shared.upcoming) {
                    std::hint::spin_loop();
                }
            } else {
                yields += 1;
                self.shared.yields.store(yields, Ordering::Relaxed);
                std::thread::yield_now();
            }
        }
        // With few pieces, or uneven ones, a wait is in proportion to the work.
        yields > YIELDS_BEFORE_ALONE && begun.elapsed() > 3 * worked
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            let _ = helper.join();
        }
    }
}

/// A pointer that threads may share because each uses another part of what it points to.
pub(super) struct SharedPtr<T>(*mut T);

// SAFETY: all that threads can share through it is the address. Whoever reads or writes behind it does so in an `unsafe`
// block of their own, which names why no other thread touches the same elements; `T: Send` lets them be touched there.
unsafe impl<T: Send> Sync for SharedPtr<T> {}

impl<T> SharedPtr<T> {
    pub(super) fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// The pointer; a method, so that closures capture the whole `SharedPtr`.
    pub(super) fn get(&self) -> *mut T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_exactly_once() {
        for threads in [1, 2, 3, 8] {
            let pool = ThreadPool::new(threads);
            for round in 0..300 {
                let pieces = round % 17;
                let counts: Vec<AtomicUsize> = (0..pieces).map(|_| AtomicUsize::new(0)).collect();
                pool.run(pieces, &|thread, piece| {
                    assert!(thread < threads);
                    counts[piece].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{threads} threads, {pieces}");
            }
        }
    }

    #[test]
    fn parts_cover_the_slice_and_the_last_may_be_short() {
        let pool = ThreadPool::new(2);
        let mut out = vec![0_usize; 103];
        pool.for_each_part(&mut out, 10, &|_, index, part| part.iter_mut().for_each(|x| *x += index + 1));
        assert!(out.iter().enumerate().all(|(i, &x)| x == i / 10 + 1), "{out:?}");
    }

    #[test]
    fn a_helper_that_slept_is_woken() {
        let pool = ThreadPool::new(2);
        for _ in 0..3 {
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while !pool.shared.asleep[1].load(Ordering::SeqCst) {
                assert!(std::time::Instant::now() < deadline, "the helper never went to sleep");
                std::thread::yield_now();
            }
            let seen = Mutex::new(std::collections::HashSet::new());
            let both = std::sync::Barrier::new(2);
            pool.run(2, &|thread, _| {
                both.wait();
                seen.lock().unwrap().insert(thread);
            });
            assert_eq!(seen.into_inner().unwrap().len(), 2, "both threads took a piece");
        }
    }

    #[test]
    fn the_caller_works_alone_for_longer_where_a_helper_is_taken_again_and_again() {
        let mut alone = Alone::default();
        let mut now = Instant::now();
        let mut lengths = Vec::new();
        for pause in [0, 0, 0, 0, 0, 29, 31] {
            now = alone.until.unwrap_or(now) + Duration::from_millis(pause);
            assert!(!alone.is_now(now));
            alone.begin(now);
            assert!(alone.is_now(now));
            lengths.push(alone.length.as_millis());
        }
        assert_eq!(lengths, [1, 2, 4, 8, 12, 12, 1]);
    }

    #[test]
    fn while_a_helper_is_off_its_core_the_caller_works_alone() {
        let pool = ThreadPool::new(2);
        let both = std::sync::Barrier::new(2);
        let (begun, worked) = (Instant::now(), AtomicU64::new(u64::MAX));
        pool.run(2, &|thread, _| {
            both.wait();
            let nanoseconds = || u64::try_from(begun.elapsed().as_nanos()).unwrap();
            if thread == 0 {
                return worked.store(nanoseconds(), Ordering::Relaxed);
            }
            // As if the system had taken the helper off its core in the middle of a piece, for much longer than the caller
            // had to work.
            let is_short = || {
                pool.shared.yields.load(Ordering::Relaxed) <= 2 * YIELDS_BEFORE_ALONE
                    || nanoseconds() / 10 < worked.load(Ordering::Relaxed)
            };
            while is_short() {
                std::thread::yield_now();
            }
        });
        let until = pool.turn.lock().unwrap().until.expect("the caller has waited long enough");
        pool.run(64, &|thread, _| assert!(thread == 0 || Instant::now() >= until));
        while Instant::now() < until {
            std::thread::yield_now();
        }
        let both = std::sync::Barrier::new(2);
        pool.run(2, &|_, _| {
            both.wait();
        });
        assert_eq!(pool.turn.lock().unwrap().until, Some(until), "the helper is back");
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = ThreadPool::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|_, piece| assert_ne!(piece, 5))));
        assert!(result.is_err());
        let count = AtomicUsize::new(0);
        pool.run(8, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 8);
    }
}
