//! Plays a scene with a real agent, while the display proxy's parts look on and write the trace.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep, sleep_until};
use vmgl_proxy::display::Display;
use vmgl_proxy::hub::{Ask, Status, Ways};
use vmgl_proxy::link::Means;
use vmgl_proxy::rehome::{Event as Change, Phase};
use vmgl_proxy::tap::Tap;
use vmgl_proxy::viewer::Said;
use vmgl_proxy::{Address, Hub, wan};
use vmgl_rfb::Framebuffer;

use super::agent::Agent;
use super::scene::{Do, Scene};

/// Time for programs to draw themselves before the trace begins.
const DRAWS: Duration = Duration::from_secs(4);
const SAMPLED: Duration = Duration::from_millis(500);
/// Of every path.
const JITTER: Duration = Duration::from_millis(4);
const RATE: u64 = 12_500_000;
const HANDS: u64 = 1;

pub(super) async fn record(scene: Scene, folder: &Path) -> Result<()> {
    let sockets = tempfile::tempdir()?;
    let mut agent = Agent::start(sockets.path(), &scene.programs)?;
    sleep(DRAWS).await;
    let mut paths = Paths { sockets: sockets.path(), screen: &agent.screen.clone(), known: BTreeMap::new() };
    let first = paths.to(scene.round_trip).await?;
    let file = folder.join(format!("{}.jsonl", scene.name));
    let tap = Tap::recording(&file, &scene.header).context("the trace's file")?;
    let began = Instant::now();
    let display = Display::new(Framebuffer::new(800, 600)?);
    let ways = Hub::start(first, Means { display, tap: tap.clone(), password: None, pull: false });
    agent.sample()?;
    let mut samples = interval(SAMPLED);
    samples.tick().await;
    let mut acts = scene.acts.into_iter().peekable();
    let end = began + scene.length;
    loop {
        let next = acts.peek().map_or(end, |(at, _)| began + *at).min(end);
        tokio::select! {
            () = sleep_until(next) => match acts.next() {
                Some((_, what)) if next < end => match what {
                    Do::Say(message) => drop(ways.said.send(Said::Message(HANDS, message)).await),
                    Do::Compute(on) => agent.compute(on),
                    Do::Go(place, round_trip) => {
                        let to = paths.to(round_trip).await?;
                        tap.event(sensors::Event::Restart { place: Some(place.to_owned()) });
                        ask(&ways, Ask::Change(Change::Rehome(Some(to)))).await?;
                    }
                },
                _ => break,
            },
            _ = samples.tick() => tap.event(agent.sample()?),
        }
    }
    match ask(&ways, Ask::Status).await?.phase {
        Phase::Attached => Ok(()),
        other => bail!("the screen was not shown at the end: {other:?}"),
    }
}

async fn ask(ways: &Ways, ask: Ask) -> Result<Status> {
    let (answer, answered) = oneshot::channel();
    ways.ask.send((ask, answer)).await.context("the hub is gone")?;
    answered.await.context("the hub is gone")?.map_err(anyhow::Error::msg)
}

/// Ways to the screen of different lengths, made when they are first gone.
struct Paths<'a> {
    sockets: &'a Path,
    screen: &'a Path,
    known: BTreeMap<Duration, Address>,
}

impl Paths<'_> {
    async fn to(&mut self, round_trip: Duration) -> Result<Address> {
        if let Some(known) = self.known.get(&round_trip) {
            return Ok(known.clone());
        }
        let screen = Address::Unix(self.screen.to_owned());
        let near = Address::Unix(self.sockets.join(format!("near-{}", round_trip.as_millis())));
        let jitter = if round_trip.is_zero() { Duration::ZERO } else { JITTER };
        let path = wan::Path { delay: round_trip / 2, jitter, rate: Some(RATE), seed: 1 };
        tokio::spawn(wan::serve(near.listen().await?, screen, path));
        self.known.insert(round_trip, near.clone());
        Ok(near)
    }
}
