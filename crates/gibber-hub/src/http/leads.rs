//! Where requests were sent on to.
//!
//! A hub sends a client on to another host for the bytes of a large file. A file comes in many requests: the hub, which counts
//! them, is asked once, and the host that has the bytes is asked for the others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Address;

/// How long another address is asked directly. What is signed in it is good for longer, mostly; where it is not, the answer
/// says so, and the hub is asked again.
const LONGEST: Duration = Duration::from_secs(600);
/// How many are remembered.
const MOST: usize = 64;

/// Addresses that lead to others.
#[derive(Debug, Default)]
pub(super) struct Leads(Mutex<HashMap<Address, (Address, Instant)>>);

impl Leads {
    fn map(&self) -> MutexGuard<'_, HashMap<Address, (Address, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `from` leads, if that is known and not long ago.
    pub(super) fn of(&self, from: &Address) -> Option<Address> {
        let map = self.map();
        let (to, since) = map.get(from)?;
        (since.elapsed() < LONGEST).then(|| to.clone())
    }

    /// A request to `from` was answered by `to`. Only what leads to another host is worth knowing: it gets no token.
    pub(super) fn learn(&self, from: &Address, to: &Address) {
        if from.origin == to.origin {
            return;
        }
        let mut map = self.map();
        if map.len() >= MOST {
            map.clear();
        }
        map.insert(from.clone(), (to.clone(), Instant::now()));
    }

    /// It leads there no more.
    pub(super) fn forget(&self, from: &Address) {
        self.map().remove(from);
    }
}
