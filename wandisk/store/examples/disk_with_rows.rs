//! Makes a disk whose chunk table has rows, without the bytes that they speak of: to measure what a table costs.
//!
//! ```text
//! disk_with_rows HOME NAME GIBIBYTES CHUNKS
//! ```
//! The rows are spread evenly over the disk; `data.img` is one hole.

use std::error::Error;
use std::path::Path;

use wandisk_store::{DiskId, DiskMeta, Home, KnownSite, LineageId, OpenError, Row, Version};

/// The default chunk.
const CHUNK: u32 = 128 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [home, name, gibibytes, written] = args.as_slice() else {
        return Err("usage: disk_with_rows HOME NAME GIBIBYTES CHUNKS".into());
    };
    let (home, written) = (Home::open(Path::new(home))?, written.parse::<u64>()?);
    let here = KnownSite::named(home.id(), home.name());
    let size = gibibytes.parse::<u64>()? << 30;
    let mut meta = DiskMeta::new(DiskId::random(), size, CHUNK, LineageId::random(), here);
    meta.counter = written;
    let every = meta.chunks() / written.max(1);
    if every == 0 {
        return Err("the disk has fewer chunks".into());
    }
    home.disk(name)?.create(&meta, |_, _, _, table| -> Result<(), OpenError> {
        for at in 0..written {
            let version = Version::new(0, at + 1);
            table.set(at * every, Row { version, held: version, holders: 1, ..Row::default() });
        }
        Ok(())
    })?;
    Ok(())
}
