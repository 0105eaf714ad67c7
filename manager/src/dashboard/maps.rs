//! The map of an agent's disk at each site: asked there, since nobody else knows exactly what is held; where a site does not
//! answer, what is known of it here.
//!
//! Invariant: a map is asked for once however many pages want it, and not again before [`FRESH`] is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::hub::now_ms;
use super::model::AGENTS_MAX;
use crate::agent::store::Store;
use crate::control::{Here, map_of};
use crate::sites::Sites;
use crate::wandisk::Wandisk;
use crate::words::with_causes;

/// Cells of a map: a grid that one sees as a whole.
pub const CELLS: u32 = 512;
/// So old a map may be.
const FRESH: Duration = Duration::from_secs(3);
/// How long a site may take.
const SOON: Duration = Duration::from_secs(15);

/// The lists of a map that are drawn.
const LISTS: [&str; 6] = ["written", "held", "stale", "absent", "zero", "only_here"];

type Kept = Arc<Mutex<Option<(Instant, Value)>>>;

/// Maps of all agents.
#[derive(Debug, Default)]
pub struct Maps {
    kept: std::sync::Mutex<HashMap<String, Kept>>,
}

impl Maps {
    /// The map of an agent's disk.
    ///
    /// # Errors
    /// A sentence, where there is none.
    pub async fn of(&self, here: &Here, agent: &str) -> Result<Value, String> {
        let known = Store::open(&here.home).and_then(|store| store.agent(agent));
        let disk = known.map_err(|error| with_causes(&error))?.agent.disk;
        let kept = {
            let mut all = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if all.len() >= AGENTS_MAX {
                all.clear();
            }
            Arc::clone(all.entry(agent.to_owned()).or_default())
        };
        // Whoever comes while it is asked for waits for that answer.
        let mut kept = kept.lock().await;
        if let Some((at, map)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return Ok(map.clone());
        }
        let map = ask(here, &disk).await?;
        *kept = Some((Instant::now(), map.clone()));
        Ok(map)
    }
}

async fn ask(here: &Here, disk: &str) -> Result<Value, String> {
    let sites = Sites::read(&here.home).map_err(|error| with_causes(&error))?;
    let wandisk = Wandisk::find(&here.home, here.wandisk.as_deref()).map_err(|error| with_causes(&error))?;
    let cells = CELLS.to_string();
    let own =
        wandisk.ask(&["map", disk, "--cells", &cells], SOON).await.map_err(|error| with_causes(&error))?;
    let names = own["others"].as_array().into_iter().flatten().filter_map(|other| other["name"].as_str());
    let far = names.map(|name| {
        let sites = &sites;
        async move {
            let asked = async { map_of(sites.site(name)?, disk, CELLS).await };
            let answer = match tokio::time::timeout(SOON, asked).await {
                Ok(Ok(map)) => Ok(map),
                Ok(Err(error)) => Err(with_causes(&error)),
                Err(_) => Err(format!("no answer within {} s", SOON.as_secs())),
            };
            (name.to_owned(), answer)
        }
    });
    let far = futures::future::join_all(far).await;
    Ok(join(&own, &far, now_ms()))
}

/// One answer for the page: the grid, and a replica a site. What a site has it knows itself; whether that is current, and
/// nowhere else, the resident knows.
fn join(own: &Value, far: &[(String, Result<Value, String>)], at_ms: u64) -> Value {
    let fits = |map: &&Value| map["uuid"] == own["uuid"] && map["chunks"] == own["chunks"];
    let answered =
        std::iter::once(own).chain(far.iter().filter_map(|(_, map)| map.as_ref().ok()).filter(fits));
    let resident = answered.clone().find(|map| map["site"] == map["resident"]);
    let replicas = far.iter().map(|(name, answer)| match answer {
        Ok(map) if fits(&map) => replica(name, map, resident),
        // Another grid, or another disk of that name, cannot be drawn beside this one.
        Ok(_) => json!({ "site": name, "why": "its disk of that name is another one, or of another size" }),
        Err(why) => {
            let known = others(own).find(|other| other["name"] == *name.as_str());
            json!({ "site": name, "why": why, "known_held": known.map(|known| &known["known_held"]) })
        }
    });
    let here = replica(own["site"].as_str().unwrap_or_default(), own, resident);
    let replicas: Vec<Value> = std::iter::once(here).chain(replicas).collect();
    json!({
        "disk": own["disk"],
        "resident": own["resident"],
        "epoch": own["epoch"],
        "chunks": own["chunks"],
        "chunk_size": own["chunk_size"],
        "chunks_per_cell": own["chunks_per_cell"],
        "at_ms": at_ms,
        "replicas": replicas,
    })
}

