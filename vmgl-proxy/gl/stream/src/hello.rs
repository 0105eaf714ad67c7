//! How a connection opens: who speaks, about which stream, and where it goes on.

use thiserror::Error;

use crate::wire::{put_array, put_u32, put_u64};
use crate::{Caps, DecodeError, Reader, limits};

const MAGIC: &[u8; 8] = b"VMGLGL01";

/// Why bytes are no hello.
#[derive(Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum HelloError {
    #[error("this is not VMGL, or another version of it")]
    Magic,
    #[error("the hello makes no sense")]
    Decode(#[from] DecodeError),
}

/// What the program says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// [`crate::SPEC`].
    pub spec: u64,
    /// The stream's random id.
    pub stream: [u8; 16],
    /// Of the renderer's frames, the one that is wanted next.
    pub next: u64,
    /// The last frame that was sent; 0 opens a new stream.
    pub last: u64,
    /// The program's process.
    pub pid: u32,
    /// The program's name, at most [`limits::NAME`] bytes.
    pub name: String,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Welcome,
    /// The two were made from other tables.
    OtherSpec,
    /// That stream is not known here: open a new one and rebuild what it had.
    Unknown,
    /// Not now.
    Refused,
}

/// What the renderer answers.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerHello {
    /// [`crate::SPEC`].
    pub spec: u64,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Of the program's frames, the one that is wanted next.
    pub next: u64,
    /// What the renderer can, in answer to a new stream.
    pub caps: Option<Caps>,
}

const CLIENT_FIXED: usize = 8 + 8 + 16 + 8 + 8 + 4 + 4;
const SERVER_FIXED: usize = 8 + 8 + 4 + 4 + 8 + 4;

fn begins(bytes: &[u8]) -> Result<(), HelloError> {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) == MAGIC.get(..known) { Ok(()) } else { Err(HelloError::Magic) }
}

impl ClientHello {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_u64(&mut out, self.spec);
        out.extend_from_slice(&self.stream);
        put_u64(&mut out, self.next);
        put_u64(&mut out, self.last);
        put_u32(&mut out, self.pid);
        let cut = self.name.floor_char_boundary(limits::NAME);
        put_array(&mut out, &self.name.as_bytes()[..cut]);
        out
    }

    /// The hello at the front of what has come and its length; none if more must come.
    ///
    /// # Errors
    /// [`HelloError`] as soon as it can be none.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HelloError> {
        begins(bytes)?;
        let Some(length) = bytes.get(CLIENT_FIXED - 4..CLIENT_FIXED) else { return Ok(None) };
        let length = usize::try_from(Reader::new(length).u32()?).unwrap_or(usize::MAX);
        if length > limits::NAME {
            return Err(DecodeError::Limit("a program's name").into());
        }
        let whole = CLIENT_FIXED + length.next_multiple_of(4);
        let Some(bytes) = bytes.get(MAGIC.len()..whole) else { return Ok(None) };
        let mut r = Reader::new(bytes);
        let spec = r.u64()?;
        let stream = *r.take(16)?.first_chunk().ok_or(DecodeError::Short)?;
        let (next, last, pid) = (r.u64()?, r.u64()?, r.u32()?);
        let name = String::from_utf8_lossy(r.array()?).into_owned();
        Ok(Some((Self { spec, stream, next, last, pid, name }, whole)))
    }
}

impl ServerHello {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_u64(&mut out, self.spec);
        let verdict = match self.verdict {
            Verdict::Welcome => 0,
            Verdict::OtherSpec => 1,
            Verdict::Unknown => 2,
            Verdict::Refused => 3,
        };
        put_u32(&mut out, verdict);
        put_u32(&mut out, 0);
        put_u64(&mut out, self.next);
        let mut caps = Vec::new();
        if let Some(told) = &self.caps {
            told.encode(&mut caps);
        }
        put_array(&mut out, &caps);
        out
    }

    /// The hello at the front of what has come and its length; none if more must come.
    ///
    /// # Errors
    /// [`HelloError`] as soon as it can be none.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HelloError> {
        begins(bytes)?;
        let Some(length) = bytes.get(SERVER_FIXED - 4..SERVER_FIXED) else { return Ok(None) };
        let length = usize::try_from(Reader::new(length).u32()?).unwrap_or(usize::MAX);
        if length > limits::CAPS {
            return Err(DecodeError::Limit("what the renderer can").into());
        }
        let whole = SERVER_FIXED + length.next_multiple_of(4);
        let Some(bytes) = bytes.get(MAGIC.len()..whole) else { return Ok(None) };
        let mut r = Reader::new(bytes);
        let spec = r.u64()?;
        let verdict = match r.u32()? {
            0 => Verdict::Welcome,
            1 => Verdict::OtherSpec,
            2 => Verdict::Unknown,
            3 => Verdict::Refused,
            _ => return Err(DecodeError::Value("the verdict").into()),
        };
        r.u32()?;
        let next = r.u64()?;
        let caps = r.array()?;
        let caps = if caps.is_empty() { None } else { Some(Caps::decode(caps)?) };
        Ok(Some((Self { spec, verdict, next, caps }, whole)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{ClientHello, HelloError, ServerHello, Verdict};
    use crate::Caps;

    fn client() -> ClientHello {
        ClientHello { spec: 7, stream: [3; 16], next: 1, last: 0, pid: 42, name: "glxgears".to_owned() }
    }

    #[test]
    fn a_hello_is_read_however_it_is_cut() {
        let bytes = client().encode();
        for cut in 0..bytes.len() {
            assert_eq!(ClientHello::parse(&bytes[..cut]).unwrap(), None, "{cut}");
        }
        let mut more = bytes.clone();
        more.push(9);
        assert_eq!(ClientHello::parse(&more).unwrap(), Some((client(), bytes.len())));
    }

    #[test]
    fn the_answer_carries_what_the_renderer_can() {
        let mut caps = Caps::default();
        caps.strings.insert(0x1f00, "somebody".to_owned());
        caps.integers.insert(0x0d33, vec![16384]);
        caps.floats.insert(0x846d, vec![1.0, 255.0]);
        caps.extensions.push("GL_ARB_multitexture".to_owned());
        let hello = ServerHello { spec: 7, verdict: Verdict::Welcome, next: 1, caps: Some(caps) };
        let bytes = hello.encode();
        assert_eq!(ServerHello::parse(&bytes[..bytes.len() - 1]).unwrap(), None);
        assert_eq!(ServerHello::parse(&bytes).unwrap(), Some((hello, bytes.len())));
    }

    #[test]
    fn another_protocol_is_refused_at_its_first_byte() {
        assert_eq!(ClientHello::parse(b"GET / HTTP/1.1").unwrap_err(), HelloError::Magic);
        assert_eq!(ServerHello::parse(b"R").unwrap_err(), HelloError::Magic);
    }
}
