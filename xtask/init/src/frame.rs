//! Frames on the guest's virtio-serial port: kind (1 byte), length (4 bytes, little-endian), payload.
//!
//! Invariant: a payload has at most [`MAX_PAYLOAD`] bytes; a reader refuses more before it allocates.

use std::io::{self, Read, Write};

/// The name of the virtio-serial port that carries frames.
pub const PORT_NAME: &str = "snowbird.frames";

/// The longest payload of one frame in bytes.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// One message from the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes the command wrote to its standard output.
    Stdout(Vec<u8>),
    /// Bytes the command wrote to its standard error.
    Stderr(Vec<u8>),
    /// The command has ended: its exit code, or 128 + the signal that ended it. The last frame.
    Exit(i32),
    /// The guest could not get as far as the command; says why. The last frame.
    Broken(String),
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Stdout(_) => 1,
            Self::Stderr(_) => 2,
            Self::Exit(_) => 3,
            Self::Broken(_) => 4,
        }
    }

    /// Writes the frame in one call, so that frames of several threads do not mix as long as each
    /// holds the lock around the port.
    ///
    /// # Errors
    /// The port's own, and `InvalidInput` for a payload over [`MAX_PAYLOAD`].
    pub fn write(&self, port: &mut impl Write) -> io::Result<()> {
        let code;
        let payload: &[u8] = match self {
            Self::Stdout(bytes) | Self::Stderr(bytes) => bytes,
            Self::Exit(status) => {
                code = status.to_le_bytes();
                &code
            }
            Self::Broken(why) => why.as_bytes(),
        };
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD);
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut bytes = Vec::with_capacity(5 + payload.len());
        bytes.push(self.kind());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(payload);
        port.write_all(&bytes)?;
        port.flush()
    }

    /// Reads the next frame; `None` at a clean end between two frames.
    ///
    /// # Errors
    /// The port's own; `UnexpectedEof` inside a frame; `InvalidData` for an unknown kind or a length
    /// that does not fit it.
    pub fn read(port: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0u8; 1];
        if port.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut length = [0u8; 4];
        port.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_PAYLOAD {
            return Err(invalid("a frame of the guest is too long"));
        }
        let mut payload = vec![0u8; length];
        port.read_exact(&mut payload)?;
        match kind {
            [1] => Ok(Some(Self::Stdout(payload))),
            [2] => Ok(Some(Self::Stderr(payload))),
            [3] => {
                let code = <[u8; 4]>::try_from(payload).map_err(|_| invalid("an exit frame has 4 bytes"))?;
                Ok(Some(Self::Exit(i32::from_le_bytes(code))))
            }
            [4] => Ok(Some(Self::Broken(String::from_utf8_lossy(&payload).into_owned()))),
            _ => Err(invalid("a frame of the guest has an unknown kind")),
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_were_sent() {
        let frames = [
            Frame::Stdout(b"out".to_vec()),
            Frame::Stderr(vec![0, 255]),
            Frame::Broken("no root".to_owned()),
            Frame::Exit(-7),
        ];
        let mut wire = Vec::new();
        for frame in &frames {
            frame.write(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        for frame in frames {
            assert_eq!(Frame::read(&mut wire).unwrap(), Some(frame));
        }
        assert_eq!(Frame::read(&mut wire).unwrap(), None);
    }

    #[test]
    fn a_cut_a_long_and_an_unknown_frame_are_errors() {
        for wire in
            [&[1u8][..], &[1, 4, 0, 0, 0, 1], &[1, 255, 255, 255, 255], &[9, 0, 0, 0, 0], &[3, 1, 0, 0, 0, 1]]
        {
            assert!(Frame::read(&mut &*wire).is_err(), "{wire:?}");
        }
    }
}
