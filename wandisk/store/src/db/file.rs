//! The file `table.db`: created, opened and read; what is in it is checked before it is believed.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::committer::{Committer, apply};
use super::{APPLICATION_ID, Batch, DbError, Loaded, SCHEMA_VERSION};
use crate::ids::Version;
use crate::meta::DiskMeta;
use crate::overlay::{Overlay, Sectors};
use crate::reserve::Reserve;
use crate::row::Page;
use crate::table::ChunkTable;

/// First SQLite without the WAL-reset bug.
const SQLITE_MIN: i32 = 3_051_003;
/// SQLite's page cache while the whole table is read once, in order: more would only stay behind in the heap.
const LOADING_CACHE_KIB: i32 = 64;
/// SQLite's page cache of a keeper at work.
const CACHE_KIB: i32 = 2048;

const OVERLAY_TABLE: &str =
    "CREATE TABLE overlay (chunk INTEGER PRIMARY KEY, base INTEGER NOT NULL, sectors BLOB NOT NULL) STRICT;";

fn connect(path: &Path, create: bool) -> Result<Connection, DbError> {
    let found = rusqlite::version_number();
    if found < SQLITE_MIN {
        return Err(DbError::SqliteTooOld { found });
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let db = Connection::open_with_flags(path, flags)?;
    // One keeper a disk: no shared-memory file, and no second program by accident.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "cache_size", -LOADING_CACHE_KIB)?;
    Ok(db)
}

fn set_durable(db: &Connection) -> Result<(), DbError> {
    let mode: String = db.query_row("PRAGMA journal_mode=WAL", [], |r| r.get(0))?;
    if mode != "wal" {
        return Err(DbError::Damaged { what: format!("it stays in journal mode {mode}") });
    }
    // Not stored in the file: must be said at each open.
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(())
}

/// Creates a table that holds `meta` and `table`.
///
/// # Errors
/// If the file is there already or cannot be written.
pub fn create(path: &Path, meta: &DiskMeta, table: &mut ChunkTable) -> Result<(), DbError> {
    let mut db = connect(path, true)?;
    set_durable(&db)?;
    let tx = db.transaction()?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.execute_batch(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
         CREATE TABLE page (number INTEGER PRIMARY KEY, rows BLOB NOT NULL) STRICT;
         CREATE TABLE hot (extent INTEGER PRIMARY KEY) STRICT;
         CREATE TABLE hash (chunk INTEGER PRIMARY KEY, version INTEGER NOT NULL, blake3 BLOB NOT NULL) STRICT;",
    )?;
    tx.execute_batch(OVERLAY_TABLE)?;
    let pages = table.take_changed();
    apply(&tx, &Batch { pages, digest: Some(table.digest()), meta: Some(meta.clone()), ..Batch::default() })?;
    tx.commit()?;
    db.close().map_err(|(_, e)| DbError::Sql(e))
}

/// Reads a table and hands its connection to a new committer.
///
/// # Errors
/// See [`DbError`]; nothing is changed in the file then.
pub fn open(path: &Path) -> Result<(Loaded, Committer), DbError> {
    let not_a_table = || DbError::NotATable { path: path.to_owned() };
    let db = connect(path, false)?;
    let id: i32 = match db.query_row("PRAGMA application_id", [], |r| r.get(0)) {
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(not_a_table());
        }
        other => other?,
    };
    if id != APPLICATION_ID {
        return Err(not_a_table());
    }
    let schema: i32 = db.query_row("PRAGMA user_version", [], |r| r.get(0))?;
    if schema > SCHEMA_VERSION {
        return Err(DbError::NewerSchema { found: schema });
    }
    set_durable(&db)?;
    if schema < SCHEMA_VERSION {
        upgrade(&db)?;
    }
    let loaded = load(&db)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // A table that can be read is of use even where no room can be kept for its growth.
    let mut reserve = Reserve::of(path).ok();
    reserve.iter_mut().for_each(Reserve::keep);
    Ok((loaded, Committer::start(db, reserve)))
}

