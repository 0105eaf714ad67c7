//! A client that speaks the protocol by hand, so that tests can also speak it wrongly.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use wandisk_conformance::{Client, ClientError};

pub const OPTION_MAGIC: &[u8] = b"IHAVEOPT";
pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const WRITE_ZEROES: u16 = 6;
pub const BLOCK_STATUS: u16 = 7;
pub const FUA: u16 = 1;
pub const NO_HOLE: u16 = 2;

pub const EXPORT_NAME: u32 = 1;
pub const ABORT: u32 = 2;
pub const STARTTLS: u32 = 5;
pub const GO: u32 = 7;
pub const STRUCTURED_REPLY: u32 = 8;
pub const SET_META_CONTEXT: u32 = 10;
pub const ACK: u32 = 1;
pub const ERR_UNSUP: u32 = (1 << 31) + 1;

/// The answer to one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub cookie: u64,
    pub error: u32,
    pub data: Vec<u8>,
}

/// A connection; what may be wrong with what it sends is up to the test.
#[derive(Debug)]
pub struct Raw {
    pub stream: UnixStream,
    pub cookie: u64,
}

impl Raw {
    /// Connected and greeted; no flags sent.
    pub fn greeted(socket: &Path) -> Raw {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(super::SOON)).unwrap();
        stream.set_write_timeout(Some(super::SOON)).unwrap();
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        Raw { stream, cookie: 0 }
    }

    /// Past the flags, ready for options.
    pub fn open(socket: &Path) -> Raw {
        let mut raw = Raw::greeted(socket);
        raw.send(&3u32.to_be_bytes());
        raw
    }

    /// Past the handshake, with simple replies.
    pub fn connect(socket: &Path) -> Raw {
        let mut raw = Raw::open(socket);
        raw.go();
        raw
    }

    /// Past the handshake, with structured replies.
    pub fn connect_structured(socket: &Path) -> Raw {
        let mut raw = Raw::open(socket);
        assert_eq!(raw.ask(STRUCTURED_REPLY, b""), ACK);
        raw.go();
        raw
    }

    pub fn go(&mut self) {
        assert_eq!(self.ask(GO, &[0; 6]), ACK);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends an option, and gives the last answer's kind.
    pub fn ask(&mut self, option: u32, payload: &[u8]) -> u32 {
        self.send(&option_bytes(option, payload));
        loop {
            let kind = self.option_answer();
            if kind == ACK || kind >= 1 << 31 {
                return kind;
            }
        }
    }

    fn option_answer(&mut self) -> u32 {
        let head = self.receive(20);
        let mut payload = vec![0; word(&head[16..]) as usize];
        self.stream.read_exact(&mut payload).unwrap();
        word(&head[12..])
    }

    pub fn receive(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Sends a request, and gives its cookie.
    pub fn request(&mut self, flags: u16, command: u16, offset: u64, len: u32, payload: &[u8]) -> u64 {
        self.cookie += 1;
        let mut bytes = request_bytes(flags, command, self.cookie, offset, len);
        bytes.extend(payload);
        self.send(&bytes);
        self.cookie
    }

    /// The next answer; reads give `data` bytes if they succeed.
    pub fn answer(&mut self, data: usize) -> Answer {
        self.try_answer(data).unwrap()
    }

    pub fn try_answer(&mut self, data: usize) -> io::Result<Answer> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        if word(&head) == 0x6744_6698 {
            let error = word(&head[4..]);
            let mut bytes = vec![0; if error == 0 { data } else { 0 }];
            self.stream.read_exact(&mut bytes)?;
            return Ok(Answer { cookie: long(&head[8..]), error, data: bytes });
        }
        assert_eq!(word(&head), 0x668e_33ef, "a reply starts with another magic");
        assert_eq!(head[4..6], [0, 1], "a chunk is not the last");
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let mut payload = vec![0; word(&len) as usize];
        self.stream.read_exact(&mut payload)?;
        let cookie = long(&head[8..]);
        Ok(match u16::from_be_bytes([head[6], head[7]]) {
            0 => Answer { cookie, error: 0, data: Vec::new() },
            1 => Answer { cookie, error: 0, data: payload.split_off(8) },
            5 => Answer { cookie, error: 0, data: payload.split_off(4) },
            kind if kind >= 1 << 15 => Answer { cookie, error: word(&payload), data: Vec::new() },
            kind => panic!("a chunk of kind {kind}"),
        })
    }

    /// One request and its answer, with no other in flight.
    pub fn call(&mut self, flags: u16, command: u16, offset: u64, len: u32, payload: &[u8]) -> Answer {
        let cookie = self.request(flags, command, offset, len, payload);
        let answer = self.answer(if command == READ { len as usize } else { 0 });
        assert_eq!(answer.cookie, cookie);
        answer
    }

    /// The server has closed the connection, with no more bytes.
    pub fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty(), "{} bytes before the end", rest.len()),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

pub fn option_bytes(option: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [OPTION_MAGIC, &option.to_be_bytes(), &len, payload].concat()
}

pub fn request_bytes(flags: u16, command: u16, cookie: u64, offset: u64, len: u32) -> Vec<u8> {
    let mut bytes = 0x2560_9513u32.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

fn long(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

impl Client for Raw {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), ClientError> {
        let answer = self.call(0, READ, offset, buffer.len() as u32, b"");
        done(&answer)?;
        buffer.copy_from_slice(&answer.data);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8], fua: bool) -> Result<(), ClientError> {
        done(&self.call(u16::from(fua) * FUA, WRITE, offset, data.len() as u32, data))
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        done(&self.call(0, FLUSH, 0, 0, b""))
    }

    fn trim(&mut self, offset: u64, len: u64) -> Result<(), ClientError> {
        done(&self.call(0, TRIM, offset, len as u32, b""))
    }

    fn zero(&mut self, offset: u64, len: u64, may_punch: bool) -> Result<(), ClientError> {
        done(&self.call(u16::from(!may_punch) * NO_HOLE, WRITE_ZEROES, offset, len as u32, b""))
    }
}

fn done(answer: &Answer) -> Result<(), ClientError> {
    if answer.error == 0 { Ok(()) } else { Err(ClientError::Refused(answer.error.cast_signed())) }
}
