//! What a site has for agents, what it lacks, and what all sites of an agent have. Pure; [`gather`] looks.
//!
//! Inventory of other sites come over a link ([`Open::Inventory`](crate::control::Open)) and are kept beside the sites file, so that
//! `create` can choose a machine and a processor that every site has without asking all of them again.
//!
//! Invariants: an inventory from elsewhere is bounded and holds names only ([`Inventory::checked`]); a baseline is what every site said
//! it has, never a guess.

pub mod gather;
pub mod memory;
pub mod processor;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agent::{Accelerator, is_name};

/// No list of names is longer: QEMU 10 knows some 130 machines and 150 processors.
const NAMES_MAX: usize = 1024;
/// No kept file is longer.
const FILE_MAX: u64 = 256 << 10;
/// The oldest QEMU with which this was tried, and whose network card for switches is there (`dgram`).
const QEMU_OLDEST: (u32, u32) = (7, 2);
/// Less than this, and an agent's memory image or its log may not fit.
const ROOM_BYTES: u64 = 1 << 30;

/// What a site has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// The version of its snowbird.
    pub snowbird: String,
    /// The version of its wandisk; none: it was not found.
    pub wandisk: Option<String>,
    /// Processors that a process may use.
    pub processors: u32,
    /// Memory that could be had now.
    pub memory_bytes: u64,
    /// Room on the file system of the site's folder.
    pub free_bytes: u64,
    /// May disks be block devices (`/dev/ublkbN`)?
    pub ublk: bool,
    /// Its QEMU; none: it was not found.
    pub qemu: Option<Qemu>,
}

/// A site's QEMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// Major and minor version.
    pub version: (u32, u32),
    /// The machine types, with their versions.
    pub machines: Vec<String>,
    /// Processors that can be shown to a machine under KVM. Empty: KVM does not work.
    pub kvm: Vec<String>,
    /// The same by translation.
    pub tcg: Vec<String>,
}

/// Something that a site is without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// A sentence.
    pub what: String,
    /// What to do.
    pub hint: String,
    /// Without it no agent can be there; else it is only worse.
    pub needed: bool,
}

/// What agents are to be shown, so that they can be at each of some sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The newest machine type of the kind that all have.
    pub machine: String,
    /// The ablest processor that all have.
    pub cpu: String,
}

/// Processors in the order of what they can do. Of Intel's, those without transactional memory: its withdrawal by microcode
/// made processors of one name differ.
const MODELS: [&str; 16] = [
    "Nehalem",
    "Westmere",
    "SandyBridge",
    "IvyBridge",
    "Haswell-noTSX",
    "Broadwell-noTSX",
    "EPYC",
    "Skylake-Client-noTSX-IBRS",
    "EPYC-Rome",
    "Skylake-Server-noTSX-IBRS",
    "Cascadelake-Server-noTSX",
    "EPYC-Milan",
    "Icelake-Server-noTSX",
    "EPYC-Genoa",
    "SapphireRapids",
    "GraniteRapids",
];
/// By translation an abler processor is a slower one: each program's wide instructions become many.
const TRANSLATED: &str = "Nehalem";
const KIND: &str = "pc-q35-";

/// What to do.
const INSTALLED_BY: &str = "`snowbird site setup` installs it";
const QEMU_BY: &str = "install the package qemu-system-x86 (its program is qemu-system-x86_64)";

/// What a site is without at which these programs are not to be found; nothing, if that is QEMU alone (all else can be asked there).
#[must_use]
pub fn bare(missing: &[String]) -> Vec<Lack> {
    let lack = |what: String, hint: &str| Lack { what, hint: hint.to_owned(), needed: true };
    if missing.iter().all(|program| program == "qemu") {
        return Vec::new();
    }
    let told = |program: &String| match program.as_str() {
        "qemu" => lack("QEMU is not there".to_owned(), QEMU_BY),
        other => lack(format!("the program {other} is not there"), INSTALLED_BY),
    };
    missing.iter().map(told).collect()
}

impl Inventory {
    /// This inventory if it is sound: from another site anything may come.
    #[must_use]
    pub fn checked(self) -> Option<Inventory> {
        let version = |text: &String| text.len() <= 64 && !text.chars().any(char::is_control);
        let names = |list: &Vec<String>| list.len() <= NAMES_MAX && list.iter().all(|name| is_name(name));
        let qemu = |q: &Qemu| names(&q.machines) && names(&q.kvm) && names(&q.tcg);
        let sound = version(&self.snowbird)
            && self.wandisk.as_ref().is_none_or(version)
            && self.qemu.as_ref().is_none_or(qemu);
        sound.then_some(self)
    }

