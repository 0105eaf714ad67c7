//! `snowbird.db` in a site's folder: the agents known here, where each stands, and what happened to it.
//!
//! The phase of an agent is the supervisor's journal: it is written, durably, before the supervisor acts on it
//! (`synchronous=FULL`), together with a line of the log that people read.
//!
//! Invariants: a newer schema is refused; a phase and its line are written as one or not at all; the log of an agent is
//! bounded; no two agents have one disk; there is room for phases on a full file system ([`super::room`]). Commands and supervisors of several processes use the file at once; each transaction is short.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::word::Word;
use super::{Agent, AgentError, room};
use crate::net::config::Forward;

/// "SNOW": what `file` and other programs may know it by.
const APPLICATION_ID: i32 = 0x534e_4f57;
const SCHEMA_VERSION: i32 = 2;
/// How long a transaction waits for another process's.
const BUSY: Duration = Duration::from_secs(10);
/// Lines of the log that are kept of an agent.
const LOG_MAX: i64 = 5000;
const FILE: &str = "snowbird.db";

const SCHEMA: &str = "
    CREATE TABLE agents (
        uuid TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        document TEXT NOT NULL,
        phase TEXT NOT NULL
    ) STRICT;
    CREATE TABLE log (
        id INTEGER PRIMARY KEY,
        agent TEXT NOT NULL REFERENCES agents (uuid) ON DELETE CASCADE,
        at_ms INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX log_of ON log (agent, id);
";
/// What schema 2 has more: records of decisions, and what the manager may do by itself ([`super::automatic`]).
const SCHEMA_2: &str = "
    ALTER TABLE log ADD COLUMN record TEXT;
    CREATE TABLE automatic (
        agent TEXT PRIMARY KEY REFERENCES agents (uuid) ON DELETE CASCADE,
        settings TEXT NOT NULL,
        learnt TEXT
    ) STRICT;
";

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own words.
    #[error("the list of agents could not be used")]
    Sql(#[from] rusqlite::Error),
    /// Not ours.
    #[error("{} is not a list of agents", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A later program wrote it.
    #[error("the list of agents has schema {found}; this program knows schemas up to {SCHEMA_VERSION}")]
    Newer {
        /// Its schema.
        found: i32,
    },
    /// An agent that makes no sense.
    #[error("an agent in the list cannot be understood")]
    Agent(#[from] AgentError),
    /// None of that name.
    #[error("no agent named {name:?} is known at this site")]
    NoAgent {
        /// The name.
        name: String,
    },
    /// It would write to another one's disk.
    #[error("the disk {disk:?} is that of the agent {agent:?}")]
    DiskTaken {
        /// The disk.
        disk: String,
        /// Whose.
        agent: String,
    },
    /// The name is taken.
    #[error("an agent named {name:?} is known at this site already")]
    Exists {
        /// The name.
        name: String,
    },
}

/// An agent as it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What it is.
    pub agent: Agent,
    /// Where it stands, in the supervisor's words.
    pub phase: String,
}

/// A line of an agent's log.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its number in the list, which grows.
    pub id: i64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub text: String,
    /// The same for programs, where it is more than that sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Value>,
}

