//! An agent's memory to a file, back into a QEMU here, and to a QEMU at another site: the hands of [`super::suspend`].
//!
//! QEMU writes to a unix socket, as in a migration, and this process packs what comes. That all came is known from QEMU's own
//! word (`completed`); only then the file gets its name. Each of the long ones runs beside the actions, so that it can be
//! given up.

use std::convert::Infallible;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::event::Event;
use super::hands::{DISK, Hands, SETTLES};
use super::image::{self, Packed};
use super::moving::BANDWIDTH;
use super::phase::{Attempt, Image};
use super::qemu::{SOON, last_words};
use super::shell::Input;
use super::why::{Sentence, SentenceOf, Why};
use crate::agent::command_line::names;
use crate::control::{Open, Opening, PROTOCOL, open, read_end};
use crate::qmp::{Client, MigrationStatus, RunState};
use crate::sites::{Site, Sites};
use crate::wandisk::Wandisk;
use crate::words::with_causes;

/// The other site checks an image and has its QEMU take it.
const TAKES: Duration = Duration::from_secs(600);
/// A link that takes nothing for so long is dead.
const STALLS: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// How far a suspension is, is told so often.
const TELLS: Duration = Duration::from_secs(1);
const PIECE_BYTES: usize = 256 << 10;

impl Hands {
    /// The machine stands from now on, and its memory is on its way to a file.
    pub(super) async fn save(&mut self, id: Uuid) -> Result<(), Why> {
        self.drop_copying();
        self.qemu.call("stop", Value::Null).await.told()?;
        // Nobody answers a file.
        self.capabilities(false).await?;
        self.qemu.call("migrate-set-parameters", json!({ "max-bandwidth": BANDWIDTH })).await.told()?;
        std::fs::remove_file(names::LEAVING).ok();
        let listener = UnixListener::bind(names::LEAVING).told()?;
        let saving = Saving {
            client: Arc::clone(self.qemu.client().told()?),
            wandisk: self.wandisk.clone(),
            disk: self.agent.disk.clone(),
            id,
            inputs: self.inputs.clone(),
        };
        self.copying.push(tokio::spawn(saving.until_the_end(listener)));
        let uri = json!({ "uri": format!("unix:{}", names::LEAVING) });
        self.qemu.call("migrate", uri).await.map(drop).told()
    }

    /// Only if the disk is resident here, and nobody had it since.
    pub(super) async fn load(&mut self, image: &Image) -> Result<(), Why> {
        self.fits().await?;
        let disk = self.resident().await?;
        belongs(image, &disk)?;
        let packed = Packed::from(image);
        let file = checked(image.id, packed.clone()).await?;
        self.attach(&disk, false).await?;
        // It was bounded when the agent was suspended.
        self.wandisk.ask(&["quiesce", &self.agent.disk, "--off"], DISK).await.told()?;
        self.listens().await?;
        let taker = UnixStream::connect(names::ARRIVING).await.told()?;
        feed(file, packed, taker).await.map_err(|error| format!("{error} ({})", last_words()))?;
        self.taken(SETTLES).await
    }

