//! How many threads are worth having.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Where Linux describes its processors (`Documentation/admin-guide/cputopology.rst` of the kernel).
const PROCESSORS: &str = "/sys/devices/system/cpu";
/// A list that names more processors than this is a mistake.
const MAX_PROCESSORS: usize = 1 << 16;

/// How many threads compute without being in each other's way: the cores that this process may use. Two hyper-threads
/// share the arithmetic and the caches of one core, so that they count once; the affinity mask and the container's
/// processor quota (cgroups, either version) are respected.
pub fn default_threads() -> usize {
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    allowed_cores().map_or(available, |cores| cores.min(available))
}

/// How many threads one core can serve before they do little but wait for each other.
const THREADS_PER_CORE: usize = 8;

/// How many of `wanted` threads are started. The threads of one operation wait for each other, so that many times more of
/// them than cores end no operation in reasonable time.
pub fn useful_threads(wanted: usize) -> usize {
    wanted.min(default_threads() * THREADS_PER_CORE)
}

/// The cores of the affinity mask; `None` where the system does not tell.
fn allowed_cores() -> Option<usize> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    cores_of(&processors(allowed)?, Path::new(PROCESSORS))
}

/// How many cores `processors` are, by their description in `folder`. One that is not described is switched off: the
/// mask of a process also names processors that may be plugged in later.
fn cores_of(processors: &[usize], folder: &Path) -> Option<usize> {
    let siblings = |processor: &usize| {
        let topology = folder.join(format!("cpu{processor}/topology"));
        // The second is the older name of the first.
        let lists = ["core_cpus_list", "thread_siblings_list"].map(|file| fs::read_to_string(topology.join(file)));
        lists.into_iter().find_map(Result::ok).map(|list| list.trim().to_owned())
    };
    let cores: HashSet<String> = processors.iter().filter_map(siblings).collect();
    (!cores.is_empty()).then_some(cores.len())
}

/// The numbers of a list such as `0-3,8,10-11`.
fn processors(list: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MAX_PROCESSORS {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description of processors as Linux gives it: for each its number and its core's list.
    fn described(file: &str, processors: &[(usize, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (processor, core) in processors {
            let topology = folder.path().join(format!("cpu{processor}/topology"));
            fs::create_dir_all(&topology).unwrap();
            fs::write(topology.join(file), format!("{core}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn hyper_threads_of_one_core_count_once() {
        for file in ["core_cpus_list", "thread_siblings_list"] {
            // As Intel numbers them (the second threads after all cores), and as AMD does (side by side).
            let intel = described(file, &[(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")]);
            let amd = described(file, &[(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")]);
            for folder in [intel, amd] {
                assert_eq!(cores_of(&[0, 1, 2, 3], folder.path()), Some(2), "{file}");
            }
        }
    }

    #[test]
    fn only_the_cores_of_the_mask_count() {
        let folder = described("core_cpus_list", &[(0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3"), (4, "4"), (5, "5")]);
        assert_eq!(cores_of(&[0, 1], folder.path()), Some(1), "two threads of one core");
        assert_eq!(cores_of(&[1, 2], folder.path()), Some(2), "one thread each of two cores");
        assert_eq!(cores_of(&[3, 4, 5], folder.path()), Some(3), "cores with one thread");
        assert_eq!(cores_of(&[4, 5, 6, 7], folder.path()), Some(2), "processors 6 and 7 are switched off");
    }

    #[test]
    fn where_nothing_is_told_the_mask_and_the_quota_decide() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(cores_of(&[0, 1], folder.path()), None);
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(processors("\t0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        for nonsense in ["", "a", "3-", "0-99999999999"] {
            assert_eq!(processors(nonsense), None, "{nonsense:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_is_bound_to_one_processor_is_given_one_thread() {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

        // The mask is the thread's own, so that the other tests keep theirs.
        let bound = std::thread::spawn(|| {
            let allowed = sched_getaffinity(None).unwrap();
            let mut one = CpuSet::new();
            one.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap());
            sched_setaffinity(None, &one).unwrap();
            default_threads()
        });
        assert_eq!(bound.join().unwrap(), 1);
    }
}
