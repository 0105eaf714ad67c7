//! What every front-end of WANDisk must do with the same bytes, as checks that run over any client.
//!
//! A front-end's tests implement [`Client`] for what their users hold (an NBD connection; [`FileClient`] is a block
//! device or a plain file) and [`Target`] for how one more of them is opened, and call [`run_all`] or single checks
//! of [`checks`]. All checks overwrite the disk; each leaves it all zeros where it wrote.
//!
//! Invariant: a check judges only by what it reads back and by which requests fail; it knows no front-end.

#![forbid(unsafe_code)]

pub mod checks;
mod client;
mod file_client;
mod rng;

pub use checks::run_all;
pub use client::{Client, ClientError, Target};
pub use file_client::FileClient;
