//! Reaching a site: a link to `wandisk serve --stdio` there, and a session over it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use wandisk_link::{Address, DialOptions, Stream};
use wandisk_store::{DiskId, Home, SiteEntry};

use super::error::{Code, Refusal, chain};
use super::limits::{DIAL_QUIET, DIALS_MAX, HELLO};
use super::lobby::{LobbyAnswer, LobbyAsk};
use super::message::{Facts, HelloFields};
use super::session::{Class, Handler, Parts, ProgressSink, Reply, RequestError, Session};

/// How long a failed dial waits for what the program says on standard error.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What this site says of itself.
#[must_use]
pub fn hello(home: &Home, disk: Option<DiskId>) -> HelloFields {
    HelloFields {
        site: home.id(),
        name: home.name().to_owned(),
        disk,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        free_bytes: free_bytes(home),
    }
}

fn free_bytes(home: &Home) -> Option<u64> {
    let stat = rustix::fs::statvfs(home.path()).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// Dials a site.
///
/// # Errors
/// A sentence about what went wrong on the way.
pub async fn link(entry: &SiteEntry) -> Result<Stream, String> {
    link_by(entry, false).await
}

/// As [`link`], for much at a time: by the `ssh` program, which is quicker once it runs.
///
/// # Errors
/// A sentence about what went wrong on the way.
pub async fn bulk_link(entry: &SiteEntry) -> Result<Stream, String> {
    link_by(entry, true).await
}

async fn link_by(entry: &SiteEntry, by_program: bool) -> Result<Stream, String> {
    let address = Address::parse(&entry.address).map_err(|e| chain(&e))?;
    let options = DialOptions {
        remote_home: entry.remote_home.clone(),
        remote_wandisk: entry.remote_wandisk.clone(),
        by_program,
        ..DialOptions::default()
    };
    wandisk_link::dial(&address, &options).await.map_err(|e| chain(&e))
}

/// Starts a session over a link to a site.
///
/// # Errors
/// A sentence about what went wrong on the way.
pub async fn session(
    stream: Stream,
    home: &Home,
    entry: &SiteEntry,
    hello: &HelloFields,
    desk: Arc<dyn Handler>,
) -> Result<Session, String> {
    let said = stream.stderr();
    let session = match Session::start(stream, hello, desk).await {
        Ok(session) => session,
        Err(e) => return Err(with_last_words(&e, &said).await),
    };
    if session.peer().site == home.id() {
        session.close("a site does not talk to itself");
        return Err(format!("{} leads back to this site", entry.address));
    }
    Ok(session)
}

/// Does something that may be lost without a word: once, and once more beside it whenever nothing has come for [`DIAL_QUIET`],
/// [`DIALS_MAX`] times at most. The first that succeeds counts, and the others are dropped.
///
/// # Errors
/// The last one's, when all have failed, or of the first that fails after [`HELLO`].
pub(super) async fn beside<'a, T>(
    site: &str,
    attempt: impl Fn() -> BoxFuture<'a, Result<T, String>>,
) -> Result<T, String> {
    let began = tokio::time::Instant::now();
    let mut attempts = FuturesUnordered::from_iter([attempt()]);
    let mut made = 1;
    loop {
        tokio::select! {
            Some(ended) = attempts.next() => match ended {
                Err(why) if !attempts.is_empty() && began.elapsed() < HELLO => {
                    tracing::info!(site, why, "one of several dials failed");
                }
                ended => return ended,
            },
            () = tokio::time::sleep(DIAL_QUIET), if made < DIALS_MAX => {
                tracing::warn!(
                    site,
                    most_s = HELLO.as_secs(),
                    "no hello for {} s: it is waited for, and the site dialled once more",
                    DIAL_QUIET.as_secs() * made as u64
                );
                attempts.push(attempt());
                made += 1;
            }
        }
    }
}

