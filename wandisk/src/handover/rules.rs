//! The hand-over's rules: what an event does to a site's standing, or why it is refused.
//!
//! Pure functions over [`DiskMeta`]: no I/O, no clock. The caller makes the changed facts durable before it answers
//! or sends anything.
//!
//! ```text
//! source                                   target
//! Resident(e) ── begin(x) ──────────────▶  rows ── receive ──▶ Replica;  final rows (x) ── prepare ─▶ Prepared(x)
//! Resident(e) ◀────────────── prepared(x) ─┘
//! Resident(e) ── release(x): the commit point ─▶ Released(x)
//! Released(x) ── grant(x) ──────────────▶  Prepared(x) ── grant ─▶ Resident(e+1)
//! Replica     ◀────────────────── done(x) ─┘
//! Released(x) ◀── not prepared(x) ── anything else: the source sends its table again, then the grant
//! ```
//!
//! Invariant: a site is resident at an epoch only by `grant` of an attempt that the resident of the epoch before has
//! durably released to it. So no two sites are resident, whatever is cut, delayed, repeated or restarted.
//! Invariant: *prepared* means that the table here is the attempt's. Whoever takes rows in withdraws it first
//! ([`receive`]); a late row of an aborted attempt can so delay a hand-over, never change what it hands over.
//!
//! `wandisk/tests/handover_model/` checks these functions, not a copy of them, in every order of events.

use wandisk_store::{Attempt, AttemptId, DiskMeta, Epoch, LineageId, Residency, SiteId, TableDigest};

/// Why an event is refused. The caller adds names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Only the resident can give a disk away.
    #[error("the disk is not resident here; it is resident at {resident} (epoch {epoch})")]
    NotResident {
        /// Where it is, as far as known.
        resident: SiteId,
        /// The epoch.
        epoch: Epoch,
    },
    /// To oneself.
    #[error("the disk is resident here already")]
    AlreadyHere,
    /// The site that is asked to take the disk has it.
    #[error("the disk is resident at both ends (epochs {here} and {there}): one of them came from a copy")]
    BothResident {
        /// Our epoch.
        here: Epoch,
        /// Theirs.
        there: Epoch,
    },
    /// The lines of residents differ.
    #[error("the replicas have diverged: lineage {here} here, {there} at the other site")]
    Diverged {
        /// Ours.
        here: LineageId,
        /// Theirs.
        there: LineageId,
    },
    /// An epoch that has passed.
    #[error("epoch {offered} is over: epoch {known} was granted already, to {resident}")]
    OldEpoch {
        /// What was offered.
        offered: Epoch,
        /// What is known here.
        known: Epoch,
        /// To whom that was granted.
        resident: SiteId,
    },
    /// An attempt that this site is not in.
    #[error("attempt {attempt} is not one of this site")]
    OtherAttempt {
        /// The attempt.
        attempt: AttemptId,
    },
    /// A grant of an attempt that is not, or no longer, prepared here.
    #[error("attempt {attempt} is not the one that was prepared")]
    NotPrepared {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The final rows did not make the attempt's table.
    #[error("the table here is not the one that is to be handed over")]
    OtherTable {
        /// The digest of the one here.
        here: TableDigest,
    },
    /// This site's store is a copy or was set back.
    #[error(
        "this site was resident and missed the hand-over to {resident} (epoch {epoch}): its store is a copy or was set back"
    )]
    Overtaken {
        /// The later epoch.
        epoch: Epoch,
        /// Its resident.
        resident: SiteId,
    },
    /// Nothing is dropped inside a hand-over.
    #[error("a hand-over of the disk (attempt {attempt}) is not over")]
    InHandOver {
        /// Its attempt.
        attempt: AttemptId,
    },
    /// The replica here is being removed.
    #[error("the replica here is being removed")]
    Leaving,
    /// No room for one more lineage.
    #[error("the disk was taken over too often: its ancestry is full")]
    AncestryFull,
    /// Another disk's history.
    #[error("the histories of the two sites have nothing in common")]
    NoCommonLineage,
}

/// What a grant did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// This site is resident from now on.
    Now,
    /// It took effect earlier; answering again is all there is to do.
    Before,
}

/// Refuses where this site's own store cannot be believed.
///
/// # Errors
/// [`Refused::Overtaken`].
pub fn believable(meta: &DiskMeta) -> Result<(), Refused> {
    match meta.residency {
        Residency::Overtaken { epoch, resident } => Err(Refused::Overtaken { epoch, resident }),
        _ => Ok(()),
    }
}

fn same_lineage(meta: &DiskMeta, there: LineageId) -> Result<(), Refused> {
    let here = meta.lineage();
    if here == there { Ok(()) } else { Err(Refused::Diverged { here, there }) }
}

/// Source: a new attempt. `digest` is that of the table as it will be released; it is set once the writes are held.
///
/// # Errors
/// [`Refused::NotResident`], [`Refused::AlreadyHere`].
pub fn begin(meta: &DiskMeta, id: AttemptId, to: SiteId, digest: TableDigest) -> Result<Attempt, Refused> {
    believable(meta)?;
    if !meta.is_resident() {
        return Err(Refused::NotResident { resident: meta.resident, epoch: meta.epoch });
    }
    if to == meta.here {
        return Err(Refused::AlreadyHere);
    }
    Ok(Attempt { id, from: meta.here, to, lineage: meta.lineage(), epoch: meta.epoch.next(), digest })
}

