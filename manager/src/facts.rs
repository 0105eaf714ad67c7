//! What a site's host can do, for whoever weighs sites against each other: processors that a program finds there, and their clock.
//!
//! A quota counts: processors are those that the kernel lets this process have at once, and where a quota is less than one
//! processor the clock is that share of it. What cannot be told is `None`, and nothing is concluded from it.

use serde::{Deserialize, Serialize};

/// A host, as seen by a process of this user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Processors that can be had at once.
    pub cpus: Option<u32>,
    /// Their clock in MHz, at best.
    pub clock_mhz: Option<u32>,
}

impl Facts {
    /// This host's.
    #[must_use]
    pub fn here() -> Facts {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        // By quota and affinity.
        let cpus = std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok());
        let greatest = read("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
            .and_then(|khz| khz.trim().parse::<f64>().ok())
            .map(|khz| khz / 1000.0);
        let clock = greatest.or_else(|| clock_of(&read("/proc/cpuinfo")?));
        let share = read("/proc/self/cgroup").map_or(1.0, |text| least_share(&text, read));
        Facts { cpus, clock_mhz: clock.and_then(|mhz| whole(mhz * share)) }
    }
}

/// The fastest of the processors, by `/proc/cpuinfo`.
fn clock_of(cpuinfo: &str) -> Option<f64> {
    let clocks = cpuinfo.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "cpu MHz").then(|| value.trim().parse::<f64>().ok()).flatten()
    });
    clocks.filter(|mhz| mhz.is_finite()).max_by(f64::total_cmp)
}

/// The least share of one processor that a group of this process, or one above it, leaves it; 1 where there is no such quota.
fn least_share(groups: &str, read: impl Fn(&str) -> Option<String>) -> f64 {
    let number = |path: &str| read(path)?.trim().parse::<f64>().ok();
    let mut least = 1.0_f64;
    for line in groups.lines() {
        // A number, the controllers, the group; no controllers: those of version 2.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let version_1 = controllers.split(',').any(|controller| controller == "cpu");
        if !version_1 && !controllers.is_empty() {
            continue;
        }
        let mut folder = if version_1 { "/sys/fs/cgroup/cpu" } else { "/sys/fs/cgroup" }.to_owned();
        for part in group.split('/') {
            if !part.is_empty() {
                folder = format!("{folder}/{part}");
            }
            let quota = if version_1 {
                let (quota, period) =
                    (format!("{folder}/cpu.cfs_quota_us"), format!("{folder}/cpu.cfs_period_us"));
                number(&quota).zip(number(&period))
            } else {
                read(&format!("{folder}/cpu.max")).and_then(|text| {
                    let (quota, period) = text.trim().split_once(' ')?;
                    Some((quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?))
                })
            };
            // Version 1 says -1 where there is none, version 2 "max".
            if let Some((quota, period)) = quota.filter(|(quota, period)| *quota > 0.0 && *period > 0.0) {
                least = least.min(quota / period);
            }
        }
    }
    least
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "only what fits is taken")]
fn whole(mhz: f64) -> Option<u32> {
    (1.0..1e9).contains(&mhz).then(|| mhz.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_processor_counts() {
        let text = "processor\t: 0\ncpu MHz\t\t: 1200.5\nprocessor\t: 1\ncpu MHz\t\t: 2400.000\nbogus";
        assert_eq!(clock_of(text), Some(2400.0));
        assert_eq!(clock_of("model name : ARM"), None);
    }

    #[test]
    fn the_tightest_quota_of_all_groups_counts() {
        let read = |path: &str| match path {
            "/sys/fs/cgroup/desk.slice/cpu.max" => Some("25000 100000\n".to_owned()),
            "/sys/fs/cgroup/desk.slice/vm/cpu.max" => Some("max 100000\n".to_owned()),
            _ => None,
        };
        assert!((least_share("0::/desk.slice/vm\n", read) - 0.25).abs() < 1e-9);
        assert!((least_share("0::/other\n", read) - 1.0).abs() < 1e-9);
        assert!((least_share("4:memory:/desk.slice\n", read) - 1.0).abs() < 1e-9);
        let read = |path: &str| match path {
            "/sys/fs/cgroup/cpu/desk/cpu.cfs_quota_us" => Some("30000\n".to_owned()),
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us" => Some("-1\n".to_owned()),
            _ if path.ends_with("cpu.cfs_period_us") => Some("100000\n".to_owned()),
            _ => None,
        };
        assert!((least_share("7:cpuset:/\n4:cpu,cpuacct:/desk\n0::/\n", read) - 0.3).abs() < 1e-9);
    }

    #[test]
    fn this_host_has_a_processor() {
        assert!(Facts::here().cpus.is_some_and(|cpus| cpus >= 1));
    }
}
