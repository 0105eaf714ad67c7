//! A boot sector that fills part of a VGA screen with another colour 60 times a second: a source for QEMU's VNC
//! server that needs no system.

/// Code that runs at 0:7C00 in real mode; a comment a line is what it does.
const CODE: &[u8] = &[
    0xb8, 0x13, 0x00, 0xcd, 0x10, // 320 x 200, a byte a pixel
    0xb8, 0x00, 0xa0, 0x8e, 0xc0, // es = its memory
    0xb0, 0x36, 0xe6, 0x43, // the timer: counter 0, both bytes, square waves
    0xb8, 0xae, 0x4d, 0xe6, 0x40, 0x88, 0xe0, 0xe6, 0x40, // 1193182 / 19886 = 60 a second
    0xfb, // interrupts
    0xf4, // each time: wait for one
    0xfe, 0xc3, 0x88, 0xd8, // the next colour
    0x31, 0xff, 0xb9, 0x00, 0x40, 0xf3, 0xaa, // over the first 16384 pixels
    0xeb, 0xf2, // again
];

/// The sector.
#[must_use]
pub fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    for (place, byte) in sector.iter_mut().zip(CODE) {
        *place = *byte;
    }
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
}
