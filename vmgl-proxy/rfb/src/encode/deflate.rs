//! Zlib streams that outlive rectangles, each flushed at a rectangle's end.

use flate2::{Compress, Compression, FlushCompress};

/// A zlib stream towards one viewer.
#[derive(Debug)]
pub(super) struct Deflate(Compress);

impl Deflate {
    pub(super) fn new(level: u32) -> Self {
        Self(Compress::new(Compression::new(level), true))
    }

    /// The next bytes of the stream, from which `plain` comes as a whole.
    pub(super) fn pack(&mut self, plain: &[u8]) -> Vec<u8> {
        let start = self.0.total_in();
        let mut out = Vec::with_capacity(plain.len() / 4 + 256);
        loop {
            let used = usize::try_from(self.0.total_in() - start).unwrap_or(plain.len());
            let rest = plain.get(used..).unwrap_or_default();
            // A compressor of memory into memory has no other failure than "no room", which ends here.
            let failed = self.0.compress_vec(rest, &mut out, FlushCompress::Sync).is_err();
            let used = usize::try_from(self.0.total_in() - start).unwrap_or(plain.len());
            if failed || (used == plain.len() && out.len() < out.capacity()) {
                return out;
            }
            out.reserve(out.capacity().max(256));
        }
    }
}
