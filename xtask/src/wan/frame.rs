//! How many bytes a frame of a TUN device stands for on a wire.
//!
//! With offloads the kernel hands over one frame for up to 64 KiB of a TCP stream, behind a
//! `virtio_net_hdr` that says how it is to be cut. It is passed on uncut, and counts as what its pieces
//! would be with a header each.

#![allow(clippy::host_endian_bytes, reason = "the kernel of this machine writes it in its own order")]

/// Bytes of `struct virtio_net_hdr`: flags, kind, then 16 bits each in the machine's order:
/// length of headers, of a piece, start of what is summed, offset of the sum.
const HEADER: usize = 10;

/// The bytes on the wire of a frame that begins with a `virtio_net_hdr`; `None` if it is shorter than one.
pub(crate) fn wire_bytes(frame: &[u8]) -> Option<u64> {
    let (header, packet) = frame.split_at_checked(HEADER)?;
    let half = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
    let (kind, piece, transport) = (header[1], half(4), half(6));
    // The transport's header is TCP's wherever a packet is to be cut: its length stands in its 13th byte,
    // in words of four. (The header's own word for it counts what the kernel has in one place.)
    let headers = packet.get(transport + 12).map(|byte| transport + usize::from(byte >> 4) * 4);
    let pieces = match headers.and_then(|headers| packet.len().checked_sub(headers)) {
        Some(payload) if kind != 0 && piece > 0 => payload.div_ceil(piece).max(1),
        _ => 1,
    };
    u64::try_from(packet.len() + (pieces - 1) * headers.unwrap_or(0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IPv4 and TCP with time stamps: 20 and 32 bytes.
    fn frame(kind: u8, piece: u16, packet: usize) -> Vec<u8> {
        let mut frame = vec![0, kind];
        for half in [66, piece, 20, 16] {
            frame.extend(half.to_ne_bytes());
        }
        frame.resize(HEADER + packet, 0);
        if let Some(words) = frame.get_mut(HEADER + 20 + 12) {
            *words = 8 << 4;
        }
        frame
    }

    #[test]
    fn a_plain_packet_is_its_length() {
        assert_eq!(wire_bytes(&frame(0, 0, 1500)), Some(1500));
        assert_eq!(wire_bytes(&frame(0, 0, 0)), Some(0));
    }

    #[test]
    fn a_packet_to_be_cut_counts_a_header_a_piece() {
        assert_eq!(wire_bytes(&frame(1, 1448, 52 + 10 * 1448)), Some(15_000));
        assert_eq!(wire_bytes(&frame(1, 1448, 52 + 1449)), Some(52 + 1449 + 52));
    }

    #[test]
    fn nonsense_is_no_more_than_itself() {
        assert_eq!(wire_bytes(&[0; HEADER - 1]), None);
        assert_eq!(wire_bytes(&frame(1, 1448, 30)), Some(30));
        assert_eq!(wire_bytes(&frame(1, 0, 100)), Some(100));
    }
}
