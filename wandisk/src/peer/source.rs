//! Where chunks come from: asks the holders of a version, nearest first, until one gives bytes whose BLAKE3 is right.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;
use wandisk_store::SiteId;

use super::Peers;
use super::error::chain;
use super::facts::numbers_of;
use super::message::{Answer, Ask};
use super::parts::{self, Part};
use super::peers::Heard;
use super::rows;
use crate::delta::choice::Way;
use crate::delta::{self, Form};
use crate::engine::{ChunkSource, Engine, FetchError, Got, Want, WireRow};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The other sites as a source of chunks.
#[derive(Debug)]
pub struct PeerSource {
    engine: Weak<Engine>,
    peers: Arc<Peers>,
}

/// What one holder's answer came to.
enum Tried {
    Got(Got),
    Superseded,
    No,
}

impl PeerSource {
    /// A source for `engine`, which will own it (hence the weak reference back).
    #[must_use]
    pub fn new(engine: &Arc<Engine>, peers: Arc<Peers>) -> PeerSource {
        PeerSource { engine: Arc::downgrade(engine), peers }
    }
}

impl ChunkSource for PeerSource {
    fn fetch(&self, want: Want, timeout: Duration) -> BoxFuture<'static, Result<Got, FetchError>> {
        let Some(engine) = self.engine.upgrade() else {
            return futures::future::ready(Err(FetchError::NoHolder)).boxed();
        };
        let peers = Arc::clone(&self.peers);
        async move { fetch(&engine, &peers, &want, Instant::now() + timeout).await }.boxed()
    }
}

