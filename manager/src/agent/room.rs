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
    use crate::agent::small::{fill, on_a_small_file_system};
    use crate::agent::store::Store;
    use crate::agent::tests::example;

    /// The supervisor's journal, and a command that begins.
    #[test]
    fn where_an_agent_stands_is_written_on_a_full_file_system() {
        let own = "agent::room::tests::where_an_agent_stands_is_written_on_a_full_file_system";
        on_a_small_file_system(own, |folder| {
            let agent = example();
            let mut store = Store::open(folder).unwrap();
            store.put(&agent, "{}", "created").unwrap();
            drop(store);
            let mut store = Store::open(folder).unwrap();
            fill(folder);
            for n in 0..100 {
                let phase = format!("{{\"step\":{n},\"why\":\"{}\"}}", "x".repeat(300));
                store.set_phase(agent.uuid, &phase, "moving to big: memory is copied").unwrap();
                assert_eq!(Store::open(folder).unwrap().agent("work").unwrap().phase, phase);
            }
        });
    }
}
