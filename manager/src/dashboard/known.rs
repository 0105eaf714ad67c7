//! What this site's own files say: which agents and sites there are, and what was written into logs. Looked at once a second;
//! whoever is to be heard gets a task ([`super::hear`], [`super::line`]), and loses it when it is gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_blocking};

use super::hear::{self, Wanted};
use super::hub::Hub;
use super::line;
use super::lines::Lines;
use super::model::{AGENTS_MAX, LINES, SITES_MAX, Seen};
use crate::agent::automatic::Settings;
use crate::agent::store::{Kept, Line, Store};
use crate::control::Here;
use crate::facts::Facts;
use crate::inventory::Inventory;
use crate::policy::Mode;
use crate::sites::Sites;
use crate::supervisor::phase::{End, Machine, Phase};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// An agent as it is found.
struct Found {
    kept: Kept,
    settings: Settings,
    phase: Phase,
    lines: Vec<Line>,
}

/// Who is heard.
struct Ear {
    /// What the journal said of it last.
    told: String,
    wanted: watch::Sender<Wanted>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// A task that ends with whoever holds this.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks until something of this site cannot be read any more.
///
/// # Errors
/// What it was.
pub async fn look(here: Here, hub: Arc<Hub>) -> Result<()> {
    let mut store = Store::open(&here.home)?;
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    let mut ears: BTreeMap<String, Ear> = BTreeMap::new();
    let mut lines: BTreeMap<String, Ends> = BTreeMap::new();
    let mut last = (Vec::new(), Vec::new());
    let asks = Arc::new(Lines::default());
    // Once: a clock that is measured is another one each time.
    let own = Facts::here();
    loop {
        let found;
        (store, newest, found) = spawn_blocking(move || {
            let found = find(&store, &mut newest);
            (store, newest, found)
        })
        .await
        .context("looking at the list of agents")?;
        let found = found?;
        let sites = Sites::read(&here.home)?;
        let agents: Vec<(String, Value)> = found.iter().map(|found| (name(found), known(found))).collect();
        if agents != last.0 {
            hub.see(Seen::Agents(agents.clone()));
            last.0 = agents;
        }
        let places = places(&here.home, &sites, own);
        if places != last.1 {
            hub.see(Seen::Sites(places.clone()));
            last.1 = places;
        }
        ears.retain(|name, _| found.iter().any(|found| found.kept.agent.name == *name));
        for found in found {
            listen(&here, &hub, &asks, &sites, &mut ears, found);
        }
        lines.retain(|name, _| sites.names().any(|known| known == name));
        for name in sites.names().take(SITES_MAX) {
            lines.entry(name.to_owned()).or_insert_with(|| {
                let task = line::measure(here.home.clone(), name.to_owned(), Arc::clone(&hub));
                Ends(tokio::spawn(task).abort_handle())
            });
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn name(found: &Found) -> String {
    found.kept.agent.name.clone()
}

/// All agents, and what is new in their logs.
fn find(store: &Store, newest: &mut BTreeMap<String, i64>) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for kept in store.agents()?.into_iter().take(AGENTS_MAX) {
        let uuid = kept.agent.uuid;
        let machine: Machine = serde_json::from_str(&kept.phase)?;
        let settings = store.automatic(uuid)?;
        let after = newest.entry(uuid.to_string()).or_insert(i64::MIN);
        let lines = store.log_between(uuid, *after, i64::MAX, u32::try_from(LINES)?)?;
        *after = lines.last().map_or(*after, |line| line.id);
        all.push(Found { kept, settings, phase: machine.phase, lines });
    }
    newest.retain(|uuid, _| all.iter().any(|found| found.kept.agent.uuid.to_string() == *uuid));
    Ok(all)
}

/// What is known of an agent here, which is true whether it is heard or not.
fn known(found: &Found) -> Value {
    let agent = &found.kept.agent;
    json!({
        "uuid": agent.uuid,
        "disk": agent.disk,
        "memory_bytes": agent.memory_bytes,
        "vcpus": agent.vcpus,
        "accelerator": agent.accelerator,
        "mode": found.settings.mode,
        "home": agent.home,
        "roles": found.settings.sites(&agent.home),
    })
}

/// The sites, this one first among them, with what was noted of them.
fn places(home: &Path, sites: &Sites, own: Facts) -> Vec<(String, Value)> {
    let here = json!({ "here": true, "state": "here", "processors": own.cpus, "clock_mhz": own.clock_mhz });
    let mut all = vec![(sites.name.clone(), here)];
    for name in sites.names().take(SITES_MAX - 1) {
        let noted = Inventory::kept(home, name);
        all.push((
            name.to_owned(),
            noted.map_or_else(
                || json!({ "checked": false }),
                |noted| {
                    json!({
                        "checked": true,
                        "processors": noted.processors,
                        "memory_bytes": noted.memory_bytes,
                        "free_bytes": noted.free_bytes,
                        "snowbird": noted.snowbird,
                        "qemu": noted.qemu.as_ref().map(|qemu| format!("{}.{}", qemu.version.0, qemu.version.1)),
                        "kvm": noted.qemu.as_ref().map(|qemu| !qemu.kvm.is_empty()),
                    })
                },
            ),
        ));
    }
    all
}

/// Has an agent heard, and passes on what the journal says of one that is not.
fn listen(
    here: &Here,
    hub: &Arc<Hub>,
    asks: &Arc<Lines>,
    sites: &Sites,
    ears: &mut BTreeMap<String, Ear>,
    found: Found,
) {
    let agent = &found.kept.agent;
    let runs = !matches!(
        found.phase,
        Phase::Off(End::Never | End::ShutDown | End::Killed | End::Failed { .. }) | Phase::Suspended { .. }
    );
    let wanted = Wanted { uuid: agent.uuid, runs, watched: found.settings.mode != Mode::Off };
    let told = found.phase.to_string();
    let before = ears.get(&agent.name);
    let again = before.is_none_or(|ear| ear.wanted.borrow().uuid != agent.uuid);
    if again || !runs && before.is_some_and(|ear| ear.told != told) {
        let site = if let Phase::Off(End::Left { to }) = &found.phase { to } else { &sites.name };
        let status = json!({
            "state": found.phase.word(), "told": told, "site": site, "home": agent.home,
            "paused_because": found.phase.paused_because(),
        });
        hub.see(Seen::Status { agent: agent.name.clone(), status });
    }
    if again {
        let (sender, heard) = watch::channel(wanted);
        let tasks = hear::tasks(here, hub, asks, &agent.name, &heard);
        ears.insert(agent.name.clone(), Ear { told, wanted: sender, tasks });
    } else if let Some(ear) = ears.get_mut(&agent.name) {
        ear.told = told;
        ear.wanted.send_if_modified(|before| std::mem::replace(before, wanted) != wanted);
    }
    if !found.lines.is_empty() {
        let lines = found.lines.iter().map(|line| (line.id, line_told(line))).collect();
        hub.see(Seen::Log { agent: agent.name.clone(), lines });
    }
}

/// A line for the page: its record's kind says what it is, its text says the rest.
pub fn line_told(line: &Line) -> Value {
    let kind = line.record.as_ref().map_or(Value::Null, |record| record["kind"].clone());
    super::patch::whole(json!({ "at_ms": line.at_ms, "text": line.text, "kind": kind }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;

    #[test]
    fn lines_of_logs_are_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let agent = example();
        store.put(&agent, &serde_json::to_string(&Machine::default()).unwrap(), "created").unwrap();
        let mut newest = BTreeMap::new();
        let texts = |found: &[Found]| -> Vec<String> {
            found.iter().flat_map(|found| &found.lines).map(|line| line.text.clone()).collect()
        };
        assert_eq!(texts(&find(&store, &mut newest).unwrap()), ["created"]);
        assert!(texts(&find(&store, &mut newest).unwrap()).is_empty());
        store.note_record(agent.uuid, "rests", &json!({ "kind": "note", "text": "rests" })).unwrap();
        let found = find(&store, &mut newest).unwrap();
        assert_eq!(texts(&found), ["rests"]);
        assert_eq!(line_told(&found[0].lines[0])["kind"], "note");
        store.remove(agent.uuid).unwrap();
        assert!(find(&store, &mut newest).unwrap().is_empty() && newest.is_empty());
    }
}
