//! The hand-over's rules: what an event does to a site's standing, or why it is refused.
//!
//! Pure functions over [`DiskMeta`]: no I/O, no clock. The caller makes the changed facts durable before it answers
//! or sends anything.
//!
//! ```text
//! source                                   target
//! Resident(e) ── begin(x) ──────────────▶  final rows (x) ── prepare ─▶ Prepared(x)
//! Resident(e) ◀────────────── prepared(x) ─┘
//! Resident(e) ── release(x): the commit point ─▶ Released(x)
//! Released(x) ── grant(x) ──────────────▶  Prepared(x) ── grant ─▶ Resident(e+1)
//! Replica     ◀────────────────── done(x) ─┘
//! ```
//!
//! Invariant: a site is resident at an epoch only by `grant` of an attempt that the resident of the epoch before has
//! durably released to it. So no two sites are resident, whatever is cut, delayed, repeated or restarted.

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
    #[error("epoch {offered} is not above epoch {known}, which was granted already")]
    OldEpoch {
        /// What was offered.
        offered: Epoch,
        /// What is known here.
        known: Epoch,
    },
    /// A grant or release of an attempt that this site is not in.
    #[error("attempt {attempt} is not the one that was prepared")]
    OtherAttempt {
        /// The attempt.
        attempt: AttemptId,
    },
}

/// What a grant did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// This site is resident from now on.
    Now,
    /// It took effect earlier; answering again is all there is to do.
    Before,
}

/// Source: a new attempt. `digest` is that of the table as it will be released; it is set once the writes are held.
///
/// # Errors
/// [`Refused::NotResident`], [`Refused::AlreadyHere`].
pub fn begin(meta: &DiskMeta, id: AttemptId, to: SiteId, digest: TableDigest) -> Result<Attempt, Refused> {
    if !meta.is_resident() {
        return Err(Refused::NotResident { resident: meta.resident, epoch: meta.epoch });
    }
    if to == meta.here {
        return Err(Refused::AlreadyHere);
    }
    Ok(Attempt { id, from: meta.here, to, epoch: meta.epoch.next(), digest })
}

