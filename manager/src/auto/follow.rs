//! Hears an agent wherever it is: one kept connection to its supervisor, that tells what its processors want.
//!
//! When it ends (the agent moved, its QEMU ended, the link broke) the agent is looked for anew, at once when somebody says that
//! something changed, else after a while that doubles. An agent that is off is not asked: nobody is started for it.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::BufReader;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::brain::Event;
use crate::control::{AskError, Here, Open, Opening, PROTOCOL, Request, ask, open};
use crate::reach::{Place, find};
use crate::sites::Sites;
use crate::supervisor::phase::Phase;

/// Until it is looked for again: at first, and at most.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A line that is so late, beyond its interval, does not come.
const LATE: Duration = Duration::from_secs(15);

/// Whom to hear, and how often.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) here: Here,
    pub(super) agent: String,
    pub(super) every: Duration,
    /// Something changed: look at once.
    pub(super) look: Arc<Notify>,
}

/// What a supervisor tells.
#[derive(Debug, Deserialize)]
struct Line {
    moving: Option<String>,
    events: Vec<sensors::Event>,
}

impl Follower {
    /// Until nobody hears.
    pub(super) async fn run(self, events: UnboundedSender<Event>) {
        let mut pause = PAUSE;
        while !events.is_closed() {
            let mut heard = false;
            let why = match self.once(&events, &mut heard).await {
                Ok(why) => why,
                Err(error) => told(&error),
            };
            events.send(Event::Silent { why }).ok();
            pause = if heard { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.look.notified() => pause = PAUSE,
            }
        }
    }

    /// Hears it until it is heard no more; gives why, for people.
    async fn once(&self, events: &UnboundedSender<Event>, heard: &mut bool) -> Result<String, AskError> {
        let sites = Sites::read(&self.here.home)?;
        let place = find(&self.here, &sites, &self.agent).await?;
        let every_ms = u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX);
        let request = Request::Sense { every_ms };
        let site = match &place {
            Place::Here(phase @ Phase::Off(_)) => return Ok(format!("it is {phase}")),
            Place::Here(_) => sites.name.clone(),
            Place::At(site) => site.name.clone(),
        };
        let news = |news: &Value| {
            let Ok(line) = serde_json::from_value::<Line>(news.clone()) else { return };
            if !std::mem::replace(heard, true) {
                events.send(Event::Found { site: site.clone() }).ok();
            }
            events.send(Event::Sensed { events: line.events, moving: line.moving }).ok();
        };
        let patience = self.every + LATE;
        match &place {
            Place::Here(_) => {
                let stream = self.here.supervisor(&self.agent).await?;
                ask(&mut BufReader::new(stream), &request, patience, news).await?;
            }
            Place::At(far) => {
                let agent = self.agent.clone();
                let opening = Opening { snowbird: PROTOCOL, agent, open: Open::Control, document: None };
                ask(&mut open(far, &opening).await?, &request, patience, news).await?;
            }
        }
        Ok("its QEMU has ended, or it has moved".to_owned())
    }
}

/// An error with its causes.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
