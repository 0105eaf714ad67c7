//! What chunks came to in each form, and what each way cost: for `status`, and for the next choice.
//!
//! One for a keeper, for all its links: a disk has few far sites, and what its chunks are like is the disk's own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Form;
use super::choice::{Facts, Seen, Way};

/// A new measurement counts for one in so many.
const MEAN_OF: f64 = 16.0;
/// A link is busy, so that its rate says what it carries, at so many bytes a second.
const BUSY: f64 = 64.0 * 1024.0;
/// A rate is taken over no less than this.
const LOOK: Duration = Duration::from_millis(250);
/// How much of what a lower rate says is believed at once: a line is judged by what it did at its best.
const SLOWER: f64 = 0.05;

/// Chunks of one form.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct Tally {
    chunks: u64,
    /// Their bytes on the disk.
    bytes: u64,
    /// Their bytes as they travelled.
    on_the_wire: u64,
}

#[derive(Debug, Default)]
struct Kept {
    came: [Tally; Form::ALL.len()],
    went: [Tally; Form::ALL.len()],
    asked: u64,
    ways: [Option<Seen>; 3],
    /// zstd's level of the last answer that was packed with others.
    level: Option<i32>,
    rate_in: Rate,
}

/// What the links bring. (What they take is not known here: a socket, a pipe and an ssh take megabytes at once.)
#[derive(Debug, Default)]
struct Rate {
    at: Option<Instant>,
    bytes: u64,
    best: Option<f64>,
}

impl Rate {
    fn look(&mut self, bytes: u64, now: Instant) {
        let Some(then) = self.at else {
            (self.at, self.bytes) = (Some(now), bytes);
            return;
        };
        let took = now.saturating_duration_since(then);
        if took < LOOK {
            return;
        }
        let rate = bytes.saturating_sub(self.bytes) as f64 / took.as_secs_f64();
        (self.at, self.bytes) = (Some(now), bytes);
        // A look that comes late was over a pause too.
        if rate > BUSY && took < 4 * LOOK {
            let best = self.best.unwrap_or(rate);
            self.best = Some(rate.max(best + (rate - best) * SLOWER));
        }
    }
}

/// The record; shared by everything that fetches and answers.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Kept>);

fn mean(of: &mut Option<f64>, new: f64) {
    *of = Some(of.map_or(new, |old| old + (new - old) / MEAN_OF));
}

impl Ledger {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The links have brought so many bytes so far.
    pub fn brought(&self, bytes: u64, now: Instant) {
        self.kept().rate_in.look(bytes, now);
    }

    /// How the next chunk is to be asked for, whose basis has so many bytes.
    #[must_use]
    pub fn way(&self, basis: Option<usize>) -> Way {
        let mut kept = self.kept();
        let facts = Facts {
            basis,
            rate: kept.rate_in.best,
            asked: kept.asked,
            whole: kept.ways[Way::Whole as usize],
            blocks: kept.ways[Way::Blocks as usize],
            rolling: kept.ways[Way::Rolling as usize],
        };
        kept.asked += u64::from(basis.is_some());
        super::choice::way(&facts)
    }

    /// A chunk of so many bytes came.
    pub fn came(&self, way: Way, form: Form, chunk: usize, on_the_wire: usize, took: Duration) {
        let mut kept = self.kept();
        kept.came[form as usize].add(chunk, on_the_wire);
        if matches!(form, Form::Zero) || chunk == 0 {
            return; // Nothing was described, compared or packed.
        }
        let (share, cost) = (on_the_wire as f64 / chunk as f64, took.as_secs_f64() / chunk as f64);
        let seen = &mut kept.ways[way as usize];
        let (mut shares, mut costs) = (seen.map(|s| s.share), seen.map(|s| s.cost));
        mean(&mut shares, share);
        mean(&mut costs, cost);
        *seen = shares.zip(costs).map(|(share, cost)| Seen { share, cost });
    }

    /// A chunk of so many bytes went, packed with others at a level of zstd or not.
    pub fn went(&self, form: Form, chunk: usize, on_the_wire: usize, level: Option<i32>) {
        let mut kept = self.kept();
        kept.went[form as usize].add(chunk, on_the_wire);
        kept.level = level.or(kept.level);
    }

    /// The record as `status --json` has it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let kept = self.kept();
        let table = |tallies: &[Tally]| -> serde_json::Map<String, serde_json::Value> {
            Form::ALL
                .iter()
                .zip(tallies)
                .map(|(form, t)| (form.name().to_owned(), serde_json::json!(t)))
                .collect()
        };
        serde_json::json!({
            "came": table(&kept.came), "went": table(&kept.went),
            "rate_in": kept.rate_in.best.map(f64::round), "level": kept.level,
        })
    }
}

impl Tally {
    fn add(&mut self, chunk: usize, on_the_wire: usize) {
        self.chunks += 1;
        self.bytes += chunk as u64;
        self.on_the_wire += on_the_wire as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_judged_by_its_best_and_forgets_it_slowly() {
        let mut rate = Rate::default();
        let (mut bytes, mut at) = (0, Instant::now());
        rate.look(bytes, at);
        let mut carry = |rate: &mut Rate, more: u64| {
            (bytes, at) = (bytes + more, at + LOOK);
            rate.look(bytes, at);
        };
        carry(&mut rate, 3_000_000);
        assert_eq!(rate.best, Some(12e6));
        for _ in 0..100 {
            carry(&mut rate, 1000);
        }
        assert_eq!(rate.best, Some(12e6), "a pause says nothing of the line");
        for _ in 0..100 {
            carry(&mut rate, 300_000);
        }
        assert!(rate.best.is_some_and(|rate| (1.2e6..1.5e6).contains(&rate)), "{rate:?}");
    }

    #[test]
    fn the_table_tells_what_was_chosen_and_what_it_saved() {
        let ledger = Ledger::default();
        ledger.came(Way::Blocks, Form::Blocks, 1000, 10, Duration::from_micros(1));
        ledger.came(Way::Blocks, Form::Blocks, 1000, 30, Duration::from_micros(1));
        ledger.went(Form::Zstd, 1000, 400, None);
        ledger.went(Form::Stream, 1000, 300, Some(9));
        ledger.went(Form::Raw, 1000, 1000, None);
        let json = ledger.to_json();
        assert_eq!(
            json["came"]["blocks"],
            serde_json::json!({"chunks": 2, "bytes": 2000, "on_the_wire": 40})
        );
        assert_eq!(json["went"]["zstd"]["on_the_wire"], 400);
        assert_eq!((&json["went"]["stream"]["on_the_wire"], &json["level"]), (&300.into(), &9.into()));
    }
}
