//! `ssh://` links, from inside the process with libssh2.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, Channel, Session};

use crate::address::SshHost;
use crate::error::DialError;
use crate::known_hosts::{self, Verdict};
use crate::ssh_config::{self, Settings};
use crate::stream::Stream;
use crate::tail::Tail;

/// What we let the far side send before it hears from us: 32 MiB keep a 1 Gbit/s link of 250 ms full.
const WINDOW: u32 = 32 << 20;
/// Largest packet; 32 KiB is what servers take without question.
const PACKET: u32 = 32 << 10;
/// Bytes carried at a time in each direction.
const BUFFER: usize = 256 << 10;
const CONNECT: Duration = Duration::from_secs(10);
/// One step of the handshake or login.
const STEP_MS: u32 = 10_000;
/// A keepalive is sent this often.
const KEEPALIVE_S: u32 = 10;
/// Kinds of host keys in the order they are asked for. One at a time, since the first that the server has would be
/// shown even where another one is filed.
const KEY_KINDS: [&str; 3] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    "rsa-sha2-512,rsa-sha2-256,ssh-rsa",
];

/// How a dial ended well.
pub(crate) enum Dialled {
    /// By us.
    Stream(Box<Stream>),
    /// It takes the `ssh` program: run these words.
    UseProgram(Vec<String>),
}

/// Connects, checks the host, logs in, starts the far command. Blocks.
pub(crate) fn dial(host: &SshHost, far_command: &str, config: Option<&Path>) -> Result<Dialled, DialError> {
    let settings = ssh_config::resolve(host, config)?;
    let by_program = || Dialled::UseProgram(ssh_config::program(host, far_command, config));
    if settings.needs_program {
        return Ok(by_program());
    }
    let (session, socket) = connect_known(&settings)?;
    if let Err(e) = log_in(&session, &settings) {
        // A locked or hardware key: the ssh program may know what to do with it.
        return if settings.program && has_odd_key(&settings) { Ok(by_program()) } else { Err(e) };
    }
    let failed = |source| DialError::Ssh { host: settings.host.clone(), source };
    let mut channel = session.channel_open("session", WINDOW, PACKET, None).map_err(failed)?;
    channel.exec(far_command).map_err(failed)?;
    session.set_keepalive(true, KEEPALIVE_S);
    session.set_blocking(false);
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let near = tokio::net::UnixStream::from_std(near)?;
    let tail = Tail::default();
    let mut pump = Pump { session, socket, channel, local: far, tail: tail.clone(), idle_ms: 0 };
    std::thread::Builder::new().name("wandisk-ssh".to_owned()).spawn(move || pump.run())?;
    Ok(Dialled::Stream(Box::new(Stream::ssh(near, tail))))
}

fn tcp(settings: &Settings) -> Result<TcpStream, DialError> {
    let (host, port) = (settings.host.clone(), settings.port);
    let unknown = |source| DialError::NoSuchHost { host: host.clone(), source };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host.as_str(), port).to_socket_addrs().map_err(unknown)? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Err(e) => last = e,
        }
    }
    Err(DialError::Unreachable { host, port, source: last })
}

/// A connection to a host whose key is known.
fn connect_known(settings: &Settings) -> Result<(Session, TcpStream), DialError> {
    let mut worst: Option<(Verdict, String)> = None;
    for kinds in KEY_KINDS {
        let (session, socket) = match connect(settings, kinds) {
            Ok(connected) => connected,
            // The server has no key of this kind.
            Err(DialError::Handshake { source, .. }) if source.code() == ssh2::ErrorCode::Session(-5) => {
                continue;
            }
            Err(e) => return Err(e),
        };
        match known_hosts::check(&session, settings)? {
            Verdict::Known => return Ok((session, socket)),
            Verdict::Unknown if worst.is_some() => {}
            verdict => worst = Some((verdict, known_hosts::fingerprint(&session))),
        }
    }
    let host = settings.key_name.clone();
    match worst {
        Some((Verdict::Changed, fingerprint)) => Err(DialError::ChangedHostKey { host, fingerprint }),
        Some((_, _)) if settings.accept_new => {
            let (session, socket) = connect(settings, &KEY_KINDS.join(","))?;
            known_hosts::note(&session, settings);
            Ok((session, socket))
        }
        Some((_, fingerprint)) => Err(DialError::UnknownHostKey { host, fingerprint }),
        None => connect(settings, &KEY_KINDS.join(",")).and_then(|(session, _)| {
            let fingerprint = known_hosts::fingerprint(&session);
            Err(DialError::UnknownHostKey { host, fingerprint })
        }),
    }
}

/// A session, and its socket for waiting on.
fn connect(settings: &Settings, key_kinds: &str) -> Result<(Session, TcpStream), DialError> {
    let tcp = tcp(settings)?;
    let socket = tcp.try_clone()?;
    let failed = |source| DialError::Handshake { host: settings.host.clone(), source };
    let mut session = Session::new().map_err(failed)?;
    session.method_pref(ssh2::MethodType::HostKey, key_kinds).map_err(failed)?;
    session.set_timeout(STEP_MS);
    session.set_tcp_stream(tcp);
    session.handshake().map_err(failed)?;
    Ok((session, socket))
}

