//! What keepers say to each other: the JSON heads of requests and replies. Bodies are named beside each.
//!
//! Every request names the site it is for and the sites that passed it on, so that one that cannot reach an owner is
//! relayed by one that can, and nothing goes round in circles.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wandisk_store::{
    Attempt, AttemptId, DiskId, DiskMeta, Epoch, Fork, LineageId, Residency, SYNCS_KEPT, SiteId, TableDigest,
    Version,
};

use super::error::tame;
use super::limits::PROGRAM_MAX;
use super::parts::Part;
use crate::delta::Form;

/// A request on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The site that is to answer.
    pub to: SiteId,
    /// The sites it came through, the asker first.
    pub path: Vec<SiteId>,
    /// What is asked.
    pub ask: Ask,
}

/// What one keeper asks of another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Ask {
    /// How the disk stands at your site → [`Standing`].
    Standing,
    /// A chunk's bytes at a version. Body: description of the basis (as `delta` makes it) or nothing.
    /// → [`Answer::Chunk`] with the bytes in their form, or [`Answer::Newer`].
    Fetch {
        /// The chunk.
        chunk: u64,
        /// The version wanted, equal or nothing.
        version: Version,
        /// The lineage that made it: a version's number of one means another at a site that has diverged.
        lineage: LineageId,
        /// A request of the asker's front-end waits for it.
        demand: bool,
        /// Only these of its bytes, without a basis; none: all.
        part: Option<Part>,
    },
    /// Rows changed since a counter, from a chunk on → [`Answer::Rows`]. Asked of the resident.
    Rows {
        /// Lineage that the counter is of.
        lineage: LineageId,
        /// Rows made after it are wanted.
        since: u64,
        /// First chunk of this part.
        start: u64,
    },
    /// The disk's facts, before a hand-over or sync → [`Standing`].
    Offer {
        /// The facts.
        facts: Facts,
    },
    /// Rows ahead of a hand-over. Body: rows. → [`Answer::Done`].
    Push {
        /// The facts (sites are numbered by them).
        facts: Facts,
    },
    /// The last rows, with the writes frozen. Body: rows. → [`Answer::Prepared`] once all is durable.
    Final {
        /// The attempt.
        attempt: Attempt,
        /// The facts.
        facts: Facts,
        /// The rows are the whole table: forget what is not among them. The last part of several says so.
        whole: Option<WholeTable>,
    },
    /// The disk is yours → [`Answer::Done`] once that is durable.
    Grant {
        /// The attempt it was prepared in.
        attempt: Attempt,
    },
    /// An attempt ended without a release → [`Answer::Done`].
    Abort {
        /// Which.
        attempt: AttemptId,
    },
    /// Give the disk to a site; asked of the resident, with progress → [`Answer::Moved`].
    HandOver {
        /// The site that gets it.
        to: SiteId,
        /// The lineage that is meant.
        lineage: LineageId,
        /// Even if the device is in use.
        force: bool,
    },
    /// Which of these versions do you hold, durably? Body: pairs of chunk and version. → [`Answer::Holds`]
    Holds {
        /// The asker's ancestry: what its versions are of.
        lineages: Vec<LineageId>,
        /// The asker is about to drop them on the strength of the answer (law L14): a site that is about to go itself
        /// says nothing.
        promise: bool,
    },
    /// The asker no longer holds these versions. Body: pairs of chunk and version; none: all. → [`Answer::Done`]
    NoteDropped,
    /// Make your replica complete, with progress → [`Answer::Synced`]. Body: rows, where some come along.
    Sync {
        /// How.
        options: SyncOptions,
        /// The rows that would be asked for first, from the resident itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<Box<RowsAlong>>,
        /// The asker notes by [`SyncReport::complete`] what [`Ask::NoteSynced`] would tell it.
        #[serde(default)]
        notes: bool,
    },
    /// Hold writes for a consistent moment → [`Answer::Mark`]. It ends by itself after the lease.
    Freeze {
        /// Milliseconds after which writes go on by themselves.
        lease_ms: u64,
    },
    /// Writes may go on → [`Answer::Done`].
    Thaw,
    /// The asker's replica is complete at a counter → [`Answer::Done`].
    NoteSynced {
        /// The counter.
        counter: u64,
        /// When, in ms since 1970.
        at: u64,
    },
    /// Hashes of chunks → [`Answer::Hashes`].
    Hashes {
        /// First chunk.
        start: u64,
        /// How many at most.
        max: u32,
    },
    /// Which chunks were wanted at your site, in their order → [`Answer::Trace`].
    Trace,
    /// Make the disk larger; asked of the resident → [`Answer::Done`].
    Resize {
        /// New size in bytes.
        size_bytes: u64,
    },
}

/// What comes with rows that were not asked for: of which question they are the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowsAlong {
    /// Lineage that the counter is of.
    pub lineage: LineageId,
    /// Rows made after it, from the first chunk on.
    pub since: u64,
    /// [`Answer::Rows`].
    pub answer: Answer,
}

/// When a replica was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// Up to this counter.
    pub counter: u64,
    /// When, in ms since 1970.
    pub at: u64,
}

