//! The keeper of an agent's display: a process that follows the agent and tells the proxy ([`super::guide`]).
//!
//! It hears from the supervisor at the site where the agent is, over a connection that stays ([`Request::Follow`]), so a move
//! costs no asking and is seen when it happens. Where that breaks it looks for the agent anew.
//!
//! A proxy that dies is begun anew, also where that cannot be done at once; only one that ends again and again ends the keeper. The next
//! `snowbird view` begins another one then.
//!
//! Invariant: one an agent and site, by a lock that dies with it; it ends with the agent, and the proxy before it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::guide::{Action, Guide, Sight};
use super::opengl::Door;
use super::proxy::{Proxy, ProxyError, ask_within, tell};
use super::way::{Ways, wanted};
use crate::agent::store::StoreError;
use crate::control::{AskError, Here, Request, ask_soon, folder};
use crate::reach::{Place, find};
use crate::seat::{alone, lock as lock_in, say};
use crate::sites::Sites;

/// The command that is a keeper.
pub const COMMAND: &str = "attend";
const LOCK: &str = "view.lock";
/// The process's folder is the agent's.
const FOLDER: &str = ".";
/// How long a site may take to say how the agent stands.
const SOON: Duration = Duration::from_secs(60);
/// How long nothing may change; then it is asked anew, in case nobody is there any more.
const QUIET: Duration = Duration::from_secs(3600);
/// Until a site is asked again that did not answer, and the longest that grows to.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// The proxy connects, and loads a picture.
const SHOWS: Duration = Duration::from_secs(30);
/// Until what the proxy could not do is asked for again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked which screen is wanted.
const LOOK: Duration = Duration::from_millis(300);
/// A proxy that ends sooner, or does not begin, so many times in a row, is not started any more.
const SHORT: Duration = Duration::from_secs(5);
const SHORT_MAX: u32 = 3;

/// The keeper's lock; `None` if another process has it.
///
/// # Errors
/// The file system's.
pub fn lock(folder: &Path) -> io::Result<Option<File>> {
    lock_in(&folder.join(LOCK))
}

/// Keeps an agent's display until the agent is off. Says on standard output, in one line, whether it began.
///
/// # Errors
/// What kept it from beginning, which it has said, or from going on.
pub fn keep(here: Here, agent: &str) -> Result<()> {
    alone(&folder(&here.home, agent), LOCK, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        match runtime.block_on(Keeper::begin(here, agent)) {
            Ok(keeper) => {
                say("ready");
                runtime.block_on(keeper.run())
            }
            Err(error) => {
                say(&format!("failed {error:#}"));
                Err(error)
            }
        }
    })
}

struct Keeper {
    here: Here,
    agent: String,
    ways: Ways,
    proxy: Proxy,
    door: Door,
    guide: Guide,
}

impl Keeper {
    /// Finds the agent, and finds or starts its proxy.
    async fn begin(here: Here, agent: &str) -> Result<Keeper> {
        let own = Sites::read(&here.home)?.name;
        let mut ways = Ways::new(here.clone(), own, agent.to_owned());
        let found = match Proxy::found(Path::new(FOLDER)).await {
            Ok(found) => Some(found),
            Err(ProxyError::None) => None,
            Err(error) => return Err(error.into()),
        };
        let (site, sight) = see(&here, agent, &Request::Status, SOON, |_| ()).await?;
        if sight == Sight::Off {
            if let Some(left) = found {
                left.end().await?;
            }
            bail!("the agent is off");
        }
        let (proxy, guide) = match found {
            Some(proxy) => {
                let guide = adopted(&proxy.status, &mut ways)?;
                (proxy, guide)
            }
            None => {
                let proxy = Proxy::start(Path::new(FOLDER), &ways.address(&site)?).await?;
                (proxy, Guide::of(site, None, false))
            }
        };
        let door = Door::of(Path::new(FOLDER)).await;
        Ok(Keeper { here, agent: agent.to_owned(), ways, proxy, door, guide })
    }

