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
