//! What a command of this site asks of the keeper.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use wandisk_store::{AttemptId, SiteId};

use super::{AttachOptions, Keeper, Report};
use crate::handover::join::JoinOptions;
use crate::handover::takeover::TakeoverOptions;
use crate::peer::error::{Code, PeerError, Refusal};
use crate::peer::message::{Answer, Ask, Complete, RowsAlong, Standing, SyncOptions};
use crate::sync::Order;

/// A command, as it comes over `control.sock`: one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// How the disk stands.
    Status {
        /// With a map of chunks.
        chunks: bool,
        /// As far as it is known here: no other site is asked.
        #[serde(default)]
        here: bool,
    },
    /// Where the disk's chunks are, in a bounded number of cells.
    Map {
        /// Cells at most.
        cells: u64,
    },
    /// Start a front-end.
    Attach {
        /// How.
        options: AttachOptions,
    },
    /// Stop the front-end.
    Detach,
    /// Hand the disk over.
    Move {
        /// Name of the site that gets it.
        to: String,
        /// Even if the device is in use.
        force: bool,
    },
    /// Hold writes with everything ready at the target.
    Prepare {
        /// Name of the target.
        to: String,
        /// After this time it is aborted.
        lease_ms: u64,
        /// The caller's name for this try.
        #[serde(default)]
        name: Option<Uuid>,
    },
    /// Release what was prepared.
    Commit {
        /// The token that prepare gave.
        token: Option<AttemptId>,
        /// The front-end stays, as a standby's.
        standby: bool,
    },
    /// Give up what was prepared.
    Abort {
        /// The token that prepare gave.
        token: Option<AttemptId>,
        /// The try of this name is over, even if its prepare comes later.
        #[serde(default)]
        name: Option<Uuid>,
    },
    /// Make a site's replica complete.
    Sync {
        /// Name of the site.
        site: String,
        /// How.
        options: SyncOptions,
    },
    /// Compare bytes.
    Verify {
        /// With the site of this name; else with the kept hashes.
        site: Option<String>,
        /// Bytes read a second at most.
        rate: Option<u64>,
    },
    /// Requests that wait for far chunks fail after this time; none: they wait as they did.
    Quiesce {
        /// Milliseconds.
        wait_ms: Option<u64>,
        /// The caller's, for the try that this belongs to.
        #[serde(default)]
        name: Option<Uuid>,
    },
    /// Grow the disk.
    Resize {
        /// New size in bytes.
        size_bytes: u64,
    },
    /// Fetch everything that is missing, for an export.
    Complete,
    /// Put the bytes of a shipped copy in place as bases for deltas.
    Import {
        /// The copy, an absolute path.
        file: PathBuf,
    },
    /// Is it safe to remove the replica? Then end, so that the files can be.
    Release {
        /// Remove even what only this site holds.
        force: bool,
        /// Only the replica: the disk lives on elsewhere.
        replica_only: bool,
    },
    /// Begin a new lineage here: the resident is lost.
    TakeOver {
        /// How.
        options: TakeoverOptions,
    },
    /// Leave this lineage for that of a site.
    Join {
        /// Name of the site.
        site: String,
        /// How.
        options: JoinOptions,
    },
    /// Give local bytes up that another site holds.
    Evict {
        /// So many bytes stay.
        keep_bytes: u64,
    },
    /// End, for another process to become the keeper.
    Quit,
}

impl Command {
    /// Is it over when nobody waits for its answer? Nothing of the disk's standing is changed by such a one, or it looks
    /// out for its caller itself.
    pub(super) fn ends_with_its_caller(&self) -> bool {
        matches!(
            self,
            Command::Status { .. }
                | Command::Map { .. }
                | Command::Sync { .. }
                | Command::Verify { .. }
                | Command::Complete
        )
    }
}

impl Keeper {
    /// Carries a command out.
    ///
    /// # Errors
    /// A [`Refusal`], printed by the command as it is.
    pub async fn command(self: &Arc<Self>, command: Command, report: &Report) -> Result<Value, Refusal> {
        if !matches!(command, Command::Status { .. } | Command::Map { .. }) {
            self.peers.dial_anew();
        }
        match command {
            Command::Status { chunks, here } => self.status(chunks, here).await,
            Command::Map { cells } => Ok(self.map(cells)),
            Command::Attach { options } => self.attach(options).await.and_then(to_json),
            Command::Detach => self.detach().await.map(|()| json!({"detached": true})),
            Command::Move { to, force } => {
                let site = self.peers.resolve(&to).await?;
                self.move_to(site, force, report).await.and_then(to_json)
            }
            Command::Prepare { to, lease_ms, name } => {
                let site = self.peers.resolve(&to).await?;
                let lease = Duration::from_millis(lease_ms);
                self.prepare(site, lease, name, report).await.and_then(to_json)
            }
            Command::Commit { token, standby } => self.commit(token, standby, report).await.and_then(to_json),
            Command::Abort { token, name } => {
                // First: one that is just beginning looks once it has its turn.
                if let Some(name) = name {
                    self.given_up.note(name);
                }
                self.abort(token).await.map(|()| json!({"aborted": true}))
            }
            Command::Sync { site, options } => {
                let site = self.peers.resolve(&site).await?;
                self.sync_at(site, options, report).await
            }
            Command::Verify { site, rate } => {
                let site = match site {
                    Some(name) => Some(self.peers.resolve(&name).await?),
                    None => None,
                };
                self.verify(site, rate, report).await.and_then(to_json)
            }
            Command::Quiesce { wait_ms, name } => {
                if self.attached_as().await.is_none() {
                    return Err(Refusal::new(Code::Senseless, "the disk is not attached here")
                        .hint("only an attached disk has requests that could wait"));
                }
                self.is_not_over(name)?;
                self.engine.quiesce(wait_ms.map(Duration::from_millis));
                Ok(json!({"quiesced": wait_ms.is_some(), "wait_ms": wait_ms}))
            }
            Command::Resize { size_bytes } => {
                self.resize(size_bytes).await.map(|()| json!({"size": size_bytes}))
            }
            Command::Complete => {
                let options = SyncOptions { verify: false, no_freeze: false, rate: None };
                self.sync_here(Order::of_command(options), report).await.and_then(to_json)
            }
            Command::Import { file } => self.import(file).await,
            Command::Release { force, replica_only } => self.release_files(force, replica_only).await,
            Command::TakeOver { options } => self.take_over(options).await.and_then(to_json),
            Command::Join { site, options } => {
                let site = self.peers.resolve(&site).await?;
                self.join(site, options, report).await.and_then(to_json)
            }
            Command::Evict { keep_bytes } => self.evict(keep_bytes, report).await,
            Command::Quit => self.give_way().await,
        }
    }

