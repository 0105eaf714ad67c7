//! What is left of a replica that was removed: so that its site still knows which epoch had been granted, and to whom.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::durable;
use crate::home::Home;
use crate::ids::{DiskId, Epoch, LineageId, SiteId};

/// A file beyond this is not ours.
const TOMBSTONE_MAX: u64 = 64 << 10;

/// A removed replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The disk.
    pub uuid: DiskId,
    /// Its name here.
    pub name: String,
    /// Its ancestry, as known here.
    pub lineages: Vec<LineageId>,
    /// Highest epoch granted that was known here: lower ones stay refused.
    pub epoch: Epoch,
    /// Where the disk was resident then; none: here.
    pub released_to: Option<SiteId>,
    /// When it was removed, in milliseconds since 1970.
    pub at: u64,
}

impl Home {
    fn tombstone_path(&self, disk: DiskId) -> PathBuf {
        self.path().join("tombstones").join(format!("{disk}.json"))
    }

    /// Leaves a tombstone, durably; a later one of the same disk replaces it.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn bury(&self, tombstone: &Tombstone) -> io::Result<()> {
        durable::create_dir(&self.path().join("tombstones"))?;
        durable::replace_file(&self.tombstone_path(tombstone.uuid), &serde_json::to_vec_pretty(tombstone)?)
    }

    /// The tombstone of a disk, if its replica was removed here and it can be read.
    #[must_use]
    pub fn tombstone(&self, disk: DiskId) -> Option<Tombstone> {
        let path = self.tombstone_path(disk);
        if fs::metadata(&path).ok()?.len() > TOMBSTONE_MAX {
            return None;
        }
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// The newest tombstone of a disk of this name.
    #[must_use]
    pub fn tombstone_named(&self, name: &str) -> Option<Tombstone> {
        let files = fs::read_dir(self.path().join("tombstones")).ok()?.flatten();
        let ids = files.filter_map(|f| f.path().file_stem()?.to_str()?.parse().ok().map(DiskId));
        let named = ids.filter_map(|id| self.tombstone(id)).filter(|t| t.name == name);
        named.max_by_key(|t| t.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_found_by_disk_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::init(dir.path(), "desk").unwrap();
        let first = Tombstone {
            uuid: DiskId::random(),
            name: "d".to_owned(),
            lineages: vec![LineageId::random()],
            epoch: Epoch(3),
            released_to: Some(SiteId::random()),
            at: 1,
        };
        assert_eq!(home.tombstone(first.uuid), None);
        home.bury(&first).unwrap();
        let second = Tombstone { uuid: DiskId::random(), at: 2, ..first.clone() };
        home.bury(&second).unwrap();
        assert_eq!(home.tombstone(first.uuid), Some(first));
        assert_eq!(home.tombstone_named("d"), Some(second));
        assert_eq!(home.tombstone_named("e"), None);
    }
}
