//! What a tap's process gives up when its namespace is made: rights of root's but that to listen at low ports, programs and files
//! (Landlock), and amounts. It is entered by each of the process's two first threads; others come from these, and are inside.
//!
//! It stays user 0, since the switch's socket is in a folder of that user. Where a kernel has no Landlock the rest holds.

use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::TapError;

/// Files open at a time: two a connection, one a datagram's way, and some.
const OPEN: u64 = 4096;
/// Longest file it can make, in bytes: what it says when it dies.
const FILE: u64 = 1 << 20;
/// The newest of Landlock's features that are asked for.
const LANDLOCK: ABI = ABI::V6;

/// Gives it up.
///
/// # Errors
/// If the kernel says no.
pub(super) fn enter() -> Result<(), TapError> {
    let failed = || TapError::system("the process cannot be confined");
    for (resource, most) in [(Resource::Core, 0), (Resource::Nofile, OPEN), (Resource::Fsize, FILE)] {
        let hard = rustix::process::getrlimit(resource).maximum;
        let most = Some(hard.map_or(most, |hard| hard.min(most)));
        setrlimit(resource, Rlimit { current: most, maximum: most }).map_err(|e| failed()(e.into()))?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|e| failed()(e.into()))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| failed()(e.into()))?;
    files().map_err(|error| failed()(std::io::Error::other(error)))?;
    let kept = CapabilitySet::NET_BIND_SERVICE;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(|e| failed()(e.into()))
}

/// All kinds of access are handled, and none is allowed; the sockets of the folder are no such access.
fn files() -> Result<(), landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()
        .map(drop)
}
