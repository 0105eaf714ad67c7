//! What the agent's destinations are for sockets of the host's: the same, but for the gateway's own addresses. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::net::{GATEWAY_IP, GATEWAY_IP6, NAMES_IP, NAMES_IP6, is_own};

/// Where names are asked for.
pub const DNS: u16 = 53;

/// Where a socket of the host's has to lead: the gateway is the host's loopback, the name server the host's own. `None` where nobody is:
/// other addresses of the agent's network, and those of many receivers.
#[must_use]
pub fn reached(to: SocketAddr, names: Option<IpAddr>) -> Option<SocketAddr> {
    let port = to.port();
    let at = match to.ip() {
        IpAddr::V4(GATEWAY_IP) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(GATEWAY_IP6) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(NAMES_IP) | IpAddr::V6(NAMES_IP6) if port == DNS => names?,
        own if is_own(own) || own.is_unspecified() => return None,
        other => other,
    };
    (port > 0).then_some(SocketAddr::new(at, port))
}

/// The first name server of a `resolv.conf` that an address without a scope leads to.
#[must_use]
pub fn first_name_server(text: &str) -> Option<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    servers.filter_map(|word| word.parse().ok()).find(|at: &IpAddr| !at.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_the_hosts_loopback_the_name_server_the_hosts_and_all_else_itself() {
        let names = Some("192.168.1.1".parse().unwrap());
        for (to, at) in [
            ("10.0.2.2:80", Some("127.0.0.1:80")),
            ("[fec0::2]:80", Some("[::1]:80")),
            ("10.0.2.3:53", Some("192.168.1.1:53")),
            ("[fec0::3]:53", Some("192.168.1.1:53")),
            ("1.1.1.1:443", Some("1.1.1.1:443")),
            ("[2001:db8::1]:443", Some("[2001:db8::1]:443")),
            ("10.0.2.3:80", None),
            ("10.0.2.15:22", None),
            ("[fec0::9]:22", None),
            ("[fe80::2]:22", None),
            ("224.0.0.251:5353", None),
            ("[ff02::fb]:5353", None),
            ("255.255.255.255:67", None),
            ("0.0.0.0:1", None),
            ("1.1.1.1:0", None),
        ] {
            let at = at.map(|at| at.parse().unwrap());
            assert_eq!(reached(to.parse().unwrap(), names), at, "{to}");
        }
        assert_eq!(reached("10.0.2.3:53".parse().unwrap(), None), None);
    }

    #[test]
    fn the_first_name_server_that_can_be_asked_is_the_one() {
        let text = "# nameserver 9.9.9.9\nsearch home\nnameserver fe80::1%eth0\nnameserver 127.0.0.53\nnameserver ::1\n";
        assert_eq!(first_name_server(text), Some("127.0.0.53".parse().unwrap()));
        assert_eq!(first_name_server("nameserver ::1"), Some("::1".parse().unwrap()));
        for none in ["", "nameserver", "nameserver x", "nameservers 1.1.1.1", "nameserver 0.0.0.0"] {
            assert_eq!(first_name_server(none), None, "{none}");
        }
    }
}
