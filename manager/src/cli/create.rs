//! `snowbird create`: from the user's words to an agent that is known here, with its disk.
//!
//! Fault model: it may be killed at any step. What is chosen is written down last; until then a mark says that the disk may be there and
//! belong to nobody ([`super::unfinished`]).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use uuid::Uuid;

use super::agents::{FILL, Site};
use super::args_agents::CreateArgs;
use super::machinery::{Machinery, choose};
use super::profile::load_text;
use super::told::{Told, hint_of, print};
use super::unfinished::Unfinished;
use crate::agent::{Agent, BootFile, DirectBoot, FORMAT, Front, firmware, is_name, mac_of, ublk};
use crate::control::folder;
use crate::seat::make_folder;
use crate::supervisor::phase::Machine;

const DISK: Duration = Duration::from_secs(30);

impl Site {
    pub(super) async fn create(&self, args: &CreateArgs) -> Result<()> {
        let name = &args.agent;
        if !is_name(name) {
            return Err(Told::new(format!("{name:?} cannot be a name"))
                .hint("use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit")
                .into());
        }
        let mut store = self.store()?;
        if store.agent(name).is_ok() {
            return Err(Told::new(format!("an agent named {name:?} is known already"))
                .hint("see `snowbird ls`")
                .into());
        }
        let elsewhere = args.at.as_deref().filter(|site| *site != self.sites.name);
        if let Some(site) = elsewhere {
            self.sites.site(site).map_err(Told::of_site)?;
        }
        if args.ublk {
            let hint = "without --ublk the disk is an NBD export, which works everywhere";
            ublk::usable().map_err(|error| Told::from(&error).hint(hint))?;
        }
        let Machinery { machine, cpu, accelerator } =
            choose(&self.here, &self.sites, args.accelerator, args.cpu.as_deref(), self.json).await?;
        let boot = match &args.kernel {
            Some(kernel) => Some(DirectBoot {
                kernel: boot_file(kernel)?,
                initrd: args.initrd.as_deref().map(boot_file).transpose()?,
                append: args.append.clone(),
            }),
            None => None,
        };
        let uefi = if args.uefi {
            let missing = || {
                Told::new("there is no UEFI firmware for virtual machines at this site").hint(
                    "install the package ovmf (edk2-ovmf), here and at each site where the agent may run",
                )
            };
            Some(firmware::here().ok_or_else(missing)?)
        } else {
            None
        };
        let uuid = Uuid::new_v4();
        let agent = Agent {
            format: FORMAT,
            name: name.clone(),
            uuid,
            disk: args.disk.clone().unwrap_or_else(|| name.clone()),
            memory_bytes: args.memory,
            vcpus: args.vcpus,
            machine,
            cpu,
            accelerator,
            mac: mac_of(uuid),
            boot,
            cdrom: args.cdrom.as_deref().map(boot_file).transpose()?,
            cd_changes: 0,
            uefi,
            front: if args.ublk { Front::Ublk } else { Front::Nbd },
            home: self.sites.name.clone(),
            home_changes: 0,
            word: None,
        };
        agent.check().map_err(|error| Told::from(&error))?;
        let taken = "use another disk, or purge that agent first; see `snowbird ls`";
        store.may_have_disk(&agent).map_err(|error| Told::from(&error).hint(taken))?;
        let profile = args.profile.as_deref().map(load_text).transpose()?;
        make_folder(&folder(&self.here.home, name))?;
        let unfinished = self.begin(&agent, args).await?;
        if let Err(error) = self.make_disk(&agent, args).await {
            if self.has_no_disk(&agent.disk).await {
                unfinished.give_up();
            }
            return Err(error);
        }
        store.put(&agent, &serde_json::to_string(&Machine::default())?, "created")?;
        unfinished.finish();
        if let Some((_, text)) = profile {
            store.set_automatic(uuid, &self.sites.name, |settings| settings.profile = Some(text))?;
        }
        if let Some(site) = elsewhere {
            self.rehome(name, site).await.map_err(|error| {
                let again = || format!("it is created, and its home is this site: `snowbird home {name} --to {site}` tries again");
                Told::new(format!("{error:#}")).hint(hint_of(&error).unwrap_or_else(again))
            })?;
        }
        let agent = Agent { home: args.at.clone().unwrap_or(agent.home), ..agent };
        print(self.json, &json!(agent), || {
            format!("{name}: {}, run by {}, home {}", agent.machine, accelerator.word(), agent.home)
        })
    }

