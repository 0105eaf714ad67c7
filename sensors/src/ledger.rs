//! A whole session, input by input: what each input got, by the same rules as the windows' readings.
//!
//! For reports of a session, where a window's median would hide how answers are distributed.

use std::time::Duration;

use crate::interaction::Interaction;
use crate::{Event, Input};

/// Most inputs a ledger keeps; when there are more, the oldest are forgotten.
pub const INPUTS_MAX: usize = 1_000_000;
/// The path is what was least measured in this time, as in a window of the usual length.
const PATH: Duration = Duration::from_secs(10);

/// What one input got. The rules are in the crate's description.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// When it was.
    pub at: Duration,
    /// What it was.
    pub input: Input,
    /// Whether it counts: pointer motion does once in 100 ms.
    pub counts: bool,
    /// Updates that the paper gives to it.
    pub updates: u32,
    /// Its frames per second, the paper's way; `None` without updates.
    pub fps_paper: Option<f64>,
    /// Its frames per second; `None` with fewer than two pictures.
    pub fps: Option<f64>,
    /// Time to the first update it could have caused.
    pub response: Option<Duration>,
}

/// Hears events of a session and tells what every input got.
#[derive(Debug)]
pub struct Ledger {
    interaction: Interaction,
    now: Duration,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger { interaction: Interaction::with_room(INPUTS_MAX), now: Duration::ZERO }
    }
}

impl Ledger {
    /// Tells of something that happened at `at`; if that is before the last time told, it counts as of the last. What is
    /// neither an input, nor an update, nor the path is nothing here.
    pub fn event(&mut self, at: Duration, event: &Event) {
        self.now = self.now.max(at);
        match event {
            Event::Input(input) => self.interaction.input(self.now, *input),
            Event::Update { area } => self.interaction.update(self.now, Some(*area)),
            Event::Swap => self.interaction.update(self.now, None),
            Event::Rtt(rtt) => {
                self.interaction.forget_paths(self.now.saturating_sub(PATH));
                self.interaction.rtt(self.now, *rtt);
            }
            _ => {}
        }
    }

    /// What every input got, oldest first.
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        self.interaction.answers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A press 100 ms away with a frame each 20 ms for 200 ms, motion in between, and a key that gets one update.
    #[test]
    fn each_input_has_what_the_windows_rules_give_it() {
        let mut ledger = Ledger::default();
        ledger.event(ms(0), &Event::Rtt(ms(100)));
        ledger.event(ms(1000), &Event::Input(Input::Button { down: true }));
        for frame in 0..=10 {
            ledger.event(ms(1105 + frame * 20), &Event::Update { area: 5000 });
        }
        ledger.event(ms(3000), &Event::Input(Input::Motion));
        ledger.event(ms(3050), &Event::Input(Input::Motion));
        ledger.event(ms(5000), &Event::Input(Input::Key { down: true }));
        ledger.event(ms(5110), &Event::Update { area: 100 });
        let [press, moved, often, key] = ledger.answers()[..] else { panic!("four inputs") };
        assert_eq!((press.fps, press.response, press.updates), (Some(50.0), Some(ms(105)), 11));
        let paper = 11.0 / 0.305;
        assert!(press.fps_paper.is_some_and(|fps| (fps - paper).abs() < 1e-9), "{press:?}");
        assert_eq!((moved.counts, moved.fps, moved.response), (true, None, None));
        assert_eq!((often.counts, often.updates, often.fps_paper), (false, 0, None));
        assert_eq!((key.fps, key.response), (None, Some(ms(110))));
    }
}
