//! The front-end of a keeper: started by `attach`, stopped by `detach` or a hand-over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wandisk_nbd as nbd;
#[cfg(feature = "ublk")]
use wandisk_ublk as ublk;

use super::Keeper;
use super::ublk_device::device_user;
#[cfg(not(feature = "ublk"))]
use super::without_ublk as ublk;
use crate::engine::NBD_LANES;
use crate::handover::apply::named;
use crate::handover::rules::Refused;
use crate::peer::error::{Code, Refusal};

/// How long a front-end's requests may take to end when it is stopped.
const DRAIN: Duration = Duration::from_secs(20);

/// Which front-end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrontEnd {
    /// ublk where the kernel has it, else NBD at the default socket.
    Any,
    /// `/dev/ublkbN`.
    Ublk {
        /// *N*, if one is wanted.
        id: Option<u32>,
    },
    /// NBD.
    Nbd {
        /// `unix:PATH` or `tcp:HOST:PORT`; none: `nbd.sock` beside the image.
        address: Option<String>,
    },
}

/// What requests get while the disk is not resident here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standby {
    /// Not a standby: attaching where the disk is not resident is refused.
    No,
    /// They fail at once.
    Refuse,
    /// They wait (NBD only).
    Wait,
}

/// How to attach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttachOptions {
    /// The front-end.
    pub front_end: FrontEnd,
    /// No writes.
    pub read_only: bool,
    /// Attach before residency comes.
    pub standby: Standby,
    /// How long a request may wait for a fetch.
    pub fetch_timeout_ms: u64,
    /// Bytes that may be fetched ahead of demand; 0 is the pure on-demand mode.
    pub prefetch_bytes: u64,
    /// How long after the last scrub the next begins; none: never.
    pub scrub_every_ms: Option<u64>,
}

/// What `attach --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachReport {
    /// The block device, if it is one.
    pub device: Option<PathBuf>,
    /// The NBD URI, if it is one.
    pub uri: Option<String>,
    /// The keeper.
    pub pid: u32,
}

/// What `status` tells of the front-end.
pub type AttachRecord = AttachReport;

/// A running front-end.
pub(super) struct Attached {
    pub(super) report: AttachReport,
    pub(super) running: Running,
}

pub(super) enum Running {
    Ublk(ublk::Device),
    Nbd(nbd::Handle),
}

impl Keeper {
    /// Starts a front-end; when this returns, it is usable.
    ///
    /// # Errors
    /// A [`Refusal`] that says what to do.
    pub async fn attach(self: &Arc<Self>, options: AttachOptions) -> Result<AttachReport, Refusal> {
        let mut attached = self.attached.lock().await;
        if let Some(there) = attached.as_ref() {
            let at = place(&there.report);
            return Err(Refusal::new(Code::InUse, format!("the disk is attached here already, as {at}"))
                .hint("detach it first with `wandisk detach`"));
        }
        let resident = self.engine.meta().is_resident();
        if !resident && options.standby == Standby::No {
            self.clear_orphans().await;
            return Err(self.not_resident_here());
        }
        self.stay().await?;
        if self.engine.is_poisoned() {
            return Err(Refusal::new(Code::Failed, "the disk's store failed and its keeper is ending")
                .hint("attach again"));
        }
        self.engine.set_read_only(options.read_only);
        self.engine.set_standby_waits(options.standby == Standby::Wait);
        self.engine.set_fetch_timeout(Duration::from_millis(options.fetch_timeout_ms.max(1)));
        self.engine.set_prefetch_budget(options.prefetch_bytes);
        self.engine.quiesce(None);
        self.scrub_every.send_replace(options.scrub_every_ms.map(Duration::from_millis));
        let started = match options.front_end.clone() {
            FrontEnd::Ublk { id } => self.start_ublk(id, options.standby).await,
            FrontEnd::Nbd { address } => self.start_nbd(address),
            FrontEnd::Any if ublk::probe().is_ok() && options.standby != Standby::Wait => {
                self.start_ublk(None, options.standby).await
            }
            FrontEnd::Any => self.start_nbd(None),
        }?;
        let report = started.report.clone();
        *attached = Some(started);
        if options.prefetch_bytes > 0 {
            self.start_replay();
        }
        Ok(report)
    }

    fn not_resident_here(&self) -> Refusal {
        let meta = self.engine.meta();
        let (disk, here) = (self.engine.dir().name(), self.home.name());
        match meta.residency {
            wandisk_store::Residency::Released { attempt } => {
                let to = self.site_name(attempt.to);
                Refusal::new(
                    Code::NotResident,
                    format!("the disk was handed over to {to}, which was not told yet"),
                )
                .hint(format!("run `wandisk move {disk} --to {to}` to finish, then move it back"))
            }
            wandisk_store::Residency::Overtaken { epoch, resident } => {
                named(&meta, Refused::Overtaken { epoch, resident })
            }
            _ => {
                let resident = self.site_name(meta.resident);
                Refusal::new(
                    Code::NotResident,
                    format!("the disk is resident at {resident} (epoch {})", meta.epoch),
                )
                .hint(format!("run `wandisk move {disk} --to {here}` first, or attach with --standby"))
            }
        }
    }

