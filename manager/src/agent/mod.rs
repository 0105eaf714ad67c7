//! An agent: a virtual machine that may run at any of its sites, and what must be the same at each of them.
//!
//! The description is fixed when the agent is created and travels with it as a small JSON document. What differs from site to
//! site (paths, sockets, the accelerator's presence) is not in it. [`command_line`] turns it into QEMU's arguments,
//! [`change`] says what of it may change later, [`machine`] what the QEMU of a site can do, [`firmware`] what its machines boot with, [`store`] keeps agents and what happened to them (with `room` for that on a full disk), [`automatic`] what may be done
//! with one unasked, [`word`] what of that, and of its forwards, travels with it, [`ublk`] whether disks may be block devices here.
//!
//! Invariant: two sites with the same description start machines that a migration's stream fits.

pub mod automatic;
pub mod change;
pub mod command_line;
pub mod firmware;
pub mod machine;
mod room;
#[cfg(test)]
pub(crate) mod small;
pub mod store;
pub mod ublk;
pub mod word;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use firmware::Uefi;
use word::Word;

/// The form of the document that this program writes; it reads that and the earlier ones. The second has `cdrom` and `uefi`, the
/// third `front`, and counts changes.
pub const FORMAT: u32 = 3;
/// The smallest and the largest memory.
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = (32 << 20)..=(4 << 40);
/// The most virtual processors.
const VCPUS_MAX: u32 = 256;
const MIB: u64 = 1 << 20;

/// Who runs the machine's instructions. It is fixed at creation: a stream of the one does not fit the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, by the kernel's KVM.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// QEMU's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        }
    }
}

/// How its disk comes to its machine, at each of its sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Front {
    /// By NBD on a unix socket: everywhere.
    #[default]
    Nbd,
    /// As a block device of the site's, `/dev/ublkbN`.
    Ublk,
}

impl Front {
    /// Most are, and say nothing of it.
    #[must_use]
    pub fn is_nbd(&self) -> bool {
        *self == Front::Nbd
    }
}

/// A kernel that is booted without a boot loader. The files must be the same at each site, at the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectBoot {
    /// The kernel.
    pub kernel: BootFile,
    /// Its first root.
    pub initrd: Option<BootFile>,
    /// Its command line.
    pub append: String,
}

/// A file that every site has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootFile {
    /// Absolute.
    pub path: String,
    /// Its length: a first sign that another site has another file.
    pub len_bytes: u64,
}

/// What an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// [`FORMAT`].
    pub format: u32,
    /// What people call it; unique at a site.
    pub name: String,
    /// What it is called between sites.
    pub uuid: Uuid,
    /// Its WANDisk disk.
    pub disk: String,
    /// Memory; whole MiB.
    pub memory_bytes: u64,
    /// Virtual processors.
    pub vcpus: u32,
    /// QEMU's machine type, with its version: `pc-q35-7.2`.
    pub machine: String,
    /// The processor that it is shown.
    pub cpu: String,
    /// Who runs it.
    pub accelerator: Accelerator,
    /// Its network card's address.
    pub mac: String,
    /// A kernel to boot; without one the disk is booted.
    pub boot: Option<DirectBoot>,
    /// What is in its CD drive, booted if the disk cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdrom: Option<BootFile>,
    /// How often that was changed since it was created.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cd_changes: u32,
    /// Boots by this instead of a BIOS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uefi: Option<Uefi>,
    /// How its disk comes to it.
    #[serde(default, skip_serializing_if = "Front::is_nbd")]
    pub front: Front,
    /// Where orders about it are given: at first the site that created it.
    pub home: String,
    /// How often that was changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub home_changes: u32,
    /// What was said about it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<Word>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A description that cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Not JSON of this shape.
    #[error("the agent's description cannot be read")]
    Json(#[from] serde_json::Error),
    /// A later program wrote it.
    #[error("the agent's description has form {found}; this program knows forms up to {FORMAT}")]
    Newer {
        /// Its form.
        found: u32,
    },
    /// A field that makes no sense.
    #[error("an agent's {field} cannot be {value:?}: {rule}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
}

/// A network card's address of those that nobody was given, made from a UUID.
#[must_use]
pub fn mac_of(uuid: Uuid) -> String {
    let [.., a, b, c] = *uuid.as_bytes();
    // QEMU's own prefix: locally administered, and known to people who look at a switch.
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// May this be a name? (The rule of WANDisk's disks.)
#[must_use]
pub fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len())
        && text.chars().all(good)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

impl Agent {
    /// Reads a document from wherever it came.
    ///
    /// # Errors
    /// [`AgentError`] if it is not sound in every field.
    pub fn from_json(text: &str) -> Result<Agent, AgentError> {
        let agent: Agent = serde_json::from_str(text)?;
        agent.check()?;
        Ok(agent)
    }

    /// Files that every site must have.
    pub fn files(&self) -> impl Iterator<Item = &BootFile> {
        let boot = self.boot.iter().flat_map(|boot| std::iter::once(&boot.kernel).chain(&boot.initrd));
        boot.chain(&self.cdrom)
    }

