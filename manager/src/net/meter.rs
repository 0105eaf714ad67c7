//! The network sensor as events: what passed since it was read last, by anchor.
//!
//! A switch that began anew, or an agent that came back, counts from zero: what was read before is forgotten then. Where no switch
//! answers nothing is said, and nothing is made up.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use sensors::Event;
use tokio::time::timeout;

use super::ask::look_in;
use super::counts::{Counts, Traffic};

/// Readings come each second; one that is later is none.
const SOON: Duration = Duration::from_millis(500);

/// Reads the counts of the agent whose folder this is.
#[derive(Debug, Default)]
pub struct Meter {
    before: Option<BTreeMap<String, Traffic>>,
}

impl Meter {
    /// What passed since the last time; the first time says nothing.
    pub async fn read(&mut self, folder: &Path) -> Vec<Event> {
        match timeout(SOON, look_in(folder)).await {
            Ok(Ok(standing)) => self.passed(standing.counts),
            _ => {
                self.before = None;
                Vec::new()
            }
        }
    }

    fn passed(&mut self, counts: Counts) -> Vec<Event> {
        let before = self.before.replace(counts.anchors.clone());
        let Some(before) = before else { return Vec::new() };
        let began_anew = before.iter().any(|(site, old)| {
            counts
                .anchors
                .get(site)
                .is_none_or(|new| new.bytes_in < old.bytes_in || new.bytes_out < old.bytes_out)
        });
        let old = |site: &str| if began_anew { None } else { before.get(site).copied() };
        let events =
            counts.anchors.iter().filter(|(site, _)| sensors::valid_name(site)).map(|(site, now)| {
                let old = old(site).unwrap_or_default();
                Event::Net {
                    anchor: site.clone(),
                    inward: now.bytes_in - old.bytes_in,
                    outward: now.bytes_out - old.bytes_out,
                    waited: Duration::from_micros(now.waited_us.saturating_sub(old.waited_us)),
                }
            });
        events.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[(&str, u64, u64)]) -> Counts {
        let mut counts = Counts::default();
        for (site, bytes_in, bytes_out) in all {
            let traffic = Traffic { bytes_in: *bytes_in, bytes_out: *bytes_out, ..Traffic::default() };
            counts.anchors.insert((*site).to_owned(), traffic);
        }
        counts
    }

    fn net(anchor: &str, inward: u64, outward: u64) -> Event {
        Event::Net { anchor: anchor.to_owned(), inward, outward, waited: Duration::ZERO }
    }

    #[test]
    fn what_was_waited_for_since_is_told_beside() {
        let mut meter = Meter::default();
        let mut all = counts(&[("big", 10, 5)]);
        all.add_waited("big", Duration::from_millis(300));
        meter.passed(all.clone());
        all.add_waited("big", Duration::from_millis(200));
        let waited = Duration::from_millis(200);
        let told = Event::Net { anchor: "big".to_owned(), inward: 0, outward: 0, waited };
        assert_eq!(meter.passed(all), [told]);
    }

    #[test]
    fn what_passed_since_is_told_and_a_switch_that_began_anew_is_seen() {
        let mut meter = Meter::default();
        assert!(meter.passed(counts(&[("desk", 10, 5)])).is_empty());
        let told = meter.passed(counts(&[("big", 7, 0), ("desk", 15, 5)]));
        assert_eq!(told, [net("big", 7, 0), net("desk", 5, 0)]);
        // It counts from zero again.
        assert_eq!(meter.passed(counts(&[("desk", 3, 9)])), [net("desk", 3, 9)]);
        assert_eq!(meter.passed(counts(&[("desk", 3, 9)])), [net("desk", 0, 0)]);
    }

    #[tokio::test]
    async fn without_a_switch_nothing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Meter::default().read(folder.path()).await.is_empty());
    }
}
