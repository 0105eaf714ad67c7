//! What xtask (outside the guest) and init (inside it) tell each other.
//!
//! Outside to inside: one [`job::Job`], a file in the initramfs. Inside to outside: [`frame::Frame`]s over one
//! virtio-serial port: the command's standard output and error as they come, then its exit status as
//! the last frame. A port that ends without an exit frame means that the guest died.
#![forbid(unsafe_code)]

pub mod frame;
pub mod job;

/// What init says on the console before anything else: where it is missing, nothing of ours has run.
pub const BEGUN: &str = "init: begins";
