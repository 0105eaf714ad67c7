//! What may happen: the events that sensors hear, and their form in a trace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest name of an anchor, a place or an external sensor, in bytes.
pub const NAME_MAX: usize = 64;
/// Most vCPUs of a sample.
pub const VCPUS_MAX: usize = 1024;

/// What the user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A key went down (also by repetition) or up.
    Key {
        /// Down, or up.
        down: bool,
    },
    /// A button of the pointer went down or up.
    Button {
        /// Down, or up.
        down: bool,
    },
    /// The wheel turned by one step.
    Wheel,
    /// The pointer moved and nothing else.
    Motion,
}

/// Something that happened. The time is told beside it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The user did something.
    Input(Input),
    /// An update of the screen is complete at the user's side.
    Update {
        /// Pixels that it covers.
        area: u64,
    },
    /// A renderer showed a GL frame.
    Swap,
    /// The round trip between the user's side and the agent's display, as measured just now.
    Rtt(Duration),
    /// What vCPU threads did since the sample before.
    Cpu {
        /// Time between the samples.
        wall: Duration,
        /// On a CPU or waiting for one, for each vCPU.
        busy: Vec<Duration>,
    },
    /// Share of the host's CPUs that anything uses, 0 to 1.
    Host(f64),
    /// Bytes that went through an anchor's gateway since the event before of that anchor.
    Net {
        /// The anchor.
        anchor: String,
        /// Bytes to the agent.
        inward: u64,
        /// Bytes from the agent.
        outward: u64,
        /// How long the agent waited for what comes from there because that is far.
        waited: Duration,
    },
    /// What an external sensor says.
    External {
        /// Its name.
        name: String,
        /// Its value.
        value: f64,
    },
    /// The agent runs somewhere else now: windows begin anew.
    Restart {
        /// The place or site, if whoever tells it knows.
        place: Option<String>,
    },
}

/// Whether `name` can be an anchor, a place or an external sensor: 1 to 64 of `a-z A-Z 0-9 _ - . :`, a letter first.
#[must_use]
pub fn valid_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c))
}

/// The form of an event in a trace: flat, times in microseconds.
#[derive(Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "lowercase", deny_unknown_fields)]
enum Form {
    Key {
        down: bool,
    },
    Button {
        down: bool,
    },
    Wheel {},
    Motion {},
    Update {
        area: u64,
    },
    Swap {},
    Rtt {
        us: u64,
    },
    Cpu {
        wall: u64,
        busy: Vec<u64>,
    },
    Host {
        share: f64,
    },
    Net {
        anchor: String,
        r#in: u64,
        out: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waited: Option<u64>,
    },
    External {
        name: String,
        value: f64,
    },
    Restart {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
}

/// Microseconds, as traces count time; what does not fit 64 bits is the most that does.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl From<&Event> for Form {
    fn from(event: &Event) -> Form {
        match event {
            Event::Input(Input::Key { down }) => Form::Key { down: *down },
            Event::Input(Input::Button { down }) => Form::Button { down: *down },
            Event::Input(Input::Wheel) => Form::Wheel {},
            Event::Input(Input::Motion) => Form::Motion {},
            Event::Update { area } => Form::Update { area: *area },
            Event::Swap => Form::Swap {},
            Event::Rtt(rtt) => Form::Rtt { us: micros(*rtt) },
            Event::Cpu { wall, busy } => {
                Form::Cpu { wall: micros(*wall), busy: busy.iter().map(|b| micros(*b)).collect() }
            }
            Event::Host(share) => Form::Host { share: *share },
            Event::Net { anchor, inward, outward, waited } => {
                let waited = Some(micros(*waited)).filter(|waited| *waited > 0);
                Form::Net { anchor: anchor.clone(), r#in: *inward, out: *outward, waited }
            }
            Event::External { name, value } => Form::External { name: name.clone(), value: *value },
            Event::Restart { place } => Form::Restart { place: place.clone() },
        }
    }
}

impl From<Form> for Event {
    fn from(form: Form) -> Event {
        match form {
            Form::Key { down } => Event::Input(Input::Key { down }),
            Form::Button { down } => Event::Input(Input::Button { down }),
            Form::Wheel {} => Event::Input(Input::Wheel),
            Form::Motion {} => Event::Input(Input::Motion),
            Form::Update { area } => Event::Update { area },
            Form::Swap {} => Event::Swap,
            Form::Rtt { us } => Event::Rtt(Duration::from_micros(us)),
            Form::Cpu { wall, busy } => Event::Cpu {
                wall: Duration::from_micros(wall),
                busy: busy.into_iter().map(Duration::from_micros).collect(),
            },
            Form::Host { share } => Event::Host(share),
            Form::Net { anchor, r#in, out, waited } => {
                let waited = Duration::from_micros(waited.unwrap_or(0));
                Event::Net { anchor, inward: r#in, outward: out, waited }
            }
            Form::External { name, value } => Event::External { name, value },
            Form::Restart { place } => Event::Restart { place },
        }
    }
}

impl Event {
    /// Whether the event can be in a trace: names are names, shares are shares, numbers are finite.
    ///
    /// # Errors
    /// What is wrong with it, as words.
    pub fn check(&self) -> Result<(), String> {
        let named = |name: &str| {
            if valid_name(name) { Ok(()) } else { Err(format!("{name:?} is no name")) }
        };
        match self {
            Event::Cpu { busy, .. } if busy.is_empty() || busy.len() > VCPUS_MAX => {
                Err(format!("{} vCPUs: a sample has 1 to {VCPUS_MAX}", busy.len()))
            }
            Event::Host(share) if !(0.0..=1.0).contains(share) => {
                Err(format!("a share is from 0 to 1, not {share}"))
            }
            Event::External { value, .. } if !value.is_finite() => Err(format!("{value} is no value")),
            Event::Net { anchor: name, .. }
            | Event::External { name, .. }
            | Event::Restart { place: Some(name) } => named(name),
            _ => Ok(()),
        }
    }
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
        let event = Event::from(Form::deserialize(deserializer)?);
        event.check().map_err(serde::de::Error::custom)?;
        Ok(event)
    }
}