async fn fetch(
    engine: &Engine,
    peers: &Arc<Peers>,
    want: &Want,
    deadline: Instant,
) -> Result<Got, FetchError> {
    let mut asking = Asking::new(engine, want);
    let mut pause = RETRY_FIRST;
    loop {
        // Who is known to hold it first; then whoever knows the disk, since what is known of holders is advice.
        let meta = engine.meta();
        let known = engine.candidates(want.chunk);
        let asked = |site: &SiteId| *site == meta.here || known.contains(site);
        let others: Vec<SiteId> = meta.sites.iter().map(|s| s.id).filter(|site| !asked(site)).collect();
        if known.is_empty() && others.is_empty() {
            return Err(FetchError::NoHolder);
        }
        let gone = |site: &SiteId| meta.lost.contains(site);
        // A site that was given up in a takeover is asked where it has come back; it is not waited for.
        let answers = |site: &SiteId| match &want.only {
            Some(only) => only.contains(site),
            None => !gone(site) || peers.has_session(*site),
        };
        let order = peers.by_nearness(known.clone()).into_iter().chain(peers.by_nearness(others));
        for site in order.filter(answers) {
            peers.note_rate(&engine.fetch_stats().ledger);
            let asked = asking.ask(engine, peers, want, site);
            match tokio::time::timeout_at(deadline, asked).await {
                Err(_) => return Err(FetchError::TimedOut),
                Ok(Tried::Got(got)) => return Ok(got),
                Ok(Tried::Superseded) => return Err(FetchError::Superseded),
                Ok(Tried::No) => {}
            }
        }
        if want.only.is_some() || !known.is_empty() && known.iter().all(gone) {
            return Err(FetchError::NoHolder);
        }
        // Nobody could: links are dialled again, and a site that came back is asked again.
        if Instant::now() + pause >= deadline {
            tokio::time::sleep_until(deadline).await;
            return Err(FetchError::TimedOut);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
        if engine.row(want.chunk).version != want.version {
            return Err(FetchError::Superseded);
        }
    }
}

/// How a chunk is asked for: what is told of the basis here, and what that cost.
struct Asking {
    way: Way,
    description: Bytes,
    took: Duration,
}

impl Asking {
    fn new(engine: &Engine, want: &Want) -> Asking {
        let way = engine.fetch_stats().ledger.way(want.basis.as_ref().map(Vec::len));
        let began = Instant::now();
        let description = delta::describe_basis(way, want.basis.as_deref()).unwrap_or_default();
        Asking { way, description: Bytes::from(description), took: began.elapsed() }
    }

    /// Asks one holder. Bytes that are not what was wanted are asked for once more, whole: short hashes of two
    /// different blocks may be the same, and would be each time.
    async fn ask(&mut self, engine: &Engine, peers: &Arc<Peers>, want: &Want, site: SiteId) -> Tried {
        loop {
            match self.ask_once(engine, peers, want, site).await {
                Some(tried) => return tried,
                None if self.description.is_empty() => {
                    tracing::warn!(chunk = want.chunk, %site, "a chunk came damaged and was thrown away");
                    return Tried::No;
                }
                None => {
                    tracing::info!(chunk = want.chunk, %site, "a chunk's delta made something else: it is asked for whole");
                    *self = Asking { way: Way::Whole, description: Bytes::new(), took: Duration::ZERO };
                }
            }
        }
    }

    /// `None`: what came is not the chunk.
    async fn ask_once(
        &mut self,
        engine: &Engine,
        peers: &Arc<Peers>,
        want: &Want,
        site: SiteId,
    ) -> Option<Tried> {
        let lineage = engine.meta().lineages.get(usize::from(want.version.lineage())).copied();
        let Some(lineage) = lineage else { return Some(Tried::No) };
        let (chunk, version, demand) = (want.chunk, want.version, want.demand);
        let ask = |part| Ask::Fetch { chunk, version, lineage, demand, part };
        let waits = want.demand.then(|| peers.waits());
        if waits.is_some()
            && self.description.is_empty()
            && let Some(got) = self.ask_in_parts(engine, peers, want, site, &ask).await
        {
            return Some(Tried::Got(got));
        }
        let heard = peers.hear(site, ask(None), self.description.clone()).await;
        let Heard { answer, body, on_the_wire } = match heard {
            Ok(heard) => heard,
            Err(e) => {
                tracing::debug!(chunk = want.chunk, error = %chain(&e), "a holder could not give a chunk");
                return Some(Tried::No);
            }
        };
        match answer {
            Answer::Chunk { form, hash } => {
                let got = self.check(engine, want, &[(form, body, chunk_size(engine))], &hash)?;
                self.note(engine, want, form, on_the_wire);
                if demand {
                    peers.came_for_who_waits(site, on_the_wire);
                }
                Some(Tried::Got(got))
            }
            // The resident's own table is the table: nobody else's row counts against it.
            Answer::Newer { .. } if engine.meta().is_resident() => Some(Tried::No),
            Answer::Newer { facts } => {
                let adopted = async {
                    let numbers = numbers_of(engine, &facts).await.ok()?;
                    let rows = newer_row(&body, &numbers, want)?;
                    let lineage = *facts.lineages.last()?;
                    engine.adopt_newer_rows(lineage, &rows).await.ok()
                };
                Some(if adopted.await.is_some() { Tried::Superseded } else { Tried::No })
            }
            _ => Some(Tried::No),
        }
    }

    /// Asks for a chunk in parts over the connections that there are. `None`: it is to be asked for whole, be it that
    /// there is one connection, or that the holder has something else to say.
    async fn ask_in_parts(
        &mut self,
        engine: &Engine,
        peers: &Arc<Peers>,
        want: &Want,
        site: SiteId,
        ask: impl Fn(Option<Part>) -> Ask,
    ) -> Option<Got> {
        let sessions = peers.share_of_connections(site);
        if sessions.is_empty() {
            return None;
        }
        let parts = parts::cut(chunk_size(engine), sessions.len());
        let of_whole = |part| Some(part).filter(|_| parts.len() > 1);
        let asks = sessions.into_iter().zip(&parts).map(|(session, part)| (session, ask(of_whole(*part))));
        let answers = peers.ask_over(site, asks.collect()).await?;
        let (mut told, mut on_the_wire) = (None, 0);
        let mut pieces = Vec::with_capacity(parts.len());
        for (part, heard) in parts.iter().zip(answers) {
            let Answer::Chunk { form, hash } = heard.answer else { return None };
            if told.get_or_insert_with(|| hash.clone()) != &hash {
                return None;
            }
            on_the_wire += heard.on_the_wire;
            pieces.push((form, heard.body, part.len()));
        }
        let got = self.check(engine, want, &pieces, &told?)?;
        // What one piece is most others are, too.
        self.note(engine, want, pieces.first()?.0, on_the_wire);
        peers.came_for_who_waits(site, on_the_wire);
        if pieces.len() > 1 {
            engine.fetch_stats().in_parts.fetch_add(1, Ordering::Relaxed);
        }
        Some(got)
    }

    /// The bytes, if they are what their hash says. Of each piece of them: its form, its body, and how long it is.
    fn check(
        &mut self,
        engine: &Engine,
        want: &Want,
        pieces: &[(Form, Bytes, usize)],
        hash: &str,
    ) -> Option<Got> {
        let expected = *blake3::Hash::from_hex(hash).ok()?.as_bytes();
        let began = Instant::now();
        let bytes = match pieces {
            [(form, body, length)] => delta::decode(*form, body, want.basis.as_deref(), *length).ok()?,
            _ => joined(pieces)?,
        };
        self.took += began.elapsed();
        let found = bytes.as_ref().map_or_else(|| engine.hash_of_zeros(), |b| *blake3::hash(b).as_bytes());
        if found != expected {
            return None;
        }
        Some(Got { bytes, hash: expected })
    }

    /// Keeps what a chunk came to.
    fn note(&self, engine: &Engine, want: &Want, form: Form, on_the_wire: usize) {
        let stats = engine.fetch_stats();
        stats.ledger.came(self.way, form, chunk_size(engine), on_the_wire, self.took);
        let form_counter = match form {
            Form::Zero => &stats.zero,
            Form::Same => &stats.same,
            Form::Blocks | Form::Delta => &stats.delta,
            Form::Zstd | Form::Stream | Form::Raw => &stats.literal,
        };
        form_counter.fetch_add(1, Ordering::Relaxed);
        let kind = if want.demand { &stats.demand } else { &stats.prefetched };
        kind.fetch_add(1, Ordering::Relaxed);
        stats.bytes_in.fetch_add(on_the_wire as u64, Ordering::Relaxed);
    }
}

fn chunk_size(engine: &Engine) -> usize {
    usize::try_from(engine.hot_chunk_size()).unwrap_or(usize::MAX)
}

/// A chunk of parts that have no basis: `Some(None)` if all are zeros, `None` if one is not what it should be.
fn joined(parts: &[(Form, Bytes, usize)]) -> Option<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|(_, _, length)| length).sum());
    for (form, body, length) in parts {
        match delta::decode(*form, body, None, *length).ok()? {
            Some(part) => bytes.extend_from_slice(&part),
            None => bytes.resize(bytes.len() + length, 0),
        }
    }
    let zeros = parts.iter().all(|(form, _, _)| *form == Form::Zero);
    Some(Some(bytes).filter(|_| !zeros))
}

