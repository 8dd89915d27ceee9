//! Requests: redirects by hand, so that a token goes to one origin only; time-outs; and what is tried again.
//!
//! What is logged has no secret in it. `ureq` itself tells the crate `log` what it sends, at its finest each byte: no program
//! with this crate in it may install a logger of that kind for it.

mod address;
mod answer;
mod leads;
mod proxy;
mod retry;
mod trust;

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use ureq::http::{HeaderMap, Request, StatusCode, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, Proxy, ProxyProtocol};

pub(crate) use address::{Address, encoded, encoded_path, printable, shown};
pub(crate) use answer::Answer;
pub use proxy::Proxies;
pub use retry::{Backoff, Retry};
pub use trust::Certificates;

use answer::Stream;
use leads::Leads;

use crate::{Cancel, HubEnvironment, HubError, Result};

/// How often one request is sent on to another address.
const REDIRECTS: usize = 10;
/// Bytes of the headers of an answer.
const HEADERS: usize = 64 << 10;
/// Bytes of what a server says about an error.
const MESSAGE: usize = 64 << 10;
/// No file has more bytes than this, and no sum of those of a repository is too large for a number.
pub(crate) const LARGEST: u64 = 1 << 48;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) address: Address,
    pub(crate) is_head: bool,
    pub(crate) range: Option<Range<u64>>,
    /// Whether what leads elsewhere is an answer, too.
    pub(crate) stays: bool,
}

impl Question {
    pub(crate) fn get(address: Address) -> Self {
        Self { address, is_head: false, range: None, stays: false }
    }

    pub(crate) fn head(address: Address) -> Self {
        Self { is_head: true, ..Self::get(address) }
    }

    pub(crate) fn range(address: Address, range: Range<u64>) -> Self {
        Self { range: Some(range), ..Self::get(address) }
    }
}

/// What sends requests. Its connections are kept for the next one.
#[derive(Debug)]
pub(crate) struct Client {
    environment: Arc<HubEnvironment>,
    endpoint: Address,
    /// Directly and through a proxy, each for what is encrypted and what is not. Certificates are read when they are needed.
    agents: [OnceLock<Agent>; 4],
    leads: Leads,
}

impl Client {
    /// # Errors
    /// [`HubError::Environment`] where the endpoint or a proxy cannot be used.
    pub(crate) fn new(environment: Arc<HubEnvironment>) -> Result<Self> {
        let endpoint = Address::new(&environment.endpoint)?;
        for is_encrypted in [true, false] {
            environment.proxies.proxy(is_encrypted)?;
        }
        Ok(Self { environment, endpoint, agents: Default::default(), leads: Leads::default() })
    }

    /// The answer to `question`, with all redirects gone. What is no success is an error.
    ///
    /// # Errors
    /// What the line and the server do; [`HubError::Cancelled`].
    pub(crate) fn ask(&self, question: &Question, cancel: &Cancel) -> Result<Answer> {
        let answer = match self.direct(question, cancel)? {
            Some(answer) => answer,
            None => self.follow(question, cancel)?,
        };
        let is_fine = answer.status.is_success() || question.stays && answer.status.is_redirection();
        if is_fine { Ok(answer) } else { Err(self.refusal(answer, &question.address)) }
    }

    /// Asks for a part of a file where the last one came from; nothing where that is not known, or good no more.
    fn direct(&self, question: &Question, cancel: &Cancel) -> Result<Option<Answer>> {
        let known = question.range.as_ref().and_then(|_| self.leads.of(&question.address));
        let Some(address) = known else { return Ok(None) };
        let answer = self.send(&Question { address, ..question.clone() }, false, cancel);
        if answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
            return answer.map(Some);
        }
        self.leads.forget(&question.address);
        // Who has forgotten us, or lets us in no more, is not asked again; a host that fails is left to whoever tries again.
        let is_over =
            |answer: &Answer| answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS;
        match answer {
            Ok(answer) if is_over(&answer) || answer.status.is_redirection() => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn follow(&self, question: &Question, cancel: &Cancel) -> Result<Answer> {
        let asked = question.address.clone();
        let (mut question, mut knows_token) = (question.clone(), true);
        let first = question.address.shown();
        for _ in 0..=REDIRECTS {
            // Who once sent the request elsewhere does not get the token by sending it back.
            knows_token &= question.address.origin == self.endpoint.origin;
            let answer = self.send(&question, knows_token, cancel)?;
            if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                if question.range.is_some() && answer.status.is_success() {
                    self.leads.learn(&asked, &question.address);
                }
                return Ok(answer);
            }
            let refused = |why: &str| HubError::Redirect { url: first.clone(), why: why.to_owned() };
            let location = answer.headers.get(header::LOCATION).ok_or_else(|| refused("to nowhere"))?;
            let location = String::from_utf8_lossy(location.as_bytes());
            let next = question.address.join(location.trim()).map_err(|error| refused(&format!("wrongly: {error}")))?;
            if question.stays && next.origin != question.address.origin {
                return Ok(answer);
            }
            if question.address.is_encrypted() && !next.is_encrypted() {
                return Err(refused(&format!("to {}, which is not encrypted: this is refused", next.shown())));
            }
            question.address = next;
        }
        Err(HubError::Redirect { url: first, why: format!("more than {REDIRECTS} times") })
    }

