//! What was measured, a line of JSON each, so that a run may measure a part and a later one the rest.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Of a move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moved {
    pub(super) detect_s: f64,
    pub(super) migrate_s: f64,
    pub(super) suspend_s: f64,
}

/// Of a session that was replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seen {
    pub(super) fps_median: f64,
    pub(super) response_median_ms: f64,
    pub(super) response_p95_ms: f64,
}

/// A job in a mode at a round trip.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) job: String,
    pub(super) mode: String,
    pub(super) rtt_ms: u64,
    /// How large the job was, and how slow the desk.
    pub(super) size: String,
    pub(super) crunch_s: f64,
    /// To the server, by itself.
    pub(super) there: Option<Moved>,
    /// Back to the user, by itself.
    pub(super) back: Option<Moved>,
    pub(super) seen: Option<Seen>,
}

/// The folder of what was measured.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn open(folder: &Path) -> Result<Kept> {
        std::fs::create_dir_all(folder)?;
        Ok(Kept(folder.to_owned()))
    }

    /// Where the report of a row's session is.
    pub(super) fn report(&self, job: &str, mode: &str, rtt_ms: u64) -> PathBuf {
        self.0.join(format!("{job}-{mode}-{rtt_ms}"))
    }

    /// Adds one.
    pub(super) fn add(&self, row: &Row) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.file())?;
        Ok(writeln!(file, "{}", row.json())?)
    }

    /// The newest of each job, mode and round trip, in that order.
    pub(super) fn rows(&self) -> Result<Vec<Row>> {
        let text = match std::fs::read_to_string(self.file()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let mut newest = BTreeMap::new();
        for line in text.lines() {
            let row = Row::read(line).with_context(|| format!("{}: {line}", self.file().display()))?;
            newest.insert((row.job.clone(), row.mode.clone(), row.rtt_ms), row);
        }
        Ok(newest.into_values().collect())
    }

    fn file(&self) -> PathBuf {
        self.0.join("rows.jsonl")
    }
}

impl Row {
    fn json(&self) -> Value {
        let moved = |moved: Option<Moved>| {
            moved.map(
                |m| json!({ "detect_s": m.detect_s, "migrate_s": m.migrate_s, "suspend_s": m.suspend_s }),
            )
        };
        let seen = self.seen.map(|seen| {
            json!({
                "fps_median": seen.fps_median,
                "response_median_ms": seen.response_median_ms,
                "response_p95_ms": seen.response_p95_ms,
            })
        });
        json!({
            "job": self.job,
            "mode": self.mode,
            "rtt_ms": self.rtt_ms,
            "size": self.size,
            "crunch_s": self.crunch_s,
            "there": moved(self.there),
            "back": moved(self.back),
            "seen": seen,
        })
    }

    fn read(line: &str) -> Result<Row> {
        let value: Value = serde_json::from_str(line)?;
        let text = |name: &str| value[name].as_str().map(str::to_owned).context("a word is missing");
        let moved = |value: &Value| {
            let number = |name: &str| value[name].as_f64();
            let (detect_s, migrate_s) = (number("detect_s")?, number("migrate_s")?);
            Some(Moved { detect_s, migrate_s, suspend_s: number("suspend_s")? })
        };
        Ok(Row {
            job: text("job")?,
            mode: text("mode")?,
            rtt_ms: value["rtt_ms"].as_u64().context("no round trip")?,
            size: text("size")?,
            crunch_s: value["crunch_s"].as_f64().context("no time")?,
            there: moved(&value["there"]),
            back: moved(&value["back"]),
            seen: Seen::read(&value["seen"]),
        })
    }
}

impl Seen {
    /// Of a replay's summary.
    pub(super) fn read(summary: &Value) -> Option<Seen> {
        let number = |name: &str| summary[name].as_f64();
        Some(Seen {
            fps_median: number("fps_median")?,
            response_median_ms: number("response_median_ms")?,
            response_p95_ms: number("response_p95_ms")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_kept_and_the_newest_counts() {
        let folder = std::env::temp_dir().join(format!("snowbird-kept-{}", std::process::id()));
        let kept = Kept::open(&folder).unwrap();
        let moved = Some(Moved { detect_s: 8.5, migrate_s: 12.0, suspend_s: 0.7 });
        let seen = Some(Seen { fps_median: 29.5, response_median_ms: 31.0, response_p95_ms: 66.0 });
        let row = |crunch_s, rtt_ms| Row {
            job: "render".to_owned(),
            mode: "snowbird".to_owned(),
            rtt_ms,
            size: "small".to_owned(),
            crunch_s,
            there: moved,
            back: None,
            seen,
        };
        for row in [row(70.0, 66), row(80.0, 33), row(60.0, 66)] {
            kept.add(&row).unwrap();
        }
        let rows = kept.rows();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(rows.unwrap(), [row(80.0, 33), row(60.0, 66)]);
    }
}
