//! One request on a thread of its own, and the bytes that it brings.
//!
//! Looking a name up, connecting, encrypting and reading all block, some of them without a way to be interrupted. So the
//! thread that asked waits for news instead, and looks meanwhile whether it is to stop; then the other one is left to itself,
//! which ends when its own time-out does, or with the next bytes, since nobody takes them.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Request, Response, StatusCode};
use ureq::{Agent, Timeout};

use super::address::{Address, printable};
use super::proxy::Via;
use crate::{Cancel, HubError, Result, TimeOuts};

/// How often is looked whether to stop.
const SLICE: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;
/// Blocks that wait for who reads them, at most.
const WAITING: usize = 4;
/// What the other thread's own time-outs are late at most.
const GRACE: Duration = Duration::from_secs(5);

/// What a host that a connection was not made to in time did.
const UNREACHED: &str = "could not be reached";
/// How the standard library begins to say that a name was not found.
const NO_NAME: &str = "failed to lookup address information";

enum News {
    Head(StatusCode, HeaderMap),
    Bytes(Vec<u8>),
    End,
    Failed(HubError),
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Stream,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The bytes of a body, in order.
#[derive(Debug)]
pub(crate) struct Stream {
    news: Receiver<News>,
    cancel: Cancel,
    stall: Duration,
    host: String,
    block: Vec<u8>,
    /// How much of the block was given away.
    given: usize,
    is_at_end: bool,
}

/// Sends `request` and waits for the head of what is answered.
///
/// # Errors
/// What the line does; [`HubError::Cancelled`].
pub(super) fn ask(
    agent: Agent,
    request: Request<()>,
    address: &Address,
    via: Option<Via>,
    time_outs: &TimeOuts,
    cancel: &Cancel,
) -> Result<Answer> {
    let (sender, news) = sync_channel(WAITING);
    let (host, limits) = (address.host().to_owned(), *time_outs);
    let peer = Peer { host: host.clone(), via };
    let thread = thread::Builder::new().name("gibber-http".to_owned());
    let started = thread.spawn(move || run(&agent, request, &peer, &limits, &sender));
    started.map_err(|error| HubError::Unreachable { host: host.clone(), why: error.to_string() })?;
    let stall = time_outs.stall;
    let body = Stream { news, cancel: cancel.clone(), stall, host, block: Vec::new(), given: 0, is_at_end: false };
    // A name is looked up, a connection made, the request sent, and the answer waited for.
    let longest = time_outs.connect.saturating_mul(3).saturating_add(time_outs.first_byte).saturating_add(GRACE);
    match body.wait(longest)? {
        News::Head(status, headers) => Ok(Answer { status, headers, body }),
        News::Failed(error) => Err(error),
        News::Bytes(_) | News::End => Err(body.lost("it ended without an answer")),
    }
}

impl Stream {
    fn lost(&self, why: &str) -> HubError {
        HubError::Lost { host: self.host.clone(), why: why.to_owned() }
    }