fn others(map: &Value) -> impl Iterator<Item = &Value> {
    map["others"].as_array().into_iter().flatten()
}

/// What the resident does not know to be held there has been written anew since, or will be found to be there: it is stale.
fn overtake(replica: &mut Map<String, Value>, known_held: &Value) {
    let numbers = |list: &Value| -> Vec<u64> {
        list.as_array().into_iter().flatten().map(|number| number.as_u64().unwrap_or(0)).collect()
    };
    let (mut held, mut stale) = (numbers(&replica["held"]), numbers(&replica["stale"]));
    for ((held, stale), known) in held.iter_mut().zip(&mut stale).zip(numbers(known_held)) {
        let lost = held.saturating_sub(known);
        (*held, *stale) = (*held - lost, *stale + lost);
    }
    replica.insert("held".to_owned(), json!(held));
    replica.insert("stale".to_owned(), json!(stale));
}

fn replica(site: &str, map: &Value, resident: Option<&Value>) -> Value {
    let lists = LISTS.iter().map(|list| ((*list).to_owned(), map[*list].clone()));
    let mut replica: Map<String, Value> = lists.collect();
    replica.insert("site".to_owned(), json!(site));
    replica.insert("epoch".to_owned(), map["epoch"].clone());
    // By its number: sites may call each other by different names.
    let told = resident.and_then(|resident| others(resident).find(|other| other["uuid"] == map["site_uuid"]));
    if let Some(told) = told {
        replica.insert("only_here".to_owned(), told["known_only"].clone());
        overtake(&mut replica, &told["known_held"]);
    }
    Value::Object(replica)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_that_does_not_answer_is_shown_by_what_is_known_of_it_here() {
        let own = json!({
            "uuid": "u", "site": "a", "site_uuid": "s-a", "disk": "d", "resident": "b", "epoch": 4, "chunks": 2, "chunk_size": 131_072,
            "chunks_per_cell": 1, "written": [1, 1], "held": [1, 0], "stale": [0, 0], "absent": [0, 1], "zero": [0, 0], "only_here": [1, 0],
            "others": [{ "name": "b", "uuid": "s-b", "known_held": [1, 1] }, { "name": "c", "uuid": "s-c", "known_held": [0, 0] }],
        });
        let mut there = own.clone();
        there["held"] = json!([1, 1]);
        (there["site"], there["site_uuid"]) = (json!("b"), json!("s-b"));
        there["others"] = json!([{ "name": "a", "uuid": "s-a", "known_held": [0, 0], "known_only": [0, 0] }]);
        let mut other = own.clone();
        other["uuid"] = json!("other");
        let far = [
            ("b".to_owned(), Ok(there)),
            ("c".to_owned(), Err("no route".to_owned())),
            ("x".to_owned(), Ok(other)),
        ];
        let map = join(&own, &far, 7);
        let replicas = map["replicas"].as_array().unwrap();
        assert_eq!(
            replicas.iter().map(|it| it["site"].as_str().unwrap()).collect::<Vec<_>>(),
            ["a", "b", "c", "x"]
        );
        // By the resident it is not alone; the resident is by itself.
        assert_eq!((&replicas[0]["only_here"], &replicas[1]["only_here"]), (&json!([0, 0]), &json!([1, 0])));
        assert_eq!((&replicas[0]["held"], &replicas[0]["stale"]), (&json!([0, 0]), &json!([1, 0])));
        assert_eq!((&replicas[1]["held"], &replicas[1]["epoch"]), (&json!([1, 1]), &json!(4)));
        assert_eq!(
            (replicas[2]["why"].as_str(), &replicas[2]["known_held"]),
            (Some("no route"), &json!([0, 0]))
        );
        assert!(replicas[3]["why"].as_str().unwrap().contains("another"));
    }
}