    /// Sends one request.
    fn send(&self, question: &Question, with_token: bool, cancel: &Cancel) -> Result<Answer> {
        let address = &question.address;
        let method = if question.is_head { "HEAD" } else { "GET" };
        let mut request = Request::builder().method(method).uri(address.uri());
        if let Some(range) = &question.range {
            request = request.header(header::RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        if let Some(token) = self.environment.token.as_ref().filter(|_| with_token) {
            let mut value = token.header()?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let malformed = |error: ureq::http::Error| HubError::Malformed { url: address.shown(), why: error.to_string() };
        let request = request.body(()).map_err(malformed)?;
        tracing::debug!(method, url = address.shown(), range = ?question.range, "asking");
        let start = Instant::now();
        let answer = {
            let via = self.environment.proxies.next(address);
            answer::ask(self.agent(address)?, request, address, via, &self.environment.time_outs, cancel)
        };
        let status = answer.as_ref().map(|answer| answer.status.as_u16()).ok();
        tracing::debug!(status, milliseconds = start.elapsed().as_millis() as u64, "answered");
        answer
    }

    /// What sends a request to `address`.
    fn agent(&self, address: &Address) -> Result<Agent> {
        let proxies = &self.environment.proxies;
        let is_encrypted = address.is_encrypted();
        let proxy = if proxies.is_direct(address) { None } else { proxies.proxy(is_encrypted)? };
        let slot = &self.agents[usize::from(proxy.is_some()) * 2 + usize::from(is_encrypted)];
        if let Some(agent) = slot.get() {
            return Ok(agent.clone());
        }
        let is_proxy_encrypted = proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
        let trusted = is_encrypted || is_proxy_encrypted;
        let tls = trusted.then(|| trust::trust(self.environment.certificates.as_ref())).transpose()?;
        let agent = self.agent_with(tls.unwrap_or_default(), proxy);
        // Another thread may have been first: then its connections are used.
        Ok(slot.get_or_init(|| agent).clone())
    }

    /// The error that an answer is which is no success. A server that repeats the token is not repeated.
    fn refusal(&self, answer: Answer, address: &Address) -> HubError {
        let said = |text: &str| match &self.environment.token {
            Some(token) => printable(&token.hidden_in(text)),
            None => printable(text),
        };
        let retry_after = retry::retry_after(&answer.headers, SystemTime::now());
        let code = answer.header("x-error-code").map(said).unwrap_or_default();
        let status = answer.status.as_u16();
        let message = answer.header("x-error-message").map(said);
        let message = message.or_else(|| message_of(answer).as_deref().map(said)).unwrap_or_default();
        HubError::Status { url: address.shown(), status, code, message, retry_after }
    }

    fn agent_with(&self, tls: TlsConfig, proxy: Option<Proxy>) -> Agent {
        let limits = &self.environment.time_outs;
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("gibber/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .accept_encoding("identity")
            .max_response_header_size(HEADERS)
            .max_idle_connections_per_host(16)
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.connect))
            .timeout_recv_response(Some(limits.first_byte))
            .timeout_per_read(Some(limits.stall.max(limits.first_byte)))
            .timeout_per_write(Some(limits.stall));
        config.build().new_agent()
    }
}

/// The bytes of a file as they arrive.
#[derive(Debug)]
#[non_exhaustive]
pub struct Body {
    /// Which byte of the file comes first: what was asked for, or 0 where the server knows no ranges.
    pub start: u64,
    /// The length of the whole file, where the server says it.
    pub size: Option<u64>,
    /// What names these bytes, without quotation marks: the SHA-256 of a large file.
    pub etag: Option<String>,
    stream: Stream,
    path: String,
    at: u64,
    /// Behind the last byte that was promised, where that is known.
    end: Option<u64>,
}

impl Body {
    /// What `answer` brings of the file at `path`, of which `range` was asked for.
    ///
    /// # Errors
    /// [`HubError::Malformed`] where it is another range.
    pub(crate) fn new(answer: Answer, path: String, range: &Range<u64>) -> Result<Self> {
        let etag = etag(&answer.headers);
        let length = number(answer.header("content-length"));
        let (start, size, end) = if answer.status == StatusCode::PARTIAL_CONTENT {
            let text = answer.header("content-range").unwrap_or_default();
            let (part, size) = content_range(text)
                .filter(|(part, _)| part.start == range.start && part.end <= range.end)
                .ok_or_else(|| {
                    let (first, last) = (range.start, range.end.saturating_sub(1));
                    let why = format!("bytes {first}-{last} were asked for, and it sends '{}'", printable(text));
                    HubError::Malformed { url: path.clone(), why }
                })?;
            (part.start, size, Some(part.end))
        } else {
            (0, length, length)
        };
        Ok(Self { start, size, etag, stream: answer.body, path, at: start, end })
    }

    /// The next bytes into `buffer`; 0 only where all that was promised has come.
    ///
    /// # Errors
    /// A cut, a stall, or [`HubError::Cancelled`].
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.stream.read(buffer)?;
        self.at += count as u64;
        match self.end {
            Some(end) if count == 0 && !buffer.is_empty() && self.at < end => {
                Err(HubError::Cut { path: self.path.clone(), at: self.at })
            }
            Some(end) if self.at > end => {
                let why = format!("more comes than the {end} bytes that it has");
                Err(HubError::Malformed { url: self.path.clone(), why })
            }
            _ => Ok(count),
        }
    }
}

/// A number of a header.
pub(crate) fn number(text: Option<&str>) -> Option<u64> {
    text.and_then(|text| text.trim().parse().ok()).filter(|number| *number <= LARGEST)
}

/// `bytes 3-5/10`: the range, and the size of the whole file where it is told.
fn content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (part, size) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let range = number(Some(first))?..number(Some(last))?.checked_add(1)?;
    let size = if size.trim() == "*" { None } else { Some(number(Some(size))?) };
    let fits = range.start < range.end && size.is_none_or(|size| range.end <= size);
    fits.then_some((range, size))
}

