//! Whether there is memory for a model: a system that runs out of it kills somebody, or swaps until nothing moves.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::EngineError;
use crate::inference::Inference;
use crate::kernels::attention::CacheTypes;
use crate::model::{ModelConfig, SequenceState};

/// Tells how many bytes may be taken; `None` where nobody knows. It can be exchanged, so that a test can be poor.
#[derive(Debug, Clone, Copy)]
pub struct MemoryProbe(pub fn() -> Option<u64>);

impl Default for MemoryProbe {
    fn default() -> Self {
        Self(available)
    }
}

impl PartialEq for MemoryProbe {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for MemoryProbe {}

/// Tokens that a context holds at least where it becomes shorter by itself: with fewer, hardly a question and its answer fit.
const LEAST_CONTEXT: usize = 512;
/// By so many tokens it becomes shorter.
const CONTEXT_STEP: usize = 256;

/// How a model is to run, as far as memory goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunShape {
    /// How keys and values are kept.
    pub cache: CacheTypes,
    /// Prompt tokens computed in one pass.
    pub batch: usize,
}

impl Default for RunShape {
    fn default() -> Self {
        Self { cache: CacheTypes::default(), batch: 512 }
    }
}

/// What a model takes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MemoryNeed {
    /// Bytes of the weights.
    pub weights: u64,
    /// Bytes of keys and values, and of other states, once the context is full.
    pub cache: u64,
    /// Bytes that a pass is computed in, about.
    pub scratch: u64,
}

impl MemoryNeed {
    /// What a model of this shape takes with `weights` bytes of weights and a context of `context` tokens.
    pub fn of(config: &ModelConfig, weights: u64, context: usize, run: RunShape) -> Self {
        Self {
            weights,
            cache: SequenceState::bytes_for(config, run.cache, context) as u64,
            scratch: Inference::scratch_bytes(config, run.batch) as u64,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.scratch)
    }
}

/// A model that is to be held: the weights are laid out anew for the processor as they are loaded, and the file's own pages
/// are given back as that goes on, so that about one copy of them is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a Path,
    pub(crate) config: &'a ModelConfig,
    /// Bytes of its weights.
    pub(crate) weights: u64,
    pub(crate) run: RunShape,
}

impl Wanted<'_> {
    /// The context that there is memory for: `context` where that fits, or else, where it `may_shrink`, the longest that does.
    ///
    /// # Errors
    /// [`EngineError::NoMemory`] where none does.
    pub(crate) fn context(&self, context: usize, may_shrink: bool, probe: MemoryProbe) -> Result<usize, EngineError> {
        let Some(available) = (probe.0)() else { return Ok(context) };
        let fits = |context: usize| self.need(context).total() <= available;
        if fits(context) {
            return Ok(context);
        }
        let least = if may_shrink { context.min(LEAST_CONTEXT) } else { context };
        if !fits(least) {
            let MemoryNeed { weights, .. } = self.need(least);
            let (path, needed) = (self.path.to_owned(), self.need(least).total());
            return Err(EngineError::NoMemory { path, needed, available, weights, context: least });
        }
        // The steps above the least one that fit, of which the last is looked for.
        let steps: Vec<usize> = (least..context).step_by(CONTEXT_STEP).collect();
        let fitting = steps.partition_point(|context| fits(*context));
        Ok(steps[fitting.saturating_sub(1)])
    }

    /// Refuses what does not fit with the shortest context that it would be given.
    ///
    /// # Errors
    /// [`EngineError::NoMemory`].
    pub(crate) fn check(&self, probe: MemoryProbe) -> Result<(), EngineError> {
        self.context(self.config.trained_context.min(LEAST_CONTEXT), false, probe).map(drop)
    }

    /// What it takes with so many tokens.
    pub(crate) fn need(&self, context: usize) -> MemoryNeed {
        MemoryNeed::of(self.config, self.weights, context, self.run)
    }
}

/// Bytes that this process may still take: what the system has available, and what the container leaves.
fn available() -> Option<u64> {
    let system = available_of(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let left = group.and_then(|group| left_of(&group, Path::new("/sys/fs/cgroup")));
    Some(left.map_or(system, |left| left.min(system)))
}

/// `MemAvailable` of `/proc/meminfo`.
fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes.saturating_mul(1024))
}

/// What a version of control groups calls its files: the limit, what is used, and the line of `memory.stat` that counts
/// what of it are files that nobody needs now.
struct Group {
    limit: &'static str,
    used: &'static str,
    droppable: &'static str,
}

const FIRST: Group =
    Group { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", droppable: "total_inactive_file " };
const SECOND: Group = Group { limit: "memory.max", used: "memory.current", droppable: "inactive_file " };

impl Group {
    /// Bytes that the group in `folder` may still take. Files that its processes have read can be dropped, so they count
    /// as free.
    fn left(&self, folder: &Path) -> Option<u64> {
        let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        let (limit, used) = (number(self.limit)?, number(self.used)?);
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let droppable = statistics.lines().find_map(|line| line.strip_prefix(self.droppable)?.parse::<u64>().ok());
        Some(limit.saturating_sub(used.saturating_sub(droppable.unwrap_or(0))))
    }
}

/// What the limits of the groups that `cgroup` (`/proc/self/cgroup`) names, and of those above them, leave.
fn left_of(cgroup: &str, root: &Path) -> Option<u64> {
    let left = |line: &str| {
        let (controllers, name) = line.split_once(':')?.1.split_once(":/")?;
        let (group, top) = match controllers {
            "" => (SECOND, root.to_owned()),
            _ if controllers.split(',').any(|one| one == "memory") => (FIRST, root.join("memory")),
            _ => return None,
        };
        let folder = top.join(name);
        folder.ancestors().take_while(|folder| folder.starts_with(&top)).filter_map(|folder| group.left(folder)).min()
    };
    cgroup.lines().filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_limit_of_a_container_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "700\n");
        assert_eq!(left_of("0::/a/b\n", root.path()), None, "nothing is limited");
        write("a/memory.max", "1000\n");
        write("a/memory.current", "900\n");
        assert_eq!(left_of("0::/a/b\n", root.path()), Some(100));
        write("a/memory.stat", "anon 600\ninactive_file 250\n");
        assert_eq!(left_of("0::/a/b\n", root.path()), Some(350));
        write("a/b/memory.max", "720\n");
        assert_eq!(left_of("0::/a/b\n", root.path()), Some(20));
        assert_eq!(left_of("4:cpu:/a/b\n1:name=systemd:/a\n", root.path()), None);
    }

    #[test]
    fn the_older_control_groups_have_limits_as_well() {
        let root = tempfile::tempdir().unwrap();
        let memory = root.path().join("memory");
        fs::create_dir_all(&memory).unwrap();
        fs::write(memory.join("memory.limit_in_bytes"), "1000\n").unwrap();
        fs::write(memory.join("memory.usage_in_bytes"), "900\n").unwrap();
        fs::write(memory.join("memory.stat"), "inactive_file 1\ntotal_inactive_file 50\n").unwrap();
        let cgroup = "5:devices:/\n4:cpu,memory:/docker/not-seen-from-inside\n0::/\n";
        assert_eq!(left_of(cgroup, root.path()), Some(150));
    }

    #[test]
    fn what_the_system_has_is_read_in_bytes() {
        assert_eq!(available_of("MemTotal:  100 kB\nMemAvailable:     24 kB\n"), Some(24 << 10));
        assert_eq!(available_of("MemTotal: 100 kB\n"), None);
        #[cfg(target_os = "linux")]
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
