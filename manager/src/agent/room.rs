//! Room in the list of agents for what must be written when its file system is full: that a move is given up, that an agent
//! stands. A full disk is when somebody's machine comes to a stand, and just then its supervisor must be able to say so.
//!
//! Kept are pages within the file that nobody uses (they are written once, so that they have blocks), and blocks of the rollback
//! journal, which stays (`journal_mode=PERSIST`) and is used from its beginning each time. What a step of an agent writes is some
//! ten pages of each.
//!
//! Fault model: the file system fills up at any moment. One that promises no blocks (it copies on each write) keeps none here.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};
use rustix::fs::FallocateFlags;

/// Unused pages that there should be, of 4 KiB.
const PAGES: i64 = 32;
/// Blocks of the journal.
const JOURNAL_BYTES: u64 = 128 << 10;

fn journal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-journal");
    PathBuf::from(name)
}

/// Keeps room where it is short. That there is none now is no error: all goes on as long as there is.
pub(super) fn keep(db: &mut Connection, path: &Path) {
    let unused: i64 = db.pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap_or(PAGES);
    if unused < PAGES / 2 {
        make(db).ok();
    }
    // (No lock is on the journal's file: it may be opened and closed beside SQLite.)
    if let Ok(file) = std::fs::File::options().write(true).open(journal(path)) {
        rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, JOURNAL_BYTES).ok();
    }
}

/// Pages are written, and then given up: in one transaction they would never be.
fn make(db: &mut Connection) -> Result<(), rusqlite::Error> {
    for step in [
        format!(
            "DROP TABLE IF EXISTS room; CREATE TABLE room (bytes BLOB) STRICT;
             INSERT INTO room VALUES (zeroblob({}));",
            PAGES * 4096
        ),
        "DROP TABLE IF EXISTS room;".to_owned(),
    ] {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(&step)?;
        change.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::process::Command;

    use crate::agent::store::Store;
    use crate::agent::tests::example;

    const INSIDE: &str = "SNOWBIRD_TEST_TMPFS";

    fn fill(path: &std::path::Path) {
        let mut file = File::create(path).unwrap();
        for block in [1 << 16, 4096] {
            let bytes = vec![1u8; block];
            while file.write_all(&bytes).is_ok() {}
        }
    }

    /// The supervisor's journal, and a command that begins, on a file system that has no block left.
    fn inside(folder: &std::path::Path) {
        let agent = example();
        let mut store = Store::open(folder).unwrap();
        store.put(&agent, "{}", "created").unwrap();
        drop(store);
        let mut store = Store::open(folder).unwrap();
        fill(&folder.join("full"));
        assert!(std::fs::write(folder.join("more"), [1; 4096]).is_err(), "it is not full");
        for n in 0..100 {
            let phase = format!("{{\"step\":{n},\"why\":\"{}\"}}", "x".repeat(300));
            store.set_phase(agent.uuid, &phase, "moving to big: memory is copied").unwrap();
            assert_eq!(Store::open(folder).unwrap().agent("work").unwrap().phase, phase);
        }
    }

    /// The test runs itself again in a user and mount namespace of its own, where it may mount a small tmpfs.
    #[test]
    fn where_an_agent_stands_is_written_on_a_full_file_system() {
        if let Ok(folder) = std::env::var(INSIDE) {
            let size = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", &folder];
            assert!(Command::new("mount").args(size).status().unwrap().success());
            return inside(std::path::Path::new(&folder));
        }
        let folder = tempfile::tempdir().unwrap();
        let mut again = Command::new("unshare");
        again.args(["--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
        again.args(["--exact", "--nocapture"]);
        again.arg("agent::room::tests::where_an_agent_stands_is_written_on_a_full_file_system");
        let output = again.env(INSIDE, folder.path()).output().expect("this test needs unshare (util-linux)");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
        assert!(said(&output.stdout).contains("1 passed"), "{}", said(&output.stdout));
    }
}