/// Target: the final table is in place. A later attempt replaces an earlier one that was never granted.
///
/// # Errors
/// Any [`Refused`] but the source's.
pub fn prepare(meta: &mut DiskMeta, attempt: Attempt, lineage: LineageId) -> Result<(), Refused> {
    if meta.lineage() != lineage {
        return Err(Refused::Diverged { here: meta.lineage(), there: lineage });
    }
    if meta.is_resident() {
        return Err(Refused::BothResident {
            here: meta.epoch,
            there: Epoch(attempt.epoch.0.saturating_sub(1)),
        });
    }
    if attempt.to != meta.here {
        return Err(Refused::OtherAttempt { attempt: attempt.id });
    }
    if attempt.epoch <= meta.epoch {
        return Err(Refused::OldEpoch { offered: attempt.epoch, known: meta.epoch });
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
    if !meta.is_resident() {
        return Err(Refused::NotResident { resident: meta.resident, epoch: meta.epoch });
    }
    if attempt.epoch != meta.epoch.next() || attempt.from != meta.here {
        return Err(Refused::OtherAttempt { attempt: attempt.id });
    }
    meta.residency = Residency::Released { attempt };
    meta.epoch = attempt.epoch;
    meta.resident = attempt.to;
    Ok(())
}

/// Target: the source has released the disk to this site.
///
/// # Errors
/// [`Refused::OtherAttempt`] unless this attempt was prepared here or has taken effect already.
pub fn grant(meta: &mut DiskMeta, attempt: Attempt) -> Result<Granted, Refused> {
    if meta.residency == (Residency::Prepared { attempt }) && attempt.epoch > meta.epoch {
        meta.residency = Residency::Resident;
        meta.epoch = attempt.epoch;
        meta.resident = meta.here;
        return Ok(Granted::Now);
    }
    // Asked again after an answer was lost, perhaps long ago.
    if meta.epoch >= attempt.epoch {
        return Ok(Granted::Before);
    }
    Err(Refused::OtherAttempt { attempt: attempt.id })
}

/// Source: the target has told that the grant took effect.
pub fn done(meta: &mut DiskMeta, attempt: &Attempt) {
    if meta.residency == (Residency::Released { attempt: *attempt }) {
        meta.residency = Residency::Replica;
        meta.given = Some(*attempt);
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
/// # Errors
/// [`Refused::Diverged`].
pub fn hear(meta: &mut DiskMeta, lineage: LineageId, epoch: Epoch, resident: SiteId) -> Result<(), Refused> {
    if meta.lineage() != lineage {
        return Err(Refused::Diverged { here: meta.lineage(), there: lineage });
    }
    if epoch > meta.epoch && resident != meta.here {
        meta.epoch = epoch;
        meta.resident = resident;
        // Somebody was granted a later epoch: what was released or prepared here has been overtaken.
        if let Residency::Released { attempt } = meta.residency {
            meta.given = Some(attempt);
        }
        meta.residency = Residency::Replica;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wandisk_store::{DiskId, KnownSite};

    fn disk(here: SiteId, sites: &[SiteId]) -> DiskMeta {
        let known = |id: &SiteId| KnownSite {
            id: *id,
            name: id.to_string(),
            address: None,
            synced_at: None,
            missing_chunks: None,
        };
        DiskMeta {
            uuid: DiskId(uuid::Uuid::nil()),
            size_bytes: 1 << 20,
            size_counter: 0,
            chunk_size: 4096,
            lineages: vec![LineageId(uuid::Uuid::nil())],
            epoch: Epoch(1),
            resident: sites[0],
            residency: if here == sites[0] { Residency::Resident } else { Residency::Replica },
            counter: 0,
            consistent_at: None,
            given: None,
            sites: sites.iter().map(known).collect(),
            here,
        }
    }

    struct Pair {
        a: DiskMeta,
        b: DiskMeta,
        lineage: LineageId,
    }

    fn pair() -> Pair {
        let sites = [SiteId::random(), SiteId::random()];
        let (a, b) = (disk(sites[0], &sites), disk(sites[1], &sites));
        let lineage = a.lineage();
        Pair { a, b, lineage }
    }

    fn attempt(source: &DiskMeta, to: &DiskMeta) -> Attempt {
        begin(source, AttemptId::random(), to.here, TableDigest::default()).unwrap()
    }

    #[test]
    fn the_disk_goes_over_and_comes_back() {
        let Pair { mut a, mut b, lineage } = pair();
        for _ in 0..2 {
            let x = attempt(&a, &b);
            prepare(&mut b, x, lineage).unwrap();
            release(&mut a, x).unwrap();
            assert!(!a.is_resident() && !b.is_resident());
            assert_eq!(grant(&mut b, x), Ok(Granted::Now));
            done(&mut a, &x);
            assert_eq!((a.residency.clone(), b.is_resident()), (Residency::Replica, true));
            std::mem::swap(&mut a, &mut b);
        }
    }

    #[test]
    fn a_grant_is_answered_again_for_ever() {
        let Pair { mut a, mut b, lineage } = pair();
        let x = attempt(&a, &b);
        prepare(&mut b, x, lineage).unwrap();
        release(&mut a, x).unwrap();
        release(&mut a, x).unwrap();
        grant(&mut b, x).unwrap();
        assert_eq!(grant(&mut b, x), Ok(Granted::Before));
        // Back at A meanwhile, and asked once more.
        let y = attempt(&b, &a);
        prepare(&mut a, y, lineage).unwrap();
        release(&mut b, y).unwrap();
        grant(&mut a, y).unwrap();
        assert_eq!(grant(&mut b, x), Ok(Granted::Before));
        assert!(!b.is_resident());
    }

    #[test]
    fn an_aborted_attempt_cannot_be_granted() {
        let Pair { a, mut b, lineage } = pair();
        let x = attempt(&a, &b);
        prepare(&mut b, x, lineage).unwrap();
        abort(&mut b, x.id);
        assert_eq!(grant(&mut b, x), Err(Refused::OtherAttempt { attempt: x.id }));
        let y = attempt(&a, &b);
        prepare(&mut b, y, lineage).unwrap();
        abort(&mut b, x.id);
        assert_eq!(grant(&mut b, x), Err(Refused::OtherAttempt { attempt: x.id }));
        assert_eq!(grant(&mut b, y), Ok(Granted::Now));
    }

    #[test]
    fn nobody_prepares_for_an_epoch_that_has_passed() {
        let Pair { mut a, mut b, lineage } = pair();
        let late = attempt(&a, &b);
        let x = attempt(&a, &b);
        prepare(&mut b, x, lineage).unwrap();
        release(&mut a, x).unwrap();
        grant(&mut b, x).unwrap();
        let y = attempt(&b, &a);
        prepare(&mut a, y, lineage).unwrap();
        release(&mut b, y).unwrap();
        assert!(matches!(prepare(&mut b, late, lineage), Err(Refused::OldEpoch { .. })));
    }

    #[test]
    fn another_lineage_is_diverged_not_older() {
        let Pair { a, mut b, .. } = pair();
        let x = attempt(&a, &b);
        assert!(matches!(prepare(&mut b, x, LineageId::random()), Err(Refused::Diverged { .. })));
        assert!(matches!(hear(&mut b, LineageId::random(), Epoch(9), a.here), Err(Refused::Diverged { .. })));
    }

    #[test]
    fn only_the_resident_gives_and_not_to_itself() {
        let Pair { a, b, .. } = pair();
        assert!(matches!(
            begin(&b, AttemptId::random(), a.here, TableDigest::default()),
            Err(Refused::NotResident { .. })
        ));
        assert_eq!(begin(&a, AttemptId::random(), a.here, TableDigest::default()), Err(Refused::AlreadyHere));
    }
}
