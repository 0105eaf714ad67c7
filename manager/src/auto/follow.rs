//! Hears an agent wherever it is: one kept connection to its supervisor, that tells what its processors want.
//!
//! When it ends (the agent moved, its QEMU ended, the link broke) the agent is looked for anew, at once when somebody says that
//! something changed, else after a while that doubles. An agent that is off is not asked: nobody is started for it.
//!
//! Fault model: the other site may say anything, as fast as it likes. A line is read only when the one before was taken, so what
//! it floods with stays on its side of the link.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use super::brain::Event;
use crate::control::{AskError, Here, Open, Opening, PROTOCOL, Request, Said, hear, open_soon, say};
use crate::reach::{Place, find};
use crate::sites::Sites;
use crate::supervisor::phase::Phase;
use crate::words::with_causes;

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
    pub(super) async fn run(self, events: Sender<Event>) {
        let mut pause = PAUSE;
        while !events.is_closed() {
            let mut heard = false;
            let why = match self.once(&events, &mut heard).await {
                Ok(why) => why,
                Err(error) => with_causes(&error),
            };
            events.send(Event::Silent { why }).await.ok();
            pause = if heard { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.look.notified() => pause = PAUSE,
            }
        }
    }

    /// Hears it until it is heard no more; gives why, for people.
    async fn once(&self, events: &Sender<Event>, heard: &mut bool) -> Result<String, AskError> {
        let sites = Sites::read(&self.here.home)?;
        match find(&self.here, &sites, &self.agent).await? {
            Place::Here(phase @ Phase::Off(_)) => return Ok(format!("it is {phase}")),
            Place::Here(_) => {
                let stream = self.here.supervisor(&self.agent).await?;
                hear_at(&sites.name, &mut BufReader::new(stream), self.every, events, heard).await?;
            }
            Place::At(far) => {
                let agent = self.agent.clone();
                let opening = Opening { snowbird: PROTOCOL, agent, open: Open::Control, document: None };
                hear_at(&far.name, &mut open_soon(&far, &opening).await?, self.every, events, heard).await?;
            }
        }
        Ok("its QEMU has ended, or it has moved".to_owned())
    }
}

/// Asks a supervisor, and passes on what it tells until it ends.
async fn hear_at<S: AsyncRead + AsyncWrite + Unpin>(
    site: &str,
    stream: &mut BufReader<S>,
    every: Duration,
    events: &Sender<Event>,
    heard: &mut bool,
) -> Result<(), AskError> {
    let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    say(stream, &Request::Sense { every_ms }).await?;
    while let Said::News(news) = hear(stream, every + LATE).await? {
        let Ok(Line { moving, events: told }) = serde_json::from_value(news) else { continue };
        if !std::mem::replace(heard, true) {
            events.send(Event::Found { site: site.to_owned() }).await.ok();
        }
        // Waits until there is room; where nobody takes it any more, nobody wants the rest.
        if events.send(Event::Sensed { events: told, moving }).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc::channel;

    #[tokio::test(start_paused = true)]
    async fn a_site_that_floods_waits_until_what_it_said_was_taken() {
        const PIPE: usize = 64 << 10;
        let (near, mut far) = tokio::io::duplex(PIPE);
        let (events, mut taken) = channel(4);
        let hearing = tokio::spawn(async move {
            let mut heard = false;
            let every = Duration::from_secs(1);
            hear_at("big", &mut BufReader::new(near), every, &events, &mut heard).await
        });
        let line = b"{\"progress\":{\"moving\":null,\"events\":[{\"e\":\"swap\"}]}}\n";
        let mut said = 0;
        // (Time goes on by itself when everybody waits.)
        while tokio::time::timeout(Duration::from_secs(5), far.write_all(line)).await.is_ok() {
            said += 1;
            assert!(said * line.len() < 4 * PIPE, "whatever it says is taken in");
        }
        assert_eq!(taken.recv().await, Some(Event::Found { site: "big".to_owned() }));
        for _ in 0..100 {
            let sensed = Event::Sensed { events: vec![sensors::Event::Swap], moving: None };
            assert_eq!(taken.recv().await, Some(sensed));
        }
        // It goes on when it is heard, and is left when nobody wants it.
        drop(taken);
        assert!(hearing.await.unwrap().is_ok());
    }
}
