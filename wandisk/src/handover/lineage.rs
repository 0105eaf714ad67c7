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

/// The facts of a replica that goes back from `now` to a moment whose facts were `then`: the table, the size and the moment
/// are those of then. What is known of sites, lineages and grants is kept (law L1), but a table that waited for a grant is
/// not here any more. `None` if the two do not go together.
#[must_use]
pub fn gone_back(then: DiskMeta, now: &DiskMeta) -> Option<DiskMeta> {
    // Sites are only ever added: rows of then name them by the same numbers.
    let same_sites = then.sites.iter().zip(&now.sites).all(|(a, b)| a.id == b.id);
    let same = then.uuid == now.uuid && then.lineages == now.lineages && then.sites.len() <= now.sites.len();
    if !same || !same_sites || now.is_resident() {
        return None;
    }
    Some(DiskMeta {
        size_bytes: then.size_bytes,
        size_counter: then.size_counter,
        counter: then.counter,
        consistent_at: then.consistent_at,
        kept_moment: None,
        residency: match &now.residency {
            Residency::Prepared { .. } => Residency::Replica,
            other => other.clone(),
        },
        ..now.clone()
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::rules::tests::{disk, sites};
    use wandisk_store::{Attempt, AttemptId, KnownSite};

    /// A replica that had gone back took grants of an epoch that it had known to be over.
    #[test]
    fn a_replica_that_goes_back_still_knows_what_it_knew() {
        let sites = sites();
        let then = DiskMeta { counter: 5, consistent_at: Some(9), ..disk(sites[1], &sites) };
        let mut now = DiskMeta {
            epoch: Epoch(4),
            resident: sites[0],
            counter: 50,
            size_bytes: then.size_bytes * 2,
            size_counter: 1,
            consistent_at: None,
            kept_moment: Some(9),
            lost: vec![sites[0]],
            ..then.clone()
        };
        now.sites.push(KnownSite::named(SiteId::random(), "c"));
        let attempt = Attempt {
            id: AttemptId::random(),
            from: sites[0],
            to: sites[1],
            lineage: now.lineage(),
            epoch: Epoch(5),
            digest: TableDigest::default(),
        };
        now.residency = Residency::Prepared { attempt };
        let gone_back = super::gone_back(then.clone(), &now).unwrap();
        assert_eq!((gone_back.epoch, gone_back.sites.len(), gone_back.lost.len()), (Epoch(4), 3, 1));
        assert_eq!(gone_back.residency, Residency::Replica, "the table of the attempt is not here");
        assert_eq!(
            (gone_back.counter, gone_back.size_bytes, gone_back.size_counter),
            (then.counter, then.size_bytes, then.size_counter)
        );
        assert_eq!((gone_back.consistent_at, gone_back.kept_moment), (Some(9), None));
    }

    #[test]
    fn a_moment_of_another_lineage_or_of_other_sites_is_of_no_use() {
        let sites = sites();
        let then = disk(sites[1], &sites);
        let other = DiskMeta { lineages: vec![LineageId::random()], ..then.clone() };
        assert_eq!(gone_back(then.clone(), &other), None);
        let swapped = DiskMeta { sites: then.sites.iter().rev().cloned().collect(), ..then.clone() };
        assert_eq!(gone_back(then.clone(), &swapped), None);
        let resident = DiskMeta { residency: Residency::Resident, ..then.clone() };
        assert_eq!(gone_back(then, &resident), None);
    }
}
