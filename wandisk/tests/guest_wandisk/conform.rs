//! The suite that every front-end passes, over ublk and the whole program, while chunks come over a link.

use std::io;
use std::path::PathBuf;

use wandisk_conformance::{Client, FileClient, Target, run_all};

use crate::device::attach;
use crate::framework::*;

const SIZE: u64 = 8 * MIB + 1536;

struct BlockDevice(PathBuf);

impl Target for BlockDevice {
    fn open(&self) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(FileClient::open(&self.0)?))
    }

    fn size(&self) -> u64 {
        SIZE
    }

    fn alignment(&self) -> u64 {
        512
    }

    fn refuses_past_the_end(&self) -> bool {
        // The block layer refuses before the program sees it.
        false
    }
}

#[test]
fn a_disk_whose_chunks_come_while_the_suite_runs_conforms() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", SIZE, 8, 40);
    a.ok(["create", "d", "--from", image.name(), "--chunk-size", "16K"]);
    a.ok(["move", "d", "--to", "b"]);
    let device = attach(&b, "d", &["--prefetch", "off"]);
    run_all(&BlockDevice(device), 4);
    let status = b.status("d");
    assert!(number(&status["fetch"]["demand"]) > 0, "{status}");
    b.detach("d");
    let (before, after) = (world.file("before"), world.file("after"));
    b.ok(["export", "d", before.to_str().unwrap()]);
    b.ok(["move", "d", "--to", "a"]);
    a.ok(["export", "d", after.to_str().unwrap()]);
    let same = std::fs::read(before).unwrap() == std::fs::read(after).unwrap();
    assert!(same, "the disk is another one after the move");
}
