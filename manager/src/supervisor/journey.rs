//! Where the time of a migration goes, and what of it is told on the way. Kept in memory only. (Where the agent stands while its
//! memory is copied, that time is in `drain`.)
//!
//! When it ends is foretold from how fast memory was dealt with lately (pages of zeros are dealt with in no time, so what went over
//! the line says little), less what the agent changes meanwhile.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::event::Action;

/// A move from here.
#[derive(Debug)]
pub(super) struct Journey {
    from: String,
    to: String,
    asked: Instant,
    replica: Option<Instant>,
    opened: Option<Instant>,
    copying: Option<Instant>,
    stopped: Option<Instant>,
    drained: Option<Instant>,
    continued: Option<Instant>,
    prepared: Option<Instant>,
    completed: Option<Instant>,
    committed: Option<Instant>,
    started: Option<Instant>,
    /// Of the hand-over's preparing, by wandisk.
    preparing: Value,
    /// Of the disk's table that went, ahead and with the hand-over.
    disk_bytes: u64,
    /// What whoever moves it was told.
    warnings: Vec<String>,
    news: Value,
    told: Option<Instant>,
    /// Bytes of memory that were dealt with, and when, from the oldest that counts.
    done: VecDeque<(Instant, u64)>,
}

/// How far back it is looked for how fast memory is dealt with.
const LATELY: Duration = Duration::from_secs(5);

fn ms(from: Option<Instant>, to: Option<Instant>) -> Option<u64> {
    let time = to?.checked_duration_since(from?)?;
    u64::try_from(time.as_millis()).ok()
}

impl Journey {
    pub(super) fn begin(from: &str, to: &str) -> Journey {
        Journey {
            from: from.to_owned(),
            to: to.to_owned(),
            asked: Instant::now(),
            replica: None,
            opened: None,
            copying: None,
            stopped: None,
            drained: None,
            continued: None,
            prepared: None,
            completed: None,
            committed: None,
            started: None,
            preparing: Value::Null,
            disk_bytes: 0,
            warnings: Vec::new(),
            news: Value::Null,
            told: None,
            done: VecDeque::new(),
        }
    }

    /// The agent stands.
    pub(super) fn stopped(&mut self) {
        self.stopped.get_or_insert_with(Instant::now);
    }

    /// Does it stand?
    pub(super) fn stands(&self) -> bool {
        self.stopped.is_some()
    }

    /// QEMU has sent all.
    pub(super) fn completed(&mut self) {
        self.completed.get_or_insert_with(Instant::now);
    }

    /// QEMU has answered that it sends the rest.
    pub(super) fn continued(&mut self) {
        self.continued.get_or_insert_with(Instant::now);
    }

    /// The disk's hand-over is being prepared: QEMU has drained its disk.
    pub(super) fn drained(&mut self) {
        self.drained.get_or_insert_with(Instant::now);
    }

    /// Whoever moves it was told this.
    pub(super) fn warned(&mut self, warning: &str) {
        self.warnings.push(warning.to_owned());
    }

    /// An action worked.
    pub(super) fn went(&mut self, action: &Action) {
        let place = match action {
            Action::Presend { .. } => &mut self.replica,
            Action::Open { .. } => &mut self.opened,
            Action::Copy { .. } => &mut self.copying,
            Action::Prepare { .. } => &mut self.prepared,
            Action::Commit { .. } => &mut self.committed,
            Action::Go { .. } => &mut self.started,
            _ => return,
        };
        place.get_or_insert_with(Instant::now);
    }

    /// What wandisk says of the hand-over that it has prepared: how long it took before writes were held (`before_ms`), until they
    /// were (`freeze_ms`), and until the other site answered (`answer_ms`); `all_ms` with the program's start.
    pub(super) fn prepared_so(&mut self, told: &Value) {
        let names = ["ahead", "before_ms", "freeze_ms", "answer_ms", "all_ms"];
        self.preparing = names.iter().map(|name| ((*name).to_owned(), told[*name].clone())).collect();
        self.table(told["bytes"].as_u64().unwrap_or(0));
    }

    /// So much of the disk's table has gone.
    pub(super) fn table(&mut self, bytes: u64) {
        self.disk_bytes = self.disk_bytes.saturating_add(bytes);
    }

