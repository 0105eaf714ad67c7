//! When a replay says what: pure. Times and the screen in, steps out.
//!
//! An input is due at its recorded time, later by as long as was waited so far. One that presses or
//! releases a button waits until the screen around the pointer matches what was recorded there; the time it
//! waited is kept from all that follows, so that the user's rhythm is kept. Who waits for too long gives up:
//! the screen differs, and the session has to begin anew.
//!
//! Invariant: inputs come in the recorded order, none before it is due, none twice.

use std::time::Duration;

use serde::Serialize;
use vmgl_rfb::Framebuffer;

use super::matcher::{Part, Thresholds};
use super::session::{Recorded, Session};

/// After the last input and the session's end it is waited for answers that are on their way.
pub const SETTLE: Duration = Duration::from_secs(1);

/// A button's comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which input of the session it was, from 0.
    pub input: usize,
    /// When it was due.
    pub due: Duration,
    /// How long the screen differed.
    pub waited: Duration,
    /// Pixels that mismatched at first.
    pub first: u32,
    /// Pixels that mismatched at last.
    pub last: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing before this time.
    Until(Duration),
    /// Nothing before the screen changes or this time comes.
    Screen(Duration),
    /// Say this.
    Say(&'a Recorded),
    /// The session is over.
    Ended,
    /// The screen did not come to look as it did.
    Differs(Check),
}

/// The schedule of one replay.
#[derive(Debug)]
pub struct Schedule<'a> {
    session: &'a Session,
    thresholds: Thresholds,
    patience: Duration,
    next: usize,
    late: Duration,
    waits: Option<(Part, Check)>,
    checks: Vec<Check>,
}

impl<'a> Schedule<'a> {
    /// The schedule of a session whose time 0 is the replay's.
    #[must_use]
    pub fn new(session: &'a Session, thresholds: Thresholds, patience: Duration) -> Self {
        Self { session, thresholds, patience, next: 0, late: Duration::ZERO, waits: None, checks: Vec::new() }
    }

    /// What is to be done at `now`, with this on the screen.
    pub fn step(&mut self, now: Duration, screen: &Framebuffer) -> Step<'a> {
        let Some(input) = self.session.inputs.get(self.next) else {
            let end = self.session.length + self.late + SETTLE;
            return if now < end { Step::Until(end) } else { Step::Ended };
        };
        let due = input.at + self.late;
        if now < due {
            return Step::Until(due);
        }
        if let Some(snapshot) = &input.before {
            let (part, check) = self.waits.get_or_insert_with(|| {
                let part = snapshot.part();
                let first = part.mismatches(screen, self.thresholds.distance);
                (part, Check { input: self.next, due: now, waited: Duration::ZERO, first, last: first })
            });
            check.last = part.mismatches(screen, self.thresholds.distance);
            check.waited = now.saturating_sub(check.due);
            if check.last > self.thresholds.pixels {
                let end = check.due + self.patience;
                return if now < end { Step::Screen(end) } else { Step::Differs(*check) };
            }
            self.late += check.waited;
            self.checks.push(*check);
            self.waits = None;
        }
        self.next += 1;
        Step::Say(input)
    }

    /// Comparisons so far that ended with a match.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::super::session::{Act, Snapshot};
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn screen(colour: u32) -> Framebuffer {
        let mut screen = Framebuffer::new(64, 48).unwrap();
        screen.fill(screen.bounds(), colour);
        screen
    }

    /// Moves at 100 ms, presses at 200 on a white screen, types at 300.
    fn session() -> Session {
        let before = Snapshot::new(&Part::around(&screen(0xff_ffff), (10, 10), 16));
        let input = |at, act, before| Recorded { at: ms(at), act, before };
        let inputs = vec![
            input(100, Act::Pointer { buttons: 0, x: 10, y: 10 }, None),
            input(200, Act::Pointer { buttons: 1, x: 10, y: 10 }, Some(before)),
            input(300, Act::Key { down: true, keysym: 97, keycode: None }, None),
        ];
        Session { width: 64, height: 48, inputs, length: ms(400) }
    }

    #[test]
    fn a_button_waits_for_its_screen_and_what_follows_keeps_its_distance() {
        let session = session();
        let mut schedule = Schedule::new(&session, Thresholds::STRICT, ms(1000));
        let (black, white) = (screen(0), screen(0xff_ffff));
        assert_eq!(schedule.step(ms(0), &black), Step::Until(ms(100)));
        assert_eq!(schedule.step(ms(103), &black), Step::Say(&session.inputs[0]));
        assert_eq!(schedule.step(ms(103), &black), Step::Until(ms(200)));
        assert_eq!(schedule.step(ms(200), &black), Step::Screen(ms(1200)));
        assert_eq!(schedule.step(ms(250), &white), Step::Say(&session.inputs[1]));
        assert_eq!(schedule.step(ms(300), &black), Step::Until(ms(350)));
        assert_eq!(schedule.step(ms(350), &black), Step::Say(&session.inputs[2]));
        assert_eq!(schedule.step(ms(351), &black), Step::Until(ms(450) + SETTLE));
        assert_eq!(schedule.step(ms(450) + SETTLE, &black), Step::Ended);
        let [check] = schedule.checks() else { panic!("one comparison") };
        assert_eq!((check.input, check.waited, check.first, check.last), (1, ms(50), 256, 0));
    }

    #[test]
    fn who_waits_too_long_is_told_so() {
        let session = session();
        let mut schedule = Schedule::new(&session, Thresholds::STRICT, ms(1000));
        let black = screen(0);
        let mut now = ms(200);
        while !matches!(schedule.step(now, &black), Step::Screen(_)) {}
        now += ms(999);
        assert!(matches!(schedule.step(now, &black), Step::Screen(_)));
        now += ms(1);
        let Step::Differs(check) = schedule.step(now, &black) else { panic!("it should give up") };
        assert_eq!((check.waited, check.last), (ms(1000), 256));
    }

    #[test]
    fn what_is_near_enough_does_not_wait() {
        let session = session();
        let near = Thresholds { distance: 30, pixels: 4 };
        let mut schedule = Schedule::new(&session, near, ms(1000));
        let mut screen = screen(0xff_ffff - 0x0a_0a0a);
        screen.fill(vmgl_rfb::Rect::new(9, 9, 2, 2), 0);
        assert!(matches!(schedule.step(ms(200), &screen), Step::Say(_)));
        assert_eq!(schedule.step(ms(200), &screen), Step::Say(&session.inputs[1]));
    }
}
