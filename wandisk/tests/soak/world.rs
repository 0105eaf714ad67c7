//! The sites, what is done to them, and what is known of the disk.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::process::Child;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::framework::*;
use crate::model::{Model, SECTOR, Tag, sector};
use crate::raw::{self, Raw};

const SIZE: u64 = 6 * MIB + 1536;
/// 16 KiB chunks: many of them, and hot extents of 4 MiB that several share.
const CHUNK_SECTORS: u64 = 32;
const SITES: [&str; 3] = ["a", "b", "c"];
/// Times a command is given again after its links were mended.
const PATIENCE: u32 = 4;

/// xorshift64*: a seed alone repeats the order of events.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

/// Is there an answer within a moment?
fn answers_soon(stream: &UnixStream) -> bool {
    let mut wanted = [PollFd::new(stream, PollFlags::IN)];
    let moment = Timespec { tv_sec: 1, tv_nsec: 0 };
    poll(&mut wanted, Some(&moment)).unwrap() > 0
}

pub(crate) struct Soak {
    rng: Rng,
    model: Model,
    tag: Tag,
    sites: Vec<Site>,
    links: Vec<Link>,
    /// Index of the site where the disk is resident.
    at: usize,
    client: Option<Raw>,
    /// A sync that runs beside everything else.
    sync: Option<Child>,
    counts: BTreeMap<&'static str, u64>,
    // Last: it kills what was started.
    _world: World,
}

impl Soak {
    pub(crate) fn new(seed: u64) -> Soak {
        let world = World::new();
        let sites: Vec<Site> = SITES.iter().map(|name| world.site(name)).collect();
        let mut links = Vec::new();
        for near in &sites {
            links.extend(
                sites.iter().filter(|far| far.name() != near.name()).map(|far| world.link(near, far)),
            );
        }
        sites[0].ok(["create", "d", "--size", &SIZE.to_string(), "--chunk-size", "16K"]);
        let mut soak = Soak {
            rng: Rng(seed ^ 0x9e37_79b9_7f4a_7c15 | 1),
            model: Model::new(SIZE / SECTOR as u64),
            tag: 0,
            sites,
            links,
            at: 0,
            client: None,
            sync: None,
            counts: BTreeMap::new(),
            _world: world,
        };
        soak.attach();
        soak
    }

