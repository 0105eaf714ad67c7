//! What `move`, `commit` and `abort` do next at a site: decisions only, so that the model check covers them too.

use wandisk_store::{Attempt, AttemptId, DiskMeta, Epoch, Residency, SiteId};

/// What a `move` does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the disk is resident here, where it is to go.
    Here,
    /// Give it away.
    Give,
    /// It was given away here: offer the grant until it is taken.
    Grant(Attempt),
    /// This site is prepared: has the attempt's source released the disk?
    AskSource(Attempt),
    /// Ask the resident to give it to where it is to go.
    AskResident(SiteId),
    /// This site's store is a copy or was set back: it can say nothing.
    Overtaken {
        /// The later epoch that it heard of.
        epoch: Epoch,
        /// Its resident.
        resident: SiteId,
    },
}

/// The next step of a `move` to `to`, run here.
#[must_use]
pub fn next(meta: &DiskMeta, to: SiteId) -> Step {
    match meta.residency {
        Residency::Resident if to == meta.here => Step::Here,
        Residency::Resident => Step::Give,
        Residency::Released { attempt } => Step::Grant(attempt),
        Residency::Prepared { attempt } => Step::AskSource(attempt),
        Residency::Replica => Step::AskResident(meta.resident),
        Residency::Overtaken { epoch, resident } => Step::Overtaken { epoch, resident },
    }
}

/// Is a prepared attempt's source beyond its commit point, by its own word?
#[must_use]
pub fn was_released(attempt: &Attempt, source: &Residency) -> bool {
    *source == (Residency::Released { attempt: *attempt })
}

/// Whom to ask to give the disk where the resident that is known here says it is not, or does not answer: the resident
/// of the highest epoch, else the last one that released it (its target may not know yet).
#[must_use]
pub fn ask_instead<'a>(
    standings: impl Iterator<Item = (SiteId, &'a Residency, Epoch)> + Clone,
) -> Option<SiteId> {
    let last = |wanted: fn(&Residency) -> bool| {
        standings.clone().filter(|(_, residency, _)| wanted(residency)).max_by_key(|(_, _, epoch)| *epoch)
    };
    let resident = last(|residency| *residency == Residency::Resident);
    let found = resident.or_else(|| last(|residency| matches!(residency, Residency::Released { .. })));
    found.map(|(site, _, _)| site)
}

/// What a `commit` comes to where nothing is prepared under its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The release stands, the grant may not have arrived: offer it again.
    GrantAgain(Attempt),
    /// It took effect long ago.
    Before(Attempt),
    /// There was no such attempt, or it ended.
    Nothing,
}

/// A `commit` of an attempt that is not in hand; without a token, of any.
#[must_use]
pub fn commit_again(meta: &DiskMeta, token: Option<AttemptId>) -> Committed {
    match (&meta.residency, meta.given) {
        (Residency::Released { attempt }, _) if token.is_none_or(|t| t == attempt.id) => {
            Committed::GrantAgain(*attempt)
        }
        (_, Some(given)) if token == Some(given.id) => Committed::Before(given),
        _ => Committed::Nothing,
    }
}

/// The release that makes an `abort` impossible, if there was one.
#[must_use]
pub fn beyond_abort(meta: &DiskMeta, token: Option<AttemptId>) -> Option<Attempt> {
    match meta.residency {
        Residency::Released { attempt } => Some(attempt),
        _ => meta.given.filter(|given| token == Some(given.id)),
    }
}
