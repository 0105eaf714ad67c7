//! Partitions that the kernel could not read when a device came or became resident, since their table is elsewhere: they
//! are looked for until it is here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
#[cfg(feature = "ublk")]
use wandisk_ublk as ublk;

use super::Keeper;
#[cfg(not(feature = "ublk"))]
use super::without_ublk as ublk;

/// How long the kernel may take for a table that is here.
const SCAN: Duration = Duration::from_secs(10);
/// After a try at which the table could not be had.
const AGAIN: Duration = Duration::from_secs(5);

impl Keeper {
    /// Where partition tables are: DOS's and GPT's in the first chunk, GPT's second one in the last.
    fn ends(&self) -> [u64; 2] {
        [0, self.engine.meta().chunks().saturating_sub(1)]
    }

    /// Whether the kernel can read the partition table without waiting.
    pub(super) fn has_ends(&self) -> bool {
        self.ends().into_iter().all(|chunk| self.engine.has(chunk))
    }

    /// Has the kernel read the partition table of this disk's device as soon as that is here; ends with the device.
    pub(super) fn look_for_partitions(self: &Arc<Self>, device: &Path) -> JoinHandle<()> {
        let (keeper, device) = (Arc::downgrade(self), device.to_owned());
        tokio::spawn(async move {
            while let Some(keeper) = keeper.upgrade() {
                if !keeper.is_served_as(&device).await || keeper.reads_partitions(&device).await {
                    return;
                }
                drop(keeper);
                tokio::time::sleep(AGAIN).await;
            }
        })
    }

    /// Whether the device is still this disk's, and gives its bytes.
    async fn is_served_as(&self, device: &Path) -> bool {
        self.engine.meta().is_resident()
            && self.attached_as().await.and_then(|now| now.device).is_some_and(|now| now == device)
    }

    /// Whether the kernel has read the table, or must not any more. It is not asked before the table is here: a kernel that waits for a
    /// keeper's bytes in that keeper's own call keeps it from ending.
    async fn reads_partitions(&self, device: &Path) -> bool {
        for chunk in self.ends() {
            if self.engine.bring(chunk, true).await.is_err() {
                return false;
            }
        }
        let path = device.to_owned();
        match tokio::task::spawn_blocking(move || ublk::reread_partitions(&path, SCAN)).await {
            Ok(Err(e)) => {
                tracing::debug!(device = %device.display(), error = %e, "no partitions were found");
                !e.is_failed_read()
            }
            Ok(Ok(())) | Err(_) => true,
        }
    }
}