    /// How often what was done.
    pub(crate) fn counts(&self) -> String {
        let parts: Vec<String> = self.counts.iter().map(|(what, n)| format!("{what} {n}")).collect();
        parts.join(", ")
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn step(&mut self) {
        self.end_sync(false);
        match self.rng.below(1000) {
            0..500 => self.write(),
            500..800 => self.read(),
            800..860 => self.trim(),
            860..930 => self.flush(),
            930..950 => self.start_sync(),
            950..965 => self.cut(),
            965..980 => self.mend(),
            980..986 => self.kill_resident(),
            986..992 => self.kill_another(),
            _ => self.move_on(),
        }
    }

    /// A range within the disk; mostly short, sometimes whole chunks.
    fn range(&mut self) -> (u64, u64) {
        let all = self.model.sectors();
        let (start, count) = if self.rng.below(4) == 0 {
            (self.rng.below(all) / CHUNK_SECTORS * CHUNK_SECTORS, CHUNK_SECTORS * (1 + self.rng.below(4)))
        } else {
            (self.rng.below(all), 1 + self.rng.below(40))
        };
        (start, count.min(all - start))
    }

    fn new_tag(&mut self) -> Tag {
        self.tag += 1;
        self.tag
    }

    fn bytes(start: u64, count: u64, tag: Tag) -> Vec<u8> {
        (start..start + count).flat_map(|number| sector(tag, number)).collect()
    }

    /// One request over the attached disk. What waits for bytes behind a cut link waits until it is mended, and then works.
    fn call(&mut self, flags: u16, command: u16, (start, count): (u64, u64), payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(count).unwrap() * 512;
        let client = self.client.as_mut().unwrap();
        client.request(flags, command, start * 512, len, payload);
        if !answers_soon(&client.stream) {
            self.mend();
            self.count("waited for a mended link");
        }
        let data = if command == raw::READ { len as usize } else { 0 };
        let answer = self.client.as_mut().unwrap().answer(data);
        assert_eq!(answer.error, 0, "command {command} at sector {start}, {count} long");
        answer.data
    }

    fn write(&mut self) {
        let (range, tag) = (self.range(), self.new_tag());
        let fua = if self.rng.below(8) == 0 { raw::FUA } else { 0 };
        self.call(fua, raw::WRITE, range, &Soak::bytes(range.0, range.1, tag));
        self.model.wrote(range.0, range.1, tag);
        self.count("writes");
    }

    fn read(&mut self) {
        let range = self.range();
        let data = self.call(0, raw::READ, range, &[]);
        self.model.read(range.0, &data, "a read");
        self.count("reads");
    }

    fn trim(&mut self) {
        let (start, count) = self.range();
        let start = start / 8 * 8;
        let range = (start, count.next_multiple_of(8).min(self.model.sectors() - start));
        let command = if self.rng.below(2) == 0 { raw::TRIM } else { raw::WRITE_ZEROES };
        // The last half block may be left as it is by a trim.
        let range = (range.0, range.1 / 8 * 8);
        if range.1 == 0 {
            return;
        }
        self.call(0, command, range, &[]);
        self.model.wrote(range.0, range.1, 0);
        self.count("trims");
    }

    fn flush(&mut self) {
        self.call(0, raw::FLUSH, (0, 0), &[]);
        self.count("flushes");
    }

    fn attach(&mut self) {
        let site = &self.sites[self.at];
        site.attach("d");
        self.client = Some(Raw::connect(&site.disk_file("d", "nbd.sock")));
    }

    fn cut(&mut self) {
        let link = self.rng.index(self.links.len());
        let way = if self.rng.below(2) == 0 { Way::There } else { Way::Back };
        let bytes = self.rng.below(20_000);
        self.links[link].cut_after(way, bytes);
        self.count("cuts");
    }

    fn mend(&mut self) {
        self.links.iter().for_each(Link::mend);
    }

    fn start_sync(&mut self) {
        if self.sync.is_some() {
            return;
        }
        let (by, to) = (self.rng.index(SITES.len()), self.rng.index(SITES.len()));
        if self.sites[by].has_folder("d") {
            self.sync = Some(self.sites[by].start(["sync", "d", "--site", SITES[to]]));
            self.count("syncs begun");
        }
    }

    /// Notes a sync's end, which `wait`s for it.
    fn end_sync(&mut self, wait: bool) {
        let Some(mut sync) = self.sync.take() else { return };
        let status = if wait { Some(sync.wait().unwrap()) } else { sync.try_wait().unwrap() };
        match status {
            None => self.sync = Some(sync),
            Some(status) if status.success() => self.count("syncs done"),
            Some(_) => self.count("syncs failed"),
        }
    }

    /// kill -9 with requests on their way.
    fn kill_resident(&mut self) {
        let mut under_way = Vec::new();
        for _ in 0..self.rng.below(6) {
            let (range, tag) = (self.range(), self.new_tag());
            let payload = Soak::bytes(range.0, range.1, tag);
            let len = u32::try_from(range.1).unwrap() * 512;
            self.client.as_mut().unwrap().request(0, raw::WRITE, range.0 * 512, len, &payload);
            under_way.push((range, tag));
        }
        self.sites[self.at].kill_keeper("d");
        self.client = None;
        for ((start, count), tag) in under_way {
            self.model.may_have_written(start, count, tag);
        }
        self.attach();
        self.count("residents killed");
    }

    fn kill_another(&mut self) {
        let other = (self.at + 1 + self.rng.index(2)) % SITES.len();
        if self.sites[other].has_folder("d") {
            self.sites[other].kill_keeper("d");
            self.count("others killed");
        }
    }

    /// Hands over, perhaps over links that are cut on the way, from any site; repeats until it is done.
    fn move_on(&mut self) {
        drop(self.client.take());
        self.sites[self.at].detach("d");
        let to = (self.at + 1 + self.rng.index(2)) % SITES.len();
        let mut by = self.at;
        for attempt in 0.. {
            if attempt < PATIENCE && self.rng.below(2) == 0 {
                self.cut();
            }
            if attempt > 0 && self.rng.below(4) == 0 {
                self.sites[by].kill_keeper("d");
            }
            let output = self.sites[by].run(["move", "d", "--to", SITES[to]]);
            let residents = self.residents();
            assert!(residents.len() <= 1, "two residents: {residents:?}");
            if output.status.success() || residents == [to] {
                break;
            }
            self.count("moves failed");
            assert!(attempt < 2 * PATIENCE, "{} does not finish: {}", SITES[to], shown(&output));
            if attempt >= PATIENCE / 2 {
                self.mend();
                by = self.at;
            }
        }
        // Done may mean: by an attempt whose answer was cut off.
        self.mend();
        assert_eq!(self.residents(), [to]);
        self.at = to;
        self.attach();
        self.count("moves");
    }

    /// Sites that say they are resident.
    fn residents(&self) -> Vec<usize> {
        let with_replica = (0..SITES.len()).filter(|i| self.sites[*i].has_folder("d"));
        with_replica.filter(|i| self.sites[*i].is_resident("d")).collect()
    }

    /// With all links up: the disk is what it must be, at each site, whole and alone.
    pub(crate) fn look_at_everything(&mut self) {
        self.mend();
        self.end_sync(true);
        for start in (0..self.model.sectors()).step_by(2048) {
            let range = (start, 2048.min(self.model.sectors() - start));
            let data = self.call(0, raw::READ, range, &[]);
            self.model.read(start, &data, "the resident");
        }
        drop(self.client.take());
        self.sites[self.at].detach("d");
        for site in &self.sites {
            self.sites[self.at].ok(["sync", "d", "--site", site.name(), "--verify"]);
            let who = format!("{} while {} is resident", site.name(), SITES[self.at]);
            self.model.read(0, &std::fs::read(site.data("d")).unwrap(), &who);
        }
        self.attach();
        self.count("looks");
    }
}
