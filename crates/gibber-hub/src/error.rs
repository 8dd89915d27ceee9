//! Why something cannot be had from a hub.

use std::io;
use std::path::PathBuf;

use std::fmt;
use std::time::Duration;

use crate::meter::Bytes;

/// What this crate gives back.
pub type Result<T> = std::result::Result<T, HubError>;

/// What went wrong, each in a sentence that says what to do. None holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A variable of the environment has a value that cannot be used.
    #[error("{variable} is '{value}', which cannot be used: {why}")]
    Environment {
        /// Its name.
        variable: String,
        /// What it is, without what is secret in it.
        value: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A name that no repository, file, revision or address has.
    #[error("'{name}' cannot be used: {why}")]
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it, and what it looks like.
        why: String,
    },
    /// Something would have to be fetched, and a variable says that nothing is.
    #[error("{what} is not on this machine, and nothing is fetched {}, or copy the file here", because(variable))]
    Offline {
        /// What was to be fetched.
        what: String,
        /// The variable that says so, or the flag.
        variable: String,
    },
    /// What a repository has cannot be used.
    #[error("{repository}: {why}")]
    Repository {
        /// Its name.
        repository: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A catalogue has something in it that cannot be used.
    #[error("{}:{line}: {why}", path.display())]
    Catalogue {
        /// Its file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// Nobody answers there.
    #[error("{host} cannot be reached: {why}; is this machine connected, and is the name right?")]
    Unreachable {
        /// Its name.
        host: String,
        /// What the system says.
        why: String,
    },
    /// A question that a hub alone can answer, and nobody is to be asked.
    #[error("what has changed since it was fetched only the hub can say, and it is not asked {}", because(variable))]
    HubAlone {
        /// The variable that says so, or the flag.
        variable: String,
    },
    /// No name server knows a name.
    #[error("the name {host} cannot be found: is this machine connected, and is the name right?")]
    NoName {
        /// What was looked up.
        host: String,
    },
    /// What stands between this machine and the others.
    #[error("the proxy {host} ({variable}) {why}: is it running, and is the name right?")]
    Proxy {
        /// Its name and port.
        host: String,
        /// The variable that says so.
        variable: String,
        /// What it does not do.
        why: String,
    },
    /// A server took too long.
    #[error("{host} {what} for {seconds} s")]
    TimedOut {
        /// Its name.
        host: String,
        /// What it did not do.
        what: &'static str,
        /// The limit.
        seconds: f64,
    },
    /// A connection ended in the middle.
    #[error("the connection to {host} was lost: {why}")]
    Lost {
        /// Its name.
        host: String,
        /// What the system says.
        why: String,
    },
    /// Nobody trusted vouches for a server.
    #[error(
        "{host} is not who it says, or nobody trusted vouches for it: {why}; if an authority of your own signs for it, name \
         a file with its certificate in SSL_CERT_FILE"
    )]
    Certificate {
        /// Its name.
        host: String,
        /// What is wrong with its certificate.
        why: String,
    },
    /// There is nobody to trust.
    #[error(
        "this system has no certificates of authorities, so that no server can be trusted: install them (on Debian the \
         package ca-certificates), or name a file of them in SSL_CERT_FILE"
    )]
    NoCertificates,
    /// A request was sent on, and that was not followed.
    #[error("{url} sends on {why}")]
    Redirect {
        /// Where it began.
        url: String,
        /// To where, and what is wrong with it.
        why: String,
    },
    /// A server refused.
    #[error("{url}: the server answered {status}{}{}", of_server(message), waiting(*retry_after))]
    Status {
        /// What was asked for.
        url: String,
        /// Of HTTP.
        status: u16,
        /// What a hub calls it.
        code: String,
        /// What it says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// An answer that no hub gives.
    #[error("{url}: the server's answer cannot be used: {why}")]
    Malformed {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A hub has no such repository, or hides it.
    #[error(
        "{endpoint} has no repository '{repository}' that is open to {}{near}; if it is a private one: {advice}",
        if *has_token { "the person whose token this is" } else { "everyone" }
    )]
    NoRepository {
        /// The hub.
        endpoint: String,
        /// What was asked for.
        repository: String,
        /// Repositories whose names are similar.
        near: Near,
        /// Whether a token was sent.
        has_token: bool,
        /// How a token is given.
        advice: String,
    },
    /// A repository has no such branch, tag or commit.
    #[error("{repository} has no branch, tag or commit '{revision}'{near}")]
    NoRevision {
        /// Whose.
        repository: String,
        /// What was asked for.
        revision: String,
        /// Those that it has whose names are similar.
        near: Near,
    },
    /// A repository has no such file.
    #[error("{repository} has no file '{path}' at '{revision}'{near}")]
    NoFile {
        /// Whose.
        repository: String,
        /// Where.
        revision: String,
        /// What was asked for.
        path: String,
        /// Those that it has whose names are similar.
        near: Near,
    },
    /// A repository's makers let in only those who agreed to something.
    #[error("{repository} is gated: {advice}")]
    Gated {
        /// Whose files.
        repository: String,
        /// The page to visit, and how a token is given.
        advice: String,
    },
    /// A hub does not know a token.
    #[error("{endpoint} does not accept this token: {advice}")]
    Token {
        /// The hub.
        endpoint: String,
        /// How another is given.
        advice: String,
    },
    /// What a short name stands for cannot be had.
    #[error("{cause}; {name} stands for that in {}:{line}: an entry of your own corrects it (`gibber pull --list {family}` shows the family)", path.display())]
    Entry {
        /// `NAME:TAG`.
        name: String,
        /// `NAME`.
        family: String,
        /// The catalogue.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong. The sentence has it already: it is no source that would be told once more.
        cause: Box<HubError>,
    },
    /// The person stopped it.
    #[error("stopped; what was fetched is kept, and the same command goes on from there")]
    Cancelled,
    /// A file or folder of this machine.
    #[error("{}: {source}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file system on which programs cannot wait for each other.
    #[error(
        "{}: this file system has no locks, so that two programs could write one file: set HF_HOME to a folder on another",
        path.display()
    )]
    NoLocks {
        /// The lock's file.
        path: PathBuf,
    },
    /// There is less room than what is still to come.
    #[error(
        "{what} needs {needed} more in {}, and {free} are free there: make room{elsewhere}",
        folder.display()
    )]
    NoRoom {
        /// What is to be fetched.
        what: String,
        /// Where to.
        folder: PathBuf,
        /// Bytes that are still to come.
        needed: Bytes,
        /// Bytes that are free.
        free: Bytes,
        /// How another folder is named, after a comma.
        elsewhere: &'static str,
    },
    /// The disk, or what a person may use of it, came to its end.
    #[error("{}: {source}; what was fetched is kept: make room, and the same command goes on from there", path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An answer ended before what was asked for had come.
    #[error("{path}: the server's answer ended at byte {at}, before all that was asked for had come")]
    Cut {
        /// The file, or its address.
        path: String,
        /// The first byte that did not come.
        at: u64,
    },
    /// The server has another file there than when it was first asked, twice.
    #[error("{path}: the server has another file there each time that it is asked: try again later")]
    Changed {
        /// The file, or its address.
        path: String,
    },
    /// A file has another size than it is to have, twice.
    #[error(
        "{path}: it should have {expected} bytes, and the server sends one of {actual}, also the second time: nothing of it is kept"
    )]
    WrongSize {
        /// The file, or its address.
        path: String,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that the server says it has.
        actual: u64,
    },
    /// A file has other bytes than it is to have, twice.
    #[error(
        "{path}: its hash should be {expected}, and is {actual}, also the second time: nothing of it is kept; somebody changed it on the way, or the server is not the right one"
    )]
    WrongHash {
        /// The file, or its address.
        path: String,
        /// What was promised.
        expected: String,
        /// What came.
        actual: String,
    },
    /// What is at an address is no GGUF file.
    #[error("{url}: this is no GGUF file (it begins with {begins}): give the address of the file itself")]
    NotGguf {
        /// The address.
        url: String,
        /// Its first bytes, quoted.
        begins: String,
    },
    /// Another file has the name that a file at an address would get.
    #[error("{}: {why}: move it away, and the same command fetches the file", path.display())]
    Occupied {
        /// The file that is there.
        path: PathBuf,
        /// How it is another.
        why: String,
    },
    /// The list of what was fetched was written by a later gibber.
    #[error("{}: a newer gibber has written it (version {version}): update this one, or move the file away", path.display())]
    NewerLedger {
        /// The list's file.
        path: PathBuf,
        /// Of its form.
        version: u64,
    },
    /// The list of what was fetched cannot be read.
    #[error("{}: {why}; it is what gibber fetched: mend it, or move it away to begin a new one", path.display())]
    BrokenLedger {
        /// The list's file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl HubError {
    /// What it says where the same is tried once more: what only a second time shows is left out.
    pub(crate) fn first_time(&self) -> String {
        match self {
            Self::WrongSize { expected, actual, .. } => {
                format!("it should have {expected} bytes, and the server sends one of {actual}")
            }
            Self::WrongHash { expected, actual, .. } => format!("its hash should be {expected}, and is {actual}"),
            other => other.to_string(),
        }
    }
}

/// Names that somebody may have meant, for the end of a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Near(pub Vec<String>);

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_last() {
            None => Ok(()),
            Some((only, [])) => write!(f, " (is it '{only}'?)"),
            Some((last, others)) => write!(f, " (is it '{}' or '{last}'?)", others.join("', '")),
        }
    }
}

/// Why nothing is fetched, and how that is changed: by a variable of the environment, or by a flag.
fn because(variable: &str) -> String {
    match variable.starts_with('-') {
        true => format!("because of {variable}: leave that out"),
        false => format!("because {variable} is set: unset it"),
    }
}

fn of_server(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn waiting(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!("; it asks to wait for {} s", wait.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forbids_asking_is_told_with_how_it_is_lifted() {
        let said = |variable: &str| HubError::Offline { what: "x".into(), variable: variable.into() }.to_string();
        assert!(said("HF_HUB_OFFLINE").ends_with("because HF_HUB_OFFLINE is set: unset it, or copy the file here"));
        assert!(said("--offline").ends_with("because of --offline: leave that out, or copy the file here"));
    }
}
