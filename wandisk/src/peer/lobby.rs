//! `wandisk serve --stdio`: a peer's stream, brought to the disk's keeper; or a talk about the site itself.
//!
//! The dialler's hello says which disk it is about. `serve` reads it, and where the disk is here passes the stream
//! to the keeper byte by byte, the hello first; it understands nothing of what follows.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wandisk_store::{DiskDir, DiskId, DiskMeta, Home, KnownSite, OpenError, Residency, SiteId};

use super::dial::hello;
use super::error::{Code, Refusal};
use super::facts::check;
use super::frame;
use super::limits::{HELLO, LOBBY};
use super::message::{Facts, HelloFields};
use super::session::{Handler, Parts, ProgressSink, Session};
use crate::keeper::{client, control};

/// What can be asked of a site without a disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum LobbyAsk {
    /// Have a replica of this disk, an empty one if there is none.
    CreateReplica {
        /// The disk.
        facts: Facts,
    },
}

/// What a site answers to that.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum LobbyAnswer {
    /// There is one.
    Replica {
        /// It was created just now.
        created: bool,
    },
}

/// Finds the folder of a disk by its UUID.
#[must_use]
pub fn find_disk(home: &Home, id: DiskId) -> Option<DiskDir> {
    let disks = home.disks().ok()?;
    disks.into_iter().find(|d| wandisk_store::disk_dir::uuid_of(d.path()) == Some(id))
}

/// Serves one dialler over a pair of streams.
///
/// # Errors
/// What went wrong, for standard error.
pub async fn serve(
    home: &Home,
    mut input: impl AsyncRead + Send + Unpin + 'static,
    mut output: impl AsyncWrite + Send + Unpin + 'static,
) -> std::io::Result<()> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "the dialler said no hello in time");
    let read = tokio::time::timeout(HELLO, frame::read_hello_raw(&mut input)).await.map_err(|_| late())?;
    let (peer, raw) = match read {
        Ok(read) => read,
        Err(e) => {
            // Our own hello, so that a peer of another version can say which is which.
            frame::send_hello(&mut output, &hello(home, None)).await.ok();
            return Err(e);
        }
    };
    let here = peer.disk.and_then(|id| find_disk(home, id));
    let Some(dir) = here else { return lobby(home, peer, raw, input, output).await };
    let mut keeper = client::connect(home.path(), &dir).await.map_err(std::io::Error::other)?;
    keeper.write_all(format!("{}\n", control::SESSION).as_bytes()).await?;
    keeper.write_all(&raw).await?;
    let mut dialler = tokio::io::join(input, output);
    tokio::io::copy_bidirectional_with_sizes(&mut dialler, &mut keeper, 256 << 10, 256 << 10).await.map(drop)
}

async fn lobby(
    home: &Home,
    peer: HelloFields,
    raw: Vec<u8>,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin + 'static,
) -> std::io::Result<()> {
    if let Some(disk) = peer.disk {
        return Err(std::io::Error::other(format!("there is no replica of disk {disk} at this site")));
    }
    let replayed = std::io::Cursor::new(raw).chain(input);
    let desk = Arc::new(LobbyDesk { home: home.clone() });
    let session = Session::start(tokio::io::join(replayed, output), &hello(home, None), desk).await?;
    tokio::time::timeout(LOBBY, session.closed()).await.ok();
    Ok(())
}

struct LobbyDesk {
    home: Home,
}

impl Handler for LobbyDesk {
    fn handle(
        &self,
        peer: HelloFields,
        parts: Parts,
        _: ProgressSink,
    ) -> BoxFuture<'static, Result<Parts, Refusal>> {
        let home = self.home.clone();
        async move {
            let ask = serde_json::from_slice(&parts.0).map_err(|e| {
                Refusal::new(Code::Senseless, format!("the request makes no sense here: {e}"))
            })?;
            let LobbyAsk::CreateReplica { facts } = ask;
            let created = tokio::task::block_in_place(|| create_replica(&home, peer.site, &facts))?;
            let head =
                serde_json::to_vec(&LobbyAnswer::Replica { created }).map_err(|e| Refusal::failed(&e))?;
            Ok((head, Bytes::new()))
        }
        .boxed()
    }
}

/// Creates an empty replica of a disk, unless there is one.
fn create_replica(home: &Home, from: SiteId, facts: &Facts) -> Result<bool, Refusal> {
    check(facts)?;
    if find_disk(home, facts.uuid).is_some() {
        return Ok(false);
    }
    // What this site knew when it removed its replica it still knows (law L1).
    let known = home.tombstone(facts.uuid).filter(|t| t.lineages == facts.lineages);
    if let Some(tombstone) = known.filter(|t| t.epoch > facts.epoch) {
        return Err(Refusal::new(
            Code::Rules,
            format!(
                "epoch {} is over: epoch {} had been granted when the replica at {} was removed",
                facts.epoch,
                tombstone.epoch,
                home.name()
            ),
        ));
    }
    let dir = home.disk(&facts.name).map_err(|e| Refusal::failed(&e))?;
    if dir.exists() {
        let there = wandisk_store::disk_dir::uuid_of(dir.path());
        let there = there.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        return Err(Refusal::new(
            Code::Rules,
            format!(
                "{} has another disk named {:?}: {there} there, {} here",
                home.name(),
                facts.name,
                facts.uuid
            ),
        )
        .hint("remove or export one of the two, or create it under another name"));
    }
    if !facts.sites.iter().any(|s| s.id == from) {
        return Err(Refusal::new(Code::Senseless, "the disk's list of sites lacks the one that tells of it"));
    }
    let mut meta = DiskMeta {
        uuid: facts.uuid,
        size_bytes: facts.size_bytes,
        size_counter: facts.size_counter,
        chunk_size: facts.chunk_size,
        lineages: facts.lineages.clone(),
        forks: facts.forks.clone(),
        lost: Vec::new(),
        leaving: false,
        epoch: facts.epoch,
        resident: facts.resident,
        residency: Residency::Replica,
        counter: 0,
        consistent_at: None,
        given: None,
        sites: facts
            .sites
            .iter()
            .map(|s| KnownSite {
                id: s.id,
                name: s.name.clone(),
                address: s.address.clone(),
                synced_at: None,
                missing_chunks: None,
            })
            .collect(),
        here: home.id(),
    };
    meta.learn_site(home.id(), home.name(), None)
        .ok_or_else(|| Refusal::new(Code::Rules, "the disk knows too many sites"))?;
    match dir.create(&meta, |_, _, _, _| Ok::<(), OpenError>(())) {
        Ok(()) => Ok(true),
        // Two diallers at once: the other one's is as good.
        Err(OpenError::Exists { .. }) if find_disk(home, facts.uuid).is_some() => Ok(false),
        Err(e) => Err(Refusal::failed(&e)),
    }
}
