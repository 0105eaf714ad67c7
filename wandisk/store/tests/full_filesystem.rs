//! A filesystem that is full of data still takes the table's commits (law L8), and what was committed is there.
//!
//! The test runs itself again in a user and mount namespace of its own, where it may mount a small tmpfs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use futures::executor::block_on;
use wandisk_store::{Batch, ChunkTable, DiskId, DiskMeta, KnownSite, LineageId, Row, SiteId, Version, db};

const INSIDE: &str = "WANDISK_TEST_TMPFS";

fn meta() -> DiskMeta {
    let here = KnownSite::named(SiteId::random(), "a");
    DiskMeta::new(DiskId::random(), 1 << 40, 128 << 10, LineageId::random(), here)
}

fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for block in [1 << 16, 4096] {
        let zeros = vec![1u8; block];
        while file.write_all(&zeros).is_ok() {}
    }
}

fn row(counter: u64) -> Row {
    let version = Version::new(0, counter);
    Row { version, held: version, holders: 1, owner: 0, zero: false, fresh: false }
}

/// Commits pages that were never stored before, and some again and again: both the log and the table grow.
fn inside(dir: &Path) {
    let path = dir.join("table.db");
    let mut table = ChunkTable::default();
    db::create(&path, &meta(), &mut table).unwrap();
    let (_, committer) = db::open(&path).unwrap();
    fill(&dir.join("data.img"));
    for round in 1..=600u64 {
        for chunk in [round % 7, round * 32] {
            table.set(chunk, row(2 * round + chunk % 2));
        }
        let batch = Batch { pages: table.take_changed(), digest: Some(table.digest()), ..Batch::default() };
        block_on(committer.commit(batch))
            .unwrap_or_else(|e| panic!("commit {round} on a full filesystem: {e:?}"));
    }
    drop(committer);
    let (loaded, committer) = db::open(&path).unwrap();
    assert_eq!(loaded.table.rows().collect::<Vec<_>>(), table.rows().collect::<Vec<_>>());
    drop(committer);
}

#[test]
fn a_filesystem_full_of_data_still_takes_the_tables_commits() {
    if let Ok(dir) = std::env::var(INSIDE) {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs", &dir]).status();
        assert!(mounted.unwrap().success(), "no tmpfs could be mounted");
        return inside(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", "a_filesystem_full_of_data_still_takes_the_tables_commits", "--nocapture"]);
    let output = again.env(INSIDE, dir.path()).output().expect("this test needs unshare (util-linux)");
    assert!(
        output.status.success(),
        "inside a user and mount namespace:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