    /// Is every field sound? None of them can then be taken for another option by QEMU.
    ///
    /// # Errors
    /// [`AgentError`] names the first that is not.
    pub fn check(&self) -> Result<(), AgentError> {
        if self.format > FORMAT {
            return Err(AgentError::Newer { found: self.format });
        }
        let no = |field, value: &dyn ToString, rule| {
            Err(AgentError::Field { field, value: value.to_string().chars().take(80).collect(), rule })
        };
        let name = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit";
        for (field, value) in [
            ("name", &self.name),
            ("disk", &self.disk),
            ("machine type", &self.machine),
            ("CPU model", &self.cpu),
            ("home", &self.home),
        ] {
            if !is_name(value) {
                return no(field, value, name);
            }
        }
        if !MEMORY_BYTES.contains(&self.memory_bytes) || !self.memory_bytes.is_multiple_of(MIB) {
            return no("memory", &self.memory_bytes, "whole MiB from 32 MiB to 4 TiB");
        }
        if !(1..=VCPUS_MAX).contains(&self.vcpus) {
            return no("number of processors", &self.vcpus, "from 1 to 256");
        }
        let octets = self.mac.split(':').filter(|o| o.len() == 2 && o.chars().all(|c| c.is_ascii_hexdigit()));
        if octets.count() != 6 || self.mac.len() != 17 {
            return no("MAC", &self.mac, "six bytes as 52:54:00:12:34:56");
        }
        for file in self.files() {
            if !file.path.starts_with('/') || file.path.len() > 4096 || file.path.contains(['\0', '\n']) {
                return no("boot file", &file.path, "an absolute path");
            }
        }
        if let Some(uefi) = self.uefi.filter(|uefi| !uefi.is_sound()) {
            let lens = format!("{} and {} bytes", uefi.code_len_bytes, uefi.variables_len_bytes);
            return no("firmware", &lens, "whole pages of at most 8 MiB each");
        }
        if self.word.as_ref().is_some_and(|word| !word.is_sound()) {
            return no("word of its home", &"it", "short, and name roles and sites");
        }
        let Some(boot) = &self.boot else { return Ok(()) };
        if boot.append.len() > 2048 || boot.append.contains(['\0', '\n']) {
            return no("kernel command line", &boot.append, "one line of at most 2048 bytes");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An agent with everything.
    pub(crate) fn example() -> Agent {
        let uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1122_3344_5566_7788);
        Agent {
            format: FORMAT,
            name: "work".to_owned(),
            uuid,
            disk: "work".to_owned(),
            memory_bytes: 512 * MIB,
            vcpus: 2,
            machine: "pc-q35-7.2".to_owned(),
            cpu: "Nehalem".to_owned(),
            accelerator: Accelerator::Tcg,
            mac: mac_of(uuid),
            boot: Some(DirectBoot {
                kernel: BootFile { path: "/boot/a,b".to_owned(), len_bytes: 1 },
                initrd: None,
                append: "console=ttyS0".to_owned(),
            }),
            cdrom: Some(BootFile { path: "/srv/a,b.iso".to_owned(), len_bytes: 2 }),
            cd_changes: 0,
            uefi: Some(Uefi { code_len_bytes: 3_653_632, variables_len_bytes: 540_672 }),
            front: Front::Nbd,
            home: "desk".to_owned(),
            home_changes: 0,
            word: None,
        }
    }

    #[test]
    fn a_description_travels_and_is_the_same() {
        let agent = example();
        assert_eq!(Agent::from_json(&serde_json::to_string(&agent).unwrap()).unwrap(), agent);
        assert_eq!(agent.mac, "52:54:00:66:77:88");
    }

    #[test]
    fn a_description_of_an_earlier_form_is_read() {
        let mut old = serde_json::to_value(example()).unwrap();
        old["format"] = 1.into();
        for later in ["cdrom", "uefi"] {
            old.as_object_mut().unwrap().remove(later);
        }
        let agent = Agent::from_json(&old.to_string()).unwrap();
        assert_eq!((agent.format, agent.cdrom, agent.uefi), (1, None, None));
    }

    #[test]
    fn a_description_from_elsewhere_is_checked_in_every_field() {
        type Change = fn(&mut Agent);
        let changes: [(&str, Change); 12] = [
            ("form 4", |a| a.format = 4),
            ("name", |a| a.name = "../x".to_owned()),
            ("disk", |a| a.disk = "-x".to_owned()),
            ("machine type", |a| a.machine = "q35,accel=kvm".to_owned()),
            ("CPU model", |a| a.cpu = "host,+vmx".to_owned()),
            ("memory", |a| a.memory_bytes = 1),
            ("processors", |a| a.vcpus = 0),
            ("MAC", |a| a.mac = "52:54:00:66:77:8x".to_owned()),
            ("boot file", |a| a.boot.as_mut().unwrap().kernel.path = "x".to_owned()),
            ("boot file", |a| a.cdrom.as_mut().unwrap().path = "a.iso".to_owned()),
            ("firmware", |a| a.uefi.as_mut().unwrap().code_len_bytes = 1),
            ("command line", |a| a.boot.as_mut().unwrap().append = "a\nb".to_owned()),
        ];
        for (word, change) in changes {
            let mut agent = example();
            change(&mut agent);
            let error = Agent::from_json(&serde_json::to_string(&agent).unwrap()).unwrap_err().to_string();
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
