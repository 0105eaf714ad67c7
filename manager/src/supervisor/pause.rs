//! A machine that stands because its disk cannot give something (law M8): why, and when it is asked again. Pure.
//!
//! QEMU keeps the request and says neither which bytes it was for nor when they can be had; `wandisk status` says which sites
//! have what is missing here and whether they answer. Where it cannot be told (a site that answers may lack the chunk, too), the
//! machine is let go on now and then, and the request itself finds out.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The first wait; each next one is twice as long, up to the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// Whoever was not paused for so long begins anew.
const WELL: Duration = Duration::from_secs(120);

/// Waits that grow.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    waits: u32,
    last: Option<Instant>,
}

impl Backoff {
    /// How long to wait now.
    pub(super) fn next(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > WELL) {
            self.waits = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.waits.min(16)).min(LONGEST);
        self.waits = self.waits.saturating_add(1);
        self.last = Some(now);
        wait
    }

    /// Has it waited so often that the request itself may be asked?
    pub(super) fn may_try(&self) -> bool {
        FIRST.saturating_mul(1 << self.waits.saturating_sub(1).min(16)) >= LONGEST
    }
}

/// What keeps a resident disk from giving all of its bytes, from `wandisk status`; a sentence without its end.
pub(super) fn obstacle(disk: &Value) -> Option<String> {
    if disk["poisoned"] == json!(true) {
        let failure = disk["failure"].as_str().unwrap_or("see `wandisk status`");
        return Some(format!(
            "its disk has failed at this site ({failure}) and is to be launched anew when that is mended"
        ));
    }
    let missing = ["absent", "stale"].iter().any(|kind| disk["chunks"][kind].as_u64() != Some(0));
    let sites = disk["sites"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !missing || sites.iter().any(|site| site["complete"] == json!(true)) {
        return None;
    }
    let silent: Vec<&str> = sites
        .iter()
        .filter(|site| site["reachable"] != json!(true) && site["lost"] != json!(true))
        .filter_map(|site| site["name"].as_str())
        .collect();
    match silent.as_slice() {
        [] => None,
        [one] => Some(format!("a part of its disk is at site {one:?}, which does not answer")),
        many => Some(format!(
            "a part of its disk is at one of the sites {}, which do not answer",
            many.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(absent: u64, sites: &[(&str, bool, bool)]) -> Value {
        let sites: Vec<Value> = sites
            .iter()
            .map(|(name, reachable, complete)| json!({ "name": name, "reachable": reachable, "complete": complete }))
            .collect();
        json!({ "chunks": { "absent": absent, "stale": 0 }, "sites": sites })
    }

    #[test]
    fn what_is_missing_is_said_with_the_sites_that_have_it() {
        assert_eq!(obstacle(&disk(0, &[("a", false, false)])), None);
        let one = obstacle(&disk(1, &[("a", false, false)])).unwrap();
        assert!(one.contains("\"a\", which does not answer"), "{one}");
        let two =
            obstacle(&disk(1, &[("a", false, false), ("c", false, false), ("d", true, false)])).unwrap();
        assert!(two.contains("a, c, which do not"), "{two}");
        // Somebody who answers has everything.
        assert_eq!(obstacle(&disk(1, &[("a", false, false), ("c", true, true)])), None);
        assert_eq!(obstacle(&disk(1, &[("a", true, false)])), None);
        let failed = json!({ "poisoned": true, "failure": "no fsync" });
        assert!(obstacle(&failed).unwrap().contains("no fsync"));
    }

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew_after_a_good_time() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..7 {
            let wait = backoff.next(now);
            waits.push((wait.as_secs(), backoff.may_try()));
            now += wait;
        }
        assert_eq!(
            waits,
            [(1, false), (2, false), (4, false), (8, false), (16, false), (30, true), (30, true)]
        );
        assert_eq!(backoff.next(now + WELL), FIRST);
    }
}
