//! Addresses: their origins, where a redirect leads, and how they are shown.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::Uri;

use crate::{HubError, Result};

/// What stays as it is in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What people and servers write into an address as it is, although none has it: spaces, and letters beyond ASCII.
const WRITTEN: &AsciiSet = &CONTROLS.add(b' ');

/// Characters of an address at most: what signs one may be long.
const LONGEST: usize = 16 << 10;

/// `text` as one part of a path, or as a value of a query: its slashes do not divide it.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// `path` with its slashes.
pub(crate) fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

/// Who answers: what a secret may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    is_encrypted: bool,
    host: String,
    port: u16,
}

/// An `http` or `https` address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    uri: Uri,
    pub(crate) origin: Origin,
}

impl Address {
    /// What `text` is.
    ///
    /// # Errors
    /// [`HubError::Name`] where it is no `http` or `https` address of a host.
    pub(crate) fn new(text: &str) -> Result<Self> {
        let refused =
            |why: &str| HubError::Name { name: shown(text), why: format!("{why}: an address is https://HOST/PATH") };
        if text.len() > LONGEST {
            return Err(refused("it is longer than any address"));
        }
        let whole = text.split('#').next().unwrap_or(text);
        let uri: Uri = utf8_percent_encode(whole, WRITTEN)
            .to_string()
            .parse()
            .map_err(|_| refused("it has characters that no address has"))?;
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refused("it begins with neither https:// nor http://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refused("it names no host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refused("it has a name and a password, which are not sent"));
        }
        let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let origin = Origin { is_encrypted, host: host.to_ascii_lowercase(), port };
        Ok(Self { uri, origin })
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.origin.is_encrypted
    }

    pub(crate) fn host(&self) -> &str {
        &self.origin.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.origin.port
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// As people see it: without what stands behind the question mark, which may be a signature that lets anybody in.
    pub(crate) fn shown(&self) -> String {
        shown(&self.uri.to_string())
    }

    /// Where `location` leads from here.
    ///
    /// # Errors
    /// Those of [`Address::new`].
    pub(crate) fn join(&self, location: &str) -> Result<Self> {
        if location.contains("://") && !location.starts_with(['/', '?', '.']) {
            return Self::new(location);
        }
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        if location.starts_with("//") {
            return Self::new(&format!("{scheme}:{location}"));
        }
        let authority = self.uri.authority().map_or_else(String::new, ToString::to_string);
        let path = match location.chars().next() {
            Some('/') => location.to_owned(),
            Some('?') => format!("{}{location}", self.uri.path()),
            _ => {
                let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{folder}/{location}")
            }
        };
        Self::new(&format!("{scheme}://{authority}{}", without_dots(&path)))
    }
}

/// `path` without its parts `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let (path, query) = path.find('?').map_or((path, ""), |at| path.split_at(at));
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}{query}", parts.join("/"))
}

/// `text` without a query, a fragment, and a name with a password.
pub(crate) fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or(text);
    let Some((scheme, rest)) = text.split_once("://") else { return printable(text) };
    let end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    printable(&format!("{scheme}://{}", &rest[host..]))
}

/// What a server says as it may stand in a sentence: no control characters, and no more than a few lines.
pub(crate) fn printable(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    gibber_files::quoted::shortened(plain.trim()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::new(text).unwrap()
    }

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        let from = address("https://hub.example:8443/maker/model/resolve/main/a?b=c");
        for (location, to) in [
            ("https://cdn.example/x?sign=1", "https://cdn.example/x?sign=1"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("/new/model", "https://hub.example:8443/new/model"),
            ("b", "https://hub.example:8443/maker/model/resolve/main/b"),
            ("../b?d", "https://hub.example:8443/maker/model/resolve/b?d"),
            ("?again", "https://hub.example:8443/maker/model/resolve/main/a?again"),
            ("/see?at=https://other.example/", "https://hub.example:8443/see?at=https://other.example/"),
        ] {
            assert_eq!(from.join(location).unwrap(), address(to), "{location}");
        }
    }

    #[test]
    fn letters_of_all_scripts_are_sent_as_an_address_has_them() {
        let written = address("https://hub.example/a b/ä.gguf?c=日%20");
        assert_eq!(written.uri().to_string(), "https://hub.example/a%20b/%C3%A4.gguf?c=%E6%97%A5%20");
        assert_eq!(address("HTTPS://hub.example/").origin, address("https://hub.example").origin);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let one = address("https://Hub.example/a").origin;
        assert_eq!(one, address("https://hub.example:443/b").origin);
        for other in ["http://hub.example/", "https://hub.example:444/", "https://hub.example.evil/"] {
            assert_ne!(one, address(other).origin, "{other}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        for text in ["", "hub", "ftp://a/b", "https://", "https:///a", "https://a b/", "https://me:secret@hub.example/"]
        {
            let error = Address::new(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Address::new(&format!("https://a/{}", "b".repeat(LONGEST))).is_err());
        assert_eq!(address("https://cdn.example/blob?X-Signature=secret#part").shown(), "https://cdn.example/blob");
    }

    #[test]
    fn parts_of_a_path_are_encoded() {
        assert_eq!(encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encoded_path("a folder/ä%.gguf"), "a%20folder/%C3%A4%25.gguf");
    }
}
