//! What is worth trying again, and when.

use std::time::{Duration, SystemTime};

use ureq::http::HeaderMap;

use crate::{HubError, TimeOuts};

/// However often something failed, this is the longest wait that nobody asked for.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// How often a host that cannot be reached is tried again before it was ever reached.
const UNREACHABLE_RETRIES: u32 = 2;

/// How many times as often a host is tried again that was reached before and now cannot be: a line that comes back within
/// minutes, as after a router has started anew, has cost nothing.
const PATIENCE: u32 = 4;

/// What is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// What went wrong, for people.
    pub reason: String,
    /// The how many-th repetition it is, from 1 on.
    pub attempt: u32,
    /// How long is waited before it.
    pub wait: Duration,
}

/// Whether, and when, what failed is tried again.
#[derive(Debug, Clone)]
pub struct Backoff {
    time_outs: TimeOuts,
    attempt: u32,
    /// Whether something has come yet.
    is_reached: bool,
}

impl Backoff {
    /// One for something that has not failed yet.
    pub fn new(time_outs: &TimeOuts) -> Self {
        Self { time_outs: *time_outs, attempt: 0, is_reached: false }
    }

    /// What to do about `error`: wait and try again, or nothing where it would not help or was tried often enough.
    ///
    /// The waits double, and each is between half and all of what that gives, so that many who failed together do not come
    /// back together. A server that says how long is obeyed, up to the longest wait that is allowed.
    pub fn after(&mut self, error: &HubError) -> Option<Retry> {
        let cannot_reach =
            matches!(error, HubError::Unreachable { .. } | HubError::NoName { .. } | HubError::Proxy { .. });
        let retries = match error {
            _ if cannot_reach && self.is_reached => self.time_outs.retries.saturating_mul(PATIENCE),
            _ if cannot_reach => self.time_outs.retries.min(UNREACHABLE_RETRIES),
            error if is_passing(error) => self.time_outs.retries,
            _ => return None,
        };
        if self.attempt >= retries {
            return None;
        }
        let doubled = self.time_outs.back_off.saturating_mul(1 << self.attempt.min(16)).min(LONGEST_BACK_OFF);
        let own = doubled.mul_f64(0.5 + 0.5 * fastrand::f64());
        let wait = match error {
            HubError::Status { retry_after: Some(asked), .. } if *asked > self.time_outs.longest_wait => return None,
            HubError::Status { retry_after: Some(asked), .. } => own.max(*asked),
            _ => own,
        };
        self.attempt += 1;
        Some(Retry { reason: error.to_string(), attempt: self.attempt, wait })
    }

    /// Something came: what fails from now on has not been tried before.
    pub fn reset(&mut self) {
        self.attempt = 0;
        self.is_reached = true;
    }
}

/// Whether the same request may do better later.
fn is_passing(error: &HubError) -> bool {
    match error {
        HubError::Unreachable { .. }
        | HubError::NoName { .. }
        | HubError::Proxy { .. }
        | HubError::TimedOut { .. }
        | HubError::Lost { .. }
        | HubError::Cut { .. } => true,
        // 501 and 505 say what the server will never do.
        HubError::Status { status, .. } => {
            matches!(status, 408 | 425 | 429) || (500..600).contains(status) && !matches!(status, 501 | 505)
        }
        _ => false,
    }
}

/// How long the server asks to wait: `Retry-After` as seconds or as a date, or the rest of a hub's own window.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = value("retry-after").and_then(|text| {
        let seconds = text.parse().ok().map(Duration::from_secs);
        seconds.or_else(|| Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()))
    });
    asked.or_else(|| {
        // `"api";r=0;t=55`: none remaining, 55 seconds to go.
        let fields = || value("ratelimit").into_iter().flat_map(|text| text.split(';')).map(str::trim);
        let number = |name: &str| fields().find_map(|field| field.strip_prefix(name)?.parse::<u64>().ok());
        (number("r=") == Some(0))
            .then(|| number("t="))
            .flatten()
            .map(|seconds| Duration::from_secs(seconds.saturating_add(1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after: Option<u64>) -> HubError {
        let retry_after = retry_after.map(Duration::from_secs);
        HubError::Status {
            url: "https://hub.example".into(),
            status: 429,
            code: String::new(),
            message: String::new(),
            retry_after,
        }
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn waits_double_and_end() {
        let time_outs = TimeOuts { back_off: Duration::from_millis(100), retries: 3, ..TimeOuts::default() };
        let mut backoff = Backoff::new(&time_outs);
        let waits: Vec<_> = std::iter::from_fn(|| backoff.after(&busy(None))).collect();
        assert_eq!(waits.len(), 3);
        for (retry, most) in waits.iter().zip([100, 200, 400]) {
            assert!(retry.wait.as_millis() >= most / 2 && retry.wait.as_millis() <= most, "{retry:?}");
        }
        backoff.reset();
        assert_eq!(backoff.after(&busy(None)).map(|retry| retry.attempt), Some(1));
    }

    #[test]
    fn a_server_that_says_how_long_is_obeyed_within_bounds() {
        let mut backoff = Backoff::new(&TimeOuts::default());
        assert_eq!(backoff.after(&busy(Some(40))).map(|retry| retry.wait), Some(Duration::from_secs(40)));
        assert_eq!(backoff.after(&busy(Some(100_000))), None);
        assert!(backoff.after(&busy(Some(0))).unwrap().wait > Duration::ZERO);
    }

    #[test]
    fn a_wait_is_told_in_seconds_as_a_date_or_as_a_window() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let waits = |name, value| retry_after(&headers(name, value), now).map(|wait| wait.as_secs());
        assert_eq!(waits("retry-after", "120"), Some(120));
        assert_eq!(waits("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(waits("retry-after", "Sat, 05 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(waits("retry-after", "soon"), None);
        assert_eq!(waits("retry-after", "-1"), None);
        assert_eq!(waits("ratelimit", "\"api\";r=0;t=55"), Some(56));
        assert_eq!(waits("ratelimit", "\"api\";r=3;t=55"), None);
        assert_eq!(waits("ratelimit", "\"api\";r=0;t=18446744073709551615"), Some(u64::MAX));
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let mut backoff = Backoff::new(&TimeOuts::default());
        let status = |status| HubError::Status {
            url: String::new(),
            status,
            code: String::new(),
            message: String::new(),
            retry_after: None,
        };
        for other in [400, 403, 404, 410, 416, 501, 505] {
            assert_eq!(backoff.after(&status(other)), None, "{other}");
        }
        for other in [408, 429, 500, 502, 503, 504, 522] {
            assert!(Backoff::new(&TimeOuts::default()).after(&status(other)).is_some(), "{other}");
        }
        assert_eq!(backoff.after(&HubError::Cancelled), None);
    }

    #[test]
    fn a_host_that_was_never_reached_is_given_up_sooner() {
        let host = || "hub.example".to_owned();
        for gone in [
            HubError::Unreachable { host: host(), why: "nobody there".into() },
            HubError::NoName { host: host() },
            HubError::Proxy { host: host(), variable: "HTTP_PROXY".into(), why: "cannot be reached".into() },
        ] {
            let count = |mut backoff: Backoff| std::iter::from_fn(|| backoff.after(&gone)).count();
            let mut reached = Backoff::new(&TimeOuts::default());
            assert_eq!(count(reached.clone()), 2, "{gone}");
            reached.reset();
            assert_eq!(count(reached), 20, "{gone}");
        }
    }
}
