//! Who holds what, and who may say so: the rules of promises (law L14). Pure, like `rules`.
//!
//! A site says durably that it leaves before it asks the others for promises, and a site that leaves gives none. So of
//! two sites that lean on each other at least one stays.

use wandisk_store::{DiskMeta, LineageId, Residency, Row, Version};

use super::rules::{Refused, believable};

/// This site is about to drop bytes: from now on it promises nothing.
///
/// # Errors
/// [`Refused::InHandOver`]: until it is known where the disk is, nothing is dropped.
pub fn leave(meta: &mut DiskMeta) -> Result<(), Refused> {
    if let Residency::Prepared { attempt } | Residency::Released { attempt } = meta.residency {
        return Err(Refused::InHandOver { attempt: attempt.id });
    }
    meta.leaving = true;
    Ok(())
}

/// It stays after all, or has dropped what it wanted to.
pub fn stay(meta: &mut DiskMeta) {
    meta.leaving = false;
}

/// Does a version that an asker of this ancestry names mean the same here, and can what is here be believed?
#[must_use]
pub fn means(meta: &DiskMeta, lineage: Option<&LineageId>, version: Version) -> bool {
    let here = meta.lineages.get(usize::from(version.lineage()));
    believable(meta).is_ok() && lineage.is_some() && here == lineage
}

/// Does this site hold the version? `row` is its durable row.
#[must_use]
pub fn holds(meta: &DiskMeta, asker: &[LineageId], row: &Row, version: Version) -> bool {
    means(meta, asker.get(usize::from(version.lineage())), version) && row.version == version && row.is_held()
}

/// May the asker drop the version on the strength of this site?
///
/// The resident's table is the table: a version that it has overtaken is nobody's need.
///
/// # Errors
/// [`Refused::Leaving`], [`Refused::Overtaken`].
pub fn promises(meta: &DiskMeta, asker: &[LineageId], row: &Row, version: Version) -> Result<bool, Refused> {
    believable(meta)?;
    if meta.leaving {
        return Err(Refused::Leaving);
    }
    let overtaken = meta.is_resident() && asker == meta.lineages && row.version > version;
    Ok(overtaken || holds(meta, asker, row, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::rules::tests::{disk, sites};
    use wandisk_store::Epoch;

    fn held(version: Version) -> Row {
        Row { version, held: version, ..Row::default() }
    }

    #[test]
    fn a_version_of_another_lineage_is_not_held_for_its_number() {
        let sites = sites();
        let mut here = disk(sites[1], &sites);
        let shared = here.lineages.clone();
        here.lineages.push(LineageId::random());
        let other = [shared[0], LineageId::random()];
        let (old, new) = (Version::new(0, 7), Version::new(1, 8));
        assert!(holds(&here, &here.lineages, &held(new), new));
        assert!(!holds(&here, &other, &held(new), new), "both took over: one number, two versions");
        assert!(holds(&here, &other, &held(old), old), "what was before the fork is the same to both");
        assert!(!holds(&here, &shared, &held(new), new), "the asker does not know that lineage");
    }

    #[test]
    fn only_current_bytes_of_a_site_that_stays_are_promised() {
        let sites = sites();
        let mut here = disk(sites[1], &sites);
        let lineages = here.lineages.clone();
        let (v5, v6) = (Version::new(0, 5), Version::new(0, 6));
        let basis = Row { version: v6, held: v5, ..Row::default() };
        assert_eq!(promises(&here, &lineages, &held(v6), v6), Ok(true));
        assert_eq!(promises(&here, &lineages, &held(v6), v5), Ok(false));
        assert_eq!(promises(&here, &lineages, &basis, v6), Ok(false));
        leave(&mut here).unwrap();
        assert_eq!(promises(&here, &lineages, &held(v6), v6), Err(Refused::Leaving));
        stay(&mut here);
        here.residency = Residency::Overtaken { epoch: Epoch(9), resident: sites[0] };
        assert!(promises(&here, &lineages, &held(v6), v6).is_err());
        assert!(!holds(&here, &lineages, &held(v6), v6), "its versions may be other bytes");
    }

    #[test]
    fn the_resident_answers_for_what_it_has_overwritten() {
        let sites = sites();
        let here = disk(sites[0], &sites);
        let row = held(Version::new(0, 9));
        assert_eq!(promises(&here, &here.lineages, &row, Version::new(0, 5)), Ok(true));
        let other = [here.lineages[0], LineageId::random()];
        assert_eq!(promises(&here, &other, &row, Version::new(0, 5)), Ok(false), "not for another lineage");
    }
}
