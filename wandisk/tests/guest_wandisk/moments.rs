//! On a filesystem that shares blocks a replica keeps its last consistent moment while a sync mixes the next one in.

use crate::device::sh;
use crate::framework::*;

const MOUNT: &str = "/run/xfs";
const CHUNK: u64 = 64 * KIB;

/// An xfs; unmounted when it is dropped.
struct Xfs;

impl Xfs {
    fn new() -> Xfs {
        sh(&format!(
            "modprobe loop; modprobe xfs; truncate -s 600M /scratch/xfs; mkfs.xfs -q -f -m reflink=1 /scratch/xfs; mkdir -p {MOUNT}
             mount -o loop /scratch/xfs {MOUNT}"
        ));
        Xfs
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        sh(&format!("umount -l {MOUNT}; rm /scratch/xfs"));
    }
}

/// A resident `a` and a replica `b` on xfs, complete as of the image; then `a` writes, a second sync dies half-way, and `a` is
/// lost (interleaving 13).
struct Lost {
    b: Site,
    image: Image,
    _to_b: Link,
    _a: Site,
    // In this order: the world kills what was started, then nothing is mounted any more.
    _world: World,
    _xfs: Xfs,
}

impl Lost {
    fn new() -> Lost {
        let xfs = Xfs::new();
        let world = World::new();
        let a = world.site("a");
        let b = Site::init(format!("{MOUNT}/b").into(), "b");
        let to_b = world.link(&a, &b);
        let image = Image::noise(&world, "i", 2 * MIB, 1, 30);
        a.ok(["create", "d", "--from", image.name(), "--chunk-size", "64K"]);
        a.ok(["sync", "d", "--site", "b"]);
        let export = a.attach("d");
        export.python("import os\nfor i in range(16): h.pwrite(os.urandom(65536), i * 65536)\nh.flush()");
        a.detach("d");
        to_b.cut_after(Way::There, 300 * KIB);
        assert!(!a.run(["sync", "d", "--site", "b"]).status.success());
        to_b.cut();
        a.kill_keeper("d");
        Lost { b, image, _to_b: to_b, _a: a, _world: world, _xfs: xfs }
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        // Not below the world's folder.
        for pid in processes_in(self.b.home()) {
            kill(pid, rustix::process::Signal::KILL);
        }
    }
}

#[test]
fn a_takeover_goes_back_to_the_moment_before_a_sync_that_died() {
    let lost = Lost::new();
    let b = &lost.b;
    let status = b.status("d");
    assert!(status["consistent_at"].is_null(), "{status}");
    let moment = status["kept_moment"].as_u64().unwrap_or_else(|| panic!("{status}"));
    assert_eq!(b.json(["takeover", "d", "--dry-run"])["goes_back_to"].as_u64(), Some(moment));
    assert!(!b.is_resident("d"));
    let done = b.json(["takeover", "d", "--force"]);
    assert_eq!(done["went_back_to"].as_u64(), Some(moment), "{done}");
    assert_eq!((number(&done["lost"]), done["consistent_at"].as_u64()), (0, Some(moment)));
    b.attach("d").is_identical_to(&lost.image);
    b.detach("d");
    assert!(!b.disk_file("d", "moment").exists(), "it shares blocks with nothing that is of use");
}

#[test]
fn the_newer_mixed_bytes_can_be_taken_instead() {
    let lost = Lost::new();
    let done = lost.b.json(["takeover", "d", "--force", "--accept-mixed"]);
    assert!(done["went_back_to"].is_null() && number(&done["lost"]) > 0, "{done}");
    assert!(number(&done["lost"]) < 16, "some of the newer ones had come: {done}");
    assert_eq!(lost.b.chunks("d", "written"), 16);
    assert!(lost.b.is_resident("d") && !lost.b.disk_file("d", "moment").exists());
}

#[test]
fn a_complete_sync_forgets_the_moment_before_it() {
    let _xfs = Xfs::new();
    let world = World::new();
    let a = world.site("a");
    let b = Site::init(format!("{MOUNT}/b").into(), "b");
    a.knows(&b);
    a.ok(["create", "d", "--size", "4M", "--chunk-size", "64K"]);
    for pattern in [1, 2] {
        let export = a.attach("d");
        export.write(pattern, 0, 4 * CHUNK);
        a.detach("d");
        a.ok(["sync", "d", "--site", "b"]);
        assert!(!b.disk_file("d", "moment").exists());
    }
    let status = b.status("d");
    assert!(status["kept_moment"].is_null() && status["consistent_at"].is_u64(), "{status}");
    for pid in processes_in(b.home()) {
        kill(pid, rustix::process::Signal::KILL);
    }
}

#[test]
fn a_moment_that_leaves_no_room_for_the_next_one_can_be_let_go() {
    let _xfs = Xfs::new();
    let world = World::new();
    let a = world.site("a");
    let b = Site::init(format!("{MOUNT}/b").into(), "b");
    a.knows(&b);
    a.ok(["create", "d", "--size", "32M", "--chunk-size", "64K"]);
    let export = a.attach("d");
    let rewrite = "import os\nfor i in range(384): h.pwrite(os.urandom(65536), i * 65536)\nh.flush()";
    export.python(rewrite);
    a.ok(["sync", "d", "--site", "b"]);
    export.python(rewrite);
    sh(&format!("fallocate -l $(( $(stat -f -c '%a * %S' {MOUNT}) - (8 << 20) )) {MOUNT}/filler"));
    a.fails(["sync", "d", "--site", "b"]).says(&["evict d --keep 33554432"]);
    assert!(b.status("d")["kept_moment"].is_u64() && b.chunks("d", "held") < 384);
    b.ok(["evict", "d", "--keep", "33554432"]);
    assert!(b.status("d")["kept_moment"].is_null() && !b.disk_file("d", "moment").exists());
    a.ok(["sync", "d", "--site", "b"]);
    assert_eq!(b.chunks("d", "held"), 384);
    a.detach("d");
    for pid in processes_in(b.home()) {
        kill(pid, rustix::process::Signal::KILL);
    }
}