/// What a program that ended wrote to standard error may arrive a moment after its end.
async fn with_last_words(error: &std::io::Error, said: &wandisk_link::Tail) -> String {
    let deadline = tokio::time::Instant::now() + LAST_WORDS;
    loop {
        let text = said.text();
        if let Some(last) = text.trim().lines().last() {
            return format!("{error} (it said: {last})");
        }
        if tokio::time::Instant::now() >= deadline {
            return error.to_string();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Nothing is asked of a caller in a lobby.
pub(super) struct Silent;

impl Handler for Silent {
    fn handle(
        &self,
        _: HelloFields,
        _: Parts,
        _: ProgressSink,
    ) -> BoxFuture<'static, Result<Reply, Refusal>> {
        async { Err(Refusal::new(Code::NoDisk, "this is a talk about a site, not a disk")) }.boxed()
    }
}

/// A session about the site itself.
///
/// # Errors
/// A sentence about what went wrong on the way.
pub async fn lobby_session(home: &Home, entry: &SiteEntry) -> Result<Session, String> {
    let attempt = || {
        async move { session(link(entry).await?, home, entry, &hello(home, None), Arc::new(Silent)).await }
            .boxed()
    };
    beside(&entry.name, attempt).await
}

/// Asks a site's lobby, in a talk that is kept or a new one, to create a replica of a disk if it has none.
///
/// # Errors
/// [`Code::NoRoute`] if the site cannot be reached, else what it said.
pub async fn create_replica(
    home: &Home,
    entry: &SiteEntry,
    kept: Option<Session>,
    facts: &Facts,
) -> Result<(), Refusal> {
    let name = &entry.name;
    let session = match kept {
        Some(session) => session,
        None => lobby_session(home, entry).await.map_err(|why| {
            Refusal::new(Code::NoRoute, format!("site {name} cannot be reached: {why}"))
                .hint(format!("see `wandisk site check {name}`"))
        })?,
    };
    if entry.id.is_some_and(|id| id != session.peer().site) {
        session.close("another site was expected");
        return Err(Refusal::new(Code::NoRoute, format!("another site answers at {}", entry.address)));
    }
    let ask = LobbyAsk::CreateReplica { facts: facts.clone() };
    let head = serde_json::to_vec(&ask).map_err(|e| Refusal::failed(&e))?;
    let result = session.request((head, Bytes::new()), Class::Demand, None).await;
    session.close("that was all");
    match result {
        Ok(answered) => match serde_json::from_slice(&answered.parts.0) {
            Ok(LobbyAnswer::Replica { .. }) => Ok(()),
            Err(e) => Err(Refusal::failed(&e)),
        },
        Err(RequestError::Refused(refusal)) => Err(refusal),
        Err(RequestError::Broken(why)) => {
            Err(Refusal::new(Code::NoRoute, format!("the link to site {name} broke: {why}"))
                .hint("run the same command again: it goes on where it was cut"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The n-th dial takes so long, and succeeds or not; gives how all of it ended, when, and how many were made.
    async fn dialled(dials: &[(u64, bool)]) -> (Result<usize, String>, u64, usize) {
        let (made, began) = (AtomicUsize::new(0), tokio::time::Instant::now());
        let attempt = || {
            let nth = made.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(Duration::from_secs(dials[nth].0)).await;
                if dials[nth].1 { Ok(nth) } else { Err(nth.to_string()) }
            }
            .boxed()
        };
        let ended = beside("b", attempt).await;
        (ended, began.elapsed().as_secs(), made.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_that_is_lost_has_another_beside_it_and_a_slow_one_is_still_waited_for() {
        const LOST: (u64, bool) = (60, false);
        assert_eq!(dialled(&[(5, true)]).await, (Ok(0), 5, 1));
        assert_eq!(dialled(&[LOST, (5, true)]).await, (Ok(1), 25, 2));
        assert_eq!(dialled(&[(50, true), LOST, LOST]).await, (Ok(0), 50, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_that_fails_is_told_at_once_and_of_lost_ones_there_are_three() {
        const LOST: (u64, bool) = (60, false);
        assert_eq!(dialled(&[(1, false)]).await, (Err("0".to_owned()), 1, 1));
        assert_eq!(dialled(&[LOST, (1, false), LOST]).await, (Err("0".to_owned()), 60, 3));
        assert_eq!(dialled(&[LOST, LOST, LOST]).await, (Err("0".to_owned()), 60, 3));
    }
}
