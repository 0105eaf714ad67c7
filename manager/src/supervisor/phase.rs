//! The words of the rules: where an agent stands.
//!
//! [`Machine`] is what a supervisor keeps in its journal; [`super::rules`] says how it changes, by the words of [`super::event`].

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::why::Why;

/// One try to move an agent.
pub type Attempt = Uuid;

/// Why no machine runs here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum End {
    /// None ever did.
    Never,
    /// The guest ended it.
    ShutDown,
    /// The user did.
    Killed,
    /// It could not begin, or ended by itself.
    Failed {
        /// Why.
        why: Why,
    },
    /// It runs elsewhere.
    Left {
        /// The site.
        to: String,
    },
}

/// How far a source is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Leave {
    /// The disk's table goes ahead.
    Presending,
    /// The other site starts its QEMU.
    Opening,
    /// Memory is copied while the agent runs.
    Copying,
    /// The agent stands; the rest of the table and the rest of memory go, side by side.
    Switching {
        /// Of the disk's hand-over, once it is prepared.
        token: Option<String>,
        /// All of memory is there.
        complete: bool,
    },
    /// The disk is handed over.
    Committing {
        /// Of the disk's hand-over.
        token: String,
    },
    /// The disk is there; the other site is asked to start.
    Asking,
    /// The other site will not start it: the disk comes back.
    Returning,
    /// It failed: the disk is freed, then the agent goes on here.
    Aborting {
        /// The disk writes again.
        freed: bool,
    },
}

impl Leave {
    /// The disk is not handed over, and is not about to be: every failure leads back.
    pub(super) fn may_go_back(&self) -> bool {
        matches!(self, Leave::Presending | Leave::Opening | Leave::Copying | Leave::Switching { .. })
    }
}

/// The memory of an agent that is suspended: a file in its folder here, named by `id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Image {
    /// Of the suspension.
    pub id: Uuid,
    /// The file's length.
    pub len_bytes: u64,
    /// BLAKE3 of the file, in hex.
    pub blake3: String,
    /// What QEMU wrote, before it was packed.
    pub unpacked_bytes: u64,
    /// The epoch of the disk that belongs to it: in another one somebody else may have written to the disk. `None`: the user
    /// said that it does not matter.
    pub epoch: Option<u64>,
    /// When it was whole, in milliseconds since 1970.
    pub at_ms: u64,
}

/// How far a suspension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspend {
    /// The agent stands, and its memory is written.
    Writing,
    /// It failed: the agent goes on.
    Undoing,
}

/// How far a return from suspension is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resume {
    /// QEMU takes the image.
    Loading,
    /// It was told to start, and may have.
    Starting,
}

/// How far a destination is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Arrive {
    /// QEMU is being started.
    Opening,
    /// It takes what comes.
    Listening {
        /// When it was asked last, nothing came, and the disk was elsewhere.
        #[serde(default)]
        quiet: bool,
    },
    /// It was told to start, and may have.
    Starting,
}

/// Where an agent stands at this site.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// No QEMU of it is here.
    Off(End),
    /// QEMU is being started.
    Launching,
    /// It may run here.
    Running,
    /// It stands because a request of its disk cannot be served now, or the disk is not here.
    Paused {
        /// In a sentence.
        why: String,
        /// It is tried again by itself.
        again: bool,
    },
    /// It is being moved away.
    Leaving {
        /// Which try.
        attempt: Attempt,
        /// Where to.
        to: String,
        /// How far.
        at: Leave,
        /// QEMU has not ended here.
        alive: bool,
        /// It is suspended, and its memory is this; no QEMU of it is here then.
        #[serde(default)]
        image: Option<Image>,
    },
    /// It is being moved here.
    Arriving {
        /// Which try.
        attempt: Attempt,
        /// Where from.
        from: String,
        /// How far.
        at: Arrive,
        /// What its source may be silent for between two words, in seconds.
        #[serde(default = "crate::control::patience_s")]
        patience_s: u64,
    },
    /// The user wants it suspended.
    Suspending {
        /// The image to be.
        id: Uuid,
        /// How far.
        at: Suspend,
        /// QEMU has not ended.
        alive: bool,
    },
    /// The user has it suspended: no QEMU of it is here, and this is its memory.
    Suspended {
        /// Where and what.
        image: Image,
    },
    /// It goes on here with its image.
    Resuming {
        /// Which try.
        attempt: Attempt,
        /// Kept until it runs.
        image: Image,
        /// How far.
        at: Resume,
    },
}

