//! What the server can do wrong, and to whom.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Asked;

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Another status, with headers and a text.
    Status(u16, Vec<(String, String)>, String),
    /// On to another address: status 302.
    Redirect(String),
    /// On to the same address again, with a longer query each time.
    RedirectForEver,
    /// The file from its beginning, whatever range was asked for.
    NoRanges,
    /// A header is another one, or missing.
    Header(String, Option<String>),
    /// So many more bytes of a body are promised than come, or less. The connection ends behind what comes.
    Length(i64),
    /// The connection ends behind so many bytes of the body.
    CutAfter(u64),
    /// It ends so that the client gets a reset, without an answer.
    Reset,
    /// It ends without an answer.
    Close,
    /// The byte of the file at this place is another one.
    WrongByte(u64),
    /// So many bytes, a pause, and so on.
    Trickle(usize, Duration),
    /// Nothing is answered, until the client leaves.
    StallBefore,
    /// Nothing comes any more behind so many bytes of the body, until the client leaves.
    StallAfter(u64),
    /// Bytes instead of the body, with their own length.
    Body(Vec<u8>),
    /// A body without a length that never ends.
    EndlessBody,
    /// Headers that never end.
    EndlessHeaders,
    /// Exactly these bytes instead of an answer; then the connection ends.
    Raw(Vec<u8>),
    /// Each page of a listing names a further one.
    EndlessPages,
}

impl Fault {
    /// Only another status.
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), String::new())
    }

    /// A status with one header.
    pub fn status_with(status: u16, name: &str, value: &str) -> Self {
        Self::Status(status, vec![(name.to_owned(), value.to_owned())], String::new())
    }

    /// A header that is another one.
    pub fn header(name: &str, value: &str) -> Self {
        Self::Header(name.to_owned(), Some(value.to_owned()))
    }

    /// A header that is missing.
    pub fn no_header(name: &str) -> Self {
        Self::Header(name.to_owned(), None)
    }
}

/// Which requests something happens to. Each counts the requests that it fits, from 1 on.
#[derive(Debug, Clone)]
pub struct Rule {
    part: String,
    method: Option<&'static str>,
    numbers: RangeInclusive<usize>,
    faults: Vec<Fault>,
    seen: usize,
}

impl Rule {
    /// All requests whose target has `part` in it.
    pub fn on(part: &str) -> Self {
        Self { part: part.to_owned(), method: None, numbers: 1..=usize::MAX, faults: Vec::new(), seen: 0 }
    }

    /// Only those with this method.
    #[must_use]
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// Only these of them.
    #[must_use]
    pub fn numbers(mut self, numbers: RangeInclusive<usize>) -> Self {
        self.numbers = numbers;
        self
    }

    /// Only the first.
    #[must_use]
    pub fn once(self) -> Self {
        self.numbers(1..=1)
    }

    /// What happens to them; several can happen together.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// What happens to this request.
    pub(super) fn take(&mut self, asked: &Asked) -> Option<Vec<Fault>> {
        if !asked.target.contains(&self.part) || self.method.is_some_and(|method| method != asked.method) {
            return None;
        }
        self.seen += 1;
        self.numbers.contains(&self.seen).then(|| self.faults.clone())
    }
}
