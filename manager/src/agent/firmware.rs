//! A UEFI firmware in place of the machine's BIOS: the code that is the same for every machine, and the variables that are this
//! machine's own (which loader is booted, which keys are trusted).
//!
//! Each site has a firmware of its own, somewhere else by each distribution. A stream of memory brings code and variables along,
//! so those of two sites need not be the same, but must be equally long: that is what the description says. Both are copied into
//! the agent's folder: a package that is upgraded changes nothing under a machine that runs.
//!
//! Invariant: variables are made from the empty ones once, and never again while the file is there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wandisk_store::durable;

use super::command_line::names;

/// Where distributions put them: Debian and Ubuntu, Arch, Fedora, SUSE.
const PLACES: [(&str, &str); 4] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
];
/// What a q35 machine has room for.
const LEN_MAX_BYTES: u64 = 8 << 20;

/// The firmware of a machine, as its description says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uefi {
    /// The code's length.
    pub code_len_bytes: u64,
    /// The variables'.
    pub variables_len_bytes: u64,
}

/// A site's files of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    code: PathBuf,
    variables: PathBuf,
}

impl Uefi {
    /// Could a machine have it?
    #[must_use]
    pub fn is_sound(self) -> bool {
        let flash = |len: u64| (1..=LEN_MAX_BYTES).contains(&len) && len.is_multiple_of(4096);
        flash(self.code_len_bytes) && flash(self.variables_len_bytes)
    }

    /// This site's files of these lengths.
    #[must_use]
    pub fn images(self) -> Option<Images> {
        all().find(|(uefi, _)| *uefi == self).map(|(_, images)| images)
    }
}

/// The firmware that machines made at this site get.
#[must_use]
pub fn here() -> Option<Uefi> {
    all().map(|(uefi, _)| uefi).find(|uefi| uefi.is_sound())
}

fn all() -> impl Iterator<Item = (Uefi, Images)> {
    PLACES.iter().filter_map(|(code, variables)| {
        let len = |path: &str| std::fs::metadata(path).ok().map(|file| file.len());
        let uefi = Uefi { code_len_bytes: len(code)?, variables_len_bytes: len(variables)? };
        Some((uefi, Images { code: code.into(), variables: variables.into() }))
    })
}

impl Images {
    /// Copies them into an agent's folder, where QEMU looks for them.
    ///
    /// # Errors
    /// The file system's.
    pub fn put(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::copy(&self.code, folder.join(names::FIRMWARE))?;
        let variables = folder.join(names::VARIABLES);
        if !variables.exists() {
            durable::replace_file(&variables, &std::fs::read(&self.variables)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_the_variables_that_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let (code, variables) = (folder.path().join("code"), folder.path().join("empty"));
        std::fs::write(&code, "code").unwrap();
        std::fs::write(&variables, "empty").unwrap();
        let images = Images { code, variables };
        let kept = folder.path().join(names::VARIABLES);
        images.put(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "empty");
        std::fs::write(&kept, "its own").unwrap();
        images.put(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "its own");
        assert_eq!(std::fs::read_to_string(folder.path().join(names::FIRMWARE)).unwrap(), "code");
    }

    #[test]
    fn this_sites_firmware_is_found_by_its_lengths_and_no_other_is() {
        let uefi = here().expect("the package ovmf is there");
        assert!(uefi.images().is_some());
        assert_eq!(Uefi { code_len_bytes: uefi.code_len_bytes + 4096, ..uefi }.images(), None);
        assert!(!Uefi { code_len_bytes: 0, ..uefi }.is_sound());
        assert!(!Uefi { variables_len_bytes: 1 << 30, ..uefi }.is_sound());
    }
}
