//! Writes cpio archives in the "newc" form, the one the kernel unpacks as its first root
//! (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Invariant: every header and every file starts at a multiple of 4 bytes, every folder is written
//! before what lies in it.

use std::collections::BTreeSet;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    folders: BTreeSet<String>,
}

impl Archive {
    /// Adds a file at a path without a leading slash, and the folders above it.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
        self.entry(path, 0o100_000 | mode, (0, 0), content);
    }

    /// Adds a folder, and the ones above it, unless it is there.
    pub(crate) fn folder(&mut self, path: &str) {
        if self.folders.contains(path) {
            return;
        }
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
        self.folders.insert(path.to_owned());
        self.entry(path, 0o040_755, (0, 0), &[]);
    }

    /// Adds a character device with its major and minor number.
    pub(crate) fn device(&mut self, path: &str, mode: u32, device: (u32, u32)) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
        self.entry(path, 0o020_000 | mode, device, &[]);
    }

    /// The finished archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        let name_bytes = path.len() + 1;
        let header = format!(
            "070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
            self.inode,
            mode,
            0, // user
            0, // group
            links,
            0, // time of change
            content.len(),
            0, // device that holds the file
            0,
            device.0,
            device.1,
            name_bytes,
            0, // check sum, not used in this form
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_their_files() {
        let mut archive = Archive::default();
        archive.file("a/b/one", 0o644, b"1");
        archive.file("a/b/two", 0o644, b"22");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let place = |what: &str| text.find(what).unwrap();
        assert!(place("a\0") < place("a/b\0") && place("a/b\0") < place("a/b/one\0"));
        assert_eq!(text.matches("a/b\0").count(), 1);
        assert_eq!(text.matches("070701").count(), 5);
    }
}