/// The row that an answer brings: the one that was asked about, newer than asked, and no other.
fn newer_row(body: &[u8], numbers: &[u8], want: &Want) -> Option<Vec<WireRow>> {
    let rows = rows::unpack(body, numbers)?;
    let fits = |row: &WireRow| row.chunk == want.chunk && row.version.counter() > want.version.counter();
    (rows.len() == 1 && rows.iter().all(fits)).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wandisk_store::{Row, Version};

    #[test]
    fn parts_make_a_chunk_and_zeros_stay_zeros() {
        let raw = |byte: u8, length: usize| (Form::Raw, Bytes::from(vec![byte; length]), length);
        let zeros = |length| (Form::Zero, Bytes::new(), length);
        assert_eq!(joined(&[raw(1, 3), raw(2, 2)]), Some(Some(vec![1, 1, 1, 2, 2])));
        assert_eq!(joined(&[raw(1, 1), zeros(2)]), Some(Some(vec![1, 0, 0])));
        assert_eq!(joined(&[zeros(2), zeros(2)]), Some(None));
        assert_eq!(
            joined(&[raw(1, 3), (Form::Raw, Bytes::from_static(&[2]), 2)]),
            None,
            "a part is too short"
        );
        assert_eq!(joined(&[raw(1, 3), (Form::Same, Bytes::new(), 2)]), None, "no part has a basis");
    }

    /// An answer to a fetch could once rewrite any row of the table, at the resident too.
    #[test]
    fn an_answer_brings_the_row_that_was_asked_about_and_no_other() {
        let want = Want { chunk: 7, version: Version::new(0, 5), basis: None, demand: true, only: None };
        let row = |counter| Row { version: Version::new(0, counter), holders: 1, ..Row::default() };
        let brought = |rows: &[(u64, Row)]| newer_row(&rows::pack(rows).unwrap(), &[0], &want);
        assert_eq!(brought(&[(7, row(6))]).map(|r| r[0].version), Some(Version::new(0, 6)));
        assert_eq!(brought(&[(8, row(6))]), None);
        assert_eq!(brought(&[(7, row(5))]), None);
        assert_eq!(brought(&[(7, row(6)), (8, row(6))]), None);
        assert_eq!(brought(&[]), None);
    }
}
