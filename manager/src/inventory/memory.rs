//! Memory that a site could give to an agent now.
//!
//! The kernel says what programs could have; the group that this process is in, and those above it (a container, a login's slice), may have
//! a limit that is nearer, and an agent that grows beyond it is ended as by a machine that has no more. Files that are cached count as free
//! in both. (Groups of cgroup v2; what cannot be read limits nothing.)

use std::path::{Component, Path, PathBuf};

/// What is asked.
const MEMINFO: &str = "/proc/meminfo";
const GROUP: &str = "/proc/self/cgroup";
const GROUPS: &str = "/sys/fs/cgroup";
/// Groups in groups that are looked at.
const DEPTH_MAX: usize = 64;

/// Memory that programs could have without anything being swapped out, if that can be found out.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let meminfo = read(Path::new(MEMINFO))?;
    Some(bytes_of(&meminfo, "MemAvailable:")?.min(in_groups()))
}

/// The same with what could be swapped out for them: only when that is used up, too, the kernel ends a program.
#[must_use]
pub fn at_most_bytes() -> Option<u64> {
    Some(at_most(&read(Path::new(MEMINFO))?)?.min(in_groups()))
}

fn at_most(meminfo: &str) -> Option<u64> {
    let swap = bytes_of(meminfo, "SwapFree:").unwrap_or(0);
    Some(bytes_of(meminfo, "MemAvailable:")?.saturating_add(swap))
}

fn in_groups() -> u64 {
    let group = read(Path::new(GROUP)).unwrap_or_default();
    let path = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    left(Path::new(GROUPS), Path::new(path))
}

/// The least that a group or one above it has left.
fn left(root: &Path, group: &Path) -> u64 {
    let parts = group.components().filter(|part| matches!(part, Component::Normal(_))).take(DEPTH_MAX);
    let mut at = PathBuf::from(root);
    let mut least = left_in(&at);
    for part in parts {
        at.push(part);
        least = least.min(left_in(&at));
    }
    least
}

fn left_in(group: &Path) -> u64 {
    let number = |file: &str| read(&group.join(file))?.trim().parse::<u64>().ok();
    // (`max`: no limit.)
    let Some(limit) = number("memory.max") else { return u64::MAX };
    let stat = read(&group.join("memory.stat")).unwrap_or_default();
    let cached = |name: &str| {
        let rest = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        rest.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    let used = number("memory.current").unwrap_or(0);
    let used = used.saturating_sub(cached("active_file").saturating_add(cached("inactive_file")));
    limit.saturating_sub(used)
}

/// An amount in the kernel's account, in KiB there.
fn bytes_of(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let number = rest.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(number.saturating_mul(1024))
}

fn read(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        let meminfo = "MemTotal: 9 kB\nMemAvailable:     2048 kB\nSwapTotal: 9 kB\nSwapFree: 1024 kB\n";
        assert_eq!(bytes_of(meminfo, "MemAvailable:"), Some(2 << 20));
        assert_eq!(at_most(meminfo), Some(3 << 20));
        assert_eq!(at_most("SwapFree: 2048 kB\n"), None);
        assert!(available_bytes() > Some(0) && at_most_bytes() >= available_bytes());
    }

    #[test]
    fn the_nearest_limit_of_the_groups_counts_and_cached_files_count_as_free() {
        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, files: &[(&str, &str)]| {
            let folder = root.path().join(path);
            std::fs::create_dir_all(&folder).unwrap();
            files.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
        };
        group("user.slice", &[("memory.max", "1000\n"), ("memory.current", "900\n")]);
        group("user.slice/one", &[("memory.max", "max\n"), ("memory.current", "7\n")]);
        assert_eq!(left(root.path(), Path::new("/user.slice/one")), 100);
        group(
            "user.slice",
            &[("memory.stat", "anon 1\ninactive_file 200\nactive_file 50\nactive_file_x 9\n")],
        );
        assert_eq!(left(root.path(), Path::new("/user.slice/one")), 350);
        group("user.slice/one", &[("memory.max", "10\n")]);
        assert_eq!(left(root.path(), Path::new("/user.slice/one")), 3);
        // Nothing is limited where nothing is said, and a name leads nowhere else.
        assert_eq!(left(root.path(), Path::new("/other/../user.slice")), u64::MAX);
        assert_eq!(left(root.path(), Path::new("/")), u64::MAX);
    }
}
