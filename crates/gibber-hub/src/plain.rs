//! A file at an `https://` address, into a folder of gibber's own.

use std::path::Path;

use crate::{Cancel, Hub, HubError, Limits, PullEvent, Pulled, Result};

/// Fetches the file at `url` into `folder`, and checks it against `sha256` where that is given.
///
/// # Errors
/// Those of [`crate::pull`].
pub fn pull_address(
    hub: &Hub,
    url: &str,
    sha256: Option<&str>,
    folder: &Path,
    limits: &Limits,
    progress: &dyn Fn(PullEvent),
    cancel: &Cancel,
) -> Result<Pulled> {
    let _ = (hub, url, sha256, folder, limits, progress, cancel);
    Err(HubError::NotYet("fetching models"))
}