/// The agent's keys, then the key files.
fn log_in(session: &Session, settings: &Settings) -> Result<(), DialError> {
    let mut tried = Vec::new();
    if !settings.identities_only && std::env::var_os("SSH_AUTH_SOCK").is_some() {
        tried.push("agent".to_owned());
        if session.userauth_agent(&settings.user).is_ok() {
            return Ok(());
        }
    }
    for key in settings.identities.iter().filter(|k| k.exists()) {
        tried.push(key.display().to_string());
        if session.userauth_pubkey_file(&settings.user, None, key, None).is_ok() {
            return Ok(());
        }
    }
    let tried = if tried.is_empty() { "there is none".to_owned() } else { tried.join(", ") };
    Err(DialError::Refused { user: settings.user.clone(), host: settings.host.clone(), tried })
}

/// Is there a key file that libssh2 cannot use alone?
fn has_odd_key(settings: &Settings) -> bool {
    let odd = |path: &Path| {
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap_or_default();
        public.starts_with("sk-") || public.contains("-cert-v01") || is_locked(path)
    };
    settings.identities.iter().any(|key| key.exists() && odd(key))
}

/// An OpenSSH key names its cipher right after its magic; an old PEM one says so in its head.
fn is_locked(path: &Path) -> bool {
    use base64::Engine;
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    if text.contains("ENCRYPTED") {
        return true;
    }
    let body: String = text.lines().filter(|l| !l.starts_with('-')).collect();
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(body) else { return false };
    bytes.strip_prefix(b"openssh-key-v1\0").is_some_and(|rest| rest.get(4..8) != Some(b"none"))
}

/// Carries bytes between the channel and a local socket, on a thread of its own.
struct Pump {
    session: Session,
    socket: TcpStream,
    channel: Channel,
    local: UnixStream,
    tail: Tail,
    idle_ms: u64,
}

/// Bytes read from one side that the other has not taken yet.
struct Held {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
}

impl Held {
    fn new() -> Held {
        Held { bytes: vec![0; BUFFER], from: 0, to: 0, ended: false }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Reads if empty; did anything happen?
    fn fill(&mut self, from: &mut impl Read) -> io::Result<bool> {
        if !self.is_empty() || self.ended {
            return Ok(false);
        }
        match from.read(&mut self.bytes) {
            Ok(0) => {
                self.ended = true;
                Ok(true)
            }
            Ok(n) => {
                (self.from, self.to) = (0, n);
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn drain(&mut self, to: &mut impl Write) -> io::Result<bool> {
        let mut moved = false;
        while !self.is_empty() {
            match to.write(&self.bytes[self.from..self.to]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.from += n;
                    moved = true;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(moved)
    }
}

impl Pump {
    fn run(&mut self) {
        if let Err(e) = self.carry() {
            tracing::debug!(error = %e, "an ssh link ended");
        }
        // The far program sees the end of its input; ours sees the end of the stream.
        self.local.shutdown(std::net::Shutdown::Both).ok();
        self.session.set_blocking(true);
        self.session.set_timeout(1000);
        self.channel.close().ok();
        self.session.disconnect(None, "done", None).ok();
    }

    fn carry(&mut self) -> io::Result<()> {
        let (mut inward, mut outward) = (Held::new(), Held::new());
        loop {
            let mut moved = inward.fill(&mut self.channel)?;
            if inward.ended && !self.channel.eof() {
                // No bytes of standard output now, but of standard error: not the end.
                inward.ended = false;
                moved = false;
            }
            moved |= self.read_stderr();
            moved |= inward.drain(&mut self.local)?;
            moved |= outward.fill(&mut self.local)?;
            moved |= outward.drain(&mut self.channel)?;
            if inward.ended && inward.is_empty() {
                return Ok(());
            }
            if outward.ended && outward.is_empty() {
                // Our side went away: nothing more will be wanted.
                return Ok(());
            }
            if !moved {
                self.wait(&inward, &outward)?;
            }
        }
    }

    fn read_stderr(&mut self) -> bool {
        let mut buffer = [0u8; 1024];
        match self.channel.stderr().read(&mut buffer) {
            Ok(n @ 1..) => {
                self.tail.push(&buffer[..n]);
                true
            }
            _ => false,
        }
    }

    fn wait(&mut self, inward: &Held, outward: &Held) -> io::Result<()> {
        let mut local = PollFlags::empty();
        local.set(PollFlags::IN, outward.is_empty());
        local.set(PollFlags::OUT, !inward.is_empty());
        // Where the far side's window holds us up, only what it sends can change that: then libssh2 waits for input.
        let blocked =
            matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both);
        let mut ssh = PollFlags::IN;
        ssh.set(PollFlags::OUT, blocked);
        let mut fds = [PollFd::new(&self.socket, ssh), PollFd::new(&self.local, local)];
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        let ready = match poll(&mut fds, Some(&timeout)) {
            Ok(n) => n,
            Err(rustix::io::Errno::INTR) => 1,
            Err(e) => return Err(e.into()),
        };
        if ready == 0 {
            self.idle_ms += 1000;
            if self.idle_ms >= u64::from(KEEPALIVE_S) * 1000 {
                self.idle_ms = 0;
                let sent = self.session.keepalive_send().map(drop).map_err(io::Error::from);
                if let Err(e) = sent
                    && e.kind() != io::ErrorKind::WouldBlock
                {
                    return Err(e);
                }
            }
        }
        Ok(())
    }
}
