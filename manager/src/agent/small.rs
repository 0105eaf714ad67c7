//! A file system that is small, for tests of what happens when it is full.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

const INSIDE: &str = "SNOWBIRD_TEST_TMPFS";

/// Does it in a folder that is a file system of 4 MiB. For that the test, which is called so with its modules, runs itself again, in a
/// user and mount namespace of its own.
pub(crate) fn on_a_small_file_system(test: &str, inside: impl FnOnce(&Path)) {
    if let Ok(folder) = std::env::var(INSIDE) {
        let size = ["-t", "tmpfs", "-o", "size=4m", "tmpfs", &folder];
        assert!(Command::new("mount").args(size).status().unwrap().success());
        return inside(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut again = Command::new("unshare");
    again.args(["--map-root-user", "--mount"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", "--nocapture", test]).env(INSIDE, folder.path());
    let output = again.output().expect("this test needs unshare (util-linux)");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("1 passed"), "{}", said(&output.stdout));
}

/// Has no block left in this folder's file system.
pub(crate) fn fill(folder: &Path) {
    let mut file = File::create(folder.join("full")).unwrap();
    for block in [1 << 16, 4096] {
        let bytes = vec![1u8; block];
        while file.write_all(&bytes).is_ok() {}
    }
    assert!(std::fs::write(folder.join("more"), [1; 4096]).is_err(), "it is not full");
}
