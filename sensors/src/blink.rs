//! A blinking cursor, told apart from answers: small updates of one area on a beat that began in silence.
//!
//! On and off times may differ, so the beat is the whole period: an update is expected one period after the last but one.

use std::time::Duration;

/// Largest cursor, in pixels.
const AREA_MAX: u64 = 1024;
/// Least time between two changes of a cursor.
const GAP_MIN: Duration = Duration::from_millis(200);
/// Longest time for on and off together.
const PERIOD_MAX: Duration = Duration::from_secs(3);
/// How far from the beat an update may come: what a busy host and a path were seen to do to a terminal's cursor.
const JITTER: Duration = Duration::from_millis(100);

/// What is known of a cursor's beat.
#[derive(Debug, Default)]
pub(crate) struct Blink {
    area: u64,
    /// The last four updates of that area; oldest first.
    times: Vec<Duration>,
    /// Set once the beat is known.
    period: Option<Duration>,
}

impl Blink {
    /// The user did something: what is not learnt yet must begin again.
    pub(crate) fn input(&mut self) {
        if self.period.is_none() {
            self.times.clear();
        }
    }

    /// Whether an update is the cursor's blinking.
    pub(crate) fn is_blink(&mut self, at: Duration, area: u64) -> bool {
        if area == 0 || area > AREA_MAX {
            return false;
        }
        if let Some(period) = self.period {
            if area != self.area {
                return false;
            }
            let expected = self.times.iter().rev().nth(1).map(|before| *before + period);
            if expected.is_some_and(|expected| at.abs_diff(expected) <= JITTER) {
                self.push(at);
                return true;
            }
        }
        if area != self.area || self.period.is_some() || self.too_soon(at) {
            self.times.clear();
        }
        self.period = None;
        self.area = area;
        self.push(at);
        self.learn();
        false
    }

    fn too_soon(&self, at: Duration) -> bool {
        self.times.last().is_some_and(|last| at.saturating_sub(*last) < GAP_MIN)
    }

    fn push(&mut self, at: Duration) {
        if self.times.len() == 4 {
            self.times.remove(0);
        }
        self.times.push(at);
    }

    fn learn(&mut self) {
        let [a, b, c, d] = self.times.as_slice() else { return };
        let (before, after) = (c.saturating_sub(*a), d.saturating_sub(*b));
        if before.abs_diff(after) <= JITTER && before.max(after) <= PERIOD_MAX {
            self.period = Some((before + after) / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// 600 ms on, 300 ms off, as xterm does it.
    fn beats(n: u64) -> Vec<Duration> {
        (0..n).map(|i| ms(i / 2 * 900 + i % 2 * 600)).collect()
    }

    #[test]
    fn a_beat_is_learnt_in_silence_and_kept_while_the_user_acts() {
        let mut blink = Blink::default();
        let told: Vec<_> = beats(12)
            .into_iter()
            .enumerate()
            .map(|(i, at)| {
                if i > 4 {
                    blink.input();
                }
                blink.is_blink(at + ms(at.as_secs() % 3 * 10), 128)
            })
            .collect();
        assert_eq!(told, [vec![false; 4], vec![true; 8]].concat());
    }

    /// A recording of a terminal 100 ms away whose host was busy: times of its cursor's changes after the beat was learnt.
    #[test]
    fn a_beat_that_a_busy_host_makes_late_is_kept() {
        let late = [604, 932, 1538, 1841, 2441, 2799, 3427, 3755, 4349, 4679, 5302, 5603, 6235, 6553];
        let mut blink = Blink::default();
        let learnt =
            [0, 301, 905, 1206, 1810, 2111].into_iter().filter(|at| !blink.is_blink(ms(*at), 78)).count();
        assert_eq!(learnt, 4);
        // The beat goes on from 2111 as the recording did from its 301.
        blink.input();
        for at in late.map(|at| ms(2111 + at)) {
            assert!(blink.is_blink(at, 78), "{at:?}");
        }
    }

    #[test]
    fn regular_echoes_of_inputs_are_no_blinking() {
        let mut blink = Blink::default();
        for i in 0..50 {
            blink.input();
            assert!(!blink.is_blink(ms(i * 500 + 100), 256), "echo {i}");
        }
    }

    #[test]
    fn an_update_off_the_beat_is_an_answer_and_ends_it() {
        let mut blink = Blink::default();
        let beats = beats(7);
        beats[..6].iter().for_each(|at| {
            blink.is_blink(*at, 128);
        });
        blink.input();
        assert!(!blink.is_blink(beats[5] + ms(100), 128));
        assert!(!blink.is_blink(beats[6], 128), "nothing is learnt any more");
    }

    #[test]
    fn large_updates_and_other_areas_are_never_blinking() {
        let mut blink = Blink::default();
        assert!(!beats(20).into_iter().any(|at| blink.is_blink(at, 5000)));
        for at in beats(20) {
            blink.is_blink(at, 128);
            assert!(!blink.is_blink(at + ms(1), 129));
        }
    }
}
