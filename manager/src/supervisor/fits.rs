//! Can a site run an agent at all (law M5), and has it room for one that comes? What the agent needs is compared with what was found, by
//! [`unfit`], [`shows_other`], [`lacks`] and [`may_lack`], which are pure; their answers say what to do about it, and are read at other sites, too: they name no
//! "here".
//!
//! *Processor*: a guest keeps what it found at its boot, so the QEMU here must show the same by the same name ([`Processor`]).
//!
//! *Memory*: all of an agent's comes. A site that cannot give as much, swap included, is one whose kernel ends the agent there, after the
//! commit. So it is refused. What one was told is free is set aside until it runs ([`reserve`]).
//!
//! *Disk*: chunks are fetched when they are asked for, and many never are: an agent does well for days at a site that could not hold all of
//! its disk, and moving there is often what a small fast disk is for. Where it does not, it stands with the reason in `status`, and nothing
//! is lost. So a site is refused only where there is no room to begin with ([`BEGINS_BYTES`]), and else whoever moves it is told.
//!
//! Fault model: each program that is asked may be missing, old or hang; what cannot be found out counts as not there.

use serde_json::{Value, json};

use super::hands::Hands;
use super::reserve;
use super::shell::Input;
use super::why::{Sentence, Why};
use super::wire::WINDOW_LOG;
use crate::agent::{Accelerator, Agent, BootFile, Front, machine, ublk};
use crate::control::folder;
use crate::inventory::gather::{free_bytes, processor};
use crate::inventory::memory::at_most_bytes;
use crate::inventory::processor::Processor;

const MIB: u64 = 1 << 20;
/// What QEMU has beside its machine's memory: devices, screen, translated code.
const QEMU_BYTES: u64 = 128 * MIB;
/// The first writes of an agent, its disk's table and its log: with less its site's file system is full before anybody looks.
const BEGINS_BYTES: u64 = 64 * MIB;

/// What was found at a site. What the agent does not ask for was not looked for, and counts as there.
#[derive(Clone, Debug)]
struct Found {
    /// Its QEMU's machine types, and the newest of the agents' kind.
    machines: Vec<String>,
    newest: String,
    /// A machine with the agent's processor runs by KVM.
    kvm: bool,
    /// Why disks cannot be block devices.
    no_ublk: Option<String>,
    /// There is a UEFI firmware like the agent's.
    uefi: bool,
    /// The first of the agent's files that is not as it was.
    missing: Option<BootFile>,
}

impl Hands {
    /// Can this site run it at all? From here on its machine is that of its description as it is now.
    pub(super) async fn fits(&mut self) -> Result<(), Why> {
        self.agent = self.document()?;
        let (scratch, agent) = (folder(&self.here.home, &self.agent.name), self.agent.clone());
        let found = tokio::task::spawn_blocking(move || {
            let (machines, newest) = machine::known()?;
            let by_kvm = agent.accelerator == Accelerator::Kvm;
            Ok::<_, machine::MachineError>(Found {
                machines,
                newest,
                kvm: !by_kvm || machine::kvm_works(&scratch, &agent.cpu),
                no_ublk: (agent.front == Front::Ublk)
                    .then(ublk::usable)
                    .and_then(Result::err)
                    .map(|no| no.to_string()),
                uefi: agent.uefi.is_none_or(|uefi| uefi.images().is_some()),
                missing: agent.files().find(|file| !is_here(file)).cloned(),
            })
        });
        let found = found.await.told()?.told()?;
        unfit(&self.agent, &self.site, &found).map_or(Ok(()), Err)
    }
}

/// What a site could give now; what cannot be found out is none.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Memory, swap included, without what is set aside.
    memory_bytes: Option<u64>,
    /// Set aside for other agents that come.
    reserved_bytes: u64,
    /// Of the file system of its folder.
    free_bytes: Option<u64>,
}

