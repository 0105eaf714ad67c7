//! What the manager may do by itself with an agent: the user's word, and what was learnt since. Kept at the agent's home.
//!
//! The two are apart: commands change the one, the agent's watcher the other, and neither overwrites the other's.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AgentError;
use super::store::{Store, StoreError, carry};
use crate::policy::Mode;
use crate::profile::{Profile, ProfileError, read};

/// Nobody stays longer by one word; a time that is said without its length is this.
pub const STAY_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The user's word. Without one nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// What may be done.
    pub mode: Mode,
    /// Which sites a role stands for; several are candidates, in this order.
    pub roles: BTreeMap<String, Vec<String>>,
    /// The profile's text; the built-in one's if there is none.
    pub profile: Option<String>,
    /// It stays where it is until then, in milliseconds since 1970.
    pub stay_until_ms: Option<u64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { mode: Mode::Off, roles: BTreeMap::new(), profile: None, stay_until_ms: None }
    }
}

impl Settings {
    /// The profile.
    ///
    /// # Errors
    /// When its text is none: it was checked when it was set, perhaps by another version of the program.
    pub fn profile(&self) -> Result<Profile, ProfileError> {
        self.profile.as_deref().map_or_else(|| Profile::embedded("builtin"), read)
    }

    /// The sites of all roles. `home` is the agent's home unless it was given another site.
    #[must_use]
    pub fn sites(&self, home: &str) -> BTreeMap<String, Vec<String>> {
        let mut roles = self.roles.clone();
        roles.entry("home".to_owned()).or_insert_with(|| vec![home.to_owned()]);
        roles
    }
}

impl Store {
    /// The user's word about an agent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn automatic(&self, agent: Uuid) -> Result<Settings, StoreError> {
        let found: Option<String> = self
            .db
            .query_row("SELECT settings FROM automatic WHERE agent = ?1", [agent.to_string()], |row| {
                row.get(0)
            })
            .optional()?;
        found.map_or_else(|| Ok(Settings::default()), |text| understood(&text))
    }

    /// Changes the user's word, said at site `own`; gives what it is then. Where that is the agent's home, it travels with the agent from
    /// now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_automatic(
        &mut self,
        agent: Uuid,
        own: &str,
        change: impl FnOnce(&mut Settings),
    ) -> Result<Settings, StoreError> {
        let uuid = agent.to_string();
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: Option<String> = transaction
            .query_row("SELECT settings FROM automatic WHERE agent = ?1", [&uuid], |row| row.get(0))
            .optional()?;
        let mut settings = found.map_or_else(|| Ok(Settings::default()), |text| understood(&text))?;
        change(&mut settings);
        let text = serde_json::to_string(&settings).map_err(AgentError::from)?;
        transaction.execute(
            "INSERT INTO automatic (agent, settings) VALUES (?1, ?2) ON CONFLICT (agent) DO UPDATE SET settings = ?2",
            params![uuid, text],
        )?;
        carry(&transaction, &uuid, own, |word| word.settings = Some(settings.clone()))?;
        transaction.commit()?;
        Ok(settings)
    }

    /// What was learnt of an agent, as JSON of whoever learnt it.
    ///
    /// # Errors
    /// SQLite's.
    pub fn learnt(&self, agent: Uuid) -> Result<Option<String>, StoreError> {
        let found = self
            .db
            .query_row("SELECT learnt FROM automatic WHERE agent = ?1", [agent.to_string()], |row| row.get(0))
            .optional()?;
        Ok(found.flatten())
    }

    /// Keeps what was learnt at site `own`. Where that is the agent's home, it travels with the agent from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_learnt(&mut self, agent: Uuid, own: &str, learnt: &str) -> Result<(), StoreError> {
        let uuid = agent.to_string();
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("UPDATE automatic SET learnt = ?2 WHERE agent = ?1", params![uuid, learnt])?;
        carry(&transaction, &uuid, own, |word| word.learnt = serde_json::from_str(learnt).ok())?;
        transaction.commit()?;
        Ok(())
    }
}

fn understood(text: &str) -> Result<Settings, StoreError> {
    Ok(serde_json::from_str(text).map_err(AgentError::from)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;
    use crate::net::config::Forward;

    #[test]
    fn the_users_word_and_what_was_learnt_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let agent = example();
        store.put(&agent, "{}", "created").unwrap();
        assert_eq!(store.automatic(agent.uuid).unwrap(), Settings::default());
        store.set_automatic(agent.uuid, "desk", |settings| settings.mode = Mode::Advise).unwrap();
        store.set_learnt(agent.uuid, "desk", "7").unwrap();
        let compute = || vec!["big".to_owned()];
        let now = store
            .set_automatic(agent.uuid, "desk", |settings| {
                settings.roles.insert("compute".to_owned(), compute());
            })
            .unwrap();
        assert_eq!((now.mode, now.sites("desk")["home"][0].as_str()), (Mode::Advise, "desk"));
        assert_eq!(store.automatic(agent.uuid).unwrap(), now);
        assert_eq!(store.learnt(agent.uuid).unwrap().as_deref(), Some("7"));
        let word = store.agent(&agent.name).unwrap().agent.word.unwrap();
        assert_eq!((word.settings.as_ref(), word.changes), (Some(&now), 3));
        assert_eq!(word.learnt, Some(7.into()));
        // What is kept at a site that is not its home is nobody's word.
        let moved = store.agent(&agent.name).unwrap().agent.with_home("big");
        store.set_document(&moved, "moved").unwrap();
        store.set_automatic(agent.uuid, "desk", |settings| *settings = Settings::default()).unwrap();
        store.set_learnt(agent.uuid, "desk", "8").unwrap();
        assert_eq!(store.agent(&agent.name).unwrap().agent, moved);
        store.set_forwards(agent.uuid, "big", &[Forward::parse("8022:22").unwrap()]).unwrap();
        let word = store.agent(&agent.name).unwrap().agent.word.unwrap();
        assert_eq!((word.settings, word.forwards.len(), word.home_changes), (Some(now.clone()), 1, 1));
        assert_eq!(now.profile().unwrap().name, "builtin");
        store.remove(agent.uuid).unwrap();
        assert_eq!(store.automatic(agent.uuid).unwrap(), Settings::default());
    }
}
