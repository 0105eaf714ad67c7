//! The agent's namespace, and the one thread that is in it: it makes the tap, the rules and the DHCP server, and then sockets for
//! whoever wants to reach the agent. A socket belongs to the namespace in which it was made, whoever uses it.
//!
//! Invariant: the namespace has no name, so it is gone with this process and its DHCP server, which ends when its pipe to this
//! process does.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::UnshareFlags;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::{TapError, confine, plan};

/// Sockets that are waited for at a time.
const WAITING_MAX: usize = 64;
/// How often it is looked whether the DHCP server is there.
const LOOK: Duration = Duration::from_secs(1);
/// Of what that says; an agent must not be able to fill the disk by it.
const SAID_MAX: u64 = 4096;

type Wanted = oneshot::Sender<io::Result<TcpStream>>;

/// What others have of it.
pub(super) struct Namespace {
    pub(super) device: SyncDevice,
    /// Where the agent's connections arrive, by either kind of addresses.
    pub(super) doors: Vec<TcpListener>,
    pub(super) sockets: Sockets,
    pub(super) leases: Leases,
}

/// Makes sockets in the namespace.
#[derive(Clone, Debug)]
pub(super) struct Sockets(SyncSender<Wanted>);

impl Sockets {
    pub(super) async fn one(&self) -> Result<TcpSocket, TapError> {
        let (wanted, made) = oneshot::channel();
        self.0.try_send(wanted).map_err(|_| TapError::Gone)?;
        let made = made.await.map_err(|_| TapError::Gone)?;
        Ok(TcpSocket::from_std_stream(made.map_err(TapError::system("a socket in the namespace"))?))
    }
}

/// How the DHCP server is.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Arc<Mutex<Option<String>>>);

impl Leases {
    /// Why it is no more.
    pub(super) fn ended(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }
}

/// Makes the namespace.
pub(super) fn begin() -> Result<Namespace, TapError> {
    let (tell, told) = sync_channel(1);
    let thread = std::thread::Builder::new().name("namespace".to_owned());
    let begun = thread.spawn(move || match make() {
        Ok((device, doors, server)) => {
            let (wants, wanted) = sync_channel(WAITING_MAX);
            let leases = Leases::default();
            let namespace = Namespace { device, doors, sockets: Sockets(wants), leases: leases.clone() };
            if tell.send(confine::enter().map(|()| namespace)).is_ok() {
                serve(&wanted, server, &leases);
            }
        }
        Err(error) => drop(tell.send(Err(error))),
    });
    begun.map_err(TapError::system("a thread"))?;
    told.recv().map_err(|_| TapError::Gone)?
}

fn make() -> Result<(SyncDevice, Vec<TcpListener>, Child), TapError> {
    #[expect(
        deprecated,
        reason = "its danger is in tables of files that are no longer shared; this is a network"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNET)
        .map_err(|error| TapError::system("a network namespace")(error.into()))?;
    // Who switched it off has no folder for it.
    let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
    let (before, after) = plan::settings(ipv6);
    set(before)?;
    let device = DeviceBuilder::new().name(plan::DEVICE).layer(Layer::L2).build_sync();
    let device = device.map_err(TapError::system("a tap"))?;
    device.set_nonblocking(true).map_err(TapError::system("a tap"))?;
    run(plan::IP, &["-batch", "-"], &plan::links(ipv6))?;
    run(plan::NFT, &["-f", "-"], &plan::rules())?;
    set(after)?;
    let mut doors = Vec::new();
    let mut any: Vec<IpAddr> = vec![Ipv4Addr::UNSPECIFIED.into()];
    any.extend(ipv6.then_some(IpAddr::from(Ipv6Addr::UNSPECIFIED)));
    for at in any {
        let door = TcpListener::bind((at, plan::DOOR)).map_err(TapError::system("the namespace's door"))?;
        door.set_nonblocking(true).map_err(TapError::system("the namespace's door"))?;
        doors.push(door);
    }
    Ok((device, doors, server(ipv6)?))
}

fn set(settings: &[(&str, &str)]) -> Result<(), TapError> {
    for (name, value) in settings {
        let file = Path::new("/proc/sys/net").join(name);
        std::fs::write(file, value).map_err(TapError::system("a setting of the namespace"))?;
    }
    Ok(())
}

fn program(name: &'static str) -> Result<std::path::PathBuf, TapError> {
    plan::find(name).ok_or_else(|| TapError::Program { what: name, said: "it is not there".to_owned() })
}

/// Runs a program in the namespace, which is told what to do.
fn run(name: &'static str, args: &[&str], lines: &str) -> Result<(), TapError> {
    let failed = TapError::system(name);
    let mut command = Command::new(program(name)?);
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let ran = command.spawn().and_then(|mut child| {
        if let Some(mut told) = child.stdin.take() {
            told.write_all(lines.as_bytes())?;
        }
        child.wait_with_output()
    });
    let ran = ran.map_err(failed)?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    Err(TapError::Program { what: name, said: said.lines().next().unwrap_or("it failed").to_owned() })
}

/// Starts the DHCP server.
fn server(ipv6: bool) -> Result<Child, TapError> {
    let words = plan::leases(&program(plan::DNSMASQ)?, ipv6);
    let mut command = Command::new(program(plan::SETPRIV)?);
    // Its end of standard input is this process's: nobody else has it.
    let command = command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(TapError::system(plan::DNSMASQ))
}

/// Until nobody wants sockets any more.
fn serve(wanted: &Receiver<Wanted>, mut server: Child, leases: &Leases) {
    let said = Arc::new(Mutex::new(String::new()));
    if let Some(stderr) = server.stderr.take() {
        let heard = Arc::clone(&said);
        std::thread::Builder::new().name("leases".to_owned()).spawn(move || hear(stderr, &heard)).ok();
    }
    loop {
        match wanted.recv_timeout(LOOK) {
            Ok(wanted) => drop(wanted.send(socket())),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if matches!(server.try_wait(), Ok(Some(_))) {
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            leases.end(said.lines().last().unwrap_or("it said nothing").to_owned());
        }
    }
}

fn socket() -> io::Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(TcpStream::from(socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?))
}

/// Keeps the beginning of what it says, and takes the rest, so that it is not held up.
fn hear(mut stderr: ChildStderr, said: &Mutex<String>) {
    let mut bytes = [0; 512];
    let mut room = SAID_MAX;
    while let Ok(len) = stderr.read(&mut bytes) {
        if len == 0 {
            return;
        }
        let kept = len.min(usize::try_from(room).unwrap_or(0));
        room -= kept as u64;
        let text = String::from_utf8_lossy(&bytes[..kept]);
        said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    }
}
