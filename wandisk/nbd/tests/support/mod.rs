//! What the tests of the NBD server share: a disk with cold and failing parts, a served disk, and a plain client
//! that can also break the rules.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]

pub mod cold_disk;
pub mod raw;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use wandisk_io::{Disk, WholeFile};
use wandisk_nbd::{Address, Handle, Server};

pub const CHUNK: u32 = 128 << 10;
pub const MIB: u64 = 1 << 20;
/// For what must happen soon; only a failure takes that long.
pub const SOON: Duration = Duration::from_secs(60);

/// A disk that is served at a socket of its own until this is dropped.
pub struct Served {
    pub handle: Handle,
    pub socket: PathBuf,
    folder: TempDir,
}

impl Served {
    pub fn disk<D: Disk>(disk: Arc<D>) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nbd.sock");
        let handle = serve(disk, &format!("unix:{}", socket.display()));
        Served { handle, socket, folder }
    }

    /// A sparse file of so many bytes, all hot.
    pub fn file(size: u64) -> Served {
        Served::disk(Arc::new(whole_file(size, false)))
    }

    pub fn uri(&self) -> String {
        self.handle.uri()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn client(&self) -> raw::Raw {
        raw::Raw::connect(&self.socket)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let stopped = self.handle.stop(SOON);
        if !std::thread::panicking() {
            assert_eq!(stopped.abandoned, 0);
            assert_eq!(self.handle.connections(), 0);
        }
    }
}

pub fn serve<D: Disk>(disk: Arc<D>, address: &str) -> Handle {
    let lanes = disk.hot().gate().lanes();
    Server::bind(&Address::parse(address).unwrap(), disk, "disk", 0..lanes).unwrap().spawn().unwrap()
}

pub fn whole_file(size: u64, read_only: bool) -> WholeFile {
    WholeFile::new(sparse_file(size), CHUNK, 4, read_only).unwrap()
}

pub fn sparse_file(size: u64) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    file
}

/// Runs a program of the system; Debian's own Python, whatever else is on the path.
pub fn tool(program: &str, args: &[&str]) -> Output {
    let path = format!("/usr/bin:/bin:{}", std::env::var("PATH").unwrap_or_default());
    Command::new(program)
        .args(args)
        .env("PATH", path)
        .output()
        .unwrap_or_else(|e| panic!("{program} is needed for this test: {e}"))
}

/// Runs a program that must succeed, and gives what it printed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = tool(program, args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}
