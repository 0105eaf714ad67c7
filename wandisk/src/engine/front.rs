//! The engine as front-ends see it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use wandisk_io::{ChunkState, Disk, Extent, Geometry, HotMap, IoError, IoFuture, Lane, Op, Ticket, ZeroMode};
use wandisk_store::{Image, Store};

use super::{Access, Engine, IoStats};

impl<S: Store> Engine<S> {
    /// Is it attached read-only?
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Refuses writes of front-ends from now on (or no longer).
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }

    pub(super) fn standby_waits(&self) -> bool {
        self.standby_waits.load(Ordering::Relaxed)
    }

    /// Makes requests to a disk that is not resident wait for residency instead of failing at once.
    pub fn set_standby_waits(&self, waits: bool) {
        self.standby_waits.store(waits, Ordering::Relaxed);
    }

    /// A front-end could not move data: a write that failed for anything but space poisons the disk (law L8). A sector
    /// that cannot be read is an error of its request: nothing that was promised about writes has changed.
    pub(super) fn front_end_failed(&self, op: Op, errno: i32) {
        let error = std::io::Error::from_raw_os_error(errno);
        if op == Op::Write {
            self.change_failed(error);
        } else {
            tracing::error!(disk = self.dir.name(), %error, "the disk's image could not be read");
        }
    }

    /// From now on what waits for far chunks fails after this time, what waits already included; `None` ends it.
    pub fn quiesce(&self, wait: Option<Duration>) {
        self.quiesce.send_replace(wait);
    }

    /// How long requests may wait for far chunks, while the disk is quiesced.
    #[must_use]
    pub fn quiesced_to(&self) -> Option<Duration> {
        *self.quiesce.borrow()
    }

    /// Ends when a request has waited for as long as a quiesced disk lets it.
    async fn quiesced(&self) {
        let mut quiesce = self.quiesce.subscribe();
        loop {
            let wait = *quiesce.borrow_and_update();
            let over = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {
                    let mut access = self.access.subscribe();
                    if *access.borrow_and_update() != Access::Frozen {
                        return;
                    }
                    // Held by a hand-over or a sync, not by a far chunk: that ends by itself.
                    access.changed().await.ok();
                }
                changed = quiesce.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
            }
        }
    }

    /// Ends when the disk is this site's no more: what waits for far bytes then would keep the old device alive (law L15).
    async fn closed(&self) {
        let mut access = self.access.subscribe();
        if access.wait_for(|now| *now == Access::Closed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Runs a request's cold way on the engine's own executor, inside the fetch time-out.
    fn run<T: Send + 'static>(
        self: Arc<Self>,
        work: impl Future<Output = Result<T, IoError>> + Send + 'static,
    ) -> IoFuture<T> {
        let timeout = self.fetch_timeout();
        let engine = Arc::clone(&self);
        let task = self.runtime.spawn(async move {
            engine.fetch_stats.waiting.fetch_add(1, Ordering::Relaxed);
            let result = if engine.standby_waits() {
                work.await
            } else {
                let quiet = engine.quiesced();
                tokio::select! {
                    done = tokio::time::timeout(timeout, work) => done.unwrap_or(Err(IoError::TimedOut)),
                    () = quiet => Err(IoError::TimedOut),
                    () = engine.closed() => Err(IoError::NotResident),
                }
            };
            engine.fetch_stats.waiting.fetch_sub(1, Ordering::Relaxed);
            result
        });
        async move { task.await.unwrap_or(Err(IoError::Io)) }.boxed()
    }
}

impl<S: Store> Disk for Engine<S>
where
    S::Image: AsFd,
{
    fn geometry(&self) -> Geometry {
        Geometry {
            size_bytes: self.data.size_bytes(),
            chunk_size: self.hot.chunk_size(),
            trim_granularity: 4096,
            read_only: self.is_read_only(),
        }
    }

    fn hot(&self) -> &HotMap {
        &self.hot
    }

    fn data(&self) -> BorrowedFd<'_> {
        self.data.as_fd()
    }

    fn begin(self: Arc<Self>, lane: Lane, op: Op, offset: u64, len: u64) -> IoFuture<Ticket> {
        if let Some(ticket) = self.begin_now(lane, op, offset, len) {
            return std::future::ready(Ok(ticket)).boxed();
        }
        let engine = Arc::clone(&self);
        self.run(engine.begin_cold(lane, op, offset, len))
    }

    fn flush(self: Arc<Self>) -> IoFuture<()> {
        self.lanes[0].flushes.fetch_add(1, Ordering::Relaxed);
        let engine = Arc::clone(&self);
        let task = self.runtime.spawn(async move { engine.flush_now().await.map_err(|e| e.io()) });
        async move { task.await.unwrap_or(Err(IoError::Io)) }.boxed()
    }

    fn flush_here(self: Arc<Self>) -> IoFuture<()> {
        self.lanes[0].flushes.fetch_add(1, Ordering::Relaxed);
        async move { self.flush_now().await.map_err(|e| e.io()) }.boxed()
    }

    fn zero(self: Arc<Self>, lane: Lane, offset: u64, len: u64, mode: ZeroMode) -> IoFuture<()> {
        let engine = Arc::clone(&self);
        self.run(engine.zero_range(lane, offset, len, mode))
    }

    fn block_status(&self, offset: u64, len: u64) -> Result<Vec<Extent>, IoError> {
        self.check_request(Op::Read, offset, len)?;
        let size = u64::from(self.hot.chunk_size());
        let state = self.state();
        let mut extents: Vec<Extent> = Vec::new();
        for chunk in self.hot.touched(offset, len) {
            let from = offset.max(chunk * size);
            let to = (offset + len).min((chunk + 1) * size);
            let row = state.table.get(chunk);
            let empty = !row.exists() || row.zero;
            let cold = self.hot.state(chunk) == ChunkState::COLD;
            // Inside a held chunk the image's own holes tell; elsewhere only the table does.
            let hole = empty || (!cold && !self.data.has_blocks(chunk));
            match extents.last_mut() {
                Some(last) if last.hole == hole => last.len += to - from,
                _ => extents.push(Extent { len: to - from, hole, zero: hole }),
            }
        }
        Ok(extents)
    }

    fn failed(&self, op: Op, errno: i32) {
        self.front_end_failed(op, errno);
    }

    fn count(&self, lane: Lane, op: Op, bytes: u64) {
        let lane = &self.lanes[lane.0];
        let (requests, moved) = match op {
            Op::Read => (&lane.reads, &lane.bytes_read),
            Op::Write => (&lane.writes, &lane.bytes_written),
        };
        requests.fetch_add(1, Ordering::Relaxed);
        moved.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl IoStats {
    /// Requests of any kind.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.reads + self.writes + self.flushes
    }
}
