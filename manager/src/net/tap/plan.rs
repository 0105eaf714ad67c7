//! What an agent's namespace is made of: lines for `ip` and `nft`, settings of the kernel's, the command line of the DHCP server; and
//! what a site lacks for it. Pure, but for [`missing`], which looks.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::net::{
    AGENT_IP, GATEWAY_IP, GATEWAY_IP6, GATEWAY_MAC, NAMES_IP, NAMES_IP6, NETWORK_BITS, NETWORK6,
    NETWORK6_BITS, ROUTER_IP6,
};

/// The tap, in its namespace.
pub(super) const DEVICE: &str = "tap0";
/// The port there at which all connections of the agent's arrive.
pub(super) const DOOR: u16 = 4000;
/// What makes taps.
const TUN: &str = "/dev/net/tun";
/// The programs, and whose they are in Debian.
pub(super) const IP: &str = "ip";
pub(super) const NFT: &str = "nft";
pub(super) const SETPRIV: &str = "setpriv";
pub(super) const DNSMASQ: &str = "dnsmasq";
const PROGRAMS: [(&str, &str); 4] =
    [(IP, "iproute2"), (NFT, "nftables"), (SETPRIV, "util-linux"), (DNSMASQ, "dnsmasq-base")];
/// Where administrators' programs are, also where the `PATH` says nothing of them.
const MORE: [&str; 2] = ["/usr/sbin", "/sbin"];
/// Who the DHCP server is: nobody, with what it needs to hear of cards without addresses and to send to them.
const NOBODY: &str = "65534";
const RIGHTS: &str = "-all,+net_admin,+net_raw,+net_bind_service";
/// How long an address is the agent's until it asks again, as libslirp has it.
const LEASE: &str = "24h";

/// What `ip -batch` makes of the namespace: the same addresses as libslirp's.
pub(super) fn links(ipv6: bool) -> String {
    let mac = GATEWAY_MAC.0.map(|byte| format!("{byte:02x}")).join(":");
    let mut lines = format!(
        "link set lo up\n\
         link set {DEVICE} address {mac} mtu 1500 addrgenmode none\n\
         link set {DEVICE} up\n\
         address add {GATEWAY_IP}/{NETWORK_BITS} dev {DEVICE}\n\
         address add {NAMES_IP}/32 dev {DEVICE}\n"
    );
    for address in ipv6
        .then_some([
            format!("{GATEWAY_IP6}/{NETWORK6_BITS}"),
            format!("{NAMES_IP6}/128"),
            format!("{ROUTER_IP6}/{NETWORK6_BITS}"),
        ])
        .into_iter()
        .flatten()
    {
        // Nobody else is there to have it.
        writeln!(lines, "address add {address} dev {DEVICE} nodad").ok();
    }
    lines
}

/// What `nft` is told: whatever the agent connects to ends at one port.
pub(super) fn rules() -> String {
    format!(
        "table inet snowbird {{\n\
         chain gateway {{\n\
         type nat hook prerouting priority dstnat;\n\
         iifname \"{DEVICE}\" meta l4proto tcp redirect to :{DOOR}\n\
         }}\n\
         }}\n"
    )
}

/// Settings: where below `/proc/sys/net`, and what.
type Settings = &'static [(&'static str, &'static str)];

/// Settings of the namespace's, before and after its devices and rules are there.
pub(super) fn settings(ipv6: bool) -> (Settings, Settings) {
    // Listeners of both kinds have one port. Nobody there asks for routers.
    let before: Settings = &[
        ("ipv6/bindv6only", "1"),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        ("ipv6/conf/all/forwarding", "0"),
        ("ipv4/ip_forward", "0"),
    ];
    // After a move what was on its way may come twice and late: it is TCP that judges it.
    (if ipv6 { before } else { &before[4..] }, &[("netfilter/nf_conntrack_tcp_be_liberal", "1")])
}

/// The shell that the DHCP server's parent is: it ends the server when its standard input ends, and when it is killed itself. (A signal at
/// the gateway's death would be sent with the gateway's rights, which has none to it.)
const GUARD: &str = "exec 3<&0
setpriv --pdeathsig KILL \"$@\" 3<&- &
server=$!
{ read -r word <&3; kill -9 $server; } &
wait $server";

