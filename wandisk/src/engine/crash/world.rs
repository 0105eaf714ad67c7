//! A tiny disk at two sites: this one runs the real engine over the fake store, the other is a list of versions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use wandisk_io::{IoError, Lane, Op, ZeroMode};
use wandisk_store::{
    ChunkTable, DiskDir, DiskId, DiskMeta, Epoch, KnownSite, LineageId, Residency, Row, SiteId, Version,
};

use super::fake::{Fake, Site};
use super::machine::{
    CHUNK, IntentFile, Machine, PER_CHUNK, SECTOR, Sector, TableFile, bytes_of, first_sector, value,
    values_of,
};
use super::oracle::Oracle;
use crate::engine::marks::MarkLimits;
use crate::engine::{ChunkSource, Engine, FetchError, Got, Want};

/// Chunks of the disk. Two are in extent 0, one in extent 1.
pub(super) const CHUNKS: u64 = 3;
const HERE: SiteId = SiteId(uuid::Uuid::from_u128(1));
const FAR: SiteId = SiteId(uuid::Uuid::from_u128(2));
/// Values of the far site's and of earlier bytes; writes of a test count from 100 on.
const FAR_BYTES: u64 = 11;
const OLD_BYTES: u64 = 12;
const OWN_BYTES: u64 = 13;

/// Marks as a test wants them: a second extent drops the first one's mark, or both fit.
pub(super) fn limits(hot_max: usize) -> MarkLimits {
    MarkLimits { extent_bytes: 2 * u64::from(CHUNK), hot_max, cool_batch: 1 }
}

/// An engine in one runtime's thread, over a fake store.
pub(super) struct Rig {
    pub(super) site: Arc<Site>,
    pub(super) engine: Arc<Engine<Fake>>,
}

/// One thread, and no wait that ends by the clock: the same run every time.
pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// The far site: has what left this one, and what it made itself.
struct Far(Arc<Site>);

impl ChunkSource for Far {
    fn fetch(&self, want: Want, _timeout: Duration) -> BoxFuture<'static, Result<Got, FetchError>> {
        let found = self.0.lock().oracle.elsewhere(want.chunk, want.version);
        let got = found.map(|values| {
            let bytes = bytes_of(&values);
            Got { hash: *blake3::hash(&bytes).as_bytes(), bytes: Some(bytes) }
        });
        futures::future::ready(got.ok_or(FetchError::NoHolder)).boxed()
    }
}

fn meta(residency: Residency, counter: u64) -> DiskMeta {
    let [here, far] = [HERE, FAR].map(|id| KnownSite::named(id, ""));
    let lineage = LineageId(uuid::Uuid::from_u128(8));
    DiskMeta {
        resident: if residency == Residency::Resident { HERE } else { FAR },
        residency,
        counter,
        sites: vec![here.clone(), far],
        ..DiskMeta::new(DiskId(uuid::Uuid::from_u128(9)), CHUNKS * u64::from(CHUNK), CHUNK, lineage, here)
    }
}

/// What a chunk is when a test begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Never written.
    Never,
    /// The far site's version; here are an older version's bytes, a basis.
    Basis,
    /// The far site's version, and nothing here.
    Absent,
    /// Made here, and the far site has it too.
    Shared,
    /// Made here, and its version may still be written: no byte of it has left.
    Fresh,
    /// The far site's version is zero; an older version's bytes are still here.
    ZeroOverBasis,
}

/// A disk whose chunks begin as told, all of it durable and nothing marked.
pub(super) fn site(residency: Residency, chunks: [Begin; 3]) -> Arc<Site> {
    let mut table = ChunkTable::default();
    let mut sectors: Vec<Sector> = Vec::new();
    let mut logical = Vec::new();
    let mut elsewhere = Vec::new();
    for (chunk, begin) in (0u64..).zip(chunks) {
        let far = Version::new(0, 10 + chunk);
        let older = Version::new(0, 1 + chunk);
        let row = |held: Version, owner: u8| Row {
            version: far,
            held,
            holders: 1 << owner,
            owner,
            zero: begin == Begin::ZeroOverBasis,
            fresh: begin == Begin::Fresh,
        };
        let (row, here, reads) = match begin {
            Begin::Never => (None, None, 0),
            Begin::Basis => (Some(row(older, 1)), Some(OLD_BYTES), FAR_BYTES + chunk * 10),
            Begin::Absent => (Some(row(Version::NONE, 1)), None, FAR_BYTES + chunk * 10),
            Begin::Shared => (Some(row(far, 0)), Some(OWN_BYTES), OWN_BYTES),
            Begin::Fresh => (Some(row(far, 0)), Some(OWN_BYTES), OWN_BYTES),
            Begin::ZeroOverBasis => (Some(row(older, 1)), Some(OLD_BYTES), 0),
        };
        if let Some(row) = row {
            table.set(chunk, row);
            if matches!(begin, Begin::Basis | Begin::ZeroOverBasis) {
                elsewhere.push((chunk, older, [OLD_BYTES; PER_CHUNK]));
            }
            if begin != Begin::Fresh {
                elsewhere.push((chunk, row.version, [reads; PER_CHUNK]));
            }
        }
        sectors.extend([here; PER_CHUNK]);
        logical.extend([reads; PER_CHUNK]);
    }
    let pages = table.take_changed().into_iter().map(|(n, rows)| (n, rows.into())).collect();
    let table = TableFile {
        meta: Arc::new(meta(residency, 20)),
        pages,
        digest: table.digest(),
        hot: BTreeSet::new(),
        hashes: BTreeMap::new(),
        overlays: BTreeMap::new(),
    };
    let intents = IntentFile { boot: Some(1), ..IntentFile::default() };
    let machine = Machine {
        live: sectors.clone(),
        durable: sectors,
        pending: Vec::new(),
        limbo: Vec::new(),
        table,
        intents,
        boot: 1,
    };
    let mut oracle = Oracle::new(logical);
    elsewhere.into_iter().for_each(|(chunk, version, values)| oracle.left(chunk, version, values));
    Site::new(machine, oracle)
}

