//! How hard a stream is packed: as hard as the line leaves time for.
//!
//! What a line carries cannot be read from what was written to it: a socket, a pipe and an ssh take megabytes at once. But
//! whoever packs and then hands on sees which of the two is waited for. While the line is, there is time to pack harder;
//! when it is not, packing is what holds the rest up. A level at which it did is not tried again for a while: each change
//! begins zstd's window anew.
//!
//! Pure: times are told.

use std::time::Duration;

/// zstd's levels that are told apart.
pub const LEVELS: [i32; 4] = [1, 3, 6, 9];
/// Where a stream begins: level 3 with long distance matching is as quick as level 1 and much better.
const FIRST: usize = 1;
/// Times are looked at when so much has passed.
const LOOK: Duration = Duration::from_millis(500);
/// Part of the time that packing may take: the rest of a core is for hashing, reading, encrypting.
const PACKING_MOST: f64 = 0.6;
/// Part of the time that is still waited for the line at the level that is chosen, so that it is never empty.
const LINE_LEAST: f64 = 0.2;
/// Below this part the line is not what is waited for.
const LINE_FREE: f64 = 0.05;
/// What a level that was never tried is taken to cost, of the one before.
const HARDER: f64 = 2.5;
/// A level that was too hard is not tried for this long.
const BARRED: Duration = Duration::from_secs(60);

/// Chooses a stream's level.
#[derive(Clone, Debug)]
pub struct Effort {
    at: usize,
    packing: Duration,
    line: Duration,
    idle: Duration,
    bytes: u64,
    /// Seconds a byte at each level, as measured last.
    costs: [Option<f64>; LEVELS.len()],
    /// The level that was too hard, and how long it is not tried yet.
    barred: Option<(usize, Duration)>,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort {
            at: FIRST,
            packing: Duration::ZERO,
            line: Duration::ZERO,
            idle: Duration::ZERO,
            bytes: 0,
            costs: [None; LEVELS.len()],
            barred: None,
        }
    }
}

impl Effort {
    /// zstd's level for what comes next.
    #[must_use]
    pub fn level(&self) -> i32 {
        LEVELS[self.at]
    }

    /// Nothing was there to be packed for so long.
    pub fn was_idle(&mut self, time: Duration) {
        self.idle += time;
    }

    /// So many bytes were packed in such a time.
    pub fn packed(&mut self, bytes: usize, time: Duration) {
        (self.packing, self.bytes) = (self.packing + time, self.bytes + bytes as u64);
    }

    /// The line took what was packed after so long; looks whether another level is better now.
    pub fn handed_on(&mut self, time: Duration) {
        self.line += time;
        let total = self.packing + self.line + self.idle;
        if total < LOOK {
            return;
        }
        let of = |part: Duration| part.as_secs_f64() / total.as_secs_f64();
        let (packing, line) = (of(self.packing), of(self.line));
        if self.bytes > 0 {
            self.costs[self.at] = Some(self.packing.as_secs_f64() / self.bytes as f64);
        }
        (self.packing, self.line, self.idle, self.bytes) =
            (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
        self.barred = self.barred.map(|(level, left)| (level, left.saturating_sub(total)));
        let barred = self.barred.is_some_and(|(level, left)| self.at + 1 >= level && !left.is_zero());
        if line < LINE_FREE && packing > 0.5 {
            self.barred = Some((self.at, BARRED));
            self.at = self.at.saturating_sub(1);
        } else if self.at + 1 < LEVELS.len() && !barred {
            let harder = match (self.costs[self.at], self.costs[self.at + 1]) {
                (Some(now), Some(next)) if now > 0.0 => next / now,
                _ => HARDER,
            };
            let more = packing * (harder - 1.0);
            if packing + more <= PACKING_MOST && line - more >= LINE_LEAST {
                self.at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds a byte on text at each level, as orders of magnitude.
    const COSTS: [f64; LEVELS.len()] = [3e-9, 4e-9, 10e-9, 18e-9];
    const CHUNK: usize = 128 << 10;

    /// The levels that are chosen over some seconds on a line of so many bytes a second.
    fn levels(line: f64, costs: [f64; LEVELS.len()], seconds: f64) -> Vec<i32> {
        let (mut effort, mut chosen, mut now) = (Effort::default(), Vec::new(), 0.0);
        while now < seconds {
            let packing = costs[LEVELS.iter().position(|l| *l == effort.level()).unwrap()] * CHUNK as f64;
            // The line is busy with the chunk before while this one is packed.
            let waiting = (CHUNK as f64 / 3.0 / line - packing).max(0.0);
            effort.packed(CHUNK, Duration::from_secs_f64(packing));
            effort.handed_on(Duration::from_secs_f64(waiting));
            now += packing + waiting;
            if chosen.last() != Some(&effort.level()) {
                chosen.push(effort.level());
            }
        }
        chosen
    }

    #[test]
    fn a_slow_line_is_packed_for_as_hard_as_there_is_time() {
        assert_eq!(levels(1.25e6, COSTS, 30.0), [3, 6, 9]);
        assert_eq!(levels(12.5e6, COSTS, 30.0), [3, 6]);
        assert_eq!(levels(125e6, COSTS, 30.0), [3, 1]);
    }

    #[test]
    fn a_line_in_between_gets_one_level_and_keeps_it() {
        for line in [5e6, 10e6, 20e6, 30e6, 50e6, 80e6] {
            let chosen = levels(line, COSTS, 120.0);
            assert!(chosen.len() <= 4, "{line}: {chosen:?}");
        }
    }

    #[test]
    fn a_level_that_was_too_hard_is_not_tried_again_for_a_while() {
        let (mut effort, mut changes, mut now, mut level) = (Effort::default(), 0, 0.0, 3);
        // Whenever it packs harder than at first, the machine has something else to do.
        while now < 50.0 {
            let busy = effort.level() > LEVELS[FIRST];
            let (packing, line) = if busy { (0.9, 0.0) } else { (0.1, 0.8) };
            effort.packed(CHUNK, Duration::from_secs_f64(packing));
            effort.handed_on(Duration::from_secs_f64(line));
            changes += u32::from(effort.level() != level);
            (level, now) = (effort.level(), now + packing + line);
        }
        assert_eq!((changes, level), (2, LEVELS[FIRST]), "once harder, once back");
    }

    #[test]
    fn a_machine_that_became_slow_packs_less_hard() {
        assert_eq!(levels(12.5e6, COSTS.map(|cost| 20.0 * cost), 30.0).last(), Some(&1));
    }

    #[test]
    fn who_has_nothing_to_pack_tries_no_harder() {
        let mut effort = Effort::default();
        for _ in 0..100 {
            effort.packed(CHUNK, Duration::from_micros(500));
            effort.was_idle(Duration::from_millis(100));
            effort.handed_on(Duration::ZERO);
        }
        assert_eq!(effort.level(), LEVELS[FIRST]);
    }
}
