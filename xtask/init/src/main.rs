//! PID 1 of the test guest: brings up the processors that were left out at boot, loads the modules of the initramfs, builds a root out of the host's root
//! (read-only, over 9p) with a tmpfs on top, runs one command there, and says how it ended.
//!
//! Linked statically, so that the initramfs needs nothing else: no shell, no busybox.
//! Invariants: the last thing said on the port is an exit or a broken frame; init never returns (the
//! kernel would panic) but powers the guest off; when the command has ended nothing of it is left
//! running, and `/scratch` is unmounted.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "standard error of PID 1 is the serial console, kept by xtask")]

mod mounts;
mod port;
mod processors;
mod run;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use guest_init::BEGUN;
use guest_init::frame::Frame;
use guest_init::job::{self, Job};

fn main() {
    if std::process::id() != 1 {
        eprintln!("guest-init is the first process of the test guest and does nothing elsewhere");
        std::process::exit(2);
    }
    eprintln!("{BEGUN}");
    if let Err(error) = boot() {
        eprintln!("init: {error}");
    }
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    loop {
        std::thread::park();
    }
}

/// Everything from the first mount to the last frame.
fn boot() -> io::Result<()> {
    mounts::kernel_file_systems()?;
    let port = Arc::new(Mutex::new(port::open()?));
    let last = match work(&port) {
        Ok(status) => Frame::Exit(status),
        Err(error) => Frame::Broken(error.to_string()),
    };
    let mut port = port.lock().map_err(|_| io::Error::other("the port's lock is poisoned"))?;
    last.write(&mut *port)?;
    // The frame must have left before the power goes; the host ends the guest when it has read it.
    std::thread::sleep(std::time::Duration::from_secs(2));
    Ok(())
}

fn work(port: &Arc<Mutex<std::fs::File>>) -> io::Result<i32> {
    processors::bring_up()?;
    load_modules()?;
    let job = Job::decode(&std::fs::read(job::PATH)?)?;
    mounts::new_root(&job)?;
    rustix::system::sethostname(job.hostname.as_bytes())?;
    let status = run::run(&job, port)?;
    mounts::leave(&job);
    Ok(status)
}

/// Loads `/modules/*` in the order of their names: xtask numbers them so that each comes after what it
/// needs. The kernel unpacks them itself.
fn load_modules() -> io::Result<()> {
    /// MODULE_INIT_COMPRESSED_FILE of linux/module.h.
    const COMPRESSED: i32 = 4;
    let mut files: Vec<_> = std::fs::read_dir("/modules")?.collect::<io::Result<_>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let path = file.path();
        let flags = if path.extension().is_some_and(|end| end == "ko") { 0 } else { COMPRESSED };
        match rustix::system::finit_module(std::fs::File::open(&path)?, c"", flags) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(about("load", &path, error.into())),
        }
    }
    Ok(())
}

/// An error that says what was done to which path.
fn about(what: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}