/// The open file.
#[derive(Debug)]
pub struct Store {
    pub(super) db: Connection,
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// Opens the file of a site's folder; makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(home: &Path) -> Result<Store, StoreError> {
        let path = home.join(FILE);
        let mut db = Connection::open(&path)?;
        db.busy_timeout(BUSY)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        db.pragma_update_and_check(None, "journal_mode", "PERSIST", |_| Ok(()))?;
        let pragma =
            |db: &Connection, name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        // As one transaction: two commands may be the first.
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match (pragma(&change, "application_id")?, pragma(&change, "user_version")?) {
            (0, 0) => {
                let tables: i64 =
                    change.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
                if tables != 0 {
                    return Err(StoreError::NotOurs { path });
                }
                change.execute_batch(SCHEMA)?;
                change.execute_batch(SCHEMA_2)?;
                change.pragma_update(None, "application_id", APPLICATION_ID)?;
                change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            (APPLICATION_ID, 1) => {
                change.execute_batch(SCHEMA_2)?;
                change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            (APPLICATION_ID, SCHEMA_VERSION) => {}
            (APPLICATION_ID, found) => return Err(StoreError::Newer { found }),
            _ => return Err(StoreError::NotOurs { path }),
        }
        change.commit()?;
        room::keep(&mut db, &path);
        Ok(Store { db })
    }

    /// Whether a site's folder has one.
    #[must_use]
    pub fn is_at(home: &Path) -> bool {
        home.join(FILE).exists()
    }

    /// May this agent have its disk?
    ///
    /// # Errors
    /// [`StoreError::DiskTaken`] if another one has it.
    pub fn may_have_disk(&self, agent: &Agent) -> Result<(), StoreError> {
        disk_is_free(&self.db, agent)
    }

    /// Notes a new agent, or one that has come before, with its phase.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if another agent has its name, [`StoreError::DiskTaken`] if another one has its disk.
    pub fn put(&mut self, agent: &Agent, phase: &str, line: &str) -> Result<(), StoreError> {
        let uuid = agent.uuid.to_string();
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let named: Option<String> = change
            .query_row("SELECT uuid FROM agents WHERE name = ?1", [&agent.name], |row| row.get(0))
            .optional()?;
        if named.is_some_and(|other| other != uuid) {
            return Err(StoreError::Exists { name: agent.name.clone() });
        }
        disk_is_free(&change, agent)?;
        let document = serde_json::to_string(agent).map_err(AgentError::from)?;
        change.execute(
            "INSERT INTO agents (uuid, name, document, phase) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (uuid) DO UPDATE SET name = ?2, document = ?3, phase = ?4",
            params![uuid, agent.name, document, phase],
        )?;
        log(&change, &uuid, line)?;
        change.commit()?;
        Ok(())
    }

    /// Where an agent stands from now on, and why.
    ///
    /// # Errors
    /// [`StoreError::NoAgent`] if it was purged.
    pub fn set_phase(&mut self, agent: Uuid, phase: &str, line: &str) -> Result<(), StoreError> {
        let uuid = agent.to_string();
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = change.execute("UPDATE agents SET phase = ?2 WHERE uuid = ?1", params![uuid, phase])?;
        if changed == 0 {
            return Err(StoreError::NoAgent { name: uuid });
        }
        log(&change, &uuid, line)?;
        change.commit()?;
        Ok(())
    }

    /// Replaces an agent's description, and leaves where it stands.
    ///
    /// # Errors
    /// SQLite's.
    pub fn set_document(&mut self, agent: &Agent, line: &str) -> Result<(), StoreError> {
        let uuid = agent.uuid.to_string();
        let document = serde_json::to_string(agent).map_err(AgentError::from)?;
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute("UPDATE agents SET document = ?2 WHERE uuid = ?1", params![uuid, document])?;
        log(&change, &uuid, line)?;
        change.commit()?;
        Ok(())
    }

    /// What leads into the agent from site `own`: where that is its home, it travels with the agent from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_forwards(&mut self, agent: Uuid, own: &str, forwards: &[Forward]) -> Result<(), StoreError> {
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        carry(&change, &agent.to_string(), own, |word| word.forwards = forwards.to_vec())?;
        change.commit()?;
        Ok(())
    }

    /// Adds a line to an agent's log.
    ///
    /// # Errors
    /// SQLite's.
    pub fn note(&mut self, agent: Uuid, line: &str) -> Result<(), StoreError> {
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        log(&change, &agent.to_string(), line)?;
        change.commit()?;
        Ok(())
    }

    /// Adds a line to an agent's log, with what it says for programs.
    ///
    /// # Errors
    /// SQLite's.
    pub fn note_record(&mut self, agent: Uuid, line: &str, record: &Value) -> Result<(), StoreError> {
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        log(&change, &agent.to_string(), line)?;
        change.execute("UPDATE log SET record = ?1 WHERE id = last_insert_rowid()", [record.to_string()])?;
        change.commit()?;
        Ok(())
    }

    /// An agent by its name.
    ///
    /// # Errors
    /// [`StoreError::NoAgent`].
    pub fn agent(&self, name: &str) -> Result<Kept, StoreError> {
        let found = self
            .db
            .query_row("SELECT document, phase FROM agents WHERE name = ?1", [name], both)
            .optional()?;
        let (document, phase) = found.ok_or_else(|| StoreError::NoAgent { name: name.to_owned() })?;
        Ok(Kept { agent: Agent::from_json(&document)?, phase })
    }

    /// All agents, by name.
    ///
    /// # Errors
    /// SQLite's.
    pub fn agents(&self) -> Result<Vec<Kept>, StoreError> {
        let mut all = self.db.prepare("SELECT document, phase FROM agents ORDER BY name")?;
        let rows = all.query_map([], both)?.collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(document, phase)| Ok(Kept { agent: Agent::from_json(&document)?, phase }))
            .collect()
    }

    /// Forgets an agent and its log.
    ///
    /// # Errors
    /// SQLite's.
    pub fn remove(&mut self, agent: Uuid) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM agents WHERE uuid = ?1", [agent.to_string()])?;
        Ok(())
    }

    /// The newest lines of an agent's log, oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn log(&self, agent: Uuid, newest: u32) -> Result<Vec<Line>, StoreError> {
        self.log_between(agent, i64::MIN, i64::MAX, newest)
    }

    /// The newest of the lines whose numbers are between these two, oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn log_between(
        &self,
        agent: Uuid,
        after: i64,
        before: i64,
        newest: u32,
    ) -> Result<Vec<Line>, StoreError> {
        let mut lines = self.db.prepare_cached(
            "SELECT id, at_ms, text, record FROM log WHERE agent = ?1 AND id > ?2 AND id < ?3
             ORDER BY id DESC LIMIT ?4",
        )?;
        let rows = lines.query_map(params![agent.to_string(), after, before, newest], |row| {
            let record = row.get::<_, Option<String>>(3)?.and_then(|text| serde_json::from_str(&text).ok());
            let at_ms = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
            Ok(Line { id: row.get(0)?, at_ms, text: row.get(2)?, record })
        })?;
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        rows.reverse();
        Ok(rows)
    }
}

