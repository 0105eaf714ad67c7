//! The core: gives events to the windows they belong to and asks them all for a reading.

use std::time::Duration;

use thiserror::Error;

use crate::interaction::Interaction;
use crate::load::{Load, Passed};
use crate::{Event, Readings};

/// How long a window must be to say something.
const SPEAKS_AFTER: Duration = Duration::from_secs(3);
/// Shortest and longest poll interval and window.
const LIMITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));

/// How often readings are taken and over how much of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    poll: Duration,
    window: Duration,
}

/// Why settings are refused.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SettingsError {
    /// Too short or too long.
    #[error("the {what} is {given:?}: it must be from 100 ms to 1 h")]
    Range {
        /// Poll interval or window.
        what: &'static str,
        /// What was given.
        given: Duration,
    },
    /// A window that holds no poll.
    #[error("the window ({window:?}) is shorter than the poll interval ({poll:?})")]
    WindowTooShort {
        /// The window.
        window: Duration,
        /// The poll interval.
        poll: Duration,
    },
}

impl Settings {
    /// Settings by poll interval and averaging window.
    ///
    /// # Errors
    /// When one is not from 100 ms to 1 h, or the window is shorter than the interval.
    pub fn new(poll: Duration, window: Duration) -> Result<Settings, SettingsError> {
        for (what, given) in [("poll interval", poll), ("window", window)] {
            if given < LIMITS.0 || given > LIMITS.1 {
                return Err(SettingsError::Range { what, given });
            }
        }
        if window < poll {
            return Err(SettingsError::WindowTooShort { window, poll });
        }
        Ok(Settings { poll, window })
    }

    /// Time from one asking for readings to the next. The core does not use it; whoever asks does.
    #[must_use]
    pub fn poll(&self) -> Duration {
        self.poll
    }

    /// How much of the past a reading is of.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }
}

impl Default for Settings {
    /// 1 s and 10 s.
    fn default() -> Settings {
        Settings { poll: Duration::from_secs(1), window: Duration::from_secs(10) }
    }
}

/// Sensors of one agent. See the crate's description for what each reading means.
#[derive(Debug)]
pub struct Sensors {
    settings: Settings,
    began: Option<Duration>,
    now: Duration,
    interaction: Interaction,
    load: Load,
}

impl Sensors {
    /// Sensors that have heard nothing. Their window begins with the first event or the first asking.
    #[must_use]
    pub fn new(settings: Settings) -> Sensors {
        Sensors {
            settings,
            began: None,
            now: Duration::ZERO,
            interaction: Interaction::default(),
            load: Load::default(),
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Tells of something that happened at `at`; if that is before the last time told, it counts as of the last.
    pub fn event(&mut self, at: Duration, event: Event) {
        let at = self.pass(at);
        match event {
            Event::Input(input) => self.interaction.input(at, input),
            Event::Update { area } => self.interaction.update(at, Some(area)),
            Event::Swap => self.interaction.update(at, None),
            Event::Rtt(rtt) => self.interaction.rtt(at, rtt),
            Event::Cpu { wall, busy } => self.load.cpu(at, wall, &busy),
            Event::Host(share) => self.load.host(at, share),
            Event::Net { anchor, inward, outward, waited } => {
                self.load.net(at, anchor, Passed { inward, outward, waited });
            }
            Event::External { name, value } => self.load.external(at, name, value),
            Event::Restart { .. } => {
                self.began = Some(at);
                self.interaction = Interaction::default();
                self.load = Load::default();
            }
        }
    }

    /// The readings at `at`: of the window that ends there.
    pub fn readings(&mut self, at: Duration) -> Readings {
        let at = self.pass(at);
        let began = self.began.unwrap_or(at);
        let span = (at - began).min(self.settings.window);
        if at - began < SPEAKS_AFTER {
            return Readings { span, ..Readings::default() };
        }
        let mut readings = Readings { span, ..Readings::default() };
        self.interaction.read(at, &mut readings);
        self.load.read(&mut readings);
        readings
    }

    /// Time goes on to `at`, never back, and what is older than the window is forgotten.
    fn pass(&mut self, at: Duration) -> Duration {
        self.now = self.now.max(at);
        self.began.get_or_insert(self.now);
        let oldest = self.now.saturating_sub(self.settings.window);
        self.interaction.forget(oldest);
        self.load.forget(oldest);
        self.now
    }
}
