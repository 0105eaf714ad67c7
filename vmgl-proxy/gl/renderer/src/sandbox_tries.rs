//! What a renderer must not be able to do, tried: each attempt is harmless where nothing forbids it, and needs no right that a
//! user does not have, so that it fails for the sandbox's reason or not at all.

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::{getppid, test_kill_process};

/// The part of the sandbox that forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Files,
    Calls,
}

/// Something that could be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) part: Part,
    pub(super) what: &'static str,
}

/// Whether that is how the sandbox says no.
fn is_denied<T>(tried: Result<T, Errno>) -> bool {
    matches!(tried, Err(Errno::PERM | Errno::ACCESS))
}

fn opens(path: &str, how: OFlags) -> Result<(), Errno> {
    open(path, how | OFlags::CLOEXEC, Mode::empty()).map(drop)
}

/// Starts a program that is not there.
fn starts() -> Result<(), Errno> {
    let none = std::ptr::null::<*const libc::c_char>();
    // SAFETY: an empty path names no program, so that the call returns; a list of words may be null.
    unsafe { libc::syscall(libc::SYS_execve, c"".as_ptr(), none, none) };
    Err(last())
}

/// Makes a process, which ends at once.
fn forks() -> Result<(), Errno> {
    // SAFETY: with this flag alone it is what `fork` does: the child has a copy of everything, and does nothing but end.
    match unsafe { libc::syscall(libc::SYS_clone, libc::c_long::from(libc::SIGCHLD), 0, 0, 0, 0) } {
        -1 => Err(last()),
        // SAFETY: it ends this process without another step.
        0 => unsafe { libc::_exit(0) },
        child => {
            if let Ok(child) = libc::pid_t::try_from(child) {
                // SAFETY: the child is this process's own, and nothing is written.
                unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            }
            Ok(())
        }
    }
}

/// Takes hold of a process that is not there.
fn traces() -> Result<(), Errno> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: no process has this number, and nothing is read or written.
    unsafe { libc::ptrace(libc::PTRACE_ATTACH, libc::pid_t::MAX, none, none) };
    Err(last())
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// What could be done of all that must not.
pub(super) fn tries() -> Vec<Hole> {
    let stream = |family| socket(family, SocketType::STREAM, None).map(drop);
    let parent = getppid().map_or(Err(Errno::PERM), test_kill_process);
    let all = [
        // Everybody may list it and write to that, wherever a system has them.
        (
            Part::Files,
            "read folders that are none of a driver's",
            opens("/", OFlags::RDONLY | OFlags::DIRECTORY),
        ),
        (Part::Files, "write to files", opens("/dev/zero", OFlags::WRONLY).or_else(absent)),
        (Part::Calls, "connect to other programs", stream(AddressFamily::UNIX)),
        (Part::Calls, "connect to other machines", stream(AddressFamily::INET)),
        (Part::Calls, "start programs", starts()),
        (Part::Calls, "make other processes", forks()),
        (Part::Calls, "look into other processes", traces()),
        (Part::Calls, "send signals to other processes", parent),
    ];
    all.into_iter()
        .filter(|(_, _, tried)| !is_denied(*tried))
        .map(|(part, what, _)| Hole { part, what })
        .collect()
}

/// A file that is not there is no hole.
fn absent(fault: Errno) -> Result<(), Errno> {
    Err(if fault == Errno::NOENT { Errno::ACCESS } else { fault })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use std::collections::BTreeMap;
    use std::thread;

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

    use super::super::{Parts, enter};
    use super::{Part, tries};

    /// A sandbox is the thread's that enters it.
    fn apart<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
        thread::spawn(body).join().unwrap()
    }

    /// A kernel without these system calls.
    fn without(calls: &[libc::c_long]) {
        let rules: BTreeMap<i64, Vec<_>> = calls.iter().map(|call| (*call, Vec::new())).collect();
        let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, arch).unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    }

    #[test]
    fn in_the_sandbox_no_file_socket_program_or_process_can_be_had_and_outside_all_can() {
        let before = apart(tries);
        assert_eq!(before.len(), 8, "{before:?}");
        let (parts, holes) = apart(|| (enter(), tries()));
        assert_eq!((parts, holes), (Parts { amounts: true, files: true, calls: true }, vec![]));
        assert!(parts.missing().is_empty());
    }

    #[test]
    fn what_a_kernel_cannot_forbid_is_told() {
        let (parts, holes) = apart(|| {
            without(&[libc::SYS_landlock_create_ruleset]);
            (enter(), tries())
        });
        assert_eq!(parts, Parts { amounts: true, files: false, calls: true });
        assert_eq!(parts.missing(), ["files"]);
        assert!(holes.iter().all(|hole| hole.part == Part::Files) && holes.len() == 2, "{holes:?}");
    }

    #[test]
    fn without_a_filter_of_system_calls_that_part_does_not_hold() {
        let parts = apart(|| {
            without(&[libc::SYS_seccomp]);
            enter()
        });
        assert_eq!(parts, Parts { amounts: true, files: true, calls: false });
    }
}
