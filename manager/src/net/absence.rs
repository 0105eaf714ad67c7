//! Whether the agent's supervisor at this site is to be begun anew. Pure: what happened and times in.
//!
//! A supervisor keeps a connection to its switch, over which it tells what the agent does ([`super::teller`]). Where a QEMU of the agent is
//! and nobody keeps one, the supervisor has died; nobody would let a paused agent go on, or end a move in which it stands. So each of the
//! two processes begins the other one anew, and only whoever ends both at once leaves an agent alone.
//!
//! Invariants: one is begun at a time, after a moment in which whoever asks may have begun it; one that dies each time is begun ever more
//! seldom; none is begun for an agent that is not here.

use std::time::{Duration, Instant};

/// Until it is taken for dead, at first and at most.
const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
/// One that lived so long was in order.
const LIVED: Duration = Duration::from_secs(30);

/// What is known of who tells the switch what the agent does.
#[derive(Debug)]
pub(super) struct Absence {
    tellers: usize,
    /// Of the newest.
    told: Instant,
    /// From then on nobody told anything, or it is as good as that.
    since: Instant,
    wait: Duration,
    begins: bool,
}

impl Absence {
    pub(super) fn new(now: Instant) -> Absence {
        Absence { tellers: 0, told: now, since: now, wait: FIRST, begins: false }
    }

    /// Somebody tells what the agent does, over a connection of his.
    pub(super) fn tells(&mut self, now: Instant) {
        self.tellers += 1;
        self.told = now;
    }

    /// That connection has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        self.tellers = self.tellers.saturating_sub(1);
        self.since = now;
        if now.saturating_duration_since(self.told) > LIVED {
            self.wait = FIRST;
        }
    }

    /// Is it to be begun now? Then [`Absence::begun`] is said when that is over. `here`: a QEMU of the agent is here, or will be.
    pub(super) fn is_due(&mut self, now: Instant, here: bool) -> bool {
        if !here {
            self.since = now;
        }
        if !here || self.tellers > 0 || self.begins || now < self.since + self.wait {
            return false;
        }
        self.begins = true;
        self.wait = MOST.min(self.wait * 2);
        true
    }

    /// It was begun, or could not be.
    pub(super) fn begun(&mut self, now: Instant) {
        self.begins = false;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(began: Instant, ms: u64) -> Instant {
        began + Duration::from_millis(ms)
    }

    #[test]
    fn one_that_died_is_begun_once_after_a_moment_and_only_where_the_agent_is() {
        let began = Instant::now();
        let mut absence = Absence::new(began);
        absence.tells(began);
        assert!(!absence.is_due(at(began, 90_000), true), "it is there");
        absence.ended(at(began, 90_000));
        assert!(!absence.is_due(at(began, 90_500), true), "whoever asks begins it");
        assert!(absence.is_due(at(began, 91_000), true));
        assert!(!absence.is_due(at(began, 99_000), true), "it begins");
        absence.begun(at(began, 99_000));
        absence.tells(at(began, 99_100));
        assert!(!absence.is_due(at(began, 200_000), true));
        // It ends in order where the agent is not.
        absence.ended(at(began, 200_000));
        assert!(!absence.is_due(at(began, 300_000), false));
        // That it is to come was told by somebody.
        absence.tells(at(began, 300_100));
        assert!(!absence.is_due(at(began, 300_200), true));
    }

    #[test]
    fn one_that_dies_each_time_is_begun_ever_more_seldom() {
        let began = Instant::now();
        let mut absence = Absence::new(began);
        let (mut times, mut now) = (Vec::new(), 0);
        while times.len() < 9 {
            now += 250;
            if absence.is_due(at(began, now), true) {
                times.push(now);
                // It tells where the agent is, and dies.
                absence.tells(at(began, now + 50));
                absence.ended(at(began, now + 90));
                absence.begun(at(began, now + 100));
            }
        }
        let waits: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1000).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        // One that lives is forgiven.
        absence.tells(at(began, now));
        absence.ended(at(began, now + 31_000));
        assert!(absence.is_due(at(began, now + 32_000), true));
    }
}
