//! The host's share: how much of all its CPUs anything uses, from `/proc/stat`.

use std::io;

use crate::Event;

/// The host's CPUs.
#[derive(Debug)]
pub struct Host {
    /// Ticks in use and all ticks at the last sample.
    before: (u64, u64),
}

impl Host {
    /// Begins to watch.
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read or has no line of CPUs.
    pub fn new() -> io::Result<Host> {
        Ok(Host { before: now()? })
    }

    /// The share since the last sample; `None` when no tick has passed.
    ///
    /// # Errors
    /// As for [`Host::new`].
    #[expect(clippy::cast_precision_loss, reason = "a share of ticks to 53 bits is exact enough")]
    pub fn sample(&mut self) -> io::Result<Option<Event>> {
        let now = now()?;
        let (used, all) = (now.0.saturating_sub(self.before.0), now.1.saturating_sub(self.before.1));
        if all == 0 {
            return Ok(None);
        }
        self.before = now;
        Ok(Some(Event::Host((used as f64 / all as f64).clamp(0.0, 1.0))))
    }
}

fn now() -> io::Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/stat has no line \"cpu\""))
}

/// Used and all ticks. The fields: user, nice, system, idle, iowait, irq, softirq, steal; guest time is in user already.
fn parse(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> =
        line.split_ascii_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let all: u64 = fields.iter().fold(0, |sum, field| sum.saturating_add(*field));
    let idle = fields.get(3)?.saturating_add(fields.get(4).copied().unwrap_or(0));
    Some((all.saturating_sub(idle), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_is_all_but_idle_and_waiting_for_io() {
        let stat = "cpu  10 20 30 400 50 6 7 8 900 1000\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse(stat), Some((81, 531)));
        assert_eq!(parse("intr 5\n"), None);
        assert_eq!(parse("cpu  1 2\n"), None);
    }
}
