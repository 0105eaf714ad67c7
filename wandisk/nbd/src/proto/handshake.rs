//! The fixed newstyle handshake as a state machine: bytes of the client in, bytes for the client out.
//!
//! ```text
//! greet ──> ClientFlags ──> Options ⟲ ──┬─(GO, EXPORT_NAME)──> Serve
//!                            │  ^       └─(ABORT)────────────> Close
//!                            v  │
//!                          Skipping (an option too long to look at)
//! ```
//! Invariant: an option that is refused changes nothing of what was agreed, but for the metadata contexts, which every
//! `SET_META_CONTEXT` withdraws first, as the protocol says; they hold for the export name they were asked for.
//! Invariant: it knows an [`Export`]'s description and no disk: no client can make the backend do anything from here.

use super::constants::{
    BASE_ALLOCATION, BASE_ALLOCATION_ID, MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, handshake, info, opt, rep,
};
use super::cursor::Cursor;
use super::option::{self, Malformed};
use super::{Export, Session};
use crate::limits::{MAX_NAME, MAX_OPTION, MAX_OPTIONS, MAX_REQUEST, MAX_SKIPPED_OPTION};

/// Smallest and preferred block size that clients are told, in bytes. Requests need no alignment; those aligned to
/// pages are cheaper.
const MIN_BLOCK: u32 = 1;
const PREFERRED_BLOCK: u32 = 4096;
/// The padding that `EXPORT_NAME` is answered with, unless the client asked to be spared.
const ZEROES: [u8; 124] = [0; 124];
/// Magic, number, length.
const OPTION_HEADER: usize = 16;

/// Why a client is dropped in its handshake: the protocol gives no other answer, or the client goes on too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("unknown client flags {0:#x}")]
    ClientFlags(u32),
    #[error("an option that starts with {0:#x}")]
    Magic(u64),
    #[error("option {option} of {len} bytes")]
    OptionTooLong { option: u32, len: u32 },
    #[error("too many options")]
    TooManyOptions,
    #[error("an export of another name")]
    UnknownExport,
    #[error("option {0} of a client that does not speak fixed newstyle")]
    NotFixed(u32),
}

/// What comes after the bytes that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More of the client's bytes.
    More,
    /// Requests.
    Serve(Session),
    /// The connection's end, as the client wishes.
    Close,
}

#[derive(Clone, Copy, Debug)]
enum State {
    ClientFlags,
    Options,
    Skipping { option: u32, left: usize },
}

/// One client's handshake.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    export: &'a Export,
    state: State,
    fixed: bool,
    no_zeroes: bool,
    options: u32,
    structured: bool,
    /// `base:allocation` was chosen, for the export by this name.
    allocation: Option<Name>,
}

/// Which of the export's two names a client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Empty,
    Own,
}

impl Name {
    fn of(name: &[u8]) -> Name {
        if name.is_empty() { Name::Empty } else { Name::Own }
    }
}