/// What names the bytes: a hub's own header, or the usual one; without quotation marks and without `W/`.
pub(crate) fn etag(headers: &HeaderMap) -> Option<String> {
    let value = |name: &str| headers.get(name)?.to_str().ok();
    let text = value("x-linked-etag").or_else(|| value("etag"))?.trim();
    let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    (!text.is_empty() && text.len() <= 256).then(|| text.to_owned())
}

/// All of a body that is no file.
///
/// # Errors
/// [`HubError::Malformed`] where it is longer than `limit`; [`HubError::TimedOut`] where it takes longer than `time`.
pub(crate) fn read_all(mut answer: Answer, url: &str, limit: usize, time: Duration) -> Result<Vec<u8>> {
    let (mut bytes, mut block, start) = (Vec::new(), vec![0; 64 << 10], Instant::now());
    loop {
        let count = answer.body.read(&mut block)?;
        if count == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&block[..count]);
        if bytes.len() > limit {
            let why = format!("it sends more than the {limit} bytes that are read");
            return Err(HubError::Malformed { url: url.to_owned(), why });
        }
        if start.elapsed() > time {
            let (host, seconds) = (url.to_owned(), time.as_secs_f64());
            return Err(HubError::TimedOut { host, what: "did not come to an end", seconds });
        }
    }
}

/// What the body of an error says.
fn message_of(answer: Answer) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        error: String,
    }
    let is_json = answer.header("content-type").is_none_or(|kind| kind.contains("json"));
    let bytes = read_all(answer, "", MESSAGE, Duration::from_secs(10)).ok()?;
    if is_json { Some(serde_json::from_slice::<Body>(&bytes).ok()?.error) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_taken_only_where_it_makes_sense() {
        assert_eq!(content_range("bytes 3-5/10"), Some((3..6, Some(10))));
        assert_eq!(content_range("bytes 3-5/*"), Some((3..6, None)));
        for wrong in
            ["", "3-5/10", "bytes 5-3/10", "bytes 3-5/5", "bytes -5/10", "bytes 3-18446744073709551615/*", "bytes */10"]
        {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_etag_has_no_quotation_marks() {
        let tag = |pairs: &[(&'static str, &str)]| {
            etag(&pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
        };
        assert_eq!(tag(&[("etag", "\"abc\"")]).as_deref(), Some("abc"));
        assert_eq!(tag(&[("etag", "W/\"abc\"")]).as_deref(), Some("abc"));
        assert_eq!(tag(&[("etag", "\"abc\""), ("x-linked-etag", "\"def\"")]).as_deref(), Some("def"));
        assert_eq!(tag(&[("etag", "\"\"")]), None);
        assert_eq!(tag(&[]), None);
    }
}
