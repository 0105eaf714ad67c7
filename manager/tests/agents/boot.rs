//! What the agent boots: the test guest's kernel, and a first root with a static init and a few modules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file or a folder of a first root, beside what every agent has.
#[derive(Debug)]
pub struct Extra {
    /// From the root.
    pub path: PathBuf,
    /// Who may do what with a file.
    pub mode: u32,
    /// A file's; a folder has none.
    pub content: Option<Vec<u8>>,
}

impl Extra {
    pub fn file(path: impl Into<PathBuf>, mode: u32, content: Vec<u8>) -> Extra {
        Extra { path: path.into(), mode, content: Some(content) }
    }

    pub fn folder(path: &str) -> Extra {
        Extra { path: path.into(), mode: 0o755, content: None }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The kernel.
pub fn kernel() -> PathBuf {
    let kernel = workspace().join("target/guest/kernel/vmlinuz");
    assert!(kernel.exists(), "the test guest's kernel is missing: cargo xtask setup");
    kernel
}

/// The disk of an agent that is a whole Debian.
pub fn debian() -> PathBuf {
    let disk = workspace().join("target/guest/debian/disk.raw");
    assert!(disk.exists(), "the Debian of agents is missing: cargo xtask setup, as root");
    disk
}

/// The modules without which that Debian has neither its root nor its power button, before the others.
pub fn for_debian() -> Vec<Extra> {
    let modules = [
        "crypto/crc32c_generic",
        "lib/crc16",
        "fs/mbcache",
        "fs/jbd2/jbd2",
        "fs/ext4/ext4",
        "drivers/acpi/button",
        "drivers/input/evdev",
    ];
    let file = |(place, module): (usize, &str)| {
        let (name, content) = self::module(module);
        Extra::file(format!("/modules/{place}-{name}"), 0o644, content)
    };
    modules.into_iter().enumerate().map(file).collect()
}

/// The name and the content of a module's file.
fn module(path: &str) -> (String, Vec<u8>) {
    let modules = workspace().join("target/guest/kernel/lib/modules");
    let release = std::fs::read_dir(modules).unwrap().next().unwrap().unwrap().path();
    let file = release.join(format!("kernel/{path}.ko.xz"));
    let content =
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}: cargo xtask setup", file.display()));
    (file.file_name().unwrap().to_str().unwrap().to_owned(), content)
}

/// Writes the first root, with more in it, to `file`.
pub fn initramfs(file: &Path, extras: &[Extra]) {
    let target = workspace().join("target/guest/agent-init");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace()).args(["rustc", "--quiet", "--release", "--package", "agent-init"]);
    cargo.args(["--bin", "agent-init", "--target-dir"]).arg(&target);
    cargo.args(["--", "-C", "target-feature=+crt-static"]);
    assert!(cargo.status().unwrap().success(), "the agent's init could not be built");
    let init = std::fs::read(target.join("release/agent-init")).unwrap();
    // They are loaded in the order of their names, which is that of what they need.
    let modules = [
        "net/core/failover",
        "drivers/net/net_failover",
        "drivers/block/virtio_blk",
        "drivers/net/virtio_net",
    ];

    let mut archive = Vec::new();
    for folder in ["dev", "modules", "proc"] {
        entry(&mut archive, folder, 0o040_755, &[]);
    }
    entry(&mut archive, "init", 0o100_755, &init);
    for path in modules {
        let (name, content) = module(path);
        entry(&mut archive, &format!("modules/{name}"), 0o100_644, &content);
    }
    let mut folders: BTreeSet<_> = ["dev", "modules", "proc"].map(PathBuf::from).into();
    for Extra { path, mode, content } in extras {
        let path = path.strip_prefix("/").unwrap();
        // The kernel makes no folder by itself; the outer ones come first.
        let mut above: Vec<_> = path.ancestors().skip(usize::from(content.is_some())).collect();
        above.reverse();
        for folder in above.into_iter().filter(|folder| *folder != Path::new("")) {
            if folders.insert(folder.to_owned()) {
                entry(&mut archive, folder.to_str().unwrap(), 0o040_755, &[]);
            }
        }
        if let Some(content) = content {
            entry(&mut archive, path.to_str().unwrap(), 0o100_000 | mode, content);
        }
    }
    entry(&mut archive, "TRAILER!!!", 0, &[]);
    std::fs::write(file, archive).unwrap();
}

/// One file of a cpio archive in the form "newc".
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let inode = archive.len();
    let header = format!(
        "070701{inode:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
        0,
        0,
        1,
        0,
        content.len(),
        0,
        0,
        0,
        0,
        name.len() + 1,
        0,
    );
    for part in [header.as_bytes(), name.as_bytes(), &[0]] {
        archive.extend_from_slice(part);
    }
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