impl<'a> Handshake<'a> {
    /// A handshake at its start, and the greeting that opens it.
    pub(crate) fn greet(export: &'a Export, out: &mut Vec<u8>) -> Handshake<'a> {
        out.extend(MAGIC.to_be_bytes());
        out.extend(OPTION_MAGIC.to_be_bytes());
        out.extend((handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES).to_be_bytes());
        Handshake {
            export,
            state: State::ClientFlags,
            fixed: false,
            no_zeroes: false,
            options: 0,
            structured: false,
            allocation: None,
        }
    }

    /// Takes what it can of `bytes`, says how many that were, and appends the answers to `out`.
    ///
    /// What is not taken is to be shown again with more behind it; after [`Next::Serve`] it is the first requests.
    /// At most an option's header and [`MAX_OPTION`] bytes are ever needed at once.
    ///
    /// # Errors
    /// If the client is to be dropped.
    pub(crate) fn input(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(usize, Next), Violation> {
        let mut used = 0;
        while let Some((n, next)) = self.step(&bytes[used..], out)? {
            used += n;
            if next != Next::More {
                return Ok((used, next));
            }
        }
        Ok((used, Next::More))
    }

    /// Takes one element; `None` if it is not complete.
    fn step(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Next)>, Violation> {
        match self.state {
            State::ClientFlags => Ok(self.client_flags(bytes)?.map(|n| (n, Next::More))),
            State::Options => self.option(bytes, out),
            State::Skipping { option, left } if left <= bytes.len() => {
                self.state = State::Options;
                answer(out, option, rep::ERR_TOO_BIG, b"the option is too long");
                Ok(Some((left, Next::More)))
            }
            State::Skipping { .. } if bytes.is_empty() => Ok(None),
            State::Skipping { option, left } => {
                self.state = State::Skipping { option, left: left - bytes.len() };
                Ok(Some((bytes.len(), Next::More)))
            }
        }
    }

    fn client_flags(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let Some(flags) = Cursor(bytes).u32() else { return Ok(None) };
        let known = u32::from(handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES);
        if flags & !known != 0 {
            return Err(Violation::ClientFlags(flags));
        }
        self.fixed = flags & u32::from(handshake::FIXED_NEWSTYLE) != 0;
        self.no_zeroes = flags & u32::from(handshake::NO_ZEROES) != 0;
        self.state = State::Options;
        Ok(Some(4))
    }

    fn option(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Next)>, Violation> {
        let mut cursor = Cursor(bytes);
        let (Some(magic), Some(option), Some(len)) = (cursor.u64(), cursor.u32(), cursor.u32()) else {
            return Ok(None);
        };
        if magic != OPTION_MAGIC {
            return Err(Violation::Magic(magic));
        }
        if !self.fixed && option != opt::EXPORT_NAME {
            return Err(Violation::NotFixed(option));
        }
        // The one option whose answer has no room for an error.
        let too_long =
            if option == opt::EXPORT_NAME { len as usize > MAX_NAME } else { len > MAX_SKIPPED_OPTION };
        if too_long {
            return Err(Violation::OptionTooLong { option, len });
        }
        if option == opt::SET_META_CONTEXT {
            self.allocation = None;
        }
        if len > MAX_OPTION {
            self.count()?;
            self.state = State::Skipping { option, left: len as usize };
            return Ok(Some((OPTION_HEADER, Next::More)));
        }
        let Some(payload) = cursor.take(len as usize) else { return Ok(None) };
        self.count()?;
        let next = self.answer(option, payload, out)?;
        Ok(Some((OPTION_HEADER + payload.len(), next)))
    }

    fn count(&mut self) -> Result<(), Violation> {
        self.options += 1;
        if self.options > MAX_OPTIONS { Err(Violation::TooManyOptions) } else { Ok(()) }
    }

    fn answer(&mut self, option: u32, payload: &[u8], out: &mut Vec<u8>) -> Result<Next, Violation> {
        match option {
            opt::EXPORT_NAME => return self.export_name(payload, out),
            opt::ABORT => {
                answer(out, option, rep::ACK, b"");
                return Ok(Next::Close);
            }
            opt::INFO | opt::GO => return Ok(self.info(option, payload, out)),
            opt::LIST | opt::STRUCTURED_REPLY if !payload.is_empty() => {
                answer(out, option, rep::ERR_INVALID, b"the option has no data");
            }
            opt::LIST => {
                let name = self.export.name.as_bytes();
                answer_with(out, option, rep::SERVER, &[&len32(name), name]);
                answer(out, option, rep::ACK, b"");
            }
            opt::STRUCTURED_REPLY => {
                self.structured = true;
                answer(out, option, rep::ACK, b"");
            }
            opt::LIST_META_CONTEXT | opt::SET_META_CONTEXT => self.meta(option, payload, out),
            _ => answer(out, option, rep::ERR_UNSUP, b"the option is not supported"),
        }
        Ok(Next::More)
    }

    /// What was agreed, for a client that goes on to the export by this name.
    fn session(&self, name: &[u8]) -> Session {
        Session { structured: self.structured, allocation: self.allocation == Some(Name::of(name)) }
    }

    fn export_name(&self, name: &[u8], out: &mut Vec<u8>) -> Result<Next, Violation> {
        if !self.export.is_called(name) {
            return Err(Violation::UnknownExport);
        }
        out.extend(self.export.size.to_be_bytes());
        out.extend(self.export.flags().to_be_bytes());
        if !self.no_zeroes {
            out.extend(ZEROES);
        }
        Ok(Next::Serve(self.session(name)))
    }

    fn info(&self, option: u32, payload: &[u8], out: &mut Vec<u8>) -> Next {
        let request = match option::info(payload) {
            Ok(request) => request,
            Err(why) => {
                refuse(out, option, why);
                return Next::More;
            }
        };
        if !self.export.is_called(request.name) {
            answer(out, option, rep::ERR_UNKNOWN, b"there is no export of that name");
            return Next::More;
        }
        let (size, flags) = (self.export.size.to_be_bytes(), self.export.flags().to_be_bytes());
        answer_with(out, option, rep::INFO, &[&info::EXPORT.to_be_bytes(), &size, &flags]);
        let sizes = [MIN_BLOCK.to_be_bytes(), PREFERRED_BLOCK.to_be_bytes(), MAX_REQUEST.to_be_bytes()];
        answer_with(out, option, rep::INFO, &[&info::BLOCK_SIZE.to_be_bytes(), &sizes.concat()]);
        if request.wants_name {
            answer_with(out, option, rep::INFO, &[&info::NAME.to_be_bytes(), self.export.name.as_bytes()]);
        }
        answer(out, option, rep::ACK, b"");
        if option == opt::GO { Next::Serve(self.session(request.name)) } else { Next::More }
    }

    fn meta(&mut self, option: u32, payload: &[u8], out: &mut Vec<u8>) {
        if !self.structured {
            return answer(out, option, rep::ERR_INVALID, b"structured replies come first");
        }
        let request = match option::meta(payload) {
            Ok(request) => request,
            Err(why) => return refuse(out, option, why),
        };
        if !self.export.is_called(request.name) {
            return answer(out, option, rep::ERR_UNKNOWN, b"there is no export of that name");
        }
        let set = option == opt::SET_META_CONTEXT;
        let chosen = if set {
            request.allocation
        } else {
            request.allocation || request.namespace || request.queries == 0
        };
        if set && chosen {
            self.allocation = Some(Name::of(request.name));
        }
        if chosen {
            let id = if set { BASE_ALLOCATION_ID } else { 0 };
            answer_with(out, option, rep::META_CONTEXT, &[&id.to_be_bytes(), BASE_ALLOCATION]);
        }
        answer(out, option, rep::ACK, b"");
    }
}

fn refuse(out: &mut Vec<u8>, option: u32, why: Malformed) {
    match why {
        Malformed::Shape => answer(out, option, rep::ERR_INVALID, b"the option's lengths do not add up"),
        Malformed::TooBig => answer(out, option, rep::ERR_TOO_BIG, b"a string is too long"),
    }
}

fn answer(out: &mut Vec<u8>, option: u32, kind: u32, payload: &[u8]) {
    answer_with(out, option, kind, &[payload]);
}

fn answer_with(out: &mut Vec<u8>, option: u32, kind: u32, payload: &[&[u8]]) {
    let payload = payload.concat();
    out.extend(OPTION_REPLY_MAGIC.to_be_bytes());
    out.extend(option.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend(len32(&payload));
    out.extend(payload);
}

/// The length of something that is never longer than [`MAX_NAME`] and a few numbers.
fn len32(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
