//! Going back to a kept moment: whatever dies in the middle, the next keeper ends it, and the disk is that of the moment.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::PathBuf;

use wandisk_store::moment::MomentError;
use wandisk_store::{
    ChunkTable, DiskDir, DiskId, DiskMeta, Epoch, KnownSite, LineageId, OpenError, Row, SiteId, Version,
};

const CHUNK: u32 = 4096;

struct Disk {
    dir: DiskDir,
    _folder: tempfile::TempDir,
}

fn fill(dir: &DiskDir, uuid: DiskId, counter: u64) {
    let here = KnownSite::named(SiteId::random(), "here");
    let meta = DiskMeta {
        consistent_at: Some(counter),
        ..DiskMeta::new(uuid, 4 * u64::from(CHUNK), CHUNK, LineageId::random(), here)
    };
    dir.create(&meta, |_, data, _, table: &mut ChunkTable| {
        let byte = u8::try_from(counter).unwrap();
        data.write_chunk(0, &[byte; CHUNK as usize]).unwrap();
        let version = Version::new(0, counter);
        table.set(0, Row { version, held: version, holders: 1, owner: 0, zero: false, fresh: false });
        Ok::<(), OpenError>(())
    })
    .unwrap();
}

impl Disk {
    /// A disk at version 9 that keeps a moment at version 3, and was told to go back to it.
    fn new() -> Disk {
        let folder = tempfile::tempdir().unwrap();
        let (dir, other) = ["d", "other"].map(|name| DiskDir::new(folder.path().join(name), name)).into();
        let uuid = DiskId::random();
        fill(&dir, uuid, 9);
        fill(&other, uuid, 3);
        fs::create_dir(dir.moment_path()).unwrap();
        for file in ["data.img", "table.db"] {
            fs::copy(other.path().join(file), dir.moment_path().join(file)).unwrap();
        }
        // What a keeper that died left of the later table.
        for stale in ["table.db-wal", "intent.map", "overlay.map"] {
            fs::write(dir.path().join(stale), b"of the later table").unwrap();
        }
        dir.tell_to_go_back(Some).unwrap();
        Disk { dir, _folder: folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn moves(&self, name: &str) {
        fs::copy(self.dir.moment_path().join(name), self.file(name)).unwrap();
        fs::remove_file(self.dir.moment_path().join(name)).unwrap();
    }

    #[track_caller]
    fn is_of_the_moment(&self, version: u64) {
        let lock = self.dir.lock().unwrap();
        self.dir.go_back_if_told(&lock).unwrap();
        assert!(!self.dir.moment_path().exists() && !self.file("intent.map").exists());
        let (loaded, _table, data) = self.dir.open(&lock).unwrap();
        assert_eq!(loaded.table.get(0).version.counter(), version);
        assert_eq!(loaded.meta.consistent_at, Some(version));
        assert_eq!(u64::from(data.read_chunk(0).unwrap()[7]), version);
    }
}

#[test]
fn the_disk_is_that_of_the_moment() {
    Disk::new().is_of_the_moment(3);
}

#[test]
fn a_death_at_any_step_is_ended_by_the_next_keeper() {
    let deaths: [&dyn Fn(&Disk); 5] = [
        &|disk| fs::remove_file(disk.file("intent.map")).unwrap(),
        &|disk| disk.moves("data.img"),
        &|disk| fs::remove_file(disk.file("table.db-wal")).unwrap(),
        &|disk| disk.moves("table.db"),
        &|_| {},
    ];
    for n in 0..deaths.len() {
        let disk = Disk::new();
        deaths[..=n].iter().for_each(|step| step(&disk));
        disk.is_of_the_moment(3);
    }
}

#[test]
fn a_moment_nobody_told_to_go_back_to_changes_nothing() {
    let disk = Disk::new();
    fs::remove_file(disk.dir.moment_path().join("go-back")).unwrap();
    let lock = disk.dir.lock().unwrap();
    assert!(!disk.dir.go_back_if_told(&lock).unwrap());
    assert_eq!(fs::read(disk.file("data.img")).unwrap()[7], 9);
}

#[test]
fn it_is_told_what_the_disk_knows_since() {
    let disk = Disk::new();
    let learnt = |then: DiskMeta| Some(DiskMeta { epoch: Epoch(7), ..then });
    disk.dir.tell_to_go_back(learnt).unwrap();
    let lock = disk.dir.lock().unwrap();
    disk.dir.go_back_if_told(&lock).unwrap();
    let (loaded, _table, _data) = disk.dir.open(&lock).unwrap();
    assert_eq!((loaded.meta.epoch, loaded.meta.consistent_at), (Epoch(7), Some(3)));
    assert_eq!(loaded.table.get(0).version.counter(), 3, "its rows are of then");
}

#[test]
fn a_moment_that_is_of_no_use_is_not_gone_back_to() {
    let disk = Disk::new();
    fs::remove_file(disk.dir.moment_path().join("go-back")).unwrap();
    assert!(matches!(disk.dir.tell_to_go_back(|_| None), Err(MomentError::OfNoUse)));
    fs::remove_file(disk.dir.moment_path().join("table.db")).unwrap();
    assert!(matches!(disk.dir.tell_to_go_back(Some), Err(MomentError::Table(_))));
    let lock = disk.dir.lock().unwrap();
    assert!(!disk.dir.go_back_if_told(&lock).unwrap());
    assert_eq!(fs::read(disk.file("data.img")).unwrap()[7], 9);
}

#[test]
fn what_a_process_that_died_was_making_takes_no_room() {
    let disk = Disk::new();
    let unfinished = disk.file("moment.new");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("data.img"), b"half").unwrap();
    disk.is_of_the_moment(3);
    assert!(!unfinished.exists());
}
