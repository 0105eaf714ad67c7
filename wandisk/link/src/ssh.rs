//! `ssh://` links, from inside the process with libssh2: the steps of a dial, in order.

use std::os::unix::net::UnixStream;
use std::path::Path;

use ssh2::ErrorCode;

use crate::address::SshHost;
use crate::deadline::Deadline;
use crate::error::DialError;
use crate::host;
use crate::key_file::{Identity, Use};
use crate::known_hosts::Known;
use crate::login::{self, TIMEOUT};
use crate::pump::Pump;
use crate::ssh_config::{self, Settings};
use crate::stream::Stream;
use crate::tail::Tail;

/// What we let the far side send before it hears from us: 32 MiB keep a 1 Gbit/s link of 250 ms full.
pub(crate) const WINDOW: u32 = 32 << 20;
/// Largest packet; 32 KiB is what servers take without question.
const PACKET: u32 = 32 << 10;
const KEEPALIVE_S: u32 = 10;

/// How a dial ended well.
pub(crate) enum Dialled {
    /// By us.
    Stream(Box<Stream>),
    /// It takes the `ssh` program: run it.
    UseProgram,
}

/// Dials.
pub(crate) async fn dial(
    address: &SshHost,
    program: &str,
    far_command: String,
    config: Option<&Path>,
    deadline: Deadline,
) -> Result<Dialled, DialError> {
    let resolved = tokio::time::timeout(deadline.left()?, ssh_config::resolve(address, config)).await;
    let settings = resolved.map_err(|_| deadline.passed())??;
    if settings.needs_program {
        return Ok(Dialled::UseProgram);
    }
    let tail = Tail::of(program);
    let dialled = tokio::task::spawn_blocking(move || dial_blocking(&settings, &far_command, tail, deadline));
    // Its steps keep the deadline by themselves, but for a resolver or an agent that does not answer.
    match tokio::time::timeout(deadline.left()?, dialled).await {
        Err(_) => Err(deadline.passed()),
        Ok(Err(_)) => Err(DialError::Ended),
        Ok(Ok(result)) => result,
    }
}

/// Connects, checks the host, logs in, starts the far command.
fn dial_blocking(
    settings: &Settings,
    far_command: &str,
    tail: Tail,
    deadline: Deadline,
) -> Result<Dialled, DialError> {
    let known = Known::read(&settings.known_hosts, &settings.filed);
    if known.needs_authority() && settings.program {
        return Ok(Dialled::UseProgram);
    }
    let identities: Vec<Identity> = settings.identities.iter().map(|path| Identity::read(path)).collect();
    let (session, socket) = host::connect(settings, &known, deadline)?;
    if let Err(e) = login::log_in(&session, settings, &identities, deadline) {
        // A locked or hardware key: the ssh program may know what to do with it.
        let odd = identities.iter().any(|identity| identity.can == Use::NotAlone);
        let by_program = odd && settings.program && matches!(e, DialError::LoginRefused { .. });
        return if by_program { Ok(Dialled::UseProgram) } else { Err(e) };
    }
    let failed = |source: ssh2::Error| match source.code() {
        ErrorCode::Session(TIMEOUT) => deadline.passed(),
        _ => DialError::Ssh { host: settings.host.clone(), source },
    };
    session.set_timeout(deadline.left_ms()?);
    let mut channel = session.channel_open("session", WINDOW, PACKET, None).map_err(failed)?;
    session.set_timeout(deadline.left_ms()?);
    channel.exec(far_command).map_err(failed)?;
    // Replies to keepalives would be kept in a queue for ever: none are asked for.
    session.set_keepalive(false, KEEPALIVE_S);
    session.set_blocking(false);
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let near = tokio::net::UnixStream::from_std(near)?;
    let pump = Pump::new(session, socket, channel, far, tail.clone());
    std::thread::Builder::new().name("wandisk-ssh".to_owned()).spawn(move || pump.run())?;
    Ok(Dialled::Stream(Box::new(Stream::ssh(near, tail))))
}
