//! Where the time of a migration goes, and what of it is told on the way. Kept in memory only. (Where the agent stands while its
//! memory is copied, that time is in `drain`.)

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::event::Action;

/// A move from here.
#[derive(Debug)]
pub(super) struct Journey {
    from: String,
    to: String,
    asked: Instant,
    stopped: Option<Instant>,
    drained: Option<Instant>,
    prepared: Option<Instant>,
    completed: Option<Instant>,
    committed: Option<Instant>,
    started: Option<Instant>,
    news: Value,
    told: Option<Instant>,
}

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
            stopped: None,
            drained: None,
            prepared: None,
            completed: None,
            committed: None,
            started: None,
            news: Value::Null,
            told: None,
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

    /// The disk's hand-over is being prepared: QEMU has drained its disk.
    pub(super) fn drained(&mut self) {
        self.drained.get_or_insert_with(Instant::now);
    }

    /// An action worked.
    pub(super) fn went(&mut self, action: &Action) {
        let place = match action {
            Action::Prepare { .. } => &mut self.prepared,
            Action::Commit { .. } => &mut self.committed,
            Action::Go { .. } => &mut self.started,
            _ => return,
        };
        place.get_or_insert_with(Instant::now);
    }

    /// QEMU's account of it; gives what is to be told, at most so often.
    pub(super) fn news(&mut self, news: &Value, every: Duration) -> Option<Value> {
        let ram = &news["ram"];
        if ram.is_object() {
            let (total, left) = (ram["total"].as_u64().unwrap_or(0), ram["remaining"].as_u64().unwrap_or(0));
            self.news = json!({
                "phase": news["status"],
                "percent": (total.saturating_sub(left) * 100).checked_div(total),
                "bytes": ram["transferred"],
                "remaining_bytes": left,
                "mbit_per_s": ram["mbps"],
                "dirty_pages_per_s": ram["dirty-pages-rate"],
            });
        }
        if self.told.is_some_and(|told| told.elapsed() < every) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(self.news.clone())
    }

    pub(super) fn last_news(&self) -> Value {
        self.news.clone()
    }

    /// What it took. QEMU sends the last pass and the devices in one; `device` is both.
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
                "device": ms(self.prepared, self.completed),
                "commit": ms(self.completed, self.committed),
                "cont": ms(self.committed, self.started),
            },
            "ram_bytes": self.news["bytes"],
        })
    }
}
