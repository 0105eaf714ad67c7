//! What the disk may hold: for each sector the value of the last acknowledged write, or one of several where a request
//! was not answered before its keeper died.

/// Bytes of a sector.
pub(crate) const SECTOR: usize = 512;

/// What one write put into a sector; 0 is zeros.
pub(crate) type Tag = u32;

/// A sector's bytes, which name the write and the sector.
pub(crate) fn sector(tag: Tag, number: u64) -> [u8; SECTOR] {
    let mut bytes = [0; SECTOR];
    if tag != 0 {
        let word = (u64::from(tag) << 32 | number).to_le_bytes();
        bytes.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&word));
    }
    bytes
}

/// The write that made these bytes, if one write to this sector did.
pub(crate) fn tag_of(bytes: &[u8], number: u64) -> Option<Tag> {
    let word = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    let tag = Tag::try_from(word >> 32).unwrap();
    (bytes == sector(tag, number)).then_some(tag)
}

/// All sectors of a disk.
pub(crate) struct Model {
    /// Never empty.
    sectors: Vec<Vec<Tag>>,
}

impl Model {
    pub(crate) fn new(sectors: u64) -> Model {
        Model { sectors: vec![vec![0]; usize::try_from(sectors).unwrap()] }
    }

    pub(crate) fn sectors(&self) -> u64 {
        self.sectors.len() as u64
    }

    fn range(&mut self, start: u64, count: u64) -> &mut [Vec<Tag>] {
        let start = usize::try_from(start).unwrap();
        &mut self.sectors[start..start + usize::try_from(count).unwrap()]
    }

    /// An acknowledged write (or trim, with tag 0).
    pub(crate) fn wrote(&mut self, start: u64, count: u64, tag: Tag) {
        self.range(start, count).iter_mut().for_each(|s| *s = vec![tag]);
    }

    /// A write that was not acknowledged: each sector has it or not.
    pub(crate) fn may_have_written(&mut self, start: u64, count: u64, tag: Tag) {
        self.range(start, count).iter_mut().for_each(|s| s.push(tag));
    }

    /// These bytes were read: they must be allowed, and are what the sectors hold from now on.
    #[track_caller]
    pub(crate) fn read(&mut self, start: u64, bytes: &[u8], who: &str) {
        let count = (bytes.len() / SECTOR) as u64;
        for (number, (allowed, bytes)) in
            (start..).zip(self.range(start, count).iter_mut().zip(bytes.chunks_exact(SECTOR)))
        {
            let tag = tag_of(bytes, number);
            let fits = tag.is_some_and(|tag| allowed.contains(&tag));
            assert!(fits, "{who}: sector {number} holds {tag:?} ({:02x?}…), not {allowed:?}", &bytes[..16]);
            *allowed = tag.into_iter().collect();
        }
    }
}
