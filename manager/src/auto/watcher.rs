//! The watcher's loop: what is seen goes to the [`Brain`], what it wants is done; each poll the user's word is read anew.
//!
//! Everything that takes time is a task of its own and comes back as an event. The store is written before a move begins, where it has room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use super::brain::{Action, Brain, Event, Now};
use super::externals::Externals;
use super::follow::Follower;
use super::learnt::Learnt;
use super::process::Ask;
use super::record::Record;
use crate::agent::Agent;
use crate::agent::automatic::Settings;
use crate::agent::store::{Store, StoreError};
use crate::control::{AskError, Here, LINE_MAX, Request, done, facts, failed};
use crate::display;
use crate::facts::Facts;
use crate::lines::next_line;
use crate::policy::Mode;
use crate::reach;
use crate::seat::say;
use crate::sites::Sites;
use crate::words::with_causes;

/// Between two words of a move.
const MOVE: Duration = Duration::from_secs(600);
/// A move whose end was not heard of is asked about so often.
const HOW_IT_ENDED: Duration = Duration::from_secs(2);
/// An answer about where the agent is.
const SOON: Duration = Duration::from_secs(60);
/// How long what a site's host said is believed; and that it did not answer.
const FACTS: Duration = Duration::from_secs(600);
const NO_FACTS: Duration = Duration::from_secs(30);
/// The clock begins so late that what happened before the watcher has a time on it, too.
const ORIGIN: Duration = Duration::from_secs(400 * 86_400);
/// Connections at a time, and how long one may take to speak and to hear.
const ASKING_MAX: usize = 8;
const WORD: Duration = Duration::from_secs(10);
/// What waits for the loop; whoever has more to tell waits with it, far sites by way of their links. (The loop itself tells
/// nothing: it would wait for itself.)
const INPUTS_MAX: usize = 16;

/// What comes to the loop.
#[allow(clippy::large_enum_variant, reason = "sixteen at most wait, and events are nearly all of them")]
enum Input {
    Event(Event),
    Status(oneshot::Sender<Value>),
}

struct Watcher {
    here: Here,
    agent: Agent,
    site: String,
    store: Store,
    began: Instant,
    settings: Settings,
    brain: Brain,
    externals: Externals,
    inputs: Sender<Input>,
    look: Arc<Notify>,
    /// When a site's host is to be asked again.
    facts: BTreeMap<String, Duration>,
    tasks: JoinSet<()>,
    every: Duration,
}

/// Runs until the user wants no more of it, or the agent is gone.
pub(super) async fn run(here: Here, agent: String, listener: std::os::unix::net::UnixListener) -> Result<()> {
    let (sender, mut inputs) = channel(INPUTS_MAX);
    let prepared = Watcher::prepare(here, &agent, sender.clone());
    let mut watcher = match prepared {
        Ok(watcher) => watcher,
        Err(error) => {
            say(&format!("failed {error:#}"));
            return Err(error);
        }
    };
    let listener = UnixListener::from_std(listener)?;
    tokio::spawn(listen(listener, sender, Arc::clone(&watcher.look)));
    say("ready");
    watcher.follow();
    let mut ticks = tokio::time::interval(watcher.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            input = inputs.recv() => match input {
                Some(Input::Event(event)) => watcher.happened(event)?,
                Some(Input::Status(reply)) => drop(reply.send(watcher.brain.status(watcher.now()))),
                None => return Ok(()),
            },
            _ = ticks.tick() => {
                let before = watcher.every;
                if !watcher.poll()? {
                    return Ok(());
                }
                if watcher.every != before {
                    ticks = tokio::time::interval(watcher.every);
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                }
            }
            Some(_) = watcher.tasks.join_next() => {}
        }
    }
}

fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Watcher {
    fn prepare(here: Here, agent: &str, inputs: Sender<Input>) -> Result<Watcher> {
        let store = Store::open(&here.home)?;
        let agent = store.agent(agent)?.agent;
        let site = Sites::read(&here.home)?.name;
        let settings = store.automatic(agent.uuid)?;
        let began = Instant::now();
        let now = Now { at: ORIGIN, wall_ms: wall_ms() };
        let (brain, externals, every) = think(&store, &agent, &settings, now)?;
        Ok(Watcher {
            here,
            agent,
            site,
            store,
            began,
            settings,
            brain,
            externals,
            inputs,
            look: Arc::new(Notify::new()),
            facts: BTreeMap::new(),
            tasks: JoinSet::new(),
            every,
        })
    }

    fn now(&self) -> Now {
        Now { at: ORIGIN + self.began.elapsed(), wall_ms: wall_ms() }
    }

    /// Hears the agent from now on, and looks at its display where somebody does.
    fn follow(&mut self) {
        let follower = Follower {
            here: self.here.clone(),
            agent: self.agent.name.clone(),
            every: self.every,
            look: Arc::clone(&self.look),
        };
        let (sender, mut events) = channel(1);
        let inputs = self.inputs.clone();
        let (here, agent, every) = (self.here.clone(), self.agent.name.clone(), self.every);
        let looker = sender.clone();
        self.tasks.spawn(async move {
            // One that cannot be asked says nothing, which is not zero.
            while !looker.is_closed() {
                let readings = display::readings(&here.home, &agent).await.ok().flatten();
                looker.send(Event::Display(readings)).await.ok();
                tokio::time::sleep(every).await;
            }
        });
        self.tasks.spawn(follower.run(sender));
        self.tasks.spawn(async move {
            while let Some(event) = events.recv().await {
                inputs.send(Input::Event(event)).await.ok();
            }
        });
    }

    /// One poll; false when the watcher is to end.
    fn poll(&mut self) -> Result<bool> {
        match self.store.agent(&self.agent.name) {
            Ok(kept) if kept.agent.uuid == self.agent.uuid && kept.agent.home == self.site => {}
            Ok(_) | Err(StoreError::NoAgent { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let settings = self.store.automatic(self.agent.uuid)?;
        if settings.mode == Mode::Off {
            return Ok(false);
        }
        if settings.profile != self.settings.profile {
            let now = self.now();
            (self.brain, self.externals, self.every) = think(&self.store, &self.agent, &settings, now)?;
            // The new one has heard nothing yet: what the old one followed is followed anew, at the new interval.
            self.tasks.abort_all();
            self.facts.clear();
            self.follow();
        } else if settings != self.settings {
            self.happened(Event::Settings(settings.clone()))?;
        }
        self.settings = settings;
        self.ask_facts();
        let (events, notes) = self.externals.take(self.now().at);
        for note in notes {
            self.write(&Record::note(note));
        }
        self.happened(Event::External(events))?;
        self.happened(Event::Poll)?;
        Ok(true)
    }

    /// What the store has no room for is lost: on a full disk the agent is watched all the same, it may have to leave just then.
    fn happened(&mut self, event: Event) -> Result<()> {
        if let Event::Facts { site, facts } = &event {
            let wait = if facts.is_ok() { FACTS } else { NO_FACTS };
            self.facts.insert(site.clone(), self.now().at + wait);
        }
        for action in self.brain.take(self.now(), event) {
            match action {
                Action::Record(record) => self.write(&record),
                Action::Keep(learnt) => {
                    let learnt = serde_json::to_string(&learnt)?;
                    self.store.set_learnt(self.agent.uuid, &self.site, &learnt).ok();
                }
                Action::Move { to } => self.moves(to),
            }
        }
        Ok(())
    }

    fn write(&mut self, record: &Record) {
        let value = serde_json::to_value(record).unwrap_or_default();
        self.store.note_record(self.agent.uuid, &record.sentence(), &value).ok();
    }

    fn moves(&mut self, to: String) {
        let (here, agent, inputs) = (self.here.clone(), self.agent.name.clone(), self.inputs.clone());
        self.tasks.spawn(async move {
            let result = migrate(&here, &agent, &to).await;
            inputs.send(Input::Event(Event::Moved(result))).await.ok();
        });
    }

    /// Asks each site's host what it can do, now and then.
    fn ask_facts(&mut self) {
        let now = self.now().at;
        for site in self.brain.sites() {
            if self.facts.get(&site).is_some_and(|again| now < *again) {
                continue;
            }
            // Asked again when this is answered, or late.
            self.facts.insert(site.clone(), now + FACTS);
            let (home, own, inputs) = (self.here.home.clone(), self.site == site, self.inputs.clone());
            self.tasks.spawn(async move {
                let answer = if own { Ok(Facts::here()) } else { ask_site(&home, &site).await };
                let facts = answer.map_err(|error| with_causes(&error));
                inputs.send(Input::Event(Event::Facts { site, facts })).await.ok();
            });
        }
    }
}

async fn ask_site(home: &std::path::Path, site: &str) -> Result<Facts, AskError> {
    facts(Sites::read(home)?.site(site)?).await
}

/// What decides, for this profile, with what was learnt before.
fn think(
    store: &Store,
    agent: &Agent,
    settings: &Settings,
    now: Now,
) -> Result<(Brain, Externals, Duration)> {
    let profile = settings.profile().context("the agent's profile cannot be read")?;
    let learnt = Learnt::read(store.learnt(agent.uuid)?.as_deref());
    let (externals, every) = (Externals::new(&profile.sensors), profile.settings.poll());
    let mut brain = Brain::new(profile, agent.vcpus, &agent.home, learnt, now);
    brain.take(now, Event::Settings(settings.clone()));
    Ok((brain, externals, every))
}

/// Moves the agent as `snowbird migrate` does, and knows how that ended.
async fn migrate(here: &Here, agent: &str, to: &str) -> Result<Value, String> {
    let sites = Sites::read(&here.home).map_err(|error| with_causes(&error))?;
    let request = Request::Migrate { to: to.to_owned() };
    let error = match reach::ask(here, &sites, agent, &request, MOVE, |_| ()).await {
        Ok(report) => return Ok(report),
        Err(error) => error,
    };
    // It may go on all the same, or have ended well: only the supervisors know.
    loop {
        let status =
            reach::ask(here, &sites, agent, &Request::Status, SOON, |_| ()).await.unwrap_or_default();
        match status["state"].as_str() {
            None | Some("leaving" | "arriving") => tokio::time::sleep(HOW_IT_ENDED).await,
            Some(_) if status["site"] == json!(to) => return Ok(Value::Null),
            Some(_) => return Err(with_causes(&error)),
        }
    }
}

/// Answers whoever asks.
async fn listen(listener: UnixListener, inputs: Sender<Input>, look: Arc<Notify>) {
    let places = Arc::new(Semaphore::new(ASKING_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (inputs, look) = (inputs.clone(), Arc::clone(&look));
        tokio::spawn(async move {
            timeout(WORD, serve(stream, &inputs, &look)).await.ok();
            drop(place);
        });
    }
}

async fn serve(stream: UnixStream, inputs: &Sender<Input>, look: &Notify) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(line) = next_line(&mut stream, LINE_MAX).await? else { return Ok(()) };
    let answer = match serde_json::from_slice::<Ask>(&line) {
        Ok(Ask::Look) => {
            look.notify_one();
            done(&Value::Null)
        }
        Ok(Ask::Status) => {
            let (reply, answer) = oneshot::channel();
            inputs.send(Input::Status(reply)).await.ok();
            answer.await.map_or_else(|_| failed("the watcher is just ending", None), |value| done(&value))
        }
        Err(_) => failed("the question cannot be understood", None),
    };
    stream.get_mut().write_all(answer.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::small::{fill, on_a_small_file_system};
    use crate::agent::tests::example;

    #[test]
    fn a_full_disk_does_not_end_the_watcher() {
        on_a_small_file_system("auto::watcher::tests::a_full_disk_does_not_end_the_watcher", |folder| {
            let agent = example();
            std::fs::write(folder.join("site.json"), r#"{"format":1,"name":"desk","sites":[]}"#).unwrap();
            let mut store = Store::open(folder).unwrap();
            store.put(&agent, "{}", "created").unwrap();
            fill(folder);
            for line in ["x".repeat(1000), String::new()] {
                while store.note(agent.uuid, &line).is_ok() {}
            }
            let here = Here { home: folder.to_owned(), wandisk: None };
            let mut watcher = Watcher::prepare(here, &agent.name, channel(1).0).unwrap();
            // It says that it has heard nothing for so long.
            watcher.began = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap();
            watcher.happened(Event::Poll).unwrap();
        });
    }
}
