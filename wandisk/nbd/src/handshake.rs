//! Carries a client through its handshake, against the clock.

use std::io;
use std::time::Instant;

use crate::limits::MAX_OPTION;
use crate::proto::handshake::{Handshake, Next, Violation};
use crate::proto::{Export, Session};
use crate::wire::Wire;

/// Why a client did not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// It broke the protocol.
    #[error("the client sent {0}")]
    Violation(#[from] Violation),
    /// It went away or was too slow, or its socket failed.
    #[error("the socket failed")]
    Socket(#[from] io::Error),
    /// It ended the stream.
    #[error("the client went away")]
    Gone,
}

/// Talks with the client until it wants to be served; `None` if it said good-bye instead.
///
/// `ready` is called after the agreement and before the client hears of it. The bytes that the client sent ahead
/// of that are returned: they are its first requests.
pub(crate) fn shake_hands(
    wire: &Wire,
    export: &Export,
    deadline: Instant,
    ready: impl FnOnce(),
) -> Result<Option<(Session, Vec<u8>)>, Failed> {
    let deadline = Some(deadline);
    let mut out = Vec::new();
    let mut handshake = Handshake::greet(export, &mut out);
    // An option's header beside the longest option that is looked at.
    let mut buffer = vec![0; MAX_OPTION as usize + 64];
    let mut filled = 0;
    loop {
        if !out.is_empty() {
            wire.set_deadline(deadline)?;
            wire.send(&out)?;
            out.clear();
        }
        wire.set_deadline(deadline)?;
        match wire.receive(&mut buffer[filled..])? {
            0 => return Err(Failed::Gone),
            n => filled += n,
        }
        let (used, next) = handshake.input(&buffer[..filled], &mut out)?;
        buffer.copy_within(used..filled, 0);
        filled -= used;
        match next {
            Next::More => {}
            Next::Close => {
                wire.send(&out)?;
                return Ok(None);
            }
            Next::Serve(session) => {
                ready();
                wire.send(&out)?;
                wire.set_deadline(None)?;
                buffer.truncate(filled);
                return Ok(Some((session, buffer)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    fn shake(client: impl FnOnce(UnixStream) + Send + 'static, time: Duration) -> Result<bool, Failed> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = std::thread::spawn(move || client(theirs));
        let export = Export { name: "disk".into(), size: 1, read_only: true };
        let wire = Wire::new(ours.into());
        let result = shake_hands(&wire, &export, Instant::now() + time, || {});
        wire.cut();
        client.join().unwrap();
        result.map(|agreed| agreed.is_some())
    }

    fn is_late(result: Result<bool, Failed>) -> bool {
        let late = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock];
        matches!(result, Err(Failed::Socket(e)) if late.contains(&e.kind()))
    }

    #[test]
    fn a_client_that_says_nothing_is_dropped_in_time() {
        let silent = |mut stream: UnixStream| drop(stream.read_to_end(&mut Vec::new()));
        assert!(is_late(shake(silent, Duration::from_millis(50))));
    }

    #[test]
    fn a_client_that_dribbles_gains_no_time() {
        let dribble = |mut stream: UnixStream| {
            // An option of a megabyte, which would be taken.
            stream.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x06\0\x10\0\0").unwrap();
            while stream.write_all(b".").is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let start = Instant::now();
        assert!(is_late(shake(dribble, Duration::from_millis(100))));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_client_that_never_reads_is_dropped_in_time() {
        let deaf = |mut stream: UnixStream| {
            let mut bytes = b"\0\0\0\x03".to_vec();
            // Answers to as many options as there may be, each with its list, and no one to take them: the socket's
            // buffer holds those, so the deadline of receiving is what ends it.
            (0..256).for_each(|_| bytes.extend(b"IHAVEOPT\0\0\0\x03\0\0\0\0"));
            stream.write_all(&bytes).ok();
            while stream.write_all(&[0; 16]).is_ok() {}
        };
        assert!(shake(deaf, Duration::from_millis(100)).is_err());
    }
}
