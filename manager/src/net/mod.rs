//! The agent's network: a switch at each site where it has something, and gateways ([ADR 21](../../../docs/adr/0021-the-switch.md)).
//!
//! The agent's card gives its frames to the switch at the site where it runs. A frame goes to the gateway of the site that its
//! destination is anchored at ([`anchors`]), home's if none: here, or through a tunnel ([`packet`]) between the switches. What
//! gateways send goes to wherever the agent runs. Gateways never move, so a connection of the agent's survives its moves.
//!
//! [`switch`] decides and is pure; [`frame`], [`kept`], [`packet`] and [`anchors`] are what it is made of. `process` is the loop
//! around it, `link` a tunnel's end, `gateway` keeps the process that is a gateway, [`tap`] is that process where it is not libslirp's,
//! [`teller`] how a supervisor tells what the agent does, `absence` when one that does no more is begun anew, [`ask`] how a switch is asked,
//! [`config`] what it keeps, [`wait`] how long the agent waits for what is far, [`meter`] its counts as sensor events.
//!
//! Invariants: all that waits is bounded and what finds no room is counted; only frames from the agent's own address leave its
//! card; a gateway's frames pass only if their sender is anchored there; whoever looks for a neighbour (ARP, [`neighbour`]) is answered by
//! the switch, never by a gateway, and who asks for an address, a router or names by home's alone.
//!
//! Fault model: a switch may die (the next one finds card and gateways by their sockets, and connections go on), a tunnel may
//! break or be silent (it is dialled again; frames wait a little, then are dropped), other sites may say anything.

mod absence;
pub mod anchors;
pub mod ask;
pub mod config;
pub mod counts;
pub mod frame;
mod gateway;
pub mod kept;
mod link;
pub mod meter;
pub mod neighbour;
pub mod packet;
mod ports;
pub mod process;
pub mod switch;
pub mod tap;
pub mod teller;
pub mod wait;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use ask::counts;

use frame::Mac;

/// Bits of the agent's own network.
pub const NETWORK_BITS: u8 = 24;
/// Every gateway's address, as the agent sees it. What goes there reaches home's loopback.
pub const GATEWAY_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The name server's, home's.
pub const NAMES_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// What home's DHCP gives the agent, and where forwards lead.
pub const AGENT_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Every gateway's card, as the agent sees it: what libslirp makes of [`GATEWAY_IP`].
pub const GATEWAY_MAC: Mac = Mac([0x52, 0x55, 10, 0, 2, 2]);

/// The same by IPv6, as QEMU's own NAT has it: the agent makes its address itself, of what home's gateway says of the network.
pub const NETWORK6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0);
/// Bits of that.
pub const NETWORK6_BITS: u8 = 64;
/// Every gateway's address. What goes there reaches home's loopback.
pub const GATEWAY_IP6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 2);
/// The name server's, home's.
pub const NAMES_IP6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 3);
/// Every gateway's address as a router: the one that libslirp says.
pub const ROUTER_IP6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// Every gateway's card, as IPv6 sees it: what libslirp makes of [`ROUTER_IP6`].
pub const GATEWAY_MAC6: Mac = Mac([0x52, 0x56, 0, 0, 0, 2]);

/// Is the address in the agent's own network, or one of many receivers? Those are home's.
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let bits = 32 - u32::from(NETWORK_BITS);
            u32::from(ip) >> bits == u32::from(GATEWAY_IP) >> bits || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            let bits = 128 - u32::from(NETWORK6_BITS);
            let own = u128::from(ip) >> bits == u128::from(NETWORK6) >> bits;
            own || ip.is_unicast_link_local() || ip.is_multicast()
        }
    }
}

/// Names in an agent's folder. QEMU runs there, and so does the switch, since a socket's path may have 107 bytes.
pub mod names {
    /// The agent's card: QEMU's end.
    pub const CARD: &str = "card.sock";
    /// The agent's card: the switch's end.
    pub const CARD_PORT: &str = "card-port.sock";
    /// The gateway's end.
    pub const GATEWAY: &str = "gateway.sock";
    /// The switch's end of it.
    pub const GATEWAY_PORT: &str = "gateway-port.sock";
    /// The gateway's monitor.
    pub const GATEWAY_QMP: &str = "gateway-qmp.sock";
    /// Where a gateway of our own, a tap, is asked.
    pub const GATEWAY_ASK: &str = "gateway-ask.sock";
    /// The gateway's process id.
    pub const GATEWAY_PID: &str = "gateway.pid";
    /// What the gateway said.
    pub const GATEWAY_LOG: &str = "gateway.log";
    /// Where the switch is asked at this site.
    pub const ASK: &str = "net.sock";
    /// Where other sites reach it: they may have a tunnel, and look.
    pub const TUNNEL: &str = "tunnel.sock";
    /// There is one switch an agent and site.
    pub const LOCK: &str = "net.lock";
    /// Anchors and forwards.
    pub const CONFIG: &str = "net.json";
}
