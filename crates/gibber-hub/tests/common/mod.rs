//! What tests of pulls have in common.

use std::cell::RefCell;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gibber_hub::{
    Cache, Cancel, Hub, HubEnvironment, Limits, Plan, PullEvent, Pulled, Repository, Result, TimeOuts, list, pull,
};

#[allow(dead_code, unreachable_pub, reason = "it serves the tests of several crates")]
#[path = "../../testing/hub/mod.rs"]
pub mod hub;

pub use hub::{Asked, TestHub};

pub const MIB: usize = 1 << 20;
pub const REPOSITORY: &str = "maker/model";
pub const MODEL: &str = "model.gguf";

/// Bytes that differ everywhere: the magic of a GGUF, and noise.
pub fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; count];
    random.fill(&mut bytes);
    bytes[..4].copy_from_slice(b"GGUF");
    bytes
}

/// A hub, and a machine with an empty cache.
pub struct Machine {
    pub hub: TestHub,
    pub home: tempfile::TempDir,
}

impl Machine {
    pub fn new() -> Self {
        Self { hub: TestHub::start(), home: tempfile::tempdir().unwrap() }
    }

    /// With one model of `bytes`.
    pub fn with_model(bytes: &[u8]) -> Self {
        let machine = Self::new();
        machine.hub.commit(REPOSITORY, &[("config.json", b"{}"), (MODEL, bytes)]);
        machine
    }

    pub fn cache(&self) -> Cache {
        Cache::new(self.home.path().join("hub"))
    }

    /// The variables of a process on it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let home = self.home.path().to_str().unwrap().to_owned();
        vec![("HF_ENDPOINT", self.hub.url()), ("HF_HOME", home)]
    }

    pub fn client(&self) -> Hub {
        let variables = self.variables();
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let mut environment = HubEnvironment::with(None, variable).unwrap();
        environment.time_outs = TimeOuts {
            back_off: Duration::from_millis(1),
            stall: Duration::from_secs(2),
            first_byte: Duration::from_secs(10),
            ..TimeOuts::default()
        };
        Hub::new(&environment).unwrap()
    }

    pub fn plan(&self, client: &Hub, paths: &[&str]) -> Plan {
        let listing = list(client, &self.cache(), &Repository::new(REPOSITORY).unwrap(), "main").unwrap();
        let files = listing.files.iter().filter(|file| paths.contains(&file.path.as_str())).cloned().collect();
        Plan { listing, files, model: paths[0].into() }
    }

    /// Pulls the model; what it came to, and what was told. Progress never goes backwards.
    pub fn pull(&self, limits: &Limits) -> (Result<Pulled>, Vec<PullEvent>) {
        self.pull_files(&[MODEL], limits, &Cancel::new(), |_| ())
    }

    pub fn pull_files(
        &self,
        paths: &[&str],
        limits: &Limits,
        cancel: &Cancel,
        also: impl Fn(&PullEvent),
    ) -> (Result<Pulled>, Vec<PullEvent>) {
        let client = self.client();
        let plan = self.plan(&client, paths);
        let events = RefCell::new(Vec::new());
        let tell = |event: PullEvent| {
            also(&event);
            events.borrow_mut().push(event);
        };
        let pulled = pull(&client, &self.cache(), &plan, limits, &tell, cancel);
        let events = events.into_inner();
        check_progress(&events);
        (pulled, events)
    }

    /// A process that pulls the model, with its lines to be read.
    pub fn process(&self, arguments: &[&str]) -> Child {
        self.process_as("anybody", arguments)
    }

    /// The same, whose requests can be told from those of others.
    pub fn process_as(&self, token: &str, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_gibber-hub-pull"))
            .args(arguments)
            .args([REPOSITORY, MODEL])
            .envs(self.variables())
            .env("HF_TOKEN", token)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Bytes of the model that the server was asked for, request by request.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        self.ranges_where(|_| true)
    }

    /// The same of a process with a token.
    pub fn ranges_of(&self, token: &str) -> Vec<Range<u64>> {
        self.ranges_where(|asked| asked.header("authorization") == Some(&format!("Bearer {token}")))
    }

    fn ranges_where(&self, is_meant: impl Fn(&Asked) -> bool) -> Vec<Range<u64>> {
        let of = |asked: Asked| {
            let (first, last) = asked.range()?;
            Some(first..last.unwrap() + 1)
        };
        let asked = self.hub.asked_for(MODEL).into_iter().filter(|asked| asked.method == "GET" && is_meant(asked));
        asked.filter_map(of).collect()
    }

    /// The files in the folder of blobs.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let folder = self.cache().repository(&Repository::new(REPOSITORY).unwrap()).join("blobs");
        files(&folder)
    }
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// `done` never becomes less, and is never more than `total`, which never becomes less either.
pub fn check_progress(events: &[PullEvent]) {
    let mut last = (0, 0);
    for event in events {
        let now = match event {
            PullEvent::Planned { total, here, .. } => (*here, *total),
            PullEvent::Progress { done, total, .. } => (*done, *total),
            _ => continue,
        };
        assert!(now.0 >= last.0 && now.1 >= last.1 && now.0 <= now.1, "{last:?}, then {now:?}");
        last = now;
    }
}

pub fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}
