//! What the block layer is told of a disk.

use libublk::sys;
use wandisk_io::Geometry;

/// Largest range of one discard request: bounded, so that one request cannot keep the engine for long.
const MAX_DISCARD_BYTES: u32 = 1 << 30;
/// Largest range of one write-zeroes request. Smaller: keeping the space may mean writing zeros.
const MAX_WRITE_ZEROES_BYTES: u32 = 64 << 20;

const LOGICAL_SHIFT: u8 = 9;
const PHYSICAL_SHIFT: u8 = 12;

fn sectors(bytes: u32) -> u32 {
    bytes >> LOGICAL_SHIFT
}

/// The parameters of a device for `geometry` whose requests carry at most `max_io` bytes.
pub(crate) fn params(geometry: Geometry, max_io: u32) -> sys::ublk_params {
    let read_only = if geometry.read_only { sys::UBLK_ATTR_READ_ONLY } else { 0 };
    let chunk_shift = u8::try_from(geometry.chunk_size.trailing_zeros()).unwrap_or(PHYSICAL_SHIFT);
    sys::ublk_params {
        types: sys::UBLK_PARAM_TYPE_BASIC | sys::UBLK_PARAM_TYPE_DISCARD,
        basic: sys::ublk_param_basic {
            attrs: sys::UBLK_ATTR_VOLATILE_CACHE | sys::UBLK_ATTR_FUA | read_only,
            logical_bs_shift: LOGICAL_SHIFT,
            physical_bs_shift: PHYSICAL_SHIFT,
            io_min_shift: PHYSICAL_SHIFT,
            io_opt_shift: chunk_shift.max(PHYSICAL_SHIFT),
            max_sectors: sectors(max_io),
            dev_sectors: geometry.size_bytes >> LOGICAL_SHIFT,
            ..Default::default()
        },
        discard: sys::ublk_param_discard {
            discard_granularity: geometry.trim_granularity.max(1 << LOGICAL_SHIFT),
            max_discard_sectors: sectors(MAX_DISCARD_BYTES),
            max_write_zeroes_sectors: sectors(MAX_WRITE_ZEROES_BYTES),
            max_discard_segments: 1,
            ..Default::default()
        },
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Geometry = Geometry {
        size_bytes: (1 << 30) + 512,
        chunk_size: 128 << 10,
        trim_granularity: 4096,
        read_only: false,
    };

    #[test]
    fn the_block_layer_sees_the_disk_as_it_is() {
        let p = params(DISK, 512 << 10);
        assert_eq!(p.basic.dev_sectors, (1 << 21) + 1);
        assert_eq!((1u32 << p.basic.io_opt_shift, p.basic.max_sectors), (128 << 10, 1024));
        assert_eq!(p.discard.discard_granularity, 4096);
        assert_eq!(p.basic.attrs, sys::UBLK_ATTR_VOLATILE_CACHE | sys::UBLK_ATTR_FUA);
    }

    #[test]
    fn a_read_only_disk_says_so() {
        let p = params(Geometry { read_only: true, ..DISK }, 512 << 10);
        assert_ne!(p.basic.attrs & sys::UBLK_ATTR_READ_ONLY, 0);
    }
}