    /// Marks what is begun. What an earlier command, which was killed, has left is removed if it is an empty disk, else told.
    async fn begin(&self, agent: &Agent, args: &CreateArgs) -> Result<Unfinished> {
        let Some((unfinished, earlier)) = Unfinished::begin(&self.here.home, &agent.name)? else {
            return Err(Told::new(format!("{} is being created by another command", agent.name))
                .hint("wait for its end")
                .into());
        };
        if args.disk.is_some() {
            return Ok(unfinished);
        }
        let (wandisk, disk) = (self.wandisk()?, agent.disk.as_str());
        let there = match wandisk.ask(&["status", disk, "--here"], DISK).await {
            Err(error) if error.is_no_disk() => return Ok(unfinished),
            asked => asked.map_err(|error| Told::of_wandisk(&error))?,
        };
        if !earlier {
            // It is somebody's.
            unfinished.give_up();
            return Err(Told::new(format!("a disk named {disk} is at this site already"))
                .hint(format!("`snowbird create {} --disk {disk}` makes an agent of it", agent.name))
                .into());
        }
        let empty = there["chunks"]["written"] == json!(0) && there["residency"] == json!("resident");
        if empty && there["epoch"] == json!(1) && there["attached"] == json!(false) {
            wandisk.ask(&["rm", disk], DISK).await.map_err(|error| Told::of_wandisk(&error))?;
            return Ok(unfinished);
        }
        Err(Told::new(format!("an earlier `create {}` was ended when it had made the disk {disk}", agent.name))
            .hint(format!("go on with it by `--disk {disk}` (without --image and --size), or `wandisk rm --force {disk}` removes it"))
            .into())
    }

    async fn has_no_disk(&self, disk: &str) -> bool {
        let Ok(wandisk) = self.wandisk() else { return false };
        wandisk.ask(&["status", disk, "--here"], DISK).await.is_err_and(|error| error.is_no_disk())
    }

    async fn make_disk(&self, agent: &Agent, args: &CreateArgs) -> Result<()> {
        let wandisk = self.wandisk()?;
        let told = |error: crate::wandisk::WandiskError| Told::of_wandisk(&error);
        let size = args.size.map(|bytes| bytes.to_string());
        if args.disk.is_some() {
            wandisk.ask(&["status", &agent.disk], DISK).await.map_err(told)?;
            return Ok(());
        }
        let Some(image) = &args.image else {
            let size = size.context("neither --image nor --disk nor --size")?;
            wandisk.ask(&["create", &agent.disk, "--size", &size], FILL).await.map_err(told)?;
            return Ok(());
        };
        let image = image.to_str().context("the image's name is no UTF-8")?;
        wandisk.ask(&["create", &agent.disk, "--from", image], FILL).await.map_err(|error| {
            let unread = "name a raw or qcow2 image that `qemu-img check` finds whole";
            let hint = error.hint().unwrap_or(unread).to_owned();
            told(error).hint(hint)
        })?;
        if let Some(size) = size {
            wandisk.ask(&["resize", &agent.disk, &size], DISK).await.map_err(told)?;
        }
        Ok(())
    }
}

/// A file that every site must have, as it is here now.
pub(super) fn boot_file(path: &Path) -> Result<BootFile> {
    let whole = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
    let len_bytes = whole.metadata()?.len();
    Ok(BootFile { path: whole.to_str().context("a file's name is no UTF-8")?.to_owned(), len_bytes })
}
