//! Processes of ours beside the program: what draws for it in software, and the watcher of its X server's windows. Both are
//! commands of `vmgl-proxy`, which is [`PROGRAM`] where `VMGL_PROXY` names nothing else.
//!
//! Each starts the process that stays and ends, so that this goes on as nobody's: the program has no child that it does not know,
//! and what it has open stays its own.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// What is started, if `VMGL_PROXY` names nothing else.
const PROGRAM: &str = "vmgl-proxy";

/// Starts `vmgl-proxy gl …` and waits until it has started what stays.
pub(super) fn start(arguments: &[&str], input: Option<OwnedFd>) -> std::io::Result<()> {
    let program = std::env::var_os("VMGL_PROXY").unwrap_or_else(|| PROGRAM.into());
    let mut command = Command::new(program);
    command
        .arg("gl")
        .args(arguments)
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::null());
    // These lead to this library, or into the program.
    for name in ["LD_PRELOAD", "__EGL_VENDOR_LIBRARY_FILENAMES", "__GLX_VENDOR_LIBRARY_NAME"] {
        command.env_remove(name);
    }
    // SAFETY: a system call that allocates nothing and takes no lock.
    unsafe { command.pre_exec(keep_files) };
    let mut child = command.spawn()?;
    // A program that wants no children may have taken this one already.
    let _ended = child.wait();
    Ok(())
}

/// What the program has open is not for what it starts; an older kernel passes it on as any program does.
fn keep_files() -> std::io::Result<()> {
    let (first, last, at_exec) = (3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: it marks descriptors, and closes none.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, at_exec) };
    Ok(())
}