    /// Until the agent is off.
    async fn run(mut self) -> Result<()> {
        let (seen, mut sights) = watch::channel(Sight::Unknown);
        tokio::spawn(follow(self.here.clone(), self.agent.clone(), seen));
        let (wants, mut own) = watch::channel(wanted(Path::new(FOLDER)));
        tokio::spawn(watch_wanted(wants));
        let mut failed = false;
        let (mut since, mut short) = (Instant::now(), 0);
        loop {
            let next = self.guide.next(&sights.borrow_and_update(), own.borrow_and_update().as_deref());
            if next == Some(Action::End) {
                return Ok(self.proxy.end().await?);
            }
            let question = next.as_ref().map(|action| self.question(action)).transpose()?;
            tokio::select! {
                seen = sights.changed() => seen.context("nobody follows the agent any more")?,
                changed = own.changed() => changed.context("nobody looks which screen is wanted")?,
                result = carry_out(next.as_ref(), question.as_ref(), failed) => {
                    failed = result.is_err();
                    if let (Ok(()), Some(action)) = (result, &next) {
                        self.guide.did(action);
                    }
                }
                never = self.door.keep(Path::new(FOLDER)) => match never {},
                () = self.proxy.gone() => {
                    short = if since.elapsed() < SHORT { short + 1 } else { 0 };
                    self.begin_again(&mut short).await?;
                    since = Instant::now();
                }
            }
        }
    }

    /// Another proxy, that shows what the last one did; `short` counts those that did not live long.
    async fn begin_again(&mut self, short: &mut u32) -> Result<()> {
        let shown = self.guide.shown().to_owned();
        let upstream = self.ways.address(&shown)?;
        let begun = until_begun(short, async || Proxy::start(Path::new(FOLDER), &upstream).await).await;
        self.proxy = begun.context("the display proxy ends again and again")?;
        self.door = Door::of(Path::new(FOLDER)).await;
        self.guide = Guide::of(shown, None, false);
        Ok(())
    }

    /// An action in the proxy's words.
    fn question(&mut self, action: &Action) -> Result<Value> {
        let mut to = |site: &str| self.ways.address(site).with_context(|| format!("no way to site {site:?}"));
        Ok(match action {
            Action::Prepare(site) => json!({ "do": "prepare", "to": to(site)? }),
            Action::Rehome(site) => json!({ "do": "rehome", "to": to(site)? }),
            Action::Hold => json!({ "do": "hold" }),
            Action::Cancel | Action::End => json!({ "do": "cancel" }),
        })
    }
}

/// Tries until one has begun. The last one may be still dying, and then this one ends, or is not understood; so may the next.
async fn until_begun<P>(
    short: &mut u32,
    begin: impl AsyncFn() -> Result<P, ProxyError>,
) -> Result<P, ProxyError> {
    let mut why = ProxyError::None;
    while *short < SHORT_MAX {
        match begin().await {
            Ok(proxy) => return Ok(proxy),
            Err(error) => why = error,
        }
        *short += 1;
        sleep(RETRY).await;
    }
    Err(why)
}

/// What a proxy has that was found, and the ways to it.
fn adopted(status: &Value, ways: &mut Ways) -> Result<Guide> {
    let mut site = |name: &str| -> Result<Option<String>> {
        let Some(address) = status[name].as_str() else { return Ok(None) };
        let site = ways.site(address).with_context(|| format!("the display proxy shows {address:?}"))?;
        ways.address(&site)?;
        Ok(Some(site))
    };
    let shown = site("upstream")?.context("the display proxy does not say what it shows")?;
    Ok(Guide::of(shown, site("prepared")?, status["held"].as_bool().unwrap_or(false)))
}

