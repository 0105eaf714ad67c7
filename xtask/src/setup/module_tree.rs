//! Which of the kernel's modules the guest keeps, and what each needs.
//!
//! A whole tree has thousands of modules and 100 MB; the guest has no hardware, so a few dozen do.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

/// The modules that tests and demonstrations may load, beside what these need.
pub(super) const WANTED: &[&str] = &[
    // Block devices: ours, its rivals, and ones that fail on demand.
    "ublk_drv",
    "nbd",
    "loop",
    "null_blk",
    "brd",
    "scsi_debug",
    "sd_mod",
    "virtio_blk",
    "virtio_scsi",
    "dm-mod",
    "dm-flakey",
    "dm-log-writes",
    "dm-delay",
    "dm-dust",
    "dm-snapshot",
    "dm-thin-pool",
    "dm-crypt",
    // File systems.
    "ext4",
    "xfs",
    "btrfs",
    "vfat",
    "isofs",
    "squashfs",
    "overlay",
    "fuse",
    "virtiofs",
    "9p",
    // Networks: two sites in one guest, and a WAN between them.
    "9pnet_virtio",
    "veth",
    "tun",
    "bridge",
    "dummy",
    "ifb",
    "virtio_net",
    "nfsv4",
    "sch_netem",
    "sch_tbf",
    "sch_htb",
    "sch_fq",
    "sch_fq_codel",
    "sch_ingress",
    "cls_u32",
    "cls_matchall",
    "act_mirred",
    "nf_tables",
    "nft_ct",
    "nft_chain_nat",
    "nft_masq",
    "nft_nat",
    "nft_limit",
    "nft_reject_inet",
    "tcp_bbr",
    "tcp_cubic",
    // Virtual machines in the guest.
    "kvm",
    "kvm_intel",
    "kvm_amd",
    "vhost_net",
    "vsock",
    "virtio_rng",
    "virtio_balloon",
    "uinput",
    // How a Debian in an agent hears that it is to be shut down.
    "button",
    "evdev",
    // Check sums that file systems ask for by name.
    "crc32c_generic",
    "crc32c-intel",
    "libcrc32c",
    "xxhash_generic",
    "blake2b_generic",
    "sha256_generic",
    "crct10dif-pclmul",
    "nls_ascii",
    "nls_cp437",
    "nls_utf8",
];

/// The ones without which the guest is of no use; the others may have become part of the kernel.
pub(super) const NEEDED: &[&str] =
    &["ublk_drv", "sch_netem", "9p", "9pnet_virtio", "overlay", "nbd", "dm-log-writes"];

/// The contents of `modules.dep`: each module's file and, after the colon, what it needs, the deepest
/// last.
#[derive(Debug)]
pub(super) struct Dependencies(Vec<(String, Vec<String>)>);

impl Dependencies {
    /// Reads `modules.dep` in a folder `/lib/modules/RELEASE`.
    ///
    /// # Errors
    /// When the file is not there.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("modules.dep");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Self(lines.map(|(module, needs)| (module.to_owned(), words(needs))).collect())
    }

    /// The files of the named modules and of all they need, each after what it needs. Names that are
    /// not modules of this kernel are given back as the second value.
    pub(super) fn closure<'a>(&self, names: &[&'a str]) -> (Vec<String>, Vec<&'a str>) {
        let (mut files, mut seen, mut unknown) = (Vec::new(), BTreeSet::new(), Vec::new());
        for wanted in names {
            let Some((module, needs)) = self.0.iter().find(|(file, _)| same(name(file), wanted)) else {
                unknown.push(*wanted);
                continue;
            };
            for file in needs.iter().rev().chain(std::iter::once(module)) {
                if seen.insert(file.clone()) {
                    files.push(file.clone());
                }
            }
        }
        (files, unknown)
    }
}

/// `dm-log-writes` of `kernel/drivers/md/dm-log-writes.ko.xz`.
fn name(file: &str) -> &str {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base)
}

/// The kernel takes `-` and `_` in a module's name for the same.
fn same(one: &str, other: &str) -> bool {
    one.replace('-', "_") == other.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let text = "k/fs/9p.ko.xz: k/net/9pnet.ko.xz k/fs/netfs.ko.xz\nk/net/9pnet.ko.xz:\nk/fs/netfs.ko.xz:\nk/net/9pnet_virtio.ko.xz: k/net/9pnet.ko.xz\n";
        let (files, unknown) = Dependencies::parse(text).closure(&["9p", "9pnet-virtio", "gone"]);
        assert_eq!(
            files,
            ["k/fs/netfs.ko.xz", "k/net/9pnet.ko.xz", "k/fs/9p.ko.xz", "k/net/9pnet_virtio.ko.xz"]
        );
        assert_eq!(unknown, ["gone"]);
    }
}
