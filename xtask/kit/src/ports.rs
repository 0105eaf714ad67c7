//! Ports of loopback that are named before somebody listens at them.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that the kernel gives to whoever wants any, and above those of services.
const FIRST: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Processes begin so far from each other, as a rule.
const STEP: u32 = 17;

/// A port that nobody has, and that no connection, and no listener that wants any port, is given before it is used: tests run
/// beside each other.
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id().wrapping_mul(STEP) % u32::from(PORTS)).unwrap();
    let all = (0..PORTS).map(|_| NEXT.fetch_add(1, Ordering::Relaxed));
    let mut ports = all.map(|n| FIRST + (own + n % PORTS) % PORTS);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_and_below_those_that_the_kernel_gives_out() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        let taken = free_port();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
        let others: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert!(others.len() == 50 && !others.contains(&taken), "{taken}: {others:?}");
        assert!(others.iter().all(|port| (FIRST..first).contains(port)), "{others:?}");
    }
}