    async fn sync_at(
        self: &Arc<Self>,
        site: SiteId,
        options: SyncOptions,
        report: &Report,
    ) -> Result<Value, Refusal> {
        if site == self.home.id() {
            return self.sync_here(Order::of_command(options), report).await.and_then(to_json);
        }
        let there = self.offer(site).await?;
        let missing = if there.counter == 0 { self.engine.missing_count().1 } else { there.missing_chunks };
        self.peers.expects(site, missing.saturating_mul(u64::from(self.engine.hot_chunk_size())));
        let (rows, body) = self.rows_for(&there).await.unzip();
        let notes = self.engine.meta().is_resident();
        let ask = Ask::Sync { options, rows: rows.map(Box::new), notes };
        match self.peers.ask_reporting(site, ask, body.unwrap_or_default(), report).await {
            Ok((Answer::Synced(mut done), _)) => {
                // A replica elsewhere may have found another resident, and told that one.
                if let Some(Complete { counter, at }) = done.complete.take().filter(|_| notes) {
                    self.note_synced(site, counter, at).await?;
                }
                to_json(done)
            }
            Ok(_) => Err(Refusal::failed(&PeerError::Confused { site: self.site_name(site) })),
            Err(PeerError::Refused { refusal, .. }) => Err(refusal),
            Err(e) => Err(Refusal::failed(&e).hint("run the same command again: what arrived is kept")),
        }
    }

    /// The rows that a replica lacks, to go with the wish that it be synced: a round trip less, and the line has begun. None where
    /// it has to find out by itself.
    async fn rows_for(&self, there: &Standing) -> Option<(RowsAlong, bytes::Bytes)> {
        let meta = self.engine.meta();
        let lineage = meta.lineage();
        if !meta.is_resident() || there.facts.lineages != meta.lineages {
            return None;
        }
        let (answer, body) = self.give_rows(lineage, there.counter, 0).await.ok()?;
        Some((RowsAlong { lineage, since: there.counter, answer }, body))
    }

    /// Grows the disk: at the resident, where nobody else can have an opinion.
    pub(crate) async fn resize(self: &Arc<Self>, size_bytes: u64) -> Result<(), Refusal> {
        let meta = self.engine.meta();
        if !meta.is_resident() {
            let resident = self.site_name(meta.resident);
            return Err(Refusal::new(
                Code::NotResident,
                format!("the disk is resident at {resident}; it grows there only"),
            )
            .hint(format!("run `wandisk resize` at {resident}")));
        }
        if size_bytes < meta.size_bytes {
            return Err(Refusal::new(Code::Senseless, "a disk can only grow"));
        }
        if size_bytes == meta.size_bytes {
            return Ok(());
        }
        if !size_bytes.is_multiple_of(512) || size_bytes > wandisk_store::meta::DISK_SIZE_MAX {
            return Err(Refusal::new(
                Code::Senseless,
                "a disk's size is a multiple of 512 bytes below 64 PiB",
            ));
        }
        self.grow_and_restart(size_bytes, meta.size_counter + 1).await
    }

    /// Bytes of a shipped copy become bases: never read, only compared by BLAKE3 when a chunk is fetched.
    async fn import(&self, file: PathBuf) -> Result<Value, Refusal> {
        let counts = self.engine.tally().counts;
        if counts.held > counts.zero || self.attached.lock().await.is_some() {
            return Err(Refusal::new(
                Code::Rules,
                "an import needs an empty replica: this one holds chunks, or is attached",
            )
            .hint("import at the site that lacks the data, before its first sync or attach"));
        }
        let engine = Arc::clone(&self.engine);
        let runtime = tokio::runtime::Handle::current();
        let copied =
            tokio::task::spawn_blocking(move || runtime.block_on(crate::image::import_bases(&engine, &file)));
        let bytes = copied.await.map_err(|e| Refusal::failed(&e))?.map_err(|e| Refusal::failed(&e))?;
        Ok(json!({"imported_bytes": bytes}))
    }

    async fn give_way(&self) -> Result<Value, Refusal> {
        if self.attached.lock().await.is_some() {
            return Err(Refusal::new(Code::InUse, "the disk is attached here already"));
        }
        if self.giving.lock().await.is_some() {
            return Err(Refusal::new(Code::Rules, "a hand-over of the disk is prepared"));
        }
        self.quit();
        Ok(json!({}))
    }
}

fn to_json<T: Serialize>(value: T) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|e| Refusal::failed(&e))
}
