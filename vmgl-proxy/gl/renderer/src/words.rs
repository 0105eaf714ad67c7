//! What a renderer and the proxy say to each other: packets of JSON over a pair of sockets, some with a descriptor.
//!
//! The proxy believes nothing of it: a renderer has read what a foreign program sent.
//!
//! Invariant: a packet is no longer than [`LONGEST`] and carries one descriptor at most.

use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest packet, in bytes.
pub const LONGEST: usize = 8 << 10;

/// What a renderer did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Commands that were carried out.
    pub commands: u64,
    /// Bytes of them, unpacked.
    pub bytes: u64,
    /// Bytes that came by the connection.
    pub packed_bytes: u64,
    /// Times that the program waited for an answer, as it says itself.
    pub blocking: u64,
    /// Pictures that were shown.
    pub swaps: u64,
    /// Commands that had no effect, and errors of OpenGL's.
    pub errors: u64,
}

/// How often and how long a program has waited for the answers to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// The command's number on the wire.
    pub opcode: u16,
    /// So often.
    pub times: u64,
    /// So long, all together.
    pub micros: u64,
}

/// What a renderer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromRenderer {
    /// Room for two pictures of a window, one after the other, in the file that comes along. Each is row by row from
    /// the lowest on, a pixel is blue, green, red and one byte without meaning.
    Room {
        /// Its number; a window that gets another room has this one no more.
        room: u32,
        /// The window at the agent's X server.
        window: u32,
        /// Width of a picture.
        width: u16,
        /// Height of a picture.
        height: u16,
    },
    /// A picture is there, in the first half of its room or the second, and stays until [`ToRenderer::Release`].
    Picture {
        /// The room.
        room: u32,
        /// 0 or 1.
        half: u8,
    },
    /// The window has no pictures any more.
    Closed {
        /// Its room.
        room: u32,
    },
    /// What was done so far.
    Counts(Counts),
    /// What the program has waited for so far, of commands of which that has changed.
    Waited(Vec<Waited>),
    /// The program's connection ended; another may go on with its stream.
    Lost,
    /// Parts of the sandbox ([`crate::sandbox`]) that do not hold here.
    Unconfined(Vec<String>),
    /// The file that comes along has a number that is odd while a command is carried out, and another for each.
    Pulse,
}

/// What the proxy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToRenderer {
    /// The program's connection comes along; these bytes were read from it.
    Connect {
        /// Its hello.
        hello: Vec<u8>,
    },
    /// A picture may be drawn over.
    Release {
        /// The room.
        room: u32,
        /// Which half of it.
        half: u8,
    },
    /// This renderer is to be replaced: its program is told to bring home what only the renderer has, and to go.
    Leave {
        /// Where to, as the agent's programs say it; to the next one here if it is empty.
        to: String,
        /// The program's connection is to end, and the next renderer, which may not be there yet, waited for.
        away: bool,
    },
}

/// Says it.
///
/// # Errors
/// What sending gives.
pub fn say(to: impl AsFd, word: &impl Serialize, along: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let packet = serde_json::to_vec(word)?;
    if packet.len() > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    let fds = along.as_slice();
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let sent = sendmsg(to, &[IoSlice::new(&packet)], &mut beside, SendFlags::NOSIGNAL)?;
    if sent == packet.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Hears the next word, and what came along; none when the other side is gone.
///
/// # Errors
/// What receiving gives, and what is no such word.
pub fn hear<T: DeserializeOwned>(from: impl AsFd) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut packet = [0; LONGEST];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut room);
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut packet)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let mut along = None;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            along = along.into_iter().chain(fds).next();
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some((serde_json::from_slice(packet.get(..got.bytes).unwrap_or_default())?, along)))
}

/// Both ends of a line for such packets.
///
/// # Errors
/// What the system gives.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn a_word_comes_with_its_file_and_the_end_is_heard() {
        let (here, there) = pair().unwrap();
        let word = FromRenderer::Room { room: 1, window: 2, width: 3, height: 4 };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"pixels").unwrap();
        say(&here, &word, Some(file.as_fd())).unwrap();
        say(&here, &FromRenderer::Picture { room: 1, half: 0 }, None).unwrap();
        let (heard, along) = hear::<FromRenderer>(&there).unwrap().unwrap();
        assert_eq!(heard, word);
        let mut came = std::fs::File::from(along.unwrap());
        came.rewind().unwrap();
        let mut text = String::new();
        came.read_to_string(&mut text).unwrap();
        assert_eq!(text, "pixels");
        assert!(matches!(hear::<FromRenderer>(&there), Ok(Some((FromRenderer::Picture { .. }, None)))));
        drop(here);
        assert!(hear::<FromRenderer>(&there).unwrap().is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        let (here, there) = pair().unwrap();
        say(&here, &"nonsense", None).unwrap();
        assert!(hear::<FromRenderer>(&there).is_err());
        let long = ToRenderer::Connect { hello: vec![1; LONGEST] };
        assert!(say(&here, &long, None).is_err());
    }
}
