//! `table.db` as a file: what other programs left in it is upgraded or refused, never guessed.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::path::PathBuf;

use wandisk_store::{
    Batch, ChunkTable, DbError, DiskId, DiskMeta, KnownSite, LineageId, Overlay, Sectors, SiteId, Version, db,
};

const CHUNK: u32 = 65536;

struct TableFile {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl TableFile {
    fn new() -> TableFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.db");
        let here = KnownSite::named(SiteId::random(), "here");
        let meta = DiskMeta::new(DiskId::random(), 1 << 20, CHUNK, LineageId::random(), here);
        db::create(&path, &meta, &mut ChunkTable::default()).unwrap();
        TableFile { path, _folder: folder }
    }

    fn run(&self, sql: &str) {
        rusqlite::Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }
}

#[test]
fn overlays_are_there_after_a_commit_and_gone_after_another() {
    let file = TableFile::new();
    let mut sectors = Sectors::none(CHUNK);
    sectors.add(8..16);
    let overlay = Overlay { base: Version::new(1, 7), sectors };
    for record in [Some(overlay), None] {
        let (_, table) = db::open(&file.path).unwrap();
        let batch = Batch { overlays: vec![(5, record.clone())], ..Batch::default() };
        futures::executor::block_on(table.commit(batch)).unwrap();
        drop(table);
        let (loaded, _table) = db::open(&file.path).unwrap();
        assert_eq!(loaded.overlays.get(&5), record.as_ref());
    }
}

#[test]
fn a_table_of_the_first_schema_is_upgraded() {
    let file = TableFile::new();
    file.run("DROP TABLE overlay; PRAGMA user_version = 1;");
    assert!(db::open(&file.path).unwrap().0.overlays.is_empty());
    assert!(db::open(&file.path).unwrap().0.overlays.is_empty());
}

#[test]
fn a_table_of_a_newer_schema_is_refused() {
    let file = TableFile::new();
    file.run("PRAGMA user_version = 3;");
    assert!(matches!(db::open(&file.path), Err(DbError::NewerSchema { found: 3 })));
}

#[test]
fn an_overlay_that_cannot_be_is_named_as_damage() {
    for row in ["99, 7, zeroblob(16)", "5, 7, zeroblob(15)"] {
        let file = TableFile::new();
        file.run(&format!("INSERT INTO overlay VALUES ({row});"));
        assert!(matches!(db::open(&file.path), Err(DbError::Damaged { .. })), "{row}");
    }
}
