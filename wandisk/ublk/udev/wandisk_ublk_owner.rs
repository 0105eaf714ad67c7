//! Prints the user and group numbers of a ublk device's owner, for the udev rule beside this file.
//!
//! ```text
//! wandisk_ublk_owner ublkb0p1      →  1000 1000
//! ```
//! Takes the kernel's name of a node. Exit status 1, and nothing printed, if there is no such device: udev then
//! leaves the node to root.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::process::ExitCode;

/// The number in `ublkb12`, `ublkb12p3` and `ublkc12`.
fn number(node: &str) -> Option<u32> {
    let rest = node.strip_prefix("ublkb").or_else(|| node.strip_prefix("ublkc"))?;
    rest.split('p').next()?.parse().ok()
}

fn main() -> ExitCode {
    let node = std::env::args().nth(1).unwrap_or_default();
    match number(&node).and_then(|id| wandisk_ublk::device_info(id).ok().flatten()) {
        Some(info) => {
            println!("{} {}", info.owner.0, info.owner.1);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn nodes_and_partitions_name_their_device() {
        assert_eq!([number("ublkb7"), number("ublkc12"), number("ublkb3p14")], [Some(7), Some(12), Some(3)]);
        assert_eq!([number("sda"), number("ublkb"), number("")], [None; 3]);
    }
}