/// The facts of a disk that travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The disk.
    pub uuid: DiskId,
    /// Its name at the sender.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// How often the size grew.
    pub size_counter: u64,
    /// Chunk size in bytes.
    pub chunk_size: u32,
    /// The ancestry.
    pub lineages: Vec<LineageId>,
    /// Where each lineage but the first began.
    #[serde(default)]
    pub forks: Vec<Fork>,
    /// Highest epoch granted.
    pub epoch: Epoch,
    /// The resident at it.
    pub resident: SiteId,
    /// Sites by the sender's numbers.
    pub sites: Vec<FactSite>,
    /// The sender's change counter.
    pub counter: u64,
}

/// A site in [`Facts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactSite {
    /// Its UUID.
    pub id: SiteId,
    /// Its name.
    pub name: String,
    /// How the sender reaches it, if that is of use to others.
    pub address: Option<String>,
}

impl Facts {
    /// The facts of a disk as `meta` has them.
    #[must_use]
    pub fn of(meta: &DiskMeta, name: &str) -> Facts {
        let site = |s: &wandisk_store::KnownSite| FactSite {
            id: s.id,
            name: s.name.clone(),
            address: s.address.clone(),
        };
        Facts {
            uuid: meta.uuid,
            name: name.to_owned(),
            size_bytes: meta.size_bytes,
            size_counter: meta.size_counter,
            chunk_size: meta.chunk_size,
            lineages: meta.lineages.clone(),
            forks: meta.forks.clone(),
            epoch: meta.epoch,
            resident: meta.resident,
            sites: meta.sites.iter().map(site).collect(),
            counter: meta.counter,
        }
    }
}

/// Proof that a whole table was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeTable {
    /// Its digest.
    pub digest: TableDigest,
}

/// How to sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncOptions {
    /// Compare BLAKE3 of every chunk at both ends afterwards.
    pub verify: bool,
    /// Never hold writes.
    pub no_freeze: bool,
    /// Bytes a second at most.
    pub rate: Option<u64>,
}

/// What a keeper answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// How the disk stands there.
    Standing(Box<Standing>),
    /// A chunk. Body: its bytes in `form`.
    Chunk {
        /// How to read the body.
        form: Form,
        /// BLAKE3 of the chunk's bytes, of which the body may be a part.
        hash: String,
    },
    /// The version asked for was overtaken. Body: the newer row, and the facts number its sites.
    Newer {
        /// The facts.
        facts: Box<Facts>,
    },
    /// Part of a table. Body: rows.
    Rows {
        /// The facts.
        facts: Box<Facts>,
        /// Where the next part begins; none after the last.
        next: Option<u64>,
        /// The counter that the table is complete up to after the last part.
        counter: u64,
        /// Versions are open or rows not durable: what is fetched may be overtaken at once.
        busy: bool,
        /// The table's digest, unless it is about to change.
        digest: Option<TableDigest>,
    },
    /// The attempt's table is stored durably.
    Prepared {
        /// Which attempt.
        attempt: AttemptId,
        /// The digest of the table there.
        digest: TableDigest,
        /// How long each sync took that it needed.
        #[serde(default, skip_serializing_if = "SyncTimes::is_none")]
        syncs_us: SyncTimes,
    },
    /// The table there differs after the final rows: send it whole.
    Differs {
        /// The digest there.
        digest: TableDigest,
    },
    /// The disk was handed over.
    Moved(MoveReport),
    /// A replica was made complete.
    Synced(SyncReport),
    /// A moment of the table.
    Mark {
        /// The counter.
        counter: u64,
        /// Its digest.
        digest: TableDigest,
    },
    /// Hashes of chunks. Body: per chunk u64 chunk, u64 version, 32 bytes BLAKE3.
    Hashes {
        /// Where the next part begins; none after the last.
        next: Option<u64>,
    },
    /// What was wanted. Body: an encoded access trace.
    Trace {
        /// The newest residency that is in it.
        epoch: Epoch,
    },
    /// What is held of what was asked. Body: a bit a pair, in order, the lowest bit first.
    Holds,
    /// It is done.
    Done {
        /// Of a grant: how long each sync took that it needed.
        #[serde(default, skip_serializing_if = "SyncTimes::is_none")]
        syncs_us: SyncTimes,
    },
}

impl Answer {
    /// It is done.
    #[must_use]
    pub fn done() -> Answer {
        Answer::Done { syncs_us: SyncTimes::default() }
    }
}

/// How long a site's syncs took, one by one, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SyncTimes(Vec<u64>);

impl SyncTimes {
    /// Of these.
    #[must_use]
    pub fn of(syncs: &[Duration]) -> SyncTimes {
        let us = |sync: &Duration| u64::try_from(sync.as_micros()).unwrap_or(u64::MAX);
        SyncTimes(syncs.iter().map(us).collect())
    }

    fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// In milliseconds; no more of them than a site remembers.
    pub fn ms(&self) -> impl Iterator<Item = f64> {
        self.0.iter().take(SYNCS_KEPT).map(|us| Duration::from_micros(*us).as_secs_f64() * 1e3)
    }
}

