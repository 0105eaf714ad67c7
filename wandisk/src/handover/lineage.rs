//! Lineages: lines of residents that follow each other by hand-over. A forced takeover starts a new one (design §6).
//!
//! Pure, like `rules`. Nothing merges: a site is in one lineage, and leaves it by taking over or by joining another,
//! both only when a person says so.

use wandisk_store::{DiskMeta, Epoch, Fork, LineageId, Residency, SiteId, TableDigest, Version};

use super::rules::{Refused, believable};

/// Takes the disk over: this site is resident of a new lineage that names its parent.
///
/// `table` is the digest of the table here, `reachable` the sites that answer; the others count as lost.
///
/// # Errors
/// [`Refused::AlreadyHere`], [`Refused::Overtaken`], [`Refused::Leaving`], [`Refused::AncestryFull`].
pub fn take_over(
    meta: &mut DiskMeta,
    lineage: LineageId,
    table: TableDigest,
    reachable: &[SiteId],
    at: u64,
) -> Result<Fork, Refused> {
    believable(meta)?;
    if meta.is_resident() {
        return Err(Refused::AlreadyHere);
    }
    if meta.leaving {
        return Err(Refused::Leaving);
    }
    if meta.lineages.len() >= wandisk_store::meta::LINEAGES_MAX {
        return Err(Refused::AncestryFull);
    }
    let fork = Fork {
        lineage,
        parent: meta.lineage(),
        by: meta.here,
        epoch: meta.epoch,
        counter: meta.counter,
        digest: table,
        at,
    };
    meta.lineages.push(lineage);
    meta.forks.push(fork);
    meta.lost =
        meta.sites.iter().map(|s| s.id).filter(|s| *s != meta.here && !reachable.contains(s)).collect();
    meta.epoch = meta.epoch.next();
    meta.resident = meta.here;
    meta.residency = Residency::Resident;
    meta.consistent_at = None;
    meta.given = None;
    Ok(fork)
}

/// How many lineages two ancestries share; version numbers of those mean the same at both.
#[must_use]
pub fn common(ours: &[LineageId], theirs: &[LineageId]) -> usize {
    ours.iter().zip(theirs).take_while(|(a, b)| a == b).count()
}

/// Where another ancestry parted from ours, as it tells: the fork that we do not share.
#[must_use]
pub fn parted<'a>(ours: &[LineageId], theirs: &[LineageId], their_forks: &'a [Fork]) -> Option<&'a Fork> {
    let first = theirs.get(common(ours, theirs))?;
    their_forks.iter().find(|fork| fork.lineage == *first)
}

/// Will this version still be named by an ancestry that parted from ours at `shared` lineages, where its parent's
/// table was known up to `counter`?
#[must_use]
pub fn is_shared(version: Version, shared: usize, counter: Option<u64>) -> bool {
    let place = usize::from(version.lineage());
    place + 1 < shared || (place + 1 == shared && counter.is_none_or(|c| version.counter() <= c))
}

/// What another site says of the lineage that is to be joined.
#[derive(Clone, Copy, Debug)]
pub struct Theirs<'a> {
    /// Its ancestry.
    pub lineages: &'a [LineageId],
    /// Where it forked.
    pub forks: &'a [Fork],
    /// Its highest epoch.
    pub epoch: Epoch,
    /// The resident at it.
    pub resident: SiteId,
}

/// Leaves this site's lineage for another: a replica from now on, whose table is not yet that lineage's. The caller has
/// withdrawn the rows that the other ancestry does not name.
///
/// # Errors
/// [`Refused::NoCommonLineage`], [`Refused::Overtaken`], [`Refused::Leaving`].
pub fn join(meta: &mut DiskMeta, theirs: &Theirs<'_>) -> Result<(), Refused> {
    believable(meta)?;
    if meta.leaving {
        return Err(Refused::Leaving);
    }
    if common(&meta.lineages, theirs.lineages) == 0 {
        return Err(Refused::NoCommonLineage);
    }
    if meta.lineages == theirs.lineages {
        return Ok(());
    }
    meta.lineages = theirs.lineages.to_vec();
    meta.forks = theirs.forks.to_vec();
    meta.lost = Vec::new();
    meta.epoch = theirs.epoch;
    meta.resident = theirs.resident;
    meta.residency = Residency::Replica;
    // Nothing is known yet of the new lineage's table: the next pull brings all of it.
    meta.counter = 0;
    meta.consistent_at = None;
    meta.given = None;
    Ok(())
}
