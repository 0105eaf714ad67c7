//! What a process that hears foreign bytes gives up before it hears them: files (Landlock), system calls (seccomp), and
//! amounts (rlimits). Where a kernel has no such thing, the rest holds and what is missing is told.
//!
//! Invariant: entered while the process has one thread; those it starts later are inside.
//! Invariant: never left, only made tighter; nothing a peer says chooses the level.
//!
//! Not for the keeper: it starts the programs of links, opens block devices, and asks the kernel for new ones.

mod calls;

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// What is left to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level<'a> {
    /// To carry bytes between streams that are open; no file can be opened.
    Streams,
    /// The same, and the files below a site's home.
    Home(&'a Path),
}

/// What could be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confined {
    /// Files, and TCP where the kernel can.
    pub files: bool,
    /// System calls.
    pub calls: bool,
    /// Amounts.
    pub amounts: bool,
}

/// How far a step goes on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    /// As far as it is meant to.
    Whole,
    /// All but these, which the kernel is too old for.
    Without(Vec<&'static str>),
    /// Nowhere.
    None,
}

/// A step that the kernel refused.
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

/// The newest of Landlock's features that are asked for; an older kernel gives what it has.
const LANDLOCK: ABI = ABI::V6;
/// Read besides the home: who this machine is, that it is the same boot, randomness for SQLite.
const READABLE: [&str; 3] = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id", "/dev/urandom"];
/// Files open at a time.
const OPEN_MAX: u64 = 256;
/// Address space in bytes: threads reserve more than they use.
const SPACE_MAX: u64 = 4 << 30;

/// Enters a level, for this thread and those it starts.
#[must_use]
pub fn enter(level: Level<'_>) -> Confined {
    let told = |what: &str, step: Result<Reach, SandboxError>| match step {
        Ok(Reach::Whole) => true,
        Ok(Reach::Without(missing)) => {
            let missing = missing.join(", ");
            tracing::info!(
                what,
                missing,
                "this kernel confines a process in part; the rest of the sandbox holds"
            );
            true
        }
        Ok(Reach::None) => {
            tracing::warn!(what, "this kernel cannot confine a process so; the rest of the sandbox holds");
            false
        }
        Err(e) => {
            tracing::warn!(what, error = %crate::peer::error::chain(&e), "a part of the sandbox could not be entered");
            false
        }
    };
    // The filter last: it leaves no way to add what comes before.
    Confined {
        amounts: told("amounts", amounts()),
        files: told("files", files(level)),
        calls: told("system calls", system_calls(level)),
    }
}

fn amounts() -> Result<Reach, SandboxError> {
    let lower = |resource, most: u64| {
        let now = rustix::process::getrlimit(resource);
        let most = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        setrlimit(resource, Rlimit { current: most(now.current), maximum: most(now.maximum) })
    };
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, OPEN_MAX)?;
    lower(Resource::As, SPACE_MAX)?;
    // Another process of the same user cannot look into this one.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(Reach::Whole)
}

fn files(level: Level<'_>) -> Result<Reach, SandboxError> {
    let all = AccessFs::from_all(LANDLOCK);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    let ruleset = match level {
        Level::Streams => ruleset,
        Level::Home(home) => ruleset
            .add_rules(path_beneath_rules([home], all & !BitFlags::from(AccessFs::Execute)))?
            .add_rules(path_beneath_rules(READABLE, AccessFs::ReadFile))?,
    };
    let status = ruleset.restrict_self()?;
    Ok(reach(&status.ruleset, &status.landlock))
}

/// What a kernel's Landlock does of what it was asked for.
fn reach(ruleset: &RulesetStatus, landlock: &LandlockStatus) -> Reach {
    let LandlockStatus::Available { effective_abi, .. } = landlock else { return Reach::None };
    if *ruleset == RulesetStatus::NotEnforced {
        return Reach::None;
    }
    // Named by what came with each version; that it cannot be confined is not for want of asking.
    let came = [
        (ABI::V2, "moves between folders"),
        (ABI::V3, "cutting files"),
        (ABI::V4, "TCP"),
        (ABI::V5, "ioctl of devices"),
        (ABI::V6, "signals and abstract sockets"),
    ];
    let missing: Vec<_> =
        came.into_iter().filter(|(since, _)| effective_abi < since).map(|(_, what)| what).collect();
    if missing.is_empty() { Reach::Whole } else { Reach::Without(missing) }
}

fn system_calls(level: Level<'_>) -> Result<Reach, SandboxError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(Reach::None) };
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(calls::allowed(level)?, denied, SeccompAction::Allow, arch)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(Reach::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available(effective_abi: ABI) -> LandlockStatus {
        LandlockStatus::Available { effective_abi, kernel_abi: None }
    }

    #[test]
    fn a_kernel_without_landlock_confines_no_files() {
        for status in [LandlockStatus::NotEnabled, LandlockStatus::NotImplemented] {
            assert_eq!(reach(&RulesetStatus::NotEnforced, &status), Reach::None);
        }
        assert_eq!(reach(&RulesetStatus::NotEnforced, &available(LANDLOCK)), Reach::None);
    }

    #[test]
    fn what_an_older_landlock_cannot_confine_is_named() {
        let without = |abi| match reach(&RulesetStatus::PartiallyEnforced, &available(abi)) {
            Reach::Without(missing) => missing.join(", "),
            other => panic!("{other:?}"),
        };
        assert_eq!(without(ABI::V5), "signals and abstract sockets");
        assert_eq!(without(ABI::V3), "TCP, ioctl of devices, signals and abstract sockets");
        assert!(without(ABI::V1).starts_with("moves between folders, cutting files, TCP"));
    }

    #[test]
    fn a_newer_landlock_confines_what_is_asked_of_it() {
        for abi in [LANDLOCK, ABI::V7] {
            assert_eq!(reach(&RulesetStatus::FullyEnforced, &available(abi)), Reach::Whole);
        }
    }
}
