//! Can a site run an agent at all (law M5)? What the agent needs is compared with what was found, by [`unfit`], which is pure; its
//! answers say what to do about it, and are read at other sites, too: they name no "here".
//!
//! Fault model: each program that is asked may be missing, old or hang; what cannot be found out counts as not there.

use super::hands::Hands;
use super::why::{Sentence, Why};
use crate::agent::{Accelerator, Agent, BootFile, Front, machine, ublk};
use crate::control::folder;

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
