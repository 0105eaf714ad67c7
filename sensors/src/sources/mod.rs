//! Sources: what looks at the system and makes events. Each is asked once a poll and gives what happened since it was
//! asked before.

mod command;
mod host;
mod vcpu;

pub use command::{Command, CommandError};
pub use host::Host;
pub use vcpu::{VcpuError, Vcpus};
