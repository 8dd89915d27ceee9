//! How much memory this process may still take.

use std::fs;
use std::path::Path;

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
