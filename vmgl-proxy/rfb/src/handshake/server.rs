//! The handshake of a server towards a viewer.

use bytes::{Buf, BytesMut};

use super::{NONE, VNC_AUTH, Version, auth};
use crate::error::HandshakeError;
use crate::wire::{Reader, put_len, put_u32};

/// What a viewer has to show before it is let in.
#[derive(Clone)]
pub enum Security {
    /// Nothing.
    None,
    /// The password, by VNC authentication.
    VncAuth {
        /// Only the first eight bytes count: the protocol's weakness, not ours.
        password: Vec<u8>,
        /// Random, and never used before.
        challenge: [u8; 16],
    },
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::VncAuth { .. } => "VncAuth",
        })
    }
}

/// What a viewer said at the end of the handshake; the answer is [`super::ServerInit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewerInit {
    /// Whether other viewers may stay connected.
    pub shared: bool,
    /// The version it speaks.
    pub version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hello,
    Version,
    Choice,
    Answer,
    Init,
    Ended,
}

/// A server's side of the handshake.
#[derive(Debug)]
pub struct ServerHandshake {
    security: Security,
    refusal: Option<String>,
    highest: Version,
    version: Version,
    state: State,
}

impl ServerHandshake {
    /// A handshake that has not begun; the first [`ServerHandshake::step`] begins it, with no input.
    #[must_use]
    pub fn new(security: Security) -> Self {
        let highest = Version::V3_8;
        Self { security, refusal: None, highest, version: highest, state: State::Hello }
    }

    /// A handshake that ends in a refusal for this reason.
    #[must_use]
    pub fn refusing(reason: &str) -> Self {
        Self { refusal: Some(reason.to_owned()), ..Self::new(Security::None) }
    }

    /// Speaks no later version than this.
    #[must_use]
    pub fn at_most(mut self, version: Version) -> Self {
        self.highest = version;
        self
    }

    /// Takes what it understands off `input`, appends answers to `output`, and says what the viewer
    /// wants when it is let in. The caller then writes a [`super::ServerInit`] of that moment.
    ///
    /// # Errors
    /// When the viewer is refused or does not keep to the protocol; `output` may hold a last word to
    /// be sent before the connection is closed.
    pub fn step(
        &mut self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
    ) -> Result<Option<ViewerInit>, HandshakeError> {
        loop {
            let mut from = Reader::new(input);
            let next = match self.state {
                State::Hello => {
                    output.extend_from_slice(self.highest.line());
                    Some(State::Version)
                }
                State::Version => match from.take(Version::LEN) {
                    Some(line) => {
                        self.version = Version::parse(line)?.min(self.highest);
                        Some(self.offer(output)?)
                    }
                    None => None,
                },
                State::Choice => match from.u8() {
                    Some(choice) => Some(self.chosen(choice, output)?),
                    None => None,
                },
                State::Answer => match from.take(auth::CHALLENGE) {
                    Some(answer) => Some(self.judge(answer, output)?),
                    None => None,
                },
                State::Init => match from.u8() {
                    Some(shared) => {
                        input.advance(1);
                        self.state = State::Ended;
                        return Ok(Some(ViewerInit { shared: shared != 0, version: self.version }));
                    }
                    None => None,
                },
                State::Ended => return Err(HandshakeError::Ended),
            };
            let Some(next) = next else { return Ok(None) };
            let at = from.at();
            input.advance(at);
            self.state = next;
        }
    }

    fn kind(&self) -> u8 {
        match self.security {
            Security::None => NONE,
            Security::VncAuth { .. } => VNC_AUTH,
        }
    }

    fn offer(&self, out: &mut Vec<u8>) -> Result<State, HandshakeError> {
        if let Some(reason) = &self.refusal {
            match self.version {
                Version::V3_3 => put_u32(out, 0),
                _ => out.push(0),
            }
            put_len(out, reason.len());
            out.extend_from_slice(reason.as_bytes());
            return Err(HandshakeError::Refused(reason.clone()));
        }
        if self.version == Version::V3_3 {
            put_u32(out, self.kind().into());
            return Ok(self.ask(out));
        }
        out.extend([1, self.kind()]);
        Ok(State::Choice)
    }

    fn chosen(&self, choice: u8, out: &mut Vec<u8>) -> Result<State, HandshakeError> {
        if choice != self.kind() {
            self.fail("that security type was not offered", out);
            return Err(HandshakeError::NotOffered(choice));
        }
        if choice == NONE && self.version == Version::V3_8 {
            put_u32(out, 0);
        }
        Ok(self.ask(out))
    }

    /// The challenge, when there is one.
    fn ask(&self, out: &mut Vec<u8>) -> State {
        match &self.security {
            Security::None => State::Init,
            Security::VncAuth { challenge, .. } => {
                out.extend_from_slice(challenge);
                State::Answer
            }
        }
    }

    fn judge(&self, answer: &[u8], out: &mut Vec<u8>) -> Result<State, HandshakeError> {
        let right = match &self.security {
            Security::None => false,
            Security::VncAuth { password, challenge } => {
                auth::same(&auth::answer(password, challenge), answer)
            }
        };
        if !right {
            self.fail("authentication failed", out);
            return Err(HandshakeError::WrongPassword);
        }
        put_u32(out, 0);
        Ok(State::Init)
    }

    fn fail(&self, reason: &str, out: &mut Vec<u8>) {
        put_u32(out, 1);
        if self.version == Version::V3_8 {
            put_len(out, reason.len());
            out.extend_from_slice(reason.as_bytes());
        }
    }
}
