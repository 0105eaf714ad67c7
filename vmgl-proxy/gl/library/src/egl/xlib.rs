//! What a program gives `eglGetDisplay` as its display, told apart by its head: no word comes with it that says whose it is,
//! and what is taken for a connection of Xlib's is read by Xlib.
//!
//! The head of Xlib's `Display` is a part of its interface (macros of `Xlib.h` read it), and has the protocol's version. In
//! displays of Wayland's and of GBM's there is an address at that place.
//!
//! Fault model: an address may be anything; where there is no memory none is read.

use std::ffi::{c_int, c_void};

use crate::glx::abi::Display;

/// The major version of X's protocol, for ever.
const PROTOCOL: c_int = 11;
/// A page's bytes, where the system does not say.
const PAGE: usize = 4096;

/// As Xlib has it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Head {
    ext_data: *const c_void,
    private1: *const c_void,
    fd: c_int,
    private2: c_int,
    proto_major_version: c_int,
    proto_minor_version: c_int,
}

/// Whether there is memory.
fn is_mapped(address: usize, length: usize) -> bool {
    // SAFETY: a question that changes nothing.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) });
    let page = page.ok().filter(|page| page.is_power_of_two()).unwrap_or(PAGE);
    let begin = address & !(page - 1);
    let Some(length) = (address - begin).checked_add(length) else { return false };
    // A head is shorter than a page: it lies on two at most.
    let mut pages = [0_u8; 2];
    if length > pages.len() * page {
        return false;
    }
    // SAFETY: it looks whether pages are there, writes a byte for each into ours, and touches nothing of them.
    unsafe { libc::mincore(std::ptr::without_provenance_mut(begin), length, pages.as_mut_ptr()) == 0 }
}

/// Whether an address is that of a connection of Xlib's.
pub(super) fn is_connection(display: *mut Display) -> bool {
    let head = display.cast_const().cast::<Head>();
    if !head.is_aligned() || !is_mapped(head.addr(), size_of::<Head>()) {
        return false;
    }
    // SAFETY: it is aligned, and there is memory; the program has it open while it gives it to us.
    let head = unsafe { head.read() };
    head.fd >= 0 && head.proto_major_version == PROTOCOL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_the_head_of_a_connection_is_taken_for_one_and_nowhere_is_looked_at() {
        let null = std::ptr::null();
        let mut head = Head {
            ext_data: null,
            private1: null,
            fd: 3,
            private2: 0,
            proto_major_version: PROTOCOL,
            proto_minor_version: 0,
        };
        assert!(is_connection((&raw mut head).cast()));
        head.proto_major_version = 0x0abc_def0;
        assert!(!is_connection((&raw mut head).cast()), "an address, as Wayland's have there");
        for nowhere in [0, 16, 17, usize::MAX - 7] {
            assert!(!is_connection(std::ptr::without_provenance_mut(nowhere)), "{nowhere:#x}");
        }
    }
}
