//! Requests: what the 28 bytes say, and what is to be done about them.

use wandisk_io::ZeroMode;

use super::constants::{REQUEST_MAGIC, cmd, cmd_flag, errno};
use super::cursor::Cursor;
use super::{Export, Session};
use crate::limits::{MAX_REQUEST, MAX_SKIPPED_PAYLOAD};

/// Bytes of a request before its payload.
pub(crate) const REQUEST_HEADER: usize = 28;

/// A request as it came; nothing about it is checked but its magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) flags: u16,
    pub(crate) command: u16,
    pub(crate) cookie: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

impl Request {
    /// `None` if these are not a request's bytes: the stream has lost its place and cannot be used any more.
    pub(crate) fn parse(bytes: &[u8; REQUEST_HEADER]) -> Option<Request> {
        let mut cursor = Cursor(bytes);
        if cursor.u32()? != REQUEST_MAGIC {
            return None;
        }
        Some(Request {
            flags: cursor.u16()?,
            command: cursor.u16()?,
            cookie: cursor.u64()?,
            offset: cursor.u64()?,
            len: cursor.u32()?,
        })
    }

    /// Bytes that follow the header, whatever becomes of the request.
    pub(crate) fn payload(&self) -> u32 {
        if self.command == cmd::WRITE { self.len } else { 0 }
    }

