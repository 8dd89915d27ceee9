//! What the two processes say to each other: a length of four bytes, little-endian, and as many bytes of JSON.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::engine::{Failure, Rendering};

/// The most text that a short conversation may become, in bytes: tens of times the longest context.
const OUTPUT: usize = 8 << 20;

/// Bytes that a template may hold while it is at work on a short conversation.
const MEMORY: u64 = 512 << 20;

/// Processor time for a short conversation. Real templates take a hundredth of it.
const TIME: Duration = Duration::from_millis(500);

/// Bytes of a conversation for which there is another millisecond: twenty times what a template takes that looks at each
/// character, and enough for one that finds it by its index.
const BYTES_A_MILLISECOND: u64 = 50;

/// The most processor time, however long the conversation.
const MAX_TIME: Duration = Duration::from_secs(30);

/// A rendering that is asked for; the template is told each time, so that a fresh process knows as much as an old one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request<'a> {
    pub(super) source: Cow<'a, str>,
    pub(super) rendering: Rendering<'a>,
}

/// What came of it.
pub(super) type Answer = Result<String, Failure>;

/// What a rendering may take. It grows with what is to be rendered: a long conversation is no attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of text.
    pub(super) output: usize,
    /// Bytes of memory.
    pub(super) memory: u64,
    /// Processor time.
    pub(super) time: Duration,
}

impl Limits {
    /// Those for a request of so many bytes.
    pub(super) fn of(request: usize) -> Self {
        let bytes = request as u64;
        Self {
            output: OUTPUT.saturating_add(request.saturating_mul(4)),
            memory: MEMORY.saturating_add(bytes.saturating_mul(32)),
            time: (TIME + Duration::from_millis(bytes / BYTES_A_MILLISECOND)).min(MAX_TIME),
        }
    }

    /// Bytes of an answer: JSON writes a control character as six.
    pub(super) fn answer(self) -> usize {
        self.output.saturating_mul(6).saturating_add(64 << 10)
    }

    /// How long an answer is waited for: a busy machine gives a process a part of its time.
    pub(super) fn patience(self) -> Duration {
        Duration::from_secs(8) + 3 * self.time
    }
}

/// # Errors
/// Where the other end is gone.
pub(super) fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::Error::other("it is longer than four gigabytes"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(frame)?;
    to.flush()
}

/// The next frame; `None` where the other end has closed.
///
/// # Errors
/// A frame that is cut, and one longer than `max()`, of which nothing is read.
pub(super) fn read_frame(from: &mut impl Read, max: impl FnOnce() -> usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let read = from.read(&mut length)?;
    if read == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[read..])?;
    let length = u32::from_le_bytes(length);
    if length as usize > max() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = Vec::new();
    let taken = from.take(u64::from(length)).read_to_end(&mut frame)?;
    if taken < length as usize { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(frame)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_one_too_long_is_not() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, b"abc").unwrap();
        assert_eq!(bytes, b"\x03\0\0\0abc");
        assert_eq!(read_frame(&mut &bytes[..], || 3).unwrap().unwrap(), b"abc");
        assert_eq!(read_frame(&mut &bytes[..0], || 3).unwrap(), None);
        assert!(read_frame(&mut &bytes[..], || 2).is_err());
        for cut in [1, 4, 6] {
            assert!(read_frame(&mut &bytes[..cut], || 3).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_long_conversation_may_take_more() {
        let (short, long) = (Limits::of(0), Limits::of(10_000_000));
        assert_eq!(short.time, TIME);
        assert!(long.time.as_secs() > 20 && long.output > short.output && long.memory > short.memory);
        assert_eq!(Limits::of(usize::MAX).time, MAX_TIME);
    }
}