    /// Can its QEMU show a machine this processor, whole?
    #[must_use]
    pub fn shows(&self, model: &str, accelerator: Accelerator) -> bool {
        let Some(qemu) = &self.qemu else { return false };
        let list = match accelerator {
            Accelerator::Kvm => &qemu.kvm,
            Accelerator::Tcg => &qemu.tcg,
        };
        list.iter().any(|name| name == model)
    }

    /// What it is without, the needed first.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lack> {
        let mut lacks = Vec::new();
        let mut lack = |needed, what: String, hint: &str| {
            lacks.push(Lack { what, hint: hint.to_owned(), needed });
        };
        if self.wandisk.is_none() {
            lack(true, "the program wandisk is not there".to_owned(), INSTALLED_BY);
        }
        match &self.qemu {
            None => lack(true, "QEMU is not there".to_owned(), QEMU_BY),
            Some(qemu) if qemu.version < QEMU_OLDEST => lack(
                true,
                format!("its QEMU is {}.{}", qemu.version.0, qemu.version.1),
                "7.2 is the oldest that will do",
            ),
            Some(qemu) if qemu.kvm.is_empty() => lack(
                false,
                "KVM does not work there, so agents are translated, which is slow".to_owned(),
                "load the module kvm_intel or kvm_amd, and let the user open /dev/kvm",
            ),
            Some(_) => {}
        }
        if !self.ublk {
            lack(
                false,
                "disks cannot be block devices there, only NBD servers".to_owned(),
                "that needs Linux 6.8, the module ublk_drv and root; agents do without",
            );
        }
        if self.free_bytes < ROOM_BYTES {
            lack(
                false,
                format!("only {} MiB are free there", self.free_bytes >> 20),
                "make room, or put the site's folder elsewhere",
            );
        }
        lacks
    }

    /// Keeps what a site said.
    ///
    /// # Errors
    /// The file system's.
    #[expect(clippy::disallowed_methods, reason = "what a power cut takes is asked again")]
    pub fn keep(&self, home: &Path, site: &str) -> io::Result<()> {
        let path = file(home, site);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(new, path)
    }

    /// What a site said when it was last asked; none if it never was, or said it to another version of this program.
    #[must_use]
    pub fn kept(home: &Path, site: &str) -> Option<Inventory> {
        let path = file(home, site);
        if std::fs::metadata(&path).ok()?.len() > FILE_MAX {
            return None;
        }
        serde_json::from_slice::<Inventory>(&std::fs::read(path).ok()?).ok()?.checked()
    }
}

fn file(home: &Path, site: &str) -> PathBuf {
    home.join("inventory").join(format!("{site}.json"))
}

/// What agents are to be shown who may be at each of these sites; none if these have nothing in common.
#[must_use]
pub fn baseline(sites: &[Inventory], accelerator: Accelerator) -> Option<Baseline> {
    let qemus: Option<Vec<&Qemu>> = sites.iter().map(|inventory| inventory.qemu.as_ref()).collect();
    let qemus = qemus?;
    let (first, others) = qemus.split_first()?;
    let everywhere =
        |list: fn(&Qemu) -> &Vec<String>, name: &String| others.iter().all(|qemu| list(qemu).contains(name));
    let machines = first.machines.iter().filter(|name| everywhere(|q| &q.machines, name));
    let machine =
        machines.filter_map(|name| Some((number(name.strip_prefix(KIND)?)?, name))).max()?.1.clone();
    let list: fn(&Qemu) -> &Vec<String> = match accelerator {
        Accelerator::Kvm => |qemu| &qemu.kvm,
        Accelerator::Tcg => |qemu| &qemu.tcg,
    };
    let order: &[&str] = match accelerator {
        Accelerator::Kvm => &MODELS,
        Accelerator::Tcg => &[TRANSLATED],
    };
    let has = |name: &&&str| qemus.iter().all(|qemu| list(qemu).iter().any(|model| model == **name));
    Some(Baseline { machine, cpu: (*order.iter().rev().find(has)?).to_owned() })
}

