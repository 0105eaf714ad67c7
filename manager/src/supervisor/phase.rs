//! The words of the rules: where an agent stands, what happens to it, what is done.
//!
//! [`Machine`] is what a supervisor keeps in its journal; [`super::rules`] says how it changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
        /// In a sentence.
        why: String,
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
    /// The agent stands; the rest of the table goes.
    Preparing,
    /// The rest of memory and the devices go.
    Continuing {
        /// Of the disk's hand-over.
        token: String,
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
    Listening,
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
    pub failure: Option<String>,
}

/// What the shell does. One after the other; each tells how it went ([`Event::Went`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Attach the disk if it is resident here, and start QEMU, which does not run yet.
    Launch,
    /// If the disk is resident here: attach it where it is not, and let the machine run.
    Run,
    /// Press the power button.
    PowerDown,
    /// End QEMU and let go of the disk.
    Quit,
    /// Send the table ahead, so that the other site has a replica.
    Presend {
        /// The other site.
        to: String,
    },
    /// Have the other site start a QEMU that listens.
    Open {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// Begin to copy memory.
    Copy {
        /// The other site.
        to: String,
    },
    /// Let no request wait long for a chunk that is elsewhere: QEMU is draining the disk, and its monitor waits for that.
    Quiesce,
    /// Prepare the disk's hand-over; gives a token.
    Prepare {
        /// The other site.
        to: String,
    },
    /// Let QEMU send the rest.
    Continue,
    /// Commit the disk's hand-over.
    Commit {
        /// Of the hand-over.
        token: String,
    },
    /// Ask the other site to start the agent.
    Go {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// End whatever hand-over of the disk is prepared here; it worked if the disk is resident here afterwards.
    Free,
    /// End the copying of memory.
    StopCopy,
    /// Fetch the disk back to this site.
    MoveBack,
    /// Tell the other site that nothing more comes.
    GiveUp {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// Attach the disk in standby, and start a QEMU that listens.
    Listen,
    /// Is everything loaded, and the disk resident here?
    Check,
    /// Say [`Event::Again`] after a while.
    Retry,
    /// The same, each time after a longer while.
    Wait,
    /// Can the disk be had, as far as anybody can tell? If not, why, in a sentence.
    AskDisk,
    /// Have the standing machine's memory written to a file; whole and durable, it is told by [`Event::Saved`].
    Save {
        /// The file's.
        id: Uuid,
    },
    /// Check an image, and start a QEMU that takes it and does not run; only where the disk is resident.
    Load {
        /// Which try.
        attempt: Attempt,
        /// Which.
        image: Image,
    },
    /// Bring an image to the other site's QEMU; told by [`Event::PreSwitchover`] when it was checked and taken there.
    Carry {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
        /// Which.
        image: Image,
    },
    /// Has the QEMU that listens taken all?
    Loaded,
    /// Remove every image here but this one.
    Sweep {
        /// The one that is still needed.
        keep: Option<Uuid>,
    },
}

/// What an action gave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Yield {
    /// It worked.
    Done,
    /// It worked, and this is the hand-over's token.
    Token(String),
    /// Of [`Action::Go`]: the other site has started the agent.
    Started,
    /// Of [`Action::Go`]: the other site never will. Of [`Action::Check`]: the disk is here, and QEMU has not what it needs.
    NeverWill,
    /// Of [`Action::Commit`]: nothing was handed over, and nothing will be by this token.
    StillHere,
    /// Of [`Action::MoveBack`]: the disk is here, in this epoch.
    Epoch(Option<u64>),
}

/// What happens to a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The user wants it to run.
    Launch,
    /// The user wants its guest to end.
    PowerDown,
    /// The user wants it to end now.
    Kill,
    /// It shall move.
    Migrate {
        /// A new try.
        attempt: Attempt,
        /// Where to.
        to: String,
    },
    /// The move shall not be.
    Cancel,
    /// It is to come here.
    Arrive {
        /// Which try.
        attempt: Attempt,
        /// Where from.
        from: String,
    },
    /// It shall start here.
    Go {
        /// Which try.
        attempt: Attempt,
    },
    /// It does not come after all.
    GiveUp {
        /// Which try.
        attempt: Attempt,
    },
    /// The user wants it suspended.
    Suspend {
        /// For the image.
        id: Uuid,
    },
    /// It shall go on here with its image.
    Resume {
        /// A new try.
        attempt: Attempt,
        /// Also if the disk was elsewhere in between.
        force: bool,
    },
    /// It shall go on at another site with its image.
    ResumeAt {
        /// A new try.
        attempt: Attempt,
        /// Where.
        to: String,
        /// Also if the disk was elsewhere in between.
        force: bool,
    },
    /// The image is whole and durable.
    Saved {
        /// What it is.
        image: Image,
    },
    /// By another supervisor: has all of this try been taken here?
    Loaded {
        /// Which try.
        attempt: Attempt,
    },
    /// An action ended.
    Went {
        /// Which.
        action: Action,
        /// What it gave, or why it failed.
        result: Result<Yield, String>,
    },
    /// QEMU ended.
    Ended {
        /// The guest wanted it.
        orderly: bool,
    },
    /// A request of the guest failed, was kept, and the machine stands.
    IoPaused {
        /// The disk's file system is full.
        no_space: bool,
    },
    /// The machine stands; its disk is drained next.
    Stopped,
    /// Only the last is missing; the agent stands and its disk is drained.
    PreSwitchover,
    /// All of it is there.
    Completed,
    /// QEMU gave the migration up.
    CopyFailed {
        /// In a sentence.
        why: String,
    },
    /// The stage took too long.
    Late,
    /// It was waited long enough.
    Again,
    /// The supervisor begins, after an earlier one.
    Recovered {
        /// QEMU is there.
        alive: bool,
    },
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
                    Leave::Preparing => "the agent stands, the rest of the table goes",
                    Leave::Continuing { .. } => "the rest of memory goes",
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
                    Arrive::Listening => "waits for what comes",
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

impl Action {
    /// What it does, after "could not".
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Action::Launch => "launch",
            Action::Run => "run",
            Action::PowerDown => "press the power button",
            Action::Quit => "end QEMU and detach the disk",
            Action::Presend { .. } => "send the disk's table ahead",
            Action::Open { .. } => "get the other site ready",
            Action::Copy { .. } => "copy memory",
            Action::Quiesce => "bound the disk's requests",
            Action::Prepare { .. } => "prepare the disk's hand-over",
            Action::Continue => "send the rest of memory",
            Action::Commit { .. } => "commit the disk's hand-over",
            Action::Go { .. } => "learn whether the other site started the agent",
            Action::Free => "end the disk's hand-over",
            Action::StopCopy => "stop copying memory",
            Action::MoveBack => "fetch the disk back",
            Action::GiveUp { .. } => "tell the other site that nothing comes",
            Action::Listen => "get ready for what comes",
            Action::Check => "start what has come",
            Action::Retry | Action::Wait => "wait",
            Action::AskDisk => "have the disk",
            Action::Save { .. } => "write memory to a file",
            Action::Load { .. } => "go on with the kept memory",
            Action::Carry { .. } => "bring the kept memory to the other site",
            Action::Loaded => "take all that has come",
            Action::Sweep { .. } => "remove images that are not needed",
        }
    }
}
