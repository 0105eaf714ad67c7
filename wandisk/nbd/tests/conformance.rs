//! The suite that every front-end passes, over NBD: every kind of reply, hot and cold.

mod support;

use std::io;
use std::path::PathBuf;

use support::cold_disk::ColdDisk;
use support::raw::Raw;
use support::{MIB, Served};
use wandisk_conformance::{Client, Target, run_all};

struct Over {
    socket: PathBuf,
    size: u64,
    structured: bool,
}

impl Target for Over {
    fn open(&self) -> io::Result<Box<dyn Client>> {
        let connect = if self.structured { Raw::connect_structured } else { Raw::connect };
        Ok(Box::new(connect(&self.socket)))
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn alignment(&self) -> u64 {
        1
    }
}

#[test]
fn a_hot_disk_conforms_with_simple_replies() {
    let served = Served::file(8 * MIB);
    run_all(&Over { socket: served.socket.clone(), size: 8 * MIB, structured: false }, 1);
}

#[test]
fn a_hot_disk_conforms_with_structured_replies() {
    let served = Served::file(8 * MIB);
    run_all(&Over { socket: served.socket.clone(), size: 8 * MIB, structured: true }, 2);
}

#[test]
fn a_disk_that_is_cold_in_places_conforms() {
    let disk = ColdDisk::new(64);
    (0..64).step_by(3).for_each(|chunk| disk.cool(chunk, None));
    let served = Served::disk(disk);
    run_all(&Over { socket: served.socket.clone(), size: 8 * MIB, structured: true }, 3);
}