impl Rig {
    /// Starts a process on a site's files: the real recovery.
    pub(super) fn start(runtime: &Runtime, site: &Arc<Site>, limits: MarkLimits) -> Rig {
        Rig::try_start(runtime, site, limits).expect("the engine starts")
    }

    pub(super) fn try_start(
        runtime: &Runtime,
        site: &Arc<Site>,
        limits: MarkLimits,
    ) -> Result<Rig, crate::engine::EngineError> {
        let dir = DiskDir::new(std::path::PathBuf::from("/nowhere"), "tiny");
        let engine = runtime.block_on(Engine::start(&dir, site.open(), limits, runtime.handle().clone()))?;
        engine.set_source(Arc::new(Far(Arc::clone(site))));
        Ok(Rig { site: Arc::clone(site), engine })
    }

    /// A guest's write of whole sectors.
    pub(super) async fn write(&self, sectors: Range<usize>, value: u64) -> Result<(), IoError> {
        self.site.lock().oracle.begin(sectors.clone(), value);
        let (offset, len) = bytes_range(&sectors);
        let written = if let Some(pass) = self.engine.hot.try_begin(Lane(0), Op::Write, offset, len) {
            let written = self.site.front_end_writes(sectors.clone(), value);
            drop(pass);
            written
        } else {
            let ticket = Arc::clone(&self.engine).begin_cold(Lane(0), Op::Write, offset, len).await?;
            let written = self.site.front_end_writes(sectors.clone(), value);
            let noted = ticket.done(written.is_ok());
            self.tell(written)?;
            noted?;
            Ok(())
        };
        self.tell(written)?;
        self.site.lock().oracle.acknowledge(sectors, value);
        Ok(())
    }

    /// What a front-end does about a failed write.
    fn tell(&self, written: std::io::Result<()>) -> Result<(), IoError> {
        written.map_err(|e| {
            self.engine.front_end_failed(Op::Write, e.raw_os_error().expect("a fault has one"));
            if e.raw_os_error() == Some(28) { IoError::NoSpace } else { IoError::Io }
        })
    }

