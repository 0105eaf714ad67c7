//! From an agent's description to QEMU's arguments. Pure.
//!
//! QEMU runs in the agent's own folder, so its sockets have short names whatever the folder is called (a unix socket's path
//! may have 107 bytes).
//!
//! Invariants: QEMU never starts the machine by itself (`-S`): whether it may run is for the supervisor to ask; both ways of
//! beginning give the same machine, devices at fixed addresses included.

use serde_json::json;

use super::{Accelerator, Agent, Front};

/// Names in an agent's folder.
pub mod names {
    /// QEMU's monitor.
    pub const QMP: &str = "qmp.sock";
    /// The first serial port.
    pub const CONSOLE: &str = "console.sock";
    /// The screen, RFB.
    pub const DISPLAY: &str = "display.sock";
    /// The disk, NBD.
    pub const DISK: &str = "disk.sock";
    /// The disk, a link to its block device.
    pub const DEVICE: &str = "disk.dev";
    /// Where a migration's stream comes in.
    pub const ARRIVING: &str = "arriving.sock";
    /// Where a migration's stream goes out.
    pub const LEAVING: &str = "leaving.sock";
    /// Locked by who carries the screen to another site.
    pub const WATCHED: &str = "display.far";
    /// Locked by who brings memory from another site.
    pub const COMING: &str = "arriving.held";
    /// Says how much memory is set aside for it while it comes, and is locked by its supervisor then.
    pub const RESERVED: &str = "arriving.memory";
    /// QEMU's process id.
    pub const PID: &str = "qemu.pid";
    /// The UEFI firmware's code.
    pub const FIRMWARE: &str = "efi-code.fd";
    /// Its variables.
    pub const VARIABLES: &str = "efi-variables.fd";
    /// What QEMU said.
    pub const LOG: &str = "qemu.log";
}

/// What QEMU calls the CD drive, and what was in it when QEMU began.
pub const CD_DRIVE: &str = "cdrom0";
/// The same.
pub const CD_NODE: &str = "cdrom";

/// How a machine begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It boots.
    Launch,
    /// It goes on with what a migration brings.
    Arrive,
}

/// QEMU asks the disk anew for this long after its connection broke: the disk's keeper may be restarted, and a disk that went
/// to another site and came back has a new one.
const RECONNECT_SECONDS: u32 = 10;

/// QEMU's arguments.
#[must_use]
pub fn arguments(agent: &Agent, beginning: Beginning) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut add = |name: &str, value: String| args.extend([name.to_owned(), value]);
    add("-name", format!("guest={},debug-threads=on", agent.name));
    add("-uuid", agent.uuid.to_string());
    let flash = if agent.uefi.is_some() { ",pflash0=efi-code,pflash1=efi-variables" } else { "" };
    add("-machine", format!("{}{flash}", agent.machine));
    if agent.uefi.is_some() {
        for (node, file, read_only) in
            [("efi-code", names::FIRMWARE, true), ("efi-variables", names::VARIABLES, false)]
        {
            add("-blockdev", file_node(node, file, read_only).to_string());
        }
    }
    match agent.accelerator {
        // A processor that lacks what the model has: refused at the start, not shown something else.
        Accelerator::Kvm => {
            add("-accel", "kvm".to_owned());
            add("-cpu", format!("{},enforce", agent.cpu));
        }
        Accelerator::Tcg => {
            add("-accel", "tcg,thread=multi".to_owned());
            add("-cpu", agent.cpu.clone());
        }
    }
    add("-m", format!("{}M", agent.memory_bytes >> 20));
    add("-smp", agent.vcpus.to_string());
    add("-pidfile", names::PID.to_owned());
    for (id, name) in [("monitor", names::QMP), ("console", names::CONSOLE)] {
        add("-chardev", format!("socket,id={id},path={name},server=on,wait=off"));
    }
    add("-mon", "chardev=monitor,mode=control".to_owned());
    add("-serial", "chardev:console".to_owned());
    let file = match agent.front {
        Front::Nbd => json!({
            "driver": "nbd",
            "node-name": "wandisk",
            "server": { "type": "unix", "path": names::DISK },
            "reconnect-delay": RECONNECT_SECONDS,
            "cache": { "direct": true },
            "discard": "unmap",
        }),
        Front::Ublk => json!({
            "driver": "host_device",
            "node-name": "wandisk",
            "filename": names::DEVICE,
            "cache": { "direct": true },
            "discard": "unmap",
        }),
    };
    let disk = json!({
        "node-name": "disk",
        "driver": "raw",
        "cache": { "direct": true },
        "file": file,
        "discard": "unmap",
    });
    add("-blockdev", disk.to_string());
    // A request that cannot be served now is kept, and the machine stands: its file system sees no error.
    // Its geometry is said, not guessed: a disk in standby cannot be read when QEMU starts.
    let geometry = "cyls=16383,heads=16,secs=63";
    let first = if agent.has_cd_drive() { ",bootindex=1" } else { "" };
    add(
        "-device",
        format!("virtio-blk-pci,id=disk0,drive=disk,addr=0x4,{geometry},rerror=stop,werror=stop{first}"),
    );
    if agent.has_cd_drive() {
        let mut medium = String::new();
        if let Some(cdrom) = &agent.cdrom {
            add("-blockdev", file_node(CD_NODE, &cdrom.path, true).to_string());
            medium = format!(",drive={CD_NODE}");
        }
        // After the disk: whoever installs from it boots what was installed.
        add("-device", format!("ide-cd,id={CD_DRIVE}{medium},bus=ide.0,bootindex=2"));
    }
    // Datagrams: the switch need not be there, and may begin anew (ADR 21).
    let (card, port) = (crate::net::names::CARD, crate::net::names::CARD_PORT);
    let ends = format!("local.type=unix,local.path={card},remote.type=unix,remote.path={port}");
    add("-netdev", format!("dgram,id=net,{ends}"));
    add("-device", format!("virtio-net-pci,id=net0,netdev=net,mac={},addr=0x5,romfile=", agent.mac));
    add("-device", "VGA,id=screen,addr=0x2".to_owned());
    add("-device", "qemu-xhci,id=usb,addr=0x6".to_owned());
    add("-device", "usb-tablet,bus=usb.0".to_owned());
    add("-display", format!("vnc=unix:{}", names::DISPLAY));
    if let Some(boot) = &agent.boot {
        add("-kernel", boot.kernel.path.clone());
        if let Some(initrd) = &boot.initrd {
            add("-initrd", initrd.path.clone());
        }
        add("-append", boot.append.clone());
    }
    if beginning == Beginning::Arrive {
        add("-incoming", "defer".to_owned());
    }
    args.extend(["-S", "-nodefaults", "-no-user-config"].map(str::to_owned));
    args
}

