//! Whom a server may be vouched for by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::{HubError, Result};

/// A file of certificates, and the variable that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The variable's name.
    pub variable: String,
    /// Its value: a file in PEM.
    pub path: PathBuf,
}

/// The authorities of the system, and those of a file of one's own. As in OpenSSL, `SSL_CERT_FILE` and `SSL_CERT_DIR` stand
/// in the place of the system's; others are added.
///
/// # Errors
/// [`HubError::Environment`] where the file has none; [`HubError::NoCertificates`] where there are none at all.
pub(super) fn trust(own: Option<&Certificates>) -> Result<TlsConfig> {
    let system = rustls_native_certs::load_native_certs();
    let system = system.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    let mut all: Vec<_> = system.collect();
    if let Some(own) = own {
        let wrong = |why: String| HubError::Environment {
            variable: own.variable.clone(),
            value: own.path.display().to_string(),
            why,
        };
        all.extend(read(&own.path).map_err(wrong)?);
    }
    if all.is_empty() {
        return Err(HubError::NoCertificates);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::Specific(Arc::new(all));
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

fn read(path: &Path) -> std::result::Result<Vec<Certificate<'static>>, String> {
    let bytes = gibber_files::read(path, gibber_files::LARGE).map_err(|error| error.to_string())?;
    let items: std::result::Result<Vec<_>, _> = parse_pem(&bytes).collect();
    let items = items.map_err(|_| "it is no file of certificates in PEM".to_owned())?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err("it has no certificate in PEM".to_owned()),
        false => Ok(certificates),
    }
}