/// The arguments of `setpriv`: the DHCP server, which also says routers' words for IPv6, behind its guard.
pub(super) fn leases(dnsmasq: &Path, ipv6: bool) -> Vec<String> {
    let mut words = [
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
        "--inh-caps",
        RIGHTS,
        "--ambient-caps",
        RIGHTS,
        "--bounding-set",
        RIGHTS,
        "--no-new-privs",
        "sh",
        "-c",
        GUARD,
        "sh",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(dnsmasq.display().to_string());
    words.extend(
        [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--log-facility=-",
            "--pid-file=",
            // No names: the host's own server is asked for those.
            "--port=0",
            "--no-resolv",
            "--no-hosts",
            "--bind-dynamic",
            "--except-interface=lo",
            // The one server of the one card: no file of leases, and the address is free.
            "--dhcp-authoritative",
            "--leasefile-ro",
            "--no-ping",
        ]
        .map(str::to_owned),
    );
    words.push(format!("--interface={DEVICE}"));
    words.push(format!("--dhcp-range={AGENT_IP},{AGENT_IP},255.255.255.0,{LEASE}"));
    words.push(format!("--dhcp-option=option:router,{GATEWAY_IP}"));
    words.push(format!("--dhcp-option=option:dns-server,{NAMES_IP}"));
    if ipv6 {
        words.push("--enable-ra".to_owned());
        words.push(format!("--ra-param={DEVICE},60,1800"));
        words.push(format!("--dhcp-range={NETWORK6},ra-only,{NETWORK6_BITS}"));
        words.push(format!("--dhcp-option=option6:dns-server,[{NAMES_IP6}]"));
    }
    words
}

/// A program of the host's.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What keeps this site from having a tap, in a sentence.
pub(crate) fn missing() -> Option<String> {
    lacks(rustix::process::geteuid().as_raw(), Path::new(TUN).exists(), |name| find(name).is_some())
}

fn lacks(user: u32, tun: bool, has: impl Fn(&str) -> bool) -> Option<String> {
    if user != 0 {
        return Some(format!("a tap needs root, and Snowbird runs as user {user} at this site"));
    }
    if !tun {
        return Some(format!("a tap needs {TUN}, which this site does not have (`modprobe tun`)"));
    }
    let (program, package) = PROGRAMS.into_iter().find(|(program, _)| !has(program))?;
    Some(format!(
        "a tap needs the program {program}, which this site does not have (Debian's package {package})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_the_addresses_of_the_other_kind_and_routes_nothing() {
        let lines = links(true);
        for line in [
            "link set tap0 address 52:55:0a:00:02:02 mtu 1500 addrgenmode none",
            "address add 10.0.2.2/24 dev tap0",
            "address add 10.0.2.3/32 dev tap0",
            "address add fec0::2/64 dev tap0 nodad",
            "address add fec0::3/128 dev tap0 nodad",
            "address add fe80::2/64 dev tap0 nodad",
        ] {
            assert!(lines.lines().any(|there| there == line), "{line} in {lines}");
        }
        assert!(!lines.contains("route") && !links(false).contains("::"), "{lines}");
        assert!(settings(true).0.contains(&("ipv6/conf/all/forwarding", "0")));
        assert_eq!(settings(false).0, [("ipv4/ip_forward", "0")]);
        assert!(rules().contains("redirect to :4000"));
    }

    #[test]
    fn the_dhcp_server_is_nobody_has_a_guard_and_gives_the_one_address() {
        let words = leases(Path::new("/usr/sbin/dnsmasq"), true);
        let program = words.iter().position(|word| word == "/usr/sbin/dnsmasq").unwrap();
        for word in ["--no-new-privs", "65534", GUARD] {
            assert!(words[..program].iter().any(|there| there == word), "{word}");
        }
        for word in [
            "--port=0",
            "--interface=tap0",
            "--dhcp-range=10.0.2.15,10.0.2.15,255.255.255.0,24h",
            "--dhcp-option=option:dns-server,10.0.2.3",
            "--dhcp-range=fec0::,ra-only,64",
            "--dhcp-option=option6:dns-server,[fec0::3]",
        ] {
            assert!(words[program..].iter().any(|there| there == word), "{word} in {words:?}");
        }
        assert!(!leases(Path::new("dnsmasq"), false).iter().any(|word| word.contains("::")));
    }

    #[test]
    fn what_is_missing_is_said_in_a_sentence() {
        assert_eq!(lacks(0, true, |_| true), None);
        assert!(lacks(1000, true, |_| true).unwrap().contains("needs root"));
        assert!(lacks(0, false, |_| true).unwrap().contains("/dev/net/tun"));
        for (program, package) in PROGRAMS {
            let said = lacks(0, true, |name| name != program).unwrap();
            assert!(said.contains(program) && said.contains(package), "{said}");
        }
    }
}
