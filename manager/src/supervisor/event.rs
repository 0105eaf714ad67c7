//! The words of the rules: what happens to a supervisor, and what is done. ([`super::phase`] says where an agent stands.)
//!
//! An [`Event`] goes into the rules, [`Action`]s come out; the shell has them carried out one after the other, and each ends as
//! an event ([`Event::Went`]). An action that failed may have had its effect, so each can be done again.

use uuid::Uuid;

use super::phase::{Attempt, Image};
use super::why::Why;
use crate::agent::BootFile;

/// What the shell does. One after the other; each tells how it went ([`Event::Went`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Attach the disk if it is resident here, and start QEMU, which does not run yet.
    Launch,
    /// If the disk is resident here: attach it where it is not, and let the machine run.
    Run,
    /// Change what is in the CD drive, of the machine and of its description.
    ChangeCd {
        /// What is to be in it.
        file: Option<BootFile>,
        /// Also if the guest uses what is there.
        force: bool,
    },
    /// Press the power button.
    PowerDown,
    /// End QEMU and let go of the disk.
    Quit,
    /// Send the table ahead. It worked when the other site has a replica; the rest goes on beside what is done next, until memory goes.
    Presend {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// Have the other site start a QEMU that listens.
    Open {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
        /// What it may hear nothing for ([`Event::Arrive`]).
        patience_s: u64,
    },
    /// Begin to copy memory, once the table that went ahead is there.
    Copy {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// Let no request wait long for a chunk that is elsewhere: QEMU is draining the disk, and its monitor waits for that.
    Quiesce {
        /// Of which try, or which image: once that is freed it bounds nothing any more.
        attempt: Attempt,
    },
    /// Prepare the disk's hand-over; gives a token.
    Prepare {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// Let QEMU send the rest; it worked when QEMU was told. Its no comes as [`Event::CopyFailed`], and all being there as
    /// [`Event::Completed`].
    Continue,
    /// Commit the disk's hand-over. As soon as the disk is released, which nothing takes back, the other site may be told to start, so
    /// that this word travels beside the disk's.
    Commit {
        /// Of the hand-over.
        token: String,
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// Ask the other site to start the agent.
    Go {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        to: String,
    },
    /// End whatever hand-over of the disk is prepared here; it worked if the disk is resident here afterwards.
    Free {
        /// None is prepared for this try (or image) from now on, and nothing bounded, also not by a command that an earlier supervisor
        /// left behind.
        attempt: Attempt,
    },
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
    /// Say [`Event::Unheard`] of this try after a while.
    Patience {
        /// Which try.
        attempt: Attempt,
        /// The while, in seconds.
        for_s: u64,
    },
    /// Does anything come for this try, or is its disk here?
    Hark {
        /// Which try.
        attempt: Attempt,
    },
    /// Say [`Event::Overdue`] of this try after a while.
    Await {
        /// Which try.
        attempt: Attempt,
    },
    /// If nothing has come for a while, ask the site that it comes from how it stands: a supervisor that died there is begun anew by
    /// that, and one that is at this try no more is told by [`Event::GiveUp`]. Then say [`Event::Overdue`] of this try once more, after
    /// a while.
    Rouse {
        /// Which try.
        attempt: Attempt,
        /// The other site.
        from: String,
    },
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
    /// Of [`Action::Hark`]: nothing comes now, and the disk is not here.
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
    /// By the user: begin here, also if it left for another site.
    LaunchHere,
    /// The user wants its guest to end.
    PowerDown,
    /// The user wants it to end now.
    Kill,
    /// The user wants something else, or nothing, in its CD drive.
    Cd {
        /// A file of this site.
        file: Option<BootFile>,
        /// Also if the guest uses what is there.
        force: bool,
    },
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
        /// What its source may be silent for between two words, in seconds.
        patience_s: u64,
    },
    /// Time has passed in which the source of this try could have spoken.
    Unheard {
        /// Which try.
        attempt: Attempt,
    },
    /// It is time to look whether the source of this try still does something for it.
    Overdue {
        /// Which try.
        attempt: Attempt,
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
        result: Result<Yield, Why>,
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
    /// The process that served the disk's device has ended, and the machine's requests wait until another does.
    KeeperEnded,
    /// The machine stands; its disk is drained next.
    Stopped,
    /// Only the last is missing; the agent stands and its disk is drained.
    PreSwitchover,
    /// All of it is there, says the QEMU here: of the source that it was taken, of the destination that it was loaded.
    Completed,
    /// QEMU gave the migration up.
    CopyFailed {
        /// Why.
        why: Why,
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

impl Action {
    /// What it does, after "could not".
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Action::Launch => "launch",
            Action::Run => "run",
            Action::PowerDown => "press the power button",
            Action::ChangeCd { .. } => "change what is in its CD drive",
            Action::Quit => "end QEMU and detach the disk",
            Action::Presend { .. } => "send the disk's table ahead",
            Action::Open { .. } => "get the other site ready",
            Action::Copy { .. } => "copy memory",
            Action::Quiesce { .. } => "bound the disk's requests",
            Action::Prepare { .. } => "prepare the disk's hand-over",
            Action::Continue => "send the rest of memory",
            Action::Commit { .. } => "commit the disk's hand-over",
            Action::Go { .. } => "learn whether the other site started the agent",
            Action::Free { .. } => "end the disk's hand-over",
            Action::StopCopy => "stop copying memory",
            Action::MoveBack => "fetch the disk back",
            Action::GiveUp { .. } => "tell the other site that nothing comes",
            Action::Listen => "get ready for what comes",
            Action::Check => "start what has come",
            Action::Hark { .. } => "tell whether anything comes",
            Action::Rouse { .. } => "ask the site that it comes from",
            Action::Retry | Action::Wait | Action::Patience { .. } | Action::Await { .. } => "wait",
            Action::AskDisk => "have the disk",
            Action::Save { .. } => "write memory to a file",
            Action::Load { .. } => "go on with the kept memory",
            Action::Carry { .. } => "bring the kept memory to the other site",
            Action::Loaded => "take all that has come",
            Action::Sweep { .. } => "remove images that are not needed",
        }
    }
}
