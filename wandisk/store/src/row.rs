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

/// 32 rows side by side, 22 bytes a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    version: [u64; N],
    held: [u64; N],
    holders: [u32; N],
    owner: [u8; N],
    flags: [u8; N],
}

impl Default for Page {
    fn default() -> Page {
        Page { version: [0; N], held: [0; N], holders: [0; N], owner: [0; N], flags: [0; N] }
    }
}

impl Page {
    /// Length of [`Page::encode`]'s result in bytes.
    pub const ENCODED_LEN: usize = N * (8 + 8 + 4 + 1 + 1);

    /// Row number `slot` (below 32).
    #[must_use]
    pub fn get(&self, slot: usize) -> Row {
        Row {
            version: Version(self.version[slot]),
            held: Version(self.held[slot]),
            holders: self.holders[slot],
            owner: self.owner[slot],
            zero: self.flags[slot] & ZERO != 0,
            fresh: self.flags[slot] & FRESH != 0,
        }
    }

    /// Replaces row number `slot`.
    pub fn set(&mut self, slot: usize, row: Row) {
        self.version[slot] = row.version.0;
        self.held[slot] = row.held.0;
        self.holders[slot] = row.holders;
        self.owner[slot] = row.owner;
        self.flags[slot] = u8::from(row.zero) * ZERO + u8::from(row.fresh) * FRESH;
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
        self.held.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        self.holders.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        out.extend_from_slice(&self.owner);
        out.extend_from_slice(&self.flags);
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
            page.version[i] = u64::from_le_bytes(versions[8 * i..8 * i + 8].try_into().ok()?);
            page.held[i] = u64::from_le_bytes(helds[8 * i..8 * i + 8].try_into().ok()?);
            page.holders[i] = u32::from_le_bytes(holders[4 * i..4 * i + 4].try_into().ok()?);
        }
        page.owner.copy_from_slice(owners);
        page.flags.copy_from_slice(flags);
        let known_flags = page.flags.iter().all(|f| f & !(ZERO | FRESH) == 0);
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
