//! What happens in a recording, as a list: pure.

use std::time::Duration;

use fastrand::Rng;
use sensors::trace::{Header, Phase};
use vmgl_rfb::ClientMessage;

/// Where the editor is, so that hands are over it: its window begins at (8, 8).
const HOME: (f64, f64) = (200.0, 120.0);
const ENTER: u32 = 0xff0d;
/// Gives the keyboard to the window under the pointer: a terminal's cursor blinks only there.
const MANAGER: &str = "evilwm -fn fixed";

/// Something to do.
#[derive(Debug, Clone)]
pub(super) enum Do {
    /// The user does this.
    Say(ClientMessage),
    /// The agent begins to compute, or stops.
    Compute(bool),
    /// The agent is at another place now, at the end of another path.
    Go(&'static str, Duration),
}

/// A recording to be made.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) header: Header,
    /// Programs on the screen, their words.
    pub(super) programs: Vec<&'static str>,
    /// The round trip at first.
    pub(super) round_trip: Duration,
    pub(super) length: Duration,
    pub(super) acts: Vec<(Duration, Do)>,
    rng: Rng,
}

impl Scene {
    /// A recording of so many seconds, which begins at a place so many milliseconds away.
    pub(super) fn new(name: &'static str, place: &str, ms: u64, seconds: u64, made: &str) -> Scene {
        let made = format!("recorded (examples/traces): {made}");
        Scene {
            name,
            header: Header::new(made, Some(place.to_owned())),
            programs: vec![MANAGER, "xterm -bc -geometry 90x30+8+8 -e vi -u NONE -i NONE -n /dev/null"],
            round_trip: Duration::from_millis(ms),
            length: Duration::from_secs(seconds),
            acts: Vec::new(),
            rng: Rng::with_seed(1),
        }
    }

    /// With another program in the window under the hands.
    pub(super) fn with(mut self, words: &'static str) -> Scene {
        self.programs = vec![MANAGER, words];
        self
    }

    /// From here on the agent really is in this phase.
    pub(super) fn phase(&mut self, at: u64, state: &str) {
        self.header.phases.push(Phase { t: at * 1_000_000, state: state.to_owned() });
    }

    fn push(&mut self, at: f64, what: Do) {
        self.acts.push((Duration::from_secs_f64(at), what));
    }

    fn about(&mut self, mean: f64, spread: f64) -> f64 {
        mean + (self.rng.f64() * 2.0 - 1.0) * spread
    }

    /// The agent computes.
    pub(super) fn computes(&mut self, from: f64, until: f64) {
        self.push(from, Do::Compute(true));
        self.push(until, Do::Compute(false));
    }

    /// The agent has come to a place so many milliseconds away.
    pub(super) fn arrives(&mut self, at: f64, place: &'static str, ms: u64) {
        self.push(at, Do::Go(place, Duration::from_millis(ms)));
    }

    fn key(&mut self, at: f64, keysym: u32) {
        let up = self.about(0.085, 0.025);
        self.push(at, Do::Say(ClientMessage::Key { down: true, keysym }));
        self.push(at + up, Do::Say(ClientMessage::Key { down: false, keysym }));
    }

    fn point(&mut self, at: f64, buttons: u8, (x, y): (f64, f64)) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places on the screen")]
        let (x, y) = (x.round() as u16, y.round() as u16);
        self.push(at, Do::Say(ClientMessage::Pointer { buttons, x, y }));
    }

    /// The pointer is put over the window.
    pub(super) fn takes_the_window(&mut self, at: f64) {
        self.point(at, 0, HOME);
    }

    /// The pointer is put over the editor, which begins to insert: half a second.
    pub(super) fn takes_the_editor(&mut self, at: f64) {
        self.point(at, 0, HOME);
        self.key(at + 0.3, u32::from('i'));
    }

    /// Text, a key about every so many seconds.
    pub(super) fn types(&mut self, from: f64, until: f64, every: f64) {
        let mut at = from;
        let mut column = 0;
        while at < until {
            column += 1;
            let letter = u32::from(b'a' + self.rng.u8(0..26));
            self.key(at, if column % 50 == 0 { ENTER } else { letter });
            at += self.about(every, every * 0.4);
        }
    }

    /// The pointer drags over the text, which shows what is selected; 25 places a second.
    pub(super) fn drags(&mut self, from: f64, until: f64) {
        let place = |at: f64| {
            let turn = (at - from) * 2.2;
            (HOME.0 + 130.0 * turn.sin(), HOME.1 + 90.0 * (turn * 0.7).sin())
        };
        self.point(from, 1, HOME);
        let mut at = from + 0.04;
        while at < until {
            self.point(at, 1, place(at));
            at += self.about(0.04, 0.008);
        }
        self.point(until, 0, place(until));
    }

    /// The pointer wanders over a page that does not care.
    pub(super) fn wanders(&mut self, from: f64, until: f64) {
        let mut at = from;
        while at < until {
            let place = (HOME.0 + self.about(0.0, 120.0), HOME.1 + self.about(0.0, 80.0));
            self.point(at, 0, place);
            at += self.about(0.08, 0.06);
        }
    }

    /// In the order of their times.
    pub(super) fn in_order(mut self) -> Scene {
        self.acts.sort_by_key(|(at, _)| *at);
        self
    }
}
