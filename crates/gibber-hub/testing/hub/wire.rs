//! Requests and answers as bytes.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::thread;
use std::time::{Duration, Instant};

use super::store::Bytes;
use super::{Asked, Fault, Stream};

/// What is answered before anything goes wrong with it.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// The first byte of the body that is sent, and how many are.
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = Bytes::of(body.into());
        let length = body.length();
        Self { status, headers: Vec::new(), body, start: 0, length }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn json(value: &serde_json::Value) -> Self {
        Self::new(200, value.to_string()).with("Content-Type", "application/json")
    }

    /// The whole of `body`, or the range of it that is asked for.
    pub(super) fn file(body: Bytes, asked: &Asked, ranges: bool) -> Self {
        let size = body.length();
        let whole = Self { status: 200, headers: Vec::new(), body, start: 0, length: size };
        let whole = whole.with("Accept-Ranges", if ranges { "bytes" } else { "none" });
        let Some((first, last)) = asked.range().filter(|_| ranges) else { return whole };
        if first >= size {
            return Self::new(416, "").with("Content-Range", format!("bytes */{size}"));
        }
        let last = last.unwrap_or(u64::MAX).min(size - 1);
        let part = Self { status: 206, start: first, length: last - first + 1, ..whole };
        part.with("Content-Range", format!("bytes {first}-{last}/{size}"))
    }
}

/// The next request; none where the client ended.
pub(super) fn read(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<Option<Asked>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.take(1 << 16).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines.first().map(String::as_str).unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (first.next(), first.next()) else { return Ok(None) };
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers: HashMap<_, _> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    io::copy(&mut stream.take(length), &mut io::sink())?;
    Ok(Some(Asked { method: method.to_owned(), target: target.to_owned(), headers }))
}

/// Sends `reply` with what goes wrong with it; whether the connection can be used further.
pub(super) fn send(
    stream: &mut dyn Stream,
    head_only: bool,
    mut reply: Reply,
    faults: &[Fault],
    bytes_per_second: Option<u64>,
) -> io::Result<bool> {
    let mut promised = reply.length;
    let mut pace = Pace { most: 1 << 16, pause: Duration::ZERO };
    if let Some(rate) = bytes_per_second {
        // Twenty portions a second.
        pace = Pace { most: usize::try_from(rate / 20).unwrap_or(1).max(1), pause: Duration::from_millis(50) };
    }
    let (mut cut, mut stall, mut flip) = (None, None, None);
    for fault in faults {
        match fault {
            Fault::Header(name, value) => {
                reply.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
                reply.headers.extend(value.clone().map(|value| (name.clone(), value)));
            }
            Fault::Length(more) => promised = promised.saturating_add_signed(*more),
            Fault::CutAfter(bytes) => cut = Some(*bytes),
            Fault::StallAfter(bytes) => stall = Some(*bytes),
            Fault::WrongByte(at) => flip = Some(*at),
            Fault::Trickle(most, pause) => pace = Pace { most: *most, pause: *pause },
            _ => {}
        }
    }
    let mut head = format!("HTTP/1.1 {} Spoken\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head.push_str(&format!("Content-Length: {promised}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.flush()?;
    if head_only {
        return Ok(true);
    }
    let end = [cut, stall].into_iter().flatten().fold(reply.length.min(promised), u64::min);
    body(stream, &reply, end, flip, &pace)?;
    if stall.is_some() {
        wait_for_the_end(stream);
        return Ok(false);
    }
    Ok(cut.is_none() && promised == reply.length)
}

struct Pace {
    most: usize,
    pause: Duration,
}

fn body(stream: &mut dyn Stream, reply: &Reply, end: u64, flip: Option<u64>, pace: &Pace) -> io::Result<()> {
    let mut sent = 0;
    while sent < end {
        let begun = Instant::now();
        let most = pace.most.min(usize::try_from(end - sent).unwrap_or(usize::MAX));
        let mut bytes = reply.body.read(reply.start + sent, most)?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let wrong = flip.and_then(|at| at.checked_sub(reply.start + sent)).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = wrong.and_then(|at| bytes.get_mut(at)) {
            *byte = !*byte;
        }
        stream.write_all(&bytes)?;
        stream.flush()?;
        sent += bytes.len() as u64;
        thread::sleep(pace.pause.saturating_sub(begun.elapsed()));
    }
    Ok(())
}

/// Until the client ends, or the server is told to.
pub(super) fn wait_for_the_end(stream: &mut dyn Stream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1)) {}
}

/// Bytes without an end.
pub(super) fn endless(stream: &mut dyn Stream, head: &str, again: &str) -> io::Result<()> {
    stream.write_all(head.as_bytes())?;
    loop {
        stream.write_all(again.as_bytes())?;
    }
}
