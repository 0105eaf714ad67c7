//! The crash explorer: the real engine over a store that dies.
//!
//! `machine` is a site's files with what is live, durable and pending; `fake` puts it behind the engine's store seam and records
//! every moment at which a crash could come; `oracle` keeps what the guest was promised and which bytes other sites got;
//! `world` is a disk of three chunks; `judge` lets process and machine die at a moment and asks the real recovery.
//! `sequences` tries all short runs, `cancelled` lets go of what was begun, the rest tries chosen and random ones.

mod cancelled;
mod errors;
mod fake;
mod interleavings;
mod judge;
mod machine;
mod moments;
mod oracle;
mod random;
mod sequences;
mod world;
