//! The agent's kernel without its compression: an ELF file, which QEMU enters directly (PVH) instead of having it unpack itself.
//!
//! In a machine in an emulated machine, unpacking would take longer than all of the rest of its boot. Where the kernel is packed comes from the
//! boot protocol (Documentation/arch/x86/boot.rst of Linux: `setup_sects`, `payload_offset`, `payload_length`).
//!
//! Fault model: another kind of compression than zstd, or no such header, is an error that says so.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

const SECTOR: usize = 512;
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ELF: [u8; 4] = *b"\x7fELF";

/// Unpacks the kernel of a boot image into `file`.
pub(super) fn unpack(image: &Path, file: &Path) -> Result<()> {
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let packed =
        payload(&bytes).with_context(|| format!("{} is no kernel that is known", image.display()))?;
    let beside = file.with_extension("zst");
    std::fs::write(&beside, packed)?;
    process::output(Command::new("zstd").args(["-q", "-d", "-f"]).arg(&beside).arg("-o").arg(file))?;
    std::fs::remove_file(beside)?;
    let mut begins = [0; 4];
    std::io::Read::read_exact(&mut std::fs::File::open(file)?, &mut begins)?;
    ensure!(begins == ELF, "{} holds no ELF file", image.display());
    Ok(())
}

/// The packed kernel in a boot image; its last four bytes are its length, for the program that unpacks it.
fn payload(image: &[u8]) -> Result<&[u8]> {
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("the header is cut off")?;
        Ok(usize::try_from(u32::from_le_bytes(bytes.try_into()?))?)
    };
    ensure!(image.get(0x202..0x206) == Some(b"HdrS"), "there is no header");
    let sectors = match image[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let begin = (sectors + 1) * SECTOR + word(0x248)?;
    let end = (begin + word(0x24c)?).checked_sub(4).context("the packed kernel is empty")?;
    let packed = image.get(begin..end).context("the packed kernel is cut off")?;
    ensure!(packed.starts_with(&ZSTD), "it is not packed with zstd");
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        let mut image = vec![0; 3 * SECTOR];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&12u32.to_le_bytes());
        image[2 * SECTOR + 16..][..4].copy_from_slice(&ZSTD);
        image
    }

    #[test]
    fn the_packed_kernel_is_found_and_what_is_none_refused() {
        assert_eq!(payload(&image()).unwrap(), [&ZSTD[..], &[0; 4]].concat());
        assert!(payload(&image()[..0x24a]).is_err() && payload(&image()[..2 * SECTOR + 20]).is_err());
        for (at, byte) in [(0x202, 0), (2 * SECTOR + 16, 0), (0x24c, 0)] {
            let mut bad = image();
            bad[at] = byte;
            assert!(payload(&bad).is_err(), "{at:#x}");
        }
    }
}
