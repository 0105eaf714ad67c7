//! The handshake of a client towards a server.

use bytes::{Buf, BytesMut};

use super::{NONE, ServerInit, VNC_AUTH, Version, auth};
use crate::error::HandshakeError;
use crate::limits;
use crate::wire::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Version,
    /// 3.3: the server's choice.
    Told,
    /// 3.7 and later: the server's list.
    Offered,
    Challenge,
    Result,
    /// The reason of a refusal follows.
    Reason,
    Init,
    Ended,
}

/// A client's side of the handshake.
pub struct ClientHandshake {
    password: Option<Vec<u8>>,
    shared: bool,
    highest: Version,
    version: Version,
    state: State,
}

impl std::fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHandshake").field("state", &self.state).finish_non_exhaustive()
    }
}

impl ClientHandshake {
    /// A handshake that has not begun. `shared` asks the server to leave other clients connected; the
    /// password is used when the server does not offer to go without.
    #[must_use]
    pub fn new(password: Option<Vec<u8>>, shared: bool) -> Self {
        let highest = Version::V3_8;
        Self { password, shared, highest, version: highest, state: State::Version }
    }

    /// Speaks no later version than this.
    #[must_use]
    pub fn at_most(mut self, version: Version) -> Self {
        self.highest = version;
        self
    }

    /// The version both speak, once it is settled.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Takes what it understands off `input`, appends answers to `output`, and says what the server is
    /// when the handshake has ended; what then is in `input` belongs to the session.
    ///
    /// # Errors
    /// When the server refuses, or does not keep to the protocol.
    pub fn step(
        &mut self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
    ) -> Result<Option<ServerInit>, HandshakeError> {
        loop {
            if self.state == State::Init {
                let Some((init, len)) = ServerInit::read(input)? else { return Ok(None) };
                input.advance(len);
                self.state = State::Ended;
                return Ok(Some(init));
            }
            let mut from = Reader::new(input);
            let Some(next) = self.next(&mut from, output)? else { return Ok(None) };
            let at = from.at();
            input.advance(at);
            self.state = next;
        }
    }

    /// The next state, or `None` when bytes are missing; it appends nothing then.
    fn next(&mut self, from: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<Option<State>, HandshakeError> {
        Ok(match self.state {
            State::Version => {
                let Some(line) = from.take(Version::LEN) else { return Ok(None) };
                self.version = Version::parse(line)?.min(self.highest);
                out.extend_from_slice(self.version.line());
                Some(if self.version == Version::V3_3 { State::Told } else { State::Offered })
            }
            State::Told => {
                let Some(kind) = from.u32() else { return Ok(None) };
                match u8::try_from(kind) {
                    Ok(0) => Some(State::Reason),
                    Ok(NONE) => Some(self.init(out)),
                    Ok(VNC_AUTH) if self.password.is_none() => return Err(HandshakeError::PasswordWanted),
                    Ok(VNC_AUTH) => Some(State::Challenge),
                    other => return Err(HandshakeError::NoCommonSecurity(vec![other.unwrap_or(u8::MAX)])),
                }
            }
            State::Offered => {
                let offered = from.u8().and_then(|count| from.take(count.into()));
                match offered {
                    Some([]) => Some(State::Reason),
                    Some(offered) => Some(self.choose(offered, out)?),
                    None => None,
                }
            }
            State::Challenge => {
                from.take(auth::CHALLENGE).and_then(|bytes| bytes.try_into().ok()).map(|challenge| {
                    let password = self.password.as_deref().unwrap_or_default();
                    out.extend_from_slice(&auth::answer(password, challenge));
                    State::Result
                })
            }
            State::Result => match from.u32() {
                None => None,
                Some(0) => Some(self.init(out)),
                // 2 is "too many attempts" of old servers.
                Some(1 | 2) if self.version == Version::V3_8 => Some(State::Reason),
                Some(1 | 2) => return Err(HandshakeError::Refused("authentication failed".to_owned())),
                Some(other) => return Err(HandshakeError::BadResult(other)),
            },
            State::Reason => return Self::reason(from),
            State::Init | State::Ended => return Err(HandshakeError::Ended),
        })
    }

    fn choose(&self, offered: &[u8], out: &mut Vec<u8>) -> Result<State, HandshakeError> {
        if offered.contains(&NONE) {
            out.push(NONE);
            return Ok(if self.version == Version::V3_8 { State::Result } else { self.init(out) });
        }
        if !offered.contains(&VNC_AUTH) {
            return Err(HandshakeError::NoCommonSecurity(offered.to_vec()));
        }
        if self.password.is_none() {
            return Err(HandshakeError::PasswordWanted);
        }
        out.push(VNC_AUTH);
        Ok(State::Challenge)
    }

    fn init(&self, out: &mut Vec<u8>) -> State {
        out.push(self.shared.into());
        State::Init
    }

    fn reason(from: &mut Reader<'_>) -> Result<Option<State>, HandshakeError> {
        let Some(len) = from.u32() else { return Ok(None) };
        // A longer one is cut: the connection ends here anyhow.
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(limits::REASON);
        match from.take(len) {
            None => Ok(None),
            Some(reason) => Err(HandshakeError::Refused(String::from_utf8_lossy(reason).into_owned())),
        }
    }
}
