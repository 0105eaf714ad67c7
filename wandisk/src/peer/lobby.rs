//! `wandisk serve --stdio`: a peer's stream, brought to the disk's keeper; or a talk about the site itself.
//!
//! The dialler's hello says which disk it is about. `serve` (`cli/serve.rs`) reads it, and where the disk is here has
//! the stream carried to the keeper ([`super::carry`]), the hello first; it understands nothing of what follows.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use wandisk_store::{DiskDir, DiskId, DiskMeta, Home, KnownSite, OpenError, Residency, SiteId};

use super::audit::{Refusals, SessionOrigin, audit};
use super::dial::hello;
use super::error::{Code, Refusal};
use super::facts::check;
use super::limits::LOBBY;
use super::message::{Facts, HelloFields};
use super::permit::Permit;
use super::session::{Handler, Parts, ProgressSink, Reply, Session};

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

/// A talk about the site itself with a dialler whose hello is `raw`.
///
/// # Errors
/// A session that could not begin.
pub async fn lobby(
    home: &Home,
    permit: Permit,
    came: &SessionOrigin,
    raw: Vec<u8>,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin + 'static,
) -> std::io::Result<()> {
    let replayed = std::io::Cursor::new(raw).chain(input);
    let desk = Arc::new(LobbyDesk { home: home.clone(), permit, refusals: Arc::default() });
    let session = Session::start(tokio::io::join(replayed, output), &hello(home, None), desk).await?;
    let ended = tokio::time::timeout(LOBBY, session.closed()).await;
    let why = ended.unwrap_or_else(|_| format!("it took more than {} s", LOBBY.as_secs()));
    audit(&session, came, None, &why);
    Ok(())
}

struct LobbyDesk {
    home: Home,
    permit: Permit,
    refusals: Arc<Refusals>,
}

impl Handler for LobbyDesk {
    fn handle(
        &self,
        peer: HelloFields,
        parts: Parts,
        _: ProgressSink,
    ) -> BoxFuture<'static, Result<Reply, Refusal>> {
        let (home, permit, refusals) = (self.home.clone(), self.permit, Arc::clone(&self.refusals));
        async move {
            let ask = serde_json::from_slice(&parts.0).map_err(|e| {
                Refusal::new(Code::Senseless, format!("the request makes no sense here: {e}"))
            })?;
            let LobbyAsk::CreateReplica { facts } = ask;
            let created = tokio::task::block_in_place(|| create_replica(&home, permit, peer.site, &facts));
            refusals.note(&peer, &created);
            let created = created?;
            let head =
                serde_json::to_vec(&LobbyAnswer::Replica { created }).map_err(|e| Refusal::failed(&e))?;
            Ok((head, Bytes::new()).into())
        }
        .boxed()
    }
}

/// Creates an empty replica of a disk, unless there is one.
fn create_replica(home: &Home, permit: Permit, from: SiteId, facts: &Facts) -> Result<bool, Refusal> {
    check(facts)?;
    if find_disk(home, facts.uuid).is_some() {
        return Ok(false);
    }
    permit.admits_replica(facts.uuid)?;
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
    let told = |s: &super::message::FactSite| KnownSite {
        address: s.address.clone(),
        ..KnownSite::named(s.id, &s.name)
    };
    let here = KnownSite::named(home.id(), home.name());
    let first =
        *facts.lineages.first().ok_or_else(|| Refusal::new(Code::Senseless, "a disk of no lineage"))?;
    let mut meta = DiskMeta {
        size_counter: facts.size_counter,
        lineages: facts.lineages.clone(),
        forks: facts.forks.clone(),
        epoch: facts.epoch,
        resident: facts.resident,
        residency: Residency::Replica,
        sites: facts.sites.iter().map(told).collect(),
        ..DiskMeta::new(facts.uuid, facts.size_bytes, facts.chunk_size, first, here)
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