    /// QEMU has read to the end and could use it.
    pub(super) async fn taken(&self, limit: Duration) -> Result<(), Why> {
        let end = Instant::now() + limit;
        loop {
            let status = self.qemu.migration().await;
            match status.map_err(|error| format!("{error}: {}", last_words()))? {
                MigrationStatus::Completed if self.qemu.run_state().await.told()? != RunState::InMigrate => {
                    return Ok(());
                }
                MigrationStatus::Failed => {
                    return Err(format!("QEMU could not use it: {}", last_words()).into());
                }
                _ if Instant::now() > end => return Err("QEMU did not take all of it".into()),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Begins to bring an image to the other site.
    pub(super) async fn carry_image(&mut self, attempt: Attempt, to: &str, image: &Image) -> Result<(), Why> {
        self.table_is_there().await?;
        self.drop_copying();
        belongs(image, &self.resident().await?)?;
        let sites = Sites::read(&self.here.home).told()?;
        let carrying = Carrying {
            site: sites.site(to).told()?.clone(),
            agent: self.agent.name.clone(),
            attempt,
            image: image.clone(),
            inputs: self.inputs.clone(),
        };
        self.copying.push(tokio::spawn(carrying.until_the_end()));
        Ok(())
    }
}

/// Law M6: memory and disk are of one moment.
fn belongs(image: &Image, disk: &Value) -> Result<(), Why> {
    if image.epoch.is_none() || disk["epoch"].as_u64() == image.epoch {
        return Ok(());
    }
    Err(Why::from("its disk was at another site since it was suspended, where it may have been written to")
        .hint("`snowbird resume --force` goes on all the same, and breaks the file system if it was"))
}

/// An image of this folder, compared with what it must be.
async fn checked(id: Uuid, packed: Packed) -> Result<std::fs::File, Why> {
    tokio::task::spawn_blocking(move || image::open(Path::new("."), id, &packed)).await.told()?.told()
}

/// Unpacks a file that was compared into a QEMU that listens.
///
/// # Errors
/// In a sentence: the file's, or QEMU's.
pub(crate) async fn feed(file: std::fs::File, packed: Packed, taker: UnixStream) -> Result<(), Why> {
    let taker = blocking(taker).told()?;
    // A QEMU that hangs does not hold this for ever.
    taker.set_write_timeout(Some(STALLS)).told()?;
    tokio::task::spawn_blocking(move || image::unpack(file, &packed, taker)).await.told()?.told()
}

fn blocking(stream: UnixStream) -> std::io::Result<StdUnixStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// QEMU's stream on its way to a file.
struct Saving {
    client: Arc<Client>,
    wandisk: Wandisk,
    disk: String,
    id: Uuid,
    inputs: UnboundedSender<Input>,
}

impl Saving {
    async fn until_the_end(self, listener: UnixListener) {
        let event = match self.saved(listener).await {
            Ok(image) => Event::Saved { image },
            Err(why) => Event::CopyFailed { why },
        };
        self.inputs.send(Input::Event(event)).ok();
    }

    async fn saved(&self, listener: UnixListener) -> Result<Image, Why> {
        let folder = Path::new(".");
        let (stream, _) = listener.accept().await.told()?;
        let stream = blocking(stream).told()?;
        let file = image::begin(folder, self.id).told()?;
        let packing = tokio::task::spawn_blocking(move || image::pack(stream, &file));
        let packed = tokio::select! {
            packed = packing => packed.told()?,
            never = self.tell() => match never {},
        };
        let packed = packed.map_err(|error| Why {
            message: format!("its memory could not be written: {}", with_causes(&error)),
            ..Why::of(&error)
        })?;
        self.all_came().await?;
        let disk = self.wandisk.ask(&["status", &self.disk, "--here"], DISK).await.told()?;
        let epoch = Some(disk["epoch"].as_u64().ok_or("wandisk named no epoch of its disk")?);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        image::finish(folder, self.id).told()?;
        Ok(Image {
            id: self.id,
            len_bytes: packed.len_bytes,
            blake3: packed.blake3,
            unpacked_bytes: packed.unpacked_bytes,
            epoch,
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Tells how much of it is written, for whoever waits.
    async fn tell(&self) -> Infallible {
        loop {
            tokio::time::sleep(TELLS).await;
            // (One that does not answer is asked again.)
            if let Ok(asked) = self.client.call("query-migrate", Value::Null, SOON).await {
                self.inputs.send(Input::Written(asked)).ok();
            }
        }
    }

    /// A stream that ended is not yet one that is whole.
    async fn all_came(&self) -> Result<(), Why> {
        let end = Instant::now() + SETTLES;
        loop {
            let asked = self.client.call("query-migrate", Value::Null, SOON).await.told()?;
            match MigrationStatus::of(asked["status"].as_str().unwrap_or_default()) {
                MigrationStatus::Completed => return Ok(()),
                MigrationStatus::Failed | MigrationStatus::Cancelled => {
                    return Err("QEMU gave it up".into());
                }
                _ if Instant::now() > end => return Err("QEMU did not end it".into()),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
}

/// An image on its way to another site.
struct Carrying {
    site: Site,
    agent: String,
    attempt: Attempt,
    image: Image,
    inputs: UnboundedSender<Input>,
}

impl Carrying {
    async fn until_the_end(self) {
        let event = match self.carried().await {
            // The agent stands, and all but its disk is there.
            Ok(()) => Event::PreSwitchover,
            Err(why) => Event::CopyFailed { why },
        };
        self.inputs.send(Input::Event(event)).ok();
    }

    async fn carried(&self) -> Result<(), Why> {
        let (packed, site) = (Packed::from(&self.image), self.site.name.as_str());
        let mut file = tokio::fs::File::from_std(checked(self.image.id, packed).await?);
        let opening = Opening {
            snowbird: PROTOCOL,
            agent: self.agent.clone(),
            open: Open::Image {
                attempt: self.attempt,
                len_bytes: self.image.len_bytes,
                unpacked_bytes: self.image.unpacked_bytes,
                blake3: self.image.blake3.clone(),
            },
            document: None,
        };
        let mut far = open(&self.site, &opening).await.told_of(site)?;
        let mut piece = vec![0; PIECE_BYTES];
        let (mut sent, mut told) = (0, Instant::now());
        loop {
            if told.elapsed() >= TELLS {
                told = Instant::now();
                self.inputs.send(carried_so_far(self.image.len_bytes, sent)).ok();
            }
            let read = file.read(&mut piece).await.told()?;
            if read == 0 {
                break;
            }
            sent += read as u64;
            let write = far.get_mut().write_all(&piece[..read]);
            match tokio::time::timeout(STALLS, write).await {
                Ok(Ok(())) => {}
                // Why it hears no more is in what it said last.
                Ok(Err(error)) => {
                    read_end(&mut far, STALLS, |_| ()).await.told_of(site)?;
                    return Err(error).told();
                }
                Err(_) => {
                    let long = STALLS.as_secs();
                    return Err(format!("the link to site {site:?} took nothing for {long} s").into());
                }
            }
        }
        far.get_mut().flush().await.told()?;
        self.inputs.send(carried_so_far(self.image.len_bytes, sent)).ok();
        read_end(&mut far, TAKES, |_| ()).await.map(drop).told_of(site)
    }
}

/// How much of an image is on its way, in the form of QEMU's account of a migration.
fn carried_so_far(len_bytes: u64, sent: u64) -> Input {
    let ram = json!({
        "total": len_bytes,
        "remaining": len_bytes.saturating_sub(sent),
        "transferred": sent,
        "normal-bytes": sent,
    });
    Input::Looked { status: MigrationStatus::Active, news: json!({ "status": "active", "ram": ram }) }
}
