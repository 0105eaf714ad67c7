//! Which server is shown: a pure machine. Events in, actions out; no I/O and no clock.
//!
//! ```text
//!   attached --prepare--> preparing --loaded--> prepared --rehome--> switching --shown--> attached
//!      |  ^                   |                    |
//!      |  +----- cancel, or the new one fails -----+     (the old one is shown all the time)
//!      +--gone--> away --try again--> ... --loaded--> switching
//! ```
//!
//! Invariant: there is at most one link that is shown and one that is loading.
//! Invariant: the one that is shown is let go only after another one is shown, or when it ended itself.
//! Invariant: input that is held back is let go by the next server that is shown, or by a cancel.

use serde::Serialize;

use crate::Address;

/// A link's number; never used twice.
pub type LinkId = u64;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Load this server ahead.
    Prepare(Address),
    /// Show this server, or the prepared one, or the present address anew.
    Rehome(Option<Address>),
    /// Stay with the present one.
    Cancel,
    /// Keep input back: the present server stands, and would forget what it is told.
    Hold,
    /// A link that was not told to show has the whole picture.
    Loaded(LinkId),
    /// A link that was told to show has shown it.
    Shown(LinkId),
    /// A link ended, or never came to be.
    Gone(LinkId),
    /// The time to wait after a failure is over.
    Again,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open a link.
    Connect(LinkId, Address),
    /// Let this link show its first picture, or fetch it anew and show it when it has one; said once a link.
    Show(LinkId),
    /// Let go of a link.
    Close(LinkId),
    /// Say [`Event::Again`] after a while.
    Wait,
    /// The command that waits for it has been done.
    Done,
    /// The command that waits has failed.
    Failed(&'static str),
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A server is shown.
    Attached,
    /// A server is shown, another one loads.
    Preparing,
    /// A server is shown, another one is loaded.
    Prepared,
    /// The loaded one is about to be shown.
    Switching,
    /// No server is there.
    Away,
}

#[derive(Debug)]
struct Next {
    id: LinkId,
    address: Address,
    loaded: bool,
    /// It is to be shown as soon as it can be.
    wanted: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Rehome {
    address: Address,
    shown: Option<LinkId>,
    next: Option<Next>,
    last: LinkId,
    held: bool,
}

impl Rehome {
    /// A machine that wants to show the server at `address`; [`Event::Again`] begins it.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, shown: None, next: None, last: 0, held: false }
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (&self.next, self.shown) {
            (Some(Next { loaded: true, wanted: true, .. }), _) => Phase::Switching,
            (_, None) => Phase::Away,
            (None, Some(_)) => Phase::Attached,
            (Some(Next { loaded: true, .. }), _) => Phase::Prepared,
            (Some(_), _) => Phase::Preparing,
        }
    }

    /// The address of the server that is shown, or waited for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address that is prepared.
    #[must_use]
    pub fn prepared(&self) -> Option<&Address> {
        self.next.as_ref().map(|next| &next.address)
    }

    /// The link that is shown.
    #[must_use]
    pub fn shown(&self) -> Option<LinkId> {
        self.shown
    }

    /// The link that is told what users do; with none, input waits.
    #[must_use]
    pub fn hears(&self) -> Option<LinkId> {
        self.shown.filter(|_| !self.held)
    }

    /// Whether input is held back.
    #[must_use]
    pub fn held(&self) -> bool {
        self.held
    }

    /// What to do.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Prepare(address) => self.load(address, false),
            Event::Rehome(address) => self.rehome(address),
            Event::Cancel => self.cancel(),
            Event::Hold => {
                self.held = true;
                Vec::new()
            }
            Event::Loaded(id) => match &mut self.next {
                Some(next) if next.id == id && !next.loaded => {
                    next.loaded = true;
                    if next.wanted { Vec::new() } else { vec![Action::Done] }
                }
                _ => Vec::new(),
            },
            Event::Shown(id) => match self.next.take_if(|next| next.id == id && next.wanted) {
                Some(next) => {
                    self.address = next.address;
                    self.held = false;
                    let old = self.shown.replace(id);
                    old.map(Action::Close).into_iter().chain([Action::Done]).collect()
                }
                None => Vec::new(),
            },
            Event::Gone(id) => self.gone(id),
            Event::Again if self.shown.is_none() && self.next.is_none() => {
                self.load(self.address.clone(), true)
            }
            Event::Again => Vec::new(),
        }
    }

    fn cancel(&mut self) -> Vec<Action> {
        self.held = false;
        match self.next.take() {
            None => vec![Action::Done],
            Some(next) if self.shown.is_none() && next.address == self.address => {
                self.next = Some(next);
                vec![Action::Failed("no server is there to stay with")]
            }
            Some(next) => {
                let close = Action::Close(next.id);
                let go_on = if self.shown.is_none() { Action::Wait } else { Action::Done };
                vec![close, go_on, Action::Done]
            }
        }
    }

    fn rehome(&mut self, address: Option<Address>) -> Vec<Action> {
        match &mut self.next {
            Some(next) if address.as_ref().is_none_or(|address| *address == next.address) => {
                let already = std::mem::replace(&mut next.wanted, true);
                if already { Vec::new() } else { vec![Action::Show(next.id)] }
            }
            _ => self.load(address.unwrap_or_else(|| self.address.clone()), true),
        }
    }

    fn load(&mut self, address: Address, wanted: bool) -> Vec<Action> {
        self.last += 1;
        let id = self.last;
        // Without a server the one that loads is shown at once: there is nothing to stay with.
        let wanted = wanted || self.shown.is_none();
        let before = self.next.replace(Next { id, address: address.clone(), loaded: false, wanted });
        let close = before.map(|before| Action::Close(before.id));
        let show = wanted.then_some(Action::Show(id));
        close.into_iter().chain([Action::Connect(id, address)]).chain(show).collect()
    }

    fn gone(&mut self, id: LinkId) -> Vec<Action> {
        if self.next.take_if(|next| next.id == id).is_some() {
            let failed = Action::Failed("the new server is not there, or went away");
            return match self.shown {
                Some(_) => vec![failed],
                None => vec![failed, Action::Wait],
            };
        }
        if self.shown.take_if(|shown| *shown == id).is_none() {
            return Vec::new();
        }
        match &mut self.next {
            None => vec![Action::Wait],
            Some(next) => {
                let already = std::mem::replace(&mut next.wanted, true);
                if already { Vec::new() } else { vec![Action::Show(next.id)] }
            }
        }
    }
}

#[cfg(test)]
#[path = "rehome_tests.rs"]
mod tests;