/// All that a supervisor must remember.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Machine {
    /// Where the agent stands.
    pub phase: Phase,
    /// The last attempt that was started here.
    pub started: Option<Attempt>,
    /// The last attempt that will never be started here.
    pub gave_up: Option<Attempt>,
    /// Why the last move from here, or to here, suspension or return from it failed.
    pub failure: Option<Why>,
}

/// A wish that is refused: a sentence and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The sentence.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl Default for Machine {
    fn default() -> Self {
        Machine { phase: Phase::Off(End::Never), started: None, gave_up: None, failure: None }
    }
}

impl Phase {
    /// In one word, for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Phase::Off(_) => "off",
            Phase::Launching => "launching",
            Phase::Running => "running",
            Phase::Paused { .. } => "paused",
            Phase::Leaving { .. } => "leaving",
            Phase::Arriving { .. } => "arriving",
            Phase::Suspending { .. } => "suspending",
            Phase::Suspended { .. } => "suspended",
            Phase::Resuming { .. } => "resuming",
        }
    }

    /// Why it stands, and what ends that, in a sentence.
    #[must_use]
    pub fn paused_because(&self) -> Option<String> {
        match self {
            Phase::Paused { why, again: true } => {
                Some(format!("{why}; it goes on by itself when that has changed"))
            }
            Phase::Paused { why, again: false } => {
                Some(format!("{why}; `snowbird launch` goes on when that has changed"))
            }
            _ => None,
        }
    }

    /// Is it on its way, from here or to here?
    #[must_use]
    pub fn is_move(&self) -> bool {
        matches!(self, Phase::Leaving { .. } | Phase::Arriving { .. })
    }

    /// The image that must not be lost.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        match self {
            Phase::Suspended { image } | Phase::Resuming { image, .. } => Some(image),
            Phase::Leaving { image, .. } => image.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Off(End::Never) => f.write_str("off"),
            Phase::Off(End::ShutDown) => f.write_str("off: the guest shut down"),
            Phase::Off(End::Killed) => f.write_str("off: it was killed"),
            Phase::Off(End::Failed { why }) => write!(f, "off: {why}"),
            Phase::Off(End::Left { to }) => write!(f, "at site {to}"),
            Phase::Launching => f.write_str("being launched"),
            Phase::Running => f.write_str("running"),
            Phase::Paused { .. } => write!(f, "paused: {}", self.paused_because().unwrap_or_default()),
            Phase::Leaving { to, at, .. } => {
                write!(f, "moving to {to}: ")?;
                f.write_str(match at {
                    Leave::Presending => "the disk's table goes ahead",
                    Leave::Opening => "the other site gets ready",
                    Leave::Copying => "memory is copied",
                    Leave::Switching { .. } => "the agent stands, the rest of its table and memory goes",
                    Leave::Committing { .. } => "the disk is handed over",
                    Leave::Asking => "the other site has the disk and is asked to start the agent",
                    Leave::Returning => "the other site cannot start it, the disk comes back",
                    Leave::Aborting { .. } => "it is given up, the agent goes on here",
                })
            }
            Phase::Arriving { from, at, .. } => {
                write!(f, "coming from {from}: ")?;
                f.write_str(match at {
                    Arrive::Opening => "QEMU is started",
                    Arrive::Listening { .. } => "waits for what comes",
                    Arrive::Starting => "is being started",
                })
            }
            Phase::Suspending { at: Suspend::Writing, .. } => {
                f.write_str("being suspended: its memory is written")
            }
            Phase::Suspending { at: Suspend::Undoing, .. } => {
                f.write_str("not suspended after all, it goes on")
            }
            Phase::Suspended { image } => {
                write!(
                    f,
                    "suspended, its memory in {} MiB; `snowbird resume` goes on",
                    image.len_bytes.div_ceil(1 << 20)
                )
            }
            Phase::Resuming { at: Resume::Loading, .. } => f.write_str("being resumed: its memory is read"),
            Phase::Resuming { at: Resume::Starting, .. } => f.write_str("being resumed: it is started"),
        }
    }
}
