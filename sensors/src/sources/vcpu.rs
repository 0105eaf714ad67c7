//! vCPU threads: what each wanted of a CPU, from `/proc/PID/task/TID/schedstat`.
//!
//! Its first two fields are nanoseconds on a CPU and nanoseconds waiting for one. Their sum is demand: what a quota or a
//! busy host takes away is in the second. The process as a whole is not looked at, because migration and display
//! threads run in it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::Event;
use crate::event::VCPUS_MAX;

/// Why threads cannot be watched.
#[derive(Debug, Error)]
pub enum VcpuError {
    /// None, or too many.
    #[error("{0} vCPU threads: 1 to {VCPUS_MAX} can be watched")]
    Count(usize),
    /// A thread's file cannot be read: most likely the thread is gone.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What reading gave.
        source: std::io::Error,
    },
    /// The file has other contents than expected.
    #[error("{} holds {text:?}: not a schedstat", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Its beginning.
        text: String,
    },
}

/// The vCPU threads of one QEMU.
#[derive(Debug)]
pub struct Vcpus {
    files: Vec<PathBuf>,
    before: Vec<Duration>,
    at: Instant,
}

impl Vcpus {
    /// Watches threads `tids` of process `pid`, in the order of vCPUs. What they did until now is not counted.
    ///
    /// # Errors
    /// When there is none, too many, or one cannot be read.
    pub fn new(pid: u32, tids: &[u32]) -> Result<Vcpus, VcpuError> {
        if tids.is_empty() || tids.len() > VCPUS_MAX {
            return Err(VcpuError::Count(tids.len()));
        }
        let files: Vec<_> =
            tids.iter().map(|tid| PathBuf::from(format!("/proc/{pid}/task/{tid}/schedstat"))).collect();
        let before = files.iter().map(demand).collect::<Result<_, _>>()?;
        Ok(Vcpus { files, before, at: Instant::now() })
    }

    /// What the threads did since the last sample.
    ///
    /// # Errors
    /// When a thread cannot be read any more; the sample before stays the last.
    pub fn sample(&mut self) -> Result<Event, VcpuError> {
        let now: Vec<_> = self.files.iter().map(demand).collect::<Result<_, _>>()?;
        let at = Instant::now();
        let busy = now.iter().zip(&self.before).map(|(now, before)| now.saturating_sub(*before)).collect();
        let wall = at - self.at;
        (self.before, self.at) = (now, at);
        Ok(Event::Cpu { wall, busy })
    }
}

fn demand(path: &PathBuf) -> Result<Duration, VcpuError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| VcpuError::Read { path: path.clone(), source })?;
    parse(&text).ok_or_else(|| VcpuError::Form { path: path.clone(), text: text.chars().take(80).collect() })
}

fn parse(text: &str) -> Option<Duration> {
    let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (on, waited) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Duration::from_nanos(on.saturating_add(waited)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedstat_is_time_on_a_cpu_and_time_waiting() {
        assert_eq!(parse("1000 234 7\n"), Some(Duration::from_nanos(1234)));
        assert_eq!(parse("18446744073709551615 5 1"), Some(Duration::from_nanos(u64::MAX)));
        for bad in ["", "1", "1 x 2", "-1 2 3"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_be_watched_is_said_at_once() {
        assert!(matches!(Vcpus::new(1, &[]), Err(VcpuError::Count(0))));
        assert!(matches!(Vcpus::new(std::process::id(), &[u32::MAX]), Err(VcpuError::Read { .. })));
    }
}
