//! Carries a migration's stream to the other site, at a pace ([`super::pace`]) while somebody looks at the agent over a line
//! from here, and else as fast as it goes.
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

/// The most that is read at once.
const PIECE: usize = 64 << 10;
/// Less is not worth a read.
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

    fn went(&self, bytes: usize) {
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

/// Bytes both ways until one of them ends, out of `near` no faster than the limit says.
pub async fn carry_limited<A, B>(near: &mut A, far: &mut B, limit: &Limit)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    tokio::select! {
        _ = limited(&mut near_read, &mut far_write, limit) => {}
        _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
    }
}

async fn limited<R, W>(from: &mut R, to: &mut W, limit: &Limit) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut piece = vec![0; PIECE];
    loop {
        let most = loop {
            match limit.allows() {
                few if few < LEAST => tokio::time::sleep(SOON).await,
                most => break most.min(PIECE),
            }
        };
        let len = from.read(&mut piece[..most]).await?;
        if len == 0 {
            return to.flush().await;
        }
        to.write_all(&piece[..len]).await?;
        to.flush().await?;
        limit.went(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_keeps_its_pace_until_the_agent_stands_and_all_of_it_comes() {
        let limit = Limit::default();
        *limit.locked() = Some(Pace::new(limit.began.elapsed()));
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let (mut near, mut qemu) = tokio::io::duplex(1 << 16);
        let (mut far, mut there) = tokio::io::duplex(1 << 16);
        let told = bytes.clone();
        tokio::spawn(async move { qemu.write_all(&told).await.unwrap() });
        let carried = limit.clone();
        tokio::spawn(async move { carry_limited(&mut near, &mut far, &carried).await });
        let began = Instant::now();
        let mut first = vec![0; 200_000];
        there.read_exact(&mut first).await.unwrap();
        // The first rate is 500 kB a second; what waits on its way is not more than the two pipes.
        assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
        limit.stands();
        let mut rest = Vec::new();
        there.read_to_end(&mut rest).await.unwrap();
        assert!([first, rest].concat() == bytes, "bytes were lost, or changed");
    }
}