/// Tells the proxy, and waits until it is done, but for loading ahead: that takes its time. With nothing to tell it never ends.
async fn carry_out(
    action: Option<&Action>,
    question: Option<&Value>,
    failed_before: bool,
) -> Result<(), ProxyError> {
    let (Some(action), Some(question)) = (action, question) else { return std::future::pending().await };
    if failed_before {
        sleep(RETRY).await;
    }
    let folder = Path::new(FOLDER);
    match action {
        Action::Prepare(_) => tell(folder, question).await.map(drop),
        // That there was nothing to cancel, or nothing to stay with, is as good.
        Action::Cancel => match ask_within(folder, question, SHOWS).await {
            Ok(_) | Err(ProxyError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        },
        _ => ask_within(folder, question, SHOWS).await.map(drop),
    }
}

/// Shows which screen the user wants, until nobody looks.
async fn watch_wanted(wants: watch::Sender<Option<String>>) {
    while !wants.is_closed() {
        let now = wanted(Path::new(FOLDER));
        wants.send_if_modified(|own| std::mem::replace(own, now.clone()) != now);
        sleep(LOOK).await;
    }
}

/// Shows each change of the agent until nobody looks. Only the newest counts, so however many another site tells, one is kept.
async fn follow(here: Here, agent: String, sights: watch::Sender<Sight>) {
    let mut pause = AGAIN;
    let mut last = Sight::Unknown;
    while !sights.is_closed() {
        let mut heard = false;
        let seen = see(&here, &agent, &Request::Follow, QUIET, |sight| {
            heard = true;
            last = sight.clone();
            sights.send_replace(sight);
        });
        match seen.await {
            Ok((_, sight)) => drop(sights.send_replace(sight)),
            Err(error) => {
                if matches!(error, AskError::Store(StoreError::NoAgent { .. })) {
                    sights.send_replace(Sight::Off);
                }
                // The site that it leaves may have gone after it had handed it over.
                if let Sight::Leaving { to, .. } = &last
                    && let Ok(sight) = at(&here, &agent, to).await
                    && sight == Sight::At(to.clone())
                {
                    sights.send_replace(sight);
                }
            }
        }
        pause = if heard { AGAIN } else { AGAIN_MAX.min(pause * 2) };
        sleep(pause).await;
    }
}

/// Asks where the agent is how it stands; gives the site and the answer, and news before.
async fn see(
    here: &Here,
    agent: &str,
    request: &Request,
    patience: Duration,
    mut news: impl FnMut(Sight),
) -> Result<(String, Sight), AskError> {
    let sites = Sites::read(&here.home)?;
    let place = find(here, &sites, agent).await?;
    let name = match &place {
        Place::Here(_) => sites.name.clone(),
        Place::At(site) => site.name.clone(),
    };
    let told = |status: &Value| news(Sight::of(&name, status));
    let status = match &place {
        Place::Here(_) => here.ask(agent, request, patience, told).await?,
        Place::At(site) => ask_soon(site, agent, request, patience, told).await?,
    };
    let sight = Sight::of(&name, &status);
    Ok((name, sight))
}

/// How it stands at another site.
async fn at(here: &Here, agent: &str, site: &str) -> Result<Sight, AskError> {
    let sites = Sites::read(&here.home)?;
    let status = ask_soon(sites.site(site)?, agent, &Request::Status, SOON, |_| ()).await?;
    Ok(Sight::of(site, &status))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Tries beginnings, of which only the one with this number goes well, after so many proxies that did not live long.
    async fn tried(good: u32, mut short: u32) -> (Result<u32, ProxyError>, u32) {
        let tries = Cell::new(0);
        let begun = until_begun(&mut short, async || {
            tries.set(tries.get() + 1);
            let dying = io::Error::from(io::ErrorKind::ConnectionReset);
            if tries.get() == good { Ok(good) } else { Err(ProxyError::Io(dying)) }
        });
        (begun.await, tries.get())
    }

    /// (The clock goes on by itself when everybody waits.)
    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_cannot_begin_while_the_last_one_dies_is_begun_again() {
        assert!(matches!(tried(SHORT_MAX, 0).await, (Ok(SHORT_MAX), SHORT_MAX)));
        // Each that failed counts as one that ended soon.
        assert!(
            matches!(tried(SHORT_MAX, 1).await, (Err(ProxyError::Io(_)), tries) if tries == SHORT_MAX - 1)
        );
        assert!(matches!(tried(u32::MAX, 0).await, (Err(ProxyError::Io(_)), SHORT_MAX)));
    }
}
