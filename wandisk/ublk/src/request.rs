//! A block request as the ublk driver describes it, decoded and checked.
//!
//! The descriptor lies in memory that the driver shares with us; it is copied once and only the copy is looked at.
//!
//! Invariant: a decoded request's range lies inside the disk, and data requests fit a tag's buffer.

use libublk::sys;
use wandisk_io::{Op, ZeroMode};

/// Bytes of a sector in the driver's descriptors, whatever the logical block size.
pub(crate) const SECTOR: u64 = 512;

/// `EINVAL`: what a request outside the disk is answered with.
pub(crate) const EINVAL: i32 = 22;
/// `EOPNOTSUPP`: what an operation that was not offered is answered with.
pub(crate) const EOPNOTSUPP: i32 = 95;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Move `len` bytes between the tag's buffer and the disk; `fua`: durable before it is answered.
    Data { op: Op, fua: bool },
    /// All that was answered before is to be durable.
    Flush,
    /// Zero the range.
    Zero { mode: ZeroMode, fua: bool },
}

/// One request; `offset` and `len` in bytes, both zero for a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// What requests must stay inside of, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) size: u64,
    pub(crate) max_io: u32,
}

impl Request {
    /// Decodes and checks a descriptor; the error is the errno to answer with.
    pub(crate) fn decode(iod: &sys::ublksrv_io_desc, bounds: Bounds) -> Result<Request, i32> {
        let fua = iod.op_flags & sys::UBLK_IO_F_FUA != 0;
        let ask = match iod.op_flags & 0xff {
            sys::UBLK_IO_OP_READ => Ask::Data { op: Op::Read, fua: false },
            sys::UBLK_IO_OP_WRITE => Ask::Data { op: Op::Write, fua },
            sys::UBLK_IO_OP_FLUSH => return Ok(Request { ask: Ask::Flush, offset: 0, len: 0 }),
            sys::UBLK_IO_OP_DISCARD => Ask::Zero { mode: ZeroMode::Trim, fua },
            sys::UBLK_IO_OP_WRITE_ZEROES if iod.op_flags & sys::UBLK_IO_F_NOUNMAP != 0 => {
                Ask::Zero { mode: ZeroMode::ZeroAllocated, fua }
            }
            sys::UBLK_IO_OP_WRITE_ZEROES => Ask::Zero { mode: ZeroMode::ZeroMayPunch, fua },
            _ => return Err(EOPNOTSUPP),
        };
        let offset = iod.start_sector.checked_mul(SECTOR).ok_or(EINVAL)?;
        let len = u64::from(iod.nr_sectors) * SECTOR;
        let end = offset.checked_add(len).ok_or(EINVAL)?;
        let too_long = matches!(ask, Ask::Data { .. }) && len > u64::from(bounds.max_io);
        if len == 0 || end > bounds.size || too_long {
            return Err(EINVAL);
        }
        Ok(Request { ask, offset, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { size: 1 << 20, max_io: 64 << 10 };

    fn decode(op_flags: u32, sector: u64, sectors: u32) -> Result<Request, i32> {
        let iod = sys::ublksrv_io_desc {
            op_flags,
            nr_sectors: sectors,
            start_sector: sector,
            ..Default::default()
        };
        Request::decode(&iod, BOUNDS)
    }

    #[test]
    fn sectors_become_bytes() {
        let got = decode(sys::UBLK_IO_OP_WRITE | sys::UBLK_IO_F_FUA, 8, 2).unwrap();
        assert_eq!(got, Request { ask: Ask::Data { op: Op::Write, fua: true }, offset: 4096, len: 1024 });
    }

    #[test]
    fn write_zeroes_keeps_its_space_only_when_told_so() {
        let zero = |flags| decode(sys::UBLK_IO_OP_WRITE_ZEROES | flags, 0, 8).unwrap().ask;
        assert_eq!(zero(0), Ask::Zero { mode: ZeroMode::ZeroMayPunch, fua: false });
        assert_eq!(zero(sys::UBLK_IO_F_NOUNMAP), Ask::Zero { mode: ZeroMode::ZeroAllocated, fua: false });
    }

    #[test]
    fn nothing_outside_the_disk_or_the_buffer_is_decoded() {
        assert!(decode(sys::UBLK_IO_OP_READ, 2047, 1).is_ok());
        assert_eq!(decode(sys::UBLK_IO_OP_READ, 2047, 2), Err(EINVAL));
        assert_eq!(decode(sys::UBLK_IO_OP_READ, 0, 0), Err(EINVAL));
        assert_eq!(decode(sys::UBLK_IO_OP_READ, 0, 129), Err(EINVAL));
        assert_eq!(decode(sys::UBLK_IO_OP_READ, u64::MAX, 1), Err(EINVAL));
        assert_eq!(decode(sys::UBLK_IO_OP_READ, u64::MAX / SECTOR, 2), Err(EINVAL));
        assert!(decode(sys::UBLK_IO_OP_DISCARD, 0, 2048).is_ok());
        assert_eq!(decode(sys::UBLK_IO_OP_ZONE_RESET, 0, 8), Err(EOPNOTSUPP));
    }

    #[test]
    fn a_flush_has_no_range_to_check() {
        assert_eq!(decode(sys::UBLK_IO_OP_FLUSH, u64::MAX, 0).unwrap().ask, Ask::Flush);
    }
}
