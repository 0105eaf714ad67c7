//! An NBD export, used by the field's own clients.

use std::path::Path;
use std::process::Output;

use super::{Image, shown, tool, try_tool};

#[derive(Clone, Debug)]
pub struct Export {
    uri: String,
}

impl Export {
    pub fn new(uri: &str) -> Export {
        Export { uri: uri.to_owned() }
    }

    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Runs Python with the export open as `h` (libnbd).
    #[track_caller]
    pub fn python(&self, code: &str) -> String {
        tool("nbdsh", &["-u", &self.uri, "-c", code])
    }

    pub fn try_python(&self, code: &str) -> Output {
        try_tool("nbdsh", &["-u", &self.uri, "-c", code])
    }

    /// Writes `len` bytes of `pattern`, without a flush.
    #[track_caller]
    pub fn write(&self, pattern: u8, offset: u64, len: u64) {
        self.python(&format!("h.pwrite(bytes([{pattern}]) * {len}, {offset})"));
    }

    #[track_caller]
    pub fn flush(&self) {
        self.python("h.flush()");
    }

    /// `len` bytes at `offset` are all `pattern`.
    #[track_caller]
    pub fn reads(&self, pattern: u8, offset: u64, len: u64) {
        self.python(&format!(
            "b = h.pread({len}, {offset}); assert b == bytes([{pattern}]) * {len}, bytes(b[:16])"
        ));
    }

    /// The whole disk is this image.
    #[track_caller]
    pub fn is_identical_to(&self, image: &Image) {
        let path = image.path().to_str().unwrap();
        tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", path, &self.uri]);
    }

    /// Every byte, to a file.
    #[track_caller]
    pub fn copy_to(&self, file: &Path) {
        tool("nbdcopy", &[&self.uri, file.to_str().unwrap()]);
    }

    /// One read; did it work?
    pub fn can_read(&self, offset: u64, len: u64) -> bool {
        self.try_python(&format!("h.pread({len}, {offset})")).status.success()
    }

    /// The words with which a request fails.
    #[track_caller]
    pub fn fails(&self, code: &str) -> String {
        let output = self.try_python(code);
        assert!(!output.status.success(), "{code} worked");
        shown(&output)
    }
}
