//! A keeper's ublk device: made, taken over from a keeper that died, asked who uses it, deleted.
//!
//! The kernel keeps a mark with each device, made of the disk and the site: by it a keeper knows its predecessor's.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "ublk")]
use wandisk_ublk as ublk;

use super::Keeper;
use super::attach::{AttachReport, Attached, Running, Standby};
#[cfg(not(feature = "ublk"))]
use super::without_ublk as ublk;
use crate::engine::UBLK_LANES;
use crate::peer::error::{Code, Refusal};

/// How long deleting a dead keeper's device may take.
const ORPHAN: Duration = Duration::from_secs(10);

impl Keeper {
    /// The mark that the kernel keeps with this disk's ublk device at this site.
    fn ublk_mark(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.engine.meta().uuid.0.as_bytes()).update(self.home.id().0.as_bytes());
        let mut word = [0u8; 8];
        hasher.finalize_xof().fill(&mut word);
        u64::from_le_bytes(word)
    }

    pub(super) async fn start_ublk(
        self: &Arc<Self>,
        id: Option<u32>,
        standby: Standby,
    ) -> Result<Attached, Refusal> {
        if standby == Standby::Wait {
            return Err(Refusal::new(
                Code::Senseless,
                "a ublk standby cannot let requests wait: the kernel reads at once",
            )
            .hint("use --standby without `wait`, or --nbd"));
        }
        let mark = self.ublk_mark();
        let engine = Arc::clone(&self.engine);
        let keeper = Arc::downgrade(self);
        let on_end: ublk::OnEnd = Box::new(move |end| {
            tracing::error!(?end, "the ublk device ended by itself");
            if let Some(keeper) = keeper.upgrade() {
                keeper.quit();
            }
        });
        let options = ublk::Options {
            id,
            mark,
            first_lane: UBLK_LANES.start,
            recoverable: ublk::probe().is_ok_and(ublk::Features::recovery),
            on_end: Some(on_end),
            ..ublk::Options::default()
        };
        let started = tokio::task::spawn_blocking(move || {
            // A device whose keeper was killed waits for the next one: its users go on.
            let left = ublk::find(mark)?.into_iter().find(ublk::DeviceInfo::awaits_recovery);
            match left {
                Some(device) if id.is_none_or(|id| id == device.id) => {
                    ublk::Device::recover(engine, device.id, options)
                }
                _ => ublk::Device::add(engine, options),
            }
        });
        let device = started.await.map_err(|e| Refusal::failed(&e))?.map_err(|e| {
            Refusal::failed(&e)
                .hint("attach with --nbd where this kernel has no ublk (Linux 6.0 or later has it)")
        })?;
        // Its reads of a table that is elsewhere were refused, or given up.
        if standby == Standby::No && !self.engine.has(0) {
            self.look_for_partitions(device.path());
        }
        let report =
            AttachReport { device: Some(device.path().to_owned()), uri: None, pid: std::process::id() };
        Ok(Attached { report, running: Running::Ublk(device) })
    }

    /// Devices that a dead keeper of this disk left; their users wait for the next one.
    fn orphans(mark: u64) -> Vec<ublk::DeviceInfo> {
        let devices = ublk::find(mark).unwrap_or_else(|e| {
            tracing::warn!(error = %e, "it cannot be told which ublk devices a dead keeper left");
            Vec::new()
        });
        devices.into_iter().filter(|d| !d.is_served()).collect()
    }

    /// Deletes the devices that a dead keeper of this disk left; was there one?
    pub(super) async fn clear_orphans(&self) -> bool {
        let mark = self.ublk_mark();
        let cleared = tokio::task::spawn_blocking(move || {
            let deleted = |d: &ublk::DeviceInfo| match ublk::delete_orphan(d.id, mark, ORPHAN) {
                Ok(_) => true,
                Err(e) => {
                    tracing::warn!(id = d.id, error = %e, "a dead keeper's ublk device could not be deleted");
                    false
                }
            };
            Keeper::orphans(mark).iter().filter(|d| deleted(d)).count()
        });
        cleared.await.is_ok_and(|n| n > 0)
    }

    /// Refuses while somebody waits for a device that a dead keeper of this disk left.
    pub(super) async fn refuse_orphan_in_use(&self) -> Result<(), Refusal> {
        let mark = self.ublk_mark();
        let user = tokio::task::spawn_blocking(move || {
            Keeper::orphans(mark).iter().find_map(|device| device_user(device.id))
        });
        let refused = |user| {
            Refusal::new(Code::InUse, format!("the keeper died and {user}")).hint(
                "attach the disk again, which lets its users go on, then unmount or close it; or move with --force, which kills it",
            )
        };
        user.await.map_err(|e| Refusal::failed(&e))?.map_or(Ok(()), |user| Err(refused(user)))
    }

    /// After a release with a device that stays: what the kernel has not written by now is refused, and must not be written when the disk
    /// is back.
    pub(super) async fn demote(&self) {
        let Some(device) = self.attached_as().await.and_then(|r| r.device) else { return };
        let dropped = tokio::task::spawn_blocking(move || {
            ublk::flush_caches(&device, ORPHAN).and_then(|()| ublk::reread_partitions(&device, ORPHAN))
        });
        if let Ok(Err(e)) = dropped.await {
            // Its partitions are looked for, too, and cannot be read.
            tracing::debug!(error = %e, "the kernel's caches of a device that stays were dropped");
        }
    }

    /// After a grant: a standby's caches hold what was read as errors or zeros before, and nobody knows its partitions.
    pub(crate) async fn promote(self: &Arc<Self>) {
        let Some(device) = self.attached_as().await.and_then(|r| r.device) else { return };
        let path = device.clone();
        let done = tokio::task::spawn_blocking(move || ublk::flush_caches(&path, ORPHAN));
        if let Ok(Err(e)) = done.await {
            tracing::warn!(error = %e, "the kernel's caches of the standby could not be dropped");
        }
        let looking = self.look_for_partitions(&device);
        // Whoever mounts one after the move finds it. What is far is not waited for: the giving site waits for this.
        if self.has_ends() && tokio::time::timeout(ORPHAN, looking).await.is_err() {
            tracing::warn!("the kernel has not read the partition table of the standby yet");
        }
    }
}

/// Who uses the block device with this number, if anybody does.
pub(super) fn device_user(id: u32) -> Option<String> {
    let path = format!("/dev/ublkb{id}");
    let usage = match ublk::in_use(id) {
        Ok(usage) => usage,
        // Not knowing is no leave to kill it.
        Err(e) => return Some(format!("it cannot be told who uses {path} ({e})")),
    };
    if let Some(mount) = usage.mounts.first() {
        return Some(format!("{path} is mounted at {}", mount.path.display()));
    }
    if let Some(opener) = usage.openers.first() {
        return Some(format!("{path} is open by {} (process {})", opener.name, opener.pid));
    }
    usage.claimed.then(|| format!("{path} is claimed by another driver of the kernel"))
}
