//! A tap as a gateway ([ADR 23](../../../../docs/adr/0023-the-tap.md)): for root, with the kernel's TCP instead of libslirp's.
//!
//! ```text
//! switch <- datagrams -> pump <- tap0 -> the kernel's TCP, redirected -> relay <- ordinary sockets -> the host's network
//!                        |              (a network namespace)
//!                        +- datagrams (UDP) <- ordinary sockets -> the host's network
//! ```
//!
//! The namespace has no name and no way out: it lives as long as the process that made it (`inside`), and tap, rules and
//! connections die with it. What leaves the host are connections that this process opens in the host's own namespace, as libslirp's
//! are, so nothing of the host's is changed: no route, no address, no forwarding, no rule of its firewall.
//!
//! `plan` is what a namespace is made of, [`packets`] reads and writes what is no business of the kernel's, [`outside`] says which address
//! of the host's side is meant: pure. `pump` carries frames, `flows` connections, `talks` datagrams; `confine` is what the process
//! gives up, `process` its beginning and how it is asked ([`ask`]).
//!
//! Invariants: a connection is let in only when its other half is open, so who is refused outside is refused inside; connections,
//! those that are being opened, datagrams' ways and what waits for them are bounded; after its beginning the process can neither
//! start programs nor open files, and changes no network's settings.
//!
//! Fault model: it may be killed at any moment, and nothing of it stays but two sockets and a number in the agent's folder,
//! which the next one replaces. Frames may be anything; what is not understood goes to the namespace, which routes nothing.

pub mod ask;
mod confine;
mod flows;
mod inside;
pub mod outside;
pub mod packets;
mod plan;
pub(crate) mod process;
mod pump;
mod talks;

pub(crate) use plan::missing;

/// Why there is no tap.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// A program is not there, or said no.
    #[error("{what}: {said}")]
    Program {
        /// What it was to do.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// The kernel said no.
    #[error("{what}")]
    System {
        /// What it was to do.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The thread in the namespace ended.
    #[error("the thread in the agent's namespace has ended")]
    Gone,
}

impl TapError {
    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> TapError {
        move |source| TapError::System { what, source }
    }
}
