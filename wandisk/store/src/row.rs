//! A chunk's row, and the page of 32 rows that is the unit of memory and of storage.

use crate::ids::Version;

/// Chunks a page covers. With 128 KiB chunks a page is the 4 MiB of one hot extent.
pub const PAGE_CHUNKS: u64 = 32;
const N: usize = 32;

const ZERO: u8 = 1;
const FRESH: u8 = 2;

/// What is known of one chunk. A chunk that was never written has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Row {
    /// The current version, as the newest table known here has it.
    pub version: Version,
    /// The version whose bytes are in `data.img`: equal to `version` when held, an older one for a basis,
    /// none when nothing is known of them.
    pub held: Version,
    /// Sites known to hold `version` (bit *i*: site number *i* of the disk). Advice, never proof.
    pub holders: u32,
    /// Site number of the owner: who made `version`.
    pub owner: u8,
    /// `version` is all zeros.
    pub zero: bool,
    /// No byte of `version` has left this site, which made it: it may still be written under this version (law L2).
    pub fresh: bool,
}

impl Row {
    /// Is there a row at all?
    #[must_use]
    pub fn exists(&self) -> bool {
        !self.version.is_none()
    }

    /// Are the bytes here the current version's?
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.exists() && self.held == self.version
    }
}

/// What a row has beside its version, in bytes: held version, holders, owner, flags.
const REST: usize = 8 + 4 + 1 + 1;

/// 32 rows, 22 bytes a chunk. The versions lie together, since what changed is looked for by them; the rest of a row lies together, since
/// who opens a chunk for writing wants all of one row, and each part that lies elsewhere is one more wait for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    version: [u64; N],
    rest: [[u8; REST]; N],
}

impl Default for Page {
    fn default() -> Page {
        Page { version: [0; N], rest: [[0; REST]; N] }
    }
}

/// The first bytes of a part, as many as are wanted.
fn start<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    bytes.first_chunk().copied().unwrap_or([0; LEN])
}

impl Page {
    /// Length of [`Page::encode`]'s result in bytes.
    pub const ENCODED_LEN: usize = N * (8 + REST);

    /// Row number `slot` (below 32).
    #[must_use]
    pub fn get(&self, slot: usize) -> Row {
        let rest = &self.rest[slot];
        let flags = rest[13];
        Row {
            version: Version(self.version[slot]),
            held: Version(u64::from_le_bytes(start(rest))),
            holders: u32::from_le_bytes(start(&rest[8..])),
            owner: rest[12],
            zero: flags & ZERO != 0,
            fresh: flags & FRESH != 0,
        }
    }

    /// Replaces row number `slot`.
    pub fn set(&mut self, slot: usize, row: Row) {
        self.version[slot] = row.version.0;
        let rest = &mut self.rest[slot];
        rest[..8].copy_from_slice(&row.held.0.to_le_bytes());
        rest[8..12].copy_from_slice(&row.holders.to_le_bytes());
        rest[12] = row.owner;
        rest[13] = u8::from(row.zero) * ZERO + u8::from(row.fresh) * FRESH;
    }

    /// Highest counter of the page's versions; what changed since a counter is found by it.
    #[must_use]
    pub fn newest_counter(&self) -> u64 {
        self.version.iter().map(|v| Version(*v).counter()).max().unwrap_or(0)
    }

    /// The page as stored: 32 versions, 32 held versions (u64 LE), 32 holder masks (u32 LE), 32 owners, 32 flags.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Page::ENCODED_LEN);
        self.version.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        self.rest.iter().for_each(|rest| out.extend_from_slice(&rest[..8]));
        self.rest.iter().for_each(|rest| out.extend_from_slice(&rest[8..12]));
        out.extend(self.rest.iter().map(|rest| rest[12]));
        out.extend(self.rest.iter().map(|rest| rest[13]));
        out
    }

    /// Reads [`Page::encode`]'s form back; `None` if it is not one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Page> {
        if bytes.len() != Page::ENCODED_LEN {
            return None;
        }
        let mut page = Page::default();
        let (versions, rest) = bytes.split_at(8 * N);
        let (helds, rest) = rest.split_at(8 * N);
        let (holders, rest) = rest.split_at(4 * N);
        let (owners, flags) = rest.split_at(N);
        for i in 0..N {
            page.version[i] = u64::from_le_bytes(start(&versions[8 * i..]));
            let rest = &mut page.rest[i];
            rest[..8].copy_from_slice(&helds[8 * i..8 * i + 8]);
            rest[8..12].copy_from_slice(&holders[4 * i..4 * i + 4]);
            rest[12] = owners[i];
            rest[13] = flags[i];
        }
        let known_flags = page.rest.iter().all(|rest| rest[13] & !(ZERO | FRESH) == 0);
        let no_row_is_empty = (0..N).all(|i| page.version[i] != 0 || page.get(i) == Row::default());
        (known_flags && no_row_is_empty).then_some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(counter: u64) -> Row {
        Row {
            version: Version::new(1, counter),
            held: Version::new(0, 3),
            holders: 5,
            owner: 2,
            zero: true,
            fresh: true,
        }
    }

    #[test]
    fn a_page_survives_encoding() {
        let mut page = Page::default();
        page.set(0, row(7));
        page.set(31, row(Version::COUNTER_LIMIT - 1));
        let bytes = page.encode();
        assert_eq!(bytes.len(), Page::ENCODED_LEN);
        assert_eq!(Page::decode(&bytes), Some(page));
    }

    #[test]
    fn a_page_that_makes_no_sense_is_refused() {
        let mut page = Page::default();
        page.set(3, row(7));
        let good = page.encode();
        assert_eq!(Page::decode(&good[1..]), None);
        let mut flag = good.clone();
        flag[Page::ENCODED_LEN - 1] = 0x80;
        assert_eq!(Page::decode(&flag), None);
        let mut held_without_version = Page::default().encode();
        held_without_version[8 * N] = 1;
        assert_eq!(Page::decode(&held_without_version), None);
    }

    #[test]
    fn memory_stays_under_24_bytes_a_chunk() {
        assert!(size_of::<Page>() <= 23 * N);
    }
}
