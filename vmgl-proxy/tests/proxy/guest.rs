//! A QEMU that starts nothing but a sector of code, which says what the keyboard sends it.

use std::path::{Path, PathBuf};

use crate::peers::eventually;
use crate::qemu::Qemu;

/// Says `R` to QEMU's debug console, then each byte that comes from the keyboard.
const KEYS: [u8; 17] = [
    0xfa, // cli
    0xb0, 0x52, 0xe6, 0xe9, // mov al, 'R'; out 0xe9, al
    0xe4, 0x64, 0xa8, 0x01, 0x74, 0xfa, // wait: in al, 0x64; test al, 1; jz wait
    0xe4, 0x60, 0xe6, 0xe9, // in al, 0x60; out 0xe9, al
    0xeb, 0xf4, // jmp wait
];

/// Before that: 320 x 200 pixels of 256 colours, filled with all of them.
const GRAPHICS: [u8; 18] = [
    0xb8, 0x13, 0x00, 0xcd, 0x10, // mov ax, 0x13; int 0x10
    0xb8, 0x00, 0xa0, 0x8e, 0xc0, // mov ax, 0xa000; mov es, ax
    0xb9, 0x00, 0xfa, // mov cx, 64000
    0x89, 0xc8, 0xaa, // fill: mov ax, cx; stosb
    0xe2, 0xfb, // loop fill
];

pub(crate) struct Guest {
    pub(crate) qemu: Qemu,
    pub(crate) vnc: PathBuf,
    keys: PathBuf,
}

impl Guest {
    /// One that has what it needs in `dir`, which is made.
    pub(crate) fn start(dir: &Path, graphics: bool) -> Self {
        std::fs::create_dir(dir).unwrap();
        let mut code = if graphics { GRAPHICS.to_vec() } else { Vec::new() };
        code.extend(KEYS);
        code.resize(510, 0);
        code.extend([0x55, 0xaa]);
        let (disk, keys, vnc) = (dir.join("disk"), dir.join("keys"), dir.join("vnc"));
        std::fs::write(&disk, code).unwrap();
        let more = [
            "-drive".to_owned(),
            format!("file={},format=raw,if=ide,snapshot=on", disk.display()),
            "-debugcon".to_owned(),
            format!("file:{}", keys.display()),
        ];
        let qemu = Qemu::with(dir, &vnc, &more);
        let guest = Self { qemu, vnc, keys };
        eventually("the guest has started", || guest.said().first().map(drop));
        guest
    }

    fn said(&self) -> Vec<u8> {
        std::fs::read(&self.keys).unwrap_or_default()
    }

    /// The bytes that came from its keyboard so far.
    pub(crate) fn keys(&self) -> Vec<u8> {
        self.said().split_off(1)
    }

    /// Waits until these came, and nothing else.
    pub(crate) fn heard(&self, bytes: &[u8]) {
        eventually(&format!("{bytes:x?} of {:x?}", self.keys()), || (self.keys() == bytes).then_some(()));
    }
}