impl Hands {
    /// Can this site run an agent that comes, show it the processor that it knows, and hold it?
    pub(super) async fn can_take(&mut self) -> Result<(), Why> {
        let (scratch, by, cpu) =
            (folder(&self.here.home, &self.agent.name), self.agent.accelerator, self.agent.cpu.clone());
        let shown = tokio::spawn(async move { processor(&scratch, by, &cpu).await });
        self.fits().await?;
        let shown = shown.await.told()?;
        shows_other(&self.agent, &self.site, &shown).map_or(Ok(()), Err)
    }

    /// Has this site room for an agent that comes? Its memory is set aside then, and its source hears of the disk's ([`may_lack`]).
    pub(super) async fn has_room(&mut self, disk: &Value) -> Result<(), Why> {
        let (home, agent, site) = (self.here.home.clone(), self.agent.clone(), self.site.clone());
        let free_bytes = free_bytes(&home);
        let told = json!({ "free_bytes": free_bytes, "allocated_bytes": disk["allocated_bytes"] });
        self.inputs.send(Input::Room(told)).ok();
        let reserves = tokio::task::spawn_blocking(move || {
            let _turn = reserve::turn(&home).told()?;
            let reserved_bytes = reserve::for_others(&home, &agent.name);
            let memory_bytes = at_most_bytes().map(|free| free.saturating_sub(reserved_bytes));
            let room = Room { memory_bytes, reserved_bytes, free_bytes };
            lacks(&agent, &site, room).map_or(Ok(()), Err)?;
            reserve::reserve(&home, &agent.name, needs_bytes(&agent)).told()
        });
        self.reserved = Some(reserves.await.told()??);
        Ok(())
    }

    /// It is coming, and its supervisor died: what was set aside for it is so again.
    pub(super) fn reserves_again(&mut self) {
        self.reserved = reserve::reserve(&self.here.home, &self.agent.name, needs_bytes(&self.agent)).ok();
    }

    /// Whoever moves it is told where its disk may not find room there.
    pub(super) async fn warns(&self, to: &str, room: &Value) {
        if !room.is_object() {
            return;
        }
        if let Some(warning) = may_lack(&self.disk().await.unwrap_or_default(), to, room) {
            self.inputs.send(Input::Warning(warning)).ok();
        }
    }
}

/// Why a machine whose processor this QEMU shows so cannot come.
fn shows_other(agent: &Agent, site: &str, shown: &Processor) -> Option<Why> {
    if let Some(trouble) = shown.trouble(&agent.cpu, agent.accelerator) {
        let hint = format!(
            "install a QEMU at site {site:?} that can; agents created without --cpu get a processor that all checked sites have"
        );
        return Some(Why::from(trouble).hint(hint));
    }
    shown.differs().then(|| {
        let cpu = &agent.cpu;
        Why::from(format!("a processor {cpu} is what each QEMU makes of it, and the agent's would change under it"))
            .hint("create agents that are to move without --cpu, or with a processor's name (`qemu-system-x86_64 -cpu help`)")
    })
}

/// Memory that an agent needs where it comes.
fn needs_bytes(agent: &Agent) -> u64 {
    // (The stream is unpacked there by somebody who looks back as far as it was packed.)
    let beside = QEMU_BYTES + agent.memory_bytes.min(1 << WINDOW_LOG);
    agent.memory_bytes.saturating_add(beside)
}

/// Why a site with this room cannot have an agent that comes.
fn lacks(agent: &Agent, site: &str, room: Room) -> Option<Why> {
    let needs = needs_bytes(agent);
    if let Some(has) = room.memory_bytes.filter(|has| *has < needs) {
        let others = match room.reserved_bytes / MIB {
            0 => String::new(),
            mib => format!(" (beside {mib} MiB for agents that are on their way there)"),
        };
        let message = format!(
            "{} MiB of memory can be had{others}, and the agent needs {} MiB: {} MiB of its own, the rest for QEMU and what comes",
            has / MIB,
            needs / MIB,
            agent.memory_bytes / MIB
        );
        return Some(
            Why::from(message).hint(format!("free memory at site {site:?}, or move it to another site")),
        );
    }
    let has = room.free_bytes.filter(|has| *has < BEGINS_BYTES)?;
    let message = format!(
        "{} MiB are free on the file system of the site's folder, and the agent's disk needs {} MiB to begin with",
        has / MIB,
        BEGINS_BYTES / MIB
    );
    Some(Why::from(message).hint(format!("make room at site {site:?}, or move it to another site")))
}