/// What is said at `own` about an agent whose home that is goes into its description.
pub(super) fn carry(
    db: &Connection,
    agent: &str,
    own: &str,
    say: impl FnOnce(&mut Word),
) -> Result<(), StoreError> {
    let found: Option<String> =
        db.query_row("SELECT document FROM agents WHERE uuid = ?1", [agent], |row| row.get(0)).optional()?;
    let Some(document) = found else { return Ok(()) };
    let known = Agent::from_json(&document)?;
    if known.home != own {
        return Ok(());
    }
    let said = serde_json::to_string(&known.saying(say)).map_err(AgentError::from)?;
    if said != document {
        db.execute("UPDATE agents SET document = ?2 WHERE uuid = ?1", params![agent, said])?;
    }
    Ok(())
}

/// Two agents on one disk would each destroy what the other keeps there, and in its memory.
fn disk_is_free(db: &Connection, agent: &Agent) -> Result<(), StoreError> {
    let taken = "SELECT name FROM agents WHERE json_extract(document, '$.disk') = ?1 AND uuid <> ?2";
    let whose: Option<String> =
        db.query_row(taken, params![agent.disk, agent.uuid.to_string()], |row| row.get(0)).optional()?;
    match whose {
        Some(other) => Err(StoreError::DiskTaken { disk: agent.disk.clone(), agent: other }),
        None => Ok(()),
    }
}

fn both(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn log(db: &Connection, agent: &str, line: &str) -> Result<(), rusqlite::Error> {
    db.execute("INSERT INTO log (agent, at_ms, text) VALUES (?1, ?2, ?3)", params![agent, now_ms(), line])?;
    db.execute(
        "DELETE FROM log WHERE agent = ?1 AND id <=
            (SELECT id FROM log WHERE agent = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        params![agent, LOG_MAX],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;

    #[test]
    fn agents_are_kept_with_their_phase_and_their_log() {
        let folder = tempfile::tempdir().unwrap();
        let agent = example();
        Store::open(folder.path()).unwrap().put(&agent, "{}", "created").unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.set_phase(agent.uuid, "1", "launched").unwrap();
        let kept = store.agent("work").unwrap();
        assert_eq!((kept.agent, kept.phase.as_str()), (agent.clone(), "1"));
        let lines: Vec<String> =
            store.log(agent.uuid, 10).unwrap().into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["created", "launched"]);
        store.remove(agent.uuid).unwrap();
        assert!(matches!(store.agent("work"), Err(StoreError::NoAgent { .. })));
        assert!(store.log(agent.uuid, 10).unwrap().is_empty());
    }

    #[test]
    fn two_agents_share_neither_a_name_nor_a_disk_and_the_log_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let agent = example();
        store.put(&agent, "{}", "created").unwrap();
        let other = Agent { uuid: Uuid::from_u128(7), ..example() };
        assert!(matches!(store.put(&other, "{}", "created"), Err(StoreError::Exists { .. })));
        let other = Agent { name: "play".to_owned(), ..other };
        let taken = store.put(&other, "{}", "created").unwrap_err();
        assert_eq!(taken.to_string(), "the disk \"work\" is that of the agent \"work\"");
        store.put(&Agent { disk: "play".to_owned(), ..other }, "{}", "created").unwrap();
        store.db.pragma_update(None, "synchronous", "OFF").unwrap();
        for at in 0..LOG_MAX + 3 {
            store.note(agent.uuid, &at.to_string()).unwrap();
        }
        let lines = store.log(agent.uuid, u32::MAX).unwrap();
        assert_eq!((lines.len(), lines[0].text.as_str()), (usize::try_from(LOG_MAX).unwrap(), "3"));
    }

    #[test]
    fn a_file_of_schema_1_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let old = Connection::open(folder.path().join(FILE)).unwrap();
        old.execute_batch(SCHEMA).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        let agent = example();
        old.execute(
            "INSERT INTO agents (uuid, name, document, phase) VALUES (?1, ?2, ?3, '1')",
            params![agent.uuid.to_string(), agent.name, serde_json::to_string(&agent).unwrap()],
        )
        .unwrap();
        super::log(&old, &agent.uuid.to_string(), "created").unwrap();
        drop(old);
        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(store.agent("work").unwrap().agent, agent);
        store.note_record(agent.uuid, "decided", &serde_json::json!({ "kind": "note" })).unwrap();
        let lines = store.log(agent.uuid, 10).unwrap();
        let records: Vec<_> = lines.iter().map(|line| (line.text.as_str(), line.record.is_some())).collect();
        assert_eq!(records, [("created", false), ("decided", true)]);
    }

    #[test]
    fn a_file_of_another_program_or_of_a_newer_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.db.pragma_update(None, "user_version", 3).unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Newer { found: 3 })));
        let folder = tempfile::tempdir().unwrap();
        let other = Connection::open(folder.path().join(FILE)).unwrap();
        other.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(Store::open(folder.path()), Err(StoreError::NotOurs { .. })));
    }
}