    fn start_nbd(&self, address: Option<String>) -> Result<Attached, Refusal> {
        let default = || format!("unix:{}", self.engine.dir().path().join("nbd.sock").display());
        let address = address.unwrap_or_else(default);
        let address = nbd::Address::parse(&address).map_err(|e| Refusal::failed(&e))?;
        let server =
            nbd::Server::bind(&address, Arc::clone(&self.engine), self.engine.dir().name(), NBD_LANES)
                .map_err(|e| Refusal::failed(&e))?;
        let uri = server.uri();
        let handle = server.spawn().map_err(|e| Refusal::failed(&e))?;
        let report = AttachReport { device: None, uri: Some(uri), pid: std::process::id() };
        Ok(Attached { report, running: Running::Nbd(handle) })
    }

    /// Where the disk is attached, if it is.
    pub async fn attached_as(&self) -> Option<AttachRecord> {
        self.attached.lock().await.as_ref().map(|a| a.report.clone())
    }

    /// Stops the front-end in order and makes everything durable.
    ///
    /// # Errors
    /// A [`Refusal`] if it is in use, or nothing is attached.
    pub async fn detach(&self) -> Result<(), Refusal> {
        let mut attached = self.attached.lock().await;
        match attached.as_ref().map(|a| &a.running) {
            Some(Running::Ublk(device)) => free_of(device_user(device.id()))?,
            Some(Running::Nbd(_)) => {}
            None => self.refuse_orphan_in_use().await?,
        }
        let Some(running) = attached.take() else {
            // A keeper that was killed may have left its device.
            return if self.clear_orphans().await {
                Ok(())
            } else {
                Err(Refusal::new(Code::Senseless, "the disk is not attached here"))
            };
        };
        self.stop(running).await;
        self.end_run();
        self.engine.set_read_only(false);
        self.engine.set_standby_waits(false);
        if self.engine.is_poisoned() {
            // The next keeper reads what is durable.
            self.quit();
            return Ok(());
        }
        self.settle().await
    }

    /// The keeper ends while its device is in use: the device is left for the next keeper, its users wait.
    pub(super) async fn leave(&self) {
        let Some(attached) = self.attached.lock().await.take() else { return };
        let left = tokio::task::spawn_blocking(move || match attached.running {
            Running::Ublk(device) => device.leave().map_err(|e| e.to_string()),
            Running::Nbd(handle) => {
                let abandoned = handle.stop(DRAIN).abandoned;
                if abandoned == 0 { Ok(()) } else { Err(format!("{abandoned} requests were abandoned")) }
            }
        });
        if let Ok(Err(e)) = left.await {
            tracing::warn!(error = e, "the front-end did not end in order");
        }
    }

    async fn stop(&self, attached: Attached) {
        self.end_replay(None);
        let stopped = tokio::task::spawn_blocking(move || match attached.running {
            Running::Ublk(device) => device.stop(DRAIN).map(drop).map_err(|e| e.to_string()),
            Running::Nbd(handle) => match handle.stop(DRAIN) {
                stopped if stopped.abandoned == 0 => Ok(()),
                _ => Err("requests of NBD clients did not end in time".to_owned()),
            },
        });
        if let Ok(Err(e)) = stopped.await {
            tracing::warn!(error = e, "the front-end did not stop in order");
        }
        self.end_bell.notify_one();
    }

    /// Refuses while somebody uses the disk (law L15), be it by the device of a keeper that died.
    pub(crate) async fn refuse_if_in_use(&self) -> Result<(), Refusal> {
        let attached = self.attached.lock().await;
        match attached.as_ref().map(|a| (&a.running, &a.report)) {
            Some((Running::Ublk(device), _)) => free_of(device_user(device.id())),
            Some((Running::Nbd(handle), report)) => free_of(match handle.connections() {
                0 => None,
                n => Some(format!("{n} NBD client(s) are connected to {}", place(report))),
            }),
            None => self.refuse_orphan_in_use().await,
        }
    }

    /// After a release: the device stays as that of a standby, whose requests are refused until the disk is back; what was set for
    /// its last run here is not for the next.
    pub(crate) async fn device_stays(&self) {
        self.end_replay(None);
        self.engine.quiesce(None);
        self.end_run();
        self.demote().await;
    }

    /// After a release: the old device is gone, whoever holds it gets errors.
    pub(crate) async fn device_is_dead(&self) {
        // Held until it is gone: whoever attaches the disk when it is back waits for that.
        let mut attached = self.attached.lock().await;
        match attached.take() {
            Some(attached) => self.stop(attached).await,
            None => drop(self.clear_orphans().await),
        }
        self.end_run();
    }
}

fn place(report: &AttachReport) -> String {
    let device = report.device.as_ref().map(|d| d.display().to_string());
    device.or_else(|| report.uri.clone()).unwrap_or_default()
}

fn free_of(user: Option<String>) -> Result<(), Refusal> {
    let refused = |user| {
        Refusal::new(Code::InUse, user)
            .hint("unmount or close it first, or move with --force, which kills it")
    };
    user.map_or(Ok(()), |user| Err(refused(user)))
}
