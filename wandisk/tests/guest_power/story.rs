//! What is done with the store before its machine dies, and what must be there when it runs again.
//!
//! Two disks at one site. *d* came from another site, which holds all its bytes, and is written in every way: parts of absent
//! chunks, whole ones, first writes, trims, flushes, syncs to a third site. *e* has an ext4 whose files are fsync'ed. After each
//! acknowledged flush a mark goes into the log.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::device::{attach, sh};
use crate::framework::*;
use crate::log::Log;
use crate::machine::{self, Stores};
use crate::model::{SECTOR, Tag, sector};
use crate::oracle::Story;
use crate::raw::{self, Raw};
use crate::{Rng, cuts, seed};

const SIZE: u64 = 4 * MIB;
const CHUNK_SECTORS: u64 = 128;
const STORES: Stores = &["/run/store"];
/// For judging.
const TIME: Duration = Duration::from_secs(90);
/// Rounds of writes, each with a flush.
const ROUNDS: u64 = 40;
const MOUNT: &str = "/run/inside";

/// Writes and zeroes so many ranges, each with a tag of its own from `first` on; each is acknowledged.
pub(crate) fn scribble(rng: &mut Rng, client: &mut Raw, story: &mut Story, first: u64, ranges: u64) {
    for tag in first..first + ranges {
        let all = story.sectors();
        let (start, count) = match rng.below(4) {
            0 => (rng.below(all / CHUNK_SECTORS) * CHUNK_SECTORS, CHUNK_SECTORS),
            _ => (rng.below(all), 1 + rng.below(24)),
        };
        let count = count.min(all - start);
        let len = u32::try_from(count * SECTOR as u64).unwrap();
        let tag = Tag::try_from(tag).unwrap();
        let (command, tag, payload) = match rng.below(8) {
            0 => (raw::WRITE_ZEROES, 0, Vec::new()),
            _ => (raw::WRITE, tag, bytes(start, count, tag)),
        };
        story.writes(start, count, tag);
        assert_eq!(client.call(0, command, start * SECTOR as u64, len, &payload).error, 0);
    }
}

/// A flush that is acknowledged.
pub(crate) fn flush(client: &mut Raw) {
    assert_eq!(client.call(0, raw::FLUSH, 0, 0, &[]).error, 0);
}

#[test]
fn a_power_cut_at_any_flush_loses_nothing_that_was_acknowledged() {
    let mut rng = seed();
    let lived = Lived::live(&mut rng);
    let log = machine::stop(STORES);
    cuts::cut(&log, STORES, &mut rng, TIME, |at, who| lived.judge(&log, at, who));
}

/// A machine's life, from its disks' making to the power cut.
struct Lived {
    a: Site,
    story: Story,
    /// After which flush which round's file was synced.
    files: Vec<(usize, u64)>,
    flushes: usize,
    // Last: it kills what was started.
    world: World,
}

pub(crate) fn bytes(start: u64, count: u64, tag: Tag) -> Vec<u8> {
    (start..start + count).flat_map(|number| sector(tag, number)).collect()
}

fn contents(round: u64) -> Vec<u8> {
    let len = usize::try_from(1000 + round * 400).unwrap();
    format!("file {round}; ").into_bytes().into_iter().cycle().take(len).collect()
}

impl Lived {
    fn live(rng: &mut Rng) -> Lived {
        machine::start(STORES);
        let world = World::new();
        let (b, c) = (world.site("b"), world.site("c"));
        let a = Site::init(PathBuf::from(STORES[0]).join("home"), "a");
        a.knows(&b);
        a.knows(&c);
        b.knows(&a);
        let image = world.file("i");
        std::fs::write(&image, bytes(0, SIZE / SECTOR as u64, 1)).unwrap();
        b.ok(["create", "d", "--chunk-size", "64K", "--from", image.to_str().unwrap()]);
        b.ok(["move", "d", "--to", "a"]);
        a.ok(["create", "e", "--size", "24M", "--chunk-size", "64K"]);
        let export = a.attach("d");
        drop(export);
        let device = attach(&a, "e", &[]).display().to_string();
        sh(&format!("mkfs.ext4 -q {device}; mkdir -p {MOUNT}; mount {device} {MOUNT}; sync -f {MOUNT}"));
        let mut lived =
            Lived { story: Story::new(SIZE / SECTOR as u64, 1), files: Vec::new(), flushes: 0, a, world };
        machine::mark_flush(0);
        let mut client = Raw::connect(&lived.a.disk_file("d", "nbd.sock"));
        for round in 0..ROUNDS {
            lived.round(rng, &mut client, round);
        }
        drop(client);
        sh(&format!("umount {MOUNT}"));
        lived.put_away();
        lived
    }

    fn round(&mut self, rng: &mut Rng, client: &mut Raw, round: u64) {
        scribble(rng, client, &mut self.story, 2 + round * 8, 8);
        if round % 10 == 5 {
            // Versions close, and the next writes open new ones.
            self.a.ok(["sync", "d", "--site", "c"]);
        }
        flush(client);
        let path = Path::new(MOUNT).join(format!("file{round}"));
        let mut file = std::fs::File::create_new(path).unwrap();
        file.write_all(&contents(round)).unwrap();
        file.sync_all().unwrap();
        self.flushes = self.story.flushed();
        self.files.push((self.flushes, round));
        machine::mark_flush(self.flushes);
    }

    /// The machine runs again with what it had after `entries`: everything that was acknowledged by then is there.
    fn judge(&self, log: &Log, entries: usize, who: &str) {
        let flush = log.last_flush(entries);
        let who = format!("{who}, after flush {flush} of {}", self.flushes);

        let export = self.a.attach("d");
        let read = self.world.file("read");
        export.copy_to(&read);
        self.story.judge(flush, &std::fs::read(&read).unwrap(), &who);
        // What was read first stays, whoever serves it.
        self.a.kill_keeper("d");
        self.a.attach("d").copy_to(&self.world.file("again"));
        sh(&format!("cmp {} {}", read.display(), self.world.file("again").display()));
        self.a.ok(["verify", "d"]);

        let device = attach(&self.a, "e", &[]).display().to_string();
        sh(&format!("mount {device} {MOUNT}"));
        for (_, round) in self.files.iter().filter(|(synced, _)| *synced <= flush) {
            let path = Path::new(MOUNT).join(format!("file{round}"));
            let found = std::fs::read(path).unwrap_or_else(|e| panic!("{who}: file {round}: {e}"));
            assert!(found == contents(*round), "{who}: file {round} is not what was synced");
        }
        sh(&format!("umount {MOUNT}; e2fsck -fn {device}"));
        self.put_away();
    }

    /// Nobody uses the store any more: not even keepers at other sites, in whose mount namespaces it is mounted as well.
    fn put_away(&self) {
        self.a.detach("d");
        self.a.detach("e");
        machine::end_all_in(&[self.a.home(), self.world.path()]);
    }
}