/// Source: is this the answer to the attempt that waits for one? A late answer to another attempt is not (law L12).
#[must_use]
pub fn answers(waiting: &Attempt, id: AttemptId, digest: TableDigest) -> bool {
    waiting.id == id && waiting.digest == digest
}

/// Target: rows of the table of a resident (or of one that released to this site) are about to be taken in.
///
/// What was prepared here is withdrawn, since its table changes; what was released here has taken effect if a later
/// resident speaks.
///
/// # Errors
/// [`Refused::Diverged`], [`Refused::BothResident`], [`Refused::OldEpoch`], [`Refused::Overtaken`],
/// [`Refused::Leaving`].
pub fn receive(meta: &mut DiskMeta, lineage: LineageId, epoch: Epoch) -> Result<(), Refused> {
    believable(meta)?;
    same_lineage(meta, lineage)?;
    if epoch < meta.epoch {
        return Err(Refused::OldEpoch { offered: epoch, known: meta.epoch, resident: meta.resident });
    }
    if meta.is_resident() {
        return Err(Refused::BothResident { here: meta.epoch, there: epoch });
    }
    if meta.leaving {
        return Err(Refused::Leaving);
    }
    become_replica(meta);
    Ok(())
}

fn become_replica(meta: &mut DiskMeta) {
    if let Residency::Released { attempt } = meta.residency {
        meta.given = Some(attempt);
    }
    meta.residency = Residency::Replica;
}

/// Target: the final rows are in place and made `table`. A later attempt replaces an earlier one that was never
/// granted.
///
/// # Errors
/// Any [`Refused`] but the source's.
pub fn prepare(meta: &mut DiskMeta, attempt: Attempt, table: TableDigest) -> Result<(), Refused> {
    if attempt.to != meta.here {
        return Err(Refused::OtherAttempt { attempt: attempt.id });
    }
    receive(meta, attempt.lineage, Epoch(attempt.epoch.0.saturating_sub(1)))?;
    if attempt.digest != table {
        return Err(Refused::OtherTable { here: table });
    }
    meta.residency = Residency::Prepared { attempt };
    Ok(())
}

/// Source: the commit point. After it, this site never writes at the old epoch.
///
/// # Errors
/// [`Refused::NotResident`] or [`Refused::OtherAttempt`] if the disk's epoch is not the attempt's.
pub fn release(meta: &mut DiskMeta, attempt: Attempt) -> Result<(), Refused> {
    if meta.residency == (Residency::Released { attempt }) {
        return Ok(());
    }
    believable(meta)?;
    if !meta.is_resident() {
        return Err(Refused::NotResident { resident: meta.resident, epoch: meta.epoch });
    }
    same_lineage(meta, attempt.lineage)?;
    if attempt.epoch != meta.epoch.next() || attempt.from != meta.here {
        return Err(Refused::OtherAttempt { attempt: attempt.id });
    }
    meta.residency = Residency::Released { attempt };
    meta.epoch = attempt.epoch;
    meta.resident = attempt.to;
    Ok(())
}

/// Target: the source has released the disk to this site, whose table is `table`.
///
/// # Errors
/// [`Refused::NotPrepared`] unless this attempt is prepared here or has taken effect already: the source sends its
/// table again then. [`Refused::Diverged`] if this site has left the attempt's lineage.
pub fn grant(meta: &mut DiskMeta, attempt: Attempt, table: TableDigest) -> Result<Granted, Refused> {
    believable(meta)?;
    if attempt.to != meta.here {
        return Err(Refused::OtherAttempt { attempt: attempt.id });
    }
    same_lineage(meta, attempt.lineage)?;
    // Asked again after an answer was lost, perhaps long ago. Nobody but this site was granted that epoch, and nobody
    // hears of its own grant from others: to know the epoch is to have been granted it.
    if meta.epoch >= attempt.epoch {
        return Ok(Granted::Before);
    }
    if meta.residency != (Residency::Prepared { attempt }) || table != attempt.digest {
        return Err(Refused::NotPrepared { attempt: attempt.id });
    }
    meta.residency = Residency::Resident;
    meta.epoch = attempt.epoch;
    meta.resident = meta.here;
    Ok(Granted::Now)
}

/// Source: the target has told that the grant took effect.
pub fn done(meta: &mut DiskMeta, attempt: &Attempt) {
    if meta.residency == (Residency::Released { attempt: *attempt }) {
        become_replica(meta);
    }
}

/// Target: an attempt ended without a release. Others are not touched.
pub fn abort(meta: &mut DiskMeta, id: AttemptId) {
    if matches!(meta.residency, Residency::Prepared { attempt } if attempt.id == id) {
        meta.residency = Residency::Replica;
    }
}

/// A peer tells of an epoch and its resident: believed if newer, in the same lineage, and not about this site.
///
/// A resident that hears of a later epoch of its own lineage, whoever has it, did not give the disk away: its store is
/// a copy or was set back. It stops at once.
///
/// # Errors
/// [`Refused::Diverged`].
pub fn hear(meta: &mut DiskMeta, lineage: LineageId, epoch: Epoch, resident: SiteId) -> Result<(), Refused> {
    same_lineage(meta, lineage)?;
    if epoch <= meta.epoch || believable(meta).is_err() {
        return Ok(());
    }
    if meta.is_resident() {
        meta.residency = Residency::Overtaken { epoch, resident };
    } else if resident != meta.here {
        meta.epoch = epoch;
        meta.resident = resident;
        // Somebody was granted a later epoch: what was released or prepared here has been overtaken.
        become_replica(meta);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