    /// A request whose payload is too long to be skipped, so that its connection must end.
    pub(crate) fn ends_connection(&self) -> bool {
        self.payload() > MAX_SKIPPED_PAYLOAD
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// What is to be done about a request. Ranges are inside the disk, and not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Read,
    Write {
        fua: bool,
    },
    Zero {
        mode: ZeroMode,
        fua: bool,
    },
    Flush,
    /// Tell what is where; `len` bytes are asked about at most.
    Status {
        len: u32,
        only_one: bool,
    },
    /// Succeeds without anything to do.
    Nothing,
    /// The client says good-bye.
    Disconnect,
    /// The answer is this error.
    Refuse(u32),
}

/// Judges a request. The protocol's own words decide which error is which.
pub(crate) fn plan(request: &Request, session: Session, export: &Export) -> Plan {
    let end = request.offset.checked_add(u64::from(request.len));
    let inside = end.is_some_and(|end| end <= export.size);
    // FUA may come with any command that the server could be told to make durable; where it has no meaning it is
    // ignored.
    let allowed = cmd_flag::FUA
        | match request.command {
            cmd::READ if session.structured => cmd_flag::DF,
            cmd::WRITE_ZEROES => cmd_flag::NO_HOLE,
            cmd::BLOCK_STATUS => cmd_flag::REQ_ONE,
            _ => 0,
        };
    let known = !request.has(!allowed);
    let fua = request.has(cmd_flag::FUA);
    let modifies = matches!(request.command, cmd::WRITE | cmd::TRIM | cmd::WRITE_ZEROES);
    match request.command {
        cmd::DISC => Plan::Disconnect,
        _ if !known => Plan::Refuse(errno::EINVAL),
        _ if modifies && export.read_only => Plan::Refuse(errno::EPERM),
        cmd::FLUSH => Plan::Flush,
        cmd::READ | cmd::WRITE if request.len > MAX_REQUEST => Plan::Refuse(errno::EINVAL),
        cmd::WRITE | cmd::WRITE_ZEROES if !inside => Plan::Refuse(errno::ENOSPC),
        cmd::READ | cmd::TRIM | cmd::CACHE | cmd::BLOCK_STATUS if !inside => Plan::Refuse(errno::EINVAL),
        cmd::BLOCK_STATUS if request.len == 0 || !session.allocation => Plan::Refuse(errno::EINVAL),
        cmd::BLOCK_STATUS => Plan::Status {
            len: request.len.min(crate::limits::MAX_STATUS_RANGE),
            only_one: request.has(cmd_flag::REQ_ONE),
        },
        cmd::READ => Plan::Read,
        cmd::WRITE | cmd::TRIM | cmd::WRITE_ZEROES if request.len == 0 => {
            if fua {
                Plan::Flush
            } else {
                Plan::Nothing
            }
        }
        cmd::WRITE => Plan::Write { fua },
        cmd::TRIM => Plan::Zero { mode: ZeroMode::Trim, fua },
        cmd::WRITE_ZEROES if request.has(cmd_flag::NO_HOLE) => {
            Plan::Zero { mode: ZeroMode::ZeroAllocated, fua }
        }
        cmd::WRITE_ZEROES => Plan::Zero { mode: ZeroMode::ZeroMayPunch, fua },
        cmd::CACHE => Plan::Nothing,
        _ => Plan::Refuse(errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: u64 = 1 << 40;
    const ALL: Session = Session { structured: true, allocation: true };

    fn export(read_only: bool) -> Export {
        Export { name: String::new(), size: SIZE, read_only }
    }

    fn judged(command: u16, flags: u16, offset: u64, len: u32) -> Plan {
        plan(&Request { flags, command, cookie: 1, offset, len }, ALL, &export(false))
    }

    #[test]
    fn the_disks_last_byte_is_the_last() {
        assert_eq!(judged(cmd::READ, 0, SIZE - 1, 1), Plan::Read);
        assert_eq!(judged(cmd::READ, 0, SIZE - 1, 2), Plan::Refuse(errno::EINVAL));
        assert_eq!(judged(cmd::WRITE, 0, SIZE, 1), Plan::Refuse(errno::ENOSPC));
        assert_eq!(judged(cmd::WRITE_ZEROES, 0, u64::MAX, u32::MAX), Plan::Refuse(errno::ENOSPC));
        assert_eq!(judged(cmd::TRIM, 0, u64::MAX, 1), Plan::Refuse(errno::EINVAL));
    }

    #[test]
    fn data_is_bounded_and_zeroing_is_not() {
        assert_eq!(judged(cmd::READ, 0, 0, MAX_REQUEST), Plan::Read);
        assert_eq!(judged(cmd::READ, 0, 0, MAX_REQUEST + 1), Plan::Refuse(errno::EINVAL));
        assert_eq!(judged(cmd::WRITE, 0, 0, MAX_REQUEST + 1), Plan::Refuse(errno::EINVAL));
        assert_eq!(judged(cmd::TRIM, 0, 0, u32::MAX), Plan::Zero { mode: ZeroMode::Trim, fua: false });
    }

    #[test]
    fn a_flag_that_was_not_offered_is_refused() {
        let fast_zero = 1 << 4;
        assert_eq!(judged(cmd::WRITE_ZEROES, fast_zero, 0, 1), Plan::Refuse(errno::EINVAL));
        assert_eq!(judged(cmd::WRITE, cmd_flag::NO_HOLE, 0, 1), Plan::Refuse(errno::EINVAL));
        let simple = Session { structured: false, allocation: false };
        let df = Request { flags: cmd_flag::DF, command: cmd::READ, cookie: 0, offset: 0, len: 1 };
        assert_eq!(plan(&df, simple, &export(false)), Plan::Refuse(errno::EINVAL));
        assert_eq!(plan(&df, ALL, &export(false)), Plan::Read);
    }

    #[test]
    fn a_read_only_disk_is_not_modified() {
        for command in [cmd::WRITE, cmd::TRIM, cmd::WRITE_ZEROES] {
            let request = Request { flags: 0, command, cookie: 0, offset: 0, len: 0 };
            assert_eq!(plan(&request, ALL, &export(true)), Plan::Refuse(errno::EPERM));
        }
    }

    #[test]
    fn an_unknown_command_is_refused_and_a_nothing_with_fua_flushes() {
        assert_eq!(judged(99, 0, 0, 0), Plan::Refuse(errno::EINVAL));
        assert_eq!(judged(cmd::WRITE, cmd_flag::FUA, 0, 0), Plan::Flush);
        assert_eq!(judged(cmd::TRIM, 0, SIZE, 0), Plan::Nothing);
    }

    proptest! {
        #[test]
        fn whatever_is_done_is_done_inside_the_disk(
            flags: u16, command in prop_oneof![0u16..9, any::<u16>()],
            offset in prop_oneof![0..=SIZE + 9, any::<u64>()], len: u32, structured: bool, read_only: bool,
        ) {
            let request = Request { flags, command, cookie: 7, offset, len };
            let session = Session { structured, allocation: structured };
            let plan = plan(&request, session, &export(read_only));
            let touches = matches!(plan, Plan::Write { .. } | Plan::Zero { .. } | Plan::Status { .. });
            if touches {
                prop_assert!(len > 0);
            }
            if touches || plan == Plan::Read {
                prop_assert!(offset.checked_add(u64::from(len)).is_some_and(|end| end <= SIZE));
            }
            if read_only {
                let modifies = matches!(plan, Plan::Write { .. } | Plan::Zero { .. });
                prop_assert!(!modifies);
            }
        }

        #[test]
        fn a_request_survives_its_own_bytes(flags: u16, command: u16, cookie: u64, offset: u64, len: u32) {
            let request = Request { flags, command, cookie, offset, len };
            let mut bytes = REQUEST_MAGIC.to_be_bytes().to_vec();
            bytes.extend(flags.to_be_bytes());
            bytes.extend(command.to_be_bytes());
            bytes.extend(cookie.to_be_bytes());
            bytes.extend(offset.to_be_bytes());
            bytes.extend(len.to_be_bytes());
            let mut bytes: [u8; REQUEST_HEADER] = bytes.try_into().unwrap();
            prop_assert_eq!(Request::parse(&bytes), Some(request));
            bytes[3] ^= 1;
            prop_assert_eq!(Request::parse(&bytes), None);
        }
    }
}