/// `7.2` as a number that can be compared; none for `7.2-rhel`.
fn number(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(machines: &[&str], kvm: &[&str]) -> Inventory {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Inventory {
            snowbird: "0.1.0".to_owned(),
            wandisk: Some("0.1.0".to_owned()),
            processors: 4,
            memory_bytes: 8 << 30,
            free_bytes: 100 << 30,
            ublk: true,
            qemu: Some(Qemu {
                version: (9, 0),
                machines: names(machines),
                kvm: names(kvm),
                tcg: names(&["Nehalem", "Haswell-noTSX"]),
            }),
        }
    }

    #[test]
    fn an_agent_is_shown_the_newest_machine_and_the_ablest_processor_that_all_its_sites_have() {
        let old =
            site(&["pc-q35-7.2", "pc-q35-6.0", "pc-i440fx-7.2"], &["Nehalem", "Haswell-noTSX", "Westmere"]);
        let new = site(&["pc-q35-10.0", "pc-q35-7.2", "pc-q35-6.0"], &["Haswell-noTSX", "EPYC", "Nehalem"]);
        let both = baseline(&[new.clone(), old.clone()], Accelerator::Kvm).unwrap();
        assert_eq!((both.machine.as_str(), both.cpu.as_str()), ("pc-q35-7.2", "Haswell-noTSX"));
        let alone = baseline(std::slice::from_ref(&new), Accelerator::Kvm).unwrap();
        assert_eq!((alone.machine.as_str(), alone.cpu.as_str()), ("pc-q35-10.0", "EPYC"));
        let translated = baseline(&[old, new], Accelerator::Tcg).unwrap();
        assert_eq!(translated.cpu, "Nehalem");
    }

    #[test]
    fn sites_with_nothing_in_common_have_no_baseline() {
        let kvm = site(&["pc-q35-7.2"], &["Nehalem"]);
        let without_kvm = site(&["pc-q35-7.2"], &[]);
        let other_machine = site(&["pc-q35-10.0"], &["Nehalem"]);
        let without_qemu = Inventory { qemu: None, ..kvm.clone() };
        for other in [without_kvm, other_machine, without_qemu] {
            assert_eq!(baseline(&[kvm.clone(), other], Accelerator::Kvm), None);
        }
        assert_eq!(baseline(&[], Accelerator::Kvm), None);
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do_and_the_needed_first() {
        assert_eq!(site(&["pc-q35-7.2"], &["Nehalem"]).lacks(), []);
        let bare =
            Inventory { wandisk: None, qemu: None, ublk: false, free_bytes: 5 << 20, ..site(&[], &[]) };
        let needed: Vec<bool> = bare.lacks().iter().map(|lack| lack.needed).collect();
        assert_eq!(needed, [true, true, false, false]);
        let old = Qemu { version: (6, 2), ..site(&[], &[]).qemu.unwrap() };
        let old = Inventory { qemu: Some(old), ..site(&[], &[]) };
        assert!(old.lacks()[0].needed && old.lacks()[0].what.contains("6.2"));
    }

    #[test]
    fn a_site_where_nothing_of_ours_answers_is_told_what_it_lacks() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let lacks = bare(&names(&["wandisk", "snowbird", "qemu"]));
        assert!(lacks.len() == 3 && lacks.iter().all(|lack| lack.needed));
        assert!(lacks[1].what.contains("snowbird") && lacks[2].hint.contains("qemu-system-x86"));
        // What is there must have another trouble.
        assert_eq!(bare(&[]), []);
        assert_eq!(bare(&names(&["qemu"])), []);
    }

    #[test]
    fn facts_of_another_site_are_refused_if_they_hold_anything_but_names() {
        let good = site(&["pc-q35-7.2"], &["Nehalem"]);
        assert_eq!(good.clone().checked(), Some(good.clone()));
        assert_eq!(site(&["pc-q35-7.2,accel=x"], &[]).checked(), None);
        assert_eq!(site(&[], &["-device"]).checked(), None);
        assert_eq!(site(&vec!["a"; NAMES_MAX + 1], &[]).checked(), None);
        assert_eq!(Inventory { snowbird: "\u{1b}[2J".to_owned(), ..good }.checked(), None);
    }

    #[test]
    fn what_a_site_said_is_kept_until_it_says_something_else() {
        let home = tempfile::tempdir().unwrap();
        let first = site(&["pc-q35-7.2"], &[]);
        assert_eq!(Inventory::kept(home.path(), "big"), None);
        first.keep(home.path(), "big").unwrap();
        assert_eq!(Inventory::kept(home.path(), "big"), Some(first.clone()));
        let second = Inventory { ublk: false, ..first };
        second.keep(home.path(), "big").unwrap();
        assert_eq!(Inventory::kept(home.path(), "big"), Some(second));
    }
}