    /// A guest's write whose data moves while `meanwhile` runs: after the leave to move it, before its end.
    pub(super) async fn write_across<F: Future<Output = ()>>(
        &self,
        sectors: Range<usize>,
        value: u64,
        meanwhile: F,
    ) -> Result<(), IoError> {
        self.site.lock().oracle.begin(sectors.clone(), value);
        let (offset, len) = bytes_range(&sectors);
        let ticket = Arc::clone(&self.engine).begin_cold(Lane(0), Op::Write, offset, len).await?;
        let written = async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            let written = self.site.front_end_writes(sectors.clone(), value);
            let noted = ticket.done(written.is_ok());
            if self.tell(written).and(noted).is_ok() {
                self.site.lock().oracle.acknowledge(sectors.clone(), value);
            }
        };
        futures::join!(meanwhile, written);
        Ok(())
    }

    /// A guest's flush.
    pub(super) async fn flush(&self) -> Result<(), IoError> {
        let begun = self.site.lock().oracle.flush_begins();
        self.engine.flush_now().await.map_err(|e| e.io())?;
        self.site.lock().oracle.flush_acknowledged(begun);
        Ok(())
    }

    /// A guest's trim of whole sectors.
    pub(super) async fn trim(&self, sectors: Range<usize>, mode: ZeroMode) -> Result<(), IoError> {
        self.site.lock().oracle.begin(sectors.clone(), 0);
        let (offset, len) = bytes_range(&sectors);
        Arc::clone(&self.engine).zero_range(Lane(0), offset, len, mode).await?;
        self.site.lock().oracle.acknowledge(sectors, 0);
        Ok(())
    }

    /// A guest's read of a chunk.
    pub(super) async fn read(&self, chunk: u64) -> Result<[u64; PER_CHUNK], IoError> {
        let (offset, len) = bytes_range(&sectors_of(chunk));
        if let Some(pass) = self.engine.hot.try_begin(Lane(1), Op::Read, offset, len) {
            let values = self.site.lock().machine.chunk(chunk);
            drop(pass);
            return Ok(values);
        }
        let ticket = Arc::clone(&self.engine).begin_cold(Lane(1), Op::Read, offset, len).await?;
        let values = self.site.lock().machine.chunk(chunk);
        ticket.done(true)?;
        Ok(values)
    }

    /// The far site asks for chunks, and gets those that are held here.
    ///
    /// # Panics
    /// If what leaves breaks law L2.
    pub(super) async fn publish(&self, chunks: &[u64]) -> Result<Vec<u64>, crate::engine::EngineError> {
        let published = self.engine.publish(chunks).await?;
        let mut inner = self.site.lock();
        let durable = inner.machine.table.load().table;
        let mut sent = Vec::new();
        for chunk in published {
            let values = chunk.bytes.as_deref().map_or([0; PER_CHUNK], values_of);
            let row = durable.get(chunk.chunk);
            assert!(
                row.version.counter() >= chunk.row.version.counter(),
                "chunk {} left as version {} before a row with it was durable",
                chunk.chunk,
                chunk.row.version
            );
            if row.version == chunk.row.version {
                assert!(
                    !row.fresh,
                    "chunk {} left while its durable row lets version {} be written",
                    chunk.chunk, row.version
                );
                let on_medium = first_sector(chunk.chunk)..first_sector(chunk.chunk + 1);
                let medium: Vec<u64> = inner.machine.durable[on_medium].iter().map(|s| value(*s)).collect();
                let rewritten = self.engine.row(chunk.chunk).version != row.version;
                assert!(rewritten || medium == values, "chunk {} left before it was durable", chunk.chunk);
            }
            inner.oracle.left(chunk.chunk, chunk.row.version, values);
            sent.push(chunk.chunk);
        }
        Ok(sent)
    }

    /// A guest's flush; the rest of an overlaid chunk arrives when its data has been synced.
    pub(super) async fn flush_under_fetch(&self, chunk: u64) -> Result<(), IoError> {
        let (engine, site) = (Arc::clone(&self.engine), Arc::clone(&self.site));
        self.site.set_intruder(Some(Box::new(move |after| {
            if after != "sync" {
                return;
            }
            let base = engine.row(chunk).version;
            let far = site.lock().oracle.elsewhere(chunk, base);
            if let Some(values) = far {
                engine.merge(chunk, base, Some(&bytes_of(&values))).ok();
            }
        })));
        let flushed = self.flush().await;
        self.site.set_intruder(None);
        flushed
    }

    /// The bytes of a chunk that the far site has are given up here.
    pub(super) async fn evict(&self, chunk: u64) -> Result<(), crate::engine::EngineError> {
        let version = self.engine.row(chunk).version;
        if self.site.lock().oracle.elsewhere(chunk, version).is_some() {
            self.engine.evict(&[(chunk, version)]).await?;
        }
        Ok(())
    }

    /// The source's end of a hand-over: freeze, and the commit point.
    pub(super) async fn release(&self) -> Result<(), String> {
        let begun = self.site.lock().oracle.flush_begins();
        self.engine.freeze_whole().await.map_err(|e| e.to_string())?;
        self.site.lock().oracle.flush_acknowledged(begun);
        let (digest, _) = self.engine.table_mark();
        let attempt = wandisk_store::Attempt {
            id: wandisk_store::AttemptId(uuid::Uuid::from_u128(3)),
            from: HERE,
            to: FAR,
            lineage: LineageId(uuid::Uuid::from_u128(8)),
            epoch: Epoch(2),
            digest,
        };
        let released = self.engine.change_meta(|meta| {
            meta.residency = Residency::Released { attempt };
            meta.resident = FAR;
            meta.epoch = Epoch(2);
            Ok(())
        });
        released.await.map_err(|e| e.to_string())?;
        self.engine.set_access(crate::engine::Access::Closed).await.map_err(|e| e.to_string())
    }
}

/// The sectors of a chunk.
pub(super) fn sectors_of(chunk: u64) -> Range<usize> {
    first_sector(chunk)..first_sector(chunk + 1)
}

/// A part of a chunk: three sectors that begin at its second.
pub(super) fn part_of(chunk: u64) -> Range<usize> {
    first_sector(chunk) + 1..first_sector(chunk) + 4
}

/// Another part of a chunk, which shares no sector with [`part_of`] it.
pub(super) fn other_part_of(chunk: u64) -> Range<usize> {
    first_sector(chunk) + 5..first_sector(chunk) + 7
}

fn bytes_range(sectors: &Range<usize>) -> (u64, u64) {
    ((sectors.start * SECTOR) as u64, (sectors.len() * SECTOR) as u64)
}