    /// The next news, looking again and again whether to stop.
    fn wait(&self, longest: Duration) -> Result<News> {
        let start = Instant::now();
        loop {
            if self.cancel.is_cancelled() {
                return Err(HubError::Cancelled);
            }
            match self.news.recv_timeout(SLICE) {
                Ok(news) => return Ok(news),
                Err(RecvTimeoutError::Disconnected) => return Err(self.lost("the connection ended")),
                Err(RecvTimeoutError::Timeout) if start.elapsed() >= longest => {
                    let seconds = longest.as_secs_f64();
                    return Err(HubError::TimedOut { host: self.host.clone(), what: "sent nothing", seconds });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The next bytes; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.given == self.block.len() && !self.is_at_end && !buffer.is_empty() {
            match self.wait(self.stall)? {
                News::Bytes(block) => (self.block, self.given) = (block, 0),
                News::End => self.is_at_end = true,
                News::Failed(error) => return Err(error),
                News::Head(..) => return Err(self.lost("it answered twice")),
            }
        }
        if self.cancel.is_cancelled() {
            return Err(HubError::Cancelled);
        }
        let count = buffer.len().min(self.block.len() - self.given);
        buffer[..count].copy_from_slice(&self.block[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// What the thread does: every news is sent on until nobody takes it.
fn run(agent: &Agent, request: Request<()>, peer: &Peer, limits: &TimeOuts, sender: &SyncSender<News>) {
    let response = match agent.run(request) {
        Ok(response) => response,
        Err(error) => return drop(sender.send(News::Failed(peer.explained(error, limits)))),
    };
    let (parts, body) = Response::into_parts(response);
    if sender.send(News::Head(parts.status, parts.headers)).is_err() {
        return;
    }
    let mut reader = body.into_reader();
    loop {
        let mut block = vec![0; BLOCK];
        let news = match reader.read(&mut block) {
            Ok(0) => News::End,
            Ok(count) => {
                block.truncate(count);
                News::Bytes(block)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => News::Failed(peer.came_to(error.into(), limits)),
        };
        let is_last = !matches!(news, News::Bytes(_));
        if sender.send(news).is_err() || is_last {
            return;
        }
    }
}

/// Who is asked, and through whom.
struct Peer {
    host: String,
    via: Option<Via>,
}

impl Peer {
    /// What happened before an answer came, for people.
    fn explained(&self, error: ureq::Error, limits: &TimeOuts) -> HubError {
        let error = self.came_to(error, limits);
        let Some(via) = &self.via else { return error };
        // Where there is a proxy, it is what this machine looks up and connects to.
        let why = match error {
            HubError::NoName { host } if via.looks_up_target => {
                return HubError::NoName {
                    host: format!("{host}, or that of the proxy {} ({}),", via.host, via.variable),
                };
            }
            HubError::NoName { .. } => "has a name that cannot be found".to_owned(),
            HubError::Unreachable { why, .. } => format!("cannot be reached: {why}"),
            HubError::TimedOut { what: UNREACHED, seconds, .. } => format!("{UNREACHED} for {seconds} s"),
            other => return other,
        };
        HubError::Proxy { host: via.host.clone(), variable: via.variable.clone(), why }
    }

    /// What an error is.
    fn came_to(&self, error: ureq::Error, limits: &TimeOuts) -> HubError {
        let host = self.host.clone();
        let timed_out =
            |what, time: Duration| HubError::TimedOut { host: host.clone(), what, seconds: time.as_secs_f64() };
        match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => timed_out(UNREACHED, limits.connect),
            ureq::Error::Timeout(Timeout::RecvResponse) => timed_out("answered nothing", limits.first_byte),
            ureq::Error::Timeout(_) => timed_out("sent nothing", limits.stall),
            ureq::Error::HostNotFound => HubError::NoName { host },
            ureq::Error::ConnectProxyFailed(why) => {
                HubError::Unreachable { host, why: format!("the proxy refused: {}", printable(&why)) }
            }
            ureq::Error::ConnectionFailed => HubError::Unreachable { host, why: "the connection failed".to_owned() },
            ureq::Error::Rustls(error) => encryption(&error, host),
            ureq::Error::Tls(why) => HubError::Certificate { host, why: why.to_owned() },
            ureq::Error::LargeResponseHeader(_, limit) => {
                let why = format!("its answer has more than {} KiB of headers", limit >> 10);
                HubError::Malformed { url: host, why }
            }
            ureq::Error::Io(error) => of_system(error, host),
            ureq::Error::Protocol(error) => HubError::Malformed { url: host, why: printable(&error.to_string()) },
            other => HubError::Malformed { url: host, why: printable(&other.to_string()) },
        }
    }
}

fn of_system(error: io::Error, host: String) -> HubError {
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return encryption(inner, host);
    }
    let why = printable(&error.to_string());
    // The standard library gives these no kind of their own.
    if why.starts_with(NO_NAME) {
        return HubError::NoName { host };
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotFound => HubError::Unreachable { host, why },
        _ => HubError::Lost { host, why },
    }
}

fn encryption(error: &rustls::Error, host: String) -> HubError {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            HubError::Certificate { host, why: printable(&error.to_string()) }
        }
        other => HubError::Lost { host, why: printable(&other.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_name() -> ureq::Error {
        ureq::Error::Io(io::Error::other("failed to lookup address information: Temporary failure in name resolution"))
    }

    fn said(via: Option<Via>, error: ureq::Error) -> String {
        Peer { host: "hub.example".to_owned(), via }.explained(error, &TimeOuts::default()).to_string()
    }

    fn via(looks_up_target: bool) -> Option<Via> {
        Some(Via { host: "proxy.example:3128".to_owned(), variable: "HTTPS_PROXY".to_owned(), looks_up_target })
    }

    #[test]
    fn a_name_that_is_not_found_is_told_as_one() {
        let error = said(None, no_name());
        assert!(error.starts_with("the name hub.example cannot be found: is this machine connected"), "{error}");
        assert_eq!(said(None, ureq::Error::HostNotFound), error);
    }

    #[test]
    fn a_proxy_that_is_not_found_or_reached_is_told_with_its_variable() {
        let error = said(via(false), no_name());
        assert!(
            error.starts_with("the proxy proxy.example:3128 (HTTPS_PROXY) has a name that cannot be found"),
            "{error}"
        );
        let error = said(via(true), no_name());
        assert!(
            error.contains("hub.example, or that of the proxy proxy.example:3128 (HTTPS_PROXY), cannot"),
            "{error}"
        );
        for reason in [ureq::Error::Timeout(Timeout::Connect), io::Error::from(io::ErrorKind::ConnectionRefused).into()]
        {
            let error = said(via(false), reason);
            assert!(error.starts_with("the proxy proxy.example:3128 (HTTPS_PROXY) c"), "{error}");
        }
        assert!(
            said(via(false), ureq::Error::Timeout(Timeout::RecvResponse)).starts_with("hub.example answered nothing")
        );
    }
}