/// What is said where a site has less room than all of the agent's disk would take: `disk` from `wandisk status` at the source.
fn may_lack(disk: &Value, site: &str, room: &Value) -> Option<String> {
    let chunks = |kind: &str| disk["chunks"][kind].as_u64();
    let whole =
        chunks("written")?.saturating_sub(chunks("zero")?).saturating_mul(disk["chunk_size"].as_u64()?);
    let missing = whole.saturating_sub(room["allocated_bytes"].as_u64()?);
    let free = room["free_bytes"].as_u64().filter(|free| *free < missing)?;
    Some(format!(
        "{} MiB of its disk are not at site {site:?}, where {} MiB are free: if it asks for more than fits it stands until there is room",
        missing / MIB,
        free / MIB
    ))
}

/// Why a site at which this was found cannot run the agent.
fn unfit(agent: &Agent, site: &str, found: &Found) -> Option<Why> {
    if !found.machines.contains(&agent.machine) {
        let message =
            format!("QEMU does not know its machine type {} (the newest is {})", agent.machine, found.newest);
        return Some(Why::from(message).hint(format!("install a newer QEMU at site {site:?}")));
    }
    if !found.kvm {
        let message = format!("KVM with a processor {} does not work, and it was created for KVM", agent.cpu);
        let check = format!(
            "`snowbird site check {site}` says what works there; an agent that is to be there, too, is created with that known"
        );
        return Some(Why::from(message).hint(check));
    }
    if let Some(why) = &found.no_ublk {
        let message = format!("its disk is to be a block device, and {why}");
        return Some(
            Why::from(message)
                .hint(format!("mend that at site {site:?}; agents created without --ublk need none")),
        );
    }
    if !found.uefi {
        return Some(
            Why::from("there is no UEFI firmware as the agent's").hint(format!(
                "install the package ovmf at site {site:?}, of the version of its other sites"
            )),
        );
    }
    let file = found.missing.as_ref()?;
    if agent.cdrom.as_ref() == Some(file) {
        let (path, name) = (&file.path, &agent.name);
        let message = format!("{path}, the CD in its drive, is not as it was when it was put in");
        let hint =
            format!("bring that file to site {site:?}, or take the CD out (`snowbird cd {name} eject`)");
        return Some(Why::from(message).hint(hint));
    }
    let message = format!("{} is not as it was when the agent was created", file.path);
    Some(Why::from(message).hint(format!("bring that file to site {site:?}, to the same place")))
}

