//! How fast a migration's stream ([`super::wire`]) may go: at a pace ([`super::pace`]) while somebody looks at the agent over a
//! line from here, and else as fast as it goes.
//!
//! Who looks from afar is seen by a lock: the process that carries a screen to another site holds one on a file in the agent's
//! folder ([`super::marks`]).
//!
//! Fault model: where echoes cannot be had the stream goes as fast as it can, as it does when the agent stands: nobody sees
//! anything move then, and each byte is waited for.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::marks::is_held;
use super::pace::{ECHO, Pace};
use crate::agent::command_line::names;
use crate::control::{Open, Opening, PROTOCOL, open};
use crate::sites::Site;

/// The most that may go at once.
const PIECE: usize = 64 << 10;
/// Less is waited for.
const LEAST: usize = 4 << 10;
/// Until it is looked again whether more may go.
const SOON: Duration = Duration::from_millis(2);
/// Between two looks whether somebody looks, and after an echo that could not be had.
const LOOK: Duration = Duration::from_millis(500);
/// An echo's bytes: when it was sent.
const MARK: usize = 8;

/// How fast a stream may go.
#[derive(Debug, Clone)]
pub struct Limit {
    began: Instant,
    pace: Arc<Mutex<Option<Pace>>>,
    stands: Arc<AtomicBool>,
}

impl Default for Limit {
    fn default() -> Limit {
        Limit { began: Instant::now(), pace: Arc::default(), stands: Arc::default() }
    }
}

impl Limit {
    /// The agent stands from now on: no limit.
    pub fn stands(&self) {
        self.stands.store(true, Ordering::SeqCst);
        *self.locked() = None;
    }

    fn locked(&self) -> MutexGuard<'_, Option<Pace>> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allows(&self) -> usize {
        self.locked().as_mut().map_or(PIECE, |pace| pace.allows(self.began.elapsed()))
    }

    /// How many bytes may go now; waits until that is more than a few.
    pub async fn has_room(&self) -> usize {
        loop {
            match self.allows() {
                few if few < LEAST => tokio::time::sleep(SOON).await,
                most => return most,
            }
        }
    }

    /// So many bytes went.
    pub fn went(&self, bytes: usize) {
        if let Some(pace) = self.locked().as_mut() {
            pace.went(bytes);
        }
    }

    /// Keeps the pace as long as somebody looks from afar, and until the agent stands.
    pub(super) async fn keep(self, site: Site, agent: String) {
        while !self.stands.load(Ordering::SeqCst) {
            if is_held(Path::new("."), names::WATCHED) {
                let opening =
                    Opening { snowbird: PROTOCOL, agent: agent.clone(), open: Open::Echo, document: None };
                if let Ok(link) = open(&site, &opening).await {
                    self.paced(link, || is_held(Path::new("."), names::WATCHED)).await.ok();
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Keeps the pace by echoes of what is at the other end of this link, for as long as that is wanted; then there is no limit.
    ///
    /// # Errors
    /// The link's.
    pub async fn paced<S>(&self, link: S, wanted: impl Fn() -> bool) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite,
    {
        let (mut read, mut write) = tokio::io::split(link);
        {
            let mut pace = self.locked();
            // It may have come to a stand while the link was made.
            if self.stands.load(Ordering::SeqCst) {
                return Ok(());
            }
            *pace = Some(Pace::new(self.began.elapsed()));
        }
        let hears = async {
            let mut mark = [0; MARK];
            loop {
                read.read_exact(&mut mark).await?;
                let (sent, now) = (Duration::from_micros(u64::from_le_bytes(mark)), self.began.elapsed());
                match self.locked().as_mut() {
                    Some(pace) => pace.echo(sent, now),
                    None => return Ok::<(), io::Error>(()),
                }
            }
        };
        let says = async {
            let mut looked = Instant::now();
            loop {
                let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
                write.write_all(&now.to_le_bytes()).await?;
                write.flush().await?;
                if looked.elapsed() > LOOK {
                    if !wanted() {
                        return Ok::<(), io::Error>(());
                    }
                    looked = Instant::now();
                }
                tokio::time::sleep(ECHO).await;
            }
        };
        let ended = tokio::select! {
            heard = hears => heard,
            said = says => said,
        };
        *self.locked() = None;
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_keeps_its_pace_until_the_agent_stands() {
        let limit = Limit::default();
        *limit.locked() = Some(Pace::new(limit.began.elapsed()));
        let began = Instant::now();
        let mut left = 200_000_usize;
        while left > 0 {
            let most = limit.has_room().await.min(left);
            limit.went(most);
            left -= most;
        }
        // The first rate is 500 kB a second.
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
        limit.stands();
        assert_eq!(limit.has_room().await, PIECE);
    }
}
