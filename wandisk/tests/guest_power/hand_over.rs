//! Two sites lose their power in the same moment, while a disk goes to and fro between them.
//!
//! Each has a file system of its own on the one logged device: what is on the disks of both is then known for every moment.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::framework::*;
use crate::log::Log;
use crate::machine::{self, Stores};
use crate::model::SECTOR;
use crate::oracle::Story;
use crate::raw::Raw;
use crate::story::{bytes, flush, scribble};
use crate::{Rng, cuts, seed};

const SIZE: u64 = 2 * MIB;
const STORES: Stores = &["/run/site-a", "/run/site-b"];
/// For judging.
const TIME: Duration = Duration::from_secs(75);
/// Rounds of work at one site, each ended by a move to the other.
const ROUNDS: u64 = 6;

#[test]
fn a_power_cut_of_both_sites_leaves_one_resident_at_most_and_one_content_of_a_version() {
    let mut rng = seed();
    let lived = Lived::live(&mut rng);
    let log = machine::stop(STORES);
    let (mut moves, mut cuts) = (0, 0);
    cuts::cut(&log, STORES, &mut rng, TIME, |at, who| {
        cuts += 1;
        moves += usize::from(lived.judge(&log, at, who));
    });
    // Past the test harness, as in `cuts`.
    writeln!(std::io::stderr(), "{moves} of {cuts} cuts were in a move between the release and the grant")
        .unwrap();
}

struct Lived {
    sites: [Site; 2],
    story: Story,
    flushes: usize,
    // Last: it kills what was started.
    world: World,
}

impl Lived {
    fn live(rng: &mut Rng) -> Lived {
        machine::start(STORES);
        let world = World::new();
        let site = |n: usize, name| Site::init(Path::new(STORES[n]).join("home"), name);
        let sites = [site(0, "a"), site(1, "b")];
        sites[0].knows(&sites[1]);
        sites[1].knows(&sites[0]);
        let image = world.file("i");
        std::fs::write(&image, bytes(0, SIZE / SECTOR as u64, 1)).unwrap();
        sites[0].ok(["create", "d", "--chunk-size", "64K", "--from", image.to_str().unwrap()]);
        // Both know the disk.
        sites[0].ok(["move", "d", "--to", "b"]);
        sites[1].ok(["move", "d", "--to", "a"]);
        let mut lived = Lived { story: Story::new(SIZE / SECTOR as u64, 1), flushes: 0, sites, world };
        machine::mark_flush(0);
        for round in 0..ROUNDS {
            lived.round(rng, round);
        }
        lived.put_away();
        lived
    }

    fn round(&mut self, rng: &mut Rng, round: u64) {
        let here = usize::try_from(round % 2).unwrap();
        let other = self.sites[1 - here].name().to_owned();
        self.sites[here].attach("d");
        let mut client = Raw::connect(&self.sites[here].disk_file("d", "nbd.sock"));
        let first = 2 + round * 32;
        scribble(rng, &mut client, &mut self.story, first, 10);
        flush(&mut client);
        self.flushed();
        scribble(rng, &mut client, &mut self.story, first + 10, 6);
        // Bytes leave that no client has flushed, and are written over.
        self.sites[here].ok(["sync", "d", "--site", &other]);
        scribble(rng, &mut client, &mut self.story, first + 16, 6);
        drop(client);
        // It is acknowledged when everything that was written is there.
        self.sites[here].ok(["move", "d", "--to", &other, "--force"]);
        self.flushed();
    }

    fn flushed(&mut self) {
        self.flushes = self.story.flushed();
        machine::mark_flush(self.flushes);
    }

    /// Both machines run again; was it between a release and its grant?
    fn judge(&self, log: &Log, entries: usize, who: &str) -> bool {
        let flush = log.last_flush(entries);
        let who = format!("{who}, after flush {flush} of {}", self.flushes);
        let standings =
            self.sites.each_ref().map(|s| s.status("d")["residency"].as_str().unwrap().to_owned());
        let residents = standings.iter().filter(|s| *s == "resident").count();
        assert!(residents <= 1, "{who}: {standings:?}");
        let here = standings.iter().position(|s| s == "resident").unwrap_or_else(|| {
            let released = standings.iter().position(|s| s == "released");
            let from = released.unwrap_or_else(|| panic!("{who}: nobody can end the move: {standings:?}"));
            self.sites[from].ok(["move", "d", "--to", self.sites[1 - from].name()]);
            1 - from
        });
        let (here, other) = (&self.sites[here], &self.sites[1 - here]);

        let read = self.read(here);
        self.story.judge(flush, &read, &who);
        // What both say they have of one version is the same, whoever looks.
        here.ok(["verify", "d", "--site", other.name()]);
        other.ok(["verify", "d", "--site", here.name()]);
        // What was read first stays, at every site.
        here.ok(["move", "d", "--to", other.name()]);
        assert!(self.read(other) == read, "{who}: what was read first is not what the next site gives");
        self.put_away();
        residents == 0
    }

    /// Every byte as an attached site gives it.
    fn read(&self, site: &Site) -> Vec<u8> {
        let file = self.world.file("read");
        site.attach("d").copy_to(&file);
        site.detach("d");
        std::fs::read(file).unwrap()
    }

    fn put_away(&self) {
        machine::end_all_in(&[self.sites[0].home(), self.sites[1].home(), self.world.path()]);
    }
}
