//! Files of a repository, or of an address, fetched by a process of its own: for tests that end it, and to try things by
//! hand. Events are lines of JSON, as those of `gibber pull --json`.
//!
//! ```text
//! gibber-hub-pull [--connections N] [--limit-rate N] [--revision R] REPOSITORY FILE…
//! gibber-hub-pull [--connections N] [--limit-rate N] --into FOLDER URL [SHA256]
//! ```
//! The last line is `{"type":"pulled",…}`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use gibber_hub::{
    Cache, Cancel, Hub, HubEnvironment, HubError, Limits, Plan, PullEvent, Pulled, Repository, Result, list, pull,
    pull_address,
};

#[derive(Default)]
struct Arguments {
    limits: Limits,
    revision: Option<String>,
    into: Option<PathBuf>,
    names: Vec<String>,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run(&arguments)) {
        Ok(pulled) => {
            line(&serde_json::json!({
                "type": "pulled", "path": pulled.path, "fetched": pulled.bytes_fetched, "here": pulled.bytes_here,
                "unverified": pulled.unverified,
            }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Nobody is told where that fails.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments> {
    let (mut arguments, mut given) = (Arguments::default(), std::env::args().skip(1));
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--connections" => arguments.limits.connections = number(given.next()).unwrap_or(1),
            "--limit-rate" => {
                arguments.limits.bytes_per_second = given.next().and_then(|text| text.parse().ok());
            }
            "--revision" => arguments.revision = given.next(),
            "--into" => arguments.into = given.next().map(PathBuf::from),
            _ => arguments.names.push(argument),
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> Result<Pulled> {
    let environment = HubEnvironment::from_process(None)?;
    let (hub, cancel) = (Hub::new(&environment)?, Cancel::new());
    let Some((first, rest)) = arguments.names.split_first() else {
        return Err(HubError::Name { name: String::new(), why: "a repository or an address is missing".to_owned() });
    };
    if let Some(folder) = &arguments.into {
        let sha256 = rest.first().map(String::as_str);
        return pull_address(&hub, first, sha256, folder, &arguments.limits, &tell, &cancel);
    }
    let cache = Cache::of(&environment).unwrap_or_else(|| Cache::new(""));
    let revision = arguments.revision.as_deref().unwrap_or("main");
    let listing = list(&hub, &cache, &Repository::new(first)?, revision)?;
    let is_wanted = |path: &String| rest.is_empty() || rest.contains(path);
    let files: Vec<_> = listing.files.iter().filter(|file| is_wanted(&file.path)).cloned().collect();
    let model = rest.first().map(PathBuf::from).unwrap_or_default();
    pull(&hub, &cache, &Plan { listing, files, model }, &arguments.limits, &tell, &cancel)
}

fn tell(event: PullEvent) {
    line(&event);
}

fn line(value: &impl serde::Serialize) {
    let text = serde_json::to_string(value).unwrap_or_default();
    // Whoever reads them may have ended.
    let _ = writeln!(io::stdout(), "{text}");
}