/// How a disk stands at a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// The facts as known there.
    pub facts: Facts,
    /// Its part.
    pub residency: Residency,
    /// The table there is complete up to this counter.
    pub counter: u64,
    /// Digest of the table there.
    pub digest: TableDigest,
    /// Chunks whose current bytes are missing there, by the table there.
    pub missing_chunks: u64,
    /// The moment its chunks are of.
    pub consistent_at: Option<u64>,
}

/// What a hand-over did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MoveReport {
    /// The site that has the disk now.
    pub to: String,
    /// The epoch it was granted.
    pub epoch: u64,
    /// Rows sent in all.
    pub rows: u64,
    /// Bytes of rows sent.
    pub bytes: u64,
    /// How long writes were held, in milliseconds.
    pub freeze_ms: f64,
    /// How long all of it took, in milliseconds.
    pub total_ms: f64,
    /// Bytes of rows that were sent while writes were held.
    #[serde(default)]
    pub held_bytes: u64,
    /// How long each sync took that was made at the source while writes were held, in milliseconds.
    #[serde(default)]
    pub syncs_ms: Vec<f64>,
    /// The same at the site that has the disk now.
    #[serde(default)]
    pub far_syncs_ms: Vec<f64>,
}

impl MoveReport {
    /// How many syncs were made while writes were held, at both sites, and how long they took together, in milliseconds.
    #[must_use]
    pub fn syncs(&self) -> (usize, f64) {
        let all = self.syncs_ms.iter().chain(&self.far_syncs_ms);
        (all.clone().count(), all.sum())
    }
}

/// What a prepared hand-over is known by, and where the time of preparing it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrepareReport {
    /// The token of `commit` and `abort`.
    pub token: AttemptId,
    /// The target had the table of an earlier attempt, and was sent the rows since without being asked anything.
    pub ahead: bool,
    /// Until all was ready to hold writes, in milliseconds: rows went, and what was written became durable.
    pub before_ms: f64,
    /// Until they were held, in milliseconds.
    pub freeze_ms: f64,
    /// From then until the target answered that it has the whole table, in milliseconds.
    pub answer_ms: f64,
    /// Bytes of rows sent.
    #[serde(default)]
    pub bytes: u64,
}

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SyncReport {
    /// The site whose replica is complete.
    pub site: String,
    /// Chunks fetched.
    pub chunks: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Passes over the table.
    pub passes: u32,
    /// Chunks still missing: 0 unless the sync gave up.
    pub missing: u64,
    /// How long writes were held, in milliseconds.
    pub freeze_ms: f64,
    /// How long all of it took, in milliseconds.
    pub total_ms: f64,
    /// Chunks whose BLAKE3 was compared (`--verify`).
    pub verified: u64,
    /// Chunks that differed (`--verify`): they were named in the log and fetched again.
    pub differing: u64,
    /// For an asker that notes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Complete>,
}

/// How far long work is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub phase: String,
    /// Of how many.
    pub total: u64,
    /// How many are done.
    pub done: u64,
    /// Payload bytes so far.
    pub bytes: u64,
}

impl Progress {
    /// Of bounded length and fit for a terminal.
    #[must_use]
    pub fn tamed(self) -> Progress {
        Progress { phase: tame(&self.phase), ..self }
    }
}

/// What a session's hello carries besides the protocol's own fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelloFields {
    /// The speaker's site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// The disk that is talked about; none for a talk about the site itself.
    pub disk: Option<DiskId>,
    /// The program's version.
    pub program: String,
    /// Bytes free at the store, told by the answering side.
    pub free_bytes: Option<u64>,
}

impl HelloFields {
    /// Checks a peer's hello: its name is shown to people and written to logs.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let printable = self.program.bytes().all(|b| b.is_ascii_graphic());
        if wandisk_store::home::check_name(&self.name).is_err()
            || !printable
            || self.program.len() > PROGRAM_MAX
        {
            return Err("the far side's hello has a name or a version that cannot be one");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_tells_of_no_sync_is_what_it_was_before_they_were_told() {
        assert_eq!(serde_json::to_string(&Answer::done()).unwrap(), r#"{"answer":"done"}"#);
        let old = serde_json::from_str(r#"{"answer":"done"}"#).unwrap();
        let Answer::Done { syncs_us } = old else { panic!("{old:?}") };
        assert!(syncs_us.is_none());
    }

    #[test]
    fn syncs_are_told_and_no_more_of_them_than_a_site_remembers() {
        let told = Answer::Done { syncs_us: SyncTimes::of(&[Duration::from_micros(1500); 3 * SYNCS_KEPT]) };
        let heard = serde_json::from_slice(&serde_json::to_vec(&told).unwrap()).unwrap();
        let Answer::Done { syncs_us } = heard else { panic!("{heard:?}") };
        assert_eq!(syncs_us.ms().collect::<Vec<_>>(), [1.5; SYNCS_KEPT]);
        let told = r#"{"answer":"done","syncs_us":[18446744073709551615]}"#;
        let Answer::Done { syncs_us } = serde_json::from_str(told).unwrap() else { panic!("{told}") };
        assert!(syncs_us.ms().all(f64::is_finite));
    }
}