/// Changes the facts in a table that nobody has open, durably; its rows stay. `false` if `change` gives none.
///
/// # Errors
/// See [`DbError`]; nothing is changed in the file then.
pub fn change_facts(path: &Path, change: impl FnOnce(DiskMeta) -> Option<DiskMeta>) -> Result<bool, DbError> {
    let db = connect(path, false)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let Some(facts) = change(load_meta(&db)?) else { return Ok(false) };
    facts.check().map_err(|what| DbError::Damaged { what })?;
    let tx = db.unchecked_transaction()?;
    apply(&tx, &Batch { meta: Some(facts), ..Batch::default() })?;
    tx.commit()?;
    db.close().map_err(|(_, e)| DbError::Sql(e))?;
    Ok(true)
}

/// Schema 2 has overlays: a program that knows only schema 1 would take their bytes for a basis, so it must refuse.
fn upgrade(db: &Connection) -> Result<(), DbError> {
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(OVERLAY_TABLE)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(tx.commit()?)
}

fn load(db: &Connection) -> Result<Loaded, DbError> {
    let damaged = |what: &str| DbError::Damaged { what: what.to_owned() };
    let meta = load_meta(db)?;
    let mut table = ChunkTable::default();
    let mut statement = db.prepare("SELECT number, rows FROM page ORDER BY number")?;
    let mut rows = statement.query([])?;
    let last_page = meta.chunks().saturating_sub(1) / crate::row::PAGE_CHUNKS;
    while let Some(row) = rows.next()? {
        let number =
            u64::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged("a page has a negative number"))?;
        let bytes = row.get_ref(1)?.as_blob().map_err(|_| damaged("a page is no blob"))?;
        let page = Page::decode(bytes).ok_or_else(|| damaged(&format!("page {number} makes no sense")))?;
        if number > last_page {
            return Err(damaged(&format!("page {number} is past the end of the disk")));
        }
        table.load_page(number, page);
    }
    let digest: Option<String> = get_meta(db, "digest")?;
    let digest =
        digest.and_then(|d| serde_json::from_str(&d).ok()).ok_or_else(|| damaged("it has no digest"))?;
    table.loaded(digest);
    let mut statement = db.prepare("SELECT extent FROM hot")?;
    let hot = statement.query_map([], |r| r.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
    let hot = hot.into_iter().filter_map(|e| u64::try_from(e).ok()).collect();
    let overlays = load_overlays(db, &meta)?;
    Ok(Loaded { meta, table, hot, overlays })
}

fn load_overlays(db: &Connection, meta: &DiskMeta) -> Result<BTreeMap<u64, Overlay>, DbError> {
    let mut statement = db.prepare("SELECT chunk, base, sectors FROM overlay")?;
    let mut rows = statement.query([])?;
    let mut overlays = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let chunk = u64::try_from(row.get::<_, i64>(0)?).ok().filter(|chunk| *chunk < meta.chunks());
        let sectors = row.get_ref(2)?.as_blob().ok().and_then(|b| Sectors::from_bytes(b, meta.chunk_size));
        let (Some(chunk), Some(sectors)) = (chunk, sectors) else {
            return Err(DbError::Damaged { what: "an overlay makes no sense".to_owned() });
        };
        let base = Version(row.get::<_, i64>(1)?.cast_unsigned());
        overlays.insert(chunk, Overlay { base, sectors });
    }
    Ok(overlays)
}

fn load_meta(db: &Connection) -> Result<DiskMeta, DbError> {
    let mut map = serde_json::Map::new();
    let mut statement = db.prepare("SELECT key, value FROM meta")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
        let value = serde_json::from_str(&value)
            .map_err(|_| DbError::Damaged { what: format!("the value of {key:?} is not JSON") })?;
        map.insert(key, value);
    }
    let meta: DiskMeta = serde_json::from_value(serde_json::Value::Object(map))
        .map_err(|e| DbError::Damaged { what: format!("the disk's facts are incomplete ({e})") })?;
    meta.check().map_err(|what| DbError::Damaged { what })?;
    Ok(meta)
}

fn get_meta(db: &Connection, key: &str) -> Result<Option<String>, DbError> {
    Ok(db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0)).optional()?)
}
