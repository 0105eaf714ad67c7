//! The network of the tests' agent: a fixed address, an echo on port 7, and a stream to wherever the kernel's command line says.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use agent_init::{BLOCK, block, number};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const ECHO_PORT: u16 = 7;
/// Twenty blocks a second.
const PAUSE: Duration = Duration::from_millis(50);
/// The other end may not be there at first.
const CONNECTS: Duration = Duration::from_secs(60);

// Of linux/rtnetlink.h, linux/netlink.h, linux/if.h.
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x400;
const UP: u32 = 1;
const ATTRIBUTE_ADDRESS: u16 = 1;
const ATTRIBUTE_LOCAL: u16 = 2;
const ATTRIBUTE_OUT: u16 = 4;
const ATTRIBUTE_GATEWAY: u16 = 5;
const INET: u8 = 2;

/// Sets `eth0` up, if there is one.
pub(crate) fn set_up() -> io::Result<bool> {
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let Ok(card) = rustix::net::netdevice::name_to_index(&socket, "eth0") else { return Ok(false) };
    let ask = |kind: u16, flags: u16, body: &[u8]| -> io::Result<()> {
        let len = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::new();
        message.extend(len.to_le_bytes());
        message.extend(kind.to_le_bytes());
        message.extend((REQUEST_ACK | flags).to_le_bytes());
        message.extend([0; 8]);
        message.extend(body);
        rustix::net::sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut answer = [0; 512];
        let (len, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
        let error = answer[..len].get(16..20).and_then(|four| four.try_into().ok());
        match error.map(i32::from_le_bytes) {
            Some(0) => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(-error)),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    };
    let attribute =
        |kind: u16, value: &[u8; 4]| [&8u16.to_le_bytes()[..], &kind.to_le_bytes(), value].concat();
    let up = [&[0; 4][..], &card.to_le_bytes(), &UP.to_le_bytes(), &UP.to_le_bytes()].concat();
    ask(NEW_LINK, 0, &up)?;
    let address = [
        &[INET, 24, 0, 0][..],
        &card.to_le_bytes(),
        &attribute(ATTRIBUTE_LOCAL, &ADDRESS.octets()),
        &attribute(ATTRIBUTE_ADDRESS, &ADDRESS.octets()),
    ];
    ask(NEW_ADDRESS, CREATE, &address.concat())?;
    // To everywhere (a prefix of 0 bits), main table (254), by an administrator (4), universe, unicast.
    let route = [
        &[INET, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0][..],
        &attribute(ATTRIBUTE_GATEWAY, &GATEWAY.octets()),
        &attribute(ATTRIBUTE_OUT, &card.to_le_bytes()),
    ];
    ask(NEW_ROUTE, CREATE, &route.concat())?;
    // Addresses of 127.0.0.0/8 are another machine's here (this one's loopback is down): each host of a test has them.
    std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1")?;
    Ok(true)
}

/// Gives back what comes, for ever.
pub(crate) fn echo() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, ECHO_PORT))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || io::copy(&mut &stream, &mut &stream).ok());
        }
    });
    Ok(())
}

/// The addresses of each `stream=ADDRESS:PORT` on the kernel's command line. (By IPv6 the kernel makes itself an address when a router
/// speaks.)
pub(crate) fn wanted() -> Vec<SocketAddr> {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    line.split_whitespace().filter_map(|word| word.strip_prefix("stream=")?.parse().ok()).collect()
}

/// Sends numbered blocks over one connection and takes each one back, for ever; gives why not.
pub(crate) fn stream(to: SocketAddr) -> io::Error {
    let run = || -> io::Result<()> {
        let mut stream = connect(to)?;
        let mut back = vec![0; BLOCK];
        for n in 1.. {
            stream.write_all(&block(n))?;
            stream.read_exact(&mut back)?;
            if number(&back) != Some(n) {
                return Err(io::Error::other(format!("block {n} came back as {:?}", number(&back))));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    };
    run().err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let end = Instant::now() + CONNECTS;
    loop {
        match TcpStream::connect(to) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
