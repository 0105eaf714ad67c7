//! What the display proxy is measured with, on one machine: sources that paint [`stamp`]ed frames, and a
//! [`watch`]er that reads from the pixels which frame it has and how old it is.
//!
//! [`paint`] is a program on an X screen, [`source`] a VNC server of its own with nothing between drawing and
//! sending, [`guest`] a boot sector for a screen of QEMU's; [`act`] is a user. A [`looker`] looks at anything, [`vtest`] carries
//! a peer of VMGL's. All run in processes of their own, so that what the proxy costs is what its process costs.
//!
//! Invariant: clocks of different processes are compared, so all of this is for one machine.

#![forbid(unsafe_code)]

pub mod act;
pub mod connection;
pub mod guest;
pub mod looker;
pub mod paint;
pub mod source;
pub mod stamp;
pub mod stream;
pub mod vtest;
pub mod watch;
