//! The tap: tells the sensors, and a trace if there is one, what users do and what the screen answers.
//!
//! Invariant: nothing waits for the trace: when its file cannot be written, tracing ends and says so.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sensors::trace::{Header, Writer};
use sensors::{Answer, Event, Input, Ledger, Readings, Sensors, Settings};
use vmgl_rfb::ClientMessage;

struct State {
    sensors: Sensors,
    ledger: Option<Ledger>,
    trace: Option<Writer<File>>,
    buttons: u8,
}

/// What is seen goes here.
#[derive(Clone)]
pub struct Tap {
    began: Instant,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

impl Tap {
    /// A tap with a trace in this file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(trace: Option<&Path>) -> io::Result<Self> {
        Self::with(trace, &Header::new("by vmgl-proxy serve --trace", None), None)
    }

    /// A tap with a trace in this file, with this header.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn recording(trace: &Path, header: &Header) -> io::Result<Self> {
        Self::with(Some(trace), header, None)
    }

    /// A tap that remembers what every input got, for [`Tap::answers`].
    ///
    /// # Errors
    /// When the trace's file cannot be made.
    pub fn remembering(trace: Option<&Path>, made: &str) -> io::Result<Self> {
        Self::with(trace, &Header::new(made, None), Some(Ledger::default()))
    }

    fn with(trace: Option<&Path>, header: &Header, ledger: Option<Ledger>) -> io::Result<Self> {
        let trace = trace.map(|path| Writer::new(File::create(path)?, header)).transpose()?;
        let state = State { sensors: Sensors::new(Settings::default()), ledger, trace, buttons: 0 };
        Ok(Self { began: Instant::now(), state: Arc::new(Mutex::new(state)) })
    }

    /// Something happened now.
    pub fn event(&self, event: Event) {
        self.locked(|at, state| state.tell(at, event));
    }

    /// A viewer's message, now.
    pub fn input(&self, message: &ClientMessage) {
        match message {
            ClientMessage::Key { down, .. } | ClientMessage::ExtendedKey { down, .. } => {
                self.event(Event::Input(Input::Key { down: *down }));
            }
            ClientMessage::Pointer { buttons, .. } => self.locked(|at, state| {
                let before = std::mem::replace(&mut state.buttons, *buttons);
                let changed = before ^ buttons;
                if changed == 0 {
                    state.tell(at, Event::Input(Input::Motion));
                }
                for bit in (0..8).map(|n| 1 << n).filter(|bit| changed & bit != 0) {
                    let down = buttons & bit != 0;
                    // Buttons 4 to 7 are the wheel: a press and a release are one step.
                    match (bit > 4 && bit < 0x80, down) {
                        (true, true) => state.tell(at, Event::Input(Input::Wheel)),
                        (true, false) => {}
                        (false, down) => state.tell(at, Event::Input(Input::Button { down })),
                    }
                }
            }),
            _ => {}
        }
    }

    /// What the sensors say.
    #[must_use]
    pub fn readings(&self) -> Readings {
        self.locked(|at, state| state.sensors.readings(at))
    }

    /// What every input got so far, if this tap remembers it.
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        self.locked(|_, state| state.ledger.as_ref().map(Ledger::answers).unwrap_or_default())
    }

    fn locked<T>(&self, what: impl FnOnce(Duration, &mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        what(self.began.elapsed(), &mut state)
    }
}

impl State {
    fn tell(&mut self, at: Duration, event: Event) {
        if let Some(Err(fault)) = self.trace.as_mut().map(|trace| trace.event(at, &event)) {
            tracing::warn!("the trace ends here: {fault}");
            self.trace = None;
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.event(at, &event);
        }
        self.sensors.event(at, event);
    }
}
