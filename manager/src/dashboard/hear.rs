//! Hears one agent wherever it is: how it stands, over a line that stays (at another site shared with all that are asked for there); and, once a second, what its watcher and its
//! display's proxy say, both of this machine. Where nobody watches it, its processors and network are heard here.
//!
//! Fault model: whatever is asked may be gone, or silent. That is told as it is, and asked again, at first soon and then more
//! seldom. For an agent that is off nobody is started.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sensors::{Event as Sense, Readings, Sensors};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch::Receiver;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::hub::Hub;
use super::lines::Lines;
use super::model::Seen;
use crate::auto::process::{Ask, ask_watcher};
use crate::control::{AskError, Here, Request};
use crate::display;
use crate::reach::{Place, find_by};
use crate::sites::Sites;
use crate::supervisor::phase::Phase;
use crate::words::with_causes;

/// Until it is asked again, at first and at most.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(20);
/// How long nothing may change; then it is asked anew, in case nobody is there any more.
const QUIET: Duration = Duration::from_secs(3600);
/// Between two readings; a line of what processors want that is so late does not come.
const EVERY: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(15);

/// What is known here of an agent that decides whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub uuid: Uuid,
    /// It has a machine somewhere, as far as this site's journal knows.
    pub runs: bool,
    /// It has a watcher here.
    pub watched: bool,
}

/// What a supervisor tells of processors.
#[derive(Debug, Deserialize)]
struct Line {
    events: Vec<Sense>,
}

/// What is read here of an agent that nobody watches. It begins anew wherever the agent is heard anew.
#[derive(Debug, Default)]
struct Own(Mutex<Option<Sensors>>);

impl Own {
    fn with<T>(&self, what: impl FnOnce(&mut Option<Sensors>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hears an agent until the tasks are ended.
pub fn tasks(
    here: &Here,
    hub: &Arc<Hub>,
    lines: &Arc<Lines>,
    agent: &str,
    wanted: &Receiver<Wanted>,
) -> Vec<AbortHandle> {
    let own = Arc::new(Own::default());
    let ear = |own| Ear {
        here: here.clone(),
        hub: Arc::clone(hub),
        lines: Arc::clone(lines),
        agent: agent.to_owned(),
        wanted: wanted.clone(),
        own,
        began: Instant::now(),
    };
    let [follows, senses, reads] = [Arc::clone(&own), Arc::clone(&own), own].map(ear);
    vec![
        tokio::spawn(follows.follow()).abort_handle(),
        tokio::spawn(senses.sense()).abort_handle(),
        tokio::spawn(reads.read()).abort_handle(),
    ]
}

struct Ear {
    here: Here,
    hub: Arc<Hub>,
    lines: Arc<Lines>,
    agent: String,
    wanted: Receiver<Wanted>,
    own: Arc<Own>,
    began: Instant,
}

impl Ear {
    fn see(&self, status: &Value) {
        self.hub.see(Seen::Status { agent: self.agent.clone(), status: status.clone() });
    }

    /// Passes on how it stands, now and after each change.
    async fn follow(mut self) {
        let mut pause = AGAIN;
        while self.until(|wanted| wanted.runs).await {
            let mut heard = false;
            let ended = self.ask(&Request::Follow, QUIET, |status| {
                // One that is off is asked again and again, ever more seldom.
                heard |= status["state"] != "off";
                self.see(status);
            });
            match ended.await {
                Ok(Some(status)) => self.see(&status),
                Ok(None) => {}
                Err(error) => {
                    let why = with_causes(&error);
                    self.hub.see(Seen::Silent { agent: self.agent.clone(), why });
                }
            }
            pause = if heard { AGAIN } else { (pause * 2).min(AGAIN_MAX) };
            self.rest(pause).await;
        }
    }

    /// Hears what the processors want where no watcher does.
    async fn sense(mut self) {
        let mut pause = AGAIN;
        while self.until(|wanted| wanted.runs && !wanted.watched).await {
            let mut heard = false;
            let every_ms = u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX);
            let request = Request::Sense { every_ms };
            let asked = self.ask(&request, EVERY + LATE, |line| {
                heard = true;
                let Ok(line) = serde_json::from_value::<Line>(line.clone()) else { return };
                let at = self.began.elapsed();
                self.own.with(|own| {
                    let sensors = own.get_or_insert_with(|| Sensors::new(sensors::Settings::default()));
                    line.events.into_iter().for_each(|event| sensors.event(at, event));
                });
            });
            let mut watched = self.wanted.clone();
            tokio::select! {
                _ = asked => {}
                // A watcher hears it now.
                _ = watched.wait_for(|wanted| !wanted.runs || wanted.watched) => {}
            }
            self.own.with(|own| *own = None);
            pause = if heard { AGAIN } else { (pause * 2).min(AGAIN_MAX) };
            self.rest(pause).await;
        }
    }

    /// Passes on what is read of it.
    async fn read(mut self) {
        while self.until(|wanted| wanted.runs).await {
            let watched = self.wanted.borrow().watched;
            let auto = if watched {
                ask_watcher(&self.here, &self.agent, Ask::Status).await.ok().flatten().unwrap_or_default()
            } else {
                Value::Null
            };
            let view = display::shown(&self.here.home, &self.agent).await.ok().flatten().unwrap_or_default();
            let readings = if watched {
                serde_json::from_value(auto["readings"].clone()).unwrap_or_default()
            } else {
                let at = self.began.elapsed();
                let own = self.own.with(|own| own.as_mut().map(|sensors| sensors.readings(at)));
                with_display(own.unwrap_or_default(), &view)
            };
            let (agent, readings) = (self.agent.clone(), Box::new(readings));
            self.hub.see(Seen::Read { agent, readings, auto, view });
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Waits until that is wanted; false if nobody wants anything any more.
    async fn until(&mut self, what: impl FnMut(&Wanted) -> bool) -> bool {
        self.wanted.wait_for(what).await.is_ok()
    }

    /// A pause that ends when something is known to have changed.
    async fn rest(&mut self, pause: Duration) {
        self.wanted.mark_unchanged();
        tokio::time::timeout(pause, self.wanted.changed()).await.ok();
    }

    /// Asks its supervisor where it is; `None` if it has no machine.
    async fn ask(
        &self,
        request: &Request,
        patience: Duration,
        news: impl FnMut(&Value),
    ) -> Result<Option<Value>, AskError> {
        let sites = Sites::read(&self.here.home)?;
        match find_by(&*self.lines, &self.here, &sites, &self.agent).await? {
            Place::Here(Phase::Off(_) | Phase::Suspended { .. }) => Ok(None),
            Place::Here(_) => self.here.ask(&self.agent, request, patience, news).await.map(Some),
            Place::At(site) => self.lines.ask(&site, &self.agent, request, patience, news).await.map(Some),
        }
    }
}

/// Readings with those of the display beside them.
fn with_display(own: Readings, view: &Value) -> Readings {
    let of = |name: &str| view[name].as_f64();
    Readings {
        inputs: of("inputs"),
        fps: of("fps"),
        fps_paper: of("fps_paper"),
        updates: of("updates"),
        response: of("response"),
        rtt: of("rtt"),
        ..own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn readings_of_the_display_stand_beside_those_of_processors() {
        let own = Readings { busiest: Some(0.5), ..Readings::default() };
        let both = with_display(own.clone(), &json!({ "fps": 30.0, "response": null }));
        assert_eq!((both.busiest, both.fps, both.response), (Some(0.5), Some(30.0), None));
        assert_eq!(with_display(own.clone(), &Value::Null), own);
    }
}