/// A file as a drive's contents.
fn file_node(name: &str, path: &str, read_only: bool) -> serde_json::Value {
    json!({
        "node-name": name,
        "driver": "raw",
        "read-only": read_only,
        "file": { "driver": "file", "filename": path },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::tests::example;

    /// The value after an option; the last, if there are several.
    fn value<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
        args.iter().rposition(|a| a == name).map(|at| args[at + 1].as_str())
    }

    #[test]
    fn no_machine_starts_by_itself_and_both_beginnings_give_the_same() {
        let launch = arguments(&example(), Beginning::Launch);
        let arrive = arguments(&example(), Beginning::Arrive);
        for args in [&launch, &arrive] {
            assert!(args.contains(&"-S".to_owned()));
        }
        let without: Vec<String> =
            arrive.iter().filter(|a| !["-incoming", "defer"].contains(&a.as_str())).cloned().collect();
        assert_eq!(without, launch);
        assert_eq!(value(&arrive, "-incoming"), Some("defer"));
    }

    #[test]
    fn requests_that_fail_stop_the_machine_instead_of_its_file_system() {
        let args = arguments(&example(), Beginning::Launch);
        let disk = args.iter().find(|a| a.starts_with("virtio-blk-pci")).unwrap();
        assert!(disk.contains("rerror=stop") && disk.contains("werror=stop"), "{disk}");
        let nodes = args.iter().filter_map(|a| serde_json::from_str::<serde_json::Value>(a).ok());
        let node = nodes.into_iter().find(|node| node["node-name"] == "disk").unwrap();
        assert_eq!(
            (node["driver"].as_str(), node["cache"]["direct"].as_bool(), node["file"]["driver"].as_str()),
            (Some("raw"), Some(true), Some("nbd"))
        );
    }

    #[test]
    fn a_drive_whose_cd_was_taken_out_is_the_same_drive_without_a_cd() {
        let full = arguments(&example(), Beginning::Arrive);
        let empty = arguments(&example().with_cd(None), Beginning::Arrive);
        let left: Vec<&String> = full.iter().filter(|arg| !empty.contains(arg)).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(empty.contains(&"ide-cd,id=cdrom0,bus=ide.0,bootindex=2".to_owned()));
        assert!(!empty.iter().any(|arg| arg.contains("a,b.iso")));
    }

    #[test]
    fn a_disk_that_is_a_block_device_is_opened_past_the_page_cache() {
        let args = arguments(&Agent { front: Front::Ublk, ..example() }, Beginning::Arrive);
        let nodes = args.iter().filter_map(|a| serde_json::from_str::<serde_json::Value>(a).ok());
        let node = nodes.into_iter().find(|node| node["node-name"] == "disk").unwrap();
        assert_eq!(node["file"]["driver"], "host_device");
        assert_eq!(
            (&node["file"]["filename"], &node["file"]["cache"]["direct"]),
            (&"disk.dev".into(), &true.into())
        );
    }

    #[test]
    fn a_processor_without_the_models_features_is_refused_under_kvm() {
        let mut agent = example();
        agent.accelerator = Accelerator::Kvm;
        assert_eq!(value(&arguments(&agent, Beginning::Launch), "-cpu"), Some("Nehalem,enforce"));
    }
}
