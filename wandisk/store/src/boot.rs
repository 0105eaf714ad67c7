//! Which boot of which machine this is: tells the death of a process from the death of the machine.

use std::fs;

/// The kernel's random id of this boot; empty where the kernel does not say (then every start counts as a reboot).
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The machine's id; empty where there is none.
#[must_use]
pub fn machine_id() -> String {
    fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned()
}