    /// QEMU's account of it; gives what is to be told, at most so often.
    pub(super) fn news(&mut self, news: &Value, every: Duration) -> Option<Value> {
        let ram = &news["ram"];
        if ram.is_object() {
            let count = |name: &str| ram[name].as_u64().unwrap_or(0);
            let (total, left, page) = (count("total"), count("remaining"), count("page-size").max(1));
            let dealt = count("normal-bytes").saturating_add(count("duplicate").saturating_mul(page));
            let dirty = count("dirty-pages-rate").saturating_mul(page);
            let rate = self.rate(Instant::now(), dealt);
            let eta = rate.and_then(|rate| eta(rate, left, dirty));
            self.news = json!({
                "phase": news["status"],
                "percent": (total.saturating_sub(left) * 100).checked_div(total),
                "bytes": ram["transferred"],
                "remaining_bytes": left,
                "rate": rate,
                "eta": eta,
                "mbit_per_s": ram["mbps"],
                "dirty_pages_per_s": ram["dirty-pages-rate"],
                "dirty_bytes_per_s": dirty,
                "eta_s": eta,
                "passes": ram["dirty-sync-count"],
                "normal_bytes": ram["normal-bytes"],
                "zero_pages": ram["duplicate"],
                "wire": news["wire"],
            });
        }
        if self.told.is_some_and(|told| told.elapsed() < every) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(self.news.clone())
    }

    /// Bytes of memory that were dealt with a second, lately.
    fn rate(&mut self, now: Instant, dealt: u64) -> Option<u64> {
        self.done.push_back((now, dealt));
        while self.done.len() > 2 && self.done[1].0 + LATELY < now {
            self.done.pop_front();
        }
        let (from, before) = *self.done.front()?;
        let ms = u64::try_from(now.duration_since(from).as_millis()).ok().filter(|ms| *ms > 0)?;
        Some(dealt.saturating_sub(before).saturating_mul(1000) / ms)
    }

    pub(super) fn last_news(&self) -> Value {
        self.news.clone()
    }

    /// What it took. QEMU sends the last pass and the devices in one, `device`, and meanwhile the rest of the table goes, `table`: both
    /// begin when the disk is drained. (`answer`: how late QEMU's monitor was, for which nobody waits.) `ready` is what was done before memory went: until the other site had a `replica`, until its QEMU
    /// listened (`open`), and until the table was there and memory had its `way`.
    pub(super) fn report(&self) -> Value {
        json!({
            "from": self.from,
            "to": self.to,
            "result": "moved",
            "total_ms": ms(Some(self.asked), self.started),
            "suspended_ms": ms(self.stopped, self.started),
            "parts": {
                "drain": ms(self.stopped, self.drained),
                "table": ms(self.drained, self.prepared),
                "device": ms(self.drained, self.completed),
                "answer": ms(self.drained, self.continued),
                "commit": ms(self.prepared.max(self.completed), self.committed),
                "cont": ms(self.committed, self.started),
            },
            "ready": {
                "replica": ms(Some(self.asked), self.replica),
                "open": ms(self.replica, self.opened),
                "way": ms(self.opened, self.copying),
            },
            "preparing": self.preparing,
            "ram_bytes": self.news["bytes"],
            "disk_bytes": self.disk_bytes,
            "ram": {
                "passes": self.news["passes"],
                "normal_bytes": self.news["normal_bytes"],
                "zero_pages": self.news["zero_pages"],
            },
            "wire": self.news["wire"],
            "warnings": self.warnings,
        })
    }
}

/// Seconds until all of memory is there at this rate, less what is written meanwhile; none if it never is so.
fn eta(rate: u64, left: u64, dirty: u64) -> Option<u64> {
    Some(left.div_ceil(rate.checked_sub(dirty).filter(|gain| *gain > 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_foretold_from_what_was_dealt_with_lately_less_what_changes() {
        let mut journey = Journey::begin("a", "b");
        let began = Instant::now();
        let at = |s: u64| began + Duration::from_secs(s);
        assert_eq!(journey.rate(at(0), 0), None);
        // Zeros at first; then 10 bytes a second, of which 5 are dirtied again.
        assert_eq!(journey.rate(at(1), 500), Some(500));
        for s in 2..=10 {
            journey.rate(at(s), 500 + 10 * (s - 1));
        }
        assert_eq!(journey.rate(at(11), 600), Some(10));
        assert_eq!((eta(500, 500, 0), eta(10, 400, 5), eta(10, 400, 10)), (Some(1), Some(80), None));
    }
}
