//! Which requests go through a proxy.

use std::fmt;
use std::net::IpAddr;

use ureq::Proxy;

use super::address::{Address, shown};
use crate::{HubError, Result};

/// What the environment says about proxies.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `HTTPS_PROXY`, or `ALL_PROXY`: the variable, and what it says.
    pub(crate) https: Option<(String, String)>,
    /// `HTTP_PROXY`, or `ALL_PROXY`.
    pub(crate) http: Option<(String, String)>,
    /// `NO_PROXY`: hosts that are asked directly.
    pub(crate) none: String,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may have a password in it.
        let shown = |proxy: &Option<(String, String)>| proxy.as_ref().map(|(_, value)| shown(value));
        let (https, http) = (shown(&self.https), shown(&self.http));
        f.debug_struct("Proxies").field("https", &https).field("http", &http).field("none", &self.none).finish()
    }
}

/// A proxy as people know it: without its password.
#[derive(Debug, Clone)]
pub(super) struct Via {
    /// Name and port.
    pub(super) host: String,
    /// Where it is written.
    pub(super) variable: String,
    /// Whether this machine looks up the server's name all the same.
    pub(super) looks_up_target: bool,
}

impl Proxies {
    /// What `variable` says. Names in small letters come first, as everywhere.
    pub(crate) fn with(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |names: &[&str]| {
            let value = |name: &str| variable(name).map(|value| (name.to_owned(), value));
            names.iter().find_map(|name| value(&name.to_ascii_lowercase()).or_else(|| value(name)))
        };
        Self {
            https: either(&["HTTPS_PROXY", "ALL_PROXY"]),
            http: either(&["HTTP_PROXY", "ALL_PROXY"]),
            none: either(&["NO_PROXY"]).map(|(_, value)| value).unwrap_or_default(),
        }
    }

    /// The variable and what it says.
    fn says(&self, is_encrypted: bool) -> Option<&(String, String)> {
        (if is_encrypted { &self.https } else { &self.http }).as_ref()
    }

    /// Who is connected to in the place of the server at `address`: the proxy, if one is used.
    pub(super) fn next(&self, address: &Address) -> Option<Via> {
        let (variable, _) = self.says(address.is_encrypted())?;
        let proxy = self.proxy(address.is_encrypted()).ok().flatten().filter(|_| !self.is_direct(address))?;
        let host = format!("{}:{}", proxy.host(), proxy.port());
        Some(Via { host, variable: variable.clone(), looks_up_target: proxy.resolve_target() })
    }

    /// The proxy that encrypted requests, or others, go through.
    ///
    /// # Errors
    /// [`HubError::Environment`] where what the variable says is no proxy.
    pub(super) fn proxy(&self, is_encrypted: bool) -> Result<Option<Proxy>> {
        let Some((variable, value)) = self.says(is_encrypted) else { return Ok(None) };
        let proxy = Proxy::new(value).map_err(|_| HubError::Environment {
            variable: variable.clone(),
            value: shown(value),
            why: "a proxy is http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT".to_owned(),
        })?;
        Ok(Some(proxy))
    }

    /// Whether what is at `address` is asked directly.
    pub(super) fn is_direct(&self, address: &Address) -> bool {
        let host = address.host().trim_matches(['[', ']']);
        let entries = self.none.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
        entries.into_iter().any(|entry| is_meant(&entry.to_ascii_lowercase(), host, address.port()))
    }
}

/// Whether an entry of `NO_PROXY` means a host: `*`, a name with all below it, an IP address, or a network.
fn is_meant(entry: &str, host: &str, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        return is_within(network, bits, host).unwrap_or(false);
    }
    let (entry, only) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, digits.parse().ok()),
        _ => (entry, None),
    };
    let name = entry.trim_matches(['[', ']']).trim_start_matches('*').trim_start_matches('.');
    let fits = name.is_empty()
        || host == name
        || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.') && host.parse::<IpAddr>().is_err());
    fits && only.is_none_or(|only: u16| only == port)
}

/// Whether `host` is an address whose first bits are those of `network`.
fn is_within(network: &str, bits: &str, host: &str) -> Option<bool> {
    let bits: u32 = bits.parse().ok()?;
    let differing = match (network.parse().ok()?, host.parse().ok()?) {
        (IpAddr::V4(network), IpAddr::V4(host)) => (network.to_bits() ^ host.to_bits()).leading_zeros(),
        (IpAddr::V6(network), IpAddr::V6(host)) => (network.to_bits() ^ host.to_bits()).leading_zeros(),
        _ => return Some(false),
    };
    Some(differing >= bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::with(|name| pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_proxy_is_for_both() {
        let all = proxies(&[
            ("ALL_PROXY", "socks5://all:1"),
            ("https_proxy", "http://small:2"),
            ("HTTPS_PROXY", "http://great:3"),
        ]);
        assert_eq!(all.proxy(true).unwrap().map(|proxy| proxy.host().to_owned()).as_deref(), Some("small"));
        assert_eq!(all.proxy(false).unwrap().map(|proxy| proxy.port()), Some(1));
        assert_eq!(proxies(&[]).proxy(true).unwrap(), None);
    }

    #[test]
    fn hosts_that_are_asked_directly() {
        let direct = |none: &str, url: &str| proxies(&[("NO_PROXY", none)]).is_direct(&Address::new(url).unwrap());
        for (none, url) in [
            ("*", "https://hub.example/"),
            ("other, hub.example", "https://hub.example/"),
            (".example", "https://hub.example/"),
            ("*.example", "https://Hub.Example/"),
            ("example", "https://hub.example/"),
            ("hub.example:8443", "https://hub.example:8443/"),
            ("127.0.0.1", "http://127.0.0.1:80/"),
            ("10.0.0.0/8", "http://10.1.2.3/"),
            ("[::1]", "http://[::1]:80/"),
            ("fd00::/8", "http://[fd12::1]/"),
        ] {
            assert!(direct(none, url), "{none} {url}");
        }
        for (none, url) in [
            ("", "https://hub.example/"),
            ("ub.example", "https://hub.example/"),
            ("hub.example:8443", "https://hub.example/"),
            ("10.0.0.0/8", "http://11.1.2.3/"),
            ("10.0.0.0/x", "http://10.1.2.3/"),
            ("0.0.1", "http://127.0.0.1/"),
        ] {
            assert!(!direct(none, url), "{none} {url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        let error = proxies(&[("HTTPS_PROXY", "gopher://me:secret@proxy:1/")]).proxy(true).unwrap_err().to_string();
        assert!(
            error.contains("HTTPS_PROXY") && error.contains("gopher://proxy:1/") && !error.contains("secret"),
            "{error}"
        );
        assert!(!format!("{:?}", proxies(&[("HTTPS_PROXY", "http://me:secret@proxy:1/")])).contains("secret"));
    }
}