/// Is this file at this site, as far as its length tells?
pub(super) fn is_here(file: &BootFile) -> bool {
    std::fs::metadata(&file.path).is_ok_and(|data| !data.is_dir() && data.len() == file.len_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;

    #[test]
    fn a_site_whose_qemu_would_show_another_processor_is_refused() {
        let agent = Agent { cpu: "Haswell".to_owned(), ..example() };
        let shown = |missing: &[&str], same_everywhere| Processor::Known {
            missing: missing.iter().map(|&name| name.to_owned()).collect(),
            same_everywhere,
        };
        assert_eq!(shows_other(&agent, "big", &shown(&[], true)), None);
        for (shown, says, todo) in [
            (shown(&["x2apic"], true), "lacks x2apic", "install a QEMU at site \"big\""),
            (shown(&[], false), "what each QEMU makes of it", "without --cpu"),
            (Processor::Unknown, "knows no processor Haswell", "without --cpu"),
            (Processor::Silent, "does not say", "at site \"big\""),
        ] {
            let why = shows_other(&agent, "big", &shown).unwrap();
            assert!(why.message.contains(says) && why.hint.as_deref().unwrap().contains(todo), "{why:?}");
        }
    }

    #[test]
    fn a_site_that_cannot_hold_its_memory_or_begin_with_its_disk_is_refused_in_figures() {
        // 512 MiB of memory, 128 of QEMU's, 128 of the window.
        let agent = example();
        let room = |memory: u64, free: u64| Room {
            memory_bytes: Some(memory * MIB),
            reserved_bytes: 0,
            free_bytes: Some(free * MIB),
        };
        assert_eq!(lacks(&agent, "big", room(768, 64)), None);
        let memory = lacks(&agent, "big", room(767, 64)).unwrap();
        assert!(
            memory.message.starts_with("767 MiB of memory can be had, and the agent needs 768 MiB: 512 MiB"),
            "{memory}"
        );
        assert!(memory.hint.unwrap().contains("at site \"big\""));
        let disk = lacks(&agent, "big", room(768, 63)).unwrap();
        assert!(disk.message.contains("63 MiB are free") && disk.hint.unwrap().contains("at site \"big\""));
        let beside = lacks(&agent, "big", Room { reserved_bytes: 700 * MIB, ..room(68, 64) }).unwrap();
        assert!(beside.message.starts_with("68 MiB of memory can be had (beside 700 MiB for"), "{beside}");
        // What is not known is no reason.
        assert_eq!(
            lacks(&agent, "big", Room { memory_bytes: None, reserved_bytes: 0, free_bytes: None }),
            None
        );
    }

    #[test]
    fn who_moves_an_agent_hears_where_all_of_its_disk_would_not_fit() {
        let disk = json!({ "chunk_size": MIB, "chunks": { "written": 110, "zero": 10 } });
        let room = |free: u64, has: u64| json!({ "free_bytes": free * MIB, "allocated_bytes": has * MIB });
        assert_eq!(may_lack(&disk, "big", &room(100, 0)), None);
        assert_eq!(may_lack(&disk, "big", &room(60, 40)), None);
        let said = may_lack(&disk, "big", &room(59, 40)).unwrap();
        assert!(
            said.starts_with("60 MiB of its disk are not at site \"big\", where 59 MiB are free"),
            "{said}"
        );
        for nothing in [json!({}), json!({ "free_bytes": "x" })] {
            assert_eq!(may_lack(&disk, "big", &nothing), None);
        }
    }

    fn found() -> Found {
        Found {
            machines: vec!["pc-q35-7.2".to_owned()],
            newest: "pc-q35-7.2".to_owned(),
            kvm: true,
            no_ublk: None,
            uefi: true,
            missing: None,
        }
    }

    #[test]
    fn what_a_site_lacks_is_said_with_what_to_do_there() {
        let agent = example();
        assert_eq!(unfit(&agent, "big", &found()), None);
        let (kernel, cd) = (agent.boot.as_ref().unwrap().kernel.clone(), agent.cdrom.clone().unwrap());
        for (lacks, says, todo) in [
            (
                Found { machines: Vec::new(), ..found() },
                "machine type pc-q35-7.2",
                "newer QEMU at site \"big\"",
            ),
            (Found { kvm: false, ..found() }, "KVM with a processor Nehalem", "`snowbird site check big`"),
            (Found { no_ublk: Some("no driver".to_owned()), ..found() }, "no driver", "at site \"big\""),
            (Found { uefi: false, ..found() }, "UEFI", "package ovmf at site \"big\""),
            (
                Found { missing: Some(kernel), ..found() },
                "/boot/a,b is not as it was",
                "bring that file to site \"big\"",
            ),
            (Found { missing: Some(cd), ..found() }, "the CD in its drive", "`snowbird cd work eject`"),
        ] {
            let why = unfit(&agent, "big", &lacks).unwrap();
            assert!(
                why.message.contains(says) && why.hint.as_deref().is_some_and(|hint| hint.contains(todo)),
                "{why:?}"
            );
            assert!(!why.message.contains("this site"), "{why:?}");
        }
    }
}
