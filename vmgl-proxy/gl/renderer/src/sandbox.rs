//! What a renderer gives up before it hears a foreign byte: files but those that drivers are made of (Landlock), system
//! calls that drivers do not need (seccomp), and amounts (rlimits). Each part is then tried: what it forbids must fail. A
//! renderer that system calls are not kept from draws for nobody; where a kernel lacks another part, it is told
//! (`gl stat`).
//!
//! What Mesa's software renderer needs, as found by running it: the libraries and data below `/usr`, the loader's and
//! the vendors' lists in `/etc` (drivers are found by name and loaded late), `/proc/self` and `/sys` (how many processors there are), threads,
//! memory that becomes executable (it compiles what it draws with), and `memfd_create`. Drivers of hardware need
//! their devices below `/dev/dri` and `/dev/nvidia*`, with their ioctls. It needs no file to write, no other process (threads are all that it makes),
//! no new socket.
//!
//! Invariant: entered while the process has one thread; threads that start later are inside.

#[path = "sandbox_tries.rs"]
mod tries;

use std::collections::BTreeMap;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use tries::{Part, tries};

/// Address space in bytes: drivers reserve more than they use.
const SPACE: u64 = 16 << 30;
/// Memory in bytes that is the process's own.
const DATA: u64 = 4 << 30;
/// Files open at a time.
const OPEN: u64 = 512;
/// Largest file it can make, in bytes: two of the largest pictures.
const FILE: u64 = 2 << 30;
/// The newest of Landlock's features that are asked for.
const LANDLOCK: ABI = ABI::V6;

/// Read, and run from: what drivers are made of.
const READABLE: &[&str] =
    &["/usr", "/lib", "/lib64", "/etc", "/opt", "/nix", "/gnu", "/proc", "/sys", "/dev/urandom"];
/// Devices of graphics.
const DEVICES: &[&str] =
    &["/dev/dri", "/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-modeset", "/dev/nvidia-uvm", "/dev/null"];

/// A step that failed.
#[derive(Debug, thiserror::Error)]
enum SandboxError {
    #[error("landlock")]
    Landlock(#[from] landlock::RulesetError),
    #[error("seccomp")]
    Seccomp(#[from] seccompiler::Error),
    #[error("the filter of system calls could not be made")]
    Filter(#[from] seccompiler::BackendError),
    #[error("limits")]
    Limits(#[from] rustix::io::Errno),
}

/// Which parts hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// Memory, files that are open and what else a process can have much of.
    pub amounts: bool,
    /// Files but those that drivers are made of.
    pub files: bool,
    /// System calls.
    pub calls: bool,
}

impl Parts {
    /// Those that do not hold.
    #[must_use]
    pub fn missing(self) -> Vec<String> {
        let all = [("amounts", self.amounts), ("files", self.files), ("system calls", self.calls)];
        all.into_iter().filter(|(_, holds)| !holds).map(|(what, _)| what.to_owned()).collect()
    }
}

/// Enters it, and tries it.
#[must_use]
pub fn enter() -> Parts {
    let told = |what: &'static str, step: Result<bool, SandboxError>| match step {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!(what, "this kernel cannot confine a renderer so; the rest of the sandbox holds");
            false
        }
        Err(fault) => {
            tracing::warn!(what, %fault, "a part of the sandbox could not be entered");
            false
        }
    };
    // The filter last: it leaves no way to add what comes before.
    let (amounts, files) = (told("amounts", amounts()), told("files", files()));
    let entered = Parts { amounts, files, calls: told("system calls", calls()) };
    let holes = tries();
    for hole in &holes {
        tracing::warn!("a renderer here can {}", hole.what);
    }
    let is_whole = |part| holes.iter().all(|hole| hole.part != part);
    Parts {
        amounts: entered.amounts,
        files: entered.files && is_whole(Part::Files),
        calls: entered.calls && is_whole(Part::Calls),
    }
}

fn amounts() -> Result<bool, SandboxError> {
    let lower = |resource, most: u64| {
        let now = rustix::process::getrlimit(resource);
        let most = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        setrlimit(resource, Rlimit { current: most(now.current), maximum: most(now.maximum) })
    };
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, OPEN)?;
    lower(Resource::Fsize, FILE)?;
    lower(Resource::As, SPACE)?;
    lower(Resource::Data, DATA)?;
    // Another process of the same user cannot look into this one.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(true)
}

fn files() -> Result<bool, SandboxError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    let devices = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::IoctlDev;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(READABLE, read))?
        .add_rules(path_beneath_rules(DEVICES, devices))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn calls() -> Result<bool, SandboxError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
    let (is_denied, is_absent) =
        (SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    let apply = |rules: BTreeMap<i64, Vec<SeccompRule>>, others, these| -> Result<(), SandboxError> {
        let program: BpfProgram = SeccompFilter::new(rules, others, these, arch)?.try_into()?;
        Ok(seccompiler::apply_filter(&program)?)
    };
    // A filter does not see what this call is to make; who is told that it is not there takes the older one.
    apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Allow, is_absent)?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(OLDER).map(|call| (*call, Vec::new())).collect();
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let is_thread =
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![is_thread])?]);
    apply(rules, is_denied, SeccompAction::Allow)?;
    Ok(true)
}

/// Bytes and packets by streams that are open, files to read, memory, threads, clocks, devices.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockopt,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_openat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_ioctl,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_pipe2,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_futex,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_brk,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_getparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_getcpu,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

/// What older ways of the same are called where they exist.
#[cfg(target_arch = "x86_64")]
const OLDER: &[libc::c_long] = &[
    libc::SYS_poll,
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_arch_prctl,
    libc::SYS_time,
    libc::SYS_pipe,
    libc::SYS_dup2,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[libc::c_long] = &[];
